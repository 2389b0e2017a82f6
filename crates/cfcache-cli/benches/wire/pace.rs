//! Compares a run with the shortest time that a server's limits allow, in real time.

use core::time::Duration;

use cfcache_client::engine::Policy;
use cfcache_client::{Client, PurgeScope, Summary, entries};
use cfcache_emulator::Config;
use cfcache_model::endpoint::Action;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::{Kind, Plan};
use tokio::time::Instant;

use crate::server::Server;
use crate::{block_on, client, verdict, zone};

/// The number of requests, all of the maximum size.
const REQUESTS: usize = 1000;

const LATENCY: Duration = Duration::from_millis(50);

/// The maximum ratio to the shortest time: with the published limits, and if the server enforces only half of them.
const PUBLISHED: f64 = 1.05;
const HALF: f64 = 1.25;

/// The measured buckets of plans. The rates for URLs are a multiple of the published ones on both sides, because a
/// thousand requests would otherwise take five minutes.
const CASES: &[(Plan, Kind, u32)] = &[
    (Plan::Enterprise, Kind::Tags, 1),
    (Plan::Enterprise, Kind::Files, 4),
    (Plan::Business, Kind::Files, 2),
];

/// All run concurrently, each with its own server and client. They mostly wait.
pub(crate) fn run() -> bool {
    println!(
        "{REQUESTS} requests at a server with a bucket, latency {} ms; the least time is that of the bucket alone:",
        LATENCY.as_millis()
    );
    let mut cases: Vec<Case> = Vec::new();
    for &(plan, kind, times) in CASES {
        cases.extend([1.0, 0.5].map(|share| Case::new(plan, kind, times, share)));
    }
    // Before the first run begins, because all runs share one thread.
    let inputs: Vec<Vec<Entry>> = cases.iter().map(Case::entries).collect();
    let results = block_on(async {
        let mut running = tokio::task::JoinSet::new();
        let local = tokio::task::LocalSet::new();
        for (index, (case, input)) in cases.iter().zip(inputs).enumerate() {
            let (client, run) = case.client();
            running.spawn_local_on(async move { (index, measure(&client, &run, input).await) }, &local);
        }
        let mut results = local.run_until(async { running.join_all().await }).await;
        results.sort_unstable_by_key(|(index, _)| *index);
        results
    });
    let mut met = true;
    for (case, (_, (took, summary))) in cases.iter().zip(results) {
        met &= case.report(took, &summary);
    }
    met
}

async fn measure(client: &Client, run: &PurgeScope, input: Vec<Entry>) -> (Duration, Summary) {
    let begun = Instant::now();
    let summary = client.run(run, entries(input), core::future::pending(), &mut ()).await;
    (begun.elapsed(), summary)
}

/// A run with its own server.
struct Case {
    plan: Plan,
    kind: Kind,
    /// The limits that the client assumes.
    published: PurgeLimits,
    times: u32,
    /// The part of them that the server enforces.
    share: f64,
    server: Server,
}

impl Case {
    fn new(plan: Plan, kind: Kind, times: u32, share: f64) -> Self {
        let mut published = plan.purge_limits();
        published.urls.count *= times;
        let config = Config::new(plan)
            .with_purge_limits(published)
            .with_limit_scale(share)
            .with_latency(LATENCY)
            .with_max_log_entries(0);
        Self { plan, kind, published, times, share, server: Server::emulator(config) }
    }

    fn client(&self) -> (Client, PurgeScope) {
        let mut policy = Policy::default();
        policy.limits = Some(self.published);
        let caps = BatchLimits::from_plan(self.published, self.kind);
        let run = PurgeScope::new(Action::Purge, zone(), self.kind, caps);
        (client(&self.server.base(), policy, |builder| builder), run)
    }

    fn items(&self) -> usize {
        REQUESTS * BatchLimits::from_plan(self.published, self.kind).items
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |number| {
            let text = match self.kind {
                Kind::Files => format!("https://www.example.com/{number}"),
                _ => format!("tag-{number}"),
            };
            Entry::parse(self.kind, &text, &mut |_| {}).unwrap()
        };
        (0..self.items()).map(entry).collect()
    }

    /// Returns the time in which the server's bucket allows all requests, in seconds.
    fn least(&self) -> f64 {
        let limits = &self.published;
        let (all, burst, rate) = match self.kind {
            Kind::Files => (self.items() as f64, f64::from(limits.urls.count), limits.urls),
            _ => (REQUESTS as f64, f64::from(limits.flexible_burst), limits.flexible_requests),
        };
        let per_second = f64::from(rate.count) / rate.per.as_secs_f64();
        (all - burst * self.share) / (per_second * self.share)
    }

    fn report(&self, took: Duration, summary: &Summary) -> bool {
        assert_eq!(summary.accepted, self.items() as u64, "{summary:?}");
        let (took, least, refused) = (took.as_secs_f64(), self.least(), self.server.refused());
        let rates = match self.times {
            1 => String::new(),
            times => format!(", {times} times its rate"),
        };
        println!(
            "\n{} {}{rates}, {:.0} % of it enforced: {took:.2} s, least {least:.2} s, {refused} answers of 429",
            self.plan,
            self.kind,
            self.share * 100.0,
        );
        let ratio = took / least;
        if self.share < 1.0 {
            verdict("time over the least time", ratio, ratio <= HALF, "at most 1.25")
        } else {
            let is_met = ratio <= PUBLISHED && refused == 0;
            verdict("time over the least time", ratio, is_met, "at most 1.05, and no 429")
        }
    }
}
