//! `purge changed` and `invalidate changed`: purging the changes of a deployment.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Api, Cmd, Dir, Ran, bare, cfcache};

/// A deployed folder, an API, and a state.
struct Site {
    api: Api,
    dir: Dir,
}

impl Site {
    fn new() -> Self {
        Self::at(Api::quick())
    }

    fn at(api: Api) -> Self {
        let site = Self { api, dir: Dir::new() };
        site.write("index.html", "home");
        site.write("blog/index.html", "blog");
        site.write("about.html", "about");
        site.write("style.css", "style");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.at("public").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn command(&self, verb: &str, args: &str) -> Cmd {
        let state = if args.contains("--state") { "" } else { "--state state" };
        cfcache(&self.api)
            .current_dir(&self.dir.at(""))
            .args(&format!("{verb} changed --url https://www.example.com {state} --json"))
            .args(args)
    }

    fn purge(&self, args: &str) -> Ran {
        self.command("purge", args).run()
    }

    /// Records the current state without a request.
    fn recorded(self) -> Self {
        let ran = self.purge("public --first nothing");
        ran.exits(0);
        assert_eq!(ran.report()["state"], "saved");
        assert_eq!(self.api.requests(), 0);
        self
    }

    fn state(&self) -> String {
        fs::read_to_string(self.dir.at("state")).unwrap()
    }

    /// Returns the targets that were purged since the last call, sorted.
    fn purged(&self, seen: &mut usize) -> Vec<String> {
        let all = self.api.items();
        let mut new = all[*seen..].to_vec();
        *seen = all.len();
        new.sort();
        new
    }
}

fn urls(paths: &[&str]) -> Vec<String> {
    let mut urls: Vec<String> = paths.iter().map(|path| format!("https://www.example.com{path}")).collect();
    urls.sort();
    urls
}

#[test]
fn the_first_run_purges_the_host_and_the_second_nothing() {
    let site = Site::new();
    let ran = site.purge("public");
    ran.exits(0).tells("there is no state yet; purging the hosts of the site");
    let report = ran.report();
    assert_eq!(report["fallback"], json!({ "to": "host", "why": "there is no state yet" }));
    assert_eq!(report["changed"], json!({ "added": 4, "changed": 0, "deleted": 0, "unchanged": 0 }));
    assert_eq!((&report["kind"], &report["state"]), (&json!("hosts"), &json!("saved")));
    assert_eq!(site.api.items(), ["www.example.com"]);

    let requests = site.api.requests();
    let report = site.purge("public").report();
    assert_eq!(report["items"], 0);
    assert_eq!(report["fallback"], Value::Null);
    assert_eq!(report["changed"], json!({ "added": 0, "changed": 0, "deleted": 0, "unchanged": 4 }));
    assert_eq!(report["state"], "saved");
    assert_eq!(site.api.requests(), requests, "nothing changed, so nothing is asked");
}

#[test]
fn purges_all_urls_of_added_changed_and_deleted_files() {
    let site = Site::new().recorded();
    site.write("new/index.html", "new");
    site.write("index.html", "home 2");
    site.write("ü b.html", "odd");
    site.remove("style.css");
    let ran = site.purge("public --explain");
    ran.exits(0)
        .tells("A new/index.html -> 3 URLs")
        .tells("M index.html -> 2 URLs")
        .tells("D style.css -> 1 URL");
    let report = ran.report();
    assert_eq!(report["changed"], json!({ "added": 2, "changed": 1, "deleted": 1, "unchanged": 2 }));
    assert_eq!(report["accepted"], 8);
    let expected = urls(&[
        "/",
        "/index.html",
        "/new/",
        "/new/index.html",
        "/new",
        "/%C3%BC%20b.html",
        "/%C3%BC%20b",
        "/style.css",
    ]);
    assert_eq!(site.purged(&mut 0), expected);
}

#[test]
fn repeats_a_failed_purge_after_a_revert() {
    let site = Site::at(Api::with_fault("status=403,every=1,times=2")).recorded();
    site.write("index.html", "home 2");
    let ran = site.purge("public");
    ran.exits(3).tells("the next run purges it");
    assert_eq!(ran.report()["state"], "pending");
    // The original content is restored, so nothing differs from the state's files.
    site.write("index.html", "home");
    let ran = site.purge("public");
    let report = ran.report();
    assert_eq!(report["changed"]["changed"], 0);
    if ran.code != Some(0) {
        site.purge("public").exits(0);
    }
    assert_eq!(site.purged(&mut 0), urls(&["/", "/index.html"]));
    assert!(site.state().starts_with("{\"cfcache-state\":1,") && !site.state().contains("{\"pending\":\""));
}

/// An accepted URL may be cached again before the original files are restored.
#[test]
fn accepted_targets_of_a_failed_run_stay_pending() {
    let site = Site::new().recorded();
    for name in ["1.css", "2.css", "3.css", "4.css"] {
        site.write(name, "new");
    }
    let bad = Api::with_fault("status=400,every=2");
    let ran = site.command("purge", "public --batch-size 1").env("CLOUDFLARE_BASE_URL", bad.base()).run();
    ran.exits(1);
    let report = ran.report();
    assert!(report["accepted"].as_u64().unwrap() > 0 && report["failed"].as_u64().unwrap() > 0, "{report}");
    for name in ["1.css", "2.css", "3.css", "4.css"] {
        site.remove(name);
    }
    site.purge("public").exits(0);
    assert_eq!(site.purged(&mut 0), urls(&["/1.css", "/2.css", "/3.css", "/4.css"]));
}

#[test]
fn writes_pending_targets_first() {
    let site = Site::new().recorded();
    site.write("index.html", "home 2");
    let without_token = |ran: Cmd| ran.without("CLOUDFLARE_API_TOKEN").run();
    without_token(site.command("purge", "public")).exits(3).says_nothing();
    assert!(site.state().contains("{\"pending\":\"https://www.example.com/\"}"), "{}", site.state());
    site.write("index.html", "home");
    let report = site.purge("public").report();
    assert_eq!((&report["items"], &report["state"]), (&json!(2), &json!("saved")));
}

#[test]
fn begin_only_records_the_targets() {
    let site = Site::new().recorded();
    site.write("index.html", "home 2");
    let ran = site.command("purge", "public --begin").without("CLOUDFLARE_API_TOKEN").run();
    ran.exits(0);
    assert_eq!((&ran.report()["state"], &ran.report()["items"]), (&json!("pending"), &json!(0)));
    assert_eq!(site.api.requests(), 0);
    // The upload was cancelled, and the files are still the old ones.
    site.write("index.html", "home");
    assert_eq!(site.purge("public").report()["accepted"], 2);
    assert_eq!(site.purged(&mut 0), urls(&["/", "/index.html"]));
    assert_eq!(site.purge("public --begin").report()["state"], "kept");
}

#[test]
fn a_dry_run_writes_nothing_and_needs_no_credentials() {
    let site = Site::new().recorded();
    let before = site.state();
    site.write("about.html", "about 2");
    let ran = site.command("purge", "public --dry-run").without("CLOUDFLARE_API_TOKEN").run();
    ran.exits(0).tells("would send 2 URLs in 1 request");
    let request: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        request["body"],
        json!({ "files": urls(&["/about.html", "/about"]).into_iter().rev().collect::<Vec<_>>() })
    );
    assert_eq!(site.state(), before);
    assert_eq!(site.api.requests(), 0);
    let fresh = site.command("purge", "public --dry-run --state fresh/state").run();
    fresh.exits(0);
    assert!(!site.dir.at("fresh").exists(), "not even a folder");
}

