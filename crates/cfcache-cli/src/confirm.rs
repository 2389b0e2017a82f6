//! Asking before something that cannot be undone.

use std::io::{BufRead, IsTerminal, Read};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Terminal;

/// The longest answer that is read.
const LONGEST_ANSWER: u64 = 1024;

/// Asks; no answer but "y" or "yes" is a yes.
///
/// # Errors
///
/// Where the answer is no, or nobody can be asked: exit code 2, and nothing is changed.
pub(crate) fn confirm(terminal: &Terminal, question: &str) -> Result<(), Failure> {
    let (input, output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        let mut failure =
            Failure::usage("this needs a yes, and there is no terminal to ask on; nothing was changed");
        failure.causes = question.lines().map(str::to_owned).collect();
        return Err(failure.with_hint("add `--yes` if it is meant"));
    }
    terminal.ask(&format!("{question} [y/N]"));
    let mut answer = String::new();
    // An answer is short; a terminal that is a program may write without end.
    let read = input.lock().take(LONGEST_ANSWER).read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Usage, "not confirmed; nothing was changed")),
    }
}
