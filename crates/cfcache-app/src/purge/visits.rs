//! What visitors are for around a purge: the gate before it, and verifying and warming after it.

use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeSet;
use std::sync::Arc;

use cfcache_client::{Client, PurgeScope};
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::target::Target;
use cfcache_probe::{
    Answer, Gate, Passage, Purging, Settings, Subject, Target as Visited, Variant, Verdict, Verification,
    Visitor, Warmed, host_of, wait_at_gate,
};
use futures_core::Stream;

use crate::accepted::{AcceptedUrl, AcceptedUrls, seed};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::job::{GateJob, Sample, VerifyJob, Visits, WarmJob};
use crate::observe::CallObserver;
use crate::purge::interrupted;
use crate::report::Report;
use crate::route::Routes;
use crate::visit_report::{VerifyReport, WarmReport};
use crate::visiting::{Meter, draw, visited};
use crate::wording;

/// More redirects than this are not named.
const REDIRECTS: usize = 5;

/// More data centres than this are not told apart.
const COLOS: usize = 100;

/// Waits until what is to be published is there.
///
/// # Errors
///
/// [`Failure`] with exit code 7 where it is not in time: then nothing is purged.
pub(super) async fn wait_for_origin(
    visits: Option<&Visits>,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> Result<(), Failure> {
    let Some(Visits { visitor, gate: Some(job), .. }) = visits else { return Ok(()) };
    let GateJob { expectation, settings, busts, is_here } = job;
    let visitor = visitor.clone();
    let visitor = if *is_here { visitor.without_connect_to() } else { visitor }.build();
    console.note(&format!("waiting until {expectation}"));
    let began = tokio::time::Instant::now();
    let mut watch = |gate: &Gate| {
        let last = gate.last_failure().unwrap_or("as wanted");
        let elapsed = wording::whole(began.elapsed());
        console.progress(
            &format!(
                "asked {}, {} of {} in a row ({elapsed}); last: {last}",
                wording::count(u64::from(gate.asked()), "time"),
                gate.successes(),
                settings.successes,
            ),
            began.elapsed(),
        );
    };
    let unique = busts.then(seed);
    let passage = wait_at_gate(&visitor, expectation, *settings, unique, &mut watch, interrupts.nth(1)).await;
    match passage {
        Passage::Open { asked } => {
            let elapsed = wording::duration(began.elapsed());
            console.note(&format!(
                "it is so, after {elapsed} and {}",
                wording::count(u64::from(asked), "request")
            ));
            Ok(())
        }
        Passage::Stopped => Err(interrupted()),
        Passage::Closed { asked, last } => {
            let failure = Failure::new(
                Exit::NotReady,
                format!(
                    "`--after`: {} in {}, and it was not so {} times in a row; nothing was purged",
                    wording::count(u64::from(asked), "request"),
                    wording::duration(settings.timeout),
                    settings.successes,
                ),
            )
            .with_cause(format!("wanted: {expectation}"));
            let failure = match last {
                Some(last) => failure.with_cause(format!("found at last: {last}")),
                None => failure,
            };
            Err(failure.with_hint("look at the deployment, or allow more time (`--after-timeout SECS`)"))
        }
        _ => Ok(()),
    }
}

/// Says what would be asked, and asks nothing.
pub(super) fn announce(visits: Option<&Visits>, console: &dyn Console) {
    let Some(visits) = visits else { return };
    if let Some(gate) = &visits.gate {
        console.note(&format!("would wait until {}", gate.expectation));
    }
    if let Some(verify) = &visits.verify {
        let given = match verify.urls.len() as u64 {
            0 => String::new(),
            given => format!("{} given for that, and ", wording::count(given, "URL")),
        };
        console.note(&match verify.sample {
            Sample::All => format!("would verify {given}all purged URLs"),
            Sample::AtMost(most) => format!("would verify {given}at most {most} of the purged URLs"),
        });
    }
    if let Some(warm) = &visits.warm {
        let times = warm.variants.len();
        let as_whom = if times > 1 { format!(", as {times} kinds of visitors") } else { String::new() };
        console.note(&format!("would fetch what was purged and is proven{as_whom}"));
    }
}

/// What collects the URLs that were accepted, where they are of use.
pub(super) fn collector(visits: Option<&Visits>) -> Option<AcceptedUrls> {
    let visits = visits?;
    let keep = match (&visits.verify, &visits.warm) {
        (None, None) => return None,
        // All are fetched.
        (_, Some(_)) => None,
        (Some(VerifyJob { sample: Sample::AtMost(most), .. }), None) => Some(*most),
        (Some(VerifyJob { sample: Sample::All, .. }), None) => None,
    };
    Some(AcceptedUrls::new(keep, seed()))
}

/// Where URLs are purged again.
pub(super) struct Again<'a> {
    pub(super) client: Client,
    pub(super) action: Action,
    /// The scopes of the run, for their zones and environments.
    pub(super) scopes: Vec<PurgeScope>,
    pub(super) routes: Option<&'a Routes>,
    pub(super) console: &'a dyn Console,
}

