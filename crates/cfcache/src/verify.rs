use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfcache_client::Event;
use cfcache_model::InvalidInput;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::{Kind, Target};
use cfcache_model::{EnvironmentId, PurgeBody, ZoneId};
use cfcache_probe::{
    AcceptedUrl, AcceptedUrls, ExpectedBody, Limits, Sha256, UrlList, UrlToVerify, Verdict, Verification,
    VerifyCounts, VerifyEvent, VerifySettings, Visitor, VisitorBuilder, host_of, seed, verify,
};
use http::{HeaderName, HeaderValue};

use crate::client::Client;
use crate::error::Error;

const USER_AGENT: &str = concat!("cfcache/", env!("CARGO_PKG_VERSION"));

/// The default number of URLs to check.
const SAMPLE: usize = 100;

/// The maximum number of URLs that a result lists.
const NAMED: usize = 1000;

/// The maximum number of data centers that are listed.
const COLOS: usize = 100;

/// How to verify a purge: URLs are requested as visitors do, until the responses prove that the old copies are gone.
///
/// - By default, a sample of 100 accepted URLs is checked, with at most 4 concurrent requests and 10 per second for
///   each host.
/// - URLs whose old copy survives are purged again, by URL, at most twice.
/// - The requests may fill the cache with URLs that were not in it.
#[derive(Debug, Clone)]
#[must_use = "it is for `PurgeRequest::verify`"]
pub struct Verify {
    sample: Option<usize>,
    urls: UrlList,
    invalid: Option<(String, InvalidInput)>,
    expected: BTreeMap<String, Sha256>,
    timeout: Duration,
    limits: Limits,
    visitor: VisitorBuilder,
}

impl Default for Verify {
    fn default() -> Self {
        Self::new()
    }
}

impl Verify {
    /// Verifies a sample of at most 100 URLs.
    pub fn new() -> Self {
        Self {
            sample: Some(SAMPLE),
            urls: UrlList::new(),
            invalid: None,
            expected: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            limits: Limits::PROBE,
            visitor: Visitor::builder(USER_AGENT),
        }
    }

    /// Verifies a sample of at most `urls` accepted URLs.
    pub const fn at_most(mut self, urls: usize) -> Self {
        self.sample = Some(urls);
        self
    }

    /// Verifies all accepted URLs. They are kept in memory until then, with about 3 bytes each in addition to the parts
    /// of their text that differ.
    pub const fn all(mut self) -> Self {
        self.sample = None;
        self
    }

    /// Verifies these URLs too. Tags, hosts, prefixes and everything can only be verified with such URLs.
    pub fn urls(mut self, urls: impl IntoIterator<Item: Into<String>>) -> Self {
        for url in urls {
            let url: String = url.into();
            match Target::parse(Kind::Files, &url) {
                Ok(target) => self.urls.push(&target),
                Err(reason) => {
                    self.invalid.get_or_insert((url, reason));
                }
            }
        }
        self
    }

    /// Sets the SHA-256 of the body that visitors should get at a URL. A URL with another body is not proven.
    pub fn expect(mut self, url: impl Into<String>, sha256: Sha256) -> Self {
        self.expected.insert(url.into(), sha256);
        self
    }

    /// Sets how long each URL is checked (default: 30 s).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum number of requests per second to one host.
    pub const fn rate(mut self, per_second: f64) -> Self {
        self.limits.per_second = Some(per_second);
        self
    }

    /// Connects to this address for every URL and keeps the URL's host name, for an emulated edge or another server.
    pub fn connect_to(mut self, host: impl Into<String>, port: u16) -> Self {
        self.visitor = self.visitor.with_connect_to(host, port);
        self
    }

    /// Sends a header with each request, such as a service token of Cloudflare Access. Its value is never shown.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.visitor = self.visitor.with_header(name, value);
        self
    }

    /// # Errors
    ///
    /// If a URL is invalid, or no URL can be checked.
    pub(crate) fn check(&self, has_urls: bool) -> Result<(), Error> {
        match &self.invalid {
            Some((url, reason)) => Err(Error::VerifyUrl { url: url.clone(), reason: reason.clone() }),
            None if self.urls.is_empty() && !has_urls => Err(Error::NothingToVerify),
            None => Ok(()),
        }
    }

    pub(crate) fn collector(&self, action: Action) -> AcceptedUrls {
        AcceptedUrls::new(self.sample, action, seed())
    }
}

