//! `environment.md`, from the command line's constants, and from the options that a variable can set.

use anyhow::{Result, ensure};

use crate::generate::reference::{begin, code, table};
use crate::{repo, source};

const CONFIG: &str = "crates/cfcache-cli/src/config.rs";
const ARGS: &str = "crates/cfcache-cli/src/args.rs";

pub(super) fn page() -> Result<String> {
    let mut rows = Vec::new();
    for line in source::lines(&repo::read(ARGS)?) {
        if let (Some(variable), Some((field, _))) = (line.attribute("env"), line.field()) {
            let option = line.attribute("long").unwrap_or(field).replace('_', "-");
            rows.push([code(variable), ended(line.docs), format!("`--{option}`")]);
        }
    }
    for line in source::lines(&repo::read(CONFIG)?) {
        if let Some((_, "&str", value)) = line.constant() {
            let variable = value.trim_matches('"');
            let is_variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if variable.bytes().all(is_variable) {
                rows.push([code(variable), ended(line.docs), String::new()]);
            }
        }
    }
    ensure!(!rows.is_empty(), "{CONFIG} and {ARGS} name no variable");
    rows.sort_unstable();
    // A variable that is both an option's and a constant has the option's row.
    rows.dedup_by(|second, first| {
        second[0] == first[0] && {
            if first[2].is_empty() {
                core::mem::swap(first, second);
            }
            true
        }
    });

    let mut page = begin("Environment variables", &format!("`{ARGS}` and `{CONFIG}`"));
    page.push_str(
        "An option of the command line wins over a variable.\n\
         A variable that is empty, or holds nothing but blanks, counts as unset.\n\n",
    );
    page.push_str(&table(["Variable", "Is", "The same as"], rows));
    Ok(page)
}

/// The help of an option ends without a full stop.
fn ended(mut docs: String) -> String {
    if !docs.ends_with(['.', '?']) {
        docs.push('.');
    }
    docs
}
