//! WHEN: crontab text in, due instants out. Pure but for jiff's reading of the system's tz database; reads no clock and
//! knows no job.
//!
//! ```text
//!   text --line, field--> bit sets (pattern) --+
//!                                              +--> Calendar: next, count, latest
//!   name --zone--> spans of constant offset ---+    (changes: what a clock change does)
//! ```
//!
//! The evaluator is our own, a page of bit operations in `pattern`; the `cron` crate is the oracle of
//! `tests/calendar_cron.rs` and enters no binary. Why: a `cron::Schedule` is 248 bytes and 180 to 2,900 on the heap,
//! of which an OR-ed line needs two, where a [`Calendar`] is 56 in all; parsing the seven-field list anew for each
//! question instead costs 4 to 38 µs beside its 0.7 µs search, where ours takes 0.1 µs (0.4 µs in a zone with clock
//! changes; optimised for size, on the two-core build machine); and it neither searches backwards nor counts, which
//! here is adding up months.
//!
//! `make bench` has its figures today, beside croner and a bare bit-set evaluator.
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
