//! Selects what to purge for a deployment: changes since the state, pending entries, and URLs that are always purged.
//! If that would take too long or there is nothing to compare with, it selects fewer, larger items.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use cfcache_model::endpoint::Action;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::target::{Kind, Target};
use cfcache_site::difference::{ChangeCounts, ChangeKind, Difference, FileChange, difference};
use cfcache_site::io::state_file::{EachFile, StateError};
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

/// The minimum number of changed files for which a folder is purged as a prefix; the first value that is fast enough is
/// used. A request holds 100 prefixes, and few such requests are allowed.
const WORTH_A_PREFIX: [u64; 3] = [100, 10, 2];

/// The maximum number of names that are shown for one kind of warning.
const TOLD: usize = 3;

/// What to do for a deployment.
pub(super) struct Work {
    /// The entries to purge.
    pub(super) purge: Vec<Target>,
    /// The entries to invalidate; empty for a purge.
    pub(super) invalidate: Vec<Target>,
    /// Whether to purge everything instead of these entries.
    pub(super) is_everything: bool,
    pub(super) counts: ChangeCounts,
    pub(super) fallback: Option<Fallback>,
    /// The deployed files, if they are known.
    pub(super) snapshot: Option<Snapshot>,
    /// URLs that are covered by prefixes or hosts, if they have to be verified or fetched.
    pub(super) covered: Vec<Target>,
    /// The hashes of deleted files, if bodies are compared with files.
    pub(super) deleted: HashMap<String, Hash>,
    /// The entries of files that a list of changes marks as deleted.
    pub(super) gone: HashSet<String>,
    /// The mapping of the files in the state, if it has any.
    pub(super) mapping: Option<Site>,
    /// Why nothing is sent; the entries are only recorded.
    pub(super) refused: Option<Failure>,
}

impl Work {
    /// All entries, as the state stores them.
    pub(super) fn pending(&self) -> Vec<Target> {
        self.purge.iter().chain(&self.invalidate).cloned().collect()
    }

    /// All affected URLs.
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

    /// The groups that are sent together, by action and kind.
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

    /// The kind of all entries; `None` if there are several.
    pub(super) fn kind(&self) -> Option<Kind> {
        let mut kinds = self.purge.iter().chain(&self.invalidate).map(Target::kind);
        let Some(first) = kinds.next() else { return Some(Kind::Files) };
        kinds.all(|kind| kind == first).then_some(first)
    }
}

/// Compares the deployed files with the state, which `read` loads, and selects what to do.
pub(super) fn select(
    job: &ChangedJob,
    deployed: Deployed,
    read: impl FnOnce(&mut EachFile<'_>) -> Result<Option<Remembered>, StateError>,
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
            .with_hint("give the directory, or a manifest of `sha256sum`"));
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
    let (state, no_comparison) = usable(remembered, snapshot.is_some())?;
    let is_comparable = no_comparison.is_none();
    let remembered = state.as_ref().filter(|_| is_comparable);
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
    if let (Some(remembered), Some(snapshot)) = (remembered, &snapshot)
        && let Some(kind) = remembered.header.hash.filter(|kind| *kind != snapshot.kind())
    {
        console.note(&format!(
            "the state has hashes of another type ({kind:?}, now {:?}), so every file counts as changed",
            snapshot.kind()
        ));
    }
    let before = remembered.map(|remembered| &remembered.header.site);
    let has_moved = before.is_some_and(|before| !before.has_urls_of(&job.site));
    let why = no_comparison.or_else(|| has_moved.then(|| "the URLs of the site have changed".to_owned()));
    let pending = state.as_ref().map_or(&[][..], |state| &state.pending);
    if has_moved && job.first == FirstRun::List {
        // An unchanged file is new if it was not served before.
        let known: HashSet<String> = changes.iter().map(|change| change.path.clone()).collect();
        let rest = snapshot.iter().flat_map(Snapshot::iter).filter(|entry| !known.contains(entry.path));
        changes
            .extend(rest.map(|entry| FileChange { path: entry.path.to_owned(), kind: ChangeKind::Changed }));
        changes.sort_unstable();
    }
    let old = state.as_ref().map(|state| &state.header.site);
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
    let header = state.filter(|_| is_comparable).map(|state| state.header);
    work.mapping = header.filter(|header| header.files > 0).map(|header| header.site);
    work.deleted = deleted;
    work.snapshot = snapshot;
    Ok(work)
}

