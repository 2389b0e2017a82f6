//! Producers, workers and the API in simulated time. The engine of the queue makes the decisions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use cfcache_model::limits::{PurgeLimits, Rate};
use cfcache_model::target::Kind;
use cfcache_queue::engine::{
    ApiHealth, BudgetBucket, MAX_ATTEMPTS, TargetOutcome, covers, flexible_bucket, global_bucket, host_of,
    rank, settle, url_bucket,
};
use cfcache_queue::{NewRequest, Settlement, Subject};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// How often an idle worker checks for requests.
const POLL: u64 = 20_000;

/// The parameters of a simulation.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) duration: u64,
    pub(crate) producers: usize,
    pub(crate) zones: usize,
    pub(crate) accounts: usize,
    /// The mean time between two changes by one producer.
    pub(crate) change_every: u64,
    /// The maximum number of API requests in flight, over all workers.
    pub(crate) slots: usize,
    /// The start of the deployments, which take ten minutes, and the number of deployed zones.
    pub(crate) deployments: (u64, usize),
    /// The number of URLs of each deployment, which every producer of the zone requests.
    pub(crate) deployment_urls: u32,
    /// The start and the end of an outage of the API.
    pub(crate) outage: (u64, u64),
}

/// The results of all zones on one plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanReport {
    pub(crate) stored: u64,
    pub(crate) sent_requests: u64,
    pub(crate) sent_entries: u64,
    pub(crate) same: u64,
    pub(crate) covered: u64,
    pub(crate) dead: u64,
    pub(crate) failed: u64,
    pub(crate) rate_limited: u64,
    pub(crate) most_waiting: u64,
    /// Waiting times in milliseconds: in ordinary hours, during the deployments and during the outage.
    pub(crate) waits: [Vec<u32>; 3],
    /// The number of tokens taken, and the number that the published limits allow in the simulated time.
    pub(crate) flexible: (u64, f64),
    pub(crate) urls: (u64, f64),
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) plans: BTreeMap<Plan, PlanReport>,
    pub(crate) left: u64,
}

/// A target of a zone, and the requests for it.
struct TargetQueue {
    request: NewRequest,
    host: Option<String>,
    waiting: Vec<Waiting>,
}

#[derive(Clone, Copy)]
struct Waiting {
    id: u64,
    at: u64,
    attempts: u32,
}

struct Zone {
    name: String,
    account: usize,
    targets: Vec<TargetQueue>,
    known: HashMap<(u8, String), usize>,
    /// The indexes of targets with waiting requests, by kind, oldest first.
    ready: [BTreeSet<(u64, usize)>; 5],
}

struct Account {
    plan: Plan,
    flexible: BudgetBucket,
    urls: BudgetBucket,
    global: BudgetBucket,
    health: ApiHealth,
    paused_until: u64,
    server: Server,
    waiting: u64,
}

/// The limits of the API, counted in parts of a token to avoid rounding.
struct Server {
    flexible: ServerBucket,
    urls: ServerBucket,
}

struct ServerBucket {
    rate: Rate,
    capacity: u128,
    level: u128,
    at: u64,
}

impl ServerBucket {
    fn new(rate: Rate, burst: u32) -> Self {
        let capacity = rate.per.as_micros() * u128::from(burst);
        Self { rate, capacity, level: capacity, at: 0 }
    }

