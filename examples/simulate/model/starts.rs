//! Promise 2: late or never twice. Every command that began is judged by how the one before it for the same fire ended,
//! and by what its owner chose.

use std::rc::Rc;

use leafcron::job::{EventKind, Fire, FireKey, JobName, Outcome, Record, RunId};
use leafcron::scheduler::Start;

use super::{Fact, Model};
use crate::definition::Definition;

/// What became of a command, as the world knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Going,
    Exited(u8),
    Signaled,
    TimedOut,
    Stopped,
    /// The machine went down, or its runner died.
    BrokenOff,
    /// It never began.
    Never,
}

pub(super) struct Started {
    run: RunId,
    attempt: u8,
    definition: Option<Rc<Definition>>,
    truth: Truth,
    /// No disk had taken its intent.
    unrecorded: bool,
    /// The machine went down before its directory was cleared: its end may be unknown.
    cut: bool,
}

impl Model {
    /// A command begins.
    pub(crate) fn begins(&mut self, start: &Start) {
        let job = &start.key.job;
        let open = self.durable.intents.get(&start.key).filter(|open| open.intent.run == start.run);
        let revision = open.map(|open| open.intent.revision);
        let definition = match revision {
            Some(revision) => self.revisions.get(&revision).cloned(),
            None => self.in_force(job).cloned(),
        };
        let unrecorded = revision.is_none();
        if unrecorded && !definition.as_ref().is_some_and(|of| of.unrecorded || of.rerun) {
            self.blame(format!("twice: run {} of {job} begins, and no disk has its intent", start.run));
        }
        let now = self.in_force(job).cloned();
        let before = self.starts.entry(start.key.clone()).or_default();
        let wrong = before.last().and_then(|last| may_follow(last, start, now.as_deref()));
        let excused = unrecorded || before.iter().any(|start| start.unrecorded);
        let twice =
            before.iter().any(|before| before.attempt == start.attempt && before.truth != Truth::Never);
        before.push(Started {
            run: start.run,
            attempt: start.attempt,
            definition,
            truth: Truth::Going,
            unrecorded,
            cut: false,
        });
        self.runs.insert(start.run, start.key.clone());
        if let Some(why) =
            wrong.or_else(|| twice.then(|| "its attempt was made before".to_owned())).filter(|_| !excused)
        {
            let Start { run, key, attempt, .. } = start;
            self.blame(format!("twice: {job} {:?}: run {run} is attempt {attempt}, and {why}", key.fire));
        }
    }

    /// What became of it.
    pub(crate) fn ends(&mut self, run: RunId, truth: Truth) {
        let Some(starts) = self.runs.get(&run).and_then(|key| self.starts.get_mut(key)) else { return };
        if let Some(start) = starts.iter_mut().rev().find(|start| start.run == run) {
            start.truth = truth;
        }
    }

    /// The machine goes down under it, or before anybody asked how it ended.
    pub(crate) fn cut(&mut self, run: RunId) {
        let Some(starts) = self.runs.get(&run).and_then(|key| self.starts.get_mut(key)) else { return };
        if let Some(start) = starts.iter_mut().rev().find(|start| start.run == run) {
            start.cut = true;
            if start.truth == Truth::Going {
                start.truth = Truth::BrokenOff;
            }
        }
    }

