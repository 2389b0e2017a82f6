//! Collects the accepted URLs of a purge for later steps.

use core::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::plan::Entry;
use cfcache_model::target::{Kind, Target};
use tokio::time::Instant;

use crate::url_list::UrlList;

/// A URL whose purge was accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptedUrl {
    /// The entry of `files`.
    pub target: Target,
    /// The action of the purge.
    pub action: Action,
    /// The index of its scope in the run.
    pub scope: usize,
    /// Its index in the input.
    pub ordinal: u64,
    /// When it was accepted, as the time since the collection was created.
    pub at: Duration,
}

impl AcceptedUrl {
    /// Creates a URL that was accepted at that time.
    #[must_use]
    pub const fn new(target: Target, action: Action, scope: usize, at: Duration) -> Self {
        Self { target, action, scope, ordinal: 0, at }
    }
}

/// Collects accepted URLs: either all of them or a random sample in which each has the same probability.
///
/// All URLs are kept as a [`UrlList`], with another 48 bytes for each run of URLs that were accepted together and are
/// consecutive in the input, such as those of one request.
#[derive(Debug)]
pub struct AcceptedUrls {
    began: Instant,
    kept: Kept,
    seen: u64,
    last: Option<Duration>,
    action: Action,
    /// The ordinal at which the current part of the run starts.
    base: u64,
}

#[derive(Debug)]
enum Kept {
    Sample(RandomSample<AcceptedUrl>),
    All { urls: UrlList, runs: Vec<Run> },
}

/// URLs that were accepted together and are consecutive in the input.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The index of the first URL among all kept URLs, in the order of [`AcceptedUrls::sort`].
    index: usize,
    /// The index of the first URL in the list.
    list_index: usize,
    /// The index of the first URL in the input.
    ordinal: u64,
    at: Duration,
    len: u32,
    scope: u32,
    action: Action,
}

impl Run {
    /// Returns whether `next` continues this run.
    fn continues_with(&self, next: &Self) -> bool {
        (self.scope, self.action, self.at) == (next.scope, next.action, next.at)
            && self.ordinal + u64::from(self.len) == next.ordinal
            && self.len < u32::MAX
    }
}

impl AcceptedUrls {
    /// Keeps at most `keep` URLs; `None` keeps all.
    #[must_use]
    pub fn new(keep: Option<usize>, action: Action, seed: u64) -> Self {
        let kept = match keep {
            Some(keep) => Kept::Sample(RandomSample::new(Some(keep), seed)),
            None => Kept::All { urls: UrlList::new(), runs: Vec::new() },
        };
        Self { began: Instant::now(), kept, seen: 0, last: None, action, base: 0 }
    }

    /// Returns the moment from which the times are counted.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Starts another part of the run, which counts its entries from 0 again.
    pub const fn begin_part(&mut self, action: Action) {
        self.action = action;
        self.base = self.seen;
    }

    /// Adds entries that were accepted now.
    pub fn accept(&mut self, scope: usize, entries: &[Entry]) {
        let at = self.began.elapsed();
        self.last = Some(at);
        self.push_entries(scope, entries, at);
    }

    /// Adds entries that an earlier run accepted, before this one started.
    pub fn skip(&mut self, scope: usize, entries: &[Entry]) {
        self.last = self.last.or(Some(Duration::ZERO));
        self.push_entries(scope, entries, Duration::ZERO);
    }

    /// Adds URLs that represent another accepted entry, such as a host, with the indexes of their scopes.
    pub fn cover<'a>(&mut self, urls: impl IntoIterator<Item = (usize, &'a Target)>) {
        let Some(at) = self.last else { return };
        for (scope, target) in urls {
            let ordinal = self.seen;
            self.push(target, scope, ordinal, at);
        }
    }

    fn push_entries(&mut self, scope: usize, entries: &[Entry], at: Duration) {
        for entry in entries {
            self.push(&entry.target, scope, self.base + entry.ordinal, at);
        }
    }

    fn push(&mut self, target: &Target, scope: usize, ordinal: u64, at: Duration) {
        if target.kind() != Kind::Files {
            return;
        }
        self.seen += 1;
        let action = self.action;
        match &mut self.kept {
            Kept::Sample(sample) => {
                sample.push(|| AcceptedUrl { target: target.clone(), action, scope, ordinal, at });
            }
            Kept::All { urls, runs } => {
                let list_index = urls.len();
                urls.push(target);
                // There are never that many zones.
                let scope = u32::try_from(scope).unwrap_or(u32::MAX);
                let run = Run { index: list_index, list_index, ordinal, at, len: 1, scope, action };
                match runs.last_mut() {
                    Some(last) if last.continues_with(&run) => last.len += 1,
                    _ => runs.push(run),
                }
            }
        }
    }

    /// Returns the number of accepted URLs, including those that were not kept.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns when the last entry was accepted; `None` if there was none.
    #[must_use]
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Sorts the kept URLs into the order of the input.
    pub fn sort(&mut self) {
        match &mut self.kept {
            Kept::Sample(sample) => sample.kept.sort_by_key(|url| (url.ordinal, url.scope)),
            Kept::All { runs, .. } => {
                runs.sort_by_key(|run| (run.ordinal, run.scope));
                let mut index = 0;
                for run in runs {
                    run.index = index;
                    index += run.len as usize;
                }
            }
        }
    }

    /// Returns the number of kept URLs.
    #[must_use]
    pub const fn len(&self) -> usize {
        match &self.kept {
            Kept::Sample(sample) => sample.kept.len(),
            Kept::All { urls, .. } => urls.len(),
        }
    }

    /// Returns whether no URL was kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a kept URL.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<AcceptedUrl> {
        match &self.kept {
            Kept::Sample(sample) => sample.kept.get(index).cloned(),
            Kept::All { urls, runs } => {
                let number = runs.partition_point(|run| run.index <= index).checked_sub(1)?;
                let Run { index: first, list_index, ordinal, at, scope, action, .. } = *runs.get(number)?;
                let target = urls.get(list_index + (index - first))?;
                let scope = if scope == u32::MAX { usize::MAX } else { scope as usize };
                Some(AcceptedUrl { target, action, scope, ordinal: ordinal + (index - first) as u64, at })
            }
        }
    }
}

