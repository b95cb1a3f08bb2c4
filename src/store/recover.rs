//! What a start finds in the state directory.

use super::compact::Source;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::Unreadable;
use super::header::{Header, Kind};
use super::replay::{Gap, Replayed, kind_of, replay, segment_name};
use crate::job::{EventKind, Image};

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
    pub(super) notes: Vec<EventKind>,
    pub(super) chores: Vec<Chore>,
    /// Above every number that any name has.
    pub(super) next_number: u64,
    pub(super) names: Vec<String>,
}

/// Reads the state directory. Cuts a torn tail off; changes nothing else.
pub(super) fn find<D: Disk>(disk: &D) -> Result<Found<D::File>, StoreError> {
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
    let mut superseded = false;
    for number in numbers.into_iter().rev() {
        superseded |= found.judge(disk, number, superseded)?;
    }
    Ok(found)
}

impl<F: DiskFile> Found<F> {
    /// Judges one segment, from the highest number down; true: what lies below counts no more.
    fn judge<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        number: u64,
        superseded: bool,
    ) -> Result<bool, StoreError> {
        let name = segment_name(number);
        let file = disk.open(&name).map_err(StoreError::disk("open", &name))?;
        match kind_of(&file, number) {
            Kind::Ours(_) if superseded => self.chores.push(Chore::Remove(name)),
            Kind::Ours(header) => {
                self.recover(file, header)?;
                return Ok(true);
            }
            Kind::Newer => {
                let aside = format!("newer-{number}");
                // Below a segment of ours it has been reported there.
                if !superseded {
                    self.notes.push(EventKind::Newer { file: aside.clone() });
                }
                self.chores.push(Chore::Rename(name, aside));
                // What is older than a newer version's journal is out of date: to act on it might start fires twice.
                return Ok(true);
            }
            Kind::Foreign => {
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

    fn recover(&mut self, file: F, header: Header) -> Result<(), StoreError> {
        let name = segment_name(header.number);
        let size = file.size().map_err(StoreError::disk("read", &name))?;
        let Replayed { image, next_seq, base, good, gaps } =
            replay(&file, &header, size, Unreadable::Skip, |_, _| {})
                .map_err(StoreError::disk("read", &name))?;
        let damaged = !gaps.is_empty();
        let aside = format!("damaged-{}", header.number);
        self.notes.extend(gaps.into_iter().map(|gap| damage(gap, &aside)));
        // A dead agent's last frames may be in memory only; what is about to be acted on must be durable. With a
        // report to be made, or another file above this one, the first commit makes a fresh segment anyway.
        let sound = settle(&file, &name, good, size) && self.notes.is_empty();
        self.image = image;
        self.next_seq = next_seq;
        self.live =
            Some(Live { file, header, len: good, synced: good, synced_seq: next_seq, base, sound, damaged });
        Ok(())
    }
}

pub(super) fn damage(gap: Gap, file: &str) -> EventKind {
    EventKind::Damaged { from: gap.from, to: gap.to, file: file.to_owned() }
}

/// Cuts a torn tail off and makes the rest durable; whether that worked.
fn settle(file: &impl DiskFile, name: &str, good: u64, size: u64) -> bool {
    if size < good {
        // Even the header's second copy is not all there.
        return false;
    }
    let cut = if good < size { file.set_len(good) } else { Ok(()) };
    match cut.and_then(|()| file.sync()) {
        Ok(()) => true,
        Err(error) => {
            log::warn!("sync {name}: {error}; the next commit begins a new segment");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
