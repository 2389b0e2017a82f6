//! The worker: claims requests, sends them, and settles them. Any number of workers may share one database; there is no
//! leader.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use cfcache_app::failure;
use cfcache_client::engine::{AttemptResult, Limiter, Reason};
use cfcache_client::{Error, ErrorKind, Event, PurgeScope, entries};
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::Cost;
use cfcache_model::id::EnvironmentId;
use cfcache_model::limits::{PurgeLimits, Rate};
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::target::Kind;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::account::{Account, Accounts, KnownZone, ZoneError};
use crate::engine::{ApiHealth, MAX_BLOCK, TargetOutcome, backoff, rank, settle};
use crate::health::Health;
use crate::metrics::{EndedRequest, MergeReason, Metrics};
use crate::request::Subject;
use crate::store::{Claim, DeadReason, NewDeadLetters, RequestGroup, Settlement, Store, Tokens};

/// How often an idle worker checks for requests.
const IDLE_POLL: Duration = Duration::from_millis(20);

/// The longest time until a worker checks again for requests that wait for tokens.
const MAX_TOKEN_WAIT: Duration = Duration::from_secs(1);

/// The number of zones that are looked up at the same time.
const MAX_LOOKUPS: usize = 8;

/// How often a search that waits for the store reports that the worker is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// How long a worker pauses after an error of the store.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How long a worker with a claim waits for tokens.
const TOKENS_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a claim is renewed.
const KEEP_INTERVAL: Duration = Duration::from_secs(3);

/// How long a zone or account is paused after the API refused its credentials.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How long nothing is sent after a rate limit answer without a waiting time.
const RATE_LIMITED_PAUSE: Duration = Duration::from_secs(30);

/// A worker. [`run`](Self::run) does its work.
#[derive(Debug)]
pub struct Worker {
    store: Arc<dyn Store>,
    accounts: Accounts,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    concurrency: usize,
    keep_interval: Duration,
    /// Held by the one task that searches for requests; the other tasks send, or wait for the lock.
    search: AsyncMutex<SearchState>,
    state: Mutex<WorkerState>,
}

/// The state of the search for requests.
#[derive(Debug, Default)]
struct SearchState {
    /// The index of the zone at which the next search starts, so that zones take turns.
    zone: usize,
    /// Whether the store failed the last time.
    is_broken: bool,
    /// Sends the groups whose zones must be looked up to [`Worker::run`].
    lookups: Option<mpsc::UnboundedSender<RequestGroup>>,
}

#[derive(Debug, Default)]
struct WorkerState {
    /// The budgets, accounts, and accounts with zones that are paused, by name, with the end of the pause.
    paused: HashMap<String, Instant>,
    /// The accounts, and accounts with zones, whose credentials were refused, with the account and the reason.
    refused: HashMap<String, (String, String)>,
    /// The accounts whose credentials the API accepted for at least one zone.
    accepted: HashSet<String>,
    /// The health of the API, by account.
    health: HashMap<String, ApiHealth>,
    /// The zones that are being looked up.
    looking_up: HashSet<String>,
    /// The number of consecutive claims that could not be settled.
    unsettled: u32,
}

/// The result of a search for requests.
enum SearchResult {
    Claim(Box<ClaimedWork>),
    /// Nothing can be sent for this time.
    Nothing(Duration),
}

/// Requests that can be sent, with their tokens.
struct ClaimedWork {
    group: RequestGroup,
    account: Arc<Account>,
    zone: KnownZone,
    claim: Box<dyn Claim>,
    tokens: Vec<Tokens>,
}

/// The result of sending.
struct Sent {
    outcomes: Vec<TargetOutcome>,
    /// How long nothing may be sent, if the API refused because of the rate.
    blocked_for: Option<Duration>,
    /// Why the credentials were refused, and whether the API does not know them at all.
    refused: Option<(String, bool)>,
    requests: u64,
    elapsed: Duration,
}

