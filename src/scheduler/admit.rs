//! Admission: one decision per turn. While a slot is free, the first by (priority, due) whose own job allows it and whose
//! gate passes on this turn's readings. Missed fires come after all that are on time.

use std::cmp::Reverse;

use crate::gate::{self, Pressed, Verdict, Wanted};
use crate::job::{Fire, JobName, Now, Overlap, PendingStage, Readings, RunId, WallTime, limits};

use super::clock::Readiness;
use super::event::Act;
use super::job::{Backlog, Job};
use super::life::{Check, Life, LifeEvent, Stage, Waiting};
use super::plan::Policy;
use super::probing::{PROBE_AGAIN, PROBE_AGAIN_AT_MOST};
use super::{Scheduler, Turn};

/// A fire that could start now, if slots and gate allow.
struct Candidate {
    /// Missed fires come last.
    order: (bool, Reverse<i8>, WallTime, JobName),
    place: Place,
}

/// Where a candidate stands in its job.
#[derive(Clone, Copy)]
enum Place {
    Life(usize),
    Backlog,
}

impl Place {
    fn of(self, job: &mut Job) -> Option<&mut Life> {
        match self {
            Self::Life(index) => job.lives.get_mut(index),
            Self::Backlog => job.backlog.as_mut().map(|backlog| &mut backlog.head),
        }
    }
}

/// What a gate says of a candidate.
enum Gate {
    Open,
    /// Not known: the machine is read first.
    Unread,
    /// All passes but the `check` command, which is not known.
    Unchecked,
    /// The `check` command is going on.
    Checking,
    Shut,
}

/// What one decision has to give away, and what it finds missing.
struct Round {
    fresh: Option<Readings>,
    slots: usize,
    /// `check` commands that may be started: as many as there are slots for what they let pass.
    checks: usize,
    /// Of all that nothing was read for, so that one look serves them; empty for gates that are a `check` alone: the
    /// probe then answers at once.
    wanted: Wanted,
    /// Whether it is time to look.
    look: bool,
    held: usize,
    admitted_held: usize,
    /// The pressure that shuts gates.
    pressed: Pressed,
}

impl Scheduler {
    /// Starts what may start, and asks for the readings that are missing.
    pub(super) fn admit(&mut self, readiness: Readiness, turn: &mut Turn<'_>) {
        let lives = || self.lively().flat_map(|job| &job.lives);
        let most = if self.ending.is_some() { 0 } else { self.settings.max_runs };
        let slots = most.saturating_sub(lives().filter(|life| life.holds_slot()).count());
        let checks = slots.saturating_sub(lives().filter(|life| life.is_checking()).count());
        let fresh = self.probing.fresh.take();
        let mut round = Round {
            fresh,
            slots,
            checks,
            wanted: Wanted::default(),
            look: false,
            held: 0,
            admitted_held: 0,
            pressed: Pressed::default(),
        };
        for candidate in self.candidates(readiness, turn.now) {
            self.consider(&candidate, &mut round, turn);
        }
        let judged = round.fresh.is_some();
        if let Some(readings) = round.fresh {
            self.probing.shown = readings;
        }
        self.probing.plan_next(turn.now, judged, round.held, round.admitted_held, round.slots);
        // Between two readings nothing is known of it.
        if judged || round.held == 0 || round.slots == 0 {
            turn.effects.acts.extend(self.probing.watch(round.pressed));
        }
        if round.look && !self.probing.outstanding {
            self.probing.outstanding = true;
            self.probing.asked = round.wanted.clone();
            turn.effects.acts.push(Act::Probe(round.wanted));
        }
        self.probing.look_ahead(turn.now);
    }

    fn consider(&mut self, candidate: &Candidate, round: &mut Round, turn: &mut Turn<'_>) {
        let (_, _, _, name) = &candidate.order;
        let Some(job) = self.jobs.get_mut(name) else { return };
        let Some(policy) = job.plan.as_ref().map(|plan| std::rc::Rc::clone(&plan.policy)) else { return };
        let was_held =
            candidate.place.of(job).and_then(Life::waiting).is_some_and(|w| w.stage == PendingStage::Gate);
        round.held += usize::from(was_held);
        if round.slots == 0 {
            if let Some(waiting) = candidate.place.of(job).and_then(Life::waiting).filter(|_| !was_held) {
                waiting.wait_for(PendingStage::Slot, turn.now);
            }
            return;
        }
        // Readings that were asked for on behalf of others say nothing about what they left out.
        let fresh = round.fresh.as_ref().filter(|_| self.probing.asked.serves(&policy.require));
        let due_for_probe = !was_held || self.probing.next.is_none_or(|at| turn.now.boot >= at);
        match judge(job, candidate.place, &policy, fresh, turn.now) {
            // A gate that has just opened admits one of those it held, lest a herd shut it again.
            Gate::Open if was_held && round.fresh.is_some() && round.admitted_held > 0 => {}
            Gate::Open => {
                self.last_run += 1;
                self.start(name, candidate.place, RunId(self.last_run), turn);
                round.slots -= 1;
                round.admitted_held += usize::from(was_held);
                round.held -= usize::from(was_held);
            }
            Gate::Unread => {
                round.wanted.add(&policy.require);
                round.look |= due_for_probe && (policy.require.check.is_none() || round.checks > 0);
            }
            Gate::Checking => {}
            Gate::Unchecked if round.checks > 0 => {
                self.last_run += 1;
                round.checks -= 1;
                let run = RunId(self.last_run);
                if let Some(waiting) = candidate.place.of(job).and_then(Life::waiting) {
                    waiting.check = Check::Going(run);
                }
                turn.effects.acts.push(Act::Check { run, job: name.clone() });
            }
            // Its turn comes when another check ends.
            Gate::Unchecked => {}
            Gate::Shut => {
                round.held += usize::from(!was_held);
                if let Some(readings) = fresh {
                    round.pressed.add(&policy.require, readings);
                }
            }
        }
    }

