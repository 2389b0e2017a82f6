//! Serves a folder as the origin.

use core::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::fs::File;

use crate::serve::body::{self, ResponseBody, whole};

/// Answers a request from a folder. Only `GET` and `HEAD` are supported.
pub(super) async fn respond(root: &Path, request: &Request<()>) -> Response<ResponseBody> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "a folder supports only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(path) = decode(request.uri().path()) else {
        return text(StatusCode::BAD_REQUEST, "the path is not a valid file path\n");
    };
    let is_head = request.method() == Method::HEAD;
    let found = {
        let root = root.to_owned();
        // File systems may block.
        tokio::task::spawn_blocking(move || find(&root, &path))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    };
    let served = match found {
        Ok(file) => serve(&file, StatusCode::OK, Some(request.headers()), is_head).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(response) => response,
        Err(error) if error.kind() == ErrorKind::IsADirectory => redirect(request),
        Err(error) if error.kind() == ErrorKind::NotFound => missing(root, is_head).await,
        Err(error) => unreadable(&error),
    }
}

/// Answers a request for a file that does not exist.
async fn missing(root: &Path, is_head: bool) -> Response<ResponseBody> {
    match within(root, &root.join("404.html")) {
        Ok(page) => match serve(&page, StatusCode::NOT_FOUND, None, is_head).await {
            Ok(response) => response,
            Err(error) => unreadable(&error),
        },
        Err(_) => text(StatusCode::NOT_FOUND, "no such file\n"),
    }
}

/// Decodes the path of a URL into a path relative to a folder; `None` if a file name in it is not valid.
fn decode(path: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                rest = behind;
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    let is_name = |name: &[u8]| name != b"." && name != b".." && !name.contains(&0);
    if !bytes.split(|byte| *byte == b'/').all(is_name) {
        return None;
    }
    let start = bytes.iter().position(|byte| *byte != b'/').unwrap_or(bytes.len());
    file_name(bytes.split_off(start))
}

/// Returns whether a decoded path names a folder, because it is empty or ends with a slash.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_none_or(|last| *last == b'/')
}

/// On Unix, file names may contain any bytes.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have invalid file names")]
fn file_name(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn file_name(bytes: Vec<u8>) -> Option<PathBuf> {
    let name = String::from_utf8(bytes).ok()?;
    (!name.contains(['\\', ':'])).then(|| name.into())
}

/// Returns the file for a path.
///
/// # Errors
///
/// `NotFound` if there is none, and `IsADirectory` for a folder without a trailing slash.
fn find(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let place = root.join(path);
    if is_folder(path) {
        return within(root, &place.join("index.html"));
    }
    let mut page = place.clone().into_os_string();
    page.push(".html");
    for file in [&*place, Path::new(&page)] {
        match within(root, file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
    }
    let is_below = |folder: PathBuf| folder.starts_with(root) && folder.is_dir();
    let is_folder = place.canonicalize().is_ok_and(is_below);
    Err(if is_folder { ErrorKind::IsADirectory } else { ErrorKind::NotFound }.into())
}

/// Returns the file at a path, if it exists and is below the root after following all links.
///
/// # Errors
///
/// `NotFound` if it does not exist or is not below the root.
fn within(root: &Path, path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Ok(file) if file.starts_with(root) && file.is_file() => Ok(file),
        Ok(_) => Err(ErrorKind::NotFound.into()),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
                ErrorKind::NotFound.into()
            }
            _ => error,
        }),
    }
}

