//! Reads one field of a schedule line into a bit set: lists of `*`, numbers, names and ranges, with steps.

/// What a field may hold.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) low: u32,
    pub(super) high: u32,
    /// Names of the numbers from `low` on.
    names: &'static [&'static str],
}

/// The six fields, in their order.
pub(super) const FIELDS: [Field; 6] = [
    Field { name: "second", low: 0, high: 59, names: &[] },
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "day of week", low: 0, high: 7, names: &WEEKDAYS },
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The other number of Sunday.
const SUNDAY: u32 = 7;

impl Field {
    /// What the field may hold, for whoever wrote something else.
    fn allowed(&self) -> String {
        let (low, high) = (self.low, self.high);
        let names = match self.names {
            [first, .., last] => format!(" or {first}-{last}"),
            _ => String::new(),
        };
        format!(
            "write numbers {low}-{high}{names}, ranges with '-', '*', a step after a range or '*' as in */2, \
             or several of these with ',' between"
        )
    }
}

/// Why a field is refused, and the byte of it that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: String,
}

impl Fault {
    fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// The same, seen from the text around it.
    fn behind(self, before: usize) -> Self {
        Self { at: self.at + before, ..self }
    }
}

/// The numbers that a field's text names, as bits.
pub(super) fn read(field: &Field, text: &str) -> Result<u64, Fault> {
    let mut at = 0;
    let mut bits = 0;
    for item in text.split(',') {
        bits |= read_item(field, item).map_err(|fault| fault.behind(at))?;
        at += item.len() + 1;
    }
    Ok(bits)
}

/// Sunday as 0 only.
pub(super) fn fold_sunday(weekdays: u64) -> u64 {
    (weekdays | weekdays >> SUNDAY) & 0x7f
}

fn read_item(field: &Field, item: &str) -> Result<u64, Fault> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (low, high) = if let Some(rest) = range.strip_prefix('*') {
        match rest.chars().next() {
            None => (field.low, field.high),
            Some(other) => {
                return Err(Fault::new(
                    1,
                    format!("{other:?} after '*'; only a step may follow it, as in */15"),
                ));
            }
        }
    } else if let Some((first, last)) = range.split_once('-') {
        read_range(field, first, last)?
    } else {
        let number = read_number(field, range)?;
        if step.is_some() {
            return Err(Fault::new(
                range.len(),
                "a step needs '*' or a range before it, as in */15 or 5-59/15",
            ));
        }
        (number, number)
    };
    let step = step.map_or(Ok(1), |step| read_step(step).map_err(|fault| fault.behind(range.len() + 1)))?;
    Ok((low..=high).step_by(step).fold(0, |bits, number| bits | 1 << number))
}

fn read_range(field: &Field, first: &str, last: &str) -> Result<(u32, u32), Fault> {
    let behind = first.len() + 1;
    let low = read_number(field, first)?;
    let high = read_number(field, last).map_err(|fault| fault.behind(behind))?;
    // A week may end with Sunday by name: `fri-sun`.
    let by_name = last.starts_with(|c: char| c.is_ascii_alphabetic());
    let high = if field.high == SUNDAY && high == 0 && low > 0 && by_name { SUNDAY } else { high };
    if low > high {
        return Err(Fault::new(behind, format!("{first}-{last} runs backwards; write the lower one first")));
    }
    Ok((low, high))
}

fn read_step(text: &str) -> Result<usize, Fault> {
    match digits(text, || "a step is a whole number from 1".to_owned()) {
        Err(fault) if text.is_empty() => {
            let reason = "a step is missing after '/'; write a whole number from 1".to_owned();
            Err(Fault { reason, ..fault })
        }
        Err(fault) => Err(fault),
        Ok(0) => Err(Fault::new(0, "a step of 0; the least is 1")),
        Ok(step) => Ok(step.try_into().unwrap_or(usize::MAX)),
    }
}

fn read_number(field: &Field, text: &str) -> Result<u32, Fault> {
    if !field.names.is_empty() && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return read_name(field, text);
    }
    let number = digits(text, || field.allowed())?;
    if (field.low..=field.high).contains(&number) {
        Ok(number)
    } else {
        Err(Fault::new(0, format!("{text} is not in {}-{}", field.low, field.high)))
    }
}

fn read_name(field: &Field, text: &str) -> Result<u32, Fault> {
    (field.low..)
        .zip(field.names)
        .find(|(_, name)| name.eq_ignore_ascii_case(text))
        .map(|(number, _)| number)
        .ok_or_else(|| Fault::new(0, format!("{text:?} is none of: {}", field.names.join(" "))))
}

/// A number of decimal digits; one too large for its type is as large as that can be. `allowed` is for the refusal.
fn digits(text: &str, allowed: impl Fn() -> String) -> Result<u32, Fault> {
    match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        None if text.is_empty() => Err(Fault::new(0, format!("a number is missing; {}", allowed()))),
        None => Ok(text.parse().unwrap_or(u32::MAX)),
        Some((at, c)) => Err(Fault::new(at, format!("{c:?} is not allowed here; {}", allowed()))),
    }
}
