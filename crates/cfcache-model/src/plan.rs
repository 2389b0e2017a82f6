//! Splits targets into request-sized batches.

mod unsent;
mod window;

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::InvalidInput;
use crate::limits::{DEFAULT_BODY_BYTES, PurgeLimits};
use crate::plan::unsent::UnsentKeys;
use crate::plan::window::{FingerprintWindow, fingerprint};
use crate::target::{Kind, Target, Warning};

/// The maximum number of distinct entries that a planner remembers to find duplicates.
pub const DUPLICATE_WINDOW: usize = 1_000_000;

/// A target with the data that reports need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The target.
    pub target: Target,
    /// The index of the entry in the input, counted from 0 over all pushed entries; the planner sets it.
    pub ordinal: u64,
    /// The caller's tag, which is returned with the outcome of the entry. It has no meaning here.
    pub tag: u64,
    /// The text as given, if it differs from the target's own.
    given: Option<Box<str>>,
}

impl Entry {
    /// Stores the text as given with the parsed target.
    #[must_use]
    #[inline]
    pub fn new(target: Target, given: &str) -> Self {
        let given = (*target.text() != *given).then(|| given.into());
        Self { target, ordinal: 0, tag: 0, given }
    }

    /// Parses an entry, and reports every warning about it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the entry is refused.
    pub fn parse(kind: Kind, given: &str, warn: &mut dyn FnMut(Warning)) -> Result<Self, InvalidInput> {
        let target = Target::parse(kind, given)?;
        target.warnings(warn);
        Ok(Self::new(target, given))
    }

    /// Sets the caller's tag, such as the key of a database row.
    #[must_use]
    pub const fn with_tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// The entry as given.
    #[must_use]
    pub fn given(&self) -> Cow<'_, str> {
        match &self.given {
            Some(given) => Cow::Borrowed(given),
            None => self.target.text(),
        }
    }
}

impl<T: Into<Target>> From<T> for Entry {
    #[inline]
    fn from(target: T) -> Self {
        Self { target: target.into(), ordinal: 0, tag: 0, given: None }
    }
}

/// Targets for one request.
///
/// - There is at least one, so a batch can never mean "everything".
/// - All have the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    kind: Kind,
    entries: Vec<Entry>,
    /// The size of its targets as JSON strings, which the planner has added up.
    string_bytes: usize,
}

impl Batch {
    fn new(kind: Kind, entries: Vec<Entry>) -> Self {
        let string_bytes = entries.iter().map(|entry| entry.target.string_bytes()).sum();
        Self { kind, entries, string_bytes }
    }

    /// Creates a batch of targets in the given order, without checking limits.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is no target, or if the kinds differ.
    pub fn from_targets<T: Into<Entry>>(targets: impl IntoIterator<Item = T>) -> Result<Self, InvalidInput> {
        let entries: Vec<Entry> = targets.into_iter().map(Into::into).collect();
        let Some(first) = entries.first() else {
            return Err(InvalidInput::new("there is nothing to purge: the list is empty"));
        };
        let kind = first.target.kind();
        match entries.iter().map(|entry| entry.target.kind()).find(|other| *other != kind) {
            Some(second) => Err(mixed(kind, second)),
            None => Ok(Self::new(kind, entries)),
        }
    }

    /// The kind of all its targets.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of targets, which is never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries in the given order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) const fn string_bytes(&self) -> usize {
        self.string_bytes
    }

    pub(crate) fn targets(&self) -> impl Clone + Iterator<Item = &Target> {
        self.entries.iter().map(|entry| &entry.target)
    }

    /// Splits it into two halves, the first at least as large as the second; `None` if it has one entry.
    #[must_use]
    pub fn split(&self) -> Option<(Self, Self)> {
        let (first, second) = self.entries.split_at(self.entries.len().div_ceil(2));
        let half = |entries: &[Entry]| Self::new(self.kind, entries.to_owned());
        (!second.is_empty()).then(|| (half(first), half(second)))
    }
}

/// The error for targets of two kinds, because a request has only one.
#[cold]
fn mixed(first: Kind, second: Kind) -> InvalidInput {
    InvalidInput::new(alloc::format!("`{first}` and `{second}` do not go into one request"))
}

/// The maximum size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// The maximum number of targets in a request; at least 1.
    pub items: usize,
    /// The maximum size of the body in bytes. A single target that is larger is sent alone.
    pub bytes: usize,
}

impl BatchLimits {
    /// Limits with a maximum number of targets (0 counts as 1) and [`DEFAULT_BODY_BYTES`].
    #[must_use]
    pub const fn new(items: usize) -> Self {
        Self { items: if items == 0 { 1 } else { items }, bytes: DEFAULT_BODY_BYTES }
    }

