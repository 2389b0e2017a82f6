//! Guesses what an entry is if it is not a URL.

use cfcache_model::endpoint::Action;
use cfcache_model::target::{Host, Kind, Target};

/// The probable kind of an entry that is not a URL. A suggestion is made only if it is certain, because a purge
/// that follows a wrong one would succeed without purging anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LooksLike {
    Host,
    Prefix,
    Tag,
    Path,
    Xml,
}

impl LooksLike {
    /// `www.example.com`, `www.example.com/blog`, `release-42`, `/about`, `<loc>`.
    pub(crate) fn new(given: &str) -> Option<Self> {
        if given.starts_with('<') {
            return Some(Self::Xml);
        }
        if given.starts_with("./") || (given.starts_with('/') && !given.starts_with("//")) {
            return Some(Self::Path);
        }
        if is_host(given) {
            return Some(Self::Host);
        }
        if is_prefix(given) {
            return Some(Self::Prefix);
        }
        let is_in_tag = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        let is_tag =
            given.starts_with(|char: char| char.is_ascii_alphanumeric()) && given.chars().all(is_in_tag);
        is_tag.then_some(Self::Tag)
    }

    /// What two entries both look like; hosts may occur among prefixes.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (one, other) if one == other => Some(one),
            (Self::Host, Self::Prefix) | (Self::Prefix, Self::Host) => Some(Self::Prefix),
            _ => None,
        }
    }

    /// What to do about `count` such entries. Without an action, nothing is purged, and no purge is suggested.
    pub(crate) fn hint(self, action: Option<Action>, count: u64) -> String {
        let looks = |one: &str, many: &str| match count {
            1 => format!("it looks like {one}"),
            _ => format!("these look like {many}"),
        };
        match (self, action) {
            (Self::Host | Self::Tag | Self::Prefix, None) => {
                "only URLs can be requested, such as `https://www.example.com/`".to_owned()
            }
            (Self::Host, Some(action)) => {
                format!("{}: did you mean `cfcache {action} hosts`?", looks("a host", "hosts"))
            }
            (Self::Tag, Some(action)) => {
                format!("{}: did you mean `cfcache {action} tags`?", looks("a tag", "tags"))
            }
            (Self::Prefix, Some(action)) => format!(
                "{} (did you mean `cfcache {action} prefixes`?), or like a URL without its `https://`",
                looks("a prefix", "prefixes")
            ),
            (Self::Path, _) => format!(
                "{}: `--base https://www.example.com` converts paths to URLs",
                looks("the path of a file", "paths of files")
            ),
            (Self::Xml, _) => "it looks like XML: `--from-sitemap FILE` reads a sitemap".to_owned(),
        }
    }
}

/// Returns whether a text is probably a host.
pub fn is_host(text: &str) -> bool {
    Host::is_plausible(text)
}

/// Returns whether a text is probably a prefix with a path.
pub fn is_prefix(text: &str) -> bool {
    text.split_once('/').is_some_and(|(host, _)| is_host(host)) && Target::parse(Kind::Prefixes, text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unambiguous_entries_get_a_suggestion() {
        for (given, expected) in [
            ("www.example.com", Some(LooksLike::Host)),
            ("example.co.uk:8443", Some(LooksLike::Host)),
            ("bücher.example", Some(LooksLike::Host)),
            ("www.example.com/blog", Some(LooksLike::Prefix)),
            ("release-42", Some(LooksLike::Tag)),
            ("/path/to/image.jpg", Some(LooksLike::Path)),
            ("./index.html", Some(LooksLike::Path)),
            ("<url>", Some(LooksLike::Xml)),
            ("image.jpg", None),
            ("css/styles.css", None),
            ("index.html", None),
            ("style.min.css", None),
            ("1.2", None),
            ("v1.2.3", None),
            ("[", None),
            ("{\"a\":1}", None),
            ("\"release-42\"", None),
            ("\"https://www.example.com/\",", None),
            ("a b", None),
            ("<!--", Some(LooksLike::Xml)),
            ("//cdn.example.com/a", None),
            ("*.example.com", None),
            ("someone@example.com", None),
            ("mailto:someone@example.com", None),
            ("C:\\site\\index.html", None),
            ("", None),
        ] {
            assert_eq!(LooksLike::new(given), expected, "{given}");
        }
    }
}
