//! The calendar in UTC against the `cron` crate, given the same sets as explicit seven-field lists: two schedules where
//! the day fields are OR-ed. That crate is no part of the program; DESIGN section 5 says what it gets wrong when it
//! reads users' text or a zone, neither of which it does here. A bare bit-set evaluator is asked beside it.

mod calendar_common {
    pub(crate) mod bare;
}

use std::str::FromStr;

use calendar_common::bare::Bare;
use chrono::{DateTime, Utc};
use cron::Schedule;
use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};
use proptest::collection::btree_set;
use proptest::prelude::*;

/// The same cases in every run: a change is judged by itself. More of them, `PROPTEST_CASES` or another seed, are for
/// whoever looks for trouble.
const SEED: proptest::test_runner::RngSeed = proptest::test_runner::RngSeed::Fixed(0x1eaf_c407);

/// A restricted field, or `None` for `*`.
type Set = Option<std::collections::BTreeSet<u32>>;

fn set(low: u32, high: u32) -> impl Strategy<Value = Set> {
    prop::option::of(btree_set(low..=high, 1..6))
}

fn text(set: &Set) -> String {
    match set {
        None => "*".to_owned(),
        Some(numbers) => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
}

/// The schedules whose union the line is. The crate counts Sunday as 1.
fn schedules(time: &str, day: &Set, month: &Set, weekday: &Set) -> Vec<Schedule> {
    let shifted = weekday.as_ref().map(|days| days.iter().map(|day| day % 7 + 1).collect());
    let (day, weekday) = (text(day), text(&shifted));
    let month = text(month);
    let lines = if day == "*" || weekday == "*" {
        vec![format!("{time} {day} {month} {weekday} *")]
    } else {
        vec![format!("{time} {day} {month} * *"), format!("{time} * {month} {weekday} *")]
    };
    lines.iter().map(|line| Schedule::from_str(line).expect(line)).collect()
}

fn next(schedules: &[Schedule], after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    schedules.iter().filter_map(|schedule| schedule.after(&after).next()).min()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

    #[test]
    fn the_cron_crate_finds_the_same_instants(
        (second, minute, hour) in (set(0, 59), set(0, 59), set(0, 23)),
        (day, month, weekday) in (set(1, 31), set(1, 12), set(0, 7)),
        start in 0i64..3_000_000_000,
    ) {
        let time = format!("{} {} {}", text(&second), text(&minute), text(&hour));
        let line = format!("{time} {} {} {}", text(&day), text(&month), text(&weekday));
        let schedules = schedules(&time, &day, &month, &weekday);
        let bare = Bare::new(&line).expect("a good line");
        let mut at = DateTime::from_timestamp(start, 0).unwrap();
        let calendar = match Calendar::new(&line, None, &Zone::named("UTC").unwrap()) {
            Ok(calendar) => calendar,
            Err(refused) => {
                prop_assert!(refused.reason().contains("never") && next(&schedules, at).is_none(), "{}", refused);
                return Ok(());
            }
        };
        for _ in 0..20 {
            // The crate knows no year after 2100.
            let Some(expected) = next(&schedules, at).filter(|next| next.timestamp() < 4_102_444_800) else { break };
            let found = calendar.next(WallTime::from_secs(at.timestamp()));
            prop_assert_eq!(found, Some(WallTime::from_secs(expected.timestamp())), "{}", &line);
            prop_assert_eq!(bare.next(at.timestamp()), Some(expected.timestamp()), "{} by bare bit sets", &line);
            at = expected;
        }
    }
}

#[test]
fn a_calendar_takes_a_quarter_of_what_the_crate_would() {
    assert!(size_of::<Calendar>() * 4 <= size_of::<Schedule>(), "before what a schedule has on the heap");
}
