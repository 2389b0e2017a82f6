//! Single calls: what comes back, and what is tried again.

use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, ErrorCause, ErrorKind, Event, Summary};
use cfcache_model::PurgeBody;
use cfcache_model::endpoint::{ClearCacheReserve, GetZone, ListZones, PurgeCache, VerifyToken};
use cfcache_model::verdict::Class;
use cfcache_transport::{Delivery, RecordingTransport, ScriptedTransport, TransportError};
use tokio::time::Instant;

use crate::world::{
    Diary, Reply, TOKEN, accepted, broken_body, client, lost, policy, refused, refused_with, reply, zone,
};

/// Purges everything over these answers.
async fn purge(replies: impl IntoIterator<Item = Reply>) -> Result<String, Error> {
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    let zone = zone();
    let answer = client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut ()).await?;
    Ok(answer.raw)
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_with_all_that_the_api_said() {
    let body = r#"{"success":true,"errors":[],"messages":[{"code":10000,"message":"fine"}],"result":{"id":"x","new":1.50}}"#;
    let client = client(Arc::new(ScriptedTransport::new([reply(200, body, &[])])), policy(|_| {}));
    let zone = zone();
    let answer = client.call(&PurgeCache::purge(&zone, &PurgeBody::Everything), &mut ()).await.unwrap();
    assert_eq!(answer.result.unwrap().id.as_deref(), Some("x"));
    assert_eq!(answer.raw, r#"{"id":"x","new":1.50}"#);
    assert_eq!(answer.messages[0].message, "fine");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_what_the_codec_says() {
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
async fn success_is_more_than_a_status() {
    let error = purge([refused(200, 1012)]).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts), (ErrorKind::Refused, 1));
    assert!(error.is_refused() && !error.is_unclear());
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"x"}}"#;
    let error = purge([reply(400, body, &[])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
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
async fn it_ends_after_all_of_its_tries() {
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
async fn a_try_that_left_it_open_is_not_forgotten() {
    for earlier in [lost(Delivery::Unknown), reply(504, "", &[]), reply(200, "", &[])] {
        let error = purge([earlier, refused(400, 1012)]).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts, error.is_unclear()), (ErrorKind::Refused, 2, true));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_body_breaks_off_is_judged_by_its_head() {
    // Too many, and for how long: both are in the head.
    let begun = Instant::now();
    purge([broken_body(429, &[("retry-after", "300")]), accepted()]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 300);

    let headers = [("retry-after", "601"), ("cf-ray", "8f00ba4-AMS")];
    let error = purge([broken_body(429, &headers)]).await.unwrap_err();
    assert_eq!((error.kind(), error.ray.as_deref()), (ErrorKind::RateLimited, Some("8f00ba4-AMS")));
    let last = error.failure().map(|failure| (failure.status, failure.class));
    assert_eq!(last, Some((429, Class::RateLimited)));
    assert!(error.to_string().contains("status 429: `a` closed the connection"), "{error}");

    // What was over the limit was not looked at, so that even this may be repeated.
    let zone = zone();
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00Z","state":"In-progress"}}"#;
    let replies = [broken_body(429, &[("retry-after", "1")]), reply(200, body, &[])];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    client.call(&ClearCacheReserve::new(&zone), &mut ()).await.unwrap();

    // A success that is not whole is not known to be one, and its ray is kept.
    let error = purge((0..11).map(|_| broken_body(200, &[("cf-ray", "8f00ba4-AMS")]))).await.unwrap_err();
    assert!(matches!(error.cause, ErrorCause::Transport(_)) && error.is_unclear(), "{error}");
    assert_eq!(error.ray.as_deref(), Some("8f00ba4-AMS"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_edge_is_waited_for_as_its_body_says() {
    let body =
        r#"{"title":"Error 1015","status":429,"detail":"You are being rate limited","retry_after":30}"#;
    let begun = Instant::now();
    purge([reply(429, body, &[]), accepted()]).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
    // The header is the fresher of the two.
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
async fn errors_and_remarks_beside_success_are_told() {
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
async fn a_read_of_the_wrong_form_ends_at_once_and_had_no_effect() {
    let zone = zone();
    let request = ListZones::page(1);
    let transport = ScriptedTransport::new([reply(200, r#"{"success":true,"result":7}"#, &[])]);
    let client_of = |transport| client(Arc::new(transport), policy(|_| {}));
    let error = client_of(transport).call(&request, &mut ()).await.unwrap_err();
    assert_eq!((error.attempts, error.is_unclear()), (1, false));
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let lost = ScriptedTransport::new((0..11).map(|_| lost(Delivery::Unknown)));
    let error = client_of(lost).call(&GetZone::new(&zone), &mut ()).await.unwrap_err();
    assert_eq!((error.attempts, error.is_unclear()), (11, false));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_no_request() {
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
    // Two of the four tries reached the wire; both came after one that had not.
    assert_eq!((tally.requests, tally.retries), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_not() {
    let zone = zone();
    for (reply, unclear) in [(lost(Delivery::Unknown), true), (refused(503, 0), false)] {
        let client = client(Arc::new(ScriptedTransport::new([reply])), policy(|_| {}));
        let error = client.call(&ClearCacheReserve::new(&zone), &mut ()).await.unwrap_err();
        assert_eq!((error.attempts, error.is_unclear()), (1, unclear));
    }
    // What was proven not to have been processed may.
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00Z","state":"In-progress"}}"#;
    let replies = [lost(Delivery::NotSent), refused(429, 971), reply(200, body, &[])];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    client.call(&ClearCacheReserve::new(&zone), &mut ()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_shown_and_not_followed() {
    let error = purge([reply(302, "", &[("location", "https://elsewhere.example/x?y")])]).await.unwrap_err();
    assert_eq!(error.failure().unwrap().class, Class::Redirected);
    let shown = error.to_string();
    assert!(shown.contains("`https://elsewhere.example/x?y`") && shown.contains("not followed"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_for_browsers_is_named() {
    let headers = [("cf-mitigated", "challenge"), ("cf-ray", "8f00ba4-AMS")];
    let error = purge([reply(403, "<html>Just a moment</html>", &headers)]).await.unwrap_err();
    assert_eq!(error.failure().unwrap().class, Class::NotTheApi);
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.ray.as_deref(), Some("8f00ba4-AMS"));
    assert!(error.to_string().contains("taken for a bot"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_ray_is_kept_and_kept_short() {
    let long = "x".repeat(10_000);
    let error = purge([refused_with(400, 1012, &[("cf-ray", &long)])]).await.unwrap_err();
    assert_eq!(error.ray.unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_is_not_waited() {
    let begun = Instant::now();
    let error = purge([refused_with(429, 1134, &[("retry-after", "601")])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_each_try() {
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

/// A run that is stopped by a wait does not stop calls, and a hold of one client is a hold of its clones.
#[tokio::test(start_paused = true)]
async fn clones_are_held_together() {
    let replies = [refused_with(429, 971, &[("retry-after", "20")]), accepted(), accepted()];
    let client = client(Arc::new(ScriptedTransport::new(replies)), policy(|_| {}));
    let other = client.clone();
    let (zone, body) = (zone(), PurgeBody::Everything);
    let request = PurgeCache::purge(&zone, &body);
    let begun = Instant::now();
    let (mut one, mut two) = (Diary::default(), Diary::default());
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
async fn other_endpoints_are_called_the_same_way() {
    let zones =
        r#"{"success":true,"errors":[],"messages":[],"result":[],"result_info":{"page":1,"total_pages":1}}"#;
    let client = client(
        Arc::new(ScriptedTransport::new([reply(200, zones, &[]), refused(401, 1000)])),
        policy(|_| {}),
    );
    let answer = client.call(&ListZones::named("example.com"), &mut ()).await.unwrap();
    assert_eq!(answer.result_info.unwrap().total_pages, Some(1));
    let error = client.call(&VerifyToken::for_user(), &mut ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(!matches!(error.cause, ErrorCause::Stopped(Stop::Interrupted)));
}
