//! Shell completions and manual pages, generated from the definition of the command line. Only this file uses
//! `clap_complete` and `clap_mangen`.

use std::fs;
use std::path::Path;

pub(crate) use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{self, Definition};
use crate::config::VARIABLES;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Terminal;
use crate::secret::shown_path;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell, terminal: &Terminal) -> Exit {
    terminal.data(completion_script(shell).trim_end());
    Exit::Accepted
}

/// Prints the manual page of `cfcache`, or writes the pages of all commands into a folder.
///
/// # Errors
///
/// If a page cannot be written.
pub(crate) fn man(folder: Option<&Path>, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut top = args::definition();
    top.build();
    let Some(folder) = folder else {
        terminal.data(page(&top).trim_end());
        return Ok(Exit::Accepted);
    };
    let cannot = |path: &Path, error: std::io::Error| {
        use std::io::ErrorKind as Kind;
        // A wrong path is a usage error; a full disk is not.
        let is_misnamed =
            matches!(error.kind(), Kind::AlreadyExists | Kind::NotADirectory | Kind::InvalidInput);
        let exit = if is_misnamed { Exit::Usage } else { Exit::Failed };
        Failure::new(exit, format!("cannot write {}: {error}", shown_path(path)))
    };
    fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    let commands = with_pages(&top);
    for command in &commands {
        let path = folder.join(file_name(command));
        fs::write(&path, page(command)).map_err(|error| cannot(&path, error))?;
    }
    terminal.note(&format!("{} pages written to {}", commands.len(), shown_path(folder)));
    Ok(Exit::Accepted)
}

fn completion_script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::offered(), "cfcache", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => BASH_WORDS.to_owned() + &script.replace(BASH_ALL_WORDS, BASH_SOME_WORDS),
        _ => script,
    }
}

/// How `clap_complete` completes words: commands and options together, including the names of arguments, which nobody
/// types.
const BASH_ALL_WORDS: &str = r#"$(compgen -W "${opts}" -- "${cur}")"#;
const BASH_SOME_WORDS: &str = r#"$(_cfcache_words "${opts}" "${cur}")"#;

/// Completes options only if one was started, or if there is nothing else: thirty options would hide five commands.
const BASH_WORDS: &str = r#"_cfcache_words() {
    local word words options="" others=""
    read -ra words <<< "$1"
    for word in "${words[@]}"; do
        case "${word}" in
            -*) options+=" ${word}" ;;
            [[\<]*) ;;
            *) others+=" ${word}" ;;
        esac
    done
    if [[ $2 == -* || -z ${others} ]]; then others="${options}"; fi
    compgen -W "${others}" -- "$2"
}

"#;

/// A command and all commands below it, each before its subcommands. Each has a manual page.
fn with_pages(command: &Definition) -> Vec<&Definition> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    core::iter::once(command).chain(below.flat_map(with_pages)).collect()
}

/// The file of the manual page of a command.
fn file_name(command: &Definition) -> String {
    format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name()))
}

/// The manual page of a command.
fn page(command: &Definition) -> String {
    let is_top = command.get_display_name().is_none_or(|name| !name.contains('-'));
    let mut shown = command.clone();
    // Clap's usage line is shorter than a list of all options.
    let usage = shown.render_usage().to_string();
    shown = shown.override_usage(usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned());
    shown = shown.mut_args(|arg| {
        let is_elsewhere = arg.is_hide_set() || (!is_top && arg.is_global_set());
        // Otherwise arguments that `-h` omits would be listed without their help.
        arg.hide(is_elsewhere).hide_short_help(false)
    });
    let man = Man::new(shown.clone());
    // The title is written here: clap_mangen omits an empty date, which shifts the fields after it.
    let name = shown.get_display_name().unwrap_or_else(|| shown.get_name());
    let mut text =
        format!(".TH {name} 1 \"\" \"cfcache {}\" \"cfcache manual\"\n", env!("CARGO_PKG_VERSION"))
            .into_bytes();
    // Cannot fail, because it writes to memory.
    let _written = man
        .render_name_section(&mut text)
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(
            |()| if shown.has_subcommands() { man.render_subcommands_section(&mut text) } else { Ok(()) },
        )
        .and_then(|()| rest(&shown, is_top).to_writer(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// The sections after the options: on the first page what is common to all commands, then remarks, examples with their
/// line breaks, and references.
fn rest(command: &Definition, is_top: bool) -> Roff {
    let mut roff = Roff::new();
    let after = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (examples, remarks): (Vec<&str>, Vec<&str>) = after
        .split("\n\n")
        .filter(|part| !part.trim().is_empty() && !part.starts_with("Exit codes"))
        .partition(|part| part.starts_with("Example"));
    if is_top {
        common(&mut roff);
    }
    for (title, parts) in [("NOTES", remarks), ("EXAMPLES", examples)] {
        if parts.is_empty() {
            continue;
        }
        roff.control("SH", [title]);
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            roff.control("nf", []);
            // The section title already says that it is an example.
            for line in part.lines().filter(|line| !line.starts_with("Example")) {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    if is_top {
        roff.text([roman("The page of each command, such as "), bold("cfcache-purge-urls"), roman("(1).")])
    } else {
        roff.text([
            bold("cfcache"),
            roman("(1) has the options of every command, exit status, environment and files."),
        ])
    };
    roff
}

/// The exit status, environment and files of every command.
fn common(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman("If several apply, the highest is used.")]);
    for (exit, means) in Exit::ALL {
        entry(roff, &exit.code().to_string(), means.trim());
    }
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "Options take precedence over variables, and variables over files. An empty variable counts as unset, except \
         for an empty base URL, which is an error.",
    )]);
    for [_, variable, means] in VARIABLES {
        // A comment may link to other constants.
        let means = VARIABLES.iter().fold(means.trim().to_owned(), |means, [name, variable, _]| {
            means.replace(&format!("[`{name}`]"), &format!("`{variable}`"))
        });
        entry(roff, variable, &means);
    }
    roff.control("SH", ["FILES"]);
    for (file, means) in FILES {
        entry(roff, file, means);
    }
}

