//! `environment.md`, from the command line's constants, and from the options that a variable can set.

use anyhow::{Result, ensure};

use crate::generate::reference::{begin, code, table};
use crate::source::Line;
use crate::{repo, source};

const VARIABLES: &str = "crates/cfcache-cli/src/config/environment.rs";
const OPTIONS: &str = "crates/cfcache-cli/src/args.rs";

pub(super) fn page() -> Result<String> {
    let options = source::lines(&repo::read(OPTIONS)?);
    let options: Vec<(&str, String)> = options.iter().filter_map(option).collect();
    let mut rows: Vec<[String; 3]> = Vec::new();
    for line in source::lines(&repo::read(VARIABLES)?) {
        if let Some((_, "&str", value)) = line.constant()
            && let variable = value.trim_matches('"')
            && is_variable(variable)
        {
            let option = options.iter().find(|(of, _)| *of == variable).map(|(_, option)| option.clone());
            rows.push([code(variable), line.docs, option.unwrap_or_default()]);
        }
    }
    ensure!(!rows.is_empty(), "{VARIABLES} names no variable");

    let mut page = begin("Environment variables", &format!("`{VARIABLES}` and `{OPTIONS}`"));
    page.push_str(
        "An option of the command line wins over a variable, and a variable over a profile of the configuration file.\n\
         A variable that is empty, or holds nothing but blanks, counts as unset.\n\n",
    );
    page.push_str(&table(["Variable", "Is", "The same as"], rows));
    Ok(page)
}

/// An option and its variable, where its help says `[env: VARIABLE]`, and no more than that about it.
fn option(line: &Line) -> Option<(&str, String)> {
    let (_, rest) = line.docs.split_once("[env: ")?;
    let variable = rest.split(']').next().filter(|variable| is_variable(variable))?;
    let (field, _) = line.field()?;
    Some((variable, format!("`--{}`", field.replace('_', "-"))))
}

fn is_variable(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.bytes().all(is_part)
}
