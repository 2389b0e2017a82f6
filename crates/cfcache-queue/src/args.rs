//! The command line as it is typed: the only file of this program that names clap.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use cfcache_model::target::Kind;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Keep purges of Cloudflare's cache in a queue until the API has accepted them.
///
/// Requests come in over HTTP (`serve`, `intake`), by SQL functions, or from lists (`push`). Workers (`serve`, `worker`) send
/// them: together, within one budget of the account's limits, however many machines there are.
#[derive(Debug, Parser)]
#[command(
    name = "cfcache-queue",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Environment:
  DATABASE_URL              PostgreSQL: postgres://user:password@host/database
  CLOUDFLARE_API_TOKEN      the token that the worker sends with
  CLOUDFLARE_BASE_URL       another API than Cloudflare's
  CFCACHE_PLAN              free, pro, business or enterprise
  CFCACHE_QUEUE_LISTEN      where the intake listens
  CFCACHE_LOG               error, warn, info, debug or trace

Examples:
  cfcache-queue migrate
  cfcache-queue serve
  cfcache-queue push urls --zone example.com --from urls.txt
  psql -c \"SELECT cfcache.request_tags('example.com', ARRAY['release-42'])\"

Exit codes: 0 done, 1 refused or failed, 2 usage or input, 3 credentials,
5 database or API unreachable, 7 not in time (drain), 130 interrupted."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// Where the queue is kept in an SQLite file, if `DATABASE_URL` is not set
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How the log is written to standard error
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
    /// Make the tables and functions in PostgreSQL, or bring them to this version
    Migrate,
    /// Take requests over HTTP and send them: intake and worker in one process
    Serve {
        #[command(flatten)]
        intake: IntakeArgs,
        #[command(flatten)]
        worker: WorkerArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Take requests over HTTP, and leave sending to workers
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
        /// Where metrics, health and the status page are served; nowhere without it
        #[arg(long, value_name = "ADDRESS")]
        admin_listen: Option<SocketAddr>,
    },
    /// Put requests into the queue, from arguments or lists
    Push(PushArgs),
    /// Show what waits, the budgets, and how many dead letters there are
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look at requests that are not sent any more, send them again, or delete them
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Wait until nothing is left to send
    ///
    /// Ends with 0 once the queue is empty, with 1 if requests became dead letters meanwhile, and with 7 if it is not empty in
    /// time. It sends nothing itself: a worker has to run.
    Drain {
        /// How long to wait at most, in seconds; without it, for as long as it takes
        #[arg(long, value_name = "SECS")]
        timeout: Option<f64>,
    },
    /// Carry the queue from its file over to PostgreSQL
    ///
    /// The queue is the one of `--data`. PostgreSQL takes all of it or nothing, and the file is emptied afterwards; if it is
    /// interrupted, run it again. Nothing else may use the file meanwhile.
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
    /// Where requests are taken [env: CFCACHE_QUEUE_LISTEN] [default: 127.0.0.1:8789]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where metrics, health and the status page are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    pub(crate) admin_listen: SocketAddr,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WorkerArgs {
    /// A file that holds the API token; `-` is standard input [env: CLOUDFLARE_API_TOKEN holds the token itself]
    #[arg(long, value_name = "FILE")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// Where the API is [env: CLOUDFLARE_BASE_URL] [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Send to an emulator inside this process; needs no credentials and changes nothing
    #[arg(long)]
    pub(crate) emulator: bool,
    /// The plan of the zones: auto, free, pro, business or enterprise; `auto` asks each zone [env: CFCACHE_PLAN]
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<String>,
    /// How much of the account's limits to use, from 0 to 1: less than 1 leaves something for other tools
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub(crate) share: f64,
    /// The most requests to the API in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub(crate) concurrency: usize,
    /// How long one try may take, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 30.0)]
    pub(crate) timeout: f64,
    /// After how long PostgreSQL takes claimed requests back from a worker that shows no sign of life, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 15.0)]
    pub(crate) claim_timeout: f64,
    /// More certificates to trust, in PEM, of the API or what is in between
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Send credentials over `http://`, where every hop is yours
    #[arg(long)]
    pub(crate) allow_insecure_http: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PushArgs {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is put into the queue.
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
    /// An environment of the zone, by id
    #[arg(short, long, value_name = "ID")]
    pub(crate) environment: Option<String>,
    /// Mark files stale instead of removing them
    #[arg(long)]
    pub(crate) invalidate: bool,
    /// Requests of a higher priority are sent first, among those of one kind
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i16,
    /// Send it no sooner than in so many seconds
    #[arg(long, value_name = "SECS", default_value_t = 0.0)]
    pub(crate) delay: f64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PushList {
    #[command(flatten)]
    pub(crate) common: PushCommon,
    /// Entries
    #[arg(value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// A file with an entry a line, or a JSON array of entries; `-` is standard input. Blank lines and lines that begin
    /// with `#` are skipped
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
    /// Entries of `--from` end with NUL, as `find -print0` and `git diff -z` write them
    #[arg(short = '0', long, requires = "from")]
    pub(crate) null: bool,
    /// What to do about invalid entries: refuse the input, or leave them out; the exit code is 2 all the same
    #[arg(long, value_name = "WHAT", value_parser = ["fail", "skip"], default_value = "fail")]
    pub(crate) on_invalid: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// Show the newest dead letters
    List {
        /// The most that are shown
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the queue, as new requests
    Retry(Selection),
    /// Delete dead letters
    Drop(Selection),
}

/// Which dead letters.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct Selection {
    /// Numbers, as `dead list` shows them
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<i64>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

impl What {
    /// The kind, what every kind takes, and the list where there is one.
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
        Ok(0) => Err("it is at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is a whole number".to_owned()),
    }
}

/// What to print in place of doing something: help, the version, or what is wrong with the arguments.
pub(crate) struct Usage {
    pub(crate) text: String,
    /// Whether it is about a mistake.
    pub(crate) is_mistake: bool,
}

/// Reads arguments.
///
/// # Errors
///
/// [`Usage`], where they ask for help or are not understood.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Usage> {
    Args::try_parse_from(arguments)
        .map_err(|error| Usage { text: error.render().to_string(), is_mistake: error.use_stderr() })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
