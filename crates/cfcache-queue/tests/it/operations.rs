//! Checks that the files in `docs/queue` use existing metrics, labels and commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cfcache_model::endpoint::Action;
use cfcache_queue::metrics::{EndedRequest, MergeReason, Metrics};
use cfcache_queue::{BudgetStatus, DeadRequest, KindStatus, QueueStatus};
use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names of all metrics as in Prometheus, and of all labels.
fn exposed() -> (BTreeSet<String>, BTreeSet<String>) {
    let metrics = Metrics::new();
    metrics.stored("a", "files", 1);
    metrics.rejected("a", "invalid");
    metrics.waited(Duration::ZERO);
    metrics.merged(MergeReason::Same, 1);
    metrics.purge(EndedRequest {
        at: SystemTime::UNIX_EPOCH,
        zone: "a".to_owned(),
        kind: "files",
        items: 1,
        outcome: "accepted",
        elapsed: Duration::ZERO,
    });
    let mut status = QueueStatus::default();
    status.dead_tuples = Some(0);
    status.oldest_transaction = Some(Duration::ZERO);
    status.budgets.push(BudgetStatus { name: "a".to_owned(), tokens: 0.0, blocked_for: Duration::ZERO });
    let text = metrics.encode(Some(&status));
    let (mut names, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        names.insert(name.to_owned());
        labels.extend(labels_in(rest));
    }
    (names, labels)
}

/// Returns the text before each `=` in braces.
fn labels_in(text: &str) -> Vec<String> {
    let inside = text.split('{').skip(1).filter_map(|part| part.split('}').next());
    let pairs = inside.flat_map(|inside| inside.split(','));
    let names = pairs.filter_map(|pair| pair.split_once('='));
    names.map(|(name, _)| name.trim().trim_end_matches(['!', '~']).to_owned()).collect()
}

/// Returns the words that start like the names of these metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let ours = ["cfcache_queue_", "cfcache_purge_", "cfcache_budget_", "cfcache_db_"];
    let words = text.split(|char| !is_word(char));
    words.filter(|word| ours.iter().any(|begin| word.starts_with(begin))).map(str::to_owned).collect()
}

/// Returns the expressions of the dashboard and the alerts.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("queue/grafana.json")).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    // An expression is on its line, or on the more indented lines below `>-`.
    let alerts = read("queue/alerts.yml");
    let mut lines = alerts.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((indent, expression)) = line.split_once("expr: ") else { continue };
        let mut expression = expression.trim_start_matches(">-").to_owned();
        while let Some(more) = lines.next_if(|next| next.len() - next.trim_start().len() > indent.len()) {
            expression.push_str(more);
        }
        expressions.push(expression);
    }
    expressions
}

#[test]
fn dashboard_and_alerts_use_existing_metrics_and_labels() {
    let (names, mut labels) = exposed();
    // Prometheus adds these labels.
    labels.extend(["instance", "job"].map(str::to_owned));
    let expressions = expressions();
    assert!(expressions.len() > 20, "{}", expressions.len());
    let mut used = BTreeSet::new();
    for expression in &expressions {
        let found = metrics_in(expression);
        let unknown: Vec<_> = found.difference(&names).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
        assert!(!found.is_empty() || expression.starts_with("up{"), "{expression}");
        let by = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let by = by.flat_map(|list| list.split(',')).map(|label| label.trim().to_owned());
        for label in by.chain(labels_in(expression)) {
            assert!(labels.contains(&label), "label {label} in {expression}");
        }
        used.extend(found);
    }
    // Metrics that nobody uses should not exist.
    let of_histogram =
        ["cfcache_queue_wait_seconds_sum", "cfcache_queue_wait_seconds_count"].map(str::to_owned);
    let unused: Vec<_> = names.difference(&used).filter(|name| !of_histogram.contains(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn docs_list_exactly_the_existing_metrics() {
    let (names, _) = exposed();
    let bare = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let documented: BTreeSet<String> = metrics_in(&read("queue.md")).iter().map(|name| bare(name)).collect();
    let exposed: BTreeSet<String> = names.iter().map(|name| bare(name)).collect();
    assert_eq!(documented, exposed);
}

/// The JSON of `status --json` and `/status.json` equals the example in the docs.
#[test]
fn status_json_equals_the_documented_example() {
    let mut status = QueueStatus::default();
    for (kind, waiting, oldest) in [("tags", 2, 1200), ("files", 1234, 90_500)] {
        let (kind, oldest) = (kind.to_owned(), Duration::from_millis(oldest));
        status.kinds.push(KindStatus { kind, waiting, oldest });
    }
    let (name, blocked_for) = ("default/pro/urls".to_owned(), Duration::ZERO);
    status.budgets.push(BudgetStatus { name, tokens: 1499.7, blocked_for });
    status.dead_count = 1;
    status.dead.push(DeadRequest {
        id: 7,
        zone: "example.com".to_owned(),
        environment: None,
        action: Action::Purge,
        kind: "tags".to_owned(),
        key: "news".to_owned(),
        attempts: 20,
        reason: "attempts".to_owned(),
        last_error: "HTTP 500".to_owned(),
    });
    status.dead_tuples = Some(12);
    status.oldest_transaction = Some(Duration::from_secs(3));
    let document = read("queue.md");
    let (_, section) = document.split_once("### As JSON").unwrap();
    let (_, block) = section.split_once("```json\n").unwrap();
    let documented: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    assert_eq!(status.to_json(), documented);
}

#[test]
fn the_systemd_unit_starts_serve_without_privileges() {
    let unit = read("queue/cfcache-queue.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(command.starts_with("/usr/bin/cfcache-queue serve"), "{command}");
    for line in ["DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}
