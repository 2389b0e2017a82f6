//! How visitors ask, and the jobs that only ask.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;

use cfcache_model::endpoint::Action;
use cfcache_model::target::{Kind, Target};
use cfcache_probe::{
    Expectation, GateSettings, InvalidCondition, Limits, Sha256, UrlList, Variant, Visitor, VisitorBuilder,
    host_of,
};
use cfcache_transport::Roots;
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::args::{Input, Pages, RootsArg, VerifyArg, WarmAsArg};
use crate::config::VISITOR_HEADERS;
use crate::failure::Failure;
use crate::job::{Expected, GateJob, Sample, VerifyJob, VisitJob, Visits, WarmJob};
use crate::resolve::connection::{Proxies, authorities};
use crate::resolve::{Job, Resolver, Targets, targets};
use crate::secret::{path_name, shown_path};
use crate::session::USER_AGENT;
use crate::whole;

/// More than all headers that a server takes.
const LONGEST: u64 = 64 * 1024;

/// Headers that belong to the connection or name the URL: another value would ask something else.
const RESERVED: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "proxy-authorization"];

/// How many URLs are verified where that is not said.
const SAMPLE: usize = 100;

/// What is purged, as far as it tells which URLs show it.
pub(super) enum Purged<'a> {
    Everything,
    List(&'a Targets),
    Changed {
        /// Whether bodies are compared with the files that are deployed.
        expects_files: bool,
        /// Whether what changed is read from standard input.
        reads_stdin: bool,
    },
}

impl Purged<'_> {
    fn is_urls(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::List(targets) => targets.kind == Kind::Files,
            Self::Changed { .. } => true,
        }
    }

    fn reads_stdin(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::List(targets) => targets.files.iter().any(|file| file == Path::new("-")),
            Self::Changed { reads_stdin, .. } => *reads_stdin,
        }
    }

    /// Whether there is one URL to verify, with so many that are named for that.
    fn is_one(&self, named: usize) -> bool {
        match self {
            Self::List(targets) if self.is_urls() => {
                targets.files.is_empty()
                    && targets.sitemaps.is_empty()
                    && targets.arguments.len() + named == 1
            }
            Self::Changed { .. } => false,
            _ => named == 1,
        }
    }
}

