//! Batches: nothing is lost, no limit is exceeded, the order is kept.

use cfcache_model::limits::DEFAULT_BODY_BYTES;
use cfcache_model::plan::{Batch, BatchLimits, DUPLICATE_WINDOW, Dedupe, Entry, Planner};
use cfcache_model::target::{Kind, Target};
use cfcache_model::{Plan, PurgeBody};
use proptest::prelude::*;

use crate::support::config;

fn target(kind: Kind, text: &str) -> Target {
    Target::parse(kind, text).unwrap()
}

/// Targets of one kind, with duplicates; with all kinds of escapes, and files with and without headers.
fn targets() -> impl Strategy<Value = (Kind, Vec<Target>)> {
    let word = "[a-c]{1,3}";
    let odd = "[a-cA-C\"/é𝕏\u{200b}]{0,6}";
    let url = prop_oneof![
        5 => word.prop_map(|word| format!("https://a.example/{word}")),
        2 => odd.prop_map(|odd| format!("https://a.example/{odd}")),
    ];
    let headers = prop_oneof![
        6 => Just(String::new()),
        1 => Just(r#","headers":{"CF-Device-Type":"mobile"}"#.to_owned()),
        1 => "[a-c\"\\\\é]{0,3}".prop_map(|value| {
            let value = serde_json::Value::from(value);
            format!(r#","headers":{{"X-Key":{value},"CF-IPCountry":"US"}}"#)
        }),
    ];
    let file = (url, headers).prop_map(|(url, headers)| {
        target(Kind::Files, &format!(r#"{{"url":{}{headers}}}"#, serde_json::Value::from(url)))
    });
    let tag = "[a-cA-C\"\\\\]{1,3}".prop_map(|text| target(Kind::Tags, &text));
    let host = "[a-cé]{1,3}".prop_map(|text| target(Kind::Hosts, &text));
    let prefix = "[a-c]{0,2}(/[a-c/\"]{0,4})?".prop_map(|text| target(Kind::Prefixes, &format!("a{text}")));
    prop_oneof![
        4 => prop::collection::vec(file, 0..60).prop_map(|all| (Kind::Files, all)),
        2 => prop::collection::vec(tag, 0..60).prop_map(|all| (Kind::Tags, all)),
        1 => prop::collection::vec(host, 0..60).prop_map(|all| (Kind::Hosts, all)),
        1 => prop::collection::vec(prefix, 0..60).prop_map(|all| (Kind::Prefixes, all)),
    ]
}

/// Returns whether two targets are equal to the API: tags are compared without case, headers without order and without
/// the case of their names.
fn same(one: &Target, other: &Target) -> bool {
    let key = |target: &Target| match target {
        Target::Tags(tag) => (tag.as_str().to_ascii_lowercase(), Vec::new()),
        Target::Files(file) => {
            let mut headers: Vec<_> = file
                .headers()
                .iter()
                .map(|header| (header.name().to_ascii_lowercase(), header.value().to_owned()))
                .collect();
            headers.sort();
            (file.url().as_str().to_owned(), headers)
        }
        other => (other.text().into_owned(), Vec::new()),
    };
    key(one) == key(other)
}

fn without_duplicates(targets: &[Target]) -> Vec<Target> {
    let mut kept: Vec<Target> = Vec::new();
    for target in targets {
        if !kept.iter().any(|have| same(have, target)) {
            kept.push(target.clone());
        }
    }
    kept
}

fn of(batch: &Batch) -> Vec<Target> {
    batch.entries().iter().map(|entry| entry.target.clone()).collect()
}

fn body_bytes(targets: &[Target]) -> usize {
    PurgeBody::from_targets(targets.iter().cloned()).unwrap().to_json().len()
}

fn drain(planner: &mut Planner) -> Vec<Batch> {
    std::iter::from_fn(|| planner.finish()).collect()
}

proptest! {
    #![proptest_config(config())]

    /// All guarantees of the planner, checked on the serialized bodies. A batch is closed only if the next target would
    /// exceed a limit, so the bytes are counted exactly.
    #[test]
    fn batches_respect_order_limits_and_duplicates(
        (kind, targets) in targets(),
        items in 1_usize..12,
        bytes in prop_oneof![1 => 0_usize..400, 1 => Just(DEFAULT_BODY_BYTES)],
    ) {
        let caps = BatchLimits::new(items).with_bytes(bytes);
        let mut planner = Planner::new(kind, caps);
        let mut batches = Vec::new();
        for target in &targets {
            batches.extend(planner.push(target.clone()).unwrap());
        }
        let at_the_end = drain(&mut planner);
        prop_assert!(at_the_end.len() <= 1);
        batches.extend(at_the_end);

        let planned: Vec<Target> = batches.iter().flat_map(of).collect();
        let expected = without_duplicates(&targets);
        prop_assert_eq!(&planned, &expected);
        prop_assert_eq!(planner.pushed(), targets.len() as u64);
        prop_assert_eq!(planner.duplicates(), (targets.len() - expected.len()) as u64);

        for (index, batch) in batches.iter().enumerate() {
            prop_assert_eq!(batch.kind(), kind);
            prop_assert!(batch.len() <= items);
            let mut entries = of(batch);
            prop_assert!(body_bytes(&entries) <= bytes || batch.len() == 1);
            if let Some(next) = batches.get(index + 1) {
                entries.extend(of(next).first().cloned());
                prop_assert!(entries.len() > items || body_bytes(&entries) > bytes, "closed too early");
            }
        }

        let ordinals: Vec<u64> =
            batches.iter().flat_map(|batch| batch.entries()).map(|entry| entry.ordinal).collect();
        prop_assert!(ordinals.is_sorted());
        for (ordinal, target) in ordinals.iter().zip(&planned) {
            prop_assert_eq!(&targets[*ordinal as usize], target);
        }
    }

    /// Adding many targets at once equals adding them one by one, with any division into chunks.
    #[test]
    fn extending_equals_pushing_one_by_one(
        (kind, targets) in targets(),
        items in 1_usize..12,
        chunk in 1_usize..20,
    ) {
        let (mut one_by_one, mut at_once) =
            (Planner::new(kind, BatchLimits::new(items)), Planner::new(kind, BatchLimits::new(items)));
        let mut expected = Vec::new();
        let mut batches = Vec::new();
        for chunk in targets.chunks(chunk) {
            for target in chunk {
                expected.extend(one_by_one.push(target.clone()).unwrap());
            }
            batches.extend(at_once.push_all(chunk.iter().cloned().map(Entry::from).collect()).unwrap().batches);
        }
        prop_assert_eq!((batches, at_once.finish()), (expected, one_by_one.finish()));
        prop_assert_eq!(at_once.duplicates(), one_by_one.duplicates());
    }

    /// The limits change while a batch is filled: nothing is lost, and no batch exceeds the limits at the time when it
    /// is sent.
    #[test]
    fn limits_may_change_while_a_batch_is_filled(
        (kind, targets) in targets(),
        first in 1_usize..40,
        changes in prop::collection::vec(prop::option::weighted(0.2, 0_usize..40), 60),
        bytes in prop_oneof![1 => 20_usize..400, 1 => Just(DEFAULT_BODY_BYTES)],
    ) {
        let mut planner = Planner::new(kind, BatchLimits::new(first).with_bytes(bytes));
        let mut planned = Vec::new();
        let check = |planner: &Planner, batch: &Batch| {
            assert!(batch.len() <= planner.limits().items, "{} of {}", batch.len(), planner.limits().items);
            assert!(batch.len() == 1 || body_bytes(&of(batch)) <= bytes);
        };
        for (target, change) in targets.iter().zip(changes) {
            if let Some(items) = change {
                planner.set_items(items);
                prop_assert!(planner.limits().items > 0);
            }
            if let Some(batch) = planner.push(target.clone()).unwrap() {
                check(&planner, &batch);
                planned.extend(of(&batch));
            }
        }
        for batch in drain(&mut planner) {
            check(&planner, &batch);
            planned.extend(of(&batch));
        }
        prop_assert_eq!(planned, without_duplicates(&targets));
    }

    /// Compared with a simple implementation: a list of the waiting targets. Batches are sent in any order.
    #[test]
    fn only_unsent_entries_count_as_duplicates(
        (kind, targets) in targets(),
        items in 1_usize..6,
        sends in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 60),
    ) {
        let mut planner = Planner::new(kind, BatchLimits::new(items)).with_dedupe(Dedupe::Unsent);
        let (mut pending, mut queued): (Vec<Target>, Vec<Batch>) = (Vec::new(), Vec::new());
        for (number, (target, send)) in targets.iter().zip(sends).enumerate() {
            let waits = |other: &Target| same(other, target);
            let twin = pending.iter().any(waits) || queued.iter().any(|batch| of(batch).iter().any(waits));
            let entry = Entry::from(target.clone()).with_tag(number as u64);
            let planned = planner.push_all(vec![entry]).unwrap();
            prop_assert_eq!(planned.duplicates.len(), usize::from(twin));
            prop_assert!(planned.duplicates.iter().all(|duplicate| duplicate.tag == number as u64));
            if !twin {
                pending.push(target.clone());
            }
            for batch in planned.batches {
                prop_assert!(of(&batch).iter().eq(&pending));
                pending.clear();
                queued.push(batch);
            }
            if let Some(send) = send.filter(|_| !queued.is_empty()) {
                planner.sent(queued.swap_remove(send.index(queued.len())).entries());
            }
        }
    }

    #[test]
    fn halves_of_a_batch_contain_all_targets((_, targets) in targets()) {
        let Ok(batch) = Batch::from_targets(targets.clone()) else { return Ok(()) };
        match batch.split() {
            None => prop_assert_eq!(batch.len(), 1),
            Some((first, second)) => {
                prop_assert!(first.len() - second.len() <= 1);
                prop_assert_eq!([of(&first), of(&second)].concat(), targets);
            }
        }
    }
}

#[test]
fn a_batch_can_reach_the_byte_limit_exactly() {
    let cases: [(Kind, &[&str]); 4] = [
        (Kind::Tags, &["a", "b\"", "c"]),
        (Kind::Files, &["https://a.example/", "https://b.example/\""]),
        (
            Kind::Files,
            &["https://a.example/", r#"{"url":"https://b.example/","headers":{"X":"\"","Y":"é"}}"#],
        ),
        (Kind::Prefixes, &["a.example/\"", "b.example"]),
    ];
    for (kind, texts) in cases {
        let targets: Vec<Target> = texts.iter().map(|text| target(kind, text)).collect();
        let exact = body_bytes(&targets);
        for (bytes, batches) in [(exact, 1), (exact - 1, 2)] {
            let mut planner = Planner::new(kind, BatchLimits::new(100).with_bytes(bytes));
            let pushed = targets.iter().filter_map(|target| planner.push(target.clone()).unwrap()).count();
            assert_eq!(pushed + drain(&mut planner).len(), batches, "{texts:?} in {bytes} bytes");
        }
    }
}

#[test]
fn a_target_above_the_byte_limit_gets_its_own_batch() {
    let mut planner = Planner::new(Kind::Tags, BatchLimits::new(100).with_bytes(30));
    let long = "l".repeat(100);
    let mut lengths = Vec::new();
    for text in ["a", "b", &long, "c", "d"] {
        lengths.extend(planner.push(target(Kind::Tags, text)).unwrap().map(|batch| batch.len()));
    }
    lengths.extend(drain(&mut planner).iter().map(Batch::len));
    assert_eq!(lengths, [2, 1, 2]);
}

#[test]
fn a_lowered_limit_applies_immediately() {
    let mut planner = Planner::new(Kind::Tags, BatchLimits::new(100));
    let push = |planner: &mut Planner, number: usize| {
        planner.push(target(Kind::Tags, &format!("t{number}"))).unwrap().map(|batch| batch.len())
    };
    assert!((0..99).all(|number| push(&mut planner, number).is_none()));
    planner.set_items(30);
    assert_eq!(push(&mut planner, 99), Some(30));
    assert_eq!(push(&mut planner, 100), Some(30));
    assert_eq!(drain(&mut planner).iter().map(Batch::len).collect::<Vec<_>>(), [30, 11]);
    assert!(planner.finish().is_none());
}

#[test]
fn the_plan_determines_the_batch_size() {
    for plan in Plan::ALL {
        for kind in Kind::ALL {
            let caps = BatchLimits::from_plan(plan.purge_limits(), *kind);
            let expected = if *plan == Plan::Enterprise && *kind == Kind::Files { 500 } else { 100 };
            assert_eq!((caps.items, caps.bytes), (expected, DEFAULT_BODY_BYTES), "{plan} {kind}");
        }
    }
    assert_eq!(BatchLimits::new(0).items, 1, "nothing at all would never be sent");
}

#[test]
fn a_batch_contains_one_kind() {
    let mixed = "`tags` and `hosts` do not go into one request";
    let mut planner = Planner::new(Kind::Tags, BatchLimits::new(10));
    planner.push(target(Kind::Tags, "a")).unwrap();
    assert_eq!(planner.push(target(Kind::Hosts, "a")).unwrap_err().to_string(), mixed);
    let both = ["b", "c"].map(|text| Entry::from(target(Kind::Tags, text)));
    let both = both.into_iter().chain([Entry::from(target(Kind::Hosts, "a"))]);
    assert_eq!(planner.push_all(both.collect()).unwrap_err().to_string(), mixed);
    assert_eq!(planner.pushed(), 1, "what is not taken does not count");
    let both = Batch::from_targets([target(Kind::Tags, "a"), target(Kind::Hosts, "a")]);
    assert_eq!(both.unwrap_err().to_string(), mixed);
}

/// An empty list must never become a request, because an empty request could mean everything.
#[test]
fn an_empty_list_gives_no_batch() {
    let error = PurgeBody::from_targets(Vec::<Target>::new()).unwrap_err().to_string();
    assert_eq!(error, "there is nothing to purge: the list is empty");
    for kind in Kind::ALL {
        assert!(Planner::new(*kind, BatchLimits::new(10)).finish().is_none());
    }
}

#[test]
fn drops_duplicates() {
    let rows = [
        (Kind::Tags, "Foo", "foo", true),
        (Kind::Hosts, "a.example", "A.example", false),
        (Kind::Prefixes, "a.example/b", "a.example/B", false),
        (Kind::Files, "https://a.example/", "https://a.example/", true),
        (Kind::Files, "https://a.example/b", "https://a.example/B", false),
        (Kind::Files, "https://a.example/", r#"{"url":"https://a.example/","headers":{}}"#, true),
        (Kind::Files, "https://a.example/", r#"{"url":"https://a.example/","headers":{"X":""}}"#, false),
        (
            Kind::Files,
            r#"{"url":"https://a.example/","headers":{"X":"1","Y":"2"}}"#,
            r#"{"url":"https://a.example/","headers":{"y":"2","x":"1"}}"#,
            true,
        ),
        (
            Kind::Files,
            r#"{"url":"https://a.example/","headers":{"X":"a"}}"#,
            r#"{"url":"https://a.example/","headers":{"X":"A"}}"#,
            false,
        ),
        // A URL must not equal another one with headers.
        (Kind::Files, r#"{"url":"https://a.example/","headers":{"x":"1"}}"#, "https://a.example/x1", false),
        (
            Kind::Files,
            r#"{"url":"https://a.example/","headers":{"x":"1y2"}}"#,
            r#"{"url":"https://a.example/","headers":{"x":"1","y":"2"}}"#,
            false,
        ),
    ];
    for (kind, one, other, expected) in rows {
        let mut planner = Planner::new(kind, BatchLimits::new(100));
        planner.push(target(kind, one)).unwrap();
        planner.push(target(kind, other)).unwrap();
        assert_eq!(planner.duplicates() == 1, expected, "{one} and {other}");
    }
}

#[test]
fn remembers_a_million_entries() {
    const { assert!(DUPLICATE_WINDOW >= 1_000_000) };
    let mut planner = Planner::new(Kind::Tags, BatchLimits::new(100));
    for number in 0..100_000 {
        planner.push(target(Kind::Tags, &number.to_string())).unwrap();
    }
    for number in 0..100_000 {
        planner.push(target(Kind::Tags, &number.to_string())).unwrap();
    }
    assert_eq!((planner.pushed(), planner.duplicates()), (200_000, 100_000));
}

#[test]
fn an_entry_keeps_its_original_text() {
    let given = r#" {"url": "https://a.example/"} "#;
    let entry = Entry::new(target(Kind::Files, given), given);
    assert_eq!((entry.given().as_ref(), entry.target.text().as_ref()), (given, "https://a.example/"));
    assert_eq!(Entry::from(entry.target).given(), "https://a.example/");
}
