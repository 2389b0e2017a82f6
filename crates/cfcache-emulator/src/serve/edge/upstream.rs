//! Sends requests to the origin.

use core::net::IpAddr;
use core::time::Duration;
use std::io;

use bytes::Bytes;
use cfcache_edge::OriginFailure;
use http::header::{ACCEPT_ENCODING, HeaderMap};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::edge::EdgeConfig;
use crate::origin::EdgeOrigin;
use crate::serve::body::{self, ResponseBody};
use crate::serve::edge::folder;

/// The request headers that the edge adds:
/// <https://developers.cloudflare.com/fundamentals/reference/http-headers/>.
const CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The value of this edge in `CDN-Loop` (RFC 8586).
const OWN_NAME: &str = "cfcache-emulator";

/// How long an idle connection to the origin is kept: less than the default of five seconds after which Node.js and
/// Apache close it. A request that is sent while the origin closes the connection may have been processed, and cannot
/// be repeated.
const IDLE: Duration = Duration::from_secs(4);

/// The body of a request to the origin: the visitor's body as it arrives, or none.
pub(super) type RequestBody = Either<Incoming, Empty<Bytes>>;

/// Creates the client that sends requests to a server.
pub(super) fn client(config: &EdgeConfig) -> Client<HttpConnector, RequestBody> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(config.connect_timeout));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector)
}

/// Requests a page from the origin. The URI of the request is the visitor's.
pub(super) async fn ask(
    config: &EdgeConfig,
    client: &Client<HttpConnector, RequestBody>,
    request: Request<()>,
    visitor: IpAddr,
    body: RequestBody,
) -> Result<Response<ResponseBody>, OriginFailure> {
    match &config.origin {
        EdgeOrigin::Folder(root) => Ok(folder::respond(root, &request).await),
        EdgeOrigin::Server(base) => {
            let mut request = request.map(|()| body);
            *request.uri_mut() = join(base, request.uri()).ok_or(OriginFailure::Unreachable)?;
            add_headers(request.headers_mut(), visitor);
            let response = tokio::time::timeout(config.read_timeout, client.request(request))
                .await
                .map_err(|_| OriginFailure::Timeout)?
                .map_err(|error| failure(&error))?;
            Ok(response.map(|body| body::from_server(body, config.read_timeout)))
        }
    }
}

/// Returns how the origin failed that sent an incomplete body.
pub(super) fn body_failure(error: &io::Error) -> OriginFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => OriginFailure::Timeout,
        _ => OriginFailure::Closed,
    }
}

/// Returns whether a request has already passed this edge.
pub(super) fn is_loop(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(&LOOP).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|name| name.trim().split(';').next() == Some(OWN_NAME)))
}

/// Returns the origin's URL for a visitor's URL.
fn join(base: &Uri, visited: &Uri) -> Option<Uri> {
    let path = visited.path_and_query().map_or("/", |path| path.as_str());
    let below = base.path().trim_end_matches('/');
    let path = if path.starts_with('/') { format!("{below}{path}") } else { format!("{below}/{path}") };
    Uri::builder().scheme("http").authority(base.authority()?.clone()).path_and_query(path).build().ok()
}

fn add_headers(headers: &mut HeaderMap, visitor: IpAddr) {
    let address = HeaderValue::try_from(visitor.to_string()).ok();
    // A compressed answer could not be stored once for all visitors, and this edge does not compress answers either.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.append(LOOP, HeaderValue::from_static(OWN_NAME));
    if let Some(address) = address {
        headers.append(FORWARDED_FOR, address.clone());
        headers.insert(CONNECTING_IP, address);
    }
}

fn failure(error: &Error) -> OriginFailure {
    let mut cause = core::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => return OriginFailure::Refused,
                io::ErrorKind::TimedOut => return OriginFailure::ConnectTimeout,
                _ => {}
            }
        }
        cause = error.source();
    }
    if error.is_connect() { OriginFailure::Unreachable } else { OriginFailure::Closed }
}
