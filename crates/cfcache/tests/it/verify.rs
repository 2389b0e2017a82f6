//! Verification of purges against the emulated edge.

use core::time::Duration;

use cfcache::{Client, Error, Plan, ProxyRules, Verdict, Verify};
use cfcache_emulator::{Config, EdgeConfig, Emulator, Server, Token, Zone};
use tokio::io::AsyncReadExt as _;

use crate::{TOKEN, ZONE, client, zone};

const URL: &str = "https://www.example.com/a.css";

/// An emulator of API and edge in front of an origin that serves the same page for every URL.
async fn edge(faults: &[&str]) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let pages = axum::Router::new().fallback(|| async { "foo" });
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let edge = EdgeConfig::new(origin.parse().unwrap());
    let mut config = Config::new(Plan::Free)
        .with_limits(false)
        .with_zone(Zone::new(ZONE, "example.com"))
        .with_token(Token::new(TOKEN))
        .with_edge(edge.with_listen(([127, 0, 0, 1], 0).into()));
    for fault in faults {
        config = config.with_fault(fault.parse().unwrap());
    }
    Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn verify(server: &Server) -> Verify {
    let url = server.edge_url().unwrap();
    let (host, port) = url.strip_prefix("http://").unwrap().split_once(':').unwrap();
    Verify::new().connect_to(host, port.parse().unwrap()).rate(200.0)
}

#[tokio::test]
async fn a_purge_is_verified_with_its_own_and_with_named_urls() {
    let server = edge(&[]).await;
    let (client, zone) = (client(&server), zone());
    let urls = [URL, "https://www.example.com/b.css", "https://www.example.com/"];
    // A purge can be spawned as a task.
    let task = tokio::spawn(client.purge(&zone).urls(urls).verify(verify(&server)).send());
    let summary = task.await.unwrap().unwrap();
    let verified = summary.verified.clone().unwrap();
    assert_eq!((verified.probed, verified.proven, verified.not_cached), (3, 2, 1));
    assert_eq!((verified.sample_of, verified.is_proven()), (None, true));
    assert_eq!(verified.colos.into_iter().collect::<Vec<_>>(), ["LOC"]);
    summary.all_proven().unwrap();

    let summary = client.purge(&zone).urls(urls).verify(verify(&server).at_most(2)).send().await.unwrap();
    let verified = summary.verified.unwrap();
    assert_eq!((verified.probed, verified.sample_of), (2, Some(3)));

    for request in [client.purge(&zone).hosts(["www.example.com"]), client.purge(&zone).everything()] {
        let summary = request.verify(verify(&server).urls([URL])).send().await.unwrap();
        assert_eq!(summary.verified.unwrap().proven, 1);
    }
}

#[tokio::test]
async fn survivors_and_unexpected_bodies_are_named() {
    let server = edge(&["survive,every=1"]).await;
    let (client, zone) = (client(&server), zone());
    let purge = |verify: Verify| client.purge(&zone).urls([URL]).verify(verify).send();
    // The first verification caches the page; the second one finds it.
    purge(verify(&server)).await.unwrap().all_proven().unwrap();
    let patient = || verify(&server).timeout(Duration::from_secs(2));
    let summary = purge(patient()).await.unwrap();
    let verified = summary.verified.clone().unwrap();
    assert_eq!((verified.probed, verified.survivors, verified.repurged), (1, 1, 1));
    assert_eq!(verified.open[0].url, URL);
    assert!(matches!(verified.open[0].verdict, Verdict::Survivor(_)), "{:?}", verified.open);
    let error = summary.all_proven().unwrap_err();
    assert!(error.to_string().starts_with("1 of 1 URLs are not proven, the first: https://"), "{error}");

    let server = edge(&[]).await;
    let client = crate::client(&server);
    let purge = |verify: Verify| client.purge(&zone).urls([URL]).verify(verify).send();
    let foo = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".parse().unwrap();
    purge(verify(&server).expect(URL, foo)).await.unwrap().all_proven().unwrap();
    let bar = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9".parse().unwrap();
    let verify = verify(&server).expect(URL, bar).timeout(Duration::from_millis(300));
    let error = purge(verify).await.unwrap().all_proven().unwrap_err();
    assert!(error.to_string().ends_with("the body is not the expected one"), "{error}");
}

#[tokio::test]
async fn a_purge_that_cannot_be_verified_is_not_sent() {
    let server = edge(&[]).await;
    let (client, zone) = (client(&server), zone());
    let error = client.purge(&zone).tags(["a"]).verify(Verify::new()).send().await.unwrap_err();
    assert!(matches!(error, Error::NothingToVerify), "{error}");
    let verify = Verify::new().urls(["www.example.com"]);
    let error = client.purge(&zone).tags(["a"]).verify(verify).send().await.unwrap_err();
    assert!(error.to_string().starts_with("the URL to verify `www.example.com` is invalid"), "{error}");
    assert_eq!(server.log().entries().len(), 0);
    // If no URL was checked, nothing is proven.
    let summary = client.purge(&zone).tags(["a"]).send().await.unwrap();
    assert!(matches!(summary.all_proven(), Err(Error::Unproven(_))));
}

#[tokio::test]
async fn visitors_use_the_proxy_of_the_client() {
    let server = edge(&[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The API is on this machine, so these rules reach it directly.
    let rules = ProxyRules::new("", "", &listener.local_addr().unwrap().to_string(), "").unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let proxy = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        stop.send(()).unwrap();
        String::from_utf8(head).unwrap()
    });
    let builder = Client::builder().api_token(TOKEN).base_url(server.base_url()).proxies(rules);
    let client = builder.build().unwrap();
    let request = client.purge(&zone()).urls(["https://www.example.com/a.css"]).verify(Verify::new());
    let summary = request.until(async { stopped.await.unwrap() }).send().await.unwrap();
    assert_eq!((summary.accepted, summary.verified.unwrap().unproven), (1, 1));
    assert!(proxy.await.unwrap().starts_with("CONNECT www.example.com:443 HTTP/1.1\r\n"));
}
