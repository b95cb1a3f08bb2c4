//! The words for outcomes and states: the same as in JSON, put together for people.

use leafcron::job::{JobRow, Outcome, Reason, RecordJson};
use serde::Serialize;

/// A unit variant's name as JSON has it.
pub(crate) fn word(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default().trim_matches('"').to_owned()
}

/// `failed`, `skipped(gate)`.
pub(crate) fn outcome(outcome: Outcome, reason: Option<Reason>) -> String {
    match reason {
        Some(reason) => format!("{}({})", word(outcome), word(reason)),
        None => word(outcome),
    }
}

/// `3`, `signal 9`, or `-` where no command ended.
pub(crate) fn exit(record: &RecordJson) -> String {
    match (record.exit_code, record.signal) {
        (_, Some(signal)) => format!("signal {signal}"),
        (Some(code), None) => code.to_string(),
        (None, None) => "-".to_owned(),
    }
}

/// What a job is at.
pub(crate) fn state(row: &JobRow) -> String {
    let count = |word: &str, n: usize| match n {
        0 => None,
        1 => Some(word.to_owned()),
        n => Some(format!("{n} {word}")),
    };
    let states: Vec<String> = [
        count("running", row.running),
        count("waiting", row.waiting),
        row.paused.then(|| "paused".to_owned()),
        (!row.enabled).then(|| "disabled".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if states.is_empty() { "idle".to_owned() } else { states.join(", ") }
}
