//! URLs as visitors ask for them, and how far a list of them is.

use core::time::Duration;
use std::cell::RefCell;

use tokio::time::Instant;

use crate::console::Console;
use crate::wording;

/// How often it is shown how far a list is.
const REDRAW: Duration = Duration::from_millis(125);

/// The first moments say nothing about the time that is left.
const GUESS_AFTER: Duration = Duration::from_secs(3);

/// How far the whole is.
pub struct Meter {
    /// "URL", "request".
    noun: &'static str,
    /// "asked", "fetched".
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    failed: u64,
    started: Instant,
}

impl Meter {
    pub fn new(noun: &'static str, verb: &'static str, total: Option<u64>) -> Self {
        Self { noun, verb, total, done: 0, failed: 0, started: Instant::now() }
    }

    pub fn count(&mut self, is_fine: bool) {
        self.done += 1;
        self.failed += u64::from(!is_fine);
    }

    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    pub const fn done(&self) -> u64 {
        self.done
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn line(&self, now: Instant) -> String {
        let elapsed = now - self.started;
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.1);
        let mut line = match self.total {
            Some(total) => format!("{} of {} {}", self.done, wording::count(total, self.noun), self.verb),
            None => format!("{} {}", wording::count(self.done, self.noun), self.verb),
        };
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&format!(", {}/s", wording::rate(rate)));
        if let Some(total) = self.total
            && elapsed >= GUESS_AFTER
            && rate > 0.0
            && let Ok(left) = Duration::try_from_secs_f64(total.saturating_sub(self.done) as f64 / rate)
        {
            line.push_str(&format!(", {} left", wording::whole(left)));
        }
        line.push_str(&format!(" ({})", wording::whole(elapsed)));
        line
    }
}

/// Shows the progress for as long as it is polled.
pub async fn draw(meter: &RefCell<Meter>, console: &dyn Console) {
    let mut interval = tokio::time::interval(REDRAW);
    loop {
        interval.tick().await;
        let meter = meter.borrow();
        console.progress(&meter.line(Instant::now()), meter.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_rate() {
        let mut meter = Meter::new("URL", "asked", Some(1000));
        meter.done = 40;
        meter.failed = 1;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 of 1000 URLs asked, 1 failed, 10/s, 96 s left (4 s)");
        meter.total = None;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 URLs asked, 1 failed, 10/s (4 s)");
    }
}
