//! Simulated failures: as values, and in the text form of `--fault`.

mod text;

use core::time::Duration;

use cfcache_model::endpoint::{Area, Descriptor};

/// A simulated failure of some requests.
///
/// Its text form is a list of keywords and `name=value` pairs, separated by commas: an action, and options that select
/// requests.
///
/// ```
/// use cfcache_emulator::{Fault, FaultAction};
/// use core::time::Duration;
///
/// let fault: Fault = "status=503,times=3".parse()?;
/// assert_eq!(fault, Fault::new(FaultAction::status(503)).with_times(3));
/// let fault: Fault = "delay=200ms,probability=0.2,seed=7,on=all".parse()?;
/// assert_eq!(fault.delay, Duration::from_millis(200));
/// # Ok::<(), cfcache_model::InvalidInput>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// The action.
    pub action: FaultAction,
    /// The delay of the action, after the request took effect or would have.
    pub delay: Duration,
    /// Whether the request takes effect, even if the client does not learn of it; `None` is the default of the action.
    pub processed: Option<bool>,
    /// The requests to which the fault applies.
    pub scope: FaultScope,
    /// Only every `n`th of these requests.
    pub every: Option<u64>,
    /// Only the requests with these numbers, from 1; empty for all.
    pub at: Vec<u64>,
    /// The number of requests to skip at first.
    pub after: u64,
    /// The maximum number of times.
    pub times: Option<u64>,
    /// The probability for each request, from 0 to 1.
    pub probability: Option<f64>,
    /// The seed of the random numbers: the same seed gives the same faults.
    pub seed: u64,
}

/// The action of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultAction {
    /// Only the delay.
    None,
    /// Another answer.
    Status {
        /// The status.
        status: u16,
        /// The code in the envelope; `None` for an envelope without errors, or for 429 the documented code.
        code: Option<u32>,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
        /// The whole body, instead of the envelope.
        body: Option<String>,
    },
    /// The connection is reset before the body is read.
    ResetBefore,
    /// The connection is reset instead of an answer.
    ResetAfter,
    /// The connection is reset after this many bytes of the answer's body; `None` is half of them.
    ResetMid(Option<usize>),
    /// The answer ends after this many bytes of its body, although its head announces all of them; `None` is half of
    /// them.
    Truncate(Option<usize>),
    /// The answer is complete, but its JSON is invalid.
    Malformed,
    /// A web page instead of the answer.
    Html {
        /// The status.
        status: u16,
    },
    /// An answer without a body.
    Empty {
        /// The status; `None` leaves it unchanged.
        status: Option<u16>,
    },
    /// An error of the edge in front of the API: problem details (RFC 9457), or a web page if the client does not ask
    /// for JSON.
    Edge {
        /// The code: 1xxx, or a status from 500 on.
        code: u16,
        /// The status; `None` is the default of the code.
        status: Option<u16>,
        /// The value of `Retry-After` and of `retry_after` in the body; `None` is the documented one of the code.
        retry_after: Option<String>,
    },
    /// Status 200 with an envelope that reports a failure.
    SuccessFalse {
        /// The code in the envelope; `None` for an envelope without errors.
        code: Option<u32>,
    },
    /// The request is answered, and then its connection accepts no more: GOAWAY, or `Connection: close` on HTTP/1.1.
    GoAway,
    /// The answer's body is sent in pieces over this time.
    Slow(Duration),
    /// There is no answer until the connection is closed.
    Stall,
    /// The purge is accepted, but does not reach the cache of the edge. It counts the items of purges (URLs, tags,
    /// hosts, prefixes, everything) instead of requests.
    Survive,
}

/// The requests to which a fault applies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultScope {
    /// Purges and invalidations.
    Purges,
    /// All requests.
    All,
    /// Requests to the endpoint with that name, such as `list_zones`.
    Endpoint(String),
}

impl Fault {
    /// Creates a fault of every purge and invalidation.
    #[must_use]
    pub const fn new(action: FaultAction) -> Self {
        Self {
            action,
            delay: Duration::ZERO,
            processed: None,
            scope: FaultScope::Purges,
            every: None,
            at: Vec::new(),
            after: 0,
            times: None,
            probability: None,
            seed: 0,
        }
    }

    /// Sets the delay.
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets whether the request takes effect. (The two resets before and after reading have a fixed effect, which does
    /// not change.)
    #[must_use]
    pub const fn with_processed(mut self, processed: bool) -> Self {
        self.processed = Some(processed);
        self
    }

    /// Sets the requests to which it applies. Default: purges.
    #[must_use]
    pub fn with_scope(mut self, scope: FaultScope) -> Self {
        self.scope = scope;
        self
    }

    /// Applies only to every `n`th request.
    #[must_use]
    pub const fn with_every(mut self, every: u64) -> Self {
        self.every = Some(every);
        self
    }

    /// Applies only to the requests with these numbers, from 1.
    #[must_use]
    pub fn with_at(mut self, at: impl IntoIterator<Item = u64>) -> Self {
        self.at = at.into_iter().collect();
        self
    }

    /// Skips this many requests at first.
    #[must_use]
    pub const fn with_after(mut self, after: u64) -> Self {
        self.after = after;
        self
    }

    /// Sets the maximum number of times.
    #[must_use]
    pub const fn with_times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Applies with this probability, in the same way for the same seed.
    #[must_use]
    pub const fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some(probability);
        self.seed = seed;
        self
    }

