//! Asking before something that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;

/// Asks, unless `yes`; no answer but "y" or "yes" is a yes.
///
/// # Errors
///
/// Where the answer is no, or nobody can be asked: exit code 2, and nothing is changed.
pub(crate) fn confirm(talk: &Talk, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let (input, output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        return Err(Failure::usage(
            "this needs a yes, and there is no terminal to ask on; nothing was changed",
        )
        .with_cause(question.to_owned())
        .with_hint("add `--yes` if it is meant"));
    }
    talk.clear();
    let mut answer = String::new();
    let question = Talk::fold(&format!("{question} [y/N]"));
    let asked = write!(output.lock(), "{question} ")
        .and_then(|()| output.lock().flush())
        .and_then(|()| input.lock().read_line(&mut answer));
    match (asked, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Usage, "not confirmed; nothing was changed")),
    }
}
