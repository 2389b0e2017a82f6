//! The caches of the zones, which share the zones' state with the API: what is purged and set through the one takes
//! effect in the other.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use cfcache_edge::{CacheLevel, Edge, Expression, FillId, Object, Purge, Purged, Rules, Scope, Settings};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Action, Area, Descriptor};
use serde_json::Value;
use tokio::sync::Notify;

use crate::behavior;
use crate::fault::{Fault, FaultAction, FaultSequence};
use crate::origin::EdgeOrigin;
use crate::state::{self, AcceptedPurge, Zone};

/// What the edge in front of an origin is like. All zones of the emulator share it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EdgeConfig {
    /// Where pages come from.
    pub origin: EdgeOrigin,
    /// Where visitors are served; port 0 picks one that is free.
    pub listen: SocketAddr,
    /// Cache rules; without any, only the default file extensions are eligible.
    pub rules: Rules,
    /// How long after the API accepted it a purge takes effect.
    pub purge_delay: Duration,
    /// The largest body that is kept, in bytes.
    pub max_object: u64,
    /// How many bytes all objects of a zone may take together. What does not fit is not kept; nothing is evicted.
    pub max_memory: u64,
    /// How long the origin may take to accept a connection; then the answer is 522.
    pub connect_timeout: Duration,
    /// How long the origin may take for the head of an answer, and between two pieces of a body; then it is 524.
    pub read_timeout: Duration,
}

impl EdgeConfig {
    /// An edge without cache rules, whose purges take effect at once.
    ///
    /// Objects are kept up to 64 MiB each, and 1 GiB together. The origin gets 15 s to connect and 100 s to answer.
    #[must_use]
    pub fn new(origin: EdgeOrigin) -> Self {
        Self {
            origin,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            rules: Rules::default(),
            purge_delay: Duration::ZERO,
            max_object: 64 << 20,
            max_memory: 1 << 30,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(100),
        }
    }

    /// Serves visitors there.
    #[must_use]
    pub const fn with_listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Uses other cache rules.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Lets purges take effect that much later.
    #[must_use]
    pub const fn with_purge_delay(mut self, delay: Duration) -> Self {
        self.purge_delay = delay;
        self
    }

    /// Keeps no larger bodies than that.
    #[must_use]
    pub const fn with_max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes;
        self
    }

    /// Gives the origin that long for the head of an answer, and between two pieces of a body.
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
    /// What time it is when the emulator begins.
    beginning: SystemTime,
    /// Which items of purges do not reach the cache.
    survivors: Mutex<FaultSequence>,
    /// Any purge endpoint: survivors are counted over all of them alike.
    purge_endpoint: Option<&'static Descriptor>,
}

/// The cache of a zone, and who waits for what is fetched into it.
#[derive(Debug)]
pub(crate) struct ZoneCache {
    pub(crate) edge: Edge,
    waiting: HashMap<FillId, Arc<Notify>>,
    /// Purges that have not taken effect yet, and when they do.
    delayed: VecDeque<(SystemTime, Purge)>,
    /// The last purges, oldest first; the delayed ones are the newest of them.
    purges: VecDeque<PurgeRecord>,
}

/// A purge as the cache saw it.
#[derive(Debug, Clone)]
pub(crate) struct PurgeRecord {
    /// When the API accepted it, since the emulator began.
    pub(crate) at: Duration,
    pub(crate) action: Action,
    pub(crate) environment: Option<String>,
    /// The field of the body that named them, and the items.
    pub(crate) kind: &'static str,
    /// The first of the items.
    pub(crate) items: Vec<String>,
    /// How many items there were.
    pub(crate) count: usize,
    /// How many of the items did not reach the cache, for a fault.
    pub(crate) survived: usize,
    /// How many objects it removed or marked stale; none where it has not taken effect yet.
    pub(crate) objects: Option<usize>,
}

/// What is in the caches, as it is shown.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// The first objects, in the order of their URLs.
    pub(crate) objects: Vec<Object>,
    /// How many objects there are.
    pub(crate) count: usize,
    /// How many bytes they take.
    pub(crate) bytes: u64,
    /// The last purges, newest first.
    pub(crate) purges: Vec<PurgeRecord>,
}

/// How many purges of a zone are remembered.
const MOST_PURGES: usize = 50;

