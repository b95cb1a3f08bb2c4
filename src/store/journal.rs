//! The journal that an agent writes: open, commit, compact.

use super::compact::{Keep, Writer, strip};
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::{numbered, push_commit};
use super::header::{HEADER_BYTES, Header, WRITES};
use super::recover::{Chore, Live, RESERVE, Recent, damage, find, number_of};
use super::replay::segment_name;
use super::takeover::{Delivered, Renewal, Takeover, is_anothers, without_numbers};
use crate::job::{Acked, DeviceEvent, Entry, Epoch, EventKind, Id128, Image, JournalStatus, Now};

/// Its size, in bytes (DESIGN section 8).
const RESERVE_BYTES: u64 = 256 * 1024;
/// Commits after which a lost reserve is tried for again.
const RESERVE_EVERY: u64 = 64;
/// Unsynced entries held in memory, at most; one more and the commit is synced.
const UNSYNCED: usize = 256;
/// The least bound on the disk that is worked with, in bytes.
const DISK_BYTES: u64 = 64 * 1024;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that the segments may take (`disk`).
    pub disk_bytes: u64,
    /// Records kept per job (`history`).
    pub history: usize,
    /// 128 random bits: the epoch of a journal that is begun now, or that another machine had.
    pub fresh_epoch: Epoch,
    /// Digests of what names this machine, the best first; none: nobody knows.
    pub machine: Vec<Id128>,
    /// When it is opened: what the event of a new epoch says.
    pub now: Now,
    /// What becomes of facts that nobody acknowledged.
    pub unsent: Unsent,
}

/// What becomes of facts that nobody acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// There is a centre that wants them: they outlive `history`.
    Kept,
    /// There is none: `history` rules.
    History,
}

/// What a journal added up to when it was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// All that the entries say.
    pub image: Image,
    /// The numbering.
    pub epoch: Epoch,
    /// The next record's number.
    pub next_seq: u64,
    /// Numbers up to here are durable: what is beyond may be gone after a power cut, and must not be sent.
    pub durable: u64,
    /// The epoch before, if this one begins now: another machine has the journal. The event that says so is in it already.
    pub old_epoch: Option<Epoch>,
    /// The newest events, with their numbers.
    pub recent: Vec<(u64, DeviceEvent)>,
    /// What was found wrong. Commit them as events with the first turn: until then each start finds them again. In
    /// `Damaged`, `to < from` means that no number is missing, and `from = to = 0` that nobody knows which are.
    pub notes: Vec<EventKind>,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is durable when `commit` returns.
    Synced,
    /// It is durable with the next synced commit; a crash may lose it, alone.
    Unsynced,
}

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of the first record or event among the entries; the others follow in their order.
    pub first_seq: u64,
    /// How many of them took a number.
    pub count: u64,
}

/// The epoch that a running journal goes on in.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewed {
    /// The numbering.
    pub epoch: Epoch,
    /// The next record's number; all before are durable.
    pub next_seq: u64,
    /// Nothing of this epoch is acknowledged.
    pub acked: Acked,
    /// The newest events, with their numbers.
    pub recent: Vec<(u64, DeviceEvent)>,
}

/// The journal of a state directory, and its lock.
pub struct Journal<D: Disk> {
    disk: D,
    options: Options,
    epoch: Epoch,
    next_seq: u64,
    next_number: u64,
    live: Option<Live<D::File>>,
    /// Committed since the last sync: what a fresh segment takes from memory.
    unsynced: Vec<Entry>,
    chores: Vec<Chore>,
    notes: Vec<EventKind>,
    /// What the centre has.
    acked: Acked,
    /// A new epoch that is not written yet.
    takeover: Option<Takeover>,
    /// No compaction before the segment is this long: the last one failed.
    not_before: u64,
    /// Fresh segments that were given up, but whose names may be there, or come back with the power: they would win over
    /// the one that is written to, so nothing is acknowledged before they are gone for good.
    strays: Vec<String>,
    reserve: Reserve,
    counts: JournalStatus,
    _lock: D::Lock,
}

/// The space that is allocated ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    Held,
    /// It was never given.
    Missing,
    /// It was released to a full disk: until it is there again, no outputs are stored.
    Spent,
}

pub(super) fn segment_number(name: &str) -> Option<u64> {
    number_of(name, "journal")
}

