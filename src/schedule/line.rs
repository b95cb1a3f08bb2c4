//! Reads a schedule line: macros, `@every`, and five or six fields (crontab(5) of cronie; DESIGN section 5). Strict:
//! what the dialect does not define is refused, with field, column and reason, and so is a line that can never fire.

use core::num::NonZeroI64;

use super::calendar::Rule;
use super::field::{self, FIELDS, Field};
use super::pattern::{DayFields, Kind, Pattern};
use crate::job::{limits, units};

/// The words for whole lines.
const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What white space is.
const BLANK: [char; 2] = [' ', '\t'];

/// The rule that a line states, or why it is refused.
pub(super) fn read(line: &str) -> Result<Rule, String> {
    if line.len() > limits::SCHEDULE_BYTES {
        return Err(format!("is {} bytes long; at most {} are allowed", line.len(), limits::SCHEDULE_BYTES));
    }
    let words = split(line);
    match words.as_slice() {
        [] => Err("is empty; write five fields, as in \"30 2 * * *\"".to_owned()),
        [(at, word), rest @ ..] if word.starts_with('@') => read_macro(line, (*at, word), rest),
        [minute, hour, day, month, weekday] => {
            read_fields(line, None, [*minute, *hour, *day, *month, *weekday])
        }
        [second, minute, hour, day, month, weekday] => {
            read_fields(line, Some(*second), [*minute, *hour, *day, *month, *weekday])
        }
        other => Err(format!(
            "has {} field{}; five are needed (minute, hour, day of month, month, day of week), or six with the \
             second before them; a command is a field of its own",
            other.len(),
            if other.len() == 1 { "" } else { "s" },
        )),
    }
}

/// A word and the byte that it begins at.
type Word<'a> = (usize, &'a str);

fn split(line: &str) -> Vec<Word<'_>> {
    let mut at = 0;
    let mut words = Vec::new();
    for word in line.split(BLANK) {
        if !word.is_empty() {
            words.push((at, word));
        }
        at += word.len() + 1;
    }
    words
}

fn read_macro(line: &str, (at, word): Word<'_>, rest: &[Word<'_>]) -> Result<Rule, String> {
    match (word, rest) {
        ("@every", [(at, period)]) => {
            every(period).map_err(|reason| format!("column {}: {reason}", column(line, *at)))
        }
        ("@every", []) => Err("@every needs a duration after it, as in \"@every 90s\"".to_owned()),
        (_, [_, (at, extra), ..]) | (_, [(at, extra)]) => {
            Err(format!("column {}: {extra:?} after {word}", column(line, *at)))
        }
        ("@reboot", []) => Ok(Rule::Reboot),
        (word, []) => match MACROS.iter().find(|(name, _)| *name == word) {
            Some((_, fields)) => read(fields),
            None => Err(format!(
                "column {}: {word:?} is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly \
                 @reboot @every",
                column(line, at),
            )),
        },
    }
}

fn every(period: &str) -> Result<Rule, String> {
    let duration = units::parse_duration(period)?;
    let seconds = i64::try_from(duration.as_secs()).ok().and_then(NonZeroI64::new);
    match seconds {
        Some(seconds) if duration.subsec_nanos() == 0 => Ok(Rule::Every(seconds)),
        _ => Err(format!("{period:?} is not a whole number of seconds, from 1 s")),
    }
}

fn read_fields(line: &str, second: Option<Word<'_>>, words: [Word<'_>; 5]) -> Result<Rule, String> {
    let shift = if second.is_some() { 2 } else { 1 };
    let set = |number: usize, field: &Field, (at, text): Word<'_>| {
        field::read(field, text).map_err(|fault| {
            let column = column(line, at + fault.at);
            format!("field {number} ({}), column {column}: {}", field.name, fault.reason)
        })
    };
    let [second_field, minute_field, hour_field, day_field, month_field, weekday_field] = &FIELDS;
    let [minute, hour, day, month, weekday] = words;
    let pattern = Pattern {
        seconds: second.map_or(Ok(1), |word| set(1, second_field, word))?,
        minutes: set(shift, minute_field, minute)?,
        hours: narrow(set(shift + 1, hour_field, hour)?),
        days: narrow(set(shift + 2, day_field, day)?),
        months: narrow(set(shift + 3, month_field, month)?),
        weekdays: narrow(field::fold_sunday(set(shift + 4, weekday_field, weekday)?)),
        day_fields: if starred(day) || starred(weekday) { DayFields::Both } else { DayFields::Either },
        kind: if starred(minute) || starred(hour) { Kind::Wildcard } else { Kind::FixedTime },
    };
    if pattern.is_never() {
        return Err(format!(
            "can never fire: field {} ({}), column {}: no month of field {} has such a day",
            shift + 2,
            day_field.name,
            column(line, day.0),
            shift + 3,
        ));
    }
    Ok(Rule::Times(pattern))
}

fn starred((_, text): Word<'_>) -> bool {
    text.starts_with('*')
}

/// A set that its field's bounds keep within the narrower type.
fn narrow<T: TryFrom<u64> + Default>(bits: u64) -> T {
    T::try_from(bits).unwrap_or_default()
}

/// The column of a byte, in characters from 1.
fn column(line: &str, byte: usize) -> usize {
    line.char_indices().take_while(|(at, _)| *at < byte).count() + 1
}
