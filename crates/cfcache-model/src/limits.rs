//! The limits of the API, each with its source page and date.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::InvalidInput;

/// The source of the purge limits below.
pub const PURGE_LIMITS_PAGE: &str =
    "https://developers.cloudflare.com/cache/how-to/purge-cache/#availability-and-limits";

/// The date at which [`PURGE_LIMITS_PAGE`] was read.
pub const PURGE_LIMITS_DATE: &str = "2026-07";

/// The global limit of the API: 1,200 requests in 5 minutes per user, for all their tokens and the dashboard.
///
/// Above it, every call is answered with 429 for the next 5 minutes. Cache purge is listed among the APIs with their
/// own limits, but it is not documented which kinds of purge still count against this limit. The client therefore
/// counts calls and the flexible kinds against it, but not single files, whose published rate could not be reached
/// within it.
///
/// Source: <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.
pub const GLOBAL: Rate = Rate { count: 1200, per: Duration::from_secs(300) };

/// The default maximum size of a request's body, in bytes.
///
/// This is a choice: the API's limit is not documented.
pub const DEFAULT_BODY_BYTES: usize = 1 << 20;

/// A number of events per duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a rate will never be more than this")]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// The plan of a zone, which decides its limits.
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

/// The limits of a plan for purging and invalidating. They apply per account and are shared by all of its zones on the
/// same plan.
///
/// Purge and invalidate use the same buckets
/// (<https://developers.cloudflare.com/cache/how-to/purge-cache/invalidate/>, 2026-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeLimits {
    /// Tags, hosts, prefixes and everything: the rate of requests.
    pub flexible_requests: Rate,
    /// The number of such requests that a full bucket holds.
    pub flexible_burst: u32,
    /// The maximum number of tags, hosts or prefixes in one request.
    pub flexible_per_request: usize,
    /// Single files: the rate of URLs, as a moving average.
    pub urls: Rate,
    /// The maximum number of URLs in one request.
    pub urls_per_request: usize,
}

impl Plan {
    /// All plans, smallest first.
    pub const ALL: &'static [Self] = &[Self::Free, Self::Pro, Self::Business, Self::Enterprise];

    /// The plan's name, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Enterprise => "enterprise",
        }
    }

    /// The limits of the plan. Source: [`PURGE_LIMITS_PAGE`], [`PURGE_LIMITS_DATE`].
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
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let expected = "a plan is one of `free`, `pro`, `business`, `enterprise`";
        Self::ALL
            .iter()
            .copied()
            .find(|plan| plan.as_str() == text)
            .ok_or_else(|| InvalidInput::new(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the limits with the table of the page, written a second time in the page's own form.
    #[test]
    fn limits_match_the_published_table() {
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
