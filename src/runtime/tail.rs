//! The latest output of a Run while it goes on, for whoever follows it: in the run directory, in two pieces of which the
//! older one goes when the newer is full.
//!
//! ```text
//!   gone …   | out-8192 | out-12288  |
//!                full      being written: the number is the byte of the output at which the piece begins
//! ```
//! Appended to and never rewritten, so a reader needs no lock and finds its place again by counting. The runner writes
//! and the agent reads; neither needs the other.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use super::output::whole_characters;

const NAME: &str = "out-";
/// One part that is read, in bytes.
const PART_BYTES: usize = 64 * 1024;

fn name(start: u64) -> String {
    format!("{NAME}{start}")
}

/// The runner's end.
#[derive(Debug)]
pub(super) struct Writer {
    dir: OwnedFd,
    /// A piece, in bytes; 0: nothing is kept any more.
    piece: u64,
    /// Bytes of the output so far.
    at: u64,
    current: Option<(File, u64)>,
    full: Option<u64>,
}

impl Writer {
    /// Keeps at most so many bytes in this directory.
    pub(super) fn new(dir: OwnedFd, bytes: u32) -> Self {
        Self { dir, piece: u64::from(bytes / 2), at: 0, current: None, full: None }
    }

    /// More output. A file system that takes no more is left in peace.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.piece > 0 && self.write(chunk).is_err() {
            self.piece = 0;
            self.current = None;
            drop_output(&self.dir);
        }
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        // Of what would be gone again at once, nothing is written.
        let most = usize::try_from(self.piece * 2).unwrap_or(usize::MAX);
        let (skipped, mut rest) = chunk.split_at(chunk.len().saturating_sub(most));
        self.at += length(skipped);
        if !skipped.is_empty() {
            drop_output(&self.dir);
            (self.current, self.full) = (None, None);
        }
        while !rest.is_empty() {
            let (file, start) = match self.current.take() {
                Some((file, start)) if self.at - start < self.piece => (file, start),
                current => self.next_piece(current.map(|(_, start)| start))?,
            };
            let room = usize::try_from(start + self.piece - self.at).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            (&file).write_all(now)?;
            self.at += length(now);
            rest = later;
            self.current = Some((file, start));
        }
        Ok(())
    }

    fn next_piece(&mut self, filled: Option<u64>) -> io::Result<(File, u64)> {
        if let Some(oldest) = core::mem::replace(&mut self.full, filled) {
            unlinkat(&self.dir, name(oldest), AtFlags::empty())?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.dir, name(self.at), flags, Mode::RUSR | Mode::WUSR)?;
        Ok((file.into(), self.at))
    }
}

/// The reader's end: works on while the Run's directory is open, whatever becomes of its name.
#[derive(Debug)]
pub struct Tail {
    dir: OwnedFd,
}

/// A part of a Run's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The byte of the output at which it begins: later than asked for where what was before is gone.
    pub from: u64,
    /// As text; what is not UTF-8 becomes U+FFFD, and a character that is not complete yet waits.
    pub text: String,
    /// The byte at which the next part begins.
    pub next: u64,
    /// Bytes of output that there are so far.
    pub end: u64,
}

impl Tail {
    pub(super) fn new(dir: OwnedFd) -> Self {
        Self { dir }
    }

    /// Reads on from a byte of the output.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, from: u64) -> io::Result<Part> {
        let starts = pieces(&self.dir)?;
        let Some(oldest) = starts.first() else {
            return Ok(Part { from, next: from, end: from, ..Part::default() });
        };
        let mut at = from.max(*oldest);
        let (begin, mut end) = (at, at);
        let mut bytes = Vec::new();
        for (start, next) in starts.iter().zip(starts.iter().skip(1).map(Some).chain([None])) {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = match openat(&self.dir, name(*start), flags, Mode::empty()) {
                Ok(file) => File::from(file),
                // Its time was over meanwhile: the next look finds what there is.
                Err(rustix::io::Errno::NOENT) => break,
                Err(error) => return Err(error.into()),
            };
            let piece_end = start + file.metadata()?.len();
            end = end.max(piece_end);
            if next.is_some_and(|next| at >= *next) {
                continue;
            }
            let room = PART_BYTES - bytes.len();
            let wanted = usize::try_from(piece_end.saturating_sub(at)).unwrap_or(usize::MAX).min(room);
            let mut buffer = vec![0; wanted];
            let read = file.read_at(&mut buffer, at - start)?;
            buffer.truncate(read);
            at += length(&buffer);
            bytes.append(&mut buffer);
        }
        let whole = whole_characters(&bytes);
        let next = begin + length(whole);
        Ok(Part { from: begin, text: String::from_utf8_lossy(whole).into_owned(), next, end })
    }
}

/// Where the pieces begin that are there, in order.
fn pieces(dir: &OwnedFd) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        starts.extend(
            entry.file_name().to_str().ok().and_then(|name| name.strip_prefix(NAME)?.parse::<u64>().ok()),
        );
    }
    starts.sort_unstable();
    Ok(starts)
}

/// Removes what there is of it.
pub(super) fn drop_output(dir: &OwnedFd) {
    for start in pieces(dir).unwrap_or_default() {
        // Gone is as good.
        unlinkat(dir, name(start), AtFlags::empty()).unwrap_or_default();
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        super::super::dir::open_dir(rustix::fs::CWD, &path.to_string_lossy()).unwrap()
    }

    fn bytes_in(path: &Path) -> u64 {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    proptest! {
        #[test]
        fn a_reader_sees_all_that_is_still_there_in_order_and_the_bound_holds(
            bound in 2u32..40,
            chunks in proptest::collection::vec((proptest::collection::vec(b'a'..=b'z', 0..60), any::<bool>()), 1..20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = Writer::new(open(dir.path()), bound);
            let tail = Tail::new(open(dir.path()));
            let (mut all, mut at) = (Vec::new(), 0);
            for (chunk, looks) in chunks {
                writer.push(&chunk);
                all.extend(chunk);
                prop_assert!(bytes_in(dir.path()) <= u64::from(bound));
                if looks || all.is_empty() {
                    let part = tail.read(at).unwrap();
                    let (from, next) = (usize::try_from(part.from).unwrap(), usize::try_from(part.next).unwrap());
                    prop_assert_eq!(part.text.as_bytes(), &all[from..next]);
                    prop_assert_eq!(next, all.len(), "nothing that is there is left out");
                    prop_assert_eq!(part.end, part.next);
                    // Half of the bound at least is always there.
                    prop_assert!(part.from == at || next - from >= usize::try_from(bound / 2).unwrap());
                    at = part.next;
                }
            }
        }
    }

    #[test]
    fn a_character_is_not_parted_and_a_full_part_is_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(open(dir.path()), 256 * 1024);
        let tail = Tail::new(open(dir.path()));
        assert_eq!(tail.read(0).unwrap(), Part::default());
        writer.push(b"a\xc3");
        assert_eq!(tail.read(0).unwrap().text, "a");
        writer.push(b"\xbc\xffb");
        let part = tail.read(1).unwrap();
        assert_eq!((part.text.as_str(), part.next), ("ü\u{fffd}b", 5));
        writer.push(&[b'x'; PART_BYTES + 10]);
        let part = tail.read(5).unwrap();
        assert_eq!((part.text.len(), part.end), (PART_BYTES, 15 + PART_BYTES as u64));
        assert_eq!(tail.read(part.next).unwrap().text, "x".repeat(10));
    }
}
