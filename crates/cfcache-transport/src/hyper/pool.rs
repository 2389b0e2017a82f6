//! The connection pool. It reuses connections first, and opens one connection at a time until the protocol is known.
//!
//! Waiting requests form a queue and get free connections in order; a new request cannot overtake them.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::hyper::deadline::Deadline;
use crate::hyper::dial::Route;
use crate::hyper::session::{Connection, Http1, Http2};
use crate::hyper::tls::Protocol;
use crate::{Cause, Delivery, Phase, TransportError};

/// How long a connection may be idle and still be reused.
///
/// Middleboxes drop idle connections without informing either end. A request on such a connection is lost with an
/// unknown result, while a fresh connection costs only a few round trips. Home routers drop idle connections after
/// minutes, so one minute is safe.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The connections of one transport.
pub(crate) struct Pool {
    pub(crate) route: Route,
    max_connections: usize,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// The protocol that the last connection negotiated; `None` before the first one.
    protocol: Option<Protocol>,
    dialing: usize,
    /// HTTP/1.1: the number of open connections, idle or not.
    open: usize,
    /// HTTP/1.1: idle connections. The last one put back is reused first, so that the others can expire.
    idle: Vec<(Http1, Instant)>,
    shared: Vec<SharedConnection>,
    /// Requests that wait for a connection, or for the permission to open one.
    waiting: VecDeque<oneshot::Sender<Result<Lease, TransportError>>>,
}

/// An HTTP/2 connection and the requests on it.
struct SharedConnection {
    connection: Http2,
    in_flight: usize,
    idle_since: Instant,
    /// Accepts no new requests: the server refused one, sent `GOAWAY`, or stopped responding.
    retired: bool,
}

impl SharedConnection {
    fn has_room(&self) -> bool {
        // Until the server has announced its limit, one request is sent and the others wait for the announcement, which
        // takes one round trip.
        !self.retired && self.in_flight < self.connection.limit().unwrap_or(1)
    }

    fn is_full(&self) -> bool {
        !self.has_room() && self.connection.limit().is_some()
    }
}

/// The use of a connection for one request. Dropping it returns to the pool what it holds.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    /// `None` until the holder has opened the connection.
    connection: Option<Connection>,
    /// Whether the exchange is complete, so that an HTTP/1.1 connection can carry another one.
    can_be_reused: bool,
    /// Whether the connection has carried a request before.
    pub(crate) reused: bool,
    /// Whether no other request was in flight on it. In this case the connection may have been closed unnoticed.
    pub(crate) was_idle: bool,
}

impl Pool {
    pub(crate) fn new(route: Route, max_connections: usize) -> Self {
        Self { route, max_connections: max_connections.max(1), state: Mutex::default() }
    }

    /// Waits for a connection, or opens one if it is this request's turn.
    ///
    /// The deadline of the attempt is extended while other requests use all connections: their requests have their own
    /// deadlines, and the server has not been contacted yet. Returns the extended deadline.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        deadline: Deadline,
    ) -> Result<(Lease, Deadline), TransportError> {
        let queued = Instant::now();
        let (waiting, leased) = oneshot::channel();
        self.update(|state| state.waiting.push_back(waiting));
        let leased = leased.await;
        let deadline = deadline.later_by(queued.elapsed());
        let mut lease = leased.unwrap_or_else(|_| {
            // The queue is part of the pool, and the pool still exists.
            let detail = "the connection pool was closed";
            Err(TransportError::new(Delivery::NotSent, Phase::Connect, Cause::Io, detail))
        })?;
        if lease.connection.is_none() {
            lease.open(deadline).await?;
        }
        Ok((lease, deadline))
    }

    /// Changes the state, and hands out the connections that became available.
    fn update<T>(self: &Arc<Self>, change: impl FnOnce(&mut PoolState) -> T) -> T {
        let mut leases = Vec::new();
        // Dropped outside the lock, because dropping a connection calls the pool.
        let mut stale = Vec::new();
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut state);
            state.sweep(&mut stale);
            state.waiting.retain(|waiting| !waiting.is_closed());
            while !state.waiting.is_empty() {
                let Some(lease) = self.next(&mut state) else { break };
                if let Some(waiting) = state.waiting.pop_front() {
                    leases.push((waiting, lease));
                }
            }
            result
        };
        for (waiting, lease) in leases {
            // `send` returns the lease if the request was given up at this moment; dropping the lease passes it on.
            drop(waiting.send(Ok(lease)));
        }
        drop(stale);
        result
    }

    /// Returns a lease: with a free connection, or without one if its holder may open one; `None` if the next request
    /// has to wait.
    fn next(self: &Arc<Self>, state: &mut PoolState) -> Option<Lease> {
        let lease = |connection: Option<Connection>, was_idle| Lease {
            pool: Arc::clone(self),
            can_be_reused: false,
            reused: connection.is_some(),
            was_idle,
            connection,
        };
        if let Some(shared) = state.shared.iter_mut().find(|shared| shared.has_room()) {
            let was_idle = shared.in_flight == 0;
            shared.in_flight += 1;
            return Some(lease(Some(Connection::Http2(shared.connection.clone())), was_idle));
        }
        if let Some((connection, _)) = state.idle.pop() {
            return Some(lease(Some(Connection::Http1(connection)), true));
        }
        let live = state.shared.iter().filter(|shared| !shared.retired).count();
        let may_dial = match state.protocol {
            // The first connection determines the protocol; with HTTP/2 one connection may be enough.
            None => state.dialing == 0,
            Some(Protocol::Http2) => {
                state.dialing == 0
                    && live < self.max_connections
                    && state.shared.iter().all(|shared| shared.retired || shared.is_full())
            }
            Some(Protocol::Http1) => state.open + state.dialing < self.max_connections,
        };
        if !may_dial {
            return None;
        }
        state.dialing += 1;
        Some(lease(None, false))
    }
}

