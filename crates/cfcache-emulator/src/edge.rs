//! The caches of the zones. They share the state of the zones with the API: purges and settings through one affect the
//! other.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use cfcache_edge::{
    CacheRules, CacheSettings, Edge, Expression, FillId, Object, Purge, PurgeEffect, PurgeItems,
};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Action, Area, CacheLevel, Descriptor};
use serde_json::Value;
use tokio::sync::Notify;

use crate::behavior;
use crate::fault::{ActiveFault, Fault, FaultAction, next_fault};
use crate::origin::EdgeOrigin;
use crate::state::{self, AcceptedPurge, Zone};

/// The configuration of the edge in front of an origin, which all zones share.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EdgeConfig {
    /// The origin of the pages.
    pub origin: EdgeOrigin,
    /// The address for visitors; port 0 selects a free port.
    pub listen: SocketAddr,
    /// The cache rules. Without rules, only the default file extensions are eligible.
    pub rules: CacheRules,
    /// The delay between the acceptance of a purge by the API and its effect.
    pub purge_delay: Duration,
    /// The maximum size of a cached body, in bytes.
    pub max_object: u64,
    /// The maximum total size of a zone's objects, in bytes. Further objects are not cached; nothing is evicted.
    pub max_memory: u64,
    /// The timeout for connecting to the origin. After it, the answer is 522.
    pub connect_timeout: Duration,
    /// The timeout for the head of the origin's answer, and between two pieces of its body. After it, the answer is
    /// 524.
    pub read_timeout: Duration,
}

impl EdgeConfig {
    /// Creates an edge without cache rules, on which purges take effect immediately.
    ///
    /// It listens on a free port of 127.0.0.1. Objects up to 64 MiB each and 1 GiB in total are cached. The timeouts of
    /// the origin are 15 s to connect and 100 s to answer.
    #[must_use]
    pub fn new(origin: EdgeOrigin) -> Self {
        Self {
            origin,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            rules: CacheRules::default(),
            purge_delay: Duration::ZERO,
            max_object: 64 << 20,
            max_memory: 1 << 30,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(100),
        }
    }

    /// Sets the address for visitors.
    #[must_use]
    pub const fn with_listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Sets the cache rules.
    #[must_use]
    pub fn with_rules(mut self, rules: CacheRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets the delay of purges.
    #[must_use]
    pub const fn with_purge_delay(mut self, delay: Duration) -> Self {
        self.purge_delay = delay;
        self
    }

    /// Sets the maximum size of a cached body.
    #[must_use]
    pub const fn with_max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes;
        self
    }

    /// Sets the timeout for the head of the origin's answer, and between two pieces of its body.
    #[must_use]
    pub const fn with_read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }
}

/// The caches of all zones.
#[derive(Debug)]
pub(crate) struct Edges {
    pub(crate) config: EdgeConfig,
    zones: Vec<(Zone, Mutex<ZoneCache>)>,
    /// The wall-clock time when the emulator started.
    beginning: SystemTime,
    /// Decides which items of purges do not reach the cache.
    survivors: Mutex<Vec<ActiveFault>>,
    /// Any purge endpoint: survivors are counted over all of them together.
    purge_endpoint: Option<&'static Descriptor>,
}

/// The cache of a zone, and the requests that wait for a fill.
#[derive(Debug)]
pub(crate) struct ZoneCache {
    pub(crate) edge: Edge,
    waiting: HashMap<FillId, Arc<Notify>>,
    /// The purges that have not taken effect yet, with the time when they do.
    delayed: VecDeque<(SystemTime, Purge)>,
    /// The last purges, oldest first; the delayed ones are the newest.
    purges: VecDeque<PurgeRecord>,
}

/// A purge as seen by the cache.
#[derive(Debug, Clone)]
pub(crate) struct PurgeRecord {
    /// When the API accepted it, as the time since the emulator started.
    pub(crate) at: Duration,
    pub(crate) action: Action,
    pub(crate) environment: Option<String>,
    /// The field of the body with the items.
    pub(crate) kind: &'static str,
    /// The first items.
    pub(crate) items: Vec<String>,
    /// The number of items.
    pub(crate) count: usize,
    /// The number of items that did not reach the cache because of a fault.
    pub(crate) survived: usize,
    /// The number of objects that it removed or marked stale; `None` until it takes effect.
    pub(crate) objects: Option<usize>,
}

/// The content of the caches, for display.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// The first objects, in the order of their URLs.
    pub(crate) objects: Vec<Object>,
    /// The number of objects.
    pub(crate) count: usize,
    /// Their total size in bytes.
    pub(crate) bytes: u64,
    /// The last purges, newest first.
    pub(crate) purges: Vec<PurgeRecord>,
}

/// The number of purges of a zone to remember.
const MAX_PURGES: usize = 50;

/// The number of items of a purge to remember.
const MAX_ITEMS: usize = 5;

