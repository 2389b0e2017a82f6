//! The output for programs conforms to `docs/reference/report.schema.json`, for every command that prints JSON.

mod validator;

use cfcache_emulator::{Config, Zone};
use cfcache_model::Plan;
use serde_json::{Value, json};

use crate::schema::validator::{Met, Schema};
use crate::support::{Api, Cmd, Dir, Ran, TOKEN, bare, cfcache, urls};
use crate::visitors::{Edge, Page};

fn schema() -> Schema {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/report.schema.json");
    Schema::parse(&std::fs::read_to_string(path).unwrap())
}

/// Runs commands, and checks their output.
struct SchemaCheck {
    schema: Schema,
    met: Met,
}

impl SchemaCheck {
    /// Checks one line against a definition. `result` is the API's answer, which the schema does not restrict.
    #[track_caller]
    fn line(&mut self, ran: &Ran, line: &str, definition: &str) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        if definition == "result" {
            assert!(value.is_object() || value.is_array() || value.is_null(), "{ran:?}");
            return;
        }
        for checked in [self.schema.check_as(definition, &value, &mut self.met), self.schema.check(&value)] {
            if let Err(why) = checked {
                panic!("{why}\n{ran:?}");
            }
        }
    }

    /// Checks an output of one line.
    #[track_caller]
    fn one(&mut self, cmd: Cmd, code: i32, definition: &str) -> Ran {
        let ran = cmd.run();
        ran.exits(code);
        assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
        self.line(&ran, ran.out.trim_end(), definition);
        ran
    }

    /// Checks an output with a line for each batch, and a summary at the end.
    #[track_caller]
    fn lines(&mut self, cmd: Cmd, code: i32) {
        let ran = cmd.run();
        ran.exits(code);
        let lines: Vec<&str> = ran.out.lines().collect();
        let (summary, batches) = lines.split_last().unwrap();
        assert!(!batches.is_empty(), "{ran:?}");
        for batch in batches {
            self.line(&ran, batch, "batch");
        }
        self.line(&ran, summary, "summary");
    }
}

/// Creates an API with every setting.
fn enterprise() -> Api {
    Api::start(Config::new(Plan::Enterprise).with_limits(false))
}

#[test]
fn all_json_output_conforms_to_the_schema() {
    let mut check = SchemaCheck { schema: schema(), met: Met::new() };
    let (api, dir) = (enterprise(), Dir::new());
    purges(&mut check, &api, &dir);
    changed(&mut check, &api, &dir);
    failures(&mut check);
    visits(&mut check, &api, &dir);
    several_zones(&mut check, &dir);
    dry_runs(&mut check);
    settings(&mut check, &api, &dir);
    others(&mut check, &api, &dir);
    nothing(&api);
    // The schema contains no property that no command prints.
    let unmet: Vec<String> = check.schema.properties().difference(&check.met).cloned().collect();
    assert_eq!(unmet, [""; 0]);
}

/// Reports about visitors: an old copy, with another one for phones; and a refusal with more URLs than are listed.
fn visits(check: &mut SchemaCheck, api: &Api, dir: &Dir) {
    let edge = Edge::start(|path, head| match path {
        "/new" => Page::new("MISS"),
        "/old" => Page::new("HIT").header(if head.contains("iPhone") { "Age: 500000" } else { "Age: 86400" }),
        _ => Page::new("").status("403 Forbidden"),
    });
    let visit = |line: &str| {
        cfcache(api)
            .args(line)
            .args("--visitor-rate 100000 --verify-timeout 0.4")
            .arg("--verify-connect")
            .arg(edge.at())
    };
    let old = "purge urls https://www.example.com/old --verify=1 --verify-url https://www.example.com/old";
    check.one(visit(old).args("--output json"), 6, "report");
    check.lines(visit(old).args("--output ndjson"), 6);
    let many = urls(1002);
    check.one(visit("purge urls --from - --verify=all --json").input(many.as_str()), 6, "report");
    let sample = visit("purge urls --from - --verify=2 --json").input(many.as_str());
    check.one(sample, 6, "report");
    let journaled = || {
        let purge = visit("purge urls https://www.example.com/new --verify");
        purge.arg("--journal").arg(dir.at("verified"))
    };
    check.one(journaled().arg("--json"), 0, "report");
    // Verified in an earlier run.
    check.one(journaled().arg("--json"), 0, "report");
    let warm =
        cfcache(api).args("purge urls --from - --warm --visitor-rate 100000 --verify-connect").arg(edge.at());
    check.one(warm.args("--json").input(many.as_str()), 1, "report");
    let warm =
        cfcache(api).args("purge urls --from - --warm --visitor-rate 100000 --verify-connect").arg(edge.at());
    check.lines(warm.args("--output ndjson").input(many.as_str()), 1);
}