/// How many items of a purge are remembered.
const MOST_ITEMS: usize = 5;

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
                let mut settings = Settings::new(&*zone.name);
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
        let survivors: Vec<Fault> =
            faults.iter().filter(|fault| fault.action == FaultAction::Survive).cloned().collect();
        let purge_endpoint = cfcache_model::endpoint::all().find(|endpoint| endpoint.area == Area::Purge);
        let survivors = Mutex::new(FaultSequence::new(&survivors));
        Self { config, zones, beginning, survivors, purge_endpoint }
    }

    /// The wall time at a time since the emulator began.
    pub(crate) fn wall(&self, now: Duration) -> SystemTime {
        self.beginning.checked_add(now).unwrap_or(self.beginning)
    }

    /// The place of the zone that a host belongs to: the one with the longest name.
    pub(crate) fn zone_of(&self, host: &str) -> Option<usize> {
        let covering = self.zones.iter().enumerate().filter(|(_, (zone, _))| zone.covers(host));
        covering.max_by_key(|(_, (zone, _))| zone.name.len()).map(|(index, _)| index)
    }

    /// The name of the first zone, which is what the listener's own address stands for.
    pub(crate) fn first_zone_name(&self) -> &str {
        self.zones.first().map_or("", |(zone, _)| &zone.name)
    }

    /// The cache of a zone, with the purges carried out that are due.
    pub(crate) fn cache(&self, zone: usize, now: SystemTime) -> Option<MutexGuard<'_, ZoneCache>> {
        let (_, cache) = self.zones.get(zone)?;
        let mut cache = lock(cache);
        cache.purge_due(now);
        Some(cache)
    }

    /// Carries out a purge that the API accepted, or notes it for later.
    pub(crate) fn purge(&self, now: Duration, purge: &AcceptedPurge) {
        let Some((_, cache)) = self.zones.iter().find(|(zone, _)| zone.id == purge.zone) else { return };
        let (scope, survived) = self.reaching(purge.scope.clone());
        let record = PurgeRecord::new(purge, survived);
        let environment = purge.environment.clone();
        let now = self.wall(now);
        let mut cache = lock(cache);
        cache.purge_due(now);
        let Some(scope) = scope else {
            cache.record(PurgeRecord { objects: Some(0), ..record });
            return;
        };
        let purge = Purge::new(scope).with_action(purge.action).with_environment(environment);
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

    /// Brings the cache of a zone to the zone's settings.
    pub(crate) fn set(&self, zone: &Zone, settings: &state::ZoneSettings) {
        let Some((_, cache)) = self.zones.iter().find(|(one, _)| one.id == zone.id) else { return };
        let on = |id: &str| settings.switches.get(id).is_some_and(|switch| switch.on);
        let mut cache = lock(cache);
        let own = cache.edge.settings_mut();
        own.development_mode = behavior::development_mode_since(settings).map(|since| self.wall(since));
        own.tiered_cache = on("tiered_caching") || on("tiered_cache_smart_topology_enable");
        own.cache_reserve = on("cache_reserve");
        own.always_online = on("always_online");
        own.sort_query = on("sort_query_string_for_cache");
        let value = |id: &str| settings.values.get(id).map(|(value, _)| value);
        own.cache_level = match value("cache_level").and_then(Value::as_str) {
            Some("basic") => CacheLevel::Basic,
            Some("simplified") => CacheLevel::Simplified,
            _ => CacheLevel::Aggressive,
        };
        if let Some(seconds) = value("browser_cache_ttl").and_then(Value::as_u64) {
            // 0 is "respect the origin's headers".
            own.browser_ttl = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        own.variants = settings.variant_types();
    }

    /// What is stored, zone by zone.
    pub(crate) fn objects(&self, now: Duration) -> Vec<Object> {
        let now = self.wall(now);
        let caches = (0..self.zones.len()).filter_map(|zone| self.cache(zone, now));
        let mut objects: Vec<Object> =
            caches.flat_map(|cache| cache.edge.objects(now).collect::<Vec<_>>()).collect();
        objects.sort_by(|one, other| order(one).cmp(&order(other)));
        objects
    }

    /// What is stored, of which only the first so many objects are listed, and the last purges.
    pub(crate) fn inventory(&self, now: Duration, most: usize) -> Inventory {
        let mut inventory = Inventory { objects: Vec::new(), count: 0, bytes: 0, purges: Vec::new() };
        let wall = self.wall(now);
        for cache in (0..self.zones.len()).filter_map(|zone| self.cache(zone, wall)) {
            inventory.count += cache.edge.len();
            inventory.bytes += cache.edge.memory();
            inventory.purges.extend(cache.purges.iter().cloned());
            for object in cache.edge.objects(wall) {
                let place = inventory.objects.partition_point(|known| order(known) <= order(&object));
                if place < most {
                    inventory.objects.insert(place, object);
                    inventory.objects.truncate(most);
                }
            }
        }
        inventory.purges.sort_by_key(|purge| core::cmp::Reverse(purge.at));
        inventory
    }

    /// Wakes everybody who waits, to look again: the time was moved.
    pub(crate) fn wake_all(&self) {
        for (_, cache) in &self.zones {
            lock(cache).waiting.drain().for_each(|(_, notify)| notify.notify_waiters());
        }
    }

    /// A scope without the items that are to survive, or `None` where none is left; and how many survive.
    fn reaching(&self, mut scope: Scope) -> (Option<Scope>, usize) {
        let mut survivors = self.survivors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut survived = 0;
        let mut reaches = || {
            let survives = survivors.next(self.purge_endpoint).is_some();
            survived += usize::from(survives);
            !survives
        };
        let is_left = match &mut scope {
            Scope::Files(files) => {
                files.retain(|_| reaches());
                !files.is_empty()
            }
            Scope::Tags(items) | Scope::Hosts(items) | Scope::Prefixes(items) => {
                items.retain(|_| reaches());
                !items.is_empty()
            }
            _ => reaches(),
        };
        (is_left.then_some(scope), survived)
    }
}

impl ZoneCache {
    /// What somebody waits on who waits for that fill.
    pub(crate) fn wait(&mut self, fill: FillId) -> Arc<Notify> {
        Arc::clone(self.waiting.entry(fill).or_default())
    }

    /// The fill ended, however it did.
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
        // One that has not taken effect yet stays, so that its objects are counted for it and not for another.
        if self.purges.len() >= MOST_PURGES && self.purges.front().is_some_and(|one| one.objects.is_some()) {
            self.purges.pop_front();
        }
        self.purges.push_back(record);
    }
}

