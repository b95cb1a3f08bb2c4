//! Where a test can have minutes of the link pass as seconds: `LEAFCRON_HASTE=60` in a debug build divides its long waits
//! by that. A release build knows none of this.

use core::time::Duration;
use std::process::Command;

/// How long a wait is.
#[cfg(debug_assertions)]
pub fn hastened(wait: Duration) -> Duration {
    wait / by().max(1)
}

/// As long as it is.
#[cfg(not(debug_assertions))]
pub const fn hastened(wait: Duration) -> Duration {
    wait
}

/// A link process begins with an empty environment.
#[cfg(debug_assertions)]
pub(super) fn hand_on(command: &mut Command) {
    if by() > 1 {
        command.env(HASTE, by().to_string());
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(super) const fn hand_on(_command: &mut Command) {}

#[cfg(debug_assertions)]
const HASTE: &str = "LEAFCRON_HASTE";

#[cfg(debug_assertions)]
fn by() -> u32 {
    std::env::var(HASTE).ok().and_then(|by| by.parse().ok()).unwrap_or(1)
}
