//! Turns on their way to the disk. A turn is committed whole: its entries belong together (a record that moves
//! `done_through` and the pending entry of a fire before it, say). Turns commit in order; while one is under way the next
//! collect. What the disk refuses comes back to the front of the queue.

use std::collections::{BTreeSet, VecDeque};

use crate::job::{Acked, Entry, Refusal, RefusalKind, Reply, RunId};
use crate::scheduler::{Act, Effects, Event};
use crate::store::Durability;

use super::carried::{Adjacent, CARRIED_BYTES, bounded};

/// Whole turns are put into one batch up to this weight, in bytes: with what is carried, below a frame's bound.
const BATCH_BYTES: usize = 256 * 1024;
/// Directories that wait for a disk that takes their records, at most; what is beyond stays until the next start.
const CLEARS: usize = 1_024;

/// Acknowledgements that a power cut may take back, at most: as many messages are compared at the next start.
pub const ACKED_UNSYNCED: u64 = 1_024;

/// The queue.
#[derive(Debug)]
pub struct Turns {
    /// Bytes that are carried for a disk that refuses them, about.
    most: usize,
    closed: VecDeque<Effects>,
    /// What the disk refused, oldest first: it leads the next batch.
    carried: Vec<Entry>,
    /// Why it refused them.
    trouble: String,
    under_way: Option<UnderWay>,
    /// Directories whose record the disk has not taken yet.
    clears: Vec<Act>,
    /// Facts that were given up, and that no durable event tells of.
    pub unrecorded: u64,
    /// What the centre has, as far as that is known to be durable.
    acked: u64,
}

/// The batch that the writer has.
#[derive(Debug)]
struct UnderWay {
    /// How many of its entries were carried.
    carried: usize,
    /// Whether the entry after those tells what was given up.
    tells: bool,
    acts: Vec<Act>,
}

/// Whether the disk is asked though there is nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It refused a moment ago.
    NotYet,
    /// It is asked.
    Due,
}

/// What a failed batch leaves to be done.
#[derive(Debug, Default)]
pub struct Leftover {
    /// Acts that do not depend on the disk, and answers that say so.
    pub acts: Vec<Act>,
    /// What the core must hear.
    pub events: Vec<Event>,
}

impl Default for Turns {
    fn default() -> Self {
        Self::bounded(CARRIED_BYTES)
    }
}

impl Turns {
    /// An empty queue that carries so many bytes, about, for a disk that refuses them.
    #[must_use]
    pub fn bounded(most: usize) -> Self {
        Self {
            most,
            closed: VecDeque::new(),
            carried: Vec::new(),
            trouble: String::new(),
            under_way: None,
            clears: Vec::new(),
            unrecorded: 0,
            acked: 0,
        }
    }

    /// Queues a closed turn.
    pub fn push(&mut self, turn: Effects) {
        if !turn.entries.is_empty() || !turn.acts.is_empty() {
            self.closed.push_back(turn);
        }
    }

