//! Which skips are neighbours: what is carried for a disk that refuses it may be folded only where no fire lies between.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::carried;
use crate::catalog::Catalog;
use crate::job::{JobName, Record};
use crate::schedule::Calendar;

/// The calendars in force, made when they are asked for.
pub struct Calendars<'a> {
    catalog: &'a Catalog,
    made: RefCell<BTreeMap<JobName, Option<Calendar>>>,
}

impl<'a> Calendars<'a> {
    /// Of what this catalog has in force.
    #[must_use]
    pub fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, made: RefCell::default() }
    }

    /// Whether no fire of the job lies between these two skips: told by the calendar of their definition, while that is in
    /// force.
    #[must_use]
    pub fn are_adjacent(&self, earlier: &Record, later: &Record) -> bool {
        let job = &later.key.job;
        let in_force = self.catalog.in_force(job).map(|in_force| in_force.revision);
        if in_force != Some(earlier.revision) || in_force != Some(later.revision) {
            return false;
        }
        let mut made = self.made.borrow_mut();
        let calendar = made.entry(job.clone()).or_insert_with(|| {
            let cronjob = self.catalog.cronjob(job)?;
            self.catalog.calendar(&cronjob).ok()
        });
        let fires = calendar.as_ref().zip(carried::between(earlier, later));
        fires.is_some_and(|(calendar, (from, to))| from < to && calendar.count(from, to) == 1)
    }
}
