//! DECIDE: the pure core. It owns every decision about when a fire starts, waits, is given up, is tried again or is made
//! to end; it does no I/O, reads no clock and spawns nothing. Events in, [`Effects`] out:
//!
//! ```text
//!   turn:  step(now, event)*  ─▶  close(now)  ─▶  entries: one commit, one sync  ─▶  acts: start, stop, probe, answer
//!                                                          │ failed
//!                                                          └──▶ Event::NotStored for each intent
//! ```
//! `step` takes what happened; `close` ends the turn: what is due falls due, what is over expires, the first in order
//! are admitted, and whatever still waits is written down. Every act that can fail is answered by an event that says so.
//!
//! The clock's hands come with each call as [`Now`]; sources: DESIGN sections 5 and 6, crontab(5), systemd.timer(5).

mod admit;
mod alert;
mod clock;
mod commands;
mod eras;
mod event;
mod job;
mod life;
mod plan;
mod probing;
mod record;
mod restore;
#[cfg(test)]
mod tests;
mod view;

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::job::{
    AgentName, BootId, BootTime, Entry, Eras, Fire, JobName, Now, PendingStage, Reason, Remembered, RunId,
    Trigger, WallTime, limits,
};

pub use event::{Act, AskId, Effects, Ending, Event, Failure, Force, How, RunEnd, Start};
pub use plan::{Plan, Policy};
pub use view::JobView;

use clock::{ClockWatch, Readiness};
use job::Job;
use life::{Check, Cx, Life, LifeEvent, Stage};
use probing::Probing;

/// What the device's configuration says to the core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The device: part of the splay's hash.
    pub agent: AgentName,
    /// Runs at once.
    pub max_runs: usize,
    /// How long after boot calendar jobs wait for an unsynchronised clock.
    pub clock_wait: Duration,
    /// When this version was released: no clock that is right shows less.
    pub released: WallTime,
}

/// The core.
#[derive(Debug)]
pub struct Scheduler {
    settings: Settings,
    boot: BootId,
    eras: Eras,
    /// Boxed: nodes of the map stay small, since half of each is empty.
    jobs: BTreeMap<JobName, Box<Job>>,
    clock: ClockWatch,
    readiness: Readiness,
    probing: Probing,
    /// The largest run id given out.
    last_run: u64,
    /// No fire waits, runs or is to be told of: nothing need be looked at before this.
    calm: Option<Calm>,
    /// Policies in use: most jobs share one.
    policies: Vec<Rc<Policy>>,
    /// The machine goes down: nothing starts. Whoever waits for the end of all runs.
    ending: Option<Vec<AskId>>,
    /// Commands that have been taken, oldest first, and for which job where that is known: asked twice they run once.
    commands: Remembered,
}

/// All jobs at rest, so that a turn that concerns none of them costs next to nothing.
#[derive(Clone, Copy, Debug)]
struct Calm {
    /// When the first falls due; `None`: never.
    due: Option<WallTime>,
    /// Whether the clock was awaited, on which that depends.
    awaited: bool,
}

/// What the parts of one turn share.
struct Turn<'a> {
    now: Now,
    boot: BootId,
    effects: &'a mut Effects,
    /// Fires that wait, in all.
    waiting: usize,
    /// Whether any job was worked on.
    stirred: bool,
}

impl Turn<'_> {
    /// Lets `act` work on a job, and notes what the journal and `list` hear of it.
    fn with<T>(&mut self, name: &JobName, job: &mut Job, act: impl FnOnce(&mut Job, &mut Cx<'_>) -> T) -> T {
        self.stirred = true;
        let (plan, barred) = (job.plan.clone(), job.barred());
        let before = self.effects.entries.len();
        let room = limits::PENDING.saturating_sub(self.waiting);
        let pending = job.pending();
        let full = room == 0 || pending >= limits::PENDING_PER_JOB;
        let (now, boot, effects) = (self.now, self.boot, &mut *self.effects);
        let failures = Vec::new();
        let plan = plan.as_ref();
        let era = job.era;
        let mut cx =
            Cx { now, boot, job: name, plan, era, barred, effects, room, full, settled: None, failures };
        let done = act(job, &mut cx);
        self.waiting = (self.waiting + job.pending()).saturating_sub(pending);
        cx.failures.drain(..).for_each(|failure| job.alert(failure));
        if cx.settled.is_some() {
            job.last = cx.settled;
        }
        job.touched |= cx.effects.entries.len() > before;
        done
    }
}

