//! A calendar line as bit sets, and the search through local time: seven small sets say which seconds match, and a
//! month's days are one 32-bit word, so that a search looks at months and a count adds up words.
//!
//! Local time here is civil time counted in seconds as if it were UTC; zones are `calendar`'s.

use super::civil::{DAY, Month, split};

/// Which local times match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Bits 0 to 59.
    pub(super) seconds: u64,
    /// Bits 0 to 59.
    pub(super) minutes: u64,
    /// Bits 0 to 23.
    pub(super) hours: u32,
    /// Bits 1 to 31.
    pub(super) days: u32,
    /// Bits 1 to 12.
    pub(super) months: u16,
    /// Bits 0 to 6, 0 for Sunday.
    pub(super) weekdays: u8,
    /// Whether a day matches by day-of-month or by day-of-week.
    pub(super) day_fields: DayFields,
    /// What happens at a clock change.
    pub(super) kind: Kind,
}

/// How day-of-month and day-of-week go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DayFields {
    /// The text of one of them begins with `*`: both must match.
    Both,
    /// Both are restricted: one suffices.
    Either,
}

/// What a clock change does to a line (DESIGN section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text of minute or hour begins with `*`: fires at every instant whose local time matches.
    Wildcard,
    /// Fires once per matching local date and time.
    FixedTime,
}

impl Pattern {
    /// Whether no date ever matches. Every weekday falls on every date that exists within 400 years, so only the day
    /// of the month can rule out all.
    pub(super) fn is_never(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let in_month = |(month, length): (u32, &u32)| {
            self.months & (1 << month) != 0 && self.days & days_up_to(*length) != 0
        };
        self.day_fields == DayFields::Both && !(1..).zip(&LONGEST).any(in_month)
    }

    /// Whether the local time matches.
    pub(super) fn matches(&self, local: i64) -> bool {
        self.first(local, local.saturating_add(1)).is_some()
    }

    /// The first match in `[from, until)`.
    pub(super) fn first(&self, from: i64, until: i64) -> Option<i64> {
        if from >= until {
            return None;
        }
        let (day, second) = split(from);
        let (last_day, _) = split(until - 1);
        let found = match self.next_day(day, last_day)? {
            today if today == day => match self.next_time(second) {
                Some(second) => day * DAY + i64::from(second),
                None => self.next_day(day + 1, last_day)? * DAY + i64::from(self.next_time(0)?),
            },
            later => later * DAY + i64::from(self.next_time(0)?),
        };
        (found < until).then_some(found)
    }

    /// The last match in `[from, until)`.
    pub(super) fn last(&self, from: i64, until: i64) -> Option<i64> {
        const LAST_SECOND: u32 = 86_399;
        if from >= until {
            return None;
        }
        let (first_day, _) = split(from);
        let (day, second) = split(until - 1);
        let found = match self.previous_day(day, first_day)? {
            today if today == day => match self.previous_time(second) {
                Some(second) => day * DAY + i64::from(second),
                None => {
                    self.previous_day(day - 1, first_day)? * DAY + i64::from(self.previous_time(LAST_SECOND)?)
                }
            },
            earlier => earlier * DAY + i64::from(self.previous_time(LAST_SECOND)?),
        };
        (found >= from).then_some(found)
    }