/// The results of a verification. `proven + refilled + not_cached + survivors + unproven == probed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verified {
    /// The number of URLs that were checked.
    pub probed: u64,
    /// The number of URLs from which the sample was taken; `None` if all were checked.
    pub sample_of: Option<u64>,
    /// URLs whose old copy is gone.
    pub proven: u64,
    /// URLs that were cached again after the purge.
    pub refilled: u64,
    /// URLs that are not cached, so there is nothing to prove.
    pub not_cached: u64,
    /// URLs whose old copy is still served.
    pub survivors: u64,
    /// URLs for which the responses prove nothing.
    pub unproven: u64,
    /// URLs that were purged again.
    pub repurged: u64,
    /// The survivors and the unproven URLs; at most 1,000.
    pub open: Vec<UrlVerdict>,
    /// The data centers that responded, such as `FRA`. The results do not apply to others.
    pub colos: BTreeSet<String>,
}

impl Verified {
    /// Returns whether no URL is a survivor or unproven.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.survivors + self.unproven == 0
    }

    fn set_counts(&mut self, counts: VerifyCounts) {
        self.probed = counts.probed;
        self.proven = counts.proven;
        self.refilled = counts.refilled;
        self.not_cached = counts.not_cached;
        self.survivors = counts.survivors;
        self.unproven = counts.unproven;
        self.repurged = counts.repurged;
    }
}

/// A URL and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UrlVerdict {
    /// The URL.
    pub url: String,
    /// The verdict; its `Display` gives the reason, and [`Verdict::cure`] says what to do.
    pub verdict: Verdict,
}

impl fmt::Display for UrlVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.verdict)
    }
}

/// The scope in which URLs are purged again.
pub(crate) struct ScopePlace<'a> {
    pub(crate) client: &'a Client,
    pub(crate) action: Action,
    pub(crate) zone: &'a ZoneId,
    pub(crate) environment: Option<&'a EnvironmentId>,
}

impl ScopePlace<'_> {
    async fn purge(&self, targets: Vec<Target>) -> Result<(), String> {
        let limits = BatchLimits::from_plan(self.client.plan.purge_limits(), Kind::Files);
        for targets in targets.chunks(limits.items.max(1)) {
            let body = PurgeBody::from_targets(targets.to_vec()).map_err(|invalid| invalid.to_string())?;
            let mut request = PurgeCache::new(self.action, self.zone, &body);
            if let Some(environment) = self.environment {
                request = request.with_environment(environment);
            }
            let mut nobody = |_: Event<'_>| {};
            self.client.client.call(&request, &mut nobody).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Checks the accepted URLs until each has a verdict. Returns `None` if nothing was accepted.
pub(crate) async fn run(
    settings: Verify,
    mut accepted: AcceptedUrls,
    place: ScopePlace<'_>,
    stop: impl Future<Output = ()>,
) -> Option<Verified> {
    let last = accepted.last()?;
    accepted.sort();
    let given = settings.urls.len();
    let get = |number: usize| match settings.urls.get(number) {
        Some(url) => Some(AcceptedUrl::new(url, place.action, 0, last)),
        None => accepted.get(number - given),
    };
    let mut begun = 0;
    let mut next = || {
        let url = get(begun)?;
        begun += 1;
        let target = cfcache_probe::VisitRequest::from_target(&url.target)?;
        let expected = settings.expected.get(&target.url).copied().map(ExpectedBody::Exactly);
        Some((UrlToVerify::new(host_of(&target.url), url.at).with_expected(expected), target))
    };
    let mut verified = Verified::default();
    let mut watch = |progress: VerifyEvent<'_>| match progress {
        VerifyEvent::Answer(_, answer) => {
            if let Some(colo) = answer.colo()
                && verified.colos.len() < COLOS
            {
                verified.colos.insert(colo.to_owned());
            }
        }
        VerifyEvent::Decided(decided) => {
            if !decided.verdict.is_settled()
                && verified.open.len() < NAMED
                && let Some(url) = get(decided.url)
            {
                let url = url.target.text().into_owned();
                verified.open.push(UrlVerdict { url, verdict: decided.verdict });
            }
        }
        _ => {}
    };
    let mut purge = |numbers: Vec<usize>| {
        place.purge(numbers.into_iter().filter_map(|number| Some(get(number)?.target)).collect())
    };
    let mut machine = VerifySettings::new(place.action);
    (machine.timeout, machine.limits, machine.diagnose) = (settings.timeout, settings.limits, false);
    let mut verification = Verification::new(machine);
    let visitor = settings.visitor.clone().with_proxy_rules(place.client.proxies.clone());
    let visitor =
        place.client.authorities.iter().fold(visitor, |visitor, pem| visitor.with_ca_pem(pem.clone()));
    let visitor = Arc::new(visitor.build());
    let began = accepted.began();
    // If it is stopped, each URL has the verdict that is known at that time.
    let _is_whole = verify(&visitor, &mut verification, &mut next, began, &mut purge, &mut watch, stop).await;
    verified.set_counts(verification.counts());
    let all = given as u64 + accepted.seen();
    verified.sample_of = (all > verified.probed).then_some(all);
    Some(verified)
}