impl<D: Disk> Journal<D> {
    /// Takes the lock and reads what is there. A sound journal is not written to; a new one, or the clean copy of a
    /// damaged one, is begun by the first commit. So a full disk does not keep an agent from its start.
    ///
    /// # Errors
    /// The lock is held, or the directory cannot be read.
    pub fn open(disk: D, options: Options) -> Result<(Self, Recovered), StoreError> {
        let lock = disk.lock()?;
        let mut found = find(&disk)?;
        let mut epoch = found.live.as_ref().map_or(options.fresh_epoch, |live| live.header.epoch);
        let mut takeover = None;
        if let Some(live) = &mut found.live
            && is_anothers(live.header.machine, &options.machine)
        {
            let delivered = Delivered { through: found.image.acked.through, ..Delivered::default() };
            let why = "this journal belongs to another machine".to_owned();
            let begun = Takeover::begin(live, &mut found.recent, delivered, why, options.now)
                .map_err(StoreError::disk("read", &live.name()))?;
            found.image.acked = of_new_epoch(found.image.acked);
            (epoch, found.next_seq, found.durable) = (options.fresh_epoch, begun.next_seq, 0);
            found.notes.iter_mut().for_each(without_numbers);
            takeover = Some(begun);
        }
        let acked = found.image.acked;
        let mut recovered = Recovered {
            image: found.image,
            epoch,
            next_seq: found.next_seq,
            durable: found.durable,
            old_epoch: takeover.as_ref().and_then(Takeover::old_epoch),
            recent: found.recent.into_vec(),
            notes: found.notes,
        };
        let mut journal = Self {
            disk,
            options,
            epoch,
            next_seq: found.next_seq,
            next_number: found.next_number,
            live: found.live,
            unsynced: Vec::new(),
            chores: found.chores,
            notes: Vec::new(),
            acked,
            takeover,
            not_before: 0,
            strays: Vec::new(),
            reserve: Reserve::Missing,
            counts: JournalStatus::default(),
            _lock: lock,
        };
        if journal.is_sound() {
            // A dead agent may have renamed the segment into place and not lived to see that durable: without its name
            // all that is committed to it from now on would go with the power.
            match journal.disk.sync_dir() {
                Ok(()) => journal.do_chores(),
                Err(error) => {
                    log::warn!("sync the state directory: {error}; the next commit begins a new segment");
                    recovered.durable = 0;
                    if let Some(live) = &mut journal.live {
                        live.sound = false;
                    }
                }
            }
        }
        if found.names.iter().any(|name| name == RESERVE) {
            journal.reserve = Reserve::Held;
        } else if journal.live.is_some() {
            journal.take_reserve();
        }
        Ok((journal, recovered))
    }

    /// Appends one turn: all of it is durable, or an error. Entries are kept in order; records and events take
    /// numbers. No entries, synced: makes durable what was committed unsynced.
    ///
    /// # Errors
    /// The disk took it neither here nor in a fresh segment. The turn does not count; the next commit tries anew.
    pub fn commit(&mut self, entries: &[Entry], durability: Durability) -> Result<Committed, StoreError> {
        let committed = Committed { first_seq: self.next_seq, count: numbered(entries) };
        if entries.is_empty() && (durability == Durability::Unsynced || self.unsynced.is_empty()) {
            return Ok(committed);
        }
        let stored = match self.reserve {
            Reserve::Spent => {
                let (lean, left_out) = lean(entries);
                self.store(&lean, durability).map(|()| self.counts.outputs_left_out += left_out)
            }
            Reserve::Held | Reserve::Missing => self.store(entries, durability),
        };
        match stored {
            Ok(()) => {
                self.counts.runs += entries.iter().filter(|entry| is_run(entry)).count() as u64;
                self.next_seq += committed.count;
                let acked = entries.iter().rev().find_map(|entry| match entry {
                    Entry::Acked(acked) => Some(*acked),
                    _ => None,
                });
                self.acked = acked.unwrap_or(self.acked);
                self.counts.trouble = None;
                self.regain();
                Ok(committed)
            }
            Err(error) => {
                self.counts.trouble = Some(error.chain());
                Err(error)
            }
        }
    }

