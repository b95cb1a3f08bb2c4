//! What people, the centre and the jobs directory ask of the core.

use crate::job::{
    AgentName, CommandMark, DeviceEvent, Entry, Eras, EventKind, Fire, JobName, Now, Reason, Refusal,
    RefusalKind, Reply, StopWhy, Taken, Trigger, WallTime, limits,
};

use super::clock::{ClockWatch, Readiness};
use super::event::{AskId, Force};
use super::job::Job;
use super::life::{Cx, Life, LifeEvent, Stage};
use super::plan::Plan;
use super::{Scheduler, Settings, Turn};

impl Scheduler {
    /// A definition comes in force. A change of schedule, zone or `enabled` settles what was due by the old one and
    /// begins at now; any other change concerns the next start only.
    pub(super) fn define(&mut self, name: &JobName, plan: Plan, turn: &mut Turn<'_>) {
        let plan = self.share(plan);
        let (due, eras) = (Due::of(&self.clock, &self.eras, &self.settings, turn.now), &self.eras);
        // Before what was lived it may have fired, and been forgotten.
        let begins = self.clock.lived(eras).max(Some(turn.now.wall)).unwrap_or(turn.now.wall);
        let job = self.jobs.entry(name.clone()).or_insert_with(|| Job::begun(eras, begins));
        if job.plan.as_ref().is_some_and(|old| old.same_schedule(&plan)) {
            job.plan = Some(plan);
            return;
        }
        turn.with(name, job, |job, cx| {
            job.settle(due, cx);
            job.keep_latest_of_backlog(due.agent, cx);
            job.plan = Some(plan);
            job.begin(cx);
        });
    }

    /// Nothing defines the job any longer: what waits is given up, what runs goes on to its end.
    pub(super) fn remove(&mut self, name: &JobName, turn: &mut Turn<'_>) {
        let due = Due::of(&self.clock, &self.eras, &self.settings, turn.now);
        let Some(job) = self.jobs.get_mut(name) else { return };
        turn.with(name, job, |job, cx| {
            job.settle(due, cx);
            job.give_up_waiting(Reason::Removed, cx);
            job.plan = None;
            job.schedule_next();
        });
    }

    pub(super) fn run(
        &mut self,
        name: &JobName,
        command: CommandMark,
        force: Force,
        ask: AskId,
        turn: &mut Turn<'_>,
    ) {
        let id = command.id.clone();
        if let Some(answer) = self.known_command(name, &command, turn.now) {
            let answer = answer.unwrap_or(Reply::Accepted { id });
            return turn.effects.answer(ask, answer);
        }
        let Some(job) = known(&mut self.jobs, name, ask, turn) else { return };
        if job.fires().is_none() {
            let message = format!("{name} is disabled; set enabled = true in its definition first");
            return turn.effects.answer(ask, refusal(RefusalKind::Conflict, message));
        }
        turn.with(name, job, |job, cx| {
            let fire = Fire::Manual { id: id.clone() };
            let mut life = Life::asked(fire, Trigger::Manual, cx.now);
            life.force = force == Force::Yes;
            job.born(life, cx);
        });
        turn.effects.answer(ask, Reply::Accepted { id });
        self.remember(name, Some(command), turn);
    }

    /// The answer to a command that is not carried out: `None` within for one that was, when it came first.
    fn known_command(&self, name: &JobName, command: &CommandMark, now: Now) -> Option<Option<Reply>> {
        let CommandMark { id, until } = command;
        match self.commands.find(id) {
            Some(taken) if taken.job == *name => Some(None),
            Some(taken) => Some(Some(refusal(
                RefusalKind::Conflict,
                format!("{id} was a command for {}; each command needs an id of its own", taken.job),
            ))),
            // Forgetting one that may come again would carry that out twice.
            None if until.is_some() && !self.commands.has_room(now.wall) => {
                let most = limits::COMMAND_IDS;
                let message =
                    format!("{most} commands are remembered until their not_after; ask again later");
                Some(Some(refusal(RefusalKind::Busy, message)))
            }
            None => None,
        }
    }

    /// The same for what is answered by words.
    fn is_new(&self, name: &JobName, command: Option<&CommandMark>, ask: AskId, turn: &mut Turn<'_>) -> bool {
        let Some(command) = command else { return true };
        let Some(answer) = self.known_command(name, command, turn.now) else { return true };
        let again = || Reply::Done { message: format!("{} has been taken before", command.id) };
        turn.effects.answer(ask, answer.unwrap_or_else(again));
        false
    }

    fn remember(&mut self, name: &JobName, command: Option<CommandMark>, turn: &mut Turn<'_>) {
        let Some(CommandMark { id, until }) = command else { return };
        let taken = Taken { id, job: name.clone(), until };
        turn.effects.entries.push(Entry::Taken(taken.clone()));
        self.commands.remember(taken);
    }

    pub(super) fn stop(
        &mut self,
        name: &JobName,
        by: &str,
        command: Option<CommandMark>,
        ask: AskId,
        turn: &mut Turn<'_>,
    ) {
        if !self.is_new(name, command.as_ref(), ask, turn) {
            return;
        }
        let Some(job) = known(&mut self.jobs, name, ask, turn) else { return };
        let concerned = |life: &Life| {
            matches!(life.stage, Stage::Starting(_) | Stage::Running(_)) || life.stage.is_backoff()
        };
        let count = job.lives.iter().filter(|life| concerned(life)).count();
        if count == 0 {
            let message = format!("no run of {name} is going on");
            turn.effects.answer(ask, refusal(RefusalKind::Conflict, message));
            // Delivered again, it must not stop what was started since.
            return self.remember(name, command, turn);
        }
        let why = StopWhy::Command { by: by.to_owned() };
        turn.with(name, job, |job, cx| {
            job.each_life(cx, |life| concerned(life).then(|| LifeEvent::Stop(why.clone())));
        });
        self.remember(name, command, turn);
        let runs = if count == 1 { "run" } else { "runs" };
        turn.effects.answer(ask, Reply::Done { message: format!("stopping {count} {runs} of {name}") });
    }

