//! The visitor requests before and after a purge: waiting for the origin, verifying and warming.

use core::cell::{Cell, RefCell};
use core::pin::Pin;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfcache_client::{Client, EntryRanges, PurgeScope};
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::target::Target;
use cfcache_probe::{
    AcceptedUrl, AcceptedUrls, CacheStatus, Decided, Gate, NoAnswer, Passage, RandomSample, Unproven,
    UrlToVerify, Variant, Verdict, Verification, VerifyEvent, VerifySettings, Visit, VisitRequest, Visitor,
    Warmed, host_of, seed, wait_at_gate,
};

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{GateJob, Targets, VerifyJob, Visits, WarmJob};
use crate::journal::JournalWriter;
use crate::observe::show_events;
use crate::purge::changed::SiteFiles;
use crate::purge::interrupted;
use crate::report::Report;
use crate::route::Routes;
use crate::source::Sources;
use crate::visit_report::{VerifyReport, WarmReport};
use crate::visiting::{Meter, draw, pieces};
use crate::wording;

/// The maximum number of redirects that are listed.
const REDIRECTS: usize = 5;

/// The number of verified entries that are written to the journal together; a run that is killed checks as many again.
const WRITTEN_AT_ONCE: u64 = 50;

/// The maximum number of data centers that are listed.
const COLOS: usize = 100;

/// A sample with more URLs than this is drawn after all URLs are known. A compressed list of all URLs needs less memory
/// than that many URLs in random order.
const SMALL_SAMPLE: usize = 10_000;

/// Waits until the condition of `--after` holds.
///
/// # Errors
///
/// [`Failure`] with exit code 7 if it does not hold in time; nothing is purged then.
pub(super) async fn wait_for_origin(visits: Option<&Visits>, console: &dyn Console) -> Result<(), Failure> {
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
                "asked {}, {} of {} in a row, {elapsed}, at last: {last}",
                wording::count(u64::from(gate.asked()), "time"),
                gate.successes(),
                settings.successes,
            ),
            began.elapsed(),
        );
    };
    let unique = busts.then(seed);
    let passage =
        wait_at_gate(&visitor, expectation, *settings, unique, &mut watch, console.interrupted(1)).await;
    match passage {
        Passage::Open { asked } => {
            let elapsed = wording::duration(began.elapsed());
            console.note(&format!(
                "it is ready, after {elapsed} and {}",
                wording::count(u64::from(asked), "request")
            ));
            Ok(())
        }
        Passage::Stopped => Err(interrupted()),
        Passage::Closed { asked, last } => {
            let failure = Failure::new(
                Exit::NotReady,
                format!(
                    "`--after`: {} in {}, but the condition did not hold {} times in a row; nothing was purged",
                    wording::count(u64::from(asked), "request"),
                    wording::duration(settings.timeout),
                    settings.successes,
                ),
            )
            .with_cause(format!("wanted: {expectation}"));
            let failure = match last {
                Some(last) => failure.with_cause(format!("last result: {last}")),
                None => failure,
            };
            Err(failure.with_hint("check the deployment, or allow more time (`--after-timeout SECS`)"))
        }
        _ => Ok(()),
    }
}

/// Shows which visitor requests would be made, without making them.
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
        let how_many = match verify.sample {
            None => "all purged URLs".to_owned(),
            Some(most) => format!("at most {most} of the purged URLs"),
        };
        let before = if verify.transition { ", and request them before the purge too" } else { "" };
        console.note(&format!("would verify {given}{how_many}{before}"));
    }
    if let Some(warm) = &visits.warm {
        let times = warm.variants.len();
        let as_whom = if times > 1 { format!(", as {times} kinds of visitors") } else { String::new() };
        console.note(&format!("would fetch the purged URLs that are proven{as_whom}"));
    }
}

/// Opens the input of a run, and returns a sample of its URLs if URLs are requested before the purge.
///
/// # Errors
///
/// The same as [`Sources::open`]; also if URLs have to be requested before the purge but the input can be read only
/// once.
pub(super) fn open(
    targets: Targets,
    digest: bool,
    visits: Option<&Visits>,
    console: &dyn Console,
) -> Result<(Sources, Vec<Target>), Failure> {
    let Some(job) = transition(visits) else {
        return Ok((Sources::open(targets, digest, console)?, Vec::new()));
    };
    let mut sample = sample_of(job);
    let mut see = |target: Target| {
        if matches!(target, Target::Files(_)) {
            sample.push(|| target);
        }
    };
    let sources = Sources::open_and_see(targets, digest, Some(&mut see), console)?;
    if sources.total().is_none() {
        return Err(Failure::usage(
            "`--verify=transition` requests URLs before the purge, but this input can be read only once",
        )
        .with_hint("write the list to a file first, and use `--from FILE`"));
    }
    Ok((sources, sample.into_kept()))
}

