//! From a file to PostgreSQL.

use cfcache_app::config::Environment;
use cfcache_app::console::Console as _;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_queue::{PostgresStore, PostgresUrl, SqliteStore, move_queue};
use tokio::runtime::Runtime;

use crate::command::{DATABASE_URL, FEW_CONNECTIONS, Place, store_failure};
use crate::console::Terminal;

/// Where PostgreSQL's own programs find the password.
const PASSWORD: &str = "PGPASSWORD";

pub(super) fn run(
    to: Option<&str>,
    from: &Place,
    environment: &Environment,
    runtime: &Runtime,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let to = PostgresStore::new(target(to, environment)?, FEW_CONNECTIONS);
    let Place::Directory(directory) = from else {
        return Err(Failure::usage("the queue is in PostgreSQL already"));
    };
    if !directory.is_dir() {
        let failure = Failure::usage(format!("there is no queue in {}", directory.display()));
        return Err(failure.with_hint("name its directory with `--data`"));
    }
    let from = SqliteStore::open(directory).map_err(store_failure)?;
    let moved = runtime.block_on(move_queue(&from, &to)).map_err(|error| {
        store_failure(error)
            .with_hint("nothing is lost: what was not carried over is in the file; run it again")
    })?;
    terminal.data(&format!(
        "{} requests, {} dead letters and {} budgets were carried over; the file in {} is empty now",
        moved.requests,
        moved.dead,
        moved.budgets,
        directory.display()
    ));
    Ok(Exit::Accepted)
}

/// The database that is named by the option, or else by the variable.
fn target(to: Option<&str>, environment: &Environment) -> Result<PostgresUrl, Failure> {
    let parse = |url: &str, name: &str| {
        PostgresUrl::parse(url).map_err(|invalid| Failure::usage(format!("`{name}`: {invalid}")))
    };
    let Some(to) = to else {
        let url = environment.other(DATABASE_URL).ok_or_else(|| {
            Failure::usage("it is not said where to").with_hint(format!(
                "name the database with `--to postgres://user@host/database`, or in `{DATABASE_URL}`"
            ))
        })?;
        return parse(&url, DATABASE_URL);
    };
    let url = parse(to, "--to")?;
    if url.has_password() {
        let failure = Failure::usage(
            "the URL of `--to` has a password in it, which other users of this machine can see",
        );
        return Err(failure.with_hint(format!(
            "leave it out and set `{PASSWORD}`, or leave out `--to` and set `{DATABASE_URL}`"
        )));
    }
    Ok(match environment.other(PASSWORD) {
        Some(password) => url.with_password(&password),
        None => url,
    })
}
