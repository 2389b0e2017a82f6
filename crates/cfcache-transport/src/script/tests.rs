use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{RecordingTransport, ScriptedTransport};
use crate::{Cause, Delivery, Operation, Phase, Request, Response, Transport, TransportError};

fn ok(body: &'static str) -> Result<Response, TransportError> {
    Ok(http::Response::new(Bytes::from_static(body.as_bytes())))
}

/// Polls the future once, without a runtime.
fn poll(transport: &dyn Transport, path: &str) -> Poll<Result<Response, TransportError>> {
    let message = http::Request::get(path).body(Bytes::new()).unwrap();
    pin!(transport.send(Request::new(Operation::new("test"), message)))
        .poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_script_gives_its_results_in_order_without_a_runtime() {
    let lost = TransportError::new(Delivery::Unknown, Phase::Head, Cause::Io, "`a` reset the connection");
    let script = ScriptedTransport::new([ok("first"), Err(lost), ok("third")]);
    assert!(matches!(poll(&script, "/1"), Poll::Ready(Ok(response)) if response.body() == "first"));
    assert!(matches!(poll(&script, "/2"), Poll::Ready(Err(error)) if error.phase() == Phase::Head));
    assert_eq!(script.remaining(), 1);
    assert!(matches!(poll(&script, "/3"), Poll::Ready(Ok(response)) if response.body() == "third"));
}

#[test]
fn a_script_panics_on_too_many_and_too_few_requests() {
    let script = ScriptedTransport::new([]);
    let panic = catch_unwind(AssertUnwindSafe(|| poll(&script, "/unexpected"))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("/unexpected"));
    let panic = catch_unwind(|| drop(ScriptedTransport::new([ok("never asked for")]))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("1 scripted results"));
    // If the test already fails, a second panic would abort the process.
    let panic = catch_unwind(|| {
        let _script = ScriptedTransport::new([ok("never asked for")]);
        panic!("the first failure");
    });
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the first failure"));
}

#[test]
fn a_recording_keeps_every_request() {
    let recording = RecordingTransport::new(|request| match request.message.uri().path() {
        "/bad" => Err(TransportError::new(Delivery::NotSent, Phase::Connect, Cause::Io, "no")),
        _ => ok("fine"),
    });
    assert!(matches!(poll(&recording, "/good"), Poll::Ready(Ok(_))));
    assert!(matches!(poll(&recording, "/bad"), Poll::Ready(Err(_))));
    let paths: Vec<_> = recording.requests().iter().map(|r| r.message.uri().path().to_owned()).collect();
    assert_eq!(paths, ["/good", "/bad"]);
}

#[test]
fn a_function_is_a_transport() {
    assert!(poll(&|_| core::future::pending(), "/").is_pending());
    let answers = |request: Request| async move {
        assert_eq!(request.message.uri().path(), "/path");
        ok("fine")
    };
    let Poll::Ready(Ok(response)) = poll(&answers, "/path") else { panic!("no response") };
    assert_eq!(response.body(), "fine");
}

#[test]
fn debug_of_a_recording_shows_no_header_and_no_body() {
    let recording = RecordingTransport::new(|_| ok("fine"));
    let message = http::Request::post("/").header("authorization", "Bearer do-not-print-me");
    let message = message.body(Bytes::from_static(b"do-not-print-me")).unwrap();
    let request = Request::new(Operation::new("test"), message);
    let poll = pin!(recording.send(request)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_ready());
    let shown = format!("{recording:?} {:?}", recording.requests());
    assert!(shown.contains("POST") && !shown.contains("do-not-print-me"), "{shown}");
}