async fn serve(
    path: &Path,
    status: StatusCode,
    conditions: Option<&HeaderMap>,
    is_head: bool,
) -> io::Result<Response<ResponseBody>> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    let length = metadata.len();
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let tag = tag(length, modified);
    let is_unchanged = conditions.is_some_and(|headers| is_unchanged(headers, &tag, modified));
    let body = if is_unchanged || is_head { whole(Bytes::new()) } else { body::from_file(file, length) };
    let mut response = Response::new(body);
    *response.status_mut() = if is_unchanged { StatusCode::NOT_MODIFIED } else { status };
    let headers = response.headers_mut();
    put(headers, ETAG, &tag);
    if has_http_date(modified) {
        put(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    if !is_unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
        headers.insert(CONTENT_LENGTH, length.into());
    }
    Ok(response)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // The value consists of digits and letters.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Returns whether HTTP can express a time, which it can from 1970 to 9999.
fn has_http_date(time: SystemTime) -> bool {
    const YEAR_10000: u64 = 253_402_300_800;
    time.duration_since(UNIX_EPOCH).is_ok_and(|time| time.as_secs() < YEAR_10000)
}

/// Files with different lengths or times get different tags.
fn tag(length: u64, modified: SystemTime) -> String {
    match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => format!("\"{:x}-{length:x}\"", after.as_nanos()),
        Err(before) => format!("\"-{:x}-{length:x}\"", before.duration().as_nanos()),
    }
}

fn is_unchanged(headers: &HeaderMap, tag: &str, modified: SystemTime) -> bool {
    if let Some(known) = headers.get(IF_NONE_MATCH) {
        let mut known = known.to_str().unwrap_or_default().split(',').map(str::trim);
        return known.any(|one| one == "*" || one.trim_start_matches("W/") == tag);
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|value| httpdate::parse_http_date(value).ok());
    // Headers contain only whole seconds.
    let whole = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    since.is_some_and(|since| whole(modified) <= whole(since))
}

fn redirect(request: &Request<()>) -> Response<ResponseBody> {
    let mut target = String::new();
    let uri = request.uri();
    // A path that begins with two slashes would lead to another host.
    let path = uri.path().trim_start_matches('/');
    let _ = write!(target, "/{path}/");
    if let Some(query) = uri.query() {
        let _ = write!(target, "?{query}");
    }
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    put(response.headers_mut(), LOCATION, &target);
    response
}

fn unreadable(error: &io::Error) -> Response<ResponseBody> {
    match error.kind() {
        ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "the file may not be read\n"),
        _ => text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, text.len().into());
    response
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "xml" => "application/xml",
        "csv" => "text/csv; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_leave_the_folder() {
        for path in ["/..", "/a/../b", "/%2e%2e/a", "/a/%2e%2E%2f%2e./b", "/a%00", "/%", "/%f", "/%zz"] {
            assert_eq!(decode(path), None, "{path}");
        }
        for (path, name, expected) in [
            ("/a%20b/%C3%BC.html", "a b/\u{fc}.html", false),
            ("/a..b", "a..b", false),
            ("//a/", "a/", true),
            ("/", "", true),
            ("", "", true),
        ] {
            let decoded = decode(path).unwrap();
            assert_eq!((decoded.to_str(), is_folder(&decoded)), (Some(name), expected), "{path}");
        }
    }

    #[test]
    fn times_of_files_may_be_outside_of_those_of_http() {
        let second = core::time::Duration::from_secs(1);
        let rows = [
            (UNIX_EPOCH - second, "\"-3b9aca00-5\"", false),
            (UNIX_EPOCH, "\"0-5\"", true),
            (UNIX_EPOCH + second, "\"3b9aca00-5\"", true),
        ];
        for (time, expected_tag, has_date) in rows {
            assert_eq!((&*tag(5, time), has_http_date(time)), (expected_tag, has_date), "{time:?}");
        }
        // 9999-12-31T23:59:59Z is the last second with a date; the conversion of a later one panics.
        if let Some(last) = UNIX_EPOCH.checked_add(core::time::Duration::from_secs(253_402_300_799)) {
            assert_eq!(httpdate::fmt_http_date(last), "Fri, 31 Dec 9999 23:59:59 GMT");
            assert!(has_http_date(last) && !has_http_date(last + second));
        }
    }

    #[test]
    fn file_names_may_contain_any_bytes_on_unix() {
        for path in ["/a%5cb", "/%ff"] {
            assert_eq!(decode(path).is_some(), cfg!(unix), "{path}");
        }
    }
}