#[test]
fn invalidate_purges_deleted_files() {
    let site = Site::new().recorded();
    site.write("index.html", "home 2");
    site.remove("about.html");
    site.write("about/index.html", "about 2");
    let report = site.command("invalidate", "public").run().report();
    assert_eq!((&report["operation"], &report["accepted"]), (&json!("invalidate"), &json!(6)));
    let of = |part: &str| {
        let entries = site.api.log().entries();
        let bodies = entries.iter().filter(|entry| entry.path.contains(part));
        let urls = bodies.flat_map(|entry| {
            let body: Value = serde_json::from_slice(&entry.body).unwrap();
            body["files"].as_array().unwrap().clone()
        });
        let mut urls: Vec<String> = urls.map(|url| url.as_str().unwrap().to_owned()).collect();
        urls.sort();
        urls
    };
    // `/about` now shows `about/index.html`.
    assert_eq!(of("purge_cache"), urls(&["/about.html"]));
    assert_eq!(of("invalidate_cache"), urls(&["/", "/index.html", "/about", "/about/", "/about/index.html"]));
}

#[test]
fn invalid_snapshots_send_nothing() {
    let site = Site::new().recorded();
    let before = site.state();
    site.write("index.html", "home 2");
    let refused = |args: &str, told: &str| {
        site.purge(args).exits(2).says_nothing().tells(told);
        assert_eq!(site.api.requests(), 0);
        assert_eq!(site.state(), before);
    };
    fs::create_dir(site.dir.at("empty")).unwrap();
    site.dir.file("empty.txt", "");
    site.dir.file("odd.txt", "index.html\n");
    refused("empty", "`empty`: there is no file in it");
    refused("missing", "cannot read `missing`");
    refused("--manifest empty.txt", "`empty.txt`: there is no file in it");
    refused("--manifest odd.txt", "`odd.txt`, line 1: `index.html` is no line of a manifest");
    refused("--manifest missing.txt", "cannot read `missing.txt`");
    refused("--git-tree HEAD:public", "`git ls-tree");
    refused("--sitemap missing.xml", "missing.xml");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../..", site.path("out")).unwrap();
        refused("public", "outside of the directory");
    }
}

