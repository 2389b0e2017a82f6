//! A thousand batches with a failing server: each kind of fault, and mixtures of them, over HTTP/1.1 and HTTP/2, on
//! real sockets. The client's report is compared with the server's log, in both directions.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfcache_client::engine::Policy;
use cfcache_client::{
    Client, Codec, Credentials, Event, Exchange, Observer, Outcome, PurgeScope, Recording, Summary, entries,
};
use cfcache_emulator::{AcceptedPurge, Config, Emulator, Log, PurgeItems};
use cfcache_model::endpoint::Action;
use cfcache_model::plan::{Batch, BatchLimits};
use cfcache_model::target::File;
use cfcache_model::{Kind, Plan, ZoneId};
use cfcache_transport::{Delivery, HyperTransport, Timeouts};

use crate::support::{Api, Dir, TOKEN, ZONE, cfcache, urls};

const BATCHES: usize = 1000;
const BATCH: usize = 5;
const ITEMS: usize = BATCHES * BATCH;

/// The behavior of a server, and the expected result.
struct Row {
    faults: &'static [&'static str],
    /// The timeout of an attempt.
    timeout: Duration,
    /// The number of retries.
    retries: u32,
    /// Whether an attempt can end with an unknown effect.
    doubt: Doubt,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// No: nothing may be executed twice.
    None,
    /// Yes: it may be executed once more for each.
    Some,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything is accepted in the end.
    Accepted,
    /// Items whose last request got a fault were refused permanently; all others are accepted.
    Refused,
    /// Some items fail, and the report about them is correct.
    Open,
}

const fn row(faults: &'static [&'static str], doubt: Doubt) -> Row {
    Row { faults, timeout: Duration::from_secs(20), retries: 30, doubt, end: End::Accepted }
}

