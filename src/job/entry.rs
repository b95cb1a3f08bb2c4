//! What the journal holds: entries, in the order in which they became true. The [`Image`](super::Image) is what they add
//! up to.
//!
//! ```text
//!  accepted ──▶ due ──▶ [Pending] ──▶ Intent ──▶ [Started] ──▶ Record ──┬─▶ settled
//!                 │         ▲                    (attempt's end)        │
//!                 │         └────────── Pending(back-off) ◀─────────────┘
//!                 └──▶ Record(skipped)
//! ```
//! A job's `done_through` is never written by itself: it moves with the entry that accounts for a fire, so that no
//! frame can hold the one without the other. Entries are postcard: variants and fields are append-only.

use core::fmt;
use serde::{Deserialize, Serialize};

use super::eras::Eras;
use super::fire::{BootId, FireKey, RunId, Trigger};
use super::name::{JobName, Name};
use super::record::{DeviceEvent, Outcome, Reason, Record};
use super::sync::{Acked, Bucket};
use super::taken::Taken;
use super::text::Revision;
use super::time::{BootTime, WallTime};

/// Where a definition came from; the order is the precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A file of the jobs directory, by its name.
    File(String),
    /// The centre, for this agent.
    Agent,
    /// The centre, for a group of agents.
    Group(Name),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("file"),
            Self::Agent => f.write_str("agent"),
            Self::Group(group) => write!(f, "group.{group}"),
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A fact about a fire; numbered.
    Record(Box<Record>),
    /// A fact about the device; numbered.
    Event(DeviceEvent),
    /// A source's valid definition of a job, in canonical text.
    Defined {
        /// The job.
        job: JobName,
        /// Who says so.
        source: Source,
        /// The canonical JSON text.
        text: String,
    },
    /// A source defines the job no longer.
    Withdrawn {
        /// The job.
        job: JobName,
        /// Who says so.
        source: Source,
    },
    /// From this instant on the job's schedule is in force: nothing before it is due.
    Began {
        /// The job.
        job: JobName,
        /// The era of `at`.
        era: u32,
        /// The instant; `done_through` starts here.
        at: WallTime,
    },
    /// Nothing defines the job, and now has passed its `done_through`: it is forgotten.
    Forgotten {
        /// The job.
        job: JobName,
    },
    /// A fire that waits to start beyond its turn.
    Pending(Pending),
    /// Missed fires that will run, one after the other.
    Missed(Missed),
    /// A start that is about to happen.
    Intent(Intent),
    /// The runner of an intent. Not synced for its own sake.
    Started(Started),
    /// The agent's first start in this boot.
    Booted {
        /// The boot.
        boot: BootId,
    },
    /// The job is paused.
    Paused {
        /// The job.
        job: JobName,
        /// Since when.
        at: WallTime,
    },
    /// The job is no longer paused.
    Resumed {
        /// The job.
        job: JobName,
    },
    /// How far the centre has what is numbered. Not synced for its own sake.
    Acked(Acked),
    /// Which bucket the centre's definitions came from.
    Bucket(Bucket),
    /// The centre's bucket is another, or an older one, and lacks this definition: it stays in force.
    Orphaned {
        /// The job.
        job: JobName,
        /// Who had said so.
        source: Source,
    },
    /// Another era counts from here on, or the main one again.
    Eras(Eras),
    /// The run of an intent is made to end: whoever finds it after a restart goes on with that.
    Stopping {
        /// The run.
        run: RunId,
        /// Why.
        why: StopWhy,
    },
    /// What the definition of an intent calls a success, where that is not the exit code 0 alone.
    SuccessExitCodes {
        /// The run.
        run: RunId,
        /// The exit codes.
        codes: Vec<u8>,
    },
    /// A command was taken.
    Taken(Taken),
}

/// Why a run is made to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopWhy {
    /// Somebody asked for it.
    Command {
        /// Who, as the record says it.
        by: String,
    },
    /// A later fire takes its place.
    Replaced,
}

impl StopWhy {
    /// As the record says it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Command { .. } => Reason::Command,
            Self::Replaced => Reason::Replaced,
        }
    }
}

/// A fire that waits to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Which fire.
    pub key: FireKey,
    /// Its due instant, or when it was asked for.
    pub due: WallTime,
    /// Why it came to be.
    pub trigger: Trigger,
    /// What it waits for.
    pub stage: PendingStage,
    /// Starts so far.
    pub attempt: u8,
    /// Since when it waits in this stage, by the clock of `boot`.
    pub since: BootTime,
    /// The boot of `since`.
    pub boot: BootId,
    /// For a back-off: when it may start again, by the same clock; else equal to `since`.
    pub not_before: BootTime,
    /// How its last attempt ended.
    pub last: Option<LastAttempt>,
    /// Whether its gate is passed over (`run --force`).
    pub force: bool,
}

/// What a pending fire waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingStage {
    /// Its own fixed delay.
    Splay,
    /// The job's running fire to end.
    Queue,
    /// A slot, or its gate for the first time.
    Slot,
    /// Its gate, seen shut.
    Gate,
    /// The delay after a failed attempt.
    Backoff,
}

/// How the last attempt of a fire ended, in what its final record repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Its exit code.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// When it started.
    pub started: Option<WallTime>,
}

/// Missed fires of one job that will run, in order: those of `(after, to]`. `to` names the range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The job.
    pub job: JobName,
    /// The era.
    pub era: u32,
    /// All up to here are accounted for.
    pub after: WallTime,
    /// The last of them.
    pub to: WallTime,
}

/// A start that is about to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which fire.
    pub key: FireKey,
    /// Its due instant, or when it was asked for.
    pub due: WallTime,
    /// Why it came to be.
    pub trigger: Trigger,
    /// Which start of this fire, from 1.
    pub attempt: u8,
    /// The run's directory.
    pub run: RunId,
    /// The definition it is started with.
    pub revision: Revision,
    /// When.
    pub at: WallTime,
    /// The boot in which it is started.
    pub boot: BootId,
}

/// The runner of an intent, so that it is found again after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// The runner's process id.
    pub pid: u32,
    /// Its start time in clock ticks since boot (`proc(5)`, stat field 22): a reused pid differs.
    pub start_ticks: u64,
}