impl Edges {
    pub(crate) fn new(
        config: EdgeConfig,
        plan: Plan,
        zones: &[Zone],
        faults: &[Fault],
        beginning: SystemTime,
    ) -> Self {
        let zones = zones
            .iter()
            .map(|zone| {
                let mut settings = CacheSettings::new(&*zone.name);
                settings.plan = plan;
                settings.rules = config.rules.clone();
                settings.max_object = config.max_object;
                settings.max_memory = config.max_memory;
                settings.environments = environments(zone);
                let edge = Edge::new(settings);
                let cache = ZoneCache {
                    edge,
                    waiting: HashMap::new(),
                    delayed: VecDeque::new(),
                    purges: VecDeque::new(),
                };
                (zone.clone(), Mutex::new(cache))
            })
            .collect();
        let survivors = faults.iter().filter(|fault| fault.action == FaultAction::Survive);
        let survivors = Mutex::new(survivors.map(ActiveFault::new).collect());
        let purge_endpoint = cfcache_model::endpoint::all().find(|endpoint| endpoint.area == Area::Purge);
        Self { config, zones, beginning, survivors, purge_endpoint }
    }

    /// Returns the wall-clock time at a time since the start of the emulator.
    pub(crate) fn wall(&self, now: Duration) -> SystemTime {
        self.beginning.checked_add(now).unwrap_or(self.beginning)
    }

    /// Returns the index of the zone of a host: the one with the longest matching name.
    pub(crate) fn zone_of(&self, host: &str) -> Option<usize> {
        let covering = self.zones.iter().enumerate().filter(|(_, (zone, _))| zone.covers(host));
        covering.max_by_key(|(_, (zone, _))| zone.name.len()).map(|(index, _)| index)
    }

    /// Returns the name of the first zone, which is used for requests to the listener's own address.
    pub(crate) fn first_zone_name(&self) -> &str {
        self.zones.first().map_or("", |(zone, _)| &zone.name)
    }

    /// Returns the cache of a zone, after applying the purges that are due.
    pub(crate) fn cache(&self, zone: usize, now: SystemTime) -> Option<MutexGuard<'_, ZoneCache>> {
        let (_, cache) = self.zones.get(zone)?;
        let mut cache = lock(cache);
        cache.purge_due(now);
        Some(cache)
    }

    /// Applies a purge that the API accepted, or schedules it.
    pub(crate) fn purge(&self, now: Duration, purge: &AcceptedPurge) {
        let Some((_, cache)) = self.zones.iter().find(|(zone, _)| zone.id == purge.zone) else { return };
        let (items, survived) = self.reaching(purge.items.clone());
        let record = PurgeRecord::new(purge, survived);
        let environment = purge.environment.clone();
        let now = self.wall(now);
        let mut cache = lock(cache);
        cache.purge_due(now);
        let Some(items) = items else {
            cache.record(PurgeRecord { objects: Some(0), ..record });
            return;
        };
        let purge = Purge::new(items).with_action(purge.action).with_environment(environment);
        if self.config.purge_delay.is_zero() {
            let purged = cache.edge.purge(now, &purge);
            cache.record(PurgeRecord { objects: Some(purged.objects), ..record });
            drop(cache);
            free(purged);
        } else {
            let due = now.checked_add(self.config.purge_delay).unwrap_or(now);
            cache.record(record);
            cache.delayed.push_back((due, purge));
        }
    }

    /// Applies the settings of a zone to its cache.
    pub(crate) fn set(&self, zone: &Zone, settings: &state::ZoneSettings) {
        let Some((_, cache)) = self.zones.iter().find(|(one, _)| one.id == zone.id) else { return };
        let mut cache = lock(cache);
        let own = cache.edge.settings_mut();
        own.development_mode = behavior::development_mode_since(settings).map(|since| self.wall(since));
        own.tiered_cache =
            settings.is_on("tiered_caching") || settings.is_on("tiered_cache_smart_topology_enable");
        own.cache_reserve = settings.is_on("cache_reserve");
        own.always_online = settings.is_on("always_online");
        own.sort_query = settings.is_on("sort_query_string_for_cache");
        let level = settings.value("cache_level").and_then(Value::as_str);
        own.cache_level = level.and_then(|level| level.parse().ok()).unwrap_or(CacheLevel::Aggressive);
        if let Some(seconds) = settings.value("browser_cache_ttl").and_then(Value::as_u64) {
            // 0 means "respect the origin's headers".
            own.browser_ttl = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        own.variants = settings.variant_types();
    }

    /// Returns the cached objects, zone by zone.
    pub(crate) fn objects(&self, now: Duration) -> Vec<Object> {
        let now = self.wall(now);
        let caches = (0..self.zones.len()).filter_map(|zone| self.cache(zone, now));
        let mut objects: Vec<Object> =
            caches.flat_map(|cache| cache.edge.objects(now).collect::<Vec<_>>()).collect();
        objects.sort_by(|one, other| order(one).cmp(&order(other)));
        objects
    }

    /// Returns the content of the caches with at most this many objects, and the last purges.
    pub(crate) fn inventory(&self, now: Duration, limit: usize) -> Inventory {
        let mut inventory = Inventory { objects: Vec::new(), count: 0, bytes: 0, purges: Vec::new() };
        let wall = self.wall(now);
        for cache in (0..self.zones.len()).filter_map(|zone| self.cache(zone, wall)) {
            inventory.count += cache.edge.len();
            inventory.bytes += cache.edge.memory();
            inventory.purges.extend(cache.purges.iter().cloned());
            for object in cache.edge.objects(wall) {
                let place = inventory.objects.partition_point(|known| order(known) <= order(&object));
                if place < limit {
                    inventory.objects.insert(place, object);
                    inventory.objects.truncate(limit);
                }
            }
        }
        inventory.purges.sort_by_key(|purge| core::cmp::Reverse(purge.at));
        inventory
    }

    /// Wakes all waiting requests to check again, because the clock was moved.
    pub(crate) fn wake_all(&self) {
        for (_, cache) in &self.zones {
            lock(cache).waiting.drain().for_each(|(_, notify)| notify.notify_waiters());
        }
    }

    /// Returns the items without the surviving ones, or `None` if nothing remains; and the number of survivors.
    fn reaching(&self, mut items: PurgeItems) -> (Option<PurgeItems>, usize) {
        let mut survivors = self.survivors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut survived = 0;
        let mut reaches = || {
            let survives = next_fault(&mut survivors, self.purge_endpoint).is_some();
            survived += usize::from(survives);
            !survives
        };
        let is_left = match &mut items {
            PurgeItems::Files(files) => {
                files.retain(|_| reaches());
                !files.is_empty()
            }
            PurgeItems::Tags(items) | PurgeItems::Hosts(items) | PurgeItems::Prefixes(items) => {
                items.retain(|_| reaches());
                !items.is_empty()
            }
            _ => reaches(),
        };
        (is_left.then_some(items), survived)
    }
}