impl Row {
    const fn ends(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Gives up after one retry.
    const fn impatient(mut self) -> Self {
        self.retries = 1;
        self.ends(End::Open)
    }

    const fn timeout(mut self, millis: u64) -> Self {
        self.timeout = Duration::from_millis(millis);
        self
    }
}

/// Faults that affect one request each, with any version of HTTP.
const ROWS: &[Row] = &[
    row(&["status=503,every=7"], Doubt::None),
    row(&["status=503,retry-after=0.002,probability=0.1,seed=1"], Doubt::None),
    row(&["status=500,probability=0.1,seed=2,body=upstream connect error"], Doubt::Some),
    row(&["status=429,every=7"], Doubt::None),
    row(&["status=429,retry-after=0.005,probability=0.1,seed=3"], Doubt::None),
    row(&["success-false,code=1134,every=7"], Doubt::None),
    row(&["success-false,code=1016,every=7,times=50"], Doubt::None).ends(End::Refused),
    row(&["success-false,every=7"], Doubt::None).ends(End::Refused),
    row(&["delay=20ms,every=7"], Doubt::None),
    row(&["slow=20ms,every=7"], Doubt::None),
    row(&["goaway,every=7"], Doubt::None),
    row(&["html,every=7"], Doubt::Some),
    row(&["html,status=503,every=7"], Doubt::None),
    row(&["status=502,processed=yes,probability=0.1,seed=9,body=bad gateway"], Doubt::Some),
    row(&["html,status=200,probability=0.1,seed=4"], Doubt::Some),
    row(&["empty,every=7"], Doubt::Some),
    row(&["empty,status=204,probability=0.1,seed=5"], Doubt::Some),
    row(&["malformed,every=7"], Doubt::Some),
    row(&["truncate,every=7"], Doubt::Some),
    row(&["truncate=0,probability=0.1,seed=6"], Doubt::Some),
    row(&["stall,every=50"], Doubt::Some).timeout(400),
    row(&["stall,processed=yes,probability=0.02,seed=7"], Doubt::Some).timeout(400),
    row(&["status=503,probability=0.3,seed=51"], Doubt::None).impatient(),
    row(&["status=504,processed=yes,probability=0.3,seed=52,body=timed out"], Doubt::Some).impatient(),
    row(&["html,status=520,probability=0.3,seed=53"], Doubt::Some).impatient(),
    row(&["malformed,probability=0.3,seed=54"], Doubt::Some).impatient(),
    row(&["truncate,probability=0.3,seed=55"], Doubt::Some).impatient(),
    row(
        &[
            "reset-after,probability=0.05,seed=56",
            "status=503,probability=0.2,seed=57",
            "empty,probability=0.2,seed=58",
            "status=504,processed=yes,probability=0.1,seed=59,body=timed out",
        ],
        Doubt::Some,
    )
    .impatient(),
];

/// Faults that end a connection. Over HTTP/2 they affect all requests in flight, so they are less frequent there.
const RESETS: [&[Row]; 2] = [
    &[
        row(&["reset-before,every=7"], Doubt::Some),
        row(&["reset-after,probability=0.1,seed=8"], Doubt::Some),
        row(&["reset-mid,every=7"], Doubt::Some),
    ],
    &[
        row(&["reset-before,every=50"], Doubt::Some),
        row(&["reset-after,probability=0.02,seed=8"], Doubt::Some),
        row(&["reset-mid,every=50"], Doubt::Some),
    ],
];

const MIXTURES: &[Row] = &[
    row(
        &[
            "status=503,probability=0.05,seed=11",
            "status=429,retry-after=0.002,probability=0.03,seed=12",
            "malformed,probability=0.05,seed=13",
            "goaway,probability=0.05,seed=14",
            "delay=10ms,probability=0.1,seed=15",
        ],
        Doubt::Some,
    ),
    row(
        &[
            "reset-before,probability=0.01,seed=21",
            "reset-after,probability=0.01,seed=22",
            "truncate,probability=0.05,seed=23",
            "html,status=502,probability=0.05,seed=24",
            "slow=5ms,probability=0.1,seed=25",
            "status=429,probability=0.02,seed=26",
        ],
        Doubt::Some,
    ),
    row(
        &[
            "stall,processed=yes,probability=0.01,seed=31",
            "empty,probability=0.05,seed=32",
            "reset-mid,probability=0.01,seed=33",
            "status=504,processed=yes,probability=0.02,seed=34,body=timed out",
            "success-false,code=1134,probability=0.03,seed=35",
        ],
        Doubt::Some,
    )
    .timeout(400),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

#[test]
fn each_fault_over_http1() {
    ROWS.iter().chain(RESETS[0]).for_each(|row| check(row, Http::One));
}

#[test]
fn each_fault_over_http2() {
    ROWS.iter().chain(RESETS[1]).for_each(|row| check(row, Http::Two));
}

#[test]
fn mixtures() {
    for row in MIXTURES {
        check(row, Http::One);
        check(row, Http::Two);
    }
}

/// Runs a row, and compares both sides.
fn check(row: &Row, http: Http) {
    let name = format!("{:?} over {http:?}", row.faults);
    let Ran { told, log, purges } = run(row, http);
    let tally = told.tally;
    let total = ITEMS as u64;
    let line = format!("{name}: {tally:?}, {:?}, in doubt {}", log.counts(), told.doubts());

    // The report adds up, and contains as many requests as arrived, except for those that were lost on the way.
    assert_eq!((tally.items, tally.duplicates, tally.skipped), (total, 0, 0), "{line}");
    assert_eq!(tally.accepted + tally.failed, total, "{line}");
    assert!(log.counts().requests <= tally.requests, "{line}");
    assert!(log.counts().faulted >= 10, "{line}");
    assert_eq!(told.stops, 0, "{line}");

    // Both logs of the server describe the same purges.
    let seen = Seen::of(&log);
    assert_eq!(seen.processed, purged(&purges), "{line}");

    assert_eq!(told.doubts() > 0, row.doubt == Doubt::Some, "{line}");
    assert!(tally.failed > 0 || row.end != End::Open, "{line}");
    assert_eq!(told.ends.len(), ITEMS, "{line}");
    for (item, end) in &told.ends {
        let line = format!("item {item}: {end:?}; {line}");
        let times = seen.processed.get(item).copied().unwrap_or(0);
        match end.result {
            // Accepted items took effect.
            Ok(()) => assert!(times >= 1, "{line}"),
            // Failed items either may have taken effect, and the report says so, or did not.
            Err(Failed { unclear }) => assert!(unclear || times == 0, "{line}"),
        }
        let is_refused = seen.faulted.contains(item);
        match row.end {
            End::Accepted => assert_eq!(end.result, Ok(()), "{line}"),
            End::Refused if is_refused => assert_eq!(end.result, Err(Failed { unclear: false }), "{line}"),
            End::Refused => assert_eq!(end.result, Ok(()), "{line}"),
            End::Open => {}
        }
        // A request was repeated only if the effect of an attempt was unknown.
        let doubts = told.doubts_of(item / BATCH, end.batch);
        assert!(times <= 1 + doubts, "{times} times; {line}");
    }
}

struct Ran {
    told: RunLog,
    log: Log,
    purges: Vec<AcceptedPurge>,
}

fn run(row: &Row, http: Http) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::new(Plan::Free).with_limits(false);
        for fault in row.faults {
            config = config.with_fault(fault.parse().unwrap());
        }
        let emulator = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut told = RunLog::default();
        let client = client(&emulator.base_url(), row, http);
        let caps = BatchLimits::new(BATCH);
        let run = PurgeScope::new(Action::Purge, ZoneId::parse(ZONE).unwrap(), Kind::Files, caps);
        let files = (0..ITEMS).map(|item| File::parse(&format!("https://www.example.com/{item}")).unwrap());
        let interrupt = core::future::pending();
        told.tally = client.run(&run, entries(files), interrupt, &mut told).await;
        let ran = Ran { told, log: emulator.log(), purges: emulator.purges() };
        drop(client);
        emulator.stop().await;
        ran
    })
}

