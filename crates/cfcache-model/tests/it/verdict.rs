//! Status and body in, meaning out.

use std::fmt::Write;

use cfcache_model::endpoint::{GetZone, ListZones, PurgeCache, VerifyToken};
use cfcache_model::verdict::{Class, Verdict, judge};
use cfcache_model::{PurgeBody, ZoneId};

use crate::support::{failure, judged, sort};

const ACCEPTED: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"a"}}"#;
const REFUSED: &str =
    r#"{"success":false,"errors":[{"code":99999,"message":"m"}],"messages":[],"result":null}"#;
const SILENT: &str = r#"{"errors":[],"messages":[],"result":null}"#;

fn refusal(code: u32) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"m"}}],"messages":[],"result":null}}"#)
}

/// Every status with every sort of body, as ranges.
#[test]
fn every_status() {
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
fn the_answers_that_matter() {
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

/// What a person reads, in full.
#[test]
fn what_leaves_open_whether_it_was_done() {
    let rows = [
        (200, REFUSED, false),
        (200, SILENT, true),
        (200, "", true),
        (400, ACCEPTED, false),
        (403, "<html>", false),
        (408, "", false),
        (429, "", false),
        // The API knows; what is in front of it does not.
        (500, REFUSED, false),
        (500, ACCEPTED, true),
        (500, "", true),
        (502, "<html>", true),
        (504, SILENT, true),
        (524, "<html>", true),
        // Nobody was there to do it.
        (503, "<html>", false),
    ];
    for (status, body, expected) in rows {
        assert_eq!(failure(judged(status, body)).unwrap().unclear, expected, "{status} {body}");
    }
}

#[test]
fn what_is_said() {
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
        let failure = failure(judged(*status, body)).unwrap();
        writeln!(shown, "{body}\n=> {failure}\n").unwrap();
    }
    insta::assert_snapshot!(shown);
}

/// An accepted purge is accepted whatever its `result` holds, because that means nothing.
#[test]
fn an_accepted_purge_is_not_doubted() {
    let zone = ZoneId::parse("a").unwrap();
    let request = PurgeCache::purge(&zone, &PurgeBody::Everything);
    let rows = [
        (r#"{"success":true,"result":{"id":"a"}}"#, Some("a")),
        (r#"{"success":true,"result":{"id":null}}"#, None),
        (r#"{"success":true,"result":{"id":7}}"#, None),
        (r#"{"success":true,"result":{}}"#, None),
        (r#"{"success":true,"result":null}"#, None),
        (r#"{"success":true}"#, None),
        (r#"{"success":true,"result":"accepted"}"#, None),
        (r#"{"success":true,"result":[]}"#, None),
        (r#"{"success":true,"result":true}"#, None),
    ];
    for (body, id) in rows {
        match judge(&request, 200, body.as_bytes()) {
            Verdict::Done(answer) => {
                assert_eq!(answer.result.and_then(|purged| purged.id).as_deref(), id, "{body}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

/// Where the `result` is the point, one that cannot be read is no success.
#[test]
fn a_result_that_is_needed_is_looked_at() {
    let zone = ZoneId::parse("a").unwrap();
    let body = br#"{"success":true,"result":null}"#;
    let unclear = |failure: Option<cfcache_model::verdict::Failure>| failure.unwrap().class == Class::Unclear;
    assert!(unclear(failure(judge(&GetZone::new(&zone), 200, body))));
    assert!(unclear(failure(judge(&ListZones::page(1), 200, body))));
    assert!(unclear(failure(judge(&VerifyToken::of_user(), 200, body))));
}

/// Fields that vanish, turn null or are new do not matter, as long as what we need is there.
#[test]
fn a_zone_needs_an_id_and_a_name() {
    let body =
        br#"{"success":true,"result":[{"id":"a","name":"b","owner":{"id":null},"plan":null,"new":[{}]}],
        "result_info":{"page":1,"per_page":20,"total_pages":2,"count":1,"total_count":21,"new":true}}"#;
    let Verdict::Done(answer) = judge(&ListZones::page(1), 200, body) else { panic!() };
    assert_eq!((answer.result[0].id.as_str(), answer.result[0].name.as_str()), ("a", "b"));
    assert_eq!(answer.result_info.unwrap().total_pages, Some(2));
    assert!(answer.raw.contains(r#""new":[{}]"#), "what we do not know is kept");
}
