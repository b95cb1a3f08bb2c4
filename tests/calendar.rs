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
