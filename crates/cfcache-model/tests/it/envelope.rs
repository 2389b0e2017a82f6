//! The parts of an answer's envelope.

use cfcache_model::envelope::{Envelope, NoEnvelope};

fn parse(body: &str) -> Envelope<'_> {
    Envelope::parse(body.as_bytes()).unwrap()
}

#[test]
fn parses_all_parts_of_a_response_info() {
    let envelope = parse(
        r#"{"success":false,"errors":[{"code":100114,"message":"m","documentation_url":"https://a.example/",
            "source":{"pointer":"/files/0"},"error_chain":[{"code":1,"message":"n","error_chain":[{"code":2}]}],
            "type":null,"new":{}}]}"#,
    );
    let error = &envelope.errors()[0];
    assert_eq!((error.code, error.message.as_str()), (100_114, "m"));
    assert_eq!(error.documentation_url.as_deref(), Some("https://a.example/"));
    assert_eq!(error.pointer.as_deref(), Some("/files/0"));
    assert_eq!(error.flatten().map(|info| info.code).collect::<Vec<_>>(), [100_114, 1, 2]);
    assert_eq!(error.to_string(), "m (code 100114, see https://a.example/): n (code 1): no message (code 2)");
}

#[test]
fn parses_codes() {
    let rows = [
        ("1134", 1134),
        ("4294967295", u32::MAX),
        ("\"1134\"", 1134),
        ("4294967296", 0),
        ("-1", 0),
        ("1134.5", 0),
        ("1e999", 0),
        ("\"many\"", 0),
        ("null", 0),
        ("[]", 0),
    ];
    for (json, code) in rows {
        let body = format!(r#"{{"errors":[{{"code":{json},"message":"m"}}]}}"#);
        let error = &parse(&body).errors()[0];
        assert_eq!(error.code, code, "{json}");
        assert!(error.message.contains('m'), "{json}: the text is kept");
    }
}

/// `errors` and `messages` as seen in answers, and in other forms.
#[test]
fn accepts_malformed_lists() {
    let rows: &[(&str, &[&str])] = &[
        ("null", &[]),
        ("[]", &[]),
        ("{}", &[]),
        ("[{}]", &[]),
        ("[null]", &[]),
        ("\"\"", &[]),
        ("\"text\"", &["text"]),
        ("[\"text\"]", &["text"]),
        ("{\"message\":\"text\"}", &["text"]),
        ("[{\"error\":\"text\"}]", &["text"]),
        ("[{\"message\":\"text\"},\"more\"]", &["text", "more"]),
        ("[7,true]", &["7", "true"]),
        ("[[\"text\"]]", &["[\"text\"]"]),
        ("[{\"message\":[\"text\"]}]", &["[\"text\"]"]),
    ];
    for (json, texts) in rows {
        for part in ["errors", "messages"] {
            let body = format!(r#"{{"success":false,"{part}":{json}}}"#);
            let envelope = parse(&body);
            let found = if part == "errors" { envelope.errors() } else { envelope.messages() };
            assert_eq!(found.iter().map(|info| info.message.as_str()).collect::<Vec<_>>(), *texts, "{json}");
        }
    }
}

/// An invalid part does not affect the others.
#[test]
fn parses_parts_independently() {
    let odd = ["\"\\ud800\"", "1e999", "[\"\\udfff\"]", "{\"a\":-1e999}"];
    for part in ["errors", "messages", "result", "result_info", "code", "error", "message", "new"] {
        for odd in odd {
            let body = format!(r#"{{"{part}":{odd},"success":true}}"#);
            let envelope = parse(&body);
            assert_eq!(envelope.success(), Some(true), "{part}: {odd}");
            let others = [("errors", envelope.errors()), ("messages", envelope.messages())];
            assert!(others.iter().all(|(other, found)| *other == part || found.is_empty()), "{part}: {odd}");
        }
    }
}

#[test]
fn keeps_the_result_byte_for_byte() {
    let result = r#"{ "b" : 1.50, "a":[ ] , "id":"\u0061" }"#;
    assert_eq!(parse(&format!(r#"{{"success":true,"result":{result}}}"#)).raw_result(), result);
    assert_eq!(parse(r#"{"success":true,"result":null}"#).raw_result(), "null");
    assert_eq!(parse(r#"{"success":true}"#).raw_result(), "null");
}

#[test]
fn accepts_bodies_without_an_envelope() {
    let parse = |body: &[u8]| Envelope::parse(body).unwrap_err();
    assert_eq!(parse(b""), NoEnvelope::Empty);
    assert_eq!(parse(b" \r\n\t"), NoEnvelope::Empty);
    assert_eq!(parse(b"\n<!DOCTYPE html>"), NoEnvelope::Html);
    assert_eq!(parse(b"[true]"), NoEnvelope::OtherJson);
    assert_eq!(parse(b"null"), NoEnvelope::OtherJson);
    assert_eq!(parse(b"error code: 1033"), NoEnvelope::Text);
    assert_eq!(parse(b"\xff\xfe{"), NoEnvelope::Text);
    for broken in [
        &b"{"[..],
        b"{\"success\":tru",
        b"{} {}",
        b"{\"success\":true,\"success\":true}",
        b"{\"a\":\"\xff\"}x",
    ] {
        assert!(matches!(parse(broken), NoEnvelope::Broken(_)), "{broken:?}");
    }
}
