//! Test servers and requests.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cfcache_transport::{
    HyperTransport, HyperTransportBuilder, Operation, Origin, Request, Response, Timeouts, Transport,
    TransportError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A time limit for phases in which the peer stalls deliberately.
pub(crate) const SHORT: Duration = Duration::from_millis(80);

/// Runs a handler for each connection and counts them; asserts on drop that there was at least one.
pub(crate) struct Server {
    address: SocketAddr,
    accepts: Arc<AtomicUsize>,
    panics: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Calls `handler` with the number of the connection, counted from 0, and its socket.
    pub(crate) async fn start<F, Fut>(handler: F) -> Self
    where
        F: Fn(usize, TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepts = Arc::new(AtomicUsize::new(0));
        let panics = Arc::new(AtomicUsize::new(0));
        let (counted, failed) = (Arc::clone(&accepts), Arc::clone(&panics));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let handled = handler(counted.fetch_add(1, Ordering::SeqCst), socket);
                let failed = Arc::clone(&failed);
                tokio::spawn(async move {
                    if tokio::spawn(handled).await.is_err() {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, accepts, panics, task }
    }

    pub(crate) fn accepts(&self) -> usize {
        self.accepts.load(Ordering::SeqCst)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn origin(&self) -> Origin {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn builder(&self) -> HyperTransportBuilder {
        HyperTransport::builder(self.origin())
    }

    pub(crate) fn transport(&self) -> HyperTransport {
        self.builder().build().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            assert_ne!(self.accepts(), 0, "the test server was never called");
            assert_eq!(self.panics.load(Ordering::SeqCst), 0, "a handler of the test server panicked");
        }
    }
}

/// The default time limits, except for those that `set` shortens.
pub(crate) fn timeouts(set: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::new();
    set(&mut timeouts);
    timeouts
}

pub(crate) fn get(path: &str) -> Request {
    request(http::Request::get(path).body(Bytes::new()).unwrap())
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request {
    request(http::Request::post(path).body(body.into()).unwrap())
}

pub(crate) fn request(message: http::Request<Bytes>) -> Request {
    Request::new(Operation::new("test"), message)
}

pub(crate) async fn send(transport: &HyperTransport, request: Request) -> Result<Response, TransportError> {
    transport.send(request).await
}

/// Sends a request that must succeed, and returns its body as text.
pub(crate) async fn text(transport: &HyperTransport, request: Request) -> String {
    let response = send(transport, request).await.unwrap();
    String::from_utf8(response.into_body().to_vec()).unwrap()
}

/// An error and its sources, as the command line prints them.
pub(crate) fn chain(error: &TransportError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Sends a request that will time out, without waiting: after the server has signaled through `arrivals` that it
/// received the request, the paused clock is advanced.
pub(crate) async fn expire(
    transport: &Arc<HyperTransport>,
    request: Request,
    arrivals: &mut mpsc::UnboundedReceiver<()>,
) -> TransportError {
    let transport = Arc::clone(transport);
    let sending = tokio::spawn(async move { transport.send(request).await });
    arrivals.recv().await.unwrap();
    tokio::time::pause();
    let error = sending.await.unwrap().unwrap_err();
    tokio::time::resume();
    error
}

/// Reads one HTTP/1.1 request with its body; returns `None` at the end of the connection.
pub(crate) async fn read_request<S: AsyncReadExt + Unpin>(socket: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// An HTTP/1.1 response.
pub(crate) fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Answers every request on the connection with `body`.
pub(crate) async fn answer_all<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut socket: S, body: &str) {
    while read_request(&mut socket).await.is_some() {
        if socket.write_all(&answer(body)).await.is_err() {
            break;
        }
    }
}

/// Closes a connection with RST instead of FIN.
pub(crate) fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
    drop(socket);
}

/// Holds a connection open without sending anything.
pub(crate) async fn stall<S>(socket: S) {
    std::future::pending::<()>().await;
    drop(socket);
}