impl Worker {
    /// Creates a worker that takes requests from `store` and sends them with the credentials of `accounts`. At most
    /// `concurrency` API requests are in flight, and at least one.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        accounts: Accounts,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        concurrency: usize,
    ) -> Self {
        Self {
            store,
            accounts,
            metrics,
            health,
            concurrency: concurrency.max(1),
            keep_interval: KEEP_INTERVAL,
            search: AsyncMutex::default(),
            state: Mutex::default(),
        }
    }

    /// Sets how often a claim is renewed.
    #[must_use]
    pub const fn with_keep_interval(mut self, keep_interval: Duration) -> Self {
        self.keep_interval = keep_interval;
        self
    }

    /// Works until `stop` is true, then finishes and settles what is in flight. If the future is dropped, requests in
    /// flight are abandoned and will be sent again.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let (sender, mut groups) = mpsc::unbounded_channel();
        self.search.lock().await.lookups = Some(sender);
        let (mut tasks, mut lookups) = (JoinSet::new(), JoinSet::new());
        for _ in 0..self.concurrency {
            tasks.spawn(Arc::clone(&self).work(stop.clone()));
        }
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(ended) => resume_panic(ended),
                    // Lookups in progress are abandoned.
                    None => break,
                },
                Some(ended) = lookups.join_next() => resume_panic(ended),
                Some(group) = groups.recv() => {
                    lookups.spawn(Arc::clone(&self).look_up_in_background(group));
                }
            }
        }
        self.health.worker_ended();
    }

    async fn work(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while let Some(work) = self.next(&mut stop).await {
            self.send_and_settle(*work, &stop).await;
        }
    }

    /// Waits for requests. Returns `None` when the worker stops.
    async fn next(&self, stop: &mut watch::Receiver<bool>) -> Option<Box<ClaimedWork>> {
        let mut search = tokio::select! {
            search = self.search.lock() => search,
            () = stopped(stop) => return None,
        };
        loop {
            if *stop.borrow() {
                return None;
            }
            let result = {
                let mut searching = pin!(self.search(&mut search));
                loop {
                    self.health.worker_iterated(Instant::now());
                    tokio::select! {
                        result = searching.as_mut() => break result,
                        // The store may take long to answer, or to fail.
                        () = sleep(ALIVE_INTERVAL) => {}
                        () = stopped(stop) => return None,
                    }
                }
            };
            let wait = match result {
                Ok(SearchResult::Claim(work)) => return Some(work),
                Ok(SearchResult::Nothing(wait)) => wait,
                Err(error) => {
                    if !std::mem::replace(&mut search.is_broken, true) {
                        error!(%error, "the store cannot be used; trying again");
                    }
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(stop) => return None,
            }
        }
    }

    /// Searches the ready groups: zones take turns, and within a zone the kinds that cover more go first.
    async fn search(&self, search: &mut SearchState) -> Result<SearchResult, crate::store::StoreError> {
        let mut groups = self.store.ready_groups().await?;
        if std::mem::take(&mut search.is_broken) {
            info!("the store works again");
        }
        groups.sort_by(|one, other| (&one.zone, rank(one.kind)).cmp(&(&other.zone, rank(other.kind))));
        let mut zones: Vec<Vec<RequestGroup>> = Vec::new();
        for group in groups {
            match zones.last_mut().filter(|zone| zone[0].zone == group.zone) {
                Some(zone) => zone.push(group),
                None => zones.push(vec![group]),
            }
        }
        if zones.is_empty() {
            return Ok(SearchResult::Nothing(IDLE_POLL));
        }
        search.zone = search.zone.wrapping_add(1) % zones.len();
        zones.rotate_left(search.zone);
        let mut wait = MAX_TOKEN_WAIT;
        for group in zones.concat() {
            match self.try_group(&group, &search.lookups).await? {
                SearchResult::Claim(work) => return Ok(SearchResult::Claim(work)),
                SearchResult::Nothing(until) => wait = wait.min(until),
            }
        }
        Ok(SearchResult::Nothing(wait.max(Duration::from_millis(1)).min(IDLE_POLL)))
    }

    /// Claims requests of a group, and takes the tokens for them.
    async fn try_group(
        &self,
        group: &RequestGroup,
        lookups: &Option<mpsc::UnboundedSender<RequestGroup>>,
    ) -> Result<SearchResult, crate::store::StoreError> {
        let account = self.accounts.of_zone(&group.zone);
        let names = [account.name.clone(), zone_name(&account, group)];
        if let Some(wait) = self.paused(names.iter()) {
            return Ok(SearchResult::Nothing(wait));
        }
        let Some(zone) = self.accounts.known(&account, &group.zone) else {
            if let Some(wait) = self.paused(std::iter::once(&account.call().budget)) {
                return Ok(SearchResult::Nothing(wait));
            }
            // A lookup may take as long as the timeout of an API request. Other zones do not wait for it.
            let mut state = self.state();
            if state.looking_up.len() < MAX_LOOKUPS && state.looking_up.insert(group.zone.clone()) {
                // A send fails only after the worker has ended.
                lookups.iter().for_each(|lookups| drop(lookups.send(group.clone())));
            }
            return Ok(SearchResult::Nothing(IDLE_POLL));
        };
        let limit = max_targets(&zone, group.kind);
        let budgets = account.cost(zone.plan, group.kind, limit);
        if let Some(wait) = self.paused(budgets.iter().map(|tokens| &tokens.budget)) {
            return Ok(SearchResult::Nothing(wait));
        }
        let Some(claim) = self.store.claim(group, limit).await? else {
            return Ok(SearchResult::Nothing(IDLE_POLL));
        };
        let is_live = |claimed: &&crate::store::ClaimedTarget| !claimed.request.is_expired;
        let targets = claim.requests().iter().filter(is_live).count();
        let tokens = account.cost(zone.plan, group.kind, targets);
        // With a connection pool in between, every connection may be used by workers that hold a claim and wait for
        // another connection. So this worker gives up in time.
        let wait = match targets {
            0 => Duration::ZERO,
            _ => match timeout(TOKENS_TIMEOUT, self.store.take_tokens(&tokens)).await {
                Ok(wait) => wait?,
                Err(_) => {
                    warn!(
                        "no connection was available to take tokens: are there fewer connections than claims?"
                    );
                    STORE_PAUSE.mul_f64(1.0 + (random() % 1000) as f64 / 1000.0)
                }
            },
        };
        if wait.is_zero() {
            return Ok(SearchResult::Claim(Box::new(ClaimedWork {
                group: group.clone(),
                account,
                zone,
                claim,
                tokens,
            })));
        }
        let settlements = vec![Settlement::Untouched; claim.requests().len()];
        self.report_dead(group, claim.settle(settlements).await?);
        let until = Instant::now() + wait;
        let mut state = self.state();
        for tokens in tokens {
            state.paused.insert(tokens.budget, until);
        }
        Ok(SearchResult::Nothing(wait))
    }

    /// Looks up the zone of a group, while the worker searches and sends for other zones.
    async fn look_up_in_background(self: Arc<Self>, group: RequestGroup) {
        let account = self.accounts.of_zone(&group.zone);
        if let Err(error) = self.look_up(&account, &group).await {
            warn!(%error, zone = group.zone, "the zone could not be looked up; trying again");
            self.pause(&zone_name(&account, &group), STORE_PAUSE);
        }
        self.state().looking_up.remove(&group.zone);
    }

    /// Looks up the zone of a group. If there is no such zone, gives up requests of the group.
    async fn look_up(&self, account: &Account, group: &RequestGroup) -> Result<(), crate::store::StoreError> {
        let call = [account.call()];
        let wait = self.store.take_tokens(&call).await?;
        if !wait.is_zero() {
            self.pause(&call[0].budget, wait);
            return Ok(());
        }
        let name = zone_name(account, group);
        let error = match self.accounts.look_up(account, &group.zone).await {
            Ok(()) => {
                self.credentials_accepted(account, group);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_refused()
            && let ZoneError::Call(error) = &error
        {
            self.credentials_refused(account, group, error);
            return Ok(());
        }
        match error {
            ZoneError::None(why) => {
                warn!(zone = group.zone, why, "requests for this zone cannot be sent");
                if let Some(claim) = self.store.claim(group, 1000).await? {
                    let error = format!("zone `{}`: {why}", group.zone);
                    let dead = Settlement::Dead { reason: DeadReason::Refused, error };
                    let settlements = vec![dead; claim.requests().len()];
                    self.report_dead(group, claim.settle(settlements).await?);
                }
                // Requests that arrive for it in the meantime should not cause an API call each.
                self.pause(&name, MAX_TOKEN_WAIT);
            }
            ZoneError::Call(error) if error.kind() == ErrorKind::RateLimited => {
                let wait = retry_after(&error).unwrap_or(RATE_LIMITED_PAUSE).min(MAX_BLOCK);
                self.store.block_budgets(&[call[0].budget.clone()], wait).await?;
                self.pause(&call[0].budget, wait);
            }
            ZoneError::Call(error) => {
                warn!(zone = group.zone, %error, "the zone could not be looked up; trying again");
                let pause = self.api_failed(account);
                self.pause(&name, pause.max(STORE_PAUSE));
            }
        }
        Ok(())
    }

    /// Sends the claimed requests, and settles them according to the result.
    async fn send_and_settle(&self, work: ClaimedWork, stop: &watch::Receiver<bool>) {
        let ClaimedWork { group, account, zone, mut claim, tokens } = work;
        let begun = Instant::now();
        let sent = {
            let claimed = claim.requests().iter().enumerate();
            let live = claimed.filter(|(_, claimed)| !claimed.request.is_expired);
            let subjects: Vec<(usize, Subject)> =
                live.map(|(index, claimed)| (index, claimed.request.request.subject.clone())).collect();
            let count = claim.requests().len();
            let mut sending = pin!(self.send(&group, &account, &zone, subjects, count, stop.clone()));
            loop {
                tokio::select! {
                    sent = sending.as_mut() => break sent,
                    () = sleep(self.keep_interval) => {
                        self.health.worker_iterated(Instant::now());
                        let kept = timeout(self.keep_interval, claim.keep()).await;
                        if let Ok(Err(error)) = kept {
                            debug!(%error, "a claim was lost while its requests were being sent");
                        }
                    }
                }
            }
        };
        let settlements = self.settlements(&group, &account, &*claim, &sent, begun);
        let merged: Vec<(u64, u64)> =
            claim.requests().iter().map(|claimed| (claimed.same, claimed.covered)).collect();
        let ages: Vec<Duration> = claim.requests().iter().map(|claimed| claimed.request.age).collect();
        // The claim is settled first: correcting the budget needs another connection.
        if let Some(wait) = sent.blocked_for {
            tokens.iter().for_each(|tokens| self.pause(&tokens.budget, wait));
        }
        let settled = claim.settle(settlements.clone()).await;
        if let Err(error) = self.after_sending(&group, &account, &tokens, &sent).await {
            warn!(%error, "the budget could not be corrected");
        }
        match settled {
            Ok(dead) => {
                self.state().unsettled = 0;
                self.report_dead(&group, dead);
            }
            Err(error) => {
                // A store may allow claims, but no settlements: a full disk, for example. Without a pause, the same
                // requests would use up the limits of the account.
                let mut state = self.state();
                let wait = backoff(state.unsettled, random());
                state.unsettled = state.unsettled.saturating_add(1);
                state.paused.insert(zone_name(&account, &group), Instant::now() + wait);
                drop(state);
                let seconds = wait.as_secs_f64();
                let zone = &group.zone;
                warn!(%error, zone, seconds, "sent requests could not be settled and will be sent again");
                return;
            }
        }
        for ((settlement, (same, covered)), age) in settlements.iter().zip(merged).zip(ages) {
            match settlement {
                Settlement::Accepted => {
                    self.metrics.merged(MergeReason::Same, same);
                    self.metrics.merged(MergeReason::Covered, covered);
                    self.metrics.waited(age + begun.elapsed());
                }
                Settlement::Dead { .. } | Settlement::Untouched | Settlement::TryAgain { .. } => {}
            }
        }
    }

    /// Counts and logs new dead letters.
    fn report_dead(&self, group: &RequestGroup, dead: Vec<NewDeadLetters>) {
        let mut counts: BTreeMap<(DeadReason, String), u64> = BTreeMap::new();
        for NewDeadLetters { reason, error, requests } in dead {
            *counts.entry((reason, error)).or_default() += requests;
        }
        for ((reason, error), requests) in counts {
            self.metrics.dead(reason.as_str(), requests);
            warn!(zone = group.zone, reason = reason.as_str(), requests, error, "requests were given up");
        }
    }

    async fn send(
        &self,
        group: &RequestGroup,
        account: &Account,
        zone: &KnownZone,
        subjects: Vec<(usize, Subject)>,
        count: usize,
        mut stop: watch::Receiver<bool>,
    ) -> Sent {
        let mut sent = Sent {
            outcomes: vec![TargetOutcome::NotSent; count],
            blocked_for: None,
            refused: None,
            requests: 0,
            elapsed: Duration::ZERO,
        };
        let environment = match group.environment.as_deref().map(EnvironmentId::parse).transpose() {
            Ok(environment) => environment,
            Err(invalid) => {
                sent.outcomes = vec![TargetOutcome::Refused(format!("the environment: {invalid}")); count];
                return sent;
            }
        };
        if subjects.is_empty() {
            return sent;
        }
        let begun = Instant::now();
        let limiter = Arc::new(PrepaidLimiter::default());
        let client = account.client.clone().with_limiter(Arc::clone(&limiter) as Arc<dyn Limiter>);
        let Some(kind) = group.kind else {
            let scope = PurgeScope::new(group.action, zone.id.clone(), Kind::Files, BatchLimits::new(1))
                .with_environment(environment);
            let result = client.call(&scope.request(&PurgeBody::Everything), &mut ()).await;
            sent.requests = 1;
            let outcome = match &result {
                Ok(_) => TargetOutcome::Accepted,
                Err(error) => {
                    sent.record(error);
                    TargetOutcome::from_error(error, 1)
                }
            };
            subjects.iter().for_each(|(index, _)| sent.outcomes[*index] = outcome.clone());
            sent.finish(&limiter, begun);
            return sent;
        };
        let limits = BatchLimits::from_plan(zone.plan.purge_limits(), kind);
        let scope = PurgeScope::new(group.action, zone.id.clone(), kind, limits)
            .with_environment(environment)
            .with_patience(None);
        let targets = subjects.into_iter().filter_map(|(index, subject)| match subject {
            Subject::Target(target) => {
                Some(Entry::new(target.clone(), &target.text()).with_tag(index as u64))
            }
            Subject::Everything => None,
        });
        let targets: Vec<Entry> = targets.collect();
        let mut observer = |event: Event<'_>| {
            if let Event::Ended(outcome) = event {
                let each = match &outcome.result {
                    Ok(()) => TargetOutcome::Accepted,
                    Err(error) => {
                        sent.record(error);
                        TargetOutcome::from_error(error, outcome.batch.len())
                    }
                };
                for entry in outcome.batch.entries() {
                    if let Some(place) =
                        usize::try_from(entry.tag).ok().and_then(|tag| sent.outcomes.get_mut(tag))
                    {
                        *place = each.clone();
                    }
                }
            }
        };
        let interrupt = async { stopped(&mut stop).await };
        let summary = client.run(&scope, entries(targets), interrupt, &mut observer).await;
        sent.requests = summary.requests;
        sent.finish(&limiter, begun);
        sent
    }

    /// Returns the settlement of each claimed request.
    fn settlements(
        &self,
        group: &RequestGroup,
        account: &Account,
        claim: &dyn Claim,
        sent: &Sent,
        begun: Instant,
    ) -> Vec<Settlement> {
        let is_down = self.update_health(account, sent);
        let expired = || Settlement::Dead {
            reason: DeadReason::Expired,
            error: "it waited longer than the maximum age".to_owned(),
        };
        let settlements = claim.requests().iter().zip(&sent.outcomes).map(|(claimed, outcome)| {
            if claimed.request.is_expired {
                return expired();
            }
            settle(outcome, claimed.attempts, is_down, random())
        });
        let settlements: Vec<Settlement> = settlements.collect();
        if sent.requests == 0 {
            return settlements;
        }
        let is = |wanted: fn(&TargetOutcome) -> bool| {
            sent.outcomes.iter().filter(|outcome| wanted(outcome)).count()
        };
        let accepted = is(|outcome| matches!(outcome, TargetOutcome::Accepted));
        let refused = is(|outcome| matches!(outcome, TargetOutcome::Refused(_)));
        let failed = is(|outcome| matches!(outcome, TargetOutcome::Failed(_)));
        let rest = sent.outcomes.len() - accepted - refused - failed;
        self.metrics.attempt("accepted", accepted as u64);
        self.metrics.attempt("refused", refused as u64);
        self.metrics.attempt("failed", failed as u64);
        let is_rate_limited = sent.blocked_for.is_some();
        self.metrics.attempt(if is_rate_limited { "rate_limited" } else { "unknown" }, rest as u64);
        let outcome = match () {
            () if is_rate_limited => "rate_limited",
            () if failed > 0 => "failed",
            () if accepted > 0 => "accepted",
            () => "refused",
        };
        let kind = group.kind.map_or("everything", Kind::field);
        #[expect(clippy::disallowed_methods, reason = "the status page shows it")]
        let at = std::time::SystemTime::now();
        let items = sent.outcomes.len() as u64;
        debug!(zone = group.zone, kind, items, outcome, elapsed = ?begun.elapsed(), "sent");
        self.metrics.purge(EndedRequest {
            at,
            zone: group.zone.clone(),
            kind,
            items,
            outcome,
            elapsed: sent.elapsed,
        });
        settlements
    }

    /// Updates the health of the API. Returns whether the API counts as down.
    fn update_health(&self, account: &Account, sent: &Sent) -> bool {
        let is_answered =
            |outcome: &TargetOutcome| matches!(outcome, TargetOutcome::Accepted | TargetOutcome::Refused(_));
        let has_failed = sent.outcomes.iter().any(|outcome| matches!(outcome, TargetOutcome::Failed(_)));
        let mut state = self.state();
        let health = state.health.entry(account.name.clone()).or_default();
        if sent.outcomes.iter().any(is_answered) {
            health.answered();
        } else if has_failed {
            health.failed();
        }
        let (is_down, pause) = (health.is_down(), health.pause(random()));
        if has_failed && !pause.is_zero() {
            state.paused.insert(account.name.clone(), Instant::now() + pause);
        }
        is_down
    }

    fn api_failed(&self, account: &Account) -> Duration {
        let mut state = self.state();
        let health = state.health.entry(account.name.clone()).or_default();
        health.failed();
        health.pause(random())
    }

    /// Corrects the budgets, and records refused credentials.
    async fn after_sending(
        &self,
        group: &RequestGroup,
        account: &Account,
        tokens: &[Tokens],
        sent: &Sent,
    ) -> Result<(), crate::store::StoreError> {
        match &sent.refused {
            Some((why, is_unknown)) => self.refuse(account, group, why, *is_unknown),
            None if sent.outcomes.contains(&TargetOutcome::Accepted) => {
                self.credentials_accepted(account, group)
            }
            None => {}
        }
        if let Some(wait) = sent.blocked_for {
            warn!(account = account.name, seconds = wait.as_secs_f64(), "the API reports too many requests");
            let names: Vec<String> = tokens.iter().map(|tokens| tokens.budget.clone()).collect();
            self.store.block_budgets(&names, wait).await?;
        } else if sent.requests > 1 {
            // A batch that was refused because of one part was sent again in parts, and their tokens were not taken
            // yet.
            let more = u32::try_from(sent.requests - 1).unwrap_or(u32::MAX);
            let again =
                |tokens: &Tokens| Tokens { count: tokens.count.saturating_mul(more), ..tokens.clone() };
            let again: Vec<Tokens> = tokens.iter().map(again).collect();
            let wait = self.store.take_tokens(&again).await?;
            if !wait.is_zero() {
                tokens.iter().for_each(|tokens| self.pause(&tokens.budget, wait));
            }
        }
        Ok(())
    }

    fn credentials_refused(&self, account: &Account, group: &RequestGroup, error: &Error) {
        let is_unknown = error.failure().is_some_and(|failure| failure.status == 401);
        self.refuse(account, group, &with_hint(error), is_unknown);
    }

    fn refuse(&self, account: &Account, group: &RequestGroup, why: &str, is_unknown: bool) {
        let name = if is_unknown { account.name.clone() } else { zone_name(account, group) };
        let seconds = REFUSED_PAUSE.as_secs();
        let zone = &group.zone;
        error!(
            account = account.name,
            zone,
            seconds,
            why,
            "the API refuses the credentials that were read at the start; trying again later"
        );
        let mut state = self.state();
        if is_unknown {
            state.accepted.remove(&account.name);
        }
        state.paused.insert(name.clone(), Instant::now() + REFUSED_PAUSE);
        state.refused.insert(name, (account.name.clone(), why.to_owned()));
        self.report_credentials(&state);
    }

    fn credentials_accepted(&self, account: &Account, group: &RequestGroup) {
        let mut state = self.state();
        let account_was = state.refused.remove(&account.name).is_some();
        let zone_was = state.refused.remove(&zone_name(account, group)).is_some();
        state.accepted.insert(account.name.clone());
        if account_was || zone_was {
            info!(account = account.name, zone = group.zone, "the API accepts the credentials again");
        }
        self.report_credentials(&state);
    }

    /// Reports refused credentials. One zone that is refused, which may be any text that a source sent, does not stop
    /// the others, so it does not make the process unready.
    fn report_credentials(&self, state: &WorkerState) {
        let first = state.refused.iter().find(|(_, (account, _))| !state.accepted.contains(account));
        self.health.set_credentials(match first {
            Some((name, (_, why))) => Err(format!("{name}: {why}")),
            None => Ok(()),
        });
    }

    /// Returns the longest remaining pause of these names.
    fn paused<'a>(&self, names: impl Iterator<Item = &'a String>) -> Option<Duration> {
        let (now, state) = (Instant::now(), self.state());
        let left =
            names.filter_map(|name| state.paused.get(name)).map(|until| until.saturating_duration_since(now));
        left.max().filter(|left| !left.is_zero())
    }

    fn pause(&self, name: &str, wait: Duration) {
        self.state().paused.insert(name.to_owned(), Instant::now() + wait);
    }

    fn state(&self) -> MutexGuard<'_, WorkerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// Records what an error says about the whole account.
    fn record(&mut self, error: &Error) {
        match error.kind() {
            ErrorKind::RateLimited => {
                let wait = retry_after(error).unwrap_or(Duration::ZERO);
                self.blocked_for = Some(self.blocked_for.unwrap_or_default().max(wait));
            }
            ErrorKind::Credentials => {
                let is_unknown = error.failure().is_some_and(|failure| failure.status == 401);
                self.refused = Some((with_hint(error), is_unknown));
            }
            _ => {}
        }
    }

    fn finish(&mut self, limiter: &PrepaidLimiter, begun: Instant) {
        self.elapsed = begun.elapsed();
        if let Some(wait) = &mut self.blocked_for {
            let told = limiter.retry_after().map_or(*wait, |told| told.max(*wait));
            *wait = if told.is_zero() { RATE_LIMITED_PAUSE } else { told.min(MAX_BLOCK) };
        }
    }
}

