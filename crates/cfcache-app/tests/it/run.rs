//! Runs jobs to a report, with a console that records its calls.

use core::time::Duration;
use std::cell::RefCell;

use cfcache_app::config::EnvVars;
use cfcache_app::connection::{Api, Connection};
use cfcache_app::console::Console;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_app::job::{Destination, EverythingJob, IdOrName, Job, ListJob, Scope, Targets};
use cfcache_app::purge;
use cfcache_app::report::{BatchEvent, Report};
use cfcache_model::endpoint::{Action, example};
use cfcache_model::id::ZoneId;
use cfcache_model::target::Kind;
use tokio::sync::watch;

/// Records its calls.
#[derive(Default)]
struct RecordingConsole {
    lines: RefCell<Vec<String>>,
    confirms: bool,
    /// Counts the requests to stop.
    interrupts: watch::Sender<u8>,
}

impl RecordingConsole {
    fn add(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }
}

impl Console for RecordingConsole {
    fn say(&self, line: &str) {
        self.add(line);
    }

    fn say_once(&self, line: &str) {
        self.add(line);
    }

    fn note(&self, line: &str) {
        self.add(line);
    }

    fn failure(&self, failure: &Failure) -> Exit {
        self.add(&failure.message);
        failure.exit
    }

    fn data(&self, line: &str) {
        self.add(line);
    }

    fn confirm(&self, question: &str) -> Result<(), Failure> {
        self.add(question);
        if self.confirms { Ok(()) } else { Err(Failure::usage("not confirmed")) }
    }

    fn interrupts(&self) -> watch::Receiver<u8> {
        self.interrupts.subscribe()
    }

    fn run_started(&self, kind: Kind, total: Option<u64>, _estimate: Box<dyn Fn(u64) -> Duration>) {
        self.add(format!("started: {kind:?} {total:?}"));
    }

    fn batch(&self, batch: &BatchEvent<'_>) {
        self.add(format!("batch {}: {} accepted={}", batch.batch, batch.items, batch.accepted));
    }

    fn run_ended(&self) {
        self.add("ended");
    }
}

fn connection() -> Connection {
    Connection {
        api: Api::Emulator { zone_id: example::ZONE_ID.to_owned(), zone_name: example::ZONE_NAME.to_owned() },
        plan: None,
        pacing: true,
        concurrency: None,
        max_retries: None,
        timeout: None,
        max_wait: None,
    }
}

fn scope() -> Scope {
    Scope {
        zone: IdOrName::Id(ZoneId::parse(example::ZONE_ID).expect("an example is valid")),
        environment: None,
    }
}

fn list(urls: &[&str]) -> Job {
    Job::List(Box::new(ListJob {
        action: Action::Purge,
        visits: None,
        destination: Destination::Zone(scope()),
        targets: Targets {
            action: Some(Action::Purge),
            kind: Kind::Files,
            arguments: urls.iter().map(|url| (*url).to_owned()).collect(),
            files: Vec::new(),
            headers: Vec::new(),
            skips_invalid: false,
            sitemaps: Vec::new(),
            base: None,
            null: false,
            strict: false,
        },
        connection: connection(),
        failed_to: None,
        journal: None,
        batch_size: None,
    }))
}

fn everything() -> Job {
    Job::Everything(Box::new(EverythingJob {
        action: Action::Invalidate,
        visits: None,
        scope: scope(),
        connection: connection(),
        yes: false,
    }))
}

/// Runs a job after this many interrupts.
fn run(job: Job, console: &RecordingConsole, interrupts: u8) -> Result<Report, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    console.interrupts.send_replace(interrupts);
    runtime.block_on(purge::run(job, console))
}

#[test]
fn a_list_gives_a_report_and_batch_events() {
    let console = RecordingConsole::default();
    let report = run(list(&["https://example.com/a", "https://example.com/b"]), &console, 0).unwrap();
    assert_eq!(report.exit, Exit::Accepted);
    assert_eq!((report.items, report.accepted, report.requests), (2, 2, 1));
    assert_eq!(report.zone.as_deref(), Some(example::ZONE_ID));
    let expected = ["started: Files Some(2)", "batch 0: 2 accepted=true", "ended"];
    assert_eq!(*console.lines.borrow(), expected);
}

#[test]
fn an_invalid_entry_fails_before_anything_is_sent() {
    let console = RecordingConsole::default();
    let failure = run(list(&["https://example.com/a", "ftp://example.com/b"]), &console, 0).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.causes[0].starts_with("argument 2: "), "{:?}", failure.causes);
    assert!(console.lines.borrow().is_empty());
}

#[test]
fn everything_needs_confirmation_by_the_console() {
    let refusing = RecordingConsole::default();
    assert_eq!(run(everything(), &refusing, 0).unwrap_err().message, "not confirmed");
    assert_eq!(refusing.lines.borrow().len(), 1);

    let confirming = RecordingConsole { confirms: true, ..RecordingConsole::default() };
    let report = run(everything(), &confirming, 0).unwrap();
    assert_eq!((report.operation, report.accepted, report.exit), ("invalidate", 1, Exit::Accepted));
    assert_eq!(confirming.lines.borrow().last().unwrap(), "batch 0: 1 accepted=true");
}

#[test]
fn a_dry_run_writes_the_requests_to_the_console() {
    let console = RecordingConsole::default();
    assert_eq!(purge::dry_run(list(&["https://example.com/a"]), &console).unwrap(), Exit::Accepted);
    let lines = console.lines.borrow();
    assert!(lines[0].contains(r#""body":{"files":["https://example.com/a"]}"#), "{lines:?}");
    assert_eq!(lines[1], "would send 1 URL in 1 request");
}

#[test]
fn credentials_come_only_from_the_given_environment() {
    let environment = EnvVars::read_all(|name| match name {
        "CLOUDFLARE_ZONE_ID" => Ok("example.com".to_owned()),
        "CLOUDFLARE_EMAIL" => Ok(" ".to_owned()),
        "CF_ZONE" => Ok("x".to_owned()),
        _ => Err(std::env::VarError::NotPresent),
    });
    assert_eq!(environment.zone.as_deref(), Some("example.com"));
    assert_eq!(
        (environment.email.as_deref(), environment.empty.as_slice()),
        (None, &["CLOUDFLARE_EMAIL".to_owned()][..])
    );
    assert!(environment.home.is_none());
    assert_eq!(environment.unread(&["CLOUDFLARE_ZONE_ID"]).len(), 1);
}

#[cfg(unix)]
#[test]
fn relative_xdg_folders_are_ignored() {
    let environment = EnvVars::read_all(|name| match name {
        "XDG_CONFIG_HOME" => Ok("config".to_owned()),
        "XDG_STATE_HOME" => Ok("/state".to_owned()),
        "HOME" => Ok("/me".to_owned()),
        _ => Err(std::env::VarError::NotPresent),
    });
    assert_eq!(environment.config_home.as_deref(), Some("/me/.config".as_ref()));
    assert_eq!(environment.state_home.as_deref(), Some("/state".as_ref()));
}
