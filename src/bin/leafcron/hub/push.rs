//! `leafcron hub push` and `remove`: what is wanted goes into the bucket, and what the devices say of it is waited for.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::thread;

use leafcron::catalog::{AgentUser, Catalog, Rules};
use leafcron::job::{
    AgentName, Document, FieldMap, Heartbeat, JobName, JobsFile, RefusedRow, Revision, Verdict, limits, text,
};
use leafcron::schedule::Zone;
use serde::Serialize;

use super::args::{Scope, Wait};
use super::verdict::{Fate, Pushed, judge, speaks_of};
use super::{ANSWER, Centre, cannot};
use crate::answer::{Answer, Failure, say};
use crate::here::Here;
use crate::table::safe;

/// The first look at the verdicts, and the longest wait between two.
const LOOKS: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(2));
/// With more devices than this the whole bucket is read at each look.
const SINGLE: usize = 16;

/// A job, and what is wanted of it.
type Wanted = BTreeMap<JobName, FieldMap>;

/// What a device made of it; `None`: it has said nothing.
type Fates = BTreeMap<(AgentName, JobName), Option<Fate>>;

pub(super) fn push(
    centre: &Centre,
    here: &Here,
    file: &Path,
    scope: &Scope,
    wait: &Wait,
    unchecked: bool,
    json: bool,
) -> Result<Answer, Failure> {
    let wanted = match read(file, unchecked)? {
        Ok(wanted) => wanted,
        Err(rows) => {
            let err = rows.iter().map(|row| safe(&row.to_string()) + "\n").collect::<String>();
            let err = err + "leafcron: nothing was sent\n";
            return Ok(Answer { err, code: 1, ..Answer::default() });
        }
    };
    let beats = devices(centre, scope)?;
    let mut pushed = BTreeMap::new();
    for (job, fields) in &wanted {
        pushed.insert(job.clone(), put(centre, scope, job, fields)?);
    }
    let fates: Fates = beats
        .iter()
        .flat_map(|beat| wanted.keys().map(|job| ((beat.agent.clone(), job.clone()), None)))
        .collect();
    let fates = if wait.no_wait {
        fates
    } else {
        await_all(centre, fates, wait.timeout, json, |job, verdict| {
            let Some((verdict, pushed)) = verdict.zip(pushed.get(job)) else { return Ok(None) };
            match judge(verdict, pushed) {
                // From before the bucket was made anew: it says nothing of this one.
                Some(Fate::Superseded) if is_there(centre, scope, job, pushed)? => Ok(None),
                fate => Ok(fate),
            }
        })?
    };
    report(here, &fates, &beats, pushed.len(), wait, json)
}

/// The jobs of a file, or why they are refused.
fn read(file: &Path, unchecked: bool) -> Result<Result<Wanted, Vec<RefusedRow>>, Failure> {
    let name = file.display().to_string();
    let mut content = String::new();
    let most = limits::JOBS_FILE_BYTES + 1;
    let read = if name == "-" {
        std::io::stdin().take(most).read_to_string(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut content))
    };
    let bytes = read.map_err(|error| Failure::CannotAsk(format!("read {name}: {error}")))?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes >= most) {
        let most = limits::JOBS_FILE_BYTES;
        return Err(Failure::CannotAsk(format!("{name}: more than {most} bytes; send it in parts")));
    }
    if !unchecked {
        let rows = refused(&name, &content)?;
        if !rows.is_empty() {
            return Ok(Err(rows));
        }
    }
    let document =
        Document::parse(&content).map_err(|error| Failure::CannotAsk(format!("{name}: {error}")))?;
    let mut wanted = Wanted::new();
    let jobs = document.top().section("job");
    for job in jobs.iter().flat_map(|jobs| jobs.names()) {
        let fields = jobs.and_then(|jobs| jobs.section(job)).map(|section| section.fields());
        let (Ok(job), Some(Ok(fields))) = (job.parse(), fields) else {
            return Err(Failure::CannotAsk(format!(
                "{name}: job {job} cannot be sent: it is no table of fields"
            )));
        };
        wanted.insert(job, fields);
    }
    if wanted.is_empty() {
        return Err(Failure::CannotAsk(format!("{name}: no job in it; write [job.NAME]")));
    }
    Ok(Ok(wanted))
}

/// What this version would refuse. Users and zones are the device's to know; a zone that this machine lacks is told.
fn refused(name: &str, content: &str) -> Result<Vec<RefusedRow>, Failure> {
    let user = AgentUser::Root { exists: |_| true };
    let rules =
        Rules { defaults: FieldMap::new(), zone: Ok(Zone::utc()), user, groups: Vec::new(), centre: None };
    let file = JobsFile { name: name.to_owned(), text: Ok(content.to_owned()) };
    Ok(Catalog::new(rules).load_files([file]).rejected)
}

