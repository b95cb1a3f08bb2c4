//! What the journal hears of a life: the record of each attempt, how the fire was settled, and what it waits for.

use crate::job::{
    BootTime, Covers, Entry, Fire, FireKey, LastRun, Outcome, Pending, PendingStage, Reason, Record, StopWhy,
    Trigger, limits,
};

use super::event::{Ending, Failure, How, RunEnd};
use super::life::{Cx, Life, Run, Stage};

impl Life {
    pub(super) fn record_of(&self, run: Run, end: RunEnd, cx: &Cx<'_>) -> Record {
        let terms = self.terms.as_ref().map(|policy| &policy.success_exit_codes);
        let success = |code: u8| match self.success_exit_codes.as_ref().or(terms) {
            Some(codes) => codes.contains(&code),
            None => code == 0,
        };
        let by_itself = |exit_code, signal| Ending { exit_code, signal };
        let mut detail = end.detail;
        let mut stopped_by = None;
        let (outcome, reason, ending) = match end.how {
            How::Exited(code) if success(code) => (Outcome::Succeeded, None, by_itself(Some(code), None)),
            How::Exited(code) => (Outcome::Failed, None, by_itself(Some(code), None)),
            How::Signaled(signal) => (Outcome::Failed, None, by_itself(None, Some(signal))),
            How::TimedOut(ending) => (Outcome::TimedOut, None, ending),
            How::Stopped(ending) => {
                let why = if let Stage::Stopping(_, why) = &self.stage { Some(why) } else { None };
                if let Some(StopWhy::Command { by }) = why {
                    stopped_by = Some(by.clone());
                }
                (Outcome::Stopped, why.map(StopWhy::reason), ending)
            }
            How::NotStarted { detail: said } => {
                detail = Some(said);
                (Outcome::Failed, Some(Reason::Start), Ending::default())
            }
            How::PowerCut => (Outcome::Interrupted, Some(Reason::Boot), Ending::default()),
            How::RunnerLost => (Outcome::Interrupted, Some(Reason::RunnerLost), Ending::default()),
        };
        let lost = matches!(outcome, Outcome::Interrupted);
        let blank = self.blank(outcome, cx);
        Record {
            started: end.started.or(lost.then_some(run.at)),
            ended: end.ended.unwrap_or(cx.now.wall),
            reason,
            detail,
            stopped_by,
            not_applied: end.not_applied,
            exit_code: ending.exit_code,
            signal: ending.signal,
            output: end.output,
            usage: end.usage,
            ..blank
        }
    }

    pub(super) fn fail_at_the_gate(self, cx: &mut Cx<'_>) -> Option<Self> {
        if self.last.is_some() {
            return self.give_up(Reason::Gate, cx);
        }
        let detail = self.lacking();
        let record = Record { reason: Some(Reason::Gate), detail, ..self.blank(Outcome::Failed, cx) };
        self.emit(record, cx);
        None
    }

    /// What the gate lacks that it waits at, in a line.
    fn lacking(&self) -> Option<String> {
        let Stage::Waiting(waiting) = &self.stage else { return None };
        let at_the_gate = waiting.stage == PendingStage::Gate && !waiting.shut.is_empty();
        let mut line = at_the_gate.then(|| waiting.shut.join("; "))?;
        let whole = (0..=limits::DETAIL_BYTES).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(whole.unwrap_or(0));
        Some(line)
    }

    /// Settles a fire that will not start (again): skipped, or as its last attempt ended.
    pub(super) fn give_up(self, reason: Reason, cx: &mut Cx<'_>) -> Option<Self> {
        let record = match self.last {
            None => self.blank(Outcome::Skipped, cx),
            Some(last) => Record {
                started: last.started,
                exit_code: last.exit_code,
                signal: last.signal,
                ..self.blank(last.outcome, cx)
            },
        };
        let detail = self.lacking();
        self.emit(Record { reason: Some(reason), detail, ..record }, cx);
        None
    }

    /// Settles fires that never came to life, as one: `covers` and its latest fire.
    pub(super) fn skip_range(covers: Covers, era: u32, reason: Reason, trigger: Trigger, cx: &mut Cx<'_>) {
        let life = Self::new(Fire::Scheduled { era, due: covers.to }, covers.to, trigger, cx.now);
        let record =
            Record { reason: Some(reason), covers: Some(covers), ..life.blank(Outcome::Skipped, cx) };
        life.emit(record, cx);
    }

    /// The journal learns what the fire waits for.
    pub(super) fn note_pending(
        &self,
        stage: PendingStage,
        since: BootTime,
        not_before: BootTime,
        cx: &mut Cx<'_>,
    ) {
        cx.effects.entries.push(Entry::Pending(Pending {
            key: self.key(cx),
            due: self.due,
            trigger: self.trigger,
            stage,
            attempt: self.attempt,
            since,
            boot: cx.boot,
            not_before,
            last: self.last,
            force: self.force,
        }));
    }

    pub(super) fn key(&self, cx: &Cx<'_>) -> FireKey {
        FireKey { job: cx.job.clone(), fire: self.fire.clone() }
    }

    pub(super) fn emit(&self, record: Record, cx: &mut Cx<'_>) {
        if record.last {
            cx.settled = Some(LastRun::from(&record));
            cx.failures.extend(Failure::of(&record));
        }
        cx.effects.entries.push(Entry::Record(Box::new(record)));
    }

    /// A final record of this fire in which only the outcome is said.
    fn blank(&self, outcome: Outcome, cx: &Cx<'_>) -> Record {
        let revision = self.revision.or(cx.plan.map(|plan| plan.revision)).unwrap_or_default();
        Record {
            key: self.key(cx),
            revision,
            trigger: self.trigger,
            due: self.due,
            started: None,
            ended: cx.now.wall,
            attempt: self.attempt,
            outcome,
            last: true,
            reason: None,
            detail: None,
            exit_code: None,
            signal: None,
            covers: None,
            stopped_by: None,
            not_applied: Vec::new(),
            output: None,
            usage: None,
            gate: self.gate.clone(),
            clock: cx.now.clock,
            era: match self.fire {
                Fire::Scheduled { era, .. } => era,
                Fire::Reboot { .. } | Fire::Manual { .. } => cx.era,
            },
        }
    }
}
