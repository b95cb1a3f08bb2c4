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
//! From the centre come keys, one by one, and now and then all of them (a snapshot). A key ends by its own mark of deletion,
//! or by its absence from a snapshot of the same bucket; what another bucket lacks is an orphan, and stays in force.
//!
//! Of a job only its canonical text is kept; whoever needs the parsed definition has it parsed anew.

mod centre;
mod held;
mod load;
mod rows;
mod rules;
mod shown;
mod verdict;
mod warnings;

use crate::job::{CronJob, FieldError, JobName, RefusedRow, Revision, Source, Warning, text};
use crate::schedule::{Calendar, ScheduleError, Zone};

pub use centre::Text;
use held::{Definitions, Standing};
pub use load::{Change, Changes};
pub use rules::{AgentUser, Centre, Rules};

/// All definitions, and what was refused of them.
#[derive(Debug)]
pub struct Catalog {
    rules: Rules,
    held: Definitions,
    /// Of files.
    refused: Vec<RefusedRow>,
    /// Of jobs that are in force, and whose zones were lost.
    zoneless: Vec<RefusedRow>,
    centre: centre::State,
    /// What this machine cannot serve.
    unserved: Vec<Warning>,
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
        let held = Definitions::new(rules.groups.clone());
        Self {
            rules,
            held,
            refused: Vec::new(),
            zoneless: Vec::new(),
            centre: centre::State::default(),
            unserved: Vec::new(),
        }
    }

    /// Takes back what the journal holds. A text that this version or configuration refuses is kept, reported and not
    /// in force. Whether users exist is not asked again: they may be served by what has not started yet.
    pub fn restore(&mut self, definitions: impl IntoIterator<Item = ((JobName, Source), String)>) {
        let mut held = Vec::new();
        for ((job, source), text) in definitions {
            let standing = match self.rules.judge_again(&text, &source) {
                Ok(_) => Standing::Valid,
                Err(_) => Standing::Void,
            };
            held.push((job, source, text, standing));
        }
        self.held = Definitions::new(self.rules.groups.clone());
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
        let in_force = self.in_force(job)?;
        let fields = text::parse(in_force.text).ok()?;
        self.rules.effective(&fields, in_force.source).ok()
    }

    /// When a definition is due.
    ///
    /// # Errors
    /// The system's tz database has lost its zone since it was accepted.
    pub fn calendar(&self, cronjob: &CronJob) -> Result<Calendar, ScheduleError> {
        self.rules.calendar(cronjob)
    }

    /// Goes by zones as they are now, `device` being the device's: what was void for want of one counts again.
    pub fn renew_zones(&mut self, device: Result<Zone, ScheduleError>) {
        self.rules.zone = device;
        let rules = &self.rules;
        self.held.revive(|held| rules.judge_again(held.text, held.source).is_ok());
        self.zoneless = Vec::new();
    }

    /// Reports jobs in force whose zones are lost: they go on by what was read of them before.
    pub fn report_zoneless(&mut self, jobs: &[(JobName, ScheduleError)]) -> &[RefusedRow] {
        let row = |(job, error): &(JobName, ScheduleError)| {
            let origin = rows::origin(self.in_force(job)?.source);
            let reason = format!("{}; the job goes on by the zone as it was read before", error.reason());
            let error = FieldError::new(error.field(), reason);
            Some(rows::row(origin, None, Some(job.as_str()), &error))
        };
        self.zoneless = jobs.iter().filter_map(row).collect();
        &self.zoneless
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

    /// What is refused now: files and their definitions, in the order of files and names; then the centre's keys.
    #[must_use]
    pub fn refused(&self) -> Vec<RefusedRow> {
        let files = self.refused.iter().chain(&self.zoneless).cloned();
        files.chain(self.centres_refused()).collect()
    }

    /// Why the newest definition of a job is not the one in force.
    #[must_use]
    pub fn refused_of(&self, job: &JobName) -> Option<RefusedRow> {
        let of = |row: &RefusedRow| row.job.as_deref() == Some(job.as_str());
        let files = self.refused.iter().chain(&self.zoneless);
        files.clone().find(|row| of(row)).cloned().or_else(|| self.centres_refused().find(of))
    }

    /// The centre's keys that are refused, and those that were valid once and are not by this configuration.
    fn centres_refused(&self) -> impl Iterator<Item = RefusedRow> + '_ {
        let void =
            self.held.iter().filter(|held| held.standing == Standing::Void && !rows::is_file(held.source));
        let row = |held: held::Definition<'_>| {
            let error = self.rules.judge_again(held.text, held.source).err()?;
            Some(rows::row(centre::key(held.source), None, Some(held.job.as_str()), &error))
        };
        self.centre.rows().chain(void.filter_map(row))
    }

    /// Reports what a file said once and is not valid, unless a row for it is there already.
    fn report_void(&mut self) {
        let void =
            |held: &held::Definition<'_>| held.standing == Standing::Void && rows::is_file(held.source);
        for held in self.held.iter().filter(void) {
            let origin = rows::origin(held.source);
            let there =
                |row: &RefusedRow| row.origin == origin && row.job.as_deref() == Some(held.job.as_str());
            if self.refused.iter().any(there) {
                continue;
            }
            if let Err(error) = self.rules.judge_again(held.text, held.source) {
                self.refused.push(rows::row(origin, None, Some(held.job.as_str()), &error));
            }
        }
    }
}