#[test]
fn handles_unusable_states() {
    let site = Site::new().recorded();
    let whole = site.state();
    let write = |content: &str| drop(site.dir.file("state", content));
    let mut seen = 0;
    // A truncated state: the hosts are purged, and the state is complete again.
    write(&whole[..whole.len() / 2]);
    let ran = site.purge("public");
    ran.exits(0).tells("it is torn");
    assert_eq!(ran.report()["fallback"]["to"], "host");
    assert_eq!(site.purged(&mut seen), ["www.example.com"]);
    write("");
    site.purge("public").exits(0);
    assert_eq!(site.purged(&mut seen), ["www.example.com"]);
    site.purge("public").exits(0);
    assert_eq!(site.purged(&mut seen), Vec::<String>::new());
    // Newer or foreign files are neither read nor written.
    for (content, told) in [
        (whole.replacen(":1,", ":2,", 1).as_str(), "it is of version 2"),
        ("<html></html>\n", "it is not a state of cfcache"),
    ] {
        write(content);
        site.write("index.html", told);
        site.purge("public").exits(2).says_nothing().tells(told);
        assert_eq!(site.state(), content);
    }
    // A locked state.
    write(&whole);
    let lock = fs::File::create(site.dir.at("state.lock")).unwrap();
    lock.lock().unwrap();
    site.purge("public").exits(2).says_nothing().tells("another run uses this state");
    assert_eq!(site.state(), whole);
    drop(lock);
    site.purge("public").exits(0);
    // A state in the deployed folder.
    site.purge("public --state public/state").exits(2).tells("is in the directory that is deployed");
}

#[test]
fn a_changed_url_purges_the_old_and_new_hosts() {
    let site = Site::new().recorded();
    let ran = site.purge("public --url https://example.com/sub");
    ran.exits(0).tells("the URLs of the site have changed");
    assert_eq!(site.purged(&mut 0), ["example.com", "www.example.com"]);
    let report = site.purge("public --url https://example.com/sub").report();
    assert_eq!(report["items"], 0);
}