/// A client with short waits: the tests check what is sent, not when.
fn client(base: &str, row: &Row, http: Http) -> Client {
    let base: cfcache_client::BaseUrl = base.parse().unwrap();
    let mut policy = Policy::default();
    policy.limits = None;
    policy.concurrency = 16;
    policy.max_retries = row.retries;
    policy.backoff_base = Duration::from_millis(1);
    policy.backoff_cap = Duration::from_millis(10);
    let mut timeouts = Timeouts::default();
    timeouts.total = row.timeout;
    let mut transport = HyperTransport::builder(base.origin().clone()).with_timeouts(timeouts);
    transport = match http {
        Http::One => transport.with_max_connections(policy.concurrency),
        Http::Two => transport.with_http2_prior_knowledge(),
    };
    let token = Credentials::token(secrecy::SecretString::from(TOKEN)).unwrap();
    let codec = Codec::new(base, Some(&token), "test/0");
    Client::new(Arc::new(transport.build().unwrap()), codec, policy)
}

/// The events of a run.
#[derive(Default)]
struct RunLog {
    tally: Summary,
    /// The result of each item.
    ends: BTreeMap<usize, Ended>,
    /// The attempts of each batch, in order.
    tries: BTreeMap<u64, Vec<Try>>,
    recorded: u64,
    stops: usize,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    batch: u64,
    result: Result<(), Failed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    unclear: bool,
}

/// What an attempt says about its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    Done,
    NotDone,
    InDoubt,
}

impl RunLog {
    fn doubts(&self) -> usize {
        self.tries.values().flatten().filter(|one| **one == Try::InDoubt).count()
    }

    /// Returns how many attempts of a batch, and of a part of it, left its effect unknown.
    fn doubts_of(&self, batch: usize, part: u64) -> usize {
        let mut batches = vec![batch as u64, part];
        batches.dedup();
        let tries = batches.iter().filter_map(|batch| self.tries.get(batch)).flatten();
        tries.filter(|one| **one == Try::InDoubt).count()
    }
}

impl Observer for RunLog {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Exchange(exchange) => {
                let batch = exchange.operation.batch.unwrap();
                let tries = self.tries.entry(batch).or_default();
                assert!(!tries.contains(&Try::Done), "batch {batch} was done, and is sent again");
                tries.push(judge(&exchange));
                assert_eq!(tries.len(), exchange.operation.attempt as usize, "batch {batch}");
            }
            Event::Ended(outcome) => {
                let result =
                    outcome.result.as_ref().copied().map_err(|error| Failed { unclear: error.is_unclear() });
                for item in items(&outcome.batch) {
                    let before = self.ends.insert(item, Ended { batch: outcome.number, result });
                    assert!(before.is_none(), "{item} ended twice");
                }
                if result.is_ok() {
                    assert_eq!(self.recorded, outcome.number, "accepted, and not recorded right before");
                }
            }
            Event::Stopped { .. } => self.stops += 1,
            _ => {}
        }
    }

    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        if outcome.result.is_ok() {
            self.recorded = outcome.number;
            let tries = &self.tries[&outcome.number];
            assert_eq!(tries.last(), Some(&Try::Done), "batch {} is taken for accepted", outcome.number);
        }
        None
    }
}

