//! A segment's header: one block of fixed layout, written twice, so that one bad byte does not cost the journal.
//!
//! ```text
//!  0       8         12       20      36         44              52        68         76
//!  | magic | version | number | epoch | next_seq | acked_through | machine | reserved | crc32c |   80 bytes, twice
//! ```
//! Little-endian. Magic and version stay where they are in every version to come. `machine` is a digest of what names
//! the machine that the epoch belongs to; zero: none was known.
//!
//! *Versions.* A release reads format n+1 one release before any release writes it, so that going back by one loses
//! nothing: [`READS`] is raised first, [`WRITES`] a release later. A segment of another version than `WRITES` is read and
//! never appended to: the first commit begins one of `WRITES`. A new variant or field is a new version, once a release
//! has gone out that cannot read it; until the first release all of it is format 1.

use crate::job::{Epoch, Id128};

/// The version that segments are written in.
pub(super) const WRITES: u32 = 1;
/// The newest version that is read, and with it all before.
pub(super) const READS: u32 = 1;
/// The oldest version that was ever written.
const FIRST: u32 = 1;
const MAGIC: [u8; 8] = *b"leafcron";
const COPY_BYTES: usize = 80;
/// Where the first frame begins.
pub(super) const HEADER_BYTES: u64 = 2 * COPY_BYTES as u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) number: u64,
    pub(super) epoch: Epoch,
    /// The `seq` of the first numbered fact that is committed to this segment.
    pub(super) next_seq: u64,
    pub(super) acked_through: u64,
    /// The machine that the epoch belongs to; zero: it was not known.
    pub(super) machine: Id128,
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours(Header),
    Newer,
    Foreign,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let copy = self.copy();
        let mut bytes = copy.clone();
        bytes.extend(copy);
        bytes
    }

    /// What every frame's checksum starts from: a frame of another segment, or one that a job printed, does not pass.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.copy())
    }

    fn copy(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * COPY_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.epoch.0);
        bytes.extend(self.next_seq.to_le_bytes());
        bytes.extend(self.acked_through.to_le_bytes());
        bytes.extend(self.machine.0);
        bytes.extend([0; 8]);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

impl Kind {
    /// Judges the first [`HEADER_BYTES`] of a file, or what there is of them, by whoever reads versions up to `reads`.
    pub(super) fn of(bytes: &[u8], reads: u32) -> Self {
        let mut copies = bytes.chunks(COPY_BYTES).take(2);
        if let Some(header) = copies.clone().find_map(|copy| decode(copy, reads)) {
            return Self::Ours(header);
        }
        if copies.any(|copy| version(copy).is_some_and(|version| version > reads)) {
            return Self::Newer;
        }
        Self::Foreign
    }
}

fn version(mut copy: &[u8]) -> Option<u32> {
    (take(&mut copy)? == MAGIC).then_some(())?;
    take(&mut copy).map(u32::from_le_bytes)
}

fn decode(copy: &[u8], reads: u32) -> Option<Header> {
    let (content, crc) = copy.split_last_chunk()?;
    let version = version(copy)?;
    let whole = copy.len() == COPY_BYTES && (FIRST..=reads).contains(&version);
    (whole && crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some(())?;
    let mut rest = content.get(12..)?;
    Some(Header {
        version,
        number: u64::from_le_bytes(take(&mut rest)?),
        epoch: Id128(take(&mut rest)?),
        next_seq: u64::from_le_bytes(take(&mut rest)?),
        acked_through: u64::from_le_bytes(take(&mut rest)?),
        machine: Id128(take(&mut rest)?),
    })
}

/// Takes the first `N` bytes off.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        version: WRITES,
        number: 3,
        epoch: Id128([7; 16]),
        next_seq: 12,
        acked_through: 5,
        machine: Id128([9; 16]),
    };

    /// What a release may and may not do to [`READS`] and [`WRITES`].
    #[test]
    fn what_is_written_is_read_and_one_version_beyond_it_at_most() {
        const { assert!(FIRST <= WRITES && WRITES <= READS && READS <= WRITES + 1) };
        let next = Header { version: WRITES + 1, ..HEADER };
        assert_eq!(Kind::of(&next.encode(), WRITES), Kind::Newer);
        assert_eq!(Kind::of(&next.encode(), WRITES + 1), Kind::Ours(next));
        assert_eq!(Kind::of(&HEADER.encode(), WRITES + 1), Kind::Ours(HEADER));
        assert_eq!(Kind::of(&Header { version: 0, ..HEADER }.encode(), READS), Kind::Foreign);
    }

    #[test]
    fn any_one_bad_byte_leaves_the_header_readable() {
        let good = HEADER.encode();
        assert_eq!(good.len() as u64, HEADER_BYTES);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(Kind::of(&bad, READS), Kind::Ours(HEADER), "byte {at}");
        }
        for len in 0..good.len() {
            let expected = if len < COPY_BYTES { Kind::Foreign } else { Kind::Ours(HEADER) };
            assert_eq!(Kind::of(&good[..len], READS), expected, "length {len}");
        }
    }

    #[test]
    fn a_newer_version_is_known_as_such_whatever_follows_it() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((READS + 1).to_le_bytes());
        assert_eq!(Kind::of(&bytes, READS), Kind::Newer);
        bytes.extend([0xff; 300]);
        assert_eq!(Kind::of(&bytes, READS), Kind::Newer);
        assert_eq!(Kind::of(b"leafcroX\x02\0\0\0", READS), Kind::Foreign);
    }
}