/// The files that are read if no option names one.
const FILES: [(&str, &str); 2] = [
    (
        "~/.config/cfcache/config.toml",
        "Settings and profiles of the user; below XDG_CONFIG_HOME if that is set. `cfcache config path` prints the path.",
    ),
    (
        ".cfcache.toml",
        "Settings of a project, in the working directory or a parent directory; they take precedence over the user's.",
    ),
];

fn entry(roff: &mut Roff, name: &str, means: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(means)]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish];

    /// The names of all commands, as typed.
    fn commands(command: &Definition, names: &mut Vec<String>) {
        for below in command.get_subcommands() {
            names.push(below.get_name().to_owned());
            commands(below, names);
        }
    }

    #[test]
    fn completions_of_every_shell_contain_every_command() {
        let mut names = Vec::new();
        commands(&args::definition(), &mut names);
        assert!(names.len() > 30, "{names:?}");
        for shell in SHELLS {
            let script = completion_script(shell);
            for name in &names {
                assert!(script.contains(name.as_str()), "{shell:?} does not complete `{name}`");
            }
        }
    }

    /// Runs a program with a script, if the program is installed, and returns its output.
    fn run(program: &str, arguments: &[&str], script: &str) -> Option<String> {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut running) = command.spawn() else {
            println!("{program} is not installed: its completions are not tested");
            return None;
        };
        running.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    #[cfg(unix)]
    fn shells_accept_their_completion_scripts() {
        run("bash", &["-n"], &completion_script(Shell::Bash));
        run("zsh", &["-n"], &completion_script(Shell::Zsh));
        run("fish", &["--no-execute"], &completion_script(Shell::Fish));
    }

    #[test]
    #[cfg(unix)]
    fn bash_completes_commands_options_and_values() {
        let script = completion_script(Shell::Bash);
        let complete = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (last, before) = (words.len() - 1, words[words.len() - 2]);
            let call = format!(
                "\nCOMP_WORDS=({line}); COMP_CWORD={last}\n_cfcache cfcache '{}' '{before}'\necho \"${{COMPREPLY[@]}}\"\n",
                words[last]
            );
            run("bash", &["--norc", "-s"], &format!("{script}{call}"))
        };
        for (line, completed) in [
            ("cfcache pu", "purge"),
            ("cfcache purge ev", "everything"),
            ("cfcache purge ", "everything urls tags hosts prefixes changed"),
            ("cfcache -z example.com invalidate ", "everything urls tags hosts prefixes changed"),
            ("cfcache smart-tiered set ", "on off"),
            ("cfcache completions ", "bash zsh fish powershell elvish"),
            ("cfcache purge urls --dry", "--dry-run"),
            ("cfcache purge urls --fr", "--from --from-sitemap"),
            ("cfcache --jour", "--journal"),
            ("cfcache invalidate --jour", "--journal"),
            ("cfcache reserve set --dry", "--dry-run"),
            ("cfcache purge tags --output j", "json"),
            ("cfcache completions el", "elvish"),
            // Options that have no effect or are refused.
            ("cfcache settings --jour", ""),
            ("cfcache reserve get --dry", ""),
        ] {
            if let Some(found) = complete(line) {
                assert_eq!(found.trim(), completed, "{line}");
            }
        }
    }

    #[test]
    #[cfg(unix)]
    fn fish_completes_commands_and_options() {
        let script = completion_script(Shell::Fish);
        for (line, completed) in
            [("cfcache pur", "purge"), ("cfcache purge urls --fr", "--from"), ("cfcache settings --jour", "")]
        {
            if let Some(found) = run("fish", &["--no-config"], &format!("{script}\ncomplete -C '{line}'\n")) {
                assert_eq!(found.split_whitespace().next().unwrap_or_default(), completed, "{line}");
            }
        }
    }

    /// In zsh, `NAME: VALUE` between two colons would execute the command ` VALUE`.
    #[test]
    fn zsh_does_not_execute_the_name_of_a_value() {
        let script = completion_script(Shell::Zsh);
        let actions: Vec<&str> = script
            .lines()
            .filter(|line| line.trim_start().starts_with(['\'', '*']) && line.contains("]:"))
            .filter_map(|line| line.rsplit_once("]:"))
            .filter_map(|(_, rest)| rest.split_once(':'))
            .map(|(_, action)| action.trim_end_matches(['\\', ' ', '\'']))
            .collect();
        assert!(actions.len() > 100, "{actions:?}");
        assert!(actions.iter().all(|action| !action.starts_with(' ')), "{actions:?}");
    }

    /// Bash reads 285 KB in 7 ms.
    #[test]
    fn completion_scripts_are_small_enough_for_shell_start_up() {
        for shell in SHELLS {
            let bytes = completion_script(shell).len();
            assert!(bytes < 375_000, "{shell:?}: {bytes}");
        }
    }

    /// The text of each page, by its file.
    fn pages() -> BTreeMap<String, String> {
        let mut top = args::definition();
        top.build();
        with_pages(&top).into_iter().map(|command| (file_name(command), page(command))).collect()
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let pages = pages();
        let mut names = Vec::new();
        commands(&args::definition(), &mut names);
        assert_eq!(pages.len(), names.len() + 1);
        let page = &pages["cfcache-purge-urls.1"];
        assert!(page.contains(r"cfcache \-z example.com purge urls \-\-from urls.txt"), "{page}");
        assert!(!page.contains("concurrency"), "options of every command are on one page: {page}");
    }

    /// The text of a page, without its line breaks.
    fn shown(page: &str) -> String {
        let text = page.replace(r"\-", "-").replace(r"\*(Aq", "'").replace(r"\fR", "").replace(r"\fB", "");
        text.replace(r"\&", "").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_manual_page_has_the_full_help_of_each_option() {
        fn check(command: &Definition, pages: &BTreeMap<String, String>, is_top: bool) -> usize {
            let name = file_name(command);
            let text = shown(&pages[&name]);
            let mut checked = 0;
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if arg.is_global_set() && !is_top {
                    continue;
                }
                let help = arg.get_long_help().or_else(|| arg.get_help()).unwrap().to_string();
                assert!(
                    text.contains(&shown(&help)),
                    "{name}: `{help}` of {} is not in {text}",
                    arg.get_id()
                );
                checked += 1;
            }
            let below = command.get_subcommands().map(|below| check(below, pages, false));
            checked + below.sum::<usize>()
        }
        let mut top = args::definition();
        top.build();
        let checked = check(&top, &pages(), true);
        assert!(checked > 100, "{checked}");
    }

    #[test]
    fn the_first_manual_page_has_environment_files_and_exit_status() {
        let pages = pages();
        let text = &pages["cfcache.1"];
        for title in ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"] {
            let title = if title.contains(' ') { format!("\"{title}\"") } else { title.to_owned() };
            assert_eq!(text.matches(&format!("\n.SH {title}\n")).count(), 1, "{title}: {text}");
        }
        let text = shown(text);
        assert!(text.contains("130 Interrupted."), "{text}");
        assert!(
            text.contains("CLOUDFLARE_API_KEY The global API key; goes with `CLOUDFLARE_EMAIL`."),
            "{text}"
        );
        assert!(text.contains("~/.config/cfcache/config.toml Settings"), "{text}");
        assert!(!text.contains("[`") && !text.contains("Exit codes: 0"), "{text}");
    }

    #[test]
    fn manual_pages_keep_examples_and_hide_no_line() {
        for (file, text) in pages() {
            assert!(text.contains("\n.SH NAME\n"), "{file}: {text}");
            assert!(text.contains("\n.SH SYNOPSIS\n"), "{file}: {text}");
            // A line that begins like an unknown request would disappear.
            let known = ["SH", "TH", "TP", "PP", "RS", "RE", "IP", "br", "nf", "fi", "ie", "el", "ds"];
            for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
                let name: String =
                    line.chars().skip(1).take_while(|character| character.is_alphabetic()).collect();
                assert!(known.contains(&name.as_str()), "{file}: {line}");
            }
        }
    }
}
