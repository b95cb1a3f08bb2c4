//! What a line means in words, read back as a person would read them: the words and the line must agree on every second.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that panics says what is wrong"
)]

use std::collections::BTreeSet;

use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};
use proptest::prelude::*;

/// The same cases in every run.
const SEED: proptest::test_runner::RngSeed = proptest::test_runner::RngSeed::Fixed(0x1eaf_c407);

type Set = BTreeSet<u32>;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What the words say; `None`: nothing about it.
#[derive(Debug, Default)]
struct Said {
    seconds: Option<Set>,
    minutes: Option<Set>,
    hours: Option<Set>,
    /// Hour, minute, second, one by one.
    times: Vec<[u32; 3]>,
    days: Option<Set>,
    months: Option<Set>,
    weekdays: Option<Set>,
    either: bool,
}

/// A reader of words.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn peek(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or("")
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.peek(0) == word;
        if there {
            self.0.remove(0);
        }
        there
    }

    fn value(word: &str) -> Option<u32> {
        let named = |names: &[&str]| names.iter().position(|name| *name == word).map(|at| at as u32);
        word.parse().ok().or_else(|| named(&MONTHS).map(|month| month + 1)).or_else(|| named(&WEEKDAYS))
    }

    /// "1", "1 and 2", "1 to 5", "0, 2, 4, ... 22".
    fn list(&mut self) -> Set {
        let mut list: Vec<u32> = Vec::new();
        loop {
            let joined = matches!(self.peek(0), "and" | "or" | "to" | "...");
            let word = self.peek(usize::from(joined));
            let Some(value) = Self::value(word) else { break };
            match self.peek(0) {
                "to" => list.extend(*list.last().unwrap() + 1..value),
                "..." => {
                    let step = list[1] - list[0];
                    list.extend((list[list.len() - 1]..value).step_by(step as usize).skip(1));
                }
                _ => {}
            }
            list.push(value);
            self.0.drain(..1 + usize::from(joined));
        }
        assert!(!list.is_empty(), "a list at {:?}", self.0);
        list.into_iter().collect()
    }

    fn times(&mut self) -> Vec<[u32; 3]> {
        let mut times: Vec<[u32; 3]> = Vec::new();
        loop {
            let joined = matches!(self.peek(0), "and" | "...");
            let word = self.peek(usize::from(joined));
            let numbers: Vec<u32> = word.split(':').filter_map(|part| part.parse().ok()).collect();
            let time = match numbers.as_slice() {
                [hour, minute] => [*hour, *minute, 0],
                [hour, minute, second] => [*hour, *minute, *second],
                _ => return times,
            };
            if self.peek(0) == "..." {
                // Of one minute, in hours of even steps.
                let step = times[1][0] - times[0][0];
                while times.last().unwrap()[0] + step < time[0] {
                    let [hour, minute, second] = *times.last().unwrap();
                    times.push([hour + step, minute, second]);
                }
            }
            times.push(time);
            self.0.drain(..1 + usize::from(joined));
        }
    }
}

fn read(text: &str) -> Said {
    let mut words = Words(text.split(' ').map(|word| word.trim_end_matches(',')).collect());
    let mut said = Said::default();
    while !words.0.is_empty() {
        if words.take("at") {
            let unit = words.peek(0).trim_end_matches('s').to_owned();
            match unit.as_str() {
                "second" | "minute" => {
                    words.0.remove(0);
                    let list = Some(words.list());
                    if unit == "second" { said.seconds = list } else { said.minutes = list }
                }
                _ => said.times = words.times(),
            }
        } else if words.take("every") {
            let step = Words::value(words.peek(0));
            words.0.drain(..usize::from(step.is_some()));
            let step = step.unwrap_or(1);
            let all = Some((0..60).step_by(step as usize).collect());
            match words.0.remove(0).trim_end_matches('s') {
                "second" => said.seconds = all,
                "minute" => said.minutes = all,
                "hour" | "day" => assert_eq!(step, 1),
                other => panic!("every {other}"),
            }
        } else if words.take("from") {
            let hour = |word: &str| word.split(':').next().unwrap().parse::<u32>().unwrap();
            said.hours = Some((hour(words.peek(0))..=hour(words.peek(2))).collect());
            words.0.drain(..3);
        } else if words.take("in") {
            if words.take("hours") {
                said.hours = Some(words.list())
            } else {
                said.months = Some(words.list())
            }
        } else if words.take("on") {
            if words.take("day") || words.take("days") {
                said.days = Some(words.list());
                assert!(words.take("of"));
                if words.take("the") {
                    assert!(words.take("month"))
                } else {
                    said.months = Some(words.list())
                }
                said.either = words.take("and");
                if said.either {
                    assert!(words.take("on") && words.take("every"));
                    said.weekdays = Some(words.list());
                }
            } else {
                said.weekdays = Some(words.list());
            }
        } else if words.take("if") {
            assert!(words.take("it") && words.take("is") && words.take("a"));
            said.weekdays = Some(words.list());
        } else {
            panic!("{:?} in {text}", words.0);
        }
    }
    said
}

