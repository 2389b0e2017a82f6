/// Counts failures to detect that nothing succeeds any more.
///
/// A retry may help one request, but not if every request fails: then the API or the connection is down, and a run of a
/// hundred thousand requests has to stop soon instead of failing each of them slowly. Each failed attempt costs one
/// unit of the quota, and each success returns some. An empty quota alone stops nothing, because a short outage affects
/// everything in flight at once; the run stops with the first request that fails after *all* of its attempts while the
/// quota is empty.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    left: u32,
}

impl Quota {
    /// The number of failed attempts without a success that use up the quota.
    pub(super) const CAPACITY: u32 = 100;
    /// The number of failed attempts that a success compensates: enough for a server that fails nine times out of ten.
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

    /// Records a success, or a refusal by a server that works.
    pub(super) fn refund(&mut self) {
        self.left = (self.left + Self::REFUND).min(Self::CAPACITY);
    }

    /// Returns whether nothing is left.
    #[must_use]
    pub(super) const fn is_spent(&self) -> bool {
        self.left == 0
    }
}