    /// How many match in `[from, until)`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        if from >= until {
            return 0;
        }
        let (first_day, first_second) = split(from);
        let (last_day, last_second) = split(until);
        let a_day = u64::from(self.times_a_day());
        let whole = self.count_days(first_day, last_day) * a_day;
        let missed = if self.day_matches(first_day) { self.times_before(first_second) } else { 0 };
        let begun = if self.day_matches(last_day) { self.times_before(last_second) } else { 0 };
        whole + u64::from(begun) - u64::from(missed)
    }

    /// How many times match on a day that matches.
    pub(super) fn times_a_day(&self) -> u32 {
        self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones()
    }

    /// The days of a month that match, as bits 1 to 31.
    fn days_of(&self, month: Month) -> u32 {
        /// A week's seven bits, repeated over a month.
        const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
        if self.months & (1 << month.month) == 0 {
            return 0;
        }
        // Bit 0: the weekday of the first day of the month.
        let week = (u64::from(self.weekdays) * (1 | 1 << 7)) >> month.first_weekday() & 0x7f;
        let by_weekday = u32::try_from((week * WEEKS) << 1 & 0xffff_ffff).unwrap_or(0);
        let days = match self.day_fields {
            DayFields::Both => self.days & by_weekday,
            DayFields::Either => self.days | by_weekday,
        };
        days & days_up_to(month.length())
    }

    fn day_matches(&self, day: i64) -> bool {
        let (month, of_month) = Month::of(day);
        self.days_of(month) & (1 << of_month) != 0
    }

    /// The first matching day in `day..=last`.
    fn next_day(&self, day: i64, last: i64) -> Option<i64> {
        let (mut month, mut of_month) = Month::of(day);
        while month.first <= last {
            if let Some(found) = bit_from(self.days_of(month).into(), of_month) {
                return Some(month.first + i64::from(found) - 1).filter(|day| *day <= last);
            }
            (month, of_month) = (month.next(), 1);
        }
        None
    }

    /// The last matching day in `first..=day`.
    fn previous_day(&self, day: i64, first: i64) -> Option<i64> {
        let (mut month, mut of_month) = Month::of(day);
        loop {
            if let Some(found) = bit_to(self.days_of(month).into(), of_month) {
                return Some(month.first + i64::from(found) - 1).filter(|day| *day >= first);
            }
            if month.first <= first {
                return None;
            }
            (month, of_month) = (month.previous(), 31);
        }
    }

    /// Matching days in `from..until`.
    fn count_days(&self, from: i64, until: i64) -> u64 {
        let (mut month, mut of_month) = Month::of(from);
        let mut count = 0;
        while month.first < until {
            let days = self.days_of(month) & !days_up_to(of_month - 1);
            let next = month.next();
            let days = if next.first <= until { days } else { days & days_up_to(Month::of(until).1 - 1) };
            count += u64::from(days.count_ones());
            (month, of_month) = (next, 1);
        }
        count
    }

    /// The first matching second of a day that is not before `second`.
    fn next_time(&self, second: u32) -> Option<u32> {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let hours = u64::from(self.hours);
        if bit_from(hours, hour)? == hour {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = bit_from(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = bit_from(self.minutes, minute + 1) {
                return Some(hour * 3_600 + minute * 60 + bit_from(self.seconds, 0)?);
            }
        }
        let hour = bit_from(hours, hour + u32::from(self.hours & (1 << hour) != 0))?;
        Some(hour * 3_600 + bit_from(self.minutes, 0)? * 60 + bit_from(self.seconds, 0)?)
    }

    /// The last matching second of a day that is not after `second`.
    fn previous_time(&self, second: u32) -> Option<u32> {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let hours = u64::from(self.hours);
        if bit_to(hours, hour)? == hour {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = bit_to(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = bit_before(self.minutes, minute) {
                return Some(hour * 3_600 + minute * 60 + bit_to(self.seconds, 59)?);
            }
        }
        let hour = bit_before(hours, hour)?;
        Some(hour * 3_600 + bit_to(self.minutes, 59)? * 60 + bit_to(self.seconds, 59)?)
    }

    /// How many times of a matching day are before `second`.
    fn times_before(&self, second: u32) -> u32 {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        let mut count = below(self.hours.into(), hour) * minutes * seconds;
        if self.hours & (1 << hour) != 0 {
            count += below(self.minutes, minute) * seconds;
            if self.minutes & (1 << minute) != 0 {
                count += below(self.seconds, second);
            }
        }
        count
    }
}

/// Bits 1 to `day`, at most 31.
fn days_up_to(day: u32) -> u32 {
    (u32::MAX >> (31 - day.min(31))) & !1
}

/// The lowest bit not below `from`.
fn bit_from(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}

/// The highest bit not above `to`.
fn bit_to(bits: u64, to: u32) -> Option<u32> {
    bit_before(bits, to + 1)
}

/// The highest bit below `end`.
fn bit_before(bits: u64, end: u32) -> Option<u32> {
    (bits & first_bits(end)).checked_ilog2()
}

/// How many bits are set below `end`.
fn below(bits: u64, end: u32) -> u32 {
    (bits & first_bits(end)).count_ones()
}

/// The lowest `count` bits.
fn first_bits(count: u32) -> u64 {
    1u64.checked_shl(count).map_or(u64::MAX, |bit| bit - 1)
}
