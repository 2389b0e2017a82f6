//! Requests to end.

use tokio::sync::watch;

/// Counts requests to end. The first ends a run in good order: nothing more is sent, and what is in flight is waited for.
/// The second does not wait.
#[derive(Debug, Clone)]
pub struct Interrupts {
    count: watch::Receiver<u8>,
}

impl Interrupts {
    /// Takes how many there have been, from whoever counts them.
    pub fn new(count: watch::Receiver<u8>) -> Self {
        Self { count }
    }

    /// Waits for the `nth` of them, counted from 1. Where nobody counts any more it waits for ever.
    pub async fn nth(&self, nth: u8) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= nth).await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}