    /// The limits of a plan for `kind`, and [`DEFAULT_BODY_BYTES`].
    #[must_use]
    pub const fn from_plan(limits: PurgeLimits, kind: Kind) -> Self {
        Self::new(match kind {
            Kind::Files => limits.urls_per_request,
            Kind::Tags | Kind::Hosts | Kind::Prefixes => limits.flexible_per_request,
        })
    }

    /// Sets the maximum size of the body in bytes.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

/// The range in which a [`Planner`] looks for duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "another range would be another guarantee")]
pub enum Dedupe {
    /// The default. The whole input, up to [`DUPLICATE_WINDOW`] distinct entries: for a finite input, in which a
    /// repeated entry is redundant.
    #[default]
    WholeInput,
    /// Only entries that have not been sent ([`Planner::sent`]): for an unbounded input, in which an entry that comes
    /// again after it was sent means that the page has changed again.
    Unsent,
}

/// The result of pushing entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Planned {
    /// The batches that are full.
    pub batches: Vec<Batch>,
    /// The duplicates, which are in no batch.
    pub duplicates: Vec<Entry>,
}

/// Takes targets one by one, and returns a batch when it is full.
///
/// - Every pushed target is in exactly one batch, unless it is a duplicate.
/// - The order is kept, over all batches.
/// - No batch exceeds the [`BatchLimits`], except that a single target larger than a whole body gets a batch of its
///   own.
/// - A duplicate is a target that is the same to the API as an earlier one; [`Dedupe`] determines which earlier targets
///   count. Tags are compared without regard to case. With [`Dedupe::WholeInput`], targets are compared by a 128-bit
///   fingerprint.
/// - Memory is bounded: by the current batch, and by about 24 MiB for the window of [`Dedupe::WholeInput`] (less for
///   short inputs), or by the unsent targets with [`Dedupe::Unsent`].
#[derive(Debug)]
pub struct Planner {
    kind: Kind,
    limits: BatchLimits,
    pending: Vec<Entry>,
    sizes: Sizes,
    seen: Seen,
    pushed: u64,
    duplicates: u64,
}

/// The earlier targets for detecting duplicates.
#[derive(Debug)]
enum Seen {
    Whole(FingerprintWindow),
    Unsent(UnsentKeys),
}

impl Seen {
    fn new(dedupe: Dedupe) -> Self {
        match dedupe {
            Dedupe::WholeInput => Self::Whole(FingerprintWindow::new(DUPLICATE_WINDOW)),
            Dedupe::Unsent => Self::Unsent(UnsentKeys::default()),
        }
    }

    /// Adds an entry. Returns `false` if it is a duplicate.
    fn insert(&mut self, entry: &Entry) -> bool {
        match self {
            Self::Whole(window) => window.insert(fingerprint(&entry.target)),
            Self::Unsent(keys) => keys.insert(entry.ordinal, entry.target.key()),
        }
    }

    /// The same for many, one after the other.
    fn insert_all(&mut self, entries: &[Entry]) -> Vec<bool> {
        match self {
            Self::Whole(window) => {
                let fingerprints: Vec<u128> =
                    entries.iter().map(|entry| fingerprint(&entry.target)).collect();
                window.expect(&fingerprints);
                fingerprints.into_iter().map(|fingerprint| window.insert(fingerprint)).collect()
            }
            Self::Unsent(keys) => {
                entries.iter().map(|entry| keys.insert(entry.ordinal, entry.target.key())).collect()
            }
        }
    }
}

impl Planner {
    /// Creates a planner for targets of `kind`.
    #[must_use]
    pub fn new(kind: Kind, limits: BatchLimits) -> Self {
        Self {
            kind,
            limits,
            pending: Vec::new(),
            sizes: Sizes::default(),
            seen: Seen::new(Dedupe::default()),
            pushed: 0,
            duplicates: 0,
        }
    }

    /// Sets the range in which duplicates are detected. Entries that were pushed before are forgotten.
    #[must_use]
    pub fn with_dedupe(mut self, dedupe: Dedupe) -> Self {
        self.seen = Seen::new(dedupe);
        self
    }

    /// Marks entries of a returned batch as sent: with [`Dedupe::Unsent`], an entry that equals one of them is no longer
    /// a duplicate. `entries` are the batch or a part of it, in its order.
    pub fn sent(&mut self, entries: &[Entry]) {
        if let Seen::Unsent(keys) = &mut self.seen {
            keys.sent(entries);
        }
    }

    /// Adds one target; returns a batch if one is full.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if its kind differs from the planner's.
    pub fn push(&mut self, entry: impl Into<Entry>) -> Result<Option<Batch>, InvalidInput> {
        let mut entry = entry.into();
        self.check(core::slice::from_ref(&entry))?;
        entry.ordinal = self.pushed;
        self.pushed += 1;
        let is_new = self.seen.insert(&entry);
        self.duplicates += u64::from(!is_new);
        Ok(if is_new { self.take_in(entry) } else { None })
    }