fn transition(visits: Option<&Visits>) -> Option<&VerifyJob> {
    visits?.verify.as_ref().filter(|job| job.transition)
}

fn sample_of(job: &VerifyJob) -> RandomSample<Target> {
    RandomSample::new(job.sample, seed())
}

/// A sample of the URLs to purge, to request them before the purge; empty if this is not needed.
pub(super) fn sample<'a>(visits: Option<&Visits>, urls: impl Iterator<Item = &'a Target>) -> Vec<Target> {
    let Some(job) = transition(visits) else { return Vec::new() };
    let mut sample = sample_of(job);
    urls.filter(|target| matches!(target, Target::Files(_))).for_each(|url| sample.push(|| url.clone()));
    sample.into_kept()
}

/// The cache status of URLs before the purge, by their entries; the inner value is `None` if there was no response.
pub(super) type Before = BTreeMap<String, Option<Option<CacheStatus>>>;

/// Requests the sample, and the explicitly named URLs, before the purge. Returns `None` if this is not needed.
///
/// # Errors
///
/// If it is interrupted.
pub(super) async fn ask_before(
    visits: Option<&Visits>,
    urls: Vec<Target>,
    console: &dyn Console,
) -> Result<Option<Before>, Failure> {
    let Some((visits, job)) = visits.zip(transition(visits)) else { return Ok(None) };
    // A future of its own, so that a run without it needs no stack for it.
    let request: Pin<Box<dyn Future<Output = _>>> = Box::pin(request_before(visits, job, urls, console));
    request.await.map(Some)
}

async fn request_before(
    visits: &Visits,
    job: &VerifyJob,
    mut urls: Vec<Target>,
    console: &dyn Console,
) -> Result<Before, Failure> {
    urls.extend(job.urls.iter());
    let entries: Vec<(String, VisitRequest)> = urls
        .iter()
        .filter_map(|url| Some((url.text().into_owned(), VisitRequest::from_target(url)?)))
        .collect();
    let mut before: Before = entries.iter().map(|(entry, _)| (entry.clone(), None)).collect();
    let mut places = entries.iter();
    let visitor = Arc::new(visits.visitor.clone().build());
    let meter = RefCell::new(Meter::new("URL", "requested before the purge", Some(entries.len() as u64)));
    // Results arrive in the order of the list.
    let mut emit = |_: &VisitRequest, answer: &Result<Visit, NoAnswer>| {
        meter.borrow_mut().count(answer.is_ok());
        if let (Some((entry, _)), Ok(visit)) = (places.next(), answer) {
            before.insert(entry.clone(), Some(visit.answer.cache_status.clone()));
        }
    };
    let list: Vec<VisitRequest> = entries.iter().map(|(_, visited)| visited.clone()).collect();
    let pieces = pieces(list.into_iter());
    let is_whole = tokio::select! {
        is_whole = cfcache_probe::probe(&visitor, job.limits, pieces, &mut emit, console.interrupted(1)) => is_whole,
        () = draw(&meter, console) => false,
    };
    if is_whole { Ok(before) } else { Err(interrupted()) }
}

/// Creates a collector of accepted URLs, if they are needed.
pub(super) fn collector(visits: Option<&Visits>, action: Action) -> Option<AcceptedUrls> {
    let visits = visits?;
    let keep = match (&visits.verify, &visits.warm) {
        (None, None) => return None,
        // Needs all URLs: all are fetched, or those that were requested before are looked up.
        (_, Some(_)) | (Some(VerifyJob { transition: true, .. }), _) => None,
        (Some(job), None) => job.sample.filter(|most| *most <= SMALL_SAMPLE),
    };
    Some(AcceptedUrls::new(keep, action, seed()))
}

