//! Verification of tokens.

use cfcache_client::{Error, ErrorKind};
use cfcache_model::date::rfc_3339;
use cfcache_model::endpoint::{ApiRequest, TokenStatus};
use cfcache_model::id::AccountId;

use crate::config::{ACCOUNT_ID, Sourced, ValueOrigin};
use crate::connection::Connection;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manage::{ManageReport, ManageResult};
use crate::observe::show_events;
use crate::session::Session;

/// Verifies the token: exit code 0 only if it is active.
///
/// Tokens of users and of accounts are verified with different endpoints. An account named by a variable may be wrong:
/// if its endpoint refuses the token, the endpoint for users is called as well.
pub(super) async fn verify(
    connection: &Connection,
    account: Option<&Sourced<AccountId>>,
    unread: Vec<String>,
    console: &dyn Console,
) -> Result<ManageReport, Failure> {
    let session = Session::open(connection).await?;
    let ask = async |request: ApiRequest<TokenStatus>| {
        session.client.call(&request, &mut show_events(console)).await
    };
    let result = match account {
        None => ask(ApiRequest::verify_token()).await,
        Some(account) => match ask(ApiRequest::verify_account_token(&account.value)).await {
            Err(refused) if matches!(account.origin, ValueOrigin::Variable(_)) && is_refusal(&refused) => {
                match ask(ApiRequest::verify_token()).await {
                    Ok(answer) => {
                        console.note(&format!(
                            "{} is set, but the token belongs to a user and not to that account",
                            account.origin
                        ));
                        Ok(answer)
                    }
                    // The result for users is only more useful if it is not a refusal.
                    Err(error) => Err(if is_refusal(&error) { refused } else { error }),
                }
            }
            result => result,
        },
    };
    let answer = result.map_err(|error| not_verified(&error, account, unread))?;
    session.close().await;
    let status = answer.result;
    let is_early = status.not_before.as_deref().is_some_and(|begins| is_later(begins, &now()));
    let exit = if status.is_active() && !is_early { Exit::Accepted } else { Exit::Credentials };
    Ok(ManageReport { exit, ..ManageReport::new(answer.raw, ManageResult::Token { status, is_early }) })
}

/// Returns whether the API responded and refused to verify the token with that endpoint.
fn is_refusal(error: &Error) -> bool {
    error.failure().is_some() && matches!(error.kind(), ErrorKind::Credentials | ErrorKind::Refused)
}

fn not_verified(error: &Error, account: Option<&Sourced<AccountId>>, unread: Vec<String>) -> Failure {
    let failure = Failure::from_error(error, "the token is not verified");
    if !is_refusal(error) {
        return failure;
    }
    match account {
        None => {
            let mut failure = failure.with_hint(format!(
                "to verify a token of an account, use `--account ID` (or `{ACCOUNT_ID}`); an API key cannot be verified",
            ));
            failure.causes.extend(unread);
            failure
        }
        Some(Sourced { value, origin: origin @ ValueOrigin::Variable(_) }) => failure.with_hint(format!(
            "the token is known neither for the account {value} (of {origin}) nor as a user's token",
        )),
        Some(Sourced { value, .. }) => failure.with_hint(format!(
            "the account {value} does not know the token; verify a user's token without `--account`"
        )),
    }
}

/// Returns whether a time is later than another; both in RFC 3339 format in UTC. Other formats count as not later.
fn is_later(time: &str, other: &str) -> bool {
    let is_utc = time.ends_with('Z') && time.is_ascii();
    is_utc && time.get(..SECONDS) > other.get(..SECONDS)
}

/// The length of `2026-03-01T12:00:00`.
const SECONDS: usize = 19;

fn now() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether a token is valid yet is a question to the calendar"
    )]
    let now = std::time::SystemTime::now();
    rfc_3339(now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_times() {
        let now = "2026-03-01T12:00:00Z";
        for (time, expected) in [
            ("2026-03-01T12:00:01Z", true),
            ("2099-12-31T23:59:59.5Z", true),
            ("2026-03-01T12:00:00Z", false),
            ("2026-03-01T11:59:59Z", false),
            ("2026-03-02T00:00:00+14:00", false),
            ("soon", false),
            ("", false),
        ] {
            assert_eq!(is_later(time, now), expected, "{time}");
        }
    }
}
