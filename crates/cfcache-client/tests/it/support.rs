//! Transports without a network, and what their servers receive.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cfcache_client::engine::{Policy, Stop};
use cfcache_client::{
    Client, Codec, Credentials, DEFAULT_BASE_URL, ErrorKind, Event, Observer, Outcome, PurgeScope, Recording,
};
use cfcache_model::endpoint::{Action, example};
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::target::Kind;
use cfcache_model::{PurgeBody, Target, ZoneId};
use cfcache_transport::{
    Cause, Delivery, Phase, Request, Response, ResponseFuture, Transport, TransportError,
};
use secrecy::SecretString;

pub(crate) type Reply = Result<Response, TransportError>;

pub(crate) const TOKEN: &str = "the-very-secret-token";

pub(crate) fn reply(status: u16, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Reply {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(body.into()).unwrap())
}

pub(crate) fn accepted() -> Reply {
    reply(200, r#"{"success":true,"errors":[],"messages":[],"result":{"id":"x"}}"#, &[])
}

pub(crate) fn refused(status: u16, code: u32) -> Reply {
    refused_with(status, code, &[])
}

pub(crate) fn refused_with(status: u16, code: u32, headers: &[(&str, &str)]) -> Reply {
    let body = format!(
        r#"{{"success":false,"errors":[{{"code":{code},"message":"no"}}],"messages":[],"result":null}}"#
    );
    reply(status, body, headers)
}

pub(crate) fn lost(delivery: Delivery) -> Reply {
    Err(TransportError::new(delivery, Phase::Head, Cause::Io, "the connection was reset"))
}

/// A response whose headers arrived and whose body did not.
pub(crate) fn broken_body(status: u16, headers: &[(&str, &str)]) -> Reply {
    let head = reply(status, "", headers)?.into_parts().0;
    let detail = "`a` closed the connection";
    Err(TransportError::new(Delivery::Unknown, Phase::Body, Cause::Io, detail).with_head(head))
}

type Answer = dyn Fn(&Request) -> (Duration, Reply) + Send + Sync;

/// Responds after a delay of the test's clock.
pub(crate) struct SlowTransport {
    answer: Box<Answer>,
    /// When each request arrived, in order.
    pub(crate) seen: Mutex<Vec<tokio::time::Instant>>,
}

impl SlowTransport {
    pub(crate) fn new(answer: impl Fn(&Request) -> (Duration, Reply) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), seen: Mutex::default() })
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Transport for SlowTransport {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(tokio::time::Instant::now());
            let (latency, reply) = (self.answer)(&request);
            tokio::time::sleep(latency).await;
            reply
        })
    }
}

/// The entries in the body of a request.
pub(crate) fn entries_of(request: &Request) -> Vec<String> {
    match serde_json::from_slice(request.message.body()).unwrap() {
        PurgeBody::Everything => vec!["everything".to_owned()],
        PurgeBody::Batch(batch) => {
            batch.entries().iter().map(|entry| entry.target.text().into_owned()).collect()
        }
    }
}

pub(crate) fn zone() -> ZoneId {
    ZoneId::parse(example::ZONE_ID).unwrap()
}

/// A policy without rate limits, unless `change` sets some.
pub(crate) fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    policy.limits = None;
    change(&mut policy);
    policy
}

pub(crate) fn client(transport: Arc<dyn Transport>, policy: Policy) -> Client {
    let credentials = Credentials::token(SecretString::from(TOKEN)).unwrap();
    let codec = Codec::new(DEFAULT_BASE_URL.parse().unwrap(), Some(&credentials), "test/1");
    Client::new(transport, codec, policy)
}

pub(crate) fn tags(size: usize) -> PurgeScope {
    PurgeScope::new(Action::Purge, zone(), Kind::Tags, BatchLimits::new(size))
}

pub(crate) fn tag(text: &str) -> Entry {
    Entry::from(Target::parse(Kind::Tags, text).unwrap())
}

/// `t0`, `t1` and so on.
pub(crate) fn some_tags(count: usize) -> impl Iterator<Item = Entry> {
    (0..count).map(|number| tag(&format!("t{number}")))
}

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) entries: Vec<String>,
    pub(crate) ordinals: Vec<u64>,
    pub(crate) attempts: u32,
    /// The error, and whether the batch may have taken effect nonetheless.
    pub(crate) error: Option<(ErrorKind, bool)>,
    pub(crate) text: String,
}

/// Records events.
#[derive(Default)]
pub(crate) struct EventRecorder {
    pub(crate) ends: Vec<End>,
    pub(crate) stops: Vec<Stop>,
    /// The other events, in `Debug` form.
    pub(crate) lines: Vec<String>,
    /// How many batches it records before recording fails.
    pub(crate) records_left: Option<usize>,
    pub(crate) recorded: Vec<String>,
}

impl Observer for EventRecorder {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Ended(outcome) => {
                let texts = |entry: &Entry| entry.target.text().into_owned();
                self.ends.push(End {
                    entries: outcome.batch.entries().iter().map(texts).collect(),
                    ordinals: outcome.batch.entries().iter().map(|entry| entry.ordinal).collect(),
                    attempts: outcome.attempts,
                    error: outcome.result.as_ref().err().map(|error| (error.kind(), error.is_unclear())),
                    text: outcome.result.as_ref().err().map(ToString::to_string).unwrap_or_default(),
                });
            }
            Event::Stopped { stop, .. } => self.stops.push(stop),
            Event::Progress { .. } => {}
            event => self.lines.push(format!("{event:?}")),
        }
    }

    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        let Ok(()) = outcome.result else { return None };
        if self.records_left == Some(0) {
            return Some(Box::pin(async { Err("the disk is full".into()) }));
        }
        self.records_left = self.records_left.map(|records_left| records_left - 1);
        self.recorded.extend(outcome.batch.entries().iter().map(|entry| entry.target.text().into_owned()));
        None
    }
}

impl EventRecorder {
    /// The entries that were accepted, in the order of the input.
    pub(crate) fn accepted(&self) -> Vec<&str> {
        self.entries(|end| end.error.is_none())
    }

    /// The entries that failed, in the order of the input.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.entries(|end| end.error.is_some())
    }

    fn entries(&self, want: impl Fn(&End) -> bool) -> Vec<&str> {
        let ends = self.ends.iter().filter(|end| want(end));
        let mut entries: Vec<_> = ends.flat_map(|end| end.ordinals.iter().zip(&end.entries)).collect();
        entries.sort();
        entries.into_iter().map(|(_, text)| text.as_str()).collect()
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.lines.iter().filter(|line| line.starts_with(event)).count()
    }
}

/// Wraps an input to count the entries that were taken from it.
pub(crate) fn counted<I: Iterator>(input: I) -> (Rc<RefCell<usize>>, impl Iterator<Item = I::Item>) {
    let count = Rc::new(RefCell::new(0));
    let counter = Rc::clone(&count);
    (count, input.inspect(move |_| *counter.borrow_mut() += 1))
}
