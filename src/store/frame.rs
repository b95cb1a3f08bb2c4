//! Frames: what they hold, how they are written, and how they are found again in a file of which any byte may be bad.

use std::io;

use serde::{Deserialize, Serialize};

use super::disk::DiskFile;
use super::error::StoreError;
use super::header::take;
use crate::job::limits::FRAME_BYTES;
use crate::job::{Entry, Remembered, WallTime};

/// Bytes before a frame's body: its length and its checksum.
const HEAD_BYTES: usize = 8;
/// Bytes read at once.
const WINDOW_BYTES: usize = 64 * 1024;
/// Bytes that a bad sector costs, when a file is read as far as it goes.
const BLOCK_BYTES: usize = 4096;
/// Bytes checksummed in search of the next good frame, at most, in one segment: what keeps a start bounded.
const SEARCH_BYTES: usize = 256 * 1024 * 1024;

/// A frame's body. Postcard: variants and fields are append-only.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Body<E, K> {
    /// What one commit wrote: the numbered facts among the entries have the numbers from `first` on.
    Commit { first: u64, entries: E },
    /// Of a compacted segment: a part of the image.
    Image(E),
    /// Of a compacted segment: numbered facts under their old numbers.
    Kept(K),
    /// Of a compacted segment: its end, and what of the image no entry says.
    Base { newest: Option<WallTime>, last_run: u64, commands: Remembered },
}

/// The number of variants of [`Body`]: what a good frame's first byte is below.
const VARIANTS: u8 = 4;

/// A numbered fact that outlived its segment.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptFact {
    pub(super) seq: u64,
    /// Whether the image's `last` of its job is this record.
    pub(super) last: bool,
    pub(super) fact: Entry,
}

/// A body as it is read.
pub(super) type Owned = Body<Vec<Entry>, Vec<KeptFact>>;
/// A body as it is written.
pub(super) type Borrowed<'a> = Body<&'a [Entry], &'a [KeptFact]>;

/// Whether an entry takes a number.
pub(super) fn is_numbered(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(_) | Entry::Event(_))
}

/// How many of these entries take a number.
pub(super) fn numbered(entries: &[Entry]) -> u64 {
    entries.iter().filter(|entry| is_numbered(entry)).count() as u64
}

/// An entry's size in a frame, in bytes.
pub(super) fn size_of(entry: &Entry) -> usize {
    postcard::experimental::serialized_size(entry).unwrap_or(FRAME_BYTES)
}

fn checksum(seed: u32, offset: u64, len: u32, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &len.to_le_bytes());
    crc32c::crc32c_append(crc, body)
}

/// Appends to `out` the frame that will begin at `offset` of its segment.
pub(super) fn push(out: &mut Vec<u8>, seed: u32, offset: u64, body: &Borrowed<'_>) -> Result<(), StoreError> {
    let body = postcard::to_stdvec(body).map_err(StoreError::Encode)?;
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_BYTES);
    let len = len.ok_or(StoreError::TooLarge { bytes: body.len() })?;
    out.extend(len.to_le_bytes());
    out.extend(checksum(seed, offset, len, &body).to_le_bytes());
    out.extend(body);
    Ok(())
}

/// Appends a frame of any bytes to a segment.
#[cfg(test)]
pub(super) fn push_raw(segment: &mut Vec<u8>, seed: u32, body: &[u8]) {
    let len = u32::try_from(body.len()).unwrap();
    let crc = checksum(seed, segment.len() as u64, len, body);
    segment.extend(len.to_le_bytes());
    segment.extend(crc.to_le_bytes());
    segment.extend(body);
}

/// Appends to `out` the frames of one commit: one, or as many as the bound on a frame demands. Each entry is
/// consistent alone, so a crash between two of them breaks nothing.
pub(super) fn push_commit(
    out: &mut Vec<u8>,
    seed: u32,
    offset: u64,
    first: u64,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let before = out.len();
    match push(out, seed, offset, &Body::Commit { first, entries }) {
        Err(StoreError::TooLarge { .. }) if entries.len() > 1 => {
            let (head, tail) = entries.split_at(entries.len() / 2);
            push_commit(out, seed, offset, first, head)?;
            let offset = offset + (out.len() - before) as u64;
            push_commit(out, seed, offset, first + numbered(head), tail)
        }
        result => result,
    }
}

/// What to do about a part of the file that the disk cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is an error.
    Fail,
    /// It counts as damaged.
    Skip,
}

/// What [`Frames`] finds.
#[derive(Debug)]
pub(super) enum Piece {
    /// A good frame.
    Frame(Owned),
    /// Bytes that are no frame, before a good one.
    Damage,
}

/// Reads a segment's frames in order.
pub(super) struct Frames<'a, F> {
    file: &'a F,
    seed: u32,
    unreadable: Unreadable,
    offset: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    search: usize,
}

impl<'a, F: DiskFile> Frames<'a, F> {
    pub(super) fn new(file: &'a F, seed: u32, start: u64, end: u64, unreadable: Unreadable) -> Self {
        let window = Vec::new();
        Self { file, seed, unreadable, offset: start, end, window, window_at: 0, search: SEARCH_BYTES }
    }

