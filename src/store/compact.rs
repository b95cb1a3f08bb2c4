//! A fresh segment from what an old one adds up to. Two passes over the old one: the first makes the image and counts
//! what each job has, the second copies what is kept; so memory holds the image and four bytes per kept fact.
//!
//! What is kept: each job's newest records, `history` of them; its `last` in any case; of the device's events as many; and
//! all that the centre does not have yet, where there is one. Where that is more than the budget, history gives way first,
//! the oldest of it first; then outputs that were not sent, then successes, then the rest; then the outputs of those that
//! must stay.

use std::collections::{BTreeMap, VecDeque};

use super::disk::DiskFile;
use super::error::StoreError;
use super::frame::{self, Body, KeptFact, Unreadable, size_of};
use super::header::Header;
use super::replay::{Gap, replay, segment_name};
use super::takeover::{Numbers, Takeover, renumbered};
use crate::job::{Acked, Entry, Image, JobName, Outcome};

/// A frame of the compacted part, in bytes, about: a bad one costs no more than this.
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes handed to the disk at once.
const WRITE_BYTES: usize = 64 * 1024;

/// A segment and how far it is read.
pub(super) struct Source<'a, F> {
    pub(super) file: &'a F,
    pub(super) header: Header,
    pub(super) end: u64,
    pub(super) unreadable: Unreadable,
}

/// What is kept beyond each job's newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    /// Records of each job, and events.
    pub(super) history: usize,
    /// Facts above this number wait for the centre; `None`: there is none.
    pub(super) unsent_above: Option<u64>,
}

/// What becomes of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep {
        /// It is its job's last.
        last: bool,
        /// Its output goes.
        strip: bool,
    },
    Drop,
}

/// What kind of unsent fact it is: the first kind gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Success,
    Other,
}

/// Bytes of a fact, and what gives way first of it.
#[derive(Clone, Copy, Debug)]
struct Weight {
    size: u64,
    /// Of it the output.
    output: u64,
    kind: Kind,
}

impl Weight {
    fn of(fact: &Entry) -> Self {
        let kind = match fact {
            Entry::Record(record) if record.outcome == Outcome::Succeeded => Kind::Success,
            _ => Kind::Other,
        };
        Self { size: size_of(fact) as u64, output: output_size(fact) as u64, kind }
    }
}

/// Counts facts in the first pass and judges the same ones in the second.
struct Plan {
    keep: Keep,
    /// By job; `None`: events.
    tallies: BTreeMap<Option<JobName>, Tally>,
    /// Of unsent facts: their outputs, and without these the successes and the others.
    unsent: Unsent,
    /// Bytes of old facts that must still go.
    drop: u64,
    /// Bytes of unsent facts that must still go.
    give: Unsent,
    /// Bytes of outputs of last ones that must still go.
    strip: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Unsent {
    outputs: u64,
    successes: u64,
    others: u64,
}

impl Unsent {
    fn change(&mut self, weight: Weight, by: impl Fn(u64, u64) -> u64) {
        self.outputs = by(self.outputs, weight.output);
        let rest = weight.size.saturating_sub(weight.output);
        let of = match weight.kind {
            Kind::Success => &mut self.successes,
            Kind::Other => &mut self.others,
        };
        *of = by(*of, rest);
    }
}

#[derive(Default)]
struct Tally {
    seen: u64,
    passed: u64,
    /// Of those seen, how many are unsent: the newest ones.
    unsent: u64,
    /// The newest final record: which one in order, from 1, and its weight.
    last: Option<(u64, Weight)>,
    /// The sizes of the newest.
    sizes: VecDeque<u32>,
}

fn owner(fact: &Entry) -> Option<JobName> {
    match fact {
        Entry::Record(record) => Some(record.key.job.clone()),
        _ => None,
    }
}

fn output_size(fact: &Entry) -> usize {
    match fact {
        Entry::Record(record) => {
            record.output.as_ref().map_or(0, |output| output.head.len() + output.tail.len())
        }
        _ => 0,
    }
}

/// Leaves out what a record's command printed. Whether there was any.
pub(super) fn strip(fact: &mut Entry) -> bool {
    if let Entry::Record(record) = fact { record.leave_out_output() } else { false }
}

impl Plan {
    fn new(keep: Keep) -> Self {
        let (unsent, give) = (Unsent::default(), Unsent::default());
        Self { keep, tallies: BTreeMap::new(), unsent, drop: 0, give, strip: 0 }
    }

    fn is_unsent(&self, seq: u64) -> bool {
        self.keep.unsent_above.is_some_and(|above| seq > above)
    }

