//! A bare bit-set evaluator of crontab lines in UTC: a bit a value, a walk over days, no zone, no backwards, no counting.
//! The oracle of a test, and what a calendar may cost at the least in the bench.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A good line, as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    /// Second, minute, hour, day of month, month, day of week.
    bits: [u64; 6],
    /// Both day fields are restricted.
    either: bool,
}

impl Bare {
    /// Reads five or six fields of numbers, ranges and steps, whose goodness was seen to by others.
    pub(crate) fn new(line: &str) -> Option<Self> {
        const HIGH: [(u32, u32); 6] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let fields = if fields.len() == 5 { [&["0"], fields.as_slice()].concat() } else { fields };
        let mut bits = [0; 6];
        for ((set, text), (low, high)) in bits.iter_mut().zip(&fields).zip(HIGH) {
            for item in text.split(',') {
                let (range, step) = item.split_once('/').unwrap_or((item, "1"));
                let (from, to) = match range.split_once('-') {
                    _ if range == "*" => (low, high),
                    Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                    None => (range.parse().ok()?, range.parse().ok()?),
                };
                (from..=to).step_by(step.parse().ok()?).for_each(|number| *set |= 1 << number);
            }
        }
        let [.., day, _, weekday] = fields.as_slice() else { return None };
        Some(Self { bits, either: !day.starts_with('*') && !weekday.starts_with('*') })
    }

    /// The first fire after `after`, in seconds since the epoch, within 100 years.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let from = TimeZone::UTC.to_datetime(Timestamp::from_second(after + 1).ok()?);
        let mut date = from.date();
        let last = date.checked_add(100.years()).ok()?;
        let mut time = from;
        while date <= last {
            if self.has(date)
                && let Some(found) = self.time(time)
            {
                return Some(TimeZone::UTC.to_timestamp(found).ok()?.as_second());
            }
            date = date.tomorrow().ok()?;
            time = date.at(0, 0, 0, 0);
        }
        None
    }

    fn bit(&self, field: usize, number: i8) -> bool {
        self.bits.get(field).is_some_and(|bits| bits >> number & 1 == 1)
    }

    fn has(&self, date: Date) -> bool {
        let sunday = date.weekday().to_sunday_zero_offset();
        let (day, weekday) = (self.bit(3, date.day()), self.bit(5, sunday) || sunday == 0 && self.bit(5, 7));
        self.bit(4, date.month()) && if self.either { day || weekday } else { day && weekday }
    }

    /// The first time of a day that matches, not before `from`.
    fn time(&self, from: DateTime) -> Option<DateTime> {
        let (date, mut minute, mut second) = (from.date(), from.minute(), from.second());
        for hour in from.hour()..24 {
            if self.bit(2, hour) {
                for minute in minute..60 {
                    if self.bit(1, minute)
                        && let Some(second) = (second..60).find(|second| self.bit(0, *second))
                    {
                        return Some(date.at(hour, minute, second, 0));
                    }
                    second = 0;
                }
            }
            (minute, second) = (0, 0);
        }
        None
    }
}
