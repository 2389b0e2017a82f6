//! Everything to purge for a deployment: what changed since the state, what is pending, what is always purged; and less
//! exact ways to say it, where the limits make that take too long or there is nothing to compare with.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use cfcache_model::endpoint::Action;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::target::{Kind, Target};
use cfcache_site::difference::{Change, ChangeCounts, ChangeKind, Difference, difference};
use cfcache_site::io::state_file::{StateError, Visit};
use cfcache_site::mapping::Site;
use cfcache_site::path;
use cfcache_site::selection::{Selection, collapse, split_gone};
use cfcache_site::snapshot::{Hash, HashKind, Snapshot};
use cfcache_site::state::{Remembered, UnusableState};

use crate::console::Console;
use crate::failure::Failure;
use crate::job::{ChangedJob, FirstRun};
use crate::purge::changed::read::Deployed;
use crate::report::{Fallback, FallbackTo};
use crate::secret::shown_path;
use crate::wording;

/// At least so many files of a folder have to change for it to be worth a prefix: the first that is fast enough. A
/// request takes 100 prefixes, and few such requests are allowed.
const WORTH_A_PREFIX: [u64; 3] = [100, 10, 2];

/// How many names are told of a kind of warning.
const TOLD: usize = 3;

/// What there is to do.
pub(super) struct Work {
    /// What to purge.
    pub(super) purge: Vec<Target>,
    /// What to invalidate; empty for a purge.
    pub(super) invalidate: Vec<Target>,
    /// Whether it is everything in place of these.
    pub(super) is_everything: bool,
    pub(super) counts: ChangeCounts,
    pub(super) fallback: Option<Fallback>,
    /// The files that are deployed, where they are known.
    pub(super) snapshot: Option<Snapshot>,
    /// URLs that are shown by what is purged in another way than by URL, where they are to be verified or fetched.
    pub(super) covered: Vec<Target>,
    /// The hashes of files that were deleted, where bodies are compared with files.
    pub(super) deleted: HashMap<String, Hash>,
    /// The entries of files that a list of changes names as deleted.
    pub(super) gone: HashSet<String>,
    /// How the files of the state were mapped, if it has any.
    pub(super) mapping: Option<Site>,
    /// Why it is not to be sent, and only written down.
    pub(super) refused: Option<Failure>,
}

impl Work {
    /// All that is to be done, as a state remembers it.
    pub(super) fn pending(&self) -> Vec<Target> {
        self.purge.iter().chain(&self.invalidate).cloned().collect()
    }

    /// All URLs that show what is to be done.
    pub(super) fn urls(&self) -> impl Iterator<Item = &Target> {
        let own = self.purge.iter().chain(&self.invalidate);
        own.filter(|target| target.kind() == Kind::Files).chain(&self.covered)
    }

