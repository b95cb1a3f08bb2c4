//! What leafcron itself says of jobs that were made: nothing is handed out that an agent would refuse.

use std::collections::{BTreeMap, BTreeSet};

use leafcron::catalog::{AgentUser, Catalog, Rules};
use leafcron::job::{FieldMap, JobName, JobsFile};
use leafcron::schedule::Zone;

use crate::answer::Failure;

/// The rules of no device in particular: whose users exist is not known here.
pub(super) fn anywhere() -> Rules {
    let zone = Ok(Zone::utc());
    let user = AgentUser::Root { exists: |_| true };
    Rules { defaults: FieldMap::new(), zone, user, groups: Vec::new(), centre: None }
}

/// Which of the jobs in these texts are refused, and why.
pub(super) fn refused<'t>(
    rules: Rules,
    texts: impl Iterator<Item = &'t str>,
) -> Result<BTreeMap<String, String>, Failure> {
    let file = JobsFile { name: "jobs.toml".to_owned(), text: Ok(texts.collect()) };
    let rows = Catalog::new(rules).load_files([file]).rejected;
    let mut refused = BTreeMap::new();
    for row in rows {
        let reason = row.field.iter().map(|field| format!("{field}: ")).chain([row.reason]).collect();
        let Some(job) = row.job else {
            return Err(Failure::CannotAsk(format!(
                "what was made is not read back: {reason}; please report it"
            )));
        };
        refused.insert(job, reason);
    }
    Ok(refused)
}

/// The names that are defined in these files already; what cannot be read defines nothing.
pub(super) fn defined(files: impl IntoIterator<Item = JobsFile>) -> BTreeSet<JobName> {
    let mut names = BTreeSet::new();
    for text in files.into_iter().filter_map(|file| file.text.ok()) {
        let Ok(document) = leafcron::job::Document::parse(&text) else { continue };
        let Some(jobs) = document.top().section("job") else { continue };
        names.extend(jobs.names().filter_map(|name| name.parse().ok()));
    }
    names
}