/// A random sample in which each item has the same probability, or all items.
#[derive(Debug)]
pub struct RandomSample<T> {
    keep: Option<usize>,
    seen: u64,
    kept: Vec<T>,
    random: u64,
}

impl<T> RandomSample<T> {
    /// Keeps at most `keep` items; `None` keeps all. Different seeds give different samples.
    #[must_use]
    pub const fn new(keep: Option<usize>, seed: u64) -> Self {
        Self { keep, seen: 0, kept: Vec::new(), random: seed }
    }

    /// Adds an item, which is created only if it is kept (Vitter, 1985, algorithm R).
    pub fn push(&mut self, item: impl FnOnce() -> T) {
        self.seen += 1;
        match self.keep {
            Some(keep) if self.kept.len() >= keep => {
                let chosen = usize::try_from(self.random() % self.seen).unwrap_or(usize::MAX);
                if let Some(slot) = self.kept.get_mut(chosen) {
                    *slot = item();
                }
            }
            _ => self.kept.push(item()),
        }
    }

    /// Returns the kept items, in no particular order.
    #[must_use]
    pub fn into_kept(self) -> Vec<T> {
        self.kept
    }

    /// Returns the next number of `splitmix64`. It only has to make samples differ.
    const fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Returns a number that differs between runs. It is not cryptographically secure.
#[must_use]
pub fn seed() -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Entry> {
        (0..count)
            .map(|number| {
                let url = format!("https://a.test/{number}");
                let mut entry = Entry::new(Target::parse(Kind::Files, &url).unwrap(), &url);
                entry.ordinal = number;
                entry
            })
            .collect()
    }

    fn kept(urls: &mut AcceptedUrls) -> Vec<AcceptedUrl> {
        urls.sort();
        (0..urls.len()).map(|index| urls.get(index).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_sample_has_the_requested_size_no_duplicates_and_input_order() {
        for count in [0, 1, 9, 10, 11, 5000] {
            for keep in [Some(10), None] {
                let mut urls = AcceptedUrls::new(keep, Action::Purge, 7);
                for entries in entries(count).chunks(30).rev() {
                    urls.accept(0, entries);
                }
                let kept = kept(&mut urls);
                let most = keep.unwrap_or(usize::MAX) as u64;
                assert_eq!((urls.seen(), kept.len() as u64), (count, count.min(most)));
                assert!(kept.windows(2).all(|pair| pair[0].ordinal < pair[1].ordinal));
                for url in kept {
                    assert_eq!(url.target.text(), format!("https://a.test/{}", url.ordinal));
                }
            }
        }
    }

    #[tokio::test]
    async fn parts_of_a_run_keep_their_order_and_action() {
        for keep in [Some(10), None] {
            let mut urls = AcceptedUrls::new(keep, Action::Purge, 7);
            let covered = entries(1).remove(0).target;
            urls.cover([(0, &covered)]);
            assert_eq!(urls.seen(), 0, "no accepted entry could cover it");
            urls.accept(0, &entries(2));
            urls.begin_part(Action::Invalidate);
            urls.accept(1, &entries(2));
            urls.cover([(usize::MAX, &covered)]);
            let kept: Vec<_> =
                kept(&mut urls).iter().map(|url| (url.action, url.scope, url.ordinal)).collect();
            let (purge, invalidate) = (Action::Purge, Action::Invalidate);
            let expected = [
                (purge, 0, 0),
                (purge, 0, 1),
                (invalidate, 1, 2),
                (invalidate, 1, 3),
                (invalidate, usize::MAX, 4),
            ];
            assert_eq!(kept, expected);
        }
    }

    #[test]
    fn each_url_has_about_the_same_probability() {
        let mut hits = [0_u32; 20];
        for seed in 0..2000 {
            let mut sample = RandomSample::new(Some(5), seed);
            (0..20).for_each(|number| sample.push(|| number));
            for number in sample.into_kept() {
                hits[number] += 1;
            }
        }
        assert!(hits.iter().all(|hits| (400..600).contains(hits)), "{hits:?}");
    }
}
