//! The edge on a socket: between visitors, the caches of the zones, and an origin.

mod control;
mod folder;
mod page;
mod upstream;

use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_edge::{
    BodyCollector, Edge, Fetch, FetchTicket, FillId, Keep, OriginFailure, RequestStep, ResponseStep,
    VisitorInfo,
};
use http::header::{CONTENT_TYPE, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::edge::Edges;
use crate::serve::ServerState;
use crate::serve::body::{self, ResponseBody, whole};
pub(super) use crate::serve::edge::control::control;
use crate::serve::edge::upstream::RequestBody;

/// The state that all connections of visitors share.
#[derive(Debug)]
pub(super) struct EdgeServer {
    shared: Arc<ServerState>,
    edges: Arc<Edges>,
    client: Client<HttpConnector, RequestBody>,
    /// The number of bytes that can still be collected of bodies that are not stored yet, or are not sent yet.
    memory: Arc<Semaphore>,
}

impl EdgeServer {
    pub(super) fn new(shared: Arc<ServerState>, edges: Arc<Edges>) -> Self {
        let client = upstream::client(&edges.config);
        let memory = usize::try_from(edges.config.max_memory).unwrap_or(usize::MAX);
        let memory = Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS)));
        Self { shared, edges, client, memory }
    }

    async fn ask(
        &self,
        request: Request<()>,
        visitor: IpAddr,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, OriginFailure> {
        upstream::ask(&self.edges.config, &self.client, request, visitor, body).await
    }

    /// Returns the wall-clock time.
    fn now(&self) -> SystemTime {
        self.edges.wall(self.shared.elapsed())
    }

    /// Ends a fill in the cache, and wakes the requests that wait for it.
    fn end_fill<T: Default>(
        &self,
        zone: usize,
        id: FillId,
        end: impl FnOnce(SystemTime, &mut Edge) -> T,
    ) -> T {
        let now = self.now();
        let Some(mut cache) = self.edges.cache(zone, now) else { return T::default() };
        let ended = end(now, &mut cache.edge);
        cache.wake(id);
        ended
    }
}

/// Serves one connection of a visitor until it ends.
pub(super) async fn connection(
    stream: TcpStream,
    server: Arc<EdgeServer>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(peer) = stream.peer_addr() else { return };
    // If this fails, the connection still works.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request: Request<Incoming>| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(respond(&server, peer, request).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Errors of the connection are ignored: nobody can be told.
        _ = serving.as_mut() => return,
        change = stopped.changed() => if change.is_err() { return },
    }
    serving.as_mut().graceful_shutdown();
    drop(serving.await);
}

async fn respond(
    server: &Arc<EdgeServer>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    if let Some(response) = control(&server.shared, &request) {
        return response.map(whole);
    }
    let (zone, uri) = match target(&server.edges, &request) {
        Ok(target) => target,
        Err((status, why)) => return plain(status, why).map(whole),
    };
    if upstream::is_loop(request.headers()) {
        let why = "the origin leads back to this edge; use another port with --origin\n";
        return plain(StatusCode::LOOP_DETECTED, why).map(whole);
    }
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    let request = Request::from_parts(parts, ());
    let visitor = VisitorInfo::new(peer.ip());

    let fetch = loop {
        let (ended, until) = {
            let now = server.now();
            let Some(mut cache) = server.edges.cache(zone, now) else {
                return plain(StatusCode::INTERNAL_SERVER_ERROR, "the zone has no cache\n").map(whole);
            };
            match cache.edge.request(now, &request, &visitor) {
                RequestStep::Answer { response, refresh } => {
                    drop(cache);
                    if let Some(fetch) = refresh {
                        drop(tokio::spawn(fill(Arc::clone(server), zone, peer.ip(), fetch, None)));
                    }
                    return response.map(whole);
                }
                RequestStep::Fetch(fetch) => break fetch,
                RequestStep::Wait(fill, until) => {
                    // Created before the lock is released, so that it cannot miss the end.
                    (cache.wait(fill).notified_owned(), until.duration_since(now).unwrap_or_default())
                }
                _ => {
                    return plain(StatusCode::NOT_IMPLEMENTED, "not supported by the emulator\n").map(whole);
                }
            }
        };
        // The fill has ended or the time is over: look into the cache again.
        drop(tokio::time::timeout(until, ended).await);
    };

    if fetch.with_body {
        return pass(server, zone, peer.ip(), fetch, body).await;
    }
    // A fill continues when its visitor leaves, because others may wait for it.
    let (answer, answered) = oneshot::channel();
    drop(tokio::spawn(fill(Arc::clone(server), zone, peer.ip(), fetch, Some(answer))));
    match answered.await {
        Ok(response) => response,
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the fill was cancelled\n").map(whole),
    }
}

