//! The number of URLs per second without limits, compared with a minimal loop that sends them.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use cfcache_client::engine::Policy;
use cfcache_client::{PurgeScope, entries};
use cfcache_emulator::Config;
use cfcache_model::endpoint::Action;
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::{Kind, Plan};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::server::Server;
use crate::{TOKEN, ZONE, block_on, client, median, process, urls, verdict, zone};

const BATCH: usize = 100;
const BATCHES: usize = 20_000;

/// The number of measurements of each, in turns.
const ROUNDS: usize = 5;

/// The minimum ratio to the minimal loop.
const TARGET: f64 = 0.6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

pub(crate) fn run() -> bool {
    let list = urls(BATCH * BATCHES);
    let bodies: Arc<[Bytes]> = bodies(&list).into();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = directory.join("throughput.txt");
    std::fs::write(&file, &list).unwrap();

    let concurrency = Policy::default().concurrency;
    println!(
        "{BATCHES} requests of {BATCH} URLs, medians of {ROUNDS} rounds in turn. The bare loop sends bodies that were \
         written before, {concurrency} at a time, over hyper's connections: {concurrency} of HTTP/1.1, one of HTTP/2."
    );
    let mut met = true;
    let servers = [("a server that answers always the same", false), ("the emulator", true)];
    for (name, is_emulator) in servers {
        println!("\nat {name}:");
        let server = if is_emulator {
            let config = Config::new(Plan::Free).with_limits(false).with_max_log_entries(0);
            Server::emulator(config)
        } else {
            Server::fixed(None)
        };
        for version in [Version::Http1, Version::Http2] {
            let mut whole = (Vec::new(), Vec::new());
            let (mut bare_times, mut run_times) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                bare_times.push(counted(&server, version, || bare(&server, version, &bodies)));
                run_times.push(counted(&server, version, || library(&server, version, &list)));
                if version == Version::Http1 {
                    whole.0.push(process::time(&mut binary(&server, file.to_str().unwrap())));
                    whole.1.push(piped(&server, &file));
                }
            }
            let bare = median(bare_times);
            println!("{version:?}: the bare loop {}", rate(bare));
            let compare = |what: &str, time: Duration| {
                let ratio = bare.as_secs_f64() / time.as_secs_f64();
                let what = format!("{what} {}, over the bare loop", rate(time));
                if is_emulator {
                    return verdict(&what, ratio, ratio >= TARGET, "at least 0.6");
                }
                // A minimal server takes less time for a request than it takes to read a hundred URLs, so this no
                // longer measures how requests are sent.
                println!("  {what}: {ratio:.3}");
                true
            };
            met &= compare("Client::run", median(run_times));
            if version == Version::Http1 {
                met &= compare("`purge urls --from FILE`", median(whole.0));
                met &= compare("`purge urls --from -`", median(whole.1));
            }
        }
    }
    std::fs::remove_file(&file).unwrap();
    met
}

fn rate(time: Duration) -> String {
    let urls = (BATCH * BATCHES) as f64;
    format!("{:.2} million URLs/s", urls / time.as_secs_f64() / 1e6)
}

/// Measures, and checks that both use the same number of connections.
fn counted(server: &Server, version: Version, measure: impl FnOnce() -> Duration) -> Duration {
    let before = server.connections();
    let time = measure();
    let expected = match version {
        Version::Http1 => Policy::default().concurrency as u64,
        Version::Http2 => 1,
    };
    assert_eq!(server.connections() - before, expected);
    time
}

fn bodies(list: &str) -> Vec<Bytes> {
    let lines: Vec<&str> = list.lines().collect();
    let body = |batch: &[&str]| Bytes::from(serde_json::json!({ "files": batch }).to_string());
    lines.chunks(BATCH).map(body).collect()
}

fn request(address: SocketAddr, version: Version, body: Bytes) -> http::Request<Full<Bytes>> {
    let path = format!("/client/v4/zones/{ZONE}/purge_cache");
    let request = http::Request::post(match version {
        Version::Http1 => path,
        Version::Http2 => format!("http://{address}{path}"),
    });
    let request = request
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "bare")
        .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(CONTENT_TYPE, "application/json");
    let request = match version {
        Version::Http1 => request.header(HOST, address.to_string()),
        Version::Http2 => request,
    };
    request.body(Full::new(body)).unwrap()
}

/// The minimal loop: as many tasks as requests may be in flight, each sending one after the other.
fn bare(server: &Server, version: Version, bodies: &Arc<[Bytes]>) -> Duration {
    let begun = Instant::now();
    block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut shared = match version {
            Version::Http1 => None,
            Version::Http2 => {
                let io = connect(server.address()).await;
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                drop(tokio::spawn(connection));
                Some(sender)
            }
        };
        let mut tasks = JoinSet::new();
        for _ in 0..Policy::default().concurrency {
            let (next, bodies, address) = (Arc::clone(&next), Arc::clone(bodies), server.address());
            let take = move || bodies.get(next.fetch_add(1, Ordering::Relaxed)).cloned();
            match shared.clone() {
                None => tasks.spawn(async move {
                    let (mut sender, connection) = http1::handshake(connect(address).await).await.unwrap();
                    drop(tokio::spawn(connection));
                    while let Some(body) = take() {
                        sender.ready().await.unwrap();
                        finish(sender.send_request(request(address, version, body)).await).await;
                    }
                }),
                Some(mut sender) => tasks.spawn(async move {
                    while let Some(body) = take() {
                        finish(sender.send_request(request(address, version, body)).await).await;
                    }
                }),
            };
        }
        drop(shared.take());
        tasks.join_all().await;
    });
    begun.elapsed()
}

async fn connect(address: SocketAddr) -> TokioIo<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    TokioIo::new(stream)
}

async fn finish(answer: hyper::Result<http::Response<Incoming>>) {
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer.into_body().collect().await.unwrap());
}

/// From the text of the list to the answers.
fn library(server: &Server, version: Version, list: &str) -> Duration {
    let begun = Instant::now();
    block_on(async {
        let mut policy = Policy::default();
        policy.limits = None;
        let client = client(&server.base(), policy, |builder| match version {
            Version::Http1 => builder,
            Version::Http2 => builder.with_http2_prior_knowledge(),
        });
        let entry = |line| Entry::parse(Kind::Files, line, &mut |_| {}).unwrap();
        let run = PurgeScope::new(Action::Purge, zone(), Kind::Files, BatchLimits::new(BATCH));
        let input = entries(list.lines().map(entry));
        let tally = client.run(&run, input, core::future::pending(), &mut ()).await;
        assert_eq!(tally.accepted, (BATCH * BATCHES) as u64, "{tally:?}");
    });
    begun.elapsed()
}

fn binary(server: &Server, from: &str) -> Command {
    let mut command = process::cfcache(&server.base());
    command.args(["purge", "urls", "--quiet", "--no-rate-limit", "--from", from]);
    command
}

/// Through a pipe.
fn piped(server: &Server, file: &Path) -> Duration {
    let mut cat = process::program("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let time = process::time(binary(server, "-").stdin(cat.stdout.take().unwrap()));
    assert!(cat.wait().unwrap().success());
    time
}
