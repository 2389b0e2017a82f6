//! The command line as it is typed: the only file that names clap. Strings and switches; nothing is looked up here.

mod suggest;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use cfcache_app::config::Overrides;
use cfcache_app::job::{FirstRun, OnInvalid};
use cfcache_app::log::LogFormat;
use cfcache_app::report::FallbackTo;
use cfcache_emulator::TokenState;
use cfcache_model::endpoint::{CacheLevel, OnOff};
use cfcache_probe::Variant;
use cfcache_site::changes::ListFormat;
use cfcache_transport::Roots;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    ValueHint,
};

use crate::secret::{bare, may_be_secret, shown};

/// Purge and invalidate Cloudflare's cache, at the fastest pace that the API allows, and lose nothing.
#[derive(Debug, Parser)]
#[command(
    name = "cfcache",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    // `-q -q` comes from an alias and its user.
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

/// What to print in place of doing something: help, the version, or what is wrong with the arguments.
pub(crate) struct Usage {
    /// With the escapes of a terminal's colors.
    pub(crate) styled: String,
    pub(crate) plain: String,
    /// Is it about a mistake?
    pub(crate) is_mistake: bool,
}

/// Reads the arguments of this process.
///
/// # Errors
///
/// [`Usage`], where they ask for help or are not understood.
pub(crate) fn parse() -> Result<Args, Usage> {
    read(std::env::args_os()).map_err(|error| {
        let text = error.render();
        Usage { styled: text.ansi().to_string(), plain: text.to_string(), is_mistake: error.use_stderr() }
    })
}

fn read(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Args, clap::Error> {
    let arguments = helped(arguments);
    let read = match read_likely(&arguments) {
        Some(read) => read,
        None => read_complete(&arguments),
    };
    read.map_err(|mut error| {
        if !hide_secrets(&mut error) {
            meet_half_way(&mut error);
        }
        error
    })
}

/// Reads arguments with the complete definition, which knows every command and so every help text and suggestion.
fn read_complete(arguments: &[OsString]) -> Result<Args, clap::Error> {
    let mut matches = definition().try_get_matches_from(arguments)?;
    check_single(arguments)?;
    Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut definition()))
}

/// Reads arguments with the definition of the one command that they seem to name. `None` where that does not
/// understand them: whatever is to be said about them, the complete definition says.
///
/// clap copies each of some fifty shared options into every command of a definition: building the complete
/// one takes longer than all else that happens before a request is sent.
fn read_likely(arguments: &[OsString]) -> Option<Result<Args, clap::Error>> {
    read_as(arguments, Shared::Common).or_else(|| read_as(arguments, Shared::All))
}

/// Which of the shared options a definition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Common,
    All,
}

