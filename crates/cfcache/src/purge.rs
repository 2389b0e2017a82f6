use core::fmt;
use core::future::pending;
use core::pin::Pin;
use core::task::Poll;
use std::collections::VecDeque;

#[cfg(feature = "verify")]
use cfcache_client::engine::Stop;
use cfcache_client::{Event, Observer, Outcome, PurgeScope, Recording, stream_fn};
use cfcache_model::InvalidInput;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::plan::{BatchLimits, Dedupe, Entry};
use cfcache_model::target::{Kind, Target};
use cfcache_model::{EnvironmentId, PurgeBody, ZoneId};
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::error::Error;
use crate::summary::{EntryOutcome, EntryStatus, FailedEntry, Summary};
#[cfg(feature = "verify")]
use crate::verify::{ScopePlace, Verify};

/// The maximum number of entries that are taken at once.
const CHUNK: usize = 500;

type Entries = Pin<Box<dyn Stream<Item = Entry> + Send>>;

/// A purge or invalidation that is being built. It may contain entries of several kinds.
#[must_use = "nothing is sent before `send`"]
pub struct PurgeRequest {
    client: Client,
    action: Action,
    zone: ZoneId,
    environment: Option<EnvironmentId>,
    entries: Vec<Entry>,
    invalid: Option<(usize, InvalidInput)>,
    stream: Option<Entries>,
    is_everything: bool,
    interrupt: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    outcomes: Option<mpsc::Sender<EntryOutcome>>,
    #[cfg(feature = "verify")]
    verify: Option<Verify>,
}

impl fmt::Debug for PurgeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeRequest")
            .field("action", &self.action)
            .field("zone", &self.zone)
            .field("environment", &self.environment)
            .field("entries", &self.entries.len())
            .field("is_everything", &self.is_everything)
            .finish_non_exhaustive()
    }
}

impl PurgeRequest {
    pub(crate) const fn new(client: Client, action: Action, zone: ZoneId) -> Self {
        Self {
            client,
            action,
            zone,
            environment: None,
            entries: Vec::new(),
            invalid: None,
            stream: None,
            is_everything: false,
            interrupt: None,
            outcomes: None,
            #[cfg(feature = "verify")]
            verify: None,
        }
    }

    /// Restricts the request to an environment of the zone.
    pub fn environment(mut self, environment: EnvironmentId) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Adds single files: URLs as visitors request them, or JSON entries with cache-key headers
    /// (`{"url": "…", "headers": {"CF-Device-Type": "mobile"}}`).
    pub fn urls(self, urls: impl IntoIterator<Item: Into<String>>) -> Self {
        self.parse(Kind::Files, urls)
    }

    /// Adds cache tags.
    pub fn tags(self, tags: impl IntoIterator<Item: Into<String>>) -> Self {
        self.parse(Kind::Tags, tags)
    }

    /// Adds hosts: all files of each host.
    pub fn hosts(self, hosts: impl IntoIterator<Item: Into<String>>) -> Self {
        self.parse(Kind::Hosts, hosts)
    }

    /// Adds prefixes such as `www.example.com/blog`: all files below each prefix.
    pub fn prefixes(self, prefixes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.parse(Kind::Prefixes, prefixes)
    }

    /// Adds entries of any kind, which may have a tag.
    pub fn entries(mut self, entries: impl IntoIterator<Item: Into<Entry>>) -> Self {
        self.entries.extend(entries.into_iter().map(Into::into));
        self
    }

    /// Purges every cached file of the zone. Without [`environment`](Self::environment) this includes all environments.
    pub fn everything(mut self) -> Self {
        self.is_everything = true;
        self
    }

    /// Takes entries from a stream, which may be unbounded. It is read as fast as entries can be sent. Entries that
    /// have waited for a second are sent even if they do not fill a request.
    ///
    /// An entry that equals one that is still waiting is a duplicate. If the same entry comes again later, it is sent
    /// again, because the page may have changed again.
    pub fn stream(mut self, stream: impl Stream<Item: Into<Entry>> + Send + 'static) -> Self {
        let mut stream = Box::pin(stream);
        self.stream = Some(Box::pin(stream_fn(move |context| {
            stream.as_mut().poll_next(context).map(|entry| entry.map(Into::into))
        })));
        self
    }