impl PurgeRecord {
    fn new(purge: &AcceptedPurge, survived: usize) -> Self {
        let first = |items: &[String]| items.iter().take(MOST_ITEMS).cloned().collect();
        let (kind, items) = match &purge.scope {
            Scope::Files(files) => {
                let urls = files.iter().take(MOST_ITEMS).map(|file| file.url.clone());
                ("files", urls.collect())
            }
            Scope::Tags(items) => ("tags", first(items)),
            Scope::Hosts(items) => ("hosts", first(items)),
            Scope::Prefixes(items) => ("prefixes", first(items)),
            _ => ("purge_everything", Vec::new()),
        };
        Self {
            at: purge.at,
            action: purge.action,
            environment: purge.environment.clone(),
            kind,
            items,
            count: purge.scope.item_count(),
            survived,
            objects: None,
        }
    }
}

/// Objects are shown in this order.
fn order(object: &Object) -> (&str, &str, &str) {
    (&object.url, &object.key, &object.variant)
}

/// Frees what was removed elsewhere, where that takes a while.
fn free(purged: Purged) {
    const MANY: usize = 1_000;
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if purged.objects > MANY => drop(runtime.spawn_blocking(move || drop(purged))),
        _ => drop(purged),
    }
}

/// Those environments of a zone that the cache can tell from a request. One whose expression is not known here has no
/// requests.
fn environments(zone: &Zone) -> Vec<cfcache_edge::Environment> {
    let environments = zone.environments.iter();
    environments
        .filter_map(|environment| {
            let expression = Expression::parse(&environment.expression).ok()?;
            Some(cfcache_edge::Environment::new(&*environment.id, expression))
        })
        .collect()
}

fn lock(cache: &Mutex<ZoneCache>) -> MutexGuard<'_, ZoneCache> {
    // Nothing in here panics between two halves of a change.
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
