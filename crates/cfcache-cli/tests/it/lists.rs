//! `--failed-to`, and `--dry-run`.

use crate::support::{Api, Dir, ZONE, bare, cfcache, urls};

#[test]
fn failed_to_writes_a_list_for_another_run() {
    let dir = Dir::new();
    // The second of three requests is permanently refused.
    let api = Api::with_fault("status=400,code=9999,at=2");
    let mut input = urls(250);
    input.push_str(
        "{\"url\": \"https://www.example.com/json\", \"headers\": {\"CF-Device-Type\": \"mobile\"}}\n",
    );
    let ran = cfcache(&api)
        .args("purge urls --json --concurrency 1 --from - --failed-to")
        .arg(dir.at("failed"))
        .input(input)
        .run();
    ran.exits(1);
    let report = ran.report();
    assert_eq!(report["failed"], 100);
    assert_eq!(report["failures"][0]["error"]["code"], 9999);
    assert_eq!(dir.read("failed").lines().count(), 100);
    api.log().clear();
    let again = cfcache(&api).args("purge urls --json --from").arg(dir.at("failed")).run();
    again.exits(0);
    assert_eq!(again.report()["accepted"], 100);
    assert_eq!(api.items().len(), 100);
}

#[test]
fn failed_to_writes_entries_with_headers_unchanged() {
    let dir = Dir::new();
    let api = Api::with_fault("status=400,code=9999");
    let entry = r#"{"headers":{"CF-Device-Type":"mobile"},  "url":"https://www.example.com/json"}"#;
    cfcache(&api).args("purge urls --from - --failed-to").arg(dir.at("failed")).input(entry).run().exits(1);
    assert_eq!(dir.read("failed"), format!("{entry}\n"));
}

#[test]
fn failed_to_ends_entries_with_nul_if_the_input_does() {
    let dir = Dir::new();
    let api = Api::with_fault("status=400,code=9999");
    let input = "https://www.example.com/a\0two\nlines\0https://www.example.com/b\0";
    let run = |input: String| {
        cfcache(&api)
            .args("purge urls --json --null --on-invalid skip --from - --failed-to")
            .arg(dir.at("failed"))
            .input(input)
            .run()
    };
    run(input.to_owned()).exits(2);
    let mut written: Vec<_> = dir.read("failed").split_terminator('\0').map(str::to_owned).collect();
    written.sort();
    assert_eq!(written, ["https://www.example.com/a", "https://www.example.com/b", "two\nlines"]);
    let report = run(dir.read("failed")).report();
    assert_eq!((&report["failed"], &report["invalid"]), (&2.into(), &1.into()));
}