    /// Goes on in a new epoch, durably: the centre has other facts under the numbers of this one. It takes over all that
    /// the centre does not have. Until then no [`Entry::Acked`] of the old epoch may be on its way: numbers begin anew.
    ///
    /// # Errors
    /// Those of the disk; the journal goes on in its old epoch.
    pub fn renew(&mut self, renewal: Renewal) -> Result<Renewed, StoreError> {
        if !self.is_sound() || !self.unsynced.is_empty() {
            self.rewrite(&[])?;
        }
        let Renewal { epoch, why, delivered, now } = renewal;
        let mut recent = Recent::default();
        let old = (self.epoch, self.next_seq, self.acked);
        let Some(live) = &mut self.live else {
            return Err(StoreError::disk("read", "the journal")(std::io::ErrorKind::NotFound.into()));
        };
        let takeover = Takeover::begin(live, &mut recent, delivered, why, now)
            .map_err(StoreError::disk("read", &live.name()))?;
        (self.epoch, self.next_seq, self.acked) = (epoch, takeover.next_seq, of_new_epoch(self.acked));
        self.takeover = Some(takeover);
        if let Err(error) = self.rewrite(&[]) {
            (self.epoch, self.next_seq, self.acked) = old;
            self.takeover = None;
            if let Some(live) = &mut self.live {
                (live.synced_seq, live.sound) = (self.next_seq, true);
            }
            return Err(error);
        }
        Ok(Renewed { epoch, next_seq: self.next_seq, acked: self.acked, recent: recent.into_vec() })
    }

    /// Compacts if that is due: since the last time the segment has grown by as much as that left, and by a 32nd of
    /// the bound. So compaction writes no more than commits do, and a start reads little that is old. It takes as
    /// long as reading the segment and writing what is kept, so call it when a turn has been answered. A commit does
    /// it itself only at half of the bound. Tells whether it did.
    ///
    /// # Errors
    /// Those of the disk; the journal goes on as it was.
    pub fn tidy(&mut self) -> Result<bool, StoreError> {
        let bound = self.disk_bytes();
        if !self.grown(0, |base| base.max(bound / 32)) {
            return Ok(false);
        }
        self.compact()?;
        Ok(true)
    }

