//! The configuration of an emulator.

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::limits::{self, PurgeLimits, Rate};

use crate::auth::{ApiKey, Token};
use crate::edge::EdgeConfig;
use crate::fault::Fault;
use crate::state::Zone;

/// 2026-01-01T00:00:00.12345Z. It has a fraction, so that clients must handle dates with one.
const BEGINNING: Duration = Duration::new(1_767_225_600, 123_450_000);

/// The configuration of an emulator. `Debug` shows no secrets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The plan of all its zones, which belong to one account. It determines the limits and the plan in the zones'
    /// data.
    pub plan: Plan,
    /// The zones. Without any, the emulator has `example.com` with the id of the API's own examples.
    pub zones: Vec<Zone>,
    /// The accepted tokens. Without tokens and keys, all credentials of a valid form are accepted.
    pub tokens: Vec<Token>,
    /// The accepted API keys.
    pub keys: Vec<ApiKey>,
    /// Whether limits are enforced. Without limits, no header mentions them. (The maximum number of items in a request
    /// is enforced in any case.)
    pub has_limits: bool,
    /// The maximum number of items in a request, and the rates of purges. Default: those of the plan.
    pub purge_limits: PurgeLimits,
    /// The limit of calls that are not purges. Above it, all calls are refused for the length of the window.
    pub call_limit: Rate,
    /// The headers about limits.
    pub hints: Hints,
    /// How long clearing Cache Reserve takes.
    pub clear_time: Duration,
    /// The clock at the start of the emulator, as the time since 1970-01-01T00:00:00Z. It is the same in each run
    /// unless it is set.
    pub beginning: Duration,
    /// The delay of each answer, after the request took effect.
    pub latency: Duration,
    /// The faults. The first one that matches a request is applied.
    pub faults: Vec<Fault>,
    /// The maximum number of entries that the log keeps; the last ones are kept. With 0 it only counts.
    pub max_log_entries: usize,
    /// The cache in front of an origin, if any.
    pub edge: Option<EdgeConfig>,
}

/// The content of `Ratelimit`, `Ratelimit-Policy` and `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hints {
    /// The quota of calls in every answer, including purges, as in published answers of the real API.
    Calls,
    /// The bucket of the purge in answers to purges, otherwise the quota of calls.
    Bucket,
    /// No headers, not even `Retry-After`.
    Silent,
}

impl Config {
    /// Creates a configuration of that plan, with one zone, all of its limits, and any credentials.
    ///
    /// Answers are not delayed, and the log keeps every request.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            zones: Vec::new(),
            tokens: Vec::new(),
            keys: Vec::new(),
            has_limits: true,
            purge_limits: plan.purge_limits(),
            call_limit: limits::GLOBAL,
            hints: Hints::Calls,
            clear_time: Duration::from_secs(5),
            beginning: BEGINNING,
            latency: Duration::ZERO,
            faults: Vec::new(),
            max_log_entries: usize::MAX,
            edge: None,
        }
    }

    /// Adds a zone. The first one replaces `example.com`.
    #[must_use]
    pub fn with_zone(mut self, zone: Zone) -> Self {
        self.zones.push(zone);
        self
    }

    /// Adds a token. Other credentials are then refused, unless they are added too.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.tokens.push(token);
        self
    }

    /// Adds an API key. Other credentials are then refused, unless they are added too.
    #[must_use]
    pub fn with_key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Sets whether limits are enforced. Default: yes.
    #[must_use]
    pub const fn with_limits(mut self, has_limits: bool) -> Self {
        self.has_limits = has_limits;
        self
    }

    /// Sets the purge limits. Default: the published ones of the plan.
    #[must_use]
    pub const fn with_purge_limits(mut self, limits: PurgeLimits) -> Self {
        self.purge_limits = limits;
        self
    }

    /// Multiplies the purge rates and the buckets: `0.5` is half of the published ones. The maximum number of items in
    /// a request is unchanged.
    #[must_use]
    pub fn with_limit_scale(mut self, scale: f64) -> Self {
        // The bounds also replace infinite values.
        let scale = if scale.is_nan() { 1.0 } else { scale.clamp(1e-4, 1e4) };
        let limits = &mut self.purge_limits;
        for rate in [&mut limits.flexible_requests, &mut limits.urls] {
            // The count stays a whole number, so the time is scaled.
            rate.per = rate.per.div_f64(scale).max(Duration::from_nanos(1));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the conversion saturates, and neither is negative"
        )]
        let burst = (f64::from(limits.flexible_burst) * scale).round() as u32;
        limits.flexible_burst = burst.max(1);
        self
    }

    /// Sets the limit of calls that are not purges.
    #[must_use]
    pub const fn with_call_limit(mut self, limit: Rate) -> Self {
        self.call_limit = limit;
        self
    }

    /// Sets the headers about limits.
    #[must_use]
    pub const fn with_hints(mut self, hints: Hints) -> Self {
        self.hints = hints;
        self
    }

    /// Sets how long clearing Cache Reserve takes.
    #[must_use]
    pub const fn with_clear_time(mut self, time: Duration) -> Self {
        self.clear_time = time;
        self
    }

    /// Sets the clock at the start, as the time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn with_beginning(mut self, since_1970: Duration) -> Self {
        self.beginning = since_1970;
        self
    }

    /// Sets the delay of each answer.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Adds a fault after the existing ones.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds a cache in front of an origin.
    #[must_use]
    pub fn with_edge(mut self, edge: EdgeConfig) -> Self {
        self.edge = Some(edge);
        self
    }

    /// Sets the maximum number of entries that the log keeps, for runs with millions of requests. Default: all entries.
    #[must_use]
    pub const fn with_max_log_entries(mut self, entries: usize) -> Self {
        self.max_log_entries = entries;
        self
    }
}
