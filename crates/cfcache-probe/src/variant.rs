//! Variants of a request for one URL, as sent by visitors with different devices or from different pages.

use core::fmt;

/// A variant of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Variant {
    /// The URL unchanged.
    Plain,
    /// With a slash added at the end of the path, or removed if there is one.
    Slash,
    /// With `http` instead of `https`, or the reverse.
    Scheme,
    /// With `Origin`, as a page on the same host sends it for CORS.
    Origin,
    /// From a phone.
    Mobile,
    /// From a tablet.
    Tablet,
    /// From a desktop browser.
    Desktop,
    /// From a browser that accepts WebP images.
    Webp,
    /// From a browser that accepts AVIF images.
    Avif,
}

/// An entry of `files` in a purge, with the headers of its cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesEntry {
    /// The URL.
    pub url: String,
    /// A header of the cache key: name and value.
    pub header: Option<(&'static str, String)>,
}

const MOBILE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.0 Mobile/15E148 Safari/604.1";
const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.0 Mobile/15E148 Safari/604.1";
const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

impl Variant {
    /// The variants that are requested after a URL survived its purges, to find an entry that would purge it.
    pub const DIAGNOSIS: [Self; 6] =
        [Self::Slash, Self::Scheme, Self::Origin, Self::Mobile, Self::Tablet, Self::Desktop];

    /// Returns the URL to request; `None` if there is no such variant of it.
    #[must_use]
    pub fn url(self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        match self {
            Self::Slash => {
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                let (path, query) = rest.split_at(end);
                let (_, below) = path.split_once('/')?;
                if below.is_empty() {
                    return None;
                }
                Some(match path.strip_suffix('/') {
                    Some(bare) => format!("{scheme}://{bare}{query}"),
                    None => format!("{scheme}://{path}/{query}"),
                })
            }
            Self::Scheme => {
                // A port belongs to one scheme.
                let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
                if authority.contains(':') {
                    return None;
                }
                let other = if scheme.eq_ignore_ascii_case("https") { "http" } else { "https" };
                Some(format!("{other}://{rest}"))
            }
            _ => Some(url.to_owned()),
        }
    }

    /// Returns the additional header. `User-Agent` replaces the usual one.
    #[must_use]
    pub fn headers(self, url: &str) -> Option<(&'static str, String)> {
        match self {
            Self::Plain | Self::Slash | Self::Scheme => None,
            Self::Origin => Some(("origin", origin(url)?)),
            Self::Mobile => Some(("user-agent", MOBILE.to_owned())),
            Self::Tablet => Some(("user-agent", TABLET.to_owned())),
            Self::Desktop => Some(("user-agent", DESKTOP.to_owned())),
            Self::Webp => Some(("accept", "image/webp,image/*;q=0.9,*/*;q=0.8".to_owned())),
            Self::Avif => Some(("accept", "image/avif,image/webp;q=0.9,image/*;q=0.9,*/*;q=0.8".to_owned())),
        }
    }

    /// Returns the entry of `files` that purges this variant.
    #[must_use]
    pub fn entry(self, url: &str) -> Option<FilesEntry> {
        let header = match self {
            Self::Origin => Some(("Origin", origin(url)?)),
            Self::Mobile => Some(("CF-Device-Type", "mobile".to_owned())),
            Self::Tablet => Some(("CF-Device-Type", "tablet".to_owned())),
            Self::Desktop => Some(("CF-Device-Type", "desktop".to_owned())),
            _ => None,
        };
        Some(FilesEntry { url: self.url(url)?, header })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Slash => "slash",
            Self::Scheme => "scheme",
            Self::Origin => "origin",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
            Self::Webp => "webp",
            Self::Avif => "avif",
        })
    }
}

/// Returns the origin of a URL, in the form of the header `Origin`.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_and_removes_the_slash_before_the_query() {
        for (url, other) in [
            ("https://a.test/b", Some("https://a.test/b/")),
            ("https://a.test/b/", Some("https://a.test/b")),
            ("https://a.test/b?c=/", Some("https://a.test/b/?c=/")),
            ("https://a.test/b/?c", Some("https://a.test/b?c")),
            ("https://a.test/", None),
            ("https://a.test", None),
        ] {
            assert_eq!(Variant::Slash.url(url).as_deref(), other, "{url}");
        }
    }

    #[test]
    fn swaps_the_scheme_only_without_a_port() {
        assert_eq!(Variant::Scheme.url("https://a.test/b").as_deref(), Some("http://a.test/b"));
        assert_eq!(Variant::Scheme.url("http://a.test/b").as_deref(), Some("https://a.test/b"));
        assert_eq!(Variant::Scheme.url("https://a.test:8443/b"), None);
    }

    #[test]
    fn entries_contain_the_cache_key_header() {
        let entry = Variant::Origin.entry("HTTPS://A.test/b").unwrap();
        assert_eq!(entry.header, Some(("Origin", "https://a.test".to_owned())));
        let entry = Variant::Mobile.entry("https://a.test/b").unwrap();
        assert_eq!(entry.header, Some(("CF-Device-Type", "mobile".to_owned())));
        assert_eq!(Variant::Slash.entry("https://a.test/b").unwrap().url, "https://a.test/b/");
    }
}
