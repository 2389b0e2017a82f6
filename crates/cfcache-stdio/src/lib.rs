//! Tells whether standard output was closed when the program began, as `program >&-` does.
//!
//! Rust's runtime opens `/dev/null` in place of a closed descriptor before `main` begins, and what is written there is
//! lost without an error. Afterwards that cannot be told from a `/dev/null` which the caller passed on purpose. So the
//! descriptor is looked at by a function that the loader calls before the runtime starts. That takes a static in the
//! section `.init_array`, and unsafe code, which no other crate of the workspace has.
//!
//! On other systems than Linux the answer is always that it was open.

#[cfg(target_os = "linux")]
mod before_main {
    use core::sync::atomic::{AtomicBool, Ordering};

    use rustix::io::{Errno, fcntl_getfd};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    // SAFETY: the loader calls each function that this section points to once, before `main`, with arguments that this one
    // ignores, as the C calling convention permits.
    #[unsafe(link_section = ".init_array")]
    #[used]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let flags = fcntl_getfd(rustix::stdio::stdout());
        CLOSED.store(flags == Err(Errno::BADF), Ordering::Relaxed);
    }

    pub(crate) fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

/// Returns whether standard output was closed when the program began.
#[must_use]
pub fn stdout_was_closed() -> bool {
    #[cfg(target_os = "linux")]
    return before_main::was_closed();
    #[cfg(not(target_os = "linux"))]
    false
}
