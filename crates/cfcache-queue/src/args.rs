//! The command-line arguments. No other file of this program uses clap.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use cfcache_app::connection::listen_address;
use cfcache_model::target::Kind;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Keep purges of Cloudflare's cache in a queue until the API has accepted them.
///
/// Requests come in over HTTP (`serve`, `intake`), through SQL functions, or from lists (`push`). Workers (`serve`,
/// `worker`) combine them into few API requests. All workers share one budget of the account's limits, on any number of
/// machines.
#[derive(Debug, Parser)]
#[command(
    name = "cfcache-queue",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Environment:
  DATABASE_URL              PostgreSQL: postgres://user:password@host/database
  CLOUDFLARE_API_TOKEN      the token that the worker uses
  CLOUDFLARE_BASE_URL       the URL of the API
  CFCACHE_PLAN              free, pro, business or enterprise
  CFCACHE_QUEUE_LISTEN      the address of the intake
  CFCACHE_LOG               off, error, warn or info; or targets with levels

Examples:
  cfcache-queue migrate
  cfcache-queue serve
  cfcache-queue push urls --zone example.com --from urls.txt
  psql -c \"SELECT cfcache.request_tags('example.com', ARRAY['release-42'])\"

Exit codes: 0 done, 1 refused or failed, 2 usage or input, 3 credentials,
5 database or API unreachable, 7 timeout (drain), 130 interrupted."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// The directory of the queue's SQLite file, if `DATABASE_URL` is not set
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The format of the log on standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormatArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormatArg {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the tables and functions in PostgreSQL, or update them to this version
    Migrate,
    /// Accept requests over HTTP and send them: intake and worker in one process
    Serve {
        #[command(flatten)]
        intake: IntakeArgs,
        #[command(flatten)]
        worker: WorkerArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Accept requests over HTTP; workers send them
    Intake {
        #[command(flatten)]
        intake: IntakeArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Send requests; any number of workers may run
    Worker {
        #[command(flatten)]
        worker: WorkerArgs,
        #[command(flatten)]
        config: ConfigArgs,
        /// The address for metrics, health and the status page [default: none]
        #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
        admin_listen: Option<SocketAddr>,
    },
    /// Put requests into the queue, from arguments or lists
    Push(PushArgs),
    /// Show the waiting requests, the budgets and the number of dead letters
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List, retry or delete requests that are no longer sent (dead letters)
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Wait until the queue is empty
    ///
    /// Exits with 0 when the queue is empty, with 1 if requests became dead letters in the meantime, and with 7 if the
    /// queue is not empty before the timeout. This command sends nothing: a worker must be running.
    Drain {
        /// The longest time to wait, in seconds [default: no limit]
        #[arg(long, value_name = "SECS")]
        timeout: Option<f64>,
    },
    /// Move the queue from its file to PostgreSQL
    ///
    /// Moves the queue of `--data`. PostgreSQL takes either all of it or nothing, and then the file is emptied. If the
    /// command is interrupted, run it again. Nothing else may use the file in the meantime.
    Move {
        /// The database, without a password: `postgres://user@host/database` [env: DATABASE_URL, PGPASSWORD]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// A TOML file with the sources of the intake (`[sources.NAME]`) and the accounts of the worker (`[accounts.NAME]`)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct IntakeArgs {
    /// The address on which the intake accepts requests [env: CFCACHE_QUEUE_LISTEN] [default: 127.0.0.1:8789]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// The address for metrics, health and the status page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790", value_parser = listen_address)]
    pub(crate) admin_listen: SocketAddr,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WorkerArgs {
    /// A file that holds the API token; `-` is standard input [env: CLOUDFLARE_API_TOKEN holds the token itself]
    #[arg(long, value_name = "FILE")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// The URL of the API [env: CLOUDFLARE_BASE_URL] [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Send to an emulator inside this process; needs no credentials and changes nothing at Cloudflare
    #[arg(long)]
    pub(crate) emulator: bool,
    /// The plan of the zones: auto, free, pro, business or enterprise; `auto` asks each zone [env: CFCACHE_PLAN]
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<String>,
    /// The part of the account's limits to use, from 0 to 1; the rest is left to other tools
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub(crate) share: f64,
    /// The maximum number of API requests in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub(crate) concurrency: usize,
    /// The timeout of one attempt, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 30.0)]
    pub(crate) timeout: f64,
    /// The time after which PostgreSQL takes claimed requests back from a worker that has stopped responding, in
    /// seconds
    #[arg(long, value_name = "SECS", default_value_t = 15.0)]
    pub(crate) claim_timeout: f64,
    /// A PEM file with additional certificates to trust, for the API or a proxy in between
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Allow `http://` for the API; only safe if you control the whole network path
    #[arg(long)]
    pub(crate) allow_insecure_http: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PushArgs {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// The entries of `push`, by kind.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Everything in the zone or environment
    Everything(PushCommon),
    /// Single files by URL
    Urls(PushList),
    /// Files by cache tag
    Tags(PushList),
    /// Files by host
    Hosts(PushList),
    /// Files by prefix of host and path
    Prefixes(PushList),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PushCommon {
    /// The zone, by id or by domain [env: CLOUDFLARE_ZONE_ID]
    #[arg(short, long, value_name = "ID|DOMAIN")]
    pub(crate) zone: Option<String>,
    /// The id of an environment of the zone
    #[arg(short, long, value_name = "ID")]
    pub(crate) environment: Option<String>,
    /// Mark files stale instead of removing them
    #[arg(long)]
    pub(crate) invalidate: bool,
    /// The priority; within one kind, requests with a higher priority are sent first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// The number of seconds to wait before sending
    #[arg(long, value_name = "SECS", default_value_t = 0.0)]
    pub(crate) delay: f64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PushList {
    #[command(flatten)]
    pub(crate) common: PushCommon,
    /// The entries
    #[arg(value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// A file with one entry per line, or a JSON array of entries; `-` is standard input. Blank lines and lines that
    /// begin with `#` are skipped
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
    /// Entries in `--from` end with NUL, as `find -print0` and `git diff -z` write them
    #[arg(short = '0', long, requires = "from")]
    pub(crate) null: bool,
    /// How to handle invalid entries: refuse the input, or skip them; the exit code is 2 in both cases
    #[arg(long, value_name = "WHAT", value_parser = ["fail", "skip"], default_value = "fail")]
    pub(crate) on_invalid: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// Show the newest dead letters
    List {
        /// The maximum number of dead letters to show
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the queue as new requests
    Retry(DeadArgs),
    /// Delete dead letters
    Drop(DeadArgs),
}

/// The selected dead letters.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct DeadArgs {
    /// The ids that `dead list` shows
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<i64>,
    /// Select all dead letters
    #[arg(long)]
    pub(crate) all: bool,
}

impl What {
    /// Returns the kind, the common options, and the list of entries, if any.
    pub(crate) fn into_parts(self) -> (Option<Kind>, PushCommon, Option<PushList>) {
        let (kind, list) = match self {
            Self::Everything(common) => return (None, common, None),
            Self::Urls(list) => (Kind::Files, list),
            Self::Tags(list) => (Kind::Tags, list),
            Self::Hosts(list) => (Kind::Hosts, list),
            Self::Prefixes(list) => (Kind::Prefixes, list),
        };
        let PushList { common, entries, from, null, on_invalid } = list;
        let empty = PushCommon { zone: None, environment: None, invalidate: false, priority: 0, delay: 0.0 };
        (Some(kind), common, Some(PushList { common: empty, entries, from, null, on_invalid }))
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number".to_owned()),
    }
}

/// The text to print instead of running a command: help, the version, or a usage error.
pub(crate) struct Usage {
    pub(crate) text: String,
    /// Whether the text is a usage error.
    pub(crate) is_error: bool,
}

/// Parses the arguments.
///
/// # Errors
///
/// [`Usage`] if they ask for help or the version, or are invalid.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Usage> {
    Args::try_parse_from(arguments)
        .map_err(|error| Usage { text: error.render().to_string(), is_error: error.use_stderr() })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_clap_definition_is_valid() {
        Args::command().debug_assert();
    }
}
