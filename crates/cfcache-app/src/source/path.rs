//! `--base`: converts the path of a file to its URL.

use cfcache_model::target::PurgeUrl;
use cfcache_model::text::quote;
use cfcache_site::path::encode;

/// The URL that paths are relative to.
#[derive(Debug, Clone)]
pub struct Base {
    /// The origin, such as `https://www.example.com`.
    origin: String,
    /// The folder of relative paths, such as `/` or `/shop/`.
    folder: String,
}

impl Base {
    /// Parses the URL of a folder.
    ///
    /// # Errors
    ///
    /// The reason why it is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = PurgeUrl::parse(text).map_err(|invalid| match invalid.cure() {
            Some(cure) => format!("{invalid} ({cure})"),
            None => invalid.to_string(),
        })?;
        if text.contains(['?', '#']) {
            return Err(format!("{} has a query or a fragment, which a folder cannot have", quote(text)));
        }
        let authority = url.as_str().find("://").map_or(0, |index| index + 3);
        let path = text[authority..].find('/').map_or(text.len(), |index| authority + index);
        let (origin, path) = text.split_at(path);
        Ok(Self { origin: origin.to_owned(), folder: format!("{}/", path.trim_end_matches('/')) })
    }

    /// The URL of a path: an absolute path is relative to the host, any other to the folder.
    ///
    /// # Errors
    ///
    /// The reason why it is not a path.
    pub(crate) fn url(&self, path: &str) -> Result<String, String> {
        let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
        if path.starts_with("//") {
            return Err(format!("{} begins with `//`, which in a URL is followed by a host", quote(&path)));
        }
        let (mut url, relative) = match path.strip_prefix('/') {
            Some(relative) => (format!("{}/", self.origin), relative),
            None => (format!("{}{}", self.origin, self.folder), path.as_str()),
        };
        let mut is_first = true;
        for segment in relative.split('/') {
            match segment {
                "." => continue,
                ".." => return Err(format!("{} has `..` in it: give the path without it", quote(&path))),
                _ => {}
            }
            if !core::mem::take(&mut is_first) {
                url.push('/');
            }
            url.push_str(&encode(segment.as_bytes()));
        }
        Ok(url)
    }
}

/// Returns whether an entry is a URL, or JSON with one, and not a path.
pub(crate) fn is_url(entry: &str) -> bool {
    let begins =
        |scheme: &str| entry.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    begins("https://")
        || begins("http://")
        || (entry.starts_with('{') && entry.ends_with('}') && entry.contains("\"url\""))
}

/// Characters of a path that suggest that it is part of a URL, in which they have another meaning.
pub(crate) fn oddity(path: &str) -> Option<String> {
    if let Some(char) = path.chars().find(|char| matches!(char, '?' | '#')) {
        return Some(format!(
            "`{char}` is treated as part of the file's name and percent-encoded; give a URL with a query as a complete URL"
        ));
    }
    let mut parts = path.split('%').skip(1);
    let is_escape = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    parts.any(is_escape).then(|| {
        "`%` is treated as part of the file's name and becomes `%25`; give a path that is already percent-encoded as a \
         whole URL"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_urls_as_browsers_write_them() {
        let root = Base::parse("https://www.example.com").unwrap();
        let shop = Base::parse("https://www.example.com:8443/shop").unwrap();
        for (path, below_root, below_shop) in [
            ("/about", "/about", "/about"),
            ("blog/ü.html", "/blog/%C3%BC.html", "/shop/blog/%C3%BC.html"),
            ("./a b.txt", "/a%20b.txt", "/shop/a%20b.txt"),
            ("a/./b/", "/a/b/", "/shop/a/b/"),
            ("a/.", "/a", "/shop/a"),
            ("./", "/", "/shop/"),
            ("/", "/", "/"),
            ("100%.html", "/100%25.html", "/shop/100%25.html"),
            ("a%20b", "/a%2520b", "/shop/a%2520b"),
            ("what?#1", "/what%3F%231", "/shop/what%3F%231"),
            ("a\nb\"<>`{}^", "/a%0Ab%22%3C%3E%60%7B%7D%5E", "/shop/a%0Ab%22%3C%3E%60%7B%7D%5E"),
            ("a|b[c]~!$&'()*+,;=:@", "/a|b[c]~!$&'()*+,;=:@", "/shop/a|b[c]~!$&'()*+,;=:@"),
            ("a//b", "/a//b", "/shop/a//b"),
            ("...", "/...", "/shop/..."),
        ] {
            assert_eq!(root.url(path).unwrap(), format!("https://www.example.com{below_root}"));
            assert_eq!(shop.url(path).unwrap(), format!("https://www.example.com:8443{below_shop}"));
        }
        for path in ["//cdn.example.com/a", "../a", "a/..", "/../a"] {
            root.url(path).unwrap_err();
        }
        if cfg!(unix) {
            assert_eq!(root.url("a\\b").unwrap(), "https://www.example.com/a%5Cb");
        }
    }

    #[test]
    fn a_base_must_be_the_url_of_a_folder() {
        for text in [
            "www.example.com",
            "https://www.example.com/?a",
            "https://www.example.com/#a",
            "/a",
            "",
            "https://",
        ] {
            Base::parse(text).unwrap_err();
        }
        let base = Base::parse("HTTPS://www.example.com/a%20b//").unwrap();
        assert_eq!(base.url("c").unwrap(), "HTTPS://www.example.com/a%20b/c");
    }

    #[test]
    fn a_path_that_looks_percent_encoded_causes_a_warning() {
        for path in ["a%20b", "/search?q=tea", "a#b", "%C3%BC"] {
            assert!(oddity(path).is_some(), "{path}");
        }
        for path in ["a b", "100%", "100%.html", "ü", "%", "%é0"] {
            assert_eq!(oddity(path), None, "{path}");
        }
    }
}
