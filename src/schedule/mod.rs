//! WHEN: crontab text in, due instants out. Pure but for jiff's reading of the system's tz database; reads no clock and
//! knows no job.
//!
//! ```text
//!   text --line, field--> bit sets (pattern) --+
//!                                              +--> Calendar: next, count, latest
//!   name --zone--> spans of constant offset ---+    (changes: what a clock change does)
//! ```
//!
//! Sources: crontab(5) of cronie for the dialect, `tests/golden/calendar-cases.json` for clock changes.

mod calendar;
mod changes;
mod civil;
mod error;
mod explain;
mod field;
mod line;
mod pattern;
mod splay;
mod words;
mod zone;

pub use calendar::Calendar;
pub use error::ScheduleError;
pub use explain::Explained;
pub use splay::splay;
pub use zone::Zone;

#[cfg(test)]
mod tests;