impl Scheduler {
    /// Takes one event into account.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        self.look(now, effects);
        let mut turn = Turn { now, boot: self.boot, effects, waiting: self.waiting(), stirred: false };
        match event {
            Event::Define { job, plan } => self.define(&job, plan, &mut turn),
            Event::Remove { job } => self.remove(&job, &mut turn),
            Event::Booted { boot } => self.booted(boot, &mut turn),
            Event::Readings(readings) => self.probing.answered(readings),
            Event::Eased => self.probing.eased(now),
            Event::Checked { run, passed } => self.checked(run, passed, &mut turn),
            Event::Started { run, pid } => self.tell(run, LifeEvent::Started { pid }, &mut turn),
            Event::Ended { run, end } => self.tell(run, LifeEvent::Ended(end), &mut turn),
            Event::NeverStarted { run } => self.tell(run, LifeEvent::NeverStarted, &mut turn),
            Event::NotStored { run } => self.tell(run, LifeEvent::NotStored, &mut turn),
            Event::OnFailureEnded { run } => self.alert_over(run, &mut turn),
            Event::Run { job, command, force, ask } => self.run(&job, command, force, ask, &mut turn),
            Event::Stop { job, by, command, ask } => self.stop(&job, &by, command, ask, &mut turn),
            Event::EndRuns { by, ask } => self.end_runs(&by, ask, &mut turn),
            Event::Pause { job, command, ask } => self.pause(&job, command, ask, &mut turn),
            Event::Resume { job, command, ask } => self.resume(&job, command, ask, &mut turn),
        }
        if turn.stirred {
            self.calm = None;
        }
    }

    /// Ends the turn.
    pub fn close(&mut self, now: Now, effects: &mut Effects) {
        self.look(now, effects);
        let readiness = self.readiness;
        let awaited = readiness == Readiness::Waiting;
        let still = |calm: &Calm| calm.awaited == awaited && calm.due.is_none_or(|due| due > now.wall);
        self.calm = self.calm.filter(still);
        let mut turn = Turn { now, boot: self.boot, effects, waiting: self.waiting(), stirred: false };
        let agent = &self.settings.agent;
        for (name, job) in self.jobs.iter_mut().filter(|_| self.calm.is_none()) {
            if job.at_rest(readiness, now) {
                continue;
            }
            turn.with(name, job, |job, cx| {
                job.fall_due(readiness, agent, cx);
                if job.barred() == Some(Reason::Removed) {
                    job.give_up_waiting(Reason::Removed, cx);
                }
                job.expire(agent, cx);
            });
        }
        self.admit(readiness, &mut turn);
        self.answer_ended(&mut turn);
        if self.calm.is_none() {
            self.start_alerts(&mut turn);
            self.note_pending(&mut turn);
            self.forget(&mut turn);
            let due = || self.jobs.values().filter_map(|job| job.due_at(readiness)).min();
            self.calm = self.jobs.values().all(|job| job.is_calm()).then(|| Calm { due: due(), awaited });
        }
        self.clock.close_turn();
    }

    /// When the core must be called again though nothing else happens; `None`: never.
    #[must_use]
    pub fn wake(&self, now: Now) -> Option<WallTime> {
        let jobs = match self.calm {
            Some(calm) => calm.due,
            None => self.jobs.values().filter_map(|job| job.wake(self.readiness, now)).min(),
        };
        let boot: [Option<BootTime>; 2] = [self.clock.wake(now, &self.eras), self.probing.wake()];
        jobs.into_iter().chain(boot.into_iter().flatten().map(|at| now.wall_at(at))).min()
    }

    /// The largest run id that is in use outside: ids are given out beyond it.
    pub fn skip_runs(&mut self, through: RunId) {
        self.last_run = self.last_run.max(through.0);
    }

    fn waiting(&self) -> usize {
        self.lively().map(Job::pending).sum()
    }

    /// Jobs of which a fire may wait or run.
    fn lively(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|_| self.calm.is_none()).map(|job| &**job)
    }

    /// Whatever still waits at the end of a turn is written down, since `done_through` may move past it. A fire that is
    /// only just waiting for the first readings is left until the next turn, unless the job wrote anything.
    fn note_pending(&mut self, turn: &mut Turn<'_>) {
        let probing = self.probing.outstanding;
        for (name, job) in self.jobs.iter_mut().filter(|(_, job)| !job.lives.is_empty() || job.touched) {
            let touched = core::mem::take(&mut job.touched);
            turn.with(name, job, |job, cx| {
                let now = cx.now;
                let mut pending = job.lives.iter().filter(|life| life.stage.is_backoff()).count();
                let lives = core::mem::take(&mut job.lives);
                job.lives.extend(lives.into_iter().filter_map(|mut life| {
                    let by_calendar = matches!(life.fire, Fire::Scheduled { .. });
                    let Some(waiting) = life.waiting() else { return Some(life) };
                    pending += 1;
                    // Only a calendar makes a fire due again after a restart.
                    let first_look = probing
                        && by_calendar
                        && !touched
                        && waiting.stage == PendingStage::Slot
                        && waiting.since == now.boot
                        && waiting.check == Check::Unknown;
                    if waiting.noted || first_look {
                        return Some(life);
                    }
                    if pending > limits::PENDING_PER_JOB {
                        // Those that wait for another attempt count, too.
                        pending -= 1;
                        return life.give_up(Reason::QueueFull, cx);
                    }
                    waiting.noted = true;
                    let (stage, since) = (waiting.stage, waiting.since);
                    life.note_pending(stage, since, life.anchor.unwrap_or(since), cx);
                    Some(life)
                }));
            });
            job.touched = false;
        }
    }

    fn forget(&mut self, turn: &mut Turn<'_>) {
        let wall = turn.now.wall;
        self.jobs.retain(|name, job| {
            let gone = job.forgettable(wall);
            if gone {
                turn.effects.entries.push(Entry::Forgotten { job: name.clone() });
            }
            !gone
        });
    }

    /// Tells the life that holds `run`; a run that nobody knows (an answer that comes twice) changes nothing.
    fn tell(&mut self, run: RunId, event: LifeEvent, turn: &mut Turn<'_>) {
        let holds = |life: &Life| life.run().is_some_and(|held| held.run == run);
        if self.calm.is_some() {
            return;
        }
        let Some((name, job)) = self.jobs.iter_mut().find(|(_, job)| job.lives.iter().any(holds)) else {
            return;
        };
        let mut event = Some(event);
        turn.with(name, job, |job, cx| {
            let lives = core::mem::take(&mut job.lives);
            job.lives = lives
                .into_iter()
                .filter_map(|life| match event.take_if(|_| holds(&life)) {
                    Some(event) => life.on(event, cx),
                    None => Some(life),
                })
                .collect();
        });
    }

    fn checked(&mut self, run: RunId, passed: bool, turn: &mut Turn<'_>) {
        turn.effects.acts.push(Act::Clear { run });
        self.probing.hurry(turn.now);
        let heads = |job: &mut Box<Job>| -> Option<()> {
            let lives = job.lives.iter_mut();
            let head = job.backlog.iter_mut().map(|backlog| &mut backlog.head);
            let waiting =
                lives.chain(head).filter_map(Life::waiting).find(|w| w.check == Check::Going(run))?;
            waiting.failures = waiting.failures.saturating_add(u8::from(!passed));
            waiting.check = if passed { Check::Passed(turn.now.boot) } else { Check::Failed(turn.now.boot) };
            Some(())
        };
        // A fire that was given up meanwhile needs no answer.
        self.jobs.values_mut().find_map(heads);
    }

    /// The agent's first start in a boot: `@reboot` is due.
    fn booted(&mut self, boot: BootId, turn: &mut Turn<'_>) {
        turn.effects.entries.push(Entry::Booted { boot });
        for (name, job) in &mut self.jobs {
            if !job.fires().is_some_and(|plan| plan.calendar.is_reboot()) {
                continue;
            }
            turn.with(name, job, |job, cx| {
                let life = Life::asked(Fire::Reboot { boot }, Trigger::Reboot, cx.now);
                if job.paused.is_some() {
                    life.give_up(Reason::Paused, cx);
                } else {
                    job.born(life, cx);
                }
            });
        }
    }

    /// One copy of each distinct policy.
    fn share(&mut self, mut plan: Plan) -> Plan {
        match self.policies.iter().find(|policy| ***policy == *plan.policy) {
            Some(policy) => plan.policy = Rc::clone(policy),
            None => {
                self.policies.retain(|policy| Rc::strong_count(policy) > 1);
                self.policies.push(Rc::clone(&plan.policy));
            }
        }
        plan
    }
}

impl Stage {
    fn is_backoff(&self) -> bool {
        matches!(self, Self::Backoff { .. })
    }
}
