//! Stored objects, found by key, tag, host and prefix.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;
use std::sync::Arc;

use crate::entry::StoredResponse;
use crate::purge::{PurgeEffect, PurgeItems, Reach};

/// Stored responses and their indexes.
///
/// - One index contains host and path in order, and finds both hosts and prefixes.
/// - A purge of many objects takes them out of their slots and does not change the indexes: index entries for an empty
///   slot are skipped, and removed gradually afterwards. So the time of a purge is that of finding the objects.
#[derive(Debug, Default)]
pub(crate) struct CacheStore {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// The newest is last.
    by_key: HashMap<Arc<str>, Vec<u32>>,
    by_tag: HashMap<Box<str>, HashSet<u32>>,
    by_place: BTreeSet<(Place, u32)>,
    /// The number of objects, and their memory in bytes.
    live: usize,
    bytes: u64,
    /// Objects that were removed but are still in the indexes; their slots are not reused before that.
    dead: Vec<(u32, Slot)>,
}

/// An object, with the data that a purge needs without reading the object.
#[derive(Debug)]
struct Slot {
    entry: Arc<StoredResponse>,
    cost: u64,
    is_production: bool,
    key_hash: u64,
}

/// The number of objects that are removed from the indexes at once; with more, the rest is removed gradually.
const AT_ONCE: usize = 64;

/// The number of removed objects that the result of a purge shows.
const SHOWN: usize = 100;

/// Host and path, as a part of the key.
#[derive(Debug, Clone)]
struct Place {
    key: Arc<str>,
    range: (u32, u32),
}

impl CacheStore {
    /// The variants of a key, the newest first.
    pub(crate) fn variants(&self, key: &str) -> impl Iterator<Item = (u32, &Arc<StoredResponse>)> {
        let ids = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        ids.iter().rev().filter_map(|&id| Some((id, self.slot(id)?)))
    }

    fn slot(&self, id: u32) -> Option<&Arc<StoredResponse>> {
        self.slots.get(id as usize)?.as_ref().map(|slot| &slot.entry)
    }

    pub(crate) fn insert(&mut self, entry: StoredResponse) {
        let entry = Arc::new(entry);
        let cost = entry.cost();
        // Removed objects are freed now, so that both together do not grow.
        let mut freed = 0;
        while freed < cost {
            let Some(swept) = self.sweep_one() else { break };
            freed += swept;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            // Four billion objects do not fit into the memory of a machine.
            None => u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        };
        self.live += 1;
        self.bytes += cost;
        self.by_key.entry(Arc::clone(&entry.key)).or_default().push(id);
        for tag in entry.tags() {
            match self.by_tag.get_mut(tag) {
                Some(ids) => {
                    ids.insert(id);
                }
                None => {
                    self.by_tag.insert(tag.into(), HashSet::from([id]));
                }
            }
        }
        self.by_place.insert((Place::from_entry(&entry), id));
        let slot = Some(Slot {
            is_production: entry.environment.is_none(),
            key_hash: key_hash(&entry.key),
            entry,
            cost,
        });
        match self.slots.get_mut(id as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
    }

    /// Removes the objects with these ids.
    pub(crate) fn remove(&mut self, ids: &[u32]) -> PurgeEffect {
        let before = self.live;
        for &id in ids {
            if let Some(slot) = self.slots.get_mut(id as usize).and_then(Option::take) {
                self.live -= 1;
                self.bytes -= slot.cost;
                self.dead.push((id, slot));
            }
        }
        let objects = before - self.live;
        let newest = self.dead.iter().rev().take(objects.min(SHOWN));
        let shown = newest.map(|(_, slot)| Arc::clone(&slot.entry)).collect();
        if self.live == 0 {
            // Nothing is left, so the indexes are dropped as a whole by the caller.
            return PurgeEffect { objects, shown, _indexes: Some(Box::new(core::mem::take(self))) };
        }
        if objects <= AT_ONCE {
            for _ in 0..objects {
                self.sweep_one();
            }
        }
        PurgeEffect { objects, shown, _indexes: None }
    }

    /// Removes up to a number of purged objects from the indexes and frees them; returns how many are left.
    pub(crate) fn sweep(&mut self, objects: usize) -> usize {
        for _ in 0..objects {
            if self.sweep_one().is_none() {
                break;
            }
        }
        self.dead.len()
    }

    /// Returns the number of freed bytes.
    fn sweep_one(&mut self) -> Option<u64> {
        let (id, slot) = self.dead.pop()?;
        self.unlink(id, &slot.entry);
        self.free.push(id);
        Some(slot.cost)
    }

    /// Removes an object that has left its slot from the indexes.
    fn unlink(&mut self, id: u32, entry: &StoredResponse) {
        if let Some(ids) = self.by_key.get_mut(&entry.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&entry.key);
            }
        }
        for tag in entry.tags() {
            if let Some(ids) = self.by_tag.get_mut(tag) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        self.by_place.remove(&(Place::from_entry(entry), id));
    }

