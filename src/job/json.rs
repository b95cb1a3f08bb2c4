//! The JSON form of records and events: the same on the socket, over NATS and from `--json`. Times are RFC 3339 UTC
//! with milliseconds; what is meaningless is absent.

use serde::{Deserialize, Serialize};

use super::fire::{BootId, CommandId, Epoch, Fire, Trigger};
use super::name::{AgentName, JobName};
use super::readings::Readings;
use super::record::{Covers, DeviceEvent, EventKind, Outcome, Output, Reason, Record, Usage};
use super::text::Revision;
use super::time::{Clock, WallTime, rfc3339};

/// A record as everyone but the journal sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordJson {
    /// Its number within `(agent, epoch)`.
    pub seq: u64,
    /// The numbering.
    pub epoch: Epoch,
    /// The device.
    pub agent: AgentName,
    /// The job.
    pub job: JobName,
    /// The definition that was in force.
    pub revision: Revision,
    /// Why the fire came to be.
    pub trigger: Trigger,
    /// The era of the fire; of `@reboot` and manual fires, the one that counted when this was recorded.
    pub era: u32,
    /// The boot of an `@reboot` fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootId>,
    /// The command of a manual fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// The due instant, or when it was asked for.
    #[serde(with = "rfc3339")]
    pub due: WallTime,
    /// When the command started.
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub started: Option<WallTime>,
    /// When it ended or was settled.
    #[serde(with = "rfc3339")]
    pub ended: WallTime,
    /// Which start of this fire; 0: never started.
    pub attempt: u8,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the fire is settled by this record.
    #[serde(rename = "final")]
    pub last: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the system said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The command's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The signal that ended the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// The fires settled together with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<Covers>,
    /// Who stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// Limits that could not be applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_applied: Vec<String>,
    /// What was kept of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// What its processes used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The readings that decided.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub gate: Readings,
    /// What the wall clock was worth.
    pub clock: Clock,
}

impl RecordJson {
    /// The view of record `seq` of `(agent, epoch)`.
    #[must_use]
    pub fn new(seq: u64, epoch: Epoch, agent: AgentName, record: Record) -> Self {
        let (mut boot, mut id) = (None, None);
        match record.key.fire {
            Fire::Scheduled { .. } => {}
            Fire::Reboot { boot: of } => boot = Some(of),
            Fire::Manual { id: of } => id = Some(of),
        }
        Self {
            seq,
            epoch,
            agent,
            job: record.key.job,
            revision: record.revision,
            trigger: record.trigger,
            era: record.era,
            boot,
            id,
            due: record.due,
            started: record.started,
            ended: record.ended,
            attempt: record.attempt,
            outcome: record.outcome,
            last: record.last,
            reason: record.reason,
            detail: record.detail,
            exit_code: record.exit_code,
            signal: record.signal,
            covers: record.covers,
            stopped_by: record.stopped_by,
            not_applied: record.not_applied,
            output: record.output,
            usage: record.usage,
            gate: record.gate,
            clock: record.clock,
        }
    }
}

/// An event as everyone but the journal sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventJson {
    /// Its number within `(agent, epoch)`.
    pub seq: u64,
    /// The numbering.
    pub epoch: Epoch,
    /// The device.
    pub agent: AgentName,
    /// What happened, and its own fields.
    #[serde(flatten)]
    pub kind: KindJson,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// What the wall clock was worth.
    pub clock: Clock,
}

/// The JSON form of [`EventKind`]: `event` names the variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[serde(remote = "EventKind")]
enum KindDef {
    Started {
        version: String,
    },
    Stopped,
    ClockStep {
        by_ms: i64,
    },
    Dropped {
        from: u64,
        to: u64,
        count: u64,
        why: String,
    },
    Damaged {
        from: u64,
        to: u64,
        file: String,
    },
    Newer {
        file: String,
    },
    Overdue {
        job: JobName,
        #[serde(with = "rfc3339")]
        started: WallTime,
    },
    Refused {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<JobName>,
        source: String,
        reason: String,
    },
    Paused {
        job: JobName,
    },
    Resumed {
        job: JobName,
    },
    Unrecorded {
        count: u64,
        why: String,
    },
    Link {
        phase: String,
        reason: String,
    },
    NewEpoch {
        old_epoch: Epoch,
        last_seq: u64,
        why: String,
    },
    DuplicateAgent {
        other_epoch: Epoch,
        newcomer: bool,
    },
}

