//! The calendar against a naive walk: every instant of a window is turned into local time by jiff and held against the
//! fields one by one. Written apart from `src/schedule`: no bit sets, no spans, no search.

use std::collections::{BTreeSet, HashSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};
use proptest::prelude::*;

/// The same cases in every run: a change is judged by itself. More of them, `PROPTEST_CASES` or another seed, are for
/// whoever looks for trouble.
const SEED: proptest::test_runner::RngSeed = proptest::test_runner::RngSeed::Fixed(0x1eaf_c407);

const ZONES: [&str; 18] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Caracas",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "<-03>3<+01>,M4.1.0/0,M9.1.0/5",
];

/// One item of a field: `first-last/step`, as a person reads it.
#[derive(Clone, Debug)]
struct Item {
    first: u32,
    last: u32,
    step: u32,
    star: bool,
}

#[derive(Clone, Debug)]
struct Field(Vec<Item>);

impl Field {
    fn holds(&self, value: i8) -> bool {
        let value = u32::try_from(value).expect("not negative");
        self.0
            .iter()
            .any(|item| item.first <= value && value <= item.last && (value - item.first) % item.step == 0)
    }

    fn star(&self) -> bool {
        self.0.first().is_some_and(|item| item.star)
    }

    fn text(&self) -> String {
        let texts = self.0.iter().map(|item| {
            let range = match item {
                Item { star: true, .. } => "*".to_owned(),
                Item { first, last, step: 1, .. } if first == last => return first.to_string(),
                Item { first, last, .. } => format!("{first}-{last}"),
            };
            if item.step == 1 { range } else { format!("{range}/{}", item.step) }
        });
        texts.collect::<Vec<_>>().join(",")
    }
}

