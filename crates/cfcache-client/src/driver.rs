//! The engine driven over a transport: the only file that awaits.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, Descriptor, Endpoint, Parts, PurgeCache, encode};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::{Batch, Caps, Entry, Planner};
use cfcache_model::target::Kind;
use cfcache_model::verdict::{Answer, Class, Failure, Verdict, judge};
use cfcache_transport::{Operation, Request, Response, Transport, TransportError};
use futures_core::Stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::auth::Redactor;
use crate::codec::Codec;
use crate::engine::{Decision, Engine, Pace, Policy, Signal, Step, Stop, Ticket};
use crate::error::{Error, ErrorCause};
use crate::event::{Event, Exchange, Observer, Outcome};
use crate::hint::Hints;
use crate::tally::Tally;

/// Asks the API, at the pace that it allows.
///
/// Clones, and all calls and runs of them, share one pace, as they share the account's limits.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    codec: Arc<Codec>,
    redactor: Redactor,
    policy: Policy,
    pace: Pace,
    started: Instant,
}

/// A run: what to do to a stream of targets of one kind.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// Purge or invalidate.
    pub action: Action,
    /// The zone.
    pub zone: ZoneId,
    /// One environment of it; `None` is the zone.
    pub environment: Option<EnvironmentId>,
    /// The kind of all targets.
    pub kind: Kind,
    /// How large a request may be.
    pub caps: Caps,
}

impl Run {
    /// A run over targets of `kind` on a zone.
    #[must_use]
    pub const fn new(action: Action, zone: ZoneId, kind: Kind, caps: Caps) -> Self {
        Self { action, zone, environment: None, kind, caps }
    }

    /// Restricts it to an environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Option<EnvironmentId>) -> Self {
        self.environment = environment;
        self
    }

    /// The request for a body of this run.
    #[must_use]
    pub const fn request<'a>(&'a self, body: &'a PurgeBody) -> PurgeCache<'a> {
        let request = PurgeCache::new(self.action, &self.zone, body);
        match &self.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        }
    }
}

/// Makes the input of a [`Client::run`] of something at hand.
pub fn entries<I>(targets: I) -> impl Stream<Item = Vec<Entry>>
where
    I: IntoIterator<Item: Into<Entry>, IntoIter: Unpin>,
{
    Chunks(targets.into_iter())
}

struct Chunks<I>(I);

impl<I> Stream for Chunks<I>
where
    I: Iterator<Item: Into<Entry>> + Unpin,
{
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        let chunk: Vec<Entry> = self.0.by_ref().take(100).map(Into::into).collect();
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    }
}

