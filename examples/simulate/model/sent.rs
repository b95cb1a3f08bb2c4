//! Promise 4: a record leaves the outbox only after the stream has it, and every number is in the stream or in a range
//! that a record tells.

use std::collections::BTreeSet;

use leafcron::job::{Entry, EventKind, Fire};
use serde_json::Value;

use super::{Fact, Model};

impl Model {
    /// A message reaches the hub: it must be the fact of that number, and durable.
    pub(crate) fn arrives(&mut self, seq: u64, payload: &[u8]) {
        self.arrived.insert(seq);
        let index = usize::try_from(seq).unwrap_or(usize::MAX).wrapping_sub(1);
        let Some(fact) = self.facts.get(index) else {
            return self.blame(format!("sent: fact {seq} went to the hub, and no disk has it"));
        };
        let said: Value = serde_json::from_slice(payload).unwrap_or_default();
        let text = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default();
        let right = said.get("seq").and_then(Value::as_u64) == Some(seq)
            && match fact {
                Fact::Record(record) => {
                    let due = match record.key.fire {
                        Fire::Scheduled { due, .. } => due,
                        Fire::Reboot { .. } | Fire::Manual { .. } => record.due,
                    };
                    text("job") == record.key.job.as_str()
                        && text("due") == due.to_string()
                        && text("ended") == record.ended.to_string()
                        && said.get("final").and_then(Value::as_bool) == Some(record.last)
                }
                Fact::Event(_) => !text("event").is_empty(),
                Fact::Hole => false,
            };
        if !right {
            let what: String = String::from_utf8_lossy(payload).chars().take(300).collect();
            self.blame(format!("sent: fact {seq} is another at the hub: {what}"));
        }
    }

    /// What an acknowledgement says must have arrived, or be told.
    pub(super) fn check_sent(&mut self, entry: &Entry) {
        let Entry::Acked(acked) = entry else { return };
        let known = |seq: &u64| {
            self.arrived.contains(seq) || self.told.iter().any(|(from, to)| (*from..=*to).contains(seq))
        };
        let first = self.durable.acked.through + 1;
        if let Some(seq) = (first..=acked.through).find(|seq| !known(seq)) {
            self.blame(format!("freed: {seq} counts as acknowledged, and the hub never had it"));
        }
    }

    /// An event is durable that tells a range to be missing.
    pub(super) fn note_told(&mut self, kind: &EventKind) {
        self.told.extend(range(kind));
    }

    /// Once everything is delivered: what the hub holds now.
    pub(crate) fn judge_sent(&mut self, at_hub: &BTreeSet<u64>) {
        let told: Vec<(u64, u64)> = at_hub
            .iter()
            .filter_map(|seq| self.facts.get(usize::try_from(*seq).ok()?.checked_sub(1)?))
            .filter_map(|fact| if let Fact::Event(kind) = fact { range(kind) } else { None })
            .collect();
        let missing =
            |seq: &u64| !at_hub.contains(seq) && !told.iter().any(|(from, to)| (*from..=*to).contains(seq));
        let all = self.facts.len() as u64;
        if let Some(seq) = (1..=all).find(missing) {
            let count = (1..=all).filter(missing).count();
            self.blame(format!(
                "lost: {count} numbers are neither at the hub nor told to be missing, the first is {seq}"
            ));
        }
    }
}

fn range(kind: &EventKind) -> Option<(u64, u64)> {
    match kind {
        EventKind::Dropped { from, to, .. } | EventKind::Damaged { from, to, .. } => Some((*from, *to)),
        _ => None,
    }
}
