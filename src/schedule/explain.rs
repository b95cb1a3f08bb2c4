//! The next fires with the reason when a clock change has a hand in one: for `leafcron explain`.

use super::calendar::{Calendar, Rule};
use super::changes::CORRECTION;
use super::civil::{date, split, weekday};
use super::pattern::{Kind, Pattern};
use super::zone::Span;
use crate::job::WallTime;

/// A fire, as a person looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its instant.
    pub at: WallTime,
    /// Its local time with its offset, as `Sun 2025-03-30 03:00:00 +02:00`.
    pub local: String,
    /// What a clock change did to it, or to fires since the one before it.
    pub note: Option<String>,
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// As many skipped times are named one by one.
const NAMED: usize = 3;

impl Calendar {
    /// The fires strictly after `after`, in order; none for `@reboot`.
    pub fn explain(&self, after: WallTime) -> impl Iterator<Item = Explained> + '_ {
        let mut fire_before = None;
        core::iter::from_fn(move || {
            let from = fire_before.unwrap_or(after);
            let at = self.next(from)?;
            let note = match &self.rule {
                Rule::Times(pattern) => {
                    let asked = fire_before.is_none().then(|| from.secs());
                    let dropped = asked.and_then(|asked| self.not_again(pattern, asked, at.secs()));
                    let notes = dropped.into_iter().chain(self.notes(pattern, from.secs(), at.secs()));
                    Some(notes.collect::<Vec<_>>().join("; ")).filter(|note| !note.is_empty())
                }
                Rule::Every(_) | Rule::Reboot => None,
            };
            fire_before = Some(at);
            Some(Explained { at, local: self.local(at), note })
        })
    }

    /// An instant as local time of the calendar's zone, with its offset: `Sun 2025-03-30 03:00:00 +02:00`.
    #[must_use]
    pub fn local(&self, at: WallTime) -> String {
        let at = at.timestamp().as_second();
        let offset = self.zone.spans(at).next().map_or(0, |span| span.offset);
        let (sign, east) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        let seconds = if east % 60 == 0 { String::new() } else { format!(":{:02}", east % 60) };
        format!("{} {sign}{:02}:{:02}{seconds}", stamp(at + offset), east / 3_600, east / 60 % 60)
    }

    /// A time that comes a second time between an instant that somebody asks about and the fire after it, and had its
    /// fire the first time, before that instant.
    fn not_again(&self, pattern: &Pattern, asked: i64, at: i64) -> Option<String> {
        if pattern.kind == Kind::Wildcard {
            return None;
        }
        let spans = self.zone.spans(asked.max(super::zone::FIRST));
        spans.take_while(|span| span.start <= at).find_map(|span| {
            let had_its_fire = asked + span.offset_before + 1;
            let from = span.local_start().max(asked + span.offset + 1);
            let until = span.local_end_before().min(had_its_fire);
            let when = pattern.first(from, until).map(|_| named(pattern, from, until))?;
            Some(format!(
                "{when} for the second time, as the clock went back {}: no fire again",
                change(span)
            ))
        })
    }

    /// What clock changes did between two fires and to the later one.
    fn notes(&self, pattern: &Pattern, after: i64, at: i64) -> Vec<String> {
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
        notes
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
    let weekday = usize::try_from(weekday(day_number)).ok().and_then(|number| WEEKDAYS.get(number)).copied();
    format!(
        "{} {} {:02}:{:02}:{:02}",
        weekday.unwrap_or_default(),
        day(day_number),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
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
        assert_eq!(fires[0].0, "Sun 2025-03-30 03:00:00 +02:00");
        let note = "in place of 02:15, 02:45, which the clock skipped as it went forward from 02:00 to 03:00 on \
                    2025-03-30";
        assert_eq!(fires[0].1.as_deref(), Some(note));
        assert_eq!(fires[1], ("Mon 2025-03-31 02:15:00 +02:00".to_owned(), None));
    }

    #[test]
    fn the_next_fire_says_what_was_dropped_before_it() {
        let fires = explained("*/15 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2);
        let note = "the clock went forward from 02:00 to 03:00 on 2025-03-30 and skipped 4 times from 02:00: not \
                    made up";
        assert_eq!(fires[0], ("Mon 2025-03-31 02:00:00 +02:00".to_owned(), Some(note.to_owned())));
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
        assert_eq!(fires[0], ("Sun 2025-10-26 02:30:00 +02:00".to_owned(), Some(note.to_owned())));
        assert_eq!(fires[1].1, None);
        let fires = explained("*/30 2 * * *", "Europe/Berlin", "2025-10-25T23:55:00Z", 4);
        let notes: Vec<_> = fires.iter().map(|(_, note)| note.as_deref().unwrap_or_default()).collect();
        assert!(notes[0].starts_with("02:00 for the first time of two"), "{}", notes[0]);
        assert!(notes[3].starts_with("02:30 for the second time"), "{}", notes[3]);
    }

    #[test]
    fn a_time_that_had_its_fire_before_it_was_asked_about_says_that_it_does_not_come_again() {
        let note = "02:30 for the second time, as the clock went back from 03:00 to 02:00 on 2025-10-26: no fire again";
        // 02:40 for the first time, 02:10 for the second.
        for asked in ["2025-10-26T00:40:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:10:00Z"] {
            let fires = explained("30 2 * * *", "Europe/Berlin", asked, 2);
            assert_eq!(
                fires[0],
                ("Mon 2025-10-27 02:30:00 +01:00".to_owned(), Some(note.to_owned())),
                "{asked}"
            );
            assert_eq!(fires[1].1, None, "{asked}");
        }
        // 02:30 for the second time has passed; a wildcard line fires again.
        assert_eq!(explained("30 2 * * *", "Europe/Berlin", "2025-10-26T01:30:00Z", 1)[0].1, None);
        let again = explained("*/30 2 * * *", "Europe/Berlin", "2025-10-26T00:40:00Z", 1)[0].clone();
        assert!(
            again.1.is_some_and(
                |note| note.starts_with("02:00 for the second time") && !note.contains("no fire")
            )
        );
    }

    #[test]
    fn an_offset_of_old_has_seconds() {
        let old = explained("0 12 * * *", "Europe/Berlin", "1890-01-01T00:00:00Z", 1);
        assert_eq!(old[0], ("Wed 1890-01-01 12:00:00 +00:53:28".to_owned(), None));
    }

    #[test]
    fn nothing_is_said_where_no_clock_changes() {
        for line in ["*/5 * * * *", "@every 90s", "30 2 * * *"] {
            assert!(explained(line, "UTC", "2025-03-29T12:00:00Z", 5).iter().all(|(_, note)| note.is_none()));
        }
        assert!(explained("@reboot", "Europe/Berlin", "2025-03-29T12:00:00Z", 1).is_empty());
        assert_eq!(
            explained("0 0 * * *", "America/St_Johns", "2025-01-01T12:00:00Z", 1)[0].0,
            "Thu 2025-01-02 00:00:00 -03:30"
        );
    }
}