    /// Stops sending when `interrupt` completes. Requests in flight are awaited, and the remaining entries fail as
    /// interrupted.
    pub fn until(mut self, interrupt: impl Future<Output = ()> + Send + 'static) -> Self {
        self.interrupt = Some(Box::pin(interrupt));
        self
    }

    /// Sends the outcome of each entry to a channel. While the channel is full, nothing more is sent to the API.
    /// Dropping the receiver cancels the rest of the request.
    pub fn outcomes(mut self, outcomes: mpsc::Sender<EntryOutcome>) -> Self {
        self.outcomes = Some(outcomes);
        self
    }

    /// After the purge, requests URLs as visitors do and checks that the old copies are gone; see
    /// [`Summary::verified`].
    #[cfg(feature = "verify")]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }

    fn parse(mut self, kind: Kind, texts: impl IntoIterator<Item: Into<String>>) -> Self {
        for text in texts {
            let text: String = text.into();
            match Target::parse(kind, &text) {
                Ok(target) => self.entries.push(Entry::new(target, &text)),
                Err(reason) => {
                    self.invalid.get_or_insert((self.entries.len(), reason));
                }
            }
        }
        self
    }

    /// Sends the request, and waits until each entry has been accepted or has failed.
    ///
    /// Dropping the future cancels the requests in flight.
    ///
    /// # Errors
    ///
    /// [`Error`] if an entry is invalid or there are no entries. Nothing was sent in this case.
    pub async fn send(self) -> Result<Summary, Error> {
        if let Some((index, reason)) = self.invalid {
            return Err(Error::Entry { index, reason });
        }
        let inputs = [self.is_everything, !self.entries.is_empty(), self.stream.is_some()];
        match inputs.into_iter().filter(|input| *input).count() {
            0 => return Err(Error::Empty),
            1 => {}
            _ => return Err(Error::Mixed),
        }
        #[cfg(feature = "verify")]
        if let Some(verify) = &self.verify {
            let is_url = |entry: &Entry| entry.target.kind() == Kind::Files;
            verify.check(self.stream.is_some() || self.entries.iter().any(is_url))?;
        }
        if self.is_everything {
            return Ok(self.send_everything().await);
        }
        let limits = self.client.plan.purge_limits();
        let dedupe = if self.stream.is_some() { Dedupe::Unsent } else { Dedupe::WholeInput };
        let scopes = Kind::ALL.iter().map(|kind| {
            PurgeScope::new(self.action, self.zone.clone(), *kind, BatchLimits::from_plan(limits, *kind))
                .with_environment(self.environment.clone())
                .with_dedupe(dedupe)
        });
        let mut list = self.entries.into_iter();
        let input =
            chunks(self.stream.unwrap_or_else(|| Box::pin(stream_fn(move |_| Poll::Ready(list.next())))));
        let mut interrupt = self.interrupt.unwrap_or_else(|| Box::pin(pending()));
        let mut collector = Collector {
            summary: Summary::default(),
            outcomes: self.outcomes,
            backlog: Vec::new(),
            #[cfg(feature = "verify")]
            accepted: self.verify.as_ref().map(|verify| verify.collector(self.action)),
        };
        let summaries = self.client.client.run_all(scopes, input, &mut interrupt, &mut collector).await;
        collector.summary.set_counts(&summaries.into_iter().sum());
        if let Some(send) = collector.flush() {
            // The receiver may have been dropped.
            let _gave_up = send.await;
        }
        #[cfg(feature = "verify")]
        if let (Some(verify), Some(accepted)) = (self.verify, collector.accepted)
            && collector.summary.stopped != Some(Stop::Interrupted)
        {
            let (client, zone) = (&self.client, &self.zone);
            let place =
                ScopePlace { client, action: self.action, zone, environment: self.environment.as_ref() };
            collector.summary.verified = crate::verify::run(verify, accepted, place, interrupt).await;
        }
        Ok(collector.summary)
    }

