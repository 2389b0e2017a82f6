//! What is stored, and where it is found.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entry::Entry;

/// Stored responses, by key.
#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: HashMap<String, Arc<Entry>>,
    bytes: u64,
}

impl Store {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.bytes += entry.body.len() as u64;
        if let Some(old) = self.entries.insert(entry.key.clone(), Arc::new(entry)) {
            self.bytes -= old.body.len() as u64;
        }
    }

    pub(crate) fn remove(&mut self, covers: impl Fn(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !covers(entry));
        self.bytes = self.entries.values().map(|entry| entry.body.len() as u64).sum();
        before - self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
