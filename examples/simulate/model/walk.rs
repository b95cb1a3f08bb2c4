//! Which instants are due by a line: a walk over every minute in local time, that knows nothing of how leafcron does it.
//! Read from DESIGN section 5: a wildcard line fires at every instant whose local time matches; a fixed-time one once
//! per local time, at the first of two, and after a forward change of less than 3 h for what that skipped.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::definition::{Definition, Fields, When};

/// Clock changes happen at quarters of an hour.
const QUARTER: i64 = 15;
/// A forward change of so many minutes or more is a correction of the calendar.
const CORRECTION: i64 = 180;

/// One minute on a wall somewhere.
#[derive(Clone, Copy, Debug)]
struct Minute {
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    weekday: u8,
    /// The same local time was there before.
    again: bool,
}

/// The minutes of one zone, from `first` (in minutes since 1970, UTC) on.
struct Wall {
    first: i64,
    minutes: Vec<Minute>,
    /// Local minutes that the change at this place skipped.
    skipped: BTreeMap<usize, Vec<Minute>>,
}

/// The zones that were asked for.
#[derive(Default)]
pub(crate) struct Walker {
    /// By era, too: what one clock shows may be a century from what another does.
    walls: BTreeMap<(String, u32), Wall>,
}

impl Walker {
    /// The instants, in seconds, that are due by `definition` in `(from, to]`, in milliseconds; in order.
    pub(crate) fn due(
        &mut self,
        definition: &Definition,
        device_zone: &str,
        era: u32,
        from: i64,
        to: i64,
    ) -> Vec<i64> {
        if !definition.enabled || to <= from {
            return Vec::new();
        }
        let after = from.div_euclid(1_000) + 1;
        let last = to.div_euclid(1_000);
        match &definition.when {
            When::Reboot => Vec::new(),
            When::Every(period) => {
                let first = -(-after).div_euclid(*period) * period;
                (0..).map(|n| first + n * period).take_while(|due| *due <= last).collect()
            }
            When::Fields(fields) => {
                let zone = definition.zone.as_deref().unwrap_or(device_zone);
                self.walk(fields, (zone, era), after, last)
            }
        }
    }

    fn walk(&mut self, fields: &Fields, zone: (&str, u32), first: i64, last: i64) -> Vec<i64> {
        let (from, until) = (first.div_euclid(60), last.div_euclid(60));
        let wall = self.wall(zone, from, until);
        let mut due = Vec::new();
        for at in from..=until {
            let index = usize::try_from(at - wall.first).expect("the wall was built to hold it");
            let mut add = |second: i64| {
                let instant = at * 60 + second;
                if (first..=last).contains(&instant) && due.last() != Some(&instant) {
                    due.push(instant);
                }
            };
            if !fields.wildcard
                && wall
                    .skipped
                    .get(&index)
                    .is_some_and(|skipped| skipped.iter().any(|local| matches(fields, local)))
            {
                add(0);
            }
            let local = &wall.minutes[index];
            if matches(fields, local) && (fields.wildcard || !local.again) {
                (0..60).filter(|second| fields.seconds >> second & 1 == 1).for_each(&mut add);
            }
        }
        due
    }

    /// The zone's wall, made anew if it is too short.
    fn wall(&mut self, (zone, era): (&str, u32), from: i64, until: i64) -> &Wall {
        let key = (zone.to_owned(), era);
        let holds = |wall: &Wall| wall.first <= from && until < wall.first + wall.minutes.len() as i64;
        if !self.walls.get(&key).is_some_and(holds) {
            // Some days more on either side, so that it seldom happens.
            let (from, until) = match self.walls.get(&key) {
                Some(wall) => (from.min(wall.first), until.max(wall.first + wall.minutes.len() as i64)),
                None => (from, until),
            };
            self.walls.insert(key.clone(), build(zone, from - 3 * 1_440, until + 30 * 1_440));
        }
        &self.walls[&key]
    }
}

fn matches(fields: &Fields, local: &Minute) -> bool {
    let has = |set: u64, value: u8| set >> value & 1 == 1;
    let (day, weekday) = (has(fields.days, local.day), has(fields.weekdays, local.weekday));
    has(fields.minutes, local.minute)
        && has(fields.hours, local.hour)
        && has(fields.months, local.month)
        && if fields.either_day { day || weekday } else { day && weekday }
}

fn build(zone: &str, from: i64, until: i64) -> Wall {
    let zone = TimeZone::get(zone).expect("the zones of this world are in the tz database");
    let first = from.div_euclid(QUARTER) * QUARTER;
    let mut wall = Wall { first, minutes: Vec::new(), skipped: BTreeMap::new() };
    let mut before: Option<i64> = None;
    // Local minutes below this one were there before.
    let mut shown_until = i64::MIN;
    let mut quarter = first;
    while quarter <= until {
        let at = Timestamp::from_second(quarter * 60).expect("a date of our time");
        let offset = i64::from(zone.to_offset(at).seconds()) / 60;
        if let Some(before) = before {
            shown_until = shown_until.max(quarter + before);
            if offset > before && offset - before < CORRECTION {
                let skipped =
                    (quarter + before..quarter + offset).map(|local| minute(local, false)).collect();
                wall.skipped.insert(wall.minutes.len(), skipped);
            }
        }
        before = Some(offset);
        for at in quarter..quarter + QUARTER {
            let local = at + offset;
            wall.minutes.push(minute(local, local < shown_until));
        }
        quarter += QUARTER;
    }
    wall
}

/// A local minute since 1970-01-01, a Thursday, taken apart.
fn minute(local: i64, again: bool) -> Minute {
    let (days, of_day) = (local.div_euclid(1_440), local.rem_euclid(1_440));
    let small = |n: i64| u8::try_from(n).expect("a calendar's numbers are small");
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    Minute {
        minute: small(of_day % 60),
        hour: small(of_day / 60),
        day: small(doy - (153 * mp + 2) / 5 + 1),
        month: small(if mp < 10 { mp + 3 } else { mp - 9 }),
        weekday: small((days + 4).rem_euclid(7)),
        again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In March and October of 2025 Berlin's clocks change, at 01:00 UTC.
    #[test]
    fn a_clock_change_skips_no_fixed_time_and_doubles_none() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let half_past = |hours, wildcard| Fields {
            seconds: 1,
            minutes: 1 << 30,
            hours,
            days: !1,
            months: !1,
            weekdays: 0x7F,
            either_day: false,
            wildcard,
        };
        let walk = |fields: &Fields, from: &str, to: &str| {
            Walker::default().walk(fields, ("Europe/Berlin", 1), at(from), at(to))
        };
        let spring = walk(&half_past(1 << 2, false), "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z");
        assert_eq!(spring, [at("2025-03-30T01:00:00Z"), at("2025-03-31T00:30:00Z")]);
        let autumn = walk(&half_past(1 << 2, false), "2025-10-25T12:00:00Z", "2025-10-26T12:00:00Z");
        assert_eq!(autumn, [at("2025-10-26T00:30:00Z")]);
        let wildcard = walk(&half_past(0b1110, true), "2025-10-25T22:00:00Z", "2025-10-26T02:45:00Z");
        let twice =
            ["2025-10-25T23:30:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2025-10-26T02:30:00Z"];
        assert_eq!(wildcard, twice.map(at));
        let wildcard = walk(&half_past(0b1110, true), "2025-03-29T22:00:00Z", "2025-03-30T02:00:00Z");
        assert_eq!(
            wildcard,
            ["2025-03-30T00:30:00Z", "2025-03-30T01:30:00Z"].map(at),
            "02:30 is not made up"
        );
    }
}
