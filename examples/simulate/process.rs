//! The agent as this world runs it: the real catalog, core, turn queue, results window and journal, and around them just
//! the shell of `src/agent`: what it does with files, processes and sockets is done here with the world.

use std::collections::{BTreeMap, VecDeque};

use leafcron::agent::link::results::Results;
use leafcron::agent::turns::Turns;
use leafcron::catalog::Catalog;
use leafcron::job::{BootTime, CommandId, Entry, JobName};
use leafcron::scheduler::{AskId, Effects, Event, Scheduler};
use leafcron::store::{Durability, Journal, MemDisk};

/// What a process holds in memory: a crash takes all of it.
pub(crate) struct Process {
    pub(crate) core: Scheduler,
    pub(crate) catalog: Catalog,
    pub(crate) journal: Journal<MemDisk>,
    pub(crate) turns: Turns,
    /// The turn that collects.
    pub(crate) turn: Effects,
    pub(crate) events: VecDeque<Event>,
    pub(crate) results: Results<MemDisk>,
    pub(crate) disk_again: Option<BootTime>,
    /// The batch that the writer has.
    pub(crate) writing: Option<(Vec<Entry>, Durability)>,
    pub(crate) trouble: String,
    pub(crate) asks: BTreeMap<AskId, Asked>,
    pub(crate) last_ask: u64,
    /// Told to stop: ends once all is committed.
    pub(crate) stopping: bool,
    pub(crate) link: Link,
    /// The link passes definitions over, since the disk takes nothing.
    pub(crate) deaf: bool,
    /// Its own number: what was under way for an older one is lost.
    pub(crate) generation: u64,
}

/// Who waits for an answer.
pub(crate) enum Asked {
    Run {
        job: JobName,
        id: CommandId,
    },
    Other,
    /// The machine goes down once all runs have ended.
    Shutdown,
}

/// The link process.
#[derive(Default)]
pub(crate) struct Link {
    /// Whether it is connected, and which it is.
    pub(crate) up: bool,
    pub(crate) generation: u64,
    /// What is with it and not acknowledged: bytes by number.
    pub(crate) in_flight: BTreeMap<u64, usize>,
}

impl Process {
    pub(crate) fn ask(&mut self, who: Asked) -> AskId {
        self.last_ask += 1;
        let ask = AskId(self.last_ask);
        self.asks.insert(ask, who);
        ask
    }
}
