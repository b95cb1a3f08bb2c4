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
    assert_eq!((refused.field(), refused.reason()), ("schedule", spelled_out(reason).as_str()), "{line:?}");
}

/// What is allowed, where a reason of these tests ends with a word for it.
fn spelled_out(reason: &str) -> String {
    const FIELDS: [(&str, &str); 5] = [
        ("MINUTE", "0-59"),
        ("DAY_OF_MONTH", "1-31"),
        ("MONTH", "1-12 or jan-dec"),
        ("DAY_OF_WEEK", "0-7 or sun-sat"),
        ("STEP", ""),
    ];
    let Some((what, field)) = reason.rsplit_once("; ") else { return reason.to_owned() };
    match FIELDS.iter().find(|(name, _)| *name == field) {
        None => reason.to_owned(),
        Some((_, "")) => format!("{what}; a step is a whole number from 1"),
        Some((_, numbers)) => format!(
            "{what}; write numbers {numbers}, ranges with '-', '*', a step after a range or '*' as in */2, or several of \
             these with ',' between"
        ),
    }
}

fn pattern(line: &str) -> Pattern {
    match calendar(line).unwrap().rule {
        Rule::Times(pattern) => pattern,
        other => panic!("{line}: {other:?}"),
    }
}

/// What is wrong within a field, and what is said of it.
const MALFORMED: &[(&str, &str)] = &[
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
    ("*/ * * * *", "field 1 (minute), column 3: a step is missing after '/'; write a whole number from 1"),
    ("*/x * * * *", "field 1 (minute), column 3: 'x' is not allowed here; STEP"),
    ("0-30/1/2 * * * *", "field 1 (minute), column 7: '/' is not allowed here; STEP"),
    ("1-2-3 * * * *", "field 1 (minute), column 4: '-' is not allowed here; MINUTE"),
    ("*5 * * * *", "field 1 (minute), column 2: '5' after '*'; only a step may follow it, as in */15"),
    ("*-5 * * * *", "field 1 (minute), column 2: '-' after '*'; only a step may follow it, as in */15"),
    ("5-* * * * *", "field 1 (minute), column 3: '*' is not allowed here; MINUTE"),
    ("1,,2 * * * *", "field 1 (minute), column 3: a number is missing; MINUTE"),
    ("1, * * * *", "field 1 (minute), column 3: a number is missing; MINUTE"),
    (",1 * * * *", "field 1 (minute), column 1: a number is missing; MINUTE"),
    ("-5 * * * *", "field 1 (minute), column 1: a number is missing; MINUTE"),
    ("5- * * * *", "field 1 (minute), column 3: a number is missing; MINUTE"),
    ("+5 * * * *", "field 1 (minute), column 1: '+' is not allowed here; MINUTE"),
    ("~ * * * *", "field 1 (minute), column 1: '~' is not allowed here; MINUTE"),
    ("0~30 * * * *", "field 1 (minute), column 2: '~' is not allowed here; MINUTE"),
    ("0 0 ? * *", "field 3 (day of month), column 5: '?' is not allowed here; DAY_OF_MONTH"),
    ("0 0 L * *", "field 3 (day of month), column 5: 'L' is not allowed here; DAY_OF_MONTH"),
    ("0 0 15W * *", "field 3 (day of month), column 7: 'W' is not allowed here; DAY_OF_MONTH"),
    ("0 0 * * 5L", "field 5 (day of week), column 10: 'L' is not allowed here; DAY_OF_WEEK"),
    ("0 0 * * 5#2", "field 5 (day of week), column 10: '#' is not allowed here; DAY_OF_WEEK"),
    ("0 0 * * L", "field 5 (day of week), column 9: \"L\" is none of: sun mon tue wed thu fri sat"),
    ("0 0 * * monday", "field 5 (day of week), column 9: \"monday\" is none of: sun mon tue wed thu fri sat"),
    (
        "0 0 * mon *",
        "field 4 (month), column 7: \"mon\" is none of: jan feb mar apr may jun jul aug sep oct nov dec",
    ),
    ("mon * * * *", "field 1 (minute), column 1: 'm' is not allowed here; MINUTE"),
    ("é 0 * * x", "field 1 (minute), column 1: 'é' is not allowed here; MINUTE"),
    ("0 0 * * mön", "field 5 (day of week), column 9: \"mön\" is none of: sun mon tue wed thu fri sat"),
    ("0 0 * * 1\n", "field 5 (day of week), column 10: '\\n' is not allowed here; DAY_OF_WEEK"),
    ("0 0 * * ,mon", "field 5 (day of week), column 9: a number is missing; DAY_OF_WEEK"),
    (
        "0 0 * 1-x1 *",
        "field 4 (month), column 9: \"x1\" is none of: jan feb mar apr may jun jul aug sep oct nov dec",
    ),
    ("0 0 * 5\u{301} *", "field 4 (month), column 8: '\\u{301}' is not allowed here; MONTH"),
    (
        "0 0 * * sun/2",
        "field 5 (day of week), column 12: a step needs '*' or a range before it, as in */15 or 5-59/15",
    ),
    ("0 0 * * */mon", "field 5 (day of week), column 11: 'm' is not allowed here; STEP"),
    ("0 0 * nov-feb *", "field 4 (month), column 11: nov-feb runs backwards; write the lower one first"),
    ("0 0 * * 7-1", "field 5 (day of week), column 11: 7-1 runs backwards; write the lower one first"),
    ("50-60/15 * * * *", "field 1 (minute), column 4: 60 is not in 0-59"),
    ("*,60 * * * *", "field 1 (minute), column 3: 60 is not in 0-59"),
    ("*/-1 * * * *", "field 1 (minute), column 3: '-' is not allowed here; STEP"),
    (
        "* * * * *\u{a0}",
        "field 5 (day of week), column 10: '\\u{a0}' after '*'; only a step may follow it, as in */15",
    ),
];

