//! Shared by several tests.

pub(crate) mod api;
pub(crate) mod chaos;
pub(crate) mod postgres;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_queue::{NewRequest, Subject};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Proptest prints a failing case with its seed, and writes the seed to a file next to the test. Commit that file with
/// the fix.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// Creates a purge request in one zone.
pub(crate) fn purge(kind: &str, key: &str) -> NewRequest {
    NewRequest {
        zone: "example.com".to_owned(),
        environment: None,
        action: Action::Purge,
        subject: Subject::parse(kind, key).unwrap().unwrap(),
        priority: 0,
        delay: Duration::ZERO,
        source: None,
        event: None,
    }
}

pub(crate) fn invalidate(kind: &str, key: &str) -> NewRequest {
    NewRequest { action: Action::Invalidate, ..purge(kind, key) }
}

/// Requests that often cover each other, in one of two zones, in all valid spellings.
pub(crate) fn requests() -> impl Strategy<Value = NewRequest> {
    let host = "(a|b|A|ab)\\.example";
    let path = "(/(a|b|ab)?){0,2}";
    let url = "(https|http)://(u@)?(a|b|A)\\.example(:443)?(/(a|b|ab)?){0,2}(\\?a)?(#f)?";
    let subject = prop_oneof![
        1 => Just(("everything", String::new())),
        3 => "[abAB]".prop_map(|tag| ("tags", tag)),
        3 => (host, prop_oneof![4 => Just(""), 1 => Just(":443")]).prop_map(|(host, port)| ("hosts", host + port)),
        5 => (host, path).prop_map(|(host, path)| ("prefixes", host + &path)),
        5 => (url, prop::option::of("[xy]")).prop_map(|(url, header)| {
            let text = match header {
                Some(value) => format!(r#"{{"url":"{url}","headers":{{"X-Key":"{value}"}}}}"#),
                None => url,
            };
            ("files", text)
        }),
    ];
    let environment =
        prop_oneof![3 => Just(None), 1 => Just(Some("e1".to_owned())), 1 => Just(Some("e2".to_owned()))];
    (subject, environment, prop::bool::weighted(0.3), prop::bool::weighted(0.1)).prop_map(
        |((kind, key), environment, invalidates, elsewhere)| {
            let request = if invalidates { invalidate(kind, &key) } else { purge(kind, &key) };
            let zone = if elsewhere { "other.example".to_owned() } else { request.zone.clone() };
            NewRequest { environment, zone, ..request }
        },
    )
}

/// A temporary folder, deleted on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("cfcache-queue-folder-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be deleted is left to the system.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
