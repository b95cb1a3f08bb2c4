//! What a start finds in the state directory.

use super::compact::Source;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::Unreadable;
use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;

use super::header::{Header, Kind, READS, WRITES};
use super::replay::{Gap, Replayed, kind_up_to, replay, segment_name};
use crate::job::limits::EVENTS_SHOWN;
use crate::job::limits::FRAME_BYTES;
use crate::job::{DeviceEvent, Entry, EventKind, Image};

/// The file that is given up when the disk is full.
pub(super) const RESERVE: &str = "reserve";
/// From here to a segment's end it may be unsynced, in bytes: more than a turn and what else is not synced.
const TAIL_BYTES: u64 = 4 * FRAME_BYTES as u64;

/// The number in `<kind>-<number>`.
pub(super) fn number_of(name: &str, kind: &str) -> Option<u64> {
    let digits = name.strip_prefix(kind)?.strip_prefix('-')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

/// A segment in use.
pub(super) struct Live<F> {
    pub(super) file: F,
    pub(super) header: Header,
    /// Where the next frame begins.
    pub(super) len: u64,
    /// Up to here it is durable, and with it all numbers below `synced_seq`.
    pub(super) synced: u64,
    pub(super) synced_seq: u64,
    /// Where its compacted part ends.
    pub(super) base: u64,
    /// Whether it may be appended to; otherwise the next commit begins a fresh one.
    pub(super) sound: bool,
    /// Whether it is kept as `damaged-<n>` when it is replaced.
    pub(super) damaged: bool,
}

impl<F> Live<F> {
    pub(super) fn name(&self) -> String {
        segment_name(self.header.number)
    }

    /// What of it is certain.
    pub(super) fn source(&self) -> Source<'_, F> {
        let unreadable = if self.damaged { Unreadable::Skip } else { Unreadable::Fail };
        Source { file: &self.file, header: self.header, end: self.synced, unreadable }
    }
}

/// What is left to do once a sound segment with the highest number is durable.
#[derive(Debug)]
pub(super) enum Chore {
    Remove(String),
    /// From, to.
    Rename(String, String),
}

pub(super) struct Found<F> {
    pub(super) live: Option<Live<F>>,
    pub(super) image: Image,
    pub(super) next_seq: u64,
    /// The last number that is durable.
    pub(super) durable: u64,
    pub(super) recent: Recent,
    pub(super) notes: Vec<EventKind>,
    pub(super) chores: Vec<Chore>,
    /// Above every number that any name has.
    pub(super) next_number: u64,
    pub(super) names: Vec<String>,
}

/// The newest events.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(u64, DeviceEvent)>);

impl Recent {
    pub(super) fn see(&mut self, seq: u64, fact: &Entry) {
        let Entry::Event(event) = fact else { return };
        if self.0.len() == EVENTS_SHOWN {
            self.0.pop_front();
        }
        self.0.push_back((seq, event.clone()));
    }

    pub(super) fn into_vec(self) -> Vec<(u64, DeviceEvent)> {
        self.0.into()
    }
}

/// Reads the state directory. Cuts a torn tail off; changes nothing else.
pub(super) fn find<D: Disk>(disk: &D) -> Result<Found<D::File>, StoreError> {
    find_up_to(disk, READS)
}

/// The same for whoever reads versions up to `reads`.
fn find_up_to<D: Disk>(disk: &D, reads: u32) -> Result<Found<D::File>, StoreError> {
    let names = disk.list().map_err(StoreError::disk("list", "the state directory"))?;
    let used = |name: &String| {
        let stem = name.strip_suffix(".new").unwrap_or(name);
        ["journal", "damaged", "newer"].iter().find_map(|kind| number_of(stem, kind))
    };
    let next_number = names.iter().filter_map(used).max().unwrap_or(0).saturating_add(1);
    let mut found = Found {
        live: None,
        image: Image::default(),
        next_seq: 1,
        durable: 0,
        recent: Recent::default(),
        notes: Vec::new(),
        chores: Vec::new(),
        next_number,
        names,
    };
    let leftover =
        |name: &&String| name.strip_suffix(".new").is_some_and(|stem| number_of(stem, "journal").is_some());
    found.chores.extend(found.names.iter().filter(leftover).cloned().map(Chore::Remove));
    let mut numbers: Vec<u64> = found.names.iter().filter_map(|name| number_of(name, "journal")).collect();
    numbers.sort_unstable();
    if numbers.is_empty() {
        found.miss();
    }
    let mut superseded = false;
    for number in numbers.into_iter().rev() {
        superseded |= found.judge(disk, number, superseded, reads)?;
    }
    Ok(found)
}

/// Whether a name that cannot be opened is no segment, or one that cannot be read any more. Of other failures, such as
/// too many open files, nothing follows.
pub(super) fn is_no_segment(error: &io::Error) -> bool {
    let no = [Errno::ISDIR, Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::IO];
    error.raw_os_error().is_some_and(|raw| no.iter().any(|errno| errno.raw_os_error() == raw))
}

