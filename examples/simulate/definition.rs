//! Definitions as this world's owner writes them, with what they mean kept beside the text: no parser of leafcron's is
//! asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::luck::Luck;

/// When a line is due. The sets are bits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum When {
    Fields(Fields),
    /// Multiples of so many seconds since 1970.
    Every(i64),
    Reboot,
}

/// The sets of a line's fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields {
    pub(crate) seconds: u64,
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
    pub(crate) months: u64,
    pub(crate) weekdays: u64,
    /// Both day fields are restricted: either will do.
    pub(crate) either_day: bool,
    /// The text of minute or hour begins with a star.
    pub(crate) wildcard: bool,
}

/// A definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) fields: BTreeMap<String, Value>,
    /// Its canonical text.
    pub(crate) text: String,
    pub(crate) line: String,
    pub(crate) when: When,
    /// `None`: the device's.
    pub(crate) zone: Option<String>,
    pub(crate) enabled: bool,
    /// Starts that `retry` grants.
    pub(crate) attempts: u8,
    pub(crate) rerun: bool,
    /// Starts although no disk takes the intent.
    pub(crate) unrecorded: bool,
    pub(crate) deadline_secs: Option<i64>,
    pub(crate) splay_secs: i64,
    pub(crate) timeout_secs: Option<u64>,
    pub(crate) success: Vec<u8>,
}

impl Definition {
    /// Whether the same instants are due by both.
    pub(crate) fn same_schedule(&self, other: &Self) -> bool {
        self.when == other.when && self.zone == other.zone && self.enabled == other.enabled
    }

    /// Starts that a fire may have, however they end.
    pub(crate) fn starts(&self) -> usize {
        usize::from(if self.rerun { self.attempts.max(3) } else { self.attempts })
    }
}

/// Fields as a section of a jobs file.
pub(crate) fn section(job: &str, fields: &BTreeMap<String, Value>) -> String {
    let mut text = format!("[job.{job}]\n");
    for (name, value) in fields {
        writeln!(text, "{name} = {}", toml(value)).expect("a String takes all");
    }
    text
}

fn toml(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields: Vec<String> =
                map.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// How often jobs of a world are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Seconds and minutes.
    Dense,
    /// Hours and days.
    Sparse,
}

