//! A command that prints the token.

use core::time::Duration;
use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use cfcache_client::Redactor;
use secrecy::SecretString;

use super::{LONGEST, fail, trimmed};
use crate::config::ValueOrigin;
use crate::console::Console;
use crate::failure::Failure;
use crate::secret::{bare, shown};
use crate::whole;

/// How long a command may take: long enough for a person to unlock a store of passwords.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(120);

/// So much of what a command says on standard error is shown.
const MOST_SAID: u64 = 8 << 10;

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(5);

/// How long the last words of a command that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long a command that has ended may be held open by what it left running.
const GRACE: Duration = Duration::from_secs(1);

/// What a command does.
enum CommandEvent {
    /// It says something on standard error.
    Said(String),
    /// It has closed standard output, or printed more than is read.
    Printed(io::Result<Vec<u8>>),
}

/// Runs a command, and takes the first line that it prints.
///
/// - Standard input is empty: the other one may be a list of entries.
/// - What it says on standard error is passed on line by line; it may ask for a key to be touched.
///
/// # Errors
///
/// Where it cannot be run, fails, prints too much, or takes too long.
pub(crate) fn run(
    program: &str,
    arguments: &[String],
    origin: &ValueOrigin,
    longest: Duration,
    console: &dyn Console,
) -> Result<SecretString, Failure> {
    let name = shown(program);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(format!("{origin}: cannot run {name}: {error}")))?;
    let (events, happened) = mpsc::channel();
    listen(&mut child, &events);
    drop(events);
    let started = now();
    let mut printed = None;
    let mut ended = None;
    loop {
        match happened.recv_timeout(LOOK) {
            Ok(CommandEvent::Said(line)) => console.say(&format!("{}: {line}", bare(program))),
            Ok(CommandEvent::Printed(Ok(bytes))) => printed = Some(bytes),
            Ok(CommandEvent::Printed(Err(error))) => {
                end(&mut child);
                return Err(fail(if error.kind() == io::ErrorKind::FileTooLarge {
                    format!("{origin}: {name} printed more than a token")
                } else {
                    format!("{origin}: cannot read what {name} printed: {error}")
                }));
            }
            // Both ends are closed: it ends soon.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            let status = child
                .try_wait()
                .map_err(|error| fail(format!("{origin}: cannot wait for {name}: {error}")))?;
            ended = status.map(|status| (status, now()));
        }
        match (&ended, &printed) {
            (Some((status, _)), _) if !status.success() => {
                drain(&happened, program, console);
                return Err(fail(format!("{origin}: {name} gave no token ({status})")));
            }
            (Some(_), Some(_)) => break,
            (Some((_, at)), None) if now() - *at > GRACE => {
                return Err(fail(format!(
                    "{origin}: {name} ended, and something that it started keeps its output open"
                )));
            }
            (None, _) if now() - started > longest => {
                end(&mut child);
                return Err(fail(format!("{origin}: {name} gave no token within {} s", longest.as_secs())));
            }
            _ => {}
        }
    }
    drain(&happened, program, console);
    // Such commands print notes behind the secret; the first line is what they are asked for.
    match String::from_utf8(printed.unwrap_or_default()) {
        Ok(text) => Ok(trimmed(text.lines().next().unwrap_or_default().to_owned())),
        Err(_) => Err(fail(format!("{origin}: what {name} printed is not text"))),
    }
}

/// Passes on what is still on its way of what a command said that has ended. What it left running may keep the pipe open,
/// as an agent does, and is not waited for.
fn drain(happened: &Receiver<CommandEvent>, program: &str, console: &dyn Console) {
    while let Ok(event) = happened.recv_timeout(LAST_WORDS) {
        if let CommandEvent::Said(line) = event {
            console.say(&format!("{}: {line}", bare(program)));
        }
    }
}

/// Reads what a command writes, each pipe by a thread of its own.
fn listen(child: &mut Child, events: &Sender<CommandEvent>) {
    if let Some(output) = child.stdout.take() {
        let events = events.clone();
        std::thread::spawn(move || {
            let _nobody_listens = events.send(CommandEvent::Printed(whole::read_from(output, LONGEST)));
        });
    }
    if let Some(said) = child.stderr.take() {
        let events = events.clone();
        std::thread::spawn(move || {
            let mut said = BufReader::new(said);
            let mut line = Vec::new();
            // Lines are handed on up to a bound, and the rest is read so that the command is not held up.
            let mut shown = said.by_ref().take(MOST_SAID);
            while shown.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = Redactor::default().redact(text.trim_end()).into_owned();
                if !text.is_empty() && events.send(CommandEvent::Said(text)).is_err() {
                    return;
                }
                line.clear();
            }
            let _ended = io::copy(&mut said, &mut io::sink());
        });
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself in the meantime.
    let _ended = child.kill();
    let _status = child.wait();
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a command that hangs is ended by the clock")]
    Instant::now()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::exit::Exit;

    /// A console that nobody looks at.
    struct Silent;

    impl Console for Silent {
        fn say(&self, _line: &str) {}
        fn say_once(&self, _line: &str) {}
        fn note(&self, _line: &str) {}
        fn data(&self, _line: &str) {}

        fn failure(&self, failure: &Failure) -> Exit {
            failure.exit
        }

        fn confirm(&self, _question: &str) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[test]
    fn a_command_that_hangs_is_ended_after_its_time_limit() {
        let arguments = ["-c".to_owned(), "exec sleep 3600".to_owned()];
        let origin = ValueOrigin::Option("--example");
        let failure = run("sh", &arguments, &origin, Duration::ZERO, &Silent).unwrap_err();
        assert!(failure.message.ends_with("`sh` gave no token within 0 s"), "{}", failure.message);
    }
}
