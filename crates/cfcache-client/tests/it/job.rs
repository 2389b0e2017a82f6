//! Whole jobs in simulated time: entries, requests and faults, without a runtime.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cfcache_client::engine::{JobStep, Limiter, Policy, PurgeJob, RateLimiter, Stop, Ticket};
use cfcache_client::{Codec, DEFAULT_BASE_URL, ErrorKind, Event, Observer, Outcome, PurgeScope, Summary};
use cfcache_model::endpoint::Action;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::{BatchLimits, Dedupe, Entry};
use cfcache_model::target::Kind;
use cfcache_model::{Plan, Target, ZoneId};
use cfcache_transport::{Delivery, Request};
use proptest::prelude::*;

use crate::sim::{self, ServerBucket, TestRandom, whole_seconds};
use crate::support::{Reply, accepted, entries_of, lost, policy, refused, refused_with, reply};

/// The result of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryResult {
    Accepted,
    Failed(ErrorKind, bool),
    Duplicate,
    Skipped,
}

#[derive(Default)]
struct RecordedResults {
    by_tag: BTreeMap<u64, EntryResult>,
    stops: Vec<(Option<usize>, Stop)>,
    last: Summary,
}

impl RecordedResults {
    fn insert(&mut self, entries: &[Entry], result: EntryResult) {
        for entry in entries {
            assert_eq!(self.by_tag.insert(entry.tag, result), None, "{entry:?} has two results");
        }
    }

    fn count(&self, is_counted: impl Fn(&EntryResult) -> bool) -> u64 {
        self.by_tag.values().filter(|result| is_counted(result)).count() as u64
    }
}

impl Observer for RecordedResults {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Duplicates { entries, .. } => self.insert(entries, EntryResult::Duplicate),
            Event::Skipped { entries, .. } => self.insert(entries, EntryResult::Skipped),
            Event::Ended(Outcome { batch, result, .. }) => {
                let failed =
                    result.as_ref().err().map(|error| EntryResult::Failed(error.kind(), error.is_unclear()));
                self.insert(batch.entries(), failed.unwrap_or(EntryResult::Accepted));
            }
            Event::Stopped { scope, stop } => self.stops.push((scope, stop)),
            Event::Progress { summary, .. } => self.last = *summary,
            _ => {}
        }
    }
}

/// Answers a request at a time: returns the latency and the response.
type Server<'a> = dyn FnMut(Duration, &Request) -> (Duration, Reply) + 'a;

/// A run in simulated time.
struct Simulation<'a> {
    job: PurgeJob<RecordedResults>,
    limiter: Arc<RateLimiter>,
    now: Duration,
    /// The input: time, scope and entries.
    input: VecDeque<(Duration, usize, Vec<Entry>)>,
    /// Responses, and when they arrive.
    in_flight: BTreeMap<(Duration, u64), (Ticket, Reply)>,
    /// Outcomes that are being recorded, and until when.
    recording: BTreeMap<(Duration, u64), bool>,
    /// For each request: when it was sent, its path, and its number of entries.
    sent: Vec<(Duration, String, usize)>,
    most_in_flight: usize,
    server: Box<Server<'a>>,
    /// How long recording an outcome takes, and whether it succeeds.
    record: Option<Box<dyn FnMut() -> (Duration, bool) + 'a>>,
    /// When the run is interrupted.
    interrupt: Option<Duration>,
    steps: u64,
    wants_input: bool,
}

impl<'a> Simulation<'a> {
    fn new(
        policy: Policy,
        scopes: Vec<PurgeScope>,
        server: impl FnMut(Duration, &Request) -> (Duration, Reply) + 'a,
    ) -> Self {
        let limiter = Arc::new(RateLimiter::new(&policy));
        Self::sharing(policy, limiter, scopes, server)
    }

