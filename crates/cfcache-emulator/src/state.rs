//! What there is: zones with their environments and settings, and what was purged.
//!
//! What is stored in a cache is in [`Edges`](crate::edge::Edges); a [`AcceptedPurge`] acts on it.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use cfcache_edge::Scope;
use cfcache_model::endpoint::{self, Action, example};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::limit::LimitState;
use crate::log::LogRetention;

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its name: a domain.
    pub name: String,
    /// `active`, `pending`, and others.
    pub status: String,
    /// Its environments, in the order in which they are tried; empty where Version Management is off.
    pub environments: Vec<Environment>,
}

/// An environment of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its id, which the API calls `ref`.
    pub id: String,
    /// Which requests belong to it, as a rule expression; empty for all that belong nowhere else.
    pub expression: String,
    /// The JSON of its `position` among the others, which nothing here depends on.
    pub(crate) position: String,
}

/// A purge or invalidation that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedPurge {
    /// When, since the emulator began.
    pub at: Duration,
    /// Remove, or mark stale.
    pub action: Action,
    /// The id of the zone.
    pub zone: String,
    /// The id of the environment, if not the whole zone.
    pub environment: Option<String>,
    /// What.
    pub scope: Scope,
}

impl Zone {
    /// An active zone with the environments Production, Staging and Development.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            status: "active".to_owned(),
            environments: example_environments(),
        }
    }

    /// The zone of the API's own examples: `example.com`.
    #[must_use]
    pub fn example() -> Self {
        Self::new(example::ZONE_ID, example::ZONE_NAME)
    }

    /// Gives it another status.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<String>) -> Self {
        self.status = status.into();
        self
    }

    /// Gives it other environments.
    #[must_use]
    pub fn with_environments(mut self, environments: impl IntoIterator<Item = Environment>) -> Self {
        self.environments = environments.into_iter().collect();
        self
    }

    /// Returns whether a host is the zone's name, or below it.
    pub(crate) fn covers(&self, host: &str) -> bool {
        // Zones are named in Unicode, and URLs have `xn--`.
        let ascii = |text: &str| idna::domain_to_ascii(text).unwrap_or_else(|_| text.to_lowercase());
        let host = ascii(host.strip_suffix('.').unwrap_or(host));
        let name = ascii(&self.name);
        // At a label's boundary: `notexample.com` is not on `example.com`.
        host.strip_suffix(&name).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    }
}

impl Environment {
    /// An environment for the requests that fit a rule expression.
    #[must_use]
    pub fn new(name: impl Into<String>, id: impl Into<String>, expression: impl Into<String>) -> Self {
        Self { name: name.into(), id: id.into(), expression: expression.into(), position: "{}".to_owned() }
    }

    /// Returns whether it is chosen by what a purge cannot know: IP address, country, ASN or threat score.
    pub(crate) fn is_by_address(&self) -> bool {
        ["ip.src", "ip.geoip", "cf.threat_score"].iter().any(|field| self.expression.contains(field))
    }
}

/// Those of the model's sample, so that the two agree on ids.
fn example_environments() -> Vec<Environment> {
    let of = |value: &Value| {
        let text = |field| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let position = value.get("position").map_or_else(|| "{}".to_owned(), Value::to_string);
        Environment { position, ..Environment::new(text("name"), text("ref"), text("expression")) }
    };
    let samples =
        endpoint::all().find(|endpoint| endpoint.name == "list_environments").map(|found| (found.samples)());
    let first = samples.and_then(|samples| samples.into_iter().find(|sample| sample.status == 200));
    let reply: Value = first.and_then(|first| serde_json::from_str(&first.reply).ok()).unwrap_or_default();
    let list = reply.pointer("/result/environments").and_then(Value::as_array);
    list.map(|list| list.iter().map(of).collect()).unwrap_or_default()
}

/// What the cache of a zone is set to. All times are since the emulator began.
#[derive(Debug, Default)]
pub(crate) struct ZoneSettings {
    /// The switches that were set, and not deleted since, by their id.
    pub(crate) switches: BTreeMap<&'static str, StoredSwitch>,
    /// The settings that have other values than on and off, and were set: the value and when, by their id.
    pub(crate) values: BTreeMap<&'static str, (Value, Duration)>,
    /// When the latest clear of Cache Reserve began.
    pub(crate) clear: Option<Duration>,
    /// For some file extensions, the types that may be served for them, if any are set: the value and when.
    pub(crate) variants: Option<(Map<String, Value>, Duration)>,
    /// In which region of which cloud an origin is.
    pub(crate) regions: BTreeMap<IpAddr, Region>,
}

/// A setting that is on or off, as it was last set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredSwitch {
    pub(crate) on: bool,
    pub(crate) set: Duration,
    /// Of one that ends by itself: when it does, or did, or was ended; none where it was never on.
    pub(crate) end: Option<Duration>,
}

impl ZoneSettings {
    /// For each file extension, the types that may be served for it.
    pub(crate) fn variant_types(&self) -> BTreeMap<String, Vec<String>> {
        let types = |types: &Value| {
            let types = types.as_array().into_iter().flatten();
            types.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let set = self.variants.iter().flat_map(|(value, _)| value);
        set.map(|(extension, list)| (extension.clone(), types(list))).collect()
    }
}

/// A region of a cloud.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) vendor: String,
    pub(crate) name: String,
    pub(crate) set: Duration,
}

/// Everything that changes from request to request.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) zones: Vec<(Zone, ZoneSettings)>,
    pub(crate) limits: LimitState,
    /// How many answers were given, which the rays count.
    pub(crate) answers: u64,
    purges: VecDeque<AcceptedPurge>,
    log_retention: LogRetention,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let zones = match config.zones.as_slice() {
            [] => vec![Zone::example()],
            zones => zones.to_vec(),
        };
        let zones = zones.into_iter().map(|zone| (zone, ZoneSettings::default())).collect();
        Self {
            zones,
            limits: LimitState::new(&config.purge_limits, config.call_limit),
            answers: 0,
            purges: VecDeque::new(),
            log_retention: config.log_retention,
        }
    }

    pub(crate) fn zone(&mut self, id: &str) -> Option<&mut (Zone, ZoneSettings)> {
        self.zones.iter_mut().find(|(zone, _)| zone.id == id)
    }

    /// Notes that something was purged.
    pub(crate) fn purge(&mut self, purge: AcceptedPurge) {
        self.log_retention.push(&mut self.purges, purge);
    }

    pub(crate) fn purges(&self) -> Vec<AcceptedPurge> {
        self.purges.iter().cloned().collect()
    }
}
