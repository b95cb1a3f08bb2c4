//! A disk in memory for tests: it fails at the operation it is told to, fills up, and loses power with whatever was
//! not synced. Operations that change something are counted from 0: create, append, sync, rename, remove, directory
//! sync, cut, allocate. Reading is not counted.
//!
//! It is as unkind as POSIX allows: an append that fails may have written half; a failed sync loses for good what was
//! written before it, although it can still be read until the power goes; a name that was not synced may be gone.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, LockRefused};

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
}

/// The disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    ops: u64,
    faults: BTreeMap<u64, Fault>,
    fails_from: Option<u64>,
    capacity: Option<u64>,
    locked_by: Option<u32>,
    off: bool,
}

#[derive(Debug, Default)]
struct Node {
    data: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    allocated: u64,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug)]
enum NameChange {
    Set(String, usize),
    Rename(String, String),
    Remove(String),
}

impl MemDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.state().ops
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
                unsynced: Vec::new(),
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
            *node = Node { data: content.to_vec(), durable: content.to_vec(), ..Node::default() };
        }
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

/// What a fault makes of an operation.
enum Verdict {
    Go,
    Fail,
    Half,
    PowerCut,
}

fn error() -> io::Error {
    io::Error::other("injected fault")
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl State {
    /// Counts an operation and tells what becomes of it.
    fn op(&mut self) -> io::Result<Verdict> {
        if self.off {
            return Err(error());
        }
        let op = self.ops;
        self.ops += 1;
        let fails = self.fails_from.is_some_and(|from| op >= from).then_some(Fault::Fail);
        Ok(match self.faults.get(&op).copied().or(fails) {
            None => Verdict::Go,
            Some(Fault::Fail) => Verdict::Fail,
            Some(Fault::Half) => Verdict::Half,
            Some(Fault::PowerCut) => {
                self.off = true;
                Verdict::PowerCut
            }
        })
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let verdict = self.op()?;
        if !matches!(verdict, Verdict::Fail) {
            change.apply(&mut self.names);
            self.name_changes.push(change);
        }
        if matches!(verdict, Verdict::Go) { Ok(()) } else { Err(error()) }
    }

    /// Bytes that a file may still take.
    fn space(&self, node: usize) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX };
        let size = |node: &Node| node.allocated.max(node.data.len() as u64);
        let others: u64 = self
            .names
            .values()
            .filter(|other| **other != node)
            .filter_map(|n| self.nodes.get(*n))
            .map(size)
            .sum();
        let len = self.nodes.get(node).map_or(0, |node| node.data.len());
        usize::try_from(capacity.saturating_sub(others)).unwrap_or(usize::MAX).saturating_sub(len)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                data.resize(data.len().max(at + bytes.len()), 0);
                for (to, from) in data.iter_mut().skip(*at).zip(bytes) {
                    *to = *from;
                }
            }
            Self::Cut(len) => data.resize(*len, 0),
        }
    }
}

impl Node {
    fn write(&mut self, bytes: &[u8]) {
        let at = self.data.len();
        self.data.extend(bytes);
        self.unsynced.push(Change::Write(at, bytes.to_vec()));
    }

    fn after(&self, dice: &mut Dice) -> Vec<u8> {
        let mut data = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Change::Write(at, bytes) => {
                    let kept = dice.up_to(bytes.len());
                    if kept > 0 {
                        Change::Write(*at, bytes.iter().copied().take(kept).collect()).apply(&mut data);
                    }
                }
                Change::Cut(_) if dice.up_to(1) == 0 => {}
                Change::Cut(_) => change.apply(&mut data),
            }
        }
        data
    }
}

/// What a power cut spares: nothing, all, or what falls.
enum Dice {
    Never,
    Always,
    Seeded(u64),
    /// How many more operations are whole; the next one is half done.
    Counted(u64),
}

impl Dice {
    fn of(loss: Loss) -> Self {
        match loss {
            Loss::All => Self::Never,
            Loss::Nothing => Self::Always,
            Loss::Prefix(count) => Self::Counted(count % 16),
            Loss::Some(seed) => Self::Seeded(seed),
        }
    }

    /// How many of `n`: often none or all.
    fn up_to(&mut self, n: usize) -> usize {
        match self {
            Self::Never => 0,
            Self::Always => n,
            Self::Counted(left) => {
                let some = if *left > 1 { n } else { n / 2 };
                let kept = if *left == 0 { 0 } else { some };
                *left = left.saturating_sub(1);
                kept
            }
            Self::Seeded(state) => {
                // SplitMix64.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^= z >> 31;
                match z % 3 {
                    0 => 0,
                    1 => n,
                    _ => usize::try_from((z >> 8) % (n as u64 + 1)).unwrap_or(n),
                }
            }
        }
    }
}

impl Disk for MemDisk {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, name: &str) -> io::Result<MemFile> {
        let state = self.state();
        if state.off {
            return Err(error());
        }
        let node = *state.names.get(name).ok_or_else(|| missing(name))?;
        Ok(MemFile { disk: self.clone(), node })
    }

    fn create(&self, name: &str) -> io::Result<MemFile> {
        let mut state = self.state();
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.change_name(NameChange::Set(name.to_owned(), node))?;
        Ok(MemFile { disk: self.clone(), node })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(missing(from));
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(missing(name));
        }
        state.change_name(NameChange::Remove(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        let verdict = state.op()?;
        // After half of it, which names are durable is open: they stay changes, for the dice.
        if matches!(verdict, Verdict::Go) {
            state.durable_names = state.names.clone();
            state.name_changes.clear();
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

impl MemFile {
    /// Counts an operation and lets it work on the node.
    fn op<T>(&self, work: impl FnOnce(&mut Node, Verdict, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        let verdict = state.op()?;
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
        buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.op(|node, verdict, space| {
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
        self.op(|node, verdict, _| {
            let len = usize::try_from(len).map_err(|_| error())?;
            if !matches!(verdict, Verdict::Fail) {
                node.data.resize(len, 0);
                node.unsynced.push(Change::Cut(len));
            }
            if matches!(verdict, Verdict::Go) { Ok(()) } else { Err(error()) }
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.op(|node, verdict, space| match verdict {
            Verdict::Go if (space as u64) < len => Err(io::ErrorKind::StorageFull.into()),
            Verdict::Go => {
                node.allocated = len;
                Ok(())
            }
            _ => Err(error()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.op(|node, verdict, _| match verdict {
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
}
