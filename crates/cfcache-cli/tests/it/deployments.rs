//! Random deployments of a site behind a cache: edits, additions, deletions, reverts, cancelled uploads, an API that is
//! down or refuses, and killed runs. Verifying runs also meet purges that do not reach the cache, and a late origin.
//! After each run that ends with 0, every form of every URL is answered with the deployed content.

// Windows has no files of these names.
#![cfg(unix)]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_edge::{CacheRules, CacheSettings, Edge, Purge, PurgeFile, PurgeItems, RequestStep, VisitorInfo};
use cfcache_emulator::Log;
use cfcache_model::endpoint::Action;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::support::{Api, Cmd, Dir, Ran, cfcache};
use crate::visitors;

/// The number of simulated sites, and of deployments of each.
const SEEDS: u64 = 12;
const DEPLOYMENTS: usize = 14;

/// The possible files. Several of them are served under one URL.
const NAMES: [&str; 17] = [
    "index.html",
    "a.html",
    "a/index.html",
    "myindex.html",
    "d/index.html",
    "d/e/index.html",
    "d/e.html",
    "d/style.css",
    "docs/index.html",
    "docs/guide.html",
    "docs/guide/page.txt",
    "ü b.html",
    "100%^.html",
    "new\nline#?.txt",
    "back\\slash",
    "d/[x] (1)&.html",
    "e@+'.css",
];

const SETTINGS: &str = "
[site.www]
root = 'public'
url = ['https://www.example.com']
always = ['/feed?page=1']
[[site.www.match]]
files = 'docs/**'
as = 'prefix'
";

/// The URLs of the site: always the first, and sometimes the second as well.
const ORIGINS: [&str; 2] = ["https://www.example.com", "https://example.com/sub"];

type Files = BTreeMap<&'static str, u64>;

/// A pseudo-random number generator with a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// The characters that are not encoded in paths by browsers, older browsers, `encodeURI`, `encodeURIComponent`, Go, and
/// Python.
const LEFT: [&str; 6] = ["!$&'()*+,;=:@[]|", "^!$&'()*+,;=:@[]|", "!$&'()*+,;=:@", "!'()*", "$&+,;=:@", ""];

/// Returns a path in which all characters are encoded except those in `left`.
fn encoded(path: &str, left: &str) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) || left.as_bytes().contains(&byte)
    };
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Returns every path with which a file may be requested.
fn paths(name: &str) -> BTreeSet<String> {
    let mut forms = vec![format!("/{name}")];
    if let Some(stem) = name.strip_suffix(".html") {
        let folder = stem.strip_suffix("index").filter(|folder| folder.is_empty() || folder.ends_with('/'));
        match folder {
            Some(folder) => {
                forms.extend([format!("/{folder}"), format!("/{}", folder.trim_end_matches('/'))])
            }
            None => forms.push(format!("/{stem}")),
        }
    }
    let spelled = forms.iter().flat_map(|form| LEFT.map(|left| encoded(form, left)));
    let queried = |path: String| {
        // Pages that are cached with queries that cannot be listed.
        let query = name.starts_with("docs/").then(|| format!("{path}?_rsc=1"));
        [Some(path), query]
    };
    spelled.flat_map(queried).flatten().collect()
}

/// Returns the answer of the origin for a path, as a static host gives it.
fn served(files: &Files, path: &str) -> (u16, String) {
    let asked = path.split('?').next().unwrap().trim_start_matches('/');
    for (name, content) in files {
        let is = |form: String| LEFT.iter().any(|left| asked == encoded(&form, left));
        let name = (*name).to_owned();
        if is(name.clone()) {
            return (200, format!("{content}"));
        }
        if let Some(folder) =
            name.strip_suffix("index.html").filter(|folder| folder.is_empty() || folder.ends_with('/'))
        {
            if is(folder.to_owned()) {
                return (200, format!("{content}"));
            }
            // A folder takes precedence over a page with the same name.
            if is(folder.trim_end_matches('/').to_owned()) {
                return (301, format!("to {folder}"));
            }
        }
    }
    for (name, content) in files {
        if let Some(stem) = name.strip_suffix(".html")
            && LEFT.iter().any(|left| asked == encoded(stem, left))
        {
            return (200, format!("{content}"));
        }
    }
    // A page that depends on all others.
    if path == "/feed?page=1" {
        return (200, format!("{files:?}"));
    }
    (404, "not found".to_owned())
}

