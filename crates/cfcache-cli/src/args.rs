//! The definition of the command line. Only this file and `args/` use clap. Values are kept as strings and flags;
//! nothing is resolved here.

mod suggest;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use cfcache_app::config::Overrides;
use cfcache_app::connection::listen_address;
use cfcache_app::job::FirstRun;
use cfcache_app::log::LogFormat;
use cfcache_app::report::FallbackTo;
use cfcache_emulator::TokenState;
use cfcache_model::endpoint::CacheLevel;
use cfcache_probe::Variant;
use cfcache_site::changes::ListFormat;
use cfcache_transport::Roots;
pub(crate) use clap::ColorChoice;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    ValueHint,
};

use crate::command::Shell;
use crate::secret::{bare, may_be_secret, shown};

/// Purge and invalidate Cloudflare's cache as fast as the API allows, and account for every entry
#[derive(Debug, Parser)]
#[command(
    name = "cfcache",
    version,
    // On Windows, the name of the file has an extension.
    bin_name = "cfcache",
    propagate_version = false,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    // An alias may already contain `-q`, and its user may add another one.
    args_override_self = true,
    max_term_width = 100,
    after_help = "\
Examples:
  cfcache --emulator purge urls https://www.example.com/logo.png
  cfcache -z example.com purge urls --from changed-urls.txt
  cfcache -z example.com purge tags release-42 --dry-run

Exit codes: 0 all accepted,
1 refused or failed, 2 usage or input,
3 credentials, 4 rate limited,
5 API unreachable, 6 not proven,
7 not ready (--after), 130 interrupted."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Why arguments give no command: they ask for help or the version, or have an error. clap's type, which renders itself.
pub(crate) type Usage = clap::Error;

/// Reads the arguments of this process.
///
/// # Errors
///
/// [`Usage`], if the arguments ask for help or cannot be parsed.
pub(crate) fn parse() -> Result<Args, Usage> {
    read(std::env::args_os())
}

fn read(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Args, clap::Error> {
    let arguments = help_as_option(arguments);
    let read = match read_likely(&arguments) {
        Some(read) => read,
        None => read_complete(&arguments),
    };
    read.map_err(|mut error| {
        if !hide_secrets(&mut error) {
            add_suggestion(&mut error);
        }
        error
    })
}

/// Parses arguments with the complete definition, which has all commands and therefore all help texts and suggestions.
fn read_complete(arguments: &[OsString]) -> Result<Args, clap::Error> {
    let mut matches = definition().try_get_matches_from(arguments)?;
    check_single(arguments)?;
    Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut definition()))
}

/// Parses arguments with a definition that holds only the command that they seem to name. Returns `None` if that fails:
/// the complete definition then parses them again and reports the error.
///
/// clap copies each of about fifty shared options into every command of a definition. Building the complete definition
/// takes longer than everything else that happens before a request is sent.
fn read_likely(arguments: &[OsString]) -> Option<Result<Args, clap::Error>> {
    read_with::<Common>(arguments).or_else(|| read_with::<Global>(arguments))
}

/// The same, with a definition that has these of the shared options.
fn read_with<T: ClapArgs + Into<Global>>(arguments: &[OsString]) -> Option<Result<Args, clap::Error>> {
    let mut likely = likely(arguments, T::augment_args)?;
    let matches = likely.try_get_matches_from_mut(arguments);
    let may_repeat = may_repeat(&likely, arguments);
    // Freeing thousands of small allocations takes time, and the process ends soon.
    core::mem::forget(likely);
    match matches {
        Ok(mut matches) => {
            if may_repeat && let Err(error) = check_single(arguments) {
                return Some(Err(error));
            }
            let global = T::from_arg_matches_mut(&mut matches).ok()?.into();
            Some(Ok(Args { global, command: Command::from_arg_matches_mut(&mut matches).ok()? }))
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => Some(Err(error)),
        Err(_) => None,
    }
}

/// The definition with only the first command that the arguments name, and with only those shared options that they
/// use. A value that looks like a command, such as `purge` in `--zone purge`, gives a definition that cannot parse the
/// rest.
fn likely(arguments: &[OsString], add_shared: fn(Definition) -> Definition) -> Option<Definition> {
    let top = Definition::new("cfcache")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args_override_self(true);
    let top = add_shared(top).mut_args(|arg| {
        // clap needs the options that another option conflicts with.
        let is_named = matches!(arg.get_id().as_str(), "output" | "verbose");
        let is_given = is_named || arguments.iter().any(|argument| may_give(argument, &arg));
        arg.global(is_given)
    });
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let command = match word {
            // The emulator redefines the shared options.
            "emulator" => return None,
            "purge" => Some(purging("purge", words.clone())),
            "invalidate" => Some(purging("invalidate", words.clone())),
            _ if Command::has_subcommand(word) => {
                take(Command::augment_subcommands(Definition::new("all")), word)
            }
            _ => None,
        };
        if let Some(command) = command {
            return Some(top.subcommand(command));
        }
    }
    Some(top)
}

/// The definition of `purge` or `invalidate` with only the first subcommand that the arguments name.
fn purging<'a>(name: &'static str, mut words: impl Iterator<Item = &'a str>) -> Definition {
    let what = words.find_map(|word| {
        Some(match word {
            "everything" => Definition::new("everything"),
            "urls" => UrlsArgs::augment_args(Definition::new("urls")),
            "tags" => InputArgs::augment_args(Definition::new("tags")),
            "hosts" => InputArgs::augment_args(Definition::new("hosts")),
            "prefixes" => InputArgs::augment_args(Definition::new("prefixes")),
            "changed" => ChangedArgs::augment_args(Definition::new("changed")),
            _ => return None,
        })
    });
    Definition::new(name).subcommands(what)
}

/// Takes one command out of a definition.
fn take(mut all: Definition, name: &str) -> Option<Definition> {
    let taken = all.find_subcommand_mut(name).map(core::mem::take);
    core::mem::forget(all);
    taken
}

/// Returns whether an argument may contain an option, alone or grouped with other short flags.
fn may_give(argument: &OsStr, option: &Arg) -> bool {
    let argument = argument.as_encoded_bytes();
    match argument.strip_prefix(b"--") {
        Some(long) => option
            .get_long()
            .and_then(|name| long.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"=")),
        None => {
            let short = option.get_short().and_then(|short| u8::try_from(short).ok());
            argument.starts_with(b"-") && short.is_some_and(|short| argument.contains(&short))
        }
    }
}

/// Returns whether an option that takes one value may have been given more than once.
fn may_repeat(definition: &Definition, arguments: &[OsString]) -> bool {
    let mut levels = core::iter::successors(Some(definition), |level| level.get_subcommands().next());
    levels.any(|level| {
        level
            .get_arguments()
            .filter(|arg| is_single(arg))
            .any(|option| arguments.iter().filter(|argument| may_give(argument, option)).count() > 1)
    })
}