#[test]
fn falls_back_to_folders_and_hosts_above_the_limits() {
    let site = Site::new();
    for index in 0..400 {
        site.write(&format!("docs/{index}.html"), "1");
        site.write(&format!("other/{index}.css"), "1");
    }
    let site = site.recorded();
    for index in 0..400 {
        site.write(&format!("docs/{index}.html"), "2");
    }
    site.write("other/0.css", "2");
    let mut seen = 0;
    let with = |args: &str, expected: &str| {
        let ran = site.purge(&format!("public --within 0.5 --begin {args}"));
        ran.exits(0);
        assert_eq!(ran.report()["fallback"]["to"], expected, "{ran:?}");
        site.state()
    };
    let state = with("", "prefix");
    assert!(state.contains("{\"prefix\":\"www.example.com/docs\"}"), "{state}");
    assert!(state.contains("https://www.example.com/other/0.css"), "{state}");
    site.purge("public --first nothing --within 60").exits(0);
    site.purged(&mut seen);
    for index in 0..400 {
        site.write(&format!("docs/{index}.html"), "3");
    }
    let state = with("--fallback host", "host");
    assert!(state.contains("{\"host\":\"www.example.com\"}") && !state.contains("/docs/"), "{state}");
    let ran = site.purge("public --within 0.5 --fallback none");
    ran.exits(2).says_nothing().tells("`--within` allows");
    // The targets were not sent but are kept, because the next run may have the old files again.
    assert!(site.state().contains("https://www.example.com/docs/1"), "{}", site.state());
    let ran = site.purge("public --within 0.5 --fallback everything");
    ran.exits(2).tells("--yes");
    let ran = site.purge("public --within 0.5 --fallback everything --yes");
    ran.exits(0);
    assert_eq!(
        (&ran.report()["kind"], &ran.report()["fallback"]["to"]),
        (&json!("purge_everything"), &json!("everything"))
    );
    assert_eq!(site.purge("public").report()["items"], 0);
}

#[test]
fn the_fallback_depends_on_the_plan() {
    let site = Site::new().recorded();
    for index in 0..600 {
        site.write(&format!("{index}.html"), "1");
    }
    // 1,200 URLs: 1.5 s of the free plan, 0.4 s of Enterprise.
    for (args, expected) in [("", "prefix"), ("--plan enterprise", ""), ("--no-rate-limit", "")] {
        let ran = site.purge(&format!("public --within 1 --begin {args}"));
        let report = ran.report();
        assert_eq!(report["fallback"]["to"].as_str().unwrap_or_default(), expected, "{args}");
    }
}

#[test]
fn lists_of_changes_use_the_state() {
    let site = Site::at(Api::with_fault("status=403,every=1,times=1"));
    let list = |list: &str| site.command("purge", "--changes rsync --from -").input(list.to_owned()).run();
    let ran = list(">f+++++++++ new.html\n*deleting   old.css\n");
    ran.exits(3);
    assert_eq!(ran.report()["changed"], json!({ "added": 1, "changed": 0, "deleted": 1, "unchanged": 0 }));
    // The tool does not report the change again.
    let ran = list("");
    ran.exits(0);
    assert_eq!((&ran.report()["accepted"], &ran.report()["state"]), (&json!(3), &json!("saved")));
    assert_eq!(site.purged(&mut 0), urls(&["/new.html", "/new", "/old.css"]));
    assert_eq!(list("").report()["items"], 0);
    // The valid part of an invalid list is not lost.
    list(">f.st...... a.css\nrsync: [sender] failed\n")
        .exits(2)
        .says_nothing()
        .tells("standard input, record 2");
    let report = list("").report();
    assert_eq!(report["accepted"], 1);
}

#[test]
fn accepts_lists_of_every_tool() {
    let site = Site::new();
    let mut seen = 0;
    for (args, list, expected) in [
        (
            "public --changes git --from -",
            "M\0public/a.css\0R100\0public/b.css\0public/c.css\0M\0src/x\0",
            &["/a.css", "/b.css", "/c.css"][..],
        ),
        (
            "--changes aws --from -",
            "upload: public/a.css to s3://b/a.css\ndelete: s3://b/d.css\n",
            &["/a.css", "/d.css"],
        ),
        ("s3://b/site --changes aws --from -", "upload: public/a.css to s3://b/site/a.css\n", &["/a.css"]),
        ("--changes rclone --from -", "= same.css\n* a.css\n- d.css\n", &["/a.css", "/d.css"]),
        ("--changes paths --from -", "a.css\r\nb.css\n", &["/a.css", "/b.css"]),
        (
            "public --changes paths -0 --from -",
            "public/a.css\0public/new\nline\0",
            &["/a.css", "/new%0Aline"],
        ),
    ] {
        let ran = site.command("purge", args).input(list.to_owned()).run();
        ran.exits(0);
        assert_eq!(site.purged(&mut seen), urls(expected), "{args}: {ran:?}");
    }
}

