//! What device and centre tell each other beside definitions and records: what became of a definition, how the device
//! is, and what of all this the journal remembers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::doctor::Warning;
use super::fire::Epoch;
use super::name::{AgentName, JobName, Name};
use super::readings::Readings;
use super::text::Revision;
use super::time::{Clock, WallTime, rfc3339};

/// How far the centre has this journal's numbered facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Every number up to here is in the stream, or in a range that was told to be missing.
    pub through: u64,
    /// The highest sequence of the stream at which one of them lies; 0: none.
    pub stream_sequence: u64,
    /// Numbers up to here that the journal lacks are in a range that an event tells.
    pub told: u64,
}

/// The bucket that the centre's definitions came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its `meta.id`; `None`: it has none, and its silence proves nothing.
    pub id: Option<Name>,
    /// The highest sequence that was taken from it.
    pub sequence: u64,
}

/// What became of the definitions of one job on one device: the value of `<agent>.<job>` in the bucket of reported
/// state. Speaks of the source that comes first by precedence among those that say anything of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The job.
    pub job: JobName,
    /// `file`, `agent` or `group.<g>`.
    pub source: String,
    /// What became of it.
    pub state: VerdictState,
    /// The sequence of its key in the bucket of definitions. Absent for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Its revision, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The field that is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it is refused, and what is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision in force, whoever it is from; absent: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<Revision>,
    /// The sources that lose to this one, with the sequences of their keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shadowed: BTreeMap<String, u64>,
    /// What the definition in force asks for and this machine cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// What became of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictState {
    /// It is in force.
    Accepted,
    /// It is refused; the last valid one of the same source stays, if there was one.
    Rejected,
    /// It is in force although the bucket no longer holds it: nobody withdrew it.
    Orphaned,
}

/// How a device is: the value of `<agent>` in the bucket of reported state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The device.
    pub agent: AgentName,
    /// When it said so, by its own clock.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// How often it says so at least, as `15m`.
    pub heartbeat: String,
    /// The agent's version.
    pub version: String,
    /// The journal's numbering.
    pub epoch: Epoch,
    /// When the agent started.
    #[serde(with = "rfc3339")]
    pub since: WallTime,
    /// What its clock is worth.
    pub clock: Clock,
    /// The era of this boot's own, while the clock is implausible: jobs run in it, and nothing counts as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<u32>,
    /// Its groups, in the order of their precedence.
    pub groups: Vec<Name>,
    /// Jobs in force.
    pub jobs: usize,
    /// Jobs with a run going on; at most [`limits::LISTED`](super::limits::LISTED).
    pub running: Vec<JobName>,
    /// Jobs with a run longer than its `warn_after`; bounded likewise.
    pub overdue: Vec<JobName>,
    /// Jobs whose last final record is neither `succeeded` nor `skipped`; bounded likewise.
    pub failing: Vec<JobName>,
    /// The end of the newest run that succeeded.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub last_success: Option<WallTime>,
    /// Every number up to here is acknowledged.
    pub acked_through: u64,
    /// The number that the next record will have.
    pub next_seq: u64,
    /// What can be read of the machine; of `disk_available` and `throttled` what was read last for a gate.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub readings: Readings,
}
