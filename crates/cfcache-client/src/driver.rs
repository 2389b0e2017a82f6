//! The engine driven over a transport: the only file that awaits.

use core::error::Error as StdError;
use core::future::poll_fn;
use core::pin::pin;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Cost, Descriptor, Endpoint, Parts, encode};
use cfcache_model::envelope::ResponseInfo;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::{Batch, Entry, InvalidBatch, Planner};
use cfcache_model::verdict::{Answer, Class, Failure, Verdict, judge, judge_status};
use cfcache_transport::{Operation, Request, Response, Transport, TransportError};
use futures_core::Stream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::auth::Redactor;
use crate::codec::Codec;
use crate::engine::{
    AttemptResult, Decision, Ended, Engine, Policy, RateLimiter, Reason, Step, Stop, Ticket,
};
use crate::error::{Error, ErrorCause, ErrorKind};
use crate::event::{Event, Exchange, Observer, Outcome};
use crate::rate_headers::RateHeaders;
use crate::run::PurgeScope;
use crate::summary::Summary;

/// How often credentials that worked before are tried again, once they are refused.
const CREDENTIAL_TRIES: u32 = 3;

/// Asks the API, at the pace that it allows.
///
/// Clones, and all calls and runs of them, share one pace, as they share the account's limits.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    codec: Arc<Codec>,
    policy: Policy,
    pace: RateLimiter,
    /// Wakes those that wait for limits which have changed.
    wake: Arc<Notify>,
    started: Instant,
}

