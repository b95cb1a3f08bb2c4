//! IN FORCE: of all that is defined, what counts. Pure: texts by source go in, what changed comes out, and the entries
//! that make it durable.
//!
//! ```text
//!   job ──┬─ file 00-site.toml   accepted  ◀── in force: the first that is valid
//!         ├─ file backup.toml    rejected: 00-site.toml comes first
//!         └─ agent               shadowed
//! ```
//! A definition is taken whole or not at all; while it is not, the last valid one of the same source stays. What cannot
//! be read says nothing: only a file that is gone, or that can be read and names a job no longer, ends it.
//!
//! Of a job only its canonical text is kept; whoever needs the parsed definition has it parsed anew.

mod held;
mod load;
mod rows;
mod rules;
mod shown;

use crate::job::{CronJob, JobName, RefusedRow, Revision, Source, text};
use crate::schedule::{Calendar, ScheduleError};

use held::{Definitions, Standing};
pub use load::{Change, Changes};
pub use rules::{AgentUser, Rules};

/// All definitions, and what was refused of them.
#[derive(Debug)]
pub struct Catalog {
    rules: Rules,
    held: Definitions,
    refused: Vec<RefusedRow>,
}

/// The definition of a job that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// Where it came from.
    pub source: &'a Source,
    /// Its canonical text.
    pub text: &'a str,
    /// Of that text.
    pub revision: Revision,
}

impl Catalog {
    /// An empty one.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, held: Definitions::default(), refused: Vec::new() }
    }

    /// Takes back what the journal holds. A text that this version or configuration refuses is kept, reported and not
    /// in force. Whether users exist is not asked again: they may be served by what has not started yet.
    pub fn restore(&mut self, definitions: impl IntoIterator<Item = ((JobName, Source), String)>) {
        let mut held = Vec::new();
        for ((job, source), text) in definitions {
            let standing = match self.rules.judge_again(&text) {
                Ok(_) => Standing::Valid,
                Err(_) => Standing::Void,
            };
            held.push((job, source, text, standing));
        }
        self.held = Definitions::default();
        self.held.change(|_| false, held);
        self.refused = Vec::new();
        self.report_void();
    }

    /// The definition that counts.
    #[must_use]
    pub fn in_force(&self, job: &JobName) -> Option<InForce<'_>> {
        self.held.of(job).find_map(held::Definition::in_force)
    }

    /// The definition that counts, parsed anew, with every value effective.
    #[must_use]
    pub fn cronjob(&self, job: &JobName) -> Option<CronJob> {
        let fields = text::parse(self.in_force(job)?.text).ok()?;
        CronJob::parse(&fields, &self.rules.defaults).ok()
    }

    /// When a definition is due.
    ///
    /// # Errors
    /// The system's tz database has lost its zone since it was accepted.
    pub fn calendar(&self, cronjob: &CronJob) -> Result<Calendar, ScheduleError> {
        Calendar::new(&cronjob.schedule, cronjob.time_zone.as_deref(), &self.rules.zone)
    }

    /// The jobs in force, in byte order of their names.
    pub fn jobs(&self) -> impl Iterator<Item = (&JobName, InForce<'_>)> {
        let mut last: Option<&JobName> = None;
        self.held.iter().filter_map(move |held| {
            let in_force = held.in_force()?;
            let first = last.replace(held.job) != Some(held.job);
            first.then_some((held.job, in_force))
        })
    }

    /// What is refused now: files and definitions, in the order of files and names.
    #[must_use]
    pub fn refused(&self) -> &[RefusedRow] {
        &self.refused
    }

    /// Why the newest definition of a job is not the one in force.
    #[must_use]
    pub fn refused_of(&self, job: &JobName) -> Option<&RefusedRow> {
        self.refused.iter().find(|row| row.job.as_deref() == Some(job.as_str()))
    }

    /// Reports what is kept without being valid, unless a row for it is there already.
    fn report_void(&mut self) {
        for held in self.held.iter().filter(|held| held.standing == Standing::Void) {
            let origin = rows::origin(held.source);
            let there =
                |row: &RefusedRow| row.origin == origin && row.job.as_deref() == Some(held.job.as_str());
            if self.refused.iter().any(there) {
                continue;
            }
            if let Err(error) = self.rules.judge_again(held.text) {
                self.refused.push(rows::row(origin, None, Some(held.job.as_str()), &error));
            }
        }
    }
}
