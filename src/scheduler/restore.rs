//! The core after a restart: what the journal's image says, as lives.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::job::{
    AgentName, BootId, BootTime, Fire, FireKey, Image, JobName, Now, OpenIntent, Pending, PendingStage,
    WallTime,
};

use super::admit::Probing;
use super::clock::{ClockWatch, Readiness};
use super::event::Effects;
use super::job::Job;
use super::life::{Life, Run, Stage, Waiting};
use super::plan::Plan;
use super::{Scheduler, Settings, Turn};

/// A clock tick of `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that we build for.
const TICK_MS: u64 = 10;
/// The era of a device whose clock has never been found wrong.
const FIRST_ERA: u32 = 1;

impl Scheduler {
    /// The core on what the journal remembers (an empty image on a fresh device) and the definitions that were in force.
    /// Every open intent comes back as a start that is not known to have happened: for each, an
    /// [`Event::Started`](super::Event::Started), [`Ended`](super::Event::Ended) or
    /// [`NeverStarted`](super::Event::NeverStarted) must follow.
    pub fn restore(
        settings: Settings,
        image: &Image,
        plans: impl IntoIterator<Item = (JobName, Plan)>,
        boot: BootId,
        now: Now,
        effects: &mut Effects,
    ) -> Self {
        let era = image.progress.values().map(|progress| progress.era).max().unwrap_or(FIRST_ERA);
        let mut core = Self {
            clock: ClockWatch::new(now, settings.clock_wait),
            settings,
            boot,
            era,
            jobs: BTreeMap::new(),
            readiness: Readiness::Waiting,
            probing: Probing::default(),
            last_run: image.last_run,
            policies: Vec::new(),
            ending: None,
            commands: image.commands.iter().cloned().collect::<VecDeque<_>>(),
        };
        for (name, progress) in &image.progress {
            let mut job = Job::new(progress.era, progress.done_through);
            job.paused = image.paused.get(name).copied();
            job.last = image.last.get(name).copied();
            core.jobs.insert(name.clone(), Box::new(job));
        }
        let mut turn = Turn { now, boot, effects, waiting: 0 };
        for (name, plan) in plans {
            let plan = core.share(plan);
            match core.jobs.get_mut(&name) {
                Some(job) => {
                    job.plan = Some(plan);
                    job.schedule_next();
                }
                None => core.define(&name, plan, &mut turn),
            }
        }
        core.restore_lives(image, &mut turn);
        core
    }

    fn restore_lives(&mut self, image: &Image, turn: &mut Turn<'_>) {
        let agent = self.settings.agent.clone();
        for open in image.intents.values() {
            let job = self.known_or_new(&open.intent.key, turn.now);
            job.lives.push(starting(open, job, turn));
        }
        for pending in image.pending.values() {
            let job = self.known_or_new(&pending.key, turn.now);
            let mut life = waiting(pending, turn);
            life.not_before = job.start_of(&life, &agent, &pending.key.job);
            job.lives.push(life);
        }
        for (name, missed) in &image.missed {
            let Some(job) = self.jobs.get_mut(name) else { continue };
            turn.with(name, job, |job, cx| job.line_up(missed.clone(), &agent, cx));
        }
        for job in self.jobs.values_mut() {
            job.lives.sort_by_key(|life| (life.run().is_none(), life.due));
        }
    }

    fn known_or_new(&mut self, key: &FireKey, now: Now) -> &mut Job {
        let era = self.era;
        self.jobs.entry(key.job.clone()).or_insert_with(|| Box::new(Job::new(era, now.wall)))
    }
}

impl Job {
    /// When a restored fire may start at the earliest.
    fn start_of(&self, life: &Life, agent: &AgentName, name: &JobName) -> WallTime {
        match life.fire {
            Fire::Scheduled { .. } => self.splayed(life.due, agent, name),
            Fire::Reboot { .. } | Fire::Manual { .. } => life.due,
        }
    }
}

fn starting(open: &OpenIntent, job: &Job, turn: &Turn<'_>) -> Life {
    let (intent, now) = (&open.intent, turn.now);
    let same_boot = intent.boot == turn.boot;
    let mut life = Life::new(intent.key.fire.clone(), intent.due, intent.trigger, now);
    life.attempt = intent.attempt;
    life.revision = Some(intent.revision);
    life.terms = job.plan.as_ref().map(|plan| Rc::clone(&plan.policy));
    // The runner's own start is on the clock of this boot; the intent's is on the wall, which may have been set.
    let ticks = open.started.filter(|_| same_boot).map(|started| started.start_ticks);
    let since =
        ticks.map_or(now.boot, |ticks| BootTime::from_millis(ticks.saturating_mul(TICK_MS))).min(now.boot);
    life.stage = Stage::Starting(Run { run: intent.run, at: intent.at, since, pid: None, overdue: false });
    life
}

fn waiting(pending: &Pending, turn: &Turn<'_>) -> Life {
    let mut life = Life::new(pending.key.fire.clone(), pending.due, pending.trigger, turn.now);
    life.attempt = pending.attempt;
    let asked =
        matches!(pending.key.fire, Fire::Reboot { .. } | Fire::Manual { .. }) && pending.boot == turn.boot;
    life.asked = asked.then_some(pending.since);
    life.last = pending.last;
    life.force = pending.force;
    // A wait that began in another boot begins anew: its clock is gone.
    let since = if pending.boot == turn.boot { pending.since } else { turn.now.boot };
    life.stage = match pending.stage {
        PendingStage::Backoff => {
            Stage::Backoff { until: if pending.boot == turn.boot { pending.not_before } else { since } }
        }
        stage @ (PendingStage::Splay | PendingStage::Queue | PendingStage::Slot | PendingStage::Gate) => {
            Stage::Waiting(Waiting { stage, since, noted: true, ..Waiting::fresh(turn.now) })
        }
    };
    life
}
