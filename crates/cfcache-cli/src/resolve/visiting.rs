//! How visitors ask, and the jobs that only ask.

use core::time::Duration;
use std::path::Path;

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use cfcache_probe::{Limits, Variant, Visitor, VisitorBuilder};
use cfcache_transport::Roots;
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::args::{Input, Pages, RootsArg, WarmAsArg};
use crate::config::VISITOR_HEADERS;
use crate::failure::Failure;
use crate::resolve::connection::{Proxies, authorities};
use crate::resolve::{Given, Job, Targets, targets};
use crate::session::USER_AGENT;
use crate::whole;

/// More than all headers that a server takes.
const LONGEST: u64 = 64 * 1024;

/// Headers that belong to the connection or name the URL: another value would ask something else.
const RESERVED: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "proxy-authorization"];

/// URLs to ask or to fetch.
pub(crate) struct VisitJob {
    pub(crate) targets: Targets,
    pub(crate) visitor: VisitorBuilder,
    pub(crate) limits: Limits,
    /// As whom to fetch.
    pub(crate) variants: Vec<Variant>,
    pub(crate) certify: bool,
    pub(crate) dry_run: bool,
}

impl Given<'_> {
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
        self.visit(input, pages, Limits::WARM).map(Job::Warm)
    }

    fn visit(&self, input: Input, pages: Pages, usual: Limits) -> Result<VisitJob, Failure> {
        for (option, is_given) in [
            ("--environment", self.global.environment.is_some()),
            ("--journal", self.global.journal.is_some()),
            ("--failed-to", self.global.failed_to.is_some()),
            ("--batch-size", self.global.batch_size.is_some()),
            ("--emulator", self.global.emulator),
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
            dry_run: self.global.dry_run,
        })
    }

    /// The limits of one host: the usual ones, but for what is given.
    pub(super) fn limits(&self, usual: Limits) -> Limits {
        let at_once = self.global.concurrency.unwrap_or(usual.at_once);
        let per_second = match self.global.visiting.visitor_rate {
            Some(rate) => Some(rate),
            None if self.global.no_rate_limit => None,
            None => usual.per_second,
        };
        Limits::new(at_once, per_second)
    }

    /// A visitor that reaches URLs as the API is reached.
    pub(super) fn visitor(&self) -> Result<VisitorBuilder, Failure> {
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
            (Some(path), _) => (read_headers(path)?, format!("`{}`", path.display())),
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
pub(super) fn variants(named: &[WarmAsArg]) -> Vec<Variant> {
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
        Failure::usage(format!("cannot read `{}`: {error}", path.display()))
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
