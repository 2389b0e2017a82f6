//! Ctrl-C, and requests to end.

pub(crate) use cfcache_app::interrupts::Interrupts;
use tokio::sync::watch;

/// Begins to listen for SIGINT, SIGTERM and SIGHUP, those of them that were not ignored at the start, at the first `await`
/// of the caller; until then they end the process on the spot.
pub(super) fn listen() -> Interrupts {
    let (sender, count) = watch::channel(0_u8);
    tokio::spawn(async move {
        let mut signals = Signals::new();
        // Each is counted: those that come while another one is handled wait in their listener.
        while signals.next().await {
            sender.send_modify(|count| *count = count.saturating_add(1));
        }
        // Without a listener nothing is ever counted, and nobody is to be told that it ended.
        core::future::pending::<()>().await;
    });
    Interrupts::new(count)
}

/// One listener for each signal, for the life of the process.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    /// A terminal that goes away sends it, and the shell on it sends it again: it counts once.
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            if is_ignored { None } else { signal(kind).ok() }
        };
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            hang_up: listen(SignalKind::hangup()),
        }
    }

    /// Waits for the next one; `false` where none can come.
    async fn next(&mut self) -> bool {
        let Self { interrupt, terminate, hang_up } = self;
        tokio::select! {
            Some(()) = recv(interrupt) => true,
            Some(()) = recv(terminate) => true,
            Some(()) = recv(hang_up) => {
                *hang_up = None;
                true
            }
            else => false,
        }
    }
}

#[cfg(unix)]
async fn recv(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

/// The signals that this process was started to ignore, one bit each, as `nohup` and a script's `&` arrange it. Only Linux
/// tells without unsafe code.
#[cfg(unix)]
fn ignored() -> u64 {
    use std::io::Read;
    // With room for all of it the kernel writes it once, and not anew for each part that is read.
    let mut status = Vec::with_capacity(1 << 13);
    let read = std::fs::File::open("/proc/self/status").and_then(|mut file| file.read_to_end(&mut status));
    let status = read.ok().and_then(|_| String::from_utf8(status).ok()).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// One listener for each event of a console, for the life of the process.
#[cfg(windows)]
struct Signals {
    interrupt: Option<tokio::signal::windows::CtrlC>,
    stop: Option<tokio::signal::windows::CtrlBreak>,
    close: Option<tokio::signal::windows::CtrlClose>,
}

#[cfg(windows)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
        Self { interrupt: ctrl_c().ok(), stop: ctrl_break().ok(), close: ctrl_close().ok() }
    }

    /// Waits for the next one; `false` where none can come.
    async fn next(&mut self) -> bool {
        let Self { interrupt: Some(interrupt), stop: Some(stop), close: Some(close) } = self else {
            return false;
        };
        tokio::select! {
            happened = interrupt.recv() => happened.is_some(),
            happened = stop.recv() => happened.is_some(),
            happened = close.recv() => happened.is_some(),
        }
    }
}
