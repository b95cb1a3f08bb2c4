//! The time and the zone of the person who asks, and how both are told.

use core::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use leafcron::job::WallTime;

/// Now and here. The one place of the command line that reads the clock.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) now: WallTime,
    pub(crate) zone: TimeZone,
}

impl Here {
    /// By this machine's clock and zone (`TZ`, `/etc/localtime`).
    pub(crate) fn of_this_machine() -> Self {
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        Self { now: Timestamp::now().into(), zone }
    }

    /// `2026-11-22 03:00:00`.
    pub(crate) fn time(&self, at: WallTime) -> String {
        at.timestamp().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `in 5h 3m`, `3m 10s ago` or `now`.
    pub(crate) fn distance(&self, at: WallTime) -> String {
        if at > self.now {
            format!("in {}", long(at.since(self.now)))
        } else if self.now.since(at) < Duration::from_secs(1) {
            "now".to_owned()
        } else {
            format!("{} ago", long(self.now.since(at)))
        }
    }

    /// Time and distance, or `-`.
    pub(crate) fn when(&self, at: Option<WallTime>) -> String {
        at.map_or_else(|| "-".to_owned(), |at| format!("{} ({})", self.time(at), self.distance(at)))
    }
}

/// A duration's two largest units: `5h 3m`, `2d`, `850ms`.
pub(crate) fn long(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let ms = duration.as_millis();
    let whole = if ms >= 1_000 { ms - ms % 1_000 } else { ms };
    let Some(first) = UNITS.iter().position(|(_, unit)| whole >= *unit) else { return "0s".to_owned() };
    let mut rest = whole;
    let parts: Vec<String> = UNITS
        .iter()
        .skip(first)
        .take(2)
        .filter_map(|(name, unit)| {
            let count = rest / unit;
            rest %= unit;
            (count > 0).then(|| format!("{count}{name}"))
        })
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_its_two_largest_units() {
        for (ms, text) in [
            (0, "0s"),
            (850, "850ms"),
            (1_850, "1s"),
            (190_120, "3m 10s"),
            (3_600_000, "1h"),
            (18_180_000, "5h 3m"),
            (86_401_000, "1d"),
            (400 * 86_400_000 + 3_600_000, "400d 1h"),
        ] {
            assert_eq!(long(Duration::from_millis(ms)), text, "{ms}");
        }
    }

    #[test]
    fn times_are_local_and_say_how_far_they_are() {
        let here =
            Here { now: WallTime::from_secs(1_795_312_800), zone: TimeZone::fixed(jiff::tz::offset(1)) };
        assert_eq!(here.time(here.now), "2026-11-22 03:00:00");
        assert_eq!(here.distance(here.now), "now");
        assert_eq!(here.distance(WallTime::from_secs(1_795_312_790)), "10s ago");
        assert_eq!(here.when(Some(WallTime::from_secs(1_795_316_400))), "2026-11-22 04:00:00 (in 1h)");
        assert!(!here.when(Some(WallTime::from_millis(i64::MAX))).is_empty());
    }
}
