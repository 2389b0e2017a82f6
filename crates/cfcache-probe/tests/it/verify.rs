//! Verifications from the purge to the last verdict.

use core::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_probe::{CacheStatus, UrlToVerify, Variant, Verdict};
use proptest::prelude::*;

use crate::edge::{Edge, LATENCY, settings, verify, verify_subjects};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn an_effective_purge_is_proven_by_one_request_per_url() {
    let mut edge = Edge::with_pages(20, secs(10));
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(101));
    let counts = run.verification.counts();
    assert_eq!((counts.probed, counts.proven, counts.repurged), (20, 20, 0));
    assert!(edge.pages.iter().all(|page| page.asked.len() == 1));
    // 20 requests at 10 per second, with intervals that are 2 % longer.
    assert_eq!(run.took, ms(19 * 102) + LATENCY);
}

#[test]
fn waits_for_a_slow_purge() {
    let mut edge = Edge::with_pages(1, secs(10));
    edge.purge_delay = ms(2500);
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!(run.verdicts(), ["proven"]);
    let asked: Vec<_> =
        edge.pages[0].asked.iter().map(|at| (*at - LATENCY / 2 - secs(100)).as_millis()).collect();
    assert_eq!(asked, [0, 500, 1000, 2000, 4000]);
    assert_eq!(edge.purges.len(), 1);
}

#[test]
fn repeats_the_purge_of_a_survivor() {
    let mut edge = Edge::with_pages(3, secs(10));
    edge.pages[1].survives = 1;
    edge.pages[2].survives = 2;
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!(run.verdicts(), ["proven"; 3]);
    assert_eq!(run.verification.counts().repurged, 2);
    // Both in one request, and then the remaining one.
    let again: Vec<_> = edge.purges[1..].iter().map(|(_, urls)| urls.clone()).collect();
    assert_eq!(again, [vec![1, 2], vec![2]]);
}

#[test]
fn diagnoses_a_survivor_after_two_repeated_purges() {
    let mut edge = Edge::with_pages(2, secs(10));
    edge.pages[1].survives = 100;
    edge.pages[1].pinned = vec![Variant::Mobile, Variant::Desktop];
    edge.pages[1].stored = Some(secs(10));
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!(run.verdict(0), &Verdict::Proven);
    assert!(matches!(run.verdict(1), Verdict::Survivor(_)));
    assert_eq!(edge.purges.len(), 3);
    let still = &run.decided[&1].still_served;
    // The other variants get the same copy as the plain one.
    assert_eq!(still[..], [Variant::Mobile, Variant::Desktop]);
    assert!(run.took >= secs(30) && run.took < secs(33), "{:?}", run.took);
    let counts = run.verification.counts();
    assert_eq!((counts.proven, counts.survivors, counts.repurged), (1, 1, 1));
}

#[test]
fn a_survivor_stays_one_if_the_repeated_purge_fails() {
    let mut edge = Edge::with_pages(1, secs(10));
    edge.pages[0].survives = 1;
    edge.purge_fails = true;
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert!(run.verdicts()[0].starts_with("the old copy is still served"), "{:?}", run.verdicts());
    assert_eq!(run.verification.counts().repurged, 0);
}

#[test]
fn distinguishes_refilled_copies_from_survivors() {
    let mut edge = Edge::with_pages(2, secs(10));
    // The purge was accepted a minute before the verification, and other visitors sent requests in between.
    edge.visits = vec![(secs(105), 0), (ms(159_700), 1)];
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(160));
    assert_eq!(run.verdicts(), ["cached again since the purge"; 2]);
    assert!(edge.pages.iter().all(|page| page.asked.len() == 1));
}

#[test]
fn decides_about_a_copy_as_old_as_the_purge_by_a_well_timed_request() {
    for (stored, wanted) in [(ms(99_700), "survivor"), (ms(100_300), "refilled")] {
        let mut edge = Edge::with_pages(1, stored);
        edge.pages[0].survives = 1;
        let mut settings = settings(Action::Purge);
        // A short timeout, so that the purge is not repeated.
        settings.timeout = secs(3);
        settings.diagnose = false;
        edge.purge_fails = true;
        let run = verify(&mut edge, settings, secs(100), ms(100_400));
        assert_eq!(run.verdict(0).as_str(), wanted, "{stored:?}");
    }
}

