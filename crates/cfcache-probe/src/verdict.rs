//! Decides what an answer proves about a purge. A pure function.

use core::fmt;
use core::time::Duration;

use cfcache_model::endpoint::Action;

use crate::answer::{CacheStatus, Obstacle, Sha256, VisitorAnswer};

/// A longer body that was not read completely is not requested again, in bytes.
const MAX_REPEATED_BODY: u64 = 64 << 20;

/// The purge that an answer is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeTimes {
    /// The action of the purge.
    pub action: Action,
    /// The time from the acceptance of the last purge that covers the URL until the request was sent.
    pub until_asked: Duration,
    /// The time from that acceptance until the answer arrived.
    pub until_answered: Duration,
}

impl PurgeTimes {
    /// Creates a purge with these times.
    #[must_use]
    pub const fn new(action: Action, until_asked: Duration, until_answered: Duration) -> Self {
        Self { action, until_asked, until_answered }
    }
}

/// The body that visitors should get, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedBody {
    /// This body, with any HTTP status.
    Exactly(Sha256),
    /// The body of a file that may be served under several URLs. Redirects and error pages are not compared.
    OfFile(Sha256),
    /// Any body but this one, because the file was deleted.
    NotThis(Sha256),
}

impl ExpectedBody {
    /// Returns whether an answer has this body. Returns `None` if the answer should not be compared, or if its body was
    /// not read completely.
    #[must_use]
    pub fn matches(self, answer: &VisitorAnswer) -> Option<bool> {
        let found = answer.body.sha256?;
        match self {
            Self::Exactly(expected) => Some(found == expected),
            Self::OfFile(expected) => self.is_compared(answer).then_some(found == expected),
            Self::NotThis(old) => Some(found != old),
        }
    }

    const fn is_compared(self, answer: &VisitorAnswer) -> bool {
        !matches!(self, Self::OfFile(_)) || matches!(answer.status, 200..=299)
    }
}

/// The verdict on a URL after a purge. Each URL has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The copy from before the purge is gone, or the origin confirmed its content.
    Proven,
    /// The URL is cached again, and the copy is younger than the purge.
    Refilled,
    /// The copy from before the purge is still served.
    Survivor(Survivor),
    /// The URL is not cached, so there is nothing to prove.
    NotCached(NotCached),
    /// The result is unknown.
    Unproven(Unproven),
}

/// How it shows that a copy is from before the purge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Survivor {
    /// HIT, and this many seconds old.
    Hit {
        /// `Age`, in seconds.
        age: u64,
    },
    /// A stale copy is served: UPDATING or STALE.
    Stale(CacheStatus),
}

/// Why a URL is not cached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotCached {
    /// DYNAMIC: not eligible for the cache.
    Dynamic,
    /// BYPASS: the answer forbids caching.
    Bypass,
    /// The answer does not show that it is from Cloudflare.
    NotCloudflare,
    /// The edge itself redirects, so nothing is cached.
    EdgeRedirect {
        /// The destination.
        to: String,
    },
    /// The edge answered without a cache status, as for a Worker.
    NoStatus,
    /// It was not in the cache before the purge either, if that is required.
    NotCachedBefore(Option<CacheStatus>),
}

/// Why the result is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unproven {
    /// The edge did not serve the page.
    Obstacle(Obstacle),
    /// A status of 500 or more.
    ServerError(u16),
    /// STALE after an invalidation: the origin could not be reached.
    OriginDown,
    /// REVALIDATED after a purge: the origin confirmed a copy of unknown age.
    Revalidated,
    /// HIT without `Age`: the edge got it from another one, which may have the old copy.
    NoAge,
    /// HIT, and the copy has the same age as the purge, to the second.
    SameSecond,
    /// The body is not the expected one: the origin still serves something else.
    Unexpected {
        /// The hash of the received body.
        found: Sha256,
    },
    /// The body is that of a deleted file: the origin still has it.
    StillThere,
    /// No URL of a file answers with its content.
    NotServed,
    /// Only this many bytes of the body could be read, so it cannot be compared.
    NotCompared {
        /// The number of bytes.
        bytes: u64,
    },
    /// The body is compressed, although the request did not ask for it, so it cannot be compared.
    Compressed(String),
    /// There is no answer from before the purge, but a transition from HIT is required.
    NotAskedBefore,
    /// The value of `CF-Cache-Status` is unknown.
    UnknownStatus(String),
    /// There was no answer, for this reason.
    NoAnswer(String),
    /// The verification was stopped before the first answer.
    NotAsked,
    /// The purge had to be repeated, and that failed for this reason.
    PurgeFailed(String),
}

