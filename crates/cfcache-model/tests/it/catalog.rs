//! The error codes.

use std::collections::BTreeSet;
use std::fmt::Write;

use cfcache_model::catalog::{CATALOG, Explanation, explain};
use cfcache_model::endpoint;
use cfcache_model::verdict::Class;

use crate::support::{endpoint as named, judged};

fn name(entry: &Explanation) -> String {
    format!("{} {:?} {:?}", entry.code, entry.area, entry.statuses)
}

#[test]
fn finds_every_entry() {
    for entry in CATALOG {
        let reached = endpoint::all().any(|endpoint| {
            let statuses = if entry.statuses.is_empty() { &[400][..] } else { entry.statuses };
            statuses.iter().any(|status| {
                explain(endpoint, *status, entry.code).is_some_and(|found| std::ptr::eq(found, entry))
            })
        });
        assert!(reached, "nothing leads to {}", name(entry));
    }
}

#[test]
fn no_two_entries_match_equally_well() {
    let mut seen = BTreeSet::new();
    for entry in CATALOG {
        // An entry without statuses is ranked below entries with statuses.
        let statuses = match entry.statuses {
            [] => vec![None],
            statuses => statuses.iter().copied().map(Some).collect(),
        };
        for status in statuses {
            assert!(seen.insert((entry.code, entry.area, status)), "{} is there twice", name(entry));
        }
    }
}

#[test]
fn explanations_are_fragments() {
    for entry in CATALOG {
        for text in [entry.meaning, entry.cure] {
            assert!(!text.is_empty() && !text.ends_with('.') && text.trim() == text, "{}", name(entry));
        }
        assert_ne!(entry.class, Class::Unclear, "{}", name(entry));
    }
}

/// A code with several meanings: the entry with the most matching conditions is used.
#[test]
fn the_most_specific_entry_is_used() {
    let class = |endpoint, status, code| explain(named(endpoint), status, code).map(|entry| entry.class);
    assert_eq!(class("purge_zone_cache", 403, 10000), Some(Class::Credentials));
    assert_eq!(class("purge_zone_cache", 429, 10000), Some(Class::RateLimited));
    assert_eq!(class("verify_token", 401, 1000), Some(Class::Credentials));
    assert_eq!(class("verify_token", 400, 1001), Some(Class::Credentials));
    assert_eq!(class("purge_zone_cache", 400, 1001), Some(Class::Missing));
    assert_eq!(class("list_zones", 400, 1016), None, "purging alone knows it");
    assert_eq!(class("purge_zone_cache", 400, 100_114), None);
    assert_eq!(class("purge_zone_cache", 400, 0), None);
}

/// An inner error explains more than the outer one.
#[test]
fn explains_the_innermost_known_error() {
    let body = r#"{"success":false,"errors":[
        {"code":99999,"message":"unknown"},
        {"code":6003,"message":"Invalid request headers","error_chain":[
            {"code":6111,"message":"Invalid format for Authorization header"},
            {"code":99998,"message":"unknown"}]},
        {"code":7003,"message":"later"}],"messages":[],"result":null}"#;
    let failure = judged(400, body).unwrap_err();
    assert_eq!(failure.explanation.map(|entry| entry.code), Some(6111));
    assert_eq!(failure.code(), 99999, "the first code is the API's own headline");
}

/// A snapshot of all explanations, for review.
#[test]
fn all_explanations() {
    let mut shown = String::new();
    for entry in CATALOG {
        let area = entry.area.map_or("any".to_owned(), |area| format!("{area:?}"));
        let statuses =
            if entry.statuses.is_empty() { String::new() } else { format!(" {:?}", entry.statuses) };
        writeln!(shown, "{area}{statuses} {} {:?} ({:?})", entry.code, entry.class, entry.evidence).unwrap();
        writeln!(shown, "    {}\n    hint: {}", entry.meaning, entry.cure).unwrap();
    }
    insta::assert_snapshot!(shown);
}
