//! `--after`, `--verify` and `--warm` with a purge: with the emulated edge and its faults, and with a scripted edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Api, Cmd, Dir, Started, TOKEN, ZONE, bare, cfcache};
use crate::visitors::{Edge, Page};

const SITE: &str = "https://www.example.com";

/// An emulator of API and edge, with a folder as its origin.
struct Emulator {
    started: Option<Started>,
    api: String,
    edge: String,
    site: Dir,
}

impl Emulator {
    fn start(options: &str) -> Self {
        let site = Dir::new();
        for name in ["a.css", "b.css", "c.css"] {
            site.file(name, "version 1");
        }
        site.file("index.html", "<p>version 1");
        let mut started = bare()
            .args("emulator --listen 127.0.0.1:0 --edge-listen 127.0.0.1:0")
            .args(options)
            .arg("--origin")
            .arg(site.path())
            .start();
        let after = |line: String, words: &str| line.trim().strip_prefix(words).unwrap().to_owned();
        let api = after(started.line(), "listening on ");
        let edge = after(started.line(), "edge on http://");
        Self { started: Some(started), api, edge, site }
    }

    fn cfcache(&self, line: &str) -> Cmd {
        bare()
            .args(line)
            .arg("--verify-connect")
            .arg(&self.edge)
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("CLOUDFLARE_BASE_URL", &self.api)
            .env("CLOUDFLARE_ZONE_ID", ZONE)
    }

    /// Fetches pages into the cache, and waits until they are older than the second in which they were stored.
    fn fill(&self, paths: &[&str]) {
        let urls: String = paths.iter().map(|path| format!("{SITE}{path}\n")).collect();
        self.cfcache("warm --no-rate-limit --from -").input(urls).run().exits(0);
        std::thread::sleep(core::time::Duration::from_millis(1100));
    }

    /// Returns the answer to a visitor.
    fn get(&self, path: &str) -> serde_json::Value {
        let ran = self.cfcache("probe --json").arg(format!("{SITE}{path}")).run();
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()[0].clone()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            started.kill();
        }
    }
}

/// Checks that the sum of all verdicts is the number of URLs.
#[track_caller]
fn verified(report: &serde_json::Value) -> serde_json::Value {
    let verify = report["verify"].clone();
    let count = |name: &str| verify[name].as_u64().unwrap();
    let named = |name: &str| verify[name].as_array().unwrap().len() as u64;
    let sum =
        count("proven") + count("refilled") + count("not_cached") + named("survivors") + named("unproven");
    assert_eq!(sum + verify["omitted"].as_u64().unwrap_or(0), count("probed"), "{verify}");
    verify
}