    pub(super) fn len(&self) -> usize {
        self.purge.len() + self.invalidate.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is sent together: what is done to entries of which kind.
    pub(super) fn groups(&self) -> Vec<(Action, Kind, Vec<&Target>)> {
        let mut groups = Vec::new();
        for (action, targets) in [(Action::Purge, &self.purge), (Action::Invalidate, &self.invalidate)] {
            for kind in [Kind::Files, Kind::Prefixes, Kind::Hosts] {
                let of_kind: Vec<&Target> = targets.iter().filter(|target| target.kind() == kind).collect();
                if !of_kind.is_empty() {
                    groups.push((action, kind, of_kind));
                }
            }
        }
        groups
    }

    /// The kind of all entries; `None` where there are several.
    pub(super) fn kind(&self) -> Option<Kind> {
        let mut kinds = self.purge.iter().chain(&self.invalidate).map(Target::kind);
        let Some(first) = kinds.next() else { return Some(Kind::Files) };
        kinds.all(|kind| kind == first).then_some(first)
    }
}

/// Why the state is not compared with.
struct NoComparison {
    why: String,
    /// What a state that is torn still tells.
    salvaged: Option<Remembered>,
}

/// Compares what is deployed with the state, which `read` reads, and finds what there is to do.
pub(super) fn select(
    job: &ChangedJob,
    deployed: Deployed,
    read: impl FnOnce(&mut Visit<'_>) -> Result<Option<Remembered>, StateError>,
    console: &dyn Console,
) -> Result<Work, Failure> {
    let (snapshot, list) = match deployed {
        Deployed::Snapshot(snapshot) => (Some(snapshot), None),
        Deployed::Changes { changes, outside, broken } => (None, Some((changes, outside, broken))),
    };
    let visits = job.visits.as_ref();
    let expects_files =
        visits.is_some_and(|visits| visits.verify.as_ref().is_some_and(|verify| verify.expects_files));
    if expects_files && !snapshot.as_ref().is_some_and(|snapshot| snapshot.kind() == HashKind::Sha256) {
        return Err(Failure::usage("`--expect-files` needs SHA-256 hashes of what is deployed")
            .with_hint("name the directory, or a manifest that `sha256sum` made"));
    }
    let mut compared = None;
    let mut deleted = HashMap::new();
    let remembered = read(&mut |header, entry| {
        if let Some(snapshot) = &snapshot {
            if expects_files && header.hash == Some(HashKind::Sha256) && !snapshot.contains(entry.path) {
                deleted.insert(entry.path.to_owned(), entry.hash);
            }
            compared.get_or_insert_with(|| difference(header.hash, snapshot)).push_old(entry);
        }
    });
    let compared = compared.map(Difference::finish);
    let (remembered, no_comparison) = usable(remembered, snapshot.is_some())?;
    let is_comparable = no_comparison.is_none();
    let (mut changes, counts, refused) = match (&snapshot, list) {
        (Some(snapshot), _) => {
            let compared = compared.filter(|_| is_comparable);
            let (changes, counts) = compared.unwrap_or_else(|| difference(None, snapshot).finish());
            (changes, counts, None)
        }
        (None, Some((changes, outside, broken))) => {
            if outside > 0 {
                console.note(&format!("{} outside of the site", wording::count(outside, "file")));
            }
            let mut counts = ChangeCounts::default();
            changes.iter().for_each(|change| counts.count(change.kind));
            (changes, counts, broken)
        }
        (None, None) => (Vec::new(), ChangeCounts::default(), None),
    };
    warn(&changes, console);
    if let (Some(remembered), Some(snapshot)) = (&remembered, &snapshot)
        && let Some(kind) = remembered.header.hash.filter(|kind| *kind != snapshot.kind())
    {
        console.note(&format!(
            "the state has hashes of another sort ({kind:?}, now {:?}), so that every file counts as changed",
            snapshot.kind()
        ));
    }
    let before = remembered.as_ref().map(|remembered| &remembered.header.site);
    let has_moved = before.is_some_and(|before| !before.has_urls_of(&job.site));
    let why = match (&no_comparison, has_moved) {
        (Some(no_comparison), _) => Some(no_comparison.why.clone()),
        (None, true) => Some("the site is served under other URLs than before".to_owned()),
        (None, false) => None,
    };
    let salvaged = no_comparison.and_then(|no_comparison| no_comparison.salvaged);
    let pending = remembered.as_ref().or(salvaged.as_ref()).map_or(&[][..], |state| &state.pending);
    if has_moved && job.first == FirstRun::List {
        // What did not change is new where it was not served before.
        let known: HashSet<String> = changes.iter().map(|change| change.path.clone()).collect();
        let rest = snapshot.iter().flat_map(Snapshot::iter).filter(|entry| !known.contains(entry.path));
        changes.extend(rest.map(|entry| Change { path: entry.path.to_owned(), kind: ChangeKind::Changed }));
        changes.sort_unstable();
    }
    let old = before.or(salvaged.as_ref().map(|state| &state.header.site));
    let choice = Choice { job, changes: &changes, snapshot: snapshot.as_ref(), old, pending, console };
    if job.explain {
        choice.explain();
    }
    let mut work = match (why, job.first) {
        (Some(why), FirstRun::Hosts) => {
            choice.note(&why, "the hosts of the site");
            choice.hosts(why, Vec::new())
        }
        (Some(_), FirstRun::Nothing) if !is_comparable => choice.work(pending.to_vec(), Vec::new()),
        _ => choice.exact(),
    };
    work.counts = counts;
    work.refused = refused.or(work.refused);
    if visits.is_some_and(|visits| visits.verify.is_some() || visits.warm.is_some()) {
        work.covered = choice.covered(&work, has_moved);
        work.gone = choice.gone();
    }
    work.mapping =
        remembered.map(|state| state.header).filter(|header| header.files > 0).map(|header| header.site);
    work.deleted = deleted;
    work.snapshot = snapshot;
    Ok(work)
}

/// The state, if it can be compared with, or why not.
fn usable(
    read: Result<Option<Remembered>, StateError>,
    has_snapshot: bool,
) -> Result<(Option<Remembered>, Option<NoComparison>), Failure> {
    let no = |why: String, salvaged| Ok((None, Some(NoComparison { why, salvaged })));
    match read {
        Ok(Some(state)) if has_snapshot && state.header.hash.is_none() => {
            no("the state has no files yet".to_owned(), Some(state))
        }
        Ok(None) if has_snapshot => no("there is no state yet".to_owned(), None),
        Ok(state) => Ok((state, None)),
        Err(StateError::Unusable { unusable: unusable @ UnusableState::Torn { .. }, salvaged, path }) => no(
            format!("the state {} is of no use: {unusable}", shown_path(&path)),
            salvaged.map(|state| *state),
        ),
        Err(error) => Err(state_failure(&error)),
    }
}

/// What is wrong with a state, and what to do about it.
pub(super) fn state_failure(error: &StateError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        StateError::Locked { .. } => {
            failure.with_hint("wait for it to end, or name another state with `--state`")
        }
        StateError::Unusable { unusable: UnusableState::Foreign, .. } => failure
            .with_hint("nothing is written over a file that is no state: name another one with `--state`"),
        StateError::Io { source, .. } => failure.with_cause(source.to_string()),
        _ => failure,
    }
}

/// Warns of names that may not be those that visitors ask for.
fn warn(changes: &[Change], console: &dyn Console) {
    let mut count = 0;
    for change in changes.iter().filter(|change| !path::is_composed(&change.path)) {
        if count < TOLD {
            console.warn(&format!(
                "the name of `{}` is not in the composed form (NFC) that links are typed in: its URL is another one",
                path::display(&change.path)
            ));
        }
        count += 1;
    }
    if count > TOLD {
        console.warn(&format!("… and {} more such names", count - TOLD));
    }
    if let Some(change) = changes.iter().find(|change| change.path.rsplit('/').next() == Some("404.html")) {
        console.warn(&format!(
            "`{}` changed, and is served for paths that nobody can list: the cache keeps such answers for 3 minutes, \
             unless a rule says otherwise",
            path::display(&change.path)
        ));
    }
}

/// What is chosen from.
struct Choice<'a> {
    job: &'a ChangedJob,
    changes: &'a [Change],
    snapshot: Option<&'a Snapshot>,
    /// How the files were mapped before.
    old: Option<&'a Site>,
    pending: &'a [Target],
    console: &'a dyn Console,
}

