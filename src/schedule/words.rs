//! What a line means in words, for people: `30 2 * * 1-5` is "at 02:30 on Monday to Friday".

use super::calendar::{Calendar, Rule};
use super::pattern::{DayFields, Pattern};
use crate::job::units;

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

const SIXTY: u64 = (1 << 60) - 1;
const ALL_HOURS: u32 = (1 << 24) - 1;
const ALL_DAYS: u32 = u32::MAX - 1;
const ALL_MONTHS: u16 = (1 << 13) - 2;
const ALL_WEEKDAYS: u8 = (1 << 7) - 1;

/// As many times of a day are named one by one.
const TIMES: usize = 6;

impl Calendar {
    /// What the line means in words, as "at 02:30 every day"; the zone is not part of it.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.rule {
            Rule::Reboot => "once after each boot".to_owned(),
            Rule::Every(period) => {
                let period = core::time::Duration::from_secs(period.get().unsigned_abs());
                format!("every {}, counted from 1970-01-01 UTC", units::format_duration(period))
            }
            Rule::Times(pattern) => {
                let (time, day) = (time(pattern), day(pattern));
                let implied = pattern.hours == ALL_HOURS && day == "every day";
                if implied { time } else { format!("{time} {day}") }
            }
        }
    }
}

/// When on a day.
fn time(pattern: &Pattern) -> String {
    let (seconds, minutes, hours) =
        (numbers(pattern.seconds), numbers(pattern.minutes), numbers(pattern.hours.into()));
    if let [second] = seconds.as_slice()
        && pattern.hours != ALL_HOURS
        && (minutes.len() == 1 || hours.len() * minutes.len() <= TIMES)
    {
        let clock = |hour, minute| match second {
            0 => format!("{hour:02}:{minute:02}"),
            second => format!("{hour:02}:{minute:02}:{second:02}"),
        };
        let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| clock(hour, minute)));
        return format!("at {}", series(&times.collect::<Vec<_>>(), minutes.len() == 1 && is_even(&hours)));
    }
    let mut parts = Vec::new();
    if pattern.seconds != 1 {
        parts.push(unit("second", &seconds));
    }
    if pattern.minutes != SIXTY || !parts.iter().any(|part| part.starts_with("every")) {
        parts.push(unit("minute", &minutes));
    }
    match hours.as_slice() {
        _ if pattern.hours == ALL_HOURS => {
            if parts.last().is_some_and(|part| part.starts_with("at")) {
                parts.push("every hour".to_owned());
            }
        }
        [first, .., last] if is_run(&hours) => parts.push(format!("from {first:02}:00 to {last:02}:59")),
        [hour] => parts.push(format!("from {hour:02}:00 to {hour:02}:59")),
        _ => parts.push(format!("in hours {}", list(&hours))),
    }
    parts.join(", ")
}

/// On which days.
fn day(pattern: &Pattern) -> String {
    let days = || {
        let days = numbers(pattern.days.into());
        format!("{} {}", if days.len() == 1 { "day" } else { "days" }, list(&days))
    };
    let weekdays = || names(pattern.weekdays.into(), 0, &WEEKDAYS);
    let months = match pattern.months {
        ALL_MONTHS => None,
        some => Some(names(some.into(), 1, &MONTHS)),
    };
    let of_months = months.as_ref().map_or("of the month".to_owned(), |months| format!("of {months}"));
    match (pattern.day_fields, pattern.days == ALL_DAYS, pattern.weekdays == ALL_WEEKDAYS) {
        (DayFields::Both, true, true) | (DayFields::Either, true, _) | (DayFields::Either, _, true) => {
            format!("every day{}", months.map_or(String::new(), |months| format!(" in {months}")))
        }
        (DayFields::Both, true, false) => {
            format!("on {}{}", weekdays(), months.map_or(String::new(), |months| format!(" in {months}")))
        }
        (DayFields::Both, false, true) => format!("on {} {of_months}", days()),
        (DayFields::Both, false, false) => {
            format!("on {} {of_months}, if it is a {}", days(), weekdays().replace(" and ", " or "))
        }
        (DayFields::Either, ..) => {
            let in_months = months.map_or(String::new(), |months| format!(" in {months}"));
            format!("on {} {of_months} and on every {}{in_months}", days(), weekdays())
        }
    }
}

