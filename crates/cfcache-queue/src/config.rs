//! The configuration file (`--config`): the sources that may send requests, and the accounts that purge zones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cfcache_app::config::{CredentialPlace, Sourced, ValueOrigin, file};
use cfcache_app::connection;
use cfcache_app::failure::Failure;
use cfcache_app::secret::{shown, shown_path};
use cfcache_model::Plan;
use serde::Deserialize;

use crate::intake::sources::{self, SourceSettings};

/// The content of the file. It contains no secrets, only the names of files with secrets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ConfigFile {
    /// The sources that may send requests to the intake: `[sources.NAME]`.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceSettings>,
    /// Additional accounts: `[accounts.NAME]`. All other zones belong to the account from the environment.
    #[serde(default)]
    pub accounts: BTreeMap<String, AccountSettings>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the file is missing or cannot be read or parsed. The message does not show the content of the
    /// invalid line, because it may be a secret.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        match file::read(path) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(Failure::usage(format!("there is no file {}", shown_path(path)))),
            Err(failure) => Err(failure.with_hint("docs/queue.md lists the keys and their values")),
        }
    }
}

impl ConfigFile {
    /// Checks the settings of the accounts that need neither credentials nor a network.
    ///
    /// # Errors
    ///
    /// [`Failure`] if an account names no zone, or one of another account, or if its plan or share is invalid.
    pub fn check_accounts(&self) -> Result<(), Failure> {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for (name, account) in &self.accounts {
            account.plan(name)?;
            account.share(name)?;
            if account.zones.is_empty() {
                return Err(account.invalid(name, "`zones` is empty: it lists domains and ids"));
            }
            for zone in &account.zones {
                let zone = sources::zone(zone)
                    .map_err(|problem| account.invalid(name, &format!("`zones`: {problem}")))?;
                match owners.insert(zone, name) {
                    Some(owner) if owner != name => {
                        return Err(account.invalid(name, &format!("{} names the same zone", shown(owner))));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// An account: credentials for some zones, and the limits that these zones share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct AccountSettings {
    /// The domains or ids of its zones.
    pub zones: Vec<String>,
    /// The plan of its zones. Without it, the API is asked for the plan of each zone.
    pub plan: Option<String>,
    /// The part of the account's limits that the queue may use, above 0 and up to 1. The rest is left to other tools.
    pub share: Option<f64>,
    /// A file that contains the token.
    pub token_file: Option<PathBuf>,
    /// An environment variable that contains the token.
    pub token_env: Option<String>,
    /// A command that prints the token.
    pub token_command: Option<Vec<String>>,
}

impl AccountSettings {
    /// Returns the place of the credentials.
    ///
    /// # Errors
    ///
    /// [`Failure`] if none or more than one is set.
    pub fn credentials(&self, name: &str, path: &Path) -> Result<Sourced<CredentialPlace>, Failure> {
        let owner = format!("account {}", shown(name));
        let (file, variable) = (self.token_file.as_ref(), self.token_env.as_ref());
        let command = self.token_command.as_deref();
        match CredentialPlace::from_table(&owner, file, variable, command, None)? {
            Some(value) => {
                Ok(Sourced { value, origin: ValueOrigin::File(path.to_owned(), Some(name.to_owned())) })
            }
            None => Err(self
                .invalid(name, "it names no token")
                .with_hint("name one with `token-file`, `token-env` or `token-command`")),
        }
    }

    /// Returns the plan, if one is set.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no such plan.
    pub fn plan(&self, name: &str) -> Result<Option<Plan>, Failure> {
        connection::plan(self.plan.as_deref()).map_err(|failure| self.invalid(name, &failure.message))
    }

    /// Returns the share of the limits.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not above 0 and at most 1.
    pub fn share(&self, name: &str) -> Result<f64, Failure> {
        let share = self.share.unwrap_or(1.0);
        if share > 0.0 && share <= 1.0 {
            return Ok(share);
        }
        Err(self.invalid(name, &format!("its `share` is {share}, but must be above 0 and at most 1")))
    }

    fn invalid(&self, name: &str, why: &str) -> Failure {
        Failure::usage(format!("account {}: {why}", shown(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, Failure> {
        file::parse(Path::new("queue.toml"), text)
    }

    #[test]
    fn reads_sources_and_names_unknown_fields() {
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

    #[test]
    fn each_zone_belongs_to_one_account() {
        let check = |first: &str, second: &str| {
            let text = format!("[accounts.a]\nzones = [{first}]\n[accounts.b]\nzones = [{second}]\n");
            parse(&text)?.check_accounts()
        };
        check("'a.example', 'A.example'", "'b.example'").unwrap();
        for (first, second, part) in [
            ("'a.example'", "", "account `b`: `zones` is empty"),
            ("'a.example'", "'b.example', 'A.Example'", "account `b`: `a` names the same zone"),
            ("'not a zone'", "'b.example'", "account `a`: `zones`: "),
            ("'*'", "'b.example'", "account `a`: `zones`: "),
        ] {
            let failure = check(first, second).unwrap_err();
            assert!(failure.message.contains(part), "{part}: {failure:?}");
        }
    }

    #[test]
    fn an_account_needs_exactly_one_token_setting() {
        let account = |text: &str| {
            let file = parse(&format!("[accounts.shop]\nzones = ['a.example']\n{text}"))?;
            let account = &file.accounts["shop"];
            let path = Path::new("queue.toml");
            account.credentials("shop", path)?;
            Ok::<_, Failure>((account.plan("shop")?, account.share("shop")?))
        };
        assert_eq!(account("token-env = 'T'").unwrap(), (None, 1.0));
        let full = "token-command = ['pass', 'cf']\nplan = 'pro'\nshare = 0.5";
        assert_eq!(account(full).unwrap(), (Some(Plan::Pro), 0.5));
        for (text, part) in [
            ("", "it names no token"),
            ("token-env = 'T'\ntoken-file = '/t'", "has more than one token setting"),
            ("token-command = []", "`token-command` is empty"),
            ("token-env = 'T'\nplan = 'gold'", "is not a plan"),
            ("token-env = 'T'\nshare = 0.0", "above 0"),
            ("token-env = 'T'\nshare = 1.5", "at most 1"),
            ("token = 'hunter2'", "unknown field"),
        ] {
            let failure = account(text).map(drop).unwrap_err();
            assert!(failure.message.contains(part), "{part}: {failure:?}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
