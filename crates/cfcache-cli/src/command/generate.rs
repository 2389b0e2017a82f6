//! What shells and `man` read, made from the definition of the command line: the only file that names `clap_complete` and
//! `clap_mangen`.

use std::fs;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{self, Definition, ShellArg};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: ShellArg, talk: &Talk) -> Exit {
    talk.data(completion_script(shell).trim_end());
    Exit::Accepted
}

/// Prints the page of `cfcache` itself, or writes the page of each command into a folder.
///
/// # Errors
///
/// Where a page cannot be written.
pub(crate) fn man(folder: Option<&Path>, talk: &Talk) -> Result<Exit, Failure> {
    let pages = pages();
    let Some(folder) = folder else {
        if let Some(page) = pages.first() {
            talk.data(page.text.trim_end());
        }
        return Ok(Exit::Accepted);
    };
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::usage(format!("cannot write `{}`: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    for page in &pages {
        let path = folder.join(&page.file);
        fs::write(&path, &page.text).map_err(|error| cannot(&path, error))?;
    }
    talk.note(&format!("{} pages written to `{}`", pages.len(), folder.display()));
    Ok(Exit::Accepted)
}

fn completion_script(shell: ShellArg) -> String {
    let shell = match shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Zsh => Shell::Zsh,
        ShellArg::Fish => Shell::Fish,
        ShellArg::PowerShell => Shell::PowerShell,
        ShellArg::Elvish => Shell::Elvish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::offered(), "cfcache", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A page of the manual.
struct Page {
    file: String,
    text: String,
}

/// The pages: that of `cfcache` first, then those of its commands, each before those below it.
fn pages() -> Vec<Page> {
    let mut top = args::definition();
    top.build();
    let mut pages = Vec::new();
    add_pages(&top, &mut pages);
    pages
}

fn add_pages(command: &Definition, pages: &mut Vec<Page>) {
    pages.push(page(command));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add_pages(below, pages);
    }
}

fn page(command: &Definition) -> Page {
    let is_top = command.get_display_name().is_none_or(|name| !name.contains('-'));
    let mut shown = command.clone();
    // Clap's own usage is shorter than all the options in a row.
    let usage = shown.render_usage().to_string();
    shown = shown.override_usage(usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned());
    if !is_top {
        shown = shown.mut_args(|arg| {
            let is_global = arg.is_global_set();
            arg.hide(is_global)
        });
    }
    let man = Man::new(shown.clone());
    // The title is not rendered by `man`, which leaves an empty date out, and with it shifts what follows.
    let name = shown.get_display_name().unwrap_or_else(|| shown.get_name());
    let mut text =
        format!(".TH {name} 1 \"\" \"cfcache {}\" \"cfcache manual\"\n", env!("CARGO_PKG_VERSION"))
            .into_bytes();
    // Nothing but memory is written to.
    let _written = man
        .render_name_section(&mut text)
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| match shown.has_subcommands() {
            true => man.render_subcommands_section(&mut text),
            false => Ok(()),
        })
        .and_then(|()| rest(&shown, is_top).to_writer(&mut text));
    Page { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// What stands below the options: examples with their line breaks, remarks, and where to read on.
fn rest(command: &Definition, is_top: bool) -> Roff {
    let mut roff = Roff::new();
    let after = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (examples, remarks): (Vec<&str>, Vec<&str>) = after
        .split("\n\n")
        .filter(|part| !part.trim().is_empty())
        .partition(|part| part.starts_with("Example"));
    for (title, parts) in [("EXAMPLES", examples), ("NOTES", remarks)] {
        if parts.is_empty() {
            continue;
        }
        roff.control("SH", [title]);
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            roff.control("nf", []);
            // The title says that it is an example.
            for line in part.lines().filter(|line| !line.starts_with("Example")) {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    match is_top {
        true => roff.text([
            roman("The page of each command, such as "),
            bold("cfcache-purge-urls"),
            roman("(1)."),
        ]),
        false => roff.text([bold("cfcache"), roman("(1) has the options of every command.")]),
    };
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELLS: [ShellArg; 5] =
        [ShellArg::Bash, ShellArg::Zsh, ShellArg::Fish, ShellArg::PowerShell, ShellArg::Elvish];

    /// The names of all commands, as they are typed.
    fn commands(command: &Definition, names: &mut Vec<String>) {
        for below in command.get_subcommands() {
            names.push(below.get_name().to_owned());
            commands(below, names);
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        let mut names = Vec::new();
        commands(&args::definition(), &mut names);
        assert!(names.len() > 30, "{names:?}");
        for shell in SHELLS {
            let script = completion_script(shell);
            for name in &names {
                assert!(script.contains(name.as_str()), "{shell:?} does not know `{name}`");
            }
        }
    }

    /// Gives a script to a program, where it is installed, and what that printed.
    fn run(program: &str, arguments: &[&str], script: &str) -> Option<String> {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut running) = command.spawn() else {
            println!("{program} is not installed: what it is given stays untried");
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
    fn shells_understand_their_completions() {
        run("bash", &["-n"], &completion_script(ShellArg::Bash));
        run("zsh", &["-n"], &completion_script(ShellArg::Zsh));
        run("fish", &["--no-execute"], &completion_script(ShellArg::Fish));
    }

    #[test]
    #[cfg(unix)]
    fn bash_completes_what_was_begun() {
        let script = completion_script(ShellArg::Bash);
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
            ("cfcache purge urls --dry", "--dry-run"),
            ("cfcache purge urls --fr", "--from"),
            ("cfcache --jour", "--journal"),
            ("cfcache invalidate --jour", "--journal"),
            ("cfcache reserve set --dry", "--dry-run"),
            ("cfcache purge tags --output j", "json"),
            ("cfcache completions el", "elvish"),
            // What would do nothing, or be refused.
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
    fn fish_completes_what_was_begun() {
        let script = completion_script(ShellArg::Fish);
        for (line, completed) in
            [("cfcache pur", "purge"), ("cfcache purge urls --fr", "--from"), ("cfcache settings --jour", "")]
        {
            if let Some(found) = run("fish", &["--no-config"], &format!("{script}\ncomplete -C '{line}'\n")) {
                assert_eq!(found.split_whitespace().next().unwrap_or_default(), completed, "{line}");
            }
        }
    }

    /// `NAME: VALUE` between two colons would be the command ` VALUE`.
    #[test]
    fn zsh_runs_no_name_of_a_value() {
        let script = completion_script(ShellArg::Zsh);
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

    #[test]
    fn a_script_is_not_too_long_to_be_read_at_each_start_of_a_shell() {
        for shell in SHELLS {
            let bytes = completion_script(shell).len();
            assert!(bytes < 250_000, "{shell:?}: {bytes}");
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let pages = pages();
        let mut names = Vec::new();
        commands(&args::definition(), &mut names);
        assert_eq!(pages.len(), names.len() + 1);
        assert_eq!(pages[0].file, "cfcache.1");
        let page = pages.iter().find(|page| page.file == "cfcache-purge-urls.1").unwrap();
        assert!(page.text.contains(r"cfcache \-z example.com purge urls \-\-from urls.txt"), "{}", page.text);
        assert!(
            !page.text.contains("concurrency"),
            "options of every command are on one page: {}",
            page.text
        );
    }

    #[test]
    fn a_page_breaks_no_example_and_hides_no_line() {
        for page in pages() {
            assert!(page.text.contains("\n.SH NAME\n"), "{}: {}", page.file, page.text);
            assert!(page.text.contains("\n.SH SYNOPSIS\n"), "{}: {}", page.file, page.text);
            // A line that begins like a request and is none would vanish.
            let known = ["SH", "TH", "TP", "PP", "RS", "RE", "IP", "br", "nf", "fi", "ie", "el", "ds"];
            for line in page.text.lines().filter(|line| line.starts_with(['.', '\''])) {
                let name: String =
                    line.chars().skip(1).take_while(|character| character.is_alphabetic()).collect();
                assert!(known.contains(&name.as_str()), "{}: {line}", page.file);
            }
        }
    }
}
