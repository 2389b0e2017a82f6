//! A real browser, for tests of pages. The tests of `cfcache-queue` include this file.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

/// The longest wait for the browser, which starts slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A browser and its driver. Dropping it ends both.
pub(crate) struct Browser {
    driver: Child,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The URL of the session at the driver.
    session: String,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn();
        let mut driver = driver.unwrap_or_else(|error| {
            panic!(
                "this test needs a browser, but chromedriver cannot be started ({error}): install it \
                 (Debian: apt-get install chromium chromium-driver), or set CFCACHE_TEST_BROWSER=0 to skip it"
            )
        });
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            Some(line.split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.unwrap());
        let mut browser =
            Self { driver, client: Client::builder(TokioExecutor::new()).build_http(), session: url.clone() };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ];
        let options = json!({ "goog:chromeOptions": { "args": arguments } });
        let wanted = json!({ "capabilities": { "alwaysMatch": options } });
        let session = browser.ask(Method::POST, "/session", Some(wanted)).await;
        browser.session = format!("{url}/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap();
        let response = timeout(TIMEOUT, self.client.request(request)).await.unwrap().unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    pub(crate) async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", Some(json!({ "url": url }))).await;
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", Some(json!({ "script": script, "args": [] }))).await
    }

    /// Sets the size of the window, in CSS pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size });
        self.ask(Method::POST, "/goog/cdp/execute", Some(command)).await;
    }

    /// Runs a script until its text is as expected.
    pub(crate) async fn until(&self, script: &str, expected: impl Fn(&str) -> bool) {
        let mut last = Value::Null;
        let seen = timeout(TIMEOUT, async {
            loop {
                last = self.run(script).await;
                if last.as_str().is_some_and(&expected) {
                    return;
                }
            }
        });
        assert!(seen.await.is_ok(), "the page did not change as expected; it shows {last}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser on SIGTERM, but not on SIGKILL.
        let pid = rustix::process::Pid::from_child(&self.driver);
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        drop(self.driver.wait());
    }
}

/// The environment can skip tests with a browser. A test never skips itself.
#[expect(clippy::disallowed_methods, reason = "the environment says whether there is a browser")]
#[expect(clippy::print_stderr, reason = "a skipped test is reported")]
pub(crate) fn is_skipped() -> bool {
    let skipped = std::env::var("CFCACHE_TEST_BROWSER").is_ok_and(|value| value == "0");
    if skipped {
        eprintln!("skipped: CFCACHE_TEST_BROWSER=0");
    }
    skipped
}
