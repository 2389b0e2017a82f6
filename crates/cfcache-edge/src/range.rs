//! Evaluates conditions and ranges of a visitor's request against a complete response.
//!
//! Source: <https://developers.cloudflare.com/cache/reference/range-requests/>, 2026, for a complete stored file
//! without Origin Range Requests; otherwise RFC 9110.

use std::time::SystemTime;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue};

/// From this number of ranges on, the header is ignored.
const MAX_RANGES: usize = 300;

/// The requested part of a complete response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The complete response.
    Whole,
    /// Nothing: the visitor's copy is current (status 304).
    NotModified,
    /// These bytes, first and last (status 206).
    Ranges(Vec<(u64, u64)>),
    /// Bytes that do not exist (status 416).
    Unsatisfiable,
}

/// Decides what a GET or HEAD with these headers gets of a response with status 200.
pub(crate) fn part(request: &HeaderMap, response: &HeaderMap, length: u64) -> Part {
    if is_not_modified(request, response) {
        return Part::NotModified;
    }
    match request.get(RANGE) {
        Some(range) if if_range_holds(request, response) => ranges(range.as_bytes(), length),
        _ => Part::Whole,
    }
}

fn is_not_modified(request: &HeaderMap, response: &HeaderMap) -> bool {
    let mut given = request.get_all(IF_NONE_MATCH).iter().peekable();
    if given.peek().is_some() {
        let stored = response.get(ETAG).map(HeaderValue::as_bytes);
        return given.any(|line| matches_any(line.as_bytes(), stored));
    }
    let date = |value: Option<&HeaderValue>| value.and_then(date);
    match (date(request.get(IF_MODIFIED_SINCE)), date(response.get(LAST_MODIFIED))) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// Parses a date in a header.
pub(crate) fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// The weak comparison of RFC 9110, section 8.8.3.2, with each tag of a list. `*` matches any stored response.
fn matches_any(list: &[u8], stored: Option<&[u8]>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(stored) = stored.map(opaque) else { return false };
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        let end = match tag.strip_prefix(b"\"") {
            Some(inner) => inner.iter().position(|&byte| byte == b'"').map_or(tag.len(), |at| at + 2),
            None => tag.iter().position(|&byte| byte == b',').unwrap_or(tag.len()),
        };
        if tag[..end].trim_ascii() == stored {
            return true;
        }
        let Some(at) = tag[end..].iter().position(|&byte| byte == b',') else { return false };
        rest = &tag[end + at + 1..];
    }
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Returns whether the header is missing, or equals the stored `ETag` or `Last-Modified`.
fn if_range_holds(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(given) = request.get(IF_RANGE) else { return true };
    [ETAG, LAST_MODIFIED].iter().any(|name| response.get(name) == Some(given))
}

fn ranges(header: &[u8], length: u64) -> Part {
    let Some(list) = str::from_utf8(header).ok().and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    if list.split(',').count() >= MAX_RANGES {
        return Part::Whole;
    }
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut asked = None;
    for text in list.split(',').map(str::trim) {
        if text.is_empty() {
            continue;
        }
        let Some((first, last)) = text.split_once('-') else { return Part::Whole };
        let number = |text: &str| {
            if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u64>().ok() } else { None }
        };
        let range = match (first.trim_end(), last.trim_start()) {
            ("", "") => return Part::Whole,
            // A number of last bytes; of an empty body there are none.
            ("", suffix) => {
                let Some(suffix) = number(suffix) else { return Part::Whole };
                (length.saturating_sub(suffix), if suffix == 0 { None } else { length.checked_sub(1) })
            }
            (first, "") => {
                let Some(first) = number(first) else { return Part::Whole };
                (first, length.checked_sub(1))
            }
            (first, last) => {
                let (Some(first), Some(last)) = (number(first), number(last)) else { return Part::Whole };
                (first, length.checked_sub(1).map(|end| last.min(end)).filter(|_| first <= last))
            }
        };
        // Unordered or overlapping ranges: the complete response, as for a complete stored file.
        if asked.is_some_and(|previous| range.0 <= previous) {
            return Part::Whole;
        }
        if let (first, Some(last)) = range
            && first <= last
        {
            asked = Some(last);
            found.push((first, last));
        }
    }
    if found.is_empty() { Part::Unsatisfiable } else { Part::Ranges(found) }
}

/// The body of a 206 with its headers: one range unchanged, several as `multipart/byteranges`.
pub(crate) fn partial(ranges: &[(u64, u64)], headers: &mut HeaderMap, body: &Bytes) -> Bytes {
    let slice = |&(first, last): &(u64, u64)| {
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(body.len());
        body.slice(bound(first)..bound(last.saturating_add(1)))
    };
    let content_range = |(first, last): (u64, u64)| format!("bytes {first}-{last}/{}", body.len());
    if let [range] = ranges {
        set(headers, CONTENT_RANGE, content_range(*range));
        return slice(range);
    }
    let kind = headers.get(CONTENT_TYPE).cloned();
    let mut parts = BytesMut::new();
    for range in ranges {
        parts.put_slice(format!("\r\n--{BOUNDARY}\r\n").as_bytes());
        if let Some(kind) = &kind {
            parts.put_slice(b"Content-Type: ");
            parts.put_slice(kind.as_bytes());
            parts.put_slice(b"\r\n");
        }
        parts.put_slice(format!("Content-Range: {}\r\n\r\n", content_range(*range)).as_bytes());
        parts.put_slice(&slice(range));
    }
    parts.put_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    set(headers, CONTENT_TYPE, format!("multipart/byteranges; boundary={BOUNDARY}"));
    parts.freeze()
}

