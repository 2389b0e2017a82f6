//! The metrics of this process, and its last purges.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::store::QueueStatus;

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// The kinds of requests: `everything`, and the fields of the API's body.
pub const KINDS: [&str; 5] = ["everything", "files", "tags", "hosts", "prefixes"];

/// The number of purges to keep for the status page.
const KEPT_PURGES: usize = 20;

/// The bounds of the histogram of waiting times, in seconds: from an idle queue to one that is a day behind.
const WAIT_BUCKETS: [f64; 16] = [
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0,
    86_400.0,
];

/// Counts the work of the intake and the workers of this process.
///
/// - Counters cover this process since its start; gauges cover the store, for all processes.
/// - Labels have few values: names of configured sources, kinds, and words of this crate. Text from senders never
///   becomes a label.
pub struct Metrics {
    registry: Registry,
    requests: Counters<2>,
    rejected: Counters<2>,
    ready: Family<Labels<1>, Gauge>,
    oldest: Family<Labels<1>, FloatGauge>,
    wait: Histogram,
    merged: Counters<1>,
    dead: Counters<1>,
    attempts: Counters<1>,
    purge_requests: Counters<2>,
    purge_items: Counters<2>,
    budget_tokens: Family<Labels<1>, FloatGauge>,
    budget_blocked: Family<Labels<1>, FloatGauge>,
    dead_tuples: Family<Labels<0>, Gauge>,
    oldest_transaction: Family<Labels<0>, FloatGauge>,
    store_up: Gauge,
    purges: Mutex<VecDeque<EndedRequest>>,
}

/// Why a request was merged into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the values of a label")]
pub enum MergeReason {
    /// Both have the same key.
    Same,
    /// The other request covers it, as a host covers its URLs.
    Covered,
}

/// An API request that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the worker makes it")]
pub struct EndedRequest {
    /// When it ended.
    pub at: SystemTime,
    /// The zone, as written in the request.
    pub zone: String,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// The number of its keys.
    pub items: u64,
    /// `accepted`, `refused`, `rate_limited`, `failed` or `unknown`.
    pub outcome: &'static str,
    /// The time that the API took.
    pub elapsed: Duration,
}

