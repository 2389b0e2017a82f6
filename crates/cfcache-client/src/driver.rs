//! Runs the engine over a transport. Only this file awaits.

use core::future::poll_fn;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cfcache_model::endpoint::{Cost, Descriptor, Endpoint, Parts, encode};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::Entry;
use cfcache_model::verdict::{Answer, ReadReply};
use cfcache_transport::{Operation, Request, Transport};
use futures_core::Stream;
use tokio::task::coop::consume_budget;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::auth::Credentials;
use crate::codec::Codec;
use crate::engine::{
    Decision, JobStep, Limiter, Policy, PurgeJob, RateLimiter, Reason, Scheduler, Step, Stop,
};
use crate::error::{Error, ErrorCause};
use crate::event::{Event, Observer, Outcome, Recording};
use crate::exchange::Try;
use crate::scope::PurgeScope;
use crate::stream::stream_fn;
use crate::summary::Summary;
use crate::trace::RequestSpan;

/// A client of the API that obeys its rate limits.
///
/// Clones, and all their calls and runs, share one limiter, because they share the account's limits.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    codec: Arc<Codec>,
    policy: Policy,
    limiter: Arc<dyn Limiter>,
}

impl Client {
    /// Creates a client that sends the requests of `codec` over `transport`.
    ///
    /// The credentials of `codec` are removed from every response.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, codec: Codec, policy: Policy) -> Self {
        let limiter = Arc::new(RateLimiter::new(&policy));
        Self { transport, codec: Arc::new(codec), limiter, policy }
    }

    /// Uses another limiter: one that is shared with other clients, or the program's own.
    #[must_use]
    pub fn with_limiter(mut self, limiter: Arc<dyn Limiter>) -> Self {
        self.limiter = limiter;
        self
    }

    /// The limiter of this client and its clones. It uses the clock of [`Client::now`].
    #[must_use]
    pub fn limiter(&self) -> &Arc<dyn Limiter> {
        &self.limiter
    }

    /// Uses other rate limits from now on, also in runs that are under way. Call it when the plan becomes known.
    pub fn set_limits(&self, limits: PurgeLimits) {
        self.limiter.set_limits(self.now(), Some(limits));
    }

    /// Uses other credentials for the next requests, also in runs that are under way and in clones.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.codec.set_credentials(credentials);
    }

    /// The time that limiters use: the time since a fixed moment in the past, which is the same for all clients of the
    /// process.
    #[must_use]
    pub fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(epoch())
    }

    /// Sends one request, and retries it as the policy and the endpoint allow.
    ///
    /// # Errors
    ///
    /// [`Error`] if the API did not report success.
    pub async fn call<E: Endpoint>(
        &self,
        request: &E,
        observer: &mut impl Observer,
    ) -> Result<Answer<E::Reply>, Error> {
        let (descriptor, cost) = (request.descriptor(), request.cost());
        let mut reply: Option<E::Reply> = None;
        let answer = self.ask(descriptor, cost, encode(request), &mut reply, observer).await?;
        Ok(answer.with_result(reply.expect("what was answered was read")))
    }

    /// The part of [`Client::call`] that does not depend on the endpoint, so that it is compiled only once.
    async fn ask(
        &self,
        descriptor: &'static Descriptor,
        cost: Cost,
        mut parts: Parts,
        reply: &mut (dyn ReadReply + Send),
        observer: &mut impl Observer,
    ) -> Result<Answer<()>, Error> {
        // Attempts share the body.
        let body = parts.body.take().map(Bytes::from);
        let mut last_wait = None;
        let mut unclear = false;
        let mut summary = Summary { items: 1, ..Summary::default() };
        let mut scheduler = Scheduler::with_limiter(self.policy.clone(), Arc::clone(&self.limiter));
        scheduler.push((), cost, descriptor.replay);
        scheduler.finish();
        loop {
            let version = self.limiter.version();
            let now = self.now();
            match scheduler.poll(now) {
                Step::Send(ticket) => {
                    let operation = Operation::new(descriptor.name).with_attempt(scheduler.attempt(ticket));
                    let message = match self.codec.request(&parts, body.clone()) {
                        Ok(message) => message,
                        Err(error) => return Err(Error::new(descriptor, ErrorCause::Unwritable(error))),
                    };
                    observer.on(Event::Sent { in_flight: 1 });
                    let request_sent = Request::new(operation.clone(), message);
                    let span = RequestSpan::new(&request_sent);
                    let result = span.send(&*self.transport, request_sent).await;
                    span.answered(&result, &self.codec.redactor());
                    let sent = now;
                    let now = self.now();
                    let this_try = Try {
                        endpoint: descriptor,
                        codec: &self.codec,
                        limiter: &*self.limiter,
                        parts: &parts,
                        body_bytes: body.as_ref().map_or(0, Bytes::len),
                        operation: &operation,
                        elapsed: now.saturating_sub(sent),
                    };
                    let (result, parsed) = this_try.parse(reply, result, observer, &mut summary);
                    observer.on(Event::Progress { summary: &summary, in_flight: 0 });
                    match scheduler.on_result(now, ticket, result) {
                        Decision::Ended(mut ended) => {
                            ended.unclear |= unclear;
                            return parsed.map_err(|error| error.with_attempts(&ended));
                        }
                        Decision::Again { at, holds_all } => {
                            if let Err(error) = &parsed {
                                unclear |= error.is_answer_unclear();
                                let (wait, attempt) = (at.saturating_sub(now), operation.attempt);
                                let (tries, cause) =
                                    (self.policy.max_retries.saturating_add(1), &error.cause);
                                span.retrying(wait);
                                observer.on(Event::Retrying { wait, holds_all, attempt, tries, cause });
                            }
                        }
                    }
                }
                Step::Wait { until, reason, .. } => {
                    if let Some(until) = until
                        && last_wait.replace((until, reason)) != Some((until, reason))
                    {
                        let wait = until.saturating_sub(now);
                        if matches!(reason, Reason::Paced | Reason::Quota) {
                            observer.on(Event::Paced { wait });
                        }
                        observer.on(Event::Waiting { wait, reason });
                    }
                    tokio::select! {
                        () = self.sleep_until(until) => {}
                        () = self.limiter_changed(version) => {}
                    }
                }
                // A call ends above, unless another request got a demand for a wait that is too long for this one.
                Step::Done => {
                    let stop = scheduler.stopped().unwrap_or(Stop::Interrupted);
                    return Err(Error::new(descriptor, ErrorCause::Stopped(stop)));
                }
            }
        }
    }

    /// Purges or invalidates a stream of targets. They are split into batches, which are sent as fast as the limits
    /// allow, until each entry has been accepted or has failed.
    ///
    /// - The stream yields entries in chunks of any size ([`entries`](crate::entries) creates one from an iterator). It
    ///   is read only as fast as batches can be sent, so memory does not grow with the input. If the stream yields
    ///   nothing for [`PurgeScope::patience`] and nothing else is left to send, an incomplete batch is sent.
    /// - When `interrupt` completes, nothing more is read or sent, requests in flight are awaited, and the remaining
    ///   entries fail as interrupted. Dropping the future also cancels the requests in flight.
    /// - `observer` receives every event; the returned [`Summary`] contains the totals.
    ///
    /// # Examples
    ///
    /// [`Stream`] is that of `futures-core` 0.3, which `futures` and `tokio-stream` re-export, so their streams can be
    /// used. Without them, [`stream_fn`] makes one of a channel:
    ///
    /// ```
    /// use cfcache_client::{Client, Event, PurgeScope, Summary, stream_fn};
    /// use cfcache_model::target::File;
    /// use tokio::sync::mpsc;
    ///
    /// async fn purge(client: &Client, run: &PurgeScope, mut pages: mpsc::Receiver<File>) -> Summary {
    ///     let input = stream_fn(|context| pages.poll_recv(context).map(|page| Some(vec![page?.into()])));
    ///     client.run(run, input, core::future::pending(), &mut |_: Event<'_>| {}).await
    /// }
    /// # use std::sync::Arc;
    /// # use cfcache_client::engine::Policy;
    /// # use cfcache_client::{Codec, DEFAULT_BASE_URL};
    /// # use cfcache_model::endpoint::Action;
    /// # use cfcache_model::plan::BatchLimits;
    /// # use cfcache_model::{Kind, Plan, ZoneId};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = |_| async {
    /// #     let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"…"}}"#;
    /// #     Ok(http::Response::new(bytes::Bytes::from(body)))
    /// # };
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
    /// let summary = purge(&client, &run, pages).await;
    /// assert_eq!((summary.items, summary.accepted, summary.requests), (2, 2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<O: Observer>(
        &self,
        scope: &PurgeScope,
        input: impl Stream<Item = Vec<Entry>>,
        interrupt: impl Future<Output = ()>,
        observer: &mut O,
    ) -> Summary {
        let mut input = pin!(input);
        let input = stream_fn(move |context| {
            input.as_mut().poll_next(context).map(|entries| entries.map(|entries| (0, entries)))
        });
        let summaries = self.run_all([scope.clone()], input, interrupt, observer).await;
        summaries.into_iter().sum()
    }

    /// Like [`run`](Self::run) for several scopes, which take turns when the rate limit is reached. Each chunk of the
    /// stream names the index of its scope. Returns a summary for each scope, in their order.
    ///
    /// # Panics
    ///
    /// If the stream names a scope that does not exist.
    pub async fn run_all<O: Observer>(
        &self,
        scopes: impl IntoIterator<Item = PurgeScope>,
        input: impl Stream<Item = (usize, Vec<Entry>)>,
        interrupt: impl Future<Output = ()>,
        observer: &mut O,
    ) -> Vec<Summary> {
        let (codec, limiter) = (Arc::clone(&self.codec), Arc::clone(&self.limiter));
        let observer = Borrowed { observer, retry_wait: None };
        let mut job = PurgeJob::new(codec, limiter, self.policy.clone(), scopes, observer).with_recording();
        let (mut requests, mut recordings) = (JoinSet::new(), JoinSet::new());
        let mut input = pin!(input);
        let mut interrupt = pin!(interrupt);
        let mut interrupted = false;
        loop {
            let version = self.limiter.version();
            match job.poll(self.now()) {
                JobStep::Send(ticket, request) => {
                    let (transport, codec) = (Arc::clone(&self.transport), Arc::clone(&self.codec));
                    let span = RequestSpan::new(&request);
                    requests.spawn(async move {
                        let response = span.send(&*transport, *request).await;
                        span.answered(&response, &codec.redactor());
                        (ticket, span, response)
                    });
                }
                JobStep::Record(outcome) => match job.record(outcome) {
                    None => job.on_recorded(outcome, Ok(())),
                    Some(recording) => {
                        recordings.spawn(async move { (outcome, recording.await) });
                    }
                },
                JobStep::Wait { until, wants_input } => {
                    tokio::select! {
                        biased;
                        () = &mut interrupt, if !interrupted => {
                            interrupted = true;
                            job.stop(Stop::Interrupted);
                        }
                        Some(recorded) = recordings.join_next() => {
                            if let Some((outcome, result)) = joined(recorded) {
                                job.on_recorded(outcome, result);
                            }
                        }
                        Some(answered) = requests.join_next() => {
                            if let Some((ticket, span, response)) = joined(answered) {
                                job.on_response(self.now(), ticket, response);
                                job.observer_mut().retry_wait.take().into_iter().for_each(|wait| span.retrying(wait));
                            }
                        }
                        chunk = poll_fn(|context| input.as_mut().poll_next(context)), if wants_input => {
                            match chunk {
                                Some((scope, entries)) => job.push(self.now(), scope, entries),
                                None => job.finish(),
                            }
                            // Otherwise an input that is always ready would starve everything else.
                            consume_budget().await;
                        }
                        () = self.sleep_until(until), if until.is_some() => {}
                        () = self.limiter_changed(version) => {}
                    }
                }
                JobStep::Done => return job.summaries(),
            }
        }
    }

    async fn sleep_until(&self, until: Option<Duration>) {
        match until.and_then(|until| epoch().checked_add(until)) {
            Some(until) => sleep_until(until).await,
            None => core::future::pending().await,
        }
    }

    async fn limiter_changed(&self, version: u64) {
        poll_fn(|context| self.limiter.poll_changed(version, context)).await;
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

/// The start of the time that all clients of the process use, so that they can share a limiter.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's own would be ahead of all others where a test moved it"
)]
fn epoch() -> Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_std(*EPOCH.get_or_init(|| {
        let now = std::time::Instant::now();
        // If a test pauses the clock, it shows the time at which its runtime was created, which is earlier than this.
        now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)
    }))
}

/// The result of a task. If the task panicked, so does the run.
fn joined<T>(task: Result<T, JoinError>) -> Option<T> {
    match task {
        Ok(result) => Some(result),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Tasks are only aborted when the run is dropped.
        Err(_) => None,
    }
}

/// An observer that the caller owns.
struct Borrowed<'a, O> {
    observer: &'a mut O,
    /// The wait before the request that was answered last is sent again, if it is.
    retry_wait: Option<Duration>,
}

impl<O: Observer> Observer for Borrowed<'_, O> {
    fn on(&mut self, event: Event<'_>) {
        if let Event::Retrying { wait, .. } = &event {
            self.retry_wait = Some(*wait);
        }
        self.observer.on(event);
    }

    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        self.observer.record(outcome)
    }
}
