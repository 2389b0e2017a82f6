//! The deadline of a whole attempt, and a shorter time limit for each of its phases.

use core::fmt;
use core::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::hyper::Timeouts;
use crate::{Cause, Delivery, Phase, TransportError};

/// The deadline of an attempt, and the time limits of its phases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    until: Instant,
    pub(crate) timeouts: Timeouts,
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

    /// Runs `future` until `limit` or the deadline of the attempt is exceeded, whichever is first.
    pub(crate) async fn within<F: Future>(self, limit: Duration, future: F) -> Result<F::Output, Expired> {
        let phase_until = after(Instant::now(), limit);
        match timeout_at(phase_until.min(self.until), future).await {
            Ok(output) => Ok(output),
            Err(_) if phase_until <= self.until => Err(Expired { waited: limit, whole_try: false }),
            Err(_) => Err(Expired { waited: self.timeouts.total, whole_try: true }),
        }
    }

    /// Runs `future` until the deadline of the attempt.
    pub(crate) async fn whole<F: Future>(self, future: F) -> Result<F::Output, Expired> {
        timeout_at(self.until, future)
            .await
            .map_err(|_| Expired { waited: self.timeouts.total, whole_try: true })
    }
}

/// Returns `from + span`, or the latest possible time: `Duration::MAX` means "no limit" and must not overflow.
fn after(from: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    from.checked_add(span.min(FAR)).unwrap_or(from)
}

/// A time limit that was exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expired {
    waited: Duration,
    whole_try: bool,
}

impl Expired {
    /// Turns it into an error; `missed` says what did not happen, such as `` `127.0.0.1:9` sent no response ``.
    pub(crate) fn into_error(
        self,
        delivery: Delivery,
        phase: Phase,
        missed: impl fmt::Display,
    ) -> TransportError {
        let waited = format_duration(self.waited);
        let detail = if self.whole_try {
            format!("{missed} within the {waited} of the whole try")
        } else {
            format!("{missed} within {waited}")
        };
        TransportError::new(delivery, phase, Cause::TimedOut, detail)
    }
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
        let deadline = Deadline::start(Timeouts::new());
        let phase =
            deadline.within(Duration::from_millis(250), core::future::pending::<()>()).await.unwrap_err();
        let text = phase.into_error(Delivery::NotSent, Phase::Connect, "`a` did not connect").to_string();
        assert_eq!(text, "`a` did not connect within 250 ms (connecting)");

        let whole = deadline.within(Duration::MAX, core::future::pending::<()>()).await.unwrap_err();
        let text = whole.into_error(Delivery::Unknown, Phase::Head, "`a` sent no response").to_string();
        assert_eq!(text, "`a` sent no response within the 60 s of the whole try (waiting for the response)");
    }

    #[test]
    fn durations_are_formatted_with_units() {
        let shown = |millis| format_duration(Duration::from_millis(millis));
        assert_eq!([shown(7), shown(1000), shown(1500)], ["7 ms", "1 s", "1.5 s"]);
    }
}