    fn sharing(
        policy: Policy,
        limiter: Arc<RateLimiter>,
        scopes: Vec<PurgeScope>,
        server: impl FnMut(Duration, &Request) -> (Duration, Reply) + 'a,
    ) -> Self {
        let codec = Arc::new(Codec::new(DEFAULT_BASE_URL.parse().unwrap(), None, "test/1"));
        let job = PurgeJob::new(codec, Arc::clone(&limiter) as _, policy, scopes, RecordedResults::default());
        Self {
            job,
            limiter,
            now: Duration::ZERO,
            input: VecDeque::new(),
            in_flight: BTreeMap::new(),
            recording: BTreeMap::new(),
            sent: Vec::new(),
            most_in_flight: 0,
            server: Box::new(server),
            record: None,
            interrupt: None,
            steps: 0,
            wants_input: false,
        }
    }

    fn with_input(mut self, input: impl IntoIterator<Item = (Duration, usize, Vec<Entry>)>) -> Self {
        self.input = input.into_iter().collect();
        self
    }

    fn with_recording(mut self, record: impl FnMut() -> (Duration, bool) + 'a) -> Self {
        self.record = Some(Box::new(record));
        self.job = self.job.with_recording();
        self
    }

    /// Does everything that can be done now; returns when the next event is due, or `None` at the end.
    fn step(&mut self) -> Option<Duration> {
        loop {
            self.steps += 1;
            assert!(self.steps < 10_000_000, "busy loop at {:?}", self.now);
            match self.job.poll(self.now) {
                JobStep::Send(id, request) => {
                    let path = request.message.uri().path().to_owned();
                    self.sent.push((self.now, path, entries_of(&request).len()));
                    let (latency, answer) = (self.server)(self.now, &request);
                    self.in_flight.insert((self.now + latency, self.steps), (id, answer));
                    self.most_in_flight = self.most_in_flight.max(self.in_flight.len());
                }
                JobStep::Record(outcome) => {
                    let (latency, is_done) =
                        self.record.as_mut().map_or((Duration::ZERO, true), |record| record());
                    assert_eq!(self.recording.insert((self.now + latency, outcome), is_done), None);
                }
                JobStep::Wait { until, wants_input } => {
                    self.wants_input = wants_input;
                    assert!(
                        until.is_none_or(|until| until > self.now),
                        "a wait for the past at {:?}",
                        self.now
                    );
                    let answered = self.in_flight.keys().next().map(|(at, _)| *at);
                    let recorded = self.recording.keys().next().map(|(at, _)| *at);
                    let read = self.input.front().map_or(self.now, |(at, ..)| *at);
                    let read = wants_input.then_some(read.max(self.now));
                    let interrupt = self.interrupt.map(|at| at.max(self.now));
                    let next = [interrupt, answered, recorded, read, until].into_iter().flatten().min();
                    return Some(next.unwrap_or_else(|| panic!("it waits forever at {:?}", self.now)));
                }
                JobStep::Done => {
                    assert!(self.in_flight.is_empty() && self.recording.is_empty());
                    return None;
                }
            }
        }
    }

    /// Handles the events that are due.
    fn happen(&mut self, at: Duration) {
        self.now = self.now.max(at);
        if self.interrupt.is_some_and(|interrupt| interrupt <= self.now) {
            self.interrupt = None;
            self.job.stop(Stop::Interrupted);
        } else if let Some(((at, number), _)) =
            self.in_flight.first_key_value().filter(|((at, _), _)| *at <= self.now)
        {
            let (id, answer) = self.in_flight.remove(&(*at, *number)).unwrap();
            self.job.on_response(self.now, id, answer);
        } else if let Some(((at, outcome), _)) =
            self.recording.first_key_value().filter(|((at, _), _)| *at <= self.now)
        {
            let (at, outcome) = (*at, *outcome);
            let is_done = self.recording.remove(&(at, outcome)).unwrap();
            let result = if is_done { Ok(()) } else { Err("the disk is full".into()) };
            self.job.on_recorded(outcome, result);
        } else if self.wants_input {
            match self.input.front() {
                Some((at, ..)) if *at <= self.now => {
                    let (_, scope, entries) = self.input.pop_front().unwrap();
                    self.job.push(self.now, scope, entries);
                }
                None => self.job.finish(),
                Some(_) => {}
            }
        }
    }

