//! `probe` and `warm` with a scripted edge.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Cmd, Dir, bare};

/// The answer of the edge for a page: a status line, headers and a body.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Page {
    /// Creates an answer of the edge with this `CF-Cache-Status`, or none.
    pub(crate) fn new(cache_status: &str) -> Self {
        let mut headers = vec!["CF-RAY: 8f3a1b2c3d4e5f60-FRA".to_owned()];
        if !cache_status.is_empty() {
            headers.push(format!("CF-Cache-Status: {cache_status}"));
        }
        Self { status: "200 OK", headers, body: "a page".to_owned() }
    }

    /// Creates an answer from a response.
    pub(crate) fn from_response(response: &http::Response<bytes::Bytes>) -> Self {
        let status = match response.status().as_u16() {
            200 => "200 OK",
            301 => "301 Moved Permanently",
            404 => "404 Not Found",
            other => panic!("no page has the status {other}"),
        };
        let headers = response.headers().iter().filter(|(name, _)| *name != http::header::CONTENT_LENGTH);
        let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        Self { status, headers: headers.collect(), body }
    }

    pub(crate) fn status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = self.body.len();
        format!("HTTP/1.1 {}\r\n{headers}content-length: {length}\r\n\r\n{}", self.status, self.body)
            .into_bytes()
    }
}

/// A local edge. It lives as long as the process of the tests.
pub(crate) struct Edge {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicU64>,
}

impl Edge {
    /// Answers each request with the result of `answer` for its path and head.
    pub(crate) fn start(answer: impl Fn(&str, &str) -> Page + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&asked);
        let answer = move |path: &str, head: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(path, head)
        };
        let (kept, answer) = (Arc::clone(&heads), Arc::new(answer));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(socket.unwrap(), &kept, &*answer));
            }
        });
        Self { address, heads, asked }
    }

    /// Answers with these pages by path, otherwise with an uncached 404.
    pub(crate) fn with_pages(pages: &[(&str, Page)]) -> Self {
        let pages: BTreeMap<String, Page> =
            pages.iter().map(|(path, page)| ((*path).to_owned(), page.clone())).collect();
        Self::start(move |path, _| {
            pages.get(path).cloned().unwrap_or_else(|| Page::new("MISS").status("404 Not Found"))
        })
    }

    /// Returns `HOST:PORT` for `--verify-connect`.
    pub(crate) fn at(&self) -> String {
        self.address.to_string()
    }

    /// Returns the number of requests so far, answered or not.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns the heads of the answered requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(
    mut socket: TcpStream,
    kept: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str, &str) -> Page + Send + Sync),
) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        received.extend_from_slice(&buffer[..count]);
        if !received.starts_with(b"GET ") {
            // For example TLS.
            let _gone = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            return;
        }
        if received.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(core::mem::take(&mut received)).unwrap();
            let page = answer(head.split(' ').nth(1).unwrap(), &head);
            kept.lock().unwrap().push(head);
            if socket.write_all(&page.bytes()).is_err() {
                return;
            }
        }
    }
}

const SITE: &str = "https://www.example.com";

fn run(edge: &Edge, line: &str, paths: &[&str]) -> Cmd {
    let mut command = bare().args(line).arg("--verify-connect").arg(edge.at());
    for path in paths {
        command = command.arg(format!("{SITE}{path}"));
    }
    command
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn pages() -> Edge {
    Edge::with_pages(&[
        ("/hit", Page::new("HIT").header("Age: 75").header("ETag: \"abc\"")),
        ("/miss", Page::new("MISS")),
        ("/dynamic", Page::new("DYNAMIC")),
        ("/bypass", Page::new("BYPASS")),
        ("/challenge", Page::new("").status("403 Forbidden").header("CF-Mitigated: challenge")),
        (
            "/login",
            Page::new("")
                .status("302 Found")
                .header("Location: https://team.cloudflareaccess.com/cdn-cgi/access/login"),
        ),
        ("/busy", Page::new("").status("429 Too Many Requests")),
        ("/broken", Page::new("MISS").status("503 Service Unavailable")),
        ("/denied", Page::new("").status("403 Forbidden").body("error code: 1020")),
        ("/moved", Page::new("MISS").status("301 Moved Permanently").header("Location: /new")),
        ("/worker", Page::new("")),
    ])
}

#[test]
fn probe_reports_the_cache_status_of_each_url() {
    let edge = pages();
    let paths = [
        "/hit",
        "/miss",
        "/dynamic",
        "/bypass",
        "/challenge",
        "/login",
        "/busy",
        "/broken",
        "/denied",
        "/moved",
        "/worker",
        "/nowhere",
    ];
    let ran = run(&edge, "probe --visitor-rate 1000", &paths).run();
    ran.exits(1);
    let meanings = [
        "cached",
        "was not cached, is now",
        "not eligible for the cache",
        "not cached because of its headers",
        "a challenge page",
        "requires a login (Cloudflare Access)",
        "rate limited",
        "an error (503)",
        "error 1020 of the edge",
        "was not cached, is now; redirects to /new",
        "no cache status",
        "was not cached, is now",
    ];
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), paths.len(), "{}", ran.out);
    for ((line, path), meaning) in lines.iter().zip(paths).zip(meanings) {
        assert!(line.ends_with(&format!("{SITE}{path}  {meaning}")), "{line}");
    }
    assert!(lines[0].starts_with("200  HIT                75 s  FRA  \"abc\" "), "{}", lines[0]);
    ran.tells("seen from FRA only").tells("service token").tells("--visitor-headers FILE");
}

