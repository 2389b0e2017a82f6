//! A stored response.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::decide::{Terms, Variation};
use crate::purge::PurgeItems;
use crate::request;

/// The maximum memory of an object in addition to its own bytes: the structures here, and its index entries.
pub(crate) const OVERHEAD: u64 = 640;

/// A stored response.
#[derive(Debug, Clone)]
pub(crate) struct StoredResponse {
    pub(crate) key: Arc<str>,
    /// The position of host and path in the key.
    pub(crate) place: (u32, u32),
    pub(crate) environment: Option<Arc<str>>,
    pub(crate) variation: Variation,
    /// The request's values that select the variant.
    pub(crate) variant: Box<str>,
    pub(crate) status: StatusCode,
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    /// In lower case, separated by commas.
    pub(crate) tags: Box<str>,
    /// When it was stored.
    pub(crate) filled: SystemTime,
    /// When it was stored or last revalidated.
    pub(crate) stored: SystemTime,
    pub(crate) fresh_until: SystemTime,
    pub(crate) while_revalidate: u32,
    pub(crate) if_error: u32,
    pub(crate) is_in_reserve: bool,
    /// The number of the fetch that stored or confirmed it.
    pub(crate) fetch: u64,
}

impl StoredResponse {
    /// Fresh up to and including the end of its TTL (Pingora, `is_fresh`).
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.fresh_until >= now
    }

    /// Seconds since it was stored or revalidated, without the origin's own `Age`.
    pub(crate) fn age(&self, now: SystemTime) -> u64 {
        now.duration_since(self.stored).unwrap_or_default().as_secs()
    }

    fn is_within(&self, now: SystemTime, seconds: u32) -> bool {
        let staleness = now.duration_since(self.fresh_until).unwrap_or_default();
        seconds > 0 && staleness <= Duration::from_secs(seconds.into())
    }

    /// Whether it may be served while it is refreshed.
    pub(crate) fn may_be_updating(&self, now: SystemTime) -> bool {
        self.is_within(now, self.while_revalidate)
    }

    /// Whether it may be served if the origin fails.
    pub(crate) fn may_be_stale(&self, now: SystemTime) -> bool {
        self.is_within(now, self.if_error)
    }

    /// Marks it stale; the periods in which it may still be served start now, unless they have already started.
    pub(crate) fn invalidate(&mut self, now: SystemTime) {
        if self.is_fresh(now) {
            // The smallest step of a `SystemTime` on all systems: Windows counts in units of 100 ns.
            self.fresh_until = now.checked_sub(Duration::from_nanos(100)).unwrap_or(now);
        }
    }

    pub(crate) fn take_terms(&mut self, now: SystemTime, terms: &Terms) {
        self.stored = now;
        self.fresh_until = terms.fresh_until;
        self.while_revalidate = terms.while_revalidate;
        self.if_error = terms.if_error;
        self.is_in_reserve = terms.is_for_reserve;
    }

    /// Host, port if it is not the scheme's default, and path.
    pub(crate) fn place(&self) -> &str {
        &self.key[self.place.0 as usize..self.place.1 as usize]
    }

    /// The URL in the key.
    pub(crate) fn url(&self) -> &str {
        let text = &self.key[..];
        let begin = text[..self.place.0 as usize].rfind(':').and_then(|colon| text[..colon].rfind(':'));
        // After the query there are five fields, which contain no colon.
        let end = text.rmatch_indices(':').nth(4).map_or(text.len(), |(at, _)| at);
        &text[begin.map_or(0, |at| at + 1)..end]
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = &str> {
        each_tag(&self.tags)
    }

    /// Its memory in bytes, rounded up.
    pub(crate) fn cost(&self) -> u64 {
        let texts = self.key.len() + self.variant.len() + 2 * self.tags.len() + self.head.block.len();
        // The index contains each tag for each of its objects.
        let tags = 48 * self.tags().count();
        OVERHEAD + (self.body.len() + texts + tags) as u64
    }
}

fn each_tag(tags: &str) -> impl Iterator<Item = &str> {
    tags.split(',').filter(|tag| !tag.is_empty())
}

/// Returns whether a purge of tags, hosts, prefixes or everything, in the form of [`normal`], covers an object with
/// this place and these tags. Files are found by their key.
pub(crate) fn is_covered(items: &PurgeItems, place: &str, tags: &str) -> bool {
    match items {
        PurgeItems::Everything => true,
        PurgeItems::Files(_) => false,
        PurgeItems::Tags(wanted) => each_tag(tags).any(|tag| wanted.iter().any(|wanted| wanted == tag)),
        PurgeItems::Hosts(hosts) => hosts.iter().any(|host| is_on_host(place, host)),
        PurgeItems::Prefixes(prefixes) => prefixes.iter().any(|prefix| is_below(place, prefix)),
    }
}

