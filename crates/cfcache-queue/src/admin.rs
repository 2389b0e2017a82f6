//! What whoever runs the queue looks at: metrics, health, and a page that shows what waits.
//!
//! It changes nothing and asks for no credentials, and it shows what is purged. So it listens on an address of its own,
//! by default one of this machine alone.

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
use crate::server::{self, Answer, Listener, Place};
use crate::store::{Status, Store};

/// Where it listens by default.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8790);

/// How long the store may take to answer.
const STORE_TIME: Duration = Duration::from_secs(5);

/// For how long an answer of the store is used, so that many who look cost no more than one.
const FRESH: Duration = Duration::from_secs(1);

/// What the metrics are, for whoever reads them.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin listener's answers.
#[derive(Debug)]
pub struct Admin {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Where requests are, in words for the page: without a password.
    place: String,
    status: Mutex<Option<Fresh<Status>>>,
    writable: Mutex<Option<Fresh<()>>>,
}

/// What the store answered, and when.
#[derive(Debug)]
struct Fresh<T> {
    at: Instant,
    answer: Result<Arc<T>, String>,
}

impl Admin {
    /// Makes one. `place` says where requests are kept, such as `PostgreSQL` or the path of a file, without secrets.
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

    /// Answers until `stop` is true or its sender is gone.
    pub async fn serve(self: Arc<Self>, listener: Listener, mut stop: watch::Receiver<bool>) {
        let is_local = listener.is_local();
        let handler = Arc::new(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                request.extensions().get::<Place>().into_iter().for_each(Place::hold);
                if is_local && !server::is_sent_to_address(request.headers()) {
                    return text(
                        StatusCode::FORBIDDEN,
                        "this is answered under an address or `localhost` only\n",
                    );
                }
                admin.respond(request).await
            }
        });
        let stopped = async move {
            // An error: nobody is there who could ever say so.
            drop(stop.wait_for(|stop| *stop).await);
        };
        server::serve(listener, handler, stopped).await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here\n");
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
            _ => text(StatusCode::NOT_FOUND, "there is /, /status.json, /metrics, /livez and /readyz\n"),
        }
    }

    async fn page(&self) -> Answer {
        let html = page::html(&self.view().await);
        let mut answer = server::answer(StatusCode::OK, "text/html; charset=utf-8", html);
        let headers = answer.headers_mut();
        // Nothing that is shown can run, load or send anything.
        if let Ok(policy) = HeaderValue::from_str(&page::security_policy()) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        answer
    }

    async fn status_json(&self) -> Answer {
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

    async fn status(&self) -> Result<Arc<Status>, String> {
        // Whoever comes meanwhile waits for the same answer.
        let mut known = self.status.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < FRESH) {
            return known.answer.clone();
        }
        let answer = within(self.store.status()).await.map(Arc::new);
        if let Err(why) = &answer {
            warn!("{why}");
        }
        *known = Some(Fresh { at: Instant::now(), answer: answer.clone() });
        answer
    }

    /// Why nothing should be sent to this process.
    async fn not_ready(&self) -> Vec<String> {
        let mut known = self.writable.lock().await;
        let writable = match known.as_ref().filter(|known| known.at.elapsed() < FRESH) {
            Some(known) => known.answer.clone(),
            None => {
                let answer = within(self.store.check_writable()).await.map(Arc::new);
                *known = Some(Fresh { at: Instant::now(), answer: answer.clone() });
                answer
            }
        };
        drop(known);
        let mut why = self.health.not_ready();
        why.extend(writable.err());
        why
    }
}

async fn within<T>(asked: crate::store::StoreFuture<'_, T>) -> Result<T, String> {
    match timeout(STORE_TIME, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the store did not answer within {} seconds", STORE_TIME.as_secs())),
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    server::answer(status, "text/plain; charset=utf-8", body.into())
}
