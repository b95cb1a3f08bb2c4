//! What is durable: the turns that the journal acknowledged, in order. After a crash the journal must add up to just
//! them, and to one more turn at most: one that was under way or refused.

use leafcron::job::{Entry, EventKind, Fire, Image, WallTime};

use super::{Fact, Model};

/// Refused turns that a crash may find, beside the first one.
const LATEST: usize = 8;

impl Model {
    /// The journal acknowledged these under numbers from `first` on.
    pub(crate) fn stored(&mut self, first: u64, entries: &[Entry]) {
        let next = self.next_seq();
        if first != next {
            self.blame(format!("seq: a turn was given numbers from {first} on where {next} is next"));
        }
        self.uncertain.clear();
        self.unsynced = false;
        self.given_up.append(&mut self.given_up_so_far);
        self.check_told(entries);
        self.take(entries);
    }

    /// Whether a power cut may take what the last start found.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// The journal did not acknowledge these: a crash may find them.
    pub(crate) fn unsure(&mut self, entries: Vec<Entry>) {
        // The first may lie behind the last good frame, the latest in a segment whose name came back.
        if self.uncertain.len() > LATEST {
            self.uncertain.remove(1);
        }
        self.uncertain.push(entries);
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.facts.len() as u64 + 1
    }

    /// What a start read back. `found`: the facts beyond those that were acknowledged.
    pub(crate) fn recovered(&mut self, image: &Image, next_seq: u64, notes: &[EventKind], found: &[Entry]) {
        if next_seq < self.next_seq() {
            let lost = self.next_seq() - 1;
            self.blame(format!("lost: seq {lost} was acknowledged, and after the crash {next_seq} is next"));
        }
        let uncertain = core::mem::take(&mut self.uncertain);
        let expected = core::iter::once(&[][..]).chain(uncertain.iter().map(Vec::as_slice));
        let bare =
            |entries: &[Entry]| entries.iter().filter(numbered).map(without_output).collect::<Vec<_>>();
        let found = bare(found);
        let same = |batch: &&[Entry]| {
            let mut expected = self.durable.clone();
            batch.iter().for_each(|entry| expected.apply(entry));
            bare(batch) == found && difference(&expected, image).is_none()
        };
        match expected.into_iter().find(same).map(<[Entry]>::to_vec) {
            Some(batch) => {
                if !batch.is_empty() {
                    self.unsynced = true;
                    self.given_up.append(&mut self.given_up_so_far);
                }
                self.take(&batch);
            }
            None => {
                let why = difference(&self.durable, image).unwrap_or_else(|| format!("facts {found:?}"));
                self.blame(format!("lost: after a crash the journal is not what it acknowledged: {why}"));
            }
        }
        // What was never synced may be gone.
        self.durable = image.clone();
        let holes = next_seq.saturating_sub(self.next_seq());
        if holes > 0 && !notes.iter().any(|note| matches!(note, EventKind::Damaged { .. })) {
            self.blame(format!("seq: {holes} numbers were left out before {next_seq}"));
        }
        (0..holes).for_each(|_| self.facts.push(Fact::Hole));
        self.restarted();
    }

    /// What was said of schedules and definitions on the way to the disk, up to this entry: what the disk never got,
    /// since a later entry makes it void, counted all the same.
    fn catch_up(&mut self, entry: &Entry) {
        if !is_standing(entry) || !self.standing.contains(entry) {
            return;
        }
        while let Some(before) = self.standing.pop_front().filter(|before| before != entry) {
            self.note_span(&before);
            self.durable.apply(&before);
        }
    }

    fn take(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.catch_up(entry);
            self.note_span(entry);
            self.check_sent(entry);
            if let Entry::Pending(pending) = entry
                && self.durable.intents.contains_key(&pending.key)
            {
                self.returned.insert(pending.key.clone());
            }
            self.durable.apply(entry);
            match entry {
                Entry::Record(record) => {
                    let mut record = record.clone();
                    record.output = None;
                    self.facts.push(Fact::Record(record));
                }
                Entry::Event(event) => {
                    self.facts.push(Fact::Event(event.kind.clone()));
                    self.note_told(&event.kind);
                }
                Entry::Intent(intent) => self.check_intent(intent),
                Entry::Booted { .. } => {
                    let booting = core::mem::take(&mut self.booting);
                    self.booted.extend(booting);
                }
                _ => {}
            }
        }
        // A frame counts whole: what was folded for a refusing disk stands behind what waited before it.
        entries.iter().for_each(|entry| self.check_bounds(entry));
    }

    fn check_intent(&mut self, intent: &leafcron::job::Intent) {
        let Fire::Scheduled { due, era } = intent.key.fire else { return };
        let job = &intent.key.job;
        if self.durable.paused.contains_key(job) {
            self.blame(format!("paused: {job} is, and its fire of {due} starts"));
        }
        let Some(definition) = self.revisions.get(&intent.revision) else {
            return self.blame(format!("{job}: run {} is of no definition that anybody wrote", intent.run));
        };
        if era != self.durable.eras.current() {
            // This clock says nothing about how late it is.
            return;
        }
        // The splay is that of the definition by which it fell due.
        let splay = self.splays.get(job).copied().unwrap_or(0);
        let late = |deadline: i64| due.millis() + 1_000 * (deadline + splay);
        if let Some(at) = definition.deadline_secs.map(late).filter(|at| intent.at.millis() > *at) {
            let at = WallTime::from_millis(at);
            self.blame(format!("deadline: {job} due {due} may start until {at}, and starts {}", intent.at));
        }
    }
}

/// Whether it says something of a schedule or a definition that a later one may make void.
pub(super) fn is_standing(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Began { .. }
            | Entry::Defined { .. }
            | Entry::Withdrawn { .. }
            | Entry::Orphaned { .. }
            | Entry::Eras(_)
    )
}

fn numbered(entry: &&Entry) -> bool {
    matches!(entry, Entry::Record(_) | Entry::Event(_))
}

/// A full disk takes records without their output.
fn without_output(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let Entry::Record(record) = &mut entry {
        record.output = None;
    }
    entry
}

/// What differs, but for what is not synced for its own sake.
fn difference(expected: &Image, found: &Image) -> Option<String> {
    let settled = |image: &Image| {
        let mut image = Image { acked: leafcron::job::Acked::default(), ..image.clone() };
        image.intents.values_mut().for_each(|open| open.started = None);
        image
    };
    let (expected, found) = (settled(expected), settled(found));
    macro_rules! compare {
        ($($field:ident)*) => {
            $(if expected.$field != found.$field {
                return Some(short(&format!("{}: {:?} is {:?}", stringify!($field), expected.$field, found.$field)));
            })*
        };
    }
    compare!(definitions eras provisional progress pending missed intents paused boot bucket orphans commands last_run newest last);
    None
}

fn short(text: &str) -> String {
    text.chars().take(600).collect()
}
