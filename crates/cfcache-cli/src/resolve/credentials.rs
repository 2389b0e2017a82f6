//! The credentials, from wherever they are.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use cfcache_client::{Credentials, InvalidCredentials};
use secrecy::SecretString;

use crate::config::{API_KEY, API_TOKEN, CredentialPlace, EMAIL, Environment, Origin, Sourced, TokenPlace};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;

/// More than any secret: another file was named by mistake.
const LONGEST: u64 = 4096;

/// Gets the credentials from where they are.
///
/// # Errors
///
/// [`Failure`] with exit code 3, which never shows what was found.
pub(super) fn fetch(
    place: Option<&Sourced<CredentialPlace>>,
    environment: &Environment,
    talk: &Talk,
) -> Result<Credentials, Failure> {
    let Some(Sourced { value: place, origin }) = place else { return Err(none(environment)) };
    if matches!(place, CredentialPlace::Profile(_))
        && environment.key.is_some()
        && environment.email.is_none()
    {
        talk.warn(&format!(
            "`{API_KEY}` is set without `{EMAIL}`, and is not used: the token of {origin} is"
        ));
    }
    let token = match place {
        CredentialPlace::Token(token) => token.clone(),
        CredentialPlace::Key { email, key } => {
            return Credentials::key(email, key.clone()).map_err(|invalid| refuse(API_KEY, invalid));
        }
        CredentialPlace::OptionFile(path) | CredentialPlace::Profile(TokenPlace::File(path)) => {
            from_file(path, talk)?
        }
        CredentialPlace::Profile(TokenPlace::Variable(name)) => match Environment::other(name) {
            Some(token) => SecretString::from(token),
            None => {
                return Err(fail(format!("{origin} says that the token is in `{name}`, which is not set")));
            }
        },
        CredentialPlace::Profile(TokenPlace::Command { program, arguments }) => {
            from_command(program, arguments, origin)?
        }
        CredentialPlace::Profile(TokenPlace::Inline(token)) => {
            talk.warn(&format!(
                "{origin} holds a token itself; `token-file` or `token-command` keep it out of backups and screens",
            ));
            if let Origin::File(path, _) = origin {
                warn_if_open(path, talk);
            }
            token.clone()
        }
    };
    Credentials::token(token).map_err(|invalid| refuse(&origin.to_string(), invalid))
}

fn fail(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Credentials, message)
}

fn refuse(origin: &str, invalid: InvalidCredentials) -> Failure {
    fail(format!("{origin}: {invalid}"))
}

fn none(environment: &Environment) -> Failure {
    let failure = match (&environment.key, &environment.email) {
        (Some(_), None) => fail("an API key needs the e-mail address of its user")
            .with_hint(format!("set `{EMAIL}` as well, or use a token (`{API_TOKEN}`)")),
        (None, Some(_)) => fail("an e-mail address needs the API key of its user")
            .with_hint(format!("set `{API_KEY}` as well, or use a token (`{API_TOKEN}`)")),
        _ => fail("no credentials").with_hint(format!(
            "set `{API_TOKEN}`, or name a file that holds the token with `--api-token-file`; `--emulator` needs none",
        )),
    };
    match environment.empty.iter().find(|name| [API_TOKEN, API_KEY, EMAIL].contains(&name.as_str())) {
        Some(name) => failure.with_cause(format!("`{name}` is set, and empty")),
        None => failure,
    }
}

fn from_file(path: &Path, talk: &Talk) -> Result<SecretString, Failure> {
    let mut text = String::new();
    let mut read = |reader: &mut dyn Read| reader.take(LONGEST + 1).read_to_string(&mut text);
    let outcome = match path == Path::new("-") {
        true => read(&mut std::io::stdin().lock()),
        false => {
            warn_if_open(path, talk);
            std::fs::File::open(path).and_then(|mut file| read(&mut file))
        }
    };
    let shown = path.display();
    match outcome {
        Err(error) => Err(fail(format!("cannot read the token from `{shown}`: {error}"))),
        Ok(_) => trimmed(text, &format!("`{shown}`")),
    }
}

/// Runs a command that prints the token. It may ask its user something: standard input and error are the terminal's.
fn from_command(program: &str, arguments: &[String], origin: &Origin) -> Result<SecretString, Failure> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| fail(format!("{origin}: cannot run `{program}`: {error}")))?;
    if !output.status.success() {
        return Err(fail(format!("{origin}: `{program}` gave no token ({})", output.status)));
    }
    match String::from_utf8(output.stdout) {
        // Such commands print notes behind the secret; the first line is what they are asked for.
        Ok(text) => trimmed(text.lines().next().unwrap_or_default().to_owned(), &format!("`{program}`")),
        Err(_) => Err(fail(format!("{origin}: what `{program}` printed is not text"))),
    }
}

fn trimmed(text: String, origin: &str) -> Result<SecretString, Failure> {
    match text.len() as u64 > LONGEST {
        true => Err(fail(format!("{origin} holds more than a token"))),
        false => Ok(SecretString::from(text.trim().to_owned())),
    }
}

/// Warns where anybody else on this machine may read a file with a secret.
fn warn_if_open(path: &Path, talk: &Talk) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let is_open = |file: std::fs::Metadata| file.is_file() && file.permissions().mode() & 0o077 != 0;
        if std::fs::metadata(path).is_ok_and(is_open) {
            let shown = path.display();
            talk.warn(&format!("others on this machine may read `{shown}` (`chmod 600 {shown}`)"));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, talk);
}
