//! Spans of requests, as a subscriber sees them.

use core::fmt::Debug;
use core::future::pending;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cfcache_client::entries;
use cfcache_model::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_transport::{Delivery, ScriptedTransport};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::world::{TOKEN, accepted, client, lost, policy, refused_with, reply, some_tags, tags, zone};

/// The fields of each span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cfcache")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = BTreeMap::from([("name".to_owned(), attributes.metadata().name().to_owned())]);
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

#[tokio::test(start_paused = true)]
async fn each_request_is_a_span_and_none_has_the_token() {
    let spans = Spans::default();
    // With one subscriber alone, tracing has the thread that comes to a place first decide for all whether it is looked at,
    // and that may be the thread of another test.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(spans.clone());
    let echo = format!(r#"{{"success":false,"errors":[{{"code":1,"message":"{TOKEN}"}}],"result":null}}"#);
    let transport = ScriptedTransport::new([
        accepted(),
        refused_with(429, 1134, &[("retry-after", "30"), ("cf-ray", "8f00ba4-AMS")]),
        lost(Delivery::Unknown),
        reply(400, echo, &[("cf-ray", TOKEN)]),
    ]);
    let client = client(Arc::new(transport), policy(|policy| policy.concurrency = 1));
    client.call(&PurgeCache::purge(&zone(), &PurgeBody::Everything), &mut ()).await.unwrap();
    let _summary = client.run(&tags(10), entries(some_tags(5)), pending(), &mut ()).await;
    drop(guard);
    let spans = spans.0.lock().unwrap();
    let shown = format!("{spans:?}");
    assert!(!shown.contains(TOKEN) && shown.contains("[secret]"), "{shown}");
    let field = |span: usize, name: &str| spans[span].get(name).map_or("", String::as_str);
    assert_eq!(spans.len(), 4);
    assert!(
        spans.iter().all(|span| span["name"] == "request" && span["zone"].contains(zone().as_str())),
        "{shown}"
    );
    assert_eq!((field(0, "status"), field(0, "batch"), field(0, "attempt")), ("200", "", "1"));
    assert_eq!((field(1, "status"), field(1, "batch"), field(1, "wait_ms")), ("429", "0", "30000"));
    assert!(field(1, "ray").contains("8f00ba4-AMS") && field(1, "endpoint").contains("purge_zone_cache"));
    assert!(field(2, "error").contains("waiting for the answer") && field(2, "attempt") == "2", "{shown}");
    assert_eq!((field(3, "status"), field(3, "attempt")), ("400", "3"));
}
