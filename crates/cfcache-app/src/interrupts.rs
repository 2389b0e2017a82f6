//! Requests to stop.

use tokio::sync::watch;

/// Counts requests to stop. After the first one, a run sends nothing more and waits for requests in flight. After the
/// second one, it does not wait.
#[derive(Debug, Clone)]
pub struct Interrupts {
    count: watch::Receiver<u8>,
}

impl Interrupts {
    /// Creates it from a counter.
    pub fn new(count: watch::Receiver<u8>) -> Self {
        Self { count }
    }

    /// Waits for the `nth` request, counted from 1. If the counter is dropped, waits forever.
    pub async fn nth(&self, nth: u8) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= nth).await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}
