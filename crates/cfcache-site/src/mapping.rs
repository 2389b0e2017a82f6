//! Maps files to the URLs that show them.

use std::collections::BTreeMap;
use std::path::{Component, PathBuf};

use cfcache_model::target::prefix::MAX_SEPARATORS;
use cfcache_model::target::{CacheKeyHeader, File, Host, Prefix, PurgeUrl, Target};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::path;

/// A site: where its files are, and at which URLs they are served.
///
/// This is a table `[site.NAME]` of a project's settings, and is stored in the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Site {
    /// The deployed folder, relative to that of the settings. It is not stored in the state, because it does not affect
    /// URLs.
    #[serde(default, deserialize_with = "folder_below", skip_serializing)]
    pub root: Option<PathBuf>,
    /// Every URL at which the root of the site is served.
    #[serde(deserialize_with = "some_urls")]
    pub url: Vec<SiteUrl>,
    /// URLs that are purged whenever anything changed: paths below each of `url`, optionally with a query string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<AlwaysPath>,
    /// Files that are not part of the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Glob>,
    /// How files are served; the first match applies. Files without a match have the default forms.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// How the matching files are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Rule {
    /// The pattern of the files.
    pub files: Glob,
    /// What is purged for a file.
    #[serde(default, rename = "as", skip_serializing_if = "is_default")]
    pub purge_as: PurgeAs,
    /// The forms of a page's URL; by default [`Form::DEFAULT`].
    #[serde(default, deserialize_with = "some_forms", skip_serializing_if = "Option::is_none")]
    pub forms: Option<Vec<Form>>,
    /// Sets of cache-key headers with which pages are cached, in addition to the entry without headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderSet>,
    /// What to do for a new file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub added: Added,
}

fn folder_below<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let root = PathBuf::deserialize(deserializer)?;
    let is_below = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !root.as_os_str().is_empty() && root.components().all(is_below) {
        return Ok(Some(root));
    }
    Err(D::Error::custom("`root` is a folder below the one of this file, without `..`"))
}

fn some_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SiteUrl>, D::Error> {
    let urls = Vec::deserialize(deserializer)?;
    if urls.is_empty() {
        Err(D::Error::custom("`url` is empty: where is the site served?"))
    } else {
        Ok(urls)
    }
}

fn some_forms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Form>>, D::Error> {
    let forms = Vec::deserialize(deserializer)?;
    if forms.is_empty() {
        return Err(D::Error::custom(
            "`forms` is empty, so that nothing would be purged; leave it out for the default forms",
        ));
    }
    Ok(Some(forms))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is purged for a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PurgeAs {
    /// Its URLs.
    #[default]
    Urls,
    /// Everything whose host and path begin with its own: for pages that are cached with query strings that cannot be
    /// listed.
    Prefix,
}

/// What to do for a new file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Added {
    /// Purge it, because the cache may hold an earlier 404.
    #[default]
    Purge,
    /// Nothing: its name contains a hash of its content, so nobody requested it before.
    Skip,
}

/// A form of the URL of a page, which is a file whose name ends with `.html` or `.htm`. Other files only have their
/// name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The file name: `/a.html`, `/d/index.html`.
    File,
    /// With a trailing slash: `/a/`, `/d/`.
    Slash,
    /// Without a trailing slash: `/a`, `/d`.
    Bare,
}

impl Form {
    /// The forms of `a.html` and of `d/index.html`. They are valid for nginx, Apache, Caddy, S3, GitHub Pages, Netlify,
    /// and Cloudflare's Pages and Workers, except for `force-trailing-slash`, which serves `a.html` as `/a/`.
    pub const DEFAULT: [&'static [Self]; 2] =
        [&[Self::File, Self::Bare], &[Self::Slash, Self::File, Self::Bare]];
}

/// A pattern for paths of files, such as `docs/**/*.html`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// Parses a pattern with `?`, `*`, `**`, `[a-z]`, `{a,b}`, and a leading `!`.
    ///
    /// # Errors
    ///
    /// The reason why it is invalid.
    pub fn parse(pattern: &str) -> Result<Self, InvalidSite> {
        let invalid = |reason: String| InvalidSite::Glob { found: pattern.to_owned(), reason };
        if pattern.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        let positive = pattern.trim_start_matches('!');
        if positive.starts_with('/') || positive.starts_with("./") {
            return Err(invalid("paths begin below the root, without `/` or `./`".to_owned()));
        }
        match fast_glob::validate(pattern) {
            Ok(()) => Ok(Self(pattern.to_owned())),
            Err(error) => Err(invalid(error.to_string())),
        }
    }

