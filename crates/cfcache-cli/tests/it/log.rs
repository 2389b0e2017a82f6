//! `--log-format` and `CFCACHE_LOG`: standard error as a log.

use serde_json::Value;

use crate::support::{Api, Ran, cfcache};

/// Parses the lines of standard error, each of which must be a JSON object.
fn lines(ran: &Ran) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}: {ran:?}"));
    ran.err.lines().map(parse).collect()
}

#[test]
fn json_logs_contain_each_request_and_message() {
    let api = Api::with_fault("status=503,times=1");
    let ran = cfcache(&api).args("purge tags a b --log-format json -v").env("CFCACHE_LOG", "info").run();
    ran.exits(0);
    let lines = lines(&ran);
    let spans = |name: &str| lines.iter().filter(|line| line["span"] == name).collect::<Vec<_>>();
    let statuses: Vec<&Value> = spans("request").iter().map(|span| &span["status"]).collect();
    assert_eq!(statuses, [503, 200], "{ran:?}");
    assert_eq!(spans("connect").len(), 1);
    for (index, exchange) in spans("exchange").iter().enumerate() {
        assert_eq!(exchange["spans"][0]["attempt"], index + 1);
        assert!(exchange["elapsed_ms"].is_f64() && exchange["level"] == "INFO");
    }
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.iter().any(|message| message.starts_with("POST /")), "{messages:?}");
}

#[test]
fn a_failure_is_one_json_line_with_its_causes_and_exit_code() {
    let ran = cfcache(&Api::quick()).args("purge tags a --log-format json --header x").run();
    // clap's errors are reported before the log format is known.
    assert!(ran.exits(2).err.starts_with("error: "), "{ran:?}");
    let ran = cfcache(&Api::quick()).args("purge tags a,b --log-format json").run();
    ran.exits(2);
    let [line] = &lines(&ran)[..] else { panic!("{ran:?}") };
    assert_eq!((&line["level"], &line["exit_code"]), (&"ERROR".into(), &2.into()));
    assert!(line["causes"].as_str().unwrap().contains("`a,b`"), "{ran:?}");
}

#[test]
fn only_cfcache_log_adds_log_lines_in_text_format() {
    let api = Api::quick();
    let ran = cfcache(&api).args("purge tags a -v").env("CFCACHE_LOG", "warn,cfcache_client=info").run();
    ran.exits(0);
    ran.tells("  INFO cfcache_client: request ").tells("POST /");
    assert!(!ran.err.contains("cfcache_transport"), "{ran:?}");
    let ran = cfcache(&api).args("purge tags a").env("CFCACHE_LOG", "warn").run();
    assert_eq!(ran.exits(0).err, "");
    // By default, each request is logged, but not the events that led to it.
    let ran = cfcache(&api).args("purge tags a --log-format json").run();
    let [request] = &lines(&ran)[..] else { panic!("{ran:?}") };
    assert_eq!((&request["span"], &request["status"]), (&"request".into(), &200.into()));
}

#[test]
fn an_invalid_filter_is_a_usage_error() {
    let ran = cfcache(&Api::quick()).args("purge tags a").env("CFCACHE_LOG", "loud").run();
    ran.exits(2).tells("error: `CFCACHE_LOG`: `loud` is not a level");
}