/// Refuses an option that takes one value and was given two different ones, because it is unclear which one was meant.
/// (clap keeps only the last one, or the one after the command.)
fn check_single(arguments: &[OsString]) -> Result<(), clap::Error> {
    let typed = as_typed();
    let shared = shared(&typed);
    let collecting_shared: Vec<Arg> =
        shared.iter().map(|arg| collecting(arg.clone()).global(false)).collect();
    let top = typed.clone().mut_args(|arg| collecting(arg).global(false));
    let top = top.mut_subcommands(|command| collecting_below(command, &collecting_shared));
    let matches = top.try_get_matches_from(arguments)?;
    // A shared option may be given at each level. Another command may have its own option with the same name that takes
    // several values.
    let mut given: Vec<(&Arg, Vec<&OsStr>)> = Vec::new();
    let mut level = Some((&typed, &matches));
    while let Some((command, matches)) = level {
        for option in command.get_arguments().chain(&shared).filter(|arg| is_single(arg)) {
            let id = option.get_id().as_str();
            // A default was not given by the user.
            let is_given = matches!(matches.try_contains_id(id), Ok(true))
                && matches.value_source(id) == Some(ValueSource::CommandLine);
            let Some(values) = matches.try_get_raw(id).ok().flatten().filter(|_| is_given) else { continue };
            match given.iter_mut().find(|(known, _)| known.get_id() == option.get_id()) {
                Some((_, known)) => known.extend(values),
                None => given.push((option, values.collect())),
            }
        }
        level =
            matches.subcommand().and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    }
    for (option, values) in given {
        if let Some(first) = values.first()
            && let Some(other) = values.iter().find(|value| *value != first)
        {
            let (first, other) = (first.to_string_lossy(), other.to_string_lossy());
            let name = option.get_long().unwrap_or(option.get_id().as_str());
            return Err(definition().error(
                ErrorKind::ArgumentConflict,
                format!("`--{name}` is given as {} and as {}; give one value", shown(&first), shown(&other)),
            ));
        }
    }
    Ok(())
}

/// Returns whether this is an option that takes exactly one value.
fn is_single(arg: &Arg) -> bool {
    // `--verify` may be given without a value.
    !arg.is_positional() && !arg.is_require_equals_set() && matches!(arg.get_action(), ArgAction::Set)
}

/// Changes an option that takes one value so that it collects every value it is given.
fn collecting(arg: Arg) -> Arg {
    if is_single(&arg) { arg.action(ArgAction::Append).num_args(1) } else { arg }
}

fn collecting_below(command: Definition, shared: &[Arg]) -> Definition {
    let command = command.mut_args(collecting).args(shared);
    command.mut_subcommands(|below| collecting_below(below, shared))
}

/// Rewrites `cfcache help purge` as `cfcache purge --help`. A real `help` command would appear in every list of
/// commands.
fn help_as_option(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Removes possible secrets from an error that repeats the arguments. Returns whether it removed one.
fn hide_secrets(error: &mut clap::Error) -> bool {
    let mut is_hidden = false;
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg] {
        if let Some(ContextValue::String(found)) = error.get(kind)
            && may_be_secret(found)
        {
            let shown = ContextValue::String(bare(found).to_string());
            error.insert(kind, shown);
            is_hidden = true;
        }
    }
    is_hidden
}

