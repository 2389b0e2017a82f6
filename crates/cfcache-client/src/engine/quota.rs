/// How many retries a whole run may spend while nothing succeeds.
///
/// A retry that may help one request does not help when every request fails: then it is the API, or the way to it, that
/// is down, and a run of a hundred thousand requests has to say so soon instead of failing each of them slowly. So each
/// retry costs one, each success gives some back, and a run whose quota is spent stops.
#[derive(Debug, Clone)]
pub struct Quota {
    left: u32,
}

impl Quota {
    /// So many retries in a row, without a success between them, end a run.
    pub const CAPACITY: u32 = 100;
    /// So many retries does a success pay for: enough for a server that fails nine times in ten.
    const REFUND: u32 = 10;

    /// A full quota.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: Self::CAPACITY }
    }

    /// Pays for a retry; `false` where nothing is left.
    pub fn pay(&mut self) -> bool {
        let paid = self.left > 0;
        self.left = self.left.saturating_sub(1);
        paid
    }

    /// Something succeeded.
    pub fn refund(&mut self) {
        self.left = (self.left + Self::REFUND).min(Self::CAPACITY);
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self::new()
    }
}