    /// Every command that began has its record, and records tell what happened.
    pub(super) fn judge_starts(&mut self) {
        let mut told: std::collections::BTreeMap<(&FireKey, u8), &Record> = std::collections::BTreeMap::new();
        for fact in &self.facts {
            let Fact::Record(record) = fact else { continue };
            // A fire given up after an attempt repeats its outcome.
            told.entry((&record.key, record.attempt)).or_insert(record);
        }
        let mut wrong = None;
        let mut missing = 0;
        for (key, starts) in &self.starts {
            for start in starts.iter().filter(|start| start.truth != Truth::Never) {
                match told.get(&(key, start.attempt)) {
                    // What no disk took may have been started again after a crash.
                    _ if start.unrecorded => {}
                    None if self.given_up.iter().any(|record| record.key == *key) => missing += 1,
                    None => wrong = Some(format!("its run {} has no record", start.run)),
                    Some(record) if agrees(start, record) => {}
                    Some(record) => {
                        wrong = Some(format!(
                            "run {} was {:?}, and its record says {:?} {:?}",
                            start.run, start.truth, record.outcome, record.reason
                        ));
                    }
                }
            }
            if let Some(why) = wrong {
                let (job, fire) = (&key.job, &key.fire);
                return self.blame(format!("cover: {job} {fire:?}: {why}"));
            }
        }
        let of = |fact: &Fact| {
            if let Fact::Event(EventKind::Unrecorded { count, .. }) = fact { *count } else { 0 }
        };
        if missing > self.facts.iter().map(of).sum::<u64>() {
            return self
                .blame(format!("cover: {missing} runs have no record, and no event tells of so many"));
        }
        let began = |key: &FireKey, attempt| {
            self.starts.get(key).is_some_and(|starts| starts.iter().any(|start| start.attempt == attempt))
        };
        let invented = told.values().find(|record| {
            let ran = matches!(record.outcome, Outcome::Succeeded | Outcome::TimedOut)
                || record.exit_code.is_some();
            ran && !began(&record.key, record.attempt)
        });
        if let Some(record) = invented {
            let Record { key, attempt, outcome, .. } = record;
            self.blame(format!(
                "cover: {} {:?}: attempt {attempt} {outcome:?} was never made",
                key.job, key.fire
            ));
        }
    }

    /// Somebody was told that this command is taken.
    pub(crate) fn accepts(&mut self, job: &JobName, fire: Fire) {
        if let Fire::Manual { id } = fire {
            self.accepted.entry(id).or_insert_with(|| job.clone());
        }
    }
}

/// Why a start may not follow the last one, if so.
fn may_follow(last: &Started, start: &Start, now: Option<&Definition>) -> Option<String> {
    let any =
        |grants: &dyn Fn(&Definition) -> bool| last.definition.as_deref().into_iter().chain(now).any(grants);
    let attempts = |of: &Definition| last.attempt < of.attempts;
    // Only the definition that it was started with allows this.
    let rerun =
        last.definition.as_ref().is_some_and(|of| of.rerun && usize::from(last.attempt) < of.starts());
    let fine = match last.truth {
        Truth::Never => true,
        Truth::Going | Truth::Stopped => false,
        Truth::Exited(code) => any(&|of| !of.success.contains(&code) && attempts(of)),
        Truth::Signaled | Truth::TimedOut => any(&attempts),
        Truth::BrokenOff => rerun,
    } || last.cut && rerun;
    // An attempt that the power cut prevented counts, too.
    let in_order = start.attempt >= last.attempt + u8::from(last.truth != Truth::Never);
    (!fine || !in_order).then(|| format!("attempt {} was {:?} before it", last.attempt, last.truth))
}

/// Whether a record tells what happened. A stop and an end may cross.
fn agrees(start: &Started, record: &Record) -> bool {
    let Record { outcome, exit_code, .. } = record;
    if start.cut && *outcome == Outcome::Interrupted {
        // The machine went down before its end was recorded.
        return true;
    }
    match start.truth {
        Truth::Exited(code) => {
            matches!(outcome, Outcome::Succeeded | Outcome::Failed) && *exit_code == Some(code)
        }
        Truth::Signaled => matches!(outcome, Outcome::Failed),
        Truth::TimedOut => matches!(outcome, Outcome::TimedOut),
        Truth::Stopped => matches!(outcome, Outcome::Stopped),
        Truth::BrokenOff => matches!(outcome, Outcome::Interrupted),
        Truth::Going => false,
        Truth::Never => true,
    }
}