impl Client {
    /// A client that sends what `codec` writes over `transport`.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, codec: Codec, policy: Policy) -> Self {
        Self {
            transport,
            codec: Arc::new(codec),
            redactor: Redactor::default(),
            pace: Pace::new(policy.limits),
            policy,
            started: Instant::now(),
        }
    }

    /// Takes secrets out of what the API says before anybody sees it.
    #[must_use]
    pub fn with_redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
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
        let mut engine = Engine::sharing(self.policy.clone(), self.pace.clone());
        engine.offer((), request.cost(), descriptor.replay);
        engine.finish();
        let mut last = None;
        loop {
            match engine.next(self.now()) {
                Step::Send(ticket) => {
                    let operation = Operation::new(descriptor.name).with_attempt(engine.attempt(ticket));
                    let sent = Instant::now();
                    observer.on(Event::Sent { in_flight: engine.in_flight() });
                    let result = match self.codec.request(&letter.parts, letter.body.clone()) {
                        Ok(message) => self.transport.send(Request::new(operation.clone(), message)).await,
                        Err(error) => return Err(unwritable(descriptor, error)),
                    };
                    let reading = self.read(request, &letter, &operation, sent.elapsed(), result, observer);
                    let now = self.now();
                    match engine.settle(now, ticket, reading.signal) {
                        Decision::Ended(ended) => {
                            return reading.result.map_err(|cause| Error {
                                endpoint: descriptor,
                                cause,
                                attempts: ended.attempts,
                                elapsed: ended.elapsed,
                                ray: reading.ray,
                            });
                        }
                        Decision::Again { at, holds_all } => {
                            observer.on(Event::Again { wait: at.saturating_sub(now), holds_all });
                            last = reading.result.err();
                        }
                    }
                }
                Step::Wait { until, .. } => self.sleep_until(until).await,
                Step::Done => {
                    // Unreachable while a job is pending; an answer all the same.
                    let cause = last.unwrap_or(ErrorCause::Stopped(Stop::NothingSucceeds));
                    return Err(Error {
                        endpoint: descriptor,
                        cause,
                        attempts: 0,
                        elapsed: Duration::ZERO,
                        ray: None,
                    });
                }
            }
        }
    }

    /// Purges or invalidates a stream of targets: cut into batches, at the pace that the limits allow, until each entry
    /// has been accepted or has failed.
    ///
    /// The stream gives entries in chunks of any size ([`entries`] makes one from an iterator). When `interrupt`
    /// completes, nothing more is read or sent, what is in flight is waited for, and the rest fails as interrupted.
    /// Everything is told to `observer` as it happens; the tally that comes back is what it comes to.
    pub async fn run(
        &self,
        run: &Run,
        input: impl Stream<Item = Vec<Entry>>,
        interrupt: impl Future<Output = ()>,
        observer: &mut dyn Observer,
    ) -> Tally {
        let mut observer = Tallied { tally: Tally::default(), stopped: false, inner: observer };
        let mut flights = JoinSet::new();
        let mut state = Running {
            client: self,
            run,
            descriptor: run.request(&PurgeBody::Everything).descriptor(),
            path: Letter::new(encode(&run.request(&PurgeBody::Everything))).parts,
            engine: Engine::sharing(self.policy.clone(), self.pace.clone()),
            planner: Planner::new(run.kind, run.caps),
            numbers: 0,
        };
        let mut input = pin!(input);
        let mut interrupt = pin!(interrupt);
        let mut interrupted = false;
        loop {
            state.abandon(&mut observer);
            match state.engine.next(self.now()) {
                Step::Send(ticket) => state.launch(ticket, &mut flights, &mut observer),
                Step::Wait { until, hungry } => {
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
                        }
                        () = self.sleep_until(until), if until.is_some() => {}
                    }
                }
                Step::Done => break,
            }
        }
        observer.tally
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep_until(&self, until: Option<Duration>) {
        match until {
            Some(until) => sleep_until(self.started + until).await,
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
                rate_limited,
            }));
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                tell(Err(&error), false);
                let signal = Signal::Lost { delivery: error.delivery(), retryable: error.is_retryable() };
                return Reading { signal, result: Err(ErrorCause::Transport(error)), ray: None };
            }
        };
        let verdict = judge(request, response.status().as_u16(), response.body());
        let mut reading = Reading::of(verdict, Hints::of(response.headers()));
        tell(Ok(&response), matches!(reading.signal, Signal::RateLimited { .. }));
        let ray = response.headers().get("cf-ray").and_then(|ray| ray.to_str().ok());
        reading.ray = ray.map(|ray| ray.chars().take(64).collect());
        if let Err(ErrorCause::Answer(failure)) = &mut reading.result {
            add_headers(failure, &response);
            redact(&self.redactor, failure);
        }
        reading
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
    signal: Signal,
    result: Result<Answer<T>, ErrorCause>,
    ray: Option<String>,
}

impl<T> Reading<T> {
    fn of(verdict: Verdict<T>, hints: Hints) -> Self {
        let retry_after = hints.retry_after;
        let (signal, result) = match verdict {
            Verdict::Done(answer) => (Signal::Done, Ok(answer)),
            Verdict::Later(failure) => {
                let signal = match failure.class {
                    Class::RateLimited => Signal::RateLimited { retry_after },
                    _ => Signal::Unavailable { retry_after },
                };
                (signal, Err(ErrorCause::Answer(failure)))
            }
            Verdict::Refused(failure) => (Signal::Refused, Err(ErrorCause::Answer(failure))),
            Verdict::Unreadable(failure) => (Signal::Unclear, Err(ErrorCause::Answer(failure))),
        };
        Self { signal, result, ray: None }
    }
}

/// Some of why it failed is told in headers.
fn add_headers(failure: &mut Failure, response: &Response) {
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
        let location = cfcache_model::text::quote(location);
        failure.defect = Some(format!("a redirect to {location}, which is not followed"));
    }
}

fn redact(redactor: &Redactor, failure: &mut Failure) {
    fn clean(redactor: &Redactor, text: &mut String) {
        if let std::borrow::Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    }
    fn each(redactor: &Redactor, infos: &mut [cfcache_model::envelope::ResponseInfo]) {
        for info in infos {
            clean(redactor, &mut info.message);
            each(redactor, &mut info.error_chain);
        }
    }
    each(redactor, &mut failure.errors);
    each(redactor, &mut failure.messages);
    if let Some(defect) = &mut failure.defect {
        clean(redactor, defect);
    }
}

fn unwritable(endpoint: &'static Descriptor, error: http::Error) -> Error {
    let cause = ErrorCause::Unwritable(error);
    Error { endpoint, cause, attempts: 0, elapsed: Duration::ZERO, ray: None }
}

/// Counts for itself what it passes on.
struct Tallied<'a> {
    tally: Tally,
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
}

/// A batch on its way.
struct Shipment {
    number: u64,
    body: PurgeBody,
    letter: Letter,
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
    run: &'a Run,
    descriptor: &'static Descriptor,
    /// What all of its requests have in common: method and path.
    path: Parts,
    engine: Engine<Shipment>,
    planner: Planner,
    numbers: u64,
}