#[test]
fn failed_to_never_begins_like_a_json_array() {
    let dir = Dir::new();
    let api = Api::with_fault("status=400,code=9999");
    cfcache(&api).args("purge tags --failed-to").arg(dir.at("failed")).arg(r#"["a"]"#).run().exits(1);
    let ran =
        cfcache(&api).args("purge tags --dry-run -z").arg(ZONE).arg("--from").arg(dir.at("failed")).run();
    assert!(ran.out.contains(r#""tags":["[\"a\"]"]"#), "{}", ran.out);
}

#[test]
fn refuses_to_overwrite_an_input_list() {
    let dir = Dir::new();
    let api = Api::quick();
    let list = dir.file("list", urls(3));
    let ran = cfcache(&api).args("purge urls --from").arg(&list).arg("--failed-to").arg(&list).run();
    ran.exits(2).says_nothing().tells("names a file that is read as input");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&list, dir.at("link")).unwrap();
        let ran =
            cfcache(&api).args("purge urls --from").arg(&list).arg("--failed-to").arg(dir.at("link")).run();
        ran.exits(2);
    }
    assert_eq!(dir.read("list"), urls(3));
    assert_eq!(api.requests(), 0);
}

#[test]
fn a_run_that_cannot_start_keeps_the_previous_list() {
    let dir = Dir::new();
    let api = Api::quick();
    let list = dir.file("failed", "https://www.example.com/from-the-last-time\n");
    let purge = || cfcache(&api).args("purge urls https://www.example.com/a --failed-to").arg(&list);
    purge().args("-z missing.example").run().exits(1);
    purge().arg("nonsense").run().exits(2);
    assert_eq!(dir.read("failed"), "https://www.example.com/from-the-last-time\n");
    // A run that started has its own list, even an empty one.
    purge().run().exits(0);
    assert_eq!(dir.read("failed"), "");
}

#[test]
fn refuses_failed_to_for_everything_and_standard_output() {
    let api = Api::quick();
    cfcache(&api).args("purge everything -y --failed-to x").run().exits(2).tells("not for `everything`");
    cfcache(&api).args("purge tags a --failed-to -").run().exits(2).tells("needs a file");
    let dir = Dir::new();
    cfcache(&api)
        .args("purge tags a --failed-to")
        .arg(dir.at("no/such/directory"))
        .run()
        .exits(2)
        .says_nothing()
        .tells("cannot write");
    assert_eq!(api.requests(), 0);
}

#[test]
fn a_dry_run_prints_the_exact_bodies_without_credentials() {
    let ran = bare().args("-z").arg(ZONE).args("--dry-run purge tags b a b").run();
    ran.exits(0);
    assert_eq!(
        ran.out,
        format!(
            "{{\"method\":\"POST\",\"url\":\"https://api.cloudflare.com/client/v4/zones/{ZONE}/purge_cache\",\
             \"body\":{{\"tags\":[\"b\",\"a\"]}}}}\n"
        )
    );
    assert_eq!(ran.err, "would send 2 tags in 1 request, without 1 duplicate\n");

    // The run sends exactly these requests.
    let api = Api::quick();
    let input = || urls(250);
    let shown = cfcache(&api).args("purge urls --dry-run --from -").input(input()).run();
    assert_eq!(api.requests(), 0);
    cfcache(&api).args("purge urls --concurrency 1 --from -").input(input()).run().exits(0);
    let bodies: Vec<String> = shown
        .out
        .lines()
        .map(|line| line.split_once("\"body\":").unwrap().1.strip_suffix('}').unwrap().to_owned())
        .collect();
    assert_eq!(api.bodies(), bodies);
}

#[test]
fn a_dry_run_sends_no_request() {
    let ran = bare().args("-z example.com -e Staging --dry-run invalidate everything").run();
    insta::assert_snapshot!(ran.told(), @r#"
    stdout:
    {"method":"POST","url":"https://api.cloudflare.com/client/v4/zones/ZONE-ID/environments/ENVIRONMENT-ID/invalidate_cache","body":{"purge_everything":true}}
    stderr:
    `example.com` is not looked up in a dry run: ZONE-ID stands for its id
    `Staging` is not looked up in a dry run: ENVIRONMENT-ID stands for its id
    exit code: 0
    "#);
}

#[test]
fn a_dry_run_reports_the_number_and_duration_of_requests() {
    let tags: String = (0..10_000).map(|number| format!("tag-{number}\n")).collect();
    let ran = |plan: &str| {
        let ran = bare()
            .args("-z")
            .arg(ZONE)
            .args("--dry-run purge tags --from - --plan")
            .arg(plan)
            .input(tags.clone())
            .run();
        ran.exits(0);
        assert_eq!(ran.out.lines().count(), 100);
        ran.err
    };
    // 100 requests: a bucket of 25, then 5 per minute.
    let free = ran("free");
    assert!(
        free.starts_with("would send 10000 tags in 100 requests; with the limits of the plan `free`"),
        "{free}"
    );
    assert!(free.contains("at least 15 min"), "{free}");
    let pro = ran("pro");
    assert!(pro.contains("at least 15 s") || pro.contains("at least 16 s"), "{pro}");
    assert_eq!(ran("enterprise"), "would send 10000 tags in 100 requests\n");
    let unpaced = bare()
        .args("-z")
        .arg(ZONE)
        .args("--dry-run --no-rate-limit purge tags --from -")
        .input(tags.clone())
        .run();
    assert_eq!(unpaced.err, "would send 10000 tags in 100 requests\n");
}

#[test]
fn a_dry_run_reports_invalid_entries() {
    let dry = || bare().args("-z").arg(ZONE).args("--dry-run purge urls");
    dry().args("nonsense").run().exits(2).says_nothing().tells("argument 1");
    let skipping = dry().args("nonsense https://www.example.com/a --on-invalid skip").run();
    skipping.exits(2).tells("argument 1");
    assert_eq!(skipping.out.lines().count(), 1);
    let piped = dry().args("--from -").input("https://www.example.com/a\nnonsense\n").run();
    piped.exits(2).tells("standard input:2");
}

#[test]
fn refuses_dry_run_for_reading_commands() {
    let api = Api::quick();
    for line in ["zones list", "environments list", "token verify"] {
        cfcache(&api).args(line).arg("--dry-run").run().exits(2).says_nothing();
    }
    assert_eq!(api.requests(), 0);
}

#[test]
#[cfg(unix)]
fn refuses_to_write_an_input_file_under_any_name() {
    let dir = Dir::new();
    let api = Api::quick();
    let content = urls(3);
    let list = dir.file("list", &content);
    std::fs::hard_link(&list, dir.at("hard")).unwrap();
    std::os::unix::fs::symlink(&list, dir.at("soft")).unwrap();
    let token = dir.file("token", crate::support::TOKEN);
    std::fs::hard_link(&token, dir.at("token-hard")).unwrap();
    let sitemap = dir.file("sitemap.xml", "<urlset/>");
    let _in_place = std::fs::hard_link(&sitemap, dir.at("sitemap-hard"));
    let purge = || cfcache(&api).args("purge urls https://www.example.com/a");
    let stdin = || std::fs::File::open(&list).unwrap();
    for option in ["--failed-to", "--journal"] {
        for name in ["list", "hard", "soft"] {
            let of_input = format!("`{option}` names a file that is read as input");
            let written = || purge().arg(option).arg(dir.at(name));
            written().arg("--from").arg(&list).run().exits(2).says_nothing().tells(&of_input);
            written().args("--from -").stdin(stdin()).run().exits(2).says_nothing().tells(&of_input);
            // A loop in a shell may be reading it.
            written().stdin(stdin()).run().exits(2).says_nothing().tells(&of_input);
        }
        let ran = purge().arg("--api-token-file").arg(&token).arg(option).arg(dir.at("token-hard")).run();
        ran.exits(2).says_nothing().tells("names the file of the token");
        let ran = purge().arg("--from-sitemap").arg(&sitemap).arg(option).arg(dir.at("sitemap-hard")).run();
        ran.exits(2).says_nothing().tells("names a file that is read as input");
    }
    let journal = dir.file("journal", "");
    std::fs::hard_link(&journal, dir.at("journal-hard")).unwrap();
    let ran = purge().arg("--journal").arg(&journal).arg("--failed-to").arg(dir.at("journal-hard")).run();
    ran.exits(2).says_nothing().tells("name the same file");
    assert_eq!((dir.read("list"), dir.read("token")), (content, crate::support::TOKEN.to_owned()));
    // The list would overwrite the report.
    let output = dir.file("output", "");
    let script = "exec \"$0\" purge urls https://www.example.com/a --json --failed-to output > output";
    let ran = crate::support::shell(&api, script).current_dir(dir.path()).run();
    ran.exits(2).tells("names the file that standard output goes to");
    assert_eq!((std::fs::read(output).unwrap().len(), api.requests()), (0, 0));
}

#[test]
fn a_dry_run_reports_an_unknown_plan() {
    let dry = |line: &str| bare().args("--dry-run purge urls --from -").args(line).input(urls(3000)).run();
    let ran = dry("-z example.com");
    ran.exits(0)
        .tells("in 30 requests")
        .tells("on `enterprise` it would be 6 requests: name the plan with `--plan`");
    let ran = dry("-z example.com --plan enterprise");
    ran.exits(0).tells("in 6 requests");
    assert!(!ran.err.contains("name the plan"), "{}", ran.err);
    // A run with the id of a zone starts with the limits of the smallest plan.
    let ran = dry(&format!("-z {ZONE}"));
    assert!(!ran.err.contains("name the plan"), "{}", ran.err);
}

#[test]
fn a_dry_run_shows_requests_without_a_body() {
    let ran = bare().args("-z").arg(ZONE).args("--dry-run smart-tiered delete").run();
    ran.exits(0);
    let shown: serde_json::Value = serde_json::from_str(ran.out.trim_end()).unwrap();
    assert_eq!((&shown["method"], shown.get("body")), (&"DELETE".into(), None));
}