const BOUNDARY: &str = "cfcache-edge-range-boundary";

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use proptest::prelude::{any, prop, proptest};

    use super::{Part, part, partial, ranges};

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn selects_ranges_of_ten_bytes() {
        let cases: &[(&str, Part)] = &[
            ("bytes=0-0", Part::Ranges(vec![(0, 0)])),
            ("bytes=2-", Part::Ranges(vec![(2, 9)])),
            ("bytes=-3", Part::Ranges(vec![(7, 9)])),
            ("bytes=-30", Part::Ranges(vec![(0, 9)])),
            ("bytes=5-100", Part::Ranges(vec![(5, 9)])),
            ("bytes=0-1,4-5", Part::Ranges(vec![(0, 1), (4, 5)])),
            ("bytes=0-1, 20-", Part::Ranges(vec![(0, 1)])),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=5-2", Part::Unsatisfiable),
            ("bytes=4-5,0-1", Part::Whole),
            ("bytes=0-5,3-8", Part::Whole),
            ("bytes=a-", Part::Whole),
            ("bytes=1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=0-99999999999999999999", Part::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(ranges(header.as_bytes(), 10), *expected, "{header}");
        }
        assert_eq!(ranges(b"bytes=0-", 0), Part::Unsatisfiable);
        let many = (0..300).map(|index| format!("{0}-{0}", index * 2)).collect::<Vec<_>>().join(",");
        assert_eq!(ranges(format!("bytes={many}").as_bytes(), 1000), Part::Whole);
    }

    #[test]
    fn conditions_take_precedence_over_ranges() {
        let response = headers(&[("etag", "\"a\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")]);
        let cases: &[(&[(&'static str, &str)], bool)] = &[
            (&[("if-none-match", "\"a\"")], true),
            (&[("if-none-match", "W/\"a\"")], true),
            (&[("if-none-match", "\"b\", \"a\"")], true),
            (&[("if-none-match", "\"b,\",W/\"a\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"b\"")], false),
            (&[("if-none-match", "a")], false),
            (&[("if-none-match", "\"b\""), ("if-modified-since", "Fri, 01 Jan 2027 00:00:00 GMT")], false),
            (&[("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT")], true),
            (&[("if-modified-since", "Wed, 31 Dec 2025 23:59:59 GMT")], false),
            (&[("if-modified-since", "yesterday")], false),
        ];
        for (request, expected) in cases {
            let mut request = headers(request);
            request.insert("range", "bytes=0-1".parse().unwrap());
            let found = part(&request, &response, 10);
            assert_eq!(found == Part::NotModified, *expected, "{request:?}");
            assert!(*expected || found == Part::Ranges(vec![(0, 1)]), "{request:?}");
        }
    }

    #[test]
    fn if_range_must_be_the_stored_validator() {
        let response = headers(&[("etag", "\"a\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")]);
        let cases = [
            ("\"a\"", true),
            ("Thu, 01 Jan 2026 00:00:00 GMT", true),
            ("\"b\"", false),
            ("Fri, 01 Jan 2027 00:00:00 GMT", false),
        ];
        for (value, expected) in cases {
            let request = headers(&[("range", "bytes=0-1"), ("if-range", value)]);
            assert_eq!(part(&request, &response, 10) != Part::Whole, expected, "{value}");
        }
    }

    #[test]
    fn several_ranges_give_a_multipart_body() {
        let mut answer = headers(&[("content-type", "text/plain")]);
        let body = partial(&[(0, 1), (4, 5)], &mut answer, &Bytes::from_static(b"0123456789"));
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("Content-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--"),
            "{text}"
        );
        assert!(text.contains("Content-Range: bytes 4-5/10\r\n\r\n45\r\n--"), "{text}");
        assert!(answer["content-type"].to_str().unwrap().starts_with("multipart/byteranges; boundary="));
        let body = partial(&[(8, 9)], &mut answer, &Bytes::from_static(b"0123456789"));
        assert_eq!((&body[..], &answer["content-range"]), (&b"89"[..], &"bytes 8-9/10".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn ranges_are_inside_the_body(header in r"bytes=[0-9,\- ]{0,20}", length in 0u64..50) {
            if let Part::Ranges(list) = ranges(header.as_bytes(), length) {
                assert!(list.iter().all(|(first, last)| first <= last && *last < length));
            }
        }

        #[test]
        fn parses_any_bytes(
            range in prop::collection::vec(any::<u8>(), 0..40),
            tag in prop::collection::vec(any::<u8>(), 0..40),
            stored in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            drop(ranges(&range, 10));
            let _: bool = super::matches_any(&tag, Some(&stored));
        }
    }
}
