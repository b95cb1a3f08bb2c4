//! Where a test can have the agent stand still, to kill it exactly there: `LEAFCRON_STOP_AT=POINT` in a debug build
//! raises SIGSTOP at that point. A release build knows none of this.

/// Stands still here, if the test says so.
#[cfg(debug_assertions)]
pub(super) fn stop_at(point: &str) {
    if std::env::var_os("LEAFCRON_STOP_AT").is_some_and(|at| at == point) {
        // Only fails for a signal that does not exist.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).unwrap_or_default();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(super) const fn stop_at(_point: &str) {}
