//! Decides whether a request is eligible, whether its response may be stored, and for how long it is fresh.

use core::time::Duration;
use std::borrow::Cow;
use std::time::SystemTime;

use cfcache_model::Plan;
use cfcache_model::endpoint::CacheLevel;
use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::directive::{Directives, MAX_SECONDS};
use crate::range;
use crate::request::Asked;
use crate::rule::{EdgeMode, Effects, VaryAction};
use crate::settings::CacheSettings;

/// The path extensions that are cached without a rule. `robots.txt` is cached, too.
///
/// Source: <https://developers.cloudflare.com/cache/concepts/default-cache-behavior/>, 2026.
const EXTENSIONS: [&str; 56] = [
    "7z", "apk", "avi", "avif", "bin", "bmp", "bz2", "class", "css", "csv", "dmg", "doc", "docx", "ejs",
    "eot", "eps", "exe", "flac", "gif", "gz", "ico", "iso", "jar", "jpeg", "jpg", "js", "mid", "midi", "mkv",
    "mp3", "mp4", "ogg", "otf", "pdf", "pict", "pls", "png", "ppt", "pptx", "ps", "rar", "svg", "svgz",
    "swf", "tar", "tif", "tiff", "ttf", "webm", "webp", "woff", "woff2", "xls", "xlsx", "zip", "zst",
];

/// How long development mode lasts.
///
/// Source: <https://developers.cloudflare.com/cache/reference/development-mode/>, 2026.
const DEVELOPMENT: Duration = Duration::from_secs(3 * 60 * 60);

/// The shortest TTL with which an object goes to Cache Reserve.
///
/// Source: <https://developers.cloudflare.com/cache/advanced-configuration/cache-reserve/>, 2026.
const RESERVE_SECONDS: u64 = 10 * 60 * 60;

pub(crate) const CDN_CACHE_CONTROL: &str = "cdn-cache-control";
pub(crate) const CLOUDFLARE_CDN_CACHE_CONTROL: &str = "cloudflare-cdn-cache-control";

/// Returns whether the path has an extension that is cached without a rule.
pub(crate) fn is_default_type(asked: &Asked<'_>) -> bool {
    let has_extension =
        asked.extension().is_some_and(|extension| EXTENSIONS.binary_search(&&*extension).is_ok());
    has_extension || asked.path == "/robots.txt"
}

/// Why a request is not eligible: it is passed on with the status DYNAMIC, and the cache is not used.
pub(crate) fn ineligible(
    now: SystemTime,
    settings: &CacheSettings,
    effects: &Effects,
    asked: &Asked<'_>,
) -> Option<Cow<'static, str>> {
    if !["GET", "HEAD"].contains(&asked.method) {
        return Some(Cow::Owned(format!("method {}", asked.method)));
    }
    if is_developing(now, settings) {
        return Some(Cow::Borrowed("development mode"));
    }
    match effects.is_eligible {
        Some(true) => return None,
        Some(false) => return Some(Cow::Borrowed("rule")),
        None => {}
    }
    if !is_default_type(asked) {
        let reason = asked.extension().filter(|extension| is_plain(extension));
        return Some(match reason {
            Some(extension) => Cow::Owned(format!("extension {extension}")),
            None => Cow::Borrowed("no extension"),
        });
    }
    let has_query = asked.query.is_some();
    (settings.cache_level == CacheLevel::Basic && has_query).then_some(Cow::Borrowed("query string"))
}

/// A short text that is safe in a header.
fn is_plain(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_developing(now: SystemTime, settings: &CacheSettings) -> bool {
    let Some(since) = settings.development_mode else { return false };
    now.duration_since(since).is_ok_and(|age| age < DEVELOPMENT)
}

/// The conditions under which a response is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) fresh_until: SystemTime,
    /// For how many seconds after freshness it is served while it is refreshed.
    pub(crate) while_revalidate: u32,
    /// For how many seconds after freshness it is served if the origin fails.
    pub(crate) if_error: u32,
    /// Headers that are neither stored nor sent.
    pub(crate) strip: Vec<HeaderName>,
    pub(crate) is_for_reserve: bool,
}

/// What selects a variant of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variation {
    None,
    /// These request headers.
    Headers(Box<[HeaderName]>),
    /// The image types that the request accepts.
    Image,
}

type Refusal = Cow<'static, str>;

