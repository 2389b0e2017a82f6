//! The health of the process, for `/livez` and `/readyz`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time after which a worker without an iteration of its loop counts as hung.
const MAX_ITERATION_TIME: Duration = Duration::from_secs(30);

/// The health of this process. The worker, the intake and the admin listener share it.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    is_stopping: bool,
    /// The time of the last iteration of the worker's loop; `None` if there is no worker.
    last_iteration: Option<Instant>,
    /// Why the API refused the worker's credentials, if it did.
    credentials: Option<String>,
}

impl Health {
    /// Records an iteration of the worker's loop. After the first one, iterations must follow regularly.
    pub fn worker_iterated(&self, now: Instant) {
        self.state().last_iteration = Some(now);
    }

    /// Records that the worker has ended, or that there is none.
    pub fn worker_ended(&self) {
        self.state().last_iteration = None;
    }

    /// Records whether the API accepts the worker's credentials. The error says why not, without a secret.
    pub fn set_credentials(&self, state: Result<(), String>) {
        self.state().credentials = state.err();
    }

    /// Records that the process is about to stop. It is no longer ready, so load balancers stop sending to it.
    pub fn stop(&self) {
        self.state().is_stopping = true;
    }

    /// Checks whether the process is alive.
    ///
    /// # Errors
    ///
    /// The reason to restart the process: the worker's loop hangs.
    pub fn alive(&self, now: Instant) -> Result<(), String> {
        let last_iteration = self.state().last_iteration;
        let silence = last_iteration
            .map_or(Duration::ZERO, |last_iteration| now.saturating_duration_since(last_iteration));
        if silence > MAX_ITERATION_TIME {
            return Err(format!("the worker's loop has not run for {} seconds", silence.as_secs()));
        }
        Ok(())
    }

    /// Returns why no requests should be sent to this process, without the state of the store.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let state = self.state();
        let stopping = state.is_stopping.then(|| "the process is stopping".to_owned());
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
    fn not_alive_if_the_worker_loop_stalls_for_30_seconds() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.alive(now), Ok(()));
        health.worker_iterated(now);
        assert_eq!(health.alive(now + Duration::from_secs(30)), Ok(()));
        assert!(health.alive(now + Duration::from_secs(31)).unwrap_err().contains("31 seconds"));
        health.worker_ended();
        assert_eq!(health.alive(now + Duration::from_secs(31)), Ok(()));
    }

    #[test]
    fn not_ready_while_stopping_or_with_refused_credentials() {
        let health = Health::default();
        assert!(health.not_ready().is_empty());
        health.set_credentials(Err("code 10000".to_owned()));
        health.stop();
        assert_eq!(
            health.not_ready(),
            ["the process is stopping", "the worker's credentials are refused: code 10000"]
        );
        health.set_credentials(Ok(()));
        assert_eq!(health.not_ready(), ["the process is stopping"]);
    }
}