/// A field's text and what it means.
type Field = (&'static str, u64);

const MINUTES: &[Field] = &[
    ("0", 1),
    ("30", 1 << 30),
    ("17", 1 << 17),
    ("*/20", 1 | 1 << 20 | 1 << 40),
    ("5,35", 1 << 5 | 1 << 35),
    ("0-10/5", 1 | 1 << 5 | 1 << 10),
    ("59", 1 << 59),
];
const DENSE_MINUTES: &[Field] = &[
    ("*", u64::MAX >> 4),
    ("*/7", 0x0102_0408_1020_4081 & (u64::MAX >> 4)),
    ("*/60", 1),
    ("*/15", 1 | 1 << 15 | 1 << 30 | 1 << 45),
    ("0-10/5", 1 | 1 << 5 | 1 << 10),
    ("42", 1 << 42),
];
const ANY_HOUR: u64 = (1 << 24) - 1;
const HOURS: &[Field] = &[
    ("*", ANY_HOUR),
    ("2", 1 << 2),
    ("3", 1 << 3),
    ("1-3", 0b1110),
    ("*/6", 1 | 1 << 6 | 1 << 12 | 1 << 18),
    ("0,23", 1 | 1 << 23),
    ("*/12", 1 | 1 << 12),
];
const ANY_DAY: u64 = ((1 << 32) - 1) & !1;
const DAYS: &[Field] =
    &[("*", ANY_DAY), ("*", ANY_DAY), ("*", ANY_DAY), ("1", 1 << 1), ("10-20", 0x1F_FC00), ("31", 1 << 31)];
const ANY_MONTH: u64 = ((1 << 13) - 1) & !1;
const MONTHS: &[Field] = &[
    ("*", ANY_MONTH),
    ("*", ANY_MONTH),
    ("*", ANY_MONTH),
    ("mar-nov", 0xFF8),
    ("jan,3,10", 1 << 1 | 1 << 3 | 1 << 10),
];
const ANY_WEEKDAY: u64 = 0x7F;
const WEEKDAYS: &[Field] = &[
    ("*", ANY_WEEKDAY),
    ("*", ANY_WEEKDAY),
    ("*", ANY_WEEKDAY),
    ("1-5", 0b11_1110),
    ("7", 1),
    ("fri-sun", 0b110_0001),
    ("*/2", 0b101_0101),
];

/// Zones with changes of an hour, of half an hour, in the other half of the year, and with none.
pub(crate) const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago"];

fn when(luck: &mut Luck, pace: Pace) -> (String, When) {
    let dense = pace == Pace::Dense;
    match luck.below(24) {
        0 => return ("@reboot".to_owned(), When::Reboot),
        1 if dense => return ("@every 90s".to_owned(), When::Every(90)),
        1 | 2 => return ("@every 5h".to_owned(), When::Every(5 * 3600)),
        _ => {}
    }
    let fields = |seconds, [minute, hour, day, month, weekday]: [Field; 5]| {
        let restricted = |field: Field| !field.0.starts_with('*');
        When::Fields(Fields {
            seconds,
            minutes: minute.1,
            hours: hour.1,
            days: day.1,
            months: month.1,
            weekdays: weekday.1,
            either_day: restricted(day) && restricted(weekday),
            wildcard: !restricted(minute) || !restricted(hour),
        })
    };
    let all: [Field; 5] = [("0", 1), ("*", ANY_HOUR), ("*", ANY_DAY), ("*", ANY_MONTH), ("*", ANY_WEEKDAY)];
    if luck.one_in(12) {
        return ("@hourly".to_owned(), fields(1, all));
    }
    let hour = if dense { luck.pick(&HOURS[..1 + luck.clone().index(2)]) } else { luck.pick(HOURS) };
    let minute = if dense { luck.pick(DENSE_MINUTES) } else { luck.pick(MINUTES) };
    let mut words = [minute, hour, all[2], all[3], all[4]];
    if !dense || luck.one_in(4) {
        (words[2], words[3], words[4]) = (luck.pick(DAYS), luck.pick(MONTHS), luck.pick(WEEKDAYS));
    }
    let line = words.map(|word| word.0).join(" ");
    if dense && luck.one_in(6) {
        let second: Field =
            luck.pick(&[("*/20", 1 | 1 << 20 | 1 << 40), ("7", 1 << 7), ("0,59", 1 | 1 << 59)]);
        return (format!("{} {line}", second.0), fields(second.1, words));
    }
    (line, fields(1, words))
}

/// A definition of any kind.
pub(crate) fn definition(luck: &mut Luck, pace: Pace) -> Definition {
    let (line, when) = when(luck, pace);
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    say("schedule", json!(line));
    say("command", json!(luck.pick(&["true", "sync", "backup --all"])));
    let zone = luck.one_in(3).then(|| luck.pick(ZONES).to_owned());
    if let Some(zone) = &zone {
        say("time_zone", json!(zone));
    }
    let enabled = !luck.one_in(25);
    if !enabled {
        say("enabled", json!(false));
    }
    say("overlap", json!(luck.pick(&["skip", "queue", "replace", "allow"])));
    say("catch_up", json!(luck.pick(&["none", "last", "all"])));
    let rerun = luck.one_in(3);
    say("on_interrupt", json!(if rerun { "rerun" } else { "report" }));
    let unrecorded = luck.one_in(5);
    say("unrecorded", json!(if unrecorded { "run" } else { "skip" }));
    let (deadline, deadline_secs) =
        luck.pick(&[("none", None), ("24h", Some(86_400)), ("1h", Some(3_600)), ("5m", Some(300))]);
    say("deadline", json!(deadline));
    let attempts = luck.pick(&[1, 1, 1, 2, 3, 6]);
    let delay = luck.pick(&["5s", "45s", "5m", "10m"]);
    say("retry", json!({ "attempts": attempts, "delay": delay, "max_delay": "10m" }));
    let (splay, splay_secs) = luck.pick(&[("0s", 0), ("0s", 0), ("40s", 40), ("10m", 600)]);
    say("splay", json!(splay));
    let (timeout, timeout_secs) =
        luck.pick(&[("none", None), ("30s", Some(30)), ("10m", Some(600)), ("6h", Some(21_600))]);
    say("timeout", json!(timeout));
    if luck.one_in(2) {
        say("on_failure", json!("tell-somebody"));
    }
    say("warn_after", json!(luck.pick(&["none", "1m", "1h"])));
    let success = luck.pick(&[vec![0], vec![0], vec![0, 3]]);
    say("success_exit_codes", json!(success));
    say("priority", json!(luck.below(5) as i64 - 2));
    say("otherwise", json!(luck.pick(&["skip", "run", "fail"])));
    say("hold", json!(luck.pick(&["0s", "1m", "10m"])));
    match luck.below(8) {
        0 => drop(say("require", json!({ "memory_available": "1GiB" }))),
        1 => drop(say("require", json!({ "check": "test -e /x" }))),
        2 => drop(say("require", json!({ "memory_available": "1GiB", "check": "test -e /x" }))),
        3 => drop(say("require", json!({ "disk_available": [{ "path": "/x", "at_least": "1GiB" }] }))),
        _ => {}
    }
    let text = serde_json::to_string(&fields).expect("plain data prints");
    Definition {
        fields,
        text,
        line,
        when,
        zone,
        enabled,
        attempts,
        rerun,
        unrecorded,
        deadline_secs,
        splay_secs,
        timeout_secs,
        success,
    }
}

/// Fields that no version of leafcron takes.
pub(crate) fn nonsense(luck: &mut Luck) -> BTreeMap<String, Value> {
    let (field, value) = luck.pick(&[
        ("schedule", json!("61 * * * *")),
        ("schedule", json!("0 0 30 2 *")),
        ("time_zone", json!("Mars/Olympus")),
        ("colour", json!("red")),
        ("overlap", json!("maybe")),
    ]);
    BTreeMap::from([
        ("command".to_owned(), json!("true")),
        ("schedule".to_owned(), json!("0 3 * * *")),
        (field.to_owned(), value),
    ])
}
