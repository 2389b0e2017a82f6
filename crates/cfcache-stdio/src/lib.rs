//! Detects whether standard output was closed when the program started, as with `program >&-`.
//!
//! Rust's runtime replaces closed descriptors with `/dev/null` before `main` starts, and output is then lost without an
//! error. After that, a closed descriptor looks the same as a `/dev/null` that the caller passed intentionally. So the
//! loader calls a function that checks the descriptor before the runtime starts. This needs a static in the section
//! `.init_array`, and unsafe code, which no other crate of the workspace contains.
//!
//! On systems other than Linux, standard output is always reported as open.

#[cfg(target_os = "linux")]
mod before_main {
    use core::sync::atomic::{AtomicBool, Ordering};

    use rustix::io::{Errno, fcntl_getfd};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    // SAFETY: the loader calls each function in this section once, before `main`. This function ignores the arguments,
    // which the C calling convention permits.
    #[unsafe(link_section = ".init_array")]
    #[used]
    static CHECK: extern "C" fn() = check;

    extern "C" fn check() {
        let flags = fcntl_getfd(rustix::stdio::stdout());
        CLOSED.store(flags == Err(Errno::BADF), Ordering::Relaxed);
    }

    pub(crate) fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

/// Returns whether standard output was closed when the program started.
#[must_use]
pub fn stdout_was_closed() -> bool {
    #[cfg(target_os = "linux")]
    return before_main::was_closed();
    #[cfg(not(target_os = "linux"))]
    false
}
