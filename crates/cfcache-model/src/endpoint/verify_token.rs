//! `GET /user/tokens/verify` and `GET /accounts/{account_id}/tokens/verify`

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::endpoint::{ApiRequest, Area, Descriptor, Method, Replay, Sample, refusal, sample};
use crate::id::AccountId;

/// What the API knows about a token.
///
/// A success has the code 10000 in `messages`, which means that the token is valid; in `errors`, the same code means an
/// authentication failure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TokenStatus {
    /// The id of the token, which is not a secret.
    pub id: String,
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// When it expires, in RFC 3339 format.
    #[serde(default)]
    pub expires_on: Option<String>,
    /// When it becomes valid, in RFC 3339 format.
    #[serde(default)]
    pub not_before: Option<String>,
}

impl TokenStatus {
    /// Returns whether the API accepts the token. (A token whose `not_before` is in the future is `active` as well.)
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

impl ApiRequest<TokenStatus> {
    /// Verifies the token of the request, which belongs to a user.
    #[must_use]
    pub fn verify_token() -> Self {
        Self::new(&OF_USER, [])
    }

    /// Verifies the token of the request, which belongs to an account.
    #[must_use]
    pub fn verify_account_token(account: &AccountId) -> Self {
        Self::new(&OF_ACCOUNT, [account.as_str()])
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&OF_USER, &OF_ACCOUNT];

static OF_USER: Descriptor = Descriptor {
    name: "verify_token",
    summary: "Verify a token of a user",
    method: Method::Get,
    path: "/user/tokens/verify",
    area: Area::Token,
    replay: Replay::Safe,
    permission: "any (a token may always verify itself)",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/user/subresources/tokens/methods/verify/",
    samples: || samples(&ApiRequest::verify_token()),
};

static OF_ACCOUNT: Descriptor = Descriptor {
    name: "verify_account_token",
    summary: "Verify a token of an account",
    method: Method::Get,
    path: "/accounts/{account_id}/tokens/verify",
    area: Area::Token,
    replay: Replay::Safe,
    permission: "any (a token may always verify itself)",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/accounts/subresources/tokens/methods/verify/",
    samples: || {
        let account = AccountId::parse("01a7362d577a6c3019a474fd6f485823");
        account.map(|account| samples(&ApiRequest::verify_account_token(&account))).unwrap_or_default()
    },
};

fn samples(request: &ApiRequest<TokenStatus>) -> Vec<Sample> {
    let active = r#"{"result":{"id":"ed17574386854bf78a67040be0a770b0","status":"active"},"success":true,"errors":[],"messages":[{"code":10000,"message":"This API Token is valid and active","type":null}]}"#;
    Vec::from([
        sample("active", request, 200, active),
        sample("refused_unknown", request, 401, refusal(1000, "Invalid API Token")),
    ])
}