/// Decides how a response to an eligible request is stored, or why it is not (status BYPASS).
///
/// A `revalidated` response has the status with which it was stored, and the TTL of a rule for 304.
pub(crate) fn terms(
    now: SystemTime,
    settings: &CacheSettings,
    effects: &Effects,
    asked: &Asked<'_>,
    (status, revalidated): (StatusCode, bool),
    headers: &HeaderMap,
) -> Result<Terms, Refusal> {
    let (directives, is_for_cdn) = winner(headers);
    // Source of the first two: "Origin Cache Control". Source of the last: a third party; it agrees with the documented
    // list of what is never BYPASS.
    let is_strict =
        settings.plan != Plan::Enterprise || effects.origin_cache_control == Some(true) || is_for_cdn;
    let ruled = ruled_ttl(effects, status, revalidated);

    if ruled == Some(-1) {
        return Err(Cow::Owned(format!("rule no-store for status {}", status.as_u16())));
    }
    if ruled.is_none() {
        if directives.has("no-store") {
            return Err(Cow::Borrowed("no-store"));
        }
        if directives.has_bare("private") {
            return Err(Cow::Borrowed("private"));
        }
    }
    let lets_authorized = ["public", "must-revalidate", "s-maxage"].iter().any(|name| directives.has(name));
    if is_strict && asked.headers.contains_key(AUTHORIZATION) && !lets_authorized {
        return Err(Cow::Borrowed("authorization"));
    }
    let mut strip = directives.named_headers();
    if headers.contains_key(SET_COOKIE) && !strip.contains(&SET_COOKIE) {
        let is_kept = ruled.is_none() && (is_strict || effects.is_eligible == Some(true));
        if is_kept {
            return Err(Cow::Borrowed("set-cookie"));
        }
        strip.push(SET_COOKIE);
    }

    let (fresh_until, seconds, is_default) = match ruled {
        Some(seconds) => {
            let seconds = u64::try_from(seconds).unwrap_or_default();
            (after(now, seconds), seconds, false)
        }
        None => origin_ttl(now, effects, status, headers, &directives, is_for_cdn, is_strict)?,
    };
    if is_default && has_deception(effects, asked, headers) {
        return Err(Cow::Borrowed("deception armor"));
    }

    let forbids_stale = is_strict
        && (["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| directives.has(name))
            || directives.has_bare("no-cache"));
    let while_revalidate = match directives.seconds("stale-while-revalidate") {
        Some(seconds) if !forbids_stale && !settings.always_online => seconds,
        _ => 0,
    };
    let if_error = match directives.seconds("stale-if-error") {
        _ if forbids_stale => 0,
        Some(seconds) if !settings.always_online => seconds,
        _ => MAX_SECONDS,
    };
    let is_for_reserve = seconds >= RESERVE_SECONDS && is_reservable(settings, effects, headers);
    Ok(Terms { fresh_until, while_revalidate, if_error, strip, is_for_reserve })
}

/// The directives that apply, and whether they are from a CDN header.
///
/// Source: <https://developers.cloudflare.com/cache/concepts/cdn-cache-control/>, 2026.
fn winner(headers: &HeaderMap) -> (Directives, bool) {
    for name in [CLOUDFLARE_CDN_CACHE_CONTROL, CDN_CACHE_CONTROL] {
        if headers.contains_key(name) {
            return (Directives::parse(&headers.get_all(name)), true);
        }
    }
    if headers.contains_key("surrogate-control") {
        return (Directives::default(), false);
    }
    (Directives::parse(&headers.get_all(CACHE_CONTROL)), false)
}

/// The TTL of a rule that replaces the origin's, in seconds; -1 means no-store.
fn ruled_ttl(effects: &Effects, status: StatusCode, revalidated: bool) -> Option<i64> {
    let rule = effects.edge_ttl.as_deref()?;
    // Source: "Cache by status code": a 304 without its own TTL has that of 200.
    let of_304 = revalidated.then(|| rule.for_status(StatusCode::NOT_MODIFIED)).flatten();
    of_304.or_else(|| rule.for_status(status)).or(match rule.mode {
        EdgeMode::Override(ttl) if !status.is_server_error() => i64::try_from(ttl.as_secs()).ok(),
        EdgeMode::Override(_) | EdgeMode::RespectOrigin | EdgeMode::BypassByDefault => None,
    })
}

/// The end of freshness, the TTL in seconds, and whether it is the default.
fn origin_ttl(
    now: SystemTime,
    effects: &Effects,
    status: StatusCode,
    headers: &HeaderMap,
    directives: &Directives,
    is_for_cdn: bool,
    is_strict: bool,
) -> Result<(SystemTime, u64, bool), Refusal> {
    if let Some(seconds) = directives.freshness() {
        if seconds == 0 && !is_strict {
            let name = if directives.has_bare("no-cache") { "no-cache" } else { "max-age=0" };
            return Err(Cow::Borrowed(name));
        }
        return Ok((after(now, seconds.into()), seconds.into(), false));
    }
    let mut expires = headers.get_all(EXPIRES).iter();
    if let (Some(value), None, false) = (expires.next(), expires.next(), is_for_cdn) {
        // An invalid date counts as one in the past.
        let until = range::date(value).unwrap_or(SystemTime::UNIX_EPOCH);
        let seconds = until.duration_since(now).unwrap_or_default().as_secs();
        if until <= now && !is_strict {
            return Err(Cow::Borrowed("expires"));
        }
        return Ok((until, seconds, false));
    }
    let bypasses = effects.edge_ttl.as_deref().is_some_and(|rule| rule.mode == EdgeMode::BypassByDefault);
    if bypasses {
        return Err(Cow::Borrowed("rule bypass_by_default"));
    }
    // Source: "Cache by status code", default TTLs.
    let seconds = match status.as_u16() {
        200 | 206 | 301 => 120 * 60,
        302 | 303 => 20 * 60,
        404 | 410 => 3 * 60,
        code => return Err(Cow::Owned(format!("status {code}"))),
    };
    Ok((after(now, seconds), seconds, true))
}

/// A TTL of 0 ended one second ago (Pingora, `calculate_fresh_until`).
fn after(now: SystemTime, seconds: u64) -> SystemTime {
    let at = match seconds {
        0 => now.checked_sub(Duration::from_secs(1)),
        seconds => now.checked_add(Duration::from_secs(seconds)),
    };
    at.unwrap_or(now)
}

/// Decides what `Vary` does: what selects the variants, or why the response is not stored.
pub(crate) fn variation(
    settings: &CacheSettings,
    effects: &Effects,
    asked: &Asked<'_>,
    headers: &HeaderMap,
) -> Result<Variation, Refusal> {
    let lines = headers.get_all(VARY).iter().map(HeaderValue::as_bytes);
    let items: Vec<&[u8]> = lines
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
        .collect();
    // Source: changelog of 2026-05-04.
    if items.contains(&&b"*"[..]) {
        return Err(Cow::Borrowed("vary *"));
    }
    let mut names: Vec<HeaderName> =
        items.iter().filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    if names.contains(&ACCEPT)
        && let Some((extension, types)) = image_types(settings, asked)
    {
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let kind = String::from_utf8_lossy(kind).split(';').next().unwrap_or_default().trim().to_lowercase();
        let is_own = kind == own_type(&extension);
        if !is_own && !types.contains(&kind) {
            return Err(Cow::Borrowed("variant"));
        }
        return Ok(Variation::Image);
    }
    let Some(vary) = effects.vary.as_deref().filter(|_| !names.is_empty()) else {
        return Ok(Variation::None);
    };
    if let Some(name) = names.iter().find(|name| *vary.action(name) == VaryAction::Bypass) {
        return Err(Cow::Owned(format!("vary {name}")));
    }
    Ok(Variation::Headers(names.into()))
}

/// Further types that an image with the request's extension may have.
pub(crate) fn image_types<'a>(
    settings: &'a CacheSettings,
    asked: &Asked<'_>,
) -> Option<(String, &'a [String])> {
    if settings.plan == Plan::Free {
        return None;
    }
    let extension = asked.extension()?;
    let types = settings.variants.get(&extension)?;
    (!types.is_empty()).then_some((extension, types.as_slice()))
}

