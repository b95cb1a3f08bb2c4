//! When another era counts: what was due by the clock as it was is settled by that, then every job goes by the other one.

use super::clock::Readiness;
use super::event::Effects;
use super::job::Job;
use super::life::{Cx, Life, Stage};
use super::{Scheduler, Turn};
use crate::job::{AgentName, DeviceEvent, Entry, Eras, EventKind, Fire, Now, WallTime};

/// What of the main era stands still while a provisional one counts.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// How far its fires are accounted for; `None`: it has not begun for this job.
    pub(super) done_through: Option<WallTime>,
    /// The definition was accepted meanwhile: it begins when the main era goes on.
    pub(super) anew: bool,
    /// Fires that wait since an earlier boot: nobody knows how late they are.
    pub(super) frozen: Vec<Life>,
}

/// What becomes of the main era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A provisional one counts.
    StandsStill,
    /// It counts again.
    GoesOn,
    /// It had been wrong.
    Ends,
}

impl Change {
    fn of(old: &Eras, next: &Eras) -> Self {
        match next.provisional {
            _ if next.main != old.main => Self::Ends,
            Some(_) => Self::StandsStill,
            None => Self::GoesOn,
        }
    }
}

/// How the era that counted comes to its end.
struct Leaving<'a> {
    change: Change,
    /// What was due by then is settled; `None`: nobody knows how far it was lived.
    due: Option<Now>,
    /// Of what it showed calendar jobs have believed nothing yet.
    awaited: bool,
    /// What was on time then.
    readiness: Readiness,
    agent: &'a AgentName,
}

impl Scheduler {
    /// Looks at the clock: before anything else is done with it.
    pub(super) fn look(&mut self, now: Now, effects: &mut Effects) {
        let seen = self.clock.look(now, &self.eras);
        let old_newest = self.clock.newest();
        if let Some(next) = self.clock.judge(now, &self.eras, self.boot) {
            self.turn_to(next, seen.before, old_newest, now, effects);
        }
        if let Some(by_ms) = seen.step_ms {
            let kind = EventKind::ClockStep { by_ms };
            effects.entries.push(Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind }));
        }
        self.readiness = self.clock.readiness(now);
    }

    /// Another era counts, or the main one again.
    pub(super) fn turn_to(
        &mut self,
        next: Eras,
        before: Option<WallTime>,
        newest: Option<WallTime>,
        now: Now,
        effects: &mut Effects,
    ) {
        let old = core::mem::replace(&mut self.eras, next.clone());
        let change = Change::of(&old, &next);
        let ends = change == Change::Ends;
        // An era that is over is settled up to where it was lived, though the agent has not lived it.
        let over = ends || old.provisional.is_some();
        let at = |wall| Now { wall, ..now };
        let due = if over { next.until } else { before }.map(at);
        let before = before.or(next.until.filter(|_| over)).map(at);
        let readiness = self.clock.ready(due.unwrap_or(now));
        let (awaited, agent) = (self.clock.waits(), &self.settings.agent);
        let leaving = Leaving { change, due, awaited, readiness, agent };
        self.calm = None;
        let mut turn = Turn { now, boot: self.boot, effects, waiting: self.waiting(), stirred: true };
        for (name, job) in &mut self.jobs {
            turn.with(name, job, |job, cx| {
                job.leave(&leaving, cx);
                if ends {
                    job.settle_main(old.main, newest, cx);
                }
            });
            job.enter(change, &next, before, now);
            // What waits is known by its own entry from now on, not by how far the era that is left was.
            job.touched |= !job.lives.is_empty();
        }
        turn.effects.entries.push(Entry::Eras(next));
    }
}

impl Job {
    /// Settles what was due in the era that is left.
    fn leave(&mut self, leaving: &Leaving<'_>, cx: &mut Cx<'_>) {
        let Some(due) = leaving.due else { return };
        let now = core::mem::replace(&mut cx.now, due);
        let awaits = self.plan.as_ref().is_some_and(|plan| plan.calendar.waits_for_clock());
        match (self.paused, &self.kept) {
            // The pause goes on when the main era does.
            (Some(_), None) if leaving.change == Change::StandsStill => {}
            (Some(_), _) => self.settle_pause(cx),
            // What an implausible clock said while nobody believed it.
            (None, Some(_)) if leaving.awaited && awaits => self.skip_due(cx.now.wall, cx),
            (None, _) => self.fall_due(leaving.readiness, leaving.agent, cx),
        }
        cx.now = now;
    }

    /// Settles what of the main era was due before it stood still, and was not looked at: a pause, or a wait for the clock.
    pub(super) fn settle_main(&mut self, main: u32, newest: Option<WallTime>, cx: &mut Cx<'_>) {
        // Of a definition that was accepted since, nothing was due in it.
        let stands = self.kept.as_ref().filter(|kept| !kept.anew).and_then(|kept| kept.done_through);
        let (Some(newest), Some(done)) = (newest, stands) else { return };
        let provisional = (self.era, self.done_through);
        let now = cx.now;
        cx.now.wall = newest;
        (self.era, self.done_through) = (main, done);
        if self.paused.is_some() {
            self.settle_pause(cx)
        } else {
            self.skip_due(newest, cx)
        }
        let done = Some(self.done_through);
        (self.era, self.done_through) = provisional;
        if let Some(kept) = &mut self.kept {
            kept.done_through = done;
        }
        cx.now = now;
        self.schedule_next();
    }

    /// Goes by another era from now on.
    fn enter(&mut self, change: Change, next: &Eras, before: Option<Now>, now: Now) {
        let stood = self.done_through;
        (self.era, self.done_through) = (next.current(), now.wall);
        match change {
            // One provisional era after the other: what stands still goes on doing so.
            Change::StandsStill => {
                let stands = || Box::new(Kept { done_through: Some(stood), ..Kept::default() });
                self.kept.get_or_insert_with(stands);
            }
            Change::GoesOn => {
                let kept = self.thaw();
                self.done_through = match kept.done_through {
                    Some(stood) if !kept.anew => stood,
                    stood => stood.map_or(next.begins(), |stood| stood.max(next.begins())),
                };
            }
            Change::Ends => drop(self.thaw()),
        }
        let head = self.backlog.iter_mut().map(|backlog| &mut backlog.head);
        for life in self.lives.iter_mut().chain(head) {
            life.cross(next.current(), before, now);
        }
        self.schedule_next();
    }

    /// What stood still.
    fn thaw(&mut self) -> Kept {
        let mut kept = self.kept.take().map(|kept| *kept).unwrap_or_default();
        if !kept.frozen.is_empty() {
            self.lives.append(&mut kept.frozen);
            self.lives.sort_by_key(|life| (life.run().is_none(), life.due));
        }
        kept
    }
}

impl Life {
    /// The wall clock tells nothing about a fire of another era: it goes by the boot clock from now on.
    fn cross(&mut self, current: u32, before: Option<Now>, now: Now) {
        let Fire::Scheduled { era, .. } = self.fire else { return };
        if era == current {
            self.anchor = None;
            return;
        }
        self.anchor.get_or_insert_with(|| before.map_or(now.boot, |before| before.boot_at(self.not_before)));
        if let Stage::Waiting(waiting) = &mut self.stage {
            waiting.noted = false;
        }
    }
}