#[test]
fn what_the_dialect_does_not_define_is_refused_with_field_column_and_reason() {
    for (line, reason) in MALFORMED {
        refused(line, reason);
    }
}

#[test]
fn lines_that_say_nothing_or_never_are_refused_with_column_and_reason() {
    for (line, reason) in [
        ("", "is empty; write five fields, as in \"30 2 * * *\""),
        (" \t ", "is empty; write five fields, as in \"30 2 * * *\""),
        (
            "@Daily",
            "field 1, column 1: \"@Daily\" is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every",
        ),
        (
            " @",
            "field 1, column 2: \"@\" is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every",
        ),
        (
            "@fortnightly 3",
            "field 1, column 1: \"@fortnightly\" is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every",
        ),
        ("@daily x", "field 2, column 8: \"x\" after @daily, which stands alone; COMMAND"),
        ("@reboot 5 6", "field 2, column 9: \"5\" after @reboot, which stands alone; COMMAND"),
        ("@every", "field 2, column 7: @every needs a duration after it, from 1s, as in \"@every 90s\""),
        (
            "@every 1h 30m",
            "field 3, column 11: \"30m\" after the duration; write it as one word, as in \"@every 2h30m\"",
        ),
        ("@every 0s", "field 2, column 8: \"0s\" is not a whole number of seconds, from 1s"),
        ("@every 1500ms", "field 2, column 8: \"1500ms\" is not a whole number of seconds, from 1s"),
        ("@every 999ms", "field 2, column 8: \"999ms\" is not a whole number of seconds, from 1s"),
        ("@every 1s500ms", "field 2, column 8: \"1s500ms\" is not a whole number of seconds, from 1s"),
        ("@every 36601d", "field 2, column 8: \"36601d\" is longer than 100 years"),
        ("0 0 * * ", "has 4 fields, up to column 7; FIVE"),
        ("0", "has 1 field, up to column 1; FIVE"),
        ("0 0 0 * * * 2030", "has 7 fields, the seventh in column 13; FIVE; COMMAND"),
        ("*/5 * * * * /usr/bin/find / -name x", "has 9 fields, the seventh in column 27; FIVE; COMMAND"),
        (
            "0 3 * * * /bin/true",
            "field 6 (day of week), column 11: a number is missing; DAY_OF_WEEK; COMMAND",
        ),
    ] {
        const COMMAND: &str = "a command is no part of the schedule: it is the field `command`";
        const FIVE: &str = "five are needed (minute, hour, day of month, month, day of week), or six with the second before them";
        let (reason, command) = match reason.strip_suffix("; COMMAND") {
            Some(reason) => (reason, format!("; {COMMAND}")),
            None => (reason, String::new()),
        };
        refused(line, &(spelled_out(&reason.replace("FIVE", FIVE)) + &command));
    }
    for period in ["5", "5.5s", "-5s", "1m1h", "s", "1 s", "90S", "1y"] {
        let refused = calendar(&format!("@every {period}")).unwrap_err();
        let begin = if period == "1 s" { "field 3, column 10: \"s\" after" } else { "field 2, column 8: " };
        assert!(refused.reason().starts_with(begin), "{period:?}: {refused}");
        assert!(refused.reason().contains("write it"), "{period:?}: {refused}");
    }
}

