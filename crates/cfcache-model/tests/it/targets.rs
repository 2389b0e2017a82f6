//! Validation of targets: errors, warnings, and their messages.

use std::collections::VecDeque;
use std::fmt::Write;

use cfcache_model::id::AccountId;
use cfcache_model::plan::Entry;
use cfcache_model::target::{CacheKeyHeader, File, Kind, Target};
use cfcache_model::{EnvironmentId, PurgeBody, SharedText, ZoneId};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{any_text, config};

#[test]
fn parses_the_names_of_kinds() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(*kind));
        assert_eq!(kind.field().parse(), Ok(*kind));
    }
    let refused = "page\n".parse::<Kind>().unwrap_err().to_string();
    assert_eq!(refused, r"a kind is one of `urls`, `tags`, `hosts`, `prefixes`, not `page\n`");
}

/// Every documented limit from both sides, and typical mistakes: one line per verdict, and a cure if there is one.
#[test]
fn validates_targets() {
    let tag = |length| "t".repeat(length);
    let prefix = |separators| format!("www.example.com{}", "/p".repeat(separators));
    let long_prefix = format!("www.example.com{}", "/a-long-word".repeat(40));
    let entries: &[(Kind, &[&str])] = &[
        (
            Kind::Files,
            &[
                "http://www.example.com/css/styles.css",
                "https://www.example.com",
                "HTTPS://WWW.EXAMPLE.COM/A",
                "https://www.example.com:8443/a?b=c&d=e#",
                "https://user:password@www.example.com/",
                "https://[2001:db8::1]:443/a",
                "https://www.example.com/go/https://other.example/",
                "https://www.example.com/a%2Fb/%E2%82%AC/€",
                "",
                " ",
                " https://www.example.com/a",
                "\u{feff}https://www.example.com/a",
                "\"https://www.example.com/a\",",
                "<https://www.example.com/a>",
                "www.example.com/a",
                "www.example.com:8080/a",
                "//www.example.com/a",
                "/css/styles.css",
                "css/styles.css",
                "image.jpg",
                "v1.2",
                "192.0.2.1/a",
                "www.example.com./a",
                "localhost:8080/a",
                "https:www.example.com/a",
                "https:/www.example.com/a",
                "http:\\\\www.example.com\\a",
                "https://",
                "https:///a",
                "https://?a",
                "https://:443/",
                "https://user@/",
                "https://www..example.com/a",
                "https://.example.com/a",
                "https://b\u{fc}cher..example/a",
                "ftp://www.example.com/a",
                "htps://www.example.com/a",
                "file:///etc/passwd",
                "mailto:someone@example.com",
                "https://www.example.com/a\nhttps://www.example.com/b",
                "https://www.example.com/a https://www.example.com/b",
                "https://www.example.com/a\0https://www.example.com/b",
                "https://www.example.com/a b/ü",
                "https://www.example.com/a ",
                "https://www.example.com/a\r",
                "https://www.example.com/a\tb",
                "https://www.example.com/a\u{b}b",
                "https://www.example.com/a\u{1b}b",
                "https://www.example.com/a\u{7f}",
                "https://www.example.com/a\u{85}b",
                "https://www.example.com/a\u{a0}b",
                "https://www.example.com/a\u{2028}b",
                "https://www.example.com/a\u{3000}",
                "https://www.example.com\\a",
                "https://www.exa mple.com/",
                "https://www.exam\u{200b}ple.com/",
                "https://{{host}}/a",
                "https://<host>/a",
                "https://user:p@ss,word@www.example.com,b/a",
                "https://www.example.com:99999/a",
                "https://www.example.com:port/a",
                "https://www.example.com:/a",
                "://www.example.com/a",
                "www.example.com/?next=https://other.example/",
                "not a url",
                "\u{1b}[2Jwww.example.com/\u{202e}gpj.a",
                r#"{"url": "https://www.example.com/a"}"#,
                r#"  {"url": "https://www.example.com/a", "headers": {}}  "#,
                r#"{"url": "https://www.example.com/a", "headers": {"CF-Device-Type": "mobile"}}"#,
                r#"{"url": "https://www.example.com/a", "headers": {"CF-Device-Type": "mobile", "cf-device-type": "tablet"}}"#,
                r#"{"url": "https://www.example.com/a", "headers": {"CF-Device-Type": 1}}"#,
                r#"{"url": "https://www.example.com/a", "headers": null}"#,
                r#"{"url": "https://www.example.com/a", "header": {"CF-Device-Type": "mobile"}}"#,
                r#"{"url": "https://www.example.com/ä", "headers": oops}"#,
                r#"{url: "https://www.example.com/a"}"#,
                r#"{"url": "www.example.com/a"}"#,
                r#"{"headers": {}}"#,
                r#"{"url": null}"#,
                "{",
                "{}",
                "{\n  \"url\": \"https://www.example.com/ä\",\n  \"é\": 1\n}",
            ],
        ),
        (
            Kind::Tags,
            &[
                "a-cache-tag",
                "!\"#$%&'()*+-./:;<=>?@[\\]^_`{|}~",
                &tag(1),
                &tag(1024),
                "",
                &tag(1025),
                "a,b",
                "a b",
                " a",
                "a\r",
                "a\tb",
                "größe",
                "a\u{200b}",
                "a\u{7f}",
            ],
        ),
        (
            Kind::Hosts,
            &[
                "www.example.com",
                "WWW.example.com.",
                "xn--bcher-kva.example",
                "[2001:db8::1]",
                "a_b.example",
                "2001:db8::1",
                "www.example.com:8443",
                "bücher.example",
                "",
                " ",
                "*.example.com",
                ".example.com",
                "www..example.com",
                "www.example.com..",
                ".",
                "https://www.example.com",
                "https://www.example.com/",
                "https://www.example.com/a?b",
                "https://",
                "www.example.com/",
                "www.example.com/a",
                "www.example.com?a",
                "www.example.com#a",
                ":443",
                " www.example.com",
                "www.example.com\r",
                "\u{feff}www.example.com",
                "www.exam\u{200b}ple.com",
                "a.example b.example",
                "a.example\nb.example",
                "a.example,b.example",
                "someone@example.com",
                "\"www.example.com\"",
                "www.example.com\\a",
                "www.example.com\0",
                "[2001:db8::1",
                "\u{1b}[2J",
            ],
        ),
        (
            Kind::Prefixes,
            &[
                "www.example.com",
                "www.example.com/",
                "www.example.com/foo",
                "images.example.com/bar/baz",
                "www.example.com/go/https://other.example/",
                &prefix(31),
                &prefix(32),
                &long_prefix,
                "",
                "https://www.example.com/foo",
                "HTTP://www.example.com/foo?a=b#c",
                "https://",
                "//www.example.com/foo",
                "www..example.com/foo",
                ".example.com/foo",
                "/foo",
                "/",
                "www.example.com/foo?",
                "www.example.com/foo?a=b",
                "www.example.com/größe#c",
                "?a",
                "#",
                "www.example.com/*",
                "*.example.com/a",
                "*",
                "www.example.com/a b",
                "www.example.com/a ",
                "www.example.com/a\tb",
                "www.example.com/a\0",
                "www.example.com/a\nwww.example.com/b",
                "www.example.com/a,www.example.com/b",
                "www.example.com,www.example.net",
                "www.example.com\\a",
                ":443/a",
            ],
        ),
    ];
    let mut shown = String::new();
    for (kind, entries) in entries {
        writeln!(shown, "## {kind}\n").unwrap();
        for entry in *entries {
            let parsed = Target::parse(*kind, entry);
            let cure = parsed.as_ref().err().and_then(|invalid| invalid.cure().map(str::to_owned));
            report(&mut shown, entry, parsed.map(|target| target.text().into_owned()), cure);
        }
    }
    insta::assert_snapshot!(shown);
}