    fn run(mut self) -> Self {
        while let Some(at) = self.step() {
            self.happen(at);
        }
        self.check();
        self
    }

    /// Checks that the counts are consistent, in total and for each scope, and agree with the events.
    fn check(&self) {
        let total = self.job.total();
        assert_eq!(
            total.accepted + total.failed + total.duplicates + total.skipped,
            total.items,
            "{total:?}"
        );
        assert_eq!(self.job.summaries().into_iter().sum::<Summary>(), total);
        let results = self.job.observer();
        assert_eq!(results.by_tag.len() as u64, total.items);
        assert_eq!(results.count(|result| *result == EntryResult::Accepted), total.accepted);
        assert_eq!(results.count(|result| *result == EntryResult::Duplicate), total.duplicates);
        assert_eq!(results.count(|result| *result == EntryResult::Skipped), total.skipped);
        assert_eq!(total.requests, self.sent.len() as u64);
        assert!(self.limiter.ready_at(self.now, cfcache_model::endpoint::Cost::Urls(0)).is_some());
    }

    fn took(&self) -> Duration {
        self.now
    }
}

const LATENCY: Duration = Duration::from_millis(50);

fn zone(number: usize) -> ZoneId {
    ZoneId::parse(&format!("{number:032x}")).unwrap()
}

fn scope(number: usize, kind: Kind, items: usize) -> PurgeScope {
    PurgeScope::new(Action::Purge, zone(number), kind, BatchLimits::new(items))
}

/// An entry with a tag.
fn tag(text: &str, tag: u64) -> Entry {
    Entry::from(Target::parse(Kind::Tags, text).unwrap()).with_tag(tag)
}

/// `t0`, `t1` and so on, each tagged with its number plus `add`.
fn tags(count: u64, add: u64) -> Vec<Entry> {
    (0..count).map(|number| tag(&format!("t{number}"), add + number)).collect()
}

fn at_once(scopes: impl IntoIterator<Item = (usize, Vec<Entry>)>) -> Vec<(Duration, usize, Vec<Entry>)> {
    let chunks = scopes.into_iter().flat_map(|(scope, entries)| {
        let chunks: Vec<Vec<Entry>> = entries.chunks(100).map(<[Entry]>::to_vec).collect();
        chunks.into_iter().map(move |chunk| (scope, chunk))
    });
    chunks.map(|(scope, chunk)| (Duration::ZERO, scope, chunk)).collect()
}

fn limited(limits: PurgeLimits) -> Policy {
    policy(|policy| {
        policy.limits = Some(limits);
        policy.seed = Some(7);
    })
}

#[test]
fn a_repeated_entry_is_a_duplicate_only_while_the_first_one_is_unsent() {
    let second = |seconds: u64| Duration::from_secs(seconds);
    for (dedupe, again) in
        [(Dedupe::Unsent, EntryResult::Accepted), (Dedupe::WholeInput, EntryResult::Duplicate)]
    {
        let input = [
            // All wait for the batch to fill.
            (second(0), 0, vec![tag("a", 1), tag("A", 2), tag("b", 3)]),
            // They were sent after a second; then `a` changed again.
            (second(5), 0, vec![tag("a", 4)]),
            (second(5), 0, vec![tag("a", 5)]),
        ];
        let scopes = vec![scope(1, Kind::Tags, 10).with_dedupe(dedupe)];
        let simulation =
            Simulation::new(policy(|_| {}), scopes, |_, _| (LATENCY, accepted())).with_input(input).run();
        let results: Vec<EntryResult> = simulation.job.observer().by_tag.values().copied().collect();
        assert_eq!(
            results,
            [
                EntryResult::Accepted,
                EntryResult::Duplicate,
                EntryResult::Accepted,
                again,
                EntryResult::Duplicate
            ],
            "{dedupe:?}"
        );
    }
}

