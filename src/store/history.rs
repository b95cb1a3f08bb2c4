//! Reading records and events back, beside the thread that writes.

use std::collections::VecDeque;
use std::io;

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::{Unreadable, size_of};
use super::header::Kind;
use super::journal::segment_number;
use super::recover::is_no_segment;
use super::replay::{kind_of, replay, segment_name};
use crate::job::limits::REPLY_BYTES;
use crate::job::{DeviceEvent, Entry, JobName, Record};

/// A compaction may take the segment away between finding and opening it; each retry means that another one did.
const TRIES: usize = 8;

/// The newest `limit` records with their numbers, oldest first: of one job, or of all. Takes no lock and changes
/// nothing, so it may run while a [`Journal`](super::Journal) of the same directory commits: what is half written is
/// not seen. Outputs and all they are at most [`REPLY_BYTES`]; beyond that the oldest are left out.
///
/// # Errors
/// The directory or the segment cannot be read. No journal is no error: there are no records.
pub fn history<D: Disk>(
    disk: &D,
    job: Option<&JobName>,
    limit: usize,
) -> Result<Vec<(u64, Record)>, StoreError> {
    let of_job = |fact| match fact {
        Entry::Record(record) if job.is_none_or(|job| *job == record.key.job) => Some(*record),
        _ => None,
    };
    newest(disk, limit, of_job)
}

/// The newest `limit` events, likewise.
///
/// # Errors
/// As for [`history`].
pub fn events<D: Disk>(disk: &D, limit: usize) -> Result<Vec<(u64, DeviceEvent)>, StoreError> {
    let event = |fact| if let Entry::Event(event) = fact { Some(event) } else { None };
    newest(disk, limit, event)
}

fn newest<D: Disk, T>(
    disk: &D,
    limit: usize,
    wanted: impl Fn(Entry) -> Option<T>,
) -> Result<Vec<(u64, T)>, StoreError> {
    let mut found = Newest { limit, bytes: 0, facts: VecDeque::new() };
    let Some((number, file)) = open_newest(disk)? else { return Ok(Vec::new()) };
    let name = segment_name(number);
    let Kind::Ours(header) = kind_of(&file, number) else { return Ok(Vec::new()) };
    let end = file.size().map_err(StoreError::disk("read", &name))?;
    replay(&file, &header, end, Unreadable::Skip, |seq, fact| {
        let size = size_of(&fact);
        if let Some(fact) = wanted(fact) {
            found.add(seq, size, fact);
        }
    })
    .map_err(StoreError::disk("read", &name))?;
    Ok(found.facts.into_iter().map(|(seq, _, fact)| (seq, fact)).collect())
}

/// The segment with the highest number that is ours.
pub(super) fn open_newest<D: Disk>(disk: &D) -> Result<Option<(u64, D::File)>, StoreError> {
    for _ in 0..TRIES {
        let names = disk.list().map_err(StoreError::disk("list", "the state directory"))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        let mut gone = false;
        for number in numbers.into_iter().rev() {
            match disk.open(&segment_name(number)) {
                Ok(file) if matches!(kind_of(&file, number), Kind::Ours(_)) => {
                    return Ok(Some((number, file)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => gone = true,
                Err(error) if is_no_segment(&error) => {}
                Err(error) => return Err(StoreError::disk("open", &segment_name(number))(error)),
            }
        }
        if !gone {
            break;
        }
    }
    Ok(None)
}

struct Newest<T> {
    limit: usize,
    bytes: usize,
    facts: VecDeque<(u64, usize, T)>,
}

impl<T> Newest<T> {
    fn add(&mut self, seq: u64, size: usize, fact: T) {
        self.bytes += size;
        self.facts.push_back((seq, size, fact));
        while self.facts.len() > self.limit || self.bytes > REPLY_BYTES {
            let Some((_, size, _)) = self.facts.pop_front() else { break };
            self.bytes -= size;
        }
    }
}
