//! What several of the tests need.

pub(crate) mod postgres;

use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_queue::{NewRequest, Subject};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// A failing case is printed with its seed, which goes into a file beside the test, to be committed with the fix.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// A request to purge something in one zone.
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