    /// What is queued and not with the writer.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.carried.iter().chain(self.closed.iter().flat_map(|turn| &turn.entries))
    }

    /// What the disk refused and is to take, oldest first.
    #[must_use]
    pub fn carried(&self) -> &[Entry] {
        &self.carried
    }

    /// A new epoch begins: what the centre has of the old one says nothing in it. No batch may be under way.
    pub fn forget_acks(&mut self) {
        let keep = |entry: &Entry| acked(entry).is_none();
        self.carried.retain(keep);
        self.closed.iter_mut().for_each(|turn| turn.entries.retain(keep));
        self.acked = 0;
    }

    /// Whether a batch is under way.
    pub fn is_committing(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether everything is committed and done.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.carried.is_empty() && self.under_way.is_none()
    }

    /// Acts of turns that have nothing to commit, if no turn is before them.
    pub fn free_acts(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        while self.under_way.is_none() && self.closed.front().is_some_and(|turn| turn.entries.is_empty()) {
            acts.extend(self.closed.pop_front().map(|turn| turn.acts).unwrap_or_default());
        }
        if self.carried.is_empty() {
            return acts;
        }
        // What is answered now may have been asked before, and be among what the disk has not taken.
        acts.into_iter().map(|act| unstored(act, &self.trouble)).collect()
    }

    /// The next batch, unless one is under way: what is carried, then whole turns. `note` says that so many facts were
    /// given up: in the frame that moves past them, since a crash after it would leave nobody who knows.
    pub fn next_batch(
        &mut self,
        retry: Retry,
        note: impl FnOnce(u64) -> Entry,
    ) -> Option<(Vec<Entry>, Durability)> {
        let nothing_new = self.closed.iter().all(|turn| turn.entries.is_empty());
        if self.under_way.is_some() || nothing_new && (self.carried.is_empty() || retry == Retry::NotYet) {
            return None;
        }
        let mut entries = core::mem::take(&mut self.carried);
        let (carried, mut acts, mut bytes) = (entries.len(), Vec::new(), 0);
        let tells = self.unrecorded > 0;
        entries.extend(tells.then(|| note(self.unrecorded)));
        let leads = entries.len();
        while let Some(turn) = self.closed.front() {
            bytes += weight(&turn.entries);
            if entries.len() > leads && bytes > BATCH_BYTES {
                break;
            }
            let Some(turn) = self.closed.pop_front() else { break };
            entries.extend(turn.entries);
            acts.extend(turn.acts);
        }
        self.under_way = Some(UnderWay { carried, tells, acts });
        let can_wait = |entry: &Entry| match entry {
            Entry::Started(_) => true,
            // Of a stream that is another one nothing is known.
            Entry::Acked(acked) if *acked == Acked::default() => false,
            Entry::Acked(acked) => acked.through.saturating_sub(self.acked) < ACKED_UNSYNCED,
            _ => false,
        };
        if entries.iter().all(can_wait) {
            return Some((entries, Durability::Unsynced));
        }
        let acked = entries.iter().filter_map(acked).next_back();
        self.acked = acked.map_or(self.acked, |acked| acked.through);
        Some((entries, Durability::Synced))
    }

    /// The batch is durable: its acts, and the directories that waited for it.
    pub fn committed(&mut self) -> Vec<Act> {
        let Some(UnderWay { mut acts, tells, .. }) = self.under_way.take() else { return Vec::new() };
        if tells {
            self.unrecorded = 0;
        }
        acts.append(&mut self.clears);
        acts
    }

    /// The disk refused the batch: its entries are carried, and those of its intents that are new are told to the core.
    pub fn refused(&mut self, mut entries: Vec<Entry>, why: &str, adjacent: Adjacent<'_>) -> Leftover {
        let Some(UnderWay { carried, tells, acts }) = self.under_way.take() else {
            return Leftover::default();
        };
        if tells {
            // There may be more to tell by the next time.
            entries.remove(carried);
        }
        // An intent that is carried was told before: the core wants it started all the same.
        let intents: BTreeSet<RunId> = entries.iter().skip(carried).filter_map(intent).collect();
        let mut leftover = Leftover::default();
        for act in acts {
            match act {
                Act::Start(start) if intents.contains(&start.run) => {
                    leftover.events.push(Event::NotStored { run: start.run });
                }
                Act::Clear { .. } if self.clears.len() < CLEARS => self.clears.push(act),
                Act::Clear { .. } => {}
                Act::Answer { .. } => leftover.acts.push(unstored(act, why)),
                Act::Start(_)
                | Act::Stop { .. }
                | Act::Probe(_)
                | Act::Watch(_)
                | Act::Check { .. }
                | Act::OnFailure(_) => {
                    leftover.acts.push(act);
                }
            }
        }
        let (carried, given_up) = bounded(entries, self.most, adjacent);
        if given_up > 0 {
            // A fact that is given up leaves its fire to be judged anew after a restart: no directory goes for which that
            // might be needed.
            self.clears.clear();
        }
        self.unrecorded += given_up;
        self.carried = carried;
        why.clone_into(&mut self.trouble);
        leftover
    }
}

/// An answer that says what was done, where no disk has it.
fn unstored(act: Act, why: &str) -> Act {
    match act {
        Act::Answer { ask, reply: Reply::Accepted { .. } | Reply::Done { .. } | Reply::Reloaded(_) } => {
            let message = format!(
                "the disk does not take it ({why}): it holds while this agent lives, and a restart forgets it"
            );
            Act::Answer { ask, reply: Reply::Refused(Refusal { kind: RefusalKind::Disk, message }) }
        }
        act => act,
    }
}

fn intent(entry: &Entry) -> Option<RunId> {
    if let Entry::Intent(intent) = entry { Some(intent.run) } else { None }
}

pub(super) fn acked(entry: &Entry) -> Option<Acked> {
    if let Entry::Acked(acked) = entry { Some(*acked) } else { None }
}