#[test]
fn proves_and_warms_an_effective_purge() {
    let emulator = Emulator::start("");
    emulator.fill(&["/a.css", "/b.css"]);
    let ran = emulator
        .cfcache("purge urls --json --verify --warm --warm-certify --visitor-rate 200")
        .arg(format!("{SITE}/a.css"))
        .arg(format!("{SITE}/b.css"))
        .arg(format!("{SITE}/index.html"))
        .run();
    ran.exits(0);
    let report = ran.report();
    let verify = verified(&report);
    assert_eq!(
        (&verify["probed"], &verify["proven"], &verify["not_cached"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!((&report["warm"]["requested"], &report["warm"]["warmed"]), (&2.into(), &2.into()), "{report}");
}

#[test]
fn repeats_purges_of_survivors_and_exits_with_6_if_some_remain() {
    let emulator = Emulator::start("--fault survive,times=2");
    emulator.fill(&["/a.css", "/b.css"]);
    let urls = [format!("{SITE}/a.css"), format!("{SITE}/b.css")];
    let ran =
        emulator.cfcache("purge urls --json --verify --verify-timeout 8").arg(&urls[0]).arg(&urls[1]).run();
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!((&verify["proven"], &verify["repurged"]), (&2.into(), &2.into()), "{verify}");

    let emulator = Emulator::start("--fault survive,every=1");
    emulator.fill(&["/a.css"]);
    let ran = emulator.cfcache("purge urls --verify --verify-timeout 2").arg(&urls[0]).run();
    ran.exits(6).tells("hint: the old copy is still served");
    assert!(ran.out.contains("verified 1 URL: 1 NOT PROVEN; 1 purged again"), "{}", ran.out);
    assert!(
        ran.out.contains("  the old copy is still served: 1 URL\n    https://www.example.com/a.css\n"),
        "{}",
        ran.out
    );
}

#[test]
fn waits_for_a_slow_purge() {
    let emulator = Emulator::start("--purge-delay 1.5");
    emulator.fill(&["/a.css"]);
    let ran = emulator.cfcache("purge urls --json --verify").arg(format!("{SITE}/a.css")).run();
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!((&verify["proven"], &verify["repurged"]), (&1.into(), &0.into()), "{verify}");
}

#[test]
fn verifies_other_kinds_with_given_urls() {
    let emulator = Emulator::start("");
    emulator.fill(&["/a.css", "/b.css"]);
    let list = emulator.site.file("urls.txt", format!("# shown on\n{SITE}/a.css\n{SITE}/b.css\n"));
    let ran = emulator
        .cfcache("purge hosts --json www.example.com --visitor-rate 200")
        .arg("--verify-from")
        .arg(&list)
        .run();
    ran.exits(0);
    assert_eq!(verified(&ran.report())["proven"], 2);
    emulator.fill(&["/a.css"]);
    let ran =
        emulator.cfcache("purge everything -y --json").arg("--verify-url").arg(format!("{SITE}/a.css")).run();
    ran.exits(0);
    assert_eq!(verified(&ran.report())["proven"], 1);
    for line in ["purge tags x --verify", "purge everything -y --warm"] {
        emulator.cfcache(line).run().exits(2).tells("--verify-url URL");
    }
}

#[test]
fn verifies_invalidations() {
    let emulator = Emulator::start("");
    emulator.fill(&["/a.css"]);
    let ran = emulator.cfcache("invalidate urls --json --verify").arg(format!("{SITE}/a.css")).run();
    ran.exits(0);
    assert_eq!(verified(&ran.report())["proven"], 1);
}

#[test]
fn the_gate_prevents_caching_the_old_version_again() {
    let url = format!("{SITE}/a.css");
    let emulator = Emulator::start("");
    emulator.fill(&["/a.css"]);
    // Without the gate: the purge happens while the origin still has the old version, which is immediately cached
    // again.
    emulator.cfcache("purge urls --warm").arg(&url).run().exits(0);
    emulator.site.file("a.css", "version 2, at last");
    let pinned = emulator.get("/a.css");
    assert_eq!((&pinned["cache_status"], &pinned["bytes"]), (&"HIT".into(), &9.into()), "{pinned}");

    emulator.site.file("a.css", "version 1");
    emulator.cfcache("purge urls --verify").arg(&url).run().exits(0);
    emulator.fill(&["/a.css"]);
    let file = emulator.site.at("a.css");
    let origin = std::thread::spawn(move || {
        std::thread::sleep(core::time::Duration::from_millis(1500));
        std::fs::write(file, "version 2, at last").unwrap();
    });
    let ran = emulator
        .cfcache("purge urls --json --verify --warm")
        .arg("--after")
        .arg(format!("{url} contains version 2"))
        .arg(&url)
        .run();
    origin.join().unwrap();
    ran.exits(0);
    assert_eq!(verified(&ran.report())["proven"], 1);
    let new = emulator.get("/a.css");
    assert_eq!((&new["cache_status"], &new["bytes"]), (&"HIT".into(), &18.into()), "{new}");
}

#[test]
fn purges_nothing_if_the_origin_is_not_ready() {
    let api = Api::quick();
    let origin = Edge::with_pages(&[("/v", Page::new("").body("version 1"))]);
    let after = |condition: &str| format!("http://{}/v {condition}", origin.at());
    let ran = cfcache(&api)
        .args("purge urls https://example.com/a --after-timeout 1 --after-no-bust --json")
        .arg("--after")
        .arg(after("contains version 2"))
        .run();
    ran.exits(7)
        .says_nothing()
        .tells("nothing was purged")
        .tells("the text is not in the 9 bytes of the body");
    assert_eq!(api.items(), Vec::<String>::new());
    let ran =
        cfcache(&api).args("purge urls https://example.com/a").arg("--after").arg(after("has it")).run();
    ran.exits(2).tells("`has` must be");
    assert_eq!(api.items(), Vec::<String>::new());
    cfcache(&api)
        .args("purge urls https://example.com/a --after-no-bust --after")
        .arg(after("contains version 1"))
        .run()
        .exits(0);
    assert_eq!(api.items(), ["https://example.com/a"]);
}

#[test]
fn reports_obstacles_with_a_cure() {
    let api = Api::quick();
    let edge = Edge::with_pages(&[
        ("/challenge", Page::new("").status("403 Forbidden").header("CF-Mitigated: challenge")),
        (
            "/login",
            Page::new("")
                .status("302 Found")
                .header("Location: https://team.cloudflareaccess.com/cdn-cgi/access/login"),
        ),
        ("/moved", Page::new("MISS").status("301 Moved Permanently").header("Location: /new")),
        ("/fine", Page::new("MISS")),
    ]);
    let urls: String = ["/challenge", "/login", "/moved", "/fine"]
        .iter()
        .map(|path| format!("https://example.com{path}\n"))
        .collect();
    let run = |line: &str| {
        cfcache(&api).args(line).arg("--verify-connect").arg(edge.at()).input(urls.clone()).run()
    };
    let ran = run("purge urls --from - --verify --visitor-rate 200");
    ran.exits(6)
        .tells("service token of Cloudflare Access")
        .tells("https://example.com/moved redirects to /new: the redirect was purged, but not its target");
    assert!(ran.out.contains("verified 4 URLs: 2 proven, 2 NOT PROVEN; seen from FRA only"), "{}", ran.out);
    let verify = verified(&run("purge urls --from - --verify --json --visitor-rate 200").report());
    assert_eq!(verify["unproven"].as_array().unwrap().len(), 2);
}

#[test]
fn warns_that_uncached_pages_prove_nothing() {
    let api = Api::quick();
    let edge = Edge::with_pages(&[("/a", Page::new("DYNAMIC")), ("/b", Page::new("BYPASS"))]);
    let ran = cfcache(&api)
        .args("purge urls https://example.com/a https://example.com/b --verify --visitor-rate 200")
        .arg("--verify-connect")
        .arg(edge.at())
        .run();
    ran.exits(0).tells("none of these URLs is cached");
}

#[test]
fn detects_a_purge_on_the_wrong_zone() {
    // The API accepts the purge, but the visited cache belongs to another zone.
    let api = Api::quick();
    let edge = Edge::start(|_, _| Page::new("HIT").header("Age: 86400"));
    let ran = cfcache(&api)
        .args("purge urls https://example.com/a --json --verify --verify-timeout 1 --verify-connect")
        .arg(edge.at())
        .run();
    ran.exits(6);
    let verify = verified(&ran.report());
    assert_eq!(verify["survivors"][0]["reason"], "the old copy is still served (HIT, 86400 s old)");
    assert_eq!((&ran.report()["accepted"], &verify["repurged"]), (&1.into(), &1.into()));
}

#[test]
fn warns_about_hosts_that_are_not_behind_cloudflare() {
    let api = Api::quick();
    let mut page = Page::new("");
    page.headers.clear();
    let edge = Edge::with_pages(&[("/a", page)]);
    let ran =
        cfcache(&api).args("purge urls https://example.com/a --verify --verify-connect").arg(edge.at()).run();
    ran.exits(0).tells("none of these URLs is cached");
    assert!(ran.out.contains("verified 1 URL: 1 not cached"), "{}", ran.out);
    let ran = cfcache(&api)
        .args("purge urls https://example.com/a --json --verify --verify-connect")
        .arg(edge.at())
        .run();
    ran.exits(0).tells("none of these URLs is cached");
    assert_eq!(verified(&ran.report())["not_cached"], 1);
}

#[test]
fn lists_entries_that_would_purge_other_copies_of_a_survivor() {
    let api = Api::quick();
    // Files that a script of the site fetched are separate copies.
    let edge = Edge::start(|_, head| {
        let is_of_script = head.contains("\r\norigin: https://www.example.com\r\n");
        Page::new("HIT").header(if is_of_script { "Age: 9000" } else { "Age: 600" })
    });
    let ran = cfcache(&api)
        .args("purge urls --json --verify --verify-timeout 1 --visitor-rate 200 --verify-connect")
        .arg(edge.at())
        .arg(format!("{SITE}/a.css"))
        .run();
    ran.exits(6);
    let verify = verified(&ran.report());
    assert_eq!(
        verify["survivors"][0]["purge_with"],
        serde_json::json!([{ "url": format!("{SITE}/a.css"), "headers": { "Origin": SITE } }]),
        "{verify}"
    );
}

#[test]
fn repeats_the_purge_if_the_expected_body_is_missing() {
    let api = Api::quick();
    let dir = Dir::new();
    let edge = Edge::with_pages(&[("/a", Page::new("MISS").body("foo"))]);
    let foo = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    let run = |expected: &std::path::Path| {
        cfcache(&api)
            .args("purge urls https://example.com/a --json --verify --verify-timeout 1 --expect")
            .arg(expected)
            .arg("--verify-connect")
            .arg(edge.at())
            .run()
    };
    run(&dir.file("body", "foo")).exits(0);
    run(&dir.file("list", format!("{foo}  https://example.com/a\n"))).exits(0);
    let ran = run(&dir.file("other", "bar"));
    ran.exits(6);
    let verify = verified(&ran.report());
    assert_eq!(verify["unproven"][0]["reason"], "the body is not the expected one");
    assert_eq!(verify["repurged"], 1);
}

#[test]
fn reports_the_size_of_a_sample() {
    let api = Api::quick();
    let edge = Edge::start(|_, _| Page::new("MISS"));
    let urls: String = (0..50).map(|number| format!("https://example.com/{number}\n")).collect();
    let ran = cfcache(&api)
        .args("purge urls --from - --verify=5 --json --visitor-rate 500")
        .arg("--verify-connect")
        .arg(edge.at())
        .input(urls)
        .run();
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!((&verify["probed"], &verify["sample_of"]), (&5.into(), &50.into()));
    assert_eq!(edge.heads().len(), 5);
}

#[test]
fn a_dry_run_lists_the_visits_without_sending_them() {
    let api = Api::quick();
    let edge = Edge::start(|_, _| Page::new("MISS"));
    let ran = cfcache(&api)
        .args("purge urls https://example.com/a --dry-run --verify --warm --verify-connect")
        .arg(edge.at())
        .arg("--after")
        .arg(format!("http://{}/v status 200", edge.at()))
        .run();
    ran.exits(0).tells("would wait until").tells("would verify at most 100").tells("would fetch");
    assert!(edge.heads().is_empty());
}

#[cfg(unix)]
#[test]
fn an_interrupted_verification_has_a_verdict_for_each_url() {
    let api = Api::quick();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let edge = Edge::start(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Page::new("HIT").header("Age: 86400")
    });
    let started = cfcache(&api)
        .args("purge urls https://example.com/a https://example.com/b --verify --json --verify-connect")
        .arg(edge.at())
        .start();
    crate::support::wait_until(|| asked.load(Ordering::SeqCst) >= 2);
    started.signal("INT");
    let ran = started.finish();
    ran.exits(130);
    let report = ran.report();
    assert_eq!(report["accepted"], 2);
    assert_eq!(verified(&report)["probed"], 2);
}

/// An edge that never answers for some pages.
fn silent_edge(page: Page, is_silent: impl Fn(&str) -> bool + Send + Sync + 'static) -> Edge {
    Edge::start(move |path, _| {
        if is_silent(path) {
            std::thread::sleep(core::time::Duration::from_secs(600));
        }
        page.clone()
    })
}

#[cfg(unix)]
#[test]
fn sends_nothing_if_the_wait_for_the_origin_is_interrupted() {
    let api = Api::quick();
    let edge = Edge::start(|_, _| Page::new("").body("version 1"));
    let started = cfcache(&api)
        .args("purge urls https://example.com/a --json --after")
        .arg(format!("http://{}/v contains version 2", edge.at()))
        .start();
    crate::support::wait_until(|| !edge.heads().is_empty());
    started.signal("INT");
    started.finish().exits(130).says_nothing().tells("interrupted; nothing was sent");
    assert_eq!(api.items(), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn sends_nothing_if_the_probe_before_the_purge_is_interrupted() {
    let api = Api::quick();
    let edge = silent_edge(Page::new("HIT"), |_| true);
    let started = cfcache(&api)
        .args("purge urls https://example.com/a --json --verify=transition --verify-connect")
        .arg(edge.at())
        .start();
    crate::support::wait_until(|| edge.asked() > 0);
    started.signal("INT");
    started.finish().exits(130).says_nothing().tells("interrupted; nothing was sent");
    assert_eq!(api.items(), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn reports_accepted_urls_of_an_interrupted_purge_as_not_verified() {
    let api = Api::with_fault("delay=2s,at=2");
    let started = cfcache(&api)
        .args("purge urls https://example.com/a https://example.com/b https://example.com/c --json")
        .args("--batch-size 1 --concurrency 1 --verify --verify-connect 127.0.0.1:9")
        .start();
    crate::support::wait_until(|| api.requests() >= 2);
    started.signal("INT");
    let ran = started.finish();
    ran.exits(130).tells("what was accepted was neither verified nor fetched");
    let report = ran.report();
    assert_eq!((&report["accepted"], &report["verify"]), (&2.into(), &serde_json::Value::Null), "{report}");
}

#[cfg(unix)]
#[test]
fn interrupted_warming_counts_every_request() {
    let api = Api::quick();
    let edge = silent_edge(Page::new("MISS"), |path| path == "/b");
    let started = cfcache(&api)
        .args("purge urls https://example.com/a https://example.com/b https://example.com/c --json")
        .args("--warm --warm-as mobile --visitor-rate 500 --verify-connect")
        .arg(edge.at())
        .start();
    // Two at a time: when both are for `/b`, nothing continues.
    crate::support::wait_until(|| edge.asked() >= 4);
    started.signal("INT");
    let ran = started.finish();
    ran.exits(130);
    let report = ran.report();
    let warm = |name: &str| report["warm"][name].as_u64().unwrap();
    assert_eq!((report["accepted"].as_u64(), warm("requested"), warm("warmed")), (Some(3), 6, 2), "{report}");
    assert_eq!(warm("warmed") + warm("uncertified") + warm("skipped") + warm("failed"), 6, "{report}");
}

#[test]
fn a_killed_run_continues_with_its_journal_and_verifies_everything() {
    let emulator = Emulator::start("--purge-delay 2");
    emulator.fill(&["/a.css", "/b.css", "/c.css"]);
    let list = emulator.site.file("urls.txt", format!("{SITE}/a.css\n{SITE}/b.css\n{SITE}/c.css\n"));
    let journal = emulator.site.at("journal");
    let command = || {
        let command = emulator.cfcache("purge urls --json --batch-size 1 --verify --warm --visitor-rate 200");
        command.arg("--journal").arg(&journal).arg("--from").arg(&list)
    };
    let accepted = || {
        let journal = std::fs::read_to_string(&journal).unwrap_or_default();
        journal.lines().filter(|line| line.starts_with("{\"accepted\"")).count()
    };
    // While it waits for the effect of the purge.
    let started = command().start();
    crate::support::wait_until(|| accepted() == 3);
    started.kill();
    let ran = command().run();
    ran.exits(0);
    let report = ran.report();
    assert_eq!(
        (&report["skipped"], &report["accepted"], &report["requests"]),
        (&3.into(), &0.into(), &0.into())
    );
    assert_eq!(verified(&report)["proven"], 3);
    assert_eq!(report["warm"]["warmed"], 3);
    for path in ["/a.css", "/b.css", "/c.css"] {
        assert_eq!(emulator.get(path)["cache_status"], "HIT", "{path}");
    }
}

#[test]
fn urls_verified_before_a_kill_are_not_requested_again() {
    const URLS: usize = 200;
    let api = Api::quick();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let edge = Edge::start(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Page::new("MISS")
    });
    let dir = Dir::new();
    let urls: String = (0..URLS).map(|number| format!("https://example.com/{number}\n")).collect();
    let list = dir.file("urls.txt", urls);
    let command = |rate: &str| {
        let command = cfcache(&api).args("purge urls --verify=all --visitor-rate").arg(rate);
        let command = command.arg("--verify-connect").arg(edge.at());
        command.arg("--journal").arg(dir.at("journal")).arg("--from").arg(&list)
    };
    let started = command("40").arg("--json").start();
    crate::support::wait_until(|| {
        std::fs::read_to_string(dir.at("journal")).unwrap_or_default().contains("\"verified\"")
    });
    started.kill();
    let before = asked.load(Ordering::SeqCst);
    assert!(before < URLS as u64, "it was killed in the middle");
    let ran = command("1000").arg("--json").run();
    ran.exits(0);
    let report = ran.report();
    assert_eq!((&report["skipped"], &report["requests"]), (&URLS.into(), &0.into()));
    let verify = verified(&report);
    let skipped = verify["skipped"].as_u64().unwrap();
    assert!(skipped >= 50 && skipped <= before, "{verify}");
    assert_eq!(verify["proven"].as_u64().unwrap() + skipped, URLS as u64);
    assert_eq!(verify["sample_of"], serde_json::Value::Null);
    assert_eq!(asked.load(Ordering::SeqCst) - before, URLS as u64 - skipped);

    // Everything is verified now.
    let verify = verified(&command("1000").arg("--json").run().report());
    assert_eq!((&verify["probed"], &verify["skipped"]), (&0.into(), &URLS.into()));
    let ran = command("1000").run();
    assert!(ran.out.contains("verified 0 URLs; 200 verified before"), "{}", ran.out);
}

#[test]
fn refuses_options_without_effect() {
    let api = Api::quick();
    for line in [
        "--after-timeout 3",
        "--after-no-bust",
        "--verify-timeout 3",
        "--warm-certify",
        "--warm-as mobile",
        "--verify-connect 127.0.0.1:1",
        "--verify=0",
        "--verify=some",
        "--verify --verify-url nowhere",
    ] {
        cfcache(&api).args("purge urls https://example.com/a").args(line).run().exits(2);
    }
    bare().args("settings --verify").run().exits(2).tells("`--verify` is only for");
    assert_eq!(api.requests(), 0);
}

/// A site that is deployed to the origin of an emulator, with a state.
struct Deployed {
    emulator: Emulator,
    dir: Dir,
}

impl Deployed {
    /// Starts with the files of the origin recorded and cached.
    fn start(options: &str) -> Self {
        let deployed = Self { emulator: Emulator::start(options), dir: Dir::new() };
        for name in ["a.css", "b.css", "c.css"] {
            deployed.write(name, "version 1");
        }
        deployed.write("index.html", "<p>version 1");
        deployed.run("--first nothing").exits(0);
        deployed.emulator.fill(&["/a.css", "/b.css", "/c.css"]);
        deployed
    }

    /// Writes to the directory that will be deployed.
    fn write(&self, name: &str, content: &str) {
        std::fs::create_dir_all(self.dir.at("public")).unwrap();
        std::fs::write(self.dir.at("public").join(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.at("public").join(name)).unwrap();
    }

    /// Uploads the directory to the origin.
    fn upload(&self) {
        for name in ["a.css", "b.css", "c.css", "d.css", "index.html"] {
            match std::fs::read(self.dir.at("public").join(name)) {
                Ok(content) => drop(self.emulator.site.file(name, content)),
                Err(_) => drop(std::fs::remove_file(self.emulator.site.at(name))),
            }
        }
    }

    fn cmd(&self, line: &str) -> Cmd {
        self.emulator
            .cfcache("purge changed --url https://www.example.com --json --visitor-rate 200")
            .arg("--state")
            .arg(self.dir.at("state"))
            .arg(self.dir.at("public"))
            .args(line)
    }

    fn run(&self, line: &str) -> crate::support::Ran {
        if line.contains("--verify") || line.contains("--warm") {
            self.cmd(line).run()
        } else {
            bare()
                .args("purge changed --url https://www.example.com --json --state")
                .arg(self.dir.at("state"))
                .arg(self.dir.at("public"))
                .args(line)
                .env("CLOUDFLARE_API_TOKEN", TOKEN)
                .env("CLOUDFLARE_BASE_URL", &self.emulator.api)
                .env("CLOUDFLARE_ZONE_ID", ZONE)
                .run()
        }
    }

    fn pending(&self) -> usize {
        let state = std::fs::read_to_string(self.dir.at("state")).unwrap();
        state.lines().filter(|line| line.contains("\"pending\":\"")).count()
    }
}

#[test]
fn verifies_changes_of_a_deployment_and_warms_existing_files() {
    let site = Deployed::start("");
    site.write("a.css", "version 2");
    site.write("d.css", "new");
    site.remove("b.css");
    site.upload();
    let ran = site.run("--verify --expect-files --warm");
    ran.exits(0);
    let report = ran.report();
    let verify = verified(&report);
    assert_eq!((&verify["probed"], &verify["proven"]), (&3.into(), &3.into()), "{verify}");
    // The deleted file is not fetched.
    assert_eq!((&report["warm"]["requested"], &report["warm"]["warmed"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(report["state"], "saved");
    assert_eq!(site.emulator.get("/b.css")["status"], 404);
    assert_eq!(site.emulator.get("/a.css")["cache_status"], "HIT");
    let ran = site.run("--verify --warm");
    ran.exits(0).tells("nothing was purged, so there is nothing to verify or to fetch");
    assert_eq!(ran.report()["verify"], serde_json::Value::Null);
}

#[test]
fn verifies_an_invalidated_deployment_and_purges_deleted_files() {
    let site = Deployed::start("");
    site.write("a.css", "version 2");
    site.remove("b.css");
    site.upload();
    let ran = site
        .emulator
        .cfcache("invalidate changed --url https://www.example.com --json --visitor-rate 200 --verify")
        .args("--expect-files --state")
        .arg(site.dir.at("state"))
        .arg(site.dir.at("public"))
        .run();
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!((&verify["probed"], &verify["proven"]), (&2.into(), &2.into()), "{verify}");
    assert_eq!(site.emulator.get("/b.css")["status"], 404);
    assert_eq!(site.emulator.get("/a.css")["bytes"], "version 2".len());
}

#[test]
fn the_next_run_purges_and_verifies_unproven_files() {
    // The purge and both of its repetitions.
    let site = Deployed::start("--fault survive,times=3");
    site.write("a.css", "version 2");
    site.upload();
    let ran = site.run("--verify --verify-timeout 2");
    ran.exits(6).tells("the state records 1 URL that is not proven");
    assert_eq!((&ran.report()["state"], &ran.report()["accepted"]), (&"pending".into(), &1.into()));
    assert_eq!(site.pending(), 1);
    let ran = site.run("--verify");
    ran.exits(0);
    let report = ran.report();
    assert_eq!((&report["changed"]["changed"], &report["items"]), (&0.into(), &1.into()), "{report}");
    assert_eq!((verified(&report)["proven"].clone(), &report["state"]), (1.into(), &"saved".into()));
    assert_eq!(site.pending(), 0);
}

#[test]
fn a_late_origin_leaves_the_deployment_to_the_next_run() {
    let site = Deployed::start("");
    site.write("a.css", "version 2");
    site.write("c.css", "version 2");
    site.write("d.css", "new");
    site.remove("b.css");
    // Only one of the files is at the origin in time.
    site.emulator.site.file("c.css", "version 2");
    let ran = site.run("--verify --verify-timeout 1 --expect-files");
    ran.exits(6).tells("the next run purges it");
    let report = ran.report();
    let verify = verified(&report);
    assert_eq!(verify["proven"], 1, "{verify}");
    let mut reasons: Vec<_> =
        verify["unproven"].as_array().unwrap().iter().map(|url| url["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "no URL of the file is answered with its bytes",
            "the body is not the expected one",
            "the file was deleted, but the origin still serves it",
        ]
    );
    assert_eq!((&report["accepted"], &report["state"]), (&4.into(), &"pending".into()));
    assert_eq!(site.pending(), 4);
    site.upload();
    let ran = site.run("--verify --expect-files");
    ran.exits(0);
    assert_eq!((&ran.report()["items"], &ran.report()["state"]), (&4.into(), &"saved".into()));
    assert_eq!(verified(&ran.report())["proven"], 4);
}

#[test]
fn a_deployment_waits_for_the_origin_and_is_repeated_if_not_ready() {
    let site = Deployed::start("");
    site.write("a.css", "version 2");
    let after = |run: &str| {
        let gate = format!("{SITE}/a.css contains version 2");
        site.cmd(run).arg("--after").arg(gate).run()
    };
    let ran = after("--after-timeout 1");
    ran.exits(7).tells("nothing was purged").tells("the state records what has to be purged");
    assert_eq!(site.pending(), 1);
    site.upload();
    let ran = after("--verify");
    ran.exits(0);
    assert_eq!((verified(&ran.report())["proven"].clone(), site.pending()), (1.into(), 0));
}

#[test]
fn verifies_files_purged_by_host_with_their_urls() {
    let site = Deployed::start("");
    std::fs::remove_file(site.dir.at("state")).unwrap();
    let ran = site.run("--verify=all");
    ran.exits(0).tells("purging the hosts of the site");
    let report = ran.report();
    let verify = verified(&report);
    // Three style sheets, and two forms of the page, which are not cached.
    assert_eq!(
        (&verify["probed"], &verify["proven"], &verify["not_cached"]),
        (&5.into(), &3.into(), &2.into()),
        "{verify}"
    );
}

#[test]
fn verifies_files_purged_by_folder_with_their_urls() {
    let site = Deployed::start("");
    let folder = site.dir.at("public").join("d");
    let write = |version: &str| {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(site.emulator.site.at("d")).unwrap();
        for number in 0..40 {
            let name = format!("{number}.css");
            std::fs::write(folder.join(&name), version).unwrap();
            std::fs::write(site.emulator.site.at("d").join(&name), version).unwrap();
        }
    };
    write("version 1");
    std::fs::remove_file(site.dir.at("state")).unwrap();
    site.run("--first nothing").exits(0);
    site.emulator.fill(&["/d/0.css", "/d/39.css"]);
    write("version 2");
    std::fs::remove_file(folder.join("39.css")).unwrap();
    std::fs::remove_file(site.emulator.site.at("d").join("39.css")).unwrap();
    let ran = site.run("--within 0.01 --verify=all --expect-files --warm");
    ran.exits(0);
    let report = ran.report();
    assert_eq!((&report["fallback"]["to"], &report["kind"]), (&"prefix".into(), &"prefixes".into()));
    let verify = verified(&report);
    assert_eq!((&verify["probed"], &verify["proven"]), (&40.into(), &40.into()), "{verify}");
    assert_eq!(report["warm"]["requested"], 39, "what was deleted is not fetched: {report}");
}

#[test]
fn verifies_a_deployment_on_two_hosts_without_a_zone() {
    const OTHER: &str = "https://other.example.com";
    let site = Deployed::start("--fault survive,times=1");
    let config = site.dir.file("config.toml", format!("[zones]\n'example.com' = '{ZONE}'\n"));
    let cmd = |line: &str| {
        let cmd = site.cmd(line).arg("--url").arg(OTHER);
        cmd.without("CLOUDFLARE_ZONE_ID").env("CFCACHE_CONFIG", &config)
    };
    let fill = |path: &str| {
        let cmd = site.emulator.cfcache("warm --no-rate-limit");
        cmd.arg(format!("{SITE}{path}")).arg(format!("{OTHER}{path}")).run().exits(0);
        std::thread::sleep(core::time::Duration::from_millis(1100));
    };
    // Served under another host than before: the hosts are purged, and each shows all files. One of the two purges does
    // not reach the cache, and is repeated by URL on the zone of the host.
    fill("/a.css");
    let ran = cmd("--verify=all --verify-timeout 8").run();
    ran.exits(0).tells("the URLs of the site have changed");
    let verify = verified(&ran.report());
    assert_eq!(
        (&verify["probed"], &verify["proven"], &verify["not_cached"]),
        (&10.into(), &6.into(), &4.into()),
        "{verify}"
    );
    assert!(verify["repurged"].as_u64().unwrap() > 0, "{verify}");

    fill("/a.css");
    site.write("a.css", "version 2");
    site.upload();
    let after = |run: &str| cmd(run).arg("--after").arg(format!("{SITE}/a.css contains version 2")).run();
    let ran = after("--verify --expect-files --warm");
    ran.exits(0);
    let report = ran.report();
    let verify = verified(&report);
    assert_eq!((&report["accepted"], &report["state"]), (&2.into(), &"saved".into()), "{report}");
    assert_eq!((&verify["probed"], &verify["proven"]), (&2.into(), &2.into()), "{verify}");
    assert_eq!(report["warm"]["warmed"], 2, "{report}");
}

#[test]
fn a_run_killed_during_verification_is_repeated_by_the_next() {
    let site = Deployed::start("--fault survive,times=1");
    site.write("a.css", "version 2");
    site.upload();
    let started = site.cmd("--verify --verbose").start();
    // The copy survives, so the verification takes several seconds.
    std::thread::sleep(core::time::Duration::from_millis(1500));
    started.kill();
    assert_eq!(site.pending(), 1);
    let ran = site.run("--verify");
    ran.exits(0);
    let report = ran.report();
    assert_eq!((&report["items"], verified(&report)["proven"].clone()), (&1.into(), 1.into()));
    assert_eq!(site.pending(), 0);
}

#[test]
fn a_transition_requires_a_cached_copy_before_the_purge() {
    let emulator = Emulator::start("");
    emulator.fill(&["/a.css"]);
    let list = emulator.site.file("urls.txt", format!("{SITE}/a.css\n{SITE}/b.css\n{SITE}/index.html\n"));
    let run = |line: &str| emulator.cfcache(line).arg("--from").arg(&list).run();
    let ran = run("purge urls --verify=transition --visitor-rate 200 --json");
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!(
        (&verify["probed"], &verify["proven"], &verify["not_cached"]),
        (&3.into(), &1.into(), &2.into()),
        "{verify}"
    );
    let ran = emulator
        .cfcache("purge hosts www.example.com --verify=transition --json")
        .arg("--verify-url")
        .arg(format!("{SITE}/a.css"))
        .run();
    ran.exits(0);
    assert_eq!(verified(&ran.report())["proven"], 1);
    emulator
        .cfcache("purge urls --verify=transition --from -")
        .input(format!("{SITE}/a.css\n"))
        .run()
        .exits(2)
        .tells("can be read only once");
}

#[test]
fn proves_a_transition_of_a_deployment() {
    let site = Deployed::start("");
    site.write("a.css", "version 2");
    site.write("d.css", "new");
    site.upload();
    let ran = site.run("--verify=transition");
    ran.exits(0);
    let verify = verified(&ran.report());
    assert_eq!((&verify["proven"], &verify["not_cached"]), (&1.into(), &1.into()), "{verify}");
}

#[test]
fn refuses_options_without_effect_for_a_deployment() {
    let site = Deployed::start("");
    site.run("--begin --verify").exits(2).tells("`--begin` only records");
    site.run("--expect-files").exits(2).tells("`--expect-files` needs `--verify`");
    let manifest = site.dir.file("md5", "d41d8cd98f00b204e9800998ecf8427e  a.css\n");
    bare()
        .args("purge changed --url https://www.example.com --verify --expect-files --state")
        .arg(site.dir.at("other"))
        .arg("--manifest")
        .arg(manifest)
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .env("CLOUDFLARE_ZONE_ID", ZONE)
        .run()
        .exits(2)
        .tells("needs SHA-256 hashes");
}