/// The cache, its origin, and the purges that reach it.
struct Cdn {
    edge: Edge,
    now: SystemTime,
    /// The files that the origin serves.
    live: Files,
    /// The purges that the APIs accepted, and how many of them have taken effect.
    logs: [Log; 2],
    done: [usize; 2],
    /// The number of the next URL purges of which every second one does not reach the cache.
    lost: u64,
}

impl Cdn {
    /// Returns the answer to a visitor.
    fn visit(&mut self, url: &str) -> Response<Bytes> {
        self.purge();
        let now = self.now;
        let Some(origin) = ORIGINS.iter().find(|origin| url.starts_with(*origin)) else {
            panic!("nobody asks for {url}");
        };
        let (status, body) = served(&self.live, &url[origin.len()..]);
        let request = Request::get(url).body(()).unwrap();
        match self.edge.request(now, &request, &VisitorInfo::default()) {
            RequestStep::Answer { response, refresh } => {
                assert!(refresh.is_none(), "nothing may be served while it is refreshed");
                response
            }
            RequestStep::Fetch(fetch) => {
                let answer = Response::builder().status(status).header("cache-control", "max-age=31536000");
                let answer = answer.body(Bytes::from(body)).unwrap();
                self.edge.fetched(now, fetch.ticket, Ok(answer))
            }
            other => panic!("nothing else is under way: {other:?}"),
        }
    }

    /// Applies the accepted purges.
    fn purge(&mut self) {
        let now = self.now;
        for (log, done) in self.logs.iter().zip(&mut self.done) {
            let entries = log.entries();
            for entry in entries[*done..].iter().filter(|entry| entry.processed) {
                let Ok(Value::Object(body)) = serde_json::from_slice(&entry.body) else { continue };
                let action =
                    if entry.path.contains("invalidate") { Action::Invalidate } else { Action::Purge };
                for (kind, list) in &body {
                    let mut texts: Vec<String> = list
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|text| text.as_str().unwrap().to_owned())
                        .collect();
                    let scope = match kind.as_str() {
                        "files" => {
                            texts.retain(|_| {
                                let is_lost = self.lost % 2 == 1;
                                self.lost = self.lost.saturating_sub(1);
                                !is_lost
                            });
                            PurgeItems::Files(texts.into_iter().map(PurgeFile::new).collect())
                        }
                        "hosts" => PurgeItems::Hosts(texts),
                        "prefixes" => PurgeItems::Prefixes(texts),
                        other => panic!("nobody purges {other}"),
                    };
                    let _purged = self.edge.purge(now, &Purge::new(scope).with_action(action));
                }
            }
            *done = entries.len();
        }
    }
}

