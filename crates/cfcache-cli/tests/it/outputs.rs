//! Output, byte for byte.

use cfcache_emulator::Config;
use cfcache_model::Plan;

use crate::support::{Api, Dir, ZONE, adds_up, bare, cfcache, tidy, urls};

#[test]
fn json_is_one_object_with_ordered_keys() {
    let api = Api::quick();
    let ran = cfcache(&api).args("purge urls --json https://www.example.com/a").run();
    ran.exits(0);
    assert_eq!(
        tidy(&ran.out),
        format!(
            "{{\"operation\":\"purge\",\"kind\":\"files\",\"zone\":\"{ZONE}\",\"environment\":null,\"items\":1,\
             \"accepted\":1,\"failed\":0,\"invalid\":0,\"duplicates\":0,\"skipped\":0,\"requests\":1,\"retries\":0,\
             \"rate_limited\":0,\"elapsed_ms\":[TIME],\"failures\":[]}}\n"
        )
    );
    assert_eq!(ran.err, "");
}

#[test]
fn the_kind_in_reports_is_the_field_of_the_body() {
    let api = Api::quick();
    for (line, kind) in [
        ("purge urls https://www.example.com/a", "files"),
        ("purge tags a", "tags"),
        ("purge hosts www.example.com", "hosts"),
        ("purge prefixes www.example.com/a", "prefixes"),
        ("purge everything -y", "purge_everything"),
    ] {
        let report = cfcache(&api).args(line).arg("--json").run().report();
        assert_eq!(report["kind"], kind);
        assert_eq!(report["operation"], "purge");
    }
    let report = cfcache(&api).args("invalidate tags a --output json").run().report();
    assert_eq!(report["operation"], "invalidate");
}

#[test]
fn messages_of_a_successful_answer_are_warnings() {
    let body = r#"{"success":true,"errors":[{"code":1234,"message":"half of it"}],"messages":["soon gone"],"result":{"id":"a"}}"#;
    let api = Api::with_fault(&format!("status=200,processed=yes,body={body}"));
    for line in ["purge tags a", "purge everything -y"] {
        let ran = cfcache(&api).args(line).args("--json --quiet").run();
        ran.exits(0)
            .tells("warning: the API accepted it, but reports: half of it (code 1234)")
            .tells("warning: the API accepted it, but reports: soon gone");
        let report = ran.report();
        assert_eq!((report["accepted"].as_u64(), report["warnings"].as_u64()), (Some(1), Some(2)), "{line}");
    }
    // Every warning is counted, but each text is shown once.
    let ran = cfcache(&api).args("purge tags a b c --batch-size 1 --json").run();
    assert_eq!(ran.report()["warnings"], 6);
    assert_eq!(ran.err.matches("half of it").count(), 1, "{}", ran.err);
}

#[test]
fn shows_the_documentation_page_of_an_error() {
    let body = r#"{"success":false,"errors":[{"code":10000,"message":"Forbidden","documentation_url":"https://developers.cloudflare.com/x/"}],"messages":[],"result":null}"#;
    let api = Api::with_fault(&format!("status=403,on=all,body={body}"));
    for line in ["purge tags a", "purge everything -y"] {
        let ran = cfcache(&api).args(line).arg("--json").run();
        ran.exits(3).tells("Forbidden (code 10000, see https://developers.cloudflare.com/x/)");
        let failure = &ran.report()["failures"][0]["error"];
        assert_eq!(failure["documentation_url"], "https://developers.cloudflare.com/x/", "{line}");
    }
    let ran = cfcache(&api).args("reserve get").run();
    ran.exits(3).tells("see https://developers.cloudflare.com/x/");
}

