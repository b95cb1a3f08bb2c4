//! The life of one fire (DESIGN section 6): a total `match (stage, event)`.
//!
//! ```text
//!            ┌──────────── delay over ────────────┐
//!            ▼                                    │
//!   born ▶ Waiting ─ admitted ▶ Starting ─ started ▶ Running ─ ended ▶ Backoff | settled
//!            │                    │                    │ stop
//!            │ given up           │ not stored         ▼
//!            ▼                    ▼                  Stopping ─ ended ▶ settled
//!          settled              settled | started all the same
//! ```

use std::rc::Rc;

use crate::job::{
    BootId, BootTime, Entry, Fire, Intent, JobName, LastAttempt, LastRun, Now, OnInterrupt, Outcome,
    PendingStage, Readings, Reason, Record, Revision, RunId, StopWhy, Trigger, Unrecorded, WallTime,
};

use super::event::{Act, Effects, Ending, Failure, How, RunEnd, Start};
use super::plan::{Plan, Policy};

/// A fire that is not settled.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) fire: Fire,
    /// The nominal instant, or when it was asked for.
    pub(super) due: WallTime,
    /// `due` and the splay: where the deadline counts from.
    pub(super) not_before: WallTime,
    pub(super) trigger: Trigger,
    /// Starts so far, one that is going on included.
    pub(super) attempt: u8,
    /// Its gate is passed over.
    pub(super) force: bool,
    pub(super) last: Option<LastAttempt>,
    /// The readings that decided.
    pub(super) gate: Readings,
    /// The definition that it was started with.
    pub(super) revision: Option<Revision>,
    /// What that says of its end; `None` after a restart in which nothing defines the job.
    pub(super) terms: Option<Rc<Policy>>,
    /// What it called a success, where it was started before a restart.
    pub(super) success_exit_codes: Option<Vec<u8>>,
    /// In place of `not_before` for a fire of which the wall clock tells nothing: no calendar made it due, or that of
    /// another era.
    pub(super) anchor: Option<BootTime>,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    Waiting(Waiting),
    Starting(Run),
    Running(Run),
    Stopping(Run, StopWhy),
    Backoff { until: BootTime },
}

/// A fire that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) stage: PendingStage,
    /// Since when in this stage.
    pub(super) since: BootTime,
    /// Whether the journal has it as pending in this stage.
    pub(super) noted: bool,
    /// What its gate lacks, for people.
    pub(super) shut: Vec<String>,
    pub(super) check: Check,
    /// How often that has failed.
    pub(super) failures: u8,
}

/// What is known of the `check` command of a waiting fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Unknown,
    Going(RunId),
    Passed(BootTime),
    Failed(BootTime),
}

/// A fire that holds a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) run: RunId,
    /// When its intent was made.
    pub(super) at: WallTime,
    pub(super) since: BootTime,
    pub(super) pid: Option<u32>,
    /// Since when it is told to stop.
    pub(super) stopping: Option<BootTime>,
    /// Whether it has been reported as overdue.
    pub(super) overdue: bool,
}

impl Run {
    /// When it is overdue: longer than its definition expects, or than a tree takes to end.
    pub(super) fn overdue_at(&self, policy: &Policy) -> Option<BootTime> {
        let after =
            |since: Option<BootTime>, length: Option<core::time::Duration>| Some(since?.plus(length?));
        let long = after(Some(self.since), policy.warn_after);
        let timed_out = after(Some(self.since), policy.ends_within);
        [long, timed_out, after(self.stopping, policy.stops_within)].into_iter().flatten().min()
    }
}

#[derive(Debug)]
pub(super) enum LifeEvent {
    Admitted(RunId),
    Started {
        pid: u32,
    },
    Ended(RunEnd),
    NeverStarted,
    NotStored,
    Stop(StopWhy),
    /// Given up while it waits: the reason of its final record.
    Over(Reason),
    /// Its gate stayed shut and `otherwise = "fail"`.
    GateFailed,
    DelayOver,
}