/// Adds a suggestion to an error if clap has none.
fn add_suggestion(error: &mut clap::Error) {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    // The usage reads "Usage: cfcache purge [OPTIONS] <COMMAND>".
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let words = usage.split_whitespace().skip_while(|word| *word != "cfcache").skip(1);
    let path: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    let path = path.join(" ");
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => text(error, ContextKind::InvalidSubcommand)
            .and_then(|found| suggest::instead_of_command(&path, &found)),
        ErrorKind::UnknownArgument => {
            text(error, ContextKind::InvalidArg).and_then(|found| suggest::instead_of_option(&path, &found))
        }
        _ => None,
    };
    if let Some(tip) = tip {
        for other in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::Suggested] {
            error.remove(other);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// The definition of the command line or of one of its commands.
pub(crate) type Definition = clap::Command;

/// The complete definition of the command line, from which help, completions and manual pages are made.
pub(crate) fn definition() -> Definition {
    let top = as_typed();
    let shared = shared(&top).into_iter().map(at_the_emulator);
    top.mut_subcommand("emulator", |emulator| emulator.args(shared))
}

/// The definition as declared in this file. The examples of `invalidate` name `invalidate` instead of `purge`.
fn as_typed() -> Definition {
    let of_invalidate = |command: Definition| match command.get_after_long_help() {
        Some(help) => {
            let help = help.to_string().replace(" purge ", " invalidate ");
            command.after_long_help(help)
        }
        None => command,
    };
    Args::command().mut_subcommand("invalidate", |command| command.mut_subcommands(of_invalidate))
}

/// The options that every command has.
fn shared(top: &Definition) -> Vec<Arg> {
    top.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect()
}

/// Adapts a shared option to the `emulator` command: it configures the server, or it is hidden.
fn at_the_emulator(arg: Arg) -> Arg {
    let arg = match arg.get_id().as_str() {
        "plan" => arg.help_heading(None::<&str>).help(
            "The plan whose limits and settings to emulate: free, pro, business or enterprise [default: enterprise]",
        ),
        "no_rate_limit" => {
            arg.help_heading(None::<&str>).hide_short_help(false).help("Do not enforce rate limits")
        }
        "quiet" | "color" | "log_format" => arg,
        _ => arg.hide(true),
    };
    arg.global(false)
}

/// The definition that shell completions use: each command with only those shared options that affect it, and with
/// short descriptions. A completion script repeats them for each command.
pub(crate) fn offered() -> Definition {
    let top = as_typed();
    let own = |arg: Arg| brief(arg).global(false);
    let shared: Vec<Arg> = shared(&top).into_iter().map(|arg| arg.global(false)).collect();
    top.mut_args(own).mut_subcommands(|command| {
        let path = vec![command.get_name().to_owned()];
        offer(command, &path, &shared)
    })
}

fn offer(command: Definition, path: &[String], shared: &[Arg]) -> Definition {
    let is_leaf = !command.has_subcommands();
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let here = shared.iter().filter(|arg| is_offered(&words, is_leaf, arg.get_id().as_str())).cloned();
    let meant = match words.as_slice() {
        ["emulator", ..] => at_the_emulator,
        _ => |arg| arg,
    };
    command.args(here.map(meant)).mut_args(brief).mut_subcommands(|below| {
        let path = [path, &[below.get_name().to_owned()]].concat();
        offer(below, &path, shared)
    })
}

/// The ids of the shared options about visitors.
const VISITING: [&str; 5] = ["verify_connect", "visitor_headers", "visitor_rate", "warm_as", "warm_certify"];

/// The ids of the shared options for what happens before and after a purge.
const AROUND_PURGE: [&str; 9] = [
    "verify",
    "verify_url",
    "verify_from",
    "verify_timeout",
    "expect",
    "after",
    "after_timeout",
    "after_no_bust",
    "warm",
];

/// Returns whether a shared option affects a command. Options that the command refuses do not.
fn is_offered(path: &[&str], is_leaf: bool, option: &str) -> bool {
    let changes =
        !is_leaf || path.last().is_some_and(|last| ["set", "delete", "clear", "import"].contains(last));
    match path {
        // There are many of these, and they come last on a command line; it is enough to complete them after the
        // subcommand.
        ["purge" | "invalidate", ..]
            if !is_leaf && (VISITING.contains(&option) || AROUND_PURGE.contains(&option)) =>
        {
            false
        }
        ["purge" | "invalidate", "changed"] => !["journal", "on_invalid", "strict"].contains(&option),
        ["purge" | "invalidate", ..] => true,
        ["completions" | "man", ..] => false,
        ["emulator", ..] => ["plan", "no_rate_limit", "color", "log_format"].contains(&option),
        ["probe" | "warm", ..] => {
            let is_about_warming = option.starts_with("warm_");
            VISITING.contains(&option) && (path == ["warm"] || !is_about_warming)
                || [
                    "proxy",
                    "roots",
                    "ca_file",
                    "concurrency",
                    "no_rate_limit",
                    "timeout",
                    "output",
                    "json",
                    "quiet",
                    // `quiet` conflicts with `verbose`, so clap needs both.
                    "verbose",
                ]
                .contains(&option)
                || ["no_progress", "color", "log_format", "on_invalid", "strict"].contains(&option)
        }
        _ => match option {
            option if VISITING.contains(&option) || AROUND_PURGE.contains(&option) => false,
            "environment" | "batch_size" | "concurrency" | "no_rate_limit" | "on_invalid" | "strict"
            | "journal" | "failed_to" | "log_format" => false,
            "dry_run" | "yes" | "force" => changes,
            _ => true,
        },
    }
}

/// Shortens the help of an argument to its first clause. For an option whose value is neither a file nor one of a list,
/// file names are not completed.
fn brief(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let end = [" [", "; ", ". "].iter().filter_map(|mark| help.find(mark)).min().unwrap_or(help.len());
    let arg = arg.help(help[..end].to_owned());
    // A positional argument keeps its hint: without an action for positional arguments, zsh completes no options.
    let is_known = arg.get_value_hint() != ValueHint::Unknown || !arg.get_possible_values().is_empty();
    if arg.is_positional() || is_known || !arg.get_action().takes_values() {
        return arg;
    }
    let arg = arg.value_hint(ValueHint::Other);
    // In zsh a colon ends the name of a value, and the text after it is executed.
    if arg.get_value_names().into_iter().flatten().any(|name| name.contains(':')) {
        arg.value_name("TEXT")
    } else {
        arg
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Remove files from the cache
    ///
    /// The next request for a removed file is a MISS, also in Cache Reserve. A purge by URL deletes the copy in Cache
    /// Reserve at once. Other purges leave the copy stored, and billed, until it is replaced or expires.
    Purge {
        #[command(subcommand)]
        command: PurgeCommand,
    },
    /// Mark files in the cache as stale
    ///
    /// The next request for a stale file asks the origin whether it changed. Cache Reserve keeps its copies.
    /// Invalidation by URL is a Class A operation of Cache Reserve, which is billed.
    Invalidate {
        #[command(subcommand)]
        command: PurgeCommand,
    },
    /// Show the cache status of URLs
    ///
    /// Requests each URL once, as a visitor would. Needs no credentials.
    #[command(after_long_help = "\
Exit codes: 0 every URL was answered, 1 a URL could not be checked (a challenge,
a login, a rate limit), 5 a URL could not be reached.

Examples:
  cfcache probe https://www.example.com/ https://www.example.com/logo.png
  cfcache probe --from urls.txt --json
  cfcache probe https://www.example.com/ --verify-connect 127.0.0.1:8788")]
    Probe {
        #[command(flatten)]
        input: InputArgs,
        #[command(flatten)]
        pages: PagesArgs,
    },
    /// Fetch URLs so that they are cached again
    ///
    /// Downloads each URL completely, as a visitor would. Needs no credentials.
    #[command(after_long_help = "\
Exit codes: 0 every URL was fetched, cached or not, 1 some were not, 5 none could be reached.

Examples:
  cfcache warm --from urls.txt
  cfcache warm https://www.example.com/ --warm-as mobile,tablet --warm-certify")]
    Warm {
        #[command(flatten)]
        input: InputArgs,
        #[command(flatten)]
        pages: PagesArgs,
    },
    /// Cache Reserve: keep cached files in persistent storage
    Reserve {
        #[command(subcommand)]
        command: ReserveCommand,
    },
    /// Regional Tiered Cache: add a tier of caches in each region
    RegionalTiered {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Smart Tiered Cache: use the upper tier that is closest to each origin
    SmartTiered {
        #[command(subcommand)]
        command: SmartCommand,
    },
    /// Tiered Cache: ask upper-tier data centers before the origin
    TieredCache {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Cache level: which part of the query string belongs to the cache key
    CacheLevel {
        #[command(subcommand)]
        command: CacheLevelCommand,
    },
    /// Browser cache TTL: how long browsers keep responses
    BrowserCacheTtl {
        #[command(subcommand)]
        command: BrowserCacheTtlCommand,
    },
    /// Always Online: serve copies of pages while the origin is down
    AlwaysOnline {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Query String Sort: ignore the order of the parts of a query string
    SortQueryString {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Development Mode: bypass the cache for a while
    ///
    /// It turns itself off after three hours. It purges nothing.
    DevelopmentMode {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Variants: cache images in several formats
    Variants {
        #[command(subcommand)]
        command: VariantsCommand,
    },
    /// Origin cloud regions: set the cloud region of each origin
    OriginRegions {
        #[command(subcommand)]
        command: RegionsCommand,
    },
    /// Show every cache setting of the zone, one per line
    Settings,
    /// List the zones that the token may read
    Zones {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// List the environments of a zone
    Environments {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// Show the configuration, and where each value comes from
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check the credentials
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Serve an emulated API on this machine
    ///
    /// Use it to try and test everything without an account.
    Emulator(EmulatorArgs),
    /// Print completions for a shell
    #[command(after_long_help = "\
zsh looks into `~/.zfunc` where `fpath+=~/.zfunc` stands before `compinit` in `~/.zshrc`.

Examples:
  mkdir -p ~/.local/share/bash-completion/completions
  cfcache completions bash > ~/.local/share/bash-completion/completions/cfcache
  mkdir -p ~/.zfunc
  cfcache completions zsh > ~/.zfunc/_cfcache
  mkdir -p ~/.config/fish/completions
  cfcache completions fish > ~/.config/fish/completions/cfcache.fish")]
    Completions {
        /// The shell
        #[arg(value_parser = one_of(SHELLS))]
        shell: Shell,
    },
    /// Print the manual, or write all its pages into a folder
    #[command(after_long_help = "\
Examples:
  cfcache man | man -l -
  cfcache man ~/.local/share/man/man1")]
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// List names and ids
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting and where its value comes from; secrets are blanked
    Show,
    /// Show where the configuration file is expected
    Path,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Check that the token is valid, and show when it expires
    Verify {
        /// The account that owns the token, for a token that belongs to an account and not to a user [env:
        /// CLOUDFLARE_ACCOUNT_ID]
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SwitchCommand {
    /// Show whether it is on
    Get,
    /// Turn it on or off
    Set {
        /// The new value
        #[arg(value_parser = one_of(ON_OFF), action = ArgAction::Set)]
        value: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheLevelCommand {
    /// Show the level
    Get,
    /// Set the level
    Set {
        /// How much of the query string is part of the cache key
        #[arg(value_parser = one_of(CACHE_LEVELS))]
        level: CacheLevel,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BrowserCacheTtlCommand {
    /// Show the time
    Get,
    /// Set the time; the plan decides which values are allowed
    Set {
        /// The time in seconds; 0 keeps the headers of the origin
        seconds: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SmartCommand {
    /// Show whether it is on
    Get,
    /// Turn it on or off
    Set {
        /// The new value
        #[arg(value_parser = one_of(ON_OFF), action = ArgAction::Set)]
        value: bool,
    },
    /// Delete the setting, which turns it off
    Delete,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReserveCommand {
    /// Show whether it is on
    Get,
    /// Turn it on or off
    Set {
        /// The new value
        #[arg(value_parser = one_of(ON_OFF), action = ArgAction::Set)]
        value: bool,
    },
    /// Remove everything from Cache Reserve, which must be off. This cannot be undone or canceled
    Clear {
        /// Wait until it is complete, and show its progress
        #[arg(long)]
        wait: bool,
    },
    /// Show the state of the latest clear
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VariantsCommand {
    /// Show which are set
    Get,
    /// Set these variants and remove all others
    #[command(after_long_help = "\
Extensions: avif, bmp, gif, jp2, jpeg, jpg, jpg2, png, tif, tiff, webp

Example:
  cfcache -z example.com variants set jpeg=image/webp,image/avif png=image/webp")]
    Set {
        /// The MIME types that may be served for a file extension
        #[arg(value_name = "EXT=MIME[,MIME]", required_unless_present = "from")]
        rows: Vec<String>,
        /// A JSON file such as {"jpeg":["image/webp"]}; `-` is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "rows")]
        from: Option<PathBuf>,
    },
    /// Delete all
    Delete,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegionsCommand {
    /// List all mappings of the zone
    List,
    /// Show the mapping of an address
    Get {
        /// The origin's address
        ip: String,
    },
    /// Map an address to a region
    Set {
        /// The origin's address
        ip: String,
        /// The cloud vendor: aws, azure, gcp or oci
        #[arg(long)]
        vendor: String,
        /// A region of the vendor; `origin-regions supported` lists them
        #[arg(long)]
        region: String,
    },
    /// Delete the mappings of addresses, in batches of up to 100
    Delete {
        /// The origins' addresses
        #[arg(value_name = "IP", required_unless_present = "from")]
        ips: Vec<String>,
        /// A file with one address per line, or a JSON array of addresses; `-` is standard input
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Map many addresses, in batches of up to 100; existing mappings that are not in the file stay
    Import {
        /// A file with one `IP VENDOR REGION` per line, or the API's JSON (an array, or one object per line); `-` is
        /// standard input
        file: PathBuf,
    },
    /// List the regions that Cloudflare supports
    Supported,
}

/// What to purge or invalidate. Empty input is an error and never means "everything".
#[derive(Debug, Subcommand)]
pub(crate) enum PurgeCommand {
    /// Every file of the zone and all its environments, or of one environment (`-e`)
    Everything,
    /// Single files, by URL
    #[command(after_long_help = "\
A line that begins with `{` is JSON and can hold headers of the cache key:
  {\"url\": \"https://example.com/a\", \"headers\": {\"CF-Device-Type\": \"mobile\"}}

Examples:
  cfcache -z example.com purge urls https://example.com/a https://example.com/b
  cfcache -z example.com purge urls --from urls.txt
  cfcache -z example.com purge urls --from - --header 'CF-Device-Type: mobile'
  cfcache -z example.com purge urls --from-sitemap public/sitemap.xml
  (cd public && find . -type f -print0) |
    cfcache -z example.com purge urls -0 --from - --base https://example.com")]
    Urls(UrlsArgs),
    /// All files that were served with a cache tag
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge tags release-42 product-1001")]
    Tags(InputArgs),
    /// All files of a host
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge hosts images.example.com")]
    Hosts(InputArgs),
    /// All files whose URL begins with a host and path, such as `www.example.com/blog`
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge prefixes www.example.com/blog")]
    Prefixes(InputArgs),
    /// What a deployment changed since the last run
    ///
    /// Compares the deployed files with those of the last run, which a state file remembers, and purges the URLs of
    /// new, changed and deleted files. After a failed run, the next one also purges what that run did not.
    #[command(after_long_help = "\
Describe the site in a table `[site.NAME]` of `.cfcache.toml`, or only with `--url`.

Examples:
  cfcache -z example.com purge changed public --url https://www.example.com
  cfcache -z example.com purge changed --manifest site.sha256 --state /var/lib/site.state
  git diff --name-status -z HEAD~1 HEAD |
    cfcache -z example.com purge changed public --changes git --from -
  aws s3 sync --no-progress public s3://bucket |
    cfcache -z example.com purge changed --changes aws --from -")]
    Changed(Box<ChangedArgs>),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UrlsArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) pages: PagesArgs,
    /// A request header that is part of the cache key, for every URL that has no header of that name
    #[arg(long = "header", value_name = "NAME: VALUE", help_heading = "Input")]
    pub(crate) headers: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ChangedArgs {
    /// The directory that was deployed [default: `root` of the site]. With `--manifest` or `--changes`, the path to
    /// remove from the start of each listed path
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Take the files from the output of sha256sum, b3sum, md5sum or sha1sum; `-` is standard input
    #[arg(long, value_name = "FILE", group = "source", help_heading = "Input")]
    pub(crate) manifest: Option<PathBuf>,
    /// Take the files from a tree of the git repository in the working directory, such as `HEAD:public`
    #[arg(long, value_name = "REV:PATH", group = "source", conflicts_with = "dir", help_heading = "Input")]
    pub(crate) git_tree: Option<String>,
    /// Read the pages from a sitemap, or from a sitemap index with sitemaps in the same folder; each page needs a
    /// `<lastmod>`
    #[arg(long, value_name = "FILE", group = "source", conflicts_with = "dir", help_heading = "Input")]
    pub(crate) sitemap: Vec<PathBuf>,
    /// Take the list of changes from the output of another tool, without comparing files
    #[arg(long, value_name = "TOOL", group = "source", requires = "from", help_heading = "Input", value_parser = one_of(CHANGES))]
    pub(crate) changes: Option<ListFormat>,
    /// A file with the output of that tool; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "changes", help_heading = "Input")]
    pub(crate) from: Option<PathBuf>,
    /// The lines of `--manifest` and the paths of `--changes paths` end with NUL
    #[arg(short = '0', long, help_heading = "Input")]
    pub(crate) null: bool,
    /// The name of the site in `.cfcache.toml` [default: the only one]
    #[arg(long, value_name = "NAME", help_heading = "Site")]
    pub(crate) site: Option<String>,
    /// A URL at which the root of the site is served; replaces those in `.cfcache.toml`
    #[arg(long, value_name = "URL", help_heading = "Site")]
    pub(crate) url: Vec<String>,
    /// The file that stores the state between runs [default: ~/.local/state/cfcache/ZONE/SITE.state]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Site")]
    pub(crate) state: Option<PathBuf>,
    /// Purge more than the changed URLs if the plan's limits would make the URLs take longer than this, in seconds
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = seconds, allow_negative_numbers = true, help_heading = "Extent")]
    pub(crate) within: f64,
    /// What to purge in that case; the first that is fast enough: prefix, host, everything, or none
    #[arg(
        long,
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "prefix,host",
        value_parser = one_of(FALLBACKS),
        help_heading = "Extent"
    )]
    pub(crate) fallback: Vec<Option<FallbackTo>>,
    /// What to purge if there is no state to compare with
    #[arg(long, value_name = "SCOPE", default_value = "host", value_parser = one_of(FIRST_RUNS), help_heading = "Extent")]
    pub(crate) first: FirstRun,
    /// Only record what has to be purged; run it before an upload, so that the next run purges it even if the upload
    /// fails
    #[arg(long, help_heading = "Extent")]
    pub(crate) begin: bool,
    /// Show each changed file and how many URLs or prefixes it purges
    #[arg(long)]
    pub(crate) explain: bool,
    /// With `--verify`, compare what visitors get with the files, byte for byte; deleted files must not be served
    #[arg(long, help_heading = "Visitors")]
    pub(crate) expect_files: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InputArgs {
    /// The entries, one per argument
    #[arg(value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// A file with one entry per line, or a JSON array of entries; `-` is standard input. Blank lines and lines that
    /// begin with `#` are skipped
    #[arg(long = "from", value_name = "FILE", help_heading = "Input")]
    pub(crate) from: Vec<PathBuf>,
    /// Entries of `--from` end with NUL, as `find -print0` and `git diff -z` write them
    #[arg(short = '0', long, requires = "from", help_heading = "Input")]
    pub(crate) null: bool,
}

/// Input options of commands that take URLs.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct PagesArgs {
    /// A sitemap, or a sitemap index with sitemaps in the same folder, optionally compressed with gzip; `-` is
    /// standard input
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) from_sitemap: Vec<PathBuf>,
    /// Convert paths to URLs: `/a` is relative to the host, `a` is relative to this URL. Paths are percent-encoded as
    /// browsers do, including `%` and `?`; complete URLs are not changed
    #[arg(long, value_name = "URL", help_heading = "Input")]
    pub(crate) base: Option<String>,
}

/// The options of every command that many runs give: a definition without the others is built sooner.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Common {
    /// The zone, by id or domain [env: CLOUDFLARE_ZONE_ID]
    #[arg(short, long, global = true, value_name = "ID|DOMAIN", help_heading = "Target")]
    pub(crate) zone: Option<String>,
    /// An environment of the zone, by id or name (for purge and invalidate)
    #[arg(short, long, global = true, value_name = "ID|NAME", help_heading = "Target")]
    pub(crate) environment: Option<String>,
    /// A file that holds the API token; `-` is standard input [env: CLOUDFLARE_API_TOKEN holds the token itself]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// The URL of the API [env: CLOUDFLARE_BASE_URL] [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", help_heading = "Connection")]
    pub(crate) base_url: Option<String>,
    /// Use an emulator inside this process; needs no credentials and changes nothing
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) emulator: bool,
    /// How to print results [default: human]
    #[arg(
        short,
        long,
        global = true,
        hide_short_help = true,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(crate) output: Option<OutputArg>,
    /// The same as `--output json`
    #[arg(long, global = true, conflicts_with = "output", help_heading = "Output")]
    pub(crate) json: bool,
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Show each request; given twice, also its headers (secrets are blanked)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Print the requests without sending them
    #[arg(long, global = true, help_heading = "Safety")]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long, global = true, help_heading = "Safety")]
    pub(crate) yes: bool,
    /// The same as `--yes` (not a file: lists are read with `--from`)
    #[arg(short, long, global = true, help_heading = "Safety")]
    pub(crate) force: bool,
}

/// The options of every command.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The proxy, as `http://host:port`, or `none` [env: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, also in lower
    /// case]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL|none", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// A profile of the configuration file [env: CFCACHE_PROFILE]
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) profile: Option<String>,
    /// The configuration file [env: CFCACHE_CONFIG] [default: ~/.config/cfcache/config.toml]
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) config: Option<PathBuf>,
    /// Which root certificates to trust [default: platform]
    #[arg(long, global = true, hide_short_help = true, value_name = "STORE", help_heading = "Connection", value_parser = one_of(ROOTS))]
    pub(crate) roots: Option<Roots>,
    /// A PEM file of additional certificates to trust; for example, of a private authority
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Allow `http://` to another machine; credentials are sent unencrypted
    #[arg(long, global = true, hide_short_help = true, help_heading = "Connection")]
    pub(crate) allow_insecure_http: bool,
    /// The plan whose rate limits to keep; one of auto, free, pro, business, enterprise [env: CFCACHE_PLAN] [default: auto]
    #[arg(long, global = true, value_name = "PLAN", value_parser = PLANS, hide_possible_values = true, help_heading = "Pace")]
    pub(crate) plan: Option<String>,
    /// Entries per request [default: as many as the plan allows]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Pace", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// The maximum number of requests in flight [default: 64]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Pace", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) concurrency: Option<usize>,
    /// Do not limit the rate; still obey the waits that the server demands
    #[arg(long, global = true, hide_short_help = true, help_heading = "Pace")]
    pub(crate) no_rate_limit: bool,
    /// How many times a request is retried [default: 10]
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "N",
        help_heading = "Pace",
        allow_negative_numbers = true
    )]
    pub(crate) max_retries: Option<u32>,
    /// The time limit of one attempt, in seconds. It replaces the limits of the parts of an attempt too [default: 60 in
    /// total, 30 until the response begins, 10 to connect]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Pace", value_parser = some_seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<f64>,
    /// The longest wait to accept if the server demands one, in seconds [default: 600]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Pace", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) max_wait: Option<f64>,
    /// No progress
    #[arg(long, global = true, hide_short_help = true, help_heading = "Output")]
    pub(crate) no_progress: bool,
    /// When to use color [default: auto]
    #[arg(long, global = true, hide_short_help = true, value_name = "WHEN", help_heading = "Output", value_parser = one_of(COLORS))]
    pub(crate) color: Option<ColorChoice>,
    /// Write messages as a log to standard error, one line per message and request [env: CFCACHE_LOG sets the level:
    /// `info` adds connections; levels of targets, such as `warn,cfcache_transport=info`]
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT", help_heading = "Output", value_parser = one_of(LOG_FORMATS))]
    pub(crate) log_format: Option<LogFormat>,
    /// What to do about an invalid entry [default: fail]
    #[arg(long, global = true, hide_short_help = true, value_name = "ACTION", help_heading = "Safety", value_parser = one_of(ON_INVALID))]
    pub(crate) on_invalid: Option<bool>,
    /// Treat warnings about entries as errors; for example, a `*` in a URL makes an entry invalid
    #[arg(long, global = true, hide_short_help = true, help_heading = "Safety")]
    pub(crate) strict: bool,
    /// Record progress in this file; the same command with the same journal continues where the last one stopped
    #[arg(long, global = true, value_name = "FILE", help_heading = "Safety")]
    pub(crate) journal: Option<PathBuf>,
    /// Write failed and invalid entries to this file; it can be the input of another run. Entries that an
    /// interrupted run had not read are not in it; only `--journal` continues with those
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Safety")]
    pub(crate) failed_to: Option<PathBuf>,
    /// Verify the purge; visitors must no longer get the old copies of at most N URLs [default: 100], or of `all`;
    /// `transition` also checks a sample before the purge, and each must change from HIT to something else
    #[arg(long, global = true, value_name = "N|all|transition", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = verify, help_heading = "Visitors")]
    pub(crate) verify: Option<VerifyArg>,
    /// An additional URL to verify; required to verify tags, hosts, prefixes and everything
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", help_heading = "Visitors")]
    pub(crate) verify_url: Vec<String>,
    /// A file of URLs to verify, one per line; `-` is standard input
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) verify_from: Vec<PathBuf>,
    /// How long to check each URL, in seconds [default: 30]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Visitors", value_parser = some_seconds, allow_negative_numbers = true)]
    pub(crate) verify_timeout: Option<f64>,
    /// The expected body, or a list of `SHA256  URL` lines as `sha256sum` writes them
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) expect: Option<PathBuf>,
    /// Purge only after this condition held three times in a row; one of `URL contains TEXT`, `URL status CODE`, `URL header
    /// NAME equals VALUE`, `URL json .path equals VALUE` or `URL sha256 HEX`
    #[arg(long, global = true, value_name = "URL CONDITION", help_heading = "Visitors")]
    pub(crate) after: Option<String>,
    /// How long to wait for the condition of `--after`, in seconds [default: 300]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Visitors", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) after_timeout: Option<f64>,
    /// Do not add a query string, which bypasses the cache, to the URL of `--after`
    #[arg(long, global = true, hide_short_help = true, help_heading = "Visitors")]
    pub(crate) after_no_bust: bool,
    /// After the purge, fetch the URLs to cache them again
    #[arg(long, global = true, help_heading = "Visitors")]
    pub(crate) warm: bool,
    /// Connect to this address for every URL; for an emulated edge or another server. The host name of the URL is still used
    #[arg(long, global = true, hide_short_help = true, value_name = "HOST:PORT", help_heading = "Visitors")]
    pub(crate) verify_connect: Option<String>,
    /// A file of extra headers; one `NAME: VALUE` per line, such as a token of Cloudflare Access [env:
    /// CFCACHE_VISITOR_HEADERS holds the lines themselves]
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) visitor_headers: Option<PathBuf>,
    /// The maximum number of requests per second to one host [default: 10 for probe, 5 for warm]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Visitors", value_parser = some_rate, allow_negative_numbers = true)]
    pub(crate) visitor_rate: Option<f64>,
    /// Also warm as these visitors; mobile, tablet, webp or avif, separated by commas
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "VISITOR",
        help_heading = "Visitors",
        value_delimiter = ',',
        value_parser = one_of(WARM_AS)
    )]
    pub(crate) warm_as: Vec<Variant>,
    /// Request what was warmed again; each must be a HIT
    #[arg(long, global = true, hide_short_help = true, help_heading = "Visitors")]
    pub(crate) warm_certify: bool,
}

/// Which URLs to verify, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyArg {
    /// At most this many, after the purge.
    AtMost(usize),
    /// All, after the purge.
    All,
    /// A sample, before the purge and after it.
    Transition,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EmulatorArgs {
    /// The address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// The name of the emulated zone
    #[arg(long, value_name = "DOMAIN", default_value = "example.com")]
    pub(crate) zone_name: String,
    /// The id of the emulated zone
    #[arg(long, value_name = "ID", default_value = "023e105f4ecef8ad9ca31a8372d0c353")]
    pub(crate) zone_id: String,
    /// The only token to accept [default: any token of a valid form]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The state of that token
    #[arg(long, value_name = "STATE", requires = "token", default_value = "active", value_parser = one_of(TOKEN_STATES))]
    pub(crate) token_state: TokenState,
    /// How long clearing Cache Reserve takes, in seconds
    #[arg(long, allow_negative_numbers = true, value_name = "SECS", default_value = "5", value_parser = seconds)]
    pub(crate) clear_seconds: f64,
    /// A fault to inject, such as `status=503,times=3` (see docs/emulator.md)
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<String>,
    /// Also serve an emulated cache in front of this server (http://127.0.0.1:3000) or folder (./public)
    #[arg(long, value_name = "URL|FOLDER", help_heading = "Edge")]
    pub(crate) origin: Option<String>,
    /// The address on which the cache serves visitors; port 0 picks a free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8788",
        value_parser = listen_address,
        requires = "origin",
        help_heading = "Edge"
    )]
    pub(crate) edge_listen: SocketAddr,
    /// Make URLs that match eligible for cache, such as 'www.example.com/blog/*'
    #[arg(long, value_name = "HOST/PATH*", requires = "origin", help_heading = "Edge")]
    pub(crate) cache: Vec<String>,
    /// A file of cache rules: a ruleset in the API's JSON
    #[arg(long, value_name = "FILE", requires = "origin", help_heading = "Edge")]
    pub(crate) cache_rules: Option<PathBuf>,
    /// Seconds between accepting a purge and its effect
    #[arg(long, allow_negative_numbers = true, value_name = "SECS", requires = "origin", value_parser = seconds, help_heading = "Edge")]
    pub(crate) purge_delay: Option<f64>,
    /// The largest body that is cached, in bytes [default: 64 MiB]
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "BYTES",
        requires = "origin",
        help_heading = "Edge"
    )]
    pub(crate) max_object: Option<u64>,
}

/// The values of `--plan`. The environment and a profile can also set the plan, so the code that reads those checks it
/// too.
const PLANS: [&str; 5] = ["auto", "free", "pro", "business", "enterprise"];

/// The shells that have completions.
const SHELLS: &[(&str, &str, Shell)] = &[
    ("bash", "", Shell::Bash),
    ("zsh", "", Shell::Zsh),
    ("fish", "", Shell::Fish),
    ("powershell", "", Shell::PowerShell),
    ("elvish", "", Shell::Elvish),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    /// For people
    Human,
    /// One JSON object at the end
    Json,
    /// One JSON object per request, and one at the end
    Ndjson,
}

/// When messages are colored.
const COLORS: &[(&str, &str, ColorChoice)] = &[
    ("auto", "On a terminal", ColorChoice::Auto),
    ("always", "", ColorChoice::Always),
    ("never", "", ColorChoice::Never),
];

impl From<Common> for Global {
    fn from(common: Common) -> Self {
        Self { common, ..Self::default() }
    }
}

impl Global {
    /// The options that a file or the environment can set as well.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            zone: self.common.zone.clone(),
            environment: self.common.environment.clone(),
            plan: self.plan.clone(),
            base_url: self.common.base_url.clone(),
            config: self.config.clone(),
            profile: self.profile.clone(),
            api_token_file: self.common.api_token_file.clone(),
            emulator: self.common.emulator,
        }
    }
}

