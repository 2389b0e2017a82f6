//! The servers of the benchmarks: each on a separate thread with its own runtime.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator, Log};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

const ANSWER: &[u8] =
    br#"{"success":true,"errors":[],"messages":[],"result":{"id":"023e105f4ecef8ad9ca31a8372d0c353"}}"#;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    connections: Box<dyn Fn() -> u64>,
    log: Option<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a minimal server: it reads each request completely, and answers that it was accepted.
    pub(crate) fn fixed(tls: Option<TlsAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepted = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&accepted);
        let (address, stop, thread) = on_a_thread(async move || {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let serving = async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    counting.fetch_add(1, Ordering::Relaxed);
                    match tls.clone() {
                        None => drop(tokio::spawn(serve(stream))),
                        Some(tls) => drop(tokio::spawn(async move {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream).await;
                            }
                        })),
                    }
                }
            };
            (address, serving)
        });
        let connections = Box::new(move || accepted.load(Ordering::Relaxed));
        Self { address, scheme, connections, log: None, stop: Some(stop), thread: Some(thread) }
    }

    /// Starts the emulator.
    pub(crate) fn emulator(config: Config) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (address, stop, thread) = on_a_thread(async move || {
            let running = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap();
            sender.send(running.log()).unwrap();
            (running.address(), async move {
                let _running = running;
                core::future::pending().await
            })
        });
        let log = receiver.recv().unwrap();
        let counts = log.clone();
        let connections = Box::new(move || counts.counts().connections);
        Self { address, scheme: "http", connections, log: Some(log), stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL with a host name, because certificates contain names.
    pub(crate) fn base(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}/client/v4", self.scheme, self.address.port())
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> u64 {
        (self.connections)()
    }

    /// Returns how many requests the emulator refused with 429.
    pub(crate) fn refused(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.counts().rate_limited)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Runs a listener and its server on a thread.
fn on_a_thread<S: Future<Output = Infallible>>(
    start: impl AsyncFnOnce() -> (SocketAddr, S) + Send + 'static,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        crate::block_on(async {
            let (address, serving) = start().await;
            ready.send(address).unwrap();
            tokio::select! {
                never = serving => match never {},
                _ = stopped => {}
            }
        });
    });
    (is_ready.recv().unwrap(), stop, thread)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|request: http::Request<Incoming>| async {
        let body = request.into_body().collect().await?;
        drop(body);
        let mut response = http::Response::new(Full::new(Bytes::from_static(ANSWER)));
        let content_type = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        Ok::<_, hyper::Error>(response)
    });
    // The result is not needed.
    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}
