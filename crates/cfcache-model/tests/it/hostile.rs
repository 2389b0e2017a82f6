//! No input causes a panic or an endless loop.

use cfcache_model::endpoint::{self, CloudRegion, PurgeCache, Variants};
use cfcache_model::envelope::Envelope;
use cfcache_model::verdict::parse_response;
use cfcache_model::{Kind, PurgeBody, ZoneId, target::Target, text};
use proptest::prelude::*;

use crate::support::{Any, any_text, config, judged};

/// Any JSON, with the field names of the envelope in expected and unexpected places.
fn any_json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => prop::sample::select(&[
            "success", "errors", "messages", "result", "result_info", "code", "message", "error", "error_chain", "source",
            "pointer", "documentation_url", "id", "files", "tags", "url", "headers", "purge_everything", "count", "page",
        ][..]).prop_map(str::to_owned),
        1 => any_text(),
    ];
    let name = name.prop_map(|name| serde_json::Value::from(name).to_string());
    let leaf = prop_oneof![
        prop::sample::select(
            &[
                "null",
                "true",
                "false",
                "0",
                "-1",
                "1134",
                "10000",
                "1000.0",
                "1e999",
                "99999999999999999999",
                "[]",
                "{}",
                "\"\"",
                "\"1134\"",
                "\"\\ud800\"",
                "\"\\u0000\"",
            ][..]
        )
        .prop_map(str::to_owned),
        any_text().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let pair = (name.clone(), inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

fn try_all(status: u16, body: &[u8]) {
    if let Ok(envelope) = Envelope::parse(body) {
        assert!(body.trim_ascii_start().starts_with(b"{"));
        let parts = envelope.errors().into_iter().chain(envelope.messages());
        parts.for_each(|info| assert!(!text::clip(&info.to_string(), 9).is_empty()));
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(envelope.raw_result()).is_ok());
    }
    for endpoint in endpoint::all() {
        if let Err(failure) = parse_response(&Any(endpoint), status, body) {
            let shown = failure.to_string();
            assert!(!shown.chars().any(text::is_invisible), "{shown:?}");
            assert_eq!(failure.status, status);
        }
    }
    let zone = ZoneId::parse("z").unwrap();
    drop(parse_response(&PurgeCache::purge(&zone, &PurgeBody::Everything), status, body));
    drop(serde_json::from_slice::<PurgeBody>(body));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn parse_response_accepts_any_bytes(status in 0_u16..=u16::MAX, body in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(status, &body);
    }

    #[test]
    fn parse_response_accepts_any_text(status in 100_u16..600, body in any_text()) {
        try_all(status, body.as_bytes());
    }

    #[test]
    fn parse_response_accepts_any_json(status in 100_u16..600, body in any_json(), cut in any::<prop::sample::Index>()) {
        try_all(status, body.as_bytes());
        try_all(status, &body.as_bytes()[..cut.index(body.len())]);
    }

    /// Field names in the JSON are foreign text, which `serde_json` repeats unchanged.
    #[test]
    fn refuses_invalid_settings_with_terminal_safe_messages(name in any_text(), json in any_json()) {
        let field = serde_json::json!({ name: 0 }).to_string();
        for value in [&field, &json] {
            let errors = [
                Variants::from_json(value).map(drop).map_err(|invalid| invalid.to_string()),
                CloudRegion::parse(value).map(drop).map_err(|invalid| invalid.to_string()),
            ];
            for error in errors.into_iter().filter_map(Result::err) {
                prop_assert!(!error.chars().any(text::is_invisible), "{error:?}");
            }
        }
    }

    /// An answer is a success only if it explicitly says so.
    #[test]
    fn success_must_be_explicit(status in 100_u16..600, body in any_json()) {
        if judged(status, &body).is_ok() {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&value["success"], &serde_json::Value::Bool(true));
            prop_assert!((200..300).contains(&status));
        }
    }
}

/// A hundred thousand levels of nesting, and lists of that length: the verdict is fast, and its text short.
#[test]
fn handles_huge_answers() {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let mut chain = String::from("{}");
    for code in 0..100 {
        chain = format!(r#"{{"code":{code},"message":"m","error_chain":[{chain}]}}"#);
    }
    let many = format!("[{}]", vec![r#"{"code":1000,"message":"m"}"#; 100_000].join(","));
    let bodies = [
        deep.clone(),
        closed.clone(),
        format!(r#"{{"success":false,"errors":{closed}}}"#),
        format!(r#"{{"success":false,"errors":[{chain}]}}"#),
        format!(r#"{{"success":false,"errors":{many}}}"#),
        format!(r#"{{"success":false,"errors":[],"messages":{many}}}"#),
        format!(r#"{{"success":true,"result":{closed}}}"#),
        format!("<html>{}</html>", "x\n".repeat(1_000_000)),
        format!("<html>{}</html>", "\u{202e}".repeat(1_000_000)),
    ];
    for body in bodies {
        for status in [200, 400, 429, 502] {
            if let Err(failure) = judged(status, &body) {
                let shown = failure.to_string();
                assert!(shown.len() < 8000, "{} bytes: {}", shown.len(), &shown[..500]);
            }
        }
    }
    for kind in Kind::ALL {
        for text in [&deep, &closed, &"{\"url\":".repeat(100_000), &" ".repeat(100_000), &"/".repeat(100_000)]
        {
            if let Err(invalid) = Target::parse(*kind, text) {
                assert!(invalid.to_string().len() < 1000);
                assert!(invalid.cure().is_none_or(|cure| cure.len() < 1000));
            }
        }
    }
}
