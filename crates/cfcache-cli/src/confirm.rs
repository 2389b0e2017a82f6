//! Asks for confirmation before an action that cannot be undone.

use std::io::{BufRead, IsTerminal, Read};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Terminal;

/// The maximum length of an answer, in bytes.
const LONGEST_ANSWER: u64 = 1024;

/// Asks a question; only the answers "y" and "yes" confirm.
///
/// # Errors
///
/// If the answer is no, or if there is no terminal: exit code 2, and nothing is changed.
pub(crate) fn confirm(terminal: &Terminal, question: &str) -> Result<(), Failure> {
    let (input, output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        let mut failure = Failure::usage(
            "this needs confirmation, and there is no terminal to ask on; nothing was changed",
        );
        failure.causes = question.lines().map(str::to_owned).collect();
        return Err(failure.with_hint("add `--yes` to confirm it"));
    }
    terminal.ask(&format!("{question} [y/N]"));
    let mut answer = String::new();
    // Bounded, because a program that acts as a terminal may write without end.
    let read = input.lock().take(LONGEST_ANSWER).read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Usage, "not confirmed; nothing was changed")),
    }
}
