//! Ctrl-C and signals to stop.

use tokio::sync::watch;

/// Counts SIGINT and SIGTERM from now on.
pub(super) fn listen(counter: &watch::Sender<u8>) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let Ok(mut signals) = signal(kind) else { continue };
            let counter = counter.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    counter.send_modify(|count| *count = count.saturating_add(1));
                }
            });
        }
    }
    #[cfg(not(unix))]
    {
        let counter = counter.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                counter.send_modify(|count| *count = count.saturating_add(1));
            }
        });
    }
}
