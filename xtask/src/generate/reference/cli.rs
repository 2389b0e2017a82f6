//! `cli.md`, from what `cfcache --help` prints, command by command.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::generate::reference::begin;

/// The width that the command line prints help for at the most, so that the fewest lines of examples are broken.
const COLUMNS: &str = "100";

pub(super) fn page(cfcache: &Path) -> Result<String> {
    let mut page = begin("The command line", "what `cfcache --help` prints");
    let top = help(cfcache, &[])?;
    page.push_str(&format!("## `cfcache`\n\n```text\n{top}\n```\n"));
    let shared: Vec<String> =
        sections(&top).into_iter().filter(|(title, _)| title.is_some()).map(|(_, text)| text).collect();
    for command in commands(&top) {
        walk(cfcache, &mut vec![command], &shared, &mut page)?;
    }
    Ok(page)
}

fn walk(cfcache: &Path, path: &mut Vec<String>, shared: &[String], page: &mut String) -> Result<()> {
    let help = help(cfcache, path)?;
    let own: Vec<_> = sections(&help).into_iter().filter(|(_, text)| !shared.contains(text)).collect();
    let is_cut = own.len() < sections(&help).len();
    let text: String = own.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n\n");
    page.push_str(&format!("\n## `cfcache {}`\n\n```text\n{text}\n```\n", path.join(" ")));
    let commands = commands(&help);
    if is_cut && commands.is_empty() {
        page.push_str("\nIt also takes the [options of every command](#cfcache).\n");
    }
    for command in commands {
        path.push(command);
        walk(cfcache, path, shared, page)?;
        path.pop();
    }
    Ok(())
}

/// Runs `cfcache` such that nothing of this machine shows: no environment, no terminal.
pub(super) fn run(cfcache: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(cfcache)
        .args(arguments)
        .env_clear()
        .env("COLUMNS", COLUMNS)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", cfcache.display()))?;
    ensure!(
        !output.stdout.is_empty(),
        "`cfcache {}` printed nothing, {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).context("cfcache printed no UTF-8")
}

fn help(cfcache: &Path, path: &[String]) -> Result<String> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = run(cfcache, &arguments)?;
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_end().to_owned())
}

/// Splits help where a title stands (`Options:`), and where text without a title begins.
fn sections(help: &str) -> Vec<(Option<&str>, String)> {
    let mut sections: Vec<(Option<&str>, String)> = Vec::new();
    let mut is_after_blank = true;
    for line in help.lines() {
        let begins = is_after_blank && !line.is_empty() && !line.starts_with(' ');
        is_after_blank = line.is_empty();
        match sections.last_mut() {
            Some((_, text)) if !begins => {
                text.push('\n');
                text.push_str(line);
            }
            _ => sections.push((line.strip_suffix(':'), line.to_owned())),
        }
    }
    for (_, text) in &mut sections {
        text.truncate(text.trim_end().len());
    }
    sections
}

/// The names in the section `Commands`.
fn commands(help: &str) -> Vec<String> {
    let sections = sections(help);
    let list = sections.iter().find(|(title, _)| *title == Some("Commands"));
    let names = list.into_iter().flat_map(|(_, text)| text.lines().skip(1)).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next()
    });
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
Does it

Usage: it <COMMAND>

Commands:
  purge   Removes, and
          more
  zones   Lists

Options:
  -h, --help
          Print help

  -V, --version

Exit codes: many.";

    #[test]
    fn help_falls_into_sections() {
        let sections = sections(HELP);
        let titles: Vec<_> = sections.iter().map(|(title, _)| *title).collect();
        assert_eq!(titles, [None, None, Some("Commands"), Some("Options"), None]);
        assert_eq!(sections[3].1, "Options:\n  -h, --help\n          Print help\n\n  -V, --version");
    }

    #[test]
    fn commands_are_found() {
        assert_eq!(commands(HELP), ["purge", "zones"]);
        assert!(commands("Does it\n\nUsage: it").is_empty());
    }
}
