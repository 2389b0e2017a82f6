//! The sources of the configuration file: authentication and permissions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cfcache_app::failure::Failure;
use cfcache_app::secret::shown_path;
use cfcache_app::{domain, whole};
use cfcache_model::id::ZoneId;
use cfcache_model::target::{Kind, Target};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use ring::hmac;
use ring::rand::SystemRandom;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;
use zeroize::Zeroizing;

use crate::intake::rate::RateLimit;
use crate::intake::signature::{self, SignedHead, Unsigned};
use crate::request::{NewRequest, Subject};

/// The name of the only source if there is no configuration file.
pub(crate) const LOCAL: &str = "local";

/// The maximum size of a file with a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// The minimum length of a fixed secret. A shorter one could be guessed.
const MIN_SECRET_CHARS: usize = 16;

/// The maximum number of sources. Each signature is checked with the keys of all sources that sign.
const MAX_SOURCES: usize = 256;

/// A source in the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SourceSettings {
    /// How the source authenticates.
    pub auth: Auth,
    /// Files that contain one secret each. Every secret is valid, so that secrets can be rotated without downtime.
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    /// With `auth = "header"`: the name of the header that contains the secret.
    pub header: Option<String>,
    /// With `auth = "unix"`: the socket to listen on. Anyone who may write to it is this source.
    pub socket: Option<PathBuf>,
    /// The domains and ids of the zones that it may purge; `*` is all.
    pub zones: Vec<String>,
    /// The kinds that it may request: `urls`, `tags`, `hosts`, `prefixes`, `everything`. The default is all kinds
    /// except `everything`, and except `tags` if `hosts` is set, because a tag applies to files of any host.
    pub kinds: Option<Vec<String>>,
    /// The hosts whose files it may purge; `*.example.com` is every subdomain of `example.com`. The default is all
    /// hosts.
    pub hosts: Option<Vec<String>>,
    /// The average number of items that it may send per second. The default is no limit.
    pub rate: Option<f64>,
}

/// How a source authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Auth {
    /// It signs messages as in the Standard Webhooks specification.
    StandardWebhooks,
    /// It sends a fixed secret as `Authorization: Bearer …`.
    Bearer,
    /// It sends a fixed secret in another header.
    Header,
    /// It may write to a Unix socket.
    Unix,
}

/// All sources, with their secrets.
#[derive(Debug)]
pub struct IntakeSources {
    sources: Vec<Source>,
    /// A random key. Fixed secrets are compared by their hashes under this key, so that timing reveals nothing about
    /// them.
    comparison_key: hmac::Key,
}

/// One source.
pub(crate) struct Source {
    name: String,
    proof: Proof,
    socket: Option<PathBuf>,
    /// The zones in lower-case ASCII form; `None` is all.
    zones: Option<Vec<String>>,
    kinds: Vec<&'static str>,
    hosts: Option<Vec<HostPattern>>,
    rate: Option<Mutex<RateLimit>>,
}

enum Proof {
    Signature(Vec<hmac::Key>),
    Secret {
        header: HeaderName,
        tags: Vec<hmac::Tag>,
    },
    /// The listener that accepted the connection.
    Listener,
}

#[derive(Debug, PartialEq, Eq)]
enum HostPattern {
    Exactly(String),
    /// The domain with a leading dot.
    Below(String),
}

/// The possible sources of a message, as determined from its head.
#[derive(Debug)]
pub(crate) enum Sender<'a> {
    /// This source.
    Known(&'a Source),
    /// One of these sources, if a signature is valid.
    Signed(SignedHead, Vec<&'a Source>),
}

/// Why the source of a message is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthorized {
    /// It has no credentials.
    #[error("there are no credentials: sign the request (`webhook-signature`), or send the source's secret")]
    Missing,
    /// Its fixed secret belongs to no source.
    #[error("the secret belongs to no source")]
    Secret,
    /// Its signature is missing or invalid.
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
}

