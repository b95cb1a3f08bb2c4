//! The zone rule (DESIGN section 5): which instants of a zone a pattern fires at, clock changes included.
//!
//! Time is cut into spans of constant offset. Within a span, local time and instants run in step, so the search is the
//! pattern's own; only what happens at a span's start needs a rule:
//!
//! ```text
//!   forward     | 01:59 | 03:00   a wildcard line loses 02:xx; a fixed-time line that wanted any of it fires once,
//!                                 at the first instant of the new span, if the change is less than 3 h
//!   backward    | 02:59 | 02:00   a wildcard line fires at 02:xx again; a fixed-time line does not
//! ```
//!
//! Looking one span back is enough: in the whole tz database no two changes of a zone are less than 95 hours plus
//! their own sizes apart.

use super::pattern::{Kind, Pattern};
use super::zone::{FIRST, LAST, Span, Zone};

/// From this size on a forward change, in seconds, corrects the calendar: what it skips is not made up.
pub(super) const CORRECTION: i64 = 3 * 3_600;

/// A pattern's fires in a zone.
#[derive(Clone, Copy)]
pub(super) struct Fires<'a> {
    pub(super) pattern: &'a Pattern,
    pub(super) zone: &'a Zone,
}

/// A pattern's fires in one span.
struct Stretch<'a> {
    pattern: &'a Pattern,
    span: Span,
    /// The first local time that counts: those before it had their turn in the span before.
    from: i64,
    /// Whether the span's first instant stands in for local times that the change skipped.
    made_up: bool,
}

impl<'a> Fires<'a> {
    /// The first fire at or after `at`, in seconds since the epoch.
    pub(super) fn first(self, at: i64) -> Option<i64> {
        if at > LAST {
            return None;
        }
        self.zone.spans(at.max(FIRST)).find_map(|span| self.stretch(span).first(at.max(span.start)))
    }

    /// How many fires are in `[from, until)`.
    pub(super) fn count(self, from: i64, until: i64) -> u64 {
        if from >= until {
            return 0;
        }
        let spans = self.zone.spans(from).take_while(|span| span.start < until);
        spans.map(|span| self.stretch(span).count(from.max(span.start), until.min(span.end))).sum()
    }

    /// The n-th latest fire in `[from, until)`.
    pub(super) fn latest(self, from: i64, mut until: i64, n: u32) -> Option<i64> {
        let mut wanted = n.checked_sub(1)?;
        if from >= until {
            return None;
        }
        for span in self.zone.spans_back(until).take_while(|span| span.end > from) {
            let stretch = self.stretch(span);
            while let Some(found) = stretch.last(from.max(span.start), until.min(span.end)) {
                until = found;
                match wanted.checked_sub(1) {
                    None => return Some(found),
                    Some(fewer) => wanted = fewer,
                }
            }
        }
        None
    }

    fn stretch(self, span: Span) -> Stretch<'a> {
        let (pattern, from, ended) = (self.pattern, span.local_start(), span.local_end_before());
        match pattern.kind {
            Kind::Wildcard => Stretch { pattern, span, from, made_up: false },
            Kind::FixedTime => {
                let made_up = from - ended < CORRECTION && pattern.first(ended, from).is_some();
                Stretch { pattern, span, from: from.max(ended), made_up }
            }
        }
    }
}

/// All of these take instants within the span.
impl Stretch<'_> {
    fn first(&self, at: i64) -> Option<i64> {
        if self.made_up && at <= self.span.start {
            return Some(self.span.start);
        }
        self.pattern.first(self.local(at), self.span.local_end()).map(|local| local - self.span.offset)
    }

    fn last(&self, from: i64, until: i64) -> Option<i64> {
        let own = self.pattern.last(self.local(from), until + self.span.offset);
        let start = self.span.start;
        own.map(|local| local - self.span.offset)
            .or_else(|| (self.made_up && from <= start && start < until).then_some(start))
    }

    fn count(&self, from: i64, until: i64) -> u64 {
        let made_up = self.made_up && from <= self.span.start && !self.pattern.matches(self.from);
        self.pattern.count(self.local(from), until + self.span.offset) + u64::from(made_up)
    }

    /// The local time of `at`, or the first that counts.
    fn local(&self, at: i64) -> i64 {
        (at + self.span.offset).max(self.from)
    }
}