/// "every minute", "every 15 minutes", "at minutes 5 and 35".
fn unit(name: &str, numbers: &[u32]) -> String {
    match numbers {
        [one] => format!("at {name} {one}"),
        [0, 1, ..] if numbers.len() == 60 => format!("every {name}"),
        [0, step, ..]
            if 60 % step == 0 && u32::try_from(numbers.len()) == Ok(60 / step) && is_even(numbers) =>
        {
            format!("every {step} {name}s")
        }
        _ => format!("at {name}s {}", list(numbers)),
    }
}

fn names(bits: u64, low: usize, names: &[&str]) -> String {
    let numbers = numbers(bits);
    let chosen: Vec<String> = (low..)
        .zip(names)
        .filter(|(number, _)| bits >> number & 1 == 1)
        .map(|(_, name)| (*name).to_owned())
        .collect();
    match chosen.as_slice() {
        [first, _, .., last] if chosen.len() > 2 && is_run(&numbers) => format!("{first} to {last}"),
        _ => series(&chosen, false),
    }
}

fn list(numbers: &[u32]) -> String {
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    match texts.as_slice() {
        [first, _, .., last] if texts.len() > 2 && is_run(numbers) => format!("{first} to {last}"),
        _ => series(&texts, is_even(numbers)),
    }
}

/// "a", "a and b", "a, b and c"; a long one of even steps is cut in its middle: "0, 2, 4, ... 22".
fn series(items: &[String], even: bool) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first, second, third, .., last] if even && items.len() > TIMES => {
            format!("{first}, {second}, {third}, ... {last}")
        }
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

fn numbers(bits: u64) -> Vec<u32> {
    (0..64).filter(|bit| bits >> bit & 1 == 1).collect()
}

fn is_run(numbers: &[u32]) -> bool {
    numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| b - a == 1)
}

fn is_even(numbers: &[u32]) -> bool {
    let mut gaps = numbers.iter().zip(numbers.iter().skip(1)).map(|(a, b)| b - a);
    gaps.next().is_none_or(|first| gaps.all(|gap| gap == first))
}

#[cfg(test)]
mod tests {
    use super::super::Zone;
    use super::*;

    #[test]
    fn lines_read_as_a_person_would_say_them() {
        let utc = Zone::named("UTC").unwrap();
        for (line, words) in [
            ("30 2 * * *", "at 02:30 every day"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("*/7 * * * *", "at minutes 0, 7, 14, ... 56, every hour"),
            ("5 * * * *", "at minute 5, every hour"),
            ("0 6 * * 1-5", "at 06:00 on Monday to Friday"),
            ("0 0 13 * 5", "at 00:00 on day 13 of the month and on every Friday"),
            ("0 0 */2 * 1", "at 00:00 on days 1, 3, 5, ... 31 of the month, if it is a Monday"),
            ("15,45 2,3 * * *", "at 02:15, 02:45, 03:15 and 03:45 every day"),
            ("0 */2 * * *", "at 00:00, 02:00, 04:00, ... 22:00 every day"),
            (
                "*/5 9-17 * * mon,wed,fri",
                "every 5 minutes, from 09:00 to 17:59 on Monday, Wednesday and Friday",
            ),
            ("0 3 29 2 *", "at 03:00 on day 29 of February"),
            ("0 3 * 6-8 *", "at 03:00 every day in June to August"),
            ("@hourly", "at minute 0, every hour"),
            ("@yearly", "at 00:00 on day 1 of January"),
            ("@every 90s", "every 1m30s, counted from 1970-01-01 UTC"),
            ("@reboot", "once after each boot"),
            ("30 0 3 * * *", "at 03:00:30 every day"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("* * * * * *", "every second"),
            ("30 * * * * *", "at second 30, every minute"),
            ("*/10 5 2 * * *", "every 10 seconds, at minute 5, from 02:00 to 02:59 every day"),
            ("0,30 2,5,7,9 * * *", "every 30 minutes, in hours 2, 5, 7 and 9 every day"),
            ("0 0 1-31 * 1-5", "at 00:00 every day"),
        ] {
            assert_eq!(Calendar::new(line, None, &utc).unwrap().words(), words, "{line}");
        }
    }
}
