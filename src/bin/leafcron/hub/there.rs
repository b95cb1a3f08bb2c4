//! What the keys of a scope say now.

use std::collections::BTreeMap;

use leafcron::job::JobName;
use leafcron::nats::From;

use super::Centre;
use super::args::Scope;
use crate::answer::Failure;

/// Of each job the last sequence of its key, of a deletion too, and its value.
pub(super) type There = BTreeMap<JobName, (u64, Option<Vec<u8>>)>;

/// Reads all of them at once.
pub(super) fn there(centre: &Centre, scope: &Scope) -> Result<There, Failure> {
    let bucket = centre.name("jobs");
    let prefix = format!("$KV.{bucket}.{}.", scope.prefix());
    let mut there = There::new();
    centre.read(&format!("KV_{bucket}"), &format!("{prefix}*"), From::LastPerSubject, &mut |stored| {
        if let Some(Ok(job)) = stored.subject.strip_prefix(&prefix).map(str::parse) {
            let value = (!stored.deleted).then_some(stored.payload);
            there.insert(job, (stored.sequence, value));
        }
    })?;
    Ok(there)
}