    /// All that could start, first things first.
    fn candidates(&mut self, readiness: Readiness, now: Now) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (name, job) in self.jobs.iter_mut().filter(|_| self.calm.is_none()) {
            let Some(plan) = job.plan.as_ref() else { continue };
            let clock_awaited = readiness == Readiness::Waiting && plan.calendar.waits_for_clock();
            let (overlap, priority) = (plan.policy.overlap, Reverse(plan.policy.priority));
            for (index, life) in job.lives.iter_mut().enumerate() {
                let (due, starts_at) = (life.due, life.starts_at(now));
                let by_calendar = matches!(life.fire, Fire::Scheduled { .. });
                let Some(waiting) = life.waiting() else { continue };
                if starts_at > now.wall && by_calendar {
                    waiting.wait_for(PendingStage::Splay, now);
                    continue;
                }
                if waiting.stage == PendingStage::Splay {
                    // Its delay is over; that it waits is known already.
                    (waiting.stage, waiting.since) = (PendingStage::Slot, now.boot);
                }
                if index > 0 && overlap != Overlap::Allow {
                    waiting.wait_for(PendingStage::Queue, now);
                } else if !(clock_awaited && by_calendar) {
                    let order = (false, priority, due, name.clone());
                    candidates.push(Candidate { order, place: Place::Life(index) });
                }
            }
            let idle = job.lives.is_empty() && !clock_awaited;
            if let Some(backlog) =
                job.waiting_backlog().filter(|backlog| idle && backlog.head.starts_at(now) <= now.wall)
            {
                let order = (true, priority, backlog.head.due, name.clone());
                candidates.push(Candidate { order, place: Place::Backlog });
            }
        }
        candidates.sort_by(|a, b| a.order.cmp(&b.order));
        candidates
    }

    fn start(&mut self, name: &JobName, place: Place, run: RunId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        let agent = &self.settings.agent;
        turn.with(name, job, |job, cx| match place {
            Place::Life(index) => {
                let life = job.lives.remove(index);
                if let Some(life) = life.on(LifeEvent::Admitted(run), cx) {
                    job.lives.insert(index, life);
                }
            }
            Place::Backlog => {
                if let Some(backlog) = job.backlog.take() {
                    let Backlog { ranges, head } = *backlog;
                    let due = head.due;
                    job.lives.extend(head.on(LifeEvent::Admitted(run), cx));
                    job.next_in_line(ranges, due, agent, cx);
                }
            }
        });
    }
}

/// What the gate of a candidate says on these readings.
fn judge(job: &mut Job, place: Place, policy: &Policy, fresh: Option<&Readings>, now: Now) -> Gate {
    let Some(life) = place.of(job) else { return Gate::Shut };
    if life.force || policy.require.is_empty() {
        return Gate::Open;
    }
    let Stage::Waiting(waiting) = &mut life.stage else { return Gate::Shut };
    if matches!(waiting.check, Check::Going(_)) {
        return Gate::Checking;
    }
    let Some(fresh) = fresh else { return Gate::Unread };
    let mut readings = gate::decided_by(&policy.require, fresh);
    readings.check = fresh_check(waiting, now);
    readings.clock = policy.require.clock.map(|_| now.clock);
    let verdict = gate::judge(&policy.require, &readings);
    life.gate = readings;
    match verdict {
        Verdict::Pass => Gate::Open,
        Verdict::NeedsCheck => Gate::Unchecked,
        Verdict::Shut(shortfalls) => {
            waiting.wait_for(PendingStage::Gate, now);
            waiting.shut = shortfalls.iter().map(ToString::to_string).collect();
            Gate::Shut
        }
    }
}

/// What is known of the `check` command at this moment.
fn fresh_check(waiting: &Waiting, now: Now) -> Option<bool> {
    // The more often it failed the longer that counts: it is asked ever more rarely.
    let patience = PROBE_AGAIN.saturating_mul(1 << waiting.failures.saturating_sub(1).min(8));
    match waiting.check {
        Check::Passed(at) if now.boot.since(at) < limits::CHECK_FRESH => Some(true),
        Check::Failed(at) if now.boot.since(at) < patience.min(PROBE_AGAIN_AT_MOST) => Some(false),
        Check::Passed(_) | Check::Failed(_) | Check::Unknown | Check::Going(_) => None,
    }
}