/// Parses one of these names, each with its help text, and returns its value.
fn one_of<T: Clone + Send + Sync + 'static>(
    words: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let shown = words.iter().map(|(word, help, _)| match *help {
        "" => PossibleValue::new(*word),
        help => PossibleValue::new(*word).help(help),
    });
    PossibleValuesParser::new(shown).try_map(|given| {
        let known = words.iter().find(|(word, ..)| *word == given);
        known.map(|(.., value)| value.clone()).ok_or("it is none of the words")
    })
}

/// The cache levels.
const CACHE_LEVELS: &[(&str, &str, CacheLevel)] = &[
    ("aggressive", "All of the query string is part of the key", CacheLevel::Aggressive),
    ("basic", "What has a query string is not served from the cache", CacheLevel::Basic),
    ("simplified", "Nothing of the query string is part of the key", CacheLevel::Simplified),
];

/// The value of a switch.
const ON_OFF: &[(&str, &str, bool)] = &[("on", "", true), ("off", "", false)];

/// The tools that print what changed.
const CHANGES: &[(&str, &str, ListFormat)] = &[
    ("git", "`git diff --name-status -z`, `git diff --raw -z`", ListFormat::Git),
    ("rsync", "`rsync --out-format='%i %n'`", ListFormat::Rsync),
    ("aws", "`aws s3 sync --no-progress`", ListFormat::Aws),
    ("rclone", "`rclone --combined -`", ListFormat::Rclone),
    ("paths", "One path per line", ListFormat::Paths),
];

