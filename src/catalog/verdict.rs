//! What became of the definitions of a job, for those who made them.

use std::collections::{BTreeMap, BTreeSet};

use super::Catalog;
use super::held::Standing;
use crate::job::{FieldError, JobName, RefusedRow, Revision, Source, Verdict, VerdictState};

/// What one source says, and what became of it.
struct Said {
    source: Source,
    sequence: u64,
    revision: Option<Revision>,
    state: VerdictState,
    error: Option<FieldError>,
}

impl Catalog {
    /// The verdict on a job: of the source that comes first among those that say anything of it.
    #[must_use]
    pub fn verdict(&self, job: &JobName) -> Option<Verdict> {
        let mut said = self.said(job);
        said.sort_by(|a, b| {
            (self.held.rank(&a.source), &a.source).cmp(&(self.held.rank(&b.source), &b.source))
        });
        let in_force = self.in_force(job);
        let mut said = said.into_iter();
        let Said { source, sequence, revision, state, error } = said.next()?;
        let loses = |said: &Said| {
            let wins = in_force.is_some_and(|in_force| *in_force.source == said.source);
            !wins && said.sequence > 0
        };
        let shadowed = said.filter(loses).map(|said| (said.source.to_string(), said.sequence));
        let field = error.as_ref().map(|error| error.field.clone()).filter(|field| !field.is_empty());
        Some(Verdict {
            job: job.clone(),
            source: source.to_string(),
            state,
            sequence: (sequence > 0).then_some(sequence),
            revision,
            field,
            reason: error.map(|error| error.reason),
            in_force: in_force.map(|in_force| in_force.revision),
            shadowed: shadowed.collect::<BTreeMap<_, _>>(),
            warnings: self.warnings_of(job),
        })
    }

    /// The jobs of which any source says anything, in byte order of their names.
    #[must_use]
    pub fn spoken_of(&self) -> BTreeSet<JobName> {
        let held = self.held.iter().map(|held| held.job.clone());
        let refused = self.centre.refused().keys().map(|(job, _)| job.clone());
        let files = self.refused.iter().filter_map(|row| row.job.as_deref()?.parse().ok());
        held.chain(refused).chain(files).collect()
    }

    /// What each source says of a job.
    fn said(&self, job: &JobName) -> Vec<Said> {
        let mut all: Vec<Said> = self
            .held
            .of(job)
            .map(|held| {
                let error = match held.standing {
                    Standing::Valid => None,
                    Standing::Void => self.rules.judge_again(held.text, held.source).err(),
                };
                let state = match held.standing {
                    Standing::Void => VerdictState::Rejected,
                    Standing::Valid if held.orphan => VerdictState::Orphaned,
                    Standing::Valid => VerdictState::Accepted,
                };
                let source = Source::clone(held.source);
                Said { source, sequence: held.sequence, revision: Some(held.revision), state, error }
            })
            .collect();
        // Newer than what is held: what it says now is what is refused.
        for ((_, source), refused) in self.centre.refused().iter().filter(|((of, _), _)| of == job) {
            all.retain(|said| said.source != *source);
            all.push(Said {
                source: source.clone(),
                sequence: refused.sequence,
                revision: refused.revision,
                state: VerdictState::Rejected,
                error: Some(refused.error.clone()),
            });
        }
        // Of a job that another file defines the row speaks of the file that loses.
        let own = |origin: &str| {
            let file = all.iter().find_map(|said| match &said.source {
                Source::File(file) => Some(file),
                Source::Agent | Source::Group(_) => None,
            });
            file.is_none_or(|file| file == origin)
        };
        let of_job = |row: &&RefusedRow| row.job.as_deref() == Some(job.as_str()) && own(&row.origin);
        if let Some(row) = self.refused.iter().find(of_job) {
            let field = row.field.clone().unwrap_or_default();
            let error = FieldError::new(field, row.reason.clone());
            match all.iter_mut().find(|said| matches!(said.source, Source::File(_))) {
                Some(said) => (said.state, said.error) = (VerdictState::Rejected, Some(error)),
                None => {
                    let (sequence, revision, state) = (0, None, VerdictState::Rejected);
                    let source = Source::File(row.origin.clone());
                    all.push(Said { source, sequence, revision, state, error: Some(error) });
                }
            }
        }
        all
    }
}
