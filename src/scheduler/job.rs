//! One job: how far its fires are accounted for, which are due, which wait and which run.

use core::time::Duration;
use std::rc::Rc;

use crate::job::{
    AgentName, CatchUp, Covers, DeviceEvent, Entry, Eras, EventKind, Fire, JobName, LastRun, Missed, Now,
    Otherwise, Overlap, PendingStage, Reason, StopWhy, Trigger, WallTime, limits,
};
use crate::schedule;

use super::alert::Alerts;
use super::clock::Readiness;
use super::eras::Kept;
use super::life::{Cx, Life, LifeEvent, Stage, Waiting};
use super::plan::{Plan, Policy};

/// The smallest step between two instants of a calendar.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Job {
    /// `None`: removed; kept for its runs, and until now has passed `done_through`.
    pub(super) plan: Option<Plan>,
    pub(super) era: u32,
    /// Every fire up to here is accounted for.
    pub(super) done_through: WallTime,
    /// The first fire after `done_through`.
    pub(super) next: Option<WallTime>,
    /// Missed fires that will run, and the first of them.
    pub(super) backlog: Option<Box<Backlog>>,
    /// While a provisional era counts: what of the main one stands still.
    pub(super) kept: Option<Box<Kept>>,
    pub(super) paused: Option<WallTime>,
    /// Fires that are not settled, oldest first.
    pub(super) lives: Vec<Life>,
    pub(super) last: Option<LastRun>,
    /// Failures that its own command is told of.
    pub(super) alerts: Option<Box<Alerts>>,
    /// Whether a fire of this job reached the journal in this turn: then all that wait must, since
    /// `done_through` moves past them.
    pub(super) touched: bool,
}

/// Missed fires that will run: ranges that do not meet, oldest first, and the first fire of the first.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) ranges: Vec<Missed>,
    pub(super) head: Life,
}

impl Job {
    pub(super) fn new(era: u32, done_through: WallTime) -> Self {
        Self {
            plan: None,
            era,
            done_through,
            next: None,
            backlog: None,
            kept: None,
            paused: None,
            lives: Vec::new(),
            last: None,
            alerts: None,
            touched: false,
        }
    }

    /// One that begins in the era that counts.
    pub(super) fn begun(eras: &Eras, at: WallTime) -> Box<Self> {
        let kept = eras.provisional.map(|_| Box::new(Kept { anew: true, ..Kept::default() }));
        Box::new(Self { kept, ..Self::new(eras.current(), at) })
    }

    /// Whether the schedule makes fires due.
    pub(super) fn fires(&self) -> Option<&Plan> {
        self.plan.as_ref().filter(|plan| plan.policy.enabled)
    }

    /// Why no fire of this job may start, if so.
    pub(super) fn barred(&self) -> Option<Reason> {
        match (self.fires(), self.paused) {
            (None, _) => Some(Reason::Removed),
            (Some(_), Some(_)) => Some(Reason::Paused),
            (Some(_), None) => None,
        }
    }

    /// Its fires that wait to start.
    pub(super) fn waiting(&self) -> usize {
        self.lives.iter().filter(|life| matches!(life.stage, Stage::Waiting(_))).count()
    }

    /// Its fires that are pending: those that wait to start, for the first time or again.
    pub(super) fn pending(&self) -> usize {
        self.lives.iter().filter(|life| !life.holds_slot()).count() + self.frozen()
    }