#[test]
fn manifests_and_sitemaps_are_snapshots() {
    let site = Site::new();
    let hash = |digit: &str| digit.repeat(64);
    let manifest = |page: &str| format!("{}  ./index.html\n{}  ./same.css\n", hash(page), hash("0"));
    site.command("purge", "--manifest - --first nothing").input(manifest("1")).run().exits(0);
    let report = site.command("purge", "--manifest -").input(manifest("2")).run().report();
    assert_eq!(report["changed"], json!({ "added": 0, "changed": 1, "deleted": 0, "unchanged": 1 }));
    assert_eq!(site.purged(&mut 0), urls(&["/", "/index.html"]));

    let sitemap = |date: &str| {
        format!(
            "<urlset><url><loc>https://www.example.com/blog/</loc><lastmod>{date}</lastmod></url>\
             <url><loc>https://www.example.com/</loc><lastmod>2020</lastmod></url></urlset>"
        )
    };
    let with = |date: &str, args: &str| {
        site.dir.file("sitemap.xml", sitemap(date));
        site.purge(&format!("--sitemap sitemap.xml --state pages {args}"))
    };
    with("2025", "--first nothing").exits(0);
    assert_eq!(with("2026", "").report()["accepted"], 3);
}

/// Runs git in a folder, without the user's settings.
fn git(folder: &Path, args: &str) {
    let run = std::process::Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(args.split(' '))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(run.unwrap().success(), "git {args}");
}

#[test]
fn a_git_tree_is_a_snapshot() {
    let site = Site::new();
    let folder = site.dir.at("");
    #[expect(clippy::disallowed_methods, reason = "git is found in it")]
    let path = std::env::var_os("PATH").unwrap();
    let purge = |args: &str| site.command("purge", args).env("PATH", &path).run();
    git(&folder, "init -q");
    git(&folder, "add public");
    git(&folder, "commit -qm 1");
    purge("--git-tree HEAD:public --first nothing").exits(0);
    site.write("about.html", "about 2");
    // Not committed, so not deployed.
    assert_eq!(purge("--git-tree HEAD:public").report()["items"], 0);
    git(&folder, "commit -qam 2");
    assert_eq!(purge("--git-tree HEAD:public").report()["accepted"], 2);
    purge("--git-tree NONE:public").exits(2).tells("`git ls-tree -r -z NONE:public` failed");
}