#[test]
fn probe_prints_one_array_of_objects() {
    let edge = pages();
    let ran = run(&edge, "probe --json --visitor-rate 1000", &["/hit", "/miss"]).run();
    ran.exits(0);
    let rows = json(&ran.out);
    let hit = &rows[0];
    assert_eq!(rows.as_array().unwrap().len(), 2);
    for (key, value) in [
        ("url", serde_json::json!(format!("{SITE}/hit"))),
        ("status", 200.into()),
        ("cache_status", "HIT".into()),
        ("age", 75.into()),
        ("colo", "FRA".into()),
        ("etag", "\"abc\"".into()),
        ("bytes", 6.into()),
        ("error", serde_json::Value::Null),
    ] {
        assert_eq!(hit[key], value, "{key}");
    }
    let ran = run(&edge, "probe --output ndjson", &["/hit"]).run();
    let row = json(&ran.out);
    assert_eq!(row["cache_status"], "HIT");
}

#[test]
fn probe_says_that_a_response_is_incomplete() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _head = socket.read(&mut [0; 4096]).unwrap();
        let head = "HTTP/1.1 200 OK\r\nCF-RAY: 1-FRA\r\nCF-Cache-Status: MISS\r\nContent-Length: 100\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(b"abc").unwrap();
    });
    let ran = bare().arg("probe").arg(url).run();
    ran.exits(0);
    assert!(ran.out.contains("  was not cached; incomplete: "), "{ran:?}");
}

#[test]
fn a_host_instead_of_a_url_gets_no_suggestion_to_purge_it() {
    for command in ["probe www.example.com", "warm release-42"] {
        let ran = bare().args(command).run();
        ran.exits(2).tells("hint: only URLs can be requested");
        assert!(!ran.err.contains("purge"), "{ran:?}");
    }
}

#[test]
fn an_unreachable_url_is_exit_code_5() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ran = bare().args("probe --json").arg(format!("http://{address}/")).run();
    ran.exits(5);
    let rows = json(&ran.out);
    assert_eq!(rows[0]["status"], serde_json::Value::Null);
    assert!(rows[0]["error"].as_str().unwrap().contains("refused the connection"), "{rows}");
}

#[test]
fn probe_reads_lists_and_needs_no_credentials() {
    let edge = pages();
    let ran = run(&edge, "probe --visitor-rate 1000 --from -", &[])
        .input(format!("{SITE}/hit\n\n# a comment\n{SITE}/miss\n"))
        .run();
    ran.exits(0);
    assert_eq!(ran.out.lines().count(), 2);
    run(&edge, "probe --from -", &[]).input("# nothing\n").run().exits(2);
    run(&edge, "probe", &[]).run().exits(2);
}

#[test]
fn a_probe_sends_no_headers_that_affect_the_cache() {
    let edge = pages();
    run(&edge, "probe", &["/hit?a=b"]).run().exits(0);
    let heads = edge.heads();
    let head = heads[0].to_ascii_lowercase();
    assert!(head.starts_with("get /hit?a=b http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nhost: www.example.com\r\n") && head.contains("\r\nuser-agent: cfcache/"),
        "{head}"
    );
    for header in ["cache-control", "pragma", "cookie", "if-none-match", "range", "accept-encoding"] {
        assert!(!head.contains(&format!("\r\n{header}:")), "{head}");
    }
}