/// Writes an entry and its verdict.
fn report<E: std::fmt::Display>(
    shown: &mut String,
    entry: &str,
    parsed: Result<String, E>,
    cure: Option<String>,
) {
    let short = |text: &str| match text.chars().count() {
        0..=100 => text.escape_debug().to_string(),
        count => {
            let beginning: String = text.chars().take(30).collect();
            format!("{beginning}... ({count} characters)")
        }
    };
    match parsed {
        Ok(text) if text == entry => writeln!(shown, "[{}] taken", short(entry)).unwrap(),
        Ok(text) => writeln!(shown, "[{}] taken as\n [{}]", short(entry), short(&text)).unwrap(),
        Err(error) => writeln!(shown, "[{}]\n    {error}", short(entry)).unwrap(),
    }
    if let Some(cure) = cure {
        writeln!(shown, "    hint: {cure}").unwrap();
    }
}

#[test]
fn validates_headers() {
    let headers = [
        "CF-Device-Type: mobile",
        "cf-device-type:desktop",
        "CF-Device-Type: tablet",
        "CF-Device-Type: Mobile",
        "CF-Device-Type: phone",
        "CF-Device-Type:",
        "CF-IPCountry: US",
        "CF-IPCountry: us",
        "CF-IPCountry: T1",
        "CF-IPCountry: XX",
        "CF-IPCountry: USA",
        "CF-IPCountry: U1",
        "CF-IPCountry: é",
        "Accept-Language: zh-CN",
        "Accept-Language:",
        "Origin: https://www.example.com",
        "Origin: https://www.example.com:8443",
        "Origin: http://www.example.com:443",
        "origin: http://[2001:db8::1]",
        "Origin: chrome-extension://abcdef",
        "Origin: chrome-extension://abcdef:",
        "Origin: https://www.example.com:443",
        "Origin: HTTPS://www.example.com:443",
        "Origin: http://[2001:db8::1]:80",
        "Origin: https://www.example.com/",
        "Origin: https://www.example.com:443/a?b",
        "Origin: https://www.example.com:443:443",
        "Origin: www.example.com",
        "Origin: //www.example.com:443/",
        "Origin: null",
        "Origin:",
        "Origin: ://www.example.com",
        "Origin: https://",
        "Origin: https://:8443",
        "X-Forwarded-Host: a b",
        "X: \u{1b}[2J",
        "X:   kept as it is   inside   ",
        "a b: c",
        ": c",
        "é: c",
        "CF-IPCountry=US",
        "CF-Device-Type",
        "\u{202e}",
        "",
    ];
    let mut shown = String::new();
    for text in headers {
        let parsed = CacheKeyHeader::parse(text);
        let cure = parsed.as_ref().err().and_then(|invalid| invalid.cure().map(str::to_owned));
        let as_text = parsed.map(|header| format!("{}: {}", header.name(), header.value()));
        report(&mut shown, text, as_text, cure);
    }
    let blank = CacheKeyHeader::new("CF-IPCountry", " US").unwrap_err();
    report(&mut shown, "CF-IPCountry:  US", Err(&blank), blank.cure().map(str::to_owned));
    insta::assert_snapshot!(shown);
}

