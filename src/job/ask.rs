//! What can be asked of an agent and what it answers: one set of types, as JSON lines on the control socket, and the
//! same JSON over NATS and from `--json`.
//!
//! One request line is answered by one reply line; `run` with `wait` by two: `accepted`, then `ran`; `logs` with `follow`
//! by as many as it takes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::doctor::{Doctor, Warning};
use super::entry::PendingStage;
use super::fire::{CommandId, Epoch, RunId, Trigger};
use super::image::LastRun;
use super::json::{EventJson, RecordJson};
use super::name::{AgentName, JobName};
use super::readings::Readings;
use super::text::Revision;
use super::time::{Clock, WallTime, rfc3339};

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Every job, in short.
    List {},
    /// One job, with every effective value and where it came from.
    Show {
        /// The job.
        job: JobName,
    },
    /// The newest records, newest last.
    History {
        /// Of this job; absent: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<JobName>,
        /// At most this many.
        #[serde(default = "history_rows")]
        limit: usize,
    },
    /// What a running job has printed, as far as it is still there.
    Logs {
        /// The job.
        job: JobName,
        /// Which of its runs; absent: the newest that is going on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// From this byte of its output on.
        #[serde(default)]
        from: u64,
        /// Answer again whenever there is more, until the run is over.
        #[serde(default, skip_serializing_if = "is_false")]
        follow: bool,
    },
    /// The newest events of the device, newest last.
    Events {
        /// At most this many.
        #[serde(default = "history_rows")]
        limit: usize,
    },
    /// Start a job now.
    Run {
        /// The job.
        job: JobName,
        /// The command's id; asked twice under one id it runs once. Absent: the agent makes one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<CommandId>,
        /// Pass over its gate.
        #[serde(default, skip_serializing_if = "is_false")]
        force: bool,
        /// Answer once more when it has ended.
        #[serde(default, skip_serializing_if = "is_false")]
        wait: bool,
    },
    /// Stop a job's runs, and the retry that waits.
    Stop {
        /// The job.
        job: JobName,
        /// The command's id; asked twice under one id it stops once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<CommandId>,
    },
    /// Nothing of the job fires until it is resumed.
    Pause {
        /// The job.
        job: JobName,
        /// The command's id; asked twice under one id it is paused once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<CommandId>,
    },
    /// The job fires again.
    Resume {
        /// The job.
        job: JobName,
        /// The command's id; asked twice under one id it is resumed once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<CommandId>,
    },
    /// The machine goes down: end every run, and start nothing more until the agent starts anew. Answered when the ends
    /// are durable.
    EndRuns {},
    /// Remove an orphan: a definition that the centre's bucket lost without withdrawing it.
    Remove {
        /// The job.
        job: JobName,
    },
    /// The agent's own state.
    Status {},
    /// What this machine can serve, and how it is now.
    Doctor {},
    /// Read the jobs directory again.
    Reload {},
}

fn history_rows() -> usize {
    20
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `list`.
    Jobs(Vec<JobRow>),
    /// To `show`.
    Job(Box<JobShown>),
    /// To `history`.
    Records(Vec<RecordJson>),
    /// To `logs`: a part of the output; with `follow` one after the other.
    Log(LogPart),
    /// To `events`.
    Events(Vec<EventJson>),
    /// To `run`: its intent or pending is durable.
    Accepted {
        /// The command's id.
        id: CommandId,
    },
    /// To `run` with `wait`: the final record.
    Ran(Box<RecordJson>),
    /// To `stop`, `pause`, `resume`, `end_runs`: it is durable.
    Done {
        /// What was done, for a person.
        message: String,
    },
    /// To `status`.
    Status(Box<Status>),
    /// To `doctor`.
    Doctor(Box<Doctor>),
    /// To `reload`.
    Reloaded(Reloaded),
    /// To anything: no.
    Refused(Refusal),
}

/// A part of what a running job prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
    /// The byte of its output at which the part begins: later than asked for where what was before is gone.
    pub from: u64,
    /// The part, made valid UTF-8.
    pub text: String,
    /// The byte from which to ask on.
    pub next: u64,
    /// Bytes that it has printed so far.
    pub end: u64,
    /// The run is over and this was the last part.
    #[serde(default, skip_serializing_if = "is_false")]
    pub over: bool,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of no.
    pub kind: RefusalKind,
    /// What is wrong and what to do next.
    pub message: String,
}

/// What kind of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Not a request.
    BadRequest,
    /// The peer may not ask this.
    Forbidden,
    /// No such job.
    UnknownJob,
    /// It cannot be done now.
    Conflict,
    /// The disk does not take it.
    Disk,
    /// Too much is asked at once.
    Busy,
    /// Its `not_after` has passed, or is missing or too far ahead.
    Expired,
}

/// A job in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// Its name.
    pub job: JobName,
    /// `file`, `agent` or `group.<g>`.
    pub source: String,
    /// The schedule line.
    pub schedule: String,
    /// The zone that it goes by.
    pub time_zone: String,
    /// Whether anything is due.
    pub enabled: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// The next due instant.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub next: Option<WallTime>,
    /// Its last final record in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
    /// Runs going on.
    pub running: usize,
    /// Fires waiting to start.
    pub waiting: usize,
}