impl Choice<'_> {
    fn sites(&self) -> Vec<&Site> {
        match self.old {
            Some(old) if *old != self.job.site => vec![old, &self.job.site],
            _ => vec![&self.job.site],
        }
    }

    /// Tells each change, and how much it makes.
    fn explain(&self) {
        let sites = self.sites();
        for change in self.changes {
            let count = Selection::new().push_change(change, &sites);
            let what = if count == 0 { "nothing".to_owned() } else { Kind::Files.count(count as u64) };
            self.console.say(&format!("{} {} -> {what}", change.kind.letter(), path::display(&change.path)));
        }
    }

    /// The URLs of what changed, if that is fast enough.
    fn exact(&self) -> Work {
        let (served, gone) = self.urls(|_| true);
        let Some(within) = self.job.within else { return self.work(gone, served) };
        let limits = super::super::limits(self.job.plan);
        let least = least_time(served.iter().chain(&gone), &limits);
        if least <= within {
            return self.work(gone, served);
        }
        let count = served.len() + gone.len();
        let why = format!(
            "{} take {} by the limits of the plan `{}`, and `--within` allows {}",
            Kind::Files.count(count as u64),
            wording::duration(least),
            self.job.plan.unwrap_or(cfcache_model::Plan::Free),
            wording::duration(within)
        );
        for fallback in &self.job.fallback {
            match fallback {
                FallbackTo::Prefix => {
                    if let Some(work) = self.folders(&why, within, &limits) {
                        self.note(&why, "folders");
                        return work;
                    }
                }
                FallbackTo::Host => {
                    self.note(&why, "the hosts of the site");
                    return self.hosts(why, gone);
                }
                FallbackTo::Everything => {
                    self.note(&why, "everything");
                    let mut work = self.hosts(why, gone);
                    work.is_everything = true;
                    work.fallback.iter_mut().for_each(|fallback| fallback.to = FallbackTo::Everything);
                    return work;
                }
            }
        }
        let mut work = self.work(gone, served);
        work.refused = Some(Failure::usage(why).with_hint(
            "allow more time with `--within`, name the plan with `--plan`, or allow `--fallback host`",
        ));
        work
    }

    fn note(&self, why: &str, what: &str) {
        self.console.note(&format!("{why}; purging {what}"));
    }

    /// The targets of the changes that are wanted, of what is pending and of what is always purged: those that show
    /// something still, and those that show nothing any more. A purge does not tell them apart.
    fn urls(&self, is_wanted: impl Fn(&Change) -> bool) -> (Vec<Target>, Vec<Target>) {
        let sites = self.sites();
        let mut selection = Selection::new();
        let mut deleted = HashSet::new();
        for change in self.changes.iter().filter(|change| is_wanted(change)) {
            selection.push_change(change, &sites);
            if change.kind == ChangeKind::Deleted {
                for site in &sites {
                    site.for_each_target(&change.path, &mut |target| {
                        deleted.insert(target.text().into_owned());
                    });
                }
            }
        }
        for target in self.pending {
            selection.push(target.clone());
            // Whether it shows something still, a list of changes does not tell.
            if self.snapshot.is_none() {
                deleted.insert(target.text().into_owned());
            }
        }
        if !selection.is_empty() {
            selection.push_always(&self.job.site);
        }
        let targets = selection.into_targets();
        match (self.job.action, self.snapshot) {
            (Action::Purge, _) => (Vec::new(), targets),
            (_, Some(snapshot)) => {
                // Hosts and folders are no file's.
                let (whole, own): (Vec<_>, Vec<_>) =
                    targets.into_iter().partition(|target| matches!(target, Target::Hosts(_)));
                let (mut served, gone) = split_gone(own, &self.job.site, snapshot);
                served.extend(whole);
                (served, gone)
            }
            (_, None) => targets.into_iter().partition(|target| !deleted.contains(&*target.text())),
        }
    }

    /// The hosts, old and new, with what is gone and what is pending elsewhere.
    fn hosts(&self, why: String, gone: Vec<Target>) -> Work {
        let mut selection = Selection::new();
        for site in self.sites() {
            site.hosts().into_iter().for_each(|host| selection.push(host));
        }
        let names: HashSet<String> =
            selection.targets().iter().filter_map(|host| host.host().map(str::to_owned)).collect();
        let is_covered = |target: &&Target| target.host().is_some_and(|host| names.contains(host));
        let elsewhere: Vec<Target> =
            self.pending.iter().filter(|target| !is_covered(target)).cloned().collect();
        elsewhere.into_iter().for_each(|target| selection.push(target));
        // Where hosts are purged, so is what is gone.
        let gone = if self.job.action == Action::Purge { Vec::new() } else { gone };
        let mut work = self.work(gone, selection.into_targets());
        work.fallback = Some(Fallback { to: FallbackTo::Host, why });
        work
    }

    /// Folders of which at least half changed, and the URLs of the rest; `None` where that is too slow as well, or the
    /// folders are not known.
    fn folders(&self, why: &str, within: Duration, limits: &PurgeLimits) -> Option<Work> {
        let snapshot = self.snapshot?;
        for at_least in WORTH_A_PREFIX {
            let collapsed = collapse(self.changes, snapshot, at_least);
            if collapsed.folders.is_empty() {
                continue;
            }
            let rest: HashSet<&str> = collapsed.rest.iter().map(|change| change.path.as_str()).collect();
            let (mut served, mut gone) = self.urls(|change| rest.contains(change.path.as_str()));
            if self.job.action == Action::Invalidate {
                // A folder is only marked as stale, and what is gone must not be served.
                let of_folders = |change: &Change| {
                    change.kind == ChangeKind::Deleted && !rest.contains(change.path.as_str())
                };
                gone.extend(self.urls(of_folders).1);
            }
            let folders = if self.job.action == Action::Purge { &mut gone } else { &mut served };
            let mut selection = Selection::new();
            core::mem::take(folders).into_iter().for_each(|target| selection.push(target));
            for folder in &collapsed.folders {
                for site in self.sites() {
                    site.for_each_folder_prefix(folder, &mut |target| selection.push(target));
                }
            }
            *folders = selection.into_targets();
            if least_time(served.iter().chain(&gone), limits) <= within {
                let mut work = self.work(gone, served);
                work.fallback = Some(Fallback { to: FallbackTo::Prefix, why: why.to_owned() });
                return Some(work);
            }
        }
        None
    }

    /// The URLs of files that are purged by their hosts or as prefixes. Where the site has moved, no file has to have
    /// changed for its URLs to be new.
    fn covered(&self, work: &Work, has_moved: bool) -> Vec<Target> {
        let is_other = |target: &Target| target.kind() != Kind::Files;
        if !work.purge.iter().chain(&work.invalidate).any(is_other) {
            return Vec::new();
        }
        let own: HashSet<_> = work.urls().map(|target| target.text().into_owned()).collect();
        let mut urls = Selection::new();
        let mut push = |path: &str| {
            self.job.site.for_each_file_url(path, &mut |target| {
                if !own.contains(&*target.text()) {
                    urls.push(target);
                }
            });
        };
        self.changes.iter().for_each(|change| push(&change.path));
        // Which files a run was about that is made up for is not remembered.
        if has_moved || self.pending.iter().any(is_other) {
            self.snapshot.iter().flat_map(|snapshot| snapshot.iter()).for_each(|entry| push(entry.path));
        }
        urls.into_targets()
    }

    /// The entries of files that a list of changes names as deleted.
    fn gone(&self) -> HashSet<String> {
        let mut gone = HashSet::new();
        let (deleted, served): (Vec<_>, Vec<_>) =
            self.changes.iter().partition(|change| change.kind == ChangeKind::Deleted);
        for change in deleted {
            self.job.site.for_each_file_url(&change.path, &mut |target| {
                gone.insert(target.text().into_owned());
            });
        }
        for change in served {
            self.job.site.for_each_file_url(&change.path, &mut |target| {
                gone.remove(&*target.text());
            });
        }
        gone
    }

    fn work(&self, purge: Vec<Target>, other: Vec<Target>) -> Work {
        let (purge, invalidate) = match self.job.action {
            Action::Purge => (purge.into_iter().chain(other).collect(), Vec::new()),
            _ => (purge, other),
        };
        Work {
            purge,
            invalidate,
            is_everything: false,
            counts: ChangeCounts::default(),
            fallback: None,
            snapshot: None,
            covered: Vec::new(),
            deleted: HashMap::new(),
            gone: HashSet::new(),
            mapping: None,
            refused: None,
        }
    }
}

/// How long the limits make it take at the least: URLs by their rate, all else by what a full bucket does not hold.
fn least_time<'a>(targets: impl Iterator<Item = &'a Target>, limits: &PurgeLimits) -> Duration {
    let (mut urls, mut hosts, mut prefixes) = (0_usize, 0_usize, 0_usize);
    for target in targets {
        match target.kind() {
            Kind::Files => urls += 1,
            Kind::Hosts => hosts += 1,
            _ => prefixes += 1,
        }
    }
    let requests =
        hosts.div_ceil(limits.flexible_per_request) + prefixes.div_ceil(limits.flexible_per_request);
    let waiting = requests.saturating_sub(limits.flexible_burst as usize);
    let time = |count: usize, rate: cfcache_model::limits::Rate| {
        rate.per.mul_f64(count as f64 / f64::from(rate.count))
    };
    time(urls, limits.urls) + time(waiting, limits.flexible_requests)
}
