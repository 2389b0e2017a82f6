//! The verdict on a status and body.

use std::fmt::Write;

use cfcache_model::catalog::Explanation;
use cfcache_model::endpoint::{ApiRequest, PurgeCache, Switch};
use cfcache_model::verdict::{Answer, ApiFailure, Class, parse_response};
use cfcache_model::{PurgeBody, ZoneId};

use crate::support::{judged, sort};

const ACCEPTED: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"a"}}"#;
const REFUSED: &str =
    r#"{"success":false,"errors":[{"code":99999,"message":"m"}],"messages":[],"result":null}"#;
const SILENT: &str = r#"{"errors":[],"messages":[],"result":null}"#;

fn refusal(code: u32) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"m"}}],"messages":[],"result":null}}"#)
}

/// Every status with every kind of body, as ranges.
#[test]
fn judges_every_status() {
    let bodies = [
        ("success: true", ACCEPTED),
        ("success: false, with an unknown code", REFUSED),
        ("no success in it", SILENT),
        ("no JSON", "<html>"),
        ("an empty body", ""),
    ];
    let mut shown = String::new();
    for (name, body) in bodies {
        writeln!(shown, "## {name}\n").unwrap();
        let sort_of = |status| sort(&judged(status, body));
        let mut begin = 100;
        for status in 100..=599 {
            if status == 599 || sort_of(status + 1) != sort_of(begin) {
                writeln!(shown, "{begin}..={status} {}", sort_of(begin)).unwrap();
                begin = status + 1;
            }
        }
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn judges_important_answers() {
    let html = "<!DOCTYPE html>\n<html>\n  <title>Just a moment...</title>";
    let rows: &[(u16, &str, &str)] = &[
        (200, ACCEPTED, "done"),
        (201, ACCEPTED, "done"),
        (200, r#"{"success":true}"#, "done"),
        (200, r#"{"success":true,"errors":null,"messages":null,"result":null}"#, "done"),
        (200, REFUSED, "refused Refused"),
        (200, &refusal(1134), "later RateLimited"),
        (200, &refusal(10000), "refused Credentials"),
        (200, r#"{"success":false}"#, "refused Refused"),
        (200, r#"{"success":"true"}"#, "unreadable Unclear"),
        (200, r#"{"success":1}"#, "unreadable Unclear"),
        (200, r#"{"success":null,"errors":{}}"#, "unreadable Unclear"),
        (200, r#"{"success":true"#, "unreadable Unclear"),
        (200, r#"{"success":true,"success":false}"#, "unreadable Unclear"),
        (200, r#"[true,[],[],{"id":"a"},null,null,null]"#, "unreadable Unclear"),
        (200, "[true]", "unreadable Unclear"),
        (200, "true", "unreadable Unclear"),
        (200, html, "unreadable Unclear"),
        (200, "", "unreadable Unclear"),
        (204, "", "unreadable Unclear"),
        (205, "", "unreadable Unclear"),
        (301, html, "refused Redirected"),
        (304, "", "refused Redirected"),
        (400, &refusal(1012), "refused Refused"),
        (400, &refusal(1016), "refused BadEntry"),
        (400, &refusal(1082), "refused BadEntry"),
        (400, &refusal(1094), "refused TooMany"),
        (400, &refusal(1107), "refused Plan"),
        (400, &refusal(1134), "later RateLimited"),
        (400, &refusal(1136), "refused Refused"),
        (400, &refusal(6003), "refused Credentials"),
        (400, &refusal(7003), "refused Missing"),
        (400, &refusal(9106), "refused Credentials"),
        (400, ACCEPTED, "refused Refused"),
        (400, "", "refused Refused"),
        (400, html, "refused NotTheApi"),
        (401, &refusal(1000), "refused Credentials"),
        (401, &refusal(10000), "refused Credentials"),
        (403, &refusal(10000), "refused Credentials"),
        (403, &refusal(9109), "refused Credentials"),
        (403, &refusal(1135), "refused Plan"),
        (403, "", "refused Credentials"),
        (403, html, "refused NotTheApi"),
        (404, &refusal(7003), "refused Missing"),
        (404, r#"{"code":1000,"error":"not_found"}"#, "refused Missing"),
        (404, html, "refused NotTheApi"),
        (405, &refusal(10405), "refused Refused"),
        (408, "", "later Unavailable"),
        (413, html, "refused TooMany"),
        (429, &refusal(1134), "later RateLimited"),
        (429, &refusal(971), "later RateLimited"),
        (429, &refusal(10000), "later RateLimited"),
        (429, REFUSED, "later RateLimited"),
        (429, ACCEPTED, "later RateLimited"),
        (429, html, "later RateLimited"),
        (429, "", "later RateLimited"),
        (500, REFUSED, "later Unavailable"),
        (500, &refusal(10000), "later Unavailable"),
        (502, html, "later Unavailable"),
        (503, "", "later Unavailable"),
        (520, html, "later Unavailable"),
        (530, "error code: 1033", "later Unavailable"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(sort(&judged(*status, body)), *expected, "{status} {body}");
    }
}

/// The complete texts for people.
#[test]
fn marks_answers_that_leave_the_effect_unknown() {
    let rows = [
        (200, REFUSED, false),
        (200, SILENT, true),
        (200, "", true),
        (400, ACCEPTED, false),
        (403, "<html>", false),
        (408, "", false),
        (429, "", false),
        // The API knows whether it was executed; a system in front of it does not.
        (500, REFUSED, false),
        (500, ACCEPTED, true),
        (500, "", true),
        (502, "<html>", true),
        (504, SILENT, true),
        (524, "<html>", true),
        // No server was there to execute it.
        (503, "<html>", false),
    ];
    for (status, body, expected) in rows {
        assert_eq!(judged(status, body).unwrap_err().may_be_processed, expected, "{status} {body}");
    }
}

#[test]
fn writes_messages_for_people() {
    let html =
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n  <head><title>Just a moment...</title></head>\u{1b}[2J";
    let many = format!(r#"{{"success":false,"errors":[{}]}}"#, [r#"{"code":1,"message":"m"}"#; 10].join(","));
    let rows: &[(u16, &str)] = &[
        (400, REFUSED),
        (
            400,
            r#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}]}"#,
        ),
        (400, r#"{"success":false,"errors":[{"message":"Bad Request"}],"messages":["the zone is on hold"]}"#),
        (400, r#"{"success":false,"errors":[],"messages":[]}"#),
        (400, r#"{"success":false,"errors":[{}],"error":"what is wrong"}"#),
        (400, r#"{"success":false,"errors":[{"code":"1012","message":{"text":"odd"}}]}"#),
        (400, r#"{"success":false,"errors":[{"code":1012,"message":"line\nbreak \u202e\u001b[2J"}]}"#),
        (400, r#"{"success":false,"errors":[{"code":1012,"message":"half a \ud800"}]}"#),
        (400, &many),
        (400, ACCEPTED),
        (404, r#"{"code":1000,"error":"not_found"}"#),
        (200, SILENT),
        (200, ""),
        (200, html),
        (200, r#"{"success":true,"result":{"#),
        (200, "[1, 2]"),
        (502, "upstream connect error"),
        (403, html),
        (429, ""),
    ];
    let mut shown = String::new();
    for (status, body) in rows {
        let failure = judged(*status, body).unwrap_err();
        writeln!(shown, "{body}\n=> {failure}\n").unwrap();
    }
    insta::assert_snapshot!(shown);
}

/// An accepted purge is accepted with any `result`, because that has no meaning.
#[test]
fn an_accepted_purge_needs_no_valid_result() {
    let zone = ZoneId::parse("a").unwrap();
    let request = PurgeCache::purge(&zone, &PurgeBody::Everything);
    for result in
        [r#"{"id":"a"}"#, r#"{"id":null}"#, r#"{"id":7}"#, "{}", "null", r#""accepted""#, "[]", "true"]
    {
        let body = format!(r#"{{"success":true,"result":{result}}}"#);
        assert_eq!(parse_response(&request, 200, body.as_bytes()).unwrap().raw, result);
    }
    assert_eq!(parse_response(&request, 200, br#"{"success":true}"#).unwrap().raw, "null");
}

/// If the `result` matters, an invalid one is not a success. A repetition would give the same.
#[test]
fn an_invalid_result_is_not_retried() {
    let zone = ZoneId::parse("a").unwrap();
    let body = br#"{"success":true,"result":null}"#;
    for verdict in [
        sort_of(parse_response(&ApiRequest::zone(&zone), 200, body)),
        sort_of(parse_response(&ApiRequest::zones(1), 200, body)),
        sort_of(parse_response(&ApiRequest::verify_token(), 200, body)),
    ] {
        assert_eq!(verdict, ("refused UnexpectedResult".to_owned(), false));
    }
    // The API says that the change was made, whatever the result contains.
    let edit = ApiRequest::set_switch(&zone, Switch::CacheReserve, true);
    let odd = br#"{"success":true,"result":[1]}"#;
    assert_eq!(sort_of(parse_response(&edit, 200, odd)), ("refused UnexpectedResult".to_owned(), true));
}

/// A read has no effect, so it never "may have taken effect". An unrelated page is not requested again.
#[test]
fn a_read_never_has_an_unknown_effect() {
    let zone = ZoneId::parse("a").unwrap();
    let read =
        |status, body: &str| sort_of(parse_response(&ApiRequest::zone(&zone), status, body.as_bytes()));
    for (status, body, expected) in [
        (200, "<html>", "refused NotTheApi"),
        (200, "ok", "refused NotTheApi"),
        (200, "[]", "refused NotTheApi"),
        (200, r#"{"status":"ok"}"#, "refused NotTheApi"),
        // These answers may be complete the next time.
        (200, "", "unreadable Unclear"),
        (200, r#"{"success":true,"re"#, "unreadable Unclear"),
        (504, "<html>", "later Unavailable"),
    ] {
        assert_eq!(read(status, body), (expected.to_owned(), false), "{status} {body}");
    }
}

fn sort_of<T: std::fmt::Debug>(result: Result<Answer<T>, ApiFailure>) -> (String, bool) {
    (sort(&result), result.unwrap_err().may_be_processed)
}

/// Errors and messages of a success are kept. The message that a token is valid is not a warning.
#[test]
fn keeps_errors_and_messages_of_a_success() {
    let warnings = |body: &str| match judged(200, body) {
        Ok(answer) => answer.warnings().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(warnings(ACCEPTED), [""; 0]);
    let both = r#"{"success":true,"errors":[{"code":1,"message":"e"}],"messages":["m"],"result":null}"#;
    assert_eq!(warnings(both), ["e (code 1)", "m"]);
    let news =
        r#"{"success":true,"messages":[{"code":10000,"message":"This API Token is valid and active"}]}"#;
    assert_eq!(warnings(news), [""; 0]);
}

/// Problem details (RFC 9457) of the edge in front of the API.
#[test]
fn judges_errors_of_the_edge() {
    let problem = |status: u16, code: u32, more: &str| {
        format!(
            r#"{{"type":"https://developers.cloudflare.com/e/{code}/","title":"Error {code}","status":{status},"detail":"What it is","instance":"8f","error_code":{code}{more}}}"#
        )
    };
    let rows = [
        (429, 1015, r#","retry_after":30"#, "later RateLimited", Some(30), false),
        (403, 1010, "", "refused NotTheApi", None, false),
        (403, 1020, r#","error_category":"waf""#, "refused NotTheApi", None, false),
        (403, 1004, r#","retry_after":"120""#, "later Unavailable", Some(120), false),
        (530, 1033, r#","retry_after":119.5"#, "later Unavailable", Some(120), true),
        (503, 1200, r#","retry_after":-1"#, "later Unavailable", None, false),
        (504, 504, r#","retry_after":60"#, "later Unavailable", Some(60), true),
        (525, 525, "", "refused NotTheApi", None, false),
        // The answer says not to repeat, so a waiting time is ignored.
        (526, 526, r#","retry_after":60"#, "refused NotTheApi", Some(60), false),
        (404, 1016, "", "refused NotTheApi", None, false),
    ];
    for (status, code, more, expected, retry_after, unclear) in rows {
        let body = problem(status, code, more);
        let verdict = judged(status, &body);
        assert_eq!(sort(&verdict), expected, "{body}");
        let failure = verdict.unwrap_err();
        assert_eq!((failure.retry_after, failure.may_be_processed), (retry_after, unclear), "{body}");
        let page = format!("https://developers.cloudflare.com/e/{code}/");
        let expected = format!("status {status}: Error {code}: What it is (code {code}, see {page})");
        assert_eq!(failure.to_string(), expected);
        // The code belongs to the edge, and means something else in the API's tables.
        let is_of_the_edge = |explanation: &Explanation| explanation.code == 0;
        assert!(failure.explanation.is_none_or(is_of_the_edge), "{body}");
        assert_eq!(failure.explanation.is_some(), matches!(status, 525 | 526) || matches!(code, 1010 | 1020));
    }
    // An envelope is recognized with any other fields in it.
    let envelope = r#"{"success":false,"errors":[{"code":10000,"message":"m"}],"title":"t","retry_after":5}"#;
    let failure = judged(403, envelope).unwrap_err();
    assert_eq!((failure.class, failure.retry_after), (Class::Credentials, None));
}

/// Missing, null or additional fields are accepted, as long as the required ones are there.
#[test]
fn a_zone_requires_only_id_and_name() {
    let body =
        br#"{"success":true,"result":[{"id":"a","name":"b","owner":{"id":null},"plan":null,"new":[{}]}],
        "result_info":{"page":1,"per_page":20,"total_pages":2,"count":1,"total_count":21,"new":true}}"#;
    let Ok(answer) = parse_response(&ApiRequest::zones(1), 200, body) else { panic!() };
    assert_eq!((answer.result[0].id.as_str(), answer.result[0].name.as_str()), ("a", "b"));
    assert_eq!(answer.result_info.unwrap().total_pages, Some(2));
    assert!(answer.raw.contains(r#""new":[{}]"#), "what we do not know is kept");
}