    fn count(&mut self, seq: u64, fact: &Entry) {
        let unsent = self.is_unsent(seq);
        let tally = self.tallies.entry(owner(fact)).or_default();
        tally.seen += 1;
        let weight = Weight::of(fact);
        if unsent {
            tally.unsent += 1;
            self.unsent.change(weight, u64::saturating_add);
        }
        if matches!(fact, Entry::Record(record) if record.last) {
            tally.last = Some((tally.seen, weight));
        }
        tally.sizes.push_back(u32::try_from(weight.size).unwrap_or(u32::MAX));
        if tally.sizes.len() > self.keep.history {
            tally.sizes.pop_front();
        }
    }

    /// Ends the first pass: what must go so that image and facts fit into `budget` bytes. Old facts first, then outputs
    /// of unsent ones, unsent successes, other unsent ones, and at last the outputs of what is each job's last.
    fn settle(&mut self, image: &Image, budget: u64) {
        let mut total: u64 = image.entries().map(|entry| size_of(&entry) as u64).sum();
        let mut droppable = 0;
        for (job, tally) in &mut self.tallies {
            tally.last = tally.last.filter(|_| job.as_ref().is_some_and(|job| image.last.contains_key(job)));
            let window = tally.sizes.len() as u64;
            let old = usize::try_from(window.saturating_sub(tally.unsent)).unwrap_or(usize::MAX);
            let mut may: u64 = tally.sizes.iter().take(old).map(|size| u64::from(*size)).sum();
            if let Some((at, weight)) = tally.last {
                total += weight.size;
                if at + tally.unsent > tally.seen {
                    self.unsent.change(weight, u64::saturating_sub);
                } else if at + window > tally.seen {
                    may = may.saturating_sub(weight.size);
                }
            }
            droppable += may;
        }
        let Unsent { outputs, successes, others } = self.unsent;
        let excess = (total + droppable + outputs + successes + others).saturating_sub(budget);
        let mut left = excess;
        let mut take = |most: u64| {
            let taken = left.min(most);
            left -= taken;
            taken
        };
        self.drop = take(droppable);
        self.give = Unsent { outputs: take(outputs), successes: take(successes), others: take(others) };
        self.strip = left;
    }

    fn judge(&mut self, seq: u64, fact: &Entry) -> Fate {
        let unsent = self.is_unsent(seq);
        let Some(tally) = self.tallies.get_mut(&owner(fact)) else { return Fate::Drop };
        tally.passed += 1;
        if let Some((_, weight)) = tally.last.filter(|(at, _)| *at == tally.passed) {
            let strip = self.strip > 0 && weight.output > 0;
            if strip {
                self.strip = self.strip.saturating_sub(weight.output);
            }
            return Fate::Keep { last: true, strip };
        }
        let weight = Weight::of(fact);
        if unsent {
            return self.give_way(weight);
        }
        if tally.passed + self.keep.history as u64 <= tally.seen {
            return Fate::Drop;
        }
        if self.drop > 0 {
            self.drop = self.drop.saturating_sub(weight.size);
            return Fate::Drop;
        }
        Fate::Keep { last: false, strip: false }
    }

    /// An unsent fact: what is lost of it is found missing when it is to be sent, and told.
    fn give_way(&mut self, weight: Weight) -> Fate {
        let strip = self.give.outputs > 0 && weight.output > 0;
        self.give.outputs = self.give.outputs.saturating_sub(weight.output);
        let rest = weight.size.saturating_sub(weight.output);
        let of = match weight.kind {
            Kind::Success => &mut self.give.successes,
            Kind::Other => &mut self.give.others,
        };
        if *of > 0 {
            *of = of.saturating_sub(rest);
            return Fate::Drop;
        }
        Fate::Keep { last: false, strip }
    }
}

/// Writes a segment.
pub(super) struct Writer<'a, F> {
    file: &'a F,
    name: &'a str,
    seed: u32,
    buffer: Vec<u8>,
    flushed: u64,
    pub(super) frames: u64,
}