#[test]
fn a_skipped_entry_does_not_make_later_ones_duplicates() {
    let entries = vec![tag("a", 1), tag("b", 2)];
    let input = [(Duration::ZERO, 0, entries), (Duration::from_secs(5), 0, vec![tag("a", 3)])];
    let scopes = vec![scope(1, Kind::Tags, 2).with_dedupe(Dedupe::Unsent).with_accepted([0..1, 1..2])];
    let simulation =
        Simulation::new(policy(|_| {}), scopes, |_, _| (LATENCY, accepted())).with_input(input).run();
    let results: Vec<EntryResult> = simulation.job.observer().by_tag.values().copied().collect();
    assert_eq!(results, [EntryResult::Skipped, EntryResult::Skipped, EntryResult::Accepted]);
}

#[test]
fn zones_take_turns_at_the_rate_limit() {
    let zones = 5;
    let scopes = (0..zones).map(|number| scope(number, Kind::Tags, 1)).collect();
    // Ten of each zone, one zone after the other, repeatedly.
    let chunks = (0..20).map(|chunk| (chunk % zones, (chunk / zones) as u64));
    let input = at_once(chunks.map(|(zone, chunk)| {
        let entries = (0..10)
            .map(|number| tag(&format!("t{chunk}-{number}"), 1000 * zone as u64 + 10 * chunk + number));
        (zone, entries.collect())
    }));
    let simulation =
        Simulation::new(limited(Plan::Free.purge_limits()), scopes, |_, _| (LATENCY, accepted()))
            .with_input(input)
            .run();
    assert_eq!(simulation.job.total().accepted, 200);
    // Once all zones have something to send, each sends about as much as the others.
    let mut counts = BTreeMap::<&str, usize>::new();
    for (_, path, _) in &simulation.sent[60..150] {
        *counts.entry(path).or_default() += 1;
    }
    assert!(counts.len() == zones && counts.values().all(|count| (14..=22).contains(count)), "{counts:?}");
    // The last requests are sent in the order of the zones.
    let order: Vec<&str> = simulation.sent[100..110].iter().map(|(_, path, _)| path.as_str()).collect();
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), zones);
    assert_eq!(order[..5], order[5..]);
}

#[test]
fn the_concurrency_applies_to_all_zones_together() {
    for concurrency in [1, 3] {
        let scopes = (0..20).map(|number| scope(number, Kind::Tags, 10)).collect();
        let input = at_once((0..20).map(|zone| (zone, tags(50, 1000 * zone as u64))));
        let policy = policy(|policy| policy.concurrency = concurrency);
        let simulation =
            Simulation::new(policy, scopes, |_, _| (LATENCY, accepted())).with_input(input).run();
        assert_eq!((simulation.most_in_flight, simulation.job.total().accepted), (concurrency, 1000));
    }
}

#[test]
fn a_wait_above_the_maximum_stops_all_zones_and_is_remembered() {
    let scopes = |zones: usize| (0..zones).map(|number| scope(number, Kind::Tags, 1)).collect::<Vec<_>>();
    let policy = policy(|policy| {
        policy.concurrency = 2;
        policy.max_wait = Duration::from_secs(60);
    });
    let limiter = Arc::new(RateLimiter::new(&policy));
    let server = |_: Duration, _: &Request| (LATENCY, refused_with(429, 1134, &[("retry-after", "3600")]));
    let input = at_once((0..3).map(|zone| (zone, tags(10, 100 * zone as u64))));
    let simulation =
        Simulation::sharing(policy.clone(), Arc::clone(&limiter), scopes(3), server).with_input(input).run();
    assert_eq!(simulation.sent.len(), 2);
    let hour = Stop::WaitTooLong { demanded: Duration::from_secs(3600) };
    assert_eq!(simulation.job.observer().stops, [(None, hour)]);
    // Another job that shares the limiter sends nothing.
    let mut simulation =
        Simulation::sharing(policy, limiter, scopes(1), server).with_input(at_once([(0, tags(10, 0))]));
    simulation.now = Duration::from_secs(100);
    let simulation = simulation.run();
    assert_eq!(simulation.sent.len(), 0);
    assert!(matches!(simulation.job.observer().stops[..], [(None, Stop::WaitTooLong { .. })]));
}