impl Resolver<'_> {
    /// What visitors are for around a purge of this; `None` where they are for nothing.
    pub(super) fn visits(&self, purged: &Purged<'_>) -> Result<Option<Visits>, Failure> {
        let visiting = &self.global.visiting;
        let gate = self.gate()?;
        let names_urls = !visiting.verify_url.is_empty() || !visiting.verify_from.is_empty();
        let wants_verify = visiting.verify.is_some() || names_urls || visiting.expect.is_some();
        if !wants_verify && visiting.verify_timeout.is_some() {
            return Err(Failure::usage("`--verify-timeout` is for `--verify`, which is not given"));
        }
        let (warm_as, certify) = (!visiting.warm_as.is_empty(), visiting.warm_certify);
        if !visiting.warm && (warm_as || certify) {
            let option = if warm_as { "--warm-as" } else { "--warm-certify" };
            return Err(Failure::usage(format!("`{option}` is for `--warm`, which is not given")));
        }
        let expects_files = matches!(purged, Purged::Changed { expects_files: true, .. });
        if expects_files && !wants_verify {
            return Err(Failure::usage("`--expect-files` is for `--verify`, which is not given"));
        }
        if (wants_verify || visiting.warm) && !purged.is_urls() && !names_urls {
            let option = if wants_verify { "--verify" } else { "--warm" };
            return Err(Failure::usage(format!("`{option}`: which URLs show this purge cannot be told"))
                .with_hint("name them with `--verify-url URL` or `--verify-from FILE`"));
        }
        if gate.is_none() && !wants_verify && !visiting.warm {
            self.no_visitor_options()?;
            return Ok(None);
        }
        let urls = self.verify_urls(purged)?;
        let verify = wants_verify || !urls.is_empty();
        let verify = verify.then(|| -> Result<VerifyJob, Failure> {
            Ok(VerifyJob {
                sample: match visiting.verify {
                    Some(VerifyArg::Of(sample)) => sample,
                    Some(VerifyArg::Transition) | None => Sample::AtMost(SAMPLE),
                },
                transition: visiting.verify == Some(VerifyArg::Transition),
                timeout: Duration::from_secs_f64(visiting.verify_timeout.unwrap_or(30.0)),
                limits: self.visitor_limits(Limits::PROBE),
                expected: self.expected(purged.is_one(urls.len()))?,
                expects_files,
                urls,
            })
        });
        let warm = visiting.warm.then(|| WarmJob {
            limits: self.visitor_limits(Limits::WARM),
            variants: variants(&visiting.warm_as),
            certify,
        });
        Ok(Some(Visits { visitor: self.visitor()?, gate, verify: verify.transpose()?, warm }))
    }

    fn gate(&self) -> Result<Option<GateJob>, Failure> {
        let visiting = &self.global.visiting;
        let Some(text) = &visiting.after else {
            for (option, is_given) in [
                ("--after-timeout", visiting.after_timeout.is_some()),
                ("--after-no-bust", visiting.after_no_bust),
            ] {
                if is_given {
                    return Err(Failure::usage(format!("`{option}` is for `--after`, which is not given")));
                }
            }
            return Ok(None);
        };
        let expectation: Expectation = text.parse().map_err(|invalid: InvalidCondition| {
            Failure::usage(format!("`--after`: {invalid}"))
                .with_hint("it looks like `https://origin.example.com/version.txt contains 42`")
        })?;
        let mut settings = GateSettings::new();
        if let Some(seconds) = visiting.after_timeout {
            settings.timeout = Duration::from_secs_f64(seconds);
        }
        let host = host_of(&expectation.url);
        let is_here = format!("http://{host}")
            .parse()
            .is_ok_and(|origin: cfcache_transport::Origin| origin.is_loopback());
        Ok(Some(GateJob { expectation, settings, busts: !visiting.after_no_bust, is_here }))
    }

    /// The URLs of `--verify-url` and `--verify-from`.
    fn verify_urls(&self, purged: &Purged<'_>) -> Result<UrlList, Failure> {
        let visiting = &self.global.visiting;
        let mut urls = UrlList::new();
        let mut push = |place: &str, text: &str| match Target::parse(Kind::Files, text) {
            Ok(target) => {
                urls.push(&target);
                Ok(())
            }
            Err(invalid) => Err(Failure::usage(format!("{place}: {invalid}"))),
        };
        for url in &visiting.verify_url {
            push("`--verify-url`", url)?;
        }
        for path in &visiting.verify_from {
            let stdin = Path::new("-");
            if path == stdin && purged.reads_stdin() {
                return Err(Failure::usage(
                    "standard input can be read once, and `-` is given more than once",
                ));
            }
            let text = whole::read_text(path, whole::MOST)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown_path(path))))?;
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    push(&format!("{}:{number}", path_name(path)), line)?;
                }
            }
        }
        Ok(urls)
    }

    /// What `--expect` says: a list of hashes and URLs, or the body of the one URL that there is.
    fn expected(&self, is_one: bool) -> Result<Expected, Failure> {
        let Some(path) = &self.global.visiting.expect else { return Ok(Expected::default()) };
        let cannot =
            |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", shown_path(path)));
        if let Ok(text) = whole::read_text(path, whole::MOST)
            && let Some(by_url) = hashes(&text)
        {
            return Ok(Expected { by_url, of_all: None });
        }
        if !is_one {
            return Err(Failure::usage(format!(
                "`--expect`: {} is not a list of hashes, and one body is not that of several URLs",
                shown_path(path)
            ))
            .with_hint("a list has lines such as `SHA256  URL`, as `sha256sum` writes them"));
        }
        let file = std::fs::File::open(path).map_err(cannot)?;
        let hash = cfcache_probe::hash(file).map_err(cannot)?;
        Ok(Expected { by_url: BTreeMap::new(), of_all: Some(hash) })
    }

    pub(super) fn probe(&self, input: Input, pages: Pages) -> Result<Job, Failure> {
        if self.global.dry_run {
            return Err(super::only_reads());
        }
        let visiting = &self.global.visiting;
        for (option, is_given) in
            [("--warm-as", !visiting.warm_as.is_empty()), ("--warm-certify", visiting.warm_certify)]
        {
            if is_given {
                return Err(Failure::usage(format!("`{option}` is for warming, and `probe` only asks")));
            }
        }
        self.visit(input, pages, Limits::PROBE).map(Job::Probe)
    }

    pub(super) fn warm(&self, input: Input, pages: Pages) -> Result<Job, Failure> {
        let job = self.visit(input, pages, Limits::WARM)?;
        Ok(if self.global.dry_run { Job::WarmDryRun(job) } else { Job::Warm(job) })
    }

    fn visit(&self, input: Input, pages: Pages, usual: Limits) -> Result<VisitJob, Failure> {
        for (option, is_given) in [
            ("--environment", self.global.environment.is_some()),
            ("--journal", self.global.journal.is_some()),
            ("--failed-to", self.global.failed_to.is_some()),
            ("--batch-size", self.global.batch_size.is_some()),
            ("--emulator", self.global.emulator),
            ("--verify", self.global.visiting.verify.is_some()),
            ("--verify-url", !self.global.visiting.verify_url.is_empty()),
            ("--verify-from", !self.global.visiting.verify_from.is_empty()),
            ("--verify-timeout", self.global.visiting.verify_timeout.is_some()),
            ("--expect", self.global.visiting.expect.is_some()),
            ("--after", self.global.visiting.after.is_some()),
            ("--after-timeout", self.global.visiting.after_timeout.is_some()),
            ("--after-no-bust", self.global.visiting.after_no_bust),
            ("--warm", self.global.visiting.warm),
        ] {
            if is_given {
                return Err(Failure::usage(format!(
                    "`{option}` is for what asks the API, and this asks URLs"
                )));
            }
        }
        let targets = targets(Action::Purge, Kind::Files, input, pages, Vec::new(), self.global)?;
        let visiting = &self.global.visiting;
        Ok(VisitJob {
            targets,
            visitor: self.visitor()?,
            limits: self.limits(usual),
            variants: variants(&visiting.warm_as),
            certify: visiting.warm_certify,
        })
    }

    /// The limits of one host around a purge, where other options are about the API.
    fn visitor_limits(&self, usual: Limits) -> Limits {
        Limits::new(usual.at_once, self.global.visiting.visitor_rate.or(usual.per_second))
    }

    /// The limits of one host: the usual ones, but for what is given.
    fn limits(&self, usual: Limits) -> Limits {
        let at_once = self.global.concurrency.unwrap_or(usual.at_once);
        let per_second = match self.global.visiting.visitor_rate {
            Some(rate) => Some(rate),
            None if self.global.no_rate_limit => None,
            None => usual.per_second,
        };
        Limits::new(at_once, per_second)
    }

    /// A visitor that reaches URLs as the API is reached.
    fn visitor(&self) -> Result<VisitorBuilder, Failure> {
        let global = self.global;
        let mut visitor = Visitor::builder(USER_AGENT).with_roots(match global.roots {
            Some(RootsArg::Bundled) => Roots::Bundled,
            Some(RootsArg::Platform) | None => Roots::Platform,
        });
        for pem in authorities(&global.ca_file)? {
            visitor = visitor.with_ca_pem(pem);
        }
        visitor = match self.proxies()? {
            Proxies::None => visitor,
            Proxies::One(proxy) => visitor.with_proxy(proxy),
            Proxies::Rules(rules) => visitor.with_proxy_rules(*rules),
        };
        if let Some(seconds) = global.timeout {
            visitor = visitor.with_timeout(Duration::from_secs_f64(seconds));
        }
        if let Some(address) = &global.visiting.verify_connect {
            let (host, port) = host_and_port(address).ok_or_else(|| {
                Failure::usage(format!(
                    "`--verify-connect`: {} is not HOST:PORT",
                    cfcache_model::text::quote(address)
                ))
                .with_hint("it looks like `127.0.0.1:8788` or `[::1]:8788`")
            })?;
            visitor = visitor.with_connect_to(host, port);
        }
        let (text, place) = match (&global.visiting.visitor_headers, &self.environment.visitor_headers) {
            (Some(path), _) => (read_headers(path)?, shown_path(path).to_string()),
            (None, Some(lines)) => (lines.expose_secret().to_owned(), format!("`{VISITOR_HEADERS}`")),
            (None, None) => return Ok(visitor),
        };
        for (name, value) in headers(&text, &place)? {
            visitor = visitor.with_header(name, value);
        }
        Ok(visitor)
    }
}