/// A limiter for requests whose tokens were taken before. It never waits, and records the waiting time that the API
/// demands.
#[derive(Default)]
struct PrepaidLimiter {
    retry_after: Mutex<Option<Duration>>,
}

impl PrepaidLimiter {
    fn retry_after(&self) -> Option<Duration> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PrepaidLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrepaidLimiter").finish_non_exhaustive()
    }
}

impl Limiter for PrepaidLimiter {
    fn acquire(&self, _now: Duration, _cost: Cost) -> Result<(), Reason> {
        Ok(())
    }

    fn ready_at(&self, now: Duration, _cost: Cost) -> Option<Duration> {
        Some(now)
    }

    fn complete(
        &self,
        _now: Duration,
        _sent: Duration,
        _cost: Cost,
        result: AttemptResult,
    ) -> Option<Duration> {
        if let AttemptResult::RateLimited { retry_after } = result {
            let mut longest = self.retry_after.lock().unwrap_or_else(PoisonError::into_inner);
            *longest = (*longest).max(retry_after);
        }
        None
    }

    fn abandon(&self, _requests: usize) {}

    fn held_until(&self, _now: Duration) -> Option<Duration> {
        None
    }

    fn set_global_quota(&self, _quota: Rate) {}

    fn set_limits(&self, _now: Duration, _limits: Option<PurgeLimits>) {}

    fn random(&self) -> u64 {
        random()
    }

    fn version(&self) -> u64 {
        0
    }

    fn poll_changed(&self, _seen: u64, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Returns the waiting time in the body of the answer, if any.
fn retry_after(error: &Error) -> Option<Duration> {
    error.failure().and_then(|failure| failure.retry_after).map(Duration::from_secs)
}

/// Returns the maximum number of targets in one API request.
fn max_targets(zone: &KnownZone, kind: Option<Kind>) -> usize {
    kind.map_or(1, |kind| BatchLimits::from_plan(zone.plan.purge_limits(), kind).items)
}

fn zone_name(account: &Account, group: &RequestGroup) -> String {
    format!("{}/{}", account.name, group.zone)
}

/// Completes when the worker must stop. Never completes if the sender was dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns the text of an error, and what to do about it.
fn with_hint(error: &Error) -> String {
    match failure::hint(error) {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// Continues the panic of a task.
fn resume_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
