//! `GET /user/tokens/verify` and `GET /accounts/{account_id}/tokens/verify`

use core::fmt::Write as _;

use crate::answer::{ApiResponse, quote};
use crate::auth::{Token, TokenState};
use crate::behavior::Call;

/// The id of every token: the one of the API's own examples.
const TOKEN_ID: &str = "ed17574386854bf78a67040be0a770b0";

/// Returns the state of the request's token. (The account in the path is ignored.)
pub(super) fn verify(call: &Call<'_>) -> ApiResponse {
    // Without a configured one, it is any token of a valid form. (Keys were refused before.)
    let known = call.caller.cloned().unwrap_or_else(|| Token::new(""));
    let status = match known.state {
        TokenState::Active | TokenState::NotYetValid => "active",
        TokenState::Disabled => "disabled",
        TokenState::Expired => "expired",
    };
    let mut result = format!(r#"{{"id":"{TOKEN_ID}","status":"{status}""#);
    for (name, time) in [("not_before", &known.not_before), ("expires_on", &known.expires_on)] {
        if let Some(time) = time {
            // Writing to a string cannot fail.
            _ = write!(result, r#","{name}":{}"#, quote(time));
        }
    }
    result.push('}');
    match known.state {
        TokenState::Active => ApiResponse::remark(&result, 10000, "This API Token is valid and active"),
        // The messages for the other states are not published.
        _ => ApiResponse::success(&result),
    }
}
