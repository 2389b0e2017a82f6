//! Runs over scripted transports, with a paused clock.

use core::future::{pending, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cfcache_client::engine::{Policy, Reason, Stop};
use cfcache_client::{ErrorKind, Event, Summary, entries};
use cfcache_model::endpoint::Action;
use cfcache_model::limits::{Plan, Rate};
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::target::Kind;
use cfcache_model::{EnvironmentId, Target};
use cfcache_transport::{Delivery, RecordingTransport, Request, ScriptedTransport};
use futures_core::Stream;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::sim::{self, TestRandom};
use crate::support::{
    EventRecorder, SlowTransport, accepted, client, counted, entries_of, lost, policy, refused, refused_with,
    reply, some_tags, tag, tags,
};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number}")).collect()
}

#[track_caller]
fn adds_up(tally: &Summary) {
    assert_eq!(tally.accepted + tally.failed + tally.duplicates + tally.skipped, tally.items, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn all_entries_are_sent_once_and_in_order() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    let input = some_tags(250).chain([tag("T7"), tag("t249")]);
    let tally = client.run(&tags(100), entries(input), pending(), &mut recorder).await;
    let sent: Vec<String> = transport.requests().iter().flat_map(entries_of).collect();
    assert_eq!(sent, names(250));
    assert_eq!(recorder.accepted(), names(250));
    assert_eq!(recorder.recorded.len(), 250);
    assert_eq!((tally.items, tally.accepted, tally.duplicates, tally.batches), (252, 250, 2, 3));
    assert_eq!((tally.requests, tally.retries, tally.rate_limited, tally.failed), (3, 0, 0, 0));
    let paths: BTreeSet<_> =
        transport.requests().iter().map(|request| request.message.uri().to_string()).collect();
    let path = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache";
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), [path]);
}

/// This only has to compile: a client is shared between tasks, and its futures are spawned.
#[tokio::test(start_paused = true)]
async fn clients_and_their_futures_are_send() {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<cfcache_client::Client>();
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let run = client.clone();
    let run = tokio::spawn(async move {
        let mut seen = 0;
        let mut observer = |_: Event<'_>| seen += 1;
        run.run(&tags(10), entries(some_tags(100)), pending(), &mut observer).await
    });
    let call = tokio::spawn(async move {
        let zone = crate::support::zone();
        let body = cfcache_model::PurgeBody::Everything;
        client.call(&cfcache_model::endpoint::PurgeCache::purge(&zone, &body), &mut ()).await.map(drop)
    });
    let (run, call) = tokio::join!(run, call);
    assert_eq!((run.unwrap().accepted, call.unwrap().is_ok()), (100, true));
}

