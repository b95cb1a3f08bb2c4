//! `leafcron hub problems`: what an operator has to look at, over the whole fleet, from what the hub holds.

mod gaps;

use std::collections::{BTreeMap, BTreeSet};

use leafcron::job::{AgentName, Clock, JobName, Name, Verdict, VerdictState};
use leafcron::nats::From;
use serde::Serialize;

use super::{Beat, Centre};
use crate::answer::{Answer, Failure};
use crate::here::Here;
use crate::table::{Table, safe};
use gaps::Ledger;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Problem {
    /// In a word: the kind, which programs may go by.
    kind: &'static str,
    /// Of which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentName>,
    /// Of which job, key or numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    /// What is known of it, and what to do.
    why: String,
}

/// What the hub holds.
struct Fleet {
    beats: Vec<Beat>,
    verdicts: Vec<(AgentName, Verdict)>,
    keys: Vec<String>,
    ledger: Ledger,
}

pub(super) fn problems(centre: &Centre, here: &Here, as_json: bool) -> Result<Answer, Failure> {
    let problems = find(&read(centre)?, here);
    let code = u8::from(!problems.is_empty());
    if as_json {
        return Ok(Answer::json(&problems)?.with_code(code));
    }
    if problems.is_empty() {
        return Ok(Answer::text("no problem is known\n"));
    }
    let mut table = Table::new(&["PROBLEM", "AGENT", "WHAT"]);
    for problem in &problems {
        let agent = problem.agent.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let what = problem.what.clone().unwrap_or_else(|| "-".to_owned());
        table.row([problem.kind.to_owned(), agent, safe(&what)]);
        table.note(&problem.why);
    }
    Ok(Answer::text(table.render("")).with_code(code))
}

fn read(centre: &Centre) -> Result<Fleet, Failure> {
    let beats = centre.beats("*")?;
    let mut keys = Vec::new();
    centre.keys("jobs", ">", &mut |key, _| keys.push(key.to_owned()))?;
    let mut ledger = Ledger::default();
    let subjects = [format!("{}.run.*.*", centre.prefix), format!("{}.event.*.*", centre.prefix)];
    for subject in &subjects {
        centre.read(&centre.name("runs"), subject, From::All, &mut |stored| {
            if let Some(of) = stored.subject.split('.').nth(2).and_then(|agent| agent.parse().ok()) {
                ledger.enter(&of, &stored.payload);
            }
        })?;
    }
    Ok(Fleet { beats, verdicts: centre.verdicts("*.*")?, keys, ledger })
}

fn find(fleet: &Fleet, here: &Here) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |kind, agent: Option<&AgentName>, what: Option<String>, why: String| {
        problems.push(Problem { kind, agent: agent.cloned(), what, why });
    };
    for heard @ Beat { said: beat, stored } in &fleet.beats {
        let agent = Some(&beat.agent);
        if heard.is_silent(here.now) {
            let why = format!(
                "last heard of {}, says so every {}; a device that is gone for good: `leafcron hub forget {}`",
                here.distance(*stored),
                beat.heartbeat,
                beat.agent
            );
            add("silent", agent, None, why);
        }
        if beat.provisional.is_some() {
            add("clock", agent, None, format!("its clock shows {}, which cannot be", beat.at));
        } else if beat.clock == Clock::Unsynced {
            add("clock", agent, None, "its clock is not synchronised: it takes no commands".to_owned());
        }
        for job in &beat.overdue {
            add("overdue", agent, Some(job.to_string()), "it runs longer than its warn_after".to_owned());
        }
        for job in &beat.failing {
            let why = format!("`leafcron hub history --agent {} --job {job} --output`", beat.agent);
            add("failing", agent, Some(job.to_string()), why);
        }
    }
    for (agent, verdict) in &fleet.verdicts {
        let job = Some(verdict.job.to_string());
        match verdict.state {
            VerdictState::Rejected => {
                let field = verdict.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
                let reason = verdict.reason.clone().unwrap_or_default();
                add("rejected", Some(agent), job, format!("{field}{reason}"));
            }
            VerdictState::Orphaned => add(
                "orphaned",
                Some(agent),
                job,
                "its bucket lost it without withdrawing it: push it again, or `leafcron hub apply --adopt`"
                    .to_owned(),
            ),
            VerdictState::Accepted => {}
        }
        for warning in &verdict.warnings {
            let why = format!("{}: {}", warning.field, warning.reason);
            add("not served", Some(agent), Some(verdict.job.to_string()), why);
        }
    }
    let through: BTreeMap<_, _> = fleet
        .beats
        .iter()
        .map(|Beat { said: beat, .. }| ((&beat.agent, beat.epoch), beat.acked_through))
        .collect();
    for (agent, epoch, from, to) in fleet.ledger.missing(|agent, epoch| through.get(&(agent, epoch)).copied())
    {
        let numbers = if from == to { format!("{from}") } else { format!("{from}-{to}") };
        let why = format!("not in the stream, and no `dropped` or `damaged` covers it; epoch {epoch}");
        add("missing", Some(&agent), Some(numbers), why);
    }
    for agent in fleet.ledger.duplicates() {
        let why = "two devices called themselves so: give one another name".to_owned();
        add("duplicate agent", Some(agent), None, why);
    }
    unread(fleet).into_iter().for_each(|(key, why)| add("unread key", None, Some(key), why));
    problems
}

/// Keys that no device reads.
fn unread(fleet: &Fleet) -> Vec<(String, String)> {
    let agents: BTreeSet<&str> = fleet.beats.iter().map(|it| it.said.agent.as_str()).collect();
    let groups: BTreeSet<&Name> = fleet.beats.iter().flat_map(|it| &it.said.groups).collect();
    let mut unread = Vec::new();
    for key in &fleet.keys {
        let why = match key.splitn(3, '.').collect::<Vec<_>>()[..] {
            ["meta", "id"] => None,
            ["agent", agent, job] if job.parse::<JobName>().is_ok() => (!agents.contains(agent))
                .then(|| format!("no device called {agent} has ever been heard of here")),
            ["group", group, job] if job.parse::<JobName>().is_ok() => {
                let known = group.parse::<Name>().is_ok_and(|group| groups.contains(&group));
                (!known).then(|| format!("no device is in group {group}"))
            }
            _ => Some(
                "is neither agent.AGENT.JOB nor group.GROUP.JOB, with names as devices take them".to_owned(),
            ),
        };
        unread.extend(why.map(|why| (key.clone(), why)));
    }
    unread
}