/// Sends a request for an object that is not cached, and forwards the answer.
async fn pass(
    server: &EdgeServer,
    zone: usize,
    peer: IpAddr,
    fetch: Fetch,
    body: Incoming,
) -> Response<ResponseBody> {
    let mut abandon = Abandon { server, zone, ticket: Some(fetch.ticket) };
    let answer = server.ask(fetch.request, peer, RequestBody::Left(body)).await;
    let now = server.now();
    let (Some(ticket), Some(mut cache)) = (abandon.ticket.take(), server.edges.cache(zone, now)) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the zone has no cache\n").map(whole);
    };
    match answer {
        Err(failure) => cache.edge.failed(now, ticket, failure).map(whole),
        Ok(response) => {
            let (parts, body) = response.into_parts();
            match cache.edge.answered(now, ticket, Response::from_parts(parts, ())) {
                ResponseStep::Pass(head) => head.map(|()| body),
                ResponseStep::Answer(response) => response.map(whole),
                // An answer that is not eligible is not stored.
                ResponseStep::Keep(Keep { ticket, .. }) => cache.edge.outgrown(now, ticket).map(|()| body),
                _ => plain(StatusCode::NOT_IMPLEMENTED, "not supported by the emulator\n").map(whole),
            }
        }
    }
}

/// Cancels a ticket if the visitor leaves before the origin answers.
struct Abandon<'a> {
    server: &'a EdgeServer,
    zone: usize,
    ticket: Option<FetchTicket>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let now = self.server.now();
        if let Some(mut cache) = self.server.edges.cache(self.zone, now) {
            cache.edge.abandoned(ticket);
        }
    }
}

/// Requests an object that may be cached, and stores the answer if allowed. The answer is also sent to the visitor, if
/// there is one.
async fn fill(
    server: Arc<EdgeServer>,
    zone: usize,
    peer: IpAddr,
    fetch: Fetch,
    visitor: Option<oneshot::Sender<Response<ResponseBody>>>,
) {
    let send = |visitor: Option<oneshot::Sender<_>>, response| {
        // The visitor may have left.
        visitor.map(|visitor| visitor.send(response).is_ok())
    };
    let ticket = fetch.ticket;
    let id = ticket.id();
    let response = match server.ask(fetch.request, peer, RequestBody::Right(Empty::new())).await {
        Ok(response) => response,
        Err(failure) => {
            let response = server.end_fill(zone, id, |now, edge| edge.failed(now, ticket, failure));
            send(visitor, response.map(whole));
            return;
        }
    };
    let (parts, body) = response.into_parts();
    let head = Response::from_parts(parts, ());
    let now = server.now();
    let next = match server.edges.cache(zone, now) {
        Some(mut cache) => cache.edge.answered(now, ticket, head),
        None => ResponseStep::Pass(head),
    };
    let response = match next {
        ResponseStep::Keep(kept) => return keep(&server, zone, kept, body, visitor).await,
        ResponseStep::Pass(head) => Some(head.map(|()| body)),
        ResponseStep::Answer(response) => Some(response.map(whole)),
        _ => None,
    };
    server.end_fill(zone, id, |_, _| ());
    if let Some(response) = response {
        send(visitor, response);
    }
}

