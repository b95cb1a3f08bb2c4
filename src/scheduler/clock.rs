//! What the core makes of its two hands: steps of the wall clock, whether it can be believed, and the wait for its
//! synchronisation after boot.

use core::time::Duration;

use crate::job::{BootId, BootTime, Clock, Eras, Now, Provisional, WallTime, limits};

/// How often an unsynchronised clock is looked at while jobs wait for it: the kernel tells nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Longest time between two looks at an implausible clock: whoever sets it right also wakes the loop, but may say only a
/// moment later that it is synchronised.
const LOOK_AT_MOST: Duration = Duration::from_secs(3_600);

/// The watch over the wall clock.
#[derive(Debug)]
pub(super) struct ClockWatch {
    last: Option<Now>,
    /// Of the main era: what was lived of it, here or before.
    newest: Option<WallTime>,
    /// How far the provisional era was lived, while that counts.
    provisional: Option<WallTime>,
    /// No clock that is right shows less.
    released: WallTime,
    /// When the wait after boot is over, at the latest.
    wait_ends: BootTime,
    /// Calendar jobs wait.
    waits: bool,
    /// The wait ended in this turn.
    ended: bool,
    /// When an implausible clock is looked at again, and how long after that.
    again: (BootTime, Duration),
}

/// What a look at the clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Later by this many milliseconds than it would be if nobody had set it; `None`: hardly.
    pub(super) step_ms: Option<i64>,
    /// What it would show if nobody had set it; `None`: this is the first look.
    pub(super) before: Option<WallTime>,
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

/// What the clock's hand is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Plausible,
    /// It runs free, and shows what cannot be.
    Implausible,
    /// It is synchronised, so what it showed before was wrong.
    HadBeenWrong,
}

impl ClockWatch {
    /// `newest` is the newest time of the main era, `provisional` how far that of this boot was lived.
    pub(super) fn new(
        now: Now,
        settings: &super::Settings,
        newest: Option<WallTime>,
        provisional: Option<WallTime>,
    ) -> Self {
        let wait_ends = BootTime::from_millis(0).plus(settings.clock_wait);
        let waits = now.clock == Clock::Unsynced && now.boot < wait_ends;
        let (released, again) = (settings.released, (now.boot, LOOK_AGAIN));
        Self { last: None, newest, provisional, released, wait_ends, waits, ended: false, again }
    }

    /// Looks at the clock: what was lived since the last look belongs to the era that counts, whatever it shows now.
    pub(super) fn look(&mut self, now: Now, eras: &Eras) -> Seen {
        let before = self.last.map(|last| last.wall.plus(now.boot.since(last.boot)));
        self.last = Some(now);
        let lived = if eras.provisional.is_some() { &mut self.provisional } else { &mut self.newest };
        *lived = (*lived).max(before);
        let by_ms = before.map_or(0, |before| now.wall.millis().saturating_sub(before.millis()));
        // A slew, or a step too small to tell: followed in silence.
        let step = u128::from(by_ms.unsigned_abs()) > limits::CLOCK_STEP.as_millis();
        if step || now.boot >= self.again.0 {
            let wait = if step { LOOK_AGAIN } else { (self.again.1 * 2).min(LOOK_AT_MOST) };
            self.again = (now.boot.plus(wait), wait);
        }
        Seen { step_ms: step.then_some(by_ms), before }
    }

    /// Which era counts from now on, if that is another one.
    pub(super) fn judge(&mut self, now: Now, eras: &Eras, boot: BootId) -> Option<Eras> {
        let next = Eras { at: now.wall, until: self.lived(eras), newest: self.newest, ..eras.clone() };
        let fresh = eras.last.saturating_add(1);
        match (self.worth(now), eras.provisional) {
            (Worth::Plausible, None) => None,
            (Worth::Plausible, Some(_)) => Some(Eras { provisional: None, ..next }),
            (Worth::HadBeenWrong, _) => {
                self.newest = Some(now.wall);
                Some(Eras { main: fresh, last: fresh, provisional: None, newest: self.newest, ..next })
            }
            // It repeats nothing either: set far back, it begins anew.
            (Worth::Implausible, Some(known)) if known.boot == boot && !behind(now, self.provisional) => None,
            (Worth::Implausible, _) => {
                self.provisional = Some(now.wall);
                Some(Eras { provisional: Some(Provisional { era: fresh, boot }), last: fresh, ..next })
            }
        }
    }

    fn worth(&self, now: Now) -> Worth {
        let known = self.newest.max(Some(self.released));
        match now.clock {
            Clock::Synced if behind(now, self.newest) => Worth::HadBeenWrong,
            Clock::Synced => Worth::Plausible,
            Clock::Unsynced if behind(now, known) => Worth::Implausible,
            Clock::Unsynced => match (self.newest, known) {
                (Some(_), Some(known)) if now.wall > known.plus(limits::CLOCK_AHEAD) => Worth::Implausible,
                _ => Worth::Plausible,
            },
        }
    }

    /// Ends the wait, if it is over.
    pub(super) fn readiness(&mut self, now: Now) -> Readiness {
        if self.waits {
            if now.clock == Clock::Unsynced && now.boot < self.wait_ends {
                return Readiness::Waiting;
            }
            self.ended = true;
        }
        self.ready(now)
    }

    /// What calendar jobs are told once they wait no more: all that became due since the boot waited with them.
    pub(super) fn ready(&self, now: Now) -> Readiness {
        let plain = now.wall.minus(limits::ON_TIME);
        let since_boot = now.wall_at(BootTime::from_millis(0));
        Readiness::Ready { on_time_from: if self.waits { plain.min(since_boot) } else { plain } }
    }

    /// Whether calendar jobs wait, or did until this turn.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// How far the era that counts was lived.
    pub(super) fn lived(&self, eras: &Eras) -> Option<WallTime> {
        if eras.provisional.is_some() { self.provisional } else { self.newest }
    }

    /// How far the main era was lived.
    pub(super) fn newest(&self) -> Option<WallTime> {
        self.newest
    }

    /// The turn in which the wait ended is over: from now on the plain bound holds.
    pub(super) fn close_turn(&mut self) {
        if core::mem::take(&mut self.ended) {
            self.waits = false;
        }
    }

    /// When to look again: while jobs wait, and while the clock is implausible. One that was set back may be right again
    /// by itself.
    pub(super) fn wake(&self, now: Now, eras: &Eras) -> Option<BootTime> {
        let wait = self.waits.then(|| now.boot.plus(LOOK_AGAIN).min(self.wait_ends));
        let implausible = eras.provisional.map(|_| {
            let known = self.newest.max(Some(self.released)).unwrap_or(now.wall);
            let right = now.boot_at(known.minus(limits::CLOCK_BEHIND)).max(now.boot);
            if right > now.boot { self.again.0.min(right) } else { self.again.0 }
        });
        [wait, implausible].into_iter().flatten().min()
    }
}

/// Whether the clock shows a time too far behind one that was before.
fn behind(now: Now, known: Option<WallTime>) -> bool {
    known.is_some_and(|known| now.wall.plus(limits::CLOCK_BEHIND) < known)
}
