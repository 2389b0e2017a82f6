//! For any message: accepted requests can be stored and sent, refusals are JSON that is safe for a terminal, and no
//! message is attributed to a source without its secret.
//!
//! An input consists of headers, one per line, an empty line, and the body. The header `query` contains the query of
//! the URL.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cfcache_model::text::is_invisible;
use cfcache_queue::intake::read_message;
use cfcache_queue::intake::sources::IntakeSources;
use cfcache_queue::{NewRequest, Subject};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use serde_json::Value;

const KEY: [u8; 32] = [7; 32];
const NOW: u64 = 1_700_000_000;

type Read = Result<Vec<NewRequest>, (StatusCode, String)>;

/// Without sources, and with one source that signs and has the same permissions.
fn sources() -> &'static [IntakeSources; 2] {
    static SOURCES: OnceLock<[IntakeSources; 2]> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let secret = std::env::temp_dir().join(format!("cfcache-queue-fuzz-{}", std::process::id()));
        std::fs::write(&secret, format!("whsec_{}", BASE64_STANDARD.encode(KEY))).unwrap();
        let settings = serde_json::json!({"local": {
            "auth": "standard-webhooks",
            "secret-files": [secret],
            "zones": ["*"],
            "kinds": ["urls", "tags", "hosts", "prefixes"],
        }});
        let signed = IntakeSources::open(&serde_json::from_value(settings).unwrap()).unwrap();
        std::fs::remove_file(secret).unwrap();
        [IntakeSources::local().unwrap(), signed]
    })
}

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|bytes| bytes == b"\n\n");
    let (head, body) = end.map_or((&input[..0], input), |end| (&input[..end], &input[end + 2..]));
    let mut headers = HeaderMap::new();
    let mut query = None;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name == b"query" {
            query = std::str::from_utf8(value).ok();
        } else if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let [local, signed] = sources();
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let read = |sources: &IntakeSources, connected, headers: &HeaderMap, now: SystemTime| {
        let read = read_message(sources, connected, headers, query, body, now);
        check(&read);
        read
    };
    let plain = read(local, Some("local"), &headers, now);

    // No input knows the secret.
    let forged = read(signed, None, &headers, now);
    assert_eq!(forged.map_err(|(status, _)| status), Err(StatusCode::UNAUTHORIZED));

    let id = "msg_1";
    let content = [format!("{id}.{NOW}.").as_bytes(), body].concat();
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), &content);
    let signature = format!("v1,{}", BASE64_STANDARD.encode(signature));
    for (name, value) in [("id", id), ("timestamp", &NOW.to_string()), ("signature", &signature)] {
        let name = HeaderName::try_from(format!("webhook-{name}")).unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let proven = read(signed, None, &headers, now);
    let is_other = |read: &Read, status| read.as_ref().is_err_and(|(found, _)| *found == status);
    // The local source refuses requests that a browser or a proxy may have sent; the URL may name another source.
    if !is_other(&plain, StatusCode::FORBIDDEN) && !is_other(&proven, StatusCode::UNAUTHORIZED) {
        assert_eq!(plain, proven);
    }
    let late = read(signed, None, &headers, now + Duration::from_secs(301));
    assert_eq!(late.map_err(|(status, _)| status), Err(StatusCode::UNAUTHORIZED));
});

fn check(read: &Read) {
    match read {
        Ok(requests) => {
            assert!((1..=10_000).contains(&requests.len()));
            requests.iter().for_each(check_request);
        }
        Err((status, json)) => {
            assert!([400, 401, 403, 413, 415].contains(&status.as_u16()), "{status}");
            let answer: Value = serde_json::from_str(json).unwrap();
            assert!(!answer["error"].as_str().unwrap().contains(is_invisible), "{answer}");
            for item in answer["items"].as_array().into_iter().flatten() {
                for text in [&item["at"], &item["message"]] {
                    assert!(!text.as_str().unwrap().contains(is_invisible), "{item}");
                }
            }
        }
    }
}

/// Checks that a request is unchanged after parsing its stored form, and that databases accept all of its text.
fn check_request(request: &NewRequest) {
    let NewRequest { zone, environment, subject, delay, source, event, .. } = request;
    let key = subject.key();
    assert_eq!(Subject::parse(subject.kind(), &key).unwrap().as_ref(), Ok(subject));
    assert!(key.len() <= 32 << 10 && (1..=253).contains(&zone.len()), "{request:?}");
    assert!(*delay <= Duration::from_secs(24 * 60 * 60));
    let texts =
        [Some(zone.as_str()), environment.as_deref(), Some(&key), source.as_deref(), event.as_deref()];
    assert!(!texts.into_iter().flatten().any(|text| text.contains('\0')), "{request:?}");
}
