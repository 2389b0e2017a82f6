//! The commands.

mod accounts;
mod dead;
mod interrupts;
mod move_queue;
mod push;
mod service;
mod status;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cfcache_app::config::{EnvVars, LOG};
use cfcache_app::console::Console;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_app::log::{LogFilter, LogFormat, Logger};
use cfcache_queue::{PostgresStore, PostgresUrl, SqliteStore, Store, StoreError};
use tokio::runtime::Runtime;

use crate::args::{Args, Command, DeadCommand, Global, LogFormatArg};
use crate::console::{Terminal, readable};

/// The environment variable with the PostgreSQL URL. The URL contains a password, so there is no option for it.
const DATABASE_URL: &str = "DATABASE_URL";

/// The shortest accepted duration. PostgreSQL's own timeouts are in milliseconds, and 0 means no limit there.
const MIN_DURATION: Duration = Duration::from_millis(100);

/// The number of database connections of a command that is not a service.
const COMMAND_CONNECTIONS: usize = 2;

/// Runs the command of the arguments.
pub(crate) fn execute(args: Args, environment: &EnvVars) -> Exit {
    let terminal = Terminal::default();
    let exit = begin(args, environment, &terminal).unwrap_or_else(|failure| terminal.failure(&failure));
    terminal.settle(exit)
}

fn begin(args: Args, environment: &EnvVars, terminal: &Terminal) -> Result<Exit, Failure> {
    let Args { global, command } = args;
    if let Some(name) = &environment.broken {
        return Err(Failure::usage(format!("the value of `{name}` is not Unicode")));
    }
    begin_log(&global, environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unreachable, format!("cannot start: {error}")))?;
    let place = match &command {
        // This command names both a directory and a database.
        Command::Move { .. } => QueuePlace::Directory(directory(&global, environment)?),
        _ => QueuePlace::new(&global, environment)?,
    };
    let exit = match command {
        Command::Move { to } => move_queue::run(to.as_deref(), &place, environment, &runtime, terminal),
        Command::Migrate => runtime.block_on(migrate(&place, terminal)),
        Command::Push(push) => push::run(push, &place, environment, &runtime, terminal),
        Command::Status { json } => {
            let store = place.open_to_read(&runtime)?;
            runtime.block_on(status::show(&*store, json, terminal))
        }
        Command::Drain { timeout } => {
            let store = place.open_to_read(&runtime)?;
            runtime.block_on(async {
                interrupts::listen(&terminal.interrupts);
                let console: &dyn Console = terminal;
                tokio::select! {
                    exit = status::drain(&*store, timeout, terminal) => exit,
                    () = console.interrupted(1) => Ok(Exit::Interrupted),
                }
            })
        }
        Command::Dead { command } => {
            let store = match command {
                DeadCommand::List { .. } => place.open_to_read(&runtime)?,
                _ => place.open_existing(&runtime)?,
            };
            runtime.block_on(dead::run(&*store, command, terminal))
        }
        Command::Serve { intake, worker, config } => service::run(
            service::ServiceParts::serve(intake, worker),
            config,
            &place,
            environment,
            &runtime,
            terminal,
        ),
        Command::Intake { intake, config } => service::run(
            service::ServiceParts::intake(intake),
            config,
            &place,
            environment,
            &runtime,
            terminal,
        ),
        Command::Worker { worker, config, admin_listen } => service::run(
            service::ServiceParts::worker(worker, admin_listen),
            config,
            &place,
            environment,
            &runtime,
            terminal,
        ),
    };
    // Abandons work in flight, such as a read of standard input that never ends.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit
}

fn begin_log(global: &Global, environment: &EnvVars) -> Result<(), Failure> {
    let filter = environment.log.as_deref().map_or_else(|| Ok(LogFilter::default()), str::parse);
    let filter = filter.map_err(|why| Failure::usage(format!("`{LOG}`: {why}")))?;
    let format = match global.log_format {
        LogFormatArg::Text => LogFormat::Text,
        LogFormatArg::Json => LogFormat::Json,
    };
    Logger::new(format, filter, |line| {
        use std::io::Write as _;
        let _gone = std::io::stderr().lock().write_all(format!("{}\n", readable(line)).as_bytes());
    })
    .install();
    Ok(())
}

async fn migrate(place: &QueuePlace, terminal: &Terminal) -> Result<Exit, Failure> {
    let QueuePlace::Postgres(url) = place else {
        let failure = Failure::usage(format!("`migrate` is for PostgreSQL, and `{DATABASE_URL}` is not set"));
        return Err(failure.with_hint(
            "a queue in a file needs no migration; for PostgreSQL, set the variable to postgres://user:password@host/database",
        ));
    };
    let (before, after) = PostgresStore::new(PostgresUrl::clone(url), COMMAND_CONNECTIONS)
        .migrate()
        .await
        .map_err(store_failure)?;
    if before == after {
        terminal.data(&format!("the schema already has version {after}"));
    } else {
        terminal.data(&format!("the schema was updated from version {before} to {after}"));
    }
    Ok(Exit::Accepted)
}

