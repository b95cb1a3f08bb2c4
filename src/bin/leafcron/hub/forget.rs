//! `leafcron hub forget`: what the hub holds of a device that is gone for good.

use leafcron::job::AgentName;
use serde_json::json;

use super::{ANSWER, Centre, cannot};
use crate::answer::{Answer, Failure};
use crate::here::Here;

pub(super) fn forget(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    jobs: bool,
    force: bool,
    as_json: bool,
) -> Result<Answer, Failure> {
    let mut state = Vec::new();
    for below in [agent.to_string(), format!("{agent}.*")] {
        centre.keys("state", &below, &mut |key, _| state.push(key.to_owned()))?;
    }
    let mut definitions = Vec::new();
    centre.keys("jobs", &format!("agent.{agent}.*"), &mut |key, _| definitions.push(key.to_owned()))?;
    let beats = centre.beats(agent.as_str())?;
    if let Some(beat) = beats.iter().find(|beat| !force && !beat.is_silent(here.now)) {
        return Err(Failure::No(format!(
            "{agent} was heard of {}: it is there, and would say all of it again; --force forgets it all the same",
            here.distance(beat.stored)
        )));
    }
    if state.is_empty() && (definitions.is_empty() || !jobs) {
        return Err(Failure::No(format!(
            "nothing is known of {agent} here; `leafcron hub agents` names the devices"
        )));
    }
    for key in &state {
        centre.stream.kv_delete(&centre.name("state"), key, ANSWER).map_err(|error| cannot(&error))?;
    }
    if jobs {
        for key in &definitions {
            centre.stream.kv_delete(&centre.name("jobs"), key, ANSWER).map_err(|error| cannot(&error))?;
        }
    }
    let left = if jobs { Vec::new() } else { definitions.clone() };
    let taken = if jobs { definitions } else { Vec::new() };
    if as_json {
        return Answer::json(&json!({"forgotten": state, "removed": taken, "left": left}));
    }
    let out = format!(
        "{agent} is forgotten: {} keys of its state{}; its results stay in the stream as long as any\n",
        state.len(),
        if taken.is_empty() { String::new() } else { format!(", {} definitions", taken.len()) }
    );
    let err = if left.is_empty() {
        String::new()
    } else {
        format!("leafcron: {} definitions wait for it still; --jobs removes them\n", left.len())
    };
    Ok(Answer { out, err, code: 0 })
}