    /// The pattern as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the pattern matches a path, given as the bytes of the file's name.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        fast_glob::glob_match(&self.0, path)
    }
}

/// An origin with the path of the site's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SiteUrl(String);

impl SiteUrl {
    /// Parses `https://www.example.com` or `https://example.com/sub`.
    ///
    /// # Errors
    ///
    /// If it is not a URL, or has a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, InvalidSite> {
        let invalid = |reason: String| InvalidSite::Url { found: text.to_owned(), reason };
        let parsed = PurgeUrl::parse(text).map_err(|error| invalid(error.to_string()))?;
        if text.contains(['?', '#', '*']) {
            return Err(invalid("the URL of a site is an origin and a path".to_owned()));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(invalid("it has a user".to_owned()));
        }
        debug_assert!(authority.contains(parsed.host()));
        let base = path::encode_url_part(rest[authority.len()..].trim_end_matches('/'));
        Ok(Self(format!("{}://{}{base}", scheme.to_ascii_lowercase(), authority.to_lowercase())))
    }

    /// The URL without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the root without a trailing slash; empty for the root of the host.
    #[must_use]
    pub fn base(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |slash| &rest[slash..])
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Option<Target> {
        let url = PurgeUrl::parse(&self.0).ok()?;
        Host::parse(url.host()).ok().map(Target::Hosts)
    }

    /// The URL of a path that begins with `/`. The empty path is the root without a slash, which does not exist for the
    /// root of a host.
    fn url(&self, path: &str, headers: &[CacheKeyHeader]) -> Option<Target> {
        if path.is_empty() && self.base().is_empty() {
            return None;
        }
        let url = PurgeUrl::parse(&format!("{}{path}", self.0)).ok()?;
        Some(Target::Files(File::from(url).with_default_headers(headers)))
    }

    /// The prefix of a path that begins with `/`; of a path that is too deep, the deepest possible one.
    fn prefix(&self, path: &str) -> Option<Target> {
        let url = PurgeUrl::parse(&self.0).ok()?;
        let text = format!("{}{}{path}", url.host(), self.base());
        let end = text.match_indices('/').nth(MAX_SEPARATORS).map_or(text.len(), |(index, _)| index);
        Prefix::parse(&text[..end]).ok().map(Target::Prefixes)
    }
}

/// A path below each URL of the site that is always purged: `/`, `/feed.xml`, `/news?tab=press`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AlwaysPath(String);

impl AlwaysPath {
    /// Parses a path and query.
    ///
    /// # Errors
    ///
    /// If it does not begin with `/`, or has a fragment, a blank or a wildcard.
    pub fn parse(text: &str) -> Result<Self, InvalidSite> {
        let invalid =
            |reason: &str| InvalidSite::Always { found: text.to_owned(), reason: reason.to_owned() };
        if !text.starts_with('/') {
            return Err(invalid("it is a path below the site's URL, and begins with `/`"));
        }
        if text.contains(|char: char| char.is_whitespace() || char.is_control() || "\\#*".contains(char)) {
            return Err(invalid("it has a blank, a control character or one of `\\`, `#`, `*`"));
        }
        Ok(Self(path::encode_url_part(text)))
    }

    /// The path and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The cache-key headers of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSet(Vec<CacheKeyHeader>);

impl HeaderSet {
    /// Validates the headers of a variant.
    ///
    /// # Errors
    ///
    /// If there are none, or if one is invalid.
    pub fn new(headers: &BTreeMap<String, String>) -> Result<Self, InvalidSite> {
        if headers.is_empty() {
            return Err(InvalidSite::Header { reason: "a set of headers is empty".to_owned() });
        }
        let headers = headers.iter().map(|(name, value)| CacheKeyHeader::new(name, value));
        match headers.collect() {
            Ok(headers) => Ok(Self(headers)),
            Err(error) => Err(InvalidSite::Header { reason: error.to_string() }),
        }
    }
}

impl Serialize for HeaderSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|header| (header.name(), header.value())))
    }
}

impl<'de> Deserialize<'de> for HeaderSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&BTreeMap::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