impl<'a, F: DiskFile> Writer<'a, F> {
    pub(super) fn new(file: &'a F, name: &'a str, header: &Header) -> Self {
        Self { file, name, seed: header.seed(), buffer: header.encode(), flushed: 0, frames: 0 }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn push(&mut self, body: &frame::Borrowed<'_>) -> Result<(), StoreError> {
        let offset = self.len();
        frame::push(&mut self.buffer, self.seed, offset, body)?;
        self.frames += 1;
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.append(&self.buffer).map_err(StoreError::disk("write", self.name))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what `source` adds up to, in a new epoch if there is a takeover; tells what of it was missing.
    pub(super) fn compact(
        &mut self,
        source: &Source<'_, F>,
        keep: Keep,
        budget: u64,
        takeover: Option<&Takeover>,
    ) -> Result<Vec<Gap>, StoreError> {
        let Source { file, header, end, unreadable } = source;
        let name = segment_name(header.number);
        let mut plan = Plan::new(keep);
        let mut old = replay(*file, header, *end, *unreadable, |seq, fact| plan.count(seq, &fact))
            .map_err(StoreError::disk("read", &name))?;
        plan.settle(&old.image, budget);
        if takeover.is_some() {
            old.image.acked = Acked { through: 0, told: 0, ..old.image.acked };
        }
        self.image(&old.image)?;

        let mut facts = Facts::new(self, takeover);
        replay(*file, header, *end, *unreadable, |seq, fact| {
            let fate = plan.judge(seq, &fact);
            facts.take(seq, fact, fate);
        })
        .map_err(StoreError::disk("read", &name))?;
        facts.end()?;
        let Image { newest, last_run, commands, .. } = &old.image;
        self.push(&Body::Base { newest: *newest, last_run: *last_run, commands: commands.clone() })?;
        Ok(old.gaps)
    }

    fn image(&mut self, image: &Image) -> Result<(), StoreError> {
        let mut chunk = Chunk::default();
        for entry in image.entries() {
            let size = size_of(&entry);
            if let Some(entries) = chunk.add(entry, size) {
                self.push(&Body::Image(&entries))?;
            }
        }
        if chunk.items.is_empty() { Ok(()) } else { self.push(&Body::Image(&chunk.items)) }
    }

    /// Writes a commit behind it.
    pub(super) fn commit(&mut self, first: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let offset = self.len();
        frame::push_commit(&mut self.buffer, self.seed, offset, first, entries)?;
        self.frames += 1;
        Ok(())
    }

    /// Hands the rest to the disk and makes it durable.
    pub(super) fn finish(mut self) -> Result<(u64, u64), StoreError> {
        self.flush()?;
        self.file.sync().map_err(StoreError::disk("sync", self.name))?;
        Ok((self.flushed, self.frames))
    }
}

/// Writes the facts that are kept, in frames of some.
struct Facts<'a, 'b, F> {
    writer: &'a mut Writer<'b, F>,
    chunk: Chunk<KeptFact>,
    numbers: Option<Numbers<'a>>,
    /// The first fact of a new epoch, until it is written.
    first: Option<Entry>,
    result: Result<(), StoreError>,
}

impl<'a, 'b, F: DiskFile> Facts<'a, 'b, F> {
    fn new(writer: &'a mut Writer<'b, F>, takeover: Option<&'a Takeover>) -> Self {
        Self {
            writer,
            chunk: Chunk::default(),
            numbers: takeover.map(Takeover::numbers),
            first: takeover.map(|takeover| Entry::Event(takeover.event.clone())),
            result: Ok(()),
        }
    }

    fn take(&mut self, seq: u64, fact: Entry, fate: Fate) {
        let (seq, mut fact) = match &mut self.numbers {
            Some(numbers) => (numbers.of(seq), renumbered(fact)),
            None => (seq, fact),
        };
        if seq > 1 {
            self.tell_first();
        }
        let Fate::Keep { last, strip: output } = fate else { return };
        if output {
            strip(&mut fact);
        }
        self.add(KeptFact { seq, last, fact });
    }

    fn tell_first(&mut self) {
        if let Some(fact) = self.first.take() {
            self.add(KeptFact { seq: 1, last: false, fact });
        }
    }

    fn add(&mut self, fact: KeptFact) {
        let size = size_of(&fact.fact);
        if self.result.is_ok()
            && let Some(facts) = self.chunk.add(fact, size)
        {
            self.result = self.writer.push(&Body::Kept(&facts));
        }
    }

    fn end(mut self) -> Result<(), StoreError> {
        self.tell_first();
        self.result?;
        if self.chunk.items.is_empty() { Ok(()) } else { self.writer.push(&Body::Kept(&self.chunk.items)) }
    }
}

/// Items that go into one frame together.
struct Chunk<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bytes: 0 }
    }
}

impl<T> Chunk<T> {
    /// Takes an item; gives the items before it back if it does not go with them.
    fn add(&mut self, item: T, size: usize) -> Option<Vec<T>> {
        let full = !self.items.is_empty() && self.bytes + size > CHUNK_BYTES;
        let before = full.then(|| core::mem::take(&mut self.items));
        self.bytes = if full { size } else { self.bytes + size };
        self.items.push(item);
        before
    }
}