#[tokio::test(start_paused = true)]
async fn rotated_credentials_are_used_at_once_and_not_shown() {
    let old = crate::support::TOKEN;
    let new = "the-other-very-secret-token";
    let echo =
        format!(r#"{{"success":false,"errors":[{{"code":1,"message":"{old} {new}"}}],"result":null}}"#);
    let transport = Arc::new(RecordingTransport::new(move |_| reply(400, echo.clone(), &[])));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    let _summary = client.run(&tags(10), entries(some_tags(1)), pending(), &mut recorder).await;
    let credentials = cfcache_client::Credentials::token(secrecy::SecretString::from(new)).unwrap();
    client.clone().set_credentials(credentials);
    let _summary = client.run(&tags(10), entries(some_tags(1)), pending(), &mut recorder).await;
    let sent: Vec<_> = transport
        .requests()
        .iter()
        .map(|request| {
            let header = &request.message.headers()["authorization"];
            assert!(header.is_sensitive());
            header.to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(sent, [format!("Bearer {old}"), format!("Bearer {new}")]);
    // Earlier secrets are still redacted.
    assert!(
        recorder.ends[0].text.contains("[secret]") && !recorder.ends[0].text.contains(old),
        "{:?}",
        recorder.ends
    );
    assert!(
        !recorder.ends[1].text.contains(old) && !recorder.ends[1].text.contains(new),
        "{:?}",
        recorder.ends
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_input_sends_nothing() {
    let transport = Arc::new(ScriptedTransport::new([]));
    let client = client(transport, policy(|_| {}));
    let tally = client.run(&tags(100), entries(some_tags(0)), pending(), &mut ()).await;
    assert_eq!(tally, Summary::default());
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_in_the_path() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut run = tags(10).with_environment(Some(EnvironmentId::parse("abc123").unwrap()));
    run.action = Action::Invalidate;
    let _summary = client.run(&run, entries(some_tags(1)), pending(), &mut ()).await;
    let requests = transport.requests();
    assert!(requests[0].message.uri().path().ends_with("/environments/abc123/invalidate_cache"));
    assert_eq!(requests[0].operation.name, "invalidate_environment_cache");
}

#[tokio::test(start_paused = true)]
async fn temporary_failures_are_retried() {
    let transport = Arc::new(ScriptedTransport::new([
        refused(503, 0),
        lost(Delivery::Unknown),
        refused_with(429, 1134, &[("retry-after", "30")]),
        reply(200, "<html>", &[]),
        accepted(),
    ]));
    let client = client(transport, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    let begun = Instant::now();
    let tally = client.run(&tags(100), entries(some_tags(3)), pending(), &mut recorder).await;
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert_eq!((tally.accepted, tally.requests, tally.retries, tally.rate_limited), (3, 5, 4, 1));
    assert_eq!(recorder.count("Retrying"), 4);
    // Each with the attempt that failed, and the reason.
    for (try_and_tries, cause) in [
        ("attempt: 1, tries: 11, cause: Answer", "status: 503"),
        ("attempt: 2, tries: 11, cause: Transport", "Unknown"),
        ("attempt: 3, tries: 11, cause: Answer", "code: 1134"),
        ("attempt: 4, tries: 11, cause: Answer", "status: 200"),
    ] {
        let is_it = |line: &&String| line.contains(try_and_tries) && line.contains(cause);
        assert_eq!(recorder.lines.iter().filter(is_it).count(), 1, "{try_and_tries}: {:?}", recorder.lines);
    }
    assert_eq!(recorder.ends.len(), 1);
    assert_eq!(recorder.ends[0].attempts, 5);
    let held = format!("Waiting {{ wait: 30s, reason: {:?} }}", Reason::Held);
    assert!(recorder.lines.contains(&held), "{:?}", recorder.lines);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_split_until_the_bad_entry_is_isolated() {
    for code in [1016, 1082] {
        let transport = Arc::new(RecordingTransport::new(move |request| {
            if entries_of(request).iter().any(|entry| entry.starts_with("bad")) {
                refused(400, code)
            } else {
                accepted()
            }
        }));
        let client = client(Arc::clone(&transport) as _, policy(|_| {}));
        let mut recorder = EventRecorder::default();
        let input = some_tags(60).chain([tag("bad1")]).chain(some_tags(100).skip(60)).chain([tag("bad2")]);
        let tally = client.run(&tags(100), entries(input), pending(), &mut recorder).await;
        assert_eq!(recorder.accepted(), names(100));
        assert_eq!(recorder.failed(), ["bad1", "bad2"]);
        assert_eq!((tally.accepted, tally.failed, tally.items), (100, 2, 102));
        assert!(recorder.ends.iter().all(|end| end.error.is_none() || end.entries.len() == 1));
        assert!(recorder.ends.iter().filter(|end| end.error.is_some()).all(|end| {
            end.error == Some((ErrorKind::Refused, false)) && end.text.contains(&code.to_string())
        }));
        assert!(tally.requests <= 20, "{}", tally.requests);
        assert_eq!(tally.batches as usize, recorder.ends.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_batch_limit_is_learned() {
    for too_many in [|| refused(400, 1094), || reply(413, "<html>too large</html>", &[])] {
        let transport = SlowTransport::new(move |request| {
            let reply = if entries_of(request).len() > 30 { too_many() } else { accepted() };
            (Duration::from_millis(50), reply)
        });
        let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = 4));
        let mut recorder = EventRecorder::default();
        let tally = client.run(&tags(100), entries(some_tags(5000)), pending(), &mut recorder).await;
        assert_eq!(recorder.accepted(), names(5000));
        assert_eq!((tally.accepted, tally.failed), (5000, 0));
        // Batches that were built before the response are split; later ones are not too large.
        assert!(recorder.count("Split") <= 16, "{}", recorder.count("Split"));
        assert!(recorder.ends.iter().all(|end| end.entries.len() <= 25));
    }
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_split_batch_are_sent_in_order_and_first() {
    let transport = Arc::new(RecordingTransport::new(|request| {
        if entries_of(request).len() > 7 { refused(400, 1094) } else { accepted() }
    }));
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = 1));
    let _summary = client.run(&tags(50), entries(some_tags(100)), pending(), &mut ()).await;
    let requests = transport.requests();
    let small = requests.iter().map(entries_of).filter(|entries| entries.len() <= 7);
    assert_eq!(small.flatten().collect::<Vec<_>>(), names(100));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_stop_the_run() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(50), refused(403, 10000)));
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = 3));
    let mut recorder = EventRecorder::default();
    let tally = client.run(&tags(10), entries(some_tags(1000)), pending(), &mut recorder).await;
    assert_eq!(transport.count(), 3);
    assert_eq!(recorder.stops, [Stop::Credentials]);
    adds_up(&tally);
    assert_eq!(tally.failed, tally.items);
    assert!(recorder.ends.iter().all(|end| end.error == Some((ErrorKind::Credentials, false))));
    // Those that got a response report it.
    assert_eq!(recorder.ends.iter().filter(|end| end.text.contains("10000")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_worked_before_are_retried() {
    let transport = Arc::new(ScriptedTransport::new([
        accepted(),
        refused(401, 10000),
        refused(403, 10000),
        accepted(),
        accepted(),
    ]));
    let client = client(transport, policy(|policy| policy.concurrency = 1));
    let mut recorder = EventRecorder::default();
    let tally = client.run(&tags(1), entries(some_tags(3)), pending(), &mut recorder).await;
    assert_eq!((tally.accepted, tally.failed, tally.retries), (3, 0, 2));
    assert_eq!(recorder.stops, []);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_stay_refused_stop_the_run() {
    let transport = SlowTransport::new(|request| {
        let worked = entries_of(request)[0] == "t0";
        (
            Duration::from_millis(if worked { 20 } else { 50 }),
            if worked { accepted() } else { refused(403, 10000) },
        )
    });
    for (concurrency, most) in [(1, 100), (64, 2000)] {
        let before = transport.count();
        let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = concurrency));
        let mut recorder = EventRecorder::default();
        let tally = client.run(&tags(1), entries(some_tags(10_000)), pending(), &mut recorder).await;
        adds_up(&tally);
        assert_eq!(recorder.accepted(), ["t0"]);
        // The reason is not `NothingSucceeds`, which is true as well.
        assert_eq!(recorder.stops, [Stop::Credentials]);
        assert!(recorder.ends.iter().all(|end| !matches!(end.error, Some((ErrorKind::Unreachable, _)))));
        assert!(transport.count() - before < most, "{}", transport.count());
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_waits_for_requests_in_flight() {
    let transport = SlowTransport::new(|_| (Duration::from_secs(10), accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = 4));
    let mut recorder = EventRecorder::default();
    let (read, input) = counted(some_tags(usize::MAX));
    let begun = Instant::now();
    let interrupt = sleep(Duration::from_secs(15));
    let tally = client.run(&tags(30), entries(input), interrupt, &mut recorder).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(20));
    assert_eq!(transport.count(), 8);
    assert_eq!(recorder.stops, [Stop::Interrupted]);
    adds_up(&tally);
    assert_eq!((tally.accepted, tally.items as usize), (240, *read.borrow()));
    let all: Vec<_> = recorder.accepted().into_iter().chain(recorder.failed()).map(str::to_owned).collect();
    assert_eq!(all, names(*read.borrow()));
    let interrupted = recorder.ends.iter().filter(|end| end.error.is_some());
    assert!(interrupted.clone().all(|end| end.error == Some((ErrorKind::Interrupted, false))));
    assert!(interrupted.clone().all(|end| end.text == "interrupted before it was sent"));
}

#[tokio::test(start_paused = true)]
async fn a_request_lost_before_the_interruption_is_unclear() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(10), lost(Delivery::Unknown)));
    let client = client(transport, policy(|policy| policy.backoff_base = Duration::from_secs(1000)));
    let mut recorder = EventRecorder::default();
    let _summary =
        client.run(&tags(10), entries(some_tags(10)), sleep(Duration::from_millis(20)), &mut recorder).await;
    assert_eq!(recorder.ends.len(), 1);
    assert_eq!(recorder.ends[0].error, Some((ErrorKind::Interrupted, true)));
    assert_eq!(
        recorder.ends[0].text,
        "interrupted before it was sent again (the last try: the connection was reset (waiting for the response))"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_nothing_succeeds_stops() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(50), refused(500, 0)));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    let (read, input) = counted(some_tags(10_000_000));
    let tally = client.run(&tags(100), entries(input), pending(), &mut recorder).await;
    assert_eq!(recorder.stops, [Stop::NothingSucceeds]);
    adds_up(&tally);
    assert_eq!((tally.items, tally.failed), (*read.borrow() as u64, *read.borrow() as u64));
    // It stops reading while nothing can be sent.
    assert!(*read.borrow() < 100_000, "{}", read.borrow());
    assert!(recorder.ends.iter().all(|end| end.error == Some((ErrorKind::Unreachable, false))));
}

#[tokio::test(start_paused = true)]
async fn input_is_not_read_ahead_of_sending() {
    let client = client(Arc::new(|_| pending()), policy(|policy| policy.concurrency = 3));
    let (read, input) = counted(some_tags(usize::MAX));
    let run = tags(100);
    let mut observer = ();
    let running = client.run(&run, entries(input), pending(), &mut observer);
    assert!(tokio::time::timeout(Duration::from_secs(100), running).await.is_err());
    assert!(*read.borrow() <= 500, "{}", read.borrow());
}

/// Yields nothing, and never ends.
struct Silence;

impl Stream for Silence {
    type Item = Vec<Entry>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

/// Yields one chunk, and then nothing.
struct Stalled(Vec<Entry>);

impl Stream for Stalled {
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match core::mem::take(&mut self.0) {
            nothing if nothing.is_empty() => Poll::Pending,
            chunk => Poll::Ready(Some(chunk)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_input_can_be_interrupted() {
    let client = client(Arc::new(|_| pending()), policy(|_| {}));
    let tally = client.run(&tags(100), Silence, sleep(Duration::from_secs(9)), &mut ()).await;
    assert_eq!(tally, Summary::default());
    // Also if it is interrupted at once.
    let tally = client.run(&tags(100), entries(some_tags(5)), ready(()), &mut ()).await;
    adds_up(&tally);
    assert_eq!((tally.accepted, tally.requests), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_batch_of_a_stalled_input_is_sent_after_a_second() {
    let run = async |interrupted_after: u64| {
        let transport = SlowTransport::new(|_| (Duration::from_millis(50), accepted()));
        let client = client(Arc::clone(&transport) as _, policy(|_| {}));
        let input = Stalled(some_tags(15).collect());
        let begun = Instant::now();
        let interrupt = sleep(Duration::from_millis(interrupted_after));
        let tally = client.run(&tags(10), input, interrupt, &mut ()).await;
        let seen = transport.seen.lock().unwrap();
        let seen: Vec<_> = seen.iter().map(|seen| (*seen - begun).as_millis()).collect();
        (seen, (tally.items, tally.accepted, tally.failed))
    };
    assert_eq!(run(9_000).await, (vec![0, 1_000], (15, 15, 0)));
    assert_eq!(run(999).await, (vec![0], (15, 10, 5)));
}

/// Yields chunks, each at its time.
fn timed(chunks: Vec<(u64, Vec<Entry>)>) -> impl Stream<Item = Vec<Entry>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let begun = Instant::now();
        for (at, chunk) in chunks {
            tokio::time::sleep_until(begun + Duration::from_millis(at)).await;
            sender.send(chunk).await.unwrap();
        }
    });
    Received(receiver)
}

struct Received(tokio::sync::mpsc::Receiver<Vec<Entry>>);

impl Stream for Received {
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// The number of entries of each request.
fn sizes(transport: &RecordingTransport) -> Vec<usize> {
    transport.requests().iter().map(|request| entries_of(request).len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_input_is_sent_in_one_batch_per_second() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let trickle = some_tags(10).zip(0..).map(|(tag, number)| (number * 300, vec![tag])).collect();
    let tally = client.run(&tags(100), timed(trickle), pending(), &mut ()).await;
    assert_eq!((tally.accepted, sizes(&transport)), (10, vec![4, 4, 2]));
}

#[tokio::test(start_paused = true)]
async fn entries_that_cannot_be_sent_yet_wait_to_fill_a_batch() {
    // The first request is refused, which holds all requests for a minute.
    let seen = Mutex::new(0);
    let transport = Arc::new(RecordingTransport::new(move |_| {
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        if *seen == 1 { refused_with(429, 971, &[("retry-after", "60")]) } else { accepted() }
    }));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut all = some_tags(30);
    let mut next = |count| all.by_ref().take(count).collect();
    let chunks = vec![(0, next(12)), (20_000, next(8)), (40_000, next(10))];
    let tally = client.run(&tags(10), timed(chunks), pending(), &mut ()).await;
    assert_eq!((tally.accepted, sizes(&transport)), (30, vec![10, 10, 10, 10]));

    // A scope without a limit on the wait gets full batches.
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = crate::support::client(Arc::clone(&transport) as _, policy(|_| {}));
    let trickle = some_tags(10).zip(0..).map(|(tag, number)| (number * 9_000, vec![tag])).collect();
    let run = tags(100).with_patience(None);
    let tally = client.run(&run, timed(trickle), pending(), &mut ()).await;
    assert_eq!((tally.accepted, sizes(&transport)), (10, vec![10]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_to_be_filled_after_the_previous_one() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let limits = |policy: &mut Policy| {
        let mut limits = Plan::Free.purge_limits();
        limits.flexible_requests = Rate { count: 1, per: Duration::from_secs(10) };
        limits.flexible_burst = 1;
        policy.limits = Some(limits);
    };
    let client = client(Arc::clone(&transport) as _, policy(limits));
    let mut all = some_tags(30);
    // The second batch is sent at 10 s; the last five entries arrive a little later, and are sent together.
    let chunks = vec![(0, all.by_ref().take(25).collect()), (10_500, all.collect())];
    let tally = client.run(&tags(10), timed(chunks), pending(), &mut ()).await;
    assert_eq!((tally.accepted, sizes(&transport)), (30, vec![10, 10, 10]));
}

/// An input that is always ready must not starve other tasks.
#[tokio::test]
async fn an_input_that_is_always_ready_does_not_starve_other_tasks() {
    let client = client(Arc::new(|_| pending()), policy(|_| {}));
    let (done, interrupt) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        done.send(()).unwrap();
    });
    let interrupt = async move { interrupt.await.unwrap() };
    let same = core::iter::repeat_with(|| tag("one"));
    let tally = client.run(&tags(100), entries(same), interrupt, &mut ()).await;
    adds_up(&tally);
    assert_eq!(tally.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn entries_that_were_accepted_before_are_skipped() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    // `t3` equals a skipped entry, so it is a duplicate and not sent.
    let input = some_tags(250).chain([tag("t3"), tag("new")]);
    let run = tags(100).with_accepted([0..100, 110..120]).with_accepted([200..225, 90..105, 1000..2000]);
    let tally = client.run(&run, entries(input), pending(), &mut recorder).await;
    adds_up(&tally);
    assert_eq!((tally.items, tally.skipped, tally.duplicates, tally.accepted), (252, 140, 1, 111));
    let ordinals: BTreeSet<u64> = recorder.ends.iter().flat_map(|end| end.ordinals.clone()).collect();
    let expected: BTreeSet<u64> = (105..110).chain(120..200).chain(225..250).chain([251]).collect();
    assert_eq!(ordinals, expected);
    let sent: Vec<String> = transport.requests().iter().flat_map(entries_of).collect();
    assert_eq!(sent.len(), 111);
    assert_eq!(sent[110], "new");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_all_entries_accepted_before_sends_nothing() {
    let client = client(Arc::new(ScriptedTransport::new([])), policy(|_| {}));
    let (_, input) = counted(some_tags(1050));
    let tally =
        client.run(&tags(100).with_accepted([0..1000, 1000..1050]), entries(input), pending(), &mut ()).await;
    assert_eq!((tally.items, tally.skipped, tally.requests), (1050, 1050, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_recorded_stops_the_run() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(50), accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.concurrency = 2));
    let mut recorder = EventRecorder { records_left: Some(3), ..EventRecorder::default() };
    let tally = client.run(&tags(10), entries(some_tags(1000)), pending(), &mut recorder).await;
    adds_up(&tally);
    assert_eq!(recorder.stops, [Stop::Observer]);
    assert_eq!(tally.accepted, 30);
    assert_eq!(recorder.recorded, names(30));
    // The fourth batch was accepted but not recorded; the one beside it was in flight or was not sent.
    let unrecorded: Vec<_> =
        recorder.ends.iter().filter(|end| end.error == Some((ErrorKind::Unrecorded, true))).collect();
    assert_eq!(unrecorded[0].entries, names(40)[30..]);
    assert_eq!(unrecorded[0].text, "accepted by the API, but that could not be recorded");
    assert!(recorder.ends[5..].iter().all(|end| matches!(end.error, Some((ErrorKind::Unrecorded, _)))));
    assert!(transport.count() <= 6);
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_another_kind_is_reported_and_not_sent() {
    let transport = Arc::new(RecordingTransport::new(|_| accepted()));
    let client = client(Arc::clone(&transport) as _, policy(|_| {}));
    let mut recorder = EventRecorder::default();
    let host = Entry::from(Target::parse(Kind::Hosts, "www.example.com").unwrap());
    let input = some_tags(2).chain([host]).chain([tag("t2")]);
    let tally = client.run(&tags(10), entries(input), pending(), &mut recorder).await;
    adds_up(&tally);
    assert_eq!((tally.items, tally.accepted, tally.failed), (4, 3, 1));
    assert_eq!(recorder.failed(), ["www.example.com"]);
    assert_eq!(transport.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_set_during_a_run_are_used_at_once() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(50), accepted()));
    let free = Some(Plan::Free.purge_limits());
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.limits = free));
    let knows = client.clone();
    let mut paced = Vec::new();
    let mut waits = 0;
    let mut observer = |event: Event<'_>| match event {
        Event::Paced { wait } => {
            paced.push(wait);
            let knows = knows.clone();
            // The plan is looked up, which takes a while.
            tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                knows.set_limits(Plan::Enterprise.purge_limits());
            });
        }
        Event::Waiting { reason: Reason::Paced, .. } => waits += 1,
        _ => {}
    };
    let begun = Instant::now();
    let tally = client.run(&tags(1), entries(some_tags(400)), pending(), &mut observer).await;
    assert_eq!(tally.accepted, 400);
    assert_eq!(paced.len(), 1);
    assert!(paced[0] > Duration::from_secs(1), "{paced:?}");
    assert!(waits > 0);
    // With the rate of the Free plan it would take more than an hour.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_quota_in_the_headers_is_obeyed() {
    let policy_header = [("ratelimit-policy", "\"default\";q=60;w=30"), ("ratelimit", "\"default\";r=0;t=1")];
    let transport = SlowTransport::new(move |_| {
        let body = r#"{"success":true,"errors":[],"messages":[],"result":null}"#;
        (Duration::from_millis(50), reply(200, body, &policy_header))
    });
    let limits = Some(Plan::Enterprise.purge_limits());
    let client = client(
        Arc::clone(&transport) as _,
        policy(|policy| {
            policy.limits = limits;
            policy.concurrency = 4;
        }),
    );
    let tally = client.run(&tags(1), entries(some_tags(200)), pending(), &mut ()).await;
    assert_eq!(tally.accepted, 200);
    let seen = transport.seen.lock().unwrap();
    for (index, from) in seen.iter().enumerate() {
        let there = seen[index..].iter().take_while(|at| **at - *from <= Duration::from_secs(30)).count();
        assert!(there <= 60, "{there}");
    }
    assert!(*seen.last().unwrap() - seen[0] > Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn runs_of_one_client_share_its_limiter() {
    let transport = SlowTransport::new(|_| (Duration::from_millis(50), accepted()));
    let mut limits = Plan::Pro.purge_limits();
    limits.flexible_burst = 10;
    limits.flexible_requests = Rate { count: 5, per: Duration::from_secs(1) };
    let client = client(Arc::clone(&transport) as _, policy(|policy| policy.limits = Some(limits)));
    let (run, mut one, mut two) = (tags(1), (), ());
    let begun = Instant::now();
    let _summaries = tokio::join!(
        client.run(&run, entries(some_tags(50)), pending(), &mut one),
        client.run(&run, entries(some_tags(50)), pending(), &mut two),
    );
    assert!(begun.elapsed() >= Duration::from_secs(18), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_above_the_maximum_stops_the_run() {
    for after in ["100000", "18446744073709551615", "99999999999999999999999999"] {
        let transport =
            Arc::new(ScriptedTransport::new([refused_with(429, 1134, &[("retry-after", after)])]));
        let client = client(transport, policy(|policy| policy.concurrency = 1));
        let mut recorder = EventRecorder::default();
        let tally = client.run(&tags(1), entries(some_tags(5)), pending(), &mut recorder).await;
        adds_up(&tally);
        assert!(matches!(recorder.stops[..], [Stop::WaitTooLong { .. }]), "{:?}", recorder.stops);
        assert!(recorder.ends.iter().all(|end| end.error == Some((ErrorKind::RateLimited, false))));
    }
}

#[tokio::test(start_paused = true)]
async fn extreme_waits_do_not_overflow_the_clock() {
    let transport =
        Arc::new(ScriptedTransport::new([refused_with(503, 0, &[("retry-after", "18446744073709551615")])]));
    let client = client(transport, policy(|policy| policy.max_wait = Duration::MAX));
    let mut recorder = EventRecorder::default();
    let tally =
        client.run(&tags(1), entries(some_tags(1)), sleep(Duration::from_secs(1 << 20)), &mut recorder).await;
    assert_eq!(tally.failed, 1);
    assert_eq!(recorder.stops, [Stop::Interrupted]);
}

/// A server with random faults that records what it did.
#[derive(Default)]
struct FaultyServer {
    /// How many times each entry was processed, and how many times the response said so.
    processed: BTreeMap<String, (u32, u32)>,
    requests: usize,
}

proptest! {
    #![proptest_config(sim::proptest_config(150))]

    #[test]
    fn whatever_the_server_does(
        seed in 1_u64..,
        faults in 0_u64..=100,
        items in 0_usize..800,
        cap in 1_usize..60,
        server_cap in 1_usize..60,
        concurrency in 1_usize..8,
        max_retries in 0_u32..5,
        interrupt in prop::option::of(0_u64..20_000),
        records_left in prop::option::weighted(0.2, 0_usize..30),
        before in prop::collection::vec((0_u64..800, 0_u64..100), 0..4),
        repeats in 0_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let state = Arc::new(Mutex::new(FaultyServer::default()));
        let random = Mutex::new(TestRandom(seed));
        let server = Arc::clone(&state);
        let transport = SlowTransport::new(move |request: &Request| {
            let mut random = random.lock().unwrap();
            let mut state = server.lock().unwrap();
            state.requests += 1;
            let names = entries_of(request);
            let latency = Duration::from_millis(random.below(400));
            let mut process = |said: bool| {
                for name in &names {
                    let (done, told) = state.processed.entry(name.clone()).or_default();
                    *done += 1;
                    *told += u32::from(said);
                }
            };
            let reply = if names.len() > server_cap {
                refused(400, 1094)
            } else if names.iter().any(|name| name.ends_with('7')) && random.below(2) == 0 {
                // Such entries are refused half of the time, so that others are affected as well.
                refused(400, 1082)
            } else if random.below(100) >= faults {
                process(true);
                accepted()
            } else {
                let hint = random.below(5).to_string();
                let hint = [("retry-after", hint.as_str())];
                match random.below(12) {
                    0 => refused_with(429, 1134, &hint),
                    1 => refused(429, 971),
                    2 => refused_with(503, 0, &hint),
                    3 => reply(502, "<html>bad gateway</html>", &[]),
                    4 => lost(Delivery::NotSent),
                    5 => lost(Delivery::Unknown),
                    6 => {
                        process(false);
                        lost(Delivery::Unknown)
                    }
                    7 => {
                        process(false);
                        reply(200, "{\"succ", &[])
                    }
                    8 => refused(200, 1134),
                    9 => refused(400, 1012),
                    10 => refused(403, 10000),
                    _ => reply(200, "", &[]),
                }
            };
            (latency, reply)
        });
        let client = client(Arc::clone(&transport) as _, policy(|policy| {
            policy.concurrency = concurrency;
            policy.max_retries = max_retries;
            policy.max_wait = Duration::from_secs(60);
            policy.seed = Some(seed);
        }));
        let mut recorder = EventRecorder { records_left, ..EventRecorder::default() };
        let before: Vec<_> = before.into_iter().map(|(start, len)| start..start + len).collect();
        let is_before = |ordinal: u64| before.iter().any(|range| range.contains(&ordinal));
        let run = tags(cap).with_accepted(before.clone());
        let (read, input) = counted(some_tags(items).chain(some_tags(items).take(repeats)));
        let interrupt = async move {
            match interrupt {
                Some(millis) => sleep(Duration::from_millis(millis)).await,
                None => pending().await,
            }
        };
        let tally = runtime.block_on(client.run(&run, entries(input), interrupt, &mut recorder));
        let state = state.lock().unwrap();

        // The counts are consistent, and agree with the events and the server.
        adds_up(&tally);
        prop_assert_eq!(tally.items, *read.borrow() as u64);
        prop_assert_eq!(tally.requests as usize, state.requests);
        prop_assert_eq!(tally.batches as usize, recorder.ends.len());
        prop_assert!(recorder.stops.len() <= 1);
        prop_assert!(!recorder.stops.is_empty() || *read.borrow() == items + repeats.min(items));
        // Every entry that was read and is neither skipped nor a duplicate has exactly one result.
        let mut ends: Vec<u64> = recorder.ends.iter().flat_map(|end| end.ordinals.clone()).collect();
        ends.sort_unstable();
        let due = (0..items.min(*read.borrow()) as u64).filter(|ordinal| !is_before(*ordinal));
        prop_assert!(ends.into_iter().eq(due));
        // Entries that are reported as accepted were accepted by the server; entries that are reported as certainly
        // failed were not processed.
        for end in &recorder.ends {
            for entry in &end.entries {
                let (processed, said) = state.processed.get(entry).copied().unwrap_or_default();
                match end.error {
                    None => prop_assert!(said > 0, "{entry} was never accepted"),
                    Some((_, false)) => prop_assert_eq!(processed, 0, "{} was processed: {}", entry, end.text),
                    Some((_, true)) => {}
                }
            }
        }
        prop_assert_eq!(&recorder.recorded.len(), &(tally.accepted as usize));
        // Splitting and retrying ends.
        let most = (items + 1) * 2 * 60;
        prop_assert!(state.requests <= most, "{} requests", state.requests);
    }
}

/// An hour with a slow server that is down for one minute in every three: nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_server_with_regular_outages_loses_nothing() {
    let begun = Instant::now();
    let transport = SlowTransport::new(move |request| {
        let second = begun.elapsed().as_secs() % 180;
        let reply = match second {
            100..110 => refused(503, 0),
            110..115 => lost(Delivery::Unknown),
            120..140 => refused_with(429, 1134, &[("retry-after", "20")]),
            150..155 => reply(520, "<html>", &[]),
            _ => {
                assert!(entries_of(request).len() <= 100);
                accepted()
            }
        };
        (Duration::from_millis(300), reply)
    });
    let client =
        client(Arc::clone(&transport) as _, policy(|policy| policy.limits = Some(Plan::Pro.purge_limits())));
    let mut run = tags(100);
    run.kind = Kind::Files;
    run.limits = BatchLimits::from_plan(Plan::Pro.purge_limits(), Kind::Files);
    let urls = (0..1_000_000).map(|number| {
        Entry::from(Target::parse(Kind::Files, &format!("https://www.example.com/{number}")).unwrap())
    });
    let mut count = Summary::default();
    let mut keep = |event: Event<'_>| {
        if let Event::Progress { summary, .. } = event {
            count = *summary;
        }
    };
    let tally = client.run(&run, entries(urls), pending(), &mut keep).await;
    assert_eq!((tally.accepted, tally.items), (1_000_000, 1_000_000));
    assert_eq!(count, tally);
    assert!(begun.elapsed() < Duration::from_secs(1500), "{:?}", begun.elapsed());
}