    fn take(&mut self, now: u64, tokens: u64) -> bool {
        let passed = u128::from(now.saturating_sub(self.at));
        self.at = self.at.max(now);
        self.level = (self.level + passed * u128::from(self.rate.count)).min(self.capacity);
        let cost = self.rate.per.as_micros() * u128::from(tokens);
        let is_there = self.level >= cost;
        self.level -= if is_there { cost } else { 0 };
        is_there
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A producer changes content.
    Change(usize),
    /// A zone is deployed.
    Deploy(usize),
    /// A worker searches for requests.
    Search,
    /// A request reaches the API, or is lost.
    Arrive(usize),
    /// Its answer arrives.
    Answer(usize, bool),
    /// A failed request is ready again.
    Retry(usize),
}

/// The waiting requests of covered targets.
type Covered = Vec<(usize, Vec<Waiting>)>;

/// An API request in flight.
struct Flight {
    zone: usize,
    target_ids: Vec<usize>,
    /// The requests of each target, and those that it covers.
    rows: Vec<(Vec<Waiting>, Covered)>,
    is_urls: bool,
}

struct Retry {
    zone: usize,
    target: usize,
    rows: Vec<Waiting>,
}

/// The SplitMix64 sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    random: Random,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbers: u64,
    zones: Vec<Zone>,
    accounts: Vec<Account>,
    flights: Vec<Option<Flight>>,
    retries: Vec<Retry>,
    in_flight: usize,
    searches: usize,
    turn: usize,
    report: BTreeMap<Plan, PlanReport>,
}

