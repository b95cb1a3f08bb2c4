//! Turns on their way to the disk. A turn is committed whole: its entries belong together (a record that moves
//! `done_through` and the pending entry of a fire before it, say). Turns commit in order; while one is under way the next
//! collect. What the disk refuses comes back to the front of the queue.

use std::collections::VecDeque;

use crate::job::{Entry, Refusal, RefusalKind, Reply, RunId};
use crate::scheduler::{Act, Effects, Event};
use crate::store::Durability;

/// Whole turns are put into one frame up to this weight, in bytes: well below a frame's bound.
const BATCH_BYTES: usize = 256 * 1024;
/// Entries that are kept for a disk that refuses them; beyond it the oldest facts are given up and counted.
const CARRIED: usize = 4_096;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Turns {
    closed: VecDeque<Effects>,
    /// Acts of the batch that is under way.
    acts: Option<Vec<Act>>,
    /// Directories whose record the disk has not taken yet.
    clears: Vec<Act>,
    /// The front of the queue is what the disk refused.
    refused: bool,
    /// Facts that were given up.
    pub(super) unrecorded: u64,
}

/// What a failed batch leaves to be done.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// Acts that do not depend on the disk, and answers that say so.
    pub(super) acts: Vec<Act>,
    /// What the core must hear.
    pub(super) events: Vec<Event>,
}

impl Turns {
    /// Queues a closed turn.
    pub(super) fn push(&mut self, turn: Effects) {
        if !turn.entries.is_empty() || !turn.acts.is_empty() {
            self.closed.push_back(turn);
        }
    }

    /// Whether everything is committed and done.
    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.acts.is_none()
    }

    /// Whether all that is queued is what the disk refused.
    pub(super) fn holds_only_refused(&self) -> bool {
        self.refused && self.closed.len() == 1
    }

    /// Acts of turns that have nothing to commit, if no turn is before them.
    pub(super) fn free_acts(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        while self.acts.is_none() && self.closed.front().is_some_and(|turn| turn.entries.is_empty()) {
            acts.extend(self.closed.pop_front().map(|turn| turn.acts).unwrap_or_default());
        }
        acts
    }

    /// The next batch, unless one is under way.
    pub(super) fn next_batch(&mut self) -> Option<(Vec<Entry>, Durability)> {
        if self.acts.is_some() {
            return None;
        }
        let (mut entries, mut acts) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some(turn) = self.closed.front() {
            bytes += weight(&turn.entries);
            if !entries.is_empty() && bytes > BATCH_BYTES {
                break;
            }
            let Some(turn) = self.closed.pop_front() else { break };
            entries.extend(turn.entries);
            acts.extend(turn.acts);
        }
        if entries.is_empty() {
            // Only acts: `free_acts` has them.
            self.push(Effects { entries, acts });
            return None;
        }
        self.refused = false;
        self.acts = Some(acts);
        let noted_only = entries.iter().all(|entry| matches!(entry, Entry::Started(_)));
        let durability = if noted_only { Durability::Unsynced } else { Durability::Synced };
        Some((entries, durability))
    }

    /// The batch is durable: its acts, and the directories that waited for it.
    pub(super) fn committed(&mut self) -> Vec<Act> {
        let mut acts = self.acts.take().unwrap_or_default();
        acts.append(&mut self.clears);
        acts
    }

    /// The disk refused the batch: its entries wait at the front, its intents are told to the core.
    pub(super) fn refused(&mut self, entries: Vec<Entry>, why: &str) -> Leftover {
        let intents: Vec<RunId> = entries.iter().filter_map(intent).collect();
        let mut leftover = Leftover::default();
        for act in self.acts.take().unwrap_or_default() {
            match act {
                Act::Start(start) if intents.contains(&start.run) => {
                    leftover.events.push(Event::NotStored { run: start.run });
                }
                Act::Clear { .. } => self.clears.push(act),
                Act::Answer { ask, .. } => {
                    let message =
                        format!("done, but the disk does not take it, so a restart may forget it: {why}");
                    let reply = Reply::Refused(Refusal { kind: RefusalKind::Disk, message });
                    leftover.acts.push(Act::Answer { ask, reply });
                }
                Act::Start(_) | Act::Stop { .. } | Act::Probe(_) | Act::Check { .. } => {
                    leftover.acts.push(act)
                }
            }
        }
        let entries = self.bounded(entries);
        self.closed.push_front(Effects { entries, acts: Vec::new() });
        self.refused = true;
        leftover
    }

    /// Gives up the oldest facts beyond the bound. A fact that is not stored leaves its fire to be judged anew after a
    /// restart: its directory is still there.
    fn bounded(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let mut surplus = entries.len().saturating_sub(CARRIED);
        entries.retain(|entry| {
            let given_up =
                surplus > 0 && matches!(entry, Entry::Record(_) | Entry::Event(_) | Entry::Started(_));
            if given_up {
                surplus -= 1;
                self.unrecorded += u64::from(!matches!(entry, Entry::Started(_)));
            }
            !given_up
        });
        entries
    }
}

