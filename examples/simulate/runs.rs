//! Commands of the device: they outlive the agent and not the machine.

use std::collections::BTreeMap;

use leafcron::job::{JobName, Output, RunId, WallTime};
use leafcron::scheduler::{Ending, How, RunEnd, Start};

use crate::definition::Definition;
use crate::luck::Luck;
use crate::model::Truth;

/// A run's directory and what goes on in it.
pub(crate) struct Run {
    pub(crate) job: JobName,
    pub(crate) begun: WallTime,
    /// What becomes of it if nobody stops it.
    pub(crate) fate: Fate,
    pub(crate) stopping: bool,
    /// It is over, and this is what its runner wrote.
    pub(crate) over: Option<Over>,
}

#[derive(Clone, Debug)]
pub(crate) enum Over {
    Result(RunEnd),
    /// Its runner died after the command began.
    Lost,
    /// Its runner died before the command began.
    NeverBegan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Exits(u8),
    Killed,
    TimesOut,
    RunnerDies,
    DiesEarly,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) dirs: BTreeMap<RunId, Run>,
    /// Checks that go on: they die with the agent.
    pub(crate) checks: BTreeMap<RunId, JobName>,
}

impl Runs {
    /// Starts a command; how long it takes, in milliseconds, and how it will end.
    pub(crate) fn start(
        &mut self,
        start: &Start,
        definition: &Definition,
        now: WallTime,
        luck: &mut Luck,
    ) -> (u64, Fate) {
        let mut takes = match luck.below(20) {
            0..14 => luck.wait(20_000),
            14..18 => luck.wait(600_000),
            18 => luck.wait(8 * 3_600_000),
            // It hangs.
            _ => 30 * 86_400_000,
        };
        let mut fate = match luck.below(24) {
            0..3 => Fate::Exits(luck.pick(&[1, 3, 255])),
            3 => Fate::Killed,
            4 if luck.one_in(3) => Fate::RunnerDies,
            5 if luck.one_in(3) => Fate::DiesEarly,
            _ => Fate::Exits(0),
        };
        if let Some(timeout) =
            definition.timeout_secs.map(|secs| secs * 1_000).filter(|timeout| *timeout < takes)
        {
            (takes, fate) = (timeout, Fate::TimesOut);
        }
        let job = start.key.job.clone();
        self.dirs.insert(start.run, Run { job, begun: now, fate, stopping: false, over: None });
        (takes, fate)
    }

    /// How many go on.
    pub(crate) fn going(&self) -> usize {
        self.dirs.values().filter(|run| run.over.is_none()).count()
    }

    /// The command comes to its end; what is known of it then.
    pub(crate) fn end(&mut self, id: RunId, now: WallTime, luck: &mut Luck) -> Option<Truth> {
        let run = self.dirs.get_mut(&id).filter(|run| run.over.is_none())?;
        let killed = Ending { exit_code: None, signal: Some(15) };
        let (how, truth) = match (run.stopping, run.fate) {
            // It may end by itself just then.
            (true, _) if luck.one_in(4) => (How::Exited(0), Truth::Exited(0)),
            (true, _) => (How::Stopped(killed), Truth::Stopped),
            (false, Fate::Exits(code)) => (How::Exited(code), Truth::Exited(code)),
            (false, Fate::Killed) => (How::Signaled(9), Truth::Signaled),
            (false, Fate::TimesOut) => (How::TimedOut(killed), Truth::TimedOut),
            (false, Fate::RunnerDies) => {
                run.over = Some(Over::Lost);
                return Some(Truth::BrokenOff);
            }
            (false, Fate::DiesEarly) => {
                run.over = Some(Over::NeverBegan);
                return Some(Truth::Never);
            }
        };
        let text = "o".repeat(usize::try_from(luck.wait(3_000)).unwrap_or(0));
        let output = Output { bytes: text.len() as u64, head: text, tail: String::new(), dropped: 0 };
        run.over = Some(Over::Result(RunEnd {
            started: Some(run.begun),
            ended: Some(now),
            how,
            detail: None,
            not_applied: Vec::new(),
            output: Some(output),
            usage: None,
        }));
        Some(truth)
    }

    /// The machine is off: nothing of it is left.
    pub(crate) fn vanish(&mut self) -> Vec<RunId> {
        self.checks.clear();
        let going = self.dirs.iter().filter(|(_, run)| run.over.is_none()).map(|(id, _)| *id).collect();
        self.dirs.clear();
        going
    }
}