impl Metrics {
    /// Creates metrics that start at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            rejected: Family::default(),
            ready: Family::default(),
            oldest: Family::default(),
            wait: Histogram::new(WAIT_BUCKETS),
            merged: Family::default(),
            dead: Family::default(),
            attempts: Family::default(),
            purge_requests: Family::default(),
            purge_items: Family::default(),
            budget_tokens: Family::default(),
            budget_blocked: Family::default(),
            dead_tuples: Family::default(),
            oldest_transaction: Family::default(),
            store_up: Gauge::default(),
            purges: Mutex::default(),
        };
        metrics.register();
        // A counter that appears only with its first event hides that event from `increase()`.
        for why in [MergeReason::Same, MergeReason::Covered] {
            metrics.merged(why, 0);
        }
        for reason in ["refused", "expired", "attempts"] {
            metrics.dead(reason, 0);
        }
        for outcome in ["accepted", "refused", "rate_limited", "failed", "unknown"] {
            metrics.attempt(outcome, 0);
        }
        metrics
    }

    /// Registers the metrics. The encoder adds the suffix `_total` to the names of counters.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "cfcache_queue_requests",
            "Requests stored, by source and kind",
            self.requests.clone(),
        );
        registry.register(
            "cfcache_queue_rejected",
            "HTTP requests that the intake refused, by source and reason",
            self.rejected.clone(),
        );
        registry.register("cfcache_queue_ready", "Waiting requests, by kind", self.ready.clone());
        registry.register(
            "cfcache_queue_oldest_seconds",
            "Waiting time of the oldest request, by kind",
            self.oldest.clone(),
        );
        registry.register(
            "cfcache_queue_wait_seconds",
            "Time from the commit of a request to the accepted purge that covers it",
            self.wait.clone(),
        );
        registry.register(
            "cfcache_queue_merged",
            "Requests that were merged into another, with the same key or covered by it",
            self.merged.clone(),
        );
        registry.register(
            "cfcache_queue_dead",
            "Requests that became dead letters, by reason",
            self.dead.clone(),
        );
        registry.register(
            "cfcache_queue_attempts",
            "Queued requests that were part of an API request, by its outcome",
            self.attempts.clone(),
        );
        registry.register(
            "cfcache_purge_requests",
            "API requests, by kind and outcome",
            self.purge_requests.clone(),
        );
        registry.register(
            "cfcache_purge_items",
            "Keys in API requests, by kind and outcome",
            self.purge_items.clone(),
        );
        registry.register("cfcache_budget_tokens", "Available tokens, by bucket", self.budget_tokens.clone());
        registry.register(
            "cfcache_budget_blocked_seconds",
            "Time for which the API has blocked the bucket",
            self.budget_blocked.clone(),
        );
        registry.register(
            "cfcache_queue_dead_tuples",
            "Dead rows of the queue's table in PostgreSQL",
            self.dead_tuples.clone(),
        );
        registry.register(
            "cfcache_db_oldest_xact_seconds",
            "Age of the oldest transaction in PostgreSQL",
            self.oldest_transaction.clone(),
        );
        registry.register(
            "cfcache_queue_store_up",
            "Whether the store answered when these metrics were requested",
            self.store_up.clone(),
        );
    }

    /// Counts stored requests.
    pub fn stored(&self, source: &str, kind: &'static str, count: u64) {
        self.requests.get_or_create(&[("source", owned(source)), ("kind", kind.into())]).inc_by(count);
    }

    /// Counts an HTTP request that the intake refused. `source` is empty if it is not known.
    pub fn rejected(&self, source: &str, reason: &'static str) {
        self.rejected.get_or_create(&[("source", owned(source)), ("reason", reason.into())]).inc();
    }

    /// Records how long a request waited, from its commit to the accepted purge that covers it.
    pub fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    /// Counts requests that needed no key of their own in an API request.
    pub fn merged(&self, why: MergeReason, count: u64) {
        let why = match why {
            MergeReason::Same => "same",
            MergeReason::Covered => "covered",
        };
        self.merged.get_or_create(&[("why", why.into())]).inc_by(count);
    }

    /// Counts requests that became dead letters.
    pub fn dead(&self, reason: &'static str, count: u64) {
        self.dead.get_or_create(&[("reason", reason.into())]).inc_by(count);
    }

    /// Counts requests of the queue that were part of an API request. See [`EndedRequest::outcome`].
    pub fn attempt(&self, outcome: &'static str, count: u64) {
        self.attempts.get_or_create(&[("outcome", outcome.into())]).inc_by(count);
    }

    /// Counts an API request, and keeps it for the status page.
    pub fn purge(&self, purge: EndedRequest) {
        let labels = [("kind", purge.kind.into()), ("outcome", purge.outcome.into())];
        self.purge_requests.get_or_create(&labels).inc();
        self.purge_items.get_or_create(&labels).inc_by(purge.items);
        let mut purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        purges.truncate(KEPT_PURGES - 1);
        purges.push_front(purge);
    }

    /// Returns the last API requests of this process, newest first.
    #[must_use]
    pub fn purges(&self) -> Vec<EndedRequest> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Encodes all metrics in the OpenMetrics text format.
    ///
    /// Gauges come from `status`. `None` means that the store did not answer: gauges are left out then, so that they
    /// are not stale.
    #[must_use]
    pub fn encode(&self, status: Option<&QueueStatus>) -> String {
        // Concurrent calls must not see each other's partly updated gauges.
        static ENCODING: Mutex<()> = Mutex::new(());
        let _encoding = ENCODING.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_gauges(status);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _written = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    fn set_gauges(&self, status: Option<&QueueStatus>) {
        self.ready.clear();
        self.oldest.clear();
        self.budget_tokens.clear();
        self.budget_blocked.clear();
        self.dead_tuples.clear();
        self.oldest_transaction.clear();
        self.store_up.set(i64::from(status.is_some()));
        let Some(status) = status else { return };
        for kind in KINDS {
            self.ready.get_or_create(&[("kind", kind.into())]).set(0);
            self.oldest.get_or_create(&[("kind", kind.into())]).set(0.0);
        }
        for kind in &status.kinds {
            let labels = [("kind", owned(&kind.kind))];
            self.ready.get_or_create(&labels).set(signed(kind.waiting));
            self.oldest.get_or_create(&labels).set(kind.oldest.as_secs_f64());
        }
        for budget in &status.budgets {
            let labels = [("bucket", owned(&budget.name))];
            self.budget_tokens.get_or_create(&labels).set(budget.tokens);
            self.budget_blocked.get_or_create(&labels).set(budget.blocked_for.as_secs_f64());
        }
        if let Some(dead_tuples) = status.dead_tuples {
            self.dead_tuples.get_or_create(&[]).set(signed(dead_tuples));
        }
        if let Some(age) = status.oldest_transaction {
            self.oldest_transaction.get_or_create(&[]).set(age.as_secs_f64());
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BudgetStatus, KindStatus};

    fn purge(zone: &str) -> EndedRequest {
        EndedRequest {
            at: SystemTime::UNIX_EPOCH,
            zone: zone.to_owned(),
            kind: "files",
            items: 3,
            outcome: "accepted",
            elapsed: Duration::from_millis(40),
        }
    }

    #[test]
    fn every_metric_has_its_documented_name() {
        let metrics = Metrics::new();
        metrics.stored("shop", "files", 2);
        metrics.rejected("", "signature");
        metrics.waited(Duration::from_millis(30));
        metrics.merged(MergeReason::Covered, 4);
        metrics.dead("expired", 1);
        metrics.purge(purge("example.com"));
        let mut status = QueueStatus::default();
        status.kinds.push(KindStatus {
            kind: "tags".to_owned(),
            waiting: 7,
            oldest: Duration::from_secs(90),
        });
        status.budgets.push(BudgetStatus {
            name: "urls".to_owned(),
            tokens: 12.5,
            blocked_for: Duration::from_secs(2),
        });
        status.dead_tuples = Some(11);
        status.oldest_transaction = Some(Duration::from_secs(3));
        let text = metrics.encode(Some(&status));
        for line in [
            "cfcache_queue_requests_total{source=\"shop\",kind=\"files\"} 2",
            "cfcache_queue_rejected_total{source=\"\",reason=\"signature\"} 1",
            "cfcache_queue_ready{kind=\"tags\"} 7",
            "cfcache_queue_ready{kind=\"files\"} 0",
            "cfcache_queue_oldest_seconds{kind=\"tags\"} 90.0",
            "cfcache_queue_wait_seconds_bucket{le=\"0.05\"} 1",
            "cfcache_queue_wait_seconds_bucket{le=\"0.025\"} 0",
            "cfcache_queue_merged_total{why=\"same\"} 0",
            "cfcache_queue_merged_total{why=\"covered\"} 4",
            "cfcache_queue_dead_total{reason=\"expired\"} 1",
            "cfcache_queue_attempts_total{outcome=\"accepted\"} 0",
            "cfcache_purge_requests_total{kind=\"files\",outcome=\"accepted\"} 1",
            "cfcache_purge_items_total{kind=\"files\",outcome=\"accepted\"} 3",
            "cfcache_budget_tokens{bucket=\"urls\"} 12.5",
            "cfcache_budget_blocked_seconds{bucket=\"urls\"} 2.0",
            "cfcache_queue_dead_tuples 11",
            "cfcache_db_oldest_xact_seconds 3.0",
            "cfcache_queue_store_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn omits_gauges_if_the_store_does_not_answer() {
        let metrics = Metrics::new();
        let status = QueueStatus { dead_tuples: Some(11), ..QueueStatus::default() };
        assert!(metrics.encode(Some(&status)).contains("cfcache_queue_dead_tuples 11"));
        let text = metrics.encode(None);
        assert!(!text.contains("cfcache_queue_ready{"), "{text}");
        assert!(!text.contains("cfcache_queue_dead_tuples 11"), "{text}");
        assert!(text.contains("\ncfcache_queue_store_up 0\n"), "{text}");
        assert!(text.contains("\ncfcache_queue_dead_total{reason=\"expired\"} 0\n"), "{text}");
    }

    #[test]
    fn keeps_the_last_20_purges() {
        let metrics = Metrics::new();
        for number in 0..KEPT_PURGES + 5 {
            metrics.purge(purge(&number.to_string()));
        }
        let zones: Vec<String> = metrics.purges().into_iter().map(|purge| purge.zone).collect();
        assert_eq!(zones.len(), KEPT_PURGES);
        assert_eq!((zones[0].as_str(), zones[KEPT_PURGES - 1].as_str()), ("24", "5"));
    }
}
