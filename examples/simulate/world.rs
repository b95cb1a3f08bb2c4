//! A device, its hub and its owner in virtual time. Everything that happens is an entry of one list, in order of time;
//! what they come to is the seed's.

use std::collections::BTreeMap;

use leafcron::job::{BootId, BootTime, Clock, CommandId, Id128, JobName, Now, Readings, RunId, WallTime};
use leafcron::store::MemDisk;

use crate::definition::{Pace, ZONES};
use crate::desk::Desk;
use crate::hub::Hub;
use crate::luck::Luck;
use crate::model::Model;
use crate::process::Process;
use crate::runs::Runs;
use crate::story::Story;

/// Times of a world are in milliseconds.
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// What a world is like.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) jobs: usize,
    pub(crate) pace: Pace,
    pub(crate) lasts: u64,
    /// Between two troubles, at most.
    pub(crate) trouble_every: u64,
    pub(crate) device_zone: &'static str,
    pub(crate) max_runs: usize,
    pub(crate) clock_wait: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) history: usize,
    /// What memory keeps for a disk that refuses it.
    pub(crate) carried_bytes: usize,
    /// The disk fails and fills up.
    pub(crate) bad_disk: bool,
    /// The clock is set, also back.
    pub(crate) bad_clock: bool,
    /// It shows anything: 1970, 2098, last month, next year.
    pub(crate) wild_clock: bool,
    /// The hub forgets.
    pub(crate) bad_hub: bool,
}

/// How much of a world is lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As the seed has it: up to 300 jobs and two months.
    Full,
    /// A day and a half at most, of up to 120 jobs: for tests.
    Small,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Coming {
    Start,
    Written { generation: u64 },
    RunEnds { run: RunId },
    Probed { generation: u64 },
    Checked { generation: u64, run: RunId },
    Told { generation: u64, run: RunId, job: JobName },
    LinkStarts { generation: u64, link: u64 },
    AtHub { link: u64, seq: u64, payload: Vec<u8> },
    Acked { link: u64, seq: u64, at: u64, before: Option<Vec<u8>> },
    Hint { link: u64, key: String },
    LinkChecks { link: u64 },
    DiskHeals,
    PowerBack { off_for: u64 },
    HubBack,
    Synchronised,
    Trouble,
}

/// How a process ends that nobody asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fall {
    /// `kill -9`, or a panic.
    Killed,
    PowerCut,
}

pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) luck: Luck,
    pub(crate) story: Story,
    pub(crate) model: Model,
    /// Milliseconds since the beginning of this world.
    pub(crate) at: u64,
    /// What the wall shows, less `at`.
    pub(crate) wall_offset: i64,
    /// The same, if nobody had ever set it.
    pub(crate) true_offset: i64,
    pub(crate) booted_at: u64,
    pub(crate) boot: BootId,
    pub(crate) clock: Clock,
    pub(crate) disk: MemDisk,
    pub(crate) agent: Option<Process>,
    pub(crate) generations: u64,
    pub(crate) runs: Runs,
    pub(crate) desk: Desk,
    pub(crate) hub: Hub,
    pub(crate) memory_short: bool,
    pub(crate) check_fails: bool,
    /// The process falls at an operation of the disk.
    pub(crate) armed: Option<Fall>,
    /// The process falls after so many acts.
    pub(crate) falls_after_acts: Option<u64>,
    /// It has fallen: the turn ends here.
    pub(crate) fallen: Option<Fall>,
    /// Trouble is over: all shall come to rest.
    pub(crate) settling: bool,
    coming: BTreeMap<(u64, u64), Coming>,
    last_coming: u64,
    pub(crate) commands: u64,
    /// Which job a command was for.
    pub(crate) asked: BTreeMap<CommandId, JobName>,
    pub(crate) links: u64,
    pub(crate) boots: u64,
    pub(crate) disk_is_bad: bool,
    /// Entries of the collecting turn that the model has seen.
    pub(crate) entries_seen: usize,
    /// Nothing starts the agent before then.
    pub(crate) off: bool,
}

/// A Sunday in autumn; worlds begin up to two years later.
const BEGIN: i64 = 1_761_436_800_000;