#[test]
fn a_quota_that_is_used_up_for_too_long_stops_the_job() {
    let policy_header = [("ratelimit-policy", "\"default\";q=60;w=3600")];
    let body = r#"{"success":true,"errors":[],"messages":[],"result":null}"#;
    let server = |_: Duration, _: &Request| (LATENCY, reply(200, body, &policy_header));
    for (max_wait, is_patient) in [(10, false), (4000, true)] {
        let mut policy = limited(Plan::Enterprise.purge_limits());
        policy.max_wait = Duration::from_secs(max_wait);
        policy.concurrency = 1;
        let simulation = Simulation::new(policy, vec![scope(1, Kind::Tags, 1)], server)
            .with_input(at_once([(0, tags(100, 0))]))
            .run();
        let total = simulation.job.total();
        assert_eq!(simulation.job.observer().stops.is_empty(), is_patient, "{max_wait}");
        if is_patient {
            assert_eq!(total.accepted, 100);
        } else {
            assert_eq!(total.accepted, 58);
            let kinds = simulation
                .job
                .observer()
                .count(|result| *result == EntryResult::Failed(ErrorKind::RateLimited, false));
            assert_eq!(kinds, 42);
            assert!(simulation.took() < Duration::from_secs(20), "{:?}", simulation.took());
        }
    }
}

#[test]
fn repeated_refusals_of_single_entries_stop_the_job() {
    // The API responds with 1016 to URLs of another zone.
    let free = Plan::Free.purge_limits();
    for (count, limits, most) in [(3000, None, 600), (100, None, 160), (100, Some(free), 60)] {
        let server = |_: Duration, _: &Request| (LATENCY, refused(400, 1016));
        let simulation =
            Simulation::new(policy(|policy| policy.limits = limits), vec![scope(1, Kind::Tags, 100)], server)
                .with_input(at_once([(0, tags(count, 0))]))
                .run();
        println!("{count} refused entries: {} requests in {:.0?}", simulation.sent.len(), simulation.took());
        assert!(simulation.sent.len() <= most, "{count}: {} requests", simulation.sent.len());
        assert_eq!(simulation.job.observer().stops, [(None, Stop::SameRefusal)]);
    }
    // With one valid entry in the list, every invalid one is found.
    let server = |_: Duration, request: &Request| {
        let is_good = entries_of(request) == ["t0"];
        (LATENCY, if is_good { accepted() } else { refused(400, 1016) })
    };
    let simulation = Simulation::new(policy(|_| {}), vec![scope(1, Kind::Tags, 100)], server)
        .with_input(at_once([(0, tags(300, 0))]))
        .run();
    assert_eq!((simulation.job.total().accepted, simulation.job.observer().stops.len()), (1, 0));
}

#[test]
fn a_missing_zone_is_given_up_and_others_continue() {
    let missing = format!("/client/v4/zones/{}/purge_cache", zone(1));
    let server = |_: Duration, request: &Request| {
        let is_missing = request.message.uri().path() == missing;
        (LATENCY, if is_missing { refused(404, 7003) } else { accepted() })
    };
    let policy = policy(|policy| policy.concurrency = 4);
    let simulation =
        Simulation::new(policy, vec![scope(1, Kind::Tags, 10), scope(2, Kind::Tags, 10)], server)
            .with_input(at_once([(0, tags(1000, 0)), (1, tags(1000, 5000))]))
            .run();
    let to_missing = simulation.sent.iter().filter(|(_, path, _)| *path == missing).count();
    assert!(to_missing <= 6, "{to_missing}");
    assert_eq!(simulation.job.observer().stops, [(Some(0), Stop::SameRefusal)]);
    let summaries = simulation.job.summaries();
    assert_eq!((summaries[0].failed, summaries[1].accepted), (1000, 1000));
}

