//! `GET /user/tokens/verify` and `GET /accounts/{account_id}/tokens/verify`

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::endpoint::{Area, Descriptor, Endpoint, Method, Replay, Sample, refusal, sample};
use crate::id::AccountId;

/// Checks whether the token of the request is valid.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct VerifyToken<'a> {
    /// The account that owns the token; `None` for a user's token.
    pub account: Option<&'a AccountId>,
}

impl<'a> VerifyToken<'a> {
    /// Verifies a token of a user.
    #[must_use]
    pub const fn for_user() -> Self {
        Self { account: None }
    }

    /// Verifies a token of an account.
    #[must_use]
    pub const fn for_account(account: &'a AccountId) -> Self {
        Self { account: Some(account) }
    }
}

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
    /// Returns whether the API takes it. (One whose `not_before` has not come is `active` as well.)
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

impl Endpoint for VerifyToken<'_> {
    type Reply = TokenStatus;

    fn descriptor(&self) -> &'static Descriptor {
        match self.account {
            None => &OF_USER,
            Some(_) => &OF_ACCOUNT,
        }
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        self.account.map(|account| account.as_str().into()).into_iter().collect()
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
    samples: || samples(&VerifyToken::for_user()),
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
        account.map(|account| samples(&VerifyToken::for_account(&account))).unwrap_or_default()
    },
};

fn samples(request: &VerifyToken<'_>) -> Vec<Sample> {
    let active = r#"{"result":{"id":"ed17574386854bf78a67040be0a770b0","status":"active"},"success":true,"errors":[],"messages":[{"code":10000,"message":"This API Token is valid and active","type":null}]}"#;
    Vec::from([
        sample("active", request, 200, active),
        sample("refused_unknown", request, 401, refusal(1000, "Invalid API Token")),
    ])
}
