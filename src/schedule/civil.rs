//! Days and months of the proleptic Gregorian calendar as plain numbers: a day is counted from 1970-01-01, a local
//! time is seconds from its midnight. No zone, no allocation, no failure.
//!
//! Source: Howard Hinnant, "chrono-compatible low-level date algorithms" (days_from_civil, civil_from_days).

/// Seconds of a day: local time has no leap seconds.
pub(super) const DAY: i64 = 86_400;

/// A month of a year, with the day that it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u32,
    /// The day number of its first day.
    pub(super) first: i64,
}

impl Month {
    /// The month that `day` lies in, and which day of it that is (1 to 31).
    pub(super) fn of(day: i64) -> (Self, u32) {
        let (year, month, day_of_month) = date(day);
        (Self { year, month, first: day - i64::from(day_of_month) + 1 }, day_of_month)
    }

    /// 28 to 31.
    pub(super) fn length(self) -> u32 {
        match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The weekday of its first day, 0 for Sunday.
    pub(super) fn first_weekday(self) -> u32 {
        weekday(self.first)
    }

    /// The month after it.
    pub(super) fn next(self) -> Self {
        let first = self.first + i64::from(self.length());
        if self.month == 12 {
            Self { year: self.year + 1, month: 1, first }
        } else {
            Self { month: self.month + 1, first, ..self }
        }
    }

    /// The month before it.
    pub(super) fn previous(self) -> Self {
        let before = if self.month == 1 {
            Self { year: self.year - 1, month: 12, ..self }
        } else {
            Self { month: self.month - 1, ..self }
        };
        Self { first: self.first - i64::from(before.length()), ..before }
    }
}

/// The day and the second of the day of a local time.
pub(super) fn split(local: i64) -> (i64, u32) {
    (local.div_euclid(DAY), small(local.rem_euclid(DAY)))
}

/// The weekday of a day, 0 for Sunday; 1970-01-01 was a Thursday.
pub(super) fn weekday(day: i64) -> u32 {
    small((day + 4).rem_euclid(7))
}

/// Year, month (1 to 12) and day of the month (1 to 31).
pub(super) fn date(day: i64) -> (i64, u32, u32) {
    // Years begin in March here, so that a leap day is a year's last.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let (month, carry) = if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
    (year_of_era + era * 400 + carry, small(month), small(day_of_month))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// A remainder that is known to be small and not negative.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil;

    #[test]
    fn every_tenth_day_of_twelve_thousand_years_is_dated_as_jiff_dates_it() {
        let epoch = civil::date(1970, 1, 1);
        for day in (-2_190_000..2_190_000).step_by(7 * 83 + 1) {
            let expected = epoch.checked_add(jiff::Span::new().days(day)).unwrap();
            let (year, month, of_month) = date(day);
            assert_eq!((year, month), (i64::from(expected.year()), expected.month().unsigned_abs().into()));
            assert_eq!(of_month, u32::from(expected.day().unsigned_abs()));
            let expected_weekday = expected.weekday().to_sunday_zero_offset();
            assert_eq!(weekday(day), u32::from(expected_weekday.unsigned_abs()), "{expected}");
            let (here, _) = Month::of(day);
            assert_eq!(here.length(), u32::from(expected.days_in_month().unsigned_abs()));
        }
    }

    #[test]
    fn months_walk_both_ways_over_four_centuries() {
        let (mut month, _) = Month::of(0);
        for _ in 0..4_800 {
            let next = month.next();
            assert_eq!(next.previous(), month);
            assert_eq!((next, 1), Month::of(next.first));
            month = next;
        }
        assert_eq!(month.first, 146_097);
    }
}