impl Unauthorized {
    /// Returns the reason in metrics and logs.
    #[must_use]
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "no_credentials",
            Self::Secret => "secret",
            Self::Unsigned(Unsigned::Time { .. }) => "timestamp",
            Self::Unsigned(_) => "signature",
        }
    }
}

impl IntakeSources {
    /// Reads the secrets of all sources, and checks their settings.
    ///
    /// # Errors
    ///
    /// [`Failure`] if a setting is invalid or a secret cannot be read. It never shows a secret.
    pub fn open(settings: &BTreeMap<String, SourceSettings>) -> Result<Self, Failure> {
        if settings.len() > MAX_SOURCES {
            return Err(Failure::usage(format!(
                "there are {} sources, but at most {MAX_SOURCES} are allowed",
                settings.len()
            )));
        }
        let comparison_key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| Failure::usage("the system provides no random numbers"))?;
        let sources = settings
            .iter()
            .map(|(name, settings)| {
                Source::open(name, settings, &comparison_key).map_err(|problem| {
                    Failure::usage(format!("source `{name}`: {problem}"))
                        .with_hint("docs/queue.md describes sources")
                })
            })
            .collect::<Result<Vec<Source>, Failure>>()?;
        for (index, source) in sources.iter().enumerate() {
            let twin = sources[..index].iter().find(|other| other.shares_proof_with(source));
            if let Some(twin) = twin {
                return Err(Failure::usage(format!(
                    "sources `{}` and `{}` cannot be told apart: they have the same secret or socket",
                    twin.name, source.name
                )));
            }
        }
        Ok(Self { sources, comparison_key })
    }

    /// Creates the only source if there is no configuration file. Any client that can connect may purge any zone, with
    /// all kinds except `everything`. So it is only for local addresses and Unix sockets.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the system provides no random numbers.
    pub fn local() -> Result<Self, Failure> {
        let mut sources = Self::open(&BTreeMap::new())?;
        sources.sources.push(Source {
            name: LOCAL.to_owned(),
            proof: Proof::Listener,
            socket: None,
            zones: None,
            kinds: Kind::ALL.iter().map(|kind| kind.field()).collect(),
            hosts: None,
            rate: None,
        });
        Ok(sources)
    }

    /// Returns the names of the sources with a Unix socket, and the sockets.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.sources.iter().filter_map(|source| Some((source.name.as_str(), source.socket.as_deref()?)))
    }

    /// Returns whether these are the sources of [`local`](Self::local).
    #[must_use]
    pub(crate) fn is_local(&self) -> bool {
        matches!(&*self.sources, [Source { proof: Proof::Listener, socket: None, .. }])
    }

    /// Returns the source with that name.
    #[must_use]
    pub(crate) fn named(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Determines the source of a message from its head, as far as possible. `name` is the source that the URL names,
    /// if any.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`] if no source is possible, whatever the body is.
    pub(crate) fn sender(
        &self,
        headers: &HeaderMap,
        name: Option<&str>,
        now: SystemTime,
    ) -> Result<Sender<'_>, Unauthorized> {
        let candidates = || self.sources.iter().filter(|source| name.is_none_or(|name| source.name == name));
        let mut has_secret = headers.contains_key(AUTHORIZATION);
        for source in candidates() {
            let Proof::Secret { header, tags } = &source.proof else { continue };
            let Some(value) = headers.get(header) else { continue };
            has_secret = true;
            let value = value.as_bytes();
            let secret = if *header == AUTHORIZATION { without_bearer(value) } else { Some(value) };
            let is_right = secret.is_some_and(|secret| {
                tags.iter().any(|tag| hmac::verify(&self.comparison_key, secret, tag.as_ref()).is_ok())
            });
            if is_right {
                return Ok(Sender::Known(source));
            }
        }
        if SignedHead::is_in(headers) {
            let head = SignedHead::read(headers, now)?;
            let signing = candidates().filter(|source| matches!(source.proof, Proof::Signature(_))).collect();
            return Ok(Sender::Signed(head, signing));
        }
        Err(if has_secret { Unauthorized::Secret } else { Unauthorized::Missing })
    }
}

