//! What the devices make of what was sent: their verdicts, waited for and told.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use leafcron::job::{AgentName, Heartbeat, JobName, Verdict};
use serde::Serialize;

use super::args::{Scope, Wait};
use super::verdict::Fate;
use super::{Beat, Centre};
use crate::answer::{Answer, Failure, say};
use crate::here::Here;
use crate::table::safe;

/// The first look at the verdicts, and the longest wait between two.
const LOOKS: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(2));
/// With more devices than this the whole bucket is read at each look.
const SINGLE: usize = 16;

/// What a device made of it; `None`: it has said nothing.
pub(super) type Fates = BTreeMap<(AgentName, JobName), Option<Fate>>;

/// The devices that a scope concerns.
pub(super) fn devices(centre: &Centre, here: &Here, scope: &Scope) -> Result<Vec<Heartbeat>, Failure> {
    let mut of = centre.beats("*")?;
    of.retain(|Beat { said, .. }| match (&scope.agent, &scope.group) {
        (Some(agent), _) => said.agent == *agent,
        (None, group) => group.as_ref().is_some_and(|group| said.groups.contains(group)),
    });
    // Before anybody waits for them.
    for beat in of.iter().filter(|beat| beat.is_silent(here.now)) {
        let (agent, seen) = (&beat.said.agent, here.distance(beat.stored));
        say(&format!("leafcron: {agent} was last heard of {seen}: it takes this when it comes\n"));
    }
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
    Ok(of.into_iter().map(|beat| beat.said).collect())
}

/// Looks at the verdicts until each is there, or time is up. `fate` says what one means.
pub(super) fn await_all(
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

pub(super) fn report(
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