/// About how many bytes these take in a frame.
pub fn weight(entries: &[Entry]) -> usize {
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
        | Entry::Resumed { .. }
        | Entry::Bucket(_)
        | Entry::Orphaned { .. }
        | Entry::Eras(_)
        | Entry::Stopping { .. }
        | Entry::SuccessExitCodes { .. }
        | Entry::Taken(_) => 200,
        Entry::Acked(_) => 32,
    };
    entries.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, DeviceEvent, EventKind, Fire, FireKey, Intent, Revision, Trigger, WallTime};
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

    fn record() -> crate::job::Record {
        let text = include_str!("../../tests/golden/record.json");
        let view: crate::job::RecordJson = serde_json::from_str(text).unwrap();
        crate::job::Record {
            key: FireKey { job: view.job, fire: Fire::Manual { id: "x".parse().unwrap() } },
            revision: view.revision,
            trigger: view.trigger,
            due: view.due,
            started: view.started,
            ended: view.ended,
            attempt: view.attempt,
            outcome: view.outcome,
            last: view.last,
            reason: None,
            detail: None,
            exit_code: None,
            signal: None,
            covers: None,
            stopped_by: None,
            not_applied: Vec::new(),
            output: None,
            usage: None,
            gate: view.gate,
            clock: view.clock,
            era: view.era,
        }
    }

    #[test]
    fn what_is_asked_twice_while_the_disk_refuses_is_no_more_done_than_the_first_time() {
        let answer = || Act::Answer { ask: AskId(1), reply: Reply::Accepted { id: "x".parse().unwrap() } };
        let refused = |acts: &[Act]| matches!(acts, [Act::Answer { reply: Reply::Refused(refusal), .. }] if refusal.message.contains("no space"));
        let mut turns = Turns::default();
        turns.push(Effects { entries: vec![Entry::Record(Box::new(record()))], acts: vec![answer()] });
        let entries = batch(&mut turns);
        assert!(refused(&turns.refused(entries, "no space", &|_, _| false).acts));
        turns.push(Effects { entries: Vec::new(), acts: vec![answer()] });
        assert!(refused(&turns.free_acts()));
        batch(&mut turns);
        turns.committed();
        turns.push(Effects { entries: Vec::new(), acts: vec![answer()] });
        assert!(!refused(&turns.free_acts()));
    }

    #[test]
    fn that_the_stream_is_another_one_is_synced() {
        let of = |acked: Acked| {
            let mut turns = Turns::default();
            turns.push(Effects { entries: vec![Entry::Acked(acked)], ..Effects::default() });
            next(&mut turns, Retry::Due).unwrap().1
        };
        assert_eq!(of(Acked { through: 1, stream_sequence: 1, told: 0 }), Durability::Unsynced);
        assert_eq!(of(Acked::default()), Durability::Synced);
    }

    fn event(kind: EventKind) -> Entry {
        Entry::Event(DeviceEvent { at: WallTime::from_secs(1), clock: Clock::Synced, kind })
    }

    fn told(count: u64) -> Entry {
        event(EventKind::Unrecorded { count, why: "full".to_owned() })
    }

    fn next(turns: &mut Turns, retry: Retry) -> Option<(Vec<Entry>, Durability)> {
        turns.next_batch(retry, told)
    }

    fn batch(turns: &mut Turns) -> Vec<Entry> {
        next(turns, Retry::Due).unwrap().0
    }

    #[test]
    fn nothing_acts_before_its_batch_is_durable_and_the_next_turn_collects_meanwhile() {
        let mut turns = Turns::default();
        turns.push(turn(1));
        assert_eq!(turns.free_acts(), []);
        let (entries, durability) = next(&mut turns, Retry::NotYet).unwrap();
        assert_eq!((entries.len(), durability), (1, Durability::Synced));
        turns.push(turn(2));
        turns.push(Effects { entries: Vec::new(), acts: vec![Act::Stop { run: RunId(7) }] });
        assert!(next(&mut turns, Retry::Due).is_none() && turns.free_acts().is_empty());
        assert_eq!(turns.committed().len(), 2);
        batch(&mut turns);
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
        let entries = batch(&mut turns);
        let leftover = turns.refused(entries, "no space left on device", &|_, _| false);
        assert!(matches!(leftover.events[..], [Event::NotStored { run: RunId(1) }]));
        assert!(matches!(&leftover.acts[..], [Act::Answer { reply: Reply::Refused(_), .. }]));
        assert!(next(&mut turns, Retry::NotYet).is_none(), "not asked again at once");
        assert_eq!(batch(&mut turns).len(), 1);
        assert_eq!(turns.committed(), [Act::Clear { run: RunId(90) }]);
    }

    #[test]
    fn what_is_wanted_all_the_same_starts_beside_the_intent_that_is_carried() {
        let mut turns = Turns::default();
        turns.push(turn(1));
        let entries = batch(&mut turns);
        let start = turn(1).acts.remove(0);
        turns.refused(entries, "", &|_, _| false);
        // The core answers NotStored with another start: alone in its turn, it is free.
        turns.push(Effects { entries: Vec::new(), acts: vec![turn(1).acts.remove(0)] });
        assert_eq!(turns.free_acts(), [turn(1).acts.remove(0)]);
        // Beside new entries it is not told again.
        let mut again = turn(2);
        again.acts.push(start);
        turns.push(again);
        let entries = batch(&mut turns);
        assert_eq!(entries.len(), 2);
        let leftover = turns.refused(entries, "", &|_, _| false);
        assert!(matches!(leftover.events[..], [Event::NotStored { run: RunId(2) }]));
        assert!(matches!(&leftover.acts[..], [Act::Start(start)] if start.run == RunId(1)));
    }

    #[test]
    fn what_a_restart_must_know_of_a_run_goes_with_it_from_a_disk_that_refuses() {
        let mut turns = Turns::default();
        for run in 0..1_200 {
            let Effects { mut entries, acts } = turn(run);
            let Entry::Intent(intent) = &mut entries[0] else { unreachable!() };
            intent.key.fire =
                Fire::Scheduled { era: 1, due: WallTime::from_secs(i64::try_from(run).unwrap()) };
            let key = intent.key.clone();
            let record = crate::job::Record { key, last: true, ..record() };
            entries.push(Entry::Stopping { run: RunId(run), why: crate::job::StopWhy::Replaced });
            entries.push(Entry::SuccessExitCodes { run: RunId(run), codes: vec![0, 1] });
            entries.push(Entry::Record(Box::new(record)));
            turns.push(Effects { entries, acts });
            let entries = batch(&mut turns);
            turns.refused(entries, "", &|_, _| false);
        }
        let kept = batch(&mut turns);
        assert!(weight(&kept) <= CARRIED_BYTES + 1_000, "{}", weight(&kept));
        let of_runs = kept.iter().filter(|entry| matches!(entry, Entry::Stopping { .. })).count();
        assert!(of_runs < kept.len() / 2, "{of_runs} of {}", kept.len());
    }

    #[test]
    fn a_disk_that_refuses_for_ever_stops_no_act_and_fills_no_memory() {
        let mut turns = Turns::default();
        for run in 0..5_000 {
            let acts = vec![Act::Stop { run: RunId(run) }];
            turns.push(Effects { entries: vec![event(EventKind::Stopped)], acts });
            let entries = batch(&mut turns);
            assert!(weight(&entries) <= CARRIED_BYTES + 400);
            assert_eq!(turns.refused(entries, "", &|_, _| false).acts, [Act::Stop { run: RunId(run) }]);
        }
        assert!(turns.unrecorded > 3_000, "{}", turns.unrecorded);
        let kept = batch(&mut turns).len() as u64 - 1;
        assert_eq!(kept + turns.unrecorded, 5_000, "what is given up is counted");
    }

    #[test]
    fn what_was_given_up_is_told_in_the_frame_that_moves_past_it() {
        let mut turns = Turns::bounded(1_000);
        for n in 1..=20 {
            turns.push(Effects { entries: vec![event(EventKind::Stopped)], acts: Vec::new() });
            let entries = batch(&mut turns);
            turns.refused(entries, "full", &|_, _| false);
            let kept = turns.entries().count() as u64;
            assert_eq!(kept + turns.unrecorded, n, "what tells of it is no fact that can be given up");
        }
        let given_up = turns.unrecorded;
        turns.push(Effects { entries: vec![event(EventKind::Stopped)], acts: Vec::new() });
        let entries = batch(&mut turns);
        let tells = entries.iter().filter(|entry| **entry == told(given_up)).count();
        assert!(given_up > 0 && tells == 1, "{given_up}: {entries:?}");
        assert_eq!(turns.unrecorded, given_up, "until it is durable");
        turns.committed();
        assert_eq!(turns.unrecorded, 0);
        turns.push(Effects { entries: vec![event(EventKind::Stopped)], acts: Vec::new() });
        assert_eq!(batch(&mut turns), [event(EventKind::Stopped)], "it is told once");
    }
}