/// What a life sees of its surroundings.
pub(super) struct Cx<'a> {
    pub(super) now: Now,
    pub(super) boot: BootId,
    pub(super) job: &'a JobName,
    pub(super) plan: Option<&'a Plan>,
    /// The era that counts.
    pub(super) era: u32,
    /// Why no further start is allowed, if so.
    pub(super) barred: Option<Reason>,
    pub(super) effects: &'a mut Effects,
    /// How many more fires may wait, in all.
    pub(super) room: usize,
    /// No more fires of this job may wait, for another attempt either.
    pub(super) full: bool,
    /// The last final record that was made.
    pub(super) settled: Option<LastRun>,
    /// What the job's own command is to hear.
    pub(super) failures: Vec<Failure>,
}

impl Waiting {
    pub(super) fn fresh(now: Now) -> Self {
        Self {
            stage: PendingStage::Slot,
            since: now.boot,
            noted: false,
            shut: Vec::new(),
            check: Check::Unknown,
            failures: 0,
        }
    }

    /// Waits for something else from now on: the journal must hear of it.
    pub(super) fn wait_for(&mut self, stage: PendingStage, now: Now) {
        if self.stage != stage {
            (self.stage, self.since, self.noted) = (stage, now.boot, false);
        }
    }
}

impl Life {
    pub(super) fn new(fire: Fire, due: WallTime, trigger: Trigger, now: Now) -> Self {
        Self {
            fire,
            due,
            not_before: due,
            trigger,
            attempt: 0,
            force: false,
            last: None,
            gate: Readings::default(),
            revision: None,
            terms: None,
            success_exit_codes: None,
            anchor: None,
            stage: Stage::Waiting(Waiting::fresh(now)),
        }
    }

    /// A fire that is due because somebody or something asks: its deadline counts from now, whatever the wall clock does.
    pub(super) fn asked(fire: Fire, trigger: Trigger, now: Now) -> Self {
        Self { anchor: Some(now.boot), ..Self::new(fire, now.wall, trigger, now) }
    }

    /// When it is too late to start it.
    pub(super) fn deadline(&self, policy: &Policy, now: Now) -> Option<WallTime> {
        policy.deadline.map(|deadline| self.starts_at(now).plus(deadline))
    }

    /// When it may start at the earliest, by this clock: where its deadline counts from.
    pub(super) fn starts_at(&self, now: Now) -> WallTime {
        self.anchor.map_or(self.not_before, |anchor| now.wall_at(anchor))
    }

    pub(super) fn holds_slot(&self) -> bool {
        self.run().is_some()
    }

    pub(super) fn is_checking(&self) -> bool {
        matches!(&self.stage, Stage::Waiting(Waiting { check: Check::Going(_), .. }))
    }