    /// Those that stand still with the main era.
    fn frozen(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.frozen.len())
    }

    /// Whether time has nothing to say to it at `now`.
    pub(super) fn at_rest(&self, readiness: Readiness, now: Now) -> bool {
        self.lives.is_empty()
            && self.waiting_backlog().is_none()
            && self.due_at(readiness).is_none_or(|at| at > now.wall)
    }

    /// Whether nothing of it waits, runs or is to be told of, so that only its calendar can change that.
    pub(super) fn is_calm(&self) -> bool {
        let nothing = self.lives.is_empty() && self.frozen() == 0 && self.backlog.is_none();
        nothing && self.alerts.is_none() && self.plan.is_some()
    }

    /// Whether nothing of it is left to remember at `now`.
    pub(super) fn forgettable(&self, now: WallTime) -> bool {
        let stands = self.kept.as_ref().is_some_and(|kept| kept.done_through.is_some());
        let waits = !self.lives.is_empty() || self.backlog.is_some();
        self.plan.is_none() && !waits && !stands && now >= self.done_through
    }

    /// Missed fires that may start: they are of a main era, and stand still with it.
    pub(super) fn waiting_backlog(&self) -> Option<&Backlog> {
        self.backlog.as_deref().filter(|_| self.kept.is_none())
    }

    pub(super) fn schedule_next(&mut self) {
        self.next = self.fires().and_then(|plan| plan.calendar.next(self.done_through));
    }

    /// The next due instant that matters to the loop; a paused job has none.
    pub(super) fn due_at(&self, readiness: Readiness) -> Option<WallTime> {
        let plan = self.fires().filter(|_| self.paused.is_none())?;
        match readiness {
            Readiness::Waiting if plan.calendar.waits_for_clock() => None,
            Readiness::Waiting | Readiness::Ready { .. } => self.next,
        }
    }

    /// Brings to life, or settles, every fire in `(done_through, now]`.
    pub(super) fn fall_due(&mut self, readiness: Readiness, agent: &AgentName, cx: &mut Cx<'_>) {
        if self.due_at(readiness).is_none_or(|next| next > cx.now.wall) {
            return;
        }
        // A job that never waits for the clock is on time by the plain bound.
        let on_time_from = match readiness {
            Readiness::Ready { on_time_from } => on_time_from,
            Readiness::Waiting => cx.now.wall.minus(limits::ON_TIME),
        };
        let Some(plan) = &self.plan else { return };
        let catch_up = plan.policy.catch_up;
        let Some(latest) = plan.calendar.latest(self.done_through, cx.now.wall, 1) else { return };
        if self.splayed(latest, agent, cx.job) >= on_time_from {
            // `last` is content with the one that is on time.
            let wanted = if catch_up == CatchUp::All { limits::CATCH_UP } else { 0 };
            self.miss(latest.minus(SECOND), wanted, agent, cx);
            self.done_through = latest;
            self.schedule_next();
            let fire = Fire::Scheduled { era: self.era, due: latest };
            let mut life = Life::new(fire, latest, Trigger::Schedule, cx.now);
            life.not_before = self.splayed(latest, agent, cx.job);
            self.born(life, cx);
        } else {
            let wanted = match catch_up {
                CatchUp::None => 0,
                CatchUp::Last => 1,
                CatchUp::All => limits::CATCH_UP,
            };
            self.miss(latest, wanted, agent, cx);
            self.done_through = latest;
            self.schedule_next();
        }
    }

    /// Of the missed fires in `(done_through, to]`, puts the latest `wanted` in the backlog and settles the others as one
    /// range. With what waits there already they are no more than `wanted`: the oldest give way.
    fn miss(&mut self, to: WallTime, wanted: u32, agent: &AgentName, cx: &mut Cx<'_>) {
        if self.kept.is_some() {
            // An implausible clock has missed nothing.
            return self.skip_due(to, cx);
        }
        let Some(plan) = self.plan.clone() else { return };
        let Some(last) = plan.calendar.latest(self.done_through, to, 1) else { return };
        if plan.policy.catch_up == CatchUp::Last {
            // The latest is all that is wanted: it takes the place of an older one.
            self.skip_backlog(Reason::Missed, cx);
        }
        let mut ranges = self.backlog.take().map_or(Vec::new(), |backlog| backlog.ranges);
        if ranges.len() >= limits::PENDING_PER_JOB {
            let oldest = ranges.remove(0);
            self.skip_missed(&oldest, Reason::Missed, cx);
        }
        let mut after = match wanted {
            0 => last,
            n => plan.calendar.latest(self.done_through, last, n + 1).unwrap_or(self.done_through),
        };
        // Before this instant a fire is too late to start at all.
        let too_late = plan.policy.deadline.map(|deadline| cx.now.wall.minus(deadline + plan.policy.splay));
        if let Some(late) = too_late.filter(|late| *late > after) {
            after = late.min(last);
        }
        if let Some(end) = plan.calendar.latest(self.done_through, after, 1) {
            let settled = Missed { job: cx.job.clone(), era: self.era, after: self.done_through, to: end };
            self.skip_missed(&settled, Reason::Missed, cx);
        }
        if after < last {
            self.keep_latest(
                &mut ranges,
                u64::from(wanted).saturating_sub(plan.calendar.count(after, last)),
                cx,
            );
            let missed = Missed { job: cx.job.clone(), era: self.era, after, to: last };
            cx.effects.entries.push(Entry::Missed(missed.clone()));
            ranges.push(missed);
        }
        self.line_up(ranges, agent, cx);
    }

    /// Settles what is due in `(done_through, to]` as one range, none of which will run.
    pub(super) fn skip_due(&mut self, to: WallTime, cx: &mut Cx<'_>) {
        let last = self.fires().and_then(|plan| plan.calendar.latest(self.done_through, to, 1));
        let Some(to) = last else { return };
        let settled = Missed { job: cx.job.clone(), era: self.era, after: self.done_through, to };
        self.skip_missed(&settled, Reason::Missed, cx);
        self.done_through = to;
        self.schedule_next();
    }

    /// Settles the oldest fires of the backlog until `most` are left.
    fn keep_latest(&self, ranges: &mut Vec<Missed>, mut most: u64, cx: &mut Cx<'_>) {
        let Some(calendar) = self.plan.as_ref().map(|plan| plan.calendar.clone()) else { return };
        for range in ranges.iter_mut().rev() {
            let count = calendar.count(range.after, range.to).max(1);
            if count > most {
                let left = u32::try_from(most).unwrap_or(u32::MAX);
                let to = if most == 0 { None } else { calendar.latest(range.after, range.to, left + 1) };
                let settled = Missed { to: to.unwrap_or(range.to), ..range.clone() };
                self.skip_missed(&settled, Reason::Missed, cx);
                range.after = settled.to;
            }
            most = most.saturating_sub(count);
        }
        ranges.retain(|range| range.after < range.to);
    }

    /// The backlog begins with the first fire of the first range.
    pub(super) fn line_up(&mut self, mut ranges: Vec<Missed>, agent: &AgentName, cx: &Cx<'_>) {
        ranges.retain(|range| range.after < range.to);
        let Some(first) = ranges.first() else {
            self.backlog = None;
            return;
        };
        let (era, due) = (first.era, self.first_of(first));
        let mut head = Life::new(Fire::Scheduled { era, due }, due, Trigger::CatchUp, cx.now);
        head.not_before = self.splayed(due, agent, cx.job);
        // The wall clock tells nothing about those of another era.
        head.anchor = (era != self.era).then_some(cx.now.boot);
        self.backlog = Some(Box::new(Backlog { ranges, head }));
    }

    /// The first fire of a range; a schedule that has changed since knows none, and then it is the last.
    fn first_of(&self, range: &Missed) -> WallTime {
        let next = self.plan.as_ref().and_then(|plan| plan.calendar.next(range.after));
        next.filter(|due| *due <= range.to).unwrap_or(range.to)
    }

    /// The backlog's first fire is accounted for: the next one takes its place.
    pub(super) fn next_in_line(
        &mut self,
        mut ranges: Vec<Missed>,
        done: WallTime,
        agent: &AgentName,
        cx: &Cx<'_>,
    ) {
        if let Some(first) = ranges.first_mut() {
            first.after = first.after.max(done);
        }
        self.line_up(ranges, agent, cx);
    }

    /// The start that `due` gets: later by the device's fixed splay.
    pub(super) fn splayed(&self, due: WallTime, agent: &AgentName, job: &JobName) -> WallTime {
        let Some(plan) = &self.plan else { return due };
        if plan.policy.splay.is_zero() {
            return due;
        }
        let gap = plan.calendar.next(due).map(|next| next.since(due));
        due.plus(schedule::splay(agent, job, plan.policy.splay, gap))
    }

    /// A fire meets what the job is doing: `overlap` decides.
    pub(super) fn born(&mut self, life: Life, cx: &mut Cx<'_>) {
        let Some(overlap) = self.plan.as_ref().map(|plan| plan.policy.overlap) else { return };
        let waiting = self.waiting();
        let refused = match overlap {
            _ if cx.room == 0 => Some(Reason::QueueFull),
            // Those of the main era are given back to it: as many as may wait.
            _ if self.frozen() > 0 && self.pending() >= limits::PENDING_PER_JOB => Some(Reason::QueueFull),
            _ if self.lives.is_empty() => None,
            Overlap::Skip => Some(Reason::Overlap),
            Overlap::Queue => (waiting > 0).then_some(Reason::QueueFull),
            Overlap::Replace => None,
            Overlap::Allow => (waiting >= limits::PENDING_PER_JOB).then_some(Reason::QueueFull),
        };
        if let Some(reason) = refused {
            life.give_up(reason, cx);
            return;
        }
        if overlap == Overlap::Replace {
            self.each_life(cx, |life| match life.stage {
                Stage::Waiting(_) => Some(LifeEvent::Over(Reason::Replaced)),
                Stage::Backoff { .. } | Stage::Starting(_) | Stage::Running(_) => {
                    Some(LifeEvent::Stop(StopWhy::Replaced))
                }
                Stage::Stopping(..) => None,
            });
        }
        self.lives.push(life);
    }

    /// Tells each life what `event` says of it, and keeps those that go on.
    pub(super) fn each_life(&mut self, cx: &mut Cx<'_>, event: impl Fn(&Life) -> Option<LifeEvent>) {
        let lives = core::mem::take(&mut self.lives);
        self.lives = lives
            .into_iter()
            .filter_map(|life| match event(&life) {
                Some(event) => life.on(event, cx),
                None => Some(life),
            })
            .collect();
    }

    /// Gives up all that waits: the job is removed, disabled or paused.
    pub(super) fn give_up_waiting(&mut self, reason: Reason, cx: &mut Cx<'_>) {
        if let Some(kept) = &mut self.kept {
            self.lives.append(&mut kept.frozen);
        }
        self.each_life(cx, |_| Some(LifeEvent::Over(reason)));
        self.skip_backlog(reason, cx);
    }

    /// Of a job that is paused nothing waits but what was asked for since.
    pub(super) fn stay_paused(&mut self, cx: &mut Cx<'_>) {
        let waits = |life: &Life| !life.holds_slot() && !matches!(life.fire, Fire::Manual { .. });
        self.each_life(cx, |life| waits(life).then_some(LifeEvent::Over(Reason::Paused)));
        self.skip_backlog(Reason::Paused, cx);
    }

    /// Settles what is left of the backlog.
    pub(super) fn skip_backlog(&mut self, reason: Reason, cx: &mut Cx<'_>) {
        let Some(backlog) = self.backlog.take() else { return };
        for range in &backlog.ranges {
            self.skip_missed(range, reason, cx);
        }
    }

    /// Settles missed fires as one range.
    fn skip_missed(&self, range: &Missed, reason: Reason, cx: &mut Cx<'_>) {
        let count = self.plan.as_ref().map_or(1, |plan| plan.calendar.count(range.after, range.to)).max(1);
        let covers = Covers { from: self.first_of(range), to: range.to, count };
        Life::skip_range(covers, range.era, reason, Trigger::CatchUp, cx);
    }

    /// Before the schedule changes: of the missed fires that wait only the latest is kept, since the new schedule could
    /// not name the others.
    pub(super) fn keep_latest_of_backlog(&mut self, agent: &AgentName, cx: &mut Cx<'_>) {
        let Some(mut ranges) = self.backlog.take().map(|backlog| backlog.ranges) else { return };
        let Some(last) = ranges.pop() else { return };
        for range in &ranges {
            self.skip_missed(range, Reason::Missed, cx);
        }
        let before_last = last.to.minus(SECOND);
        let end = self.plan.as_ref().and_then(|plan| plan.calendar.latest(last.after, before_last, 1));
        if let Some(to) = end {
            self.skip_missed(&Missed { to, ..last.clone() }, Reason::Missed, cx);
        }
        let last = Missed { after: before_last, ..last };
        cx.effects.entries.push(Entry::Missed(last.clone()));
        self.line_up(vec![last], agent, cx);
    }

    /// Settles the fires of a pause up to now, as one range.
    pub(super) fn settle_pause(&mut self, cx: &mut Cx<'_>) {
        let Some(calendar) = self.fires().map(|plan| plan.calendar.clone()) else { return };
        let Some(to) = calendar.latest(self.done_through, cx.now.wall, 1) else { return };
        let Some(from) = calendar.next(self.done_through) else { return };
        let covers = Covers { from, to, count: calendar.count(self.done_through, to) };
        Life::skip_range(covers, self.era, Reason::Paused, Trigger::Schedule, cx);
        self.done_through = to;
        self.schedule_next();
    }

    /// The schedule begins at now: nothing before is due. Never earlier than what is accounted for.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.done_through = self.done_through.max(cx.now.wall);
        cx.effects.entries.push(Entry::Began { job: cx.job.clone(), era: self.era, at: self.done_through });
        if let Some(kept) = &mut self.kept {
            kept.anew = true;
        }
        self.schedule_next();
    }

    /// What time alone brings about: deadlines, holds that are over, delays that are over, overdue runs.
    pub(super) fn expire(&mut self, agent: &AgentName, cx: &mut Cx<'_>) {
        let now = cx.now;
        if let Some(policy) = self.plan.as_ref().map(|plan| Rc::clone(&plan.policy)) {
            let rests = self.kept.is_some();
            if policy.otherwise == Otherwise::Run {
                let heads = self.backlog.iter_mut().filter(|_| !rests).map(|backlog| &mut backlog.head);
                for life in self.lives.iter_mut().chain(heads).filter(|life| hold_over(life, &policy, now)) {
                    life.force = true;
                }
            }
            self.each_life(cx, |life| expiry(life, &policy, now));
            // One after the other, in this turn: the next may be too late as well.
            while let Some(event) =
                self.waiting_backlog().and_then(|backlog| expiry(&backlog.head, &policy, now))
                && let Some(backlog) = self.backlog.take()
            {
                let Backlog { ranges, head } = *backlog;
                let due = head.due;
                self.lives.extend(head.on(event, cx));
                self.next_in_line(ranges, due, agent, cx);
            }
        }
        for life in &mut self.lives {
            if let (Stage::Running(run) | Stage::Stopping(run, _), Some(policy)) =
                (&mut life.stage, &life.terms)
                && !run.overdue
                && run.overdue_at(policy).is_some_and(|at| now.boot >= at)
            {
                run.overdue = true;
                let kind = EventKind::Overdue { job: cx.job.clone(), started: run.at };
                cx.effects.entries.push(Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind }));
            }
        }
    }

    /// The first instant at which time alone brings something about.
    pub(super) fn wake(&self, readiness: Readiness, now: Now) -> Option<WallTime> {
        let policy = self.plan.as_ref().map(|plan| &plan.policy);
        let of_life = |life: &Life| {
            // Late is after the deadline, not at it.
            let deadline = policy.and_then(|policy| life.deadline(policy, now)).map(|at| at.plus(SECOND));
            match &life.stage {
                Stage::Waiting(Waiting { stage: PendingStage::Splay, .. }) => Some(life.starts_at(now)),
                Stage::Waiting(waiting) => {
                    let hold = policy.filter(|_| waiting.stage == PendingStage::Gate && !life.force);
                    let over = hold.map(|policy| now.wall_at(waiting.since.plus(policy.hold)));
                    [deadline, over].into_iter().flatten().min()
                }
                Stage::Backoff { until } => [deadline, Some(now.wall_at(*until))].into_iter().flatten().min(),
                Stage::Running(run) | Stage::Stopping(run, _) if !run.overdue => {
                    Some(now.wall_at(run.overdue_at(life.terms.as_ref()?)?))
                }
                Stage::Running(_) | Stage::Starting(_) | Stage::Stopping(..) => None,
            }
        };
        let head = self.waiting_backlog().and_then(|backlog| {
            let splayed = Some(backlog.head.starts_at(now)).filter(|at| *at > now.wall);
            splayed.or_else(|| of_life(&backlog.head))
        });
        self.lives.iter().filter_map(of_life).chain(head).chain(self.due_at(readiness)).min()
    }
}

