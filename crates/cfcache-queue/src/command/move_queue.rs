//! The command `move`: moves a queue from a file to PostgreSQL.

use cfcache_app::config::EnvVars;
use cfcache_app::console::Console as _;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_queue::{PostgresStore, PostgresUrl, SqliteStore, move_queue};
use tokio::runtime::Runtime;

use crate::command::{COMMAND_CONNECTIONS, DATABASE_URL, QueuePlace, store_failure};
use crate::console::Terminal;

/// The variable from which PostgreSQL's own programs read the password.
const PASSWORD: &str = "PGPASSWORD";

pub(super) fn run(
    to: Option<&str>,
    from: &QueuePlace,
    environment: &EnvVars,
    runtime: &Runtime,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let to = PostgresStore::new(target(to, environment)?, COMMAND_CONNECTIONS);
    let QueuePlace::Directory(directory) = from else {
        return Err(Failure::usage("the queue is already in PostgreSQL"));
    };
    if !directory.is_dir() {
        let failure = Failure::usage(format!("there is no queue in {}", directory.display()));
        return Err(failure.with_hint("name its directory with `--data`"));
    }
    SqliteStore::open_to_read(directory).map_err(store_failure)?;
    let from = SqliteStore::open(directory).map_err(store_failure)?;
    let moved = runtime.block_on(move_queue(&from, &to)).map_err(|error| {
        store_failure(error)
            .with_hint("nothing is lost: what was not moved is still in the file; run the command again")
    })?;
    terminal.data(&format!(
        "moved {} requests, {} dead letters and {} budgets; the file in {} is now empty",
        moved.requests,
        moved.dead,
        moved.budgets,
        directory.display()
    ));
    Ok(Exit::Accepted)
}

/// Returns the database that the option names, otherwise the one of the variable.
fn target(to: Option<&str>, environment: &EnvVars) -> Result<PostgresUrl, Failure> {
    let parse = |url: &str, name: &str| {
        PostgresUrl::parse(url).map_err(|invalid| Failure::usage(format!("`{name}`: {invalid}")))
    };
    let Some(to) = to else {
        let url = environment.other(DATABASE_URL).ok_or_else(|| {
            Failure::usage("no destination given").with_hint(format!(
                "name the database with `--to postgres://user@host/database`, or in `{DATABASE_URL}`"
            ))
        })?;
        return parse(&url, DATABASE_URL);
    };
    let url = parse(to, "--to")?;
    if url.has_password() {
        let failure = Failure::usage(
            "the URL of `--to` contains a password, which other users of this machine can see",
        );
        return Err(failure.with_hint(format!(
            "remove it and set `{PASSWORD}`, or remove `--to` and set `{DATABASE_URL}`"
        )));
    }
    Ok(match environment.other(PASSWORD) {
        Some(password) => url.with_password(&password),
        None => url,
    })
}