impl Client {
    /// A client that sends what `codec` writes over `transport`.
    ///
    /// What the API says is shown without the credentials that `codec` was given.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, codec: Codec, policy: Policy) -> Self {
        Self {
            transport,
            codec: Arc::new(codec),
            pace: RateLimiter::new(policy.limits),
            wake: Arc::default(),
            policy,
            started: Instant::now(),
        }
    }

    /// What all calls and runs of this client and its clones are paced by. Its clock is [`Client::now`].
    #[must_use]
    pub const fn pace(&self) -> &RateLimiter {
        &self.pace
    }

    /// Paces by other limits from now on, in runs that are under way as well: for when the plan becomes known.
    pub fn set_limits(&self, limits: PurgeLimits) {
        self.pace.set_limits(self.now(), Some(limits));
        self.wake.notify_waiters();
    }

    /// How long it is since the client was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks one thing, trying again as the policy and the endpoint allow.
    ///
    /// # Errors
    ///
    /// [`Error`] where the API did not say that it was done.
    pub async fn call<E: Endpoint>(
        &self,
        request: &E,
        observer: &mut dyn Observer,
    ) -> Result<Answer<E::Reply>, Error> {
        let descriptor = request.descriptor();
        let letter = Letter::new(encode(request));
        let mut waits = Waits::default();
        let mut unclear = false;
        let mut engine = Engine::sharing(self.policy.clone(), self.pace.clone());
        engine.offer((), request.cost(), descriptor.replay);
        engine.finish();
        loop {
            let woken = self.wake.notified();
            match engine.next(self.now()) {
                Step::Send(ticket) => {
                    let operation = Operation::new(descriptor.name).with_attempt(engine.attempt(ticket));
                    let message = match self.codec.request(&letter.parts, letter.body.clone()) {
                        Ok(message) => message,
                        Err(error) => return Err(Error::new(descriptor, ErrorCause::Unwritable(error))),
                    };
                    observer.on(Event::Sent { in_flight: engine.in_flight() });
                    let sent = Instant::now();
                    let result = self.transport.send(Request::new(operation.clone(), message)).await;
                    let reading = self.read(request, &letter, &operation, sent.elapsed(), result, observer);
                    let now = self.now();
                    match engine.settle(now, ticket, reading.signal) {
                        Decision::Ended(mut ended) => {
                            ended.unclear |= unclear;
                            let error = |cause| error(descriptor, cause, &ended, reading.ray);
                            return reading.result.map_err(error);
                        }
                        Decision::Again { at, holds_all } => {
                            unclear |= reading.result.as_ref().is_err_and(is_unclear);
                            if let Err(cause) = &reading.result {
                                let (wait, attempt) = (at.saturating_sub(now), operation.attempt);
                                let tries = self.tries();
                                observer.on(Event::Again { wait, holds_all, attempt, tries, cause });
                            }
                        }
                    }
                }
                Step::Wait { until, reason, .. } => {
                    waits.tell(self.now(), until, reason, observer);
                    tokio::select! {
                        () = self.sleep_until(until) => {}
                        () = woken => {}
                    }
                }
                // A call ends above, unless it was stopped by something that is not there.
                Step::Done => {
                    return Err(Error::new(descriptor, ErrorCause::Stopped(Stop::Interrupted)));
                }
            }
        }
    }

    /// Purges or invalidates a stream of targets: cut into batches, at the pace that the limits allow, until each entry
    /// has been accepted or has failed.
    ///
    /// - The stream gives entries in chunks of any size ([`entries`](crate::entries) makes one from an iterator). It is
    ///   read as fast as batches can be sent, and no faster: memory does not grow with the input. Where it keeps one
    ///   waiting for [`PurgeScope::patience`], and nothing else is left to send, a batch goes out that is not full.
    /// - When `interrupt` completes, nothing more is read or sent, what is in flight is waited for, and the rest fails
    ///   as interrupted. Dropping the run gives up what is in flight as well.
    /// - Everything is told to `observer` as it happens; the tally that comes back is what it comes to.
    ///
    /// # Examples
    ///
    /// [`Stream`] is that of `futures-core` 0.3, which `futures` and `tokio-stream` have under their own names: what they
    /// make will do. Without them a channel takes a few lines:
    ///
    /// ```
    /// use core::pin::Pin;
    /// use core::task::{Context, Poll};
    ///
    /// use cfcache_client::{Client, Event, PurgeScope, Summary};
    /// use cfcache_model::plan::Entry;
    /// use cfcache_model::target::File;
    /// use futures_core::Stream;
    /// use tokio::sync::mpsc;
    ///
    /// /// Pages, as they are made.
    /// struct Pages(mpsc::Receiver<File>);
    ///
    /// impl Stream for Pages {
    ///     type Item = Vec<Entry>;
    ///
    ///     fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
    ///         self.0.poll_recv(context).map(|page| Some(vec![page?.into()]))
    ///     }
    /// }
    ///
    /// async fn purge(client: &Client, run: &PurgeScope, pages: mpsc::Receiver<File>) -> Summary {
    ///     client.run(run, Pages(pages), core::future::pending(), &mut |_: Event<'_>| {}).await
    /// }
    /// # use std::sync::Arc;
    /// # use cfcache_client::engine::Policy;
    /// # use cfcache_client::{Codec, DEFAULT_BASE_URL};
    /// # use cfcache_model::endpoint::Action;
    /// # use cfcache_model::plan::BatchLimits;
    /// # use cfcache_model::{Kind, Plan, ZoneId};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = cfcache_transport::RecordingTransport::new(|_| {
    /// #     let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"…"}}"#;
    /// #     Ok(http::Response::new(bytes::Bytes::from(body)))
    /// # });
    /// # let codec = Codec::new(DEFAULT_BASE_URL.parse()?, None, "example/1.0");
    /// # let client = Client::new(Arc::new(transport), codec, Policy::default());
    /// # let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
    /// # let run = PurgeScope::new(Action::Purge, zone, Kind::Files, BatchLimits::from_plan(Plan::Free.purge_limits(), Kind::Files));
    /// let (sender, pages) = mpsc::channel(100);
    /// tokio::spawn(async move {
    ///     for page in ["https://www.example.com/", "https://www.example.com/about"] {
    ///         sender.send(File::parse(page).unwrap()).await.unwrap();
    ///     }
    /// });
    /// let tally = purge(&client, &run, pages).await;
    /// assert_eq!((tally.items, tally.accepted, tally.requests), (2, 2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run(
        &self,
        run: &PurgeScope,
        input: impl Stream<Item = Vec<Entry>>,
        interrupt: impl Future<Output = ()>,
        observer: &mut dyn Observer,
    ) -> Summary {
        let mut observer = Tallied { tally: Summary::default(), stopped: false, inner: observer };
        let mut waits = Waits::default();
        let mut flights = JoinSet::new();
        let mut state = Running {
            client: self,
            run,
            descriptor: run.request(&PurgeBody::Everything).descriptor(),
            path: Letter::new(encode(&run.request(&PurgeBody::Everything))).parts,
            engine: Engine::sharing(self.policy.clone(), self.pace.clone()),
            planner: Planner::new(run.kind, run.caps),
            pending_since: None,
            numbers: 0,
        };
        let mut input = pin!(input);
        let mut interrupt = pin!(interrupt);
        let mut interrupted = false;
        loop {
            state.abandon(&mut observer);
            let woken = self.wake.notified();
            match state.engine.next(self.now()) {
                Step::Send(ticket) => state.launch(ticket, &mut flights, &mut observer),
                Step::Wait { until, hungry, reason } => {
                    waits.tell(self.now(), until, reason, &mut observer);
                    let enough = if hungry { state.patience_ends() } else { None };
                    tokio::select! {
                        biased;
                        () = &mut interrupt, if !interrupted => {
                            interrupted = true;
                            state.stop(Stop::Interrupted, &mut observer);
                        }
                        Some(landed) = flights.join_next(), if !flights.is_empty() => match landed {
                            Ok(landed) => state.land(landed, &mut observer),
                            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                            // Nobody aborts flights but the drop of this future.
                            Err(_) => {}
                        },
                        chunk = poll_fn(|context| input.as_mut().poll_next(context)), if hungry => {
                            state.feed(chunk, &mut observer);
                            // An input that is always ready would else leave no room for anything beside it.
                            consume_budget().await;
                        }
                        () = self.sleep_until(enough), if enough.is_some() => state.finish(&mut observer),
                        () = self.sleep_until(until), if until.is_some() => {}
                        () = woken => {}
                    }
                }
                Step::Done => break,
            }
        }
        observer.tally
    }

    /// How many tries a request has.
    const fn tries(&self) -> u32 {
        self.policy.max_retries.saturating_add(1)
    }

    async fn sleep_until(&self, until: Option<Duration>) {
        match until.and_then(|until| self.started.checked_add(until)) {
            Some(until) => sleep_until(until).await,
            None => core::future::pending().await,
        }
    }

    /// Makes sense of what a request came to.
    fn read<E: Endpoint>(
        &self,
        request: &E,
        letter: &Letter,
        operation: &Operation,
        elapsed: Duration,
        result: Result<Response, TransportError>,
        observer: &mut dyn Observer,
    ) -> Reading<E::Reply> {
        let mut tell = |result, rate_limited| {
            observer.on(Event::Exchange(Exchange {
                operation,
                method: letter.parts.method.as_str(),
                path: &self.codec.path(&letter.parts),
                headers: self.codec.headers(),
                body_bytes: letter.body.as_ref().map_or(0, Bytes::len),
                elapsed,
                result,
                redactor: self.codec.redactor(),
                rate_limited,
            }));
        };
        let response = match result {
            Ok(response) => response,
            Err(mut error) => {
                let head = error.take_head().map(|head| Response::from_parts(head, Bytes::new()));
                let ray = head.as_ref().and_then(|head| self.ray(head));
                let failure =
                    head.as_ref().and_then(|head| judge_status(head.status().as_u16(), error.to_string()));
                let (Some(failure), Some(head)) = (failure, head) else {
                    tell(Err(&error), false);
                    let signal =
                        AttemptResult::Lost { delivery: error.delivery(), retryable: error.is_retryable() };
                    return Reading { signal, result: Err(ErrorCause::Transport(error)), ray };
                };
                // The status came in whole, and its headers too: that the body broke off takes nothing from them.
                let hints = RateHeaders::from_headers(head.headers());
                let reading = Reading { ray, ..Reading::of(Verdict::from(failure), hints) };
                tell(Err(&error), matches!(reading.signal, AttemptResult::RateLimited { .. }));
                return reading;
            }
        };
        // Before anything else reads it: what a server echoes is then nowhere, in no message and in no data.
        let body = self.codec.redactor().blank(response.body());
        let verdict = judge(request, response.status().as_u16(), &body);
        let hints = RateHeaders::from_headers(response.headers());
        if let Some(quota) = hints.global_quota {
            self.pace.set_global(quota);
        }
        let mut reading = Reading::of(verdict, hints);
        tell(Ok(&response), matches!(reading.signal, AttemptResult::RateLimited { .. }));
        reading.ray = self.ray(&response);
        match &mut reading.result {
            Ok(answer) => {
                redact(self.codec.redactor(), &mut answer.errors);
                redact(self.codec.redactor(), &mut answer.messages);
                for warning in answer.warnings() {
                    observer.on(Event::Warning(warning));
                }
            }
            Err(ErrorCause::Answer(failure)) => {
                add_headers(failure, &response, self.codec.redactor());
                redact(self.codec.redactor(), &mut failure.errors);
                redact(self.codec.redactor(), &mut failure.messages);
                if let Some(defect) = &mut failure.defect {
                    clean(self.codec.redactor(), defect);
                }
            }
            Err(_) => {}
        }
        reading
    }

    /// The `cf-ray` of an answer, fit to be shown.
    fn ray(&self, response: &Response) -> Option<String> {
        let ray = response.headers().get("cf-ray")?.to_str().ok()?;
        Some(self.codec.redactor().redact(ray).chars().take(64).collect())
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("base", self.codec.base())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A request with its body where tries can share it.
struct Letter {
    parts: Parts,
    body: Option<Bytes>,
}

impl Letter {
    fn new(mut parts: Parts) -> Self {
        let body = parts.body.take().map(Bytes::from);
        Self { parts, body }
    }
}

/// What a request came to: what the engine has to know, and what the caller gets.
struct Reading<T> {
    signal: AttemptResult,
    result: Result<Answer<T>, ErrorCause>,
    ray: Option<String>,
}

impl<T> Reading<T> {
    fn of(verdict: Verdict<T>, hints: RateHeaders) -> Self {
        let in_body = match &verdict {
            Verdict::Later(failure) => failure.retry_after.map(Duration::from_secs),
            _ => None,
        };
        let signal = AttemptResult::of(&verdict, hints.retry_after.or(in_body));
        let result = match verdict {
            Verdict::Done(answer) => Ok(answer),
            Verdict::Later(failure) | Verdict::Refused(failure) | Verdict::Unreadable(failure) => {
                Err(ErrorCause::Answer(failure))
            }
        };
        Self { signal, result, ray: None }
    }
}

/// Some of why it failed is told in headers.
fn add_headers(failure: &mut Failure, response: &Response, redactor: &Redactor) {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    // A challenge for browsers in place of an answer. Source: `packages/workers-utils/src/cfetch` of
    // <https://github.com/cloudflare/workers-sdk>.
    if header("cf-mitigated") == Some("challenge") {
        failure.class = Class::NotTheApi;
        failure.defect = Some(
            "a challenge for browsers (`cf-mitigated: challenge`) instead of an answer: the address that this \
             machine calls from is taken for a bot"
                .to_owned(),
        );
    } else if failure.class == Class::Redirected
        && let Some(location) = header("location")
    {
        // Before it is clipped: the first half of a secret looks like none.
        let location = cfcache_model::text::quote(&redactor.redact(location));
        failure.defect = Some(format!("a redirect to {location}, which is not followed"));
    }
}

/// Takes secrets out of what the API says.
fn redact(redactor: &Redactor, infos: &mut [ResponseInfo]) {
    for info in infos {
        clean(redactor, &mut info.message);
        let pointer = info.source.as_mut().and_then(|source| source.pointer.as_mut());
        for text in pointer.into_iter().chain(&mut info.documentation_url) {
            clean(redactor, text);
        }
        redact(redactor, &mut info.error_chain);
    }
}

fn clean(redactor: &Redactor, text: &mut String) {
    if let Cow::Owned(redacted) = redactor.redact(text) {
        *text = redacted;
    }
}

fn error<J>(
    endpoint: &'static Descriptor,
    cause: ErrorCause,
    ended: &Ended<J>,
    ray: Option<String>,
) -> Error {
    Error {
        attempts: ended.attempts,
        elapsed: ended.elapsed,
        unclear: ended.unclear,
        ray,
        ..Error::new(endpoint, cause)
    }
}

/// Does an answer leave open whether it was done? (Of what was lost the engine knows by itself.)
const fn is_unclear(cause: &ErrorCause) -> bool {
    matches!(cause, ErrorCause::Answer(failure) if failure.unclear)
}

/// Tells of waits, each once.
#[derive(Default)]
struct Waits {
    paced: bool,
    last: Option<(Duration, Reason)>,
}

impl Waits {
    fn tell(&mut self, now: Duration, until: Option<Duration>, reason: Reason, observer: &mut dyn Observer) {
        let Some(until) = until.filter(|until| *until > now) else { return };
        if self.last.replace((until, reason)) == Some((until, reason)) {
            return;
        }
        let wait = until - now;
        if reason == Reason::Paced && !core::mem::replace(&mut self.paced, true) {
            observer.on(Event::Paced { wait });
        }
        observer.on(Event::Waiting { wait, reason });
    }
}

/// Counts for itself what it passes on.
struct Tallied<'a> {
    tally: Summary,
    stopped: bool,
    inner: &'a mut dyn Observer,
}