impl<'a> Sender<'a> {
    /// Determines the source of a message with its body.
    ///
    /// # Errors
    ///
    /// [`Unsigned::Signature`] if no signature is valid.
    pub(crate) fn verify(self, body: &[u8]) -> Result<&'a Source, Unsigned> {
        let (head, sources) = match self {
            Self::Known(source) => return Ok(source),
            Self::Signed(head, sources) => (head, sources),
        };
        let signed = head.signed(body);
        let is_from = |source: &&Source| match &source.proof {
            Proof::Signature(keys) => keys.iter().any(|key| head.is_valid(key, &signed)),
            _ => false,
        };
        sources.into_iter().find(is_from).ok_or(Unsigned::Signature)
    }
}

impl Source {
    fn open(name: &str, settings: &SourceSettings, comparison_key: &hmac::Key) -> Result<Self, String> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            return Err("a name is 1 to 64 ASCII letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            proof: proof(settings, comparison_key)?,
            socket: settings.socket.clone(),
            zones: zones(&settings.zones)?,
            kinds: kinds(settings)?,
            hosts: settings.hosts.as_deref().map(hosts).transpose()?,
            rate: settings.rate.map(rate).transpose()?,
        })
    }

    fn shares_proof_with(&self, other: &Self) -> bool {
        match (&self.proof, &other.proof) {
            (Proof::Secret { header, tags }, Proof::Secret { header: others, tags: others_tags }) => {
                let is_same =
                    |tag: &hmac::Tag| others_tags.iter().any(|other| other.as_ref() == tag.as_ref());
                header == others && tags.iter().any(is_same)
            }
            (Proof::Signature(keys), Proof::Signature(others)) => {
                // Keys cannot be compared, but signatures can.
                let signs = |key: &hmac::Key| hmac::sign(key, b"");
                keys.iter().any(|key| others.iter().any(|other| signs(key).as_ref() == signs(other).as_ref()))
            }
            (Proof::Listener, Proof::Listener) => self.socket == other.socket,
            _ => false,
        }
    }

    /// Returns its name in the configuration file.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the zone of messages that name none: the only zone that the source may purge, if there is only one.
    #[must_use]
    pub(crate) fn default_zone(&self) -> Option<&str> {
        match self.zones.as_deref() {
            Some([zone]) => Some(zone),
            _ => None,
        }
    }

    /// Checks that the source may make this request.
    ///
    /// # Errors
    ///
    /// The reason why it may not.
    pub(crate) fn check(&self, request: &NewRequest) -> Result<(), String> {
        let name = &self.name;
        if self.zones.as_ref().is_some_and(|zones| !zones.contains(&request.zone)) {
            return Err(format!("source `{name}` may not ask for zone `{}`", request.zone));
        }
        let kind = request.subject.kind();
        if !self.kinds.contains(&kind) {
            let word = if kind == Kind::Files.field() { Kind::Files.word() } else { kind };
            return Err(format!("source `{name}` may not ask for {word}"));
        }
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let host = match &request.subject {
            Subject::Everything => None,
            Subject::Target(target) => target.host(),
        };
        // A cache key header selects one of the files at a URL, so it affects no other host. The API's handling of the
        // `Host` header is not documented.
        if let Subject::Target(Target::Files(file)) = &request.subject
            && file.headers().iter().any(|header| header.name().eq_ignore_ascii_case("host"))
        {
            return Err(format!(
                "source `{name}` may not send the header `Host`: its `hosts` are those of URLs"
            ));
        }
        match host.map(domain::ascii) {
            Some(host) if !hosts.iter().any(|pattern| pattern.matches(&host)) => Err(format!(
                "source `{name}` may not ask for host `{}`",
                cfcache_model::text::clip(&host, cfcache_model::text::CLIP_CHARS)
            )),
            // Kinds without a host were allowed explicitly.
            _ => Ok(()),
        }
    }

    /// Returns the time until it may send again; zero if it may send now.
    #[must_use]
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.with_rate(|rate| rate.wait(now)).unwrap_or_default()
    }

    /// Charges items to its rate.
    pub(crate) fn charge(&self, now: Instant, items: usize) {
        self.with_rate(|rate| rate.charge(now, u32::try_from(items).unwrap_or(u32::MAX)));
    }

    /// Returns the charge for items that were not stored.
    pub(crate) fn refund(&self, items: usize) {
        self.with_rate(|rate| rate.refund(u32::try_from(items).unwrap_or(u32::MAX)));
    }

    fn with_rate<T>(&self, use_it: impl FnOnce(&mut RateLimit) -> T) -> Option<T> {
        let rate = self.rate.as_ref()?;
        Some(use_it(&mut rate.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::Below(name) => host.len() > name.len() && host.ends_with(name.as_str()),
        }
    }
}

