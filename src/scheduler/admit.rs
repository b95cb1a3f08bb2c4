//! Admission: one decision per turn. While a slot is free, the first by (priority, due) whose own job allows it and whose
//! gate passes on this turn's readings. Missed fires come after all that are on time.

use core::time::Duration;
use std::cmp::Reverse;

use crate::gate::{self, Verdict, Wanted};
use crate::job::{BootTime, JobName, Now, Overlap, PendingStage, Readings, RunId, WallTime, limits};

use super::clock::Readiness;
use super::event::Act;
use super::job::{Backlog, Job};
use super::life::{Check, Life, LifeEvent, Stage};
use super::{Scheduler, Turn};

/// Between two readings of the machine for fires that are held: at first, and at most.
const PROBE_AGAIN: Duration = Duration::from_secs(5);
const PROBE_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// What is known of the machine, and when it is read again.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// A probe has been asked for and not been answered.
    pub(super) outstanding: bool,
    /// The readings of this turn.
    pub(super) fresh: Option<Readings>,
    /// The last readings, for `status`.
    pub(super) shown: Readings,
    /// When held fires are looked at again.
    next: Option<BootTime>,
    interval: Duration,
}

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
    /// A `check` command is started, or going on.
    Checking,
    Shut,
}

impl Probing {
    pub(super) fn wake(&self) -> Option<BootTime> {
        self.next.filter(|_| !self.outstanding)
    }

    /// Held fires are looked at again at once.
    pub(super) fn hurry(&mut self, now: Now) {
        (self.next, self.interval) = (Some(now.boot), PROBE_AGAIN);
    }

    /// Settles when to read again, after a turn in which held fires were judged or not.
    fn plan_next(&mut self, now: Now, judged: bool, held: usize, admitted_held: usize, slots: usize) {
        // Without a slot nothing could start: the end of a run is what to wait for, and then to read at once.
        if held == 0 || slots == 0 {
            (self.next, self.interval) = (None, PROBE_AGAIN);
        } else if judged {
            self.interval = if admitted_held > 0 { PROBE_AGAIN } else { self.interval.max(PROBE_AGAIN) };
            self.next = Some(now.boot.plus(self.interval));
            self.interval = (self.interval * 2).min(PROBE_AGAIN_AT_MOST);
        }
    }
}

impl Scheduler {
    /// Starts what may start, and asks for the readings that are missing.
    pub(super) fn admit(&mut self, readiness: Readiness, turn: &mut Turn<'_>) {
        let holding = self.jobs.values().flat_map(|job| &job.lives).filter(|life| life.holds_slot()).count();
        let mut slots = self.settings.max_runs.saturating_sub(holding);
        let fresh = self.probing.fresh.take();
        // Empty for gates that are a `check` alone: the probe then answers at once.
        let mut wanted: Option<Wanted> = None;
        let (mut held, mut admitted_held) = (0, 0);
        for candidate in self.candidates(readiness, turn.now) {
            let (_, _, _, name) = &candidate.order;
            let Some(job) = self.jobs.get_mut(name) else { continue };
            let was_held = candidate
                .place
                .of(job)
                .and_then(Life::waiting)
                .is_some_and(|w| w.stage == PendingStage::Gate);
            held += usize::from(was_held);
            if slots == 0 {
                if let Some(waiting) = candidate.place.of(job).and_then(Life::waiting).filter(|_| !was_held) {
                    waiting.wait_for(PendingStage::Slot, turn.now);
                }
                continue;
            }
            let due_for_probe = !was_held || self.probing.next.is_none_or(|at| turn.now.boot >= at);
            match judge(job, candidate.place, fresh.as_ref(), turn, &mut self.last_run, name) {
                // A gate that has just opened admits one of those it held, lest a herd shut it again.
                Gate::Open if was_held && fresh.is_some() && admitted_held > 0 => {}
                Gate::Open => {
                    self.last_run += 1;
                    self.start(name, candidate.place, RunId(self.last_run), turn);
                    slots -= 1;
                    if was_held {
                        admitted_held += 1;
                        held -= 1;
                    }
                }
                Gate::Unread if due_for_probe => {
                    if let Some(plan) = job.plan.as_ref() {
                        wanted.get_or_insert_default().add(&plan.policy.require);
                    }
                }
                Gate::Unread | Gate::Checking => {}
                Gate::Shut => held += usize::from(!was_held),
            }
        }
        let judged = fresh.is_some();
        if let Some(readings) = fresh {
            self.probing.shown = readings;
        }
        self.probing.plan_next(turn.now, judged, held, admitted_held, slots);
        if let Some(wanted) = wanted.filter(|_| !self.probing.outstanding) {
            self.probing.outstanding = true;
            turn.effects.acts.push(Act::Probe(wanted));
        }
    }

