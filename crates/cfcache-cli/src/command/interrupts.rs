//! Signals: Ctrl-C and requests to terminate.

use tokio::sync::watch;

/// Starts to count SIGINT, SIGTERM and SIGHUP at the first `await` of the caller, except for signals that were ignored
/// at the start. Before that, signals end the process at once.
pub(super) fn listen(counter: &watch::Sender<u8>) {
    let counter = counter.clone();
    tokio::spawn(each_signal(move || counter.send_modify(|count| *count = count.saturating_add(1))));
}

/// Calls `count` for each signal, including those that arrive while another one is handled: they wait in their listener.
/// Returns if there can be none.
#[cfg(unix)]
async fn each_signal(mut count: impl FnMut()) {
    use tokio::signal::unix::{SignalKind, signal};
    let ignored = ignored();
    let listen = |kind: SignalKind| {
        let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
        if is_ignored { None } else { signal(kind).ok() }
    };
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    // A terminal that is closed sends it, and its shell sends it again; it is counted once.
    let mut hang_up = listen(SignalKind::hangup());
    loop {
        tokio::select! {
            Some(()) = recv(&mut interrupt) => {}
            Some(()) = recv(&mut terminate) => {}
            Some(()) = recv(&mut hang_up) => hang_up = None,
            else => return,
        }
        count();
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

/// Calls `count` for each console event. Returns if there can be none.
#[cfg(windows)]
async fn each_signal(mut count: impl FnMut()) {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
    let (Ok(mut interrupt), Ok(mut stop), Ok(mut close)) = (ctrl_c(), ctrl_break(), ctrl_close()) else {
        return;
    };
    loop {
        let happened = tokio::select! {
            happened = interrupt.recv() => happened,
            happened = stop.recv() => happened,
            happened = close.recv() => happened,
        };
        if happened.is_none() {
            return;
        }
        count();
    }
}