/// Returns the value after `Bearer `, in any case.
fn without_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| secret.trim_ascii())
}

fn proof(settings: &SourceSettings, comparison_key: &hmac::Key) -> Result<Proof, String> {
    let SourceSettings { auth, secret_files, header, socket, .. } = settings;
    if header.is_some() != (*auth == Auth::Header) {
        return Err("`header` is required with `auth = \"header\"`, and allowed only there".to_owned());
    }
    if socket.is_some() != (*auth == Auth::Unix) {
        return Err("`socket` is required with `auth = \"unix\"`, and allowed only there".to_owned());
    }
    if *auth == Auth::Unix {
        return match secret_files.as_slice() {
            [] => Ok(Proof::Listener),
            _ => Err("`secret-files` has no effect with `auth = \"unix\"`".to_owned()),
        };
    }
    if secret_files.is_empty() {
        return Err("`secret-files` names no file".to_owned());
    }
    let mut secrets = Vec::new();
    for path in secret_files {
        let text = whole::read(path, MAX_SECRET_BYTES).and_then(whole::text).map(Zeroizing::new);
        let text = text.map_err(|error| format!("cannot read {}: {error}", shown_path(path)))?;
        warn_if_open(path);
        secrets.push((path, Zeroizing::new(text.trim().to_owned())));
    }
    if *auth == Auth::StandardWebhooks {
        let keys = secrets.iter().map(|(path, secret)| {
            signature::key(secret).ok_or_else(|| {
                format!("{} does not contain `whsec_…` with base64 of 24 to 64 bytes", shown_path(path))
            })
        });
        return Ok(Proof::Signature(keys.collect::<Result<_, _>>()?));
    }
    let header = match header.as_deref() {
        None => AUTHORIZATION,
        Some(name) => HeaderName::from_bytes(name.as_bytes())
            .ok()
            .filter(|name| *name != AUTHORIZATION)
            .ok_or("`header` is not the name of a header, or is `authorization`: use `auth = \"bearer\"`")?,
    };
    let tags = secrets.iter().map(|(path, secret)| {
        let path = shown_path(path);
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "the secret in {path} contains a blank or another character that is not allowed in a header"
            ));
        }
        if secret.len() < MIN_SECRET_CHARS {
            return Err(format!("the secret in {path} has fewer than {MIN_SECRET_CHARS} characters"));
        }
        Ok(hmac::sign(comparison_key, secret.as_bytes()))
    });
    Ok(Proof::Secret { header, tags: tags.collect::<Result<_, _>>()? })
}

