//! The URLs that a run purged, as far as they are of use afterwards.

use core::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::plan::Entry;
use cfcache_model::target::Target;
use tokio::time::Instant;

/// A URL that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedUrl {
    pub(crate) target: Target,
    /// What was done to it.
    pub(crate) action: Action,
    /// The number of its zone in the run.
    pub(crate) scope: usize,
    pub(crate) ordinal: u64,
    /// When it was accepted, counted from the beginning.
    pub(crate) at: Duration,
}

/// Collects what was accepted: all URLs, or a sample of them in which each has the same chance.
#[derive(Debug)]
pub(crate) struct AcceptedUrls {
    pub(crate) began: Instant,
    sample: Sample<AcceptedUrl>,
    last: Option<Duration>,
    action: Action,
    /// What the ordinals of a part of the run are counted from.
    base: u64,
}

impl AcceptedUrls {
    /// Keeps at most so many; `None` is all.
    pub(crate) fn new(keep: Option<usize>, action: Action, seed: u64) -> Self {
        Self { began: Instant::now(), sample: Sample::new(keep, seed), last: None, action, base: 0 }
    }

    /// What follows is another part of the run, which counts its entries from 0 again.
    pub(crate) fn begin_part(&mut self, action: Action) {
        self.action = action;
        self.base = self.sample.seen();
    }

    /// Entries were accepted now.
    pub(crate) fn accept(&mut self, scope: usize, entries: &[Entry]) {
        let at = self.began.elapsed();
        self.last = Some(at);
        self.push(scope, entries, at);
    }

    /// Entries were accepted by an earlier run, some time before this one began.
    pub(crate) fn skip(&mut self, scope: usize, entries: &[Entry]) {
        self.last = self.last.or(Some(Duration::ZERO));
        self.push(scope, entries, Duration::ZERO);
    }

    /// URLs that are shown by something else that was accepted, such as a host.
    pub(crate) fn cover(&mut self, urls: impl IntoIterator<Item = (usize, Target)>) {
        let Some(at) = self.last else { return };
        for (scope, target) in urls {
            let (action, ordinal) = (self.action, self.base + self.sample.seen());
            self.sample.push(|| AcceptedUrl { target, action, scope, ordinal, at });
        }
    }

    fn push(&mut self, scope: usize, entries: &[Entry], at: Duration) {
        let (action, base) = (self.action, self.base);
        for entry in entries.iter().filter(|entry| matches!(entry.target, Target::Files(_))) {
            let ordinal = base + entry.ordinal;
            self.sample.push(|| AcceptedUrl { target: entry.target.clone(), action, scope, ordinal, at });
        }
    }

    /// How many URLs were accepted, kept or not.
    pub(crate) const fn seen(&self) -> u64 {
        self.sample.seen()
    }

    /// When the last of anything was accepted; `None` where nothing was.
    pub(crate) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Those that were kept, in the order of the input.
    pub(crate) fn take(&mut self) -> Vec<AcceptedUrl> {
        let mut kept = self.sample.take();
        kept.sort_by_key(|url| (url.ordinal, url.scope));
        kept
    }

    /// A sample of those that were kept, by their places.
    pub(crate) fn sample(&mut self, of: usize, count: usize) -> Vec<usize> {
        let mut places = Sample::new(Some(count), self.sample.random());
        (0..of).for_each(|place| places.push(|| place));
        let mut places = places.take();
        places.sort_unstable();
        places
    }
}

/// A sample of what is pushed, in which each has the same chance; or all of it.
#[derive(Debug)]
pub(crate) struct Sample<T> {
    keep: Option<usize>,
    seen: u64,
    kept: Vec<T>,
    random: u64,
}

impl<T> Sample<T> {
    /// Keeps at most so many; `None` is all.
    pub(crate) const fn new(keep: Option<usize>, seed: u64) -> Self {
        Self { keep, seen: 0, kept: Vec::new(), random: seed }
    }

    /// Of so many each has the same chance to be kept (Vitter, 1985, algorithm R).
    pub(crate) fn push(&mut self, item: impl FnOnce() -> T) {
        self.seen += 1;
        match self.keep {
            Some(keep) if self.kept.len() >= keep => {
                let chosen = usize::try_from(self.random() % self.seen).unwrap_or(usize::MAX);
                if let Some(place) = self.kept.get_mut(chosen) {
                    *place = item();
                }
            }
            _ => self.kept.push(item()),
        }
    }

    /// How many were pushed, kept or not.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Those that were kept, in no order.
    pub(crate) fn take(&mut self) -> Vec<T> {
        core::mem::take(&mut self.kept)
    }

    /// `splitmix64`: no more is asked of it than that a sample is not always the same.
    const fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A number that no other run has: nothing more is asked of it.
pub(crate) fn seed() -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use cfcache_model::target::Kind;

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

    #[tokio::test]
    async fn a_sample_has_its_size_no_url_twice_and_the_order_of_the_input() {
        for count in [0, 1, 9, 10, 11, 5000] {
            let mut urls = AcceptedUrls::new(Some(10), Action::Purge, 7);
            for entries in entries(count).chunks(30) {
                urls.accept(0, entries);
            }
            let kept = urls.take();
            assert_eq!((urls.seen(), kept.len() as u64), (count, count.min(10)));
            assert!(kept.windows(2).all(|pair| pair[0].ordinal < pair[1].ordinal));
        }
    }

    #[tokio::test]
    async fn parts_of_a_run_keep_their_order_and_what_was_done() {
        let mut urls = AcceptedUrls::new(None, Action::Purge, 7);
        urls.cover([(0, entries(1).remove(0).target)]);
        assert_eq!(urls.seen(), 0, "nothing was accepted that could cover it");
        urls.accept(0, &entries(2));
        urls.begin_part(Action::Invalidate);
        urls.accept(1, &entries(2));
        let kept: Vec<_> = urls.take().iter().map(|url| (url.action, url.scope, url.ordinal)).collect();
        let (purge, invalidate) = (Action::Purge, Action::Invalidate);
        assert_eq!(kept, [(purge, 0, 0), (purge, 0, 1), (invalidate, 1, 2), (invalidate, 1, 3)]);
    }

    #[tokio::test]
    async fn each_has_about_the_same_chance() {
        let mut hits = [0_u32; 20];
        for seed in 0..2000 {
            let mut urls = AcceptedUrls::new(Some(5), Action::Purge, seed);
            urls.accept(0, &entries(20));
            for url in urls.take() {
                hits[usize::try_from(url.ordinal).unwrap()] += 1;
            }
            let places = urls.sample(20, 5);
            assert!(places.len() == 5 && places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        }
        assert!(hits.iter().all(|hits| (400..600).contains(hits)), "{hits:?}");
    }
}
