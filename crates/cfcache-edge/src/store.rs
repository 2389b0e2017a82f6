//! What is stored, found by key, tag, host and prefix.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::entry::{self, Entry};
use crate::purge::Scope;

/// Stored responses, and their indexes.
///
/// An index by place, which is host and path in one order, answers for hosts and prefixes alike.
#[derive(Debug, Default)]
pub(crate) struct Store {
    slots: Vec<Option<Arc<Entry>>>,
    free: Vec<u32>,
    /// The newest last.
    by_key: HashMap<Arc<str>, Vec<u32>>,
    by_tag: HashMap<Box<str>, HashSet<u32>>,
    by_place: BTreeSet<(Place, u32)>,
    bytes: u64,
}

/// Host and path, as a part of the key.
#[derive(Debug, Clone)]
struct Place {
    key: Arc<str>,
    range: (u32, u32),
}

impl Store {
    /// The variants of a key, the newest first.
    pub(crate) fn variants(&self, key: &str) -> impl Iterator<Item = (u32, &Arc<Entry>)> {
        let ids = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        ids.iter().rev().filter_map(|&id| Some((id, self.slot(id)?)))
    }

    fn slot(&self, id: u32) -> Option<&Arc<Entry>> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        let id = match self.free.pop() {
            Some(id) => id,
            // Four billion objects do not fit into the memory of a machine.
            None => u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        };
        self.bytes += entry.cost();
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
        self.by_place.insert((Place::of(&entry), id));
        match self.slots.get_mut(id as usize) {
            Some(slot) => *slot = Some(entry),
            None => self.slots.push(Some(entry)),
        }
    }

    /// Takes out what these ids stand for.
    pub(crate) fn remove(&mut self, ids: &[u32]) -> Vec<Arc<Entry>> {
        let mut removed = Vec::with_capacity(ids.len());
        for &id in ids {
            if let Some(entry) = self.slots.get_mut(id as usize).and_then(Option::take) {
                self.bytes -= entry.cost();
                self.free.push(id);
                removed.push((id, entry));
            }
        }
        // One pass over the indexes is cheaper than a search for each object, where many go.
        if removed.len() * 8 > self.by_place.len() {
            let slots = &self.slots;
            let lives = |id: &u32| slots.get(*id as usize).is_some_and(Option::is_some);
            self.by_place.retain(|(_, id)| lives(id));
            self.by_key.retain(|_, ids| {
                ids.retain(lives);
                !ids.is_empty()
            });
            self.by_tag.retain(|_, ids| {
                ids.retain(lives);
                !ids.is_empty()
            });
        } else {
            for (id, entry) in &removed {
                self.unlink(*id, entry);
            }
        }
        removed.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Takes an object that has left its slot out of the indexes.
    fn unlink(&mut self, id: u32, entry: &Entry) {
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
        self.by_place.remove(&(Place::of(entry), id));
    }

    /// Changes objects in their places; what an index is made from stays.
    pub(crate) fn change(&mut self, ids: &[u32], mut change: impl FnMut(&mut Entry)) -> usize {
        let mut changed = 0;
        for &id in ids {
            if let Some(entry) = self.slots.get_mut(id as usize).and_then(Option::as_mut) {
                change(Arc::make_mut(entry));
                changed += 1;
            }
        }
        changed
    }

    /// The ids of what a scope covers in an environment; of everything in production, those of all environments.
    /// Files are found by their keys.
    pub(crate) fn select(&self, scope: &Scope, environment: Option<&str>) -> Vec<u32> {
        let mut ids: Vec<u32> = match scope {
            Scope::Everything => (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).collect(),
            Scope::Files(_) => Vec::new(),
            Scope::Tags(tags) => {
                let tags = tags.iter().map(|tag| tag.trim().to_lowercase());
                tags.filter_map(|tag| self.by_tag.get(&*tag)).flatten().copied().collect()
            }
            Scope::Hosts(hosts) => {
                let hosts = hosts.iter().map(|host| entry::normal_host(host));
                hosts.flat_map(|host| self.places(&host, |place| entry::is_on_host(place, &host))).collect()
            }
            Scope::Prefixes(prefixes) => {
                let prefixes = prefixes.iter().map(|prefix| entry::normal_prefix(prefix));
                let below = |prefix: String| self.places(&prefix, |place| entry::is_below(place, &prefix));
                prefixes.flat_map(below).collect()
            }
        };
        ids.sort_unstable();
        ids.dedup();
        let is_of_all = *scope == Scope::Everything && environment.is_none();
        ids.retain(|&id| {
            self.slot(id).is_some_and(|entry| is_of_all || entry.environment.as_deref() == environment)
        });
        ids
    }

    /// Those whose place begins like that and fits.
    fn places(&self, begin: &str, fits: impl Fn(&str) -> bool) -> Vec<u32> {
        let length = u32::try_from(begin.len()).unwrap_or(u32::MAX);
        let first = Place { key: begin.into(), range: (0, length) };
        let range = self.by_place.range((Bound::Included((first, 0)), Bound::Unbounded));
        let range = range.take_while(|(place, _)| place.as_str().starts_with(begin));
        range.filter(|(place, _)| fits(place.as_str())).map(|(_, id)| *id).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.slots.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Place {
    fn of(entry: &Entry) -> Self {
        Self { key: Arc::clone(&entry.key), range: entry.place }
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