/// Warns if every user of this machine may read a secret.
fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o004 != 0) {
            warn!("every user of this machine may read the secret in {}", shown_path(path));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn zones(texts: &[String]) -> Result<Option<Vec<String>>, String> {
    if texts.is_empty() {
        return Err("`zones` is empty: it lists domains and ids, or `*`".to_owned());
    }
    if texts == ["*"] {
        return Ok(None);
    }
    let zones = texts.iter().map(|text| zone(text).map_err(|problem| format!("`zones`: {problem}")));
    zones.collect::<Result<Vec<String>, String>>().map(Some)
}

fn kinds(settings: &SourceSettings) -> Result<Vec<&'static str>, String> {
    let Some(words) = &settings.kinds else {
        let is_usual = |kind: &&Kind| settings.hosts.is_none() || kind.has_host();
        return Ok(Kind::ALL.iter().filter(is_usual).map(|kind| kind.field()).collect());
    };
    if words.is_empty() {
        return Err("`kinds` is empty".to_owned());
    }
    let kinds = words.iter().map(|word| match word.as_str() {
        "everything" => Ok("everything"),
        word => word.parse().map(Kind::field).map_err(|_| {
            format!("`kinds`: `{word}` is not one of `urls`, `tags`, `hosts`, `prefixes` and `everything`")
        }),
    });
    kinds.collect()
}