impl Said {
    fn time(&self, [hour, minute, second]: [u32; 3]) -> bool {
        let has = |set: &Option<Set>, value| set.as_ref().is_none_or(|set| set.contains(&value));
        if !self.times.is_empty() {
            return self.times.contains(&[hour, minute, second]);
        }
        let is_second = self.seconds.as_ref().map_or(second == 0, |seconds| seconds.contains(&second));
        is_second && has(&self.minutes, minute) && has(&self.hours, hour)
    }

    fn date(&self, date: jiff::civil::Date) -> bool {
        let has = |set: &Option<Set>, value: i8| set.as_ref().is_none_or(|set| set.contains(&(value as u32)));
        let (day, weekday) =
            (has(&self.days, date.day()), has(&self.weekdays, date.weekday().to_sunday_zero_offset()));
        has(&self.months, date.month()) && if self.either { day || weekday } else { day && weekday }
    }
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (low..=high).prop_map(|n| n.to_string()),
        1 => (2..high + 2).prop_map(|step| format!("*/{step}")),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high, 2..8u32).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        2 => prop::collection::btree_set(low..=high, 2..9)
            .prop_map(|set| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    ]
}

fn agrees(line: &str) {
    let Ok(calendar) = Calendar::new(line, None, &Zone::utc()) else { return };
    let (words, said) = (calendar.words(), read(&calendar.words()));
    let is_due = |date: jiff::civil::Date, second: i64| {
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() + second;
        calendar.next(WallTime::from_secs(at - 1)) == Some(WallTime::from_secs(at))
    };
    // Every date of two years, one of them a leap year: at the first time of a day that the words name.
    let first = (0..86_400u32)
        .map(|second| [second / 3_600, second / 60 % 60, second % 60])
        .find(|time| said.time(*time));
    let [hour, minute, second] = first.unwrap_or_else(|| panic!("{line}: {words}: at no time"));
    let first = i64::from(hour * 3_600 + minute * 60 + second);
    let mut date = jiff::civil::date(2027, 1, 1);
    let mut a_day = None;
    while date.year() < 2029 {
        let due = is_due(date, first);
        assert_eq!(due, said.date(date), "{line}: {words}, on {date}");
        a_day = a_day.or(due.then_some(date));
        date = date.tomorrow().unwrap();
    }
    // And on one of those days all times that the words name, of which there are as many as fires.
    let Some(date) = a_day else { return };
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let (start, end) = (WallTime::from_secs(midnight - 1), WallTime::from_secs(midnight + 86_399));
    let times: Vec<i64> = (0..86_400u32)
        .filter(|second| said.time([second / 3_600, second / 60 % 60, second % 60]))
        .map(|second| midnight + i64::from(second))
        .collect();
    assert_eq!(calendar.count(start, end), times.len() as u64, "{line}: {words}, on {date}");
    let mut after = start;
    for time in times.into_iter().take(200) {
        let next = calendar.next(after);
        assert_eq!(next, Some(WallTime::from_secs(time)), "{line}: {words}, on {date}");
        after = WallTime::from_secs(time);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

    #[test]
    fn the_words_of_a_line_mean_what_the_line_means(
        second in prop_oneof![4 => Just(String::new()), 1 => field(0, 59).prop_map(|text| text + " ")],
        (minute, hour) in (field(0, 59), field(0, 23)),
        (day, month, weekday) in (field(1, 31), field(1, 12), field(0, 7)),
    ) {
        agrees(&format!("{second}{minute} {hour} {day} {month} {weekday}"));
    }
}

#[test]
fn what_is_written_most_reads_right() {
    for line in [
        "* * * * * *",
        "* * * * *",
        "*/10 * * * * *",
        "* 5 * * *",
        "* * 5 * * *",
        "15 * 5 * * *",
        "0 0 1-31 * 1-5",
        "0 0 13 * 5",
        "0 0 */2 * 1",
        "0 0 */2 */3 */4",
        "*/7 0-22/2 * * *",
        "5 4 3 2 *",
        "0 0 1,15 * mon-fri",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "0 0 * * fri-sun",
        "0 0 29 2 7",
        "*/60 */24 * * *",
    ] {
        agrees(line);
    }
}
