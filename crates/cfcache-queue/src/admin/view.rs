//! The content of the status page, also as JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cfcache_model::date::rfc_3339;
use serde_json::{Value, json};

use crate::metrics::EndedRequest;
use crate::store::{QueueStatus, millis};

/// The content of the status page.
#[derive(Debug)]
pub(super) struct View {
    pub(super) now: SystemTime,
    /// The place of the queue.
    pub(super) place: String,
    /// Why this process is not ready; empty if it is ready.
    pub(super) not_ready: Vec<String>,
    /// The status of the store, or why it is not available.
    pub(super) store: Result<Arc<QueueStatus>, String>,
    /// The last purges, newest first.
    pub(super) purges: Vec<EndedRequest>,
}

impl View {
    /// Returns the JSON of the command `status --json` together with the values of this process. If the store does not
    /// answer, `error` replaces the values of the store.
    pub(super) fn to_json(&self) -> Value {
        let purges = self.purges.iter().map(|purge| {
            json!({
                "at": time(purge.at),
                "zone": purge.zone,
                "kind": purge.kind,
                "items": purge.items,
                "outcome": purge.outcome,
                "elapsed_ms": millis(purge.elapsed),
            })
        });
        let mut object = match &self.store {
            Ok(status) => status.to_json(),
            Err(why) => json!({ "error": why }),
        };
        object["at"] = time(self.now).into();
        object["version"] = env!("CARGO_PKG_VERSION").into();
        object["store"] = self.place.as_str().into();
        object["ready"] = self.not_ready.is_empty().into();
        object["not_ready"] = self.not_ready.as_slice().into();
        object["purges"] = purges.collect();
        object
    }
}

/// Formats a time in UTC, to the second.
pub(super) fn time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc_3339(Duration::from_secs(since.as_secs()))
}