impl PoolState {
    /// Removes connections that have ended or were idle for too long.
    fn sweep(&mut self, stale: &mut Vec<Connection>) {
        // `None` says that no connection can be so old.
        let limit = Instant::now().checked_sub(IDLE_LIMIT);
        let is_old = |since: Instant| limit.is_some_and(|limit| since <= limit);
        for (connection, _) in
            self.idle.extract_if(.., |(connection, since)| connection.is_closed() || is_old(*since))
        {
            self.open -= 1;
            stale.push(Connection::Http1(connection));
        }
        for shared in self.shared.extract_if(.., |shared| {
            let unused = shared.in_flight == 0;
            shared.connection.is_closed() || unused && (shared.retired || is_old(shared.idle_since))
        }) {
            stale.push(Connection::Http2(shared.connection));
        }
    }
}

impl Lease {
    /// Opens the connection.
    async fn open(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        let connection = self.connect(deadline).await.inspect_err(|error| self.failed(error))?;
        self.opened(connection);
        Ok(())
    }

    async fn connect(&self, deadline: Deadline) -> Result<Connection, TransportError> {
        let (stream, protocol) = self.pool.route.dial(deadline).await?;
        let pool: Weak<Pool> = Arc::downgrade(&self.pool);
        let changed = move || {
            if let Some(pool) = pool.upgrade() {
                pool.update(|_| ());
            }
        };
        let peer = self.pool.route.origin.authority();
        let started = Connection::start(stream, protocol, &peer, changed);
        let missed = || format!("`{peer}` did not complete the HTTP handshake");
        deadline.run_whole(Phase::Connect, started, missed).await?
    }

    fn opened(&mut self, connection: Connection) {
        let connection = self.connection.insert(connection);
        self.pool.update(|state| {
            state.dialing -= 1;
            match connection {
                Connection::Http1(_) => {
                    state.protocol = Some(Protocol::Http1);
                    state.open += 1;
                }
                Connection::Http2(connection) => {
                    state.protocol = Some(Protocol::Http2);
                    state.shared.push(SharedConnection {
                        connection: connection.clone(),
                        in_flight: 1,
                        idle_since: Instant::now(),
                        retired: false,
                    });
                }
            }
        });
    }

    /// Requests that wait while no connection is open or being opened fail with the same error: retrying one after the
    /// other would take as long each time.
    fn failed(&self, error: &TransportError) {
        let sharing = self.pool.update(|state| {
            let hopeless = state.dialing == 1 && state.open == 0 && state.shared.is_empty();
            if hopeless { core::mem::take(&mut state.waiting) } else { VecDeque::new() }
        });
        for waiting in sharing {
            drop(waiting.send(Err(error.clone())));
        }
    }

    /// The connection; [`Pool::acquire`] returns no lease without one.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Returns the connection to the pool for other requests.
    pub(crate) fn give_back(mut self) {
        self.can_be_reused = true;
    }

    /// Stops the connection from accepting new requests. Its current requests can finish.
    pub(crate) fn retire(self) {
        if let Some(Connection::Http2(connection)) = &self.connection {
            self.pool.update(|state| {
                for shared in state.shared.iter_mut().filter(|shared| shared.connection.is_same(connection)) {
                    shared.retired = true;
                }
            });
        }
    }
}

