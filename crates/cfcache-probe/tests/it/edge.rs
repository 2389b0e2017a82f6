//! An edge on a simulated clock, with an origin and with visitors other than the probe.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::SystemTime;

use cfcache_model::endpoint::Action;
use cfcache_probe::{
    Decided, UrlToVerify, Variant, Verdict, Verification, VerifySettings, VerifyStep, VisitorAnswer,
};
use http::{HeaderMap, StatusCode};

/// The round-trip time of a request. The edge checks its cache in the middle of it.
pub(crate) const LATENCY: Duration = Duration::from_millis(40);

/// One URL at the edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// When the copy was stored.
    pub(crate) stored: Option<Duration>,
    /// How many purges have no effect on it.
    pub(crate) survives: u32,
    /// The number of answers without `Age`.
    pub(crate) without_age: u32,
    /// An answer that replaces all others.
    pub(crate) always: Option<(u16, &'static str)>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The variants with a separate copy, which no purge reaches.
    pub(crate) pinned: Vec<Variant>,
    pub(crate) asked: Vec<Duration>,
}

/// The edge. Purges take effect after a delay.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    pub(crate) pages: Vec<Page>,
    pub(crate) purge_delay: Duration,
    pub(crate) purges: Vec<(Duration, Vec<usize>)>,
    pub(crate) purge_fails: bool,
    /// The requests of other visitors.
    pub(crate) visits: Vec<(Duration, usize)>,
    due: BTreeMap<(Duration, usize), EdgeEvent>,
}

#[derive(Debug)]
enum EdgeEvent {
    Removal(Vec<usize>),
    Visit(usize),
}

impl Edge {
    pub(crate) fn with_pages(count: usize, stored: Duration) -> Self {
        let page = Page { stored: Some(stored), ..Page::default() };
        Self { pages: vec![page; count], ..Self::default() }
    }

    fn schedule(&mut self, at: Duration, what: EdgeEvent) {
        self.due.insert((at, self.due.len()), what);
    }

    pub(crate) fn purge(&mut self, accepted: Duration, urls: &[usize]) {
        self.purges.push((accepted, urls.to_vec()));
        self.schedule(accepted + self.purge_delay, EdgeEvent::Removal(urls.to_vec()));
    }

    /// Executes all events that are due until `now`, in their order.
    fn settle(&mut self, now: Duration) {
        for (at, url) in core::mem::take(&mut self.visits) {
            self.schedule(at, EdgeEvent::Visit(url));
        }
        let later = self.due.split_off(&(now + Duration::from_nanos(1), 0));
        for ((at, _), what) in core::mem::replace(&mut self.due, later) {
            match what {
                EdgeEvent::Removal(urls) => {
                    for url in urls {
                        let page = &mut self.pages[url];
                        if page.survives > 0 {
                            page.survives -= 1;
                        } else {
                            page.stored = None;
                        }
                    }
                }
                EdgeEvent::Visit(url) => {
                    self.pages[url].stored.get_or_insert(at);
                }
            }
        }
    }

