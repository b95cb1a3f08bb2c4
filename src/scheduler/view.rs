//! What people are shown of the core.

use crate::job::{
    CommandId, Fire, JobName, LastRun, Now, PendingRow, PendingStage, Readings, RunRow, WallTime,
};

use super::life::{Life, Stage};
use super::{Scheduler, job::Job};

/// What `list` says of a job beyond its definition.
#[derive(Clone, Copy, Debug)]
pub struct JobView {
    /// The next due instant.
    pub next: Option<WallTime>,
    /// Its last final record in short.
    pub last: Option<LastRun>,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether anything is due.
    pub enabled: bool,
    /// Runs going on.
    pub running: usize,
    /// Fires that wait to start.
    pub waiting: usize,
}

impl Scheduler {
    /// One job, in short.
    #[must_use]
    pub fn view(&self, name: &JobName) -> Option<JobView> {
        let job = self.jobs.get(name)?;
        let running = job.lives.iter().filter(|life| life.holds_slot()).count();
        Some(JobView {
            next: job.next.filter(|_| job.paused.is_none()),
            last: job.last,
            paused: job.paused.is_some(),
            enabled: job.fires().is_some(),
            running,
            waiting: job.lives.len() - running + usize::from(job.backlog.is_some()),
        })
    }

    /// Runs going on, of one job or of all.
    #[must_use]
    pub fn runs(&self, of: Option<&JobName>) -> Vec<RunRow> {
        let rows = |(name, job): (&JobName, &Job)| -> Vec<RunRow> {
            job.lives.iter().filter_map(|life| run_row(name, life)).collect()
        };
        self.jobs_of(of).flat_map(rows).collect()
    }

    /// Fires that wait to start, of one job or of all.
    #[must_use]
    pub fn pending(&self, of: Option<&JobName>, now: Now) -> Vec<PendingRow> {
        let rows = |(name, job): (&JobName, &Job)| -> Vec<PendingRow> {
            let head = job.backlog.as_ref().map(|backlog| &backlog.head);
            let frozen = job.kept.iter().flat_map(|kept| &kept.frozen);
            job.lives
                .iter()
                .chain(head)
                .chain(frozen)
                .filter_map(|life| pending_row(name, job, life, now))
                .collect()
        };
        self.jobs_of(of).flat_map(rows).collect()
    }

    fn jobs_of(&self, of: Option<&JobName>) -> impl Iterator<Item = (&JobName, &Job)> {
        let jobs = self.jobs.iter().map(|(name, job)| (name, &**job));
        jobs.filter(move |(name, _)| of.is_none_or(|of| of == *name))
    }

    /// Whether a command of this id was taken, as far back as ids are remembered.
    #[must_use]
    pub fn has_taken(&self, command: &CommandId) -> bool {
        self.commands.find(command).is_some()
    }

    /// Whether the fire of a command is not settled yet.
    #[must_use]
    pub fn is_going_on(&self, command: &CommandId) -> bool {
        let of = |life: &Life| matches!(&life.fire, Fire::Manual { id } if id == command);
        self.jobs.values().any(|job| job.lives.iter().any(of))
    }

    /// The era that counts while the clock is implausible.
    #[must_use]
    pub fn provisional_era(&self) -> Option<u32> {
        self.eras.provisional.map(|provisional| provisional.era)
    }

    /// The last readings of the machine.
    #[must_use]
    pub fn readings(&self) -> &Readings {
        &self.probing.shown
    }
}

fn run_row(name: &JobName, life: &Life) -> Option<RunRow> {
    let run = life.run()?;
    Some(RunRow {
        job: name.clone(),
        run: run.run,
        trigger: life.trigger,
        due: life.due,
        started: run.at,
        attempt: life.attempt,
        pid: run.pid,
        stopping: matches!(life.stage, Stage::Stopping(..)),
        overdue: run.overdue,
    })
}

fn pending_row(name: &JobName, job: &Job, life: &Life, now: Now) -> Option<PendingRow> {
    let policy = job.plan.as_ref().map(|plan| &plan.policy);
    let deadline = policy.and_then(|policy| life.deadline(policy, now));
    let (stage, shut, until) = match &life.stage {
        Stage::Waiting(waiting) => {
            let hold = policy
                .filter(|_| waiting.stage == PendingStage::Gate)
                .map(|policy| now.wall_at(waiting.since.plus(policy.hold)));
            let until = if waiting.stage == PendingStage::Splay { Some(life.starts_at(now)) } else { hold };
            (waiting.stage, waiting.shut.clone(), until)
        }
        Stage::Backoff { until } => (PendingStage::Backoff, Vec::new(), Some(now.wall_at(*until))),
        Stage::Starting(_) | Stage::Running(_) | Stage::Stopping(..) => return None,
    };
    let until = [until, deadline].into_iter().flatten().min();
    Some(PendingRow { job: name.clone(), trigger: life.trigger, due: life.due, stage, shut, until })
}