/// The visitor requests after a run. The URLs of `--verify-url` and the accepted ones are numbered in that order.
pub(super) struct AfterPurge<'a> {
    pub(super) client: Client,
    pub(super) action: Action,
    /// The scopes of the run, with their zones and environments, in which URLs are purged again.
    pub(super) scopes: Vec<PurgeScope>,
    pub(super) routes: Option<&'a Routes>,
    pub(super) console: &'a dyn Console,
    /// The cache status before the purge.
    pub(super) before: Option<Before>,
    /// The deployed files.
    pub(super) files: Option<&'a SiteFiles<'a>>,
    /// The journal, which contains what earlier runs verified and records what this one verifies.
    pub(super) journal: Option<JournalWriter>,
    pub(super) visits: Visits,
    /// The accepted URLs.
    pub(super) accepted: AcceptedUrls,
}

impl AfterPurge<'_> {
    /// Verifies and warms, adds the results to the report, and returns the exit code.
    pub(super) async fn run(mut self, report: &mut Report) -> Exit {
        let mut exit = Exit::Accepted;
        // If nothing was accepted, there is nothing to verify.
        if self.accepted.last().is_none() {
            return exit;
        }
        self.accepted.sort();
        let visitor = Arc::new(self.visits.visitor.clone().build());
        if let Some(job) = &self.visits.verify {
            let verified = report.verify.insert(self.verify(job, &visitor).await);
            if !verified.is_whole {
                return Exit::Interrupted;
            }
            exit = verified.exit();
        }
        if let Some(job) = &self.visits.warm {
            let is_there = |number: usize| match self.files {
                Some(files) => self.url(number).is_some_and(|url| !files.is_gone(&url.target)),
                None => true,
            };
            let skips = report.verify.as_ref().map_or(&[][..], |verified| &verified.warming_skips);
            let is_wanted = |number: usize| !skips.get(number).copied().unwrap_or(false) && is_there(number);
            let (warmed, is_whole) = self.warm(job, &is_wanted, &visitor).await;
            // A warming failure is reported too, but an unproven URL is worse.
            exit = exit.or(warmed.exit());
            report.warm = Some(warmed);
            if !is_whole {
                exit = Exit::Interrupted;
            }
        }
        exit
    }

    /// The number of explicitly named URLs.
    fn given(&self) -> usize {
        self.visits.verify.as_ref().map_or(0, |job| job.urls.len())
    }

    /// The number of URLs that are kept.
    fn count(&self) -> usize {
        self.given() + self.accepted.len()
    }

    /// The number of URLs, including those that are not kept.
    fn count_all(&self) -> u64 {
        self.given() as u64 + self.accepted.seen()
    }

    fn url(&self, number: usize) -> Option<AcceptedUrl> {
        match self.visits.verify.as_ref().and_then(|job| job.urls.get(number)) {
            Some(target) => {
                let scope = self.scope_of(&target);
                // What covers it was accepted by then.
                Some(AcceptedUrl::new(target, self.action, scope, self.accepted.last()?))
            }
            None => self.accepted.get(number - self.given()),
        }
    }

    /// The index of the scope of a URL.
    pub(super) fn scope_of(&self, target: &Target) -> usize {
        let Some(routes) = self.routes else { return 0 };
        let zone = routes.zone_of(target.host().unwrap_or_default()).ok();
        let number = self.scopes.iter().position(|scope| Some(&scope.zone) == zone);
        // Belongs to no zone, so it is not purged again.
        number.unwrap_or(usize::MAX)
    }

    /// Purges URLs again, each in its zone and with the original action.
    async fn repurge(&self, urls: Vec<AcceptedUrl>) -> Result<(), String> {
        for (number, scope) in self.scopes.iter().enumerate() {
            for action in [Action::Purge, Action::Invalidate] {
                let of_zone = urls.iter().filter(|url| url.scope == number && url.action == action);
                let targets: Vec<Target> = of_zone.map(|url| url.target.clone()).collect();
                // A plan may allow fewer URLs in one request.
                for targets in targets.chunks(scope.limits.items.clamp(1, GROUP)) {
                    self.send(action, scope, targets).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, action: Action, scope: &PurgeScope, targets: &[Target]) -> Result<(), String> {
        let body = PurgeBody::from_targets(targets.to_vec()).map_err(|invalid| invalid.to_string())?;
        let request = PurgeCache::new(action, &scope.zone, &body);
        let request = match &scope.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        };
        self.client
            .call(&request, &mut show_events(self.console))
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// The numbers of the URLs to verify, ascending, or `None` for all; and the number of those that an earlier run
    /// verified.
    fn to_verify(&self, job: &VerifyJob) -> (Option<Vec<usize>>, u64) {
        let given = self.given();
        let earlier = self.journal.as_ref().map(JournalWriter::earlier).filter(|it| !it.is_empty());
        let is_new = |number: &usize| {
            earlier.is_none_or(|earlier| self.url(*number).is_some_and(|url| !earlier.contains(url.ordinal)))
        };
        let accepted = || (given..self.count()).filter(is_new);
        let count = accepted().count();
        let skipped = (self.count() - given - count) as u64;
        let chosen: Vec<usize> = match (&self.before, job.sample) {
            (Some(before), _) => {
                let is_known = |number: &usize| {
                    self.url(*number).is_some_and(|url| before.contains_key(&*url.target.text()))
                };
                accepted().filter(is_known).collect()
            }
            (None, Some(most)) if most < count => {
                let mut sample = RandomSample::new(Some(most), seed());
                accepted().for_each(|number| sample.push(|| number));
                let mut chosen = sample.into_kept();
                chosen.sort_unstable();
                chosen
            }
            _ if skipped == 0 => return (None, 0),
            _ => accepted().collect(),
        };
        (Some((0..given).chain(chosen).collect()), skipped)
    }

    /// Requests the URLs until each has a verdict, and purges again those whose old copy is still served.
    async fn verify(&self, job: &VerifyJob, visitor: &Arc<Visitor>) -> VerifyReport {
        let Self { before, files, journal, .. } = self;
        let (chosen, skipped) = self.to_verify(job);
        let count = chosen.as_ref().map_or(self.count(), Vec::len);
        let number_of = |nth: usize| match &chosen {
            None => (nth < count).then_some(nth),
            Some(numbers) => numbers.get(nth).copied(),
        };
        // Verified entries that are not in the journal yet.
        let mut unwritten = EntryRanges::new();
        let mut settings = VerifySettings::new(self.action);
        (settings.timeout, settings.limits, settings.transition) = (job.timeout, job.limits, job.transition);
        let mut verification = Verification::new(settings);
        let began = self.accepted.began();
        let compared = files.filter(|_| job.expects_files);
        let get = |nth: usize| number_of(nth).and_then(|number| self.url(number));
        let mut begun = 0;
        let mut next = || {
            let url = get(begun)?;
            begun += 1;
            let target = VisitRequest::from_target(&url.target)?;
            let expected = job.expected_body(&target.url);
            let expected = expected.or_else(|| compared.and_then(|files| files.body_at(&target.url)));
            let subject = UrlToVerify::new(host_of(&target.url), url.at);
            let mut subject = subject.with_action(url.action).with_expected(expected);
            if let Some(Some(status)) = before.as_ref().and_then(|before| before.get(&*url.target.text())) {
                subject = subject.with_before(status.clone());
            }
            Some((subject, target))
        };
        let meter = RefCell::new(Meter::new("URL", "verified", Some(count as u64)));
        let mut report = VerifyReport { skipped, ..VerifyReport::default() };
        let mut colos = BTreeSet::new();
        // If all URLs are verified, each host must serve every file at one of its URLs.
        let must_serve = compared.filter(|_| self.count_all() == count as u64);
        // By host and file: its first URL with the verdict; `None` once a URL of it serves it, or has no verdict yet,
        // which is reported separately.
        let mut unserved: BTreeMap<(String, String), Option<(String, Decided)>> = BTreeMap::new();
        let mut watch = |progress: VerifyEvent<'_>| match progress {
            VerifyEvent::Answer(nth, answer) => {
                if let Some(colo) = answer.colo()
                    && colos.len() < COLOS
                {
                    colos.insert(colo.to_owned());
                }
                // A redirect from one URL of a file to another one is normal.
                if let Some(location) = &answer.location
                    && answer.is_redirect()
                    && answer.cache_status.is_some()
                    && files.is_none()
                    && report.redirects.len() < REDIRECTS
                    && let Some(url) = get(nth).as_ref().map(url_of)
                    && !report.redirects.iter().any(|(known, _)| *known == url)
                {
                    report.redirects.push((url, location.clone()));
                }
            }
            VerifyEvent::Decided(decided) => {
                meter.borrow_mut().count(true);
                let Some(url) = get(decided.url) else { return };
                let verdict = &decided.verdict;
                let shown = url_of(&url);
                report.add(&shown, &decided);
                if let Some(file) = must_serve.and_then(|files| files.file_at(&shown)) {
                    let first = || Some((shown.clone(), decided.clone()));
                    let known = unserved.entry((host_of(&shown), file)).or_insert_with(first);
                    if decided.has_expected || !verdict.is_settled() {
                        *known = None;
                    } else if known.as_ref().is_some_and(|(_, known)| decided.url < known.url) {
                        *known = first();
                    }
                }
                if !matches!(verdict, Verdict::Proven | Verdict::Refilled)
                    && let Some(number) = number_of(decided.url)
                {
                    let len = report.warming_skips.len().max(number + 1);
                    report.warming_skips.resize(len, false);
                    report.warming_skips[number] = true;
                }
                report.is_origin_late |=
                    matches!(verdict, Verdict::Unproven(Unproven::Unexpected { .. } | Unproven::StillThere));
                if let Some(journal) = journal.as_ref().filter(|_| verdict.is_settled())
                    && number_of(decided.url).is_some_and(|number| number >= self.given())
                {
                    unwritten.insert(url.ordinal..url.ordinal + 1);
                    if unwritten.len() >= WRITTEN_AT_ONCE {
                        journal.verified(&core::mem::take(&mut unwritten));
                    }
                }
                if files.is_some() && !verdict.is_settled() {
                    report.unproven_entries.push(url.target);
                }
            }
            _ => {}
        };
        let mut purge = |nths: Vec<usize>| self.repurge(nths.into_iter().filter_map(get).collect());
        report.is_whole = {
            let stop = self.console.interrupted(1);
            let verifying = cfcache_probe::verify(
                visitor,
                &mut verification,
                &mut next,
                began,
                &mut purge,
                &mut watch,
                stop,
            );
            tokio::select! {
                is_whole = verifying => is_whole,
                () = draw(&meter, self.console) => false,
            }
        };
        if let Some(journal) = journal {
            journal.verified(&unwritten);
            if let Err(error) = journal.flush().await {
                self.console.note(&error.to_string());
            }
        }
        let is_whole = report.is_whole;
        for (url, first) in unserved.into_values().flatten().filter(|_| is_whole) {
            report.refute(first.url, &url, &first.verdict, Unproven::NotServed);
            report.is_origin_late = true;
        }
        report.sort();
        report.colos = colos.into_iter().collect();
        report.sample_of = (self.count_all() > report.probed + skipped).then_some(self.count_all());
        report
    }

    /// Fetches the URLs whose numbers are wanted. Returns whether all of them were.
    async fn warm(
        &self,
        job: &WarmJob,
        is_wanted: &dyn Fn(usize) -> bool,
        visitor: &Arc<Visitor>,
    ) -> (WarmReport, bool) {
        let wanted = || (0..self.count()).filter(|number| is_wanted(*number));
        let requests = (wanted().count() * job.variants.len()) as u64;
        let meter = RefCell::new(Meter::new("request", "fetched", Some(requests)));
        let mut report = WarmReport::default();
        // A host does not serve all forms of a file's URL.
        report.may_be_missing = self.files.is_some();
        let counted = Cell::new(0);
        let mut emit = |target: &VisitRequest, variant: Variant, warmed: &Warmed| {
            counted.set(counted.get() + 1);
            meter.borrow_mut().count(!matches!(warmed, Warmed::Failed(_) | Warmed::NotCertified(_)));
            report.count(target, variant, warmed);
        };
        let targets = wanted().filter_map(|number| VisitRequest::from_target(&self.url(number)?.target));
        let stop = self.console.interrupted(1);
        let (limits, certify, variants) = (job.limits, job.certify, &job.variants);
        let warming =
            cfcache_probe::warm(visitor, limits, certify, variants, pieces(targets), &mut emit, stop);
        let is_whole = tokio::select! {
            is_whole = warming => is_whole,
            () = draw(&meter, self.console) => false,
        };
        // Requests that were not started count as requested.
        report.not_begun(requests - counted.get());
        report.took(meter.borrow().elapsed());
        (report, is_whole)
    }
}

/// The number of URLs in one request, as the smallest plan allows.
const GROUP: usize = 30;

fn url_of(url: &AcceptedUrl) -> String {
    match &url.target {
        Target::Files(file) => file.url().as_str().to_owned(),
        other => other.text().into_owned(),
    }
}
