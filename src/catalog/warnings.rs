//! What has to be said of definitions that are accepted all the same: fields that this machine cannot serve.

use super::{Catalog, rows, rules};
use crate::job::{FieldError, RefusedRow, merge, text};

/// A field that this machine cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Its name, as `require.load_per_cpu`.
    pub field: &'static str,
    /// Why, and what comes of it.
    pub why: String,
}

impl Catalog {
    /// What this machine cannot serve: definitions that ask for it are accepted with a warning.
    pub fn note_unserved(&mut self, unserved: Vec<Unserved>) {
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
            let Ok(own) = text::parse(in_force.text) else { continue };
            let effective = merge(&own, &self.rules.defaults);
            for Unserved { field, why } in &self.unserved {
                if rules::given(&effective, field) {
                    let origin = rows::origin(in_force.source);
                    let warning = FieldError::new(*field, why.clone());
                    warnings.push(|| rows::row(origin, None, Some(job.as_str()), &warning));
                }
            }
        }
        warnings.finish()
    }
}