#[test]
fn slow_recording_limits_sending_and_can_be_interrupted() {
    // Recording hangs for an hour.
    let hour = Duration::from_secs(3600);
    let input = at_once([(0, tags(10_000, 0))]);
    let mut simulation =
        Simulation::new(policy(|_| {}), vec![scope(1, Kind::Tags, 1)], |_, _| (LATENCY, accepted()))
            .with_recording(|| (hour, true))
            .with_input(input);
    simulation.interrupt = Some(Duration::from_secs(60));
    let simulation = simulation.run();
    let most = cfcache_client::engine::MAX_UNRECORDED + 64;
    assert!((128..=most).contains(&simulation.sent.len()), "{}", simulation.sent.len());
    assert_eq!(simulation.job.observer().stops, [(None, Stop::Interrupted)]);
    assert_eq!(simulation.job.total().accepted, simulation.sent.len() as u64);
    assert!(simulation.sent.iter().all(|(at, ..)| *at < Duration::from_secs(60)));
    assert!(
        simulation.took() >= hour && simulation.took() < hour + Duration::from_secs(120),
        "{:?}",
        simulation.took()
    );
}

#[test]
fn calls_that_fail_together_do_not_retry_together() {
    let policy = policy(|policy| policy.seed = None);
    let limiter = Arc::new(RateLimiter::new(&policy));
    let returns = |limiter: &Arc<RateLimiter>| {
        let mut failed = false;
        let simulation = Simulation::sharing(
            policy.clone(),
            Arc::clone(limiter),
            vec![scope(1, Kind::Tags, 1)],
            |_, _| {
                let answer = if failed { accepted() } else { refused(503, 0) };
                failed = true;
                (LATENCY, answer)
            },
        );
        simulation.with_input(at_once([(0, tags(1, 0))])).run().sent[1].0
    };
    let times: BTreeSet<Duration> = (0..20).map(|_| returns(&limiter)).collect();
    assert!(times.len() >= 19, "{times:?}");
    // Calls of two processes do not return together either.
    let others: BTreeSet<Duration> = (0..5).map(|_| returns(&Arc::new(RateLimiter::new(&policy)))).collect();
    assert_eq!(others.len(), 5);
}

/// The flexible kinds have few requests and long waits, so the safety margin of the bucket is visible.
#[test]
fn the_flexible_kinds_are_close_to_the_minimum_time() {
    for plan in Plan::ALL {
        let limits = plan.purge_limits();
        let burst = u64::from(limits.flexible_burst);
        // Enough requests that the latency of the last one does not matter.
        let counts = match plan {
            Plan::Free => vec![burst + 3, 30, 40, 300],
            Plan::Enterprise => vec![burst + 500],
            _ => vec![burst + 100, burst + 1000],
        };
        for count in counts {
            let mut network = sim::Network::jittery(count);
            let mut bucket = ServerBucket::full(limits.flexible_requests, limits.flexible_burst);
            // The server's clock uses arrival times, which jitter must not reorder here.
            let mut last = Duration::ZERO;
            let mut refusals = 0;
            let server = |now: Duration, _: &Request| {
                let there = network.random.between(Duration::from_millis(12), Duration::from_millis(38));
                last = last.max(now + there);
                match bucket.take(last, 1) {
                    Ok(()) => (there * 2, accepted()),
                    Err(wait) => {
                        refusals += 1;
                        let after = whole_seconds(wait).as_secs().to_string();
                        (there * 2, refused_with(429, 971, &[("retry-after", &after)]))
                    }
                }
            };
            let simulation = Simulation::new(limited(limits), vec![scope(1, Kind::Tags, 1)], server)
                .with_input(at_once([(0, tags(count, 0))]))
                .run();
            let least = (count - burst) as f64 * limits.flexible_requests.per.as_secs_f64()
                / f64::from(limits.flexible_requests.count);
            let (took, total) = (simulation.took().as_secs_f64(), simulation.job.total());
            drop(simulation);
            println!("{plan} {count}: {took:.2} s, least {least:.2} s, ratio {:.3}", took / least);
            assert_eq!((total.accepted, refusals), (count, 0), "{plan} {count}");
            assert!(took / least <= 1.03, "{plan} {count}: {took} s, least {least} s");
        }
    }
}