struct Simulation {
    chance: Random,
    cdn: Arc<Mutex<Cdn>>,
    /// The address for visitors.
    visited: visitors::Edge,
    dir: Dir,
    /// The current content of the directory, and all deployed versions.
    local: Files,
    history: Vec<Files>,
    /// The content of the last successful run.
    saved: Files,
    has_second_origin: bool,
    good: Api,
    bad: Api,
    /// The number of runs that proved everything, and of those that did not.
    proven: u64,
    unproven: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let rules =
            r#"[{"expression":"true","action":"set_cache_settings","action_parameters":{"cache":true}}]"#;
        let mut edge = Edge::new(CacheSettings::new("example.com"));
        edge.settings_mut().rules = CacheRules::parse(rules).unwrap();
        let dir = Dir::new();
        dir.file(".cfcache.toml", SETTINGS);
        let (good, bad) = (Api::quick(), Api::with_fault("status=400,every=2"));
        let cdn = Arc::new(Mutex::new(Cdn {
            edge,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            live: Files::new(),
            logs: [good.log().clone(), bad.log().clone()],
            done: [0, 0],
            lost: 0,
        }));
        let behind = Arc::clone(&cdn);
        let visited = visitors::Edge::start(move |path, head| {
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            visitors::Page::from_response(&behind.lock().unwrap().visit(&format!("https://{host}{path}")))
        });
        Self {
            chance: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            cdn,
            visited,
            dir,
            local: Files::new(),
            history: Vec::new(),
            saved: Files::new(),
            has_second_origin: false,
            good,
            bad,
            proven: 0,
            unproven: 0,
        }
    }

    fn cdn(&self) -> MutexGuard<'_, Cdn> {
        self.cdn.lock().unwrap()
    }

    fn urls(&self) -> Vec<String> {
        let origins = if self.has_second_origin { &ORIGINS[..] } else { &ORIGINS[..1] };
        let mut paths: BTreeSet<String> = NAMES.iter().flat_map(|name| paths(name)).collect();
        paths.insert("/feed?page=1".to_owned());
        origins.iter().flat_map(|origin| paths.iter().map(move |path| format!("{origin}{path}"))).collect()
    }

    /// Returns the answer to a visitor.
    fn visit(&self, url: &str) -> (u16, String) {
        let response = self.cdn().visit(url);
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    /// Sends requests of some visitors, or of all.
    fn visitors(&mut self) {
        let share = 1 + self.chance.below(4);
        for url in self.urls() {
            if self.chance.one_in(share) {
                let _seen = self.visit(&url);
            }
        }
    }

    /// Builds the next version of the site.
    fn build(&mut self) {
        if !self.saved.is_empty() && self.chance.one_in(4) {
            // The content equals the state's, whatever was deployed in between.
            self.local = self.saved.clone();
        } else if !self.history.is_empty() && self.chance.one_in(4) {
            let at = self.chance.below(self.history.len() as u64);
            self.local = self.history[usize::try_from(at).unwrap()].clone();
        } else {
            for name in NAMES {
                match self.chance.below(8) {
                    0 => drop(self.local.remove(name)),
                    1 | 2 => drop(self.local.insert(name, self.chance.below(3))),
                    _ => {}
                }
            }
        }
        self.local.entry("index.html").or_insert(0);
        let public = self.dir.at("public");
        let _gone = fs::remove_dir_all(&public);
        for (name, content) in &self.local {
            let path = public.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content.to_string()).unwrap();
        }
    }

    fn command(&mut self, api: Option<&str>) -> Cmd {
        let verb = if self.chance.one_in(3) { "invalidate" } else { "purge" };
        let mut cmd = cfcache(&self.good).current_dir(&self.dir.at("")).args(&format!(
            "{verb} changed --state state --batch-size 3 --concurrency 2 --max-retries 0 --json"
        ));
        if let Some(api) = api {
            cmd = cmd.env("CLOUDFLARE_BASE_URL", api);
        }
        let origins = if self.has_second_origin { &ORIGINS[..] } else { &ORIGINS[..1] };
        origins.iter().fold(cmd, |cmd, origin| cmd.arg("--url").arg(origin))
    }

    /// Runs with verification, which must detect purges that do not reach the cache, and an origin with another version
    /// than the directory.
    fn verified(&mut self) -> Ran {
        let (is_lossy, is_late) = (self.chance.one_in(3), self.chance.one_in(4));
        if is_lossy {
            self.cdn().lost = self.chance.below(12);
        }
        if is_late {
            self.cdn().live = self.saved.clone();
        }
        // Copies in the cache must be older than the purge.
        self.cdn().now += Duration::from_secs(60);
        let command = self.command(None).args("--verify=all --verify-timeout 3 --visitor-rate 5000");
        let command = if is_late { command.arg("--expect-files") } else { command };
        let ran = command.arg("--verify-connect").arg(self.visited.at()).run();
        self.cdn().lost = 0;
        self.cdn().live = self.local.clone();
        match ran.code {
            Some(0) => self.proven += 1,
            Some(6) => {
                // On a slow machine, copies of the same second may not be distinguishable in time.
                let is_slow = |url: &Value| url["reason"] == "the copy is as old as the purge, to the second";
                let verify = &ran.report()["verify"];
                let is_told_apart = verify["survivors"] != json!([])
                    || !verify["unproven"].as_array().unwrap().iter().all(is_slow);
                assert!(is_lossy || is_late || !is_told_apart, "{ran:?}");
                self.unproven += 1;
            }
            _ => panic!("{ran:?}"),
        }
        ran
    }

    /// Makes the next deployment. Returns whether a run succeeded.
    fn deploy(&mut self) -> bool {
        self.cdn().now += Duration::from_secs(60);
        self.build();
        if self.chance.one_in(4) {
            self.has_second_origin = !self.has_second_origin;
        }
        // A job that uses `--begin` may be cancelled at any later moment.
        let has_begun = self.chance.one_in(2);
        if has_begun {
            self.command(None).arg("--begin").run().exits(0);
        }
        if has_begun && self.chance.one_in(4) {
            let keep = self.chance.below(2);
            let mut cdn = self.cdn();
            for (index, name) in NAMES.iter().enumerate() {
                if index as u64 % 2 == keep {
                    match self.local.get(name) {
                        Some(content) => drop(cdn.live.insert(name, *content)),
                        None => drop(cdn.live.remove(name)),
                    }
                }
            }
            drop(cdn);
            self.visitors();
            return false;
        }
        self.cdn().live = self.local.clone();
        self.history.push(self.local.clone());
        self.visitors();
        let bad = self.bad.base().to_owned();
        let code = match self.chance.below(if has_begun { 9 } else { 8 }) {
            0 => self.command(Some("http://127.0.0.1:9/client/v4")).run().code,
            1 | 2 => self.command(Some(&bad)).run().code,
            3 => self.command(None).without("CLOUDFLARE_API_TOKEN").run().code,
            4 | 5 => self.verified().code,
            8 => {
                let after = Duration::from_micros(self.chance.below(40_000));
                self.command(None).kill_after(after);
                None
            }
            _ => {
                let ran = self.command(None).run();
                ran.exits(0);
                ran.code
            }
        };
        if code != Some(0) {
            // Requests the purged pages again.
            self.visitors();
        } else {
            self.saved = self.local.clone();
        }
        code == Some(0)
    }
}