impl<F: DiskFile> Found<F> {
    /// Judges one segment, from the highest number down; true: what lies below counts no more.
    fn judge<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        number: u64,
        superseded: bool,
        reads: u32,
    ) -> Result<bool, StoreError> {
        let name = segment_name(number);
        let opened = match disk.open(&name) {
            Ok(file) => Some((kind_up_to(&file, number, reads), file)),
            Err(error) if is_no_segment(&error) => {
                log::warn!("open {name}: {error}");
                None
            }
            Err(error) => return Err(StoreError::disk("open", &name)(error)),
        };
        match opened {
            Some((Kind::Ours(_), _)) if superseded => self.chores.push(Chore::Remove(name)),
            Some((Kind::Ours(header), file)) => {
                self.recover(file, header)?;
                return Ok(true);
            }
            Some((Kind::Newer, _)) => {
                let aside = format!("newer-{number}");
                // Below a segment of ours it has been reported there.
                if !superseded {
                    self.notes.push(EventKind::Newer { file: aside.clone() });
                }
                self.chores.push(Chore::Rename(name, aside));
                // What is older than a newer version's journal is out of date: to act on it might start fires twice.
                return Ok(true);
            }
            Some((Kind::Foreign, _)) | None => {
                let aside = format!("damaged-{number}");
                if !superseded {
                    // Which numbers it held, nobody knows.
                    self.notes.push(EventKind::Damaged { from: 0, to: 0, file: aside.clone() });
                }
                self.chores.push(Chore::Rename(name, aside));
            }
        }
        Ok(false)
    }

    /// There is no segment. The reserve is made when there is one, and what was set aside was one: so one is missing.
    fn miss(&mut self) {
        let was_here = |name: &String| {
            name == RESERVE || ["damaged", "newer"].iter().any(|kind| number_of(name, kind).is_some())
        };
        if self.names.iter().any(was_here) {
            self.notes.push(EventKind::Damaged { from: 0, to: 0, file: "missing".to_owned() });
        }
    }

    fn recover(&mut self, file: F, header: Header) -> Result<(), StoreError> {
        let name = segment_name(header.number);
        let size = file.size().map_err(StoreError::disk("read", &name))?;
        // A dead agent's last frames may be in memory only; what is about to be acted on must be durable.
        let synced = settle(&file, &name, size);
        let recent = &mut self.recent;
        let Replayed { image, next_seq, base, good, gaps } =
            replay(&file, &header, size, Unreadable::Skip, |seq, fact| recent.see(seq, &fact))
                .map_err(StoreError::disk("read", &name))?;
        let damaged = !gaps.is_empty();
        let aside = format!("damaged-{}", header.number);
        self.notes.extend(gaps.into_iter().map(|gap| damage(gap, &aside)));
        // With a report to be made, or another file above this one, the first commit makes a fresh segment anyway.
        let sound =
            synced && cut(&file, &name, good, size) && header.version == WRITES && self.notes.is_empty();
        self.image = image;
        self.next_seq = next_seq;
        self.durable = if synced { next_seq.saturating_sub(1) } else { 0 };
        self.live =
            Some(Live { file, header, len: good, synced: good, synced_seq: next_seq, base, sound, damaged });
        Ok(())
    }
}

pub(super) fn damage(gap: Gap, file: &str) -> EventKind {
    EventKind::Damaged { from: gap.from, to: gap.to, file: file.to_owned() }
}

/// Makes durable what is in memory, and sees to it that what is read next is what the disk holds: after a sync that
/// failed the kernel calls lost pages clean, and a later sync that succeeds means nothing for them. Whether that worked.
fn settle(file: &impl DiskFile, name: &str, size: u64) -> bool {
    if let Err(error) = file.sync() {
        log::warn!("sync {name}: {error}; the next commit begins a new segment");
        return false;
    }
    if let Err(error) = file.forget(size.saturating_sub(TAIL_BYTES)) {
        log::debug!("read {name} from the disk itself: {error}");
    }
    true
}

/// Cuts a torn tail off; whether that worked.
fn cut(file: &impl DiskFile, name: &str, good: u64, size: u64) -> bool {
    if size < good {
        // Even the header's second copy is not all there.
        return false;
    }
    if good == size {
        return true;
    }
    match file.set_len(good).and_then(|()| file.sync()) {
        Ok(()) => true,
        Err(error) => {
            log::warn!("cut {name} off at {good}: {error}; the next commit begins a new segment");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemDisk;
    use super::super::frame::{Body, push};
    use super::*;
    use crate::job::{Clock, Id128, WallTime};

    /// A release that reads a version ahead of what it writes: as one may meet it that was gone back to.
    #[test]
    fn a_segment_of_the_next_version_is_read_and_not_appended_to() {
        let header = Header {
            version: WRITES + 1,
            number: 3,
            epoch: Id128([1; 16]),
            next_seq: 7,
            acked_through: 0,
            machine: Id128::default(),
        };
        let (at, kind) = (WallTime::from_secs(9), EventKind::Stopped);
        let entries = [Entry::Event(DeviceEvent { at, clock: Clock::Synced, kind })];
        let mut segment = header.encode();
        let offset = segment.len() as u64;
        push(&mut segment, header.seed(), offset, &Body::Commit { first: 7, entries: &entries }).unwrap();
        let disk = MemDisk::new();
        disk.put("journal-3", &segment);
        let found = find_up_to(&disk, WRITES + 1).unwrap();
        assert_eq!((found.next_seq, found.durable, found.notes.len()), (8, 7, 0));
        assert!(
            !found.live.unwrap().sound,
            "the first commit begins a segment of the version that is written"
        );
        let found = find_up_to(&disk, WRITES).unwrap();
        assert_eq!(found.notes, [EventKind::Newer { file: "newer-3".to_owned() }]);
        assert_eq!(disk.content("journal-3"), Some(segment), "untouched");
    }

    #[test]
    fn only_plain_numbers_name_a_segment() {
        assert_eq!(number_of("journal-12", "journal"), Some(12));
        for name in
            ["journal-", "journal-012", "journal-+1", "journal-1.new", "journal-99999999999999999999", "x-1"]
        {
            assert_eq!(number_of(name, "journal"), None, "{name}");
        }
    }
}
