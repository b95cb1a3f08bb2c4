//! What a [`MemDisk`](super::MemDisk) holds: files, names, what of both is durable, and the faults to come.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Fault, Loss, Op};

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) name_changes: Vec<NameChange>,
    pub(super) ops: Vec<Op>,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) fails_from: Option<u64>,
    pub(super) read_only_from: Option<u64>,
    pub(super) capacity: Option<u64>,
    pub(super) locked_by: Option<u32>,
    pub(super) off: bool,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) data: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    pub(super) allocated: u64,
    pub(super) unreadable: core::ops::Range<u64>,
    /// Open files.
    pub(super) handles: usize,
}

#[derive(Debug)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug)]
pub(super) enum NameChange {
    Set(String, usize),
    Rename(String, String),
    Remove(String),
}

/// What a fault makes of an operation.
pub(super) enum Verdict {
    Go,
    Fail,
    Half,
    PowerCut,
}

pub(super) fn error() -> io::Error {
    io::Error::other("injected fault")
}

pub(super) fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl State {
    /// Counts an operation and tells what becomes of it.
    pub(super) fn op(&mut self, kind: Op) -> io::Result<Verdict> {
        if self.off {
            return Err(error());
        }
        let op = self.ops.len() as u64;
        self.ops.push(kind);
        let writes = !matches!(kind, Op::Open | Op::Sync | Op::SyncDir);
        if writes && self.read_only_from.is_some_and(|from| op >= from) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
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

    /// Frees what no name and no open file holds, so that a long simulation does not grow.
    pub(super) fn sweep(&mut self) {
        let named: BTreeSet<usize> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.handles == 0 && !named.contains(&index) {
                *node = Node::default();
            }
        }
    }

    pub(super) fn change_name(&mut self, op: Op, change: NameChange) -> io::Result<()> {
        let verdict = self.op(op)?;
        if !matches!(verdict, Verdict::Fail) {
            change.apply(&mut self.names);
            self.name_changes.push(change);
        }
        if matches!(verdict, Verdict::Go) { Ok(()) } else { Err(error()) }
    }

    /// Bytes that a file may still take.
    pub(super) fn space(&self, node: usize) -> usize {
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
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
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
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
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
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let at = self.data.len();
        self.data.extend(bytes);
        self.unsynced.push(Change::Write(at, bytes.to_vec()));
    }

    pub(super) fn after(&self, dice: &mut Dice) -> Vec<u8> {
        let mut data = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Change::Write(at, bytes) if dice.by_sector() => {
                    let mut start = 0;
                    while start < bytes.len() {
                        // Up to the end of the sector.
                        let len = SECTOR_BYTES - (at + start) % SECTOR_BYTES;
                        let part: Vec<u8> = bytes.iter().skip(start).take(len).copied().collect();
                        let change = Change::Write(at + start, part);
                        if dice.up_to(1) == 1 {
                            change.apply(&mut data);
                        }
                        start += len;
                    }
                }
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
pub(super) enum Dice {
    Never,
    Always,
    Seeded(u64),
    /// The same, for each sector.
    Sectors(u64),
    /// How many more operations are whole; the next one is half done.
    Counted(u64),
}

impl Dice {
    pub(super) fn of(loss: Loss) -> Self {
        match loss {
            Loss::All => Self::Never,
            Loss::Nothing => Self::Always,
            Loss::Prefix(count) => Self::Counted(count % 16),
            Loss::Some(seed) => Self::Seeded(seed),
            Loss::Sectors(seed) => Self::Sectors(seed),
        }
    }

    fn by_sector(&self) -> bool {
        matches!(self, Self::Sectors(_))
    }

    /// How many of `n`: often none or all.
    pub(super) fn up_to(&mut self, n: usize) -> usize {
        match self {
            Self::Never => 0,
            Self::Always => n,
            Self::Counted(left) => {
                let some = if *left > 1 { n } else { n / 2 };
                let kept = if *left == 0 { 0 } else { some };
                *left = left.saturating_sub(1);
                kept
            }
            Self::Seeded(state) | Self::Sectors(state) => {
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
