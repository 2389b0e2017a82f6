//! The cache key, and the parts that `Vary` adds.
//!
//! Source: <https://developers.cloudflare.com/cache/how-to/cache-keys/>, 2026. It is written in the format of the
//! vendor's Trace, `example.com::::https://example.com/images/hero.jpg:::::`. The order of fields that are not empty is
//! a choice: zone, environment, an empty field, `Origin`, URL, headers, cookies, device, country, language.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use cfcache_model::endpoint::CacheLevel;
use http::HeaderName;
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE};

use crate::decide;
use crate::request::Asked;
use crate::rule::{Effects, KeyTemplate, QueryPart, Vary, VaryAction};
use crate::settings::CacheSettings;

/// Request headers that are part of each key.
const HEADERS: [&str; 9] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-forwarded-host",
    "x-host",
    "x-forwarded-scheme",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
];

/// A key, and the position of the URL in it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// From the host to the end of the path.
    pub(crate) place: (usize, usize),
}

/// The key of a request.
pub(crate) fn key(
    settings: &CacheSettings,
    effects: &Effects,
    environment: Option<&str>,
    asked: &Asked<'_>,
) -> Key {
    let default = KeyTemplate::default();
    let template = effects.key.as_deref().unwrap_or(&default);
    let mut text = String::with_capacity(asked.path.len() + 80);
    escape(&mut text, settings.zone.as_bytes());
    text.push(':');
    escape(&mut text, environment.unwrap_or_default().as_bytes());
    text.push_str("::");
    if !template.excludes_origin
        && let Some(origin) = asked.header("origin")
    {
        escape(&mut text, origin.as_bytes());
    }
    text.push_str(if settings.origin_is_https { ":https://" } else { ":http://" });
    let begin = text.len();
    text.push_str(&asked.host);
    if let Some(port) = asked.port {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ":{port}");
    }
    text.push_str(&asked.path);
    let end = text.len();
    push_query(&mut text, settings, template, asked);
    text.push(':');
    push_headers(&mut text, template, asked);
    text.push(':');
    push_cookies(&mut text, template, asked);
    text.push(':');
    if template.has_device {
        text.push_str(device(asked));
    }
    text.push(':');
    if template.has_country {
        escape(&mut text, asked.country.unwrap_or_default().to_ascii_uppercase().as_bytes());
    }
    text.push(':');
    if template.has_language {
        let header = asked.header("accept-language").map_or(&b""[..], http::HeaderValue::as_bytes);
        let first = header.split(|byte| matches!(byte, b',' | b';')).next().unwrap_or_default();
        escape(&mut text, first.trim_ascii().to_ascii_lowercase().as_slice());
    }
    Key { text, place: (begin, end) }
}

fn push_query(text: &mut String, settings: &CacheSettings, template: &KeyTemplate, asked: &Asked<'_>) {
    let Some(query) = asked.query.as_deref() else { return };
    let ignored_by_level = settings.cache_level == CacheLevel::Simplified
        && decide::is_default_type(asked)
        && template.query.is_none();
    let name = |part: &str| part.split('=').next().unwrap_or_default().to_owned();
    let keeps = |part: &str| match &template.query {
        None | Some(QueryPart::All) => true,
        Some(QueryPart::None) => false,
        Some(QueryPart::Only(names)) => names.contains(&name(part)),
        Some(QueryPart::Except(names)) => !names.contains(&name(part)),
    };
    if ignored_by_level {
        return;
    }
    let sorts = template.sorts_query.unwrap_or(settings.sort_query);
    // Unchanged if there is nothing to do, so that `?` and `?a&&b` are kept.
    if !sorts && matches!(template.query, None | Some(QueryPart::All)) {
        text.push('?');
        text.push_str(query);
        return;
    }
    let mut parts: Vec<&str> = query.split('&').filter(|part| keeps(part)).collect();
    if sorts {
        parts.sort_by_key(|part| part.split_once('=').unwrap_or((part, "")));
    }
    if !parts.is_empty() {
        text.push('?');
        text.push_str(&parts.join("&"));
    }
}

fn push_headers(text: &mut String, template: &KeyTemplate, asked: &Asked<'_>) {
    let mut list = Listing { text, is_first: true };
    for name in HEADERS {
        let Some(value) = asked.joined(name) else { continue };
        let is_plain_scheme = name == "x-forwarded-scheme" && (value == b"http" || value == b"https");
        if !is_plain_scheme {
            list.push(name, "=", &value);
        }
    }
    for name in &template.headers {
        list.push(name.as_str(), "=", &asked.joined(name.as_str()).unwrap_or_default());
    }
    for name in &template.header_presence {
        if asked.headers.contains_key(name) {
            list.push(name.as_str(), "", b"");
        }
    }
    for (name, values) in &template.header_contains {
        let value = asked.joined(name.as_str()).unwrap_or_default().to_ascii_lowercase();
        let value = String::from_utf8_lossy(&value);
        for wanted in values.iter().filter(|wanted| value.contains(&wanted.to_ascii_lowercase())) {
            list.push(name.as_str(), "~", wanted.as_bytes());
        }
    }
}

