//! Converts errors of the layers below: a description, and whether they prove that a request was not processed.

use core::error::Error as StdError;
use std::io;

use crate::hyper::tls;
use crate::{Cause, Delivery, Phase, TransportError};

/// Describes an IO error in words that can follow the peer's name.
pub(crate) fn describe_io(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    use io::ErrorKind as K;
    let kind = links(error).find_map(|error| match error.downcast_ref::<io::Error>() {
        // The wrapped error says more than its wrapper.
        Some(error) if error.kind() == K::Other => None,
        Some(error) => Some(error.kind()),
        None => error.downcast_ref::<h2::Error>().and_then(|error| error.get_io()).map(io::Error::kind),
    })?;
    Some(match kind {
        K::ConnectionRefused => "refused the connection",
        K::ConnectionReset | K::BrokenPipe | K::ConnectionAborted => "reset the connection",
        K::UnexpectedEof | K::NotConnected => "closed the connection",
        K::TimedOut => "did not respond in time",
        K::HostUnreachable => "cannot be reached: no route to the host",
        K::NetworkUnreachable => "cannot be reached: no route to its network",
        K::NetworkDown => "cannot be reached: the network is down",
        K::PermissionDenied => "cannot be reached: this machine does not permit it",
        K::AddrNotAvailable => "cannot be reached: no local address or port is free for it",
        _ => "failed",
    })
}

/// Iterates over a chain of errors, including the payloads that `io::Error` omits from `source()`.
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

/// Evidence that the server did not process a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotProcessed {
    /// hyper returned it before a byte of it was written.
    NotSent,
    /// The server reset the stream with `REFUSED_STREAM` (RFC 9113, section 8.7).
    Refused,
    /// The server is closing the connection gracefully, and the stream is above the last one that it accepted.
    GoingAway,
}

/// Looks in an error for a statement of the server that it did not process the request.
///
/// h2 reports a remote `GOAWAY` as a stream's error only for streams above the frame's last stream and for streams that
/// were never opened; streams at or below it end with an IO error. (One race remains: the frame may arrive after hyper
/// opened a stream and before it polls the connection again. The body has not been sent at that point, so a request
/// with a body cannot have been processed.) Only a graceful `GOAWAY` counts as evidence: a server that reports an error
/// may also report a wrong last stream.
pub(crate) fn proof_of_unprocessed(error: &hyper::Error) -> Option<NotProcessed> {
    let error = links(error).find_map(|error| error.downcast_ref::<h2::Error>()).filter(|e| e.is_remote())?;
    if error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        Some(NotProcessed::Refused)
    } else if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) {
        Some(NotProcessed::GoingAway)
    } else {
        None
    }
}

/// Converts an error of hyper.
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
            Some(NotProcessed::Refused) => "refused the stream unprocessed".to_owned(),
            Some(NotProcessed::GoingAway) => {
                "closed the connection before it accepted the request".to_owned()
            }
            Some(NotProcessed::NotSent) | None => format!("failed over HTTP/2: {}", reason.description()),
        };
        return (Cause::Io, text);
    }
    if error.is_timeout() {
        return (Cause::TimedOut, "did not answer a keep-alive ping".to_owned());
    }
    if error.is_parse() {
        return (Cause::Protocol, "sent a response that is not HTTP".to_owned());
    }
    if error.is_incomplete_message() {
        let when = if phase == Phase::Body { "in the middle of the response" } else { "before it responded" };
        return (Cause::Io, format!("closed the connection {when}"));
    }
    let text = match (describe_io(error), phase) {
        (Some("closed the connection"), Phase::Body) => "closed the connection in the middle of the response",
        (Some(text), _) => text,
        (None, _) => "closed the connection",
    };
    (Cause::Io, text.to_owned())
}
