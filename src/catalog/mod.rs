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

mod load;
mod rows;
mod rules;
mod shown;

use std::sync::Arc;

use crate::job::{CronJob, JobName, RefusedRow, Revision, Source, text};
use crate::schedule::{Calendar, ScheduleError};

pub use load::{Change, Changes};
pub use rules::{AgentUser, Rules};

/// All definitions, and what was refused of them.
#[derive(Debug)]
pub struct Catalog {
    rules: Rules,
    /// In order of job and source: of one job the first that is valid is in force.
    held: Vec<Held>,
    refused: Vec<RefusedRow>,
}

/// The last valid definition that a source gave of a job.
#[derive(Debug)]
struct Held {
    job: JobName,
    source: Arc<Source>,
    text: Box<str>,
    revision: Revision,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Accepted.
    Valid,
    /// Accepted by another version or configuration, and not valid by these: kept, but not in force.
    Void,
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
        Self { rules, held: Vec::new(), refused: Vec::new() }
    }

    /// Takes back what the journal holds. A text that this version or configuration refuses is kept, reported and not
    /// in force. Whether users exist is not asked again: they may be served by what has not started yet.
    pub fn restore(&mut self, definitions: impl IntoIterator<Item = ((JobName, Source), String)>) {
        let mut last: Option<Arc<Source>> = None;
        let mut held: Vec<Held> = Vec::new();
        for ((job, source), text) in definitions {
            // Jobs of one file share its name.
            let shared = last.take().filter(|last| **last == source);
            let known =
                shared.or_else(|| held.iter().find(|held| *held.source == source).map(|h| h.source.clone()));
            let source = known.unwrap_or_else(|| Arc::new(source));
            last = Some(Arc::clone(&source));
            let standing = match self.rules.judge_again(&text) {
                Ok(_) => Standing::Valid,
                Err(_) => Standing::Void,
            };
            let revision = Revision::of(&text);
            held.push(Held { job, source, text: text.into_boxed_str(), revision, standing });
        }
        held.sort_by(|a, b| a.key().cmp(&b.key()));
        held.shrink_to_fit();
        self.held = held;
        self.refused = Vec::new();
        self.report_void();
    }

    /// The definition that counts.
    #[must_use]
    pub fn in_force(&self, job: &JobName) -> Option<InForce<'_>> {
        self.of(job).iter().find(|held| held.standing == Standing::Valid).map(Held::in_force)
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
        let valid = self.held.iter().filter(|held| held.standing == Standing::Valid);
        let mut last: Option<&JobName> = None;
        valid.filter_map(move |held| {
            let first = last.replace(&held.job) != Some(&held.job);
            first.then(|| (&held.job, held.in_force()))
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

    /// What every source holds of a job.
    fn of(&self, job: &JobName) -> &[Held] {
        let start = self.held.partition_point(|held| held.job < *job);
        let of = self.held.get(start..).unwrap_or_default();
        of.get(..of.partition_point(|held| held.job == *job)).unwrap_or_default()
    }

    /// Where the definition of a job by a source lies.
    fn find(&self, job: &JobName, source: &Source) -> Option<usize> {
        self.held.binary_search_by(|held| held.key().cmp(&(job, source))).ok()
    }

    /// Reports what is kept without being valid, unless a row for it is there already.
    fn report_void(&mut self) {
        for held in self.held.iter().filter(|held| held.standing == Standing::Void) {
            let origin = rows::origin(&held.source);
            let there =
                |row: &RefusedRow| row.origin == origin && row.job.as_deref() == Some(held.job.as_str());
            if self.refused.iter().any(there) {
                continue;
            }
            if let Err(error) = self.rules.judge_again(&held.text) {
                self.refused.push(rows::row(origin, None, Some(held.job.as_str()), &error));
            }
        }
    }
}

impl Held {
    fn key(&self) -> (&JobName, &Source) {
        (&self.job, &self.source)
    }

    fn in_force(&self) -> InForce<'_> {
        InForce { source: &self.source, text: &self.text, revision: self.revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_job_is_small() {
        // 1,024 of them are 96 KiB, beside the texts: see `limits::JOBS`.
        assert!(size_of::<Held>() <= 96, "{}", size_of::<Held>());
    }
}
