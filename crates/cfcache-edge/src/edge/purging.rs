//! Purges, and their effect on fetches in progress.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::SystemTime;

use cfcache_model::endpoint::Action;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{Edge, MAX_KEYS};
use crate::edge::flight::{Fill, Flight, Purpose};
use crate::entry::{self, StoredResponse};
use crate::key;
use crate::purge::{Purge, PurgeEffect, PurgeItems, Reach};
use crate::request::{self, Asked};
use crate::store;

/// The maximum number of purges that are remembered for fetches in progress; with more, their responses are not kept.
const MAX_LOG: usize = 1000;

/// The objects that a purge covers, with files as keys.
#[derive(Debug)]
pub(super) struct Covered {
    action: Action,
    reach: Reach,
    items: PurgeItems,
    keys: Vec<String>,
}

impl Edge {
    /// Purges or invalidates.
    pub fn purge(&mut self, now: SystemTime, purge: &Purge) -> PurgeEffect {
        self.purges += 1;
        let reach = match &purge.environment {
            // Source: "Purge zone versions", 2026.
            None if purge.items == PurgeItems::Everything => Reach::All,
            // Production is the environment of requests that match no other one, and also has an id.
            Some(id) if !self.is_production(id) => Reach::In(Some(id.clone())),
            _ => Reach::In(None),
        };
        let items = entry::normal(&purge.items);
        let keys = self.file_keys(&items, reach.environment());
        let mut ids = self.store.select(&items, &reach);
        ids.extend(keys.iter().flat_map(|key| self.store.variants(key).map(|(id, _)| id)));
        ids.sort_unstable();
        ids.dedup();
        if purge.action == Action::Purge {
            self.trace(&items, &reach, &keys, &ids);
        }
        let purged = match purge.action {
            Action::Invalidate => {
                PurgeEffect::invalidated(self.store.change(&ids, |entry| entry.invalidate(now)))
            }
            Action::Purge => self.store.remove(&ids),
        };
        if !self.flights.is_empty() {
            let covered = Covered { action: purge.action, reach, items, keys };
            // New requests do not wait for a response that will not be stored.
            for flight in self.flights.values() {
                if let Purpose::Fill(fill) = &flight.route
                    && covered.covers_fill(fill)
                {
                    self.locks.remove(&fill.key);
                }
            }
            self.log.push_back((self.purges, covered));
            if self.log.len() > MAX_LOG
                && let Some((number, _)) = self.log.pop_front()
            {
                self.forgotten = number;
            }
        }
        purged
    }

    fn is_production(&self, id: &str) -> bool {
        self.settings
            .environments
            .iter()
            .any(|environment| environment.id == id && environment.is_production())
    }

    /// What happened to an object since a fetch started; a purge takes precedence over an invalidation.
    pub(super) fn covering(&self, flight: &Flight, entry: &StoredResponse) -> Option<Action> {
        if flight.began < self.forgotten {
            return Some(Action::Purge);
        }
        let later = self.log.iter().filter(|(number, _)| *number > flight.began);
        let covering = later.filter(|(_, covered)| covered.covers(entry)).map(|(_, covered)| covered.action);
        covering.fold(None, |found, action| match (found, action) {
            (Some(Action::Purge), _) | (_, Action::Purge) => Some(Action::Purge),
            (_, Action::Invalidate) => Some(Action::Invalidate),
        })
    }

    /// The keys of files. A key is made from a request with the file's URL and headers; rules for GET do not match its
    /// method, as the vendor's pages warn.
    fn file_keys(&self, items: &PurgeItems, environment: Option<&str>) -> Vec<String> {
        let PurgeItems::Files(files) = items else { return Vec::new() };
        let keys = files.iter().filter_map(|file| {
            let url = file.url.split('#').next().unwrap_or_default().trim();
            let uri: Uri = request::encode(url).parse().ok()?;
            let mut headers = HeaderMap::new();
            for (name, value) in &file.headers {
                let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                    return None;
                };
                headers.append(name, value);
            }
            let text =
                |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (device, country) = (text("cf-device-type"), text("cf-ipcountry"));
            let asked = Asked {
                method: "PURGE",
                headers: Cow::Owned(headers),
                device: Some(device.as_deref().unwrap_or_default()),
                country: country.as_deref(),
                ..Asked::from_uri(&uri, None)
            };
            let effects = self.settings.rules.effects(&asked);
            Some(key::key(&self.settings, &effects, environment, &asked).text)
        });
        keys.collect()
    }

    /// With tiers, records the objects that a purge leaves in the lower tier.
    fn trace(&mut self, items: &PurgeItems, reach: &Reach, keys: &[String], ids: &[u32]) {
        match items {
            PurgeItems::Everything if *reach == Reach::All => self.expired = HashSet::new(),
            PurgeItems::Everything => {
                for hash in self.store.key_hashes(ids) {
                    self.expired.remove(&hash);
                }
            }
            PurgeItems::Files(_) => {
                for key in keys {
                    self.expired.remove(&store::key_hash(key));
                }
            }
            PurgeItems::Tags(_) | PurgeItems::Hosts(_) | PurgeItems::Prefixes(_)
                if self.settings.tiered_cache =>
            {
                let free = MAX_KEYS.saturating_sub(self.expired.len());
                self.expired.reserve(ids.len().min(free));
                self.expired.extend(self.store.key_hashes(ids).take(free));
            }
            PurgeItems::Tags(_) | PurgeItems::Hosts(_) | PurgeItems::Prefixes(_) => {}
        }
    }
}

impl Covered {
    fn covers(&self, entry: &StoredResponse) -> bool {
        self.covers_parts(&entry.key, entry.environment.as_deref(), entry.place(), &entry.tags)
    }

    /// Returns whether a purge covers the result of a fetch, as far as that is known.
    fn covers_fill(&self, fill: &Fill) -> bool {
        let place = &fill.key[fill.place.0 as usize..fill.place.1 as usize];
        let tags = fill.pending.as_ref().map(|pending| entry::tags(&pending.headers)).unwrap_or_default();
        self.covers_parts(&fill.key, fill.environment.as_deref(), place, &tags)
    }

    fn covers_parts(&self, key: &str, environment: Option<&str>, place: &str, tags: &str) -> bool {
        self.keys.iter().any(|own| own == key)
            || (self.reach.includes(environment) && entry::is_covered(&self.items, place, tags))
    }
}