    /// Answers a request that arrives at `now`. Also returns when the served copy was stored.
    pub(crate) fn ask(&mut self, now: Duration, url: usize, variant: Variant) -> (VisitorAnswer, Duration) {
        self.settle(now);
        let page = &mut self.pages[url];
        page.asked.push(now);
        let mut headers = HeaderMap::new();
        headers.insert("cf-ray", "8f3a1b2c3d4e5f60-FRA".parse().unwrap());
        let mut of = now;
        let (status, cache) = match (page.always, page.stored) {
            (Some(always), _) => always,
            _ if page.pinned.contains(&variant) => {
                headers.insert("age", "86400".parse().unwrap());
                (200, "HIT")
            }
            (None, Some(stored)) => {
                of = stored;
                if page.without_age > 0 {
                    page.without_age -= 1;
                } else {
                    headers.insert("age", (now - stored).as_secs().into());
                }
                (200, "HIT")
            }
            (None, None) => {
                page.stored = Some(now);
                (200, "MISS")
            }
        };
        if let Some(seconds) = page.retry_after {
            headers.insert("retry-after", seconds.into());
        }
        if !cache.is_empty() {
            headers.insert("cf-cache-status", cache.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        (VisitorAnswer::from_head(status, &headers, SystemTime::UNIX_EPOCH), of)
    }
}

/// The result of a verification.
pub(crate) struct Run {
    pub(crate) verification: Verification,
    /// By index of the URL.
    pub(crate) decided: BTreeMap<usize, Decided>,
    /// When the last served copy of each URL was stored.
    pub(crate) served: Vec<Option<Duration>>,
    pub(crate) took: Duration,
}

impl Run {
    pub(crate) fn verdicts(&self) -> Vec<String> {
        (0..self.served.len()).map(|url| self.verdict(url).to_string()).collect()
    }

    pub(crate) fn verdict(&self, url: usize) -> &Verdict {
        &self.decided[&url].verdict
    }
}

/// Purges all pages at `accepted`, and verifies the purge from `began` on.
pub(crate) fn verify(edge: &mut Edge, settings: VerifySettings, accepted: Duration, began: Duration) -> Run {
    let subjects = (0..edge.pages.len()).map(|_| UrlToVerify::new("www.example.com", accepted)).collect();
    verify_subjects(edge, settings, accepted, began, subjects)
}

pub(crate) fn verify_subjects(
    edge: &mut Edge,
    settings: VerifySettings,
    accepted: Duration,
    began: Duration,
    subjects: Vec<UrlToVerify>,
) -> Run {
    let all: Vec<usize> = (0..edge.pages.len()).collect();
    edge.purge(accepted, &all);
    let mut verification = Verification::new(settings);
    let mut now = began;
    for subject in subjects {
        verification.push(now, subject);
    }
    let mut served = vec![None; all.len()];
    // The answers in flight, and the purge in flight.
    let mut answers = Vec::new();
    let mut purge: Option<(Duration, Vec<usize>)> = None;
    for _ in 0..1_000_000 {
        let mut wait = None;
        match verification.next(now) {
            VerifyStep::Ask(ask) => {
                let (answer, of) = edge.ask(now + LATENCY / 2, ask.url, ask.variant);
                answers.push((now + LATENCY, ask, answer, of));
                continue;
            }
            VerifyStep::Purge(urls) => {
                assert!(purge.is_none(), "one purge at a time");
                purge = Some((now + LATENCY, urls));
                continue;
            }
            VerifyStep::Wait(until) => {
                assert!(until > now, "a wait that is in the past");
                wait = Some(until);
            }
            VerifyStep::WaitForEnd => {}
            VerifyStep::Done => {
                let mut decided = BTreeMap::new();
                for url in verification.take_decided() {
                    let twice = decided.insert(url.url, url);
                    assert_eq!(twice, None, "a URL has one verdict");
                }
                return Run { verification, decided, served, took: now - began };
            }
            other => panic!("{other:?}"),
        }
        let ends = answers.iter().map(|(at, ..)| *at).chain(purge.iter().map(|(at, _)| *at));
        now = ends.chain(wait).min().expect("something ends");
        if let Some((at, urls)) = purge.take() {
            if at > now {
                purge = Some((at, urls));
            } else if edge.purge_fails {
                verification.on_purged(now, &urls, Err("the API refused it"));
            } else {
                edge.purge(now, &urls);
                verification.on_purged(now, &urls, Ok(()));
            }
        }
        answers.retain(|(at, ask, answer, of)| {
            if *at <= now {
                if ask.variant == Variant::Plain {
                    served[ask.url] = Some(*of);
                }
                verification.on_answer(now, *ask, Ok(answer));
            }
            *at > now
        });
    }
    panic!("the verification does not end");
}

pub(crate) fn settings(action: Action) -> VerifySettings {
    VerifySettings::new(action)
}