    async fn send_everything(self) -> Summary {
        let body = PurgeBody::Everything;
        let mut request = PurgeCache::new(self.action, &self.zone, &body);
        if let Some(environment) = &self.environment {
            request = request.with_environment(environment);
        }
        let mut counts = cfcache_client::Summary::default();
        let mut observer = |event: Event<'_>| {
            if let Event::Progress { summary, .. } = event {
                counts = *summary;
            }
        };
        let result = self.client.client.call(&request, &mut observer).await;
        counts.items = 1;
        counts.accepted = u64::from(result.is_ok());
        counts.failed = 1 - counts.accepted;
        let mut summary = Summary::default();
        summary.set_counts(&counts);
        if let Err(error) = result {
            summary.name(|| FailedEntry {
                entry: "everything".to_owned(),
                tag: 0,
                kind: error.kind(),
                message: error.to_string(),
                is_unclear: error.is_unclear(),
            });
        }
        #[cfg(feature = "verify")]
        if let Some(verify) = self.verify.filter(|_| summary.accepted > 0) {
            let mut accepted = verify.collector(self.action);
            accepted.accept(0, &[]);
            let (client, zone) = (&self.client, &self.zone);
            let place =
                ScopePlace { client, action: self.action, zone, environment: self.environment.as_ref() };
            let interrupt = self.interrupt.unwrap_or_else(|| Box::pin(pending()));
            summary.verified = crate::verify::run(verify, accepted, place, interrupt).await;
        }
        summary
    }
}

/// Takes the entries in chunks of one kind each; the index of a kind's scope is its index in [`Kind::ALL`].
fn chunks(entries: Entries) -> impl Stream<Item = (usize, Vec<Entry>)> {
    let mut entries = Some(entries);
    let mut sorted: VecDeque<(usize, Vec<Entry>)> = VecDeque::new();
    stream_fn(move |context| {
        if let Some(next) = sorted.pop_front() {
            return Poll::Ready(Some(next));
        }
        let mut count = 0;
        // Waits for the first entry, and then takes those that are available.
        while count < CHUNK
            && let Some(stream) = &mut entries
        {
            match stream.as_mut().poll_next(context) {
                Poll::Ready(Some(entry)) => {
                    count += 1;
                    let kind = entry.target.kind();
                    let scope = Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
                    match sorted.iter_mut().find(|(known, _)| *known == scope) {
                        Some((_, entries)) => entries.push(entry),
                        None => sorted.push_back((scope, vec![entry])),
                    }
                }
                Poll::Ready(None) => entries = None,
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(sorted.pop_front())
    })
}

/// Collects the results of a run, and forwards outcomes.
struct Collector {
    summary: Summary,
    outcomes: Option<mpsc::Sender<EntryOutcome>>,
    /// The outcomes to forward with the next batch.
    backlog: Vec<EntryOutcome>,
    /// The accepted URLs, if they will be verified.
    #[cfg(feature = "verify")]
    accepted: Option<cfcache_probe::AcceptedUrls>,
}

impl Collector {
    fn flush(&mut self) -> Option<Recording> {
        let sender = self.outcomes.clone()?;
        let backlog = core::mem::take(&mut self.backlog);
        Some(Box::pin(async move {
            for outcome in backlog {
                sender.send(outcome).await.map_err(|_| "the receiver of the outcomes was dropped")?;
            }
            Ok(())
        }))
    }
}

impl Observer for Collector {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Duplicates { entries, .. } if self.outcomes.is_some() => {
                let duplicate = |entry: &Entry| EntryOutcome {
                    entry: entry.given().into_owned(),
                    tag: entry.tag,
                    status: EntryStatus::Duplicate,
                };
                self.backlog.extend(entries.iter().map(duplicate));
            }
            #[cfg(feature = "verify")]
            Event::Ended(Outcome { scope, batch, result: Ok(()), .. }) => {
                if let Some(accepted) = &mut self.accepted {
                    accepted.accept(*scope, batch.entries());
                }
            }
            Event::Ended(Outcome { batch, result: Err(error), .. }) => {
                for entry in batch.entries() {
                    self.summary.name(|| FailedEntry {
                        entry: entry.given().into_owned(),
                        tag: entry.tag,
                        kind: error.kind(),
                        message: error.to_string(),
                        is_unclear: error.is_unclear(),
                    });
                }
            }
            Event::Stopped { stop, .. } => {
                self.summary.stopped.get_or_insert(stop);
            }
            _ => {}
        }
    }

    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        self.outcomes.as_ref()?;
        let status = || match &outcome.result {
            Ok(()) => EntryStatus::Accepted,
            Err(error) => EntryStatus::Failed {
                kind: error.kind(),
                message: error.to_string(),
                is_unclear: error.is_unclear(),
            },
        };
        let outcomes = outcome.batch.entries().iter().map(|entry| EntryOutcome {
            entry: entry.given().into_owned(),
            tag: entry.tag,
            status: status(),
        });
        self.backlog.extend(outcomes);
        self.flush()
    }
}