    pub(super) fn run(&self) -> Option<&Run> {
        match &self.stage {
            Stage::Starting(run) | Stage::Running(run) | Stage::Stopping(run, _) => Some(run),
            Stage::Waiting(_) | Stage::Backoff { .. } => None,
        }
    }

    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        match &mut self.stage {
            Stage::Waiting(waiting) => Some(waiting),
            Stage::Starting(_) | Stage::Running(_) | Stage::Stopping(..) | Stage::Backoff { .. } => None,
        }
    }

    /// What follows: the life goes on, or `None`: it is settled.
    pub(super) fn on(self, event: LifeEvent, cx: &mut Cx<'_>) -> Option<Self> {
        use LifeEvent as E;
        use Stage as S;
        match (&self.stage, event) {
            (S::Waiting(_), E::Admitted(run)) => Some(self.start(run, cx)),
            (S::Waiting(_), E::Over(reason)) => self.give_up(reason, cx),
            (S::Waiting(_), E::GateFailed) => self.fail_at_the_gate(cx),
            (S::Starting(run), E::Started { pid }) => {
                let run = Run { pid: Some(pid), ..*run };
                Some(Self { stage: S::Running(run), ..self })
            }
            (S::Starting(_), E::NeverStarted) => Some(self.wait_again(cx)),
            // Its runner was seen alive and died before the command began: a start that failed.
            (S::Running(run), E::NeverStarted) => {
                let run = *run;
                let detail = "its runner died before it started the command".to_owned();
                self.conclude(run, RunEnd::without_result(How::NotStarted { detail }), cx)
            }
            (S::Starting(run), E::NotStored) => {
                let run = run.run;
                self.not_stored(run, cx)
            }
            (S::Stopping(run, _), E::NotStored) => {
                let run = run.run;
                self.never_ran(Reason::Disk, run, cx)
            }
            // Stopped before its command began.
            (S::Stopping(run, _), E::NeverStarted) => {
                let run = *run;
                self.conclude(run, RunEnd::without_result(How::Stopped(Ending::default())), cx)
            }
            (S::Starting(run) | S::Running(run), E::Stop(why)) => {
                let run = Run { stopping: Some(cx.now.boot), ..*run };
                cx.effects.entries.push(Entry::Stopping { run: run.run, why: why.clone() });
                cx.effects.acts.push(Act::Stop { run: run.run });
                Some(Self { stage: S::Stopping(run, why), ..self })
            }
            // Found again after a restart, or only now up: it may not have been told.
            (S::Stopping(run, why), E::Started { pid }) => {
                let (run, why) = (Run { pid: Some(pid), ..*run }, why.clone());
                cx.effects.acts.push(Act::Stop { run: run.run });
                Some(Self { stage: S::Stopping(run, why), ..self })
            }
            (S::Starting(run) | S::Running(run) | S::Stopping(run, _), E::Ended(end)) => {
                let run = *run;
                self.conclude(run, end, cx)
            }
            (S::Backoff { .. }, E::DelayOver) => Some(self.wait_again_after_delay(cx)),
            (S::Backoff { .. }, E::Over(reason)) => self.give_up(reason, cx),
            (S::Backoff { .. }, E::Stop(why)) => {
                let reason = why.reason();
                self.give_up(reason, cx)
            }
            // What comes too late, or to a fire that it cannot concern, changes nothing.
            (S::Waiting(_), E::Started { .. } | E::Ended(_) | E::NeverStarted | E::NotStored)
            | (S::Waiting(_), E::Stop(_) | E::DelayOver)
            | (S::Starting(_), E::Admitted(_) | E::Over(_) | E::GateFailed | E::DelayOver)
            | (S::Running(_), E::Admitted(_) | E::Started { .. } | E::NotStored)
            | (S::Running(_), E::Over(_) | E::GateFailed | E::DelayOver)
            | (S::Stopping(..), E::Admitted(_) | E::Stop(_) | E::Over(_) | E::GateFailed | E::DelayOver)
            | (S::Backoff { .. }, E::Admitted(_) | E::Started { .. } | E::Ended(_) | E::NeverStarted)
            | (S::Backoff { .. }, E::NotStored | E::GateFailed) => Some(self),
        }
    }

    fn start(mut self, run: RunId, cx: &mut Cx<'_>) -> Self {
        // Only a job with a plan is admitted; without one the life waits on, to be given up.
        let Some(plan) = cx.plan else { return self };
        self.attempt = self.attempt.saturating_add(1);
        self.revision = Some(plan.revision);
        self.terms = Some(Rc::clone(&plan.policy));
        self.success_exit_codes = None;
        let (due, trigger, attempt) = (self.due, self.trigger, self.attempt);
        cx.effects.entries.push(Entry::Intent(Intent {
            key: self.key(cx),
            due,
            trigger,
            attempt,
            run,
            revision: plan.revision,
            at: cx.now.wall,
            boot: cx.boot,
        }));
        if plan.policy.success_exit_codes != [0] {
            let codes = plan.policy.success_exit_codes.clone();
            cx.effects.entries.push(Entry::SuccessExitCodes { run, codes });
        }
        cx.effects.acts.push(Act::Start(Start { run, key: self.key(cx), due, trigger, attempt }));
        self.stage = Stage::Starting(Run {
            run,
            at: cx.now.wall,
            since: cx.now.boot,
            pid: None,
            stopping: None,
            overdue: false,
        });
        self
    }

    /// The command never started: the fire starts anew, and this start does not count.
    fn wait_again(mut self, cx: &mut Cx<'_>) -> Self {
        if let Some(run) = self.run() {
            cx.effects.acts.push(Act::Clear { run: run.run });
        }
        self.attempt = self.attempt.saturating_sub(1);
        // In place of the intent, before its directory goes.
        self.note_pending(PendingStage::Slot, cx.now.boot, cx.now.boot, cx);
        self.wait_again_after_delay(cx)
    }

    fn wait_again_after_delay(mut self, cx: &mut Cx<'_>) -> Self {
        // Already durable as pending.
        self.stage = Stage::Waiting(Waiting { noted: true, ..Waiting::fresh(cx.now) });
        self
    }

    fn not_stored(self, run: RunId, cx: &mut Cx<'_>) -> Option<Self> {
        let all_the_same = self.terms.as_ref().is_some_and(|policy| {
            policy.unrecorded == Unrecorded::Run || policy.on_interrupt == OnInterrupt::Rerun
        });
        if !all_the_same {
            return self.never_ran(Reason::Disk, run, cx);
        }
        let (due, trigger, attempt) = (self.due, self.trigger, self.attempt);
        cx.effects.acts.push(Act::Start(Start { run, key: self.key(cx), due, trigger, attempt }));
        Some(self)
    }

    fn never_ran(mut self, reason: Reason, run: RunId, cx: &mut Cx<'_>) -> Option<Self> {
        self.attempt = self.attempt.saturating_sub(1);
        cx.effects.acts.push(Act::Clear { run });
        self.give_up(reason, cx)
    }

    /// A run is over: another attempt follows, or its fire is settled.
    fn conclude(mut self, run: Run, end: RunEnd, cx: &mut Cx<'_>) -> Option<Self> {
        let record = self.record_of(run, end, cx);
        let again =
            if matches!(self.stage, Stage::Stopping(..)) { None } else { self.another_start(record.outcome) };
        let no_more = cx.barred.or(cx.full.then_some(Reason::QueueFull));
        let given_up = if again.is_some() { no_more } else { None };
        let last = again.is_none() || given_up.is_some();
        let record = Record { last, reason: given_up.or(record.reason), ..record };
        self.last = Some(LastAttempt {
            outcome: record.outcome,
            reason: record.reason,
            exit_code: record.exit_code,
            signal: record.signal,
            started: record.started,
        });
        self.emit(record, cx);
        cx.effects.acts.push(Act::Clear { run: run.run });
        let delay = again.filter(|_| !last)?;
        self.stage = Stage::Backoff { until: cx.now.boot.plus(delay) };
        self.note_pending(PendingStage::Backoff, cx.now.boot, cx.now.boot.plus(delay), cx);
        Some(self)
    }

    /// The delay before another start, if the definition grants one after this outcome.
    fn another_start(&self, outcome: Outcome) -> Option<core::time::Duration> {
        let policy = self.terms.as_ref()?;
        let starts = match outcome {
            Outcome::Failed | Outcome::TimedOut => policy.retry.attempts,
            Outcome::Interrupted if policy.on_interrupt == OnInterrupt::Rerun => policy.rerun_starts(),
            Outcome::Interrupted | Outcome::Succeeded | Outcome::Stopped | Outcome::Skipped => 0,
        };
        (self.attempt < starts).then(|| policy.retry.delay_after(self.attempt))
    }
}