    /// Adds many targets in order; returns the batches that are full. This is faster than adding them one by one.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the kind of one differs from the planner's. None of them is added in this case.
    // If it were inlined in a binary that is optimized for size, callers would move each entry byte by byte.
    #[inline(never)]
    pub fn push_all(&mut self, mut entries: Vec<Entry>) -> Result<Planned, InvalidInput> {
        self.check(&entries)?;
        for entry in &mut entries {
            entry.ordinal = self.pushed;
            self.pushed += 1;
        }
        let are_new = self.seen.insert_all(&entries);
        let mut planned = Planned::default();
        if are_new.contains(&false) {
            let mut are_new = are_new.into_iter();
            planned.duplicates.extend(entries.extract_if(.., |_| are_new.next() == Some(false)));
            self.duplicates += planned.duplicates.len() as u64;
        }
        for entry in entries {
            if let Some(batch) = self.take_in(entry) {
                planned.batches.push(batch);
            }
        }
        Ok(planned)
    }

    fn check(&self, entries: &[Entry]) -> Result<(), InvalidInput> {
        match entries.iter().map(|entry| entry.target.kind()).find(|other| *other != self.kind) {
            Some(second) => Err(mixed(self.kind, second)),
            None => Ok(()),
        }
    }

    /// Adds an entry to the pending ones; returns a batch if one is full.
    #[inline]
    fn take_in(&mut self, entry: Entry) -> Option<Batch> {
        let added = Sizes::new(&entry.target);
        let is_full = self.pending.len() >= self.limits.items;
        let overflows = self.sizes.plus(added).body(self.kind, self.pending.len() + 1) > self.limits.bytes;
        let full = if is_full || overflows && !self.pending.is_empty() { self.take() } else { None };
        self.sizes = self.sizes.plus(added);
        self.pending.push(entry);
        if full.is_none() && self.pending.len() >= self.limits.items { self.take() } else { full }
    }

    /// Returns a batch of the remaining targets when no more come. Call it until it returns `None`: after
    /// [`set_items`](Self::set_items) there can be several batches.
    #[must_use = "what is left would be lost"]
    pub fn finish(&mut self) -> Option<Batch> {
        self.take()
    }

    /// Changes the maximum number of targets in later batches.
    ///
    /// If the batch that is being filled already has more, the surplus is returned in allowed sizes with the next
    /// pushes and with [`finish`](Self::finish).
    pub fn set_items(&mut self, items: usize) {
        self.limits.items = items.max(1);
    }

    /// The current limits.
    #[must_use]
    pub const fn limits(&self) -> BatchLimits {
        self.limits
    }

    /// The number of targets that were pushed.
    #[must_use]
    pub const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The number of pushed targets that were duplicates.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The number of targets that are neither duplicates nor in a returned batch.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes a batch of pending targets, starting with the first: as many as are allowed.
    fn take(&mut self) -> Option<Batch> {
        let fitting = self.fitting();
        let rest = if fitting == self.pending.len() {
            Vec::with_capacity(fitting)
        } else {
            self.pending.split_off(fitting)
        };
        let left = rest.iter().fold(Sizes::default(), |sizes, entry| sizes.plus(Sizes::new(&entry.target)));
        let string_bytes = core::mem::replace(&mut self.sizes, left).strings - left.strings;
        let entries = core::mem::replace(&mut self.pending, rest);
        (!entries.is_empty()).then_some(Batch { kind: self.kind, entries, string_bytes })
    }

    /// The number of pending entries that fit into a batch: all, except for a time after the limit was lowered.
    fn fitting(&self) -> usize {
        let fits = |sizes: Sizes, items: usize| {
            items <= 1 || items <= self.limits.items && sizes.body(self.kind, items) <= self.limits.bytes
        };
        if fits(self.sizes, self.pending.len()) {
            return self.pending.len();
        }
        let mut sizes = Sizes::default();
        let too_many = self.pending.iter().enumerate().position(|(index, entry)| {
            sizes = sizes.plus(Sizes::new(&entry.target));
            !fits(sizes, index + 1)
        });
        too_many.unwrap_or(self.pending.len())
    }
}

/// The encoded size of the pending targets in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    /// As strings.
    strings: usize,
    /// What headers add to it. If there are any, all targets are encoded as objects.
    headers: usize,
}

impl Sizes {
    #[inline]
    fn new(target: &Target) -> Self {
        Self { strings: target.string_bytes(), headers: target.header_bytes() }
    }

    const fn plus(self, other: Self) -> Self {
        Self { strings: self.strings + other.strings, headers: self.headers + other.headers }
    }

    fn body(self, kind: Kind, items: usize) -> usize {
        let wrapping = r#"{"":[]}"#.len() + kind.field().len() + items.saturating_sub(1);
        let objects = if self.headers > 0 { items * r#"{"url":}"#.len() + self.headers } else { 0 };
        wrapping + self.strings + objects
    }
}
