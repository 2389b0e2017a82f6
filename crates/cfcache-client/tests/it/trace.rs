//! Tests of the spans of requests.

use core::future::pending;
use std::sync::Arc;

use cfcache_client::entries;
use cfcache_model::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_transport::{Delivery, ScriptedTransport};

use crate::spans::Recording;
use crate::support::{TOKEN, accepted, client, lost, policy, refused_with, reply, some_tags, tags, zone};

#[tokio::test(start_paused = true)]
async fn each_request_has_a_span_without_the_token() {
    let recording = Recording::start();
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
    let spans = recording.finish();
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
    assert!(field(2, "error").contains("waiting for the response") && field(2, "attempt") == "2", "{shown}");
    assert_eq!((field(3, "status"), field(3, "attempt")), ("400", "3"));
}
