//! A disk in memory for tests: it fails at the operation it is told to, fills up, becomes read-only, has bad sectors, and
//! loses power with whatever was not synced. Operations are counted from 0, by [`Op`]; reading is not.
//!
//! It is as unkind as POSIX allows: an append that fails may have written half; a failed sync loses for good what was
//! written before it, although it can still be read until the power goes or it is [forgotten](DiskFile::forget), and the
//! next sync pretends that all is well; a name that was not synced may be gone.

mod state;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, LockRefused};
use state::{Change, Dice, NameChange, Node, State, Verdict, error, missing};

/// An operation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// [`Disk::open`].
    Open,
    /// [`Disk::create`].
    Create,
    /// [`DiskFile::append`].
    Append,
    /// [`DiskFile::sync`].
    Sync,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`DiskFile::set_len`].
    Cut,
    /// [`DiskFile::allocate`].
    Allocate,
}

/// What an operation does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing; a sync has lost what was to be synced.
    Fail,
    /// An append fails after half of its bytes; a rename, create, cut or directory sync fails and is done all the same.
    Half,
    /// The power goes: it has done half of its work, and nothing works any more. See [`MemDisk::crash`].
    PowerCut,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    All,
    /// All of it: as if only the process had died.
    Nothing,
    /// What came first, by this seed: what came after it, even in part, is lost.
    Prefix(u64),
    /// Some writes, whole or in part, in no order, and the first of the names, by this seed.
    Some(u64),
    /// Any sectors of 512 bytes of what was written, in no order, and the first of the names, by this seed.
    Sectors(u64),
}

/// The disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<State>>);

impl MemDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, state: &mut State, node: usize) -> MemFile {
        if let Some(node) = state.nodes.get_mut(node) {
            node.handles += 1;
        }
        MemFile { disk: self.clone(), node }
    }

    /// How many operations so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.state().ops.len() as u64
    }

    /// The operations so far.
    #[must_use]
    pub fn kinds(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    /// Lets operation `op` go wrong.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.state().faults.insert(op, fault);
    }

    /// Lets every operation from `op` on fail, until [`heal`](Self::heal).
    pub fn fail_from(&self, op: u64) {
        self.state().fails_from = Some(op);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.fails_from = None;
        state.read_only_from = None;
    }

    /// Makes the disk read-only from operation `op` on, until [`heal`](Self::heal): as the kernel does after an error.
    pub fn read_only_from(&self, op: u64) {
        self.state().read_only_from = Some(op);
    }

    /// A part of a file that is there cannot be read from now on.
    pub fn set_unreadable(&self, name: &str, bytes: core::ops::Range<u64>) {
        let mut state = self.state();
        let node = state.names.get(name).copied();
        if let Some(node) = node.and_then(|node| state.nodes.get_mut(node)) {
            node.unreadable = bytes;
        }
    }

    /// Bounds the bytes of all files; `None`: no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// The disk as it is found after a power cut now: a new one, without faults, not locked.
    #[must_use]
    pub fn crash(&self, loss: Loss) -> Self {
        let state = self.state();
        let mut dice = Dice::of(loss);
        let mut after = State { capacity: state.capacity, ..State::default() };
        for node in &state.nodes {
            let data = node.after(&mut dice);
            after.nodes.push(Node {
                durable: data.clone(),
                data,
                allocated: node.allocated,
                unreadable: node.unreadable.clone(),
                ..Node::default()
            });
        }
        let mut names = state.durable_names.clone();
        let kept = dice.up_to(state.name_changes.len());
        state.name_changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        after.durable_names.clone_from(&names);
        after.names = names;
        Self(Arc::new(Mutex::new(after)))
    }

    /// A file's content.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).and_then(|node| state.nodes.get(*node)).map(|node| node.data.clone())
    }

    /// Puts a file there, durable.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let node = Node { data: content.to_vec(), durable: content.to_vec(), ..Node::default() };
        state.nodes.push(node);
        let node = state.nodes.len() - 1;
        state.names.insert(name.to_owned(), node);
        state.durable_names.insert(name.to_owned(), node);
    }

    /// Changes the content of a file that is there, durable, also for who has it open.
    pub fn overwrite(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let node = state.names.get(name).copied();
        if let Some(node) = node.and_then(|node| state.nodes.get_mut(node)) {
            let (data, durable) = (content.to_vec(), content.to_vec());
            *node = Node { data, durable, handles: node.handles, ..Node::default() };
        }
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

impl Disk for MemDisk {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, name: &str) -> io::Result<MemFile> {
        let mut state = self.state();
        if !matches!(state.op(Op::Open)?, Verdict::Go) {
            return Err(error());
        }
        let node = *state.names.get(name).ok_or_else(|| missing(name))?;
        Ok(self.handle(&mut state, node))
    }

    fn create(&self, name: &str) -> io::Result<MemFile> {
        let mut state = self.state();
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.change_name(Op::Create, NameChange::Set(name.to_owned(), node))?;
        Ok(self.handle(&mut state, node))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(missing(from));
        }
        state.change_name(Op::Rename, NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(missing(name));
        }
        state.change_name(Op::Remove, NameChange::Remove(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        let verdict = state.op(Op::SyncDir)?;
        // After half of it, which names are durable is open: they stay changes, for the dice.
        if matches!(verdict, Verdict::Go) {
            state.durable_names = state.names.clone();
            state.name_changes.clear();
            state.sweep();
            return Ok(());
        }
        Err(error())
    }

    fn lock(&self) -> Result<MemLock, LockRefused> {
        let mut state = self.state();
        if let Some(pid) = state.locked_by {
            return Err(LockRefused::Held(Some(pid)));
        }
        state.locked_by = Some(std::process::id());
        Ok(MemLock(self.clone()))
    }
}

/// The lock of a [`MemDisk`], until it is dropped.
#[derive(Debug)]
pub struct MemLock(MemDisk);

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.state().locked_by = None;
    }
}

