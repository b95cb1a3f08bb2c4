//! What systemd hears of the agent, where that started it: sd_notify(3), sd_watchdog_enabled(3). Anywhere else nothing is
//! said.

use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

use crate::job::{BootTime, Now};

/// The service manager.
pub(super) struct Manager {
    /// Whether there is one.
    listens: bool,
    /// It ends an agent that has said nothing for so long.
    patience: Option<Duration>,
    fed: BootTime,
    /// The last line that it was told.
    status: String,
}

impl Manager {
    pub(super) fn new(now: Now) -> Self {
        let patience = sd_notify::watchdog_enabled();
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { listens, patience: patience.filter(|_| listens), fed: now.boot, status: String::new() }
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            log::warn!("tell systemd: {error}");
        }
    }

    /// The start is over, or a reload.
    pub(super) fn ready(&self) {
        self.say(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&self) {
        // Not by `NotifyState::monotonic_usec_now`: in 32 bits it overflows when the machine has been up for 36 minutes.
        let at = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(at.tv_sec) * 1_000_000 + i128::from(at.tv_nsec) / 1_000;
        self.say(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
    }

    pub(super) fn stopping(&self) {
        self.say(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`, said when it is another than before.
    pub(super) fn status(&mut self, line: impl FnOnce() -> String) {
        if !self.listens {
            return;
        }
        let line = line();
        if line != self.status {
            self.say(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// Shows that the loop turns, when half of the patience is over; when to be called again.
    pub(super) fn feed(&mut self, now: Now) -> Option<BootTime> {
        let half = self.patience? / 2;
        if now.boot.since(self.fed) >= half {
            self.say(&[NotifyState::Watchdog]);
            self.fed = now.boot;
        }
        Some(self.fed.plus(half))
    }
}
