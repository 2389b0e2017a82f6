use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::intake::sources::{IntakeSources, LOCAL, SourceSettings};

const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn headers(content_type: &str, more: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    for (name, value) in more {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

/// Parses a body from a source that may request everything except the kind `everything`.
fn read_as(content_type: &str, query: Option<&str>, body: &[u8]) -> Result<Message, MessageError> {
    let sources = IntakeSources::local().unwrap();
    read(&headers(content_type, &[]), query, body, sources.named(LOCAL).unwrap())
}

fn read_from(settings: &str, body: &str) -> Result<Message, MessageError> {
    let settings: BTreeMap<String, SourceSettings> = toml::from_str(settings).unwrap();
    let sources = IntakeSources::open(&settings).unwrap();
    read(&headers(JSON, &[]), None, body.as_bytes(), sources.named("shop").unwrap())
}

/// Formats each request as a line: zone, environment, action, kind, key, priority, source, event.
fn shown(read: Result<Message, MessageError>) -> Vec<String> {
    let shown = |request: &NewRequest| {
        format!(
            "{} {} {:?} {} {} {} {} {}",
            request.zone,
            request.environment.as_deref().unwrap_or("-"),
            request.action,
            request.subject.kind(),
            request.subject.key(),
            request.priority,
            request.source.as_deref().unwrap_or("-"),
            request.event.as_deref().unwrap_or("-"),
        )
    };
    read.unwrap_or_else(|unread| panic!("{unread:?}")).requests.iter().map(shown).collect()
}

#[track_caller]
fn assert_problems(read: Result<Message, MessageError>, expected: &[(&str, &str)]) {
    let Err(MessageError::Problems(problems)) = read else { panic!("{read:?}") };
    let found: Vec<(&str, &str)> =
        problems.shown.iter().map(|problem| (problem.at.as_str(), problem.message.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((at, message), (expected_at, part)) in found.iter().zip(expected) {
        assert_eq!(at, expected_at, "{found:#?}");
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(problems.total, expected.len());
}

#[test]
fn accepts_plain_json_with_all_fields() {
    let body = json!({
        "zone": "Example.COM", "environment": "staging", "action": "invalidate", "priority": -3,
        "urls": ["https://www.example.com/a", {"url": "https://www.example.com/b", "headers": {"CF-Device-Type": "mobile"}}],
        "tags": ["t1"], "hosts": [" www.example.com "], "prefixes": ["www.example.com/x"], "everything": false,
    });
    assert_eq!(
        shown(read_as(JSON, None, body.to_string().as_bytes())),
        [
            "example.com staging Invalidate hosts www.example.com -3 local -",
            "example.com staging Invalidate prefixes www.example.com/x -3 local -",
            "example.com staging Invalidate tags t1 -3 local -",
            "example.com staging Invalidate files https://www.example.com/a -3 local -",
            r#"example.com staging Invalidate files {"url":"https://www.example.com/b","headers":{"CF-Device-Type":"mobile"}} -3 local -"#,
        ]
    );
    // Many libraries write null for fields without a value; some editors write a byte order mark.
    let body = "\u{feff}{\"zone\":\"ümlaut.example\",\"urls\":null,\"tags\":[\"a\"],\"priority\":null,\"everything\":null}";
    assert_eq!(
        shown(read_as("Application/JSON; charset=\"UTF-8\"", None, body.as_bytes())),
        ["xn--mlaut-jva.example - Purge tags a 0 local -"]
    );
}

#[test]
fn accepts_cloudevents_in_all_three_modes() {
    let data = json!({"zone": "example.com", "urls": ["https://example.com/a"]});
    let event = |kind: &str| {
        json!({
            "specversion": "1.0", "id": "e1", "source": "/cms", "type": kind, "time": "2026-01-01T00:00:00Z",
            "subject": "page", "traceparent": "00-1-2-01", "datacontenttype": "application/json", "data": data,
        })
    };
    let purge = "example.com - Purge files https://example.com/a 0 /cms e1";
    let invalidate = "example.com - Invalidate files https://example.com/a 0 /cms e1";
    assert_eq!(shown(read_as(EVENT, None, event(PURGE).to_string().as_bytes())), [purge]);
    let batch = json!([event(PURGE), event(INVALIDATE)]).to_string();
    assert_eq!(shown(read_as(BATCH, None, batch.as_bytes())), [purge, invalidate]);

    let mut encoded = event(PURGE);
    encoded["data_base64"] = BASE64_STANDARD.encode(data.to_string()).into();
    encoded.as_object_mut().unwrap().remove("data");
    assert_eq!(shown(read_as(EVENT, None, encoded.to_string().as_bytes())), [purge]);

    let sources = IntakeSources::local().unwrap();
    let binary = headers(
        JSON,
        &[("ce-specversion", "1.0"), ("ce-id", "%65%31"), ("ce-source", "/cms"), ("ce-type", INVALIDATE)],
    );
    let body = data.to_string();
    let read_binary =
        |headers: &HeaderMap| read(headers, None, body.as_bytes(), sources.named(LOCAL).unwrap());
    assert_eq!(shown(read_binary(&binary)), [invalidate]);
    // Some libraries omit the media type for events without `datacontenttype`, and do not encode characters.
    let mut bare = binary.clone();
    bare.remove(CONTENT_TYPE);
    bare.insert("ce-source", http::HeaderValue::from_bytes("/é".as_bytes()).unwrap());
    assert!(shown(read_binary(&bare))[0].ends_with(" /é e1"));
    bare.insert("ce-source", http::HeaderValue::from_bytes(b"/\xe9").unwrap());
    assert_problems(
        read_binary(&bare),
        &[("header `ce-source`", "not valid UTF-8"), ("source", "not valid UTF-8")],
    );
}

#[test]
fn accepts_ndjson_lines_as_entries_or_json() {
    let body = "https://example.com/a\r\n\n# comment\n \"https://example.com/\\u0062\" \n\
                {\"url\":\"https://example.com/c\",\"headers\":{\"Origin\":\"https://x.example\"}}\n\
                {\"zone\":\"other.example\",\"tags\":[\"t\"]}\rhttps://example.com/d";
    assert_eq!(
        shown(read_as(
            LINES,
            Some("zone=example.com&priority=7&source=local&action=invalidate"),
            body.as_bytes()
        )),
        [
            "example.com - Invalidate files https://example.com/a 7 local -",
            "example.com - Invalidate files https://example.com/b 7 local -",
            r#"example.com - Invalidate files {"url":"https://example.com/c","headers":{"Origin":"https://x.example"}} 7 local -"#,
            "other.example - Invalidate tags t 7 local -",
            "example.com - Invalidate files https://example.com/d 7 local -",
        ]
    );
    let read = read_as(LINES, Some("zone=023e105f4ecef8ad9ca31a8372d0c353&kind=tags"), b"a\nb");
    assert_eq!(shown(read).len(), 2);
    // Without a zone in the URL, each line contains its own.
    assert_eq!(shown(read_as(LINES, None, br#"{"zone":"example.com","tags":["a"]}"#)).len(), 1);
    assert_problems(read_as(LINES, None, b"https://example.com/a"), &[("line 1", "`?zone=example.com`")]);
    assert_problems(
        read_as(
            LINES,
            Some("zone=nowhere&kind=pages&zone=b&x=%C3%A4&priority=1e3"),
            b"https://example.com/a",
        ),
        &[
            ("query, `kind`", "must be `urls`, `tags`"),
            ("query, `zone`", "twice"),
            ("query, `x`", "no such parameter"),
            ("query, `priority`", "whole number"),
        ],
    );
}

#[test]
fn a_delay_is_in_seconds_and_at_most_a_day() {
    let read = |text: &str| {
        read_as(JSON, None, format!(r#"{{"zone":"example.com","tags":["a"],"delay":{text}}}"#).as_bytes())
    };
    for (text, seconds) in [("0", 0), ("30", 30), ("86400", 86_400), ("null", 0)] {
        assert_eq!(read(text).unwrap().requests[0].delay, Duration::from_secs(seconds), "{text}");
    }
    for text in ["-1", "86401", "1.5", "1e3", "\"30s\"", "true", "99999999999999999999"] {
        assert_problems(read(text), &[("delay", "whole number of seconds from 0 to 86400")]);
    }
    let message = read_as(LINES, Some("zone=example.com&kind=tags&delay=60"), b"a").unwrap();
    assert_eq!(message.requests[0].delay, Duration::from_secs(60));
    assert_problems(
        read_as(LINES, Some("zone=example.com&delay=1m"), b"https://example.com/"),
        &[("query, `delay`", "seconds")],
    );
}

#[test]
fn reports_every_invalid_item_with_its_location() {
    let body = json!({
        "zone": "no zone", "environment": "a/b", "priority": 40000, "files": [], "x": 1, "everything": "true", "action": "delete",
        "urls": ["www.example.com/a", 5, {"url": "https://a.example/", "header": {}}, null, "https://a.example/ok"],
        "tags": ["a b", "é"], "hosts": ["https://a.example"], "prefixes": "a.example/x",
    });
    assert_problems(
        read_as(JSON, None, body.to_string().as_bytes()),
        &[
            ("action", "must be `purge` or `invalidate`"),
            ("everything", "`true` or `false`"),
            ("files", "is `urls` meant?"),
            ("priority", "-32768 to 32767"),
            ("x", "no such field"),
            ("zone", "`no zone`"),
            ("environment", "a/b"),
            ("hosts[0]", "https://"),
            ("prefixes", "must be an array"),
            ("tags[0]", "space"),
            ("tags[1]", "é"),
            ("urls[0]", "www.example.com/a"),
            ("urls[1]", "a string or an object with `url`"),
            ("urls[2]", "header"),
            ("urls[3]", "a string or an object with `url`"),
        ],
    );
    let batch = br#"[{"specversion":"0.3","id":"","source":7,"type":"x","data":{},"my-ext":1,"ext":{}},
        {"specversion":"1.0","id":"a\u0000","source":"s","type":"dev.cfcache.purge.v1","datacontenttype":"text/xml",
         "data":{"zone":"example.com","action":"invalidate","tags":[""]},"data_base64":""}, 7]"#;
    assert_problems(
        read_as(BATCH, None, batch),
        &[
            ("[0].source", "a string"),
            ("[0].my-ext", "extension"),
            ("[0].ext", "extension"),
            ("[0].specversion", "must be `1.0`"),
            ("[0].id", "empty"),
            ("[0].source", "empty"),
            ("[0].type", "dev.cfcache.invalidate.v1"),
            ("[0].data.zone", "missing"),
            ("[0].data", "contains no items"),
            ("[1].datacontenttype", "application/json"),
            ("[1].id", "control character"),
            ("[1].data_base64", "both `data` and"),
            ("[2]", "object"),
        ],
    );
}

#[test]
fn refuses_a_body_without_items_or_with_duplicate_fields() {
    for (content_type, body, at, part) in [
        (JSON, &br#"{"zone":"example.com"}"#[..], "", "contains no items"),
        (JSON, br#"{"zone":"example.com","urls":[],"everything":false}"#, "", "contains no items"),
        (BATCH, b"[]", "", "contains no items"),
        (LINES, b"\n# nothing\n", "", "contains no items"),
        (JSON, br#"{"zone":"example.com","tags":["a"],"t\u0061gs":["b"]}"#, "tags", "twice"),
        (JSON, br#"{"zone":"example.com","zone":"example.org","tags":["a"]}"#, "zone", "twice"),
        (JSON, br#"{"tags":["a"]}"#, "zone", "missing"),
        (JSON, b"", "", "not valid JSON"),
        (JSON, b"{", "", "not valid JSON"),
        (JSON, b"[]", "", "an object"),
        (JSON, b"{\"zone\":\"example.com\",\"tags\":[\"a\"]} x", "", "trailing"),
        (JSON, b"{\"zone\":\"example.com\",\"tags\":[\"\xff\"]}", "", "not UTF-8 (byte 32)"),
        (JSON, br#"{"zone":"example.com","tags":["\ud800"]}"#, "tags[0]", "hex escape"),
        (JSON, br#"{"zone":"example.com","tags":["a\u0000b"]}"#, "tags[0]", "\\0"),
        (
            EVENT,
            br#"{"specversion":"1.0","id":"1","source":"s","type":"dev.cfcache.purge.v1"}"#,
            "data",
            "missing",
        ),
    ] {
        let read = read_as(content_type, None, body);
        let Err(MessageError::Problems(problems)) = read else { panic!("{body:?}: {read:?}") };
        let named = |problem: &Problem| problem.at == at && problem.message.contains(part);
        assert!(problems.shown.iter().any(named), "{at} {part}: {problems:?}");
    }
}

#[test]
fn refuses_unsupported_media_types() {
    for (content_type, is_taken) in [
        ("application/json", true),
        ("application/json;charset=utf-8", true),
        ("application/json; charset=latin1", false),
        ("application/cloudevents", false),
        ("application/cloudevents+xml", false),
        ("application/cloudevents-batch", false),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("multipart/form-data; boundary=x", false),
        ("", false),
    ] {
        let read = read_as(content_type, None, br#"{"zone":"example.com","tags":["a"]}"#);
        assert_eq!(read.is_ok(), is_taken, "{content_type}: {read:?}");
        if !is_taken {
            assert!(matches!(read, Err(MessageError::MediaType(_))), "{content_type}: {read:?}");
        }
    }
    let sources = IntakeSources::local().unwrap();
    let source = sources.named(LOCAL).unwrap();
    assert!(matches!(read(&HeaderMap::new(), None, b"{}", source), Err(MessageError::MediaType(_))));
    let packed = headers(JSON, &[("content-encoding", "gzip")]);
    assert!(matches!(read(&packed, None, b"{}", source), Err(MessageError::MediaType(_))));
}

#[test]
fn accepts_at_most_10000_items() {
    let tags = |count: usize| {
        let tags: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
        json!({"zone": "example.com", "tags": tags})
    };
    assert_eq!(shown(read_as(JSON, None, tags(MAX_ITEMS).to_string().as_bytes())).len(), MAX_ITEMS);
    let too_many = |read| assert!(matches!(read, Err(MessageError::TooMany)));
    too_many(read_as(JSON, None, tags(MAX_ITEMS + 1).to_string().as_bytes()));
    let mut both = tags(MAX_ITEMS);
    both["hosts"] = json!(["a.example"]);
    too_many(read_as(JSON, None, both.to_string().as_bytes()));
    too_many(read_as(LINES, Some("zone=a.example&kind=tags"), "a\n".repeat(MAX_ITEMS + 1).as_bytes()));
    too_many(read_as(BATCH, None, format!("[{}1]", "1,".repeat(MAX_ITEMS)).as_bytes()));
}

#[test]
fn refuses_an_item_above_32_kib() {
    let url = |bytes: usize| format!("https://example.com/{}", "a".repeat(bytes - 20));
    let body = json!({"zone": "example.com", "urls": [url(MAX_KEY_BYTES), url(MAX_KEY_BYTES + 1)]});
    assert_problems(
        read_as(JSON, None, body.to_string().as_bytes()),
        &[("urls[1]", "longer than 32768 bytes")],
    );
}

#[test]
fn lists_at_most_100_problems_and_counts_the_rest() {
    let body = json!({"zone": "example.com", "tags": vec!["a b"; 5000]}).to_string();
    let Err(MessageError::Problems(problems)) = read_as(JSON, None, body.as_bytes()) else { panic!() };
    assert_eq!((problems.shown.len(), problems.total, problems.forbidden), (MAX_SHOWN_PROBLEMS, 5000, 0));
}

#[test]
fn refuses_deep_nesting_and_objects_with_many_fields() {
    let deep = "[".repeat(1 << 19);
    for body in
        [deep.clone(), format!("{{\"urls\":{deep}"), format!("{{\"zone\":\"example.com\",\"urls\":[{deep}")]
    {
        assert!(read_as(JSON, None, body.as_bytes()).is_err());
    }
    let closed = format!("{{\"zone\":\"example.com\",\"urls\":[{deep}{}]}}", "]".repeat(1 << 19));
    assert_problems(read_as(JSON, None, closed.as_bytes()), &[("urls[0]", "must be a string")]);
    let wide = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000));
    assert_problems(read_as(JSON, None, wide.as_bytes()), &[("", "more than 64 fields")]);
}

#[test]
fn enforces_the_permissions_of_a_source() {
    let open = "[shop]\nauth = 'unix'\nsocket = '/s'\n";
    let all = r#"{"zone":"example.com","urls":["https://www.example.com/a"],"tags":["t"],"hosts":["www.example.com"],
        "prefixes":["www.example.com/a"],"everything":true}"#;
    for (settings, expected) in [
        ("zones = ['*']", &[("everything", "may not ask for everything")][..]),
        ("zones = ['EXAMPLE.com.']\nkinds = ['urls','tags','hosts','prefixes','everything']", &[]),
        (
            "zones = ['*']\nkinds = ['files', 'everything']",
            &[
                ("tags[0]", "may not ask for tags"),
                ("hosts[0]", "may not ask for hosts"),
                ("prefixes[0]", "may not ask for prefixes"),
            ],
        ),
        (
            "zones = ['*']\nhosts = ['*.example.com']",
            &[("everything", "may not ask for everything"), ("tags[0]", "may not ask for tags")],
        ),
        (
            "zones = ['*']\nhosts = ['example.com']\nkinds = ['urls','tags','hosts','prefixes','everything']",
            &[
                ("urls[0]", "may not ask for host `www.example.com`"),
                ("hosts[0]", "may not ask for host `www.example.com`"),
                ("prefixes[0]", "may not ask for host `www.example.com`"),
            ],
        ),
        (
            "zones = ['example.org']\nkinds = ['everything']",
            &[
                ("everything", "may not ask for zone `example.com`"),
                ("urls[0]", "may not ask for zone `example.com`"),
                ("tags[0]", "may not ask for zone `example.com`"),
                ("hosts[0]", "may not ask for zone `example.com`"),
                ("prefixes[0]", "may not ask for zone `example.com`"),
            ],
        ),
    ] {
        let read = read_from(&format!("{open}{settings}"), all);
        if expected.is_empty() {
            assert_eq!(shown(read).len(), 5);
        } else {
            if let Err(MessageError::Problems(problems)) = &read {
                assert_eq!(problems.forbidden, expected.len());
            }
            assert_problems(read, expected);
        }
    }
    // The host of a URL is the one that a browser connects to.
    for url in [
        "https://example.com@evil.example/",
        "https://evil.example/example.com",
        "https://evil.example#example.com",
    ] {
        let body = json!({"zone": "example.com", "urls": [url]}).to_string();
        let read = read_from(&format!("{open}zones = ['*']\nhosts = ['example.com']"), &body);
        assert_problems(read, &[("urls[0]", "may not ask for host `evil.example`")]);
    }
    // A header selects one of the files at the URL. Only `Host` could name another host.
    for (header, expected) in [
        ("X-Forwarded-Host", &[][..]),
        ("Accept-Language", &[]),
        ("hOST", &[("urls[0]", "may not send the header `Host`")]),
    ] {
        let url = json!({"url": "https://example.com/", "headers": {header: "evil.example"}});
        let body = json!({"zone": "example.com", "urls": [url]}).to_string();
        let read = |hosts: &str| read_from(&format!("{open}zones = ['*']\n{hosts}"), &body);
        if expected.is_empty() {
            assert_eq!(read("hosts = ['example.com']").unwrap().requests.len(), 1, "{header}");
        } else {
            assert_problems(read("hosts = ['example.com']"), expected);
        }
        assert_eq!(read("").unwrap().requests.len(), 1, "{header}");
    }
    // If only one zone is allowed, the message need not name it.
    let read = read_from(&format!("{open}zones = ['example.com']"), r#"{"tags":["a"]}"#);
    assert_eq!(shown(read), ["example.com - Purge tags a 0 shop -"]);
}

#[test]
fn accepts_probable_mistakes_with_a_warning() {
    let body = br#"{"zone":"example.com","urls":["https://example.com/a","https://example.com/*"]}"#;
    let message = read_as(JSON, None, body).unwrap();
    assert_eq!((message.requests.len(), message.warnings.total), (2, 1));
    assert_eq!(message.warnings.shown[0].at, "urls[1]");
}

fn items() -> impl Strategy<Value = Vec<(Kind, String)>> {
    let item = prop_oneof![
        "[a-z0-9/._?=&%-]{0,12}".prop_map(|path| (Kind::Files, format!("https://www.example.com/{path}"))),
        "[!-+\\--~]{1,12}".prop_map(|tag| (Kind::Tags, tag)),
        "[a-z0-9]{1,8}".prop_map(|name| (Kind::Hosts, format!("{name}.example.com"))),
        "[a-z0-9]{1,8}".prop_map(|path| (Kind::Prefixes, format!("www.example.com/{path}"))),
    ];
    proptest::collection::vec(item, 1..40)
}

fn data(items: &[(Kind, String)]) -> serde_json::Value {
    let mut data = json!({"zone": "example.com"});
    for (kind, text) in items {
        let list = &mut data[kind.word()];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(json!(text));
    }
    data
}

fn keys(read: Result<Message, MessageError>) -> Vec<(String, String)> {
    let requests = read.unwrap().requests;
    let mut keys: Vec<_> = requests
        .iter()
        .map(|request| (request.subject.kind().to_owned(), request.subject.key().into_owned()))
        .collect();
    keys.sort();
    keys
}

proptest! {
    #[test]
    fn all_formats_give_the_same_requests(items in items()) {
        let mut expected: Vec<_> =
            items.iter().map(|(kind, text)| (kind.field().to_owned(), text.clone())).collect();
        expected.sort();
        let data = data(&items);
        let event =
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": PURGE, "data": data}).to_string();
        prop_assert_eq!(&keys(read_as(JSON, None, data.to_string().as_bytes())), &expected);
        prop_assert_eq!(&keys(read_as(EVENT, None, event.as_bytes())), &expected);
        prop_assert_eq!(&keys(read_as(BATCH, None, format!("[{event}]").as_bytes())), &expected);
        prop_assert_eq!(&keys(read_as(LINES, None, data.to_string().as_bytes())), &expected);
    }

    #[test]
    fn reports_exactly_the_invalid_items(items in items(), bad in proptest::collection::vec(any::<bool>(), 40)) {
        let texts: Vec<String> = items
            .iter()
            .zip(&bad)
            .map(|((_, text), is_bad)| if *is_bad { " ,".to_owned() } else { format!("https://a.example/{}", text.len()) })
            .collect();
        let body = json!({"zone": "example.com", "urls": texts}).to_string();
        let expected: Vec<String> =
            (0..texts.len()).filter(|index| bad[*index]).map(|index| format!("urls[{index}]")).collect();
        match read_as(JSON, None, body.as_bytes()) {
            Ok(message) => {
                prop_assert!(expected.is_empty());
                prop_assert_eq!(message.requests.len(), texts.len());
            }
            Err(MessageError::Problems(problems)) => {
                let named: Vec<String> = problems.shown.into_iter().map(|problem| problem.at).collect();
                prop_assert_eq!(named, expected);
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn accepted_items_can_be_parsed_from_the_store(body in any::<Vec<u8>>(), form in 0_usize..4) {
        let content_type = [JSON, EVENT, BATCH, LINES][form];
        if let Ok(message) = read_as(content_type, Some("zone=example.com&kind=tags"), &body) {
            prop_assert!(!message.requests.is_empty());
            for request in message.requests {
                let again = Subject::parse(request.subject.kind(), &request.subject.key());
                prop_assert_eq!(again, Some(Ok(request.subject)));
            }
        }
    }

    #[test]
    fn a_damaged_body_never_panics(
        items in items(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut body = json!({
            "specversion": "1.0", "id": "1", "source": "s", "type": PURGE, "data": data(&items),
        }).to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(message) = read_as(EVENT, None, &body) {
            prop_assert_eq!(message.requests.len(), items.len());
        }
        body.truncate(at);
        prop_assert!(read_as(EVENT, None, &body).is_err());
    }
}
