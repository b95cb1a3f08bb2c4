//! `leafcron hub push` and `remove`: what is wanted goes into the bucket, and what the devices say of it is waited for.

use std::collections::BTreeMap;
use std::path::Path;

use leafcron::job::{AgentName, FieldMap, JobName, Revision, Verdict, text};

use super::args::{Scope, Wait};
use super::fates::{Fates, await_all, devices, report};
use super::there::{There, there};
use super::verdict::{Fate, Pushed, judge, speaks_of};
use super::wanted::{self, Judge};
use super::{ANSWER, Centre, cannot};
use crate::answer::{Answer, Failure};
use crate::here::Here;

pub(super) fn push(
    centre: &Centre,
    here: &Here,
    file: &Path,
    scope: &Scope,
    wait: &Wait,
    unchecked: bool,
    json: bool,
) -> Result<Answer, Failure> {
    let wanted = match wanted::of_file(file, Judge::of(unchecked))? {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(refused),
    };
    let beats = devices(centre, here, scope)?;
    let there = there(centre, scope)?;
    let mut pushed = BTreeMap::new();
    for (job, fields) in &wanted {
        pushed.insert(job.clone(), put(centre, scope, &there, job, fields)?);
    }
    let fates: Fates = beats
        .iter()
        .flat_map(|beat| wanted.keys().map(|job| ((beat.agent.clone(), job.clone()), None)))
        .collect();
    let fates = if wait.no_wait {
        fates
    } else {
        await_all(centre, fates, wait.timeout, json, |job, verdict| {
            let Some(pushed) = pushed.get(job) else { return Ok(None) };
            fate_of(centre, scope, job, pushed, verdict)
        })?
    };
    report(here, &fates, &beats, pushed.len(), wait, json)
}

/// What a verdict means for what was sent.
pub(super) fn fate_of(
    centre: &Centre,
    scope: &Scope,
    job: &JobName,
    pushed: &Pushed,
    verdict: Option<&Verdict>,
) -> Result<Option<Fate>, Failure> {
    match verdict.and_then(|verdict| judge(verdict, pushed)) {
        // From before the bucket was made anew: it says nothing of this one.
        Some(Fate::Superseded) if is_there(centre, scope, job, pushed)? => Ok(None),
        fate => Ok(fate),
    }
}

/// Puts a definition, unless the bucket says just that.
fn put(
    centre: &Centre,
    scope: &Scope,
    there: &There,
    job: &JobName,
    fields: &FieldMap,
) -> Result<Pushed, Failure> {
    let (key, source) = scope.key(job);
    let value = text::canonical(fields);
    let sequence = match there.get(job) {
        Some((sequence, Some(old))) if old == value.as_bytes() => *sequence,
        _ => {
            let put = centre.stream.kv_put(&centre.name("jobs"), &key, value.as_bytes(), ANSWER);
            put.map_err(|error| cannot(&error))?.sequence
        }
    };
    Ok(Pushed { source, sequence, revision: Revision::of(&value) })
}

/// Whether what was pushed is what its key says.
fn is_there(centre: &Centre, scope: &Scope, job: &JobName, pushed: &Pushed) -> Result<bool, Failure> {
    let mut there = false;
    centre.keys("jobs", &scope.key(job).0, &mut |_, stored| there = stored.sequence == pushed.sequence)?;
    Ok(there)
}

pub(super) fn remove(
    centre: &Centre,
    here: &Here,
    job: &JobName,
    scope: &Scope,
    wait: &Wait,
    json: bool,
) -> Result<Answer, Failure> {
    let (key, source) = scope.key(job);
    let mut there = false;
    centre.keys("jobs", &key, &mut |_, _| there = true)?;
    if !there {
        return Err(Failure::No(format!(
            "there is no {key} in the bucket; `leafcron hub list` names what devices have"
        )));
    }
    let beats = devices(centre, here, scope)?;
    centre.stream.kv_delete(&centre.name("jobs"), &key, ANSWER).map_err(|error| cannot(&error))?;
    let fates: Fates = beats.iter().map(|beat| ((beat.agent.clone(), job.clone()), None)).collect();
    let fates = if wait.no_wait {
        fates
    } else {
        // What was removed is not spoken of at all.
        let gone = |verdict: Option<&Verdict>| verdict.is_none_or(|verdict| !speaks_of(verdict, &source));
        let fate = |_: &JobName, verdict: Option<&Verdict>| {
            Ok(gone(verdict).then_some(Fate::Accepted { warnings: Vec::new() }))
        };
        await_all(centre, fates, wait.timeout, true, fate)?
    };
    let open: Vec<&AgentName> =
        fates.iter().filter(|(_, fate)| fate.is_none()).map(|((agent, _), _)| agent).collect();
    let code = u8::from(!wait.no_wait && !open.is_empty());
    if json {
        return Ok(
            Answer::json(&serde_json::json!({"removed": key, "without_a_word": open}))?.with_code(code)
        );
    }
    let seen = |agent: &AgentName| {
        let beat = beats.iter().find(|beat| beat.agent == *agent);
        beat.map_or_else(|| "never".to_owned(), |beat| here.distance(beat.at))
    };
    let err = if wait.no_wait {
        String::new()
    } else {
        open.iter().map(|agent| format!("{agent} has not said so yet; last seen {}\n", seen(agent))).collect()
    };
    Ok(Answer { out: format!("{key} is removed\n"), err, code })
}
