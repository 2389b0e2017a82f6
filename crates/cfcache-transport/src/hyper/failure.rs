//! Reads errors of the layers below: what happened, in words, and what it proves about delivery.

use core::error::Error as StdError;
use std::io;

use crate::hyper::tls;
use crate::{Cause, Delivery, Phase, TransportError};

/// An IO error in words that fit behind the peer's name.
pub(crate) fn describe_io(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    use io::ErrorKind as K;
    let kind = links(error).find_map(|error| match error.downcast_ref::<io::Error>() {
        // Another error in disguise says more than its wrapper.
        Some(error) if error.kind() == K::Other => None,
        Some(error) => Some(error.kind()),
        None => error.downcast_ref::<h2::Error>().and_then(|error| error.get_io()).map(io::Error::kind),
    })?;
    Some(match kind {
        K::ConnectionRefused => "refused the connection",
        K::ConnectionReset | K::BrokenPipe | K::ConnectionAborted => "reset the connection",
        K::UnexpectedEof | K::NotConnected => "closed the connection",
        K::TimedOut => "did not react for too long",
        K::HostUnreachable => "cannot be reached: no route to the host",
        K::NetworkUnreachable => "cannot be reached: no route to its network",
        K::NetworkDown => "cannot be reached: the network is down",
        K::PermissionDenied => "cannot be reached: this machine does not permit it",
        K::AddrNotAvailable => "cannot be reached: no local address or port is free for it",
        _ => "failed",
    })
}

/// Each error of a chain, with the payloads that `io::Error` leaves out of `source()`.
pub(crate) fn links<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    core::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// Proof that the server did not process a request that had been handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unprocessed {
    /// The server reset the stream with `REFUSED_STREAM` (RFC 9113, section 8.7).
    Refused,
    /// The server is leaving in good order, and the stream is above the last one that it takes.
    GoingAway,
}

/// Looks for such proof.
///
/// h2 gives a remote `GOAWAY` as a stream's error only to streams above the frame's last stream, and to streams
/// that it never opened; those at or below it end with an IO error. (One window is left: a frame may come between
/// hyper's opening of a stream and its next look at the connection. The body is not handed over by then, so that a
/// request with a body cannot have been processed.) Only a graceful one is believed: a server that
/// reports an error may well be wrong about its last stream too.
pub(crate) fn proof_of_unprocessed(error: &hyper::Error) -> Option<Unprocessed> {
    let error = links(error).find_map(|error| error.downcast_ref::<h2::Error>()).filter(|e| e.is_remote())?;
    if error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        Some(Unprocessed::Refused)
    } else if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) {
        Some(Unprocessed::GoingAway)
    } else {
        None
    }
}

/// Turns hyper's error into ours.
pub(crate) fn exchange(error: hyper::Error, delivery: Delivery, phase: Phase, peer: &str) -> TransportError {
    let (cause, text) = describe(&error, phase);
    TransportError::new(delivery, phase, cause, format!("`{peer}` {text}")).with_source(error)
}

fn describe(error: &hyper::Error, phase: Phase) -> (Cause, String) {
    if let Some(error) = tls::find(error) {
        return tls::describe(error);
    }
    if let Some(reason) = links(error).find_map(|error| error.downcast_ref::<h2::Error>()?.reason()) {
        let text = match proof_of_unprocessed(error) {
            Some(Unprocessed::Refused) => "refused the stream unprocessed".to_owned(),
            Some(Unprocessed::GoingAway) => "closed the connection before it took the request".to_owned(),
            None => format!("broke off over HTTP/2: {}", reason.description()),
        };
        return (Cause::Io, text);
    }
    if error.is_timeout() {
        return (Cause::TimedOut, "did not answer a keep-alive ping".to_owned());
    }
    if error.is_parse() {
        return (Cause::Protocol, "answered with something that is not HTTP".to_owned());
    }
    if error.is_incomplete_message() {
        let when = if phase == Phase::Body { "in the middle of the answer" } else { "before it answered" };
        return (Cause::Io, format!("closed the connection {when}"));
    }
    let text = match (describe_io(error), phase) {
        (Some("closed the connection"), Phase::Body) => "closed the connection in the middle of the answer",
        (Some(text), _) => text,
        (None, _) => "closed the connection",
    };
    (Cause::Io, text.to_owned())
}