impl Verdict {
    /// Returns the name in reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Refilled => "refilled",
            Self::Survivor(_) => "survivor",
            Self::NotCached(_) => "not_cached",
            Self::Unproven(_) => "unproven",
        }
    }

    /// Returns whether nothing more needs to be done about the URL.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Proven | Self::Refilled | Self::NotCached(_))
    }

    /// Returns whether another request could change the verdict.
    #[must_use]
    pub const fn may_change(&self) -> bool {
        match self {
            Self::Proven | Self::Refilled | Self::NotCached(_) => false,
            Self::Survivor(_) => true,
            Self::Unproven(why) => match why {
                Unproven::Obstacle(obstacle) => matches!(obstacle, Obstacle::RateLimited),
                Unproven::ServerError(_)
                | Unproven::OriginDown
                | Unproven::NoAge
                | Unproven::SameSecond
                | Unproven::Unexpected { .. }
                | Unproven::StillThere
                | Unproven::NoAnswer(_)
                | Unproven::NotAsked => true,
                Unproven::NotCompared { bytes } => *bytes <= MAX_REPEATED_BODY,
                // A page that is never fresh always gets this answer.
                Unproven::Revalidated
                | Unproven::NotServed
                | Unproven::Compressed(_)
                | Unproven::NotAskedBefore
                | Unproven::UnknownStatus(_)
                | Unproven::PurgeFailed(_) => false,
            },
        }
    }
}

/// Decides what an answer proves.
///
/// - A copy counts as younger than the purge only if `Age`, which is in whole seconds, excludes any doubt.
/// - If `expected` is given, another body is never proven.
#[must_use]
pub fn judge(purged: PurgeTimes, answer: &VisitorAnswer, expected: Option<ExpectedBody>) -> Verdict {
    let expected = expected.filter(|expected| expected.is_compared(answer));
    let verdict = judge_cache(purged, answer, expected.is_some());
    // If the age of the copy is uncertain, a different body is more conclusive.
    let is_young = matches!(verdict, Verdict::Unproven(Unproven::SameSecond | Unproven::NoAge));
    let Some(expected) = expected.filter(|_| verdict.is_settled() || is_young) else { return verdict };
    let is_deletion = matches!(expected, ExpectedBody::NotThis(_));
    let is_expected = expected.matches(answer);
    // It may be the body of a deleted file, unless it is an error page. Files that are stored compressed are equal.
    let is_unclear = if is_deletion { answer.status < 300 } else { is_expected == Some(false) };
    if let Some(encoding) = answer.encoding.as_ref().filter(|_| is_unclear) {
        return Verdict::Unproven(Unproven::Compressed(encoding.clone()));
    }
    match (is_expected, answer.body.sha256) {
        (Some(true), _) => verdict,
        (_, None) | (None, _) if is_young => verdict,
        (_, None) | (None, _) => Verdict::Unproven(Unproven::NotCompared { bytes: answer.body.bytes }),
        (Some(false), Some(_)) if is_deletion => Verdict::Unproven(Unproven::StillThere),
        (Some(false), Some(found)) => Verdict::Unproven(Unproven::Unexpected { found }),
    }
}

fn judge_cache(purged: PurgeTimes, answer: &VisitorAnswer, is_compared: bool) -> Verdict {
    if !answer.is_from_edge() {
        return Verdict::NotCached(NotCached::NotCloudflare);
    }
    if let Some(obstacle) = answer.obstacle() {
        return Verdict::Unproven(Unproven::Obstacle(obstacle));
    }
    // A cached error can survive a purge like any page.
    if answer.status >= 500 && answer.cache_status != Some(CacheStatus::Hit) {
        return Verdict::Unproven(Unproven::ServerError(answer.status));
    }
    let Some(status) = &answer.cache_status else {
        return Verdict::NotCached(match &answer.location {
            Some(to) if answer.is_redirect() => NotCached::EdgeRedirect { to: to.clone() },
            _ => NotCached::NoStatus,
        });
    };
    let is_purge = purged.action == Action::Purge;
    match status {
        CacheStatus::Miss | CacheStatus::Expired => Verdict::Proven,
        CacheStatus::Hit => judge_hit(purged, answer.age),
        CacheStatus::Updating if is_purge => Verdict::Survivor(Survivor::Stale(status.clone())),
        CacheStatus::Updating => Verdict::Proven,
        CacheStatus::Stale if is_purge => Verdict::Survivor(Survivor::Stale(status.clone())),
        CacheStatus::Stale => Verdict::Unproven(Unproven::OriginDown),
        // The caller compares the body, if there is one to compare with.
        CacheStatus::Revalidated if !is_purge || is_compared => Verdict::Proven,
        CacheStatus::Revalidated => Verdict::Unproven(Unproven::Revalidated),
        CacheStatus::Dynamic => Verdict::NotCached(NotCached::Dynamic),
        CacheStatus::Bypass => Verdict::NotCached(NotCached::Bypass),
        CacheStatus::Other(word) => Verdict::Unproven(Unproven::UnknownStatus(word.clone())),
    }
}

