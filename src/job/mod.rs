//! WHAT: the words that every room shares. Definitions, records, requests and replies, names, units, times, limits:
//! data and its text forms only, no I/O, no decision, no clock.

mod ask;
mod command;
mod cronjob;
mod doctor;
mod document;
mod entry;
mod eras;
mod fact;
mod fields;
mod fire;
mod hex;
mod image;
mod json;
pub mod limits;
mod name;
mod readings;
mod record;
mod require;
mod run_limits;
mod sync;
mod taken;
pub mod text;
pub mod time;
pub mod units;

pub use ask::{
    FieldShown, JobRow, JobShown, JournalStatus, LinkState, LinkStatus, LogPart, PendingRow, Refusal,
    RefusalKind, RefusedRow, Reloaded, Reply, Request, RunRow, Status,
};
pub use command::Command;
pub use cronjob::{Action, CatchUp, CronJob, OnInterrupt, Otherwise, Overlap, Retry, Unrecorded, merge};
pub use doctor::{Doctor, Warning};
pub use document::{Document, JobsFile, Section, SyntaxError};
pub use entry::{Entry, Intent, LastAttempt, Missed, Pending, PendingStage, Source, Started, StopWhy};
pub use eras::{Eras, Provisional, Provisionally};
pub use fact::{FactId, with_less_output};
pub use fields::FieldError;
pub(crate) use fields::Fields;
pub use fire::{BootId, CommandId, Epoch, Fire, FireKey, Id128, RunId, Trigger};
pub use image::{Image, LastRun, OpenIntent, Progress};
pub use json::{EventJson, KindJson, RecordJson};
pub use name::{AgentName, JobName, NAME_BYTES, Name, NameError};
pub use readings::{Network, Power, Pressure, Readings, Throttled};
pub use record::{Covers, DeviceEvent, EventKind, Outcome, Output, Reason, Record, Usage};
pub use require::{DiskFloor, Require, Resource};
pub use run_limits::{IoPriority, RunLimits};
pub use sync::{Acked, Bucket, Heartbeat, Verdict, VerdictState};
pub use taken::{CommandMark, Remembered, Taken};
pub use text::{FieldMap, Revision};
pub use time::{BootTime, Clock, Now, WallTime};
