//! Signals: Ctrl-C and requests to terminate.

pub(crate) use cfcache_app::interrupts::Interrupts;
use tokio::sync::watch;

/// Starts to listen for SIGINT, SIGTERM and SIGHUP at the first `await` of the caller, except for signals that were
/// ignored at the start. Before that, signals end the process at once.
pub(super) fn listen() -> Interrupts {
    let (sender, count) = watch::channel(0_u8);
    tokio::spawn(async move {
        let mut signals = Signals::new();
        // Each signal is counted: those that arrive while another one is handled wait in their listener.
        while signals.next().await {
            sender.send_modify(|count| *count = count.saturating_add(1));
        }
        // Without a listener no signal is ever counted, and the caller must not see that this ended.
        core::future::pending::<()>().await;
    });
    Interrupts::new(count)
}

/// One listener for each signal, for the lifetime of the process.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    /// A terminal that is closed sends it, and its shell sends it again; it is counted once.
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

    /// Waits for the next signal; returns `false` if there can be none.
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

/// The signals that this process was started to ignore, one bit each, as with `nohup` or `&` in a script. Only Linux
/// reports them without unsafe code.
#[cfg(unix)]
fn ignored() -> u64 {
    use std::io::Read;
    // With enough capacity the kernel writes the file once, and not again for each part that is read.
    let mut status = Vec::with_capacity(1 << 13);
    let read = std::fs::File::open("/proc/self/status").and_then(|mut file| file.read_to_end(&mut status));
    let status = read.ok().and_then(|_| String::from_utf8(status).ok()).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// One listener for each console event, for the lifetime of the process.
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

    /// Waits for the next event; returns `false` if there can be none.
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