/// The items of a purge in the form of keys and tags: hosts and tags in lower case, non-ASCII characters
/// percent-encoded.
pub(crate) fn normal(items: &PurgeItems) -> PurgeItems {
    let all = |list: &[String], one: fn(&str) -> String| list.iter().map(|item| one(item)).collect();
    match items {
        PurgeItems::Everything => PurgeItems::Everything,
        PurgeItems::Files(files) => PurgeItems::Files(files.clone()),
        PurgeItems::Tags(tags) => PurgeItems::Tags(all(tags, |tag| tag.trim().to_lowercase())),
        PurgeItems::Hosts(hosts) => {
            PurgeItems::Hosts(all(hosts, |host| host.trim().trim_end_matches('.').to_lowercase()))
        }
        PurgeItems::Prefixes(prefixes) => PurgeItems::Prefixes(all(prefixes, normal_prefix)),
    }
}

fn normal_prefix(prefix: &str) -> String {
    let prefix = prefix.trim();
    let (host, path) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
    format!("{}{}", host.to_lowercase(), request::encode(path))
}

/// Returns whether it has that host, with any port.
fn is_on_host(place: &str, host: &str) -> bool {
    !host.contains('/') && place.strip_prefix(host).is_some_and(|rest| rest.starts_with(['/', ':']))
}

/// Returns whether it equals the prefix or is below it. A segment that only begins with it does not count: `/bar` does
/// not cover `/barn`.
///
/// This is a choice: the pages say both "directory" and "starts with".
fn is_below(place: &str, prefix: &str) -> bool {
    let Some(rest) = place.strip_prefix(prefix) else { return false };
    rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
}

/// The tags of a response, in lower case, separated by commas.
///
/// Source: <https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/>, 2026: several headers and lists,
/// blanks around a tag and empty tags do not count, case does not matter, printable ASCII, 16 KB in all.
pub(crate) fn tags(headers: &HeaderMap) -> String {
    let lines = headers.get_all("cache-tag").iter().map(HeaderValue::as_bytes);
    let mut length = 0;
    let mut seen = HashSet::new();
    let mut tags: Vec<String> = Vec::new();
    for tag in lines.flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
        length += tag.len() + 1;
        if length > MAX_TAG_BYTES {
            break;
        }
        let is_tag = !tag.is_empty() && tag.iter().all(|byte| (b' '..=b'~').contains(byte));
        let tag = String::from_utf8_lossy(tag).to_ascii_lowercase();
        if is_tag && seen.insert(tag.clone()) {
            tags.push(tag);
        }
    }
    tags.join(",")
}

const MAX_TAG_BYTES: usize = 16 * 1024;

/// The headers of a response in a single allocation. A `HeaderMap` takes a kilobyte, and its values may keep a whole
/// read buffer alive.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    block: Bytes,
}

impl Head {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let length = headers.iter().map(|(name, value)| 6 + name.as_str().len() + value.len()).sum();
        let mut block = BytesMut::with_capacity(length);
        for (name, value) in headers {
            // Cannot be exceeded: a name has at most 64 KiB, and all headers are far below 4 GiB.
            block.put_u16(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX));
            block.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            block.put_slice(name.as_str().as_bytes());
            block.put_slice(value.as_bytes());
        }
        Self { block: block.freeze() }
    }

    fn iter(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let mut rest = self.block.clone();
        core::iter::from_fn(move || {
            let (name, value) = (rest.get(..2)?, rest.get(2..6)?);
            let name = usize::from(u16::from_be_bytes(name.try_into().ok()?));
            let value = u32::from_be_bytes(value.try_into().ok()?) as usize;
            let mut pair = rest.split_to((6 + name + value).min(rest.len())).split_off(6);
            Some((pair.split_to(name.min(pair.len())), pair))
        })
    }

    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(24);
        for (name, value) in self.iter() {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::{any, prop, proptest};

    use super::{Head, is_below, is_on_host, normal_prefix};

    #[test]
    fn prefixes_match_whole_segments() {
        let cases = [
            ("example.com", "example.com/a", true),
            ("example.com/", "example.com/a", true),
            ("example.com", "example.community/a", false),
            ("example.com/bar", "example.com/bar", true),
            ("example.com/bar", "example.com/bar/baz", true),
            ("example.com/bar", "example.com/barn", false),
            ("example.com/bar/", "example.com/bar", false),
            ("example.com/bar/", "example.com/bar/baz", true),
            ("EXAMPLE.com/Bar", "example.com/Bar/baz", true),
            ("EXAMPLE.com/Bar", "example.com/bar/baz", false),
            ("example.com/ü", "example.com/%C3%BC/a", true),
        ];
        for (prefix, place, expected) in cases {
            assert_eq!(is_below(place, &normal_prefix(prefix)), expected, "{prefix} {place}");
        }
        assert!(is_on_host("example.com:8080/a", "example.com"));
        assert!(!is_on_host("example.com.evil/a", "example.com"));
    }

    proptest! {
        #[test]
        fn a_stored_head_is_returned_unchanged(
            list in prop::collection::vec(("[a-z-]{1,20}", prop::collection::vec(32u8..127, 0..30)), 0..10),
            other in any::<u8>(),
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in list {
                let name = HeaderName::try_from(format!("x-{name}")).unwrap();
                map.append(name, HeaderValue::from_bytes(&value).unwrap());
            }
            if let Ok(value) = HeaderValue::from_bytes(&[other]) {
                map.append("x-other", value);
            }
            assert_eq!(Head::new(&map).to_map(), map);
        }
    }
}
