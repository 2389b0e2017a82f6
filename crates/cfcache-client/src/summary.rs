//! What a run comes to.

use cfcache_transport::TransportError;

use crate::event::{Event, Observer};

/// Counts what happens. `accepted + failed + duplicates + skipped == items` once a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Entries that were read.
    pub items: u64,
    /// Entries in batches that the API said it accepted.
    pub accepted: u64,
    /// Entries in batches that failed.
    pub failed: u64,
    /// Entries that were the same as one before, and not sent.
    pub duplicates: u64,
    /// Entries that were accepted before this run, and not sent.
    pub skipped: u64,
    /// Batches that came to their end.
    pub batches: u64,
    /// Requests that were sent, tries again included. One for which no connection could be opened is none.
    pub requests: u64,
    /// Requests that were tries again.
    pub retries: u64,
    /// Requests that were answered with "too many".
    pub rate_limited: u64,
}

impl Summary {
    /// Counts an event.
    pub fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Read { entries, duplicates } => {
                self.items += entries;
                self.duplicates += duplicates;
            }
            Event::Skipped { entries } => self.skipped += entries,
            Event::Exchange(exchange) => {
                let is_sent = exchange.result.map_or_else(TransportError::is_sent, |_| true);
                self.requests += u64::from(is_sent);
                self.retries += u64::from(is_sent && exchange.operation.attempt > 1);
                self.rate_limited += u64::from(exchange.rate_limited);
            }
            Event::Ended(outcome) => {
                self.batches += 1;
                match outcome.result {
                    Ok(()) => self.accepted += outcome.batch.len() as u64,
                    Err(_) => self.failed += outcome.batch.len() as u64,
                }
            }
            _ => {}
        }
    }
}

impl Observer for Summary {
    fn on(&mut self, event: Event<'_>) {
        self.count(&event);
    }
}