#[test]
fn lines_that_can_never_fire_are_refused_and_told_apart() {
    let never = "no month of field 4 has such a day; allowed are days that one of its months has";
    for (line, column) in [
        ("0 3 30 2 *", 5),
        ("0 0 31 4,6,9,11 *", 5),
        ("0 0 31 apr,jun,sep,nov *", 5),
        ("* * 30-31 feb */2", 5),
        ("0 0 30,31 2 *,1", 5),
        ("0   0 31 2-2 *", 7),
    ] {
        let refused = calendar(line).unwrap_err();
        let reason = format!("can never fire: field 3 (day of month), column {column}: {never}");
        assert_eq!((refused.reason(), refused.is_never()), (reason.as_str(), true), "{line}");
    }
    let six = calendar("0 0 3 31 4,6,9,11 *").unwrap_err();
    assert!(
        six.reason().starts_with("can never fire: field 4 (day of month), column 7: no month of field 5"),
        "{six}"
    );
    assert!(!calendar("0 0 32 2 *").unwrap_err().is_never());
    // What looks like it and fires.
    for line in
        ["0 0 30 2 1", "0 0 31 4,5 *", "0 0 29 2 */3", "0 0 */31 2 *", "0 0 29,30 2 *", "0 0 31 2 0-7"]
    {
        assert!(calendar(line).is_ok(), "{line}");
    }
}

#[test]
fn at_words_and_white_space_mean_what_they_should() {
    for (line, same) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        (" \t@daily\t ", "0 0 * * *"),
        ("\t0\t \t0  * * \t*\t", "0 0 * * *"),
        ("0 0 0 * * *", "0 0 * * *"),
        ("00 000 01 001 007", "0 0 1 1 0"),
        ("0 0 * JAN-Mar Sun,MON,3", "0 0 * 1-3 0,1,3"),
        ("0 0 * jan-12/11 mon-7/6", "0 0 * 1,12 1,0"),
        ("0 0 * * 7-7", "0 0 * * sun"),
        ("0 0 * * sun-mon", "0 0 * * 0,1"),
        ("0 0 * * sat-sun", "0 0 * * 6,0"),
        ("0 0 * * fri-sun/2", "0 0 * * 5,sun"),
        ("1-5/2,7,40-40 * * * *", "1,3,5,7,40 * * * *"),
        ("*/1 */60 * * *", "* */24 * * *"),
    ] {
        assert_eq!(calendar(line).unwrap().rule, calendar(same).unwrap().rule, "{line:?}");
    }
    let every = |period: &str| calendar(&format!("@every\t{period} ")).unwrap().rule;
    for (period, seconds) in
        [("1s", 1), ("90s", 90), ("2h30m", 9_000), ("1000ms", 1), ("1w", 604_800), ("1d1s", 86_401)]
    {
        assert_eq!(every(period), Rule::Every(seconds.try_into().unwrap()), "{period}");
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
    for zone in [
        "Europe/Berlim",
        "",
        "UTC+3",
        "GMT-2",
        "UTC+05:30",
        "../passwd",
        "/etc/passwd",
        "Etc/Unknown",
        "no\0zone",
    ] {
        let refused = Calendar::new("* * * * *", Some(zone), &device).unwrap_err();
        assert_eq!(refused.field(), "time_zone", "{zone:?}");
        assert!(refused.reason().starts_with(&format!("{zone:?} is not in")), "{refused}");
    }
    let names = [
        "Europe/Berlin",
        "UTC",
        "<+03>-3",
        "EST5EDT",
        "UTC0",
        "GMT0BST,M3.5.0/1,M10.5.0",
        "Etc/GMT-2",
        "GMT",
    ]
    .map(|name| (name, name));
    for (zone, name) in names.into_iter().chain([("utc", "UTC"), ("europe/berlin", "Europe/Berlin")]) {
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