fn judge_hit(purged: PurgeTimes, age: Option<u64>) -> Verdict {
    let Some(age) = age else { return Verdict::Unproven(Unproven::NoAge) };
    // The copy is between `age` and `age + 1` seconds old. The edge computed its age at some time between the request
    // and its answer.
    if Duration::from_secs(age) >= purged.until_answered {
        return Verdict::Survivor(Survivor::Hit { age });
    }
    if Duration::from_secs(age.saturating_add(1)) <= purged.until_asked {
        return Verdict::Refilled;
    }
    Verdict::Unproven(Unproven::SameSecond)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("proven"),
            Self::Refilled => f.write_str("cached again since the purge"),
            Self::Survivor(Survivor::Hit { age }) => {
                write!(f, "the old copy is still served (HIT, {age} s old)")
            }
            Self::Survivor(Survivor::Stale(status)) => {
                write!(f, "the old copy is still served ({status})")
            }
            Self::NotCached(why) => fmt::Display::fmt(why, f),
            Self::Unproven(why) => fmt::Display::fmt(why, f),
        }
    }
}

impl fmt::Display for NotCached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dynamic => f.write_str("not cached: no rule makes it eligible (DYNAMIC)"),
            Self::Bypass => f.write_str("not cached: its own headers forbid it (BYPASS)"),
            Self::NotCloudflare => f.write_str("not cached: the host is not behind Cloudflare (no cf-ray)"),
            Self::EdgeRedirect { to } => write!(f, "not cached: the edge redirects to {to}"),
            Self::NoStatus => f.write_str("not cached: the edge reports no cache status, as for a Worker"),
            Self::NotCachedBefore(Some(status)) => write!(f, "was not cached before the purge ({status})"),
            Self::NotCachedBefore(None) => f.write_str("was not cached before the purge"),
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => fmt::Display::fmt(obstacle, f),
            Self::ServerError(status) => write!(f, "the answer was an error ({status})"),
            Self::OriginDown => f.write_str("the origin could not be reached (STALE)"),
            Self::Revalidated => f.write_str("the origin says that the copy did not change (REVALIDATED)"),
            Self::NoAge => f.write_str("HIT without an age: it may be the old copy of an upper tier"),
            Self::SameSecond => f.write_str("the copy is as old as the purge, to the second"),
            Self::Unexpected { .. } => f.write_str("the body is not the expected one"),
            Self::StillThere => f.write_str("the file was deleted, but the origin still serves it"),
            Self::NotServed => f.write_str("no URL of the file is answered with its bytes"),
            Self::NotAskedBefore => f.write_str("there is no answer from before the purge to compare with"),
            Self::NotCompared { .. } => {
                f.write_str("the body could not be read completely, so it was not compared")
            }
            Self::Compressed(how) => {
                write!(f, "the body is compressed ({how}) without a request for it, so it was not compared")
            }
            Self::UnknownStatus(word) => write!(f, "the edge reports the unknown cache status `{word}`"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::NotAsked => f.write_str("there was no answer when the verification was stopped"),
            Self::PurgeFailed(why) => write!(f, "it needed another purge, which failed: {why}"),
        }
    }
}

impl Verdict {
    /// Returns what to do about it, if anything can be done.
    #[must_use]
    pub const fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Proven | Self::Refilled => None,
            Self::Survivor(_) => Some(
                "the cache key contains something that the purge did not name: purge with the headers of the key, or by \
                 tag, prefix or host",
            ),
            Self::NotCached(_) => None,
            Self::Unproven(why) => match why {
                Unproven::Obstacle(obstacle) => Some(obstacle.cure()),
                Unproven::ServerError(_) | Unproven::OriginDown => {
                    Some("check the origin: visitors also get this error, or an old copy")
                }
                Unproven::Revalidated => Some("compare the body with the one that is expected"),
                Unproven::NoAge | Unproven::SameSecond | Unproven::NotAsked => {
                    Some("allow more time, or verify again later")
                }
                Unproven::Unexpected { .. } => Some(
                    "the origin still serves another version: wait for it before purging, then purge again",
                ),
                Unproven::StillThere => Some("delete it at the origin as well, then purge again"),
                Unproven::NotServed => Some(
                    "check that the upload is complete and that the site is served under these URLs, then purge again",
                ),
                Unproven::NotCompared { .. } => {
                    Some("check that the whole response arrives; files of more than 512 MiB are not compared")
                }
                Unproven::Compressed(_) => {
                    Some("let the origin compress only responses to requests with `Accept-Encoding`")
                }
                Unproven::NotAskedBefore => Some("check that the URL can be reached from here"),
                Unproven::UnknownStatus(_) => None,
                Unproven::NoAnswer(_) => Some("check that the URL can be reached from here"),
                Unproven::PurgeFailed(_) => Some("run the purge again"),
            },
        }
    }
}
