//! What the core is told and what it wants done.

use crate::gate::{Pressed, Wanted};
use crate::job::{
    BootId, CommandMark, Entry, FireKey, JobName, Outcome, Output, Readings, Reason, Reply, RunId, Trigger,
    Usage, WallTime,
};

use super::plan::Plan;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A definition came in force, or changed.
    Define {
        /// The job.
        job: JobName,
        /// What of it the core needs.
        plan: Plan,
    },
    /// Nothing defines the job any longer.
    Remove {
        /// The job.
        job: JobName,
    },
    /// This is the agent's first start in this boot, and its definitions are loaded: `@reboot` is due.
    Booted {
        /// The boot.
        boot: BootId,
    },
    /// The readings that an [`Act::Probe`] asked for.
    Readings(Readings),
    /// The pressure that [`Act::Watch`] named is over.
    Eased,
    /// How an [`Act::Check`] ended.
    Checked {
        /// The run of the check.
        run: RunId,
        /// Whether its command exited with 0.
        passed: bool,
    },
    /// The runner of a start is up.
    Started {
        /// The run.
        run: RunId,
        /// The runner's process id.
        pid: u32,
    },
    /// A run is over, or never was: also the answer to a start that failed.
    Ended {
        /// The run.
        run: RunId,
        /// What is known of it.
        end: RunEnd,
    },
    /// After a restart: the command of this intent never started and never will.
    NeverStarted {
        /// The run.
        run: RunId,
    },
    /// A command that an [`Act::OnFailure`] asked for is over, or could not be started.
    OnFailureEnded {
        /// Its run.
        run: RunId,
    },
    /// No disk took the turn that held this intent.
    NotStored {
        /// The run.
        run: RunId,
    },
    /// A person or the centre asks for a run.
    Run {
        /// The job.
        job: JobName,
        /// By what the command is known.
        command: CommandMark,
        /// Whether its gate is passed over.
        force: Force,
        /// Whom to answer.
        ask: AskId,
    },
    /// The machine goes down: all runs end, and none starts any more.
    EndRuns {
        /// Who says so, as the records say it.
        by: String,
        /// Whom to answer once all have ended.
        ask: AskId,
    },
    /// Somebody asks that the job's runs end.
    Stop {
        /// The job.
        job: JobName,
        /// Who, as the record says it.
        by: String,
        /// By what the command is known, where it has an id.
        command: Option<CommandMark>,
        /// Whom to answer.
        ask: AskId,
    },
    /// Somebody asks that nothing of the job fires.
    Pause {
        /// The job.
        job: JobName,
        /// By what the command is known, where it has an id.
        command: Option<CommandMark>,
        /// Whom to answer.
        ask: AskId,
    },
    /// Somebody asks that the job fires again.
    Resume {
        /// The job.
        job: JobName,
        /// By what the command is known, where it has an id.
        command: Option<CommandMark>,
        /// Whom to answer.
        ask: AskId,
    },
}

/// Whether a gate is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// The gate is obeyed.
    No,
    /// It is passed over.
    Yes,
}

/// Somebody who waits for an answer; the shell knows who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What is known of a run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnd {
    /// When the command started; `None`: it never did, or nobody knows.
    pub started: Option<WallTime>,
    /// When it ended; `None`: nobody knows, and now is what the record says.
    pub ended: Option<WallTime>,
    /// How.
    pub how: How,
    /// What has to be said of it beside: processes that would not end, say.
    pub detail: Option<String>,
    /// Limits that could not be applied to it.
    pub not_applied: Vec<String>,
    /// What was kept of its output.
    pub output: Option<Output>,
    /// What it used.
    pub usage: Option<Usage>,
}

impl RunEnd {
    /// An end of which nobody knows more.
    #[must_use]
    pub fn without_result(how: How) -> Self {
        Self {
            started: None,
            ended: None,
            how,
            detail: None,
            not_applied: Vec::new(),
            output: None,
            usage: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself, with this code.
    Exited(u8),
    /// By a signal that nobody of ours sent.
    Signaled(u8),
    /// At its timeout; the last process' code or signal.
    TimedOut(Ending),
    /// Because it was asked to stop.
    Stopped(Ending),
    /// The command could not be started.
    NotStarted {
        /// What the system said.
        detail: String,
    },
    /// The machine went down under it.
    PowerCut,
    /// Its runner died without a result.
    RunnerLost,
}

/// What `wait` said of a command that was made to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u8>,
}

/// What the core wants done, once its entries are durable.
#[derive(Debug, PartialEq)]
pub enum Act {
    /// Start a run whose intent is in this turn. Answered by [`Event::Started`] or [`Event::Ended`].
    Start(Start),
    /// End a run's whole tree: TERM, its grace, KILL. Answered by [`Event::Ended`].
    Stop {
        /// The run.
        run: RunId,
    },
    /// Read the machine. Answered by [`Event::Readings`], always.
    Probe(Wanted),
    /// Watch this pressure from now on, and no other, and answer with [`Event::Eased`] when it is over, if the kernel can
    /// tell: held fires are looked at in their time all the same.
    Watch(Pressed),
    /// Run the `check` command of a job's gate. Answered by [`Event::Checked`], always.
    Check {
        /// The run that it gets.
        run: RunId,
        /// The job.
        job: JobName,
    },
    /// Run the `on_failure` command of a job. Answered by [`Event::OnFailureEnded`], always.
    OnFailure(Failure),
    /// A run's record is durable: its directory may go.
    Clear {
        /// The run.
        run: RunId,
    },
    /// Answer somebody.
    Answer {
        /// Whom.
        ask: AskId,
        /// What.
        reply: Reply,
    },
}

/// One start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The run's id.
    pub run: RunId,
    /// Which fire.
    pub key: FireKey,
    /// Its due instant.
    pub due: WallTime,
    /// Why it came to be.
    pub trigger: Trigger,
    /// Which start of the fire, from 1.
    pub attempt: u8,
}

/// A fire that did not succeed, as its job's own command is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The run that the command gets.
    pub run: RunId,
    /// Which fire failed.
    pub key: FireKey,
    /// Its due instant.
    pub due: WallTime,
    /// Why it came to be.
    pub trigger: Trigger,
    /// Its last start; 0: it never started.
    pub attempt: u8,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where the outcome alone does not say.
    pub reason: Option<Reason>,
    /// Its exit code.
    pub exit_code: Option<u8>,
}

/// What a turn adds up to: entries to commit with one sync, then acts in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be made durable first.
    pub entries: Vec<Entry>,
    /// To be done then.
    pub acts: Vec<Act>,
}

impl Effects {
    pub(super) fn answer(&mut self, ask: AskId, reply: Reply) {
        self.acts.push(Act::Answer { ask, reply });
    }
}
