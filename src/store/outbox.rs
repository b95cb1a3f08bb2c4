//! Numbered facts in order, for whoever sends them: read from the segment beside the thread that writes it, from where the
//! last reading ended. Takes no lock and changes nothing.

use std::io;

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::{Body, Frames, Owned, Piece, Unreadable, is_numbered, size_of};
use super::header::{HEADER_BYTES, Header, Kind};
use super::history::open_newest;
use super::replay::{kind_of, replay, segment_name};
use crate::job::{Entry, Epoch, EventKind};

/// Ranges that events tell to be missing, taken into account at most: what is beyond is told twice.
const TOLD: usize = 1_024;

/// The reader.
#[derive(Debug)]
pub struct Outbox<D: Disk> {
    disk: D,
    epoch: Epoch,
    place: Option<Place<D::File>>,
    /// The segment that was read last.
    segment: u64,
}

/// Where the last reading ended.
#[derive(Debug)]
struct Place<F> {
    number: u64,
    header: Header,
    file: F,
    /// The frame to go on with.
    offset: u64,
    /// Facts before that frame have numbers up to here.
    passed: u64,
}

/// Numbers that the journal lacks and no event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// How many; those between that are there, or told, do not count.
    pub count: u64,
}

impl<D: Disk> Outbox<D> {
    /// A reader of the journal on this disk, of this epoch and no other.
    pub fn new(disk: D, epoch: Epoch) -> Self {
        Self { disk, epoch, place: None, segment: 0 }
    }

    /// The numbering that it reads.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the segment that was read last: where it is another than before, facts may have given way.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The facts in `(after, through]`, in the order of their numbers: at most `count`, and about `bytes` of the journal; at
    /// least one, if there is any. `through` must be durable: nothing behind it is looked at.
    ///
    /// # Errors
    /// The directory or the segment cannot be read. What is damaged in it is missing.
    pub fn read(
        &mut self,
        after: u64,
        through: u64,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Entry)>, StoreError> {
        let mut found = Vec::new();
        let Some(mut place) = self.place(after)? else { return Ok(found) };
        let name = segment_name(place.number);
        let failed = || StoreError::disk("read", &name);
        let end = place.file.size().map_err(failed())?;
        let mut frames = Frames::new(&place.file, place.header.seed(), place.offset, end, Unreadable::Skip);
        let (mut weight, mut passed, mut offset) = (0, place.passed, place.offset);
        'frames: while passed < through {
            let Some(piece) = frames.next().map_err(failed())? else { break };
            let Piece::Frame(body) = piece else { continue };
            let mut last = passed;
            for (seq, fact) in facts(body) {
                last = last.max(seq);
                if seq <= after {
                    continue;
                }
                weight += size_of(&fact);
                if seq > through || found.len() >= count || weight > bytes && !found.is_empty() {
                    break 'frames;
                }
                found.push((seq, fact));
            }
            (passed, offset) = (last, frames.offset());
        }
        (place.passed, place.offset) = (passed, offset);
        self.place = Some(place);
        Ok(found)
    }

    /// Which numbers of `(after, through]` are missing without being told.
    ///
    /// # Errors
    /// The directory or the segment cannot be read.
    pub fn survey(&mut self, after: u64, through: u64) -> Result<Option<Survey>, StoreError> {
        self.place = None;
        self.segment = open_newest(&self.disk)?.map_or(0, |(number, _)| number);
        let mut told: Vec<(u64, u64)> = Vec::new();
        self.visit(|_, fact| {
            if let Entry::Event(event) = fact
                && let EventKind::Dropped { from, to, .. } | EventKind::Damaged { from, to, .. } = event.kind
                && from > 0
                && from <= to
                && told.len() < TOLD
            {
                told.push((from, to));
            }
        })?;
        let mut missing = Missing { told, next: after.saturating_add(1), found: None };
        self.visit(|seq, _| {
            if (missing.next..=through).contains(&seq) {
                missing.gap(seq.saturating_sub(1));
                missing.next = seq.saturating_add(1);
            }
        })?;
        missing.gap(through);
        Ok(missing.found)
    }

    fn visit(&self, mut each: impl FnMut(u64, Entry)) -> Result<(), StoreError> {
        let Some((number, file)) = open_newest(&self.disk)? else { return Ok(()) };
        let name = segment_name(number);
        let Some(header) = self.header(&file, number)? else { return Ok(()) };
        let end = file.size().map_err(StoreError::disk("read", &name))?;
        replay(&file, &header, end, Unreadable::Skip, &mut each).map_err(StoreError::disk("read", &name))?;
        Ok(())
    }

    /// The segment's header. Of another epoch its numbers mean other facts: that of a new epoch is not written yet.
    fn header(&self, file: &D::File, number: u64) -> Result<Option<Header>, StoreError> {
        match kind_of(file, number) {
            Kind::Ours(header) if header.epoch != self.epoch => {
                let other = io::Error::other(format!("it is of epoch {}, not {}", header.epoch, self.epoch));
                Err(StoreError::disk("read", &segment_name(number))(other))
            }
            Kind::Ours(header) => Ok(Some(header)),
            Kind::Newer | Kind::Foreign => Ok(None),
        }
    }

    /// Where to go on; a segment that replaced the last one is read from its begin.
    fn place(&mut self, after: u64) -> Result<Option<Place<D::File>>, StoreError> {
        let Some((number, file)) = open_newest(&self.disk)? else { return Ok(None) };
        self.segment = number;
        if let Some(place) = self.place.take().filter(|place| place.number == number && place.passed <= after)
        {
            return Ok(Some(place));
        }
        let Some(header) = self.header(&file, number)? else { return Ok(None) };
        Ok(Some(Place { number, header, file, offset: HEADER_BYTES, passed: 0 }))
    }
}

/// The numbered facts of a frame.
fn facts(body: Owned) -> Vec<(u64, Entry)> {
    match body {
        Body::Commit { first, entries } => (first..).zip(entries.into_iter().filter(is_numbered)).collect(),
        Body::Kept(kept) => kept.into_iter().map(|kept| (kept.seq, kept.fact)).collect(),
        Body::Image(_) | Body::Base { .. } => Vec::new(),
    }
}

struct Missing {
    told: Vec<(u64, u64)>,
    next: u64,
    found: Option<Survey>,
}

impl Missing {
    /// The numbers from `next` to here are not there: those that nobody told count.
    fn gap(&mut self, to: u64) {
        let mut at = self.next;
        while at <= to {
            // The told range that covers it, or the next one that begins.
            if let Some((_, end)) = self.told.iter().find(|(from, end)| (*from..=*end).contains(&at)) {
                at = end.saturating_add(1);
                continue;
            }
            let begins = self.told.iter().map(|(from, _)| *from).filter(|from| *from > at).min();
            let end = begins.map_or(to, |from| from.saturating_sub(1)).min(to);
            let survey = self.found.get_or_insert(Survey { from: at, to: end, count: 0 });
            survey.to = end;
            survey.count = survey.count.saturating_add(end - at).saturating_add(1);
            at = end.saturating_add(1);
        }
    }
}
