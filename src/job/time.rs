//! Two clocks, two types: what the calendar goes by ([`WallTime`], may be set) and what durations go by
//! ([`BootTime`], never goes back). Nothing here reads a clock.

use core::fmt;
use core::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// CLOCK_REALTIME: milliseconds since 1970-01-01 UTC, without leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct WallTime(i64);

/// CLOCK_BOOTTIME: milliseconds since this boot; goes on during suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct BootTime(u64);

/// Whether the kernel (or the owner, by `trust_clock`) says that the wall clock is synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The wall clock follows a time source.
    Synced,
    /// It runs free: it may be wrong by years.
    Unsynced,
}

/// One reading of both clocks: the only notion of time that the core has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The calendar's hand.
    pub wall: WallTime,
    /// The hand of durations.
    pub boot: BootTime,
    /// What the wall hand is worth.
    pub clock: Clock,
}

impl WallTime {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same instant for jiff; saturates at its range (years -9999 to 9999).
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

impl From<Timestamp> for WallTime {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

/// RFC 3339 UTC with milliseconds, as in every record.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl BootTime {
    /// From milliseconds since boot.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since boot.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This instant moved later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This instant moved earlier; not before the boot.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Now {
    /// The wall time at which the boot clock will show `at`, if nobody sets the wall clock meanwhile.
    #[must_use]
    pub fn wall_at(self, at: BootTime) -> WallTime {
        if at >= self.boot {
            self.wall.plus(at.since(self.boot))
        } else {
            self.wall.minus(self.boot.since(at))
        }
    }

    /// What the boot clock shows when the wall clock shows `at`, if nobody sets that; the boot at the earliest.
    #[must_use]
    pub fn boot_at(self, at: WallTime) -> BootTime {
        if at >= self.wall {
            self.boot.plus(at.since(self.wall))
        } else {
            self.boot.minus(self.wall.since(at))
        }
    }
}

/// Serialises a [`WallTime`] as its text, for JSON views: `#[serde(with = "rfc3339")]`.
pub mod rfc3339 {
    use super::WallTime;
    use serde::{Deserialize, Deserializer, Serializer};

    /// As text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    /// From text.
    ///
    /// # Errors
    /// What is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>().map(WallTime::from).map_err(serde::de::Error::custom)
    }

    /// The same for an optional time.
    pub mod option {
        use super::super::WallTime;
        use serde::{Deserialize, Deserializer, Serializer};

        /// As text, or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(at: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.collect_str(at),
                None => serializer.serialize_none(),
            }
        }

        /// From text, or null.
        ///
        /// # Errors
        /// What is not RFC 3339.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WallTime>, D::Error> {
            #[derive(Deserialize)]
            struct At(#[serde(with = "super")] WallTime);
            Ok(Option::<At>::deserialize(deserializer)?.map(|At(at)| at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_prints_milliseconds_in_utc() {
        assert_eq!(WallTime::from_millis(1_795_312_800_004).to_string(), "2026-11-22T02:00:00.004Z");
        assert_eq!(WallTime::from_secs(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(WallTime::from_millis(-1).secs(), -1);
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(WallTime::from_millis(i64::MAX).plus(Duration::from_secs(1)).millis(), i64::MAX);
        assert!(!WallTime::from_millis(i64::MIN).to_string().is_empty());
        assert_eq!(WallTime::from_secs(1).since(WallTime::from_secs(2)), Duration::ZERO);
    }
}