fn purges(check: &mut SchemaCheck, api: &Api, dir: &Dir) {
    let odd = |format: &str| cfcache(api).args("purge urls https://www.example.com/* --output").arg(format);
    check.one(odd("json"), 0, "report");
    check.lines(odd("ndjson"), 0);
    for line in [
        "purge urls https://www.example.com/a https://www.example.com/b",
        "purge tags a b a",
        "purge hosts www.example.com",
        "purge prefixes www.example.com/a",
        "purge everything -y",
        "purge everything -e Staging",
        "purge tags a -e Staging",
        "invalidate urls https://www.example.com/a --header CF-Device-Type:mobile",
        "invalidate tags a",
        "invalidate hosts www.example.com",
        "invalidate prefixes www.example.com/a",
        "invalidate everything -y",
    ] {
        check.one(cfcache(api).args(line).arg("--json"), 0, "report");
        check.lines(cfcache(api).args(line).args("--output ndjson"), 0);
    }
    // Errors in a successful answer, one of them with a documentation page.
    let error = |success| {
        format!(
            r#"{{"success":{success},"errors":[{{"code":1,"message":"m","documentation_url":"https://a.example/"}}],"messages":[],"result":null}}"#
        )
    };
    for (status, success, code) in [(200, true, 0), (400, false, 1)] {
        let api = Api::with_fault(&format!("status={status},processed=yes,body={}", error(success)));
        check.one(cfcache(&api).args("purge tags a --json"), code, "report");
        check.lines(cfcache(&api).args("purge tags a --output ndjson"), code);
    }
    let journaled = || {
        let purge = cfcache(api).args("purge urls --from -").input(urls(300));
        purge.arg("--journal").arg(dir.at("journal"))
    };
    check.lines(journaled().args("--output ndjson"), 0);
    // Accepted in an earlier run: nothing is sent, so there is no batch.
    check.one(journaled().arg("--json"), 0, "report");
    check.one(journaled().args("--output ndjson"), 0, "summary");
}

fn changed(check: &mut SchemaCheck, api: &Api, dir: &Dir) {
    std::fs::create_dir(dir.at("site")).unwrap();
    dir.file("site/index.html", "1");
    dir.file("site/a.css", "1");
    let run = || {
        let cmd = cfcache(api).args("purge changed --url https://www.example.com --state");
        cmd.arg(dir.at("site.state")).arg(dir.at("site"))
    };
    check.one(run().arg("--json"), 0, "report");
    check.one(run().arg("--json"), 0, "report");
    dir.file("site/index.html", "2");
    check.one(run().args("--begin --json"), 0, "report");
    check.lines(run().args("--output ndjson"), 0);
    check.one(run().args("--output ndjson"), 0, "summary");
    dir.file("site/index.html", "3");
    check.one(run().arg("--dry-run"), 0, "request");
}