    /// What waits, for a retry too, goes on waiting: after the boot it is what was missed.
    pub(super) fn end_runs(&mut self, by: &str, ask: AskId, turn: &mut Turn<'_>) {
        self.ending.get_or_insert_default().push(ask);
        let why = StopWhy::Command { by: by.to_owned() };
        for (name, job) in &mut self.jobs {
            turn.with(name, job, |job, cx| {
                let goes_on = |life: &Life| matches!(life.stage, Stage::Starting(_) | Stage::Running(_));
                job.each_life(cx, |life| goes_on(life).then(|| LifeEvent::Stop(why.clone())));
            });
        }
    }

    /// Once nothing runs any more, those who wait for that hear of it, when it is durable.
    pub(super) fn answer_ended(&mut self, turn: &mut Turn<'_>) {
        let Some(asks) = self.ending.as_mut().filter(|asks| !asks.is_empty()) else { return };
        if self.jobs.values().flat_map(|job| &job.lives).any(Life::holds_slot) {
            return;
        }
        for ask in asks.drain(..) {
            let message = "every run has ended; nothing starts until the agent does".to_owned();
            turn.effects.answer(ask, Reply::Done { message });
        }
    }

    pub(super) fn pause(
        &mut self,
        name: &JobName,
        command: Option<CommandMark>,
        ask: AskId,
        turn: &mut Turn<'_>,
    ) {
        if !self.is_new(name, command.as_ref(), ask, turn) {
            return;
        }
        let due = Due::of(&self.clock, &self.eras, &self.settings, turn.now);
        let Some(job) = known(&mut self.jobs, name, ask, turn) else { return };
        if job.paused.is_none() {
            turn.with(name, job, |job, cx| {
                job.settle(due, cx);
                job.give_up_waiting(Reason::Paused, cx);
                job.paused = Some(cx.now.wall);
                cx.effects.entries.push(Entry::Paused { job: cx.job.clone(), at: cx.now.wall });
                let kind = EventKind::Paused { job: cx.job.clone() };
                cx.effects.entries.push(Entry::Event(DeviceEvent {
                    at: cx.now.wall,
                    clock: cx.now.clock,
                    kind,
                }));
            });
        }
        self.remember(name, command, turn);
        turn.effects.answer(ask, Reply::Done { message: format!("{name} is paused") });
    }

    pub(super) fn resume(
        &mut self,
        name: &JobName,
        command: Option<CommandMark>,
        ask: AskId,
        turn: &mut Turn<'_>,
    ) {
        if !self.is_new(name, command.as_ref(), ask, turn) {
            return;
        }
        let due = Due::of(&self.clock, &self.eras, &self.settings, turn.now);
        let Some(job) = known(&mut self.jobs, name, ask, turn) else { return };
        if job.paused.is_some() {
            turn.with(name, job, |job, cx| {
                job.settle(due, cx);
                job.paused = None;
                cx.effects.entries.push(Entry::Resumed { job: cx.job.clone() });
                let kind = EventKind::Resumed { job: cx.job.clone() };
                cx.effects.entries.push(Entry::Event(DeviceEvent {
                    at: cx.now.wall,
                    clock: cx.now.clock,
                    kind,
                }));
            });
        }
        self.remember(name, command, turn);
        turn.effects.answer(ask, Reply::Done { message: format!("{name} fires again") });
    }
}

/// By what is settled what was due.
#[derive(Clone, Copy)]
struct Due<'a> {
    readiness: Readiness,
    agent: &'a AgentName,
    main: u32,
    newest: Option<WallTime>,
}

impl<'a> Due<'a> {
    /// Whether or not the clock is waited for: what follows moves `done_through`.
    fn of(clock: &ClockWatch, eras: &Eras, settings: &'a Settings, now: Now) -> Self {
        let (readiness, newest) = (clock.ready(now), clock.newest());
        Self { readiness, agent: &settings.agent, main: eras.main, newest }
    }
}

impl Job {
    /// Accounts for all that is due up to now, by the schedule that is in force.
    fn settle(&mut self, due: Due<'_>, cx: &mut Cx<'_>) {
        self.settle_main(due.main, due.newest, cx);
        if self.paused.is_some() {
            self.settle_pause(cx);
        } else {
            self.fall_due(due.readiness, due.agent, cx);
        }
    }
}

/// The job that a command names, if a definition of it is in force; else the answer is given.
fn known<'a>(
    jobs: &'a mut std::collections::BTreeMap<JobName, Box<Job>>,
    name: &JobName,
    ask: AskId,
    turn: &mut Turn<'_>,
) -> Option<&'a mut Job> {
    let job = jobs.get_mut(name).filter(|job| job.plan.is_some());
    if job.is_none() {
        let message = format!("no job {name}; `leafcron list` names those in force");
        turn.effects.answer(ask, refusal(RefusalKind::UnknownJob, message));
    }
    job.map(Box::as_mut)
}

fn refusal(kind: RefusalKind, message: String) -> Reply {
    Reply::Refused(Refusal { kind, message })
}
