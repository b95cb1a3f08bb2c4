//! What the core makes of its two hands: steps of the wall clock, and the wait for its synchronisation after boot.

use core::time::Duration;

use crate::job::{BootTime, Clock, DeviceEvent, Entry, EventKind, Now, WallTime, limits};

use super::event::Effects;

/// How often an unsynchronised clock is looked at while jobs wait for it: the kernel tells nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The watch over the wall clock.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// Wall minus boot, in milliseconds, when last seen.
    offset: Option<i64>,
    /// Longest wait after boot.
    wait: Duration,
    /// Since when calendar jobs wait; `None`: they do not.
    waiting_since: Option<BootTime>,
    /// The wait ended in this turn.
    ended: bool,
}

/// What calendar jobs are told in this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// They wait: the wall clock may be wrong.
    Waiting,
    /// They go on; what is due from this instant on counts as on time.
    Ready {
        /// The earliest due instant that is on time.
        on_time_from: WallTime,
    },
}

impl ClockWatch {
    pub(super) fn new(now: Now, wait: Duration) -> Self {
        Self { offset: None, wait, waiting_since: Some(now.boot), ended: false }
    }

    /// Looks at the clock: notes a step, ends the wait.
    pub(super) fn look(&mut self, now: Now, effects: &mut Effects) -> Readiness {
        self.note_step(now, effects);
        if self.waiting_since.is_some() {
            if now.clock == Clock::Unsynced && now.boot < self.wait_ends() {
                return Readiness::Waiting;
            }
            self.ended = true;
        }
        self.ready(now)
    }

    /// What calendar jobs are told once they wait no more.
    pub(super) fn ready(&self, now: Now) -> Readiness {
        let plain = now.wall.minus(limits::ON_TIME);
        Readiness::Ready {
            on_time_from: self.waiting_since.map_or(plain, |since| plain.min(now.wall_at(since))),
        }
    }

    /// The turn in which the wait ended is over: from now on the plain bound holds.
    pub(super) fn close_turn(&mut self) {
        if core::mem::take(&mut self.ended) {
            self.waiting_since = None;
        }
    }

    fn note_step(&mut self, now: Now, effects: &mut Effects) {
        let boot = i64::try_from(now.boot.millis()).unwrap_or(i64::MAX);
        let offset = now.wall.millis().saturating_sub(boot);
        let by_ms = offset.saturating_sub(self.offset.unwrap_or(offset));
        // A slew, or a step too small to tell: followed in silence.
        self.offset = Some(offset);
        if u128::from(by_ms.unsigned_abs()) > limits::CLOCK_STEP.as_millis() {
            let kind = EventKind::ClockStep { by_ms };
            effects.entries.push(Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind }));
        }
    }

    fn wait_ends(&self) -> BootTime {
        BootTime::from_millis(0).plus(self.wait)
    }

    /// When to look again, while jobs wait.
    pub(super) fn wake(&self, now: Now) -> Option<BootTime> {
        self.waiting_since.map(|_| now.boot.plus(LOOK_AGAIN).min(self.wait_ends()))
    }
}