fn failures(check: &mut SchemaCheck) {
    // Some entries fail, with invalid ones; and more of them than are listed.
    let refuses = "status=400,code=9999,after=1";
    for (count, form) in [(250, "report"), (1500, "report"), (1500, "lines")] {
        let api = Api::with_fault(refuses);
        let purge = cfcache(&api).args("purge urls --concurrency 1 --on-invalid skip --from -");
        let purge = purge.input(format!("{}nonsense\n{}", urls(count), urls(2)));
        match form {
            "lines" => check.lines(purge.args("--output ndjson"), 2),
            _ => drop(check.one(purge.arg("--json"), 2, form)),
        }
    }
    // All entries fail, in each way.
    for (fault, code) in [
        ("status=400,code=9999", 1),
        ("status=401,code=10000", 3),
        ("status=429,retry-after=3600", 4),
        ("reset-before", 5),
        ("html", 5),
        ("success-false,code=0", 1),
    ] {
        for what in ["tags a", "everything -y"] {
            let api = Api::with_fault(fault);
            let purge = || cfcache(&api).arg("purge").args(what).args("--max-retries 0");
            check.one(purge().arg("--json"), code, "report");
            check.lines(purge().args("--output ndjson"), code);
        }
    }
    // Cancelled before the end of the input.
    let purge = |api: &Api| {
        let purge = cfcache(api).args("purge urls --max-wait 5 --no-rate-limit --from -");
        purge.input(urls(20_000))
    };
    let locked = || Api::with_fault("status=429,retry-after=700,after=3");
    check.one(purge(&locked()).arg("--json"), 4, "report");
    check.lines(purge(&locked()).args("--output ndjson"), 4);
}

fn several_zones(check: &mut SchemaCheck, dir: &Dir) {
    let config = Config::new(Plan::Free)
        .with_limits(false)
        .with_zone(Zone::new("11111111111111111111111111111111", "example.com"))
        .with_zone(Zone::new("33333333333333333333333333333333", "example.net"));
    let api = Api::start(config);
    let list = dir.file("both", "https://a.example.com/\nhttps://example.net/\nhttps://example.org/\n");
    let purge = || {
        let purge = bare().env("CLOUDFLARE_BASE_URL", api.base()).env("CLOUDFLARE_API_TOKEN", TOKEN);
        purge.args("purge urls --from").arg(&list)
    };
    check.one(purge().arg("--json"), 1, "report");
    check.lines(purge().args("--output ndjson"), 1);
}

fn dry_runs(check: &mut SchemaCheck) {
    for line in [
        "purge urls https://www.example.com/a",
        "invalidate everything -e Staging",
        "reserve set on",
        "reserve clear",
        "regional-tiered set on",
        "smart-tiered set off",
        "smart-tiered delete",
        "tiered-cache set on",
        "development-mode set on",
        "variants set jpeg=image/webp",
        "variants delete",
        "origin-regions set 192.0.2.1 --vendor aws --region us-east-1",
        "origin-regions delete 192.0.2.1",
        "origin-regions delete 192.0.2.1 192.0.2.2",
        "cache-level set basic",
        "browser-cache-ttl set 0",
        "always-online set on",
        "sort-query-string set on",
    ] {
        check.one(bare().args("-z example.com --dry-run").args(line), 0, "request");
    }
    let import = bare().args("-z example.com --dry-run origin-regions import -");
    check.one(import.input("192.0.2.1 aws us-east-1\n"), 0, "request");
}

