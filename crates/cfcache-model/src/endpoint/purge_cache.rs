//! `POST /zones/{zone_id}/purge_cache` and `…/invalidate_cache`, and the same below `…/environments/{environment_id}`
//!
//! Four endpoints with the same body. Purge removes files from the cache, in every data center and tier; invalidate
//! marks them stale, so that the next request asks the origin whether they changed. Both use the same limits. The
//! response means that the request was accepted, not that anything was in the cache or is already gone.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::IgnoredAny;

use crate::body::PurgeBody;
use crate::endpoint::{
    Area, Cost, Descriptor, Endpoint, Method, Replay, Sample, example, forbidden, refusal, sample, success,
};
use crate::id::{EnvironmentId, ZoneId};
use crate::target::{CacheKeyHeader, File, Host, Prefix, PurgeUrl, Tag};

/// Purge or invalidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the API has these two")]
pub enum Action {
    /// Removes files: the next request goes to the origin, and nothing stale is served.
    Purge,
    /// Marks files stale: the next request asks the origin whether the file changed.
    Invalidate,
}

/// Purges or invalidates files of a zone, or of one of its environments.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PurgeCache<'a> {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// The zone.
    pub zone: &'a ZoneId,
    /// An environment other than Production; `None` for the zone.
    pub environment: Option<&'a EnvironmentId>,
    /// The files.
    pub body: &'a PurgeBody,
}

impl<'a> PurgeCache<'a> {
    /// Creates a request for files of a zone. [`PurgeBody::Everything`] clears *all* of the zone's environments.
    #[must_use]
    pub const fn new(action: Action, zone: &'a ZoneId, body: &'a PurgeBody) -> Self {
        Self { action, zone, environment: None, body }
    }

    /// Purges files of a zone.
    #[must_use]
    pub const fn purge(zone: &'a ZoneId, body: &'a PurgeBody) -> Self {
        Self::new(Action::Purge, zone, body)
    }

    /// Invalidates files of a zone.
    #[must_use]
    pub const fn invalidate(zone: &'a ZoneId, body: &'a PurgeBody) -> Self {
        Self::new(Action::Invalidate, zone, body)
    }

    /// Restricts it to one environment of the zone. Production is purged through the zone.
    #[must_use]
    pub const fn with_environment(mut self, environment: &'a EnvironmentId) -> Self {
        self.environment = Some(environment);
        self
    }
}

impl Endpoint for PurgeCache<'_> {
    /// A success is accepted whatever its `result` is. It is an id or nothing; the meaning of the id is not documented. (In
    /// every published example it equals the zone's.)
    type Reply = IgnoredAny;

    fn descriptor(&self) -> &'static Descriptor {
        match (self.action, self.environment) {
            (Action::Purge, None) => &PURGE_ZONE,
            (Action::Purge, Some(_)) => &PURGE_ENVIRONMENT,
            (Action::Invalidate, None) => &INVALIDATE_ZONE,
            (Action::Invalidate, Some(_)) => &INVALIDATE_ENVIRONMENT,
        }
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        let environment = self.environment.map(EnvironmentId::as_str);
        core::iter::once(self.zone.as_str()).chain(environment).map(Cow::Borrowed).collect()
    }

    fn body(&self) -> Option<String> {
        Some(self.body.to_json())
    }

    fn cost(&self) -> Cost {
        self.body.cost()
    }
}

/// In the order in which `PurgeCache::descriptor` uses them.
pub(super) static ENDPOINTS: &[&Descriptor] =
    &[&PURGE_ZONE, &PURGE_ENVIRONMENT, &INVALIDATE_ZONE, &INVALIDATE_ENVIRONMENT];

static PURGE_ZONE: Descriptor = descriptor(
    "purge_zone_cache",
    "Purge files of a zone",
    "/zones/{zone_id}/purge_cache",
    "https://developers.cloudflare.com/api/resources/cache/methods/purge/",
    || zone_samples(Action::Purge),
);

static PURGE_ENVIRONMENT: Descriptor = descriptor(
    "purge_environment_cache",
    "Purge files of an environment",
    "/zones/{zone_id}/environments/{environment_id}/purge_cache",
    "https://developers.cloudflare.com/api/resources/cache/methods/purge_environment/",
    || environment_samples(Action::Purge),
);

static INVALIDATE_ZONE: Descriptor = descriptor(
    "invalidate_zone_cache",
    "Invalidate files of a zone",
    "/zones/{zone_id}/invalidate_cache",
    "https://developers.cloudflare.com/api/resources/cache/methods/invalidate/",
    || zone_samples(Action::Invalidate),
);