    /// All that could start, first things first.
    fn candidates(&mut self, readiness: Readiness, now: Now) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (name, job) in &mut self.jobs {
            let Some(plan) = job.plan.as_ref() else { continue };
            if readiness == Readiness::Waiting && plan.calendar.waits_for_clock() {
                continue;
            }
            let (overlap, priority) = (plan.policy.overlap, Reverse(plan.policy.priority));
            for (index, life) in job.lives.iter_mut().enumerate() {
                let (due, not_before) = (life.due, life.not_before);
                let Some(waiting) = life.waiting() else { continue };
                if not_before > now.wall {
                    waiting.wait_for(PendingStage::Splay, now);
                } else if index > 0 && overlap != Overlap::Allow {
                    waiting.wait_for(PendingStage::Queue, now);
                } else {
                    let order = (false, priority, due, name.clone());
                    candidates.push(Candidate { order, place: Place::Life(index) });
                }
            }
            if let Some(backlog) = job.backlog.as_ref().filter(|_| job.lives.is_empty()) {
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
fn judge(
    job: &mut Job,
    place: Place,
    fresh: Option<&Readings>,
    turn: &mut Turn<'_>,
    last_run: &mut u64,
    name: &JobName,
) -> Gate {
    let Some(policy) = job.plan.as_ref().map(|plan| std::rc::Rc::clone(&plan.policy)) else {
        return Gate::Shut;
    };
    let now = turn.now;
    let Some(life) = place.of(job) else { return Gate::Shut };
    if life.force || policy.require.is_empty() {
        return Gate::Open;
    }
    let Some(fresh) = fresh else { return Gate::Unread };
    let Stage::Waiting(waiting) = &mut life.stage else { return Gate::Shut };
    let mut readings = gate::decided_by(&policy.require, fresh);
    readings.check = fresh_check(waiting.check, now);
    let verdict = gate::judge(&policy.require, &readings);
    life.gate = readings;
    match verdict {
        Verdict::Pass => Gate::Open,
        Verdict::NeedsCheck => {
            if !matches!(waiting.check, Check::Going(_)) {
                *last_run += 1;
                waiting.check = Check::Going(RunId(*last_run));
                turn.effects.acts.push(Act::Check { run: RunId(*last_run), job: name.clone() });
            }
            Gate::Checking
        }
        Verdict::Shut(shortfalls) => {
            waiting.wait_for(PendingStage::Gate, now);
            waiting.shut = shortfalls.iter().map(ToString::to_string).collect();
            Gate::Shut
        }
    }
}

/// What is known of the `check` command at this moment.
fn fresh_check(check: Check, now: Now) -> Option<bool> {
    let fresh = |at: BootTime| now.boot.since(at) < limits::CHECK_FRESH;
    match check {
        Check::Passed(at) if fresh(at) => Some(true),
        Check::Failed(at) if fresh(at) => Some(false),
        Check::Passed(_) | Check::Failed(_) | Check::Unknown | Check::Going(_) => None,
    }
}
