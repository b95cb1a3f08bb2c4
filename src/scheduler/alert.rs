//! `on_failure`: the command of a job that is told of its failures. It holds no slot; one at a time per job, each at most
//! once. Nothing of it is journalled: a crash may lose it.

use std::collections::VecDeque;

use super::event::{Act, Failure};
use super::job::Job;
use super::{Scheduler, Turn};
use crate::job::{Outcome, Reason, Record, RunId, limits};

/// What a job's command is still to be told.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    going: Option<RunId>,
    waiting: VecDeque<Failure>,
}

impl Failure {
    /// What a record tells the command; `None`: nothing that it should hear of.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let silent = match (record.outcome, record.reason) {
            _ if !record.last => true,
            (Outcome::Succeeded, _) | (Outcome::Skipped, Some(Reason::Overlap | Reason::Paused)) => true,
            (Outcome::Failed | Outcome::TimedOut | Outcome::Stopped | Outcome::Interrupted, _) => false,
            (Outcome::Skipped, _) => false,
        };
        (!silent).then(|| Self {
            // Given when it starts.
            run: RunId(0),
            key: record.key.clone(),
            due: record.due,
            trigger: record.trigger,
            attempt: record.attempt,
            outcome: record.outcome,
            reason: record.reason,
            exit_code: record.exit_code,
        })
    }
}

impl Job {
    /// A fire failed: if the definition has a command for that, it is started when its turn comes. Of too many the newest
    /// are told.
    pub(super) fn alert(&mut self, failure: Failure) {
        if !self.plan.as_ref().is_some_and(|plan| plan.policy.on_failure) {
            return;
        }
        let waiting = &mut self.alerts.get_or_insert_default().waiting;
        if waiting.len() == limits::PENDING_PER_JOB {
            waiting.pop_front();
        }
        waiting.push_back(failure);
    }
}

impl Scheduler {
    /// Starts what waits, unless the machine goes down.
    pub(super) fn start_alerts(&mut self, turn: &mut Turn<'_>) {
        for job in self.jobs.values_mut() {
            let on_failure = job.plan.as_ref().is_some_and(|plan| plan.policy.on_failure);
            let Some(alerts) = job.alerts.as_mut().filter(|alerts| alerts.going.is_none()) else { continue };
            let next = alerts.waiting.pop_front().filter(|_| on_failure && self.ending.is_none());
            let Some(failure) = next else {
                job.alerts = None;
                continue;
            };
            self.last_run += 1;
            let run = RunId(self.last_run);
            alerts.going = Some(run);
            turn.effects.acts.push(Act::OnFailure(Failure { run, ..failure }));
        }
    }

    /// One is over.
    pub(super) fn alert_over(&mut self, run: RunId, turn: &mut Turn<'_>) {
        let mut alerts = self.jobs.values_mut().filter_map(|job| job.alerts.as_mut());
        if let Some(alerts) = alerts.find(|alerts| alerts.going == Some(run)) {
            alerts.going = None;
        }
        turn.effects.acts.push(Act::Clear { run });
    }
}
