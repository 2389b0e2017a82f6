//! What the status page shows, and the same as JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cfcache_model::date::rfc_3339;
use serde_json::{Value, json};

use crate::metrics::{KINDS, PurgeRecord};
use crate::store::{KindStatus, Status};

/// What the status page shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) now: SystemTime,
    /// Where requests are kept.
    pub(super) place: String,
    /// Why this process is not ready; nothing where it is.
    pub(super) not_ready: Vec<String>,
    /// What the store says, or why it says nothing.
    pub(super) store: Result<Arc<Status>, String>,
    /// The newest first.
    pub(super) purges: Vec<PurgeRecord>,
}

impl View {
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
        let mut object = json!({
            "at": time(self.now),
            "version": env!("CARGO_PKG_VERSION"),
            "store": self.place,
            "ready": self.not_ready.is_empty(),
            "not_ready": self.not_ready,
            "purges": purges.collect::<Vec<_>>(),
        });
        match &self.store {
            Err(why) => object["error"] = why.as_str().into(),
            Ok(status) => {
                object["kinds"] = kinds(status).iter().map(kind_json).collect();
                let budgets = status.budgets.iter().map(|budget| {
                    json!({
                        "name": budget.name,
                        "tokens": budget.tokens,
                        "blocked_seconds": budget.blocked_for.as_secs_f64(),
                    })
                });
                object["budgets"] = budgets.collect();
                object["dead_count"] = status.dead_count.into();
                let dead = status.dead.iter().map(|dead| {
                    json!({
                        "id": dead.id,
                        "zone": dead.zone,
                        "kind": dead.kind,
                        "key": dead.key,
                        "reason": dead.reason,
                        "last_error": dead.last_error,
                    })
                });
                object["dead"] = dead.collect();
                object["dead_tuples"] = status.dead_tuples.into();
                object["oldest_transaction_seconds"] =
                    status.oldest_transaction.map(|age| age.as_secs_f64()).into();
            }
        }
        object
    }
}

fn kind_json(kind: &KindStatus) -> Value {
    json!({ "kind": kind.kind, "waiting": kind.waiting, "oldest_seconds": kind.oldest.as_secs_f64() })
}

/// Each kind once, in the order in which kinds are sent, and those that nobody knows last.
pub(super) fn kinds(status: &Status) -> Vec<KindStatus> {
    let find = |name: &str| status.kinds.iter().find(|kind| kind.kind == name).cloned();
    let nothing = |name: &str| KindStatus { kind: name.to_owned(), waiting: 0, oldest: Duration::ZERO };
    let known = KINDS.iter().map(|name| find(name).unwrap_or_else(|| nothing(name)));
    let others = status.kinds.iter().filter(|kind| !KINDS.contains(&kind.kind.as_str())).cloned();
    known.chain(others).collect()
}

/// A time in UTC, to the second.
pub(super) fn time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc_3339(Duration::from_secs(since.as_secs()))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
