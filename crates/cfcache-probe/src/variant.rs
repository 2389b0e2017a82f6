//! The ways in which one URL can be asked: as visitors with another device or another page would.

use core::fmt;

/// How a URL is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Variant {
    /// As it is.
    Plain,
    /// With a slash at the end of the path where there is none, and without one where there is.
    Slash,
    /// With `http` in place of `https`, or the other way round.
    Scheme,
    /// As a page of the same host asks for it with CORS: with `Origin`.
    Origin,
    /// As a phone.
    Mobile,
    /// As a tablet.
    Tablet,
    /// As a desktop browser.
    Desktop,
    /// As a browser that takes WebP images.
    Webp,
    /// As a browser that takes AVIF images.
    Avif,
}

/// An entry of a purge's `files` with the headers of its cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesEntry {
    /// The URL.
    pub url: String,
    /// A header of the cache key, by name and value.
    pub header: Option<(&'static str, String)>,
}

const MOBILE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.0 Mobile/15E148 Safari/604.1";
const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.0 Mobile/15E148 Safari/604.1";
const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

impl Variant {
    /// What is asked of a URL that survived its purges, to find the entry that would purge it.
    pub const DIAGNOSIS: [Self; 6] =
        [Self::Slash, Self::Scheme, Self::Origin, Self::Mobile, Self::Tablet, Self::Desktop];

    /// The URL to ask; `None` where there is no such variant of it.
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

    /// The headers to ask with, beside the usual ones; `User-Agent` replaces the usual one.
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

    /// The entry of `files` that purges it.
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

/// The origin of a URL, as `Origin` names it.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_added_and_taken_away_before_the_query() {
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
    fn schemes_are_swapped_where_no_port_is_named() {
        assert_eq!(Variant::Scheme.url("https://a.test/b").as_deref(), Some("http://a.test/b"));
        assert_eq!(Variant::Scheme.url("http://a.test/b").as_deref(), Some("https://a.test/b"));
        assert_eq!(Variant::Scheme.url("https://a.test:8443/b"), None);
    }

    #[test]
    fn entries_carry_the_header_of_the_key() {
        let entry = Variant::Origin.entry("HTTPS://A.test/b").unwrap();
        assert_eq!(entry.header, Some(("Origin", "https://a.test".to_owned())));
        let entry = Variant::Mobile.entry("https://a.test/b").unwrap();
        assert_eq!(entry.header, Some(("CF-Device-Type", "mobile".to_owned())));
        assert_eq!(Variant::Slash.entry("https://a.test/b").unwrap().url, "https://a.test/b/");
    }
}
