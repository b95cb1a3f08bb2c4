//! Every refusal of the dialect, with field, column and reason; and what it takes beside the golden cases.

use super::calendar::Rule;
use super::pattern::{DayFields, Kind, Pattern};
use super::*;
use crate::job::WallTime;

fn calendar(line: &str) -> Result<Calendar, ScheduleError> {
    Calendar::new(line, None, &Zone::named("UTC").unwrap())
}

fn refused(line: &str, reason: &str) {
    let refused = calendar(line).expect_err(line);
    assert_eq!((refused.field(), refused.reason()), ("schedule", reason), "{line:?}");
}

fn pattern(line: &str) -> Pattern {
    match calendar(line).unwrap().rule {
        Rule::Times(pattern) => pattern,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn what_the_dialect_does_not_define_is_refused_with_field_column_and_reason() {
    for (line, reason) in [
        ("0 25 * * *", "field 2 (hour), column 3: 25 is not in 0-23"),
        ("60 * * * *", "field 1 (minute), column 1: 60 is not in 0-59"),
        ("0 0 0 * *", "field 3 (day of month), column 5: 0 is not in 1-31"),
        ("0 0 32 * *", "field 3 (day of month), column 5: 32 is not in 1-31"),
        ("0 0 * 13 *", "field 4 (month), column 7: 13 is not in 1-12"),
        ("0 0 * * 8", "field 5 (day of week), column 9: 8 is not in 0-7"),
        ("60 0 0 * * *", "field 1 (second), column 1: 60 is not in 0-59"),
        ("0 0 24 * * *", "field 3 (hour), column 5: 24 is not in 0-23"),
        ("0 0 0 1 1 9", "field 6 (day of week), column 11: 9 is not in 0-7"),
        ("99999999999999999999 * * * *", "field 1 (minute), column 1: 99999999999999999999 is not in 0-59"),
        ("1,2,61 * * * *", "field 1 (minute), column 5: 61 is not in 0-59"),
        ("  0\t25 * * *", "field 2 (hour), column 5: 25 is not in 0-23"),
        (
            "5/15 * * * *",
            "field 1 (minute), column 2: a step needs '*' or a range before it, as in */15 or 5-59/15",
        ),
        ("30-10 * * * *", "field 1 (minute), column 4: 30-10 runs backwards; write the lower one first"),
        (
            "0 0 * * fri-wed",
            "field 5 (day of week), column 13: fri-wed runs backwards; write the lower one first",
        ),
        ("0 0 * * 5-0", "field 5 (day of week), column 11: 5-0 runs backwards; write the lower one first"),
        ("*/0 * * * *", "field 1 (minute), column 3: a step of 0; the least is 1"),
        ("*/ * * * *", "field 1 (minute), column 3: a step is missing after '/'"),
        ("*/x * * * *", "field 1 (minute), column 3: 'x' is not allowed here"),
        ("0-30/1/2 * * * *", "field 1 (minute), column 7: '/' is not allowed here"),
        ("1-2-3 * * * *", "field 1 (minute), column 4: '-' is not allowed here"),
        ("*5 * * * *", "field 1 (minute), column 2: '5' after '*'; only a step may follow it"),
        ("*-5 * * * *", "field 1 (minute), column 2: '-' after '*'; only a step may follow it"),
        ("5-* * * * *", "field 1 (minute), column 3: '*' is not allowed here"),
        ("1,,2 * * * *", "field 1 (minute), column 3: a number is missing"),
        ("1, * * * *", "field 1 (minute), column 3: a number is missing"),
        (",1 * * * *", "field 1 (minute), column 1: a number is missing"),
        ("-5 * * * *", "field 1 (minute), column 1: a number is missing"),
        ("5- * * * *", "field 1 (minute), column 3: a number is missing"),
        ("+5 * * * *", "field 1 (minute), column 1: '+' is not allowed here"),
        ("~ * * * *", "field 1 (minute), column 1: '~' is not allowed here"),
        ("0~30 * * * *", "field 1 (minute), column 2: '~' is not allowed here"),
        ("0 0 ? * *", "field 3 (day of month), column 5: '?' is not allowed here"),
        ("0 0 L * *", "field 3 (day of month), column 5: 'L' is not allowed here"),
        ("0 0 15W * *", "field 3 (day of month), column 7: 'W' is not allowed here"),
        ("0 0 * * 5L", "field 5 (day of week), column 10: 'L' is not allowed here"),
        ("0 0 * * 5#2", "field 5 (day of week), column 10: '#' is not allowed here"),
        ("0 0 * * L", "field 5 (day of week), column 9: \"L\" is none of: sun mon tue wed thu fri sat"),
        (
            "0 0 * * monday",
            "field 5 (day of week), column 9: \"monday\" is none of: sun mon tue wed thu fri sat",
        ),
        (
            "0 0 * mon *",
            "field 4 (month), column 7: \"mon\" is none of: jan feb mar apr may jun jul aug sep oct nov dec",
        ),
        ("mon * * * *", "field 1 (minute), column 1: 'm' is not allowed here"),
        ("é 0 * * x", "field 1 (minute), column 1: 'é' is not allowed here"),
        ("0 0 * * mön", "field 5 (day of week), column 9: \"mön\" is none of: sun mon tue wed thu fri sat"),
        ("0 0 * * 1\n", "field 5 (day of week), column 10: '\\n' is not allowed here"),
        ("0 3 * * * /bin/true", "field 6 (day of week), column 11: a number is missing"),
    ] {
        refused(line, reason);
    }
}

#[test]
fn lines_that_say_nothing_or_never_are_refused_with_column_and_reason() {
    for (line, reason) in [
        (
            "0 3 30 2 *",
            "can never fire: field 3 (day of month), column 5: no month of field 4 has such a day",
        ),
        (
            "0 0 3 31 4,6,9,11 *",
            "can never fire: field 4 (day of month), column 7: no month of field 5 has such a day",
        ),
        (
            "0 3 30-31 feb */2",
            "can never fire: field 3 (day of month), column 5: no month of field 4 has such a day",
        ),
        ("", "is empty; write five fields, as in \"30 2 * * *\""),
        (" \t ", "is empty; write five fields, as in \"30 2 * * *\""),
        (
            "@Daily",
            "column 1: \"@Daily\" is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every",
        ),
        (
            " @",
            "column 2: \"@\" is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every",
        ),
        ("@daily x", "column 8: \"x\" after @daily"),
        ("@reboot 5", "column 9: \"5\" after @reboot"),
        ("@every", "@every needs a duration after it, as in \"@every 90s\""),
        ("@every 1h 30m", "column 11: \"30m\" after @every"),
        ("@every 0s", "column 8: \"0s\" is not a whole number of seconds, from 1 s"),
        ("@every 1500ms", "column 8: \"1500ms\" is not a whole number of seconds, from 1 s"),
    ] {
        refused(line, reason);
    }
    for (line, begin) in [
        ("0 0 * *", "has 4 fields; five are needed"),
        ("0", "has 1 field; five are needed"),
        ("0 0 0 * * * 2030", "has 7 fields; five are needed"),
        ("@every 5", "column 8: \"5\" is not a duration"),
    ] {
        let refused = calendar(line).unwrap_err();
        assert!(refused.reason().starts_with(begin), "{line:?}: {refused}");
    }
}

#[test]
fn a_line_is_capped_before_it_is_read() {
    let fits = format!("{} * * * *", vec!["1"; 124].join(","));
    assert_eq!(fits.len(), 255);
    assert!(calendar(&fits).is_ok() && calendar(&format!("{fits} ")).is_ok());
    let refused = calendar(&format!("{fits}  ")).unwrap_err();
    assert_eq!(refused.to_string(), "schedule: is 257 bytes long; at most 256 are allowed");
}

#[test]
fn fields_mean_what_cronie_says() {
    let weekdays = |field: &str| pattern(&format!("0 0 * * {field}")).weekdays;
    for (field, bits) in [
        ("0", 0b000_0001),
        ("7", 0b000_0001),
        ("SUN", 0b000_0001),
        ("fri-sun", 0b110_0001),
        ("5-7", 0b110_0001),
        ("Sat-7", 0b100_0001),
        ("sun-tue", 0b000_0111),
        ("sun-sun", 0b000_0001),
        ("0-7", 0b111_1111),
        ("*/7", 0b000_0001),
        ("*/2", 0b101_0101),
        ("1-7/2", 0b010_1011),
        ("mon-fri/2", 0b010_1010),
        ("mon,3,Fri", 0b010_1010),
    ] {
        assert_eq!(weekdays(field), bits, "{field}");
    }
    assert_eq!(pattern("*/60 * * * *").minutes, 1, "the first value only");
    assert_eq!(pattern("5-59/99999999999 * * * *").minutes, 1 << 5);
    assert_eq!(pattern("00,05,*/30 * * * *").minutes, 1 | 1 << 5 | 1 << 30);
    assert_eq!(pattern("0 0 1 Jan-MAR,12 *").months, 0b1_0000_0000_1110);
    assert_eq!(pattern("0 0 * * *").seconds, 1);
    assert_eq!(pattern("*/20 0 0 * * *").seconds, 1 | 1 << 20 | 1 << 40);
}

#[test]
fn stars_decide_by_the_text_that_a_field_begins_with() {
    for (line, day_fields, kind) in [
        ("0 0 13 * 5", DayFields::Either, Kind::FixedTime),
        ("0 0 * * 5", DayFields::Both, Kind::FixedTime),
        ("0 0 */2 * 5", DayFields::Both, Kind::FixedTime),
        ("0 0 13 * */2", DayFields::Both, Kind::FixedTime),
        ("0 0 1,*/2 * 5", DayFields::Either, Kind::FixedTime),
        ("0 0 1-31 * 0-7", DayFields::Either, Kind::FixedTime),
        ("*/5 0 * * *", DayFields::Both, Kind::Wildcard),
        ("0 */2 * * *", DayFields::Both, Kind::Wildcard),
        ("0,*/5 0 * * *", DayFields::Both, Kind::FixedTime),
        ("* 0 0 * * *", DayFields::Both, Kind::FixedTime),
        ("0 * 0 * * *", DayFields::Both, Kind::Wildcard),
        ("@hourly", DayFields::Both, Kind::Wildcard),
        ("@weekly", DayFields::Both, Kind::FixedTime),
    ] {
        let pattern = pattern(line);
        assert_eq!((pattern.day_fields, pattern.kind), (day_fields, kind), "{line}");
    }
}

#[test]
fn a_line_that_fires_rarely_is_taken_and_found() {
    let at = |text: &str| WallTime::from(text.parse::<jiff::Timestamp>().unwrap());
    // 2100 is no leap year: from one Sunday 29 February to the next it may take 40 years.
    let rare = calendar("0 0 29 2 */7").unwrap();
    assert_eq!(rare.next(at("2060-02-28T00:00:00Z")), Some(at("2060-02-29T00:00:00Z")));
    assert_eq!(rare.next(at("2088-02-29T00:00:00Z")), Some(at("2128-02-29T00:00:00Z")));
    assert!(calendar("0 0 30 2 5").is_ok(), "or-ed with Fridays");
    assert!(calendar("0 0 31 2,3 *").is_ok());
}

#[test]
fn a_zone_that_cannot_be_loaded_is_refused_by_name() {
    let device = Zone::named("UTC").unwrap();
    for zone in ["Europe/Berlim", "", "UTC+3", "GMT-2", "../passwd", "/etc/passwd", "Etc/Unknown", "no\0zone"]
    {
        let refused = Calendar::new("* * * * *", Some(zone), &device).unwrap_err();
        assert_eq!(refused.field(), "time_zone", "{zone:?}");
        assert!(refused.reason().starts_with(&format!("{zone:?} is not in")), "{refused}");
    }
    let names =
        [("Europe/Berlin", "Europe/Berlin"), ("utc", "UTC"), ("<+03>-3", "<+03>-3"), ("EST5EDT", "EST5EDT")];
    for (zone, name) in names {
        assert_eq!(Calendar::new("* * * * *", Some(zone), &device).unwrap().zone_name(), name);
    }
    assert_eq!(Calendar::new("* * * * *", None, &device).unwrap().zone_name(), "UTC");
}

#[test]
fn the_device_has_a_zone() {
    assert!(!Zone::device().unwrap().name().is_empty());
}

#[test]
fn a_calendar_is_small_and_shares_its_zone() {
    assert!(size_of::<Calendar>() <= 64, "{}", size_of::<Calendar>());
}