/// Whether the gate of a waiting fire stayed shut for as long as its definition holds it.
fn hold_over(life: &Life, policy: &Policy, now: Now) -> bool {
    match &life.stage {
        Stage::Waiting(waiting) => {
            waiting.stage == PendingStage::Gate && !life.force && now.boot >= waiting.since.plus(policy.hold)
        }
        Stage::Starting(_) | Stage::Running(_) | Stage::Stopping(..) | Stage::Backoff { .. } => false,
    }
}

/// What time alone does to a fire that does not run.
fn expiry(life: &Life, policy: &Policy, now: Now) -> Option<LifeEvent> {
    let too_late = life.deadline(policy, now).is_some_and(|deadline| now.wall > deadline);
    match &life.stage {
        Stage::Waiting(_) | Stage::Backoff { .. } if too_late => Some(LifeEvent::Over(Reason::Deadline)),
        Stage::Waiting(_) if hold_over(life, policy, now) => Some(match policy.otherwise {
            Otherwise::Fail => LifeEvent::GateFailed,
            Otherwise::Skip | Otherwise::Run => LifeEvent::Over(Reason::Gate),
        }),
        Stage::Backoff { until } => (now.boot >= *until).then_some(LifeEvent::DelayOver),
        Stage::Waiting(_) | Stage::Starting(_) | Stage::Running(_) | Stage::Stopping(..) => None,
    }
}