#[derive(Clone, Debug)]
struct Line {
    second: Option<Field>,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Line {
    fn text(&self) -> String {
        let fields = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(Field::text);
        match &self.second {
            Some(second) => format!("{} {}", second.text(), fields.join(" ")),
            None => fields.join(" "),
        }
    }

    fn wants(&self, local: DateTime) -> bool {
        let second = self.second.as_ref().map_or(local.second() == 0, |field| field.holds(local.second()));
        let sunday_zero = local.weekday().to_sunday_zero_offset();
        let weekday = self.weekday.holds(sunday_zero) || sunday_zero == 0 && self.weekday.holds(7);
        let day = self.day.holds(local.day());
        let date = if self.day.star() || self.weekday.star() { day && weekday } else { day || weekday };
        second
            && self.minute.holds(local.minute())
            && self.hour.holds(local.hour())
            && self.month.holds(local.month())
            && date
    }

    fn wildcard(&self) -> bool {
        self.minute.star() || self.hour.star()
    }

    /// Every fire in `[from, until)`, looking at each `step`.
    fn fires(&self, zone: &TimeZone, from: i64, until: i64, step: i64) -> BTreeSet<i64> {
        let local = |at| zone.to_datetime(Timestamp::from_second(at).expect("in range"));
        let tick = SignedDuration::from_secs(step);
        // The past that a repeated or skipped time may come from.
        let warm_up = if step == 60 { 3 * 86_400 } else { 4 * 3_600 };
        let mut seen = HashSet::new();
        let mut fires = BTreeSet::new();
        let mut before = local(from - warm_up - step);
        for at in (from - warm_up..until).step_by(step.try_into().expect("positive")) {
            let now = local(at);
            let skipped = now.duration_since(before) - tick;
            if !self.wildcard() && skipped > SignedDuration::ZERO && skipped < SignedDuration::from_hours(3) {
                let mut missing = before + tick;
                while missing < now {
                    if self.wants(missing) {
                        fires.insert(at);
                    }
                    missing += tick;
                }
            }
            if self.wants(now) && (seen.insert(now) || self.wildcard()) {
                fires.insert(at);
            }
            before = now;
        }
        fires.split_off(&from)
    }
}

fn item(low: u32, high: u32) -> impl Strategy<Value = Item> {
    let steps = prop_oneof![Just(1), 2..7u32, 2..70u32];
    prop_oneof![
        (low..=high).prop_map(|n| Item { first: n, last: n, step: 1, star: false }),
        (low..=high, low..=high, steps.clone()).prop_map(|(a, b, step)| Item {
            first: a.min(b),
            last: a.max(b),
            // A step needs a range: one number's would read as another dialect's.
            step,
            star: false
        }),
        steps.prop_map(move |step| Item { first: low, last: high, step, star: true }),
    ]
}

fn field(low: u32, high: u32, stars: u32) -> impl Strategy<Value = Field> {
    prop_oneof![
        stars => Just(Field(vec![Item { first: low, last: high, step: 1, star: true }])),
        3 => prop::collection::vec(item(low, high), 1..4).prop_map(Field),
    ]
}

fn line(second: impl Strategy<Value = Option<Field>>) -> impl Strategy<Value = Line> {
    // Clocks change at night, mostly.
    let night =
        prop::collection::vec((0..5u32).prop_map(|n| Item { first: n, last: n, step: 1, star: false }), 1..3);
    let hour = prop_oneof![field(0, 23, 1), night.prop_map(Field)];
    (second, field(0, 59, 1), hour, field(1, 31, 5), field(1, 12, 9), field(0, 7, 5)).prop_map(
        |(second, minute, hour, day, month, weekday)| Line { second, minute, hour, day, month, weekday },
    )
}

/// The first change of the zone after some instant, or that instant.
fn change(zone: &TimeZone, at: i64) -> i64 {
    let at = Timestamp::from_second(at).expect("in range");
    zone.following(at).next().map_or(at, |change| change.timestamp()).as_second().div_euclid(60) * 60
}

fn jiff_zone(name: &str) -> TimeZone {
    TimeZone::get(name).or_else(|_| TimeZone::posix(name)).expect("a zone of the list")
}

/// Holds every answer of the calendar in `[from, until)` against the fires that were walked.
fn compare(line: &Line, zone: &str, from: i64, until: i64, step: i64) -> Result<(), TestCaseError> {
    let text = line.text();
    let device = Zone::named("UTC").expect("UTC");
    let fires = line.fires(&jiff_zone(zone), from, until, step);
    let calendar = match Calendar::new(&text, Some(zone), &device) {
        Ok(calendar) => calendar,
        Err(refused) => {
            prop_assert!(refused.reason().contains("never") && fires.is_empty(), "{}: {}", text, refused);
            return Ok(());
        }
    };
    let wall = WallTime::from_secs;
    let (start, end) = (wall(from - 1), wall(until - 1));
    let mut found = BTreeSet::new();
    let mut at = start;
    while let Some(next) = calendar.next(at).filter(|next| *next <= end) {
        prop_assert!(next > at, "{} is not after {}", next, at);
        found.insert(next.secs());
        at = next;
    }
    prop_assert_eq!(&found, &fires, "{} in {}", &text, zone);
    prop_assert_eq!(calendar.count(start, end), fires.len() as u64, "count of {} in {}", &text, zone);
    for (n, fire) in (1..).zip(fires.iter().rev().take(40)) {
        prop_assert_eq!(calendar.latest(start, end, n), Some(wall(*fire)), "latest {} of {}", n, &text);
    }
    let too_many = u32::try_from(fires.len() + 1).expect("few");
    prop_assert_eq!(calendar.latest(start, end, too_many), None);
    for at in (from..until).step_by(3_989) {
        let after = fires.range(at + 1..).next().map(|fire| wall(*fire));
        let next = calendar
            .next(WallTime::from_millis(at * 1_000 + at.rem_euclid(1_000)))
            .filter(|next| *next <= end);
        prop_assert_eq!(next, after, "next after {} of {} in {}", at, &text, zone);
        let split = wall(at);
        let before = fires.range(..=at).next_back().map(|fire| wall(*fire));
        prop_assert_eq!(
            calendar.latest(start, split, 1),
            before,
            "latest at {} of {} in {}",
            at,
            &text,
            zone
        );
        let parts = calendar.count(start, split) + calendar.count(split, end);
        prop_assert_eq!(parts, fires.len() as u64, "count split at {} of {} in {}", at, &text, zone);
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn minutes_around_changes_fire_as_walked(
        line in line(Just(None)),
        zone in prop::sample::select(&ZONES[..]),
        at in -10_000_000i64..3_000_000_000,
    ) {
        let change = change(&jiff_zone(zone), at);
        compare(&line, zone, change - 2 * 86_400, change + 2 * 86_400, 60)?;
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn seconds_around_changes_fire_as_walked(
        line in line(field(0, 59, 1).prop_map(Some)),
        zone in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "Africa/Monrovia", "Africa/Casablanca"]),
        at in -100_000_000i64..3_000_000_000,
    ) {
        let change = change(&jiff_zone(zone), at);
        compare(&line, zone, change - 3 * 3_600, change + 3 * 3_600, 1)?;
    }
}
