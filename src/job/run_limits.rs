//! What a Run may use, `[job.X.limits]`: data only. `runtime` applies it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{FieldError, Fields};
use super::text::FieldMap;
use super::units;

/// Below this no program can be executed at all, in bytes.
const MEMORY_BYTES: u64 = 1024 * 1024;

/// Bounds of one Run, all its processes together where the kernel can count them together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Processor time, in percent of one processor.
    pub cpu: Option<u32>,
    /// Processes and threads at once.
    pub pids: Option<u32>,
    /// nice(1)
    pub nice: Option<i8>,
    /// ionice(1)
    pub io: Option<IoPriority>,
    /// Whether a Run is refused to which one of these could not be applied.
    pub required: bool,
}

/// `io`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoPriority {
    /// Only while nobody else asks the disk.
    Idle,
    /// Best effort, at a level from 0 (first) to 7 (last).
    BestEffort(u8),
}

impl RunLimits {
    /// Reads the table.
    ///
    /// # Errors
    /// The first field that is unknown or not allowed.
    pub fn parse(map: &FieldMap) -> Result<Self, FieldError> {
        let mut fields = Fields::below("limits", map);
        let limits = Self {
            memory: fields.optional("memory", memory)?,
            cpu: fields.optional("cpu", |v| Fields::whole(v, 1..=100_000))?,
            pids: fields.optional("pids", |v| Fields::whole(v, 1..=4_194_304))?,
            nice: fields.optional("nice", |v| Fields::whole(v, -20..=19))?,
            io: fields.optional("io", io)?,
            required: fields.or("required", false, Fields::flag)?,
        };
        fields.finish()?;
        Ok(limits)
    }

    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { required: false, ..self.clone() } == Self::default()
    }
}

fn memory(value: &Value) -> Result<u64, String> {
    let bytes = units::parse_size(Fields::text(value)?)?;
    if bytes < MEMORY_BYTES {
        return Err(format!("is less than {}: no program runs in that", units::format_size(MEMORY_BYTES)));
    }
    Ok(bytes)
}

fn io(value: &Value) -> Result<IoPriority, String> {
    let level = value.as_u64().and_then(|level| u8::try_from(level).ok()).filter(|level| *level <= 7);
    match (value.as_str(), level) {
        (Some("idle"), _) => Ok(IoPriority::Idle),
        (_, Some(level)) => Ok(IoPriority::BestEffort(level)),
        _ => Err(format!("{value} is neither \"idle\" nor a level from 0 (first) to 7 (last)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::text;

    fn parse(json: &str) -> Result<RunLimits, FieldError> {
        RunLimits::parse(&text::parse(json).unwrap())
    }

    #[test]
    fn each_limit_is_read_in_its_unit() {
        let all = r#"{"memory":"64MiB","cpu":150,"pids":32,"nice":10,"io":"idle","required":true}"#;
        let expected = RunLimits {
            memory: Some(64 << 20),
            cpu: Some(150),
            pids: Some(32),
            nice: Some(10),
            io: Some(IoPriority::Idle),
            required: true,
        };
        assert_eq!(parse(all).unwrap(), expected);
        assert_eq!(parse(r#"{"io":7}"#).unwrap().io, Some(IoPriority::BestEffort(7)));
        assert!(parse(r#"{"required":true}"#).unwrap().is_empty() && !expected.is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (json, field) in [
            (r#"{"memory":"64KiB"}"#, "limits.memory"),
            (r#"{"memory":64}"#, "limits.memory"),
            (r#"{"cpu":0}"#, "limits.cpu"),
            (r#"{"pids":0}"#, "limits.pids"),
            (r#"{"nice":20}"#, "limits.nice"),
            (r#"{"io":8}"#, "limits.io"),
            (r#"{"io":"realtime"}"#, "limits.io"),
            (r#"{"required":"yes"}"#, "limits.required"),
            (r#"{"swap":"1GiB"}"#, "limits.swap"),
        ] {
            assert_eq!(parse(json).unwrap_err().field, field, "{json}");
        }
    }
}