impl Again<'_> {
    /// Purges URLs, each on its zone.
    async fn purge(&self, urls: Vec<AcceptedUrl>) -> Result<(), String> {
        for (number, scope) in self.scopes.iter().enumerate() {
            let of_zone = urls.iter().filter(|url| url.scope == number).map(|url| url.target.clone());
            let targets: Vec<Target> = of_zone.collect();
            // A plan may allow fewer in one request than are purged again at once.
            for targets in targets.chunks(scope.limits.items.clamp(1, GROUP)) {
                let body = PurgeBody::of(targets.to_vec()).map_err(|invalid| invalid.to_string())?;
                let request = PurgeCache::new(self.action, &scope.zone, &body);
                let request = match &scope.environment {
                    Some(environment) => request.with_environment(environment),
                    None => request,
                };
                let mut trace = CallObserver(self.console);
                self.client.call(&request, &mut trace).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// The number of the zone that a URL is on.
    fn scope_of(&self, target: &Target) -> usize {
        let Some(routes) = self.routes else { return 0 };
        let zone = routes.zone_of(target.host().unwrap_or_default()).ok();
        let number = self.scopes.iter().position(|scope| Some(&scope.zone) == zone);
        // Of no zone: nothing is purged again for it.
        number.unwrap_or(usize::MAX)
    }
}

/// URLs in one request: what the smallest plan allows.
const GROUP: usize = 30;

/// Verifies and warms, and puts what came of it into the report.
pub(super) async fn after_purge(
    visits: Visits,
    mut accepted: AcceptedUrls,
    again: &Again<'_>,
    report: &mut Report,
    interrupts: &Interrupts,
) -> Exit {
    let Some(last) = accepted.last() else {
        // Nothing was accepted, so that there is nothing to prove either.
        return Exit::Accepted;
    };
    let console = again.console;
    let visitor = Arc::new(visits.visitor.build());
    let urls = accepted.take();
    let mut exit = Exit::Accepted;
    // Those that need not be fetched, by their places in `urls`.
    let mut unfit = BTreeSet::new();
    let mut given = Vec::new();
    let mut is_whole = true;
    if let Some(job) = visits.verify {
        let places = match job.sample {
            Sample::AtMost(most) if most < urls.len() => accepted.sample(urls.len(), most),
            _ => (0..urls.len()).collect(),
        };
        given = job.urls.iter().map(|target| given_url(target, last, again)).collect();
        let subjects: Vec<AcceptedUrl> =
            given.iter().cloned().chain(places.iter().map(|place| urls[*place].clone())).collect();
        let seen = accepted.seen() + given.len() as u64;
        let (verified, verdicts) = verify(&visitor, &job, &subjects, accepted.began, again, interrupts).await;
        is_whole = verdicts.is_whole;
        let is_fit = |place: usize| verdicts.fit.get(place).copied().unwrap_or(true);
        unfit.extend(
            places
                .iter()
                .enumerate()
                .filter_map(|(nth, place)| (!is_fit(given.len() + nth)).then_some(*place)),
        );
        let mut nth = 0;
        given.retain(|_| {
            nth += 1;
            is_fit(nth - 1)
        });
        let mut verified = verified;
        verified.sample_of = (seen > verified.probed).then_some(seen);
        exit = verified.exit();
        report.verify = Some(verified);
    }
    if !is_whole {
        return Exit::Interrupted;
    }
    if let Some(job) = visits.warm {
        let fit = urls.into_iter().enumerate().filter(|(place, _)| !unfit.contains(place));
        let urls = given.into_iter().chain(fit.map(|(_, url)| url));
        let (warmed, is_whole) = warm(&visitor, &job, urls.collect(), console, interrupts).await;
        // What could not be fetched is told beside what is not proven, which is the worse.
        exit = exit.or(warmed.exit());
        report.warm = Some(warmed);
        if !is_whole {
            exit = Exit::Interrupted;
        }
    }
    exit
}

/// A URL that was named to be verified: what was purged covers it.
fn given_url(target: &Target, at: core::time::Duration, again: &Again<'_>) -> AcceptedUrl {
    AcceptedUrl { target: target.clone(), scope: again.scope_of(target), ordinal: 0, at }
}

/// What is left of a verification beside its report.
struct Verdicts {
    /// Whether a URL need be fetched, by number.
    fit: Vec<bool>,
    is_whole: bool,
}

async fn verify(
    visitor: &Arc<Visitor>,
    job: &VerifyJob,
    subjects: &[AcceptedUrl],
    began: tokio::time::Instant,
    again: &Again<'_>,
    interrupts: &Interrupts,
) -> (VerifyReport, Verdicts) {
    let console = again.console;
    let mut settings = Settings::new(again.action);
    (settings.timeout, settings.limits) = (job.timeout, job.limits);
    let mut verification = Verification::new(settings);
    let targets: Vec<Visited> = subjects.iter().filter_map(|url| visited(&url.target)).collect();
    let now = began.elapsed();
    for (url, target) in subjects.iter().zip(&targets) {
        let subject = Subject::new(host_of(&target.url), url.at);
        verification.push(now, subject.with_expected(job.expected.of(&target.url)));
    }
    let meter = RefCell::new(Meter::new("URL", "verified", Some(subjects.len() as u64)));
    let mut colos = BTreeSet::new();
    let mut redirects: Vec<(String, String)> = Vec::new();
    let mut watch = |verification: &Verification, answer: Option<(usize, &Answer)>| {
        if let Some((url, answer)) = answer {
            if let Some(colo) = answer.colo()
                && colos.len() < COLOS
            {
                colos.insert(colo.to_owned());
            }
            if let Some(location) = &answer.location
                && answer.is_redirect()
                && answer.cache_status.is_some()
                && redirects.len() < REDIRECTS
                && !redirects.iter().any(|(known, _)| *known == targets[url].url)
            {
                redirects.push((targets[url].url.clone(), location.clone()));
            }
        }
        meter.borrow_mut().set(verification.decided());
    };
    let mut purge = |urls: Vec<usize>| -> Purging<'_> {
        let urls = urls.into_iter().filter_map(|url| subjects.get(url).cloned()).collect();
        Box::pin(again.purge(urls))
    };
    let is_whole = {
        let stop = interrupts.nth(1);
        let verifying =
            cfcache_probe::verify(visitor, &mut verification, &targets, began, &mut purge, &mut watch, stop);
        tokio::select! {
            is_whole = verifying => is_whole,
            () = draw(&meter, console) => false,
        }
    };
    let urls: Vec<String> = targets.iter().map(|target| target.url.clone()).collect();
    let mut report = VerifyReport::new(&verification, &urls).with_redirects(redirects);
    report.colos = colos.into_iter().collect();
    let is_fit =
        |number: usize| matches!(verification.verdict(number), Some(Verdict::Proven | Verdict::Refilled));
    (report, Verdicts { fit: (0..urls.len()).map(is_fit).collect(), is_whole })
}

/// A list, in pieces.
struct Pieces(std::vec::IntoIter<Visited>);

impl Stream for Pieces {
    type Item = Vec<Visited>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Vec<Visited>>> {
        let piece: Vec<Visited> = self.0.by_ref().take(100).collect();
        Poll::Ready((!piece.is_empty()).then_some(piece))
    }
}

async fn warm(
    visitor: &Arc<Visitor>,
    job: &WarmJob,
    urls: Vec<AcceptedUrl>,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> (WarmReport, bool) {
    let targets: Vec<Visited> = urls.iter().filter_map(|url| visited(&url.target)).collect();
    let all = targets.len();
    let requests = (all * job.variants.len()) as u64;
    let meter = RefCell::new(Meter::new("request", "fetched", Some(requests)));
    let mut report = WarmReport::default();
    let counted = Cell::new(0);
    let mut emit = |target: &Visited, variant: Variant, warmed: &Warmed| {
        counted.set(counted.get() + 1);
        meter.borrow_mut().count(!matches!(warmed, Warmed::Failed(_) | Warmed::NotCertified(_)));
        report.count(target, variant, warmed);
    };
    let pieces = Pieces(targets.into_iter());
    let stop = interrupts.nth(1);
    let warming =
        cfcache_probe::warm(visitor, job.limits, job.certify, &job.variants, pieces, &mut emit, stop);
    let is_whole = tokio::select! {
        is_whole = warming => is_whole,
        () = draw(&meter, console) => false,
    };
    // What was not even begun was asked for as well.
    report.not_begun(requests - counted.get());
    report.took(meter.borrow().elapsed());
    (report, is_whole)
}
