//! A zone's data, as spans of constant offset. The only place that asks jiff, and through it the system's tz database;
//! what cannot be loaded is a named error, never a silent UTC.
//!
//! Sources: tzfile(5), tzset(3), localtime(5).

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase, TimeZoneTransition};

use super::error::ScheduleError;
use crate::job::WallTime;

/// The earliest second that is evaluated: jiff's, in the year -9999.
pub(super) const FIRST: i64 = -377_705_023_201;
/// The last second that is evaluated: jiff's, at the end of 9999.
pub(super) const LAST: i64 = 253_402_207_200;

const LOCALTIME: &str = "/etc/localtime";

/// A zone: a shared pointer to its data, cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    data: TimeZone,
    /// What to call it, where its data does not say.
    given: Option<Arc<str>>,
}

/// How far back a clock change is looked for, in seconds: what it did to local time is over by then, since offsets differ
/// by 52 hours at most.
const SETTLED: i64 = 3 * 86_400;

/// A stretch of time with one offset, `[start, end)`, in seconds since the epoch. It may begin where nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Seconds east of Greenwich.
    pub(super) offset: i64,
    /// The same just before its start.
    pub(super) offset_before: i64,
}

impl Span {
    /// The local time at its start.
    pub(super) fn local_start(self) -> i64 {
        self.start + self.offset
    }

    /// The local time at its end, which is not part of it.
    pub(super) fn local_end(self) -> i64 {
        self.end + self.offset
    }

    /// The local time at which the span before it ended: earlier than its own start if the change skipped some time,
    /// later if it repeats some.
    pub(super) fn local_end_before(self) -> i64 {
        self.start + self.offset_before
    }
}

impl Zone {
    /// Without summer time, and never lost.
    #[must_use]
    pub fn utc() -> Self {
        Self { data: TimeZone::UTC, given: None }
    }

    /// The device's zone, read anew with the rest of the tz database: the variable `TZ` if it is set, else `/etc/localtime`; UTC if there is neither, as
    /// localtime(5) says.
    ///
    /// # Errors
    /// A zone that is named but cannot be loaded.
    pub fn device() -> Result<Self, ScheduleError> {
        // jiff would answer from its cache for five minutes.
        jiff::tz::reset_system_time_zone_cache();
        jiff::tz::db().reset();
        let variable = std::env::var_os("TZ").map(|value| value.to_string_lossy().into_owned());
        let from = variable.as_deref().unwrap_or(LOCALTIME);
        TimeZone::try_system().map(|data| Self::called(data, from)).or_else(|error| {
            if variable.as_deref().map_or_else(localtime_is_utc, is_utc) {
                return Ok(Self::utc());
            }
            let source = if variable.is_some() { "TZ names" } else { "named by" };
            let reason = format!("the device's zone ({source} {from:?}) cannot be loaded: {error}");
            Err(ScheduleError::zone(reason))
        })
    }

    /// The zone of an IANA name as `Europe/Berlin`, or of a POSIX text as `<+03>-3` or `CET-1CEST,M3.5.0,M10.5.0/3`.
    ///
    /// # Errors
    /// A name that the system's tz database does not hold.
    pub fn named(name: &str) -> Result<Self, ScheduleError> {
        match in_database(name) {
            Ok(data) if !data.is_unknown() => return Ok(Self::called(data, name)),
            Err(_) if is_utc(name) => return Ok(Self::called(TimeZone::UTC, name)),
            Ok(_) | Err(_) => {}
        }
        match TimeZone::posix(name) {
            Ok(_) if misleads(name) => Err(ScheduleError::zone(format!(
                "{name:?} is not in this device's tz database, and as a POSIX text it counts westward: write \
                 \"<+03>-3\" or \"Etc/GMT-3\" for three hours east of Greenwich"
            ))),
            Ok(data) => Ok(Self::called(data, name)),
            Err(_) => Err(ScheduleError::zone(format!(
                "{name:?} is not in this device's tz database; write an IANA name as \"Europe/Berlin\", \"UTC\", or a \
                 POSIX text as \"CET-1CEST,M3.5.0,M10.5.0/3\" (is the package tzdata installed?)"
            ))),
        }
    }

