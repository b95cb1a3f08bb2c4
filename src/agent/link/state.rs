//! What the device says of itself: a verdict for each job, and the heartbeat.

use core::time::Duration;

use smol::Task;

use super::super::Agent;
use super::Due;
use super::process::later;
use crate::job::limits::LISTED;
use crate::job::units::format_duration;
use crate::job::{Clock, Heartbeat, JobName, Outcome};
use crate::link::frame::ToLink;

/// How long something new waits for what else is new, before a heartbeat tells it (DESIGN: within 10 s).
const LOOK: Duration = Duration::from_secs(5);

/// When the heartbeat is due, and what the last one said.
#[derive(Default)]
pub(super) struct Beat {
    next: Option<Task<()>>,
    look: Option<Task<()>>,
    said: Option<Signs>,
}

/// What is told soon when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signs {
    clock: (Clock, Option<u32>),
    overdue: Vec<JobName>,
    failing: Vec<JobName>,
}

impl Beat {
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }
}

impl Agent {
    /// After a turn that is durable: verdicts that changed.
    pub(super) fn report(&mut self) {
        let now = self.now();
        let durable = self.turns.is_empty();
        let agent = &self.config.agent;
        let Some(link) = self.link.as_mut().filter(|link| link.process.is_some() && link.reported.is_ready())
        else {
            return;
        };
        if link.beat.said.as_ref().is_some_and(|said| said.clock != (now.clock, self.core.provisional_era()))
        {
            link.reported.due(agent.to_string());
        }
        // A verdict is told once what it speaks of is durable.
        if durable && self.catalog.knows_sequences() && core::mem::take(&mut link.verdicts) {
            link.reported.look(agent, self.catalog.spoken_of().iter().map(|job| format!("{agent}.{job}")));
        }
        let Some(link) = self.link.as_mut().filter(|link| link.reported.wants()) else { return };
        let mut reported = core::mem::take(&mut link.reported);
        let prefix = format!("{agent}.");
        let puts = reported.next(|key| match key.strip_prefix(&prefix) {
            Some(job) => {
                let verdict = self.catalog.verdict(&job.parse().ok()?)?;
                serde_json::to_vec(&verdict).ok()
            }
            None => serde_json::to_vec(&self.heartbeat()).ok(),
        });
        let beats = |put: &ToLink| matches!(put, ToLink::Put { key, .. } if key.as_str() == agent.as_str());
        let said = puts.iter().any(beats).then(|| self.signs());
        let Some(link) = &mut self.link else { return };
        link.reported = reported;
        if said.is_some() {
            link.beat.said = said;
        }
        link.send(puts);
    }

    /// The heartbeat is due now, and after its interval again.
    pub(super) fn beat(&mut self) {
        let agent = self.config.agent.to_string();
        let Some(link) = &mut self.link else { return };
        link.reported.due(agent);
        let next = later(&self.executor, &self.inbox, link.nats.heartbeat, link.generation, Due::Beat);
        link.beat.next = Some(next);
    }

    /// Something ended or is overdue: a heartbeat may have to tell it soon.
    pub(in super::super) fn look_soon(&mut self) {
        let Some(link) =
            self.link.as_mut().filter(|link| link.reported.is_ready() && link.beat.look.is_none())
        else {
            return;
        };
        link.beat.look = Some(later(&self.executor, &self.inbox, LOOK, link.generation, Due::Look));
    }

    pub(super) fn look(&mut self) {
        let (signs, agent) = (self.signs(), self.config.agent.to_string());
        let Some(link) = &mut self.link else { return };
        link.beat.look = None;
        if link.beat.said.as_ref() != Some(&signs) {
            link.reported.due(agent);
        }
    }

    fn signs(&self) -> Signs {
        let overdue = self.core.runs(None).into_iter().filter(|run| run.overdue).map(|run| run.job);
        let fails = |job: &JobName| {
            let last = self.core.view(job).and_then(|view| view.last);
            last.is_some_and(|last| !matches!(last.outcome, Outcome::Succeeded | Outcome::Skipped))
        };
        let failing = self.catalog.jobs().map(|(job, _)| job).filter(|job| fails(job)).cloned();
        Signs {
            clock: (self.now().clock, self.core.provisional_era()),
            overdue: listed(overdue),
            failing: listed(failing),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let (now, signs) = (self.now(), self.signs());
        let nats = self.config.nats.as_ref();
        let acked = self.link.as_ref().map(|link| link.results.acked()).unwrap_or_default();
        Heartbeat {
            agent: self.config.agent.clone(),
            at: now.wall,
            heartbeat: nats.map(|nats| format_duration(nats.heartbeat)).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch,
            since: self.since,
            clock: now.clock,
            provisional: self.core.provisional_era(),
            groups: self.config.all_groups(),
            jobs: self.catalog.jobs().count(),
            running: listed(self.core.runs(None).into_iter().map(|run| run.job)),
            overdue: signs.overdue,
            failing: signs.failing,
            last_success: self.last_success,
            acked_through: acked.through,
            next_seq: self.writer.status().next_seq,
            readings: self.quiet_readings(),
        }
    }
}

fn listed(jobs: impl Iterator<Item = JobName>) -> Vec<JobName> {
    let mut jobs: Vec<JobName> = jobs.take(LISTED).collect();
    jobs.dedup();
    jobs
}