    /// Compacts now, due or not.
    ///
    /// # Errors
    /// Those of the disk; the journal goes on as it was.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.rewrite(&[]).inspect_err(|error| self.put_off(error))
    }

    /// The figures since it was opened. `unrecorded` is the caller's to count: only it knows what it gave up.
    pub fn status(&self) -> JournalStatus {
        JournalStatus {
            next_seq: self.next_seq,
            bytes: self.live.as_ref().map_or(0, |live| live.len),
            segments: usize::from(self.live.is_some()),
            ..self.counts.clone()
        }
    }

    /// The numbering.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What a compaction found wrong since the last call: to be committed as events.
    pub fn take_notes(&mut self) -> Vec<EventKind> {
        core::mem::take(&mut self.notes)
    }

    fn is_sound(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.sound)
    }

    fn disk_bytes(&self) -> u64 {
        self.options.disk_bytes.max(DISK_BYTES)
    }

    /// Whether the segment has this length, and this much beyond its compacted part.
    fn grown(&self, len: u64, beyond: impl Fn(u64) -> u64) -> bool {
        self.live.as_ref().is_some_and(|live| {
            live.sound
                && live.len >= len.max(self.not_before)
                && live.len.saturating_sub(live.base) >= beyond(live.base)
        })
    }

    /// A compaction failed: the next one waits until there is more to gain.
    fn put_off(&mut self, error: &StoreError) {
        log::warn!("compact the journal: {}", error.chain());
        let len = self.live.as_ref().map_or(0, |live| live.len);
        self.not_before = len.saturating_add(self.disk_bytes() / 16);
    }

    fn store(&mut self, entries: &[Entry], durability: Durability) -> Result<(), StoreError> {
        let bound = self.disk_bytes();
        if self.grown(bound / 2, |_| bound / 16) {
            match self.rewrite(entries) {
                Ok(()) => return Ok(()),
                Err(error) => self.put_off(&error),
            }
        }
        if !self.is_sound() {
            return self.rewrite(entries);
        }
        self.remove_strays()?;
        match self.append(entries, durability) {
            Err(error) if error.is_full() && self.is_sound() => self.squeeze(entries, durability, error),
            Err(error @ StoreError::Disk { .. }) => self.rewrite(entries).map_err(|_| error),
            result => result,
        }
    }

    fn remove_strays(&mut self) -> Result<(), StoreError> {
        if self.strays.is_empty() {
            return Ok(());
        }
        let failed = |what| StoreError::disk(what, "the state directory");
        let names = self.disk.list().map_err(failed("list"))?;
        for stray in self.strays.iter().filter(|stray| names.contains(stray)) {
            self.disk.remove(stray).map_err(StoreError::disk("remove", stray))?;
        }
        self.counts.syncs += 1;
        self.disk.sync_dir().map_err(failed("sync"))?;
        self.strays.clear();
        Ok(())
    }

    /// One write and, for a synced commit, one sync.
    fn append(&mut self, entries: &[Entry], durability: Durability) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let start = live.len;
        if !entries.is_empty() {
            let mut buffer = Vec::new();
            push_commit(&mut buffer, live.header.seed(), start, self.next_seq, entries)?;
            if let Err(source) = live.file.append(&buffer) {
                live.sound = live.file.set_len(start).is_ok();
                return Err(StoreError::disk("append to", &live.name())(source));
            }
            live.len += buffer.len() as u64;
            self.counts.frames += 1;
            self.counts.written += buffer.len() as u64;
        }
        if durability == Durability::Unsynced && self.unsynced.len() + entries.len() <= UNSYNCED {
            self.unsynced.extend_from_slice(entries);
            return Ok(());
        }
        self.counts.syncs += 1;
        if let Err(source) = live.file.sync() {
            live.sound = false;
            live.len = start;
            if let Err(error) = live.file.set_len(start) {
                log::debug!("cut {} back: {error}", live.name());
            }
            return Err(StoreError::disk("sync", &live.name())(source));
        }
        live.synced = live.len;
        live.synced_seq = self.next_seq + numbered(entries);
        self.unsynced.clear();
        Ok(())
    }

    /// The disk is full: tries without outputs, on the reserve's space.
    fn squeeze(
        &mut self,
        entries: &[Entry],
        durability: Durability,
        error: StoreError,
    ) -> Result<(), StoreError> {
        let (lean, left_out) = lean(entries);
        if !self.release_reserve() && lean == entries {
            return Err(error);
        }
        match self.append(&lean, durability) {
            Err(_) if !self.is_sound() => self.rewrite(&lean).map_err(|_| error),
            result => result.map_err(|_| error),
        }?;
        self.counts.outputs_left_out += left_out;
        Ok(())
    }

    /// After a commit: gets the reserve back. What was released has room for a compaction, where there is something
    /// to gain; otherwise space has to come from elsewhere.
    fn regain(&mut self) {
        let gained = match self.reserve {
            Reserve::Held => return,
            Reserve::Spent if self.grown(0, |base| base) => self.compact().is_ok(),
            Reserve::Spent | Reserve::Missing => false,
        };
        if gained || self.counts.frames.is_multiple_of(RESERVE_EVERY) {
            self.take_reserve();
        }
    }

    fn release_reserve(&mut self) -> bool {
        let held = self.reserve == Reserve::Held && self.disk.remove(RESERVE).is_ok();
        if held {
            self.reserve = Reserve::Spent;
        }
        held
    }

    fn take_reserve(&mut self) {
        match self.disk.create(RESERVE).and_then(|file| file.allocate(RESERVE_BYTES)) {
            Ok(()) => self.reserve = Reserve::Held,
            Err(error) => {
                log::debug!("allocate {RESERVE}: {error}");
                self.discard(RESERVE);
            }
        }
    }

    /// Writes what is durable, what is held in memory and these entries into a fresh segment, and goes on with that.
    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        let next_seq = self.live.as_ref().map_or(self.next_seq, |live| live.synced_seq);
        let header = Header {
            version: WRITES,
            number,
            epoch: self.epoch,
            next_seq,
            acked_through: self.acked.through,
            machine: self.machine(),
        };
        let name = segment_name(number);
        let new = format!("{name}.new");
        let fresh = self.write_fresh(&new, header, entries).inspect_err(|_| self.discard(&new))?;
        if let Err(source) = self.disk.rename(&new, &name) {
            self.discard(&new);
            self.strays.push(name);
            return Err(StoreError::disk("rename", &new)(source));
        }
        self.counts.syncs += 1;
        if let Err(source) = self.disk.sync_dir() {
            self.strays.push(name);
            return Err(StoreError::disk("sync", "the state directory")(source));
        }
        // It has the highest number, and its name is durable.
        self.chores.extend(self.strays.drain(..).map(Chore::Remove));
        if let Some(old) = self.live.replace(fresh) {
            self.retire(&old);
        }
        self.unsynced.clear();
        self.takeover = None;
        self.not_before = 0;
        self.do_chores();
        if self.reserve == Reserve::Missing {
            self.take_reserve();
        }
        Ok(())
    }

    /// Whose the epoch is: as it was bound, or by the best name of this machine.
    fn machine(&self) -> Id128 {
        let bound = self.live.as_ref().map(|live| live.header.machine).filter(|_| self.takeover.is_none());
        let bound = bound.filter(|bound| *bound != Id128::default());
        bound.or(self.options.machine.first().copied()).unwrap_or_default()
    }

    fn write_fresh(
        &mut self,
        name: &str,
        header: Header,
        entries: &[Entry],
    ) -> Result<Live<D::File>, StoreError> {
        let file = self.disk.create(name).map_err(StoreError::disk("create", name))?;
        let mut writer = Writer::new(&file, name, &header);
        let mut gaps = Vec::new();
        if let Some(old) = &self.live {
            let takeover = self.takeover.as_ref();
            let through = takeover.map_or(self.acked.through, |takeover| takeover.delivered.through);
            let unsent_above = (self.options.unsent == Unsent::Kept).then_some(through);
            let keep = Keep { history: self.options.history, unsent_above };
            gaps = writer.compact(&old.source(), keep, self.disk_bytes() / 4, takeover)?;
        }
        let base = writer.len().max(HEADER_BYTES);
        let held = [self.unsynced.as_slice(), entries].concat();
        if !held.is_empty() {
            writer.commit(header.next_seq, &held)?;
        }
        self.counts.syncs += 1;
        let (len, frames) = writer.finish()?;
        self.counts.frames += frames;
        self.counts.written += len;
        // Damage known since the start has been reported.
        if let Some(old) = self.live.as_mut().filter(|old| !old.damaged && !gaps.is_empty()) {
            old.damaged = true;
            let aside = format!("damaged-{}", old.header.number);
            let mut notes: Vec<EventKind> = gaps.into_iter().map(|gap| damage(gap, &aside)).collect();
            if self.takeover.is_some() {
                notes.iter_mut().for_each(without_numbers);
            }
            self.notes.extend(notes);
        }
        let synced_seq = header.next_seq + numbered(&held);
        Ok(Live { file, header, len, synced: len, synced_seq, base, sound: true, damaged: false })
    }

    /// A replaced segment goes; a damaged one is kept, the newest one of them.
    fn retire(&mut self, old: &Live<D::File>) {
        if !old.damaged {
            self.chores.push(Chore::Remove(old.name()));
            return;
        }
        let names = self.disk.list().unwrap_or_default();
        let aside = names.into_iter().filter(|name| number_of(name, "damaged").is_some());
        self.chores.extend(aside.map(Chore::Remove));
        self.chores.push(Chore::Rename(old.name(), format!("damaged-{}", old.header.number)));
    }

    /// What fails here, the next start finds again.
    fn do_chores(&mut self) {
        for chore in core::mem::take(&mut self.chores) {
            let done = match &chore {
                Chore::Remove(name) => self.disk.remove(name),
                Chore::Rename(from, to) => self.disk.rename(from, to),
            };
            if let Err(error) = done {
                log::warn!("{chore:?}: {error}");
            }
        }
    }

    fn discard(&self, name: &str) {
        if let Err(error) = self.disk.remove(name) {
            log::debug!("remove {name}: {error}");
        }
    }
}

/// Nothing of it is acknowledged; how far the stream was looked at stays.
fn of_new_epoch(acked: Acked) -> Acked {
    Acked { through: 0, told: 0, ..acked }
}

/// The entries without outputs, and how many had one.
fn lean(entries: &[Entry]) -> (Vec<Entry>, u64) {
    let mut lean = entries.to_vec();
    let left_out = lean.iter_mut().filter_map(|entry| strip(entry).then_some(())).count();
    (lean, left_out as u64)
}

/// Whether this is the end of an execution.
fn is_run(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(record) if record.attempt > 0)
}