/// What to purge if purging URLs would take too long.
const FALLBACKS: &[(&str, &str, Option<FallbackTo>)] = &[
    ("prefix", "Folders of which at least half changed", Some(FallbackTo::Prefix)),
    ("host", "The hosts of the site", Some(FallbackTo::Host)),
    ("everything", "Everything in the zone", Some(FallbackTo::Everything)),
    ("none", "Nothing: it is an error", None),
];

/// What to purge if there is no state.
const FIRST_RUNS: &[(&str, &str, FirstRun)] = &[
    ("host", "The hosts of the site", FirstRun::Hosts),
    ("list", "Every URL of every file", FirstRun::List),
    ("nothing", "Nothing", FirstRun::Nothing),
];

/// The visitors that URLs are fetched as.
const WARM_AS: &[(&str, &str, Variant)] = &[
    ("mobile", "A phone", Variant::Mobile),
    ("tablet", "A tablet", Variant::Tablet),
    ("webp", "A browser that takes WebP images", Variant::Webp),
    ("avif", "A browser that takes AVIF images", Variant::Avif),
];

/// The state of the emulator's token.
const TOKEN_STATES: &[(&str, &str, TokenState)] = &[
    ("active", "", TokenState::Active),
    ("disabled", "", TokenState::Disabled),
    ("expired", "", TokenState::Expired),
    ("not-yet-valid", "", TokenState::NotYetValid),
];

