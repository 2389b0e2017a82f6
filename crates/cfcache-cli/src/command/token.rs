//! `token verify`

use cfcache_model::endpoint::VerifyToken;
use cfcache_model::id::AccountId;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::observe::Trace;
use crate::render::Talk;
use crate::resolve::Connection;
use crate::session::Session;

/// Asks whether the token is valid: exit code 0 only where it is active.
pub(crate) async fn verify(
    connection: Connection,
    account: Option<AccountId>,
    talk: &Talk,
) -> Result<Exit, Failure> {
    let session = Session::open(&connection).await?;
    let request = match &account {
        Some(account) => VerifyToken::of_account(account),
        None => VerifyToken::of_user(),
    };
    let answer = session.client.call(&request, &mut Trace(talk)).await.map_err(|error| {
        let failure = Failure::of(&error, "the token is not verified");
        match (&account, error.kind()) {
            (None, cfcache_client::ErrorKind::Credentials) => failure.with_hint(
                "a token of an account is verified with `--account ID`, and an API key not at all",
            ),
            _ => failure,
        }
    })?;
    let token = answer.result;
    if talk.output != OutputArg::Human {
        talk.data(&answer.raw);
    } else {
        let mut line = format!("the token is {}", token.status);
        if let Some(begins) = &token.not_before {
            line.push_str(&format!(", from {begins}"));
        }
        match &token.expires_on {
            Some(ends) => line.push_str(&format!(", until {ends}")),
            None => line.push_str(", and does not expire"),
        }
        talk.data(&line);
    }
    session.close().await;
    Ok(if token.is_active() { Exit::Accepted } else { Exit::Credentials })
}
