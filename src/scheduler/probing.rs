//! When the machine is read: never while nothing is held, for all that is held at once, ever more rarely while gates stay
//! shut, and sooner when the kernel says that the pressure is over.

use core::time::Duration;

use crate::gate::{Pressed, Wanted};
use crate::job::{BootTime, Now, Readings};

use super::event::Act;

/// Between two readings of the machine for fires that are held: at first, and at most.
pub(super) const PROBE_AGAIN: Duration = Duration::from_secs(5);
pub(super) const PROBE_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// What is known of the machine, and when it is read again.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// A probe has been asked for and not been answered.
    pub(super) outstanding: bool,
    /// What it was asked to read.
    pub(super) asked: Wanted,
    /// The readings of this turn.
    pub(super) fresh: Option<Readings>,
    /// The last readings, for `status`.
    pub(super) shown: Readings,
    /// When held fires are looked at again.
    pub(super) next: Option<BootTime>,
    interval: Duration,
    /// The pressure that held fires wait to see the end of, as the shell was told.
    watched: Pressed,
    /// One of them was silent and is watched no more: the shell has to be told anew.
    eased: bool,
}

impl Probing {
    pub(super) fn wake(&self) -> Option<BootTime> {
        self.next.filter(|_| !self.outstanding)
    }

    /// Held fires are looked at again at once.
    pub(super) fn hurry(&mut self, now: Now) {
        self.next = Some(now.boot);
    }

    /// What was not asked for now, since no `check` could follow, is asked for later.
    pub(super) fn look_ahead(&mut self, now: Now) {
        if !self.outstanding && self.next.is_some_and(|at| at <= now.boot) {
            self.next = Some(now.boot.plus(PROBE_AGAIN));
        }
    }

    /// Settles when to read again, after a turn in which held fires were judged or not.
    pub(super) fn plan_next(
        &mut self,
        now: Now,
        judged: bool,
        held: usize,
        admitted_held: usize,
        slots: usize,
    ) {
        // Without a slot nothing could start: the end of a run is what to wait for, and then to read at once.
        if held == 0 || slots == 0 {
            (self.next, self.interval) = (None, PROBE_AGAIN);
        } else if judged && (admitted_held > 0 || self.next.is_none_or(|at| now.boot >= at)) {
            self.interval = if admitted_held > 0 { PROBE_AGAIN } else { self.interval.max(PROBE_AGAIN) };
            self.next = Some(now.boot.plus(self.interval));
            self.interval = (self.interval * 2).min(PROBE_AGAIN_AT_MOST);
        }
    }

    /// Readings have come.
    pub(super) fn answered(&mut self, readings: Readings) {
        self.outstanding = false;
        self.fresh = Some(readings);
    }

    /// The pressure is over that was watched: held fires are looked at again, and what still holds them is watched anew.
    pub(super) fn eased(&mut self, now: Now) {
        if !self.watched.is_empty() {
            self.eased = true;
            self.interval = PROBE_AGAIN;
            self.hurry(now);
        }
    }

    /// What the shell shall watch from now on, where that is something else than before.
    pub(super) fn watch(&mut self, pressed: Pressed) -> Option<Act> {
        let anew = core::mem::take(&mut self.eased) || self.watched != pressed;
        anew.then(|| {
            self.watched = pressed.clone();
            Act::Watch(pressed)
        })
    }
}
