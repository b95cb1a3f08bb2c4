//! `leafcron hub apply`: makes the keys of a scope equal a directory of jobs files. The difference is shown first; each key is
//! written only if nobody else has written it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use leafcron::job::{AgentName, FieldMap, JobName, Revision, Verdict, VerdictState, text};
use leafcron::nats::NatsError;
use serde_json::json;

use super::args::{Scope, Wait};
use super::fates::{self, Fates, await_all, devices};
use super::push::fate_of;
use super::there::{There, there};
use super::verdict::{Fate, Pushed, speaks_of};
use super::wanted::{self, Judge, Wanted};
use super::{ANSWER, Centre, cannot};
use crate::answer::{Answer, Failure, say};
use crate::here::Here;
use crate::table::safe;

/// What may be done beside making equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) judge: Judge,
    /// Show, and send nothing.
    pub(super) dry_run: bool,
    /// Withdraw what a bucket lost without withdrawing it.
    pub(super) adopt: bool,
    /// A directory without jobs takes every job of the scope away.
    pub(super) allow_empty: bool,
}

/// One key, and what is to become of it.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Add,
    /// These fields differ.
    Set(Vec<String>),
    Remove,
    /// Devices have it still, although the bucket lost it.
    Adopt,
}

pub(super) fn apply(
    centre: &Centre,
    here: &Here,
    dir: &Path,
    scope: &Scope,
    wait: &Wait,
    choice: Choice,
    as_json: bool,
) -> Result<Answer, Failure> {
    let wanted = match wanted::of_directory(dir, choice.judge)? {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(refused),
    };
    if wanted.is_empty() && !choice.allow_empty {
        return Err(Failure::CannotAsk(format!(
            "{}: no job in any *.toml of it: every job of {scope} would be taken away; if that is meant, say --allow-empty",
            dir.display()
        )));
    }
    let there = there(centre, scope)?;
    let orphans = orphans(centre, scope, &wanted, &there)?;
    let mut changes = difference(&wanted, &there);
    if choice.adopt {
        changes.extend(orphans.iter().map(|job| (job.clone(), Change::Adopt)));
    }
    let shown = show(&changes, wanted.len());
    if !choice.adopt && !orphans.is_empty() {
        say(&format!(
            "leafcron: orphaned on devices, and left alone: {}; --adopt withdraws them\n",
            names(&orphans)
        ));
    }
    if choice.dry_run {
        return if as_json { Answer::json(&as_rows(&changes)) } else { Ok(Answer::text(shown)) };
    }
    if !as_json {
        say(&shown);
    }
    let beats = devices(centre, here, scope)?;
    let pushed = write(centre, scope, &wanted, &there, &changes)?;
    let gone: BTreeSet<&JobName> = changes
        .iter()
        .filter(|(_, change)| matches!(change, Change::Remove | Change::Adopt))
        .map(|(job, _)| job)
        .collect();
    let jobs = wanted.keys().chain(gone.iter().copied());
    let agents: Vec<&AgentName> = beats.iter().map(|beat| &beat.agent).collect();
    let fates: Fates =
        jobs.flat_map(|job| agents.iter().map(|agent| (((*agent).clone(), job.clone()), None))).collect();
    let source = scope.source();
    let fates = if wait.no_wait {
        fates
    } else {
        await_all(centre, fates, wait.timeout, as_json, |job, verdict| match pushed.get(job) {
            Some(pushed) => fate_of(centre, scope, job, pushed, verdict),
            None => Ok(is_gone(verdict, &source).then_some(Fate::Accepted { warnings: Vec::new() })),
        })?
    };
    fates::report(here, &fates, &beats, changes.len(), wait, as_json)
}

/// What is gone is not spoken of, nor kept as an orphan.
fn is_gone(verdict: Option<&Verdict>, source: &str) -> bool {
    let keeps = |verdict: &Verdict| verdict.source == source && verdict.state == VerdictState::Orphaned;
    verdict.is_none_or(|verdict| !speaks_of(verdict, source) && !keeps(verdict))
}

/// The jobs that devices keep from this scope although the bucket has them no more.
fn orphans(
    centre: &Centre,
    scope: &Scope,
    wanted: &Wanted,
    there: &There,
) -> Result<BTreeSet<JobName>, Failure> {
    let below = scope.agent.as_ref().map_or_else(|| "*.*".to_owned(), |agent| format!("{agent}.*"));
    let source = scope.source();
    let is_there = |job: &JobName| there.get(job).is_some_and(|(_, value)| value.is_some());
    let kept = centre.verdicts(&below)?.into_iter().map(|(_, verdict)| verdict).filter(|verdict| {
        verdict.state == VerdictState::Orphaned
            && verdict.source == source
            && !is_there(&verdict.job)
            && !wanted.contains_key(&verdict.job)
    });
    Ok(kept.map(|verdict| verdict.job).collect())
}

fn difference(wanted: &Wanted, there: &There) -> BTreeMap<JobName, Change> {
    let mut changes = BTreeMap::new();
    for (job, fields) in wanted {
        match there.get(job).and_then(|(_, value)| value.as_deref()) {
            None => {
                changes.insert(job.clone(), Change::Add);
            }
            Some(old) if old == text::canonical(fields).as_bytes() => {}
            Some(old) => {
                changes.insert(job.clone(), Change::Set(differing(fields, old)));
            }
        }
    }
    for (job, (_, value)) in there {
        if value.is_some() && !wanted.contains_key(job) {
            changes.insert(job.clone(), Change::Remove);
        }
    }
    changes
}