    /// The hashes of the keys of these ids.
    pub(crate) fn key_hashes(&self, ids: &[u32]) -> impl Iterator<Item = u64> {
        ids.iter().filter_map(|&id| self.slots.get(id as usize)?.as_ref()).map(|slot| slot.key_hash)
    }

    /// Changes objects in place, except for the data of the indexes.
    pub(crate) fn change(&mut self, ids: &[u32], mut change: impl FnMut(&mut StoredResponse)) -> usize {
        let mut changed = 0;
        for &id in ids {
            if let Some(slot) = self.slots.get_mut(id as usize).and_then(Option::as_mut) {
                change(Arc::make_mut(&mut slot.entry));
                changed += 1;
            }
        }
        changed
    }

    /// The ids of the objects that a purge's items cover, possibly with repetitions. Files are found by their keys. Items have
    /// the form of [`normal`](crate::entry::normal).
    pub(crate) fn select(&self, items: &PurgeItems, reach: &Reach) -> Vec<u32> {
        let mut ids: Vec<u32> = match items {
            PurgeItems::Everything => (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).collect(),
            PurgeItems::Files(_) => Vec::new(),
            PurgeItems::Tags(tags) => {
                tags.iter().filter_map(|tag| self.by_tag.get(tag.as_str())).flatten().copied().collect()
            }
            PurgeItems::Hosts(hosts) => {
                let hosts = hosts.iter().filter(|host| !host.contains('/'));
                // With any port.
                hosts.flat_map(|host| [self.span(host, '/'), self.span(host, ':')]).flatten().collect()
            }
            PurgeItems::Prefixes(prefixes) => {
                let below = |prefix: &String| match prefix.strip_suffix('/') {
                    Some(prefix) => self.span(prefix, '/'),
                    None => self.at(prefix).chain(self.span(prefix, '/')).collect(),
                };
                prefixes.iter().flat_map(below).collect()
            }
        };
        ids.retain(|&id| match (self.slots.get(id as usize).and_then(Option::as_ref), reach) {
            (None, _) => false,
            (Some(_), Reach::All) => true,
            (Some(slot), Reach::In(None)) => slot.is_production,
            (Some(slot), reach) => reach.includes(slot.entry.environment.as_deref()),
        });
        ids
    }

    /// Objects whose place begins with that text and that character. They are a contiguous range of the index.
    fn span(&self, begin: &str, next: char) -> Vec<u32> {
        let behind = char::from_u32(u32::from(next) + 1).unwrap_or(next);
        let (first, last) = (Place::new(format!("{begin}{next}")), Place::new(format!("{begin}{behind}")));
        let range = (Bound::Included((first, 0)), Bound::Excluded((last, 0)));
        self.by_place.range(range).map(|(_, id)| *id).collect()
    }

    /// Objects with exactly that place.
    fn at(&self, place: &str) -> impl Iterator<Item = u32> {
        let place = Place::new(place.to_owned());
        let range = (Bound::Included((place.clone(), 0)), Bound::Included((place, u32::MAX)));
        self.by_place.range(range).map(|(_, id)| *id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<StoredResponse>> {
        self.slots.iter().flatten().map(|slot| &slot.entry)
    }

    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A hash of a key, for sets in which one collision among four billion keys does no harm.
pub(crate) fn key_hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Place {
    fn from_entry(entry: &StoredResponse) -> Self {
        Self { key: Arc::clone(&entry.key), range: entry.place }
    }

    fn new(text: String) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self { key: text.into(), range: (0, length) }
    }

    fn as_str(&self) -> &str {
        &self.key[self.range.0 as usize..self.range.1 as usize]
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}