fn push_cookies(text: &mut String, template: &KeyTemplate, asked: &Asked<'_>) {
    let mut list = Listing { text, is_first: true };
    for name in &template.cookies {
        for value in asked.cookies(name) {
            list.push(name, "=", value);
        }
    }
    for name in template.cookie_presence.iter().filter(|name| !asked.cookies(name).is_empty()) {
        list.push(name, "", b"");
    }
}

/// The parts of a field of the key, separated by `;`.
struct Listing<'a> {
    text: &'a mut String,
    is_first: bool,
}

impl Listing<'_> {
    fn push(&mut self, name: &str, sign: &str, value: &[u8]) {
        if !self.is_first {
            self.text.push(';');
        }
        self.is_first = false;
        escape(self.text, name.as_bytes());
        self.text.push_str(sign);
        escape(self.text, value);
    }
}

/// Appends bytes in a visible form that cannot be mistaken for separators.
fn escape(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_graphic() && !b":;=~%".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// Mobile, tablet or desktop, from the user agent. The origin gets it, too, if it is in the key.
///
/// Source: the patterns on <https://developers.cloudflare.com/automatic-platform-optimization/reference/cache-device-type/>.
pub(crate) fn device(asked: &Asked<'_>) -> &'static str {
    if let Some(device) = asked.device {
        return ["mobile", "tablet"].into_iter().find(|known| *known == device).unwrap_or("desktop");
    }
    let agent =
        asked.header("user-agent").map(|agent| agent.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let agent = String::from_utf8_lossy(&agent);
    let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let is_handheld = has(&["android", "bb10", "meego", "silk", "googlebot"]);
    if has(&["ipad", "playbook"])
        || (is_handheld && !agent.contains(" mobile") && !agent.contains("googlebot"))
    {
        return "tablet";
    }
    let is_mobile = has(&[
        "phone",
        "ipod",
        "blackberry",
        "palm",
        "windows ce",
        "opera mini",
        "avantgo",
        "mobilesafari",
        "docomo",
        "kaios",
    ]);
    if is_mobile || (is_handheld && agent.contains(" mobile")) { "mobile" } else { "desktop" }
}

/// The value of a header that selects a variant. It is also sent to the origin if it is normalized.
///
/// Source: <https://developers.cloudflare.com/cache/concepts/vary/>, 2026.
pub(crate) fn vary_value(name: &HeaderName, action: &VaryAction, asked: &Asked<'_>) -> Option<Vec<u8>> {
    let lines = || asked.headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    lines().next()?;
    let allowed = match action {
        VaryAction::Normalize(allowed) => allowed.as_deref(),
        VaryAction::Passthrough | VaryAction::Bypass => {
            return Some(lines().collect::<Vec<_>>().join(&b", "[..]));
        }
    };
    let joined = lines().map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b","[..]);
    if ![ACCEPT, ACCEPT_LANGUAGE, ACCEPT_ENCODING].contains(name) {
        return Some(joined);
    }
    let text = String::from_utf8_lossy(&joined).to_lowercase();
    let mut items: Vec<(u16, Cow<'_, str>)> = Vec::new();
    for item in text.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, quality);
        let is_listed = allowed.is_some_and(|allowed| allowed.iter().any(|known| known == value));
        // A language region is used if it is listed.
        let value = match value.split_once('-') {
            Some((language, _)) if *name == ACCEPT_LANGUAGE && !is_listed => language,
            _ => value,
        };
        if allowed.is_some_and(|allowed| !allowed.iter().any(|known| known == value)) {
            continue;
        }
        let shown = if quality == 0 { Cow::Owned(format!("{value};q=0")) } else { Cow::Borrowed(value) };
        items.push((quality, shown));
    }
    items.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
    let mut seen = HashSet::new();
    let values = items.iter().map(|(_, value)| value.as_ref()).filter(|value| seen.insert(*value));
    let values: Vec<&str> = values.collect();
    Some(values.join(",").into_bytes())
}

/// A weight in thousandths.
fn quality(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u16,
        _ => 1000,
    }
}

/// What selects a variant: the headers in `Vary`, each with the request's value.
pub(crate) fn variant(names: &[HeaderName], vary: &Vary, asked: &Asked<'_>) -> String {
    let mut text = String::new();
    let mut list = Listing { text: &mut text, is_first: true };
    for name in names {
        let value = vary_value(name, vary.action(name), asked);
        list.push(name.as_str(), if value.is_some() { "=" } else { "" }, &value.unwrap_or_default());
    }
    text
}

/// The image types that a request accepts by name, in the order of the setting.
pub(crate) fn image_variant(types: &[String], asked: &Asked<'_>) -> String {
    let accept = asked.joined("accept").unwrap_or_default().to_ascii_lowercase();
    let accept = String::from_utf8_lossy(&accept);
    let accepted = |kind: &str| {
        accept.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|value| value == kind);
            is_it && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| quality(weight) == 0))
        })
    };
    let found: Vec<&str> = types.iter().map(String::as_str).filter(|kind| accepted(kind)).collect();
    found.join(",")
}