fn intent(entry: &Entry) -> Option<RunId> {
    if let Entry::Intent(intent) = entry { Some(intent.run) } else { None }
}

/// About how many bytes these take in a frame.
pub(super) fn weight(entries: &[Entry]) -> usize {
    let of = |entry: &Entry| match entry {
        Entry::Record(record) => {
            let output = record.output.as_ref().map_or(0, |output| output.head.len() + output.tail.len());
            300 + output + record.detail.as_ref().map_or(0, String::len)
        }
        Entry::Defined { text, .. } => 200 + text.len(),
        Entry::Event(_)
        | Entry::Withdrawn { .. }
        | Entry::Began { .. }
        | Entry::Forgotten { .. }
        | Entry::Pending(_)
        | Entry::Missed(_)
        | Entry::Intent(_)
        | Entry::Started(_)
        | Entry::Booted { .. }
        | Entry::Paused { .. }
        | Entry::Resumed { .. } => 200,
    };
    entries.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Fire, FireKey, Intent, Revision, Trigger, WallTime};
    use crate::scheduler::{AskId, Start};

    fn turn(run: u64) -> Effects {
        let key = FireKey {
            job: "a".parse().unwrap(),
            fire: Fire::Scheduled { era: 1, due: WallTime::from_secs(60) },
        };
        let (due, trigger, attempt, run) = (WallTime::from_secs(60), Trigger::Schedule, 1, RunId(run));
        let intent = Intent {
            key: key.clone(),
            due,
            trigger,
            attempt,
            run,
            revision: Revision::default(),
            at: due,
            boot: crate::job::Id128::default(),
        };
        let acts = vec![Act::Start(Start { run, key, due, trigger, attempt }), Act::Clear { run: RunId(90) }];
        Effects { entries: vec![Entry::Intent(intent)], acts }
    }

    #[test]
    fn nothing_acts_before_its_batch_is_durable_and_the_next_turn_collects_meanwhile() {
        let mut turns = Turns::default();
        turns.push(turn(1));
        assert_eq!(turns.free_acts(), []);
        let (entries, durability) = turns.next_batch().unwrap();
        assert_eq!((entries.len(), durability), (1, Durability::Synced));
        turns.push(turn(2));
        turns.push(Effects { entries: Vec::new(), acts: vec![Act::Stop { run: RunId(7) }] });
        assert!(turns.next_batch().is_none() && turns.free_acts().is_empty());
        assert_eq!(turns.committed().len(), 2);
        turns.next_batch().unwrap();
        assert_eq!(turns.committed().len(), 3);
        assert!(turns.is_empty());
    }

    #[test]
    fn a_refused_batch_tells_its_intents_keeps_its_entries_and_clears_nothing() {
        let mut turns = Turns::default();
        let mut first = turn(1);
        let reply = Reply::Done { message: "paused".to_owned() };
        first.acts.push(Act::Answer { ask: AskId(3), reply });
        turns.push(first);
        let (entries, _) = turns.next_batch().unwrap();
        let leftover = turns.refused(entries, "no space left on device");
        assert!(matches!(leftover.events[..], [Event::NotStored { run: RunId(1) }]));
        assert!(matches!(&leftover.acts[..], [Act::Answer { reply: Reply::Refused(_), .. }]));
        let (entries, _) = turns.next_batch().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(turns.committed(), [Act::Clear { run: RunId(90) }]);
    }

    #[test]
    fn what_is_carried_for_a_dead_disk_is_bounded_and_counted() {
        let mut turns = Turns::default();
        let note = |n| Entry::Started(crate::job::Started { run: RunId(n), pid: 1, start_ticks: 1 });
        turns.push(Effects { entries: (0..5_000).map(note).collect(), acts: Vec::new() });
        let (entries, durability) = turns.next_batch().unwrap();
        assert_eq!(durability, Durability::Unsynced);
        turns.refused(entries, "");
        assert_eq!(turns.next_batch().unwrap().0.len(), CARRIED);
        assert_eq!(turns.unrecorded, 0, "a note of a runner is no fact");
    }
}
