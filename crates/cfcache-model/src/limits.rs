//! The numbers of the API as data, with the page they come from and its date.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::text::UnknownName;

/// Where the purge limits below come from.
pub const PURGE_LIMITS_PAGE: &str =
    "https://developers.cloudflare.com/cache/how-to/purge-cache/#availability-and-limits";

/// The date of [`PURGE_LIMITS_PAGE`] when it was read.
pub const PURGE_LIMITS_DATE: &str = "2026-07";

/// The global limit of the API: 1,200 requests in 5 minutes for a user, over all of their tokens and the dashboard.
///
/// Over it, every call answers 429 for the next 5 minutes. Cache purge is named among the APIs with limits of their
/// own, but which purge kinds still count against this one is not documented; so the client paces calls and the flexible kinds
/// below it, and not single files, whose published rate could not be reached within it.
///
/// Source: <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.
pub const GLOBAL: Rate = Rate { count: 1200, per: Duration::from_secs(300) };

/// Our own default bound on the size of a request's body, in bytes.
///
/// A choice: the API's limit is not documented.
pub const DEFAULT_BODY_BYTES: usize = 1 << 20;

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a rate will never be more than this")]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// A plan of a zone, which decides its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Plan {
    /// Free.
    Free,
    /// Pro.
    Pro,
    /// Business.
    Business,
    /// Enterprise.
    Enterprise,
}

/// What a plan allows of purging and invalidating, per account and shared by all of its zones on the same plan.
///
/// Purge and invalidate draw from the same buckets
/// (<https://developers.cloudflare.com/cache/how-to/purge-cache/invalidate/>, 2026-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeLimits {
    /// Tags, hosts, prefixes and everything: requests, refilled at this rate.
    pub flexible_requests: Rate,
    /// How many such requests a full bucket holds.
    pub flexible_burst: u32,
    /// Tags, hosts or prefixes in one request.
    pub flexible_per_request: usize,
    /// Single files: URLs, as a moving average.
    pub urls: Rate,
    /// URLs in one request.
    pub urls_per_request: usize,
}

impl Plan {
    /// All of them, smallest first.
    pub const ALL: &'static [Self] = &[Self::Free, Self::Pro, Self::Business, Self::Enterprise];

    /// The plan's name, as the command line takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Enterprise => "enterprise",
        }
    }

    /// What the plan allows. Source: [`PURGE_LIMITS_PAGE`], [`PURGE_LIMITS_DATE`].
    #[must_use]
    pub const fn purge_limits(self) -> PurgeLimits {
        const fn limits(
            requests: u32,
            per_seconds: u64,
            burst: u32,
            urls: u32,
            urls_per_request: usize,
        ) -> PurgeLimits {
            PurgeLimits {
                flexible_requests: Rate { count: requests, per: Duration::from_secs(per_seconds) },
                flexible_burst: burst,
                flexible_per_request: 100,
                urls: Rate { count: urls, per: Duration::from_secs(1) },
                urls_per_request,
            }
        }
        match self {
            Self::Free => limits(5, 60, 25, 800, 100),
            Self::Pro => limits(5, 1, 25, 1500, 100),
            Self::Business => limits(10, 1, 50, 1500, 100),
            Self::Enterprise => limits(50, 1, 500, 3000, 500),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Plan {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let expected = "a plan is one of `free`, `pro`, `business`, `enterprise`";
        Self::ALL.iter().copied().find(|plan| plan.as_str() == text).ok_or(UnknownName { expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the page, typed a second time in the page's own shape.
    #[test]
    fn the_published_table() {
        let rows = [
            (Plan::Free, "5/60s bucket 25, 100 items; 800 URLs/s, 100 URLs"),
            (Plan::Pro, "5/1s bucket 25, 100 items; 1500 URLs/s, 100 URLs"),
            (Plan::Business, "10/1s bucket 50, 100 items; 1500 URLs/s, 100 URLs"),
            (Plan::Enterprise, "50/1s bucket 500, 100 items; 3000 URLs/s, 500 URLs"),
        ];
        for (plan, expected) in rows {
            let limits = plan.purge_limits();
            let shown = alloc::format!(
                "{}/{}s bucket {}, {} items; {} URLs/s, {} URLs",
                limits.flexible_requests.count,
                limits.flexible_requests.per.as_secs(),
                limits.flexible_burst,
                limits.flexible_per_request,
                limits.urls.count,
                limits.urls_per_request,
            );
            assert_eq!(shown, expected, "{plan}");
            assert_eq!(plan.as_str().parse(), Ok(plan));
        }
    }
}