#[test]
fn extra_headers_are_never_shown() {
    let edge = pages();
    let dir = Dir::new();
    let file = dir.file("headers", "# Access\nCF-Access-Client-Secret: s3cret-in-file\n");
    let ran = run(&edge, "probe -vv", &["/hit"]).arg("--visitor-headers").arg(&file).run();
    ran.exits(0);
    assert!(!ran.told().contains("s3cret"), "{}", ran.told());
    let ran = run(&edge, "probe", &["/hit"])
        .env("CFCACHE_VISITOR_HEADERS", "CF-Access-Client-Secret: s3cret-in-variable")
        .run();
    ran.exits(0);
    let heads = edge.heads();
    assert!(heads[0].contains("s3cret-in-file") && heads[1].contains("s3cret-in-variable"), "{heads:?}");
    let ran = run(&edge, "probe", &["/hit"]).env("CFCACHE_VISITOR_HEADERS", "s3cret").run();
    ran.exits(2).tells("`CFCACHE_VISITOR_HEADERS`, line 1");
    assert!(!ran.told().contains("s3cret"), "{}", ran.told());
}

#[test]
fn warm_reports_fetched_and_uncached_urls() {
    let edge = pages();
    let ran =
        run(&edge, "warm --json --visitor-rate 1000", &["/hit", "/miss", "/dynamic", "/challenge"]).run();
    ran.exits(1);
    let report = json(&ran.out);
    for (key, count) in [("requested", 4), ("warmed", 2), ("skipped", 1), ("failed", 1), ("uncertified", 0)] {
        assert_eq!(report[key], count, "{key}: {report}");
    }
    assert_eq!(report["failures"][0]["url"], format!("{SITE}/challenge"));
    run(&edge, "warm", &["/hit", "/dynamic"]).run().exits(0).tells("no rule makes it eligible");
}

#[test]
fn warm_requests_variants_and_certify_requests_twice() {
    let edge = pages();
    run(&edge, "warm --visitor-rate 1000 --warm-as mobile,avif", &["/hit"]).run().exits(0);
    let heads = edge.heads().concat();
    assert_eq!(edge.heads().len(), 3);
    assert!(heads.contains("iPhone") && heads.contains("image/avif"), "{heads}");
    let ran = run(&edge, "warm --json --visitor-rate 1000 --warm-certify", &["/hit", "/miss"]).run();
    ran.exits(1);
    let report = json(&ran.out);
    assert_eq!((&report["warmed"], &report["uncertified"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(edge.heads().len(), 7);
}

#[test]
fn a_dry_run_of_warm_shows_requests_without_sending_them() {
    let edge = pages();
    let ran = run(&edge, "warm --dry-run --warm-as mobile", &["/hit"]).run();
    ran.exits(0);
    assert_eq!(
        ran.out,
        format!(
            "{{\"as\":\"plain\",\"method\":\"GET\",\"url\":\"{SITE}/hit\"}}\n{{\"as\":\"mobile\",\"method\":\"GET\",\"url\":\"{SITE}/hit\"}}\n"
        ),
    );
    assert!(edge.heads().is_empty());
}

#[test]
fn refuses_options_of_the_api_and_options_without_effect() {
    let edge = pages();
    for line in [
        "probe --journal j",
        "probe -e staging",
        "probe --dry-run",
        "probe --warm-certify",
        "warm --failed-to f",
        "probe --visitor-rate 0",
        "probe --verify-connect 8788 x",
    ] {
        run(&edge, line, &["/hit"]).run().exits(2);
    }
    bare().args("settings --visitor-rate 3").run().exits(2).tells("`--visitor-rate` is only for");
    assert!(edge.heads().is_empty());
}

#[cfg(unix)]
#[test]
fn an_interrupted_probe_prints_partial_results() {
    let edge = Edge::start(|path, _| {
        if path == "/slow" {
            std::thread::sleep(core::time::Duration::from_secs(600));
        }
        Page::new("HIT").header("Age: 1")
    });
    let mut started = run(&edge, "probe --json", &["/hit", "/slow"]).start();
    assert!(started.line().starts_with("[{"));
    started.signal("INT");
    let ran = started.finish();
    ran.exits(130).tells("interrupted: 1 of 2 URLs were asked");
    assert!(ran.out.ends_with("}\n]\n"), "{}", ran.out);
}

#[test]
fn a_closed_pipe_ends_a_probe() {
    let edge = Edge::start(|_, _| Page::new("HIT").header("Age: 1"));
    let list: String = (0..500).map(|number| format!("{SITE}/{number}\n")).collect();
    for output in ["human", "json", "ndjson"] {
        let mut started =
            run(&edge, &format!("probe --visitor-rate 50 --output {output} --from -"), &[]).start();
        started.write(&list);
        started.end();
        started.line();
        // The pipe closes together with the reader.
        started.close_output();
        started.ends(0);
        assert!(edge.asked() < 400, "{output}: {}", edge.asked());
    }
}