/// The state, or the readable part of an incomplete one; and the reason, if it cannot be compared with.
fn usable(
    read: Result<Option<Remembered>, StateError>,
    has_snapshot: bool,
) -> Result<(Option<Remembered>, Option<String>), Failure> {
    match read {
        Ok(Some(state)) if has_snapshot && state.header.hash.is_none() => {
            Ok((Some(state), Some("the state has no files yet".to_owned())))
        }
        Ok(None) if has_snapshot => Ok((None, Some("there is no state yet".to_owned()))),
        Ok(state) => Ok((state, None)),
        Err(StateError::Unusable { unusable: unusable @ UnusableState::Torn { .. }, salvaged, path }) => {
            let why = format!("the state {} cannot be used: {unusable}", shown_path(&path));
            Ok((salvaged.map(|state| *state), Some(why)))
        }
        Err(error) => Err(state_failure(&error)),
    }
}

/// The failure for a problem with the state.
pub(super) fn state_failure(error: &StateError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        StateError::Locked { .. } => {
            failure.with_hint("wait for it to end, or use another state with `--state`")
        }
        StateError::Unusable { unusable: UnusableState::Foreign, .. } => {
            failure.with_hint("a file that is not a state is not overwritten: use another one with `--state`")
        }
        StateError::Io { source, .. } => failure.with_cause(source.to_string()),
        _ => failure,
    }
}

/// Warns about names that may differ from those that visitors request.
fn warn(changes: &[FileChange], console: &dyn Console) {
    let mut count = 0;
    for change in changes.iter().filter(|change| !path::is_composed(&change.path)) {
        if count < TOLD {
            console.warn(&format!(
                "the name of `{}` is not in composed form (NFC), in which links are usually typed: its URL differs",
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
            "`{}` changed, and is served for paths that cannot be listed: the cache keeps such responses for 3 minutes, \
             unless a rule says otherwise",
            path::display(&change.path)
        ));
    }
}

/// The data of the selection.
struct Choice<'a> {
    job: &'a ChangedJob,
    changes: &'a [FileChange],
    snapshot: Option<&'a Snapshot>,
    /// The previous mapping.
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

    /// Shows each change and the number of entries that it purges.
    fn explain(&self) {
        let sites = self.sites();
        for change in self.changes {
            let mut selection = Selection::new();
            let count = selection.push_change(change, &sites) as u64;
            let mut kinds = selection.targets().iter().map(Target::kind);
            let what = match kinds.next() {
                None => "nothing".to_owned(),
                Some(first) if kinds.all(|kind| kind == first) => first.count(count),
                Some(_) => format!("{count} entries"),
            };
            self.console.say(&format!("{} {} -> {what}", change.kind.letter(), path::display(&change.path)));
        }
    }

    /// Selects the URLs of changed files, if that is fast enough.
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
            "allow more time with `--within`, set the plan with `--plan`, or allow `--fallback host`",
        ));
        work
    }

    fn note(&self, why: &str, what: &str) {
        self.console.note(&format!("{why}; purging {what}"));
    }

    /// The entries of the wanted changes, of pending entries and of URLs that are always purged: those that still show
    /// a file, and those that do not. A purge treats both alike.
    fn urls(&self, is_wanted: impl Fn(&FileChange) -> bool) -> (Vec<Target>, Vec<Target>) {
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
            // A list of changes does not say whether a URL still shows a file.
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
                // Hosts and folders belong to no file.
                let (whole, own): (Vec<_>, Vec<_>) =
                    targets.into_iter().partition(|target| matches!(target, Target::Hosts(_)));
                let (mut served, gone) = split_gone(own, &self.job.site, snapshot);
                served.extend(whole);
                (served, gone)
            }
            (_, None) => targets.into_iter().partition(|target| !deleted.contains(&*target.text())),
        }
    }

    /// Selects the old and new hosts, with the URLs of deleted files and pending entries elsewhere.
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
        // Purging the hosts includes the URLs of deleted files.
        let gone = if self.job.action == Action::Purge { Vec::new() } else { gone };
        let mut work = self.work(gone, selection.into_targets());
        work.fallback = Some(Fallback { to: FallbackTo::Host, why });
        work
    }

    /// Selects folders in which at least half of the files changed, and the URLs of the others; `None` if that is too
    /// slow as well, or if the folders are not known.
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
                // A folder is only marked as stale, but deleted files must not be served.
                let of_folders = |change: &FileChange| {
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
        // The state does not record which files a pending entry came from.
        if has_moved || self.pending.iter().any(is_other) {
            self.snapshot.iter().flat_map(|snapshot| snapshot.iter()).for_each(|entry| push(entry.path));
        }
        urls.into_targets()
    }

    /// The entries of files that a list of changes marks as deleted.
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

/// The minimum time by the limits: URLs by their rate, all other entries by what exceeds a full bucket.
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
