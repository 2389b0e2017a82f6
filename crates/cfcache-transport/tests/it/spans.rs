//! A subscriber that records spans, for the tests of this crate and of the client.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::dispatcher::DefaultGuard;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// The name and the fields of each span, in the order in which they began.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cfcache")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = BTreeMap::from([("name", attributes.metadata().name().to_owned())]);
        attributes.record(&mut Fields(&mut fields));
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut spans[index]));
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Records the spans of this thread.
pub(crate) struct Recording {
    spans: Spans,
    _guard: DefaultGuard,
    _second: Dispatch,
}

impl Recording {
    pub(crate) fn start() -> Self {
        // With only one subscriber, the first thread that reaches a callsite decides for all threads whether it is
        // enabled, and that thread may belong to another test.
        let second = Dispatch::new(NoSubscriber::default());
        let spans = Spans::default();
        let guard = tracing::subscriber::set_default(spans.clone());
        Self { spans, _guard: guard, _second: second }
    }

    /// The name and the fields of each span so far.
    pub(crate) fn finish(self) -> Vec<BTreeMap<&'static str, String>> {
        std::mem::take(&mut *self.spans.0.lock().unwrap())
    }
}
