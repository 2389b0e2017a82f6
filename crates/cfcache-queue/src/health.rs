//! What `/livez` and `/readyz` answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A worker whose loop has not turned for so long hangs.
const TURN_TIME: Duration = Duration::from_secs(30);

/// How this process is. It is shared by the worker, the intake and the admin listener.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    is_stopping: bool,
    /// When the worker's loop turned last; `None` where there is no worker.
    turned: Option<Instant>,
    /// What is wrong with the worker's credentials.
    credentials: Option<String>,
}

impl Health {
    /// The loop of the worker turned. From the first time on, it has to do so again and again.
    pub fn worker_turned(&self, now: Instant) {
        self.state().turned = Some(now);
    }

    /// The worker has ended, or there will be none.
    pub fn worker_ended(&self) {
        self.state().turned = None;
    }

    /// The API took the worker's credentials, or refused them: why, in words without a secret.
    pub fn set_credentials(&self, state: Result<(), String>) {
        self.state().credentials = state.err();
    }

    /// The process is about to stop: it is not ready any more, so that load balancers leave it alone.
    pub fn stop(&self) {
        self.state().is_stopping = true;
    }

    /// Why the process should be killed.
    ///
    /// # Errors
    ///
    /// The worker's loop hangs.
    pub fn alive(&self, now: Instant) -> Result<(), String> {
        let turned = self.state().turned;
        let silence = turned.map_or(Duration::ZERO, |turned| now.saturating_duration_since(turned));
        if silence > TURN_TIME {
            return Err(format!("the worker's loop has not turned for {} seconds", silence.as_secs()));
        }
        Ok(())
    }

    /// Why nothing should be sent to this process, apart from what the store says.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let state = self.state();
        let stopping = state.is_stopping.then(|| "it is stopping".to_owned());
        let refused =
            state.credentials.as_ref().map(|why| format!("the worker's credentials are refused: {why}"));
        stopping.into_iter().chain(refused).collect()
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_turn_for_30_seconds_hangs() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.alive(now), Ok(()));
        health.worker_turned(now);
        assert_eq!(health.alive(now + Duration::from_secs(30)), Ok(()));
        assert!(health.alive(now + Duration::from_secs(31)).unwrap_err().contains("31 seconds"));
        health.worker_ended();
        assert_eq!(health.alive(now + Duration::from_secs(31)), Ok(()));
    }

    #[test]
    fn it_is_not_ready_while_it_stops_or_its_credentials_are_refused() {
        let health = Health::default();
        assert!(health.not_ready().is_empty());
        health.set_credentials(Err("code 10000".to_owned()));
        health.stop();
        assert_eq!(
            health.not_ready(),
            ["it is stopping", "the worker's credentials are refused: code 10000"]
        );
        health.set_credentials(Ok(()));
        assert_eq!(health.not_ready(), ["it is stopping"]);
    }
}