proptest! {
    #![proptest_config(sim::proptest_config(200))]

    /// Several zones with one limiter, a server with random faults, a slow or full disk, and an interruption.
    #[test]
    fn with_random_faults_each_entry_has_exactly_one_true_result(
        seed in 1_u64..,
        zones in 1_usize..5,
        items in 0_u64..200,
        faults in 0_u64..=100,
        cap in 1_usize..40,
        server_cap in 1_usize..40,
        concurrency in 1_usize..6,
        retries in 0_u32..4,
        is_live in any::<bool>(),
        interrupt in prop::option::of(0_u64..60_000),
        disk in prop::option::of((0_u64..5000, 0_u64..40)),
    ) {
        let mut random = TestRandom(seed);
        let mut processed: BTreeMap<(String, String), u32> = BTreeMap::new();
        let mut told: BTreeSet<(String, String)> = BTreeSet::new();
        let mut server = |_: Duration, request: &Request| {
            let path = request.message.uri().path().to_owned();
            let names = entries_of(request);
            let latency = Duration::from_millis(random.below(400));
            let mut process = |is_told: bool| for name in &names {
                let key = (path.clone(), name.clone());
                *processed.entry(key.clone()).or_default() += 1;
                if is_told { told.insert(key); }
            };
            let answer = if names.len() > server_cap {
                refused(400, 1094)
            } else if names.iter().any(|name| name.ends_with('7')) && random.below(2) == 0 {
                refused(400, 1082)
            } else if random.below(100) >= faults {
                process(true);
                accepted()
            } else {
                match random.below(10) {
                    0 => refused_with(429, 1134, &[("retry-after", "3")]),
                    1 => refused(429, 971),
                    2 => refused(503, 0),
                    3 => lost(Delivery::NotSent),
                    4 => lost(Delivery::Unknown),
                    5 => { process(false); lost(Delivery::Unknown) }
                    6 => { process(false); reply(200, "{\"succ", &[]) }
                    7 => refused(404, 7003),
                    8 => refused(403, 10000),
                    _ => reply(502, "<html>", &[]),
                }
            };
            (latency, answer)
        };
        let policy = policy(|policy| {
            policy.concurrency = concurrency;
            policy.max_retries = retries;
            policy.max_wait = Duration::from_secs(60);
            policy.seed = Some(seed);
        });
        let dedupe = if is_live { Dedupe::Unsent } else { Dedupe::WholeInput };
        let scopes = (0..zones).map(|number| scope(number, Kind::Tags, cap).with_dedupe(dedupe)).collect();
        let mut texts = BTreeMap::new();
        let mut input = Vec::new();
        let mut spread = TestRandom(seed ^ 0xABCD | 1);
        let mut when = Duration::ZERO;
        for number in 0..items {
            let (zone, text) = (spread.below(zones as u64) as usize, format!("t{}", spread.below(items)));
            when += Duration::from_millis(if is_live { spread.below(300) } else { 0 });
            texts.insert(number, (format!("/client/v4/zones/{}/purge_cache", self::zone(zone)), text.clone()));
            input.push((when, zone, vec![tag(&text, number)]));
        }
        let mut records = 0;
        let mut simulation = Simulation::new(policy, scopes, &mut server).with_input(input);
        if let Some((slow, fails_after)) = disk {
            simulation = simulation.with_recording(move || {
                records += 1;
                (Duration::from_millis(slow), records <= fails_after)
            });
        }
        simulation.interrupt = interrupt.map(Duration::from_millis);
        let simulation = simulation.run();
        prop_assert!(simulation.most_in_flight <= concurrency);
        let results = simulation.job.observer().by_tag.clone();
        drop(simulation);
        for (number, result) in &results {
            let key = &texts[number];
            match result {
                EntryResult::Accepted => prop_assert!(told.contains(key), "{key:?} was never accepted"),
                // An equal entry may have been processed before or after.
                EntryResult::Failed(_, false) if !is_live => {
                    prop_assert!(!processed.contains_key(key), "{key:?} was processed");
                }
                _ => {}
            }
        }
    }
}