/// Reads a body for the cache, and sends it to the visitor at the same time.
async fn keep(
    server: &EdgeServer,
    zone: usize,
    keep: Keep,
    mut body: ResponseBody,
    visitor: Option<oneshot::Sender<Response<ResponseBody>>>,
) {
    let Keep { ticket, limit, pass, .. } = keep;
    let id = ticket.id();
    let (mut visitor, mut parts) = (visitor, None);
    if let Some(head) = pass
        && let Some(visitor) = visitor.take()
    {
        let (sender, receiver) = mpsc::unbounded_channel();
        drop(visitor.send(head.map(|()| body::parts(receiver))));
        parts = Some(sender);
    }
    let forward = |part| {
        // If the visitor has left, the fill continues.
        parts.as_ref().is_some_and(|parts| parts.send(part).is_ok())
    };
    // Until the end of this function, or until a slow visitor has got the piece.
    let mut memory = Vec::new();
    let mut collector = BodyCollector::new(limit);
    loop {
        let piece = match body.frame().await {
            None => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => piece,
                // Trailers are not stored.
                Err(_) => continue,
            },
            Some(Err(error)) => {
                let failure = upstream::body_failure(&error);
                let response = server.end_fill(zone, id, |now, edge| edge.failed(now, ticket, failure));
                forward(body::broken());
                if let Some(visitor) = visitor {
                    drop(visitor.send(response.map(whole)));
                }
                return;
            }
        };
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        if let Ok(taken) = Arc::clone(&server.memory).try_acquire_many_owned(bytes)
            && collector.push(piece.clone()).is_ok()
        {
            let taken = Arc::new(taken);
            memory.push(Arc::clone(&taken));
            forward(body::piece(piece, taken));
            continue;
        }
        // The body is larger than the limit: the visitor gets it, but it is not cached.
        let head = server.end_fill(zone, id, |now, edge| edge.outgrown(now, ticket));
        if let Some(visitor) = visitor {
            let (sender, receiver) = mpsc::unbounded_channel();
            for (piece, taken) in collector.into_pieces().into_iter().zip(memory) {
                drop(sender.send(body::piece(piece, taken)));
            }
            drop(visitor.send(head.map(|()| body::parts(receiver))));
            parts = Some(sender);
        }
        for part in [whole(piece), body] {
            drop(parts.as_ref().map(|parts| parts.send(part)));
        }
        return;
    }
    let response = server.end_fill(zone, id, |now, edge| edge.filled(now, ticket, collector.into_bytes()));
    if let Some(visitor) = visitor {
        drop(visitor.send(response.map(whole)));
    }
}

/// Returns the zone of a request, and its URL in the form of the cache: with `https` and without a port.
fn target<B>(edges: &Edges, request: &Request<B>) -> Result<(usize, Uri), (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = match (request.uri().authority(), named) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => host
            .parse::<Authority>()
            .map_err(|_| bad(format!("`Host: {}` is not a host\n", host.escape_debug())))?,
        (None, None) => return Err(bad("the request has no Host\n".to_owned())),
    };
    let visited = authority.host();
    let bare = visited.trim_start_matches('[').trim_end_matches(']');
    let is_own = bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost");
    // The name of a zone may be in Unicode, a URL is not.
    let own_host = is_own.then(|| idna::domain_to_ascii(edges.first_zone_name()).ok()).flatten();
    let host = own_host.as_deref().unwrap_or(visited);
    let Some(zone) = edges.zone_of(host) else {
        let zone = edges.first_zone_name();
        let why = format!(
            "error code: 1001\nThe host {} belongs to no zone of this edge; its zone is {zone}.\n",
            visited.escape_debug()
        );
        return Err((StatusCode::CONFLICT, why));
    };
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(host.to_ascii_lowercase())
        .path_and_query(path)
        .build()
        .map_err(|error| bad(format!("the URL is invalid: {error}\n")))?;
    Ok((zone, uri))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