impl Drop for Lease {
    /// Dropping a lease without giving it back closes an HTTP/1.1 connection, because its exchange may be incomplete.
    /// On HTTP/2 it only frees the stream. If the connection was not opened, another request may open one.
    fn drop(&mut self) {
        match self.connection.take() {
            Some(Connection::Http1(connection)) if self.can_be_reused => {
                self.pool.update(|state| state.idle.push((connection, Instant::now())));
            }
            Some(Connection::Http1(connection)) => {
                drop(connection);
                self.pool.update(|state| state.open -= 1);
            }
            Some(Connection::Http2(connection)) => {
                self.pool.update(|state| {
                    for shared in
                        state.shared.iter_mut().filter(|shared| shared.connection.is_same(&connection))
                    {
                        shared.in_flight -= 1;
                        shared.idle_since = Instant::now();
                    }
                });
            }
            None => self.pool.update(|state| state.dialing -= 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::Origin;
    use crate::hyper::{HyperTransport, Timeouts};

    /// A pool for HTTP/1.1 and a listener that accepts connections but never responds.
    async fn pool(max_connections: usize) -> (Arc<Pool>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin: Origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let transport =
            HyperTransport::builder(origin).with_max_connections(max_connections).build().unwrap();
        (transport.pool, listener)
    }

    fn minute() -> Deadline {
        Deadline::start(Timeouts::new())
    }

    fn queue(pool: &Arc<Pool>) -> tokio::task::JoinHandle<Result<(Lease, Deadline), TransportError>> {
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.acquire(minute()).await })
    }

    fn waiting(pool: &Arc<Pool>) -> usize {
        pool.update(|state| state.waiting.iter().filter(|waiting| !waiting.is_closed()).count())
    }

    #[tokio::test]
    async fn waiting_for_a_connection_extends_the_deadline() {
        let (pool, _listener) = pool(1).await;
        let (held, _) = pool.acquire(minute()).await.unwrap();
        let waits = queue(&pool);
        while waiting(&pool) < 1 {
            tokio::task::yield_now().await;
        }
        // Ten times the limit of the whole attempt.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(600)).await;
        held.give_back();
        let (lease, deadline) = waits.await.unwrap().unwrap();
        assert!(lease.reused);
        let started = Instant::now();
        let never = core::future::pending::<()>();
        let missed = || "`a` sent no response".to_owned();
        let error = deadline.run_whole(Phase::Head, never, missed).await.unwrap_err();
        assert_eq!(started.elapsed().as_secs(), 60);
        assert_eq!(error.detail(), "`a` sent no response within the 60 s of the whole try");
    }

    #[tokio::test]
    async fn a_dropped_request_leaves_the_queue() {
        let (pool, _listener) = pool(1).await;
        let _held = pool.acquire(minute()).await.unwrap();
        let waits = queue(&pool);
        while waiting(&pool) < 1 {
            tokio::task::yield_now().await;
        }
        waits.abort();
        assert!(waits.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(waiting(&pool), 0);
    }

    #[tokio::test]
    async fn a_new_request_does_not_overtake_waiting_ones() {
        let (pool, _listener) = pool(1).await;
        let (held, _) = pool.acquire(minute()).await.unwrap();
        let first = queue(&pool);
        let second = queue(&pool);
        while waiting(&pool) < 2 {
            tokio::task::yield_now().await;
        }
        held.give_back();
        // Requested before the first waiting request was polled.
        let mut newcomer = core::pin::pin!(pool.acquire(minute()));
        let polled =
            core::future::poll_fn(|cx| core::task::Poll::Ready(newcomer.as_mut().poll(cx).is_ready()));
        assert!(!polled.await);
        first.await.unwrap().unwrap().0.give_back();
        second.await.unwrap().unwrap().0.give_back();
        assert!(newcomer.await.unwrap().0.reused);
    }

    #[tokio::test]
    async fn a_dropped_request_passes_its_connection_on() {
        let (pool, _listener) = pool(1).await;
        let (held, _) = pool.acquire(minute()).await.unwrap();
        let first = queue(&pool);
        let second = queue(&pool);
        while waiting(&pool) < 2 {
            tokio::task::yield_now().await;
        }
        // Handed over, and dropped before it was polled.
        held.give_back();
        first.abort();
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn if_a_request_is_dropped_while_connecting_the_next_one_connects() {
        let (pool, _listener) = pool(1).await;
        let mut first = Box::pin(pool.acquire(minute()));
        core::future::poll_fn(|cx| core::task::Poll::Ready(first.as_mut().poll(cx).is_ready())).await;
        let second = queue(&pool);
        while waiting(&pool) < 1 {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_broken_connection_is_replaced_within_the_limit() {
        let (pool, _listener) = pool(1).await;
        let (held, _) = pool.acquire(minute()).await.unwrap();
        let next = queue(&pool);
        while waiting(&pool) < 1 {
            tokio::task::yield_now().await;
        }
        drop(held);
        assert!(!next.await.unwrap().unwrap().0.reused);
        assert_eq!(pool.update(|state| (state.open, state.dialing, state.idle.len())), (0, 0, 0));
    }
}
