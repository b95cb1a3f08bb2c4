//! A fresh segment from what an old one adds up to. Two passes over the old one: the first makes the image and counts
//! what each job has, the second copies what is kept; so memory holds the image and four bytes per kept fact.
//!
//! What is kept: each job's newest records, `history` of them; its `last` in any case; of the device's events as many.
//! Where that is more than the budget, the oldest give way first, then the outputs of those that must stay.

use std::collections::{BTreeMap, VecDeque};

use super::disk::DiskFile;
use super::error::StoreError;
use super::frame::{self, Body, KeptFact, Unreadable, size_of};
use super::header::Header;
use super::replay::{Gap, replay, segment_name};
use crate::job::{Entry, Image, JobName};

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

/// What becomes of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep {
        last: bool,
    },
    /// Kept as its job's last, but without its output.
    Strip,
    Drop,
}

/// Counts facts in the first pass and judges the same ones in the second.
struct Plan {
    history: usize,
    /// By job; `None`: events.
    tallies: BTreeMap<Option<JobName>, Tally>,
    /// Bytes of old facts that must still go.
    drop: u64,
    /// Bytes of outputs that must still go.
    strip: u64,
}

#[derive(Default)]
struct Tally {
    seen: u64,
    passed: u64,
    /// The newest final record: which one in order, from 1, its size, and its output's.
    last: Option<(u64, usize, usize)>,
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

/// The record without its output.
pub(super) fn strip(fact: &mut Entry) {
    if let Entry::Record(record) = fact {
        record.output = None;
    }
}

impl Plan {
    fn new(history: usize) -> Self {
        Self { history, tallies: BTreeMap::new(), drop: 0, strip: 0 }
    }

    fn count(&mut self, fact: &Entry) {
        let tally = self.tallies.entry(owner(fact)).or_default();
        tally.seen += 1;
        let size = size_of(fact);
        if matches!(fact, Entry::Record(record) if record.last) {
            tally.last = Some((tally.seen, size, output_size(fact)));
        }
        tally.sizes.push_back(u32::try_from(size).unwrap_or(u32::MAX));
        if tally.sizes.len() > self.history {
            tally.sizes.pop_front();
        }
    }

    /// Ends the first pass: what must go so that image and facts fit into `budget` bytes.
    fn settle(&mut self, image: &Image, budget: u64) {
        let mut total: u64 = image.entries().map(|entry| size_of(&entry) as u64).sum();
        let mut droppable = 0;
        for (job, tally) in &mut self.tallies {
            tally.last = tally.last.filter(|_| job.as_ref().is_some_and(|job| image.last.contains_key(job)));
            let newest: u64 = tally.sizes.iter().map(|size| u64::from(*size)).sum();
            let (must, among) = match tally.last {
                Some((at, size, _)) => (size as u64, at + tally.sizes.len() as u64 > tally.seen),
                None => (0, false),
            };
            let may = newest - if among { must.min(newest) } else { 0 };
            droppable += may;
            total += must + may;
        }
        let excess = total.saturating_sub(budget);
        self.drop = excess.min(droppable);
        self.strip = excess - self.drop;
    }

    fn judge(&mut self, fact: &Entry) -> Fate {
        let Some(tally) = self.tallies.get_mut(&owner(fact)) else { return Fate::Drop };
        tally.passed += 1;
        match tally.last {
            Some((at, _, 0)) if at == tally.passed => return Fate::Keep { last: true },
            Some((at, _, output)) if at == tally.passed => {
                if self.strip == 0 {
                    return Fate::Keep { last: true };
                }
                self.strip = self.strip.saturating_sub(output as u64);
                return Fate::Strip;
            }
            _ => {}
        }
        if tally.passed + self.history as u64 <= tally.seen {
            return Fate::Drop;
        }
        if self.drop > 0 {
            self.drop = self.drop.saturating_sub(size_of(fact) as u64);
            return Fate::Drop;
        }
        Fate::Keep { last: false }
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

    /// Writes what `source` adds up to; tells what of it was missing.
    pub(super) fn compact(
        &mut self,
        source: &Source<'_, F>,
        history: usize,
        budget: u64,
    ) -> Result<Vec<Gap>, StoreError> {
        let Source { file, header, end, unreadable } = source;
        let name = segment_name(header.number);
        let mut plan = Plan::new(history);
        let old = replay(*file, header, *end, *unreadable, |_, fact| plan.count(&fact))
            .map_err(StoreError::disk("read", &name))?;
        plan.settle(&old.image, budget);
        self.image(&old.image)?;

        let mut chunk = Chunk::default();
        let mut result = Ok(());
        replay(*file, header, *end, *unreadable, |seq, mut fact| {
            let last = match plan.judge(&fact) {
                Fate::Drop => return,
                Fate::Strip => {
                    strip(&mut fact);
                    true
                }
                Fate::Keep { last } => last,
            };
            let size = size_of(&fact);
            if result.is_ok()
                && let Some(facts) = chunk.add(KeptFact { seq, last, fact }, size)
            {
                result = self.push(&Body::Kept(&facts));
            }
        })
        .map_err(StoreError::disk("read", &name))?;
        result?;
        if !chunk.items.is_empty() {
            self.push(&Body::Kept(&chunk.items))?;
        }
        self.push(&Body::Base { newest: old.image.newest, last_run: old.image.last_run })?;
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