impl ZoneCache {
    /// Returns the notification to wait on for a fill.
    pub(crate) fn wait(&mut self, fill: FillId) -> Arc<Notify> {
        Arc::clone(self.waiting.entry(fill).or_default())
    }

    /// Wakes the requests that wait for a fill, because it ended.
    pub(crate) fn wake(&mut self, fill: FillId) {
        if let Some(notify) = self.waiting.remove(&fill) {
            notify.notify_waiters();
        }
    }

    fn purge_due(&mut self, now: SystemTime) {
        while self.delayed.front().is_some_and(|(due, _)| *due <= now) {
            let Some((due, purge)) = self.delayed.pop_front() else { return };
            let purged = self.edge.purge(due, &purge);
            if let Some(record) = self.purges.iter_mut().find(|record| record.objects.is_none()) {
                record.objects = Some(purged.objects);
            }
            free(purged);
        }
    }

    fn record(&mut self, record: PurgeRecord) {
        // A delayed purge stays, so that its objects are counted for it and not for another one.
        if self.purges.len() >= MAX_PURGES && self.purges.front().is_some_and(|one| one.objects.is_some()) {
            self.purges.pop_front();
        }
        self.purges.push_back(record);
    }
}

impl PurgeRecord {
    fn new(purge: &AcceptedPurge, survived: usize) -> Self {
        let first = |items: &[String]| items.iter().take(MAX_ITEMS).cloned().collect();
        let (kind, items) = match &purge.items {
            PurgeItems::Files(files) => {
                let urls = files.iter().take(MAX_ITEMS).map(|file| file.url.clone());
                ("files", urls.collect())
            }
            PurgeItems::Tags(items) => ("tags", first(items)),
            PurgeItems::Hosts(items) => ("hosts", first(items)),
            PurgeItems::Prefixes(items) => ("prefixes", first(items)),
            _ => ("purge_everything", Vec::new()),
        };
        Self {
            at: purge.at,
            action: purge.action,
            environment: purge.environment.clone(),
            kind,
            items,
            count: purge.items.item_count(),
            survived,
            objects: None,
        }
    }
}

/// The display order of objects.
fn order(object: &Object) -> (&str, &str, &str) {
    (&object.url, &object.key, &object.variant)
}

/// Frees removed objects on another thread if there are many.
fn free(purged: PurgeEffect) {
    const MANY: usize = 1_000;
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if purged.objects > MANY => drop(runtime.spawn_blocking(move || drop(purged))),
        _ => drop(purged),
    }
}

/// Returns the environments of a zone whose expressions the cache can evaluate. An environment with another expression
/// gets no requests.
fn environments(zone: &Zone) -> Vec<cfcache_edge::CacheEnvironment> {
    let environments = zone.environments.iter();
    environments
        .filter_map(|environment| {
            let expression = Expression::parse(&environment.expression).ok()?;
            Some(cfcache_edge::CacheEnvironment::new(&*environment.id, expression))
        })
        .collect()
}

fn lock(cache: &Mutex<ZoneCache>) -> MutexGuard<'_, ZoneCache> {
    // Nothing in here panics between two parts of a change.
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