#[test]
fn requests_a_hit_without_age_once_more() {
    let mut edge = Edge::with_pages(3, secs(10));
    edge.visits = vec![(secs(101), 0), (secs(101), 1), (secs(101), 2)];
    edge.pages[0].without_age = 1;
    edge.pages[1].without_age = 2;
    // The old copy of an upper tier.
    (edge.pages[2].without_age, edge.pages[2].survives) = (1, 1);
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(110));
    let verdicts: Vec<_> = (0..3).map(|url| run.verdict(url).as_str()).collect();
    assert_eq!(verdicts, ["refilled", "unproven", "proven"]);
    assert_eq!((edge.pages[0].asked.len(), edge.pages[1].asked.len()), (2, 2));
    assert_eq!(edge.purges.len(), 2, "the third was purged again");
}

#[test]
fn does_not_repeat_requests_for_final_verdicts() {
    for always in [(200, "DYNAMIC"), (200, "BYPASS"), (200, ""), (403, ""), (200, "REVALIDATED")] {
        let mut edge = Edge::with_pages(1, secs(10));
        edge.pages[0].always = Some(always);
        verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
        assert_eq!(edge.pages[0].asked.len(), 1, "{always:?}");
    }
}

#[test]
fn repeats_requests_after_errors_until_the_timeout_without_purging() {
    let mut edge = Edge::with_pages(1, secs(10));
    edge.pages[0].always = Some((503, "MISS"));
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!(run.verdicts(), ["the answer was an error (503)"]);
    assert_eq!(edge.purges.len(), 1);
    assert!(run.took >= secs(30) && run.took < secs(32), "{:?}", run.took);
}

#[test]
fn a_demanded_wait_does_not_extend_the_timeout() {
    let refused = "the edge refused the request because of the request rate (429)";
    let unasked = "no answer: not requested, because the host demands a longer wait (`Retry-After`)";
    for seconds in [31, 86_400, u64::MAX] {
        let mut edge = Edge::with_pages(6, secs(10));
        for page in &mut edge.pages[1..] {
            (page.always, page.retry_after) = (Some((429, "")), Some(seconds));
        }
        let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
        // The others were requested before the first of them was answered.
        let mut expected = vec!["proven"];
        expected
            .extend(edge.pages[1..].iter().map(|page| if page.asked.is_empty() { unasked } else { refused }));
        assert_eq!(run.verdicts(), expected);
        assert!(expected.contains(&unasked) && run.took < secs(5), "{:?}", run.took);
    }
    // A wait within the timeout is obeyed.
    let mut edge = Edge::with_pages(1, secs(10));
    (edge.pages[0].always, edge.pages[0].retry_after) = (Some((429, "")), Some(20));
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!((run.verdicts(), edge.pages[0].asked.len()), (vec![refused.to_owned()], 2));
}

#[test]
fn revalidated_proves_an_invalidation_but_not_a_purge() {
    for (always, wanted) in [
        ((200, "UPDATING"), "proven"),
        ((200, "REVALIDATED"), "proven"),
        ((200, "STALE"), "the origin could not be reached (STALE)"),
    ] {
        let mut edge = Edge::with_pages(1, secs(10));
        edge.pages[0].always = Some(always);
        let run = verify(&mut edge, settings(Action::Invalidate), secs(100), secs(100));
        assert_eq!(run.verdicts(), [wanted], "{always:?}");
    }
}

#[test]
fn a_transition_requires_a_hit_before_the_purge() {
    let mut edge = Edge::with_pages(4, secs(10));
    let mut settings = settings(Action::Purge);
    settings.transition = true;
    let before = [Some(CacheStatus::Hit), Some(CacheStatus::Miss), None];
    let subject = || UrlToVerify::new("www.example.com", secs(100));
    let mut subjects = before.map(|before| subject().with_before(before)).to_vec();
    subjects.push(subject());
    let run = verify_subjects(&mut edge, settings, secs(100), secs(100), subjects);
    let verdicts: Vec<_> = (0..4).map(|url| run.verdict(url).to_string()).collect();
    assert_eq!(
        verdicts,
        [
            "proven",
            "was not cached before the purge (MISS)",
            "was not cached before the purge",
            "there is no answer from before the purge to compare with",
        ]
    );
    let counts = run.verification.counts();
    assert_eq!((counts.proven, counts.not_cached, counts.unproven), (1, 2, 1));
}

