//! Single calls: results and retries.

use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, ErrorCause, ErrorKind, Event, Summary};
use cfcache_model::PurgeBody;
use cfcache_model::endpoint::{ApiRequest, PurgeCache};
use cfcache_model::verdict::Class;
use cfcache_transport::{Delivery, RecordingTransport, ScriptedTransport, TransportError};
use tokio::time::Instant;

use crate::support::{
    EventRecorder, Reply, TOKEN, accepted, broken_body, client, lost, policy, refused, refused_with, reply,
    zone,
};

/// Purges everything with these responses.
async fn purge(replies: impl IntoIterator<Item = Reply>) -> Result<String, Error> {
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    let zone = zone();
    let answer = client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut ()).await?;
    Ok(answer.raw)
}

#[tokio::test(start_paused = true)]
async fn a_call_returns_the_whole_response() {
    let body = r#"{"success":true,"errors":[],"messages":[{"code":10000,"message":"fine"}],"result":{"id":"x","new":1.50}}"#;
    let client = client(Arc::new(ScriptedTransport::new([reply(200, body, &[])])), policy(|_| {}));
    let zone = zone();
    let answer = client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut ()).await.unwrap();
    assert_eq!(answer.raw, r#"{"id":"x","new":1.50}"#);
    assert_eq!(answer.messages[0].message, "fine");
}

#[tokio::test(start_paused = true)]
async fn a_call_sends_the_request_of_the_codec() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let zone = zone();
    client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut ()).await.unwrap();
    let request = &transport.requests()[0];
    assert_eq!(request.message.method(), "POST");
    assert_eq!(&request.message.body()[..], br#"{"purge_everything":true}"#);
    let headers = request.message.headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(headers["authorization"].is_sensitive());
    assert_eq!((request.operation.name, request.operation.attempt), ("purge_zone_cache", 1));
}