/// As whom to warm: as anybody, and as those that are named.
fn variants(named: &[WarmAsArg]) -> Vec<Variant> {
    let mut variants = vec![Variant::Plain];
    for named in named {
        let variant = match named {
            WarmAsArg::Mobile => Variant::Mobile,
            WarmAsArg::Tablet => Variant::Tablet,
            WarmAsArg::Webp => Variant::Webp,
            WarmAsArg::Avif => Variant::Avif,
        };
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    variants
}

/// Reads lines of a hash and a URL; `None` where one is not such a line, or there is none.
fn hashes(text: &str) -> Option<BTreeMap<String, Sha256>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hashes: Option<BTreeMap<String, Sha256>> = lines
        .map(|line| {
            let (hash, url) = line.split_once(char::is_whitespace)?;
            let url = url.trim_start().trim_start_matches('*');
            Some((url.to_owned(), Sha256::from_hex(hash)?))
        })
        .collect();
    hashes.filter(|hashes| !hashes.is_empty())
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!bare.is_empty() && bare.bytes().all(is_plain)).then(|| (bare.to_owned(), port))
}

fn read_headers(path: &Path) -> Result<String, Failure> {
    whole::read_text(path, LONGEST).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", shown_path(path)))
            .with_hint("`--visitor-headers` takes a file of lines such as `NAME: VALUE`")
    })
}