fn settings(check: &mut SchemaCheck, api: &Api, dir: &Dir) {
    for line in [
        "reserve status",
        "reserve get",
        "reserve clear -y",
        "reserve status",
        "regional-tiered get",
        "regional-tiered set on",
        "regional-tiered set on",
        "smart-tiered get",
        "smart-tiered set on",
        "smart-tiered delete -y",
        "smart-tiered delete -y",
        "tiered-cache get",
        "tiered-cache set on",
        "development-mode get",
        "development-mode set on",
        "development-mode set off",
        "cache-level get",
        "cache-level set basic",
        "browser-cache-ttl get",
        "browser-cache-ttl set 0",
        "always-online get",
        "always-online set on",
        "sort-query-string get",
        "sort-query-string set on",
        "variants get",
        "variants delete -y",
        "variants set jpeg=image/webp",
        "variants set jpeg=image/webp",
        "variants get",
        "variants delete -y",
        "origin-regions supported",
        "origin-regions list",
        "origin-regions set 192.0.2.1 --vendor aws --region us-east-1",
        "origin-regions get 192.0.2.1",
        "origin-regions list",
        "origin-regions delete 192.0.2.1 -y",
    ] {
        for format in ["--json", "--output ndjson"] {
            // The second time, some settings are missing or unchanged; both print a result.
            check.one(cfcache(api).args(line).args(format), 0, "result");
            if line.contains("origin-regions delete") {
                break;
            }
        }
    }
    check.one(cfcache(api).args("settings --json"), 0, "settings");
    check.one(cfcache(api).args("settings --output ndjson"), 0, "settings");
    // A setting that the plan lacks is an answer, and an unreadable one is a failure: each on its line.
    check.one(cfcache(&Api::quick()).args("settings --json"), 0, "settings");
    let broken = Api::with_fault("status=503,on=get_variants");
    check.one(cfcache(&broken).args("settings --json --max-retries 0"), 5, "settings");

    let mappings = dir.file("mappings", "192.0.2.1 aws us-east-1\n192.0.2.2 aws mars-1\n");
    for format in ["--json", "--output ndjson"] {
        let import = cfcache(api).args("origin-regions import").arg(&mappings).args(format);
        check.one(import, 1, "imported");
    }
    let broken = Api::with_fault("status=400,code=9999,on=all");
    check.one(cfcache(&broken).args("origin-regions import --json").arg(&mappings), 1, "imported");
}

fn others(check: &mut SchemaCheck, api: &Api, dir: &Dir) {
    for line in ["zones list", "environments list", "token verify"] {
        check.one(cfcache(api).args(line).arg("--json"), 0, "result");
        check.one(cfcache(api).args(line).args("--output ndjson"), 0, "result");
    }
    let file = dir.file("config.toml", "[zones]\n\"example.com\" = \"11111111111111111111111111111111\"\n");
    check.one(cfcache(api).args("config show --json"), 0, "config");
    check.one(bare().args("config show --output ndjson --config").arg(&file), 0, "config");
}

/// Without any result there is no data, and so no object with an error.
fn nothing(api: &Api) {
    for line in [
        "purge urls nonsense",
        "purge tags",
        "purge everything",
        "purge tags a -z missing.example",
        "origin-regions get 192.0.2.9",
        "reserve set maybe",
        "zones list --no-such-option",
    ] {
        let ran = cfcache(api).args(line).arg("--json").run();
        assert_ne!(ran.code, Some(0), "{ran:?}");
        ran.says_nothing();
    }
}

#[test]
fn the_schema_refuses_invalid_reports() {
    let schema = schema();
    let ran = cfcache(&Api::quick()).args("purge tags a --json").run();
    let report = ran.report();
    assert_eq!(schema.check(&report), Ok(()));
    let with = |key: &str, value: Value| {
        let mut changed = report.clone();
        changed[key] = value;
        changed
    };
    let mut less = report.clone();
    less.as_object_mut().unwrap().remove("retries");
    for wrong in [
        less,
        with("more", json!(1)),
        with("kind", json!("cookies")),
        with("operation", json!("remove")),
        with("items", json!("1")),
        with("elapsed_ms", json!(1.5)),
        with("failures_omitted", json!(0)),
        with("incomplete", json!(false)),
        with("zones", json!([])),
        with("event", json!("batch")),
        with("failures", json!([{ "item": "a", "error": { "code": 0, "message": "" } }])),
        with("failures", json!([{ "item": "a", "error": "refused" }])),
    ] {
        assert!(schema.check(&wrong).is_err(), "{wrong}");
    }
}