#[tokio::test(start_paused = true)]
async fn a_200_without_success_in_the_body_is_an_error() {
    let error = purge([refused(200, 1012)]).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts), (ErrorKind::Refused, 1));
    assert!(error.is_refused() && !error.is_unclear());
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"x"}}"#;
    let error = purge([reply(400, body, &[])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn temporary_errors_are_retried() {
    let again = [
        refused(500, 0),
        refused(408, 0),
        reply(522, "<html>timed out</html>", &[]),
        refused_with(429, 1134, &[("retry-after", "7")]),
        lost(Delivery::Unknown),
        lost(Delivery::NotSent),
        reply(200, "", &[]),
        accepted(),
    ];
    let begun = Instant::now();
    purge(again).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_after_all_attempts() {
    for (reply, kind, unclear) in [
        (refused as fn(u16, u32) -> Reply, ErrorKind::Unreachable, false),
        (|_, _| refused(429, 1134), ErrorKind::RateLimited, false),
        (|_, _| reply(502, "<html>bad gateway</html>", &[]), ErrorKind::Unreachable, true),
        (|_, _| lost(Delivery::NotSent), ErrorKind::Unreachable, false),
        (|_, _| lost(Delivery::Unknown), ErrorKind::Unreachable, true),
    ] {
        let client = client(
            Arc::new(ScriptedTransport::new((0..3).map(|_| reply(503, 0)))),
            policy(|policy| policy.max_retries = 2),
        );
        let (zone, body) = (zone(), PurgeBody::Everything);
        let error = client.call(&PurgeCache::purge(&zone, &body), &mut ()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts, error.is_unclear()), (kind, 3, unclear));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unclear_attempt_makes_the_error_unclear() {
    for earlier in [lost(Delivery::Unknown), reply(504, "", &[]), reply(200, "", &[])] {
        let error = purge([earlier, refused(400, 1012)]).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts, error.is_unclear()), (ErrorKind::Refused, 2, true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_with_a_truncated_body_is_classified_by_its_headers() {
    // The headers contain both the refusal and the wait.
    let begun = Instant::now();
    purge([broken_body(429, &[("retry-after", "300")]), accepted()]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 300);

    let headers = [("retry-after", "601"), ("cf-ray", "8f00ba4-AMS")];
    let error = purge([broken_body(429, &headers)]).await.unwrap_err();
    assert_eq!((error.kind(), error.ray.as_deref()), (ErrorKind::RateLimited, Some("8f00ba4-AMS")));
    let last = error.failure().map(|failure| (failure.status, failure.class));
    assert_eq!(last, Some((429, Class::RateLimited)));
    assert!(error.to_string().contains("status 429: `a` closed the connection"), "{error}");

    // A request above the limit was not processed, so even this request may be repeated.
    let zone = zone();
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00Z","state":"In-progress"}}"#;
    let replies = [broken_body(429, &[("retry-after", "1")]), reply(200, body, &[])];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    client.call(&ApiRequest::clear_cache_reserve(&zone), &mut ()).await.unwrap();

    // An incomplete success is not a success, and its ray is kept.
    let error = purge((0..11).map(|_| broken_body(200, &[("cf-ray", "8f00ba4-AMS")]))).await.unwrap_err();
    assert!(matches!(error.cause, ErrorCause::Transport(_)) && error.is_unclear(), "{error}");
    assert_eq!(error.ray.as_deref(), Some("8f00ba4-AMS"));
}

#[tokio::test(start_paused = true)]
async fn the_wait_in_the_body_of_an_edge_error_is_obeyed() {
    let body =
        r#"{"title":"Error 1015","status":429,"detail":"You are being rate limited","retry_after":30}"#;
    let begun = Instant::now();
    purge([reply(429, body, &[]), accepted()]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
    // The header is more current than the body.
    let begun = Instant::now();
    purge([reply(429, body, &[("retry-after", "7")]), accepted()]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7);

    let body = r#"{"title":"Error 1020: Access denied","status":403}"#;
    let error = purge([reply(403, body, &[])]).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts), (ErrorKind::Unreachable, 1));
    let error = purge([reply(526, "<html>", &[])]).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts, error.is_unclear()), (ErrorKind::Unreachable, 1, false));
}

#[tokio::test(start_paused = true)]
async fn errors_and_messages_of_a_success_are_reported() {
    let body = format!(
        r#"{{"success":true,"errors":[{{"code":1099,"message":"odd {TOKEN}"}}],"messages":["soon gone"],"result":null}}"#
    );
    let client = client(Arc::new(ScriptedTransport::new([reply(200, body, &[])])), policy(|_| {}));
    let mut warnings = Vec::new();
    let mut observer = |event: Event<'_>| {
        if let Event::Warning(warning) = event {
            warnings.push(warning.to_string());
        }
    };
    client.call(&PurgeCache::purge(&zone(), &PurgeBody::Everything), &mut observer).await.unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].starts_with("odd ") && !warnings[0].contains(TOKEN), "{warnings:?}");
    assert_eq!(warnings[1], "soon gone");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_result_of_a_read_is_not_retried_and_not_unclear() {
    let zone = zone();
    let request = ApiRequest::zones(1);
    let transport = ScriptedTransport::new([reply(200, r#"{"success":true,"result":7}"#, &[])]);
    let client_of = |transport| client(Arc::new(transport), policy(|_| {}));
    let error = client_of(transport).call(&request, &mut ()).await.unwrap_err();
    assert_eq!((error.attempts, error.is_unclear()), (1, false));
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let lost = ScriptedTransport::new((0..11).map(|_| lost(Delivery::Unknown)));
    let error = client_of(lost).call(&ApiRequest::zone(&zone), &mut ()).await.unwrap_err();
    assert_eq!((error.attempts, error.is_unclear()), (11, false));
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_not_sent_are_not_counted() {
    let refused = || {
        let phase = cfcache_transport::Phase::Connect;
        let detail = "`a` refused the connection";
        Err(TransportError::new(Delivery::NotSent, phase, cfcache_transport::Cause::Io, detail))
    };
    let transport = ScriptedTransport::new([refused(), lost(Delivery::Unknown), refused(), accepted()]);
    let client = client(Arc::new(transport), policy(|_| {}));
    let mut tally = Summary::default();
    let mut keep = |event: Event<'_>| {
        if let Event::Progress { summary, .. } = event {
            tally = *summary;
        }
    };
    let zone = zone();
    client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut keep).await.unwrap();
    // Two of the four attempts were sent, both after one that was not.
    assert_eq!((tally.requests, tally.retries), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_repeatable_are_not_retried() {
    let zone = zone();
    for (reply, unclear) in [(lost(Delivery::Unknown), true), (refused(503, 0), false)] {
        let client = client(Arc::new(ScriptedTransport::new([reply])), policy(|_| {}));
        let error = client.call(&ApiRequest::clear_cache_reserve(&zone), &mut ()).await.unwrap_err();
        assert_eq!((error.attempts, error.is_unclear()), (1, unclear));
    }
    // A request that was certainly not processed may be repeated.
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00Z","state":"In-progress"}}"#;
    let replies = [lost(Delivery::NotSent), refused(429, 971), reply(200, body, &[])];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    client.call(&ApiRequest::clear_cache_reserve(&zone), &mut ()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_reported_and_not_followed() {
    let error = purge([reply(302, "", &[("location", "https://elsewhere.example/x?y")])]).await.unwrap_err();
    assert_eq!(error.failure().unwrap().class, Class::Redirected);
    let shown = error.to_string();
    assert!(shown.contains("`https://elsewhere.example/x?y`") && shown.contains("not followed"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_browser_challenge_is_named_in_the_error() {
    let headers = [("cf-mitigated", "challenge"), ("cf-ray", "8f00ba4-AMS")];
    let error = purge([reply(403, "<html>Just a moment</html>", &headers)]).await.unwrap_err();
    assert_eq!(error.failure().unwrap().class, Class::NotTheApi);
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.ray.as_deref(), Some("8f00ba4-AMS"));
    assert!(error.to_string().contains("taken for a bot"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_ray_is_kept_and_truncated() {
    let long = "x".repeat(10_000);
    let error = purge([refused_with(400, 1012, &[("cf-ray", &long)])]).await.unwrap_err();
    assert_eq!(error.ray.unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_demanded_wait_above_the_maximum_fails_at_once() {
    let begun = Instant::now();
    let error = purge([refused_with(429, 1134, &[("retry-after", "601")])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_observer_gets_an_event_for_each_attempt() {
    let replies = [refused(503, 0), accepted()];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    let zone = zone();
    let mut tries = Vec::new();
    let mut observer = |event: Event<'_>| {
        if let Event::Exchange(exchange) = event {
            let status = exchange.result.unwrap().status().as_u16();
            tries.push((exchange.operation.attempt, status, exchange.method, exchange.body_bytes));
        }
    };
    client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut observer).await.unwrap();
    assert_eq!(tries, [(1, 503, "POST", 25), (2, 200, "POST", 25)]);
}

/// A run that stops because of a wait does not stop calls, and a hold of one client applies to its clones.
#[tokio::test(start_paused = true)]
async fn a_hold_applies_to_all_clones() {
    let replies = [refused_with(429, 971, &[("retry-after", "20")]), accepted(), accepted()];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    let other = client.clone();
    let (zone, body) = (zone(), PurgeBody::Everything);
    let request = PurgeCache::purge(&zone, &body);
    let begun = Instant::now();
    let (mut one, mut two) = (EventRecorder::default(), EventRecorder::default());
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.call(&request, &mut two).await
    };
    let (first, second) = tokio::join!(client.call(&request, &mut one), late);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(begun.elapsed(), Duration::from_secs(20));
    assert_eq!(two.count("Waiting"), 1);
}

#[tokio::test(start_paused = true)]
async fn all_endpoints_can_be_called() {
    let zones =
        r#"{"success":true,"errors":[],"messages":[],"result":[],"result_info":{"page":1,"total_pages":1}}"#;
    let client = client(
        Arc::new(ScriptedTransport::new([reply(200, zones, &[]), refused(401, 1000)])),
        policy(|_| {}),
    );
    let answer = client.call(&ApiRequest::zones_named("example.com"), &mut ()).await.unwrap();
    assert_eq!(answer.result_info.unwrap().total_pages, Some(1));
    let error = client.call(&ApiRequest::verify_token(), &mut ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(!matches!(error.cause, ErrorCause::Stopped(Stop::Interrupted)));
}
