//! HTTP/1.1 over TCP and Unix sockets, with bounds on everything that a client can make this process hold or wait for.

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

/// The most connections of one listener at a time. For one more, that which has shown least for longest is closed: it waits
/// for a head, or for a body from nobody known ([`Place`]). Where there is none, it waits until one ends.
const MAX_CONNECTIONS: usize = 512;

/// How long the head of a request may take. An idle connection is closed after it, too.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The most header fields of a request.
const MAX_HEADERS: usize = 64;

/// How old a connection gets. So long at most is a place taken by somebody who does not read the answers.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How often a connection is looked for that can be closed for another one, while there is none.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(20);

/// What all answers are.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Where connections come from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket in the file system, which is removed at the end.
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// Returns whether a request was sent to an address or to `localhost`, and not to another name.
///
/// A page in a browser can have a name of its own lead to this machine, and then reads what is answered.
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
    /// Whether it can be reached from this machine alone.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
            #[cfg(unix)]
            Self::Unix(..) => true,
        }
    }

    /// Listens on a port; 0 picks one that is free.
    ///
    /// # Errors
    ///
    /// Where nothing can listen there.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Listens on a Unix socket, which its owner and group may write to. A socket that nobody listens on any more is
    /// replaced.
    ///
    /// # Errors
    ///
    /// Where nothing can listen there, or something else than a socket is there.
    #[cfg(unix)]
    pub fn unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
                // Somebody answers: another process of the same configuration.
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

    /// The address of a port.
    ///
    /// # Errors
    ///
    /// Where the system does not say.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Self::Unix(..) => Ok(None),
        }
    }
}

/// The place of a connection among those of a listener.
///
/// A request carries it. Once [`hold`](Self::hold) was called, the connection keeps its place until the answer.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    /// Its number among those that can be closed; the lowest has been one for longest.
    number: Mutex<Option<u64>>,
    closed: Notify,
    idle: Arc<Idle>,
}

/// The connections of a listener that can be closed for another one.
#[derive(Debug, Default)]
struct Idle {
    next: AtomicU64,
    seats: Mutex<BTreeMap<u64, Weak<Seat>>>,
}

impl Place {
    fn new(idle: &Arc<Idle>) -> Self {
        let seat = Seat { number: Mutex::default(), closed: Notify::new(), idle: Arc::clone(idle) };
        let place = Self(Arc::new(seat));
        place.release();
        place
    }

    /// Keeps the connection from being closed for another one.
    pub(crate) fn hold(&self) {
        self.0.leave();
    }

    /// Lets it be closed again, after all others that can be.
    fn release(&self) {
        let idle = &self.0.idle;
        self.0.leave();
        let number = idle.next.fetch_add(1, Ordering::Relaxed);
        *locked(&self.0.number) = Some(number);
        locked(&idle.seats).insert(number, Arc::downgrade(&self.0));
    }
}

impl Seat {
    fn leave(&self) {
        if let Some(number) = locked(&self.number).take() {
            locked(&self.idle.seats).remove(&number);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Idle {
    /// Closes the connection that could be for longest, if there is one.
    fn close_first(&self) {
        let first = locked(&self.seats).pop_first();
        if let Some(seat) = first.and_then(|(_, seat)| seat.upgrade()) {
            seat.closed.notify_one();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts connections and answers requests, until `stop` ends; then those under way end.
pub(crate) async fn serve<H, F>(listener: Listener, handler: Arc<H>, stop: impl Future<Output = ()>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let (ending, ended) = watch::channel(());
    // Dropping the set ends every connection in it.
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let idle = Arc::<Idle>::default();
    // One that was accepted, and waits for a place.
    let mut accepted = None;
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = stop.as_mut() => break,
            Some(_) = connections.join_next() => {}
            stream = listener.accept(), if accepted.is_none() => match stream {
                Ok(stream) => {
                    accepted = Some(stream);
                    if places.available_permits() == 0 {
                        idle.close_first();
                    }
                }
                // Out of file descriptors, most likely: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            // What had to be kept before may be idle now.
            () = tokio::time::sleep(CLOSE_INTERVAL), if accepted.is_some() => idle.close_first(),
            // A semaphore that is never closed gives permits.
            permit = Arc::clone(&places).acquire_owned(), if accepted.is_some() => {
                let Some(stream) = accepted.take() else { continue };
                let (handler, ended, place) = (Arc::clone(&handler), ended.clone(), Place::new(&idle));
                connections.spawn(async move {
                    match stream {
                        Stream::Tcp(stream) => connection(stream, handler, ended, place).await,
                        #[cfg(unix)]
                        Stream::Unix(stream) => connection(stream, handler, ended, place).await,
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
    // Over the time, the rest is cut.
    drop(tokio::time::timeout(GRACE, all).await);
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small, and waiting to fill a packet would only delay them. Without it, it works as well.
                drop(stream.set_nodelay(true));
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// Serves one connection to its end.
async fn connection<S, H, F>(stream: S, handler: Arc<H>, mut ended: watch::Receiver<()>, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer>,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        let (answer, place) = (handler(request), place.clone());
        async move {
            let answer = answer.await;
            place.release();
            Ok::<_, Infallible>(answer)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let age = tokio::time::sleep(MAX_AGE);
    tokio::select! {
        // However it ended, with an error of the other side or well: there is nobody to tell.
        _ = serving.as_mut() => return,
        () = place.0.closed.notified() => return,
        () = age => serving.as_mut().graceful_shutdown(),
        // An error: the sender is gone, and that is the sign.
        _ = ended.changed() => serving.as_mut().graceful_shutdown(),
    }
    drop(tokio::time::timeout(GRACE, serving).await);
}

/// An answer that nobody keeps.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
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

    async fn is_closed(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.0.closed.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_shows_nothing_for_longest_is_closed_for_another_connection() {
        let idle = Arc::<Idle>::default();
        let [held, gone, answered, waiting] = [(); 4].map(|()| Place::new(&idle));
        // What a request was taken from is kept, and comes last once it is answered.
        held.hold();
        answered.hold();
        answered.release();
        drop(gone);
        for expected in [&waiting, &answered] {
            idle.close_first();
            for place in [&held, &answered, &waiting] {
                assert_eq!(is_closed(place).await, std::ptr::eq(place, expected));
            }
        }
        idle.close_first();
        assert!(!is_closed(&held).await);
        assert!(locked(&idle.seats).is_empty());
    }
}