#[test]
fn failures_contain_the_original_text_of_each_item() {
    let api = Api::with_fault("status=400,code=9999");
    let entry = r#"{"url":"https://www.example.com/b",  "headers":{"CF-Device-Type":"mobile"}}"#;
    let ran = cfcache(&api)
        .args("purge urls --json --from - --on-invalid skip https://www.example.com/a")
        .input(format!("{entry}\nnonsense\n"))
        .run();
    let report = ran.report();
    let mut items: Vec<&str> = report["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["item"].as_str().unwrap())
        .collect();
    items.sort_unstable();
    assert_eq!(items, ["https://www.example.com/a", "nonsense", entry]);
    let codes: Vec<_> = report["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["error"]["code"].clone())
        .collect();
    assert!(codes.contains(&9999.into()) && codes.contains(&serde_json::Value::Null));
    let failure = report["failures"][0].as_object().unwrap();
    assert_eq!(failure.keys().collect::<Vec<_>>(), ["error", "item"]);
    assert!(ran.out.contains(r#"{"item":"nonsense","error":{"code":null,"message":""#), "{}", ran.out);
}

#[test]
fn lists_at_most_1000_failures_and_counts_the_rest() {
    let api = Api::with_fault("status=400,code=9999");
    let dir = Dir::new();
    let ran = cfcache(&api)
        .args("purge urls --json --from - --failed-to")
        .arg(dir.at("failed"))
        .input(urls(2500))
        .run();
    ran.exits(1);
    let report = ran.report();
    assert_eq!(report["failures"].as_array().unwrap().len(), 1000);
    assert_eq!(report["failures_omitted"], 1500);
    let mut failed: Vec<String> = dir.read("failed").lines().map(ToOwned::to_owned).collect();
    let mut expected: Vec<String> = urls(2500).lines().map(ToOwned::to_owned).collect();
    failed.sort();
    expected.sort();
    assert_eq!(failed, expected);
}

#[test]
fn ndjson_has_an_object_per_request_and_a_summary() {
    let api = Api::with_fault("status=400,code=9999,at=2");
    let ran = cfcache(&api).args("purge urls -o ndjson --concurrency 1 --from -").input(urls(250)).run();
    ran.exits(1);
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[..3].iter().all(|line| line["event"] == "batch"));
    assert_eq!(lines[3]["event"], "summary");
    adds_up(&lines[3]);
    let items: u64 = lines[..3].iter().map(|line| line["items"].as_u64().unwrap()).sum();
    assert_eq!(items, 250);
    assert_eq!(lines.iter().filter(|line| line["accepted"] == true).count(), 2);
    let shown = tidy(ran.out.lines().nth(1).unwrap());
    assert!(
        shown.starts_with(
            r#"{"event":"batch","batch":1,"items":100,"accepted":false,"attempts":1,"elapsed_ms":[TIME],"error":{"code":9999,"message":"#
        ),
        "{shown}"
    );
    let summary = tidy(ran.out.lines().nth(3).unwrap());
    assert!(
        summary.starts_with(r#"{"event":"summary","operation":"purge","kind":"files","zone":"#),
        "{summary}"
    );
    // Everything is one request, which also has an object.
    let ran = cfcache(&Api::quick()).args("purge everything -y -o ndjson").run();
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    assert!(ran.out.starts_with(r#"{"event":"batch","batch":0,"items":1,"accepted":true"#), "{ran:?}");
}

#[test]
fn the_text_report_lists_failures() {
    let api = Api::with_fault("status=400,code=9999,at=2");
    let ran = cfcache(&api)
        .args("purge urls --concurrency 1 --batch-size 2 --from - --on-invalid skip -e Staging")
        .input(format!("{}nonsense\n{}", urls(3), urls(2)))
        .run();
    insta::assert_snapshot!(ran.told());
}

#[test]
fn output_to_a_pipe_differs_only_in_color_and_progress() {
    let api = Api::quick();
    let ran = cfcache(&api).args("purge tags a --color always").run();
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
    let ran = cfcache(&api).args("purge urls nonsense --color always").run();
    assert!(ran.err.contains("\u{1b}[1;31merror:\u{1b}[0m"), "{ran:?}");
    for color in ["--color auto", "--color never"] {
        let ran = cfcache(&api).args("purge urls nonsense").args(color).run();
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn groups_requests_that_failed_for_the_same_reason() {
    let ran = |api: &Api| {
        let purge = cfcache(api).args("purge urls --concurrency 1 --batch-size 2 --from -");
        purge.input(urls(8)).run()
    };
    // Standard error explains the reasons; they differ only in their rays.
    let alike = ran(&Api::with_fault("status=400,code=9999"));
    insta::assert_snapshot!("alike", alike.told());
    // If there are several reasons, each has its entries below it.
    let config = Config::new(Plan::Free)
        .with_limits(false)
        .with_fault("status=400,code=9999,at=1".parse().unwrap())
        .with_fault("status=400,code=9998,after=1".parse().unwrap());
    insta::assert_snapshot!("several_reasons", ran(&Api::start(config)).told());
}

#[test]
fn refused_mappings_are_errors_on_standard_error_too() {
    let mappings = "192.0.2.1 aws us-east-1\n192.0.2.2 aws mars-1\n";
    let import = |api: &Api| cfcache(api).args("origin-regions import -").input(mappings).run();
    let api = Api::start(Config::new(Plan::Enterprise).with_limits(false));
    insta::assert_snapshot!("some_mappings", import(&api).told());
    let broken = Api::with_fault("status=400,code=9999,on=all");
    insta::assert_snapshot!("all_mappings", import(&broken).told());
}

#[test]
fn verbose_shows_requests_and_very_verbose_shows_headers() {
    let api = Api::quick();
    let quiet = cfcache(&api).args("purge tags a -q").run();
    assert_eq!(quiet.err, "");
    let one = cfcache(&api).args("purge tags a -v").run();
    insta::assert_snapshot!(tidy(&one.err));
    let two = cfcache(&api).args("purge tags a -vv").run();
    assert!(two.err.contains("> user-agent: cfcache/"), "{}", two.err);
    assert!(two.err.contains("> authorization: [secret]"), "{}", two.err);
    assert!(two.err.contains("< cf-ray:"), "{}", two.err);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let api = Api::quick();
    for line in ["purge tags a", "purge tags a --json", "zones list", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = cfcache(&api).args(line).stdout(writer).run();
        ran.exits(0);
        assert_eq!(ran.err, "", "{line}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = cfcache(&api).args("purge urls --dry-run --from -").input(urls(100_000)).stdout(writer).run();
    ran.exits(0);
    // The purge is completed without a reader.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    api.log().clear();
    cfcache(&api).args("purge urls -o ndjson --from -").input(urls(1000)).stdout(writer).run().exits(0);
    assert_eq!(api.items().len(), 1000);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let api = Api::quick();
    let full = || std::process::Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    for line in ["purge tags a --json", "purge tags a", "zones list", "environments list --json"] {
        let ran = cfcache(&api).args(line).stdout(full()).run();
        ran.exits(1).tells("cannot write to standard output");
    }
    let failing = Api::with_fault("status=400,code=9999");
    let ran = cfcache(&failing).args("purge tags a --json --failed-to /dev/full").run();
    ran.exits(1).tells("cannot write `/dev/full`");
    assert_eq!(ran.report()["failed"], 1);
    // An empty list need not be written.
    let ran = cfcache(&api).args("purge tags a --json --failed-to /dev/full").run();
    ran.exits(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_standard_output_is_a_failure() {
    let api = Api::quick();
    for line in ["purge tags a --json", "purge tags a", "--version", "purge --help"] {
        let closing = format!("exec \"$0\" {line} >&-");
        let ran = std::process::Command::new("sh")
            .args(["-c", &closing, env!("CARGO_BIN_EXE_cfcache")])
            .env("CLOUDFLARE_API_TOKEN", crate::support::TOKEN)
            .env("CLOUDFLARE_ZONE_ID", ZONE)
            .env("CLOUDFLARE_BASE_URL", api.base())
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1), "{line}: {ran:?}");
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(told.contains("cannot write to standard output: it was closed"), "{line}: {told}");
    }
}

/// Python's `subprocess.DEVNULL` opens it like this, and Rust's runtime does so for a closed descriptor.
#[cfg(unix)]
#[test]
fn a_readable_null_device_is_not_a_failure() {
    let api = Api::quick();
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let ran = cfcache(&api).args("purge tags a").stdout(null).run();
    ran.exits(0);
    assert_eq!(ran.err, "");
}

#[test]
fn escapes_messages_of_the_server() {
    let body = r#"{"success":false,"errors":[{"code":1,"message":"bad\u001b[31m\u202e thing\nsecond line"}],"messages":[],"result":null}"#;
    let api = Api::with_fault(&format!("status=400,body={body}"));
    let ran = cfcache(&api).args("purge tags a").run();
    ran.exits(1);
    assert!(!ran.err.contains('\u{1b}') && !ran.out.contains('\u{1b}'), "{ran:?}");
    assert!(!ran.err.contains('\u{202e}'), "{ran:?}");
}

#[test]
fn purges_with_the_built_in_emulator() {
    let ran = bare()
        .args("--emulator purge urls https://www.example.com/css/styles.css https://www.example.com/js/index.js")
        .run();
    insta::assert_snapshot!(ran.told(), @r"
    stdout:
    accepted: purge 2 URLs on zone 023e105f4ecef8ad9ca31a8372d0c353 (1 request, [TIME])
    exit code: 0
    ");
}