/// Parses an answer independently of the client.
fn judge(exchange: &Exchange<'_>) -> Try {
    let response = match exchange.result {
        Ok(response) => response,
        Err(error) if error.delivery() == Delivery::NotSent => return Try::NotDone,
        Err(_) => return Try::InDoubt,
    };
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap_or_default();
    match (response.status().as_u16(), body["success"].as_bool()) {
        (200, Some(true)) => Try::Done,
        (_, Some(false)) | (400..=499 | 503, _) => Try::NotDone,
        // The answer is inconclusive, or comes from a system in front of the API that may not know.
        _ => Try::InDoubt,
    }
}

fn items(batch: &Batch) -> impl Iterator<Item = usize> {
    batch.entries().iter().map(|entry| number(&entry.given()))
}

fn number(url: &str) -> usize {
    url.strip_prefix("https://www.example.com/").unwrap().parse().unwrap()
}

/// What the server saw of each item.
#[derive(Default)]
struct Seen {
    /// The number of effective requests that contained it.
    processed: BTreeMap<usize, usize>,
    /// The items whose last request got a fault.
    faulted: BTreeSet<usize>,
}

impl Seen {
    fn of(log: &Log) -> Self {
        let mut seen = Self::default();
        for entry in log.entries() {
            // A body that was not read contains no items.
            let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap_or_default();
            for url in body["files"].as_array().into_iter().flatten() {
                let item = number(url.as_str().unwrap());
                *seen.processed.entry(item).or_default() += usize::from(entry.processed);
                match entry.fault {
                    Some(_) => seen.faulted.insert(item),
                    None => seen.faulted.remove(&item),
                };
            }
        }
        seen.processed.retain(|_, times| *times > 0);
        seen
    }
}

/// Returns how often each item was purged, according to the emulator.
fn purged(purges: &[AcceptedPurge]) -> BTreeMap<usize, usize> {
    let mut purged = BTreeMap::new();
    for purge in purges {
        let PurgeItems::Files(files) = &purge.items else { panic!("{purge:?}") };
        for file in files {
            *purged.entry(number(&file.url)).or_default() += 1;
        }
    }
    purged
}

/// The same with the binary, with its real waits.
#[test]
fn the_report_of_the_binary_is_correct() {
    let config = [
        "status=503,probability=0.03,seed=41",
        "reset-after,probability=0.03,seed=42",
        "malformed,probability=0.03,seed=43",
        "success-false,probability=0.01,seed=44",
    ]
    .iter()
    .fold(Config::new(Plan::Free).with_limits(false), |config, fault| {
        config.with_fault(fault.parse().unwrap())
    });
    let api = Api::start(config);
    let dir = Dir::new();
    let list = dir.file("urls.txt", urls(ITEMS));
    let failed = dir.at("failed.txt");
    let ran = cfcache(&api)
        .args("purge urls --json --quiet --no-rate-limit --batch-size 5 --from")
        .arg(list)
        .arg("--failed-to")
        .arg(&failed)
        .run();
    let report = ran.exits(1).report();

    let seen = Seen::of(api.log());
    // Only the refusal is final here.
    let refused: Vec<usize> = seen.faulted.iter().copied().collect();
    assert!(!refused.is_empty(), "{report}");
    assert_eq!(report["items"], ITEMS, "{report}");
    assert_eq!(report["failed"], refused.len(), "{report}");
    let mut named: Vec<_> = dir.read("failed.txt").lines().map(number).collect();
    named.sort_unstable();
    assert_eq!(named, refused, "{report}");
    for failure in report["failures"].as_array().unwrap() {
        let item = number(failure["item"].as_str().unwrap());
        let message = failure["error"]["message"].as_str().unwrap();
        let is_owned_up_to = message.contains("may have taken effect");
        assert!(is_owned_up_to || !seen.processed.contains_key(&item), "{failure}");
    }
    for item in (0..ITEMS).filter(|item| !seen.faulted.contains(item)) {
        assert!(seen.processed.contains_key(&item), "{item} is told as accepted: {report}");
    }
}
