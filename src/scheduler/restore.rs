//! The core after a restart: what the journal's image says, as lives.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::job::{
    AgentName, BootId, BootTime, Eras, Fire, FireKey, Image, JobName, Now, OnInterrupt, OpenIntent, Pending,
    PendingStage, Revision, WallTime,
};

use super::clock::{ClockWatch, Readiness};
use super::eras::Kept;
use super::event::Effects;
use super::job::Job;
use super::life::{Life, Run, Stage, Waiting};
use super::plan::{Plan, Policy};
use super::probing::Probing;
use super::{Scheduler, Settings, Turn};

/// A clock tick of `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that we build for.
const TICK_MS: u64 = 10;

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
        let of_boot = image.eras.provisional.filter(|provisional| provisional.boot == boot);
        let lived = image.provisional.values().map(|of| of.done_through).max().filter(|_| of_boot.is_some());
        let mut core = Self {
            clock: ClockWatch::new(now, &settings, image.newest, lived),
            settings,
            boot,
            eras: image.eras.clone(),
            jobs: BTreeMap::new(),
            readiness: Readiness::Waiting,
            probing: Probing::default(),
            last_run: image.last_run,
            calm: None,
            policies: Vec::new(),
            ending: None,
            commands: image.commands.clone(),
        };
        core.restore_progress(image);
        let mut fresh = Vec::new();
        for (name, plan) in plans {
            let plan = core.share(plan);
            match core.jobs.get_mut(&name) {
                Some(job) => {
                    job.plan = Some(plan);
                    job.schedule_next();
                }
                None => fresh.push((name, plan)),
            }
        }
        // Which era counts says of what waits whether the clock can tell how late it is.
        let newest = core.clock.newest();
        core.clock.look(now, &core.eras);
        let next = core.clock.judge(now, &core.eras, boot);
        let current = next.as_ref().unwrap_or(&core.eras).clone();
        core.restore_lives(image, &current, &mut Turn { now, boot, effects, waiting: 0, stirred: true });
        if let Some(next) = next {
            core.turn_to(next, None, newest, now, effects);
        }
        let mut turn = Turn { now, boot, effects, waiting: 0, stirred: true };
        for (name, job) in core.jobs.iter_mut().filter(|(_, job)| job.paused.is_some()) {
            // Settled when it was paused; a disk that refused may have lost the record of that.
            turn.with(name, job, Job::stay_paused);
        }
        for (name, plan) in fresh {
            core.define(&name, plan, &mut turn);
        }
        core
    }

    fn restore_progress(&mut self, image: &Image) {
        let names: BTreeSet<&JobName> = image.progress.keys().chain(image.provisional.keys()).collect();
        for name in names {
            let main = image.progress.get(name).map(|progress| progress.done_through);
            let provisional = image.provisional.get(name);
            let done_through = provisional.map(|of| of.done_through).or(main).unwrap_or_default();
            let mut job = Job::new(self.eras.current(), done_through);
            job.kept = provisional
                .map(|of| Box::new(Kept { done_through: main, anew: of.anew, frozen: Vec::new() }));
            job.paused = image.paused.get(name).copied();
            job.last = image.last.get(name).copied();
            self.jobs.insert(name.clone(), Box::new(job));
        }
    }

    fn restore_lives(&mut self, image: &Image, current: &Eras, turn: &mut Turn<'_>) {
        let agent = self.settings.agent.clone();
        for open in image.intents.values() {
            let job = self.known_or_new(&open.intent.key, turn.now);
            job.lives.push(starting(open, job, current, turn));
        }
        for pending in image.pending.values() {
            let job = self.known_or_new(&pending.key, turn.now);
            let mut life = waiting(pending, current, turn);
            life.not_before = job.start_of(&life, &agent, &pending.key.job);
            // How late it is the clock will tell once it is plausible.
            let by_calendar = matches!(life.fire, Fire::Scheduled { .. });
            let unknown = current.provisional.is_some() && by_calendar && pending.boot != turn.boot;
            if unknown {
                let stands = Some(job.done_through);
                let kept = job
                    .kept
                    .get_or_insert_with(|| Box::new(Kept { done_through: stands, ..Kept::default() }));
                kept.frozen.push(life);
            } else {
                job.lives.push(life);
            }
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
        let era = self.eras.current();
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

fn starting(open: &OpenIntent, job: &Job, current: &Eras, turn: &Turn<'_>) -> Life {
    let (intent, now) = (&open.intent, turn.now);
    let same_boot = intent.boot == turn.boot;
    let mut life = Life::new(intent.key.fire.clone(), intent.due, intent.trigger, now);
    life.attempt = intent.attempt;
    life.revision = Some(intent.revision);
    life.terms = job.plan.as_ref().map(|plan| terms(plan, intent.revision));
    // The runner's own start is on the clock of this boot; the intent's is on the wall, which may have been set.
    let ticks = open.started.filter(|_| same_boot).map(|started| started.start_ticks);
    let since =
        ticks.map_or(now.boot, |ticks| BootTime::from_millis(ticks.saturating_mul(TICK_MS))).min(now.boot);
    life.anchor = is_of_another(&life.fire, current).then_some(since);
    life.success_exit_codes = Some(open.success_exit_codes.clone());
    // When it was told to stop is not kept: it is told again.
    let stopping = open.stopping.as_ref().map(|_| now.boot);
    let run = Run { run: intent.run, at: intent.at, since, pid: None, stopping, overdue: false };
    life.stage = match &open.stopping {
        Some(why) => Stage::Stopping(run, why.clone()),
        None => Stage::Starting(run),
    };
    life
}

/// Whether the wall clock tells nothing about a fire, since it fell due in another era than the one that counts.
fn is_of_another(fire: &Fire, current: &Eras) -> bool {
    matches!(fire, Fire::Scheduled { era, .. } if *era != current.current())
}

/// What says how a run ends that was started by `revision`. Where that is another definition than the one in force,
/// nobody knows whether its owner allowed a second start after a power cut: then there is none.
fn terms(plan: &Plan, revision: Revision) -> Rc<Policy> {
    if plan.revision == revision || plan.policy.on_interrupt == OnInterrupt::Report {
        return Rc::clone(&plan.policy);
    }
    Rc::new(Policy { on_interrupt: OnInterrupt::Report, ..Policy::clone(&plan.policy) })
}

fn waiting(pending: &Pending, current: &Eras, turn: &Turn<'_>) -> Life {
    let mut life = Life::new(pending.key.fire.clone(), pending.due, pending.trigger, turn.now);
    life.attempt = pending.attempt;
    let same_boot = pending.boot == turn.boot;
    let since = match pending.stage {
        PendingStage::Backoff => pending.since,
        PendingStage::Splay | PendingStage::Queue | PendingStage::Slot | PendingStage::Gate => {
            pending.not_before
        }
    };
    life.anchor = match pending.key.fire {
        Fire::Reboot { .. } | Fire::Manual { .. } => same_boot.then_some(since),
        Fire::Scheduled { .. } if !is_of_another(&pending.key.fire, current) => None,
        Fire::Scheduled { .. } => Some(if same_boot { since } else { turn.now.boot }),
    };
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