fn own_type(extension: &str) -> &'static str {
    match extension {
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "jp2" | "jpg2" => "image/jp2",
        "png" => "image/png",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        _ => "",
    }
}

/// Cache Deception Armor: the type does not match the extension.
///
/// Source: <https://developers.cloudflare.com/cache/cache-security/cache-deception-armor/>, 2026. The types of each
/// extension are not documented; this compares families of types.
fn has_deception(effects: &Effects, asked: &Asked<'_>, headers: &HeaderMap) -> bool {
    if !effects.key.as_deref().is_some_and(|key| key.has_deception_armor) {
        return false;
    }
    let Some(extension) = asked.extension() else { return false };
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = String::from_utf8_lossy(kind).split(';').next().unwrap_or_default().trim().to_lowercase();
    let families: &[&str] = match extension.as_str() {
        "css" => &["text/css"],
        "js" => &["javascript"],
        "csv" => &["text/csv", "text/plain"],
        "avif" | "bmp" | "gif" | "ico" | "jpeg" | "jpg" | "pict" | "png" | "svg" | "svgz" | "tif"
        | "tiff" | "webp" => &["image/", "video/"],
        "avi" | "flac" | "mid" | "midi" | "mkv" | "mp3" | "mp4" | "ogg" | "webm" => {
            &["audio/", "video/", "application/ogg"]
        }
        "eot" | "otf" | "ttf" | "woff" | "woff2" => &["font", "application/vnd.ms-fontobject"],
        extension if EXTENSIONS.contains(&extension) => &["application/"],
        _ => return false,
    };
    kind != "application/octet-stream" && !families.iter().any(|family| kind.contains(family))
}

fn is_reservable(settings: &CacheSettings, effects: &Effects, headers: &HeaderMap) -> bool {
    let Some(length) = content_length(headers) else { return false };
    let by_rule = effects.reserve.is_none_or(|rule| rule.is_eligible && length >= rule.min_bytes);
    settings.cache_reserve && by_rule
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::EXTENSIONS;

    #[test]
    fn extensions_are_sorted() {
        assert!(EXTENSIONS.is_sorted());
    }
}