/// The trusted root certificates.
const ROOTS: &[(&str, &str, Roots)] = &[
    ("platform", "Those of this machine", Roots::Platform),
    ("bundled", "Those that came with the binary, for containers that have none", Roots::Bundled),
];

/// How a log is written.
const LOG_FORMATS: &[(&str, &str, LogFormat)] =
    &[("text", "For people", LogFormat::Text), ("json", "One JSON object per line", LogFormat::Json)];

/// Whether invalid entries are skipped.
const ON_INVALID: &[(&str, &str, bool)] = &[
    ("fail", "Send nothing (of arguments and files), or nothing more (of a pipe)", false),
    ("skip", "Report it, and send the rest", true),
];

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A duration in seconds that is not zero.
fn some_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        seconds if seconds >= 1e-3 => Ok(seconds),
        _ => Err("expected a number of seconds above 0, such as 30 or 0.5".to_owned()),
    }
}

fn verify(text: &str) -> Result<VerifyArg, String> {
    match text {
        "all" => Ok(VerifyArg::All),
        "transition" => Ok(VerifyArg::Transition),
        _ => match text.parse() {
            Ok(0) | Err(_) => Err("expected a whole number of at least 1, `all`, or `transition`".to_owned()),
            Ok(number) => Ok(VerifyArg::AtMost(number)),
        },
    }
}

