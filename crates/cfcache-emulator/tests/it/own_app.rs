//! A test as a user of this crate would write it: an app behind the edge, a purge through the API, and a visitor's
//! request.

use core::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cfcache_emulator::{CacheRules, Config, EdgeConfig, EdgeOrigin, Emulator};
use cfcache_model::Plan;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// An app that counts how often its page was generated.
async fn start_app() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            let app = service_fn(move |_: Request<hyper::body::Incoming>| {
                let version = counter.fetch_add(1, Ordering::Relaxed) + 1;
                async move {
                    Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(format!(
                        "version {version}"
                    ))))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), app),
            );
        }
    });
    (url, made)
}

#[tokio::test]
async fn purges_a_page_of_an_app() -> Result<(), Box<dyn core::error::Error>> {
    let (url, made) = start_app().await;
    let edge = EdgeConfig::new(url.parse::<EdgeOrigin>()?)
        .with_rules(CacheRules::default().with_eligible("www.example.com/blog/*")?);
    let config = Config::new(Plan::Free).with_edge(edge);
    let emulator = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await?;

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
    let page = format!("{}/blog/", emulator.edge_url().ok_or("there is an edge")?);
    let visit = || async {
        let request = Request::get(&page).header("host", "www.example.com").body(Full::default())?;
        let response = client.request(request).await?;
        let status = response.headers().get("cf-cache-status").ok_or("no status")?.to_str()?.to_owned();
        Ok::<_, Box<dyn core::error::Error>>(status)
    };
    assert_eq!(visit().await?, "MISS");
    assert_eq!(visit().await?, "HIT");
    assert_eq!(
        emulator.objects().first().map(|object| object.url.as_str()),
        Some("https://www.example.com/blog/")
    );

    let purge =
        Request::post(format!("{}/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache", emulator.base_url()))
            .header("authorization", "Bearer any-token-will-do")
            .body(Full::from(r#"{"files":["https://www.example.com/blog/"]}"#))?;
    assert_eq!(client.request(purge).await?.status(), 200);
    assert!(emulator.objects().is_empty());
    assert_eq!(visit().await?, "MISS");
    assert_eq!(made.load(Ordering::Relaxed), 2);
    emulator.stop().await;
    Ok(())
}
