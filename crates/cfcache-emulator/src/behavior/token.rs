//! `GET /user/tokens/verify` and `GET /accounts/{account_id}/tokens/verify`

use core::fmt::Write as _;

use crate::answer::{ApiResponse, quote};
use crate::auth::{Caller, Token, TokenState};
use crate::behavior::Call;

/// The id of every token here: the one of the API's own examples.
const TOKEN_ID: &str = "ed17574386854bf78a67040be0a770b0";

/// Says what is known about the token that the request carries. (The account in the path is not looked at.)
pub(super) fn verify(call: &Call<'_>) -> ApiResponse {
    let known = match call.caller {
        Caller::Known(token) => token.clone(),
        // Whatever it is, it is of a valid form. (Keys were refused before.)
        Caller::AnyToken | Caller::Key => Token::new(""),
    };
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
        // What the messages say about the others is not published.
        _ => ApiResponse::success(&result),
    }
}
