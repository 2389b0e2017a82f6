//! Runs a command that prints the token.

use core::time::Duration;
use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use cfcache_client::Redactor;
use secrecy::SecretString;

use super::{LONGEST, fail, trimmed};
use crate::config::ValueOrigin;
use crate::console::Console;
use crate::failure::Failure;
use crate::secret::{bare, shown};
use crate::whole;

/// The time limit of a command: long enough for a person to unlock a password store.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(120);

/// The maximum size of the command's standard error that is shown, in bytes.
const MOST_SAID: u64 = 8 << 10;

/// How often the end of a command is polled.
const LOOK: Duration = Duration::from_millis(5);

/// How long to wait for the last output of a command that has ended.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long to wait if a process that the command started keeps its output open.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a command, and returns the first line of its output.
///
/// - Standard input is empty, because the program's own may be a list of entries.
/// - Standard error is shown line by line; the command may ask the user to touch a key.
///
/// # Errors
///
/// If the command cannot be run, fails, prints too much, or takes too long.
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
    let (lines, output) = (read_lines(&mut child), read_output(&mut child));
    let started = now();
    let mut printed = None;
    let mut ended = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => console.say(&format!("{}: {line}", bare(program))),
            // Standard error is closed, and returns at once from now on.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match output.try_recv() {
            Ok(Ok(bytes)) => printed = Some(bytes),
            Ok(Err(error)) => {
                end(&mut child);
                return Err(fail(if error.kind() == io::ErrorKind::FileTooLarge {
                    format!("{origin}: {name} printed more than a token")
                } else {
                    format!("{origin}: cannot read what {name} printed: {error}")
                }));
            }
            Err(_) => {}
        }
        if ended.is_none() {
            let status = child
                .try_wait()
                .map_err(|error| fail(format!("{origin}: cannot wait for {name}: {error}")))?;
            ended = status.map(|status| (status, now()));
        }
        match (&ended, &printed) {
            (Some((status, _)), _) if !status.success() => {
                drain(&lines, program, console);
                return Err(fail(format!("{origin}: {name} printed no token ({status})")));
            }
            (Some(_), Some(_)) => break,
            (Some((_, at)), None) if now() - *at > GRACE => {
                return Err(fail(format!(
                    "{origin}: {name} ended, but a process that it started keeps its output open"
                )));
            }
            (None, _) if now() - started > longest => {
                end(&mut child);
                return Err(fail(format!(
                    "{origin}: {name} printed no token within {} s",
                    longest.as_secs()
                )));
            }
            _ => {}
        }
    }
    drain(&lines, program, console);
    // Such commands may print notes after the secret; the token is the first line.
    match String::from_utf8(printed.unwrap_or_default()) {
        Ok(text) => Ok(trimmed(text.lines().next().unwrap_or_default().to_owned())),
        Err(_) => Err(fail(format!("{origin}: the output of {name} is not text"))),
    }
}

/// Shows the remaining lines of a command that has ended. Processes that it left running, such as an agent, may keep the
/// pipe open and are not waited for.
fn drain(lines: &Receiver<String>, program: &str, console: &dyn Console) {
    while let Ok(line) = lines.recv_timeout(LAST_WORDS) {
        console.say(&format!("{}: {line}", bare(program)));
    }
}

/// Reads standard output in a thread. The result arrives when it is closed or exceeds the limit.
fn read_output(child: &mut Child) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, output) = mpsc::channel();
    if let Some(printed) = child.stdout.take() {
        std::thread::spawn(move || {
            let _nobody_listens = sender.send(whole::read_from(printed, LONGEST));
        });
    }
    output
}

/// Reads the lines of standard error in a thread.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(said) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut said = BufReader::new(said);
            let mut line = Vec::new();
            // Lines are passed on up to a limit; the rest is read so that the command is not blocked.
            let mut shown = said.by_ref().take(MOST_SAID);
            while shown.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = Redactor::default().redact(text.trim_end()).into_owned();
                if !text.is_empty() && sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
            let _ended = io::copy(&mut said, &mut io::sink());
        });
    }
    lines
}

fn end(child: &mut Child) {
    // It may have ended in the meantime.
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

    /// A console that shows nothing.
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
        assert!(failure.message.ends_with("`sh` printed no token within 0 s"), "{}", failure.message);
    }
}
