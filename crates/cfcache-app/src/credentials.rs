//! Loads the credentials.

mod command;

use std::io::ErrorKind;
use std::path::Path;

use cfcache_client::Credentials;
use cfcache_model::InvalidInput;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{API_KEY, API_TOKEN, CredentialPlace, EMAIL, EnvVars, Sourced, ValueOrigin};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::secret::{may_be_secret, shown, shown_path};
use crate::whole;

/// The maximum size of a secret; a larger file was named by mistake.
const LONGEST: u64 = 4096;

/// Loads the credentials from their location.
///
/// # Errors
///
/// [`Failure`] with exit code 3, which never shows the credentials.
pub fn fetch(
    place: Option<&Sourced<CredentialPlace>>,
    environment: &EnvVars,
    console: &dyn Console,
) -> Result<Credentials, Failure> {
    let Some(Sourced { value: place, origin }) = place else { return Err(none(environment)) };
    if matches!(origin, ValueOrigin::File(..)) && environment.key.is_some() && environment.email.is_none() {
        console.warn(&format!(
            "`{API_KEY}` is set without `{EMAIL}` and is not used; the token of {origin} is used"
        ));
    }
    let token = match place {
        CredentialPlace::Token(token) => token.clone(),
        CredentialPlace::Key { email, key } => {
            return Credentials::key(email, key.clone()).map_err(|invalid| refuse(API_KEY, &invalid));
        }
        CredentialPlace::File(path) => from_file(path, console)?,
        CredentialPlace::Variable(name) => match environment.other(name) {
            Some(token) => SecretString::from(token),
            None => {
                return Err(fail(format!(
                    "{origin} says that the token is in {}, which is not set",
                    shown(name)
                )));
            }
        },
        CredentialPlace::Command { program, arguments } => {
            command::run(program, arguments, origin, command::LONGEST_TIME, console)?
        }
        CredentialPlace::Inline(token) => {
            console.warn(&format!(
                "{origin} contains a token; use `token-file` or `token-command` to keep it out of backups and screens",
            ));
            if let ValueOrigin::File(path, _) = origin {
                warn_if_open(path, console);
            }
            token.clone()
        }
    };
    check_quotes(&token, origin)?;
    Credentials::token(token).map_err(|invalid| {
        refuse(&origin.to_string(), &invalid)
            .with_hint("a token is one word: give the value alone, without `Bearer` or other text")
    })
}

/// Refuses a token in quotes: no token has any, but programs that read `env` files may keep them. The API would only
/// respond that the token is unknown.
fn check_quotes(token: &SecretString, origin: &ValueOrigin) -> Result<(), Failure> {
    let is_quote =
        |char: char| matches!(char, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}');
    let token = token.expose_secret();
    if token.starts_with(is_quote) || token.ends_with(is_quote) {
        return Err(fail(format!("the token of {origin} has quotes around it, which are part of its value"))
            .with_hint("remove the quotes; `docker --env-file` and other programs do not remove them"));
    }
    Ok(())
}

fn fail(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Credentials, message)
}

fn refuse(origin: &str, invalid: &InvalidInput) -> Failure {
    fail(format!("{origin}: {invalid}"))
}

fn none(environment: &EnvVars) -> Failure {
    let failure = match (&environment.key, &environment.email) {
        (Some(_), None) => fail("an API key needs the e-mail address of its user")
            .with_hint(format!("set `{EMAIL}` as well, or use a token (`{API_TOKEN}`)")),
        (None, Some(_)) => fail("an e-mail address needs the API key of its user")
            .with_hint(format!("set `{API_KEY}` as well, or use a token (`{API_TOKEN}`)")),
        _ => fail("no credentials").with_hint(format!(
            "set `{API_TOKEN}`, or name a file that holds the token with `--api-token-file`; `--emulator` needs none",
        )),
    };
    let empty = environment.empty.iter().find(|name| [API_TOKEN, API_KEY, EMAIL].contains(&name.as_str()));
    let mut failure = match empty {
        Some(name) => failure.with_cause(format!("`{name}` is set but empty")),
        None => failure,
    };
    failure.causes.extend(environment.unread(&[API_TOKEN, API_KEY, EMAIL]));
    failure
}

fn from_file(path: &Path, console: &dyn Console) -> Result<SecretString, Failure> {
    let shown =
        if path == Path::new("-") { "standard input".to_owned() } else { shown_path(path).to_string() };
    match whole::read_text(path, LONGEST) {
        Ok(text) => {
            warn_if_open(path, console);
            Ok(trimmed(text))
        }
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            Err(fail(format!("{shown} contains more than a token")))
        }
        Err(error) => {
            let failure = fail(format!("cannot read the token from {shown}: {error}"));
            Err(if error.kind() == ErrorKind::NotFound && may_be_secret(&path.to_string_lossy()) {
                failure.with_hint(format!(
                    "give the name of a file; put a token itself into `{API_TOKEN}` or on standard input \
                     (`--api-token-file -`)",
                ))
            } else {
                failure
            })
        }
    }
}

fn trimmed(text: String) -> SecretString {
    let text = SecretString::from(text);
    // A byte order mark, which some editors write, is not part of the token.
    SecretString::from(text.expose_secret().trim_start_matches('\u{feff}').trim().to_owned())
}

/// Warns if other users can read a file with a secret and its owner can change that. Files that are mounted into a
/// container cannot be changed from inside, and no other user can read them.
fn warn_if_open(path: &Path, console: &dyn Console) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(file) = std::fs::metadata(path) else { return };
        let is_open = file.is_file() && file.mode() & 0o077 != 0;
        // A file without write permission was put there intentionally, for example as a mounted secret.
        let is_writable = file.mode() & 0o200 != 0;
        let is_own = file.uid() == rustix::process::geteuid().as_raw();
        let is_fixed = rustix::fs::statvfs(path)
            .is_ok_and(|volume| volume.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        if is_open && is_writable && is_own && !is_fixed {
            let shown = shown_path(path);
            let bare = crate::secret::bare(&path.to_string_lossy()).to_string();
            console.warn(&format!("other users can read {shown} (`chmod 600 {bare}`)"));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, console);
}