    /// Where the last good frame ended.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece; `None`: from [`offset`](Self::offset) to the end there is no frame.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        if let Some((body, after)) = self.frame_at(self.offset)? {
            self.offset = after;
            return Ok(Some(Piece::Frame(body)));
        }
        for offset in self.offset.saturating_add(1)..self.end {
            if self.search == 0 {
                log::warn!("gave up the search for a good frame at {offset} of {} bytes", self.end);
                self.offset = self.end;
                return Ok(Some(Piece::Damage));
            }
            if self.frame_at(offset)?.is_some() {
                self.offset = offset;
                return Ok(Some(Piece::Damage));
            }
        }
        Ok(None)
    }

    /// The frame that begins here, and where it ends, if one does.
    fn frame_at(&mut self, offset: u64) -> io::Result<Option<(Owned, u64)>> {
        let Some(mut head) = self.bytes(offset, HEAD_BYTES + 1)? else { return Ok(None) };
        let (Some(len), Some(crc), Some(tag)) = (take(&mut head), take(&mut head), head.first()) else {
            return Ok(None);
        };
        let (len, crc) = (u32::from_le_bytes(len), u32::from_le_bytes(crc));
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        if size > FRAME_BYTES || *tag >= VARIANTS {
            return Ok(None);
        }
        let seed = self.seed;
        let Some(frame) = self.bytes(offset, HEAD_BYTES + size)? else { return Ok(None) };
        let body = frame.get(HEAD_BYTES..).unwrap_or_default();
        let body = (checksum(seed, offset, len, body) == crc)
            .then(|| postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty()))
            .flatten()
            .map(|(body, _)| body);
        if body.is_none() {
            self.search = self.search.saturating_sub(size);
        }
        Ok(body.map(|body| (body, offset + HEAD_BYTES as u64 + u64::from(len))))
    }

    /// These bytes of the file; `None`: it has fewer.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.end) {
            return Ok(None);
        }
        let inside = |at: u64| offset.checked_sub(at).and_then(|from| usize::try_from(from).ok());
        let held = inside(self.window_at).is_some_and(|from| from + len <= self.window.len());
        if !held {
            let rest = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
            self.window.clear();
            self.window.resize(len.max(WINDOW_BYTES).min(rest), 0);
            self.window_at = offset;
            let read = match (self.file.read_at(&mut self.window, offset), self.unreadable) {
                (Err(_), Unreadable::Skip) => self.blocks(),
                (result, _) => result?,
            };
            self.window.truncate(read);
        }
        let from = inside(self.window_at).unwrap_or(0);
        Ok(self.window.get(from..from + len))
    }

    /// Fills the window block by block; what cannot be read is zeros.
    fn blocks(&mut self) -> usize {
        let mut offset = self.window_at;
        for block in self.window.chunks_mut(BLOCK_BYTES) {
            if let Err(error) = self.file.read_at(block, offset) {
                log::warn!("read {} bytes of the journal at {offset}: {error}", block.len());
                block.fill(0);
            }
            offset += block.len() as u64;
        }
        self.window.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Id128;

    #[test]
    fn the_bound_on_the_first_byte_is_the_number_of_variants() {
        let first = |body: Borrowed<'_>| postcard::to_stdvec(&body).unwrap()[0];
        assert_eq!(first(Body::Commit { first: 1, entries: &[] }), 0);
        assert_eq!(
            first(Body::Base { newest: None, last_run: 0, commands: Remembered::default() }),
            VARIANTS - 1
        );
        assert!(postcard::from_bytes::<Owned>(&[VARIANTS, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_commit_beyond_the_bound_is_cut_between_entries() {
        let entry = |n: u8| Entry::Defined {
            job: "j".parse().unwrap(),
            source: crate::job::Source::File(n.to_string()),
            text: "x".repeat(300_000),
        };
        let entries: Vec<Entry> = (0..7).map(entry).collect();
        let mut out = Vec::new();
        push_commit(&mut out, 1, 0, 1, &entries).unwrap();
        let disk = super::super::MemDisk::new();
        let file = super::super::disk::Disk::create(&disk, "f").unwrap();
        file.append(&out).unwrap();
        let mut frames = Frames::new(&file, 1, 0, out.len() as u64, Unreadable::Fail);
        let mut found = Vec::new();
        while let Some(piece) = frames.next().unwrap() {
            let Piece::Frame(Body::Commit { entries, .. }) = piece else { panic!("{piece:?}") };
            found.extend(entries);
        }
        assert_eq!(found, entries);
        let boot = Entry::Booted { boot: Id128([1; 16]) };
        assert!(!is_numbered(&boot));
        let huge = Entry::Defined {
            job: "j".parse().unwrap(),
            source: crate::job::Source::Agent,
            text: "x".repeat(FRAME_BYTES),
        };
        assert!(matches!(push_commit(&mut out, 1, 0, 1, &[huge, boot]), Err(StoreError::TooLarge { .. })));
    }
}
