//! The configuration file (`--config`): who may send what.

use std::collections::BTreeMap;
use std::path::Path;

use cfcache_app::config::file;
use cfcache_app::failure::Failure;
use cfcache_app::secret::shown_path;
use serde::Deserialize;

use crate::intake::sources::SourceSettings;

/// What the file says. It holds no secret itself, only the names of files with one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ConfigFile {
    /// Who may send requests to the intake: `[sources.NAME]`.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceSettings>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Failure`] where there is none, or it cannot be read or understood. What stands in the line that is wrong is not
    /// shown: it may be a secret.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        match file::read(path) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(Failure::usage(format!("there is no file {}", shown_path(path)))),
            Err(failure) => Err(failure.with_hint("docs/queue.md lists the keys, and what they take")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, Failure> {
        file::parse(Path::new("queue.toml"), text)
    }

    #[test]
    fn sources_are_tables_and_what_nobody_knows_is_named() {
        let file = parse(
            "[sources.shop]\nauth = 'bearer'\nsecret-files = ['/s']\nzones = ['a.example']\nrate = 5\n",
        );
        assert_eq!(file.unwrap().sources["shop"].rate, Some(5.0));
        assert!(parse("").unwrap().sources.is_empty());
        for (text, part) in [
            (
                "[sources.shop]\nauth = 'bearer'\nsecret = 'hunter2-hunter2-hunter2'\nzones = []",
                "line 3: unknown field `secret`",
            ),
            ("[sources.shop]\nauth = 'password'\nzones = []", "line 2: unknown variant"),
            ("[sources.shop]\nauth = 'bearer'", "missing field `zones`"),
            ("[source.shop]\nauth = 'bearer'", "unknown field `source`"),
            ("hunter2", "line 1"),
        ] {
            let failure = parse(text).map(drop).unwrap_err();
            assert!(failure.message.contains(part), "{part}: {failure:?}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
        let failure = ConfigFile::read(Path::new("/no/such/file.toml")).map(drop).unwrap_err();
        assert!(failure.message.contains("there is no file"), "{failure:?}");
    }
}