impl Kind {
    /// A small world or a large one.
    pub(crate) fn of(luck: &mut Luck, size: Size) -> Self {
        let (mut jobs, pace, mut lasts, trouble_every) = match luck.below(12) {
            0 => (luck.between(100, 300), Pace::Sparse, luck.between(20, 60) * DAY, 2 * DAY),
            1..4 => (luck.between(20, 60), Pace::Sparse, luck.between(5, 40) * DAY, 8 * HOUR),
            _ => (luck.between(1, 12), Pace::Dense, luck.between(2, 16) * HOUR, 10 * MINUTE),
        };
        if size == Size::Small {
            (jobs, lasts) = (jobs.min(120), lasts.min(36 * HOUR));
        }
        Self {
            jobs: usize::try_from(jobs).unwrap_or(1),
            pace,
            lasts,
            trouble_every,
            device_zone: luck.pick(ZONES),
            max_runs: usize::try_from(luck.between(1, 8)).unwrap_or(1),
            clock_wait: luck.pick(&[0, 120]) * SECOND,
            disk_bytes: if jobs > 12 { 8 << 20 } else { luck.pick(&[100 << 10, 200 << 10, 32 << 20]) },
            history: luck.pick(&[1, 5, 50]),
            carried_bytes: luck.pick(&[4 << 10, 32 << 10, 384 << 10]),
            bad_disk: luck.one_in(2),
            bad_clock: luck.one_in(2),
            bad_hub: luck.one_in(2),
            wild_clock: luck.one_in(3),
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, size: Size, told: bool) -> Self {
        let mut luck = Luck::new(seed);
        let kind = Kind::of(&mut luck, size);
        let mut model = Model::new(kind.device_zone);
        let mut desk = Desk::new(kind.jobs, kind.pace);
        desk.begin(&mut luck, &mut model);
        let wall_offset = BEGIN + i64::try_from(luck.below(2 * 365 * DAY)).unwrap_or(0);
        let mut world = Self {
            luck,
            story: Story::new(told),
            model,
            at: 0,
            wall_offset,
            true_offset: wall_offset,
            booted_at: 0,
            boot: Id128([1; 16]),
            clock: Clock::Synced,
            disk: MemDisk::new(),
            agent: None,
            generations: 0,
            runs: Runs::default(),
            desk,
            hub: Hub::new(),
            memory_short: false,
            check_fails: false,
            armed: None,
            falls_after_acts: None,
            fallen: None,
            settling: false,
            coming: BTreeMap::new(),
            last_coming: 0,
            commands: 0,
            asked: BTreeMap::new(),
            links: 0,
            boots: 1,
            disk_is_bad: false,
            entries_seen: 0,
            off: false,
            kind,
        };
        let kind = world.kind.clone();
        world.tell(|| format!("* seed {seed}: {kind:?}"));
        world.later(0, Coming::Start);
        world.later(kind.trouble_every, Coming::Trouble);
        world
    }

    pub(crate) fn now(&self) -> Now {
        let wall = i64::try_from(self.at).unwrap_or(i64::MAX) + self.wall_offset;
        Now {
            wall: WallTime::from_millis(wall),
            // A machine has run a moment before anything is started.
            boot: BootTime::from_millis(self.at - self.booted_at + 20 * SECOND),
            clock: self.clock,
        }
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.tell(self.now(), line);
    }

    pub(crate) fn later(&mut self, wait: u64, coming: Coming) {
        self.last_coming += 1;
        self.coming.insert((self.at + wait, self.last_coming), coming);
    }

    /// Whether all that is promised has held so far.
    pub(crate) fn is_well(&self) -> bool {
        self.model.wrong().is_none()
    }

    /// Lives until `until`, or until something is wrong.
    pub(crate) fn live(&mut self, until: u64) {
        let mut sleepless = 0;
        while self.is_well() && self.at <= until {
            let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
            let wake = self.wakes_at();
            let Some(next) = [coming, wake].into_iter().flatten().min().filter(|next| *next <= until) else {
                self.at = until;
                return;
            };
            sleepless = if next > self.at || coming == Some(next) { 0 } else { sleepless + 1 };
            if sleepless > 20 {
                let wake = self.agent.as_ref().and_then(|agent| agent.core.wake(self.now()));
                return self
                    .model
                    .blame(format!("rest: the core wakes again and again at one instant: {wake:?}"));
            }
            self.at = next.max(self.at);
            if coming == Some(next)
                && let Some((_, coming)) = self.coming.pop_first()
            {
                self.happens(coming);
            }
            self.turn_over();
        }
    }

    fn wakes_at(&self) -> Option<u64> {
        let agent = self.agent.as_ref()?;
        let now = self.now();
        let from_wall = |wall: WallTime| {
            let wait = u64::try_from(wall.millis().saturating_sub(now.wall.millis())).unwrap_or(0);
            self.at.saturating_add(wait)
        };
        let disk = agent.disk_again.filter(|_| !agent.turns.is_committing() && agent.writing.is_none());
        let disk = disk.map(|at| from_wall(now.wall_at(at)));
        [agent.core.wake(now).map(from_wall), disk].into_iter().flatten().min()
    }

    fn happens(&mut self, coming: Coming) {
        let own = self.agent.as_ref().map(|agent| agent.generation);
        match coming {
            Coming::Start if self.agent.is_none() && !self.off => self.start_agent(),
            Coming::Written { generation } if own == Some(generation) => self.write(),
            Coming::RunEnds { run } => self.run_ends(run),
            Coming::Probed { generation } if own == Some(generation) => self.probed(),
            Coming::Checked { generation, run } if own == Some(generation) => self.checked(run),
            Coming::Told { generation, run, job } if own == Some(generation) => self.told(run, &job),
            Coming::LinkStarts { generation, link } if own == Some(generation) => self.link_starts(link),
            Coming::AtHub { link, seq, payload } => self.at_hub(link, seq, payload),
            Coming::Acked { link, seq, at, before } => self.acked(link, seq, at, before),
            Coming::Hint { link, key } => self.hint(link, &key),
            Coming::LinkChecks { link } => self.link_checks(link),
            Coming::DiskHeals => self.disk_heals(),
            Coming::PowerBack { off_for } if self.off => self.power_back(off_for),
            Coming::HubBack => {
                self.hub.reachable = true;
                self.tell(|| "* the hub is in reach again".to_owned());
            }
            Coming::Synchronised => self.synchronised(),
            Coming::Trouble => self.trouble(),
            // For a process that is no more.
            Coming::Start
            | Coming::PowerBack { .. }
            | Coming::Written { .. }
            | Coming::Probed { .. }
            | Coming::Checked { .. }
            | Coming::Told { .. }
            | Coming::LinkStarts { .. } => {}
        }
    }

    /// The machine as it is read.
    pub(crate) fn readings(&self) -> Readings {
        let free = if self.memory_short { 5 } else { 2 << 30 };
        Readings {
            memory_available: Some(free),
            disk_available: vec![("/x".to_owned(), Some(free))],
            ..Readings::default()
        }
    }
}