static INVALIDATE_ENVIRONMENT: Descriptor = descriptor(
    "invalidate_environment_cache",
    "Invalidate files of an environment",
    "/zones/{zone_id}/environments/{environment_id}/invalidate_cache",
    "https://developers.cloudflare.com/api/resources/cache/methods/invalidate_environment/",
    || environment_samples(Action::Invalidate),
);

const fn descriptor(
    name: &'static str,
    summary: &'static str,
    path: &'static str,
    page: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method: Method::Post,
        path,
        area: Area::Purge,
        replay: Replay::Safe,
        permission: "Cache Purge",
        plans: "all plans",
        page,
        samples,
    }
}

impl Action {
    /// "purge" or "invalidate".
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Invalidate => "invalidate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

/// Environments from the sample of their list: Staging is selected by a cookie, Development by IP address.
const STAGING: &str = "4e9f1d2a7b8c3f60a5d4e3c2b1a09f";
const DEVELOPMENT: &str = "8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c";

fn zone_samples(action: Action) -> Vec<Sample> {
    let (Ok(zone), Some(bodies)) = (ZoneId::parse(example::ZONE_ID), sample_bodies()) else {
        return Vec::new();
    };
    let mut samples: Vec<Sample> = bodies
        .iter()
        .map(|(name, body)| sample(name, &PurgeCache::new(action, &zone, body), 200, accepted()))
        .collect();
    if let Some((_, body)) = bodies.last() {
        let request = PurgeCache::new(action, &zone, body);
        samples.push(sample("refused_rate_limited", &request, 429, refusal(1134, RATE_LIMITED)));
        samples.push(sample("refused_permission", &request, 403, forbidden(request.descriptor())));
    }
    samples
}

fn environment_samples(action: Action) -> Vec<Sample> {
    let (Ok(zone), Ok(staging), Ok(development), Some(bodies)) = (
        ZoneId::parse(example::ZONE_ID),
        EnvironmentId::parse(STAGING),
        EnvironmentId::parse(DEVELOPMENT),
        sample_bodies(),
    ) else {
        return Vec::new();
    };
    let mut samples: Vec<Sample> = bodies
        .iter()
        .map(|(name, body)| {
            let request = PurgeCache::new(action, &zone, body).with_environment(&staging);
            sample(name, &request, 200, accepted())
        })
        .collect();
    if let Some((_, files)) = bodies.iter().find(|(name, _)| *name == "files") {
        let request = PurgeCache::new(action, &zone, files).with_environment(&development);
        samples.push(sample("refused_environment_by_ip", &request, 400, refusal(1136, BY_IP)));
    }
    samples
}

const RATE_LIMITED: &str =
    "Unable to purge, rate limit reached. Please wait and consider throttling your request speed";

/// Our own text, because the API's is not published.
const BY_IP: &str = "Unable to purge by files for this environment";

fn accepted() -> String {
    success(&alloc::format!(r#"{{"id":"{}"}}"#, example::ZONE_ID))
}

/// The sample bodies, with the values of the API's examples.
fn sample_bodies() -> Option<Vec<(&'static str, PurgeBody)>> {
    let url = |url| PurgeUrl::parse(url).map(File::from).ok();
    let keyed = |file: File, headers: [(&str, &str); 3]| {
        headers.into_iter().try_fold(file, |file, (name, value)| {
            file.with_header(CacheKeyHeader::new(name, value).ok()?).ok()
        })
    };
    Some(Vec::from([
        ("everything", PurgeBody::Everything),
        (
            "files",
            PurgeBody::from_targets([
                url("http://www.example.com/css/styles.css")?,
                url("http://www.example.com/js/index.js")?,
            ])
            .ok()?,
        ),
        (
            "files_with_headers",
            PurgeBody::from_targets([
                keyed(
                    url("http://www.example.com/cat_picture.jpg")?,
                    [("CF-IPCountry", "US"), ("CF-Device-Type", "desktop"), ("Accept-Language", "zh-CN")],
                )?,
                keyed(
                    url("http://www.example.com/dog_picture.jpg")?,
                    [("CF-IPCountry", "EU"), ("CF-Device-Type", "mobile"), ("Accept-Language", "en-US")],
                )?,
            ])
            .ok()?,
        ),
        (
            "tags",
            PurgeBody::from_targets([Tag::parse("a-cache-tag").ok()?, Tag::parse("another-cache-tag").ok()?])
                .ok()?,
        ),
        (
            "hosts",
            PurgeBody::from_targets([
                Host::parse("www.example.com").ok()?,
                Host::parse("images.example.com").ok()?,
            ])
            .ok()?,
        ),
        (
            "prefixes",
            PurgeBody::from_targets([
                Prefix::parse("www.example.com/foo").ok()?,
                Prefix::parse("images.example.com/bar/baz").ok()?,
            ])
            .ok()?,
        ),
    ]))
}
