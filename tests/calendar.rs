//! The cases of clock changes and day fields that several independent implementations agree on, one by one.

use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    tz: String,
    expr: String,
    start_utc: String,
    next_utc: Vec<String>,
}

fn instant(text: &str) -> WallTime {
    text.parse::<jiff::Timestamp>().expect("an instant").into()
}

#[test]
fn every_agreed_case_is_met() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/calendar-cases.json")).unwrap();
    assert_eq!(cases.len(), 25);
    let utc = Zone::named("UTC").unwrap();
    for Case { tz, expr, start_utc, next_utc } in cases {
        let what = format!("{expr} in {tz} after {start_utc}");
        let calendar = match Calendar::new(&expr, Some(&tz), &utc) {
            Ok(calendar) => calendar,
            Err(refused) => {
                assert!(next_utc.is_empty(), "{what}: {refused}");
                assert!(refused.reason().contains("never"), "{what}: {refused}");
                continue;
            }
        };
        assert!(!next_utc.is_empty(), "{what}: must be refused");
        let mut at = instant(&start_utc);
        for (n, expected) in next_utc.into_iter().enumerate() {
            at = calendar.next(at).unwrap();
            assert_eq!(at, instant(&expected), "{what}, fire {n}");
        }
    }
}

fn calendar(line: &str, zone: &str) -> Calendar {
    Calendar::new(line, Some(zone), &Zone::named("UTC").expect("UTC")).expect("a good line")
}

/// Lines of every kind that has instants.
const LINES: [&str; 7] =
    ["* * * * *", "30 2 * * *", "*/15 2 * * *", "0 0 29 2 *", "0 0 13 * 5", "@every 1h", "@every 100s"];

#[test]
fn the_ends_of_time_neither_panic_nor_loop() {
    let (first, last) = (WallTime::from_millis(i64::MIN), WallTime::from_millis(i64::MAX));
    let (jiff_first, jiff_last) =
        (WallTime::from(jiff::Timestamp::MIN), WallTime::from(jiff::Timestamp::MAX));
    for zone in ["UTC", "Europe/Berlin", "Pacific/Apia", "<+14>-14", "<-12>12", "CET-1CEST,M3.5.0,M10.5.0/3"]
    {
        for line in LINES {
            let calendar = calendar(line, zone);
            assert!(calendar.next(first).is_some_and(|next| next >= jiff_first), "{line} in {zone}");
            assert_eq!(calendar.next(last), None, "{line} in {zone}");
            assert_eq!(calendar.next(jiff_last), None, "{line} in {zone}");
            let all = calendar.count(first, last);
            assert!(all > 4_000, "{line} in {zone}: {all}");
            assert_eq!(calendar.count(last, first), 0);
            assert_eq!(calendar.count(last, last), 0);
            let latest = calendar.latest(first, last, 1).unwrap();
            assert!(calendar.next(latest).is_none() && latest <= jiff_last);
            assert_eq!(calendar.latest(last, first, 1), None);
            assert_eq!(calendar.latest(first, last, 0), None);
            assert_eq!(calendar.explain(last).count(), 0);
            assert!(calendar.explain(first).next().is_some());
            assert!(!calendar.local(first).is_empty() && !calendar.local(last).is_empty());
        }
    }
}

#[test]
fn every_is_multiples_since_the_epoch() {
    let hundred = calendar("@every 1m40s", "Asia/Tokyo");
    let at = WallTime::from_millis;
    for (after, next) in [
        (0, 100_000),
        (-1, 0),
        (-1_000, 0),
        (-100_000, 0),
        (-100_001, -100_000),
        (99_999, 100_000),
        (100_000, 200_000),
        (100_001, 200_000),
    ] {
        assert_eq!(hundred.next(at(after)), Some(at(next)), "after {after} ms");
    }
    assert_eq!(hundred.count(at(0), at(300_000)), 3);
    assert_eq!(hundred.count(at(-1), at(299_999)), 3);
    assert_eq!(hundred.count(at(-250_000), at(50_000)), 3);
    assert_eq!(hundred.latest(at(0), at(399_999), 1), Some(at(300_000)));
    assert_eq!(hundred.latest(at(0), at(399_999), 3), Some(at(100_000)));
    assert_eq!(hundred.latest(at(0), at(399_999), 4), None);
    assert!(!hundred.waits_for_clock() && !hundred.is_reboot());
}

#[test]
fn reboot_has_no_instants() {
    let reboot = calendar("@reboot", "UTC");
    assert!(reboot.is_reboot() && !reboot.waits_for_clock());
    let (from, to) = (WallTime::from_secs(0), WallTime::from_secs(1 << 31));
    assert_eq!((reboot.next(from), reboot.count(from, to), reboot.latest(from, to, 1)), (None, 0, None));
}

#[test]
fn milliseconds_belong_to_the_second_that_they_follow() {
    let second = calendar("* * * * * *", "UTC");
    let at = WallTime::from_millis;
    assert!(second.waits_for_clock());
    assert_eq!(second.next(at(1_500)), Some(at(2_000)));
    assert_eq!(second.next(at(1_999)), Some(at(2_000)));
    assert_eq!(second.next(at(2_000)), Some(at(3_000)));
    assert_eq!(second.count(at(1_500), at(2_000)), 1);
    assert_eq!(second.count(at(1_500), at(1_999)), 0);
    assert_eq!(second.latest(at(1_000), at(2_500), 1), Some(at(2_000)));
    assert_eq!(second.latest(at(2_000), at(2_500), 1), None);
}

#[test]
fn a_century_counts_as_many_as_it_has_one_by_one() {
    let (from, to) = (instant("1970-01-01T00:00:00Z"), instant("2070-01-01T00:00:00Z"));
    // A change skips a time, one repeats it, and wildcard lines lose and double theirs.
    for (line, zone) in [
        ("30 2 * * *", "Europe/Berlin"),
        ("0 0 * * 0", "America/Santiago"),
        ("*/20 1 1-14 * 0", "Australia/Lord_Howe"),
        ("0 */8 * 3,10 *", "America/New_York"),
    ] {
        let calendar = calendar(line, zone);
        let next = |at: &WallTime| calendar.next(*at).filter(|next| *next <= to);
        let fires = std::iter::successors(next(&from), next).count();
        assert_eq!(calendar.count(from, to), fires as u64, "{line} in {zone}");
        assert!(fires > 5_000, "{line} in {zone}: {fires}");
    }
}

#[test]
fn a_decade_counts_as_many_as_it_has_one_by_one() {
    let (from, to) = (instant("2024-03-01T00:00:00Z"), instant("2034-03-01T00:00:00Z"));
    for zone in ["Europe/Berlin", "Africa/Casablanca"] {
        for line in
            ["30 2 * * *", "15,45 1-3 * * 0", "*/7 2 * * *", "0 0 29 2 *", "0 */5 13 * 5", "@every 7h"]
        {
            let calendar = calendar(line, zone);
            let mut fires = vec![];
            let mut at = from;
            while let Some(next) = calendar.next(at).filter(|next| *next <= to) {
                fires.push(next);
                at = next;
            }
            assert_eq!(calendar.count(from, to), fires.len() as u64, "{line} in {zone}");
            for (n, fire) in (1..).zip(fires.iter().rev()).step_by(197) {
                assert_eq!(calendar.latest(from, to, n), Some(*fire), "{line} in {zone}, {n} from the end");
            }
        }
    }
}
