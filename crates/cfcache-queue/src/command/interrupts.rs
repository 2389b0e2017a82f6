//! Ctrl-C and signals to stop.

use cfcache_app::interrupts::Interrupts;
use tokio::sync::watch;

/// Counts SIGINT and SIGTERM from now on.
pub(super) fn listen() -> Interrupts {
    let (sender, count) = watch::channel(0_u8);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let Ok(mut signals) = signal(kind) else { continue };
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    sender.send_modify(|count| *count = count.saturating_add(1));
                }
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            sender.send_modify(|count| *count = count.saturating_add(1));
        }
    });
    Interrupts::new(count)
}