macro_rules! deserialize_parsed {
    ($($type:ty,)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}

deserialize_parsed! {
    Glob,
    SiteUrl,
    AlwaysPath,
}

/// Why a site's settings are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSite {
    /// A pattern is invalid.
    #[error("`{found}` is no pattern for files: {reason}")]
    Glob {
        /// The given text.
        found: String,
        /// The reason.
        reason: String,
    },
    /// A URL of the site is invalid.
    #[error("`{found}` is no URL of a site: {reason}")]
    Url {
        /// The given text.
        found: String,
        /// The reason.
        reason: String,
    },
    /// A path that is always purged is invalid.
    #[error("`{found}` cannot always be purged: {reason}")]
    Always {
        /// The given text.
        found: String,
        /// The reason.
        reason: String,
    },
    /// A header is invalid.
    #[error("{reason}")]
    Header {
        /// The reason.
        reason: String,
    },
}

impl Site {
    /// A site with the default forms.
    #[must_use]
    pub fn new(url: Vec<SiteUrl>) -> Self {
        Self { url, ..Self::default() }
    }

    /// Returns whether a file, given as the bytes of its path, is not part of the site.
    #[must_use]
    pub fn ignores(&self, path: &[u8]) -> bool {
        self.ignore.iter().any(|glob| glob.matches(path))
    }

    /// Returns whether two sites have the same URLs: then only the files determine what changed.
    #[must_use]
    pub fn has_urls_of(&self, other: &Self) -> bool {
        let holds = |all: &[SiteUrl], some: &[SiteUrl]| some.iter().all(|url| all.contains(url));
        holds(&self.url, &other.url) && holds(&other.url, &self.url)
    }

    fn rule(&self, path: &[u8]) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.files.matches(path))
    }

    /// Returns whether a new file with this site path needs no purge.
    #[must_use]
    pub fn skips_added(&self, site_path: &str) -> bool {
        self.rule(&path::decode(site_path)).is_some_and(|rule| rule.added == Added::Skip)
    }

    /// Passes everything to purge for the file with this site path to `give`, for each URL of the site.
    pub fn for_each_target(&self, site_path: &str, emit: &mut dyn FnMut(Target)) {
        let rule = self.rule(&path::decode(site_path));
        if rule.is_some_and(|rule| rule.purge_as == PurgeAs::Prefix) {
            return self.for_each_prefix(site_path, emit);
        }
        self.for_each_file_url(site_path, emit);
    }

    /// Passes each URL of the file with this site path, also if the file is purged as a prefix.
    pub fn for_each_file_url(&self, site_path: &str, emit: &mut dyn FnMut(Target)) {
        let rule = self.rule(&path::decode(site_path));
        let forms = rule.and_then(|rule| rule.forms.as_deref());
        let headers = rule.map_or(&[][..], |rule| &rule.headers);
        for_each_form(site_path, forms, &mut |form| self.for_each_url(form, headers, emit));
    }

    /// Passes a path and query in all spellings, for each URL of the site and each set of headers.
    fn for_each_url(&self, path_and_query: &str, headers: &[HeaderSet], emit: &mut dyn FnMut(Target)) {
        let others = path::other_spellings(path_and_query);
        for path in [path_and_query].into_iter().chain(others.iter().map(String::as_str)) {
            for url in &self.url {
                let sets = headers.iter().map(|set| set.0.as_slice());
                for set in [&[][..]].into_iter().chain(sets) {
                    url.url(path, set).into_iter().for_each(&mut *emit);
                }
            }
        }
    }

    fn for_each_prefix(&self, site_path: &str, emit: &mut dyn FnMut(Target)) {
        let page = Page::from_site_path(site_path);
        // It is not documented whether a prefix ends at a path segment, so `/a` may not include `/a.html`. It includes
        // `/a/` and everything below in any case.
        let (bare, own) = match page {
            Page::Index { folder } => (Some(folder), None),
            Page::Named { stem } => (Some(stem), Some(site_path)),
            Page::Other => (None, Some(site_path)),
        };
        for path in [bare, own].into_iter().flatten() {
            let others = path::other_spellings(path);
            for path in [path].into_iter().chain(others.iter().map(String::as_str)) {
                for url in &self.url {
                    let path = if path.is_empty() && !url.base().is_empty() {
                        String::new()
                    } else {
                        format!("/{path}")
                    };
                    url.prefix(&path).into_iter().for_each(&mut *emit);
                }
            }
        }
    }

    /// Passes everything in a folder, as prefixes, for each URL of the site. The root's folder is empty.
    pub fn for_each_folder_prefix(&self, folder: &str, emit: &mut dyn FnMut(Target)) {
        let index = if folder.is_empty() { "index.html".to_owned() } else { format!("{folder}/index.html") };
        self.for_each_prefix(&index, emit);
    }

    /// Passes the entries that are always purged, with the headers of the files that may be served there.
    pub fn for_each_always(&self, emit: &mut dyn FnMut(Target)) {
        for always in &self.always {
            let path_and_query = always.as_str();
            let path = path_and_query.split('?').next().unwrap_or_default().trim_start_matches('/');
            let mut headers = Vec::new();
            for candidate in file_names(path) {
                let rule = self.rule(&path::decode(&candidate));
                headers.extend(rule.map_or(&[][..], |rule| &rule.headers).iter().cloned());
            }
            self.for_each_url(path_and_query, &headers, emit);
        }
    }

    /// The hosts of the site.
    #[must_use]
    pub fn hosts(&self) -> Vec<Target> {
        let mut hosts: Vec<Target> = Vec::new();
        for host in self.url.iter().filter_map(SiteUrl::host) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// The site paths of the files that a static host may serve for a URL of the site, in the order in which they are
    /// looked up; empty for a URL elsewhere or with a query.
    #[must_use]
    pub fn files_shown_at(&self, url: &str) -> Vec<String> {
        let Some(path) = self.site_path_of(url).filter(|path| !path.contains('?')) else { return Vec::new() };
        let path = path::from_any_spelling(path);
        let pages = |stem: &str| [format!("{stem}.html"), format!("{stem}.htm")];
        match path.strip_suffix('/') {
            _ if path.is_empty() => pages("index").into(),
            Some(folder) => pages(&format!("{folder}/index")).into_iter().chain(pages(folder)).collect(),
            None => [path.clone()]
                .into_iter()
                .chain(pages(&path))
                .chain(pages(&format!("{path}/index")))
                .collect(),
        }
    }

    /// The site path of a URL of the site, with its query; `None` for a URL elsewhere.
    #[must_use]
    pub fn site_path_of(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let path = path::encode_url_part(rest[authority.len()..].split('#').next()?);
        let origin = format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_lowercase());
        self.url.iter().find_map(|site_url| {
            let base = site_url.as_str().strip_prefix(origin.as_str())?;
            let below = path.strip_prefix(base)?;
            (below.is_empty() || below.starts_with(['/', '?']))
                .then(|| below.trim_start_matches('/').to_owned())
        })
    }
}