/// Runs a scenario. The same seed gives the same report.
pub(crate) fn run(scenario: &Scenario) -> Report {
    let mut simulation = Simulation::new(scenario);
    while let Some(Reverse((at, _, event))) = simulation.events.pop() {
        simulation.now = at;
        simulation.handle(event);
    }
    let left = simulation.accounts.iter().map(|account| account.waiting).sum();
    for account in &simulation.accounts {
        let limits = account.plan.purge_limits();
        let report = simulation.report.entry(account.plan).or_default();
        let seconds = scenario.duration as f64 / SECOND as f64;
        let given = |rate: Rate| f64::from(rate.count) / rate.per.as_secs_f64() * seconds;
        report.flexible.1 += given(limits.flexible_requests);
        report.urls.1 += given(limits.urls);
    }
    Report { plans: simulation.report, left }
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let plan = |account: usize| match account * 20 / scenario.accounts {
            0..8 => Plan::Free,
            8..13 => Plan::Pro,
            13..17 => Plan::Business,
            _ => Plan::Enterprise,
        };
        let account = |number: usize| {
            let plan = plan(number);
            let limits: PurgeLimits = plan.purge_limits();
            Account {
                plan,
                flexible: flexible_bucket(&limits, 1.0),
                urls: url_bucket(&limits, 1.0),
                global: global_bucket(1.0),
                health: ApiHealth::new(),
                paused_until: 0,
                server: Server {
                    flexible: ServerBucket::new(limits.flexible_requests, limits.flexible_burst),
                    urls: ServerBucket::new(limits.urls, limits.urls.count),
                },
                waiting: 0,
            }
        };
        let zone = |number: usize| Zone {
            name: format!("zone{number}.example"),
            account: number % scenario.accounts,
            targets: Vec::new(),
            known: HashMap::new(),
            ready: Default::default(),
        };
        let mut simulation = Self {
            scenario,
            random: Random(scenario.seed),
            // Buckets count from 0, and are full long before their first use.
            now: 0,
            events: BinaryHeap::new(),
            numbers: 0,
            zones: (0..scenario.zones).map(zone).collect(),
            accounts: (0..scenario.accounts).map(account).collect(),
            flights: Vec::new(),
            retries: Vec::new(),
            in_flight: 0,
            searches: 0,
            turn: 0,
            report: BTreeMap::new(),
        };
        for producer in 0..scenario.producers {
            let at = simulation.random.below(scenario.change_every);
            simulation.at(at, Event::Change(producer));
        }
        let (begin, zones) = scenario.deployments;
        for zone in 0..zones {
            let at = begin + simulation.random.below(10 * MINUTE);
            simulation.at(at, Event::Deploy(zone));
        }
        simulation
    }

    fn at(&mut self, time: u64, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((time, self.numbers, event)));
    }

    fn report(&mut self, zone: usize) -> &mut PlanReport {
        let plan = self.accounts[self.zones[zone].account].plan;
        self.report.entry(plan).or_default()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Change(producer) => self.change(producer),
            Event::Deploy(zone) => self.deploy(zone),
            Event::Search => {
                self.searches -= 1;
                self.search();
            }
            Event::Arrive(flight) => self.arrive(flight),
            Event::Answer(flight, is_accepted) => self.answer(flight, is_accepted),
            Event::Retry(retry) => self.retry(retry),
        }
    }

    /// A producer changes content: mostly a few URLs of a page that changes often, and sometimes something else.
    fn change(&mut self, producer: usize) {
        // The rate is twice the average at the peak of the day, and almost zero at night.
        let phase = self.now as f64 / (24 * HOUR) as f64 * core::f64::consts::TAU;
        let busy = 1.0 - 0.9 * phase.cos();
        let pause = -self.random.unit().max(1e-9).ln() * self.scenario.change_every as f64 / busy;
        let next = self.now + pause as u64;
        if next < self.scenario.duration {
            self.at(next, Event::Change(producer));
        }
        let zone = producer % self.scenario.zones;
        let host = format!("www.{}", self.zones[zone].name);
        let page = (self.random.unit().powi(3) * 3000.0) as u64;
        match self.random.below(1000) {
            0 => self.store(zone, "hosts", host),
            1..6 => self.store(zone, "prefixes", format!("{host}/section{}", page % 20)),
            6..106 => self.store(zone, "tags", format!("section{}", page % 20)),
            _ => {
                for suffix in ["", "/amp", "/feed"].iter().take(1 + self.random.below(3) as usize) {
                    self.store(zone, "files", format!("https://{host}/section{}/{page}{suffix}", page % 20));
                }
            }
        }
        if self.random.below(100_000) == 0 {
            self.store(zone, "everything", String::new());
        }
    }

    /// Each producer of a zone requests everything that the deployment changed, and its host at the end.
    fn deploy(&mut self, zone: usize) {
        let host = format!("assets.{}", self.zones[zone].name);
        for _ in 0..self.scenario.producers / self.scenario.zones {
            for number in 0..self.scenario.deployment_urls {
                self.store(zone, "files", format!("https://{host}/build/{number}.js"));
            }
        }
        // Every second zone requests only URLs.
        if zone.is_multiple_of(2) {
            for _ in 0..self.scenario.producers / self.scenario.zones {
                self.store(zone, "hosts", host.clone());
            }
        }
    }

    fn store(&mut self, zone: usize, kind: &str, key: String) {
        self.numbers += 1;
        let (id, at) = (self.numbers, self.now);
        let state = &mut self.zones[zone];
        let subject = |key: &str| match Subject::parse(kind, key) {
            Some(Ok(subject)) => subject,
            _ => unreachable!("{kind} {key}"),
        };
        let number = kind_number(kind);
        let target = match state.known.get(&(number, key.clone())) {
            Some(target) => *target,
            None => {
                let request = NewRequest {
                    zone: state.name.clone(),
                    environment: None,
                    action: Action::Purge,
                    subject: subject(&key),
                    priority: 0,
                    delay: Duration::ZERO,
                    source: None,
                    event: None,
                };
                let host = host_of(&request.subject).map(std::borrow::Cow::into_owned);
                state.targets.push(TargetQueue { request, host, waiting: Vec::new() });
                state.known.insert((number, key), state.targets.len() - 1);
                state.targets.len() - 1
            }
        };
        self.push(zone, target, Waiting { id, at, attempts: 0 });
        let waiting = {
            let account = &mut self.accounts[self.zones[zone].account];
            account.waiting += 1;
            account.waiting
        };
        let report = self.report(zone);
        report.stored += 1;
        report.most_waiting = report.most_waiting.max(waiting);
        self.wake(POLL);
    }

    fn push(&mut self, zone: usize, target: usize, row: Waiting) {
        let zone = &mut self.zones[zone];
        let state = &mut zone.targets[target];
        let ready = &mut zone.ready[usize::from(kind_number(state.request.subject.kind()))];
        if let Some(first) = state.waiting.first() {
            if first.id <= row.id {
                state.waiting.push(row);
                return;
            }
            ready.remove(&(first.id, target));
        }
        state.waiting.insert(0, row);
        ready.insert((row.id, target));
    }

    fn take(&mut self, zone: usize, target: usize) -> Vec<Waiting> {
        let zone = &mut self.zones[zone];
        let state = &mut zone.targets[target];
        if let Some(first) = state.waiting.first() {
            zone.ready[usize::from(kind_number(state.request.subject.kind()))].remove(&(first.id, target));
        }
        core::mem::take(&mut state.waiting)
    }

    /// Makes an idle worker search within that time.
    fn wake(&mut self, within: u64) {
        if self.searches == 0 && self.in_flight < self.scenario.slots {
            let late = self.random_below(within);
            self.search_at(self.now + late);
        }
    }

    fn random_below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    fn search_at(&mut self, time: u64) {
        self.searches += 1;
        self.at(time, Event::Search);
    }

    /// Searches as a worker does: zones take turns, and within a zone the kinds that cover more go first.
    fn search(&mut self) {
        if self.in_flight >= self.scenario.slots {
            return;
        }
        self.turn += 1;
        let mut soonest: Option<u64> = None;
        for step in 0..self.zones.len() {
            let zone = (self.turn + step) % self.zones.len();
            for kind in 0..5 {
                if self.zones[zone].ready[kind].is_empty() {
                    continue;
                }
                match self.try_group(zone, kind) {
                    Ok(()) => {
                        self.wake(1000);
                        return;
                    }
                    Err(at) => soonest = Some(soonest.map_or(at, |soonest| soonest.min(at))),
                }
            }
        }
        if let Some(at) = soonest
            && self.searches == 0
        {
            self.search_at(at.clamp(self.now + 1000, self.now + POLL));
        }
    }

    fn try_group(&mut self, zone: usize, kind: usize) -> Result<(), u64> {
        let (now, is_urls) = (self.now, kind == 4);
        let account = &mut self.accounts[self.zones[zone].account];
        if account.paused_until > now {
            return Err(account.paused_until);
        }
        let limits = account.plan.purge_limits();
        let cap = match kind {
            0 => 1,
            4 => limits.urls_per_request,
            _ => limits.flexible_per_request,
        };
        let target_ids: Vec<usize> =
            self.zones[zone].ready[kind].iter().take(cap).map(|(_, target)| *target).collect();
        let count = u32::try_from(target_ids.len()).unwrap_or(u32::MAX);
        if is_urls {
            account.urls.take(now, count)?;
        } else {
            // Either both are taken or none.
            let mut flexible = account.flexible;
            flexible.take(now, 1)?;
            account.global.take(now, 1)?;
            account.flexible = flexible;
        }
        let mut rows = Vec::new();
        for target in &target_ids {
            rows.push((self.take(zone, *target), Vec::new()));
        }
        for (index, target) in target_ids.iter().enumerate() {
            rows[index].1 = self.take_covered(zone, *target);
        }
        let report = self.report(zone);
        if is_urls {
            report.urls.0 += u64::from(count);
        } else {
            report.flexible.0 += 1;
        }
        report.sent_requests += 1;
        report.sent_entries += u64::from(count);
        self.in_flight += 1;
        let flight = self.flights.iter().position(Option::is_none).unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[flight] = Some(Flight { zone, target_ids, rows, is_urls });
        let way = 10_000 + self.random_below(90_000);
        self.at(now + way, Event::Arrive(flight));
        Ok(())
    }

    fn take_covered(&mut self, zone: usize, target: usize) -> Covered {
        let state = &self.zones[zone];
        let accepted = &state.targets[target];
        let kind = accepted.request.subject.kind();
        if !["everything", "hosts", "prefixes"].contains(&kind) {
            return Vec::new();
        }
        let may = |other: &TargetQueue| kind == "everything" || other.host == accepted.host;
        let covered: Vec<usize> = state
            .ready
            .iter()
            .flatten()
            .map(|(_, target)| *target)
            .filter(|other| may(&state.targets[*other]))
            .filter(|other| covers(&accepted.request, &state.targets[*other].request))
            .collect();
        covered.into_iter().map(|target| (target, self.take(zone, target))).collect()
    }

    fn arrive(&mut self, flight: usize) {
        let (begin, end) = self.scenario.outage;
        let response_time = 10_000 + self.random_below(90_000);
        if (begin..end).contains(&self.now) {
            // Half of the requests hang until their timeout.
            let wait = if self.random.below(2) == 0 { 30 * SECOND } else { response_time };
            self.at(self.now + wait, Event::Answer(flight, false));
            return;
        }
        let Some(Flight { zone, is_urls, ref target_ids, .. }) = self.flights[flight] else { return };
        let count = target_ids.len() as u64;
        let server = &mut self.accounts[self.zones[zone].account].server;
        let is_allowed =
            if is_urls { server.urls.take(self.now, count) } else { server.flexible.take(self.now, 1) };
        if !is_allowed {
            self.report(zone).rate_limited += 1;
        }
        // One in a thousand fails at random.
        let is_accepted = is_allowed && self.random.below(1000) > 0;
        self.at(self.now + response_time, Event::Answer(flight, is_accepted));
    }

    fn answer(&mut self, flight: usize, is_accepted: bool) {
        let Some(Flight { zone, target_ids, rows, .. }) = self.flights[flight].take() else { return };
        self.in_flight -= 1;
        let outcome =
            if is_accepted { TargetOutcome::Accepted } else { TargetOutcome::Failed("no answer".to_owned()) };
        let now = self.now;
        let account = &mut self.accounts[self.zones[zone].account];
        if is_accepted {
            account.health.answered();
        } else {
            account.health.failed();
            let pause = account.health.pause(self.random.next());
            account.paused_until = account.paused_until.max(now + micros(pause));
        }
        let is_down = account.health.is_down();
        if !is_accepted {
            self.report(zone).failed += 1;
        }
        for (target, (same, covered)) in target_ids.into_iter().zip(rows) {
            let random = self.random.next();
            let mut after: Option<Duration> = None;
            let mut again = Vec::new();
            let count = same.len() as u64;
            let attempts = same.iter().map(|row| row.attempts).max().unwrap_or(0);
            let settlement = settle(&outcome, attempts, is_down, random);
            for row in same {
                match &settlement {
                    Settlement::Accepted => self.accepted(zone, row),
                    // As in a store, each request is judged by its own attempts.
                    Settlement::TryAgain { counts: true, .. } if row.attempts + 1 >= MAX_ATTEMPTS => {
                        self.report(zone).dead += 1;
                        self.accounts[self.zones[zone].account].waiting -= 1;
                    }
                    Settlement::TryAgain { after: wait, counts, .. } => {
                        after = Some(*wait);
                        again.push(Waiting { attempts: row.attempts + u32::from(*counts), ..row });
                    }
                    Settlement::Untouched => again.push(row),
                    Settlement::Dead { .. } => unreachable!("the simulated API refuses nothing"),
                }
            }
            if is_accepted {
                self.report(zone).same += count - 1;
            }
            for (target, rows) in covered {
                for row in rows {
                    if is_accepted {
                        self.report(zone).covered += 1;
                        self.accepted(zone, row);
                    } else {
                        self.push(zone, target, row);
                    }
                }
            }
            if !again.is_empty() {
                self.retries.push(Retry { zone, target, rows: again });
                let retry = self.retries.len() - 1;
                self.at(now + micros(after.unwrap_or_default()), Event::Retry(retry));
            }
        }
        self.wake(5000);
    }

    fn accepted(&mut self, zone: usize, row: Waiting) {
        let Scenario { deployments: (deployments, _), outage: (begin, end), .. } = *self.scenario;
        let time = match row.at {
            at if (deployments..deployments + 15 * MINUTE).contains(&at) => 1,
            at if (begin..end).contains(&at) => 2,
            _ => 0,
        };
        let wait = u32::try_from((self.now - row.at) / 1000).unwrap_or(u32::MAX);
        self.report(zone).waits[time].push(wait);
        self.accounts[self.zones[zone].account].waiting -= 1;
    }

    fn retry(&mut self, retry: usize) {
        let Retry { zone, target, ref mut rows } = self.retries[retry];
        for row in core::mem::take(rows) {
            self.push(zone, target, row);
        }
        self.wake(POLL);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn kind_number(kind: &str) -> u8 {
    rank(Kind::ALL.iter().copied().find(|known| known.field() == kind))
}