    /// Returns whether the request takes effect.
    #[must_use]
    pub fn takes_effect(&self) -> bool {
        let usual = match self.action {
            // The answer of a system in front of the API, or no answer.
            FaultAction::Status { .. }
            | FaultAction::Edge { .. }
            | FaultAction::Html { .. }
            | FaultAction::SuccessFalse { .. }
            | FaultAction::Stall => false,
            FaultAction::ResetBefore => return false,
            FaultAction::ResetAfter => return true,
            // The API's own answer, damaged or late.
            FaultAction::None
            | FaultAction::ResetMid(_)
            | FaultAction::Truncate(_)
            | FaultAction::Malformed
            | FaultAction::Empty { .. }
            | FaultAction::GoAway
            | FaultAction::Survive
            | FaultAction::Slow(_) => true,
        };
        self.processed.unwrap_or(usual)
    }

    fn looks_at(&self, endpoint: Option<&Descriptor>) -> bool {
        match &self.scope {
            FaultScope::Purges => endpoint.is_some_and(|endpoint| endpoint.area == Area::Purge),
            FaultScope::All => true,
            FaultScope::Endpoint(name) => endpoint.is_some_and(|endpoint| endpoint.name == name),
        }
    }
}

impl FaultAction {
    /// Creates another status, with an envelope that reports a failure.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status { status, code: None, retry_after: None, body: None }
    }
}

/// A fault with its state.
#[derive(Debug)]
pub(crate) struct ActiveFault {
    fault: Fault,
    seen: u64,
    fired: u64,
    /// The state of the random numbers for its probability.
    random: u64,
}

/// Returns the fault of a request. Faults after the first matching one do not count the request, so
/// `status=503,times=3` and `reset-after,times=2` apply one after the other.
pub(crate) fn next_fault(faults: &mut [ActiveFault], endpoint: Option<&Descriptor>) -> Option<Fault> {
    faults.iter_mut().find_map(|active| active.fires(endpoint).then(|| active.fault.clone()))
}

impl ActiveFault {
    pub(crate) fn new(fault: &Fault) -> Self {
        Self { fault: fault.clone(), seen: 0, fired: 0, random: fault.seed }
    }

    fn fires(&mut self, endpoint: Option<&Descriptor>) -> bool {
        let fault = &self.fault;
        if !fault.looks_at(endpoint) || fault.times.is_some_and(|times| self.fired >= times) {
            return false;
        }
        self.seen += 1;
        let counted = self.seen.checked_sub(fault.after).filter(|counted| *counted > 0);
        let is_chosen = counted.is_some_and(|counted| {
            fault.every.is_none_or(|every| every > 0 && counted % every == 0)
                && (fault.at.is_empty() || fault.at.contains(&counted))
        });
        // The probability is checked last, and only for requests that are otherwise selected.
        let fires =
            is_chosen && fault.probability.is_none_or(|probability| random(&mut self.random) < probability);
        self.fired += u64::from(fires);
        fires
    }
}

/// Returns a pseudo-random number from 0 to below 1, and changes the state of the generator: SplitMix64, with its
/// constants (<https://prng.di.unimi.it/splitmix64.c>).
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // An f64 represents the upper 32 bits exactly.
    let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
    f64::from(upper) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the numbers of the purges, of twenty, that get a fault.
    fn fired(text: &str) -> Vec<u64> {
        let fault: Fault = text.parse().unwrap();
        let purge = cfcache_model::endpoint::all().find(|endpoint| endpoint.area == Area::Purge);
        let mut faults = [ActiveFault::new(&fault)];
        (1..=20).filter(|_| next_fault(&mut faults, purge).is_some()).collect()
    }

    #[test]
    fn options_select_requests() {
        let rows: &[(&str, &[u64])] = &[
            ("stall,times=3", &[1, 2, 3]),
            ("stall,every=7", &[7, 14]),
            ("stall,at=2,5,30", &[2, 5]),
            ("stall,after=18", &[19, 20]),
            ("stall,after=10,every=5", &[15, 20]),
            ("stall,every=2,times=2", &[2, 4]),
            ("stall,probability=0,seed=1", &[]),
            ("stall,on=list_zones", &[]),
            ("stall,on=all,after=19", &[20]),
        ];
        for (text, expected) in rows {
            assert_eq!(fired(text), *expected, "{text}");
        }
        assert_eq!(fired("stall,probability=1").len(), 20);
    }

    #[test]
    fn probability_is_reproducible_and_accurate() {
        assert_eq!(fired("stall,probability=0.3,seed=7"), fired("stall,probability=0.3,seed=7"));
        assert_ne!(fired("stall,probability=0.3,seed=7"), fired("stall,probability=0.3,seed=8"));
        let mut state = 7;
        let hits = (0..10_000).filter(|_| random(&mut state) < 0.2).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }
}
