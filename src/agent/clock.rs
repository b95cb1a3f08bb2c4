//! The one place that reads the clocks: CLOCK_REALTIME, CLOCK_BOOTTIME (clock_gettime(2)) and whether the first is
//! synchronised (adjtimex(2), or the file that systemd-timesyncd(8) keeps).

use std::path::Path;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::job::{BootId, BootTime, Clock, Eras, Now, WallTime};
use crate::runtime;

/// What systemd-timesyncd touches once it has synchronised.
const TIMESYNCD_MARK: &str = "/run/systemd/timesync/synchronized";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// When this version was released: the time of its commit where the build was told (reproducible builds are), else a
/// day before its first release.
pub(super) const RELEASED: WallTime = WallTime::from_secs(match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => seconds(text.as_bytes()),
    None => 1_793_491_200,
});

/// What decimal digits say.
const fn seconds(mut digits: &[u8]) -> i64 {
    let mut seconds = 0;
    while let [digit, rest @ ..] = digits {
        assert!(digit.is_ascii_digit(), "SOURCE_DATE_EPOCH is seconds since 1970");
        seconds = seconds * 10 + (*digit - b'0') as i64;
        digits = rest;
    }
    seconds
}

/// What the wall clock is worth without asking the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Ask the kernel.
    Ask,
    /// The owner vouches for it (`trust_clock = true`).
    Always,
}

/// Both hands, now.
pub(super) fn now(trust: Trust) -> Now {
    let wall = clock_gettime(ClockId::Realtime);
    let boot = clock_gettime(ClockId::Boottime);
    Now {
        wall: WallTime::from_millis(millis(wall)),
        boot: BootTime::from_millis(u64::try_from(millis(boot)).unwrap_or(0)),
        clock: match trust {
            Trust::Always => Clock::Synced,
            Trust::Ask if runtime::clock_is_synchronised() => Clock::Synced,
            Trust::Ask => marked(Path::new(TIMESYNCD_MARK)),
        },
    }
}

/// What systemd-timesyncd says: it keeps its file from its first synchronisation in this boot on.
fn marked(mark: &Path) -> Clock {
    if mark.exists() { Clock::Synced } else { Clock::Unsynced }
}

/// Which era counts, for a line of the log.
pub(super) fn era_in_words(eras: &Eras) -> String {
    let (era, at) = (eras.current(), eras.at);
    match eras.provisional {
        Some(_) => format!(
            "the clock is not synchronised and shows {at}, which cannot be: jobs run in provisional era {era}, and the main one stands still"
        ),
        None => format!("from {at} on main era {era} counts"),
    }
}

/// The wall clock, for a line of a log.
#[must_use]
pub fn wall_clock() -> WallTime {
    WallTime::from_millis(millis(clock_gettime(ClockId::Realtime)))
}

/// The id of this boot.
///
/// # Errors
/// /proc is not mounted, or says nonsense.
pub(super) fn boot_id() -> Result<BootId, String> {
    let text = std::fs::read_to_string(BOOT_ID).map_err(|error| format!("read {BOOT_ID}: {error}"))?;
    text.parse().map_err(|error| format!("read {BOOT_ID}: {error}"))
}

#[expect(clippy::useless_conversion, reason = "tv_sec and tv_nsec are narrower on 32-bit machines")]
fn millis(at: Timespec) -> i64 {
    i64::from(at.tv_sec).saturating_mul(1_000).saturating_add(i64::from(at.tv_nsec) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clock_is_worth_is_the_owners_word_the_kernels_or_the_mark_of_timesyncd() {
        assert_eq!(now(Trust::Always).clock, Clock::Synced);
        let run = tempfile::tempdir().unwrap();
        let mark = run.path().join("synchronized");
        assert_eq!(marked(&mark), Clock::Unsynced);
        std::fs::write(&mark, "").unwrap();
        assert_eq!(marked(&mark), Clock::Synced);
        let expected =
            if runtime::clock_is_synchronised() { Clock::Synced } else { marked(Path::new(TIMESYNCD_MARK)) };
        assert_eq!(now(Trust::Ask).clock, expected);
    }

    #[test]
    fn this_version_was_released_before_it_runs() {
        assert_eq!(seconds(b"1793491200"), 1_793_491_200);
        assert!(RELEASED <= wall_clock(), "{RELEASED} is in the future: every clock would be implausible");
    }

    #[test]
    fn a_line_of_the_log_says_which_era_counts_and_why() {
        let mut eras = Eras { at: WallTime::from_secs(0), last: 2, ..Eras::default() };
        assert_eq!(era_in_words(&eras), "from 1970-01-01T00:00:00.000Z on main era 1 counts");
        eras.provisional = Some(crate::job::Provisional { era: 2, boot: BootId::default() });
        assert!(era_in_words(&eras).contains("which cannot be: jobs run in provisional era 2"));
    }
}
