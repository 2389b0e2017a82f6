//! What goes wrong, and when: as values, and as the text that `--fault` takes.

pub(crate) mod edge_error;
mod text;

use core::time::Duration;

use cfcache_model::endpoint::{Area, Descriptor};

pub use crate::fault::text::InvalidFault;

/// Something that goes wrong with some of the requests.
///
/// Its text form is a list of words and of `name=value`, separated by commas: what happens, then to which requests.
///
/// ```
/// use cfcache_emulator::{Fault, FaultAction};
/// use core::time::Duration;
///
/// let fault: Fault = "status=503,times=3".parse()?;
/// assert_eq!(fault, Fault::new(FaultAction::status(503)).with_times(3));
/// let fault: Fault = "delay=200ms,probability=0.2,seed=7,on=all".parse()?;
/// assert_eq!(fault.delay, Duration::from_millis(200));
/// # Ok::<(), cfcache_emulator::InvalidFault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// What happens.
    pub action: FaultAction,
    /// How much later it happens, counted from when the request took effect or would have.
    pub delay: Duration,
    /// Whether the request takes effect; `None` is what is usual for the action.
    pub effect: Option<Effect>,
    /// Which requests it looks at.
    pub scope: FaultScope,
    /// Only every so manieth of them.
    pub every: Option<u64>,
    /// Only these of them, counted from 1; empty for all.
    pub at: Vec<u64>,
    /// Not the first so many of them.
    pub after: u64,
    /// No more often than this.
    pub times: Option<u64>,
    /// How likely it happens to each of them, from 0 to 1.
    pub probability: Option<f64>,
    /// What chance begins with: the same seed, the same faults.
    pub seed: u64,
}

/// What happens to a request or its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultAction {
    /// Nothing but the delay.
    None,
    /// Another answer.
    Status {
        /// Its status.
        status: u16,
        /// The code in its envelope; `None` for an envelope without errors, or for 429 the documented code.
        code: Option<u32>,
        /// Its `Retry-After`.
        retry_after: Option<String>,
        /// Its whole body, in the envelope's place.
        body: Option<String>,
    },
    /// The connection is reset before the body is read.
    ResetBefore,
    /// The connection is reset in place of an answer.
    ResetAfter,
    /// The connection is reset behind so many bytes of the answer's body; `None` is half of them.
    ResetMid(Option<usize>),
    /// The answer ends behind so many bytes of its body, though its head promises all of them; `None` is half of them.
    Truncate(Option<usize>),
    /// The answer is complete, and its JSON is not.
    Malformed,
    /// A web page in place of the answer.
    Html {
        /// Its status.
        status: u16,
    },
    /// No body; `None` leaves the status as it is.
    Empty {
        /// Its status.
        status: Option<u16>,
    },
    /// Problem details (RFC 9457) of the edge in front of the API, or its web page where no JSON is asked for.
    Edge {
        /// Its number: 1xxx, or a status from 500 on.
        code: u16,
        /// Its status; `None` is the usual one of the number.
        status: Option<u16>,
        /// Its `Retry-After`, and the `retry_after` in its body; `None` is the documented one of the number.
        retry_after: Option<String>,
    },
    /// 200, and in the envelope that it failed.
    SuccessFalse {
        /// The code in the envelope; `None` for one without errors.
        code: Option<u32>,
    },
    /// The request is answered, and its connection takes no more: GOAWAY, or `Connection: close` on HTTP/1.1.
    GoAway,
    /// The answer's body takes so long to arrive, in pieces.
    Slow(Duration),
    /// There is no answer until the connection is closed.
    Stall,
    /// The purge is accepted and does not reach the cache of the edge. It looks at the items of purges (URLs, tags,
    /// hosts, prefixes, everything), and not at requests.
    Survive,
}

/// Whether a request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum Effect {
    /// It does, whatever the one who sent it gets to see.
    Done,
    /// It does not.
    NotDone,
}