/// Simulates one site. Returns the number of successful runs, of runs that proved everything, and of runs that did not.
fn run(seed: u64) -> [u64; 3] {
    let mut world = Simulation::new(seed);
    let mut checked = 0;
    for deployment in 0..DEPLOYMENTS {
        if !world.deploy() {
            continue;
        }
        checked += 1;
        for url in world.urls() {
            let origin = ORIGINS.iter().find(|origin| url.starts_with(*origin)).unwrap();
            let expected = served(&world.local, &url[origin.len()..]);
            let found = world.visit(&url);
            assert_eq!(found, expected, "seed {seed}, deployment {deployment}: {url} of {:?}", world.local);
        }
    }
    [checked, world.proven, world.unproven]
}

#[test]
fn after_success_only_the_deployed_content_is_served() {
    let mut sum = [0; 3];
    std::thread::scope(|scope| {
        // The simulations mostly wait.
        let worlds: Vec<_> = (0..SEEDS).map(|seed| scope.spawn(move || run(seed))).collect();
        for world in worlds {
            let counts = world.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sum = core::array::from_fn(|number| sum[number] + counts[number]);
        }
    });
    let [checked, proven, unproven] = sum;
    assert!(proven > 10 && unproven > 3, "{proven} runs proved all, and {unproven} did not");
    assert!(checked > SEEDS * DEPLOYMENTS as u64 / 4, "only {checked} runs ended with success");
}