/// The names of fields that differ; of what is no definition, all that is wanted.
fn differing(fields: &FieldMap, old: &[u8]) -> Vec<String> {
    let old = std::str::from_utf8(old).ok().and_then(|old| text::parse(old).ok()).unwrap_or_default();
    let names: BTreeSet<&String> = fields.keys().chain(old.keys()).collect();
    names.into_iter().filter(|name| fields.get(*name) != old.get(*name)).cloned().collect()
}

fn show(changes: &BTreeMap<JobName, Change>, wanted: usize) -> String {
    let mut shown = String::new();
    let mut written = 0;
    for (job, change) in changes {
        let line = match change {
            Change::Add => format!("+ {job}"),
            // Written otherwise, and the same.
            Change::Set(fields) if fields.is_empty() => format!("~ {job} (its text only)"),
            Change::Set(fields) => format!("~ {job} ({})", fields.join(", ")),
            Change::Remove => format!("- {job}"),
            Change::Adopt => format!("- {job} (orphaned)"),
        };
        written += usize::from(matches!(change, Change::Add | Change::Set(_)));
        shown.push_str(&(safe(&line) + "\n"));
    }
    shown + &format!("{} unchanged\n", wanted - written)
}

fn as_rows(changes: &BTreeMap<JobName, Change>) -> Vec<serde_json::Value> {
    let row = |(job, change): (&JobName, &Change)| match change {
        Change::Add => json!({"job": job, "change": "add"}),
        Change::Set(fields) => json!({"job": job, "change": "set", "fields": fields}),
        Change::Remove => json!({"job": job, "change": "remove"}),
        Change::Adopt => json!({"job": job, "change": "adopt"}),
    };
    changes.iter().map(row).collect()
}

/// Writes what differs, and says what each wanted key says then.
fn write(
    centre: &Centre,
    scope: &Scope,
    wanted: &Wanted,
    there: &There,
    changes: &BTreeMap<JobName, Change>,
) -> Result<BTreeMap<JobName, Pushed>, Failure> {
    let bucket = centre.name("jobs");
    let last = |job: &JobName| there.get(job).map_or(0, |(sequence, _)| *sequence);
    let mut pushed = BTreeMap::new();
    let mut done = 0;
    let conflict = |key: &str, done: usize, error: &NatsError| {
        if !error.is_wrong_last() {
            return cannot(error);
        }
        Failure::No(format!(
            "{key}: somebody else has written it meanwhile; {done} of {} changes were made: look, and apply again",
            changes.len()
        ))
    };
    for (job, fields) in wanted {
        let (key, source) = scope.key(job);
        let value = text::canonical(fields);
        let sequence = if changes.contains_key(job) {
            let stored = centre.stream.kv_update(&bucket, &key, &[], value.as_bytes(), last(job), ANSWER);
            done += 1;
            stored.map_err(|error| conflict(&key, done - 1, &error))?.sequence
        } else {
            last(job)
        };
        pushed.insert(job.clone(), Pushed { source, sequence, revision: Revision::of(&value) });
    }
    for job in changes.keys().filter(|job| !wanted.contains_key(*job)) {
        let (key, _) = scope.key(job);
        let deleted = centre.stream.kv_delete_last(&bucket, &key, last(job), ANSWER);
        deleted.map_err(|error| conflict(&key, done, &error))?;
        done += 1;
    }
    Ok(pushed)
}

fn names(jobs: &BTreeSet<JobName>) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> FieldMap {
        leafcron::job::text::parse(text).unwrap()
    }

    #[test]
    fn the_difference_names_each_job_and_the_fields_that_differ() {
        let name = |name: &str| name.parse::<JobName>().unwrap();
        let wanted: Wanted = [
            (name("new"), fields(r#"{"command":"a","schedule":"@daily"}"#)),
            (name("same"), fields(r#"{"command":"a","schedule":"@daily"}"#)),
            (name("other"), fields(r#"{"command":"b","schedule":"@daily","timeout":"1m"}"#)),
            (name("back"), fields(r#"{"command":"a","schedule":"@daily"}"#)),
            (name("spaced"), fields(r#"{"command":"a","schedule":"@daily"}"#)),
            (name("broken"), fields(r#"{"command":"a","schedule":"@daily"}"#)),
        ]
        .into();
        let there: There = [
            (name("same"), (1, Some(br#"{"command":"a","schedule":"@daily"}"#.to_vec()))),
            (name("other"), (2, Some(br#"{"command":"a","schedule":"@daily","umask":"022"}"#.to_vec()))),
            (name("gone"), (3, Some(b"{}".to_vec()))),
            (name("back"), (4, None)),
            (name("spaced"), (5, Some(br#"{ "command":"a", "schedule":"@daily"}"#.to_vec()))),
            (name("broken"), (6, Some(b"\xff".to_vec()))),
        ]
        .into();
        let shown = show(&difference(&wanted, &there), wanted.len());
        let expected = "\
+ back
~ broken (command, schedule)
- gone
+ new
~ other (command, timeout, umask)
~ spaced (its text only)
1 unchanged
";
        assert_eq!(shown, expected);
    }
}
