//! The user's configuration file, and the project's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cfcache_client::Redactor;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The name of a project's file.
pub(crate) const PROJECT_FILE: &str = ".cfcache.toml";

/// The user's file: settings for everything, profiles that override them, and a map of zones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UserFile {
    /// The profile that is used where none is named.
    pub(crate) profile: Option<String>,
    zone: Option<String>,
    environment: Option<String>,
    plan: Option<String>,
    base_url: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_command: Option<Vec<String>>,
    token: Option<SecretString>,
    /// Domains and the ids of their zones, for tokens that may not look them up.
    #[serde(default)]
    pub(crate) zones: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// Settings that belong together.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    pub(crate) zone: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) plan: Option<String>,
    pub(crate) base_url: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_command: Option<Vec<String>>,
    token: Option<SecretString>,
}

/// Where a file says that the token is.
#[derive(Debug, Clone)]
pub(crate) enum TokenPlace {
    /// In another file.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
    /// In what a command prints.
    Command(Vec<String>),
    /// In the file itself, where it should not be.
    Inline(SecretString),
}

/// A project's file, found from the working directory upwards. It comes with other people's work, so it can name no
/// command to run and no place of a secret.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ProjectFile {
    pub(crate) zone: Option<String>,
    /// No purge or invalidate of everything from in here.
    #[serde(default)]
    pub(crate) forbid_everything: bool,
}

impl UserFile {
    /// The settings that are there for every profile.
    pub(crate) fn common(&self) -> Profile {
        Profile {
            zone: self.zone.clone(),
            environment: self.environment.clone(),
            plan: self.plan.clone(),
            base_url: self.base_url.clone(),
            token_file: self.token_file.clone(),
            token_env: self.token_env.clone(),
            token_command: self.token_command.clone(),
            token: self.token.clone(),
        }
    }
}

impl Profile {
    /// Where the token is.
    ///
    /// # Errors
    ///
    /// Where more than one place is named: which was meant, nobody can tell.
    pub(crate) fn token(&self, origin: &str) -> Result<Option<TokenPlace>, Failure> {
        let places: Vec<TokenPlace> = [
            self.token_file.clone().map(TokenPlace::File),
            self.token_env.clone().map(TokenPlace::Variable),
            self.token_command.clone().map(TokenPlace::Command),
            self.token.clone().map(TokenPlace::Inline),
        ]
        .into_iter()
        .flatten()
        .collect();
        match places.len() {
            0 | 1 => Ok(places.into_iter().next()),
            _ => Err(Failure::usage(format!("{origin} names more than one place for the token"))
                .with_hint("one of `token-file`, `token-env` and `token-command` is enough")),
        }
    }
}

/// Reads a file of settings; `None` where there is none.
///
/// # Errors
///
/// Where it cannot be read or understood, with its line. What stands in that line is not shown: it may be a secret.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::usage(format!("cannot read `{}`: {error}", path.display()))),
    };
    parse(path, &text).map(Some)
}

/// Understands the text of a file of settings.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = without_values(error.message());
        Failure::usage(format!("`{}`, line {line}: {message}", path.display()))
            .with_hint("docs/configuration.md lists the keys, and `cfcache config show` what is in force")
    })
}

/// A message of the parser, without the value that it may quote.
fn without_values(message: &str) -> String {
    let message = match message.split_once("string \"") {
        Some((before, after)) => {
            let rest = after.rsplit_once('"').map_or("", |(_, rest)| rest);
            format!("{before}string{rest}")
        }
        None => message.to_owned(),
    };
    let first_line = message.lines().next().unwrap_or_default();
    Redactor::default().redact(first_line).into_owned()
}

/// The project's file: the nearest, from `start` upwards.
pub(crate) fn find_project(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|directory| directory.join(PROJECT_FILE)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_values() {
        let shown = without_values("invalid type: string \"my secret \\\" word\", expected a sequence");
        assert_eq!(shown, "invalid type: string, expected a sequence");
    }
}
