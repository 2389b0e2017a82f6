//! The URLs that a run purged, as far as they are of use afterwards.

use core::time::Duration;

use cfcache_model::plan::Entry;
use cfcache_model::target::Target;
use tokio::time::Instant;

/// A URL that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedUrl {
    pub(crate) target: Target,
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
    keep: Option<usize>,
    seen: u64,
    kept: Vec<AcceptedUrl>,
    last: Option<Duration>,
    random: u64,
}

impl AcceptedUrls {
    /// Keeps at most so many; `None` is all.
    pub(crate) fn new(keep: Option<usize>, seed: u64) -> Self {
        Self { began: Instant::now(), keep, seen: 0, kept: Vec::new(), last: None, random: seed }
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

    fn push(&mut self, scope: usize, entries: &[Entry], at: Duration) {
        for entry in entries {
            if !matches!(entry.target, Target::Files(_)) {
                continue;
            }
            self.seen += 1;
            // Of so many each has the same chance to be kept (Vitter, 1985, algorithm R).
            let place = match self.keep {
                Some(keep) if self.kept.len() >= keep => {
                    let chosen = self.random() % self.seen;
                    match usize::try_from(chosen) {
                        Ok(chosen) if chosen < keep => Some(chosen),
                        _ => continue,
                    }
                }
                _ => None,
            };
            let url = AcceptedUrl { target: entry.target.clone(), scope, ordinal: entry.ordinal, at };
            match place {
                Some(place) => self.kept[place] = url,
                None => self.kept.push(url),
            }
        }
    }

    /// `splitmix64`: no more is asked of it than that a sample is not always the same.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// How many URLs were accepted, kept or not.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// When the last of anything was accepted; `None` where nothing was.
    pub(crate) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Those that were kept, in the order of the input.
    pub(crate) fn take(&mut self) -> Vec<AcceptedUrl> {
        let mut kept = core::mem::take(&mut self.kept);
        kept.sort_by_key(|url| (url.ordinal, url.scope));
        kept
    }

    /// A sample of those that were kept, by their places.
    pub(crate) fn sample(&mut self, of: usize, count: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..of).collect();
        for place in 0..count.min(of) {
            let left = (of - place) as u64;
            let other = place + usize::try_from(self.random() % left).unwrap_or(0);
            places.swap(place, other);
        }
        places.truncate(count);
        places.sort_unstable();
        places
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
            let mut urls = AcceptedUrls::new(Some(10), 7);
            for entries in entries(count).chunks(30) {
                urls.accept(0, entries);
            }
            let kept = urls.take();
            assert_eq!((urls.seen(), kept.len() as u64), (count, count.min(10)));
            assert!(kept.windows(2).all(|pair| pair[0].ordinal < pair[1].ordinal));
        }
    }

    #[tokio::test]
    async fn each_has_about_the_same_chance() {
        let mut hits = [0_u32; 20];
        for seed in 0..2000 {
            let mut urls = AcceptedUrls::new(Some(5), seed);
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
