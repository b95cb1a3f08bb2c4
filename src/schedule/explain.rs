//! The next fires with the reason when a clock change has a hand in one: for `leafcron explain`.

use super::calendar::{Calendar, Rule};
use super::changes::CORRECTION;
use super::civil::{date, split};
use super::pattern::{Kind, Pattern};
use super::zone::Span;
use crate::job::WallTime;

/// A fire, as a person looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its instant.
    pub at: WallTime,
    /// Its local time with its offset, as `2025-03-30 03:00:00 +02:00`.
    pub local: String,
    /// What a clock change did to it, or to fires since the one before it.
    pub note: Option<String>,
}

/// As many skipped times are named one by one.
const NAMED: usize = 3;

impl Calendar {
    /// The fires strictly after `after`, in order; none for `@reboot`.
    pub fn explain(&self, after: WallTime) -> impl Iterator<Item = Explained> + '_ {
        let mut after = after;
        core::iter::from_fn(move || {
            let at = self.next(after)?;
            let note = match &self.rule {
                Rule::Times(pattern) => self.note(pattern, after.secs(), at.secs()),
                Rule::Every(_) | Rule::Reboot => None,
            };
            after = at;
            Some(Explained { at, local: self.local(at), note })
        })
    }

    /// An instant as local time of the calendar's zone, with its offset: `2025-03-30 03:00:00 +02:00`.
    #[must_use]
    pub fn local(&self, at: WallTime) -> String {
        let at = at.timestamp().as_second();
        let offset = self.zone.spans(at).next().map_or(0, |span| span.offset);
        let (sign, east) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        format!("{} {sign}{:02}:{:02}", stamp(at + offset), east / 3_600, east / 60 % 60)
    }

    /// What clock changes did between two fires and to the later one.
    fn note(&self, pattern: &Pattern, after: i64, at: i64) -> Option<String> {
        let mut notes = Vec::new();
        // The change before the first span may have repeated its time; the one after the last may do so.
        let spans = self.zone.spans(after.saturating_add(1).max(super::zone::FIRST));
        for span in spans.take_while(|span| span.start <= at) {
            let is_new = span.start > after;
            notes.extend(is_new.then(|| skipped(pattern, span, at)).flatten());
            if at < span.end {
                notes.extend(self.repeated(pattern, span, at));
            }
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// Whether the local time of `at`, which is in `span`, comes twice.
    fn repeated(&self, pattern: &Pattern, span: Span, at: i64) -> Option<String> {
        let local = at + span.offset;
        let when = clock(local);
        if local < span.local_end_before() && pattern.kind == Kind::Wildcard {
            return Some(format!("{when} for the second time, as the clock went back {}", change(span)));
        }
        let next = self.zone.spans(span.end).next().filter(|next| next.start == span.end)?;
        if local < next.local_start() || local >= span.local_end() {
            return None;
        }
        Some(match pattern.kind {
            Kind::FixedTime => format!(
                "{when} comes twice, as the clock goes back {}; fires at the first only",
                change(next)
            ),
            Kind::Wildcard => {
                format!("{when} for the first time of two, as the clock goes back {}", change(next))
            }
        })
    }
}

/// What the change at the start of `span` skipped, and whether the fire at `at` stands in for it.
fn skipped(pattern: &Pattern, span: Span, at: i64) -> Option<String> {
    let (ended, began) = (span.local_end_before(), span.local_start());
    let count = pattern.count(ended, began);
    if count == 0 {
        return None;
    }
    let made_up = pattern.kind == Kind::FixedTime && began - ended < CORRECTION;
    let what = match count {
        1 => pattern.first(ended, began).map_or(String::new(), clock),
        _ => named(pattern, ended, began),
    };
    let change = change(span);
    Some(if !made_up {
        format!("the clock went forward {change} and skipped {what}: not made up")
    } else if span.start == at {
        format!("in place of {what}, which the clock skipped as it went forward {change}")
    } else {
        return None;
    })
}

/// The times in `[from, until)`, or how many.
fn named(pattern: &Pattern, from: i64, until: i64) -> String {
    let mut names = Vec::new();
    let mut at = from;
    while let Some(found) = pattern.first(at, until) {
        if names.len() == NAMED {
            return format!(
                "{} times from {}",
                pattern.count(from, until),
                names.first().map_or("", String::as_str)
            );
        }
        names.push(clock(found));
        at = found + 1;
    }
    names.join(", ")
}

/// "from 02:00 to 03:00 on 2025-03-30", the day being the one that was left.
fn change(span: Span) -> String {
    let (ended, began) = (span.local_end_before(), span.local_start());
    let ((old_day, _), (new_day, _)) = (split(ended), split(began));
    if old_day == new_day {
        format!("from {} to {} on {}", clock(ended), clock(began), day(old_day))
    } else {
        format!("from {} {} to {} {}", day(old_day), clock(ended), day(new_day), clock(began))
    }
}

fn stamp(local: i64) -> String {
    let (day_number, second) = split(local);
    format!("{} {:02}:{:02}:{:02}", day(day_number), second / 3_600, second / 60 % 60, second % 60)
}

fn day(number: i64) -> String {
    let (year, month, day) = date(number);
    format!("{year:04}-{month:02}-{day:02}")
}

fn clock(local: i64) -> String {
    let (_, second) = split(local);
    match second % 60 {
        0 => format!("{:02}:{:02}", second / 3_600, second / 60 % 60),
        rest => format!("{:02}:{:02}:{rest:02}", second / 3_600, second / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Zone;
    use super::*;

    fn explained(line: &str, zone: &str, after: &str, count: usize) -> Vec<(String, Option<String>)> {
        let calendar = Calendar::new(line, Some(zone), &Zone::named("UTC").unwrap()).unwrap();
        let after: jiff::Timestamp = after.parse().unwrap();
        calendar.explain(after.into()).take(count).map(|fire| (fire.local, fire.note)).collect()
    }

    #[test]
    fn a_fire_that_a_change_moved_says_what_it_stands_for() {
        let fires = explained("15,45 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2);
        assert_eq!(fires[0].0, "2025-03-30 03:00:00 +02:00");
        let note = "in place of 02:15, 02:45, which the clock skipped as it went forward from 02:00 to 03:00 on \
                    2025-03-30";
        assert_eq!(fires[0].1.as_deref(), Some(note));
        assert_eq!(fires[1], ("2025-03-31 02:15:00 +02:00".to_owned(), None));
    }

    #[test]
    fn the_next_fire_says_what_was_dropped_before_it() {
        let fires = explained("*/15 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2);
        let note = "the clock went forward from 02:00 to 03:00 on 2025-03-30 and skipped 4 times from 02:00: not \
                    made up";
        assert_eq!(fires[0], ("2025-03-31 02:00:00 +02:00".to_owned(), Some(note.to_owned())));
        assert_eq!(fires[1].1, None);
        let fires = explained("0 12 * * *", "Pacific/Apia", "2011-12-29T22:30:00Z", 1);
        let note =
            "the clock went forward from 2011-12-30 00:00 to 2011-12-31 00:00 and skipped 12:00: not made up";
        assert_eq!(fires[0].1.as_deref(), Some(note));
    }

    #[test]
    fn a_time_that_comes_twice_says_so() {
        let fires = explained("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", 2);
        let note = "02:30 comes twice, as the clock goes back from 03:00 to 02:00 on 2025-10-26; fires at the first \
                    only";
        assert_eq!(fires[0], ("2025-10-26 02:30:00 +02:00".to_owned(), Some(note.to_owned())));
        assert_eq!(fires[1].1, None);
        let fires = explained("*/30 2 * * *", "Europe/Berlin", "2025-10-25T23:55:00Z", 4);
        let notes: Vec<_> = fires.iter().map(|(_, note)| note.as_deref().unwrap_or_default()).collect();
        assert!(notes[0].starts_with("02:00 for the first time of two"), "{}", notes[0]);
        assert!(notes[3].starts_with("02:30 for the second time"), "{}", notes[3]);
    }

    #[test]
    fn nothing_is_said_where_no_clock_changes() {
        for line in ["*/5 * * * *", "@every 90s", "30 2 * * *"] {
            assert!(explained(line, "UTC", "2025-03-29T12:00:00Z", 5).iter().all(|(_, note)| note.is_none()));
        }
        assert!(explained("@reboot", "Europe/Berlin", "2025-03-29T12:00:00Z", 1).is_empty());
        assert_eq!(
            explained("0 0 * * *", "America/St_Johns", "2025-01-01T12:00:00Z", 1)[0].0,
            "2025-01-02 00:00:00 -03:30"
        );
    }
}