impl Tallied<'_> {
    /// Tells once that the run was given up.
    fn stopped(&mut self, why: Stop) {
        if !core::mem::replace(&mut self.stopped, true) {
            self.on(Event::Stopped(why));
        }
    }
}

impl Observer for Tallied<'_> {
    fn on(&mut self, event: Event<'_>) {
        self.tally.count(&event);
        self.inner.on(event);
    }

    fn accepted(&mut self, outcome: &Outcome<'_>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.inner.accepted(outcome)
    }
}

/// A batch on its way.
struct Shipment {
    number: u64,
    body: PurgeBody,
    letter: Letter,
    /// What came of the last try.
    last_try: Option<ErrorCause>,
    /// Did a try, or one of the batch that it is a part of, end without saying whether it was done?
    unclear: bool,
}

struct Landed {
    ticket: Ticket,
    operation: Operation,
    elapsed: Duration,
    result: Result<Response, TransportError>,
}

/// A run that is under way.
struct Running<'a> {
    client: &'a Client,
    run: &'a PurgeScope,
    descriptor: &'static Descriptor,
    /// What all of its requests have in common: method and path.
    path: Parts,
    engine: Engine<Shipment>,
    planner: Planner,
    /// Since when those that fill no batch yet wait for nothing but the input.
    pending_since: Option<Duration>,
    numbers: u64,
}