/// The same, with some of the shared options, or with all.
fn read_as(arguments: &[OsString], shared: Shared) -> Option<Result<Args, clap::Error>> {
    let mut likely = likely(arguments, shared)?;
    let matches = likely.try_get_matches_from_mut(arguments);
    let may_repeat = may_repeat(&likely, arguments);
    // Freeing a thousand small things takes a while, and the process ends soon.
    core::mem::forget(likely);
    match matches {
        Ok(mut matches) => {
            if may_repeat && let Err(error) = check_single(arguments) {
                return Some(Err(error));
            }
            let args = match shared {
                Shared::All => Args::from_arg_matches_mut(&mut matches).ok()?,
                Shared::Common => Args {
                    global: Global {
                        common: Common::from_arg_matches_mut(&mut matches).ok()?,
                        ..Global::default()
                    },
                    command: Command::from_arg_matches_mut(&mut matches).ok()?,
                },
            };
            Some(Ok(args))
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => Some(Err(error)),
        Err(_) => None,
    }
}

/// The definition with no other command than the first that is named in the arguments, and no other shared options
/// below that than those which are given. A word that is no command but a value, such as that of `--zone purge`, makes a
/// definition that does not understand the rest.
fn likely(arguments: &[OsString], shared: Shared) -> Option<Definition> {
    let top = Definition::new("cfcache")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args_override_self(true);
    let top = match shared {
        Shared::Common => Common::augment_args(top),
        Shared::All => Global::augment_args(top),
    };
    let top = top.mut_args(|arg| {
        // What another one conflicts with has to be known where that one is.
        let is_named = matches!(arg.get_id().as_str(), "output" | "verbose");
        let is_given = is_named || arguments.iter().any(|argument| may_give(argument, &arg));
        arg.global(is_given)
    });
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let command = match word {
            // It has the shared options as its own.
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

/// The definition of `purge` or `invalidate` with no other command below it than the first that is named.
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

/// Takes one command out of several.
fn take(mut all: Definition, name: &str) -> Option<Definition> {
    let taken = all.find_subcommand_mut(name).map(core::mem::take);
    core::mem::forget(all);
    taken
}

/// Returns whether an argument may give an option, alone or with other flags in one.
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

/// Returns whether an option that takes one value may have been given several times.
fn may_repeat(definition: &Definition, arguments: &[OsString]) -> bool {
    let mut levels = core::iter::successors(Some(definition), |level| level.get_subcommands().next());
    levels.any(|level| {
        level
            .get_arguments()
            .filter(|arg| is_single(arg))
            .any(|option| arguments.iter().filter(|argument| may_give(argument, option)).count() > 1)
    })
}

/// Refuses an option that takes one value and was given several that differ: of two zones, nobody can tell which was
/// meant. (What is parsed has the last only, or that behind the command.)
fn check_single(arguments: &[OsString]) -> Result<(), clap::Error> {
    let typed = as_typed();
    let shared = shared(&typed);
    let collecting_shared: Vec<Arg> =
        shared.iter().map(|arg| collecting(arg.clone()).global(false)).collect();
    let top = typed.clone().mut_args(|arg| collecting(arg).global(false));
    let top = top.mut_subcommands(|command| collecting_below(command, &collecting_shared));
    let matches = top.try_get_matches_from(arguments)?;
    // A shared option may stand on each level; an own one of another command may have the same name and take several.
    let mut given: Vec<(&Arg, Vec<&OsStr>)> = Vec::new();
    let mut level = Some((&typed, &matches));
    while let Some((command, matches)) = level {
        for option in command.get_arguments().chain(&shared).filter(|arg| is_single(arg)) {
            let id = option.get_id().as_str();
            // A default is no value that was given.
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
                format!("`--{name}` is given as {} and as {}: one is meant", shown(&first), shown(&other)),
            ));
        }
    }
    Ok(())
}

/// Returns whether it is an option that takes one value.
fn is_single(arg: &Arg) -> bool {
    // `--verify` may go without its value.
    !arg.is_positional() && !arg.is_require_equals_set() && matches!(arg.get_action(), ArgAction::Set)
}

/// An option that takes one value, so that it collects all that it is given.
fn collecting(arg: Arg) -> Arg {
    if is_single(&arg) { arg.action(ArgAction::Append).num_args(1) } else { arg }
}

fn collecting_below(command: Definition, shared: &[Arg]) -> Definition {
    let command = command.mut_args(collecting).args(shared);
    command.mut_subcommands(|below| collecting_below(below, shared))
}

/// `cfcache help purge` is `cfcache purge --help`: a command of that name would stand in every list of commands.
fn helped(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Takes what may be a secret out of a mistake, which repeats what was typed. Returns whether there was any.
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

/// Adds to a mistake what was probably meant, where clap cannot know it.
fn meet_half_way(error: &mut clap::Error) {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    // "Usage: cfcache purge [OPTIONS] <COMMAND>"
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

/// The definition of the command line, or of a command of it, as data.
pub(crate) type Definition = clap::Command;

/// The definition of the command line, for what is made from it.
pub(crate) fn definition() -> Definition {
    let top = as_typed();
    let shared = shared(&top).into_iter().map(at_the_emulator);
    top.mut_subcommand("emulator", |emulator| emulator.args(shared))
}

/// The definition as it is written here, with examples that name the command that they are below.
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

/// The options of every command.
fn shared(top: &Definition) -> Vec<Arg> {
    top.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect()
}

/// A shared option where the API is served and not asked: it is about the server, or not shown.
fn at_the_emulator(arg: Arg) -> Arg {
    let arg = match arg.get_id().as_str() {
        "plan" => arg.help_heading(None::<&str>).help(
            "Whose limits to keep to, and whose settings to have: free, pro, business or enterprise [default: enterprise]",
        ),
        "no_rate_limit" => {
            arg.help_heading(None::<&str>).hide_short_help(false).help("Keep no limits: refuse no request for coming too soon")
        }
        "quiet" | "color" | "log_format" => arg,
        _ => arg.hide(true),
    };
    arg.global(false)
}

/// The definition of the command line as completions offer it: each command with those of the shared options that do
/// something there, in a few words. A script has all of it once for each command.
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

/// The shared options that are about visitors, as clap names them.
const VISITING: [&str; 5] = ["verify_connect", "visitor_headers", "visitor_rate", "warm_as", "warm_certify"];

/// Those that are about a purge.
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

/// Does a shared option do something for a command? Those that refuse one are among those for which it does not.
fn is_offered(path: &[&str], is_leaf: bool, option: &str) -> bool {
    let changes =
        !is_leaf || path.last().is_some_and(|last| ["set", "delete", "clear", "import"].contains(last));
    match path {
        // They are many, and come last on a command line: words that go on need none.
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
                    // `quiet` conflicts with it, and clap looks for what is named in a conflict.
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

/// An argument with the first words of its help. An option that takes neither a file nor one of some words is not
/// completed with the names of files.
fn brief(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let end = [" [", "; ", ". "].iter().filter_map(|mark| help.find(mark)).min().unwrap_or(help.len());
    let arg = arg.help(help[..end].to_owned());
    // A positional one keeps its hint: zsh completes no option where it knows of no action for what else may stand there.
    let is_known = arg.get_value_hint() != ValueHint::Unknown || !arg.get_possible_values().is_empty();
    if arg.is_positional() || is_known || !arg.get_action().takes_values() {
        return arg;
    }
    let arg = arg.value_hint(ValueHint::Other);
    // A colon ends the name of a value in zsh, and what follows is run.
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
    /// The next request for one is a miss, in Cache Reserve too. Of Cache Reserve only a purge by URL deletes the stored
    /// copy at once; one that another purge covers is stored, and paid for, until it is replaced or expires.
    Purge {
        #[command(subcommand)]
        what: What,
    },
    /// Mark files in the cache as stale
    ///
    /// The next request for one asks the origin whether it changed. Cache Reserve keeps its copies; to invalidate by URL
    /// is a Class A operation of Cache Reserve, which is billed.
    Invalidate {
        #[command(subcommand)]
        what: What,
    },
    /// Ask URLs what the cache says of them
    ///
    /// Each is asked once, as a visitor asks; no credentials are needed.
    #[command(after_long_help = "\
Exit codes: 0 each URL was answered, 1 something stands in the way of one (a challenge,
a login, a rate limit), 5 one could not be reached.

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
    /// Each is fetched to its end, as a visitor does; no credentials are needed.
    #[command(after_long_help = "\
Exit codes: 0 each URL was fetched, cached or not, 1 some were not, 5 none could be reached.

Examples:
  cfcache warm --from urls.txt
  cfcache warm https://www.example.com/ --warm-as mobile,tablet --warm-certify")]
    Warm {
        #[command(flatten)]
        input: InputArgs,
        #[command(flatten)]
        pages: PagesArgs,
    },
    /// Cache Reserve: cached files in persistent storage
    Reserve {
        #[command(subcommand)]
        command: ReserveCommand,
    },
    /// Regional Tiered Cache
    ///
    /// A tier of caches in each region.
    RegionalTiered {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Smart Tiered Cache
    ///
    /// The upper tier that is closest to each origin.
    SmartTiered {
        #[command(subcommand)]
        command: SmartCommand,
    },
    /// Tiered Cache at all
    TieredCache {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Cache level: what of a query string is part of a cache key
    CacheLevel {
        #[command(subcommand)]
        command: CacheLevelCommand,
    },
    /// Browser cache TTL: how long browsers keep what they were sent
    BrowserCacheTtl {
        #[command(subcommand)]
        command: BrowserCacheTtlCommand,
    },
    /// Always Online: serve copies of pages while the origin is down
    AlwaysOnline {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Query String Sort: take query strings with the same parts in another order for the same
    SortQueryString {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Development Mode: bypass the cache for a while
    ///
    /// It ends by itself after three hours, and purges nothing.
    DevelopmentMode {
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Variants: other types of an image, cached beside it
    Variants {
        #[command(subcommand)]
        command: VariantsCommand,
    },
    /// Origin cloud regions: where each origin's address is
    OriginRegions {
        #[command(subcommand)]
        command: RegionsCommand,
    },
    /// Every cache setting of the zone, a line each
    Settings,
    /// Zones that the token may read
    Zones {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// Environments of a zone
    Environments {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// What is set, and where
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The credentials
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Serve the API on this machine
    ///
    /// So everything can be tried and tested without an account.
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
        shell: ShellArg,
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
    /// Names and ids
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every setting, with where it is from; secrets blanked
    Show,
    /// Where the configuration file is looked for
    Path,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Is the token valid, and when does it expire?
    Verify {
        /// The account that the token belongs to, where it is not a user's [env: CLOUDFLARE_ACCOUNT_ID]
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SwitchCommand {
    /// Is it on?
    Get,
    /// Turn it on or off
    Set {
        /// `on` or `off`
        #[arg(value_parser = one_of(ON_OFF))]
        value: OnOff,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheLevelCommand {
    /// Show the level
    Get,
    /// Set the level
    Set {
        /// All of the query string, no caching with one, or nothing of it
        #[arg(value_parser = one_of(CACHE_LEVELS))]
        level: CacheLevel,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BrowserCacheTtlCommand {
    /// Show the time
    Get,
    /// Set the time; which times there are depends on the plan
    Set {
        /// The time in seconds; 0 respects the headers of the origin
        seconds: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SmartCommand {
    /// Is it on?
    Get,
    /// Turn it on or off
    Set {
        /// `on` or `off`
        #[arg(value_parser = one_of(ON_OFF))]
        value: OnOff,
    },
    /// Delete the setting, which is off then
    Delete,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReserveCommand {
    /// Is it on?
    Get,
    /// Turn it on or off
    Set {
        /// `on` or `off`
        #[arg(value_parser = one_of(ON_OFF))]
        value: OnOff,
    },
    /// Remove everything from it; it must be off. Cannot be undone or cancelled
    Clear {
        /// Follow it to its end
        #[arg(long)]
        wait: bool,
    },
    /// How the latest clear stands
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VariantsCommand {
    /// Which are set
    Get,
    /// Set these and no others
    #[command(after_long_help = "\
Extensions: avif, bmp, gif, jp2, jpeg, jpg, jpg2, png, tif, tiff, webp

Example:
  cfcache -z example.com variants set jpeg=image/webp,image/avif png=image/webp")]
    Set {
        /// Types that may be served for a file extension
        #[arg(value_name = "EXT=MIME[,MIME]", required_unless_present = "from")]
        rows: Vec<String>,
        /// A file with the JSON of the value, such as {"jpeg":["image/webp"]}; `-` is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "rows")]
        from: Option<PathBuf>,
    },
    /// Delete all
    Delete,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegionsCommand {
    /// All mappings of the zone
    List,
    /// The mapping of an address
    Get {
        /// The origin's address
        ip: String,
    },
    /// Map an address to a region
    Set {
        /// The origin's address
        ip: String,
        /// aws, azure, gcp or oci
        #[arg(long)]
        vendor: String,
        /// A region of the vendor (`origin-regions supported` shows them)
        #[arg(long)]
        region: String,
    },
    /// Delete the mappings of addresses, in batches of 100 where there are several
    Delete {
        /// The origins' addresses
        #[arg(value_name = "IP", required_unless_present = "from")]
        ips: Vec<String>,
        /// A file with an address a line, or a JSON array of addresses; `-` is standard input
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Map many addresses, in batches of 100; mappings that are not in the file stay
    Import {
        /// `IP VENDOR REGION` a line, or the API's JSON (an array, or an object a line); `-` is standard input
        file: PathBuf,
    },
    /// The regions that there are
    Supported,
}

/// What to purge or invalidate. No input is an error, and never "everything".
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Every file of the zone, in all of its environments, or of one environment (`-e`)
    Everything,
    /// Single files, by URL
    #[command(after_long_help = "\
A line that begins with `{` is JSON, with the headers of the cache key:
  {\"url\": \"https://example.com/a\", \"headers\": {\"CF-Device-Type\": \"mobile\"}}

Examples:
  cfcache -z example.com purge urls https://example.com/a https://example.com/b
  cfcache -z example.com purge urls --from urls.txt
  cfcache -z example.com purge urls --from - --header 'CF-Device-Type: mobile'
  cfcache -z example.com purge urls --from-sitemap public/sitemap.xml
  (cd public && find . -type f -print0) |
    cfcache -z example.com purge urls -0 --from - --base https://example.com")]
    Urls(UrlsArgs),
    /// Everything that was served with a cache tag
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge tags release-42 product-1001")]
    Tags(InputArgs),
    /// Everything under a host name
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge hosts images.example.com")]
    Hosts(InputArgs),
    /// Everything whose host and path begin alike, such as `www.example.com/blog`
    #[command(after_long_help = "Example:\n  cfcache -z example.com purge prefixes www.example.com/blog")]
    Prefixes(InputArgs),
    /// What a deployment changed, since the last run
    ///
    /// The files that are deployed are compared with those of the run before, which a state remembers. The URLs of what
    /// is new, changed or deleted are purged. A run that fails is made up for by the next.
    #[command(after_long_help = "\
A site is described in `.cfcache.toml`, in a table `[site.NAME]`, or with `--url` alone.

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
    /// A header that the cache key was made from, for every URL that has none of that name
    #[arg(long = "header", value_name = "NAME: VALUE", help_heading = "Input")]
    pub(crate) headers: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ChangedArgs {
    /// The directory that was deployed [default: `root` of the site]. With `--manifest` or `--changes`, what the paths in
    /// it begin with
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Take the files from the output of sha256sum, b3sum or md5sum; `-` is standard input
    #[arg(long, value_name = "FILE", group = "source", help_heading = "Input")]
    pub(crate) manifest: Option<PathBuf>,
    /// Take the files from a tree of the git repository here, such as `HEAD:public`
    #[arg(long, value_name = "REV:PATH", group = "source", conflicts_with = "dir", help_heading = "Input")]
    pub(crate) git_tree: Option<String>,
    /// Take the pages from a sitemap, or an index with its sitemaps beside it; each page has to have a `<lastmod>`
    #[arg(long, value_name = "FILE", group = "source", conflicts_with = "dir", help_heading = "Input")]
    pub(crate) sitemap: Vec<PathBuf>,
    /// Take what changed from the output of another tool; nothing is compared
    #[arg(long, value_name = "TOOL", group = "source", requires = "from", help_heading = "Input", value_parser = one_of(CHANGES))]
    pub(crate) changes: Option<ListFormat>,
    /// Where the output of that tool is; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "changes", help_heading = "Input")]
    pub(crate) from: Option<PathBuf>,
    /// Lines of `--manifest`, and paths of `--changes paths`, end with NUL
    #[arg(short = '0', long, help_heading = "Input")]
    pub(crate) null: bool,
    /// The site, by its name in `.cfcache.toml` [default: the only one]
    #[arg(long, value_name = "NAME", help_heading = "Site")]
    pub(crate) site: Option<String>,
    /// A URL that the root of the site is served under, in place of those in `.cfcache.toml`
    #[arg(long, value_name = "URL", help_heading = "Site")]
    pub(crate) url: Vec<String>,
    /// The file that remembers the files [default: ~/.local/state/cfcache/ZONE/SITE.state]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Site")]
    pub(crate) state: Option<PathBuf>,
    /// Purge less exactly where the limits of the plan make URLs take longer than this, in seconds
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = seconds, allow_negative_numbers = true, help_heading = "Extent")]
    pub(crate) within: f64,
    /// What to purge then, the first that is fast enough: prefix, host, everything, or none
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "prefix,host",
        value_parser = one_of(FALLBACKS),
        help_heading = "Extent"
    )]
    pub(crate) fallback: Vec<Option<FallbackTo>>,
    /// What to purge where there is no state to compare with
    #[arg(long, value_name = "WHAT", default_value = "host", value_parser = one_of(FIRST_RUNS), help_heading = "Extent")]
    pub(crate) first: FirstRun,
    /// Only write down what is to be purged: before an upload, so that one that is never finished is made up for
    #[arg(long, help_heading = "Extent")]
    pub(crate) begin: bool,
    /// Tell each file that changed, and how many URLs that makes
    #[arg(long)]
    pub(crate) explain: bool,
    /// With `--verify`, compare what visitors get with the files, byte for byte; what was deleted must not be served
    #[arg(long, help_heading = "Visitors")]
    pub(crate) expect_files: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InputArgs {
    /// Entries
    #[arg(value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// A file with an entry a line, or a JSON array of entries; `-` is standard input. Blank lines and lines that begin
    /// with `#` are skipped
    #[arg(long = "from", value_name = "FILE", help_heading = "Input")]
    pub(crate) from: Vec<PathBuf>,
    /// Entries of `--from` end with NUL, as `find -print0` and `git diff -z` write them
    #[arg(short = '0', long, requires = "from", help_heading = "Input")]
    pub(crate) null: bool,
}

/// Input that only URLs come from.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct PagesArgs {
    /// A sitemap, or a sitemap index whose sitemaps are files beside it, packed with gzip or not; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) from_sitemap: Vec<PathBuf>,
    /// Make paths of files into URLs: `/a` of the host, `a` below this URL. All of a path is percent-encoded as browsers
    /// do, `%` and `?` too; whole URLs stay as they are
    #[arg(long, value_name = "URL", help_heading = "Input")]
    pub(crate) base: Option<String>,
}

/// The options of every command. The first are those that many runs give: a definition without the others is built
/// sooner.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Global {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) seldom: Seldom,
    #[command(flatten)]
    pub(crate) visiting: Visiting,
}

/// What is asked, where, and how it is told.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Common {
    /// The zone, by id or by domain [env: CLOUDFLARE_ZONE_ID]
    #[arg(short, long, global = true, value_name = "ID|DOMAIN", help_heading = "Target")]
    pub(crate) zone: Option<String>,
    /// An environment of the zone, by id or by name (purge and invalidate)
    #[arg(short, long, global = true, value_name = "ID|NAME", help_heading = "Target")]
    pub(crate) environment: Option<String>,
    /// A file that holds the API token; `-` is standard input [env: CLOUDFLARE_API_TOKEN holds the token itself]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// Where the API is [env: CLOUDFLARE_BASE_URL] [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", help_heading = "Connection")]
    pub(crate) base_url: Option<String>,
    /// Run against an emulator inside this process; needs no credentials and changes nothing
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) emulator: bool,
    /// How to print results
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
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Tell each request; twice, its headers too (secrets blanked)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Print what would be sent, and send nothing
    #[arg(long, global = true, help_heading = "Safety")]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long, global = true, help_heading = "Safety")]
    pub(crate) yes: bool,
    /// The same as `--yes`; a list is read with `--from`
    #[arg(short, long, global = true, help_heading = "Safety")]
    pub(crate) force: bool,
}

/// Connections, pace and what becomes of entries.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Seldom {
    /// The proxy, as `http://host:port`, or `none` [env: HTTPS_PROXY, ALL_PROXY, NO_PROXY and their like]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL|none", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// A profile of the configuration file [env: CFCACHE_PROFILE]
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) profile: Option<String>,
    /// The configuration file [env: CFCACHE_CONFIG] [default: ~/.config/cfcache/config.toml]
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) config: Option<PathBuf>,
    /// Whose certificates to trust [default: platform]
    #[arg(long, global = true, hide_short_help = true, value_name = "WHOSE", help_heading = "Connection", value_parser = one_of(ROOTS))]
    pub(crate) roots: Option<Roots>,
    /// A file of certificates (PEM) to trust as well, such as a private authority's
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Send credentials in cleartext to an `http://` address other than this machine
    #[arg(long, global = true, hide_short_help = true, help_heading = "Connection")]
    pub(crate) allow_insecure_http: bool,
    /// Whose limits to pace by: auto, free, pro, business or enterprise [env: CFCACHE_PLAN] [default: auto]
    #[arg(long, global = true, value_name = "PLAN", value_parser = PLANS, hide_possible_values = true, help_heading = "Pace")]
    pub(crate) plan: Option<String>,
    /// Items a request [default: as many as the plan allows]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Pace", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// At most so many requests in flight [default: 64]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Pace", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) concurrency: Option<usize>,
    /// No pacing of our own: obey only what the server says
    #[arg(long, global = true, hide_short_help = true, help_heading = "Pace")]
    pub(crate) no_rate_limit: bool,
    /// How often a request is tried again [default: 10]
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "N",
        help_heading = "Pace",
        allow_negative_numbers = true
    )]
    pub(crate) max_retries: Option<u32>,
    /// How long one try may take, in seconds; any part of it may then take all of it [default: 60 for the whole, 30 until
    /// the answer begins, 10 to connect]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Pace", value_parser = some_seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<f64>,
    /// The longest single wait to grant the server, in seconds [default: 600]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Pace", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) max_wait: Option<f64>,
    /// No progress
    #[arg(long, global = true, hide_short_help = true, help_heading = "Output")]
    pub(crate) no_progress: bool,
    /// When to use color
    #[arg(long, global = true, hide_short_help = true, value_name = "WHEN", help_heading = "Output")]
    pub(crate) color: Option<ColorArg>,
    /// Write a log to standard error; a line for each message and request [env: CFCACHE_LOG says
    /// what is logged: `info` for connections too, or levels of targets such as `warn,cfcache_transport=info`]
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT", help_heading = "Output", value_parser = one_of(LOG_FORMATS))]
    pub(crate) log_format: Option<LogFormat>,
    /// What to do about an invalid entry
    #[arg(long, global = true, hide_short_help = true, value_name = "WHAT", help_heading = "Safety", value_parser = one_of(ON_INVALID))]
    pub(crate) on_invalid: Option<OnInvalid>,
    /// Take a warning about an entry, such as of a `*` in a URL, as a mistake: the entry is invalid
    #[arg(long, global = true, hide_short_help = true, help_heading = "Safety")]
    pub(crate) strict: bool,
    /// Keep a journal in this file; the same command with the same journal goes on where the last one ended
    #[arg(long, global = true, value_name = "FILE", help_heading = "Safety")]
    pub(crate) journal: Option<PathBuf>,
    /// Write failed and invalid entries to this file, ready for another run; entries that an interrupted run had
    /// not read are not in it, and only `--journal` goes on with those
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Safety")]
    pub(crate) failed_to: Option<PathBuf>,
}

/// Which URLs to verify, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyArg {
    /// So many at the most, after the purge.
    AtMost(usize),
    /// All, after the purge.
    All,
    /// A sample, before the purge and after it.
    Transition,
}

/// How visitors ask: for `probe` and `warm`, and for what a purge does beside purging.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Visiting {
    /// Ask URLs after the purge whether the old copies are gone: at most N of them [default: 100], or `all`;
    /// `transition` asks a sample before the purge too, to see each go from HIT to something else
    #[arg(long, global = true, value_name = "N|all|transition", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = verify, help_heading = "Visitors")]
    pub(crate) verify: Option<VerifyArg>,
    /// A URL to verify as well; for tags, hosts, prefixes and everything, those to verify
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", help_heading = "Visitors")]
    pub(crate) verify_url: Vec<String>,
    /// A file of such URLs, one a line; `-` is standard input
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) verify_from: Vec<PathBuf>,
    /// How long to ask a URL for, in seconds [default: 30]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Visitors", value_parser = some_seconds, allow_negative_numbers = true)]
    pub(crate) verify_timeout: Option<f64>,
    /// The body that visitors should get, or a list of `SHA256  URL` lines as `sha256sum` writes them
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) expect: Option<PathBuf>,
    /// Purge nothing before this is true three times in a row: `URL contains TEXT`, `URL status CODE`,
    /// `URL header NAME equals VALUE`, `URL json .path equals VALUE` or `URL sha256 HEX`
    #[arg(long, global = true, value_name = "URL CONDITION", help_heading = "Visitors")]
    pub(crate) after: Option<String>,
    /// How long to wait for it, in seconds [default: 300]
    #[arg(long, global = true, hide_short_help = true, value_name = "SECS", help_heading = "Visitors", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) after_timeout: Option<f64>,
    /// Add no query of its own to that URL
    #[arg(long, global = true, hide_short_help = true, help_heading = "Visitors")]
    pub(crate) after_no_bust: bool,
    /// Fetch the URLs after the purge, so that they are cached again
    #[arg(long, global = true, help_heading = "Visitors")]
    pub(crate) warm: bool,
    /// Connect there whatever the URL is, under the URL's own name: an emulated edge, or another address
    #[arg(long, global = true, hide_short_help = true, value_name = "HOST:PORT", help_heading = "Visitors")]
    pub(crate) verify_connect: Option<String>,
    /// A file of extra headers, one `NAME: VALUE` a line, such as a token of Cloudflare Access
    /// [env: CFCACHE_VISITOR_HEADERS holds the lines themselves]
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", help_heading = "Visitors")]
    pub(crate) visitor_headers: Option<PathBuf>,
    /// At most so many requests a second to one host [default: 10 to probe, 5 to warm]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", help_heading = "Visitors", value_parser = some_rate, allow_negative_numbers = true)]
    pub(crate) visitor_rate: Option<f64>,
    /// Warm as these visitors too, with commas between: mobile, tablet, webp, avif
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "WHOM",
        help_heading = "Visitors",
        value_delimiter = ',',
        value_parser = one_of(WARM_AS)
    )]
    pub(crate) warm_as: Vec<Variant>,
    /// Ask what was warmed once more: it has to be HIT
    #[arg(long, global = true, hide_short_help = true, help_heading = "Visitors")]
    pub(crate) warm_certify: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EmulatorArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// The name of its zone
    #[arg(long, value_name = "DOMAIN", default_value = "example.com")]
    pub(crate) zone_name: String,
    /// The id of its zone
    #[arg(long, value_name = "ID", default_value = "023e105f4ecef8ad9ca31a8372d0c353")]
    pub(crate) zone_id: String,
    /// The only token to accept [default: any of a valid form]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// What that token is good for
    #[arg(long, value_name = "STATE", requires = "token", default_value = "active", value_parser = one_of(TOKEN_STATES))]
    pub(crate) token_state: TokenState,
    /// How long clearing Cache Reserve takes, in seconds
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = seconds)]
    pub(crate) clear_seconds: f64,
    /// What to do wrong, such as `status=503,times=3` (see docs/emulator.md)
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<String>,
    /// Serve a cache in front of this server (http://127.0.0.1:3000) or folder (./public)
    #[arg(long, value_name = "URL|FOLDER", help_heading = "Edge")]
    pub(crate) origin: Option<String>,
    /// Where the cache serves visitors; port 0 picks a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8788",
        requires = "origin",
        help_heading = "Edge"
    )]
    pub(crate) edge_listen: SocketAddr,
    /// Make what matches eligible for cache, such as 'www.example.com/blog/*'
    #[arg(long, value_name = "HOST/PATH*", requires = "origin", help_heading = "Edge")]
    pub(crate) cache: Vec<String>,
    /// Cache rules: a ruleset as the API has it, in JSON
    #[arg(long, value_name = "FILE", requires = "origin", help_heading = "Edge")]
    pub(crate) cache_rules: Option<PathBuf>,
    /// Let a purge take effect that many seconds after it was accepted
    #[arg(long, value_name = "SECS", requires = "origin", value_parser = seconds, help_heading = "Edge")]
    pub(crate) purge_delay: Option<f64>,
    /// Cache no object with a larger body; up to 64 MiB unless given
    #[arg(long, value_name = "BYTES", requires = "origin", help_heading = "Edge")]
    pub(crate) max_object: Option<u64>,
}

/// What `--plan` takes. The environment and a profile can name a plan as well, so it is checked there.
const PLANS: [&str; 5] = ["auto", "free", "pro", "business", "enterprise"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellArg {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Elvish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    /// For people
    Human,
    /// One object at the end
    Json,
    /// An object for each request, and one at the end
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// On a terminal
    Auto,
    Always,
    Never,
}

impl Global {
    /// What of these is about settings that a file or the environment can have as well.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            zone: self.common.zone.clone(),
            environment: self.common.environment.clone(),
            plan: self.seldom.plan.clone(),
            base_url: self.common.base_url.clone(),
            config: self.seldom.config.clone(),
            profile: self.seldom.profile.clone(),
            api_token_file: self.common.api_token_file.clone(),
            emulator: self.common.emulator,
        }
    }
}

/// Takes one of these words, each with its help, and gives what it stands for.
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

/// What a switch is set to.
const ON_OFF: &[(&str, &str, OnOff)] = &[("on", "", OnOff::On), ("off", "", OnOff::Off)];

/// The tools that print what changed.
const CHANGES: &[(&str, &str, ListFormat)] = &[
    ("git", "`git diff --name-status -z`, `git diff --raw -z`", ListFormat::Git),
    ("rsync", "`rsync --out-format='%i %n'`", ListFormat::Rsync),
    ("aws", "`aws s3 sync --no-progress`", ListFormat::Aws),
    ("rclone", "`rclone --combined -`", ListFormat::Rclone),
    ("paths", "A path a line", ListFormat::Paths),
];

/// What to purge in place of too many URLs.
const FALLBACKS: &[(&str, &str, Option<FallbackTo>)] = &[
    ("prefix", "Folders of which at least half changed", Some(FallbackTo::Prefix)),
    ("host", "The hosts of the site", Some(FallbackTo::Host)),
    ("everything", "Everything in the zone", Some(FallbackTo::Everything)),
    ("none", "Nothing: it is an error", None),
];

/// What to purge where there is no state.
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

/// What a token of the emulator is good for.
const TOKEN_STATES: &[(&str, &str, TokenState)] = &[
    ("active", "", TokenState::Active),
    ("disabled", "", TokenState::Disabled),
    ("expired", "", TokenState::Expired),
    ("not-yet-valid", "", TokenState::NotYetValid),
];

/// Whose certificates are trusted.
const ROOTS: &[(&str, &str, Roots)] = &[
    ("platform", "Those of this machine", Roots::Platform),
    ("bundled", "Those that came with the binary, for containers that have none", Roots::Bundled),
];

/// How a log is written.
const LOG_FORMATS: &[(&str, &str, LogFormat)] =
    &[("text", "For people", LogFormat::Text), ("json", "One JSON object a line", LogFormat::Json)];

/// What an invalid entry does.
const ON_INVALID: &[(&str, &str, OnInvalid)] = &[
    ("fail", "Send nothing (of arguments and files), or nothing more (of a pipe)", OnInvalid::Fail),
    ("skip", "Report it, and send the rest", OnInvalid::Skip),
];

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A time in which something can happen.
fn some_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        seconds if seconds >= 1e-3 => Ok(seconds),
        _ => Err("it must be more than 0, such as 30 or 0.5".to_owned()),
    }
}