/// Puts a definition, unless the bucket says just that.
fn put(centre: &Centre, scope: &Scope, job: &JobName, fields: &FieldMap) -> Result<Pushed, Failure> {
    let (key, source) = scope.key(job);
    let value = text::canonical(fields);
    let mut there = None;
    centre.keys("jobs", &key, &mut |_, stored| there = Some((stored.sequence, stored.payload)))?;
    let sequence = match there {
        Some((sequence, old)) if old == value.as_bytes() => sequence,
        _ => {
            centre
                .stream
                .kv_put(&centre.name("jobs"), &key, value.as_bytes(), ANSWER)
                .map_err(|error| cannot(&error))?
                .sequence
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

/// The devices that a scope concerns.
fn devices(centre: &Centre, scope: &Scope) -> Result<Vec<Heartbeat>, Failure> {
    let beats = centre.heartbeats()?.into_iter();
    let of: Vec<Heartbeat> = match (&scope.agent, &scope.group) {
        (Some(agent), _) => beats.filter(|beat| beat.agent == *agent).collect(),
        (None, group) => {
            beats.filter(|beat| group.as_ref().is_some_and(|group| beat.groups.contains(group))).collect()
        }
    };
    if of.is_empty() {
        say(match scope.agent {
            Some(_) => {
                "leafcron: this device has never been heard of here; it takes the definition when it comes\n"
            }
            None => {
                "leafcron: no device of this group has been heard of here; each takes the definition when it comes\n"
            }
        });
    }
    Ok(of)
}

/// Looks at the verdicts until each is there, or time is up. `fate` says what one means.
fn await_all(
    centre: &Centre,
    mut fates: Fates,
    timeout: Duration,
    json: bool,
    fate: impl Fn(&JobName, Option<&Verdict>) -> Result<Option<Fate>, Failure>,
) -> Result<Fates, Failure> {
    let (mut wait, longest) = LOOKS;
    let mut left = timeout;
    loop {
        let open: BTreeSet<(AgentName, JobName)> =
            fates.iter().filter(|(_, fate)| fate.is_none()).map(|(of, _)| of.clone()).collect();
        if open.is_empty() {
            return Ok(fates);
        }
        let mut verdicts: BTreeMap<(AgentName, JobName), Verdict> = BTreeMap::new();
        if open.len() <= SINGLE {
            for (agent, job) in &open {
                let said = centre.verdicts(&format!("{agent}.{job}"))?;
                verdicts
                    .extend(said.into_iter().map(|(agent, verdict)| ((agent, verdict.job.clone()), verdict)));
            }
        } else {
            let said = centre.verdicts("*.*")?;
            verdicts.extend(said.into_iter().map(|(agent, verdict)| ((agent, verdict.job.clone()), verdict)));
        }
        for of in open {
            let now = fate(&of.1, verdicts.get(&of))?;
            if let (Some(now), false) = (&now, json) {
                say(&format!("{}\n", safe(&line(&of.0, &of.1, Some(now)))));
            }
            fates.insert(of, now);
        }
        if left.is_zero() || fates.values().all(Option::is_some) {
            return Ok(fates);
        }
        let pause = wait.min(left);
        thread::sleep(pause);
        left -= pause;
        wait = (wait * 2).min(longest);
    }
}

fn line(agent: &AgentName, job: &JobName, fate: Option<&Fate>) -> String {
    let said = match fate {
        Some(Fate::Accepted { warnings }) => {
            let told = warnings.iter().map(|it| format!("; warning: {}: {}", it.field, it.reason));
            "accepted".to_owned() + &told.collect::<String>()
        }
        Some(Fate::Shadowed { by }) => format!("shadowed by {by}"),
        Some(Fate::Rejected { field: Some(field), reason }) => format!("rejected: {field}: {reason}"),
        Some(Fate::Rejected { field: None, reason }) => format!("rejected: {reason}"),
        Some(Fate::Superseded) => "superseded by a newer one".to_owned(),
        None => "no verdict yet".to_owned(),
    };
    format!("{agent}  {job}  {said}")
}

#[derive(Serialize)]
struct Row<'a> {
    agent: &'a AgentName,
    job: &'a JobName,
    #[serde(flatten)]
    fate: Option<&'a Fate>,
}

fn report(
    here: &Here,
    fates: &Fates,
    beats: &[Heartbeat],
    jobs: usize,
    wait: &Wait,
    json: bool,
) -> Result<Answer, Failure> {
    let good = |fate: &Option<Fate>| matches!(fate, Some(Fate::Accepted { .. } | Fate::Shadowed { .. }));
    // Nobody there to judge it: the answer is not yes.
    let code = u8::from(!wait.no_wait && (fates.is_empty() || !fates.values().all(good)));
    if json {
        let rows: Vec<Row<'_>> =
            fates.iter().map(|((agent, job), fate)| Row { agent, job, fate: fate.as_ref() }).collect();
        return Ok(Answer::json(&rows)?.with_code(code));
    }
    let mut err = String::new();
    for ((agent, job), _) in fates.iter().filter(|(_, fate)| fate.is_none() && !wait.no_wait) {
        let seen = beats.iter().find(|beat| beat.agent == *agent).map(|beat| here.distance(beat.at));
        let seen = seen.unwrap_or_else(|| "never".to_owned());
        err.push_str(&format!("{}; last seen {seen}\n", safe(&line(agent, job, None))));
    }
    let count = |is: &dyn Fn(&Fate) -> bool| fates.values().flatten().filter(|fate| is(fate)).count();
    let out = if wait.no_wait {
        format!("{jobs} sent\n")
    } else {
        format!(
            "{jobs} sent; {} accepted, {} shadowed, {} rejected, {} without a verdict\n",
            count(&|fate| matches!(fate, Fate::Accepted { .. })),
            count(&|fate| matches!(fate, Fate::Shadowed { .. })),
            count(&|fate| matches!(fate, Fate::Rejected { .. })),
            fates.values().filter(|fate| matches!(fate, None | Some(Fate::Superseded))).count(),
        )
    };
    Ok(Answer { out, err, code })
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
    let beats = devices(centre, scope)?;
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
