//! [`Calendar`]: a schedule line in a zone, as what it is asked for.

use core::num::NonZeroI64;

use super::changes::Fires;
use super::error::ScheduleError;
use super::line;
use super::pattern::Pattern;
use super::zone::{FIRST, LAST, Zone};
use crate::job::WallTime;

/// When a job is due. A few dozen bytes: bit sets, and a pointer to its zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    pub(super) rule: Rule,
    pub(super) zone: Zone,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// At local times.
    Times(Pattern),
    /// At multiples of this many seconds since the epoch, at least one.
    Every(NonZeroI64),
    /// Once per boot.
    Reboot,
}

impl Calendar {
    /// Reads a schedule line. `zone` is an IANA name or a POSIX text; `None`: the `device`'s zone.
    ///
    /// # Errors
    /// A line that the dialect refuses or that can never fire; a zone that cannot be loaded.
    pub fn new(line: &str, zone: Option<&str>, device: &Zone) -> Result<Self, ScheduleError> {
        let rule = line::read(line)?;
        let zone = zone.map_or_else(|| Ok(device.clone()), Zone::named)?;
        Ok(Self { rule, zone })
    }

    /// Whether it fires once per boot, and at no instant that could be told.
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        self.rule == Rule::Reboot
    }

    /// Whether it needs a synchronised clock: lines do; `@every` and `@reboot` do not.
    #[must_use]
    pub fn waits_for_clock(&self) -> bool {
        self.has_local_times()
    }

    /// Whether it fires at local times, which a zone must say; `@every` and `@reboot` do not.
    #[must_use]
    pub fn has_local_times(&self) -> bool {
        matches!(self.rule, Rule::Times(_))
    }

    /// The instant of a local date or time in its zone, as `2026-03-29` or `2026-03-29T02:30`: the first of two, and a
    /// time that the clock skips by the offset before. `None`: neither, or outside of what is evaluated.
    #[must_use]
    pub fn instant(&self, local: &str) -> Option<WallTime> {
        self.zone.instant(local)
    }

    /// The name of the zone that it goes by.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        self.zone.name()
    }

    /// The first fire strictly after `after`; depends on that, the line and the zone's data alone. `None`: none before
    /// the end of the year 9999, or `@reboot`.
    #[must_use]
    pub fn next(&self, after: WallTime) -> Option<WallTime> {
        let from = after.secs().saturating_add(1);
        let found = match &self.rule {
            Rule::Times(pattern) => self.fires(pattern).first(from)?,
            Rule::Every(period) => multiples(from.max(FIRST), *period) * period.get(),
            Rule::Reboot => return None,
        };
        (found <= LAST).then(|| WallTime::from_secs(found))
    }

    /// How many fires are in `(after, to]`. A century costs microseconds.
    #[must_use]
    pub fn count(&self, after: WallTime, to: WallTime) -> u64 {
        let (from, until) = seconds(after, to);
        match &self.rule {
            Rule::Times(pattern) => self.fires(pattern).count(from, until),
            Rule::Every(period) => {
                let count = multiples(until, *period).saturating_sub(multiples(from, *period));
                u64::try_from(count).unwrap_or(0)
            }
            Rule::Reboot => 0,
        }
    }

    /// The n-th latest fire in `(after, to]`, 1 for the latest; `None` if there are fewer. Costs n steps.
    #[must_use]
    pub fn latest(&self, after: WallTime, to: WallTime, n: u32) -> Option<WallTime> {
        let (from, until) = seconds(after, to);
        let found = match &self.rule {
            Rule::Times(pattern) => self.fires(pattern).latest(from, until, n),
            Rule::Every(period) => {
                let (first, end) = (multiples(from, *period), multiples(until, *period));
                let nth = end - i64::from(n);
                (n > 0 && nth >= first).then(|| nth * period.get())
            }
            Rule::Reboot => None,
        };
        found.map(WallTime::from_secs)
    }

    pub(super) fn fires<'a>(&'a self, pattern: &'a Pattern) -> Fires<'a> {
        Fires { pattern, zone: &self.zone }
    }
}

/// `(after, to]` as whole seconds `[from, until)`, within what is evaluated.
fn seconds(after: WallTime, to: WallTime) -> (i64, i64) {
    (after.secs().saturating_add(1).max(FIRST), to.secs().saturating_add(1).min(LAST + 1))
}

/// Which multiple of `period` is the first at or after `at`.
fn multiples(at: i64, period: NonZeroI64) -> i64 {
    // Rounds up, for negative numbers too.
    -(-at).div_euclid(period.get())
}