/// A file of a [`MemDisk`].
#[derive(Debug)]
pub struct MemFile {
    disk: MemDisk,
    node: usize,
}

impl Drop for MemFile {
    fn drop(&mut self) {
        if let Some(node) = self.disk.state().nodes.get_mut(self.node) {
            node.handles = node.handles.saturating_sub(1);
        }
    }
}

impl MemFile {
    /// Counts an operation and lets it work on the node.
    fn op<T>(&self, op: Op, work: impl FnOnce(&mut Node, Verdict, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        let verdict = state.op(op)?;
        let space = state.space(self.node);
        work(state.nodes.get_mut(self.node).ok_or_else(error)?, verdict, space)
    }
}

impl DiskFile for MemFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state();
        Ok(state.nodes.get(self.node).map_or(0, |node| node.data.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        if state.off {
            return Err(error());
        }
        let node = state.nodes.get(self.node).ok_or_else(error)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = node.data.get(from..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        if offset < node.unreadable.end && node.unreadable.start < offset + len as u64 {
            return Err(error());
        }
        buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.op(Op::Append, |node, verdict, space| {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            match verdict {
                Verdict::Go if space < bytes.len() => {
                    node.write(bytes.get(..space).unwrap_or_default());
                    Err(io::ErrorKind::StorageFull.into())
                }
                Verdict::Go => {
                    node.write(bytes);
                    Ok(())
                }
                Verdict::Half | Verdict::PowerCut => {
                    node.write(half);
                    Err(error())
                }
                Verdict::Fail => Err(error()),
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.op(Op::Cut, |node, verdict, _| {
            let len = usize::try_from(len).map_err(|_| error())?;
            if !matches!(verdict, Verdict::Fail) {
                node.data.resize(len, 0);
                node.unsynced.push(Change::Cut(len));
            }
            if matches!(verdict, Verdict::Go) { Ok(()) } else { Err(error()) }
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.op(Op::Allocate, |node, verdict, space| match verdict {
            Verdict::Go if (space as u64) < len => Err(io::ErrorKind::StorageFull.into()),
            Verdict::Go => {
                node.allocated = len;
                Ok(())
            }
            _ => Err(error()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.op(Op::Sync, |node, verdict, _| match verdict {
            Verdict::Go => {
                let changes = core::mem::take(&mut node.unsynced);
                changes.iter().for_each(|change| change.apply(&mut node.durable));
                Ok(())
            }
            // What got through before the power went is left to the dice.
            Verdict::PowerCut => Err(error()),
            // The kernel calls the pages clean now: no later sync writes them.
            Verdict::Fail | Verdict::Half => {
                node.unsynced.clear();
                Err(error())
            }
        })
    }

    fn forget(&self, from: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let node = state.nodes.get_mut(self.node).ok_or_else(error)?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut disk = node.durable.clone();
        node.unsynced.iter().for_each(|change| change.apply(&mut disk));
        // The length is not forgotten; where the disk has nothing there are zeros.
        disk.resize(node.data.len(), 0);
        node.data.iter_mut().zip(disk).skip(from).for_each(|(byte, on_disk)| *byte = on_disk);
        Ok(())
    }
}