#[test]
fn validates_ids() {
    let ids = [
        "023e105f4ecef8ad9ca31a8372d0c353",
        "4e9f1d2a7b8c3f60a5d4e3c2b1a09f",
        "a",
        "A-b_9",
        "",
        "023e105f4ecef8ad9ca31a8372d0c3530",
        "example.com",
        "..",
        "a/b",
        "a?b",
        "a%2fb",
        " a",
        "a\n",
        "é",
        "\u{202e}a",
    ];
    let mut shown = String::new();
    for id in ids {
        report(&mut shown, id, ZoneId::parse(id).map(|id| id.to_string()), None);
    }
    insta::assert_snapshot!(shown);
    assert_eq!(EnvironmentId::parse("").unwrap_err().to_string(), "an environment id must not be empty");
    assert_eq!(AccountId::parse("").unwrap_err().to_string(), "an account id must not be empty");
}

/// Entries that are accepted and sent unchanged, with a warning.
#[test]
fn warns_about_unusual_targets() {
    let long_host = format!("{}.example", "a".repeat(200));
    let entries: &[(Kind, &[&str])] = &[
        (
            Kind::Files,
            &[
                "https://www.example.com/plain-url_0.9~!$&'()+,;=:@%20?a=b/c?d",
                "https://www.example.com/größe",
                "https://www.example.com/*.jpg",
                "https://www.example.com/a#b",
                "https://www.example.com/a#",
                "https://www.example.com/?a=b&amp;c=d",
                "https://www.example.com/a\u{200b}b",
                "https://www.example.com/\u{202e}gpj.a",
                "https://www.example.com/\u{646}\u{200c}\u{645}",
                "https://bücher.example/",
                "https://*.example.com/*#*",
                "https://user:password@www.example.com/@a",
                "https://www.example.com/@scope/a?b=@c",
                "https://www.example.com/a/../b/./c",
                "https://www.example.com/.",
                "https://www.example.com/.well-known/..a/b..?c=/../d",
                r#"{"url":"https://www.example.com/","headers":{"CF-IPCountry":"us"}}"#,
            ],
        ),
        (Kind::Tags, &["anything", r#"["a-tag"]"#, r#"{"tag":1}"#, "\"a-tag\"", "'a'", "\"", "[a", "it's"]),
        (Kind::Hosts, &["www.example.com", "www.example.com:443", "bücher.example", &long_host]),
        (
            Kind::Prefixes,
            &[
                "www.example.com/größe",
                "bücher.example/a",
                "www.example.com/*",
                "www.example.com/a\u{200b}b",
                "www.example.com/a/../b",
            ],
        ),
    ];
    let mut shown = String::new();
    for (kind, entries) in entries {
        writeln!(shown, "## {kind}\n").unwrap();
        for entry in *entries {
            let mut warnings = Vec::new();
            let read = Entry::parse(*kind, entry, &mut |warning| warnings.push(warning)).unwrap();
            assert_eq!(read.given(), *entry);
            writeln!(shown, "[{}] {}", entry.escape_debug(), warnings.len()).unwrap();
            for warning in warnings {
                writeln!(shown, "    {warning}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(shown);
}

/// A cure must itself be valid.
#[test]
fn cures_are_valid() {
    let mistakes = [
        (Kind::Prefixes, "https://www.example.com/foo", "www.example.com/foo"),
        (Kind::Prefixes, "https://www.example.com/foo?a", "www.example.com/foo"),
        (Kind::Prefixes, "//www.example.com", "www.example.com"),
        (Kind::Files, "www.example.com", "https://www.example.com"),
        (Kind::Files, "'https://www.example.com/a'", "https://www.example.com/a"),
        (Kind::Files, "https://www.example.com/a b", "https://www.example.com/a%20b"),
        (Kind::Files, "https://www.example.com/a\u{a0}b", "https://www.example.com/a%C2%A0b"),
        (Kind::Files, " \thttps://www.example.com/a\r\n", "https://www.example.com/a"),
        (Kind::Files, "https://www.example.com\\a\\b", "https://www.example.com/a/b"),
        (Kind::Hosts, "https://www.example.com/a", "www.example.com"),
        (Kind::Hosts, " www.example.com", "www.example.com"),
        (Kind::Prefixes, "www.example.com\\a", "www.example.com/a"),
        (Kind::Tags, " a\n", "a"),
    ];
    for (kind, found, meant) in mistakes {
        let cure = Target::parse(kind, found).unwrap_err().cure().unwrap().to_owned();
        assert!(cure.ends_with(&format!("`{meant}`")), "{found}: {cure}");
        assert!(Target::parse(kind, meant).is_ok(), "{meant}");
    }
}

#[test]
fn default_headers_do_not_replace_headers_of_an_entry() {
    let header = |name, value| CacheKeyHeader::new(name, value).unwrap();
    let file = File::parse(r#"{"url":"https://a.example/","headers":{"cf-ipcountry":"US"}}"#).unwrap();
    let file = file.with_default_headers(&[header("CF-IPCountry", "DE"), header("Accept-Language", "de")]);
    let expected = r#"{"url":"https://a.example/","headers":{"cf-ipcountry":"US","Accept-Language":"de"}}"#;
    assert_eq!(Target::from(file).text(), expected);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL)
}

/// Checks that a text is safe for a terminal: one line, in its written order, and not too long.
fn assert_terminal_safe(text: &str) {
    assert!(!text.chars().any(cfcache_model::text::is_invisible), "{text:?}");
    assert!(text.len() < 4000, "{} bytes: {text}", text.len());
}

proptest! {
    #![proptest_config(config())]

    /// A line of a scanned list is parsed like a text of its own, whatever the lines around it contain.
    #[test]
    fn the_lines_of_a_list_are_parsed_like_single_texts(
        texts in prop::collection::vec(
            prop_oneof![
                4 => "https?://[a-z0-9._-]{1,12}(\\.example)?[/?][a-z0-9/._~=%:;-]{0,40}",
                2 => "https://www\\.example\\.(com?|org)[/?:.][a-z0-9/._]{0,20}",
                1 => "https://[a-z.]{50,70}/a{0,20}",
                1 => any_text(),
            ],
            1..6,
        ),
    ) {
        let list = texts.join("\n") + "\n";
        let mut lines = VecDeque::new();
        let are_plain = SharedText::from(&*list).split_plain_lines(&mut lines);
        if !are_plain {
            lines.extend(list.split_terminator('\n').map(SharedText::from));
        }
        prop_assert_eq!(lines.len(), list.split_terminator('\n').count());
        for (line, text) in lines.iter().zip(list.split_terminator('\n')) {
            prop_assert_eq!(&**line, text);
            for kind in Kind::ALL {
                let (shared, alone) = (Target::parse_shared(*kind, line), Target::parse(*kind, text));
                prop_assert_eq!(&shared, &alone);
                let plain = Target::from_plain_line(*kind, line.clone()).ok();
                prop_assert!(plain.is_none() || plain == alone.clone().ok() && are_plain);
                if let (Ok(shared), Ok(alone)) = (shared, alone) {
                    let warnings = |target: &Target| {
                        let mut warnings = Vec::new();
                        target.warnings(&mut |warning| warnings.push(warning));
                        warnings
                    };
                    prop_assert_eq!(warnings(&shared), warnings(&alone));
                    prop_assert_eq!(shared.is_plain(), alone.is_plain());
                    prop_assert!(!shared.is_plain() || warnings(&shared).is_empty());
                    let [shared, alone] = [shared, alone].map(|one| PurgeBody::from_targets([one]).unwrap().to_json());
                    prop_assert_eq!(shared, alone);
                }
            }
        }
    }

    #[test]
    fn a_valid_target_keeps_its_text(kind in any_kind(), text in any_text()) {
        if let Ok(target) = Target::parse(kind, &text) {
            prop_assert_eq!(target.kind(), kind);
            prop_assert_eq!(&Target::parse(kind, &target.text()).unwrap(), &target);
            if !text.trim_start().starts_with('{') || kind != Kind::Files {
                prop_assert_eq!(&target.text(), &text);
            }
            let body = PurgeBody::from_targets([target]).unwrap();
            prop_assert_eq!(serde_json::from_str::<PurgeBody>(&body.to_json()).unwrap(), body);
        }
    }

    #[test]
    fn a_url_is_sent_byte_for_byte(rest in any_text()) {
        let is_possible = |char: &char| !char.is_whitespace() && !char.is_control() && *char != '\\';
        let rest: String = rest.chars().filter(is_possible).collect();
        let text = format!("https://h/{rest}");
        let sent: Value = serde_json::from_str(
            &PurgeBody::from_targets([File::parse(&text).unwrap()]).unwrap().to_json()
        ).unwrap();
        prop_assert_eq!(sent["files"][0].as_str(), Some(text.as_str()));
    }

    /// In a list with valid and invalid entries, the body contains exactly the valid ones.
    #[test]
    fn invalid_entries_are_never_sent(
        kind in any_kind(),
        list in prop::collection::vec(any_text(), 0..20),
    ) {
        let (good, refused): (Vec<&str>, Vec<&str>) =
            list.iter().map(String::as_str).partition(|text| Target::parse(kind, text).is_ok());
        let good = good.into_iter().map(|text| Target::parse(kind, text).unwrap());
        let Ok(body) = PurgeBody::from_targets(good) else { return Ok(()) };
        // The body always equals the output of serde.
        prop_assert_eq!(body.to_json(), serde_json::to_string(&body).unwrap());
        let sent: Value = serde_json::from_str(&body.to_json()).unwrap();
        for entry in sent[body.field()].as_array().unwrap() {
            let text = entry.as_str().or_else(|| entry["url"].as_str()).unwrap();
            prop_assert!(!refused.contains(&text), "{:?} was refused and sent", text);
        }
    }

    #[test]
    fn messages_are_terminal_safe(kind in any_kind(), text in any_text(), repeat in 1_usize..200) {
        let text = text.repeat(repeat);
        match Target::parse(kind, &text) {
            Ok(target) => target.warnings(&mut |warning| assert_terminal_safe(&warning.to_string())),
            Err(invalid) => {
                assert_terminal_safe(&invalid.to_string());
                invalid.cure().iter().for_each(|cure| assert_terminal_safe(cure));
            }
        }
        if let Err(invalid) = CacheKeyHeader::parse(&text) {
            assert_terminal_safe(&invalid.to_string());
            invalid.cure().iter().for_each(|cure| assert_terminal_safe(cure));
        }
        if let Err(invalid) = ZoneId::parse(&text) {
            assert_terminal_safe(&invalid.to_string());
        }
        if let Err(error) = serde_json::from_str::<PurgeBody>(&format!("{{{}:[]}}", Value::from(text))) {
            assert_terminal_safe(&error.to_string());
        }
    }

    #[test]
    fn a_parsed_header_can_be_parsed_again(name in any_text(), value in any_text()) {
        if let Ok(header) = CacheKeyHeader::new(&name, &value) {
            let text = format!("{}: {}", header.name(), header.value());
            prop_assert_eq!(CacheKeyHeader::parse(&text).unwrap(), header);
        }
    }
}

#[test]
fn returns_the_host_of_every_kind() {
    for (kind, text, expected) in [
        (Kind::Files, "https://user@www.example.com:8443/a?b#c", Some("www.example.com")),
        (Kind::Files, r#"{"url": "http://example.com/a"}"#, Some("example.com")),
        (Kind::Hosts, "www.example.com", Some("www.example.com")),
        (Kind::Hosts, "www.example.com:8443", Some("www.example.com")),
        (Kind::Hosts, "[2001:db8::1]:8443", Some("[2001:db8::1]")),
        (Kind::Prefixes, "[2001:db8::1]:8443/a", Some("[2001:db8::1]")),
        (Kind::Prefixes, "www.example.com:8443/foo", Some("www.example.com")),
        (Kind::Prefixes, "www.example.com", Some("www.example.com")),
        (Kind::Tags, "www.example.com", None),
    ] {
        let target = Target::parse(kind, text).unwrap();
        assert_eq!(target.host(), expected, "{text}");
        assert_eq!(kind.has_host(), expected.is_some(), "{kind}");
    }
}
