//! Is a request eligible, and may its response be stored?

use core::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};

use crate::directive::Directives;

/// What is cached without a rule. Source: "Default cache behavior", 2026.
const EXTENSIONS: [&str; 56] = [
    "7z", "avi", "avif", "apk", "bin", "bmp", "bz2", "class", "css", "csv", "doc", "docx", "dmg", "ejs",
    "eot", "eps", "exe", "flac", "gif", "gz", "ico", "iso", "jar", "jpg", "jpeg", "js", "mid", "midi", "mkv",
    "mp3", "mp4", "ogg", "otf", "pdf", "pict", "pls", "png", "ppt", "pptx", "ps", "rar", "svg", "svgz",
    "swf", "tar", "tif", "tiff", "ttf", "webm", "webp", "woff", "woff2", "xls", "xlsx", "zip", "zst",
];

/// Why a request is not eligible, in a word or two.
pub(crate) fn ineligible(method: &Method, uri: &Uri) -> Option<String> {
    if method != Method::GET && method != Method::HEAD {
        return Some(format!("method {method}"));
    }
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension {
        Some(extension) if EXTENSIONS.contains(&extension.as_str()) => None,
        _ if uri.path() == "/robots.txt" => None,
        Some(extension) => Some(format!("extension {extension}")),
        None => Some("no extension".to_owned()),
    }
}

/// For how long a response is fresh, or why it is not stored.
pub(crate) fn lifetime(status: StatusCode, headers: &HeaderMap) -> Result<Duration, &'static str> {
    let lines = headers.get_all("cache-control");
    let directives = Directives::parse(lines.iter().map(http::HeaderValue::as_bytes));
    if directives.has("no-store") {
        return Err("no-store");
    }
    if directives.has_bare("private") {
        return Err("private");
    }
    if let Some(seconds) = directives.seconds("s-maxage").or_else(|| directives.seconds("max-age")) {
        return Ok(Duration::from_secs(seconds.into()));
    }
    match status.as_u16() {
        200 | 206 | 301 => Ok(Duration::from_secs(7200)),
        302 | 303 => Ok(Duration::from_secs(1200)),
        404 | 410 => Ok(Duration::from_secs(180)),
        _ => Err("status"),
    }
}