/// The files that may be served for a path: `a`, `a.html`, `a/index.html`.
fn file_names(path: &str) -> Vec<String> {
    if path.is_empty() || path.ends_with('/') {
        return vec![format!("{path}index.html")];
    }
    vec![path.to_owned(), format!("{path}.html"), format!("{path}/index.html")]
}

/// The type of a page.
enum Page<'a> {
    /// `d/index.html`, with `d`; empty for the root.
    Index { folder: &'a str },
    /// `a.html`, with `a`.
    Named { stem: &'a str },
    /// Not a page.
    Other,
}

impl<'a> Page<'a> {
    fn from_site_path(site_path: &'a str) -> Self {
        // A query comes from a sitemap, and is not part of a file name.
        if site_path.contains('?') {
            return Self::Other;
        }
        let Some(stem) = [".html", ".htm"].iter().find_map(|ending| site_path.strip_suffix(ending)) else {
            return Self::Other;
        };
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        match name {
            "index" => Self::Index { folder },
            // `.html` is the name of a hidden file.
            "" => Self::Other,
            _ => Self::Named { stem },
        }
    }
}

/// Passes each form of a file's URL, as a path that begins with `/`. The bare form of the root is empty.
fn for_each_form(site_path: &str, forms: Option<&[Form]>, emit: &mut dyn FnMut(&str)) {
    let (stem, default) = match Page::from_site_path(site_path) {
        Page::Other => return emit(&format!("/{site_path}")),
        Page::Named { stem } => (stem, Form::DEFAULT[0]),
        Page::Index { folder } => (folder, Form::DEFAULT[1]),
    };
    for form in forms.unwrap_or(default) {
        match form {
            Form::File => emit(&format!("/{site_path}")),
            // For the root there is only one slash: `https://example.com/sub/`.
            Form::Slash if stem.is_empty() => emit("/"),
            Form::Slash => emit(&format!("/{stem}/")),
            Form::Bare if stem.is_empty() => emit(""),
            Form::Bare => emit(&format!("/{stem}")),
        }
    }
}
