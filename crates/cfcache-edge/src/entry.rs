//! A stored response.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A stored response.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) environment: Option<String>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) tags: Vec<String>,
    /// When it was stored or last revalidated.
    pub(crate) stored: SystemTime,
    pub(crate) fresh_until: SystemTime,
}

impl Entry {
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.fresh_until >= now
    }

    pub(crate) fn age(&self, now: SystemTime) -> u64 {
        now.duration_since(self.stored).unwrap_or_default().as_secs()
    }
}