    /// Its name: `Europe/Berlin`, or the POSIX text or file that it came from.
    #[must_use]
    pub fn name(&self) -> &str {
        self.given.as_deref().or_else(|| self.data.iana_name()).unwrap_or("UTC")
    }

    /// The instant of a local date or time.
    pub(super) fn instant(&self, local: &str) -> Option<WallTime> {
        let local: DateTime = local.parse().ok()?;
        local.to_zoned(self.data.clone()).ok().map(|zoned| zoned.timestamp().into())
    }

    fn called(data: TimeZone, name: &str) -> Self {
        let given = data.iana_name().is_none().then(|| Arc::from(name));
        Self { data, given }
    }

    /// The spans from the one that `at` lies in, to the end of time.
    pub(super) fn spans(&self, at: i64) -> impl Iterator<Item = Span> + '_ {
        let from = at.saturating_sub(SETTLED).max(FIRST);
        let offset = self.offset(from);
        let mut changes = self.data.following(timestamp(from)).map(|change| instant(&change));
        let mut next = Some((from, offset));
        let mut offset_before = offset;
        let all = core::iter::from_fn(move || {
            let (start, offset) = next?;
            next = changes.next();
            let end = next.map_or(LAST + 1, |(change, _)| change);
            let span = Span { start, end, offset, offset_before };
            offset_before = offset;
            Some(span)
        });
        all.skip_while(move |span| span.end <= at)
    }

    /// The spans from the one that lies before `until`, to the beginning of time.
    pub(super) fn spans_back(&self, until: i64) -> impl Iterator<Item = Span> + '_ {
        let mut changes = self.data.preceding(timestamp(until)).map(|change| instant(&change));
        let mut change = changes.next();
        let mut end = Some(until);
        core::iter::from_fn(move || {
            let until = end.take()?;
            let Some((start, offset)) = change else {
                let offset = self.offset(until - 1);
                return Some(Span { start: FIRST, end: until, offset, offset_before: offset });
            };
            change = changes.next();
            end = Some(start);
            let offset_before = change.map_or_else(|| self.offset(start - 1), |(_, offset)| offset);
            Some(Span { start, end: until, offset, offset_before })
        })
    }

    fn offset(&self, at: i64) -> i64 {
        self.data.to_offset(timestamp(at)).seconds().into()
    }
}

/// The zone of a name in the system's tz database. jiff looks for a database once; where it found none, one may have
/// been installed since.
fn in_database(name: &str) -> Result<TimeZone, jiff::Error> {
    let database = jiff::tz::db();
    if database.is_definitively_empty() { TimeZoneDatabase::from_env().get(name) } else { database.get(name) }
}

/// Whether a POSIX text reads as an offset from UTC and means its opposite: `UTC+3` is three hours behind.
fn misleads(text: &str) -> bool {
    let offset = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT"));
    offset.is_some_and(|offset| {
        let is_offset = offset.starts_with(['+', '-']) && !offset.contains(|c: char| c.is_ascii_alphabetic());
        is_offset && offset.contains(|c| matches!(c, '1'..='9'))
    })
}

/// Whether the name is UTC's, which needs no tz database.
fn is_utc(name: &str) -> bool {
    matches!(name, "UTC" | "Etc/UTC")
}

/// Whether there is no `/etc/localtime`, or it points to UTC where no tz database is installed.
fn localtime_is_utc() -> bool {
    match std::fs::read_link(LOCALTIME) {
        Ok(target) => target.ends_with("zoneinfo/Etc/UTC") || target.ends_with("zoneinfo/UTC"),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// When a change happens, and the offset from then on.
fn instant(change: &TimeZoneTransition<'_>) -> (i64, i64) {
    (change.timestamp().as_second(), change.offset().seconds().into())
}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
