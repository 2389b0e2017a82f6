//! The state of the API: zones with their environments and settings, and the accepted purges.
//!
//! The content of the caches is in [`Edges`](crate::edge::Edges), to which each [`AcceptedPurge`] is applied.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use cfcache_edge::PurgeItems;
use cfcache_model::endpoint::{self, Action, example};
use serde_json::Value;

use crate::config::Config;
use crate::limit::LimitState;
use crate::log::push_last;

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zone {
    /// The id.
    pub id: String,
    /// The name: a domain.
    pub name: String,
    /// `active`, `pending`, and others.
    pub status: String,
    /// The environments, in the order in which they are matched; empty if Version Management is off.
    pub environments: Vec<Environment>,
}

/// An environment of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// The name.
    pub name: String,
    /// The id, which the API calls `ref`.
    pub id: String,
    /// The rule expression that selects its requests; empty for all remaining requests.
    pub expression: String,
    /// The JSON of its `position`. The emulator ignores it.
    pub(crate) position: String,
}

/// An accepted purge or invalidation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedPurge {
    /// When it was accepted, as the time since the emulator started.
    pub at: Duration,
    /// Whether to remove objects or to mark them stale.
    pub action: Action,
    /// The id of the zone.
    pub zone: String,
    /// The id of the environment; `None` for the whole zone.
    pub environment: Option<String>,
    /// The purged items.
    pub items: PurgeItems,
}

impl Zone {
    /// Creates an active zone with the environments Production, Staging and Development.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            status: "active".to_owned(),
            environments: example_environments(),
        }
    }

    /// Creates the zone of the API's own examples: `example.com`.
    #[must_use]
    pub fn example() -> Self {
        Self::new(example::ZONE_ID, example::ZONE_NAME)
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<String>) -> Self {
        self.status = status.into();
        self
    }

    /// Sets the environments.
    #[must_use]
    pub fn with_environments(mut self, environments: impl IntoIterator<Item = Environment>) -> Self {
        self.environments = environments.into_iter().collect();
        self
    }

    /// Returns whether a host is the zone's name or a subdomain of it.
    pub(crate) fn covers(&self, host: &str) -> bool {
        // Zone names may be in Unicode, but URLs contain `xn--`.
        let ascii = |text: &str| idna::domain_to_ascii(text).unwrap_or_else(|_| text.to_lowercase());
        let host = ascii(host.strip_suffix('.').unwrap_or(host));
        let name = ascii(self.name.strip_suffix('.').unwrap_or(&self.name));
        // Only at a label boundary: `notexample.com` is not a subdomain of `example.com`.
        host.strip_suffix(&name).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    }
}

impl Environment {
    /// Creates an environment for the requests that match a rule expression.
    #[must_use]
    pub fn new(name: impl Into<String>, id: impl Into<String>, expression: impl Into<String>) -> Self {
        Self { name: name.into(), id: id.into(), expression: expression.into(), position: "{}".to_owned() }
    }

    /// Returns whether its expression uses properties that a purge does not have: IP address, country, ASN or threat
    /// score.
    pub(crate) fn is_by_address(&self) -> bool {
        ["ip.src", "ip.geoip", "cf.threat_score"].iter().any(|field| self.expression.contains(field))
    }
}

/// The environments of the model's sample, so that the ids agree.
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

/// The cache settings of a zone. All times are since the start of the emulator.
#[derive(Debug, Default)]
pub(crate) struct ZoneSettings {
    /// The settings that are set: value and time, by id.
    pub(crate) values: BTreeMap<&'static str, (Value, Duration)>,
    /// When Development Mode ends automatically, or ended; `None` if it was never on.
    pub(crate) development_end: Option<Duration>,
    /// The start of the last clear of Cache Reserve.
    pub(crate) clear: Option<Duration>,
    /// The cloud region of each origin, as the API returns it, and the time when it was set.
    pub(crate) regions: BTreeMap<IpAddr, (Value, Duration)>,
}

impl ZoneSettings {
    /// Returns the value of a setting that is set.
    pub(crate) fn value(&self, id: &str) -> Option<&Value> {
        self.values.get(id).map(|(value, _)| value)
    }

    /// Returns whether an on/off setting is on. The automatic end of Development Mode is not considered.
    pub(crate) fn is_on(&self, id: &str) -> bool {
        self.value(id).is_some_and(|value| value == "on")
    }

    /// Returns the content types that may be served for each file extension.
    pub(crate) fn variant_types(&self) -> BTreeMap<String, Vec<String>> {
        let types = |types: &Value| {
            let types = types.as_array().into_iter().flatten();
            types.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let set = self.value("variants").and_then(Value::as_object);
        set.into_iter().flatten().map(|(extension, list)| (extension.clone(), types(list))).collect()
    }
}

/// The state that requests change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) zones: Vec<(Zone, ZoneSettings)>,
    pub(crate) limits: LimitState,
    /// The number of answers, from which rays are generated.
    pub(crate) answers: u64,
    purges: VecDeque<AcceptedPurge>,
    max_purges: usize,
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
            max_purges: config.max_log_entries,
        }
    }

    pub(crate) fn zone(&mut self, id: &str) -> Option<&mut (Zone, ZoneSettings)> {
        self.zones.iter_mut().find(|(zone, _)| zone.id == id)
    }

    /// Records an accepted purge.
    pub(crate) fn purge(&mut self, purge: AcceptedPurge) {
        push_last(&mut self.purges, purge, self.max_purges);
    }

    pub(crate) fn purges(&self) -> Vec<AcceptedPurge> {
        self.purges.iter().cloned().collect()
    }
}