fn verify(text: &str) -> Result<VerifyArg, String> {
    match text {
        "all" => Ok(VerifyArg::All),
        "transition" => Ok(VerifyArg::Transition),
        _ => match text.parse() {
            Ok(0) | Err(_) => {
                Err("it must be a whole number, at least 1, or `all`, or `transition`".to_owned())
            }
            Ok(number) => Ok(VerifyArg::AtMost(number)),
        },
    }
}

/// A rate at which something happens at all.
fn some_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1e-3..=1e6).contains(&rate) => Ok(rate),
        _ => Err("it must be a number of requests a second, such as 10 or 0.5".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("it must be a number of seconds, such as 30 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that helps with a mistake.
    fn tip(arguments: &[&str]) -> Option<String> {
        let error = read([&["cfcache"], arguments].concat()).unwrap_err();
        let text = error.to_string();
        text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_owned)
    }

    #[test]
    fn a_wrong_kind_of_input_is_met_half_way() {
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
    fn what_is_not_sure_gets_no_advice() {
        for typed in ["image.jpg", "/path/to/image.jpg", "css/styles.css", "1.2", "{\"files\":[\"a.b\"]}"] {
            assert_eq!(tip(&["purge", typed]), None, "{typed}");
        }
    }

    #[test]
    fn examples_are_of_the_command_that_they_stand_below() {
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
    fn the_emulator_shows_options_of_a_server() {
        let help = read(["cfcache", "emulator", "--help"]).unwrap_err().to_string();
        assert!(help.contains("Whose limits to keep to"), "{help}");
        for other in ["--yes", "--journal", "--emulator", "--zone <", "Safety:", "Connection:"] {
            assert!(!help.contains(other), "{other}: {help}");
        }
        // They are found on both sides of the command.
        for line in [
            ["--plan", "free", "--no-rate-limit", "emulator"],
            ["emulator", "--no-rate-limit", "--plan", "free"],
        ] {
            let args = read([&["cfcache"][..], &line].concat()).unwrap();
            assert_eq!(args.global.seldom.plan.as_deref(), Some("free"), "{line:?}");
            assert!(args.global.seldom.no_rate_limit, "{line:?}");
        }
    }

    #[test]
    fn a_misspelling_is_answered_with_the_likely_word() {
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
    fn an_option_with_one_value_is_refused_with_two_and_taken_with_the_same_twice() {
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
        // Those that take several still do, and an alias may hold a flag.
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
    fn the_definition_of_one_command_reads_what_the_complete_one_reads() {
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
            // One of them is wrong, and one is left to the complete definition.
            let likely = match read_likely(&arguments) {
                Some(likely) => likely.unwrap(),
                None if complete.is_err() || line.starts_with(&["--zone", "purge"]) => continue,
                None => panic!("{line:?}"),
            };
            assert_eq!(format!("{likely:?}"), format!("{:?}", complete.unwrap()), "{line:?}");
        }
        // What most runs give takes the smallest definition.
        let usual = ["cfcache", "-z", "example.com", "purge", "urls", "--from", "-", "--json", "-y"];
        assert!(read_as(&usual.map(OsString::from), Shared::Common).is_some());
        let rare = ["cfcache", "purge", "urls", "a", "--plan", "free"].map(OsString::from);
        assert!(read_as(&rare, Shared::Common).is_none() && read_as(&rare, Shared::All).is_some());
    }

    #[test]
    fn what_one_command_does_not_understand_is_left_to_the_complete_definition() {
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