#[test]
fn judges_each_url_by_its_own_action() {
    let mut edge = Edge::with_pages(2, secs(10));
    edge.pages.iter_mut().for_each(|page| page.always = Some((200, "UPDATING")));
    let subject = UrlToVerify::new("www.example.com", secs(100));
    let subjects = vec![subject.clone(), subject.with_action(Action::Purge)];
    let run = verify_subjects(&mut edge, settings(Action::Invalidate), secs(100), secs(100), subjects);
    let verdicts: Vec<_> = (0..2).map(|url| run.verdict(url).as_str()).collect();
    assert_eq!(verdicts, ["proven", "survivor"]);
}

#[test]
fn every_url_has_a_verdict_after_a_stop() {
    let mut edge = Edge::with_pages(2, secs(10));
    edge.pages[0].survives = 9;
    let mut verification = cfcache_probe::Verification::new(settings(Action::Purge));
    for _ in 0..2 {
        verification.push(secs(100), UrlToVerify::new("www.example.com", secs(99)));
    }
    let cfcache_probe::VerifyStep::Ask(ask) = verification.next(secs(100)) else { panic!("nothing to ask") };
    let (answer, _) = edge.ask(secs(100), ask.url, ask.variant);
    verification.on_answer(secs(100), ask, Ok(&answer));
    verification.stop();
    assert_eq!(verification.next(secs(100)), cfcache_probe::VerifyStep::Done);
    let verdicts: Vec<_> =
        verification.take_decided().iter().map(|decided| decided.verdict.to_string()).collect();
    assert_eq!(verdicts[0], "the old copy is still served (HIT, 90 s old)");
    assert_eq!(verdicts[1], "there was no answer when the verification was stopped");
    let counts = verification.counts();
    assert_eq!((counts.probed, counts.survivors, counts.unproven), (2, 1, 1));
}

#[test]
fn keeps_the_rate_with_a_large_list() {
    let mut edge = Edge::with_pages(3000, secs(10));
    let run = verify(&mut edge, settings(Action::Purge), secs(100), secs(100));
    assert_eq!(run.verification.counts().proven, 3000);
    assert!(run.took >= secs(300) && run.took <= secs(315), "{:?}", run.took);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// With any behavior and latency of the edge: no URL is proven or refilled if its last answer was a copy from
    /// before the purge, every URL has one verdict, and the verification ends in time.
    #[test]
    fn a_copy_from_before_the_purge_proves_nothing(
        pages in proptest::collection::vec((0_u64..200_000, any::<bool>(), 0_u32..4, 0_u32..3), 1..8),
        visits in proptest::collection::vec((90_000_u64..140_000, 0_usize..8), 0..24),
        delay in 0_u64..12_000,
        began in 100_000_u64..103_000,
        timeout in 500_u64..30_000,
        purge_fails in any::<bool>(),
    ) {
        let mut edge = Edge::with_pages(pages.len(), Duration::ZERO);
        for (page, (stored, is_stored, survives, without_age)) in edge.pages.iter_mut().zip(&pages) {
            page.stored = is_stored.then(|| ms(*stored / 2));
            page.survives = *survives;
            page.without_age = *without_age;
        }
        edge.visits = visits.iter().filter(|(_, url)| *url < pages.len()).map(|(at, url)| (ms(*at), *url)).collect();
        edge.purge_delay = ms(delay);
        edge.purge_fails = purge_fails;
        let mut settings = settings(Action::Purge);
        settings.timeout = ms(timeout);
        let run = verify(&mut edge, settings, secs(100), ms(began));
        let counts = run.verification.counts();
        let sum = counts.proven + counts.refilled + counts.not_cached + counts.survivors + counts.unproven;
        prop_assert_eq!((counts.probed, sum), (pages.len() as u64, pages.len() as u64));
        for (url, served) in run.served.iter().enumerate() {
            let verdict = run.verdict(url);
            if matches!(verdict, Verdict::Proven | Verdict::Refilled) {
                prop_assert!(served.unwrap() >= secs(100), "{url}: {verdict} by a copy of {served:?}");
            }
        }
        // Two more rounds, a second to collect a batch, and the diagnosis at ten requests per second.
        prop_assert!(run.took < ms(timeout) + secs(12 + 6), "{:?}", run.took);
    }
}
