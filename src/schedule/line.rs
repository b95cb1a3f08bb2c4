//! Reads a schedule line: macros, `@every`, and five or six fields (crontab(5) of cronie; DESIGN section 5). Strict:
//! what the dialect does not define is refused, with field, column and reason, and so is a line that can never fire.

use core::num::NonZeroI64;

use super::calendar::Rule;
use super::error::ScheduleError;
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

/// How many fields a line has.
const HOW_MANY: &str = "five are needed (minute, hour, day of month, month, day of week), or six with the second before \
                        them";
/// What is often found behind them.
const COMMAND: &str = "a command is no part of the schedule: it is the field `command`";

/// What white space is.
const BLANK: [char; 2] = [' ', '\t'];

/// The rule that a line states, or why it is refused.
pub(super) fn read(line: &str) -> Result<Rule, ScheduleError> {
    let refuse = |reason: String| Err(ScheduleError::line(reason));
    if line.len() > limits::SCHEDULE_BYTES {
        return refuse(format!(
            "is {} bytes long; at most {} are allowed",
            line.len(),
            limits::SCHEDULE_BYTES
        ));
    }
    let words = split(line);
    match words.as_slice() {
        [] => refuse("is empty; write five fields, as in \"30 2 * * *\"".to_owned()),
        [(at, word), rest @ ..] if word.starts_with('@') => read_macro(line, (*at, word), rest),
        [minute, hour, day, month, weekday] => {
            read_fields(line, None, [*minute, *hour, *day, *month, *weekday])
        }
        [second, minute, hour, day, month, weekday] => {
            let six = read_fields(line, Some(*second), [*minute, *hour, *day, *month, *weekday]);
            six.map_err(|error| {
                // A line out of a crontab, with its command.
                let is_command = !weekday.1.starts_with(|c: char| c.is_ascii_digit() || "*,-".contains(c));
                let five = || read_fields(line, None, [*second, *minute, *hour, *day, *month]);
                if is_command && five().is_ok() { error.and(COMMAND) } else { error }
            })
        }
        [_, _, _, _, _, _, (at, _), ..] => refuse(format!(
            "has {} fields, the seventh in column {}; {HOW_MANY}; {COMMAND}",
            words.len(),
            column(line, *at)
        )),
        few => refuse(format!(
            "has {} field{}, up to column {}; {HOW_MANY}",
            few.len(),
            if few.len() == 1 { "" } else { "s" },
            column(line, line.trim_end_matches(BLANK).len()).saturating_sub(1),
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

fn read_macro(line: &str, (at, word): Word<'_>, rest: &[Word<'_>]) -> Result<Rule, ScheduleError> {
    let refuse = |number: usize, at: usize, reason: String| {
        Err(ScheduleError::line(format!("field {number}, column {}: {reason}", column(line, at))))
    };
    let fields = MACROS.iter().find(|(name, _)| *name == word).map(|(_, fields)| *fields);
    match (word, fields, rest) {
        ("@every", _, [(at, period)]) => every(period).or_else(|reason| refuse(2, *at, reason)),
        ("@every", _, []) => {
            let reason = "@every needs a duration after it, from 1s, as in \"@every 90s\"";
            refuse(2, line.len(), reason.to_owned())
        }
        ("@every", _, [_, (at, extra), ..]) => {
            let reason =
                format!("{extra:?} after the duration; write it as one word, as in \"@every 2h30m\"");
            refuse(3, *at, reason)
        }
        ("@reboot", _, []) => Ok(Rule::Reboot),
        (_, Some(fields), []) => read(fields),
        ("@reboot", _, [(at, extra), ..]) | (_, Some(_), [(at, extra), ..]) => {
            refuse(2, *at, format!("{extra:?} after {word}, which stands alone; {COMMAND}"))
        }
        (_, None, _) => {
            let reason = format!(
                "{word:?} is none of: @yearly @annually @monthly @weekly @daily @midnight @hourly @reboot @every"
            );
            refuse(1, at, reason)
        }
    }
}

/// Multiples of a duration.
fn every(period: &str) -> Result<Rule, String> {
    let duration = units::parse_duration(period)?;
    let seconds = i64::try_from(duration.as_secs()).ok().and_then(NonZeroI64::new);
    match seconds {
        Some(seconds) if duration.subsec_nanos() == 0 => Ok(Rule::Every(seconds)),
        _ => Err(format!("{period:?} is not a whole number of seconds, from 1s")),
    }
}

fn read_fields(line: &str, second: Option<Word<'_>>, words: [Word<'_>; 5]) -> Result<Rule, ScheduleError> {
    let shift = if second.is_some() { 2 } else { 1 };
    let set = |number: usize, field: &Field, (at, text): Word<'_>| {
        field::read(field, text).map_err(|fault| {
            let column = column(line, at + fault.at);
            ScheduleError::line(format!("field {number} ({}), column {column}: {}", field.name, fault.reason))
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
        return Err(ScheduleError::never(format!(
            "can never fire: field {} ({}), column {}: no month of field {} has such a day; allowed are days that one of \
             its months has",
            shift + 2,
            day_field.name,
            column(line, day.0),
            shift + 3,
        )));
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
