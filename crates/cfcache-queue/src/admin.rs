//! The admin listener: metrics, health, and a page that shows the queue.
//!
//! It changes nothing and asks for no credentials, but it shows what is purged. So it listens on an address of its own,
//! by default only on this machine.

mod page;
mod view;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::admin::view::View;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::server::{self, ConnectionSlot, HttpAnswer, Listener};
use crate::store::{QueueStatus, Store};

/// The default address.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8790);

/// The longest time to wait for an answer of the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer of the store is reused, so that many clients cost no more than one.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// The media type of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers the requests to the admin listener.
#[derive(Debug)]
pub struct Admin {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// The place of the queue, as shown on the page: without a password.
    place: String,
    status: Mutex<Option<CachedAnswer<QueueStatus>>>,
    writable: Mutex<Option<CachedAnswer<()>>>,
}

/// An answer of the store, and when it arrived.
#[derive(Debug)]
struct CachedAnswer<T> {
    at: Instant,
    answer: Result<Arc<T>, String>,
}

impl Admin {
    /// Creates an admin service. `place` describes where requests are stored, such as `PostgreSQL` or the path of a
    /// file, without secrets.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        place: impl Into<String>,
    ) -> Self {
        let (status, writable) = (Mutex::default(), Mutex::default());
        Self { store, metrics, health, place: place.into(), status, writable }
    }

    /// Answers requests until `stop` is true or its sender is dropped.
    pub async fn serve(self: Arc<Self>, listener: Listener, mut stop: watch::Receiver<bool>) {
        let is_local = listener.is_local();
        let handler = Arc::new(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                request.extensions().get::<ConnectionSlot>().into_iter().for_each(ConnectionSlot::hold);
                if is_local && !server::is_sent_to_address(request.headers()) {
                    return text(
                        StatusCode::FORBIDDEN,
                        "use the address of this server or `localhost`, not another name\n",
                    );
                }
                admin.respond(request).await
            }
        });
        let stopped = async move {
            // An error means that the sender was dropped.
            drop(stop.wait_for(|stop| *stop).await);
        };
        server::serve(listener, handler, stopped).await;
    }

    async fn respond(&self, request: Request<Incoming>) -> HttpAnswer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed here\n");
        }
        match request.uri().path() {
            "/" => self.page().await,
            "/status.json" => self.status_json().await,
            "/metrics" => {
                let status = self.status().await.ok();
                server::answer(StatusCode::OK, OPEN_METRICS, self.metrics.encode(status.as_deref()))
            }
            "/livez" => match self.health.alive(Instant::now()) {
                Ok(()) => text(StatusCode::OK, "ok\n"),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/readyz" => {
                let why = self.not_ready().await;
                if why.is_empty() {
                    text(StatusCode::OK, "ok\n")
                } else {
                    text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", why.join("\n")))
                }
            }
            _ => text(StatusCode::NOT_FOUND, "not found: use /, /status.json, /metrics, /livez or /readyz\n"),
        }
    }

    async fn page(&self) -> HttpAnswer {
        let html = page::html(&self.view().await);
        let mut answer = server::answer(StatusCode::OK, "text/html; charset=utf-8", html);
        let headers = answer.headers_mut();
        // The page can neither run foreign scripts, nor load or send anything.
        if let Ok(policy) = HeaderValue::from_str(&page::security_policy()) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        answer
    }

    async fn status_json(&self) -> HttpAnswer {
        let view = self.view().await;
        let status = if view.store.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        server::answer(status, "application/json", format!("{}\n", view.to_json()))
    }

    async fn view(&self) -> View {
        let store = self.status().await;
        let not_ready = self.not_ready().await;
        #[expect(clippy::disallowed_methods, reason = "the page says when it was made")]
        let now = SystemTime::now();
        View { now, place: self.place.clone(), not_ready, store, purges: self.metrics.purges() }
    }

    async fn status(&self) -> Result<Arc<QueueStatus>, String> {
        // Concurrent requests wait for the same answer.
        let mut known = self.status.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < CACHE_TIME) {
            return known.answer.clone();
        }
        let answer = within(self.store.status()).await.map(Arc::new);
        if let Err(why) = &answer {
            warn!("{why}");
        }
        *known = Some(CachedAnswer { at: Instant::now(), answer: answer.clone() });
        answer
    }

    /// Returns why no requests should be sent to this process.
    async fn not_ready(&self) -> Vec<String> {
        let mut known = self.writable.lock().await;
        let writable = match known.as_ref().filter(|known| known.at.elapsed() < CACHE_TIME) {
            Some(known) => known.answer.clone(),
            None => {
                let answer = within(self.store.check_writable()).await.map(Arc::new);
                *known = Some(CachedAnswer { at: Instant::now(), answer: answer.clone() });
                answer
            }
        };
        drop(known);
        let mut why = self.health.not_ready();
        why.extend(writable.err());
        why
    }
}

async fn within<T>(request: crate::store::StoreFuture<'_, T>) -> Result<T, String> {
    match timeout(STORE_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the store did not answer within {} seconds", STORE_TIMEOUT.as_secs())),
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> HttpAnswer {
    server::answer(status, "text/plain; charset=utf-8", body.into())
}
