//! An HTTP/1.1 server over TCP and Unix sockets, with limits on the memory and time that a client can use.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

/// The maximum number of connections of one listener. To accept another, the server closes the connection that has been
/// idle for longest: one that waits for a head, or for a body from an unauthenticated client ([`ConnectionSlot`]). If
/// there is none, the new connection waits until another ends.
const MAX_CONNECTIONS: usize = 512;

/// The timeout for the head of a request. It is also the timeout of idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of a request's head, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The maximum number of header fields of a request.
const MAX_HEADERS: usize = 64;

/// The maximum age of a connection. It limits how long a client that does not read its answers can occupy a slot.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How often a waiting connection checks for an idle one to close.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// How long requests in progress may take to finish when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The type of all answers.
pub(crate) type HttpAnswer = Response<Full<Bytes>>;

/// A source of connections.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket, whose file is removed at the end.
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// Returns whether a request was sent to an IP address or to `localhost`, and not to another name.
///
/// A web page can make its own host name resolve to this machine, and could then read the answers.
pub(crate) fn is_sent_to_address(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| {
            let name = host.host().trim_matches(['[', ']']);
            let name = name.strip_suffix('.').unwrap_or(name);
            name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
        })
    })
}

impl Listener {
    /// Returns whether only this machine can connect to it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
            #[cfg(unix)]
            Self::Unix(..) => true,
        }
    }

    /// Listens on a port; 0 selects a free one.
    ///
    /// # Errors
    ///
    /// An error of the system if it is impossible to listen there.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Listens on a Unix socket that its owner and group may write to. An existing socket without a listener is
    /// replaced.
    ///
    /// # Errors
    ///
    /// An error of the system if it is impossible to listen there, or the path is not a socket.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
                // Another process with the same configuration is listening.
                if !is_socket || std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(error);
                }
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self::Unix(listener, path.to_owned()))
    }

    /// Returns the address of a port.
    ///
    /// # Errors
    ///
    /// An error of the system.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Self::Unix(..) => Ok(None),
        }
    }
}

/// The slot of a connection among those of a listener.
///
/// Each request carries it as an extension. After a call of [`hold`](Self::hold), the connection is not closed for
/// another one until it is answered.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSlot(Arc<SlotState>);

#[derive(Debug)]
struct SlotState {
    /// The number among the connections that may be closed; the lowest has been idle for longest. `None` if it must be
    /// kept.
    number: Mutex<Option<u64>>,
    closed: Notify,
    idle: Arc<IdleSlots>,
}

/// The connections of a listener that may be closed for another one.
#[derive(Debug, Default)]
struct IdleSlots {
    next: AtomicU64,
    slots: Mutex<BTreeMap<u64, Weak<SlotState>>>,
}

impl ConnectionSlot {
    fn new(idle: &Arc<IdleSlots>) -> Self {
        let state = SlotState { number: Mutex::default(), closed: Notify::new(), idle: Arc::clone(idle) };
        let slot = Self(Arc::new(state));
        slot.release();
        slot
    }

    /// Protects the connection from being closed for another one.
    pub(crate) fn hold(&self) {
        self.0.leave();
    }

    /// Allows it to be closed again, after all other idle connections.
    fn release(&self) {
        let idle = &self.0.idle;
        self.0.leave();
        let number = idle.next.fetch_add(1, Ordering::Relaxed);
        *locked(&self.0.number) = Some(number);
        locked(&idle.slots).insert(number, Arc::downgrade(&self.0));
    }
}

impl SlotState {
    fn leave(&self) {
        if let Some(number) = locked(&self.number).take() {
            locked(&self.idle.slots).remove(&number);
        }
    }
}

impl Drop for SlotState {
    fn drop(&mut self) {
        self.leave();
    }
}