/// Reads headers, one a line. What is wrong with one is told without its value, which may be secret.
fn headers(text: &str, place: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| {
            Failure::usage(format!("{place}, line {number}: {what}"))
                .with_hint("a header is written as `NAME: VALUE`, such as `CF-Access-Client-Id: 1a2b.access`")
        };
        let Some((name, value)) = line.split_once(':') else { return Err(wrong("there is no colon")) };
        let Ok(name) = HeaderName::try_from(name.trim()) else {
            return Err(wrong("what stands before the colon is not the name of a header"));
        };
        if RESERVED.contains(&name.as_str()) {
            return Err(wrong(&format!("`{name}` cannot be given: it belongs to the URL or the connection")));
        }
        let Ok(value) = HeaderValue::try_from(value.trim()) else {
            return Err(wrong("the value has characters that no header can have"));
        };
        headers.push((name, value));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let parsed = |text| host_and_port(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(parsed("127.0.0.1:8788").as_deref(), Some("127.0.0.1 8788"));
        assert_eq!(parsed("[::1]:80").as_deref(), Some("::1 80"));
        assert_eq!(parsed("edge.example.com:443").as_deref(), Some("edge.example.com 443"));
        for wrong in
            ["", "8788", ":8788", "a:", "a:0", "a:70000", "::1:80", "[::1]80", "http://a:80", "a b:80"]
        {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn headers_are_read_and_a_wrong_one_is_told_without_its_value() {
        let read = headers("\u{feff}# token\nCF-Access-Client-Id: a\r\n\nx-b:  c d \n", "f").unwrap();
        let read: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(read, [("cf-access-client-id", "a"), ("x-b", "c d")]);
        for (text, what) in [
            ("s3cret", "no colon"),
            ("a b: s3cret", "not the name of a header"),
            ("x: s3\u{1}cret", "characters that no header"),
            ("Host: s3cret", "`host` cannot be given"),
        ] {
            let failure = headers(text, "`f`").unwrap_err();
            assert!(
                failure.message.contains(what) && failure.message.contains("line 1"),
                "{}",
                failure.message
            );
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }
}