impl Running<'_> {
    /// Takes a chunk of the input; `None` is its end.
    fn feed(&mut self, chunk: Option<Vec<Entry>>, observer: &mut Tallied<'_>) {
        let Some(mut chunk) = chunk else {
            self.finish(observer);
            self.engine.finish();
            return;
        };
        let (pushed, duplicates) = (self.planner.pushed(), self.planner.duplicates());
        let mut next = pushed;
        let misplaced = chunk.extract_if(.., |entry| {
            let is_misplaced = entry.target.kind() != self.run.kind;
            entry.ordinal = next;
            next += u64::from(!is_misplaced);
            is_misplaced
        });
        let misplaced: Vec<Entry> = misplaced.collect();
        // Nothing is misplaced in it any more.
        let full = self.planner.push_all(chunk).unwrap_or_default();
        // Read comes before anything that happens to what was read, so that no count is ever ahead of it.
        observer.on(Event::Read {
            entries: self.planner.pushed() - pushed + misplaced.len() as u64,
            duplicates: self.planner.duplicates() - duplicates,
        });
        if !full.is_empty() || self.pending_since.is_none() {
            self.pending_since = (self.planner.pending() > 0).then(|| self.client.now());
        }
        full.into_iter().for_each(|batch| self.ship(batch, observer));
        misplaced.into_iter().for_each(|entry| self.refuse(entry, observer));
    }

    /// What was read and fills no batch yet is a batch too; after the cap was lowered it can be several.
    fn finish(&mut self, observer: &mut Tallied<'_>) {
        self.pending_since = None;
        while let Some(rest) = self.planner.finish() {
            self.ship(rest, observer);
        }
    }

    /// When those that fill no batch yet have waited long enough for more: not before they could be sent.
    fn patience_ends(&self) -> Option<Duration> {
        let (since, patience) = (self.pending_since?, self.run.patience?);
        let ready =
            self.engine.ready_at(self.client.now(), Cost::of(self.run.kind, self.planner.pending()))?;
        Some(ready.max(since.saturating_add(patience)))
    }

    /// Hands a batch to the engine, without what was accepted before.
    fn ship(&mut self, batch: Batch, observer: &mut Tallied<'_>) {
        let accepted = |entry: &&Entry| self.run.accepted.contains(entry.ordinal);
        let skipped = match self.run.accepted.is_empty() {
            true => 0,
            false => batch.entries().iter().filter(accepted).count(),
        };
        let rest = match skipped {
            0 => Ok(batch),
            _ => {
                observer.on(Event::Skipped { entries: skipped as u64 });
                Batch::of(batch.entries().iter().filter(|entry| !accepted(entry)).cloned())
            }
        };
        if let Ok(batch) = rest {
            let (cost, shipment) = self.pack(batch);
            self.engine.offer(shipment, cost, self.descriptor.replay);
        }
    }

    /// An entry of another kind than the run's is a bug of the caller's: it is not sent as something else, and it does
    /// not get lost.
    fn refuse(&mut self, entry: Entry, observer: &mut Tallied<'_>) {
        let (first, second) = (self.run.kind, entry.target.kind());
        let Ok(batch) = Batch::of([entry]) else { return };
        let cause = ErrorCause::Misplaced(InvalidBatch::Mixed { first, second });
        let number = self.number();
        observer.on(Event::Ended(Outcome {
            number,
            batch: &batch,
            attempts: 0,
            elapsed: Duration::ZERO,
            result: Err(&Error::new(self.descriptor, cause)),
        }));
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers - 1
    }

    fn pack(&mut self, batch: Batch) -> (Cost, Shipment) {
        let number = self.number();
        let body = PurgeBody::Batch(batch);
        let letter = Letter { parts: self.path.clone(), body: Some(Bytes::from(body.to_json())) };
        (body.cost(), Shipment { number, body, letter, last_try: None, unclear: false })
    }

    fn launch(&mut self, ticket: Ticket, flights: &mut JoinSet<Landed>, observer: &mut Tallied<'_>) {
        let attempt = self.engine.attempt(ticket);
        // What waits to fill a batch has waited for this one until now.
        self.pending_since = self.pending_since.map(|_| self.client.now());
        let Some(shipment) = self.engine.job(ticket) else { return };
        let operation =
            Operation::new(self.descriptor.name).with_batch(shipment.number).with_attempt(attempt);
        let message = self.client.codec.request(&shipment.letter.parts, shipment.letter.body.clone());
        observer.on(Event::Sent { in_flight: self.engine.in_flight() });
        let transport = Arc::clone(&self.client.transport);
        flights.spawn(async move {
            let sent = Instant::now();
            let result = match message {
                Ok(message) => transport.send(Request::new(operation.clone(), message)).await,
                // The path was made of newtypes; this is the least that can be said if one let something through.
                Err(error) => Err(TransportError::new(
                    cfcache_transport::Delivery::NotSent,
                    cfcache_transport::Phase::Write,
                    cfcache_transport::Cause::Configuration,
                    "the request cannot be written",
                )
                .with_source(error)),
            };
            Landed { ticket, operation, elapsed: sent.elapsed(), result }
        });
    }

    fn land(&mut self, landed: Landed, observer: &mut Tallied<'_>) {
        let Landed { ticket, operation, elapsed, result } = landed;
        let now = self.client.now();
        let Some(shipment) = self.engine.job(ticket) else { return };
        let request = self.run.request(&shipment.body);
        let mut reading = self.client.read(&request, &shipment.letter, &operation, elapsed, result, observer);
        // Credentials that worked before and suddenly do not were seen to work again a moment later
        // (<https://github.com/MuckRock/documentcloud/issues/460>, <https://github.com/cloudflare/workers-sdk/issues/13854>).
        if observer.tally.accepted > 0
            && operation.attempt <= CREDENTIAL_TRIES
            && let Err(ErrorCause::Answer(failure)) = &reading.result
            && failure.class == Class::Credentials
        {
            reading.signal = AttemptResult::Unavailable { retry_after: None };
        }
        if let Err(cause) = &mut reading.result
            && let Some(shipment) = self.engine.job_mut(ticket)
        {
            // It is the last word on the batch where no other try comes to be.
            let cause = core::mem::replace(cause, ErrorCause::Stopped(Stop::Interrupted));
            shipment.unclear |= is_unclear(&cause);
            shipment.last_try = Some(cause);
        }
        match self.engine.settle(now, ticket, reading.signal) {
            Decision::Again { at, holds_all } => {
                let (wait, attempt) = (at.saturating_sub(now), operation.attempt);
                let tries = self.client.tries();
                let cause = self.engine.postponed(at, ticket).and_then(|shipment| shipment.last_try.as_ref());
                if let Some(cause) = cause {
                    observer.on(Event::Again { wait, holds_all, attempt, tries, cause });
                }
            }
            Decision::Ended(mut ended) => {
                ended.unclear |= ended.job.unclear;
                let result = match ended.job.last_try.take() {
                    Some(cause) if reading.result.is_err() => {
                        Err(error(self.descriptor, cause, &ended, reading.ray))
                    }
                    _ => Ok(()),
                };
                self.end(ended, result, observer);
            }
        }
        if let Some(stop) = self.engine.stopped() {
            observer.stopped(stop);
        }
    }

    fn end(&mut self, ended: Ended<Shipment>, mut result: Result<(), Error>, observer: &mut Tallied<'_>) {
        let Ended { job: Shipment { number, body, .. }, attempts, elapsed, .. } = ended;
        let PurgeBody::Batch(batch) = body else { return };
        if let Err(error) = &result
            && self.split(&batch, error, observer)
        {
            return;
        }
        if result.is_ok() {
            let outcome = Outcome { number, batch: &batch, attempts, elapsed, result: Ok(()) };
            result = observer.accepted(&outcome).map_err(|source| Error {
                attempts,
                elapsed,
                ..Error::new(self.descriptor, ErrorCause::Unrecorded(source))
            });
        }
        let stop = match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Unrecorded) => Some(Stop::Observer),
            // What the credentials may not do once they may not do a thousand times.
            Err(ErrorKind::Credentials) => Some(Stop::Credentials),
            _ => None,
        };
        let result = result.as_ref().copied();
        observer.on(Event::Ended(Outcome { number, batch: &batch, attempts, elapsed, result }));
        if let Some(stop) = stop {
            self.stop(stop, observer);
        }
    }

    /// A batch that was refused for one entry, or for its size, goes again in parts.
    fn split(&mut self, batch: &Batch, error: &Error, observer: &mut Tallied<'_>) -> bool {
        let Some(failure) = error.failure() else { return false };
        let is_too_many = failure.class == Class::TooMany;
        if !(is_too_many || failure.class == Class::BadEntry) || self.engine.stopped().is_some() {
            return false;
        }
        let Some((first, second)) = batch.split() else { return false };
        if is_too_many {
            // The enforced cap is smaller than the published one: remember.
            self.planner.set_items(first.len().min(self.planner.caps().items));
        }
        observer.on(Event::Split { entries: batch.len() });
        // The last part is offered first, so that they go out in their order.
        let mut parts = Vec::from([first, second]);
        while let Some(part) = parts.pop() {
            match part.split().filter(|_| part.len() > self.planner.caps().items) {
                Some((first, second)) => parts.extend([first, second]),
                None => {
                    let (cost, mut shipment) = self.pack(part);
                    shipment.unclear = error.unclear;
                    self.engine.offer_first(shipment, cost, self.descriptor.replay);
                }
            }
        }
        true
    }

    fn stop(&mut self, why: Stop, observer: &mut Tallied<'_>) {
        self.engine.stop(why);
        observer.stopped(self.engine.stopped().unwrap_or(why));
    }

    /// Once the engine has stopped: what was not sent fails.
    fn abandon(&mut self, observer: &mut Tallied<'_>) {
        let Some(stop) = self.engine.stopped() else { return };
        // What was read and fills no batch yet is part of the run.
        self.finish(observer);
        let abandoned: Vec<_> = self.engine.abandoned(self.client.now()).collect();
        for mut ended in abandoned {
            ended.unclear |= ended.job.unclear;
            let last_try = ended.job.last_try.take().map(Box::new);
            let mut error = error(self.descriptor, ErrorCause::Stopped(stop), &ended, None);
            error.last_try = last_try;
            let PurgeBody::Batch(batch) = &ended.job.body else { continue };
            observer.on(Event::Ended(Outcome {
                number: ended.job.number,
                batch,
                attempts: ended.attempts,
                elapsed: ended.elapsed,
                result: Err(&error),
            }));
        }
    }
}