#[test]
fn the_project_describes_its_sites() {
    let site = Site::new();
    site.dir.file(
        ".cfcache.toml",
        "zone = 'example.com'
[site.www]
root = 'public'
url = ['https://www.example.com', 'https://example.com/sub']
always = ['/feed.xml']
ignore = ['**/*.map']
[[site.www.match]]
files = 'docs/**'
as = 'prefix'
",
    );
    let below = site.path("blog");
    let run = |args: &str| {
        cfcache(&site.api).current_dir(&below).env("XDG_STATE_HOME", site.dir.at("states")).args(args).run()
    };
    run("purge changed --first nothing").exits(0);
    site.write("docs/a.txt", "1");
    site.write("app.js.map", "1");
    let ran = run("purge changed --json --explain");
    let report = ran.tells("A docs/a.txt -> 2 prefixes").report();
    assert_eq!(report["changed"], json!({ "added": 1, "changed": 0, "deleted": 0, "unchanged": 4 }));
    let mut expected = vec!["example.com/sub/docs/a.txt".to_owned(), "www.example.com/docs/a.txt".to_owned()];
    expected.extend([
        "https://example.com/sub/feed.xml".to_owned(),
        "https://www.example.com/feed.xml".to_owned(),
    ]);
    expected.sort();
    assert_eq!(site.purged(&mut 0), expected);
    let shown = run("config show --json");
    let rows: Value = serde_json::from_str(&shown.out).unwrap();
    let value = |name: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["setting"] == name).unwrap();
        assert!(row["from"].as_str().unwrap().contains(".cfcache.toml"));
        row["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(value("site.www.root"), "public");
    assert_eq!(value("site.www.url"), r#"["https://www.example.com","https://example.com/sub"]"#);
    assert_eq!(value("site.www.match"), r#"[{"as":"prefix","files":"docs/**"}]"#);
    assert!(run("config show").out.contains("site.www.always"));
}

#[test]
fn invalid_site_settings_are_reported_with_their_line() {
    let site = Site::new();
    for (settings, told) in [
        ("[site.www]\nurl = ['www.example.com']\n", "line 2: `www.example.com` is no URL of a site"),
        ("[site.www]\nroot = 'public'\n", "line 1: missing field `url`"),
        ("[site.www]\nurl = ['https://a.example']\nroots = 'a'\n", "line 3: unknown field `roots`"),
        ("[site.www]\nurl = ['https://a.example']\nroot = '../a'\n", "line 3: `root` is a folder below"),
    ] {
        site.dir.file(".cfcache.toml", settings);
        site.purge("public").exits(2).says_nothing().tells(told);
    }
    let sites = "[site.a]\nurl = ['https://a.example']\n[site.b]\nurl = ['https://b.example']\n";
    site.dir.file(".cfcache.toml", sites);
    let run = |args: &str| bare().current_dir(&site.dir.at("")).args(args).run();
    run("purge changed public").exits(2).tells("there are several sites").tells("`a`, `b`");
    run("purge changed public --site c").exits(2).tells("there is no site `c`");
}

#[cfg(unix)]
#[test]
fn refuses_a_root_outside_of_the_project() {
    let site = Site::new();
    let project = site.dir.at("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join(".cfcache.toml"), "[site.a]\nroot = 'public'\nurl = ['https://a.example']\n")
        .unwrap();
    std::os::unix::fs::symlink("../public", project.join("public")).unwrap();
    let run = |args: &str| cfcache(&site.api).current_dir(&project).args(args).args("--state ../state").run();
    run("purge changed").exits(2).tells("is outside of the project");
    // On the command line, the path may be intended.
    run("purge changed public --first nothing").exits(0);
}

#[test]
fn refuses_contradictory_options() {
    let site = Site::new();
    for (args, told) in [
        ("public --journal j", "`--journal` is not for `changed`"),
        ("public --begin --dry-run", "exclude each other"),
        ("public --null", "`--null` is only for"),
        ("", "no directory is given"),
        ("public --url www.example.com", "`--url`: `www.example.com` is no URL of a site"),
        ("--changes rsync", "--from"),
        ("--manifest - --git-tree HEAD:a", "cannot be used with"),
        ("public --fallback some", "some"),
        ("--git-tree --output=/tmp/x", "--git-tree"),
        ("--git-tree=--output=/tmp/x", "name a tree as `REV:PATH`"),
    ] {
        site.purge(args).exits(2).says_nothing().tells(told);
        assert!(!site.dir.at("state").exists(), "{args}");
    }
    site.dir.file(".cfcache.toml", "forbid-everything = true\n");
    site.purge("public --fallback everything").exits(2).tells("forbids purge of everything");
}

#[test]
fn warns_about_unusual_file_names() {
    let site = Site::new().recorded();
    site.write("u\u{308}ber.html", "decomposed");
    site.write("404.html", "not found");
    site.purge("public")
        .exits(0)
        .tells("is not in composed form (NFC)")
        .tells("served for paths that cannot be listed");
}

#[test]
fn without_a_zone_each_host_uses_its_own() {
    let site = Site::new();
    let config = site.dir.file(
        "config.toml",
        "[zones]\n'example.com' = '023e105f4ecef8ad9ca31a8372d0c353'\n'other.example.com' = '023e105f4ecef8ad9ca31a8372d0c353'\n",
    );
    let run = |args: &str| {
        let cmd = site.command("purge", args).without("CLOUDFLARE_ZONE_ID").env("CFCACHE_CONFIG", &config);
        cmd.arg("--url").arg("https://other.example.com").run()
    };
    run("public --first nothing").exits(0);
    site.write("style.css", "style 2");
    let ran = run("public");
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 2);
    assert_eq!(
        site.purged(&mut 0),
        ["https://other.example.com/style.css", "https://www.example.com/style.css"]
    );
}

#[test]
fn reads_dates_of_sitemaps_in_any_position() {
    let site = Site::new();
    let page = |path: &str, date: &str| {
        format!("<url><loc> https://www.example.com/{path} </loc><lastmod>{date}</lastmod></url>")
    };
    let urlset = |pages: &str| {
        format!(
            "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9' xmlns:image='urn:image'>{pages}</urlset>"
        )
    };
    let index = |names: &[&str]| {
        let sitemap = |name: &&str| {
            format!("<sitemap><loc>https://www.example.com/{name}</loc><lastmod>2020</lastmod></sitemap>")
        };
        format!("<sitemapindex>{}</sitemapindex>", names.iter().map(sitemap).collect::<String>())
    };
    let write = |date: &str| {
        let before = format!(
            "<url><lastmod><![CDATA[{date}]]></lastmod><loc>https://www.example.com/b?c=1&amp;d</loc>\
             <image:image><image:loc>https://www.example.com/i.png</image:loc></image:image></url>"
        );
        site.dir.file("1.xml", urlset(&format!("{}{before}", page("a/", "2020"))));
        site.dir.file("2.xml", urlset(&page("about", "2020")));
        site.dir.file("index.xml", index(&["maps/1.xml?v=2", "2.xml"]));
    };
    let purge = |args: &str| site.purge(&format!("--state pages --sitemap {args}"));
    write("2020");
    let report = purge("index.xml --first nothing").report();
    assert_eq!(report["changed"], json!({ "added": 3, "changed": 0, "deleted": 0, "unchanged": 0 }));
    write("2021");
    let report = purge("index.xml").report();
    assert_eq!(report["changed"], json!({ "added": 0, "changed": 1, "deleted": 0, "unchanged": 2 }));
    assert_eq!(site.purged(&mut 0), urls(&["/b?c=1&d"]));

    for (name, content, why) in [
        ("empty.xml", urlset(""), "it contains no page of the site"),
        ("undated.xml", urlset("<url><loc>https://www.example.com/a</loc></url>"), "has no <lastmod>"),
        ("other.xml", urlset(&page("a", "2020").replace("www.", "")), "under none of the site's URLs"),
        ("no-loc.xml", urlset("<url><lastmod>2020</lastmod></url>"), "<url> 1: there is no `<loc>` in it"),
        ("blank.xml", urlset(&page("", "2020").replace("https://www.example.com/", "")), "under none"),
        ("entity.xml", urlset(&page("&nbsp;", "2020")), "the entity `&nbsp;` is not one of XML"),
        ("long.xml", urlset(&page("a", &"2".repeat(300))), "the `<lastmod>` is longer than 256 bytes"),
        ("torn.xml", urlset(&page("a", "2020")).replace("</urlset>", ""), "the XML is cut off"),
        ("rss.xml", "<rss></rss>".to_owned(), "its outermost element is `<rss>`, so it is not a sitemap\n"),
        ("list.xml", "https://www.example.com/".to_owned(), "it is not XML, so it is not a sitemap\n"),
        ("lost.xml", index(&["lost-1.xml"]), "lost-1.xml`; the sitemaps of an index must be files beside it"),
    ] {
        site.dir.file(name, content);
        let requests = site.api.requests();
        purge(name).exits(2).tells(name).tells(why);
        assert_eq!(site.api.requests(), requests);
    }
}