/// The place where requests are stored.
pub(crate) enum QueuePlace {
    Postgres(Box<PostgresUrl>),
    /// In an SQLite file in that directory.
    Directory(PathBuf),
}

impl QueuePlace {
    fn new(global: &Global, environment: &EnvVars) -> Result<Self, Failure> {
        // Such as in a unit or container that refers to a missing variable. Falling back to a file would divert
        // requests from the shared database.
        if environment.is_empty(DATABASE_URL) {
            return Err(Failure::usage(format!("`{DATABASE_URL}` is set but empty"))
                .with_hint("set it to the URL of a database, or unset it to keep the queue in a file"));
        }
        let url = environment.other(DATABASE_URL);
        if let Some(url) = url {
            if global.data.is_some() {
                let failure = Failure::usage(format!(
                    "`--data` is for a queue in a file, and `{DATABASE_URL}` names a database"
                ));
                return Err(failure.with_hint("leave out one of them"));
            }
            let url = PostgresUrl::parse(&url)
                .map_err(|invalid| Failure::usage(format!("`{DATABASE_URL}`: {invalid}")))?;
            return Ok(Self::Postgres(Box::new(url)));
        }
        directory(global, environment).map(Self::Directory)
    }

    /// Opens the store, and checks that it can be used.
    pub(crate) fn open(&self, runtime: &Runtime, connections: usize) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Postgres(url) => {
                let store = PostgresStore::new(PostgresUrl::clone(url), connections);
                runtime.block_on(store.check_schema()).map_err(store_failure)?;
                Ok(Arc::new(store))
            }
            Self::Directory(directory) => open_file(directory),
        }
    }

    /// Opens the store to change it. A directory without a queue is an error, because it is probably the wrong one.
    pub(crate) fn open_existing(&self, runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
        if let Self::Directory(_) = self {
            self.open_to_read(runtime)?;
        }
        self.open(runtime, COMMAND_CONNECTIONS)
    }

    /// Opens the store for a service, and waits until the database is available. PostgreSQL releases a claim if its
    /// worker sends nothing for `claim_timeout`.
    pub(crate) async fn wait(
        &self,
        connections: usize,
        idle_timeout: Duration,
    ) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Postgres(url) => {
                let store = PostgresStore::new(PostgresUrl::clone(url), connections);
                let store = store.with_idle_timeout(idle_timeout);
                let mut told = None;
                let waiting = store.wait_for_schema(|error| {
                    let text = error.to_string();
                    if told.replace(text.clone()) != Some(text) {
                        tracing::warn!(%error, "waiting for the database");
                    }
                });
                waiting.await.map_err(store_failure)?;
                Ok(Arc::new(store))
            }
            Self::Directory(directory) => open_file(directory),
        }
    }

    /// Opens the store for reading. A queue in a directory may be in use by another process.
    fn open_to_read(&self, runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Postgres(_) => self.open(runtime, COMMAND_CONNECTIONS),
            Self::Directory(directory) => {
                let store = SqliteStore::open_to_read(directory).map_err(store_failure)?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Describes the place for people, without a password.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Postgres(_) => "PostgreSQL".to_owned(),
            Self::Directory(path) => path.display().to_string(),
        }
    }
}

/// Returns the directory of the SQLite file.
fn directory(global: &Global, environment: &EnvVars) -> Result<PathBuf, Failure> {
    let usual = || environment.state_home.as_ref().map(|home| home.join("cfcache-queue"));
    global.data.clone().or_else(usual).ok_or_else(|| {
        Failure::usage("there is no directory for the queue: the environment has no home directory")
            .with_hint(format!("name a directory with `--data`, or a database in `{DATABASE_URL}`"))
    })
}

fn open_file(directory: &Path) -> Result<Arc<dyn Store>, Failure> {
    Ok(Arc::new(SqliteStore::open(directory).map_err(store_failure)?))
}

/// Converts the value of an option in seconds.
pub(crate) fn seconds(seconds: f64, option: &str) -> Result<Duration, Failure> {
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time >= MIN_DURATION);
    time.ok_or_else(|| {
        Failure::usage(format!(
            "`{option}` takes a number of seconds, at least {}",
            MIN_DURATION.as_secs_f64()
        ))
    })
}

/// Converts a store error into the failure of a command.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    Failure::new(Exit::Unreachable, error.to_string())
}
