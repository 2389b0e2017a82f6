//! Authentication and permissions.

use bytes::Bytes;
use cfcache_emulator::{ApiKey, Config, Emulator, Token, TokenState};
use http::Request;
use serde_json::json;

use crate::support::{ZONE, json, send, unlimited, verdict};

const KEY: &str = "144c9defac04969c7bfad8efaa8ea194e0d8a";
const SECRET: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";

/// Headers by name.
type Headers = [(&'static str, &'static str)];

fn asking(path: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = Request::get(format!("/client/v4{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::new()).unwrap()
}

fn purging(secret: &str) -> Request<Bytes> {
    Request::post(format!("/client/v4/zones/{ZONE}/purge_cache"))
        .header("authorization", format!("Bearer {secret}"))
        .body(r#"{"tags":["a"]}"#.into())
        .unwrap()
}

#[test]
fn accepts_and_refuses_forms_of_credentials() {
    let rows: &[(&Headers, u16, &[u64])] = &[
        (&[("authorization", "Bearer Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY")], 200, &[]),
        (&[("authorization", "bearer cfut_0123456789")], 200, &[]),
        (&[("x-auth-email", "user@example.com"), ("x-auth-key", KEY)], 200, &[]),
        (
            &[("authorization", "Bearer a"), ("x-auth-email", "user@example.com"), ("x-auth-key", KEY)],
            200,
            &[],
        ),
        (&[], 400, &[9106]),
        (&[("x-auth-email", "user@example.com")], 400, &[9106]),
        (&[("x-auth-key", KEY)], 400, &[9106]),
        (&[("x-auth-user-service-key", "v1.0-0123456789")], 400, &[9106]),
        (&[("authorization", "Bearer")], 400, &[6003]),
        (&[("authorization", "Bearer ")], 400, &[6003]),
        (&[("authorization", "Bearer two words")], 400, &[6003]),
        (&[("authorization", "Bearer \"quoted\"")], 400, &[6003]),
        (&[("authorization", "Basic dXNlcjpzZWNyZXQ=")], 400, &[6003]),
        (&[("authorization", "0123456789")], 400, &[6003]),
        (&[("x-auth-email", "nobody"), ("x-auth-key", KEY)], 400, &[6003]),
        (&[("x-auth-email", "user@example.com"), ("x-auth-key", "short")], 400, &[6003]),
        // A global API key instead of a token.
        (&[("authorization", "Bearer 144c9defac04969c7bfad8efaa8ea194e0d8a")], 401, &[10000]),
        (&[("authorization", "Bearer cfk_0123456789")], 401, &[10000]),
    ];
    for (headers, status, codes) in rows {
        let response = send(&Emulator::new(unlimited()), &asking("/zones", headers));
        assert_eq!(verdict(&response), (*status, codes.to_vec()), "{headers:?}");
    }
}

#[test]
fn names_malformed_headers() {
    let rows: &[(&Headers, &[u64])] = &[
        (&[("authorization", "Basic a")], &[6111]),
        (&[("x-auth-key", "short"), ("x-auth-email", "user@example.com")], &[6103]),
        (&[("x-auth-key", "short"), ("x-auth-email", "nobody")], &[6102, 6103]),
    ];
    for (headers, expected) in rows {
        let body = json(&send(&Emulator::new(unlimited()), &asking("/zones", headers)));
        assert_eq!(body["errors"][0]["message"], "Invalid request headers");
        let chain = body["errors"][0]["error_chain"].as_array().unwrap();
        let codes: Vec<_> = chain.iter().map(|item| item["code"].as_u64().unwrap()).collect();
        assert_eq!(codes, *expected, "{headers:?}");
    }
}

#[test]
fn accepts_only_configured_credentials() {
    let open = || unlimited();
    let closed = || open().with_token(Token::new(SECRET));
    let key = || open().with_key(ApiKey::new("User@example.com", KEY));
    let bearer = |secret: &str| vec![("authorization", format!("Bearer {secret}"))];
    let pair =
        |email: &str, key: &str| vec![("x-auth-email", email.to_owned()), ("x-auth-key", key.to_owned())];
    type Row = (Config, Vec<(&'static str, String)>, u16, u64);
    let rows: Vec<Row> = vec![
        (closed(), bearer(SECRET), 200, 0),
        (closed(), bearer("another"), 401, 10000),
        (closed(), pair("user@example.com", KEY), 400, 9103),
        (key(), pair("user@example.com", KEY), 200, 0),
        (key(), pair("user@example.com", &KEY.replace('1', "2")), 400, 9103),
        (key(), pair("other@example.com", KEY), 400, 9103),
        (key(), bearer(SECRET), 401, 10000),
    ];
    for (config, headers, status, code) in rows {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = send(&Emulator::new(config), &asking("/zones", &headers));
        let codes = if code == 0 { vec![] } else { vec![code] };
        assert_eq!(verdict(&response), (status, codes), "{headers:?}");
    }
}

#[test]
fn verifies_tokens() {
    let token = |state| Token::new(SECRET).with_state(state);
    let id = "ed17574386854bf78a67040be0a770b0";
    let rows = [
        (token(TokenState::Active), json!({ "id": id, "status": "active" }), true),
        (
            token(TokenState::Active).with_expires_on("2030-01-01T00:00:00Z"),
            json!({ "id": id, "status": "active", "expires_on": "2030-01-01T00:00:00Z" }),
            true,
        ),
        (token(TokenState::Disabled), json!({ "id": id, "status": "disabled" }), false),
        (
            token(TokenState::Expired),
            json!({ "id": id, "status": "expired", "expires_on": "2020-01-01T00:00:00Z" }),
            false,
        ),
        (
            token(TokenState::NotYetValid),
            json!({ "id": id, "status": "active", "not_before": "2099-12-31T23:59:59Z" }),
            false,
        ),
    ];
    for (token, result, works) in rows {
        for path in ["/user/tokens/verify", "/accounts/01a7362d577a6c3019a474fd6f485823/tokens/verify"] {
            let emulator = Emulator::new(unlimited().with_token(token.clone()));
            let header = format!("Bearer {SECRET}");
            let response = send(&emulator, &asking(path, &[("authorization", &header)]));
            assert_eq!(response.status(), 200);
            let body = json(&response);
            assert_eq!(body["result"], result);
            let good_news =
                json!([{ "code": 10000, "message": "This API Token is valid and active", "type": null }]);
            assert_eq!(body["messages"], if works { good_news } else { json!([]) });

            let expected = if works { (200, vec![]) } else { (401, vec![10000]) };
            assert_eq!(verdict(&send(&emulator, &purging(SECRET))), expected, "{result}");
        }
    }
}

#[test]
fn refuses_to_verify_other_credentials() {
    let emulator = Emulator::new(unlimited().with_token(Token::new(SECRET)));
    let path = "/user/tokens/verify";
    let verify = |headers: &[(&str, &str)]| verdict(&send(&emulator, &asking(path, headers)));
    assert_eq!(verify(&[("authorization", "Bearer another")]), (401, vec![1000]));
    assert_eq!(verify(&[("authorization", "Basic another")]), (400, vec![6003]));
    assert_eq!(verify(&[]), (400, vec![1001]));
    assert_eq!(verify(&[("x-auth-email", "user@example.com"), ("x-auth-key", KEY)]), (400, vec![1001]));
}

#[test]
fn enforces_permissions() {
    let token = Token::new(SECRET).with_permissions(["Cache Purge"]);
    let emulator = Emulator::new(unlimited().with_token(token));
    let header = format!("Bearer {SECRET}");
    let ask = |path: &str| verdict(&send(&emulator, &asking(path, &[("authorization", &header)])));
    assert_eq!(verdict(&send(&emulator, &purging(SECRET))), (200, vec![]));
    assert_eq!(ask("/zones?name=example.com"), (403, vec![9109]));
    assert_eq!(ask(&format!("/zones/{ZONE}")), (403, vec![9109]));
    assert_eq!(ask(&format!("/zones/{ZONE}/environments")), (403, vec![10000]));
    assert_eq!(ask("/user/tokens/verify"), (200, vec![]));
}

#[test]
fn a_write_permission_includes_reading() {
    let header = format!("Bearer {SECRET}");
    let path = format!("/zones/{ZONE}/argo/tiered_caching");
    let patch = || {
        Request::patch(format!("/client/v4{path}"))
            .header("authorization", &header)
            .body(r#"{"value":"on"}"#.into())
            .unwrap()
    };
    for (permission, read, write) in
        [("Zone Settings Read", 200, 403), ("Zone Settings Write", 200, 200), ("DNS Write", 403, 403)]
    {
        let token = Token::new(SECRET).with_permissions([permission]);
        let emulator = Emulator::new(unlimited().with_token(token));
        let headers = [("authorization", header.as_str())];
        assert_eq!(send(&emulator, &asking(&path, &headers)).status(), read, "{permission}");
        assert_eq!(send(&emulator, &patch()).status(), write, "{permission}");
    }
}

#[test]
fn debug_shows_no_secrets() {
    let config = unlimited().with_token(Token::new(SECRET)).with_key(ApiKey::new("user@example.com", KEY));
    let emulator = Emulator::new(config.clone());
    let header = format!("Bearer {SECRET}");
    let headers = [("authorization", header.as_str()), ("x-auth-key", KEY), ("cookie", SECRET)];
    let _answer = send(&emulator, &asking("/zones", &headers));
    for shown in [format!("{config:?}"), format!("{emulator:?}"), format!("{:#?}", emulator.log().entries())]
    {
        assert!(!shown.contains(SECRET) && !shown.contains(KEY), "{shown}");
    }
}