impl IdleSlots {
    /// Closes the connection that has been idle for longest, if there is one.
    fn close_first(&self) {
        let first = locked(&self.slots).pop_first();
        if let Some(state) = first.and_then(|(_, state)| state.upgrade()) {
            state.closed.notify_one();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts connections and answers requests until `stop` ends, then finishes the requests in progress.
pub(crate) async fn serve<H, F>(listener: Listener, handler: Arc<H>, stop: impl Future<Output = ()>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = HttpAnswer> + Send + 'static,
{
    let (ending, ended) = watch::channel(());
    // Dropping the set ends all of its connections.
    let mut connections = JoinSet::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let idle = Arc::<IdleSlots>::default();
    // An accepted connection that waits for a slot.
    let mut accepted = None;
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = stop.as_mut() => break,
            Some(_) = connections.join_next() => {}
            stream = listener.accept(), if accepted.is_none() => match stream {
                Ok(stream) => {
                    accepted = Some(stream);
                    if permits.available_permits() == 0 {
                        idle.close_first();
                    }
                }
                // Most likely there are no free file descriptors; wait for some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            // A connection that was busy may be idle now.
            () = tokio::time::sleep(CLOSE_INTERVAL), if accepted.is_some() => idle.close_first(),
            // The semaphore is never closed, so this always gives a permit.
            permit = Arc::clone(&permits).acquire_owned(), if accepted.is_some() => {
                let Some(stream) = accepted.take() else { continue };
                let (handler, ended, slot) = (Arc::clone(&handler), ended.clone(), ConnectionSlot::new(&idle));
                connections.spawn(async move {
                    match stream {
                        ClientStream::Tcp(stream) => connection(stream, handler, ended, slot).await,
                        #[cfg(unix)]
                        ClientStream::Unix(stream) => connection(stream, handler, ended, slot).await,
                    }
                    drop(permit);
                });
            }
        }
    }
    drop(accepted);
    #[cfg(unix)]
    if let Listener::Unix(_, path) = &listener {
        drop(std::fs::remove_file(path));
    }
    drop(listener);
    drop(ending);
    let all = async { while connections.join_next().await.is_some() {} };
    // Connections that take longer are closed.
    drop(tokio::time::timeout(STOP_TIMEOUT, all).await);
}

enum ClientStream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<ClientStream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small, so waiting to fill a packet would only delay them. If this fails, the connection
                // still works.
                drop(stream.set_nodelay(true));
                Ok(ClientStream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| ClientStream::Unix(stream)),
        }
    }
}

/// Serves one connection until it ends.
async fn connection<S, H, F>(stream: S, handler: Arc<H>, mut ended: watch::Receiver<()>, slot: ConnectionSlot)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = HttpAnswer>,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(slot.clone());
        let (answer, slot) = (handler(request), slot.clone());
        async move {
            let answer = answer.await;
            slot.release();
            Ok::<_, Infallible>(answer)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let age = tokio::time::sleep(MAX_AGE);
    tokio::select! {
        // Errors of the connection are ignored: nobody can be told.
        _ = serving.as_mut() => return,
        () = slot.0.closed.notified() => return,
        () = age => serving.as_mut().graceful_shutdown(),
        // An error means that the sender was dropped, which is the signal to stop.
        _ = ended.changed() => serving.as_mut().graceful_shutdown(),
    }
    drop(tokio::time::timeout(STOP_TIMEOUT, serving).await);
}

/// Creates an answer that must not be cached.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpAnswer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_closed(slot: &ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::ZERO, slot.0.closed.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn closes_the_connection_that_is_idle_for_longest() {
        let idle = Arc::<IdleSlots>::default();
        let [held, gone, answered, waiting] = [(); 4].map(|()| ConnectionSlot::new(&idle));
        // A connection with a held request is kept. Once it is answered, it is the last to be closed.
        held.hold();
        answered.hold();
        answered.release();
        drop(gone);
        for expected in [&waiting, &answered] {
            idle.close_first();
            for slot in [&held, &answered, &waiting] {
                assert_eq!(is_closed(slot).await, std::ptr::eq(slot, expected));
            }
        }
        idle.close_first();
        assert!(!is_closed(&held).await);
        assert!(locked(&idle.slots).is_empty());
    }
}
