//! `leafcrond --check`: judges configuration and jobs directory as a start would, and touches nothing.

use crate::catalog::Catalog;
use crate::config::{Config, JobsDir};
use crate::gate::Probe;
use crate::job::RefusedRow;

use super::AgentError;

/// What a start would make of the jobs directory.
#[derive(Debug)]
pub struct Report {
    /// Jobs that would be in force.
    pub accepted: usize,
    /// What would be refused.
    pub rejected: Vec<RefusedRow>,
    /// What has to be said all the same.
    pub warnings: Vec<String>,
}

/// Judges the jobs directory that `config` names.
///
/// # Errors
/// The directory cannot be read or trusted.
pub fn check(config: &Config) -> Result<Report, AgentError> {
    let dir =
        JobsDir::open(&config.jobs_dir).map_err(|error| AgentError::new("read the jobs directory", error))?;
    let mut warnings = config.warnings.clone();
    if dir.is_missing() {
        warnings.push(format!("{}: no such directory", config.jobs_dir.display()));
    }
    let mut catalog = Catalog::new(super::rules(config));
    catalog.note_unserved(super::unserved(&Probe::default()));
    let changes = catalog.load_files(dir);
    warnings.extend(changes.warnings.iter().map(ToString::to_string));
    let whole_path = |mut row: RefusedRow| {
        row.origin = config.jobs_dir.join(row.origin).display().to_string();
        row
    };
    let rejected = changes.rejected.into_iter().map(whole_path).collect();
    Ok(Report { accepted: changes.accepted.len(), rejected, warnings })
}
