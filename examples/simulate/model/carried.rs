//! Promises 1 and 5 while the disk refuses: every fact is carried, lies in a skip that is, or is given up and counted; and
//! memory has a bound.

use leafcron::agent::turns::weight;
use leafcron::job::{DeviceEvent, Entry, EventKind, Fire, Outcome, Record};

use super::Model;

/// Bytes beyond the bound for what is no fact and has bounds of its own: what waits, runs and is in force.
const STANDING_BYTES: usize = 512 * 1024;

impl Model {
    /// The disk refused these facts; `carried` is to come again, and `given_up` of them are not.
    pub(crate) fn is_carried(&mut self, facts: &[Entry], carried: &[Entry], given_up: u64, most: usize) {
        let records = || carried.iter().filter_map(record);
        let mut gone = 0;
        for fact in facts {
            let kept = match fact {
                Entry::Record(of) => records().any(|record| holds(record, of)),
                other => carried.contains(other),
            };
            if !kept {
                gone += 1;
                record(fact).into_iter().for_each(|record| self.gives_up(record));
            }
        }
        self.untold += given_up;
        if gone != given_up {
            self.blame(format!("carried: {gone} facts are gone, and {given_up} are counted"));
        }
        let facts_bytes: usize = carried.iter().filter(|entry| is_fact(entry)).map(bytes).sum();
        let rest = weight(carried) - facts_bytes;
        if facts_bytes > most || rest > STANDING_BYTES {
            self.blame(format!("bound: {facts_bytes} bytes of facts and {rest} more are carried, of {most}"));
        }
    }

    /// The frame that moves past what was given up tells of it.
    pub(super) fn check_told(&mut self, frame: &[Entry]) {
        let count = |entry: &Entry| match entry {
            Entry::Event(DeviceEvent { kind: EventKind::Unrecorded { count, .. }, .. }) => *count,
            _ => 0,
        };
        let (told, given_up) = (frame.iter().map(count).sum::<u64>(), core::mem::take(&mut self.untold));
        if told != given_up {
            self.blame(format!(
                "carried: {given_up} facts were given up, and the frame after them tells of {told}"
            ));
        }
    }
}

/// Whether `record` is `of`, but for its output, or a skip that covers it.
fn holds(record: &Record, of: &Record) -> bool {
    if (&record.key, record.attempt, record.ended) == (&of.key, of.attempt, of.ended) {
        return true;
    }
    let (Fire::Scheduled { era, .. }, Fire::Scheduled { era: own, due }) = (&record.key.fire, &of.key.fire)
    else {
        return false;
    };
    let skips = |record: &Record| record.outcome == Outcome::Skipped && record.last;
    let alike = record.key.job == of.key.job && era == own && record.reason == of.reason;
    let (from, to) = of.covers.map_or((*due, *due), |covers| (covers.from, covers.to));
    let covered = record.covers.is_some_and(|covers| covers.from <= from && to <= covers.to);
    alike && covered && skips(record) && skips(of)
}

fn record(entry: &Entry) -> Option<&Record> {
    if let Entry::Record(record) = entry { Some(record) } else { None }
}

fn is_fact(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(_) | Entry::Event(_))
}

fn bytes(entry: &Entry) -> usize {
    weight(core::slice::from_ref(entry))
}
