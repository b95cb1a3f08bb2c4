//! Every clock change of every zone in the tz database, over many years, against the zone rule written down a second
//! time: what a local time comes to is worked out from the two offsets alone, without a search.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};

const FROM: &str = "2000-01-01T00:00:00Z";
const UNTIL: &str = "2040-01-01T00:00:00Z";
/// How far on both sides of a change is looked, in seconds. No zone changes twice within it.
const AROUND: i64 = 86_400;
/// From this size on a forward change is a correction of the calendar.
const CORRECTION: i64 = 3 * 3_600;

/// A change, and the offsets on its two sides, in seconds.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

impl Change {
    /// The instants of a local time, given as seconds without a zone: none, one or two.
    fn instants(self, local: i64) -> Vec<i64> {
        let early = Some(local - self.before).filter(|at| *at < self.at);
        let late = Some(local - self.after).filter(|at| *at >= self.at);
        early.into_iter().chain(late).collect()
    }

    /// When a fixed-time line fires for a local time.
    fn fixed(self, local: i64) -> Option<i64> {
        let made_up = (self.after - self.before < CORRECTION).then_some(self.at);
        self.instants(local).first().copied().or(made_up)
    }

    /// Local times that are worth a look, to the minute: on all sides of what the change skips or repeats.
    fn local_times(self) -> Vec<i64> {
        let (ended, began) = (self.at + self.before, self.at + self.after);
        let (low, high) = (ended.min(began), ended.max(began));
        let mut times =
            vec![low - 60, low, low + 60, low.midpoint(high), high - 60, high, high + 60, ended + 7_200];
        times.iter_mut().for_each(|time| *time = time.div_euclid(60) * 60);
        times.sort_unstable();
        times.dedup();
        times
    }
}

fn changes(zone: &TimeZone, from: &str, until: &str) -> Vec<Change> {
    let (from, until): (Timestamp, Timestamp) = (from.parse().unwrap(), until.parse().unwrap());
    let offset = |at: i64| i64::from(zone.to_offset(Timestamp::from_second(at).unwrap()).seconds());
    zone.following(from)
        .map(|change| change.timestamp())
        .take_while(|at| *at < until)
        .map(|at| at.as_second())
        .map(|at| Change { at, before: offset(at - 1), after: offset(at) })
        .filter(|change| change.before != change.after)
        .collect()
}

fn civil(local: i64) -> DateTime {
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0) + SignedDuration::from_secs(local)
}

/// The calendar's fires around a change, by `next`, which `count` and `latest` must agree with.
fn fires(calendar: &Calendar, change: Change, what: &dyn Fn() -> String) -> Vec<i64> {
    let wall = WallTime::from_secs;
    let (start, end) = (wall(change.at - AROUND), wall(change.at + AROUND));
    let next = |at: &WallTime| calendar.next(*at).filter(|next| *next <= end);
    let found: Vec<WallTime> = std::iter::successors(next(&start), next).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "{}: {found:?}", what());
    assert_eq!(calendar.count(start, end), found.len() as u64, "{}: count", what());
    assert_eq!(calendar.latest(start, end, 1), found.last().copied(), "{}: latest", what());
    found.into_iter().map(WallTime::secs).collect()
}

fn check(zone: &Zone, name: &str, change: Change) {
    for local in change.local_times() {
        let time = civil(local);
        let date = format!("{} {}", time.day(), time.month());
        let within = |at: &i64| (change.at - AROUND + 1..=change.at + AROUND).contains(at);
        let line = format!("{} {} {date} *", time.minute(), time.hour());
        let what = || format!("{line} in {name} at {change:?}");
        let calendar = Calendar::new(&line, None, zone).unwrap();
        let expected: Vec<i64> = change.fixed(local).into_iter().filter(within).collect();
        assert_eq!(fires(&calendar, change, &what), expected, "{}", what());

        // The same hour with a star for its minutes.
        let line = format!("*/20 {} {date} *", time.hour());
        let what = || format!("{line} in {name} at {change:?}");
        let calendar = Calendar::new(&line, None, zone).unwrap();
        let hour = local.div_euclid(3_600) * 3_600;
        let mut expected: Vec<i64> = [0, 1_200, 2_400]
            .iter()
            .flat_map(|minutes| change.instants(hour + minutes))
            .filter(within)
            .collect();
        expected.sort_unstable();
        assert_eq!(fires(&calendar, change, &what), expected, "{}", what());
    }
}

#[test]
fn every_change_of_every_zone_is_met_by_the_rule() {
    let (mut zones, mut seen) = (0, 0);
    for name in jiff::tz::db().available() {
        let Ok(data) = TimeZone::get(name.as_str()) else { continue };
        let zone = Zone::named(name.as_str()).unwrap();
        zones += 1;
        for change in changes(&data, FROM, UNTIL) {
            check(&zone, name.as_str(), change);
            seen += 1;
        }
    }
    assert!(zones > 400 && seen > 10_000, "only {seen} changes in {zones} zones");
}

/// `src/schedule/changes.rs` looks one change back, and `zone.rs` three days: enough, as long as this holds.
#[test]
fn no_two_changes_of_a_zone_are_near_each_other() {
    for name in jiff::tz::db().available() {
        let Ok(zone) = TimeZone::get(name.as_str()) else { continue };
        let changes = changes(&zone, "1800-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        for (first, second) in changes.iter().zip(changes.iter().skip(1)) {
            let sizes = (first.after - first.before).abs() + (second.after - second.before).abs();
            assert!(second.at - first.at - sizes >= 95 * 3_600, "{}: {first:?} {second:?}", name.as_str());
        }
    }
}