/// A job with every effective value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobShown {
    /// In short.
    #[serde(flatten)]
    pub row: JobRow,
    /// The revision in force.
    pub revision: Revision,
    /// The file or key that it came from.
    pub origin: String,
    /// The effective fields, and where each came from.
    pub fields: Vec<FieldShown>,
    /// Runs going on.
    pub runs: Vec<RunRow>,
    /// Fires waiting to start.
    pub pending: Vec<PendingRow>,
    /// What was refused since: the last valid definition is what is shown above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedRow>,
    /// What it asks for and this machine cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One effective field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldShown {
    /// Its name, as `require.check`.
    pub field: String,
    /// Its value.
    pub value: Value,
    /// `definition`, `device` (its `[defaults]`) or `default`.
    pub from: String,
}

/// A run going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
    /// Why it came to be.
    pub trigger: Trigger,
    /// Its due instant.
    #[serde(with = "rfc3339")]
    pub due: WallTime,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub started: WallTime,
    /// Which start of its fire.
    pub attempt: u8,
    /// The runner's process id, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether it is being stopped.
    pub stopping: bool,
    /// Whether it is longer than its `warn_after`.
    pub overdue: bool,
}

/// A fire waiting to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingRow {
    /// The job.
    pub job: JobName,
    /// Why it came to be.
    pub trigger: Trigger,
    /// Its due instant.
    #[serde(with = "rfc3339")]
    pub due: WallTime,
    /// What it waits for.
    pub stage: PendingStage,
    /// For a gate: which requirements do not hold, with reading and bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shut: Vec<String>,
    /// Until when it waits at most.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
}

/// A definition or a file that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// The file or key.
    pub origin: String,
    /// The line of the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The job; absent where the whole file is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The field; absent where the whole is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what is allowed.
    pub reason: String,
}

/// `FILE:LINE: job X: FIELD: REASON`, as compilers print it.
impl core::fmt::Display for RefusedRow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(job) = &self.job {
            write!(f, ": job {job}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Jobs that files define, and that are in force as they say.
    pub accepted: Vec<JobName>,
    /// What was refused.
    pub rejected: Vec<RefusedRow>,
    /// Jobs that are gone.
    pub removed: Vec<JobName>,
    /// What is in force and asks for what this machine cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<RefusedRow>,
}

/// The agent's own state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The device.
    pub agent: AgentName,
    /// The agent's version.
    pub version: String,
    /// The journal's numbering.
    pub epoch: Epoch,
    /// The agent's process id.
    pub pid: u32,
    /// When it started.
    #[serde(with = "rfc3339")]
    pub since: WallTime,
    /// Its wall clock.
    #[serde(with = "rfc3339")]
    pub now: WallTime,
    /// What that is worth.
    pub clock: Clock,
    /// The era of this boot's own, while the clock is implausible: jobs run in it, and nothing counts as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<u32>,
    /// Jobs in force.
    pub jobs: usize,
    /// Runs at once, at most.
    pub max_runs: usize,
    /// Runs going on.
    pub running: Vec<RunRow>,
    /// Fires waiting to start.
    pub waiting: Vec<PendingRow>,
    /// Definitions and files that are refused now.
    pub refused: Vec<RefusedRow>,
    /// Jobs in force that ask for what this machine cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<RefusedRow>,
    /// The newest events of the device, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventJson>,
    /// Everything that can be read of the machine now; of `disk_available` what was read last for a gate.
    pub readings: Readings,
    /// The store's figures.
    pub journal: JournalStatus,
    /// The link to the centre, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
}

/// The link to the centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// How it stands.
    pub state: LinkState,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: WallTime,
    /// The server that it is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// While it waits: when it is started again.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub next_try: Option<WallTime>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What is left out for a while, since the process ended in it three times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What has to be known all the time: plain text off loopback, no user of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Link processes that ended since the agent's start.
    pub exits: u64,
    /// Every number up to here is acknowledged.
    pub acked_through: u64,
    /// Numbers beyond it.
    pub unsent: u64,
}

/// How the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Its process is up and connects.
    Connecting,
    /// Connected to a server, but the hub's JetStream does not answer.
    NoHub,
    /// The hub answers.
    Up,
    /// Its process has ended and is started again later.
    Waiting,
    /// It is not started at all; `trouble` says why.
    Down,
}

/// In a word or two.
impl core::fmt::Display for LinkState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::NoHub => "connected, but the hub does not answer",
            Self::Up => "up",
            Self::Waiting => "down",
            Self::Down => "not started",
        })
    }
}

/// The store's figures, counted since the agent's start where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// The next record's number.
    pub next_seq: u64,
    /// Bytes on disk, in all segments.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Frames written.
    pub frames: u64,
    /// Bytes written.
    pub written: u64,
    /// Syncs asked of the disk.
    pub syncs: u64,
    /// Executions whose ends are among it: what was written and synced per run can be told from these three.
    #[serde(default)]
    pub runs: u64,
    /// Outputs that a full disk had left out of their records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outputs_left_out: u64,
    /// Facts that no disk took.
    pub unrecorded: u64,
    /// What the disk said last, while it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