impl Running<'_> {
    /// Takes a chunk of the input; `None` is its end.
    fn feed(&mut self, chunk: Option<Vec<Entry>>, observer: &mut Tallied<'_>) {
        let Some(chunk) = chunk else {
            let last = self.planner.finish();
            self.ship(last);
            self.engine.finish();
            return;
        };
        let (pushed, duplicates) = (self.planner.pushed(), self.planner.duplicates());
        for entry in chunk {
            // An entry of another kind than the run's is a bug of the caller's; it is not sent as something else.
            let full = self.planner.push(entry).unwrap_or_default();
            self.ship(full);
        }
        observer.on(Event::Read {
            entries: self.planner.pushed() - pushed,
            duplicates: self.planner.duplicates() - duplicates,
        });
    }

    fn ship(&mut self, batch: Option<Batch>) {
        if let Some(batch) = batch {
            let (cost, shipment) = self.pack(batch);
            self.engine.offer(shipment, cost, self.descriptor.replay);
        }
    }

    fn pack(&mut self, batch: Batch) -> (cfcache_model::endpoint::Cost, Shipment) {
        let number = self.numbers;
        self.numbers += 1;
        let body = PurgeBody::Batch(batch);
        let letter = Letter { parts: self.path.clone(), body: Some(Bytes::from(body.to_json())) };
        (body.cost(), Shipment { number, body, letter })
    }

    fn launch(&mut self, ticket: Ticket, flights: &mut JoinSet<Landed>, observer: &mut Tallied<'_>) {
        let attempt = self.engine.attempt(ticket);
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
            && let Err(ErrorCause::Answer(failure)) = &reading.result
            && failure.class == Class::Credentials
        {
            reading.signal = Signal::Unavailable { retry_after: None };
        }
        match self.engine.settle(now, ticket, reading.signal) {
            Decision::Again { at, holds_all } => {
                observer.on(Event::Again { wait: at.saturating_sub(now), holds_all });
            }
            Decision::Ended(ended) => {
                let result = reading.result.map(drop).map_err(|cause| Error {
                    endpoint: self.descriptor,
                    cause,
                    attempts: ended.attempts,
                    elapsed: ended.elapsed,
                    ray: reading.ray,
                });
                self.end(ended.job, ended.attempts, ended.elapsed, result, observer);
            }
        }
        if let Some(stop) = self.engine.stopped() {
            observer.stopped(stop);
        }
    }

    fn end(
        &mut self,
        shipment: Shipment,
        attempts: u32,
        elapsed: Duration,
        result: Result<(), Error>,
        observer: &mut Tallied<'_>,
    ) {
        let PurgeBody::Batch(batch) = shipment.body else { return };
        if let Err(error) = &result
            && self.split(&batch, error, observer)
        {
            return;
        }
        let is_final = result.as_ref().is_err_and(|error| error.kind() == crate::ErrorKind::Credentials);
        observer.on(Event::Ended(Outcome {
            number: shipment.number,
            batch: &batch,
            attempts,
            elapsed,
            result: result.as_ref().copied(),
        }));
        if is_final {
            // What the credentials may not do once they may not do a thousand times.
            self.stop(Stop::Credentials, observer);
        }
    }

    /// A batch that was refused for one entry, or for its size, goes again in two halves.
    fn split(&mut self, batch: &Batch, error: &Error, observer: &mut Tallied<'_>) -> bool {
        let class = error.failure().map(|failure| failure.class);
        let Some((first, second)) =
            batch.split().filter(|_| matches!(class, Some(Class::BadEntry | Class::TooMany)))
        else {
            return false;
        };
        if self.engine.stopped().is_some() {
            return false;
        }
        if class == Some(Class::TooMany) {
            // The enforced cap is smaller than the published one: remember.
            self.planner.set_items(first.len().min(self.planner.caps().items));
        }
        observer.on(Event::Split { entries: batch.len() });
        for half in [second, first] {
            let (cost, shipment) = self.pack(half);
            self.engine.offer_first(shipment, cost, self.descriptor.replay);
        }
        true
    }

    fn stop(&mut self, why: Stop, observer: &mut Tallied<'_>) {
        self.engine.stop(why);
        // What was read and fills no batch yet is part of the run.
        let rest = self.planner.finish();
        self.ship(rest);
        observer.stopped(why);
    }

    /// Once the engine has stopped: what was not sent fails.
    fn abandon(&mut self, observer: &mut Tallied<'_>) {
        let Some(stop) = self.engine.stopped() else { return };
        let rest = self.planner.finish();
        self.ship(rest);
        let abandoned: Vec<_> = self.engine.abandoned().collect();
        for ended in abandoned {
            let error = Error {
                endpoint: self.descriptor,
                cause: ErrorCause::Stopped(stop),
                attempts: ended.attempts,
                elapsed: ended.elapsed,
                ray: None,
            };
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
