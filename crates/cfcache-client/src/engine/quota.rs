/// How many failures in a row mean that nothing succeeds any more.
///
/// A retry that may help one request does not help when every request fails: then it is the API, or the way to it, that
/// is down, and a run of a hundred thousand requests has to say so soon instead of failing each of them slowly. So each
/// failed try costs one and each success gives some back. A spent quota alone ends nothing, because a short outage hits
/// everything in flight at once; the first request that fails after *all* of its tries while the quota is spent ends
/// the run.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    left: u32,
}

impl Quota {
    /// So many failed tries, without a success between them, spend it.
    pub(super) const CAPACITY: u32 = 100;
    /// So many failed tries does a success pay for: enough for a server that fails nine times in ten.
    const REFUND: u32 = 10;

    /// A full quota.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { left: Self::CAPACITY }
    }

    /// A try failed.
    pub(super) fn pay(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Something succeeded, or was refused by a server that is well.
    pub(super) fn refund(&mut self) {
        self.left = (self.left + Self::REFUND).min(Self::CAPACITY);
    }

    /// Returns whether nothing is left.
    #[must_use]
    pub(super) const fn is_spent(&self) -> bool {
        self.left == 0
    }
}
