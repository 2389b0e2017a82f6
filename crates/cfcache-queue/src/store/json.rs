//! The JSON of a store's status, as printed by `status --json`, `dead list --json` and the status page's
//! `/status.json`. `docs/queue.md` describes it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::metrics::KINDS;
use crate::store::{DeadRequest, KindStatus, QueueStatus, action_word};

impl QueueStatus {
    /// Returns the JSON for programs. Times are in milliseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let kinds = self.all_kinds().into_iter().map(
            |kind| json!({ "kind": kind.kind, "waiting": kind.waiting, "oldest_ms": millis(kind.oldest) }),
        );
        let budgets = self.budgets.iter().map(|budget| {
            json!({
                "name": budget.name,
                // Only whole tokens can be taken. The number is negative while the API blocks the budget.
                "tokens": budget.tokens.max(0.0) as u64,
                "blocked_ms": millis(budget.blocked_for),
            })
        });
        json!({
            "waiting": self.waiting(),
            "kinds": kinds.collect::<Value>(),
            "budgets": budgets.collect::<Value>(),
            "dead_count": self.dead_count,
            "dead": self.dead.iter().map(DeadRequest::to_json).collect::<Value>(),
            "dead_tuples": self.dead_tuples,
            "oldest_transaction_ms": self.oldest_transaction.map(millis),
        })
    }

    /// Returns each kind once, in the order of [`KINDS`], followed by unknown kinds.
    pub(crate) fn all_kinds(&self) -> Vec<KindStatus> {
        let find = |name: &str| self.kinds.iter().find(|kind| kind.kind == name).cloned();
        let nothing = |name: &str| KindStatus { kind: name.to_owned(), waiting: 0, oldest: Duration::ZERO };
        let known = KINDS.iter().map(|name| find(name).unwrap_or_else(|| nothing(name)));
        let others = self.kinds.iter().filter(|kind| !KINDS.contains(&kind.kind.as_str())).cloned();
        known.chain(others).collect()
    }
}

impl DeadRequest {
    /// Returns the JSON for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "zone": self.zone,
            "environment": self.environment,
            "action": action_word(self.action),
            "kind": self.kind,
            "key": self.key,
            "attempts": self.attempts,
            "reason": self.reason,
            "last_error": self.last_error,
        })
    }
}

/// Converts a time to whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
