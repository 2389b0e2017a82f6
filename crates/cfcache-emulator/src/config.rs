//! What an emulator is to be like.

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::limits::{self, PurgeLimits, Rate};

use crate::auth::{ApiKey, Token};
use crate::edge::EdgeConfig;
use crate::fault::Fault;
use crate::log::LogRetention;
use crate::state::Zone;

/// 2026-01-01T00:00:00.12345Z: with a fraction, so that nobody gets used to dates without one.
const BEGINNING: Duration = Duration::new(1_767_225_600, 123_450_000);

/// What an emulator is to be like. It prints no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The plan of all its zones, which are of one account: decides limits, and what the zones say of themselves.
    pub plan: Plan,
    /// The zones; where there is none, `example.com` with the id of the API's own examples.
    pub zones: Vec<Zone>,
    /// The tokens that are known. Where there are neither tokens nor keys, every credential of a valid form works.
    pub tokens: Vec<Token>,
    /// The API keys that are known.
    pub keys: Vec<ApiKey>,
    /// Whether limits are kept.
    pub limits: LimitMode,
    /// How many items a request may hold, and how fast purges may come: the plan's, unless changed.
    pub purge_limits: PurgeLimits,
    /// How many calls that are no purge may come; over it, none for as long again.
    pub call_limit: Rate,
    /// What the headers tell of the limits.
    pub hints: Hints,
    /// How long it takes to clear Cache Reserve.
    pub clear_time: Duration,
    /// What time it is when the emulator begins, counted from 1970-01-01T00:00:00Z: the dates in its answers go on
    /// from there. It is the same in each run unless it is set.
    pub beginning: Duration,
    /// How long each answer takes, counted from when the request took effect.
    pub latency: Duration,
    /// What goes wrong, and when. The first that fires has the request.
    pub faults: Vec<Fault>,
    /// How much the log keeps.
    pub log_retention: LogRetention,
    /// The cache in front of an origin, if there is to be one.
    pub edge: Option<EdgeConfig>,
}

/// Whether limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitMode {
    /// Yes. (How many items a request may hold is kept in any case.)
    Kept,
    /// No: whatever comes is done, and no header speaks of limits.
    Off,
}

/// What `Ratelimit`, `Ratelimit-Policy` and `Retry-After` tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hints {
    /// The quota of calls on every answer, purges included: what published answers of the real API show.
    Calls,
    /// On answers to purges, the bucket that the purge draws from; else the quota of calls.
    Bucket,
    /// Nothing at all, not even `Retry-After`.
    Silent,
}

impl Config {
    /// An emulator of that plan, with one zone, all its limits, and any credentials.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            zones: Vec::new(),
            tokens: Vec::new(),
            keys: Vec::new(),
            limits: LimitMode::Kept,
            purge_limits: plan.purge_limits(),
            call_limit: limits::GLOBAL,
            hints: Hints::Calls,
            clear_time: Duration::from_secs(5),
            beginning: BEGINNING,
            latency: Duration::ZERO,
            faults: Vec::new(),
            log_retention: LogRetention::Everything,
            edge: None,
        }
    }

    /// Adds a zone. The first takes the place of `example.com`.
    #[must_use]
    pub fn with_zone(mut self, zone: Zone) -> Self {
        self.zones.push(zone);
        self
    }

    /// Adds a token. Credentials that nobody added no longer work.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.tokens.push(token);
        self
    }

    /// Adds an API key. Credentials that nobody added no longer work.
    #[must_use]
    pub fn with_key(mut self, key: ApiKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Keeps limits, or does not.
    #[must_use]
    pub const fn with_limits(mut self, limits: LimitMode) -> Self {
        self.limits = limits;
        self
    }

    /// Enforces other purge limits than the plan's published ones.
    #[must_use]
    pub const fn with_purge_limits(mut self, limits: PurgeLimits) -> Self {
        self.purge_limits = limits;
        self
    }

    /// Enforces a multiple of the purge rates and of the bucket: `0.5` is half of what is published. The number of
    /// items in a request stays.
    #[must_use]
    pub fn with_limit_scale(mut self, scale: f64) -> Self {
        // The bounds also catch what is no number.
        let scale = if scale.is_nan() { 1.0 } else { scale.clamp(1e-4, 1e4) };
        let limits = &mut self.purge_limits;
        for rate in [&mut limits.flexible_requests, &mut limits.urls] {
            // The count stays a whole number; the time takes the scale.
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

    /// Allows so many calls that are no purge.
    #[must_use]
    pub const fn with_call_limit(mut self, limit: Rate) -> Self {
        self.call_limit = limit;
        self
    }

    /// Tells more or less of the limits.
    #[must_use]
    pub const fn with_hints(mut self, hints: Hints) -> Self {
        self.hints = hints;
        self
    }

    /// Clears Cache Reserve in that time.
    #[must_use]
    pub const fn with_clear_time(mut self, time: Duration) -> Self {
        self.clear_time = time;
        self
    }

    /// Begins at that time, counted from 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn with_beginning(mut self, since_1970: Duration) -> Self {
        self.beginning = since_1970;
        self
    }

    /// Answers that much later.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Adds a fault, behind those that are there.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Serves a cache in front of an origin as well.
    #[must_use]
    pub fn with_edge(mut self, edge: EdgeConfig) -> Self {
        self.edge = Some(edge);
        self
    }

    /// Keeps more or less of what it sees.
    #[must_use]
    pub const fn with_log_retention(mut self, log_retention: LogRetention) -> Self {
        self.log_retention = log_retention;
        self
    }
}
