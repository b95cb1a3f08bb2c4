//! What is remembered of a fire ([`Record`]) and of the device ([`DeviceEvent`]): flat types for the journal
//! (postcard: variants and fields are append-only). `json` shows them to everyone else.

use serde::{Deserialize, Serialize};

use super::fire::{Epoch, FireKey, Trigger};
use super::name::JobName;
use super::readings::Readings;
use super::text::Revision;
use super::time::{Clock, WallTime};

/// A fact about a fire: one attempt's end, or how the fire was settled without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which fire of which job. With `covers`, the latest fire covered.
    pub key: FireKey,
    /// The definition that was in force.
    pub revision: Revision,
    /// Why the fire came to be.
    pub trigger: Trigger,
    /// The due instant; for `@reboot` and manual fires, when it was asked for.
    pub due: WallTime,
    /// When the command started; `None`: it never did.
    pub started: Option<WallTime>,
    /// When it ended, or was settled.
    pub ended: WallTime,
    /// Which start of this fire, from 1; 0: never started.
    pub attempt: u8,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the fire is settled by this record; otherwise another attempt follows.
    pub last: bool,
    /// Why, where the outcome alone does not say.
    pub reason: Option<Reason>,
    /// A line for people: what the system said.
    pub detail: Option<String>,
    /// The command's exit code.
    pub exit_code: Option<u8>,
    /// The signal that ended the command.
    pub signal: Option<u8>,
    /// The fires settled together with this one.
    pub covers: Option<Covers>,
    /// Who stopped it.
    pub stopped_by: Option<String>,
    /// Limits that could not be applied.
    pub not_applied: Vec<String>,
    /// What was kept of stdout and stderr.
    pub output: Option<Output>,
    /// What the run's processes used.
    pub usage: Option<Usage>,
    /// The readings that decided.
    pub gate: Readings,
    /// What the wall clock was worth.
    pub clock: Clock,
    /// The era of the fire; of `@reboot` and manual fires, the one that counted when this was recorded.
    pub era: u32,
}

impl Record {
    /// Leaves out what was kept of the output, for want of space; how much was printed stays. Whether anything was kept.
    pub fn leave_out_output(&mut self) -> bool {
        let Some(output) = self.output.as_mut().filter(|output| output.dropped < output.bytes) else {
            return false;
        };
        *output = Output { bytes: output.bytes, dropped: output.bytes, ..Output::default() };
        true
    }
}

/// How a fire, or an attempt, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Ended by itself with a success exit code.
    Succeeded,
    /// Ended by itself otherwise, or could not be started.
    Failed,
    /// Stopped at its timeout.
    TimedOut,
    /// Stopped by a person, the centre, a replacing fire or the machine's shutdown.
    Stopped,
    /// Broken off: by a power cut, or its runner was lost.
    Interrupted,
    /// Never started.
    Skipped,
}

/// Why a fire was skipped, or ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The job was busy.
    Overlap,
    /// A later fire took its place.
    Replaced,
    /// Its gate stayed shut.
    Gate,
    /// Too late to start.
    Deadline,
    /// Fires missed while off, by `catch_up`.
    Missed,
    /// The job was paused.
    Paused,
    /// The job was removed or disabled.
    Removed,
    /// Another fire of the job waits already, or too many do.
    QueueFull,
    /// No disk took the intent.
    Disk,
    /// The command could not be started.
    Start,
    /// The machine stopped or was restarted.
    Boot,
    /// The runner died without a result.
    RunnerLost,
    /// By command.
    Command,
    /// The machine was shut down in good order.
    Shutdown,
}

/// A range of fires of one job, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// The first due instant.
    #[serde(with = "on_the_wire")]
    pub from: WallTime,
    /// The last due instant.
    #[serde(with = "on_the_wire")]
    pub to: WallTime,
    /// How many fires.
    pub count: u64,
}

/// What was kept of a run's output: its first and last bytes, made valid UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The first bytes.
    pub head: String,
    /// The last bytes, where something between was dropped; else empty.
    pub tail: String,
    /// All bytes that were written.
    pub bytes: u64,
    /// Bytes between head and tail that are gone.
    pub dropped: u64,
}

/// What a run's processes used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time, in milliseconds.
    pub cpu_ms: u64,
    /// The largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}

/// A fact about the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceEvent {
    /// When.
    pub at: WallTime,
    /// What the wall clock was worth.
    pub clock: Clock,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The agent started.
    Started {
        /// Its version.
        version: String,
    },
    /// The agent stopped in good order.
    Stopped,
    /// The wall clock was set.
    ClockStep {
        /// Later by this many milliseconds; negative: earlier.
        by_ms: i64,
    },
    /// Records are gone.
    Dropped {
        /// First `seq`.
        from: u64,
        /// Last `seq`.
        to: u64,
        /// How many.
        count: u64,
        /// Why.
        why: String,
    },
    /// Part of the journal could not be read and was set aside.
    Damaged {
        /// First `seq` that may be missing.
        from: u64,
        /// Last `seq` that may be missing.
        to: u64,
        /// Where it was set aside.
        file: String,
    },
    /// A journal of a newer version was set aside.
    Newer {
        /// Where it was set aside.
        file: String,
    },
    /// A run is longer than its `warn_after`.
    Overdue {
        /// The job.
        job: JobName,
        /// The run's start.
        started: WallTime,
    },
    /// A definition or a file of definitions was refused; what was valid before stays in force.
    Refused {
        /// The job; absent where a whole file is meant.
        job: Option<JobName>,
        /// The file or key.
        source: String,
        /// The field and why.
        reason: String,
    },
    /// A job was paused.
    Paused {
        /// The job.
        job: JobName,
    },
    /// A job was resumed.
    Resumed {
        /// The job.
        job: JobName,
    },
    /// Facts could not be stored while the disk refused them.
    Unrecorded {
        /// How many.
        count: u64,
        /// What the disk said.
        why: String,
    },
    /// Part of the link is left out for a while.
    Link {
        /// Which.
        phase: String,
        /// What its process ended with.
        reason: String,
    },
    /// The numbers begin anew: the first fact of an epoch that follows another.
    NewEpoch {
        /// The epoch before.
        old_epoch: Epoch,
        /// Its last number.
        last_seq: u64,
        /// Why it ended.
        why: String,
    },
    /// Another live device has the same name.
    DuplicateAgent {
        /// Its epoch.
        other_epoch: Epoch,
        /// It was there first: this device takes no definitions and no commands.
        newcomer: bool,
    },
}

/// A wall time inside a type that is both journal (integer) and JSON (text).
mod on_the_wire {
    use super::super::time::{WallTime, rfc3339};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            rfc3339::serialize(at, serializer)
        } else {
            at.serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
        if deserializer.is_human_readable() {
            rfc3339::deserialize(deserializer)
        } else {
            WallTime::deserialize(deserializer)
        }
    }
}
