//! `leafcron hub list`, `show` and `agents`: what devices say.

use leafcron::job::{AgentName, JobName, Verdict};
use serde_json::{Value, json};

use super::{Beat, Centre, past};
use crate::answer::{Answer, Failure};
use crate::here::Here;
use crate::history::{self, Outputs};
use crate::table::{Table, safe, safe_lines};
use crate::words;

/// Records that `show` names.
const RECORDS: usize = 5;

pub(super) fn list(centre: &Centre, agent: Option<&AgentName>, as_json: bool) -> Result<Answer, Failure> {
    let below = agent.map_or_else(|| "*.*".to_owned(), |agent| format!("{agent}.*"));
    let verdicts = centre.verdicts(&below)?;
    if as_json {
        let rows: Vec<Value> = verdicts.iter().map(|(agent, verdict)| row(agent, verdict)).collect();
        return Answer::json(&rows);
    }
    if verdicts.is_empty() {
        return Ok(Answer::text("no device speaks of any job\n"));
    }
    let mut table = Table::new(&["AGENT", "JOB", "SOURCE", "STATE", "IN FORCE"]);
    for (agent, verdict) in &verdicts {
        table.row([
            agent.to_string(),
            verdict.job.to_string(),
            verdict.source.clone(),
            words::word(verdict.state),
            verdict.in_force.map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
        ]);
        if let Some(why) = why(verdict) {
            table.note(&why);
        }
    }
    Ok(Answer::text(table.render("")))
}

fn row(agent: &AgentName, verdict: &Verdict) -> Value {
    // Plain data: it always prints, as an object.
    let mut row = serde_json::to_value(verdict).unwrap_or_default();
    if let Some(fields) = row.as_object_mut() {
        fields.insert("agent".to_owned(), json!(agent));
    }
    row
}

fn why(verdict: &Verdict) -> Option<String> {
    let reason = verdict.reason.as_ref()?;
    Some(verdict.field.as_ref().map_or_else(|| reason.clone(), |field| format!("{field}: {reason}")))
}

pub(super) fn show(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    job: &JobName,
    as_json: bool,
) -> Result<Answer, Failure> {
    let verdict = centre.verdicts(&format!("{agent}.{job}"))?.into_iter().next().map(|(_, verdict)| verdict);
    let groups = centre.heartbeats()?.into_iter().find(|beat| beat.agent == *agent).map(|beat| beat.groups);
    let own = std::iter::once(format!("agent.{agent}.{job}"));
    let keys = own.chain(groups.into_iter().flatten().map(|group| format!("group.{group}.{job}")));
    let mut wanted = Vec::new();
    for key in keys {
        centre.keys("jobs", &key, &mut |key, stored| {
            wanted.push((
                key.to_owned(),
                stored.sequence,
                String::from_utf8_lossy(&stored.payload).into_owned(),
            ));
        })?;
    }
    if verdict.is_none() && wanted.is_empty() {
        return Err(Failure::No(format!(
            "{agent} says nothing of a job {job}, and nobody wants it to have one"
        )));
    }
    let asked = past::Asked { agent: Some(agent), job: Some(job), output: false, json: as_json };
    let records = past::newest(centre, &asked, RECORDS)?;
    if as_json {
        let wanted: Vec<Value> = wanted
            .iter()
            .map(|(key, sequence, text)| json!({"key": key, "sequence": sequence, "definition": text}))
            .collect();
        return Answer::json(
            &json!({"agent": agent, "verdict": verdict, "wanted": wanted, "records": records}),
        );
    }
    let mut text = format!("{agent}  {job}\n");
    match &verdict {
        Some(verdict) => {
            let in_force =
                verdict.in_force.map_or_else(|| "nothing".to_owned(), |revision| revision.to_string());
            text.push_str(&format!(
                "  {} of {}; in force {in_force}\n",
                words::word(verdict.state),
                safe(&verdict.source)
            ));
            text.extend(why(verdict).map(|why| format!("  {}\n", safe(&why))));
            for (source, sequence) in &verdict.shadowed {
                text.push_str(&format!("  {} at {sequence} is shadowed\n", safe(source)));
            }
        }
        None => text.push_str("  the device has said nothing of it yet\n"),
    }
    for (key, sequence, definition) in &wanted {
        text.push_str(&format!("\nWANTED  {} at {sequence}\n  {}\n", safe(key), safe_lines(definition)));
    }
    text.push('\n');
    text.push_str(&history::render(&records, here, Outputs::Hidden));
    Ok(Answer::text(text))
}

pub(super) fn agents(centre: &Centre, here: &Here, as_json: bool) -> Result<Answer, Failure> {
    let beats = centre.beats("*")?;
    if as_json {
        return Answer::json(&beats.iter().map(|beat| &beat.said).collect::<Vec<_>>());
    }
    if beats.is_empty() {
        return Ok(Answer::text("no device has been heard of\n"));
    }
    let mut table = Table::new(&[
        "AGENT",
        "SEEN",
        "VERSION",
        "CLOCK",
        "JOBS",
        "RUNNING",
        "UNSENT",
        "LAST SUCCESS",
        "GROUPS",
    ]);
    for heard @ Beat { said: beat, stored } in &beats {
        let silent = if heard.is_silent(here.now) { " SILENT" } else { "" };
        table.row([
            beat.agent.to_string(),
            here.distance(*stored) + silent,
            beat.version.clone(),
            words::word(beat.clock) + beat.provisional.map_or("", |_| ", not plausible"),
            beat.jobs.to_string(),
            beat.running.len().to_string(),
            beat.next_seq.saturating_sub(1).saturating_sub(beat.acked_through).to_string(),
            beat.last_success.map_or_else(|| "-".to_owned(), |at| here.distance(at)),
            beat.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ]);
        for (what, jobs) in [("overdue", &beat.overdue), ("failing", &beat.failing)] {
            if !jobs.is_empty() {
                let jobs: Vec<String> = jobs.iter().map(ToString::to_string).collect();
                table.note(&format!("{what}: {}", jobs.join(" ")));
            }
        }
    }
    Ok(Answer::text(table.render("")))
}