/// Which requests a fault looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultScope {
    /// Purges and invalidations.
    Purges,
    /// All of them.
    All,
    /// Those to the endpoint of that name, such as `list_zones`.
    Endpoint(String),
}

impl Fault {
    /// Something that happens to every purge and invalidation.
    #[must_use]
    pub const fn new(action: FaultAction) -> Self {
        Self {
            action,
            delay: Duration::ZERO,
            effect: None,
            scope: FaultScope::Purges,
            every: None,
            at: Vec::new(),
            after: 0,
            times: None,
            probability: None,
            seed: 0,
        }
    }

    /// Makes it happen later.
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Says whether the request takes effect. (The actions that say so themselves, the two resets around reading, keep
    /// to what they say.)
    #[must_use]
    pub const fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// Looks at other requests than purges.
    #[must_use]
    pub fn with_scope(mut self, scope: FaultScope) -> Self {
        self.scope = scope;
        self
    }

    /// Happens to every so manieth request only.
    #[must_use]
    pub const fn with_every(mut self, every: u64) -> Self {
        self.every = Some(every);
        self
    }

    /// Happens to these requests only, counted from 1.
    #[must_use]
    pub fn with_at(mut self, at: impl IntoIterator<Item = u64>) -> Self {
        self.at = at.into_iter().collect();
        self
    }

    /// Leaves the first so many requests alone.
    #[must_use]
    pub const fn with_after(mut self, after: u64) -> Self {
        self.after = after;
        self
    }

    /// Happens no more often than this.
    #[must_use]
    pub const fn with_times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Happens by chance, the same with the same seed.
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
            // The answer of a thing in front of the API, or none at all.
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
        self.effect.map_or(usual, |effect| effect == Effect::Done)
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
    /// Another status, with an envelope that says it failed.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status { status, code: None, retry_after: None, body: None }
    }
}

/// The faults of an emulator, with what they have seen.
#[derive(Debug)]
pub(crate) struct FaultSequence(Vec<ActiveFault>);

#[derive(Debug)]
struct ActiveFault {
    fault: Fault,
    seen: u64,
    fired: u64,
    chance: Chance,
}

impl FaultSequence {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        let running = |fault: &Fault| ActiveFault {
            fault: fault.clone(),
            seen: 0,
            fired: 0,
            chance: Chance(fault.seed),
        };
        Self(faults.iter().map(running).collect())
    }

    /// The fault that a request meets. One that an earlier fault took is not seen by the later ones, so that
    /// `status=503,times=3` and `reset-after,times=2` come one after the other.
    pub(crate) fn next(&mut self, endpoint: Option<&Descriptor>) -> Option<Fault> {
        self.0.iter_mut().find_map(|running| running.fires(endpoint).then(|| running.fault.clone()))
    }
}

impl ActiveFault {
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
        // Chance is asked last, and only for what is otherwise chosen.
        let fires = is_chosen && fault.probability.is_none_or(|probability| self.chance.next() < probability);
        self.fired += u64::from(fires);
        fires
    }
}

/// Numbers that look like chance and are the same each time: SplitMix64, whose constants these are
/// (<https://prng.di.unimi.it/splitmix64.c>).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// From 0, to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 32 bits are a number that an f64 holds exactly.
        let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        f64::from(upper) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of those of twenty purges that meet a fault.
    fn fired(text: &str) -> Vec<u64> {
        let fault: Fault = text.parse().unwrap();
        let purge = cfcache_model::endpoint::all().find(|endpoint| endpoint.area == Area::Purge);
        let mut script = FaultSequence::new(&[fault]);
        (1..=20).filter(|_| script.next(purge).is_some()).collect()
    }

    #[test]
    fn which_requests() {
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
    fn chance_is_the_same_each_time_and_fair() {
        assert_eq!(fired("stall,probability=0.3,seed=7"), fired("stall,probability=0.3,seed=7"));
        assert_ne!(fired("stall,probability=0.3,seed=7"), fired("stall,probability=0.3,seed=8"));
        let mut chance = Chance(7);
        let hits = (0..10_000).filter(|_| chance.next() < 0.2).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }
}
