//! Reading a segment from its first frame to its last: what recovery, compaction and `history` have in common.

use std::io;

use super::disk::DiskFile;
use super::frame::{Body, Frames, Owned, Piece, Unreadable, is_numbered};
use super::header::{HEADER_BYTES, Header, Kind, READS};
use crate::job::{Entry, Image, LastRun};

/// Ranges of missing numbers told apart, at most; what is beyond widens the last one.
const GAPS: usize = 16;

/// Numbers that may be missing; `to < from`: what was damaged held none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What a segment adds up to.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) image: Image,
    pub(super) next_seq: u64,
    /// Where the compacted part ends.
    pub(super) base: u64,
    /// Where the last good frame ends.
    pub(super) good: u64,
    pub(super) gaps: Vec<Gap>,
}

pub(super) fn segment_name(number: u64) -> String {
    format!("journal-{number}")
}

/// What the first bytes of segment `number` say it is. What cannot be read, or is a copy of another, is foreign.
pub(super) fn kind_of(file: &impl DiskFile, number: u64) -> Kind {
    kind_up_to(file, number, READS)
}

/// The same for whoever reads versions up to `reads`.
pub(super) fn kind_up_to(file: &impl DiskFile, number: u64, reads: u32) -> Kind {
    let mut bytes = vec![0; usize::try_from(HEADER_BYTES).unwrap_or_default()];
    match file.read_at(&mut bytes, 0) {
        Ok(len) => match Kind::of(bytes.get(..len).unwrap_or_default(), reads) {
            Kind::Ours(header) if header.number != number => Kind::Foreign,
            kind => kind,
        },
        Err(error) => {
            log::warn!("read the header of a journal segment: {error}");
            Kind::Foreign
        }
    }
}

/// Reads the segment up to `end`. `visit` sees each numbered fact with its number, in order.
pub(super) fn replay<F: DiskFile>(
    file: &F,
    header: &Header,
    end: u64,
    unreadable: Unreadable,
    mut visit: impl FnMut(u64, Entry),
) -> io::Result<Replayed> {
    let mut frames = Frames::new(file, header.seed(), HEADER_BYTES, end, unreadable);
    let mut state = Replayed { next_seq: 1, base: HEADER_BYTES, ..Replayed::default() };
    // Where the numbers broke off, and where in the file.
    let mut broken: Option<(u64, u64)> = None;
    loop {
        let at = frames.offset();
        match frames.next()? {
            None => break,
            Some(Piece::Damage) => broken = broken.or(Some((state.next_seq, at))),
            Some(Piece::Frame(body)) => {
                if let Some(next) = first_number(&body, header)
                    && let Some((from, _)) = broken.take()
                {
                    state.note(Gap { from, to: next.saturating_sub(1) });
                }
                state.take(body, header, frames.offset(), &mut visit);
            }
        }
    }
    state.good = frames.offset();
    state.next_seq = state.next_seq.max(header.next_seq);
    if let Some((from, at)) = broken {
        // How many facts were there is unknown, but less than bytes: no number is given twice.
        state.next_seq = state.next_seq.saturating_add(end - at);
        state.note(Gap { from, to: state.next_seq.saturating_sub(1) });
    }
    Ok(state)
}

/// The number at which the numbers go on with this frame, where it has any.
fn first_number(body: &Owned, header: &Header) -> Option<u64> {
    match body {
        Body::Commit { first, .. } => Some(*first),
        Body::Kept(facts) => facts.first().map(|kept| kept.seq),
        Body::Base { .. } => Some(header.next_seq),
        Body::Image(_) => None,
    }
}

impl Replayed {
    fn note(&mut self, gap: Gap) {
        let full = self.gaps.len() >= GAPS;
        match self.gaps.last_mut().filter(|_| full) {
            Some(last) => last.to = last.to.max(gap.to),
            None => self.gaps.push(gap),
        }
    }

    fn take(&mut self, body: Owned, header: &Header, end: u64, visit: &mut impl FnMut(u64, Entry)) {
        match body {
            Body::Commit { first, entries } => {
                self.next_seq = first;
                for entry in entries {
                    self.image.apply(&entry);
                    if is_numbered(&entry) {
                        visit(self.next_seq, entry);
                        self.next_seq = self.next_seq.saturating_add(1);
                    }
                }
            }
            Body::Image(entries) => entries.iter().for_each(|entry| self.image.apply(entry)),
            Body::Kept(facts) => {
                for kept in facts {
                    if let (Entry::Record(record), true) = (&kept.fact, kept.last) {
                        self.image.last.insert(record.key.job.clone(), LastRun::from(&**record));
                    }
                    self.next_seq = kept.seq.saturating_add(1);
                    visit(kept.seq, kept.fact);
                }
            }
            Body::Base { newest, last_run, commands } => {
                // An intent that is older than the main era says a time that counts no more.
                self.image.newest = newest;
                self.image.last_run = self.image.last_run.max(last_run);
                self.image.commands = commands;
                self.next_seq = header.next_seq;
                self.base = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemDisk;
    use super::super::disk::Disk;
    use super::super::frame::{Borrowed, KeptFact, push_raw};
    use super::super::header::WRITES;
    use super::*;
    use crate::job::{Clock, DeviceEvent, EventKind, Id128, Remembered, Taken, WallTime};

    /// What passes the checksum is not trusted either: an older or newer agent may have written anything.
    #[test]
    fn changed_bodies_behind_good_checksums_never_panic() {
        let fact = |seq: u8| {
            let kind = EventKind::Dropped { from: 1, to: 2, count: 3, why: "disk".to_owned() };
            let at = WallTime::from_secs(i64::from(seq));
            Entry::Event(DeviceEvent { at, clock: Clock::Synced, kind })
        };
        let facts = [fact(1), fact(2), Entry::Booted { boot: Id128([3; 16]) }];
        let kept = [1, 2].map(|seq| KeptFact { seq: u64::from(seq), last: true, fact: fact(seq) });
        let mut commands = Remembered::default();
        let (id, job) = ("c".parse().unwrap(), "a".parse().unwrap());
        commands.remember(Taken { id, job, until: Some(WallTime::from_secs(9)) });
        let bodies: [Borrowed<'_>; 4] = [
            Body::Commit { first: u64::MAX - 1, entries: &facts },
            Body::Image(&facts),
            Body::Kept(&kept),
            Body::Base { newest: Some(WallTime::from_secs(1)), last_run: 7, commands },
        ];
        let header = Header {
            version: WRITES,
            number: 1,
            epoch: Id128([1; 16]),
            next_seq: u64::MAX,
            acked_through: 0,
            machine: Id128::default(),
        };
        let mut segment = header.encode();
        for body in &bodies {
            let good = postcard::to_stdvec(body).unwrap();
            for at in 0..good.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] << 1] {
                    let mut body = good.clone();
                    body[at] = value;
                    push_raw(&mut segment, header.seed(), &body);
                    push_raw(&mut segment, header.seed(), &body[..at]);
                }
            }
        }
        let disk = MemDisk::new();
        let file = disk.create("journal-1").unwrap();
        file.append(&segment).unwrap();
        let mut facts = 0;
        let end = segment.len() as u64;
        let replayed = replay(&file, &header, end, Unreadable::Fail, |_, _| facts += 1).unwrap();
        assert_eq!(replayed.next_seq, u64::MAX);
        assert!(facts > 500 && replayed.gaps.len() == GAPS, "{facts} {}", replayed.gaps.len());
    }
}