fn hosts(texts: &[String]) -> Result<Vec<HostPattern>, String> {
    if texts.is_empty() {
        return Err("`hosts` is empty: remove it to allow all".to_owned());
    }
    let pattern = |text: &String| {
        let (is_below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        if cfcache_model::target::Host::parse(name).is_err() {
            return Err(format!("`hosts`: `{text}` is neither a host nor `*.` and a domain"));
        }
        let name = domain::ascii(name);
        Ok(if is_below { HostPattern::Below(format!(".{name}")) } else { HostPattern::Exactly(name) })
    };
    texts.iter().map(pattern).collect()
}

fn rate(items: f64) -> Result<Mutex<RateLimit>, String> {
    RateLimit::per_second(items)
        .map(Mutex::new)
        .ok_or_else(|| format!("`rate` is {items}, but must be above 0"))
}

/// Returns whether an id has the form of all documented ids: 32 hex digits.
fn is_usual_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Converts a zone to the form in which it is stored: an id unchanged, a domain in lower case with `xn--`. A domain
/// contains a dot, and an id does not.
pub(crate) fn zone(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !text.contains('.') {
        return match ZoneId::parse(text) {
            // The API shows ids in lower case, so each zone has one form.
            Ok(id) if is_usual_id(id.as_str()) => Ok(id.as_str().to_ascii_lowercase()),
            Ok(id) => Ok(id.as_str().to_owned()),
            Err(invalid) => Err(format!("{invalid}; a zone is an id, or a domain such as `example.com`")),
        };
    }
    let ascii = domain::ascii(text);
    let is_domain = (1..=253).contains(&ascii.len())
        && ascii
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte))
        && ascii.split('.').all(|label| !label.is_empty());
    if is_domain {
        Ok(ascii)
    } else {
        Err(format!("{} is neither a domain nor the id of a zone", cfcache_model::text::quote(text)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::HeaderValue;

    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// A folder with secrets, deleted on drop.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
            let folder = std::env::temp_dir().join(format!("cfcache-queue-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            for (name, content) in files {
                fs::write(folder.join(name), content).unwrap();
            }
            Self(folder)
        }

        fn open(&self, toml: &str) -> Result<IntakeSources, Failure> {
            let toml = toml.replace("FOLDER", self.0.to_str().unwrap());
            IntakeSources::open(&toml::from_str(&toml).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        pairs.collect()
    }

    /// Returns the name of the source, or the reason why there is none.
    fn sender(
        sources: &IntakeSources,
        pairs: &[(&'static str, &str)],
        name: Option<&str>,
        body: &[u8],
    ) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        let sender = sources.sender(&headers(pairs), name, now);
        let source = sender.and_then(|sender| sender.verify(body).map_err(Unauthorized::from));
        source.map_or_else(|error| format!("! {}", error.reason()), |source| source.name().to_owned())
    }

    #[test]
    fn authenticates_each_source_by_its_credentials() {
        let folder = Folder::new(
            "known",
            &[
                ("old", KEY.as_bytes()),
                ("new", b"\xef\xbb\xbfwhsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"),
                ("bearer", b"  a-long-fixed-secret\n\n"),
                ("header", b"another-fixed-secret"),
            ],
        );
        let sources = folder.open(
            "[signer]\nauth = 'standard-webhooks'\nsecret-files = ['FOLDER/new', 'FOLDER/old']\nzones = ['*']\n\
             [strapi]\nauth = 'bearer'\nsecret-files = ['FOLDER/bearer']\nzones = ['*']\n\
             [legacy]\nauth = 'header'\nheader = 'X-Purge-Key'\nsecret-files = ['FOLDER/header']\nzones = ['*']\n\
             [local]\nauth = 'unix'\nsocket = '/run/x.sock'\nzones = ['*']",
        );
        let sources = sources.unwrap();
        let signed = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(sender(&sources, &signed, None, body), "signer");
        assert_eq!(sender(&sources, &signed, Some("signer"), body), "signer");
        assert_eq!(sender(&sources, &signed, Some("strapi"), body), "! signature");
        assert_eq!(sender(&sources, &signed, None, b"other"), "! signature");
        let old = [signed[0], ("webhook-timestamp", "1614265029"), signed[2]];
        assert_eq!(sender(&sources, &old, None, body), "! timestamp");
        for (pairs, name, expected) in [
            (&[("authorization", "Bearer a-long-fixed-secret")][..], None, "strapi"),
            (&[("authorization", "bearer  a-long-fixed-secret")], None, "strapi"),
            (&[("authorization", "Bearer a-long-fixed-secret")], Some("strapi"), "strapi"),
            (&[("authorization", "Bearer a-long-fixed-secret")], Some("legacy"), "! secret"),
            (&[("authorization", "Bearer a-long-fixed-secreT")], None, "! secret"),
            (&[("authorization", "Bearer another-fixed-secret")], None, "! secret"),
            (&[("authorization", "a-long-fixed-secret")], None, "! secret"),
            (&[("authorization", "Basic a-long-fixed-secret")], None, "! secret"),
            (&[("authorization", "Bearer ")], None, "! secret"),
            (&[("x-purge-key", "another-fixed-secret")], None, "legacy"),
            (&[("x-purge-key", "a-long-fixed-secret")], None, "! secret"),
            (&[], None, "! no_credentials"),
            (&[], Some("local"), "! no_credentials"),
            (&[("authorization", "x"), ("x-purge-key", "another-fixed-secret")], None, "legacy"),
        ] {
            assert_eq!(sender(&sources, pairs, name, body), expected, "{pairs:?} {name:?}");
        }
        assert_eq!(sources.sockets().collect::<Vec<_>>(), [("local", Path::new("/run/x.sock"))]);
        let shown = format!("{sources:?} {:?}", sources.named("strapi"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn refuses_invalid_settings_without_showing_secrets() {
        let folder = Folder::new(
            "refused",
            &[
                ("good", b"a-long-fixed-secret"),
                ("same", b"a-long-fixed-secret\n"),
                ("short", b"hunter2-hunter2"),
                ("blank", b"hunter2 hunter2 hunter2"),
                ("binary", b"hunter2\xff-hunter2-hunter2"),
                ("long", &[b'h'; 5000]),
                ("key", KEY.as_bytes()),
                ("empty", b"\n"),
            ],
        );
        let bearer = "[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/good']\n";
        for (toml, part) in [
            ("[a]\nauth = 'bearer'\nzones = ['*']".to_owned(), "`secret-files` names no file"),
            ("[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/none']\nzones = ['*']".to_owned(), "cannot read"),
            (
                "[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/short']\nzones = ['*']".to_owned(),
                "fewer than 16",
            ),
            (
                "[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/empty']\nzones = ['*']".to_owned(),
                "fewer than 16",
            ),
            ("[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/blank']\nzones = ['*']".to_owned(), "a blank"),
            (
                "[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/binary']\nzones = ['*']".to_owned(),
                "not text in UTF-8",
            ),
            (
                "[a]\nauth = 'bearer'\nsecret-files = ['FOLDER/long']\nzones = ['*']".to_owned(),
                "longer than 4096",
            ),
            (
                "[a]\nauth = 'bearer'\nsecret-files = ['/dev/zero']\nzones = ['*']".to_owned(),
                "longer than 4096",
            ),
            (
                "[a]\nauth = 'standard-webhooks'\nsecret-files = ['FOLDER/good']\nzones = ['*']".to_owned(),
                "does not contain `whsec_…`",
            ),
            ("[a]\nauth = 'unix'\nzones = ['*']".to_owned(), "`socket` is required with"),
            (
                "[a]\nauth = 'unix'\nsocket = '/s'\nsecret-files = ['FOLDER/good']\nzones = ['*']".to_owned(),
                "no effect",
            ),
            (format!("{bearer}socket = '/s'\nzones = ['*']"), "`socket` is required with"),
            (format!("{bearer}header = 'x-key'\nzones = ['*']"), "`header` is required with"),
            (format!("{bearer}zones = []"), "`zones` is empty"),
            (format!("{bearer}zones = ['*', 'a.example']"), "`zones`: "),
            (format!("{bearer}zones = ['https://a.example']"), "neither a domain"),
            (format!("{bearer}zones = ['*']\nkinds = ['pages']"), "`pages` is not one of"),
            (format!("{bearer}zones = ['*']\nkinds = []"), "`kinds` is empty"),
            (format!("{bearer}zones = ['*']\nhosts = []"), "`hosts` is empty"),
            (format!("{bearer}zones = ['*']\nhosts = ['*']"), "`hosts`: "),
            (format!("{bearer}zones = ['*']\nrate = 0.0"), "must be above 0"),
            (format!("{bearer}zones = ['*']").replace("[a]", "['a b']"), "a name is"),
            (
                format!(
                    "{bearer}zones = ['*']\n[b]\nauth = 'bearer'\nsecret-files = ['FOLDER/same']\nzones = ['*']"
                ),
                "`a` and `b` cannot be told apart",
            ),
            (
                "[a]\nauth = 'standard-webhooks'\nsecret-files = ['FOLDER/key']\nzones = ['*']\n\
                 [b]\nauth = 'standard-webhooks'\nsecret-files = ['FOLDER/key']\nzones = ['*']"
                    .to_owned(),
                "cannot be told apart",
            ),
        ] {
            let failure = folder.open(&toml).map(|_| toml).unwrap_err();
            assert!(failure.message.contains(part), "{part}: {failure:?}");
            let shown = format!("{failure:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("hhhh") && !shown.contains("fixed"),
                "{shown}"
            );
        }
        assert!(folder.open(&format!("{bearer}zones = ['*']")).is_ok());
    }

    #[test]
    fn normalizes_zones() {
        for (text, expected) in [
            ("Example.COM.", Some("example.com")),
            (" example.com ", Some("example.com")),
            ("ümlaut.example", Some("xn--mlaut-jva.example")),
            ("023e105f4ecef8ad9ca31a8372d0c353", Some("023e105f4ecef8ad9ca31a8372d0c353")),
            ("023E105F4ECEF8AD9CA31A8372D0C353", Some("023e105f4ecef8ad9ca31a8372d0c353")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("example.com/x", None),
            ("example.com:443", None),
            ("*.example.com", None),
            ("exa mple.com", None),
            ("example.com\0", None),
            ("'; DROP TABLE cfcache.request; --", None),
            ("a.example'; DROP TABLE x; --", None),
        ] {
            assert_eq!(zone(text).ok().as_deref(), expected, "{text}");
        }
        assert!(zone(&format!("{}.com", "a.".repeat(200))).is_err());
    }
}