/// [`EventKind`] in its JSON form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindJson(#[serde(with = "KindDef")] pub EventKind);

impl EventJson {
    /// The view of event `seq` of `(agent, epoch)`.
    #[must_use]
    pub fn new(seq: u64, epoch: Epoch, agent: AgentName, event: DeviceEvent) -> Self {
        Self { seq, epoch, agent, kind: KindJson(event.kind), at: event.at, clock: event.clock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Covers, FireKey};

    fn record() -> Record {
        let due = WallTime::from_millis(1_795_312_800_000);
        Record {
            key: FireKey { job: "backup".parse().unwrap(), fire: Fire::Scheduled { era: 1, due } },
            revision: "9f2c41d07a3e".parse().unwrap(),
            trigger: Trigger::Schedule,
            due,
            started: Some(WallTime::from_millis(due.millis() + 4)),
            ended: WallTime::from_millis(due.millis() + 190_120),
            attempt: 1,
            outcome: Outcome::Failed,
            last: true,
            reason: None,
            detail: None,
            exit_code: Some(3),
            signal: None,
            covers: None,
            stopped_by: None,
            not_applied: Vec::new(),
            output: Some(Output {
                head: "…".to_owned(),
                tail: "…".to_owned(),
                bytes: 48_211,
                dropped: 44_115,
            }),
            usage: Some(Usage { cpu_ms: 8_120, max_rss_kib: 20_480 }),
            gate: Readings { memory_available: Some(104_857_600), ..Readings::default() },
            clock: Clock::Synced,
            era: 1,
        }
    }

    #[test]
    fn a_record_prints_as_the_golden_file_and_reads_back() {
        let epoch = "6f0c0000000000000000000000000000".parse().unwrap();
        let view = RecordJson::new(4_711, epoch, "pi-01".parse().unwrap(), record());
        let golden = include_str!("../../tests/golden/record.json").trim();
        assert_eq!(serde_json::to_string(&view).unwrap(), golden);
        assert_eq!(serde_json::from_str::<RecordJson>(golden).unwrap(), view);
    }

    #[test]
    fn a_skip_that_covers_a_range_says_so() {
        let (from, to) = (WallTime::from_secs(60), WallTime::from_secs(120));
        let skipped = Record {
            started: None,
            outcome: Outcome::Skipped,
            reason: Some(crate::job::Reason::Missed),
            covers: Some(Covers { from, to, count: 2 }),
            ..record()
        };
        let view = RecordJson::new(1, Epoch::default(), "a".parse().unwrap(), skipped);
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["covers"]["from"], "1970-01-01T00:01:00.000Z");
        assert_eq!(json["reason"], "missed");
        assert!(json.get("started").is_none());
        assert_eq!(serde_json::from_value::<RecordJson>(json).unwrap(), view);
    }

    #[test]
    fn an_event_names_its_kind_beside_its_fields() {
        let event = DeviceEvent {
            at: WallTime::from_secs(0),
            clock: Clock::Unsynced,
            kind: EventKind::Dropped { from: 12, to: 90, count: 60, why: "disk".to_owned() },
        };
        let view = EventJson::new(91, Epoch::default(), "a".parse().unwrap(), event);
        let text = serde_json::to_string(&view).unwrap();
        let golden = include_str!("../../tests/golden/event.json").trim();
        assert_eq!(text, golden);
        assert_eq!(serde_json::from_str::<EventJson>(&text).unwrap(), view);
    }
}
