//! The user's configuration file and the project file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cfcache_client::{BaseUrl, Redactor};
use cfcache_model::Plan;
use cfcache_model::id::{MAX_ID_CHARS, ZoneId};
use cfcache_site::mapping::Site;
use secrecy::SecretString;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::config::CredentialPlace;
use crate::failure::Failure;
use crate::{secret, whole};

/// The name of a project file.
pub const PROJECT_FILE: &str = ".cfcache.toml";

/// The user's file: common settings, profiles that override them, and a map of zones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserFile {
    /// The profile to use if none is named.
    pub profile: Option<String>,
    zone: Option<String>,
    environment: Option<String>,
    #[serde(default, deserialize_with = "plan")]
    plan: Option<String>,
    #[serde(default, deserialize_with = "base_url")]
    base_url: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_command: Option<Vec<String>>,
    token: Option<SecretString>,
    /// Domains and their zone ids, for tokens that may not look them up.
    #[serde(default)]
    pub zones: BTreeMap<String, MappedZone>,
    /// The profiles, by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// The settings of a profile.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// The zone, by id or by domain.
    pub zone: Option<String>,
    /// The environment, by id or by name.
    pub environment: Option<String>,
    /// The plan whose limits are used.
    #[serde(default, deserialize_with = "plan")]
    pub plan: Option<String>,
    /// The base URL of the API.
    #[serde(default, deserialize_with = "base_url")]
    pub base_url: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_command: Option<Vec<String>>,
    token: Option<SecretString>,
}

/// A project file, found in the working directory or a parent directory. It may come from other people, so it cannot
/// name a command to run or the location of a secret.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProjectFile {
    /// The zone, by id or by domain.
    pub zone: Option<String>,
    /// Whether purging and invalidating everything is forbidden.
    #[serde(default)]
    pub forbid_everything: bool,
    /// The sites that are deployed from here, by name.
    #[serde(default, rename = "site")]
    pub sites: BTreeMap<String, Site>,
}

impl UserFile {
    /// The settings at the top level, which apply to every profile.
    pub fn common(&self) -> Profile {
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
    /// The location of the token.
    ///
    /// # Errors
    ///
    /// As with [`CredentialPlace::from_table`].
    pub fn token(&self, origin: &str) -> Result<Option<CredentialPlace>, Failure> {
        CredentialPlace::from_table(
            origin,
            self.token_file.as_ref(),
            self.token_env.as_ref(),
            self.token_command.as_deref(),
            self.token.as_ref(),
        )
    }
}

// Errors are reported with their line when the file is read, whether the setting is used or not: a mistake that an
// option or a variable hides now could take effect later.

/// The zone id of a domain in `[zones]`.
#[derive(Debug)]
pub struct MappedZone(pub(crate) ZoneId);

impl<'de> Deserialize<'de> for MappedZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ZoneId::parse(&text).map(Self).map_err(|invalid| {
            // The error's own message repeats the text, unless it is too long.
            let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
            D::Error::custom(match text.chars().position(|char| !is_plain(char)) {
                Some(index) if text.chars().count() <= MAX_ID_CHARS => {
                    format!("not a zone id: its character {} is not a letter, digit, `-` or `_`", index + 1)
                }
                None if text.is_empty() => "the zone id is empty".to_owned(),
                _ => invalid.to_string(),
            })
        })
    }
}

fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<BaseUrl>() {
        Ok(_) => Ok(Some(text)),
        Err(invalid) => Err(D::Error::custom(format!("`base-url` is not a base URL: {invalid}"))),
    }
}

fn plan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<Plan>() {
        Err(unknown) if text != "auto" => Err(D::Error::custom(format!("{unknown}, or `auto`"))),
        _ => Ok(Some(text)),
    }
}

/// Reads a settings file; returns `None` if it does not exist.
///
/// # Errors
///
/// If it cannot be read or parsed. The error names the line but does not show it, because it may contain a secret.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let text = match whole::read(path, whole::MOST).and_then(whole::text) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::usage(format!("cannot read {}: {error}", secret::shown_path(path))));
        }
    };
    parse(path, &text).map(Some)
}

/// Parses the text of a settings file.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let mut message = without_values(error.message());
        let found = text.lines().nth(line - 1).unwrap_or_default();
        let key = key(found).filter(|_| message.starts_with("invalid type"));
        if let Some(key) = key {
            message = format!("`{key}`: {message}");
        }
        let failure = Failure::usage(format!("{}, line {line}: {message}", secret::shown_path(path)));
        // A project file has no such tables.
        let is_users = path.file_name().is_none_or(|name| name != PROJECT_FILE);
        match key.filter(|_| is_users && found.trim_start().starts_with('[')) {
            Some(key @ ("zone" | "profile")) => {
                let meant = found.trim().replacen(key, &format!("{key}s"), 1);
                failure.with_hint(format!("did you mean `{meant}`?"))
            }
            _ => failure.with_hint("docs/configuration.md lists the keys and their values"),
        }
    })
}

/// The key of a line; the first part of the name of a table. Text that is not a key may be a secret.
fn key(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches('[').trim_start();
    let end = line.find(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '-' | '_'))?;
    let (key, rest) = line.split_at(end);
    let is_key = !key.is_empty() && rest.trim_start().starts_with([']', '=', '.']);
    is_key.then_some(key)
}

/// Removes values, which may be secret, from a message of the parser.
fn without_values(message: &str) -> String {
    let message = match message.split_once("string \"") {
        Some((before, after)) => {
            let rest = after.rsplit_once('"').map_or("", |(_, rest)| rest);
            format!("{before}string{rest}")
        }
        None => message.to_owned(),
    };
    let first_line = message.lines().next().unwrap_or_default();
    let parts = first_line.split('`').enumerate().map(|(index, part)| {
        // An unknown key may be a token without a key.
        if index % 2 == 1 && secret::may_be_secret(part) { "[secret]" } else { part }
    });
    Redactor::default().redact(&parts.collect::<Vec<_>>().join("`")).into_owned()
}

/// The project files in `start` and its parent directories, the nearest first.
pub fn find_projects(start: &Path) -> Vec<PathBuf> {
    start.ancestors().map(|directory| directory.join(PROJECT_FILE)).filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parser_messages_do_not_show_values() {
        let shown = without_values("invalid type: string \"my secret \\\" word\", expected a sequence");
        assert_eq!(shown, "invalid type: string, expected a sequence");
    }

    #[test]
    fn key_of_line_returns_the_key_without_its_value() {
        for (line, expected) in [
            ("zone = 5", Some("zone")),
            ("[zone]", Some("zone")),
            (" [ profile.a ]", Some("profile")),
            ("token-file=[1]", Some("token-file")),
            ("s3cret", None),
            ("s3cret\"", None),
            ("\"a.example\" = 5", None),
            ("", None),
        ] {
            assert_eq!(key(line), expected, "{line}");
        }
    }
}
