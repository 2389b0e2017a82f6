//! Tests that the token appears in no text.

use core::future::pending;
use std::sync::Arc;

use cfcache_client::engine::{Policy, Scheduler};
use cfcache_client::{Codec, Credentials, DEFAULT_BASE_URL, Event, entries};
use cfcache_model::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_transport::{Delivery, ScriptedTransport};
use secrecy::SecretString;

use crate::support::{TOKEN, accepted, client, lost, policy, refused, reply, some_tags, tags, zone};

/// Responses in which a server echoes the request in every place where a response has text.
fn indiscreet() -> Vec<crate::support::Reply> {
    let info = format!(
        r#"{{"code":6003,"message":"bad {TOKEN}","documentation_url":"https://x/{TOKEN}","source":{{"pointer":"/{TOKEN}"}},"error_chain":[{{"code":6111,"message":"Bearer {TOKEN}"}}]}}"#
    );
    let refusal = format!(r#"{{"success":false,"errors":[{info}],"messages":[{info}],"result":null}}"#);
    let success = format!(r#"{{"success":true,"errors":[{info}],"messages":[{info}],"result":null}}"#);
    vec![
        reply(400, refusal.clone(), &[]),
        reply(403, refusal, &[("cf-ray", TOKEN)]),
        reply(403, format!("<html>{TOKEN}</html>"), &[]),
        reply(302, "", &[("location", &format!("https://x.example/?token={TOKEN}"))]),
        reply(400, format!("{{\"error\":\"{TOKEN}\"}}"), &[]),
        reply(200, success, &[]),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_text_has_the_token() {
    let zone = zone();
    let mut texts = Vec::new();
    for answer in indiscreet() {
        let client = client(Arc::new(ScriptedTransport::new([answer])), policy(|_| {}));
        texts.push(format!("{client:?}"));
        let body = PurgeBody::Everything;
        match client.call(&PurgeCache::purge(&zone, &body), &mut ()).await {
            Ok(answer) => texts.push(format!("{answer:?}")),
            Err(error) => texts.push(format!("{error} {error:?} {:#?}", error.failure())),
        }
    }
    assert_eq!(texts.iter().filter(|text| text.contains("[secret]")).count(), 6);
    let credentials = Credentials::token(SecretString::from(TOKEN)).unwrap();
    let key = Credentials::key("a@example.com", SecretString::from(TOKEN)).unwrap();
    for credentials in [credentials, key] {
        let codec = Codec::new(DEFAULT_BASE_URL.parse().unwrap(), Some(&credentials), "test/1");
        texts.push(format!("{credentials:?} {codec:?} {:?} {:?}", codec.shown_headers(), codec.redactor()));
    }
    texts.push(format!("{:?}", Scheduler::<()>::new(Policy::default())));
    for text in texts {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

/// Events contain unchanged responses, because a trace needs them; their `Debug` does not show the contents.
#[tokio::test(start_paused = true)]
async fn no_event_has_the_token() {
    let mut echo = http::Response::new(bytes::Bytes::from(format!("you sent {TOKEN}")));
    *echo.status_mut() = http::StatusCode::BAD_REQUEST;
    let replies = [refused(503, 0), lost(Delivery::Unknown), accepted(), Ok(echo)];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|policy| policy.concurrency = 1));
    let mut texts = Vec::new();
    let mut observer = |event: Event<'_>| texts.push(format!("{event:?} {event:#?}"));
    let run = tags(5);
    let _summary = client.run(&run, entries(some_tags(10)), pending(), &mut observer).await;
    assert!(texts.iter().any(|text| text.contains("Sensitive")));
    for text in texts {
        assert!(!text.contains(TOKEN), "{text}");
    }
}