/// A rate in requests per second that is not zero.
fn some_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1e-3..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected a number of requests per second, such as 10 or 0.5".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds, such as 30 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line with the suggestion.
    fn tip(arguments: &[&str]) -> Option<String> {
        let error = read([&["cfcache"], arguments].concat()).unwrap_err();
        let text = error.to_string();
        text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_owned)
    }

    #[test]
    fn an_entry_or_a_synonym_in_place_of_a_command_suggests_the_command() {
        for (typed, meant) in [
            (&["purge", "https://www.example.com/a"][..], "purge urls https://www.example.com/a"),
            (
                &["-z", "example.com", "invalidate", "https://a.b/?c=d&e"],
                "invalidate urls 'https://a.b/?c=d&e'",
            ),
            (&["https://www.example.com/"], "purge urls https://www.example.com/"),
            (&["purge", "www.example.com"], "purge hosts www.example.com"),
            (&["purge", "www.example.com/blog"], "purge prefixes www.example.com/blog"),
            (&["purge", "urls.txt"], "purge urls --from urls.txt"),
            (&["purge", "urls.json"], "purge urls --from urls.json"),
            (&["purge", "sitemap.xml"], "purge urls --from-sitemap sitemap.xml"),
            (&["purge", "-"], "purge urls --from -"),
            (&["purge", "--everything"], "purge everything"),
            (&["purge", "urls", "--tags", "a"], "purge tags TAG"),
            (&["smart-tiered", "on"], "smart-tiered set on"),
            (&["verify"], "token verify"),
            (&["auth", "status"], "token verify"),
            (&["whoami"], "token verify"),
            (&["purge", "help"], "purge --help"),
            (&["purge", "files", "https://www.example.com/a"], "purge urls URL"),
            (&["invalidate", "uri", "https://www.example.com/a"], "invalidate urls URL"),
            (&["cache", "purge", "https://www.example.com/a"], "purge urls URL"),
            (&["flush"], "purge urls URL"),
            (&["purge-all"], "purge everything"),
            (&["purge", "cache"], "purge everything"),
            (&["purge", "cache-tag", "a"], "purge tags TAG"),
            (&["purge", "hostname", "a"], "purge hosts HOST"),
            (&["always-online", "on"], "always-online set on"),
        ] {
            let found = tip(typed);
            assert_eq!(found, Some(format!("did you mean `cfcache {meant}`?")), "{typed:?}");
        }
    }

    #[test]
    fn an_ambiguous_word_in_place_of_a_command_suggests_nothing() {
        for typed in ["image.jpg", "/path/to/image.jpg", "css/styles.css", "1.2", "{\"files\":[\"a.b\"]}"] {
            assert_eq!(tip(&["purge", typed]), None, "{typed}");
        }
    }

    #[test]
    fn examples_in_help_name_the_command_that_the_help_is_for() {
        for command in ["purge", "invalidate"] {
            for what in ["urls", "tags", "hosts", "prefixes"] {
                let help = read(["cfcache", command, what, "--help"]).unwrap_err().to_string();
                let (_, examples) = help.split_once("Example").unwrap();
                let lines: Vec<&str> = examples.lines().filter(|line| line.contains("cfcache ")).collect();
                assert!(!lines.is_empty(), "{help}");
                for line in lines {
                    assert!(line.contains(&format!("example.com {command} {what} ")), "{line}");
                }
            }
        }
    }

    #[test]
    fn help_of_the_emulator_shows_only_options_that_affect_a_server() {
        let help = read(["cfcache", "emulator", "--help"]).unwrap_err().to_string();
        assert!(help.contains("The plan whose limits"), "{help}");
        for other in ["--yes", "--journal", "--emulator", "--zone <", "Safety:", "Connection:"] {
            assert!(!help.contains(other), "{other}: {help}");
        }
        // They are accepted before and after the command.
        for line in [
            ["--plan", "free", "--no-rate-limit", "emulator"],
            ["emulator", "--no-rate-limit", "--plan", "free"],
        ] {
            let args = read([&["cfcache"][..], &line].concat()).unwrap();
            assert_eq!(args.global.plan.as_deref(), Some("free"), "{line:?}");
            assert!(args.global.no_rate_limit, "{line:?}");
        }
    }

    #[test]
    fn a_misspelled_command_or_option_suggests_the_right_one() {
        for (typed, meant) in [
            (&["pruge"][..], "'purge'"),
            (&["purge", "evrything"], "'everything'"),
            (&["login"], "`CLOUDFLARE_API_TOKEN`"),
            (&["purge", "url", "a"], "'urls'"),
            (&["purge", "urls", "--form", "a"], "'--from'"),
            (&["settings", "--jsn"], "'--json'"),
            (&["--color", "allways", "settings"], "'always'"),
            (&["purge", "urls", "--file", "a"], "`--from FILE`"),
            (&["purge", "tags", "a", "--header", "b: c"], "`--header` is for `urls`"),
            (&["invalidate", "everything", "--from", "a"], "`cfcache invalidate urls --from FILE`"),
        ] {
            let found = tip(typed).unwrap_or_default();
            assert!(found.contains(meant), "{typed:?}: {found}");
        }
    }

    #[test]
    fn an_option_with_two_different_values_is_refused_and_the_same_value_twice_is_accepted() {
        let two = [
            ("-z", "a", "b"),
            ("--zone", "a", "b"),
            ("--environment", "a", "b"),
            ("--profile", "a", "b"),
            ("--config", "a", "b"),
            ("--api-token-file", "a", "b"),
            ("--base-url", "a", "b"),
            ("--proxy", "a", "b"),
            ("--roots", "platform", "bundled"),
            ("--plan", "free", "pro"),
            ("--batch-size", "1", "2"),
            ("--concurrency", "1", "2"),
            ("--max-retries", "1", "2"),
            ("--timeout", "1", "2"),
            ("--max-wait", "1", "2"),
            ("--output", "json", "human"),
            ("--color", "always", "never"),
            ("--on-invalid", "fail", "skip"),
            ("--journal", "a", "b"),
            ("--failed-to", "a", "b"),
        ];
        for (option, one, other) in two {
            for line in [
                [option, one, option, other, "purge", "urls", "x"],
                [option, one, "purge", option, other, "urls", "x"],
                [option, one, "purge", "urls", "x", option, other],
                ["purge", option, one, "urls", option, other, "x"],
            ] {
                let error = read([&["cfcache"][..], &line].concat()).unwrap_err();
                assert_eq!(error.exit_code(), 2);
                let text = error.to_string();
                assert!(text.contains(&format!("as `{one}` and as `{other}`")), "{line:?}: {text}");
                let same = line.map(|word| if word == other { one } else { word });
                assert!(read([&["cfcache"][..], &same].concat()).is_ok(), "{same:?}");
            }
        }
        // Options that take several values still do, and an alias may repeat a flag.
        for line in [
            &["purge", "urls", "--from", "a", "--from", "b", "--header", "A: 1", "--header", "B: 2"][..],
            &["--ca-file", "a", "--ca-file", "b", "settings"],
            &["-q", "--json", "zones", "list", "-q", "--json"],
            &["emulator", "--fault", "status=500", "--fault", "status=503"],
        ] {
            assert!(read([&["cfcache"], line].concat()).is_ok(), "{line:?}");
        }
        for line in [
            &["emulator", "--zone-id", "a", "--zone-id", "b"][..],
            &["token", "verify", "--account", "a", "--account", "b"],
            &["--plan", "free", "emulator", "--plan", "pro"],
        ] {
            assert!(read([&["cfcache"], line].concat()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_definition_of_one_command_parses_like_the_complete_definition() {
        let lines: [&[&str]; 16] = [
            &["purge", "urls", "https://www.example.com/a"],
            &[
                "-z",
                "example.com",
                "purge",
                "urls",
                "-0",
                "--from",
                "-",
                "--header",
                "A: 1",
                "--batch-size",
                "7",
            ],
            &["purge", "-z", "example.com", "invalidate", "urls", "a"],
            &["--zone", "purge", "invalidate", "tags", "a", "urls", "-y", "--plan=free"],
            &["-qz", "example.com", "purge", "hosts", "a", "--json"],
            &["purge", "prefixes", "a", "--verify=3", "--warm", "--visitor-rate", "2"],
            &["purge", "everything", "--yes", "-e", "staging"],
            &[
                "purge",
                "changed",
                "public",
                "--url",
                "https://www.example.com",
                "--within",
                "-0",
                "--explain",
            ],
            &["probe", "a", "--verify-connect", "127.0.0.1:1"],
            &["warm", "--from", "a", "--from", "b", "--warm-as", "mobile,tablet"],
            &["-v", "settings", "-v"],
            &["zones", "list", "--output", "json"],
            &["origin-regions", "set", "192.0.2.1", "--vendor", "aws", "--region", "us-east-1"],
            &["variants", "set", "jpeg=image/webp", "--dry-run"],
            &["completions", "bash"],
            &["man", "purge"],
        ];
        for line in lines {
            let arguments: Vec<OsString> = ["cfcache"].iter().chain(line).map(Into::into).collect();
            let complete = read_complete(&arguments);
            // One of these lines is invalid, and another one can be parsed only by the complete definition.
            let likely = match read_likely(&arguments) {
                Some(likely) => likely.unwrap(),
                None if complete.is_err() || line.starts_with(&["--zone", "purge"]) => continue,
                None => panic!("{line:?}"),
            };
            assert_eq!(format!("{likely:?}"), format!("{:?}", complete.unwrap()), "{line:?}");
        }
        // The most common commands use the smallest definition.
        let usual = ["cfcache", "-z", "example.com", "purge", "urls", "--from", "-", "--json", "-y"];
        assert!(read_with::<Common>(&usual.map(OsString::from)).is_some());
        let rare = ["cfcache", "purge", "urls", "a", "--plan", "free"].map(OsString::from);
        assert!(read_with::<Common>(&rare).is_none() && read_with::<Global>(&rare).is_some());
    }

    #[test]
    fn arguments_that_the_definition_of_one_command_cannot_parse_fall_back_to_the_complete_one() {
        for line in [
            &[][..],
            &["--help"],
            &["purge"],
            &["purge", "urls", "--help"],
            &["purge", "urls", "--form", "a"],
            &["frobnicate", "--version"],
            &["emulator"],
        ] {
            let arguments: Vec<OsString> = ["cfcache"].iter().chain(line).map(Into::into).collect();
            assert!(read_likely(&arguments).is_none(), "{line:?}");
        }
        for line in [&["--version"][..], &["-q", "-V"]] {
            let arguments: Vec<OsString> = ["cfcache"].iter().chain(line).map(Into::into).collect();
            let likely = read_likely(&arguments).unwrap().unwrap_err();
            assert_eq!(likely.to_string(), read_complete(&arguments).unwrap_err().to_string());
        }
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_shown_again() {
        for typed in [&["--api-token=s3cret", "settings"][..], &["--token", "s3cret", "settings"]] {
            let error = read([&["cfcache"], typed].concat()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("`CLOUDFLARE_API_TOKEN`") && !text.contains("s3cret"), "{text}");
        }
    }
}
