//! What has to be said of definitions that are accepted all the same: fields that this machine cannot serve.

use super::{Catalog, rows, rules};
use crate::job::{FieldError, JobName, RefusedRow, Warning, merge, text};

impl Catalog {
    /// What this machine cannot serve: definitions that ask for it are accepted with a warning.
    pub fn note_unserved(&mut self, unserved: Vec<Warning>) {
        self.unserved = unserved;
    }

    /// The jobs in force that ask for what this machine cannot serve, by themselves or by the device's `[defaults]`.
    #[must_use]
    pub fn warnings(&self) -> Vec<RefusedRow> {
        if self.unserved.is_empty() {
            return Vec::new();
        }
        let mut warnings = rows::Rows::default();
        for (job, in_force) in self.jobs() {
            for Warning { field, reason } in self.warnings_of(job) {
                let origin = rows::origin(in_force.source);
                let warning = FieldError::new(field, reason);
                warnings.push(|| rows::row(origin, None, Some(job.as_str()), &warning));
            }
        }
        warnings.finish()
    }

    /// What the definition in force of a job asks for and this machine cannot serve.
    #[must_use]
    pub fn warnings_of(&self, job: &JobName) -> Vec<Warning> {
        let own = self.in_force(job).and_then(|in_force| text::parse(in_force.text).ok());
        let Some(own) = own.filter(|_| !self.unserved.is_empty()) else { return Vec::new() };
        let effective = merge(&own, &self.rules.defaults);
        self.unserved.iter().filter(|it| rules::given(&effective, &it.field)).cloned().collect()
    }
}
