//! Which numbers are missing: every number of a device's numbering is in the stream, or inside a range that a fact states as
//! dropped or damaged. Pure.

use std::collections::{BTreeMap, BTreeSet};

use leafcron::job::{AgentName, Epoch};
use serde::Deserialize;

/// What the stream has, by device and numbering.
#[derive(Default)]
pub(super) struct Ledger {
    books: BTreeMap<(AgentName, Epoch), Ranges>,
    duplicates: BTreeSet<AgentName>,
}

/// Of any fact, what counts here.
#[derive(Deserialize)]
struct Fact {
    seq: u64,
    epoch: Epoch,
    agent: AgentName,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    from: Option<u64>,
    #[serde(default)]
    to: Option<u64>,
}

impl Ledger {
    /// A message under this device's subject. One that speaks of another device is nobody's.
    pub(super) fn enter(&mut self, of: &AgentName, payload: &[u8]) {
        let Ok(fact) = serde_json::from_slice::<Fact>(payload) else { return };
        if fact.agent != *of {
            return;
        }
        let book = self.books.entry((fact.agent.clone(), fact.epoch)).or_default();
        book.add(fact.seq, fact.seq);
        match fact.event.as_deref() {
            Some("dropped" | "damaged") => {
                if let (Some(from), Some(to)) = (fact.from, fact.to) {
                    book.add(from, to);
                }
            }
            Some("duplicate_agent") => {
                self.duplicates.insert(fact.agent);
            }
            _ => {}
        }
    }

    /// What is missing, as ranges: between the first number that the stream still has and the last that it must have, which
    /// `acknowledged` knows of a numbering that goes on.
    pub(super) fn missing(
        &self,
        acknowledged: impl Fn(&AgentName, Epoch) -> Option<u64>,
    ) -> Vec<(AgentName, Epoch, u64, u64)> {
        let mut missing = Vec::new();
        for ((agent, epoch), book) in &self.books {
            let end = acknowledged(agent, *epoch);
            missing.extend(book.gaps(end).into_iter().map(|(from, to)| (agent.clone(), *epoch, from, to)));
        }
        missing
    }

    /// The names that two devices had at once.
    pub(super) fn duplicates(&self) -> impl Iterator<Item = &AgentName> {
        self.duplicates.iter()
    }
}

/// Numbers, as disjoint ranges: first to last.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let (mut from, mut to) = (from, to);
        // All that touch it become one.
        while let Some((&start, &end)) = self.0.range(..=to.saturating_add(1)).next_back() {
            if end.saturating_add(1) < from {
                break;
            }
            (from, to) = (from.min(start), to.max(end));
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    /// What lies between them, and behind the last up to `end`.
    fn gaps(&self, end: Option<u64>) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut last: Option<u64> = None;
        for (&from, &to) in &self.0 {
            if let Some(next) = last.and_then(|last| last.checked_add(1)).filter(|next| *next < from) {
                gaps.push((next, from - 1));
            }
            last = Some(to);
        }
        if let (Some(next), Some(end)) = (last.and_then(|last| last.checked_add(1)), end)
            && next <= end
        {
            gaps.push((next, end));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentName {
        name.parse().unwrap()
    }

    fn epoch(byte: u8) -> Epoch {
        leafcron::job::Id128([byte; 16])
    }

    fn fact(agent: &str, epoch: u8, seq: u64, more: &str) -> String {
        let epoch = self::epoch(epoch);
        format!(r#"{{"seq":{seq},"epoch":"{epoch}","agent":"{agent}"{more}}}"#)
    }

    #[test]
    fn numbers_in_any_order_and_twice_leave_just_what_is_missing() {
        let mut ledger = Ledger::default();
        for seq in [9, 3, 4, 4, 8, 5, 12] {
            ledger.enter(&agent("a"), fact("a", 1, seq, "").as_bytes());
        }
        // Another numbering of the same device, and somebody who speaks of it below a name of their own.
        ledger.enter(&agent("a"), fact("a", 2, 1, "").as_bytes());
        ledger.enter(&agent("b"), fact("a", 1, 6, "").as_bytes());
        ledger.enter(&agent("a"), b"garbage");
        let ranges = |end| -> Vec<(u64, u64)> {
            let missing = ledger.missing(|_, of| (of == epoch(1)).then_some(end));
            missing.into_iter().map(|(_, _, from, to)| (from, to)).collect()
        };
        assert_eq!(ranges(12), [(6, 7), (10, 11)], "what lies before the first is out of its time");
        assert_eq!(ranges(14), [(6, 7), (10, 11), (13, 14)], "acknowledged, and not there");
    }

    #[test]
    fn what_is_stated_as_given_up_is_not_missing() {
        let mut ledger = Ledger::default();
        for seq in [1, 8] {
            ledger.enter(&agent("a"), fact("a", 1, seq, "").as_bytes());
        }
        let stated = |event: &str, from, to| format!(r#","event":"{event}","from":{from},"to":{to}"#);
        ledger.enter(&agent("a"), fact("a", 1, 9, &stated("dropped", 2, 4)).as_bytes());
        ledger.enter(&agent("a"), fact("a", 1, 10, &stated("damaged", 6, 7)).as_bytes());
        ledger.enter(&agent("a"), fact("a", 1, 11, &stated("paused", 5, 5)).as_bytes());
        ledger.enter(&agent("a"), fact("a", 1, 12, &stated("dropped", 9, 1)).as_bytes());
        let missing = ledger.missing(|_, _| None);
        assert_eq!(missing, [(agent("a"), epoch(1), 5, 5)]);
    }

    #[test]
    fn the_ends_of_all_numbers_are_numbers() {
        let mut ledger = Ledger::default();
        for seq in [0, u64::MAX] {
            ledger.enter(&agent("a"), fact("a", 1, seq, "").as_bytes());
        }
        let missing = ledger.missing(|_, _| Some(u64::MAX));
        assert_eq!(missing, [(agent("a"), epoch(1), 1, u64::MAX - 1)]);
    }
}
