//! The deadline of a whole attempt, and a shorter time limit for each of its phases.

use core::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::hyper::Timeouts;
use crate::{Cause, Delivery, Phase, TransportError};

/// The deadline of an attempt, and the time limits of its phases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    until: Instant,
    timeouts: Timeouts,
}

impl Deadline {
    /// Starts an attempt.
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self { until: after(now, timeouts.total), timeouts }
    }

    /// Moves the deadline by `paused`, for time in which the server was not involved.
    pub(crate) fn later_by(self, paused: Duration) -> Self {
        Self { until: after(self.until, paused), ..self }
    }

    /// Runs a phase until its limit or the deadline of the attempt is exceeded, whichever is first.
    ///
    /// `missed` says in the error what did not happen, such as `` `127.0.0.1:9` sent no response ``.
    pub(crate) async fn run<F: Future>(
        self,
        phase: Phase,
        future: F,
        missed: impl FnOnce() -> String,
    ) -> Result<F::Output, TransportError> {
        let limit = match phase {
            Phase::Resolve => self.timeouts.resolve,
            Phase::Connect | Phase::Proxy => self.timeouts.connect,
            Phase::Tls => self.timeouts.tls,
            Phase::Write => self.timeouts.write,
            Phase::Head => self.timeouts.head,
            Phase::Body => self.timeouts.body,
        };
        let until = after(Instant::now(), limit);
        if until > self.until {
            return self.run_whole(phase, future, missed).await;
        }
        timeout_at(until, future)
            .await
            .map_err(|_| timed_out(phase, format!("{} within {}", missed(), format_duration(limit))))
    }

    /// Runs a phase until the deadline of the attempt.
    pub(crate) async fn run_whole<F: Future>(
        self,
        phase: Phase,
        future: F,
        missed: impl FnOnce() -> String,
    ) -> Result<F::Output, TransportError> {
        timeout_at(self.until, future).await.map_err(|_| {
            let total = format_duration(self.timeouts.total);
            timed_out(phase, format!("{} within the {total} of the whole try", missed()))
        })
    }
}

/// The error of a phase that took too long. The server cannot have processed a request that was not written yet.
fn timed_out(phase: Phase, detail: String) -> TransportError {
    let delivery = if phase < Phase::Write { Delivery::NotSent } else { Delivery::Unknown };
    TransportError::new(delivery, phase, Cause::TimedOut, detail)
}

/// Returns `from + span`, or the latest possible time: `Duration::MAX` means "no limit" and must not overflow.
fn after(from: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    from.checked_add(span.min(FAR)).unwrap_or(from)
}

/// Formats a duration: `250 ms`, `1.5 s`, `30 s`.
fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        format!("{millis} ms")
    } else if millis.is_multiple_of(1000) {
        format!("{} s", millis / 1000)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_expired_limit_names_the_phase_or_the_whole_try() {
        let mut timeouts = Timeouts::new();
        timeouts.connect = Duration::from_millis(250);
        timeouts.head = Duration::MAX;
        let deadline = Deadline::start(timeouts);
        let never = core::future::pending::<()>;
        let phase =
            deadline.run(Phase::Connect, never(), || "`a` did not connect".to_owned()).await.unwrap_err();
        assert_eq!(phase.to_string(), "`a` did not connect within 250 ms (connecting)");
        assert_eq!((phase.delivery(), phase.cause()), (Delivery::NotSent, Cause::TimedOut));

        let whole =
            deadline.run(Phase::Head, never(), || "`a` sent no response".to_owned()).await.unwrap_err();
        let text = "`a` sent no response within the 60 s of the whole try (waiting for the response)";
        assert_eq!(whole.to_string(), text);
        assert_eq!((whole.delivery(), whole.cause()), (Delivery::Unknown, Cause::TimedOut));
    }

    #[test]
    fn durations_are_formatted_with_units() {
        let shown = |millis| format_duration(Duration::from_millis(millis));
        assert_eq!([shown(7), shown(1000), shown(1500)], ["7 ms", "1 s", "1.5 s"]);
    }
}
