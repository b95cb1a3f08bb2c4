//! Everything that can go wrong, and what the owner does meanwhile.

use leafcron::job::{Clock, EventKind, Id128};
use leafcron::scheduler::{Event, Force};
use leafcron::store::mem::{Fault, Loss};

use crate::process::Asked;
use crate::world::{Coming, DAY, Fall, HOUR, MINUTE, SECOND, World};

/// 2098-01-01T00:00:00Z, in milliseconds.
const AHEAD: i64 = 4_039_372_800_000;

impl World {
    /// Something goes wrong, or somebody does something.
    pub(crate) fn trouble(&mut self) {
        if self.settling {
            return;
        }
        let wait = 1 + self.luck.below(self.kind.trouble_every);
        self.later(wait, Coming::Trouble);
        match self.luck.below(30) {
            0..6 => self.files_change(),
            6..9 => self.bucket_changes(),
            9..14 => self.somebody_asks(),
            14..17 => self.fall_soon(Fall::Killed),
            17..19 => self.fall_soon(Fall::PowerCut),
            19..22 if self.kind.bad_disk => self.disk_fails(),
            22..24 if self.kind.wild_clock && self.luck.one_in(2) => self.clock_goes_wild(),
            22..24 if self.kind.bad_clock => self.clock_is_set(),
            24 => {
                self.memory_short = !self.memory_short;
                let short = self.memory_short;
                self.tell(|| format!("* memory is short: {short}"));
            }
            25 => self.check_fails = !self.check_fails,
            26 => {
                self.hub.reachable = false;
                let most = if self.luck.one_in(3) { self.kind.lasts } else { self.kind.trouble_every * 4 };
                let wait = self.luck.wait(most);
                self.tell(|| "* the hub is out of reach".to_owned());
                self.later(wait, Coming::HubBack);
            }
            27 if self.kind.bad_hub && self.luck.one_in(3) => {
                let line = self.hub.forget(&mut self.luck);
                self.tell(|| line);
                self.link_dies("the stream is another");
            }
            28 => self.restart(),
            29 => self.shut_down(),
            _ => {}
        }
    }

    fn files_change(&mut self) {
        let line = self.desk.edit_files(&mut self.luck, &mut self.model);
        self.tell(|| format!("owner: {line}"));
        if self.agent.is_some() && !self.luck.one_in(4) {
            self.reload();
        }
    }

    fn bucket_changes(&mut self) {
        let (key, line) = self.desk.edit_bucket(&mut self.luck, &mut self.model);
        self.tell(|| format!("centre: {line}"));
        if let (Some(key), Some(agent)) = (key, &self.agent)
            && !self.luck.one_in(4)
        {
            let link = agent.link.generation;
            let wait = self.luck.wait(SECOND);
            self.later(wait, Coming::Hint { link, key });
        }
    }

    fn somebody_asks(&mut self) {
        let job = self.desk.job(&mut self.luck);
        let Some(agent) = self.agent.as_mut().filter(|agent| !agent.stopping) else { return };
        let event = match self.luck.below(8) {
            0..3 => {
                // Now and then the same command once more.
                if !self.luck.one_in(5) {
                    self.commands += 1;
                }
                let id: leafcron::job::CommandId = format!("m{}", self.commands).parse().expect("a name");
                let job = self.asked.entry(id.clone()).or_insert(job).clone();
                let force = if self.luck.one_in(3) { Force::Yes } else { Force::No };
                let ask = agent.ask(Asked::Run { job: job.clone(), id: id.clone() });
                Event::Run { job, command: id.into(), force, ask }
            }
            3 => Event::Stop { job, by: "uid 0".to_owned(), command: None, ask: agent.ask(Asked::Other) },
            4 | 5 => Event::Pause { job, command: None, ask: agent.ask(Asked::Other) },
            _ => Event::Resume { job, command: None, ask: agent.ask(Asked::Other) },
        };
        self.tell(|| format!("owner: {event:?}"));
        self.step(event);
    }

    fn fall_soon(&mut self, fall: Fall) {
        match self.luck.below(4) {
            0 => {
                let acts = self.luck.below(4);
                self.falls_after_acts = Some(acts);
                self.armed = Some(fall);
            }
            1 => self.fallen = Some(fall),
            _ => {
                self.armed = Some(fall);
                self.disk.fail_at(self.disk.ops() + self.luck.below(14), Fault::PowerCut);
            }
        }
    }

    /// The process is gone, and with it what was in memory; with a power cut the runs and what was not synced too.
    pub(crate) fn falls(&mut self, fall: Fall) {
        if self.off {
            return;
        }
        self.tell(|| format!("* {fall:?}"));
        (self.armed, self.falls_after_acts) = (None, None);
        if let Some(mut agent) = self.agent.take()
            && let Some((entries, durability)) = agent.writing.take()
            && !self.disk.is_off()
        {
            // The writer's thread may have got anywhere.
            match self.luck.below(3) {
                0 => {}
                1 => {
                    self.disk.fail_at(self.disk.ops() + self.luck.below(5), Fault::PowerCut);
                    drop(agent.journal.commit(&entries, durability));
                }
                _ => drop(agent.journal.commit(&entries, durability)),
            }
            self.model.unsure(entries);
        }
        let loss = match (fall, self.luck.below(3)) {
            (Fall::Killed, _) => Loss::Nothing,
            // That nobody acted upon it is not what this model tells apart.
            (Fall::PowerCut, _) if self.model.is_unsynced() => Loss::Nothing,
            (Fall::PowerCut, 0) => Loss::All,
            (Fall::PowerCut, 1) => Loss::Prefix(self.luck.bits()),
            (Fall::PowerCut, _) => Loss::Some(self.luck.bits()),
        };
        self.disk = self.disk.crash(loss);
        if self.disk_is_bad {
            self.disk.fail_from(0);
        }
        self.runs.checks.clear();
        match fall {
            Fall::Killed => {
                let wait =
                    if self.luck.one_in(8) { self.luck.wait(6 * HOUR) } else { self.luck.wait(30 * SECOND) };
                self.later(wait, Coming::Start);
            }
            Fall::PowerCut => {
                self.runs.dirs.keys().for_each(|run| self.model.cut(*run));
                self.runs.vanish();
                self.off = true;
                let most = if self.luck.one_in(6) { 3 * DAY } else { HOUR };
                let wait = self.luck.wait(most.min(self.kind.lasts / 4));
                self.later(wait, Coming::PowerBack { off_for: wait });
            }
        }
    }

    pub(crate) fn power_back(&mut self, off_for: u64) {
        self.off = false;
        self.boots += 1;
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&self.boots.to_le_bytes());
        (self.boot, self.booted_at) = (Id128(boot), self.at);
        if self.kind.bad_clock || self.kind.wild_clock || self.kind.clock_wait > 0 {
            self.clock = Clock::Unsynced;
            // No clock of its own goes on: it shows when it was shut down.
            if self.luck.one_in(2) {
                self.wall_offset -= i64::try_from(off_for).unwrap_or(0);
            }
            if self.kind.wild_clock && self.luck.one_in(2) {
                let shown = self.any_time();
                self.wall_shows(shown);
            }
            self.synchronises_later();
        }
        let clock = self.clock;
        self.tell(|| format!("* the machine boots; its clock is {clock:?}"));
        let wait = self.luck.wait(20 * SECOND);
        self.later(wait, Coming::Start);
    }

    fn synchronises_later(&mut self) {
        let most = if self.kind.wild_clock && self.luck.one_in(2) { self.kind.lasts / 4 } else { 6 * MINUTE };
        let wait = self.luck.wait(most);
        self.later(wait, Coming::Synchronised);
    }

    pub(crate) fn synchronised(&mut self) {
        if self.off {
            return;
        }
        self.model.shows(self.now().wall);
        self.clock = Clock::Synced;
        self.wall_offset = self.true_offset;
        self.tell(|| "* the clock is synchronised".to_owned());
    }

    fn clock_is_set(&mut self) {
        let forward = self.luck.one_in(2);
        let most = if forward { 3 * DAY } else { 50 * MINUTE };
        let by = i64::try_from(self.luck.wait(most.min(self.kind.lasts / 4))).unwrap_or(0);
        let by = if forward { by } else { -by };
        let wall = self.now().wall.millis();
        // Further behind another era begins: that is for those that are wild.
        if self.clock == Clock::Unsynced
            || !self.kind.wild_clock && wall + by < self.model.latest() - 50 * 60_000
        {
            return;
        }
        self.model.shows(self.now().wall);
        self.wall_offset += by;
        self.true_offset = self.wall_offset;
        self.tell(|| format!("* the clock is set by {by} ms"));
    }

    /// What a clock may show that nobody keeps.
    fn any_time(&mut self) -> i64 {
        let right = i64::try_from(self.at).unwrap_or(0) + self.true_offset;
        let wait = |luck: &mut crate::luck::Luck, most| i64::try_from(luck.wait(most)).unwrap_or(0);
        match self.luck.below(5) {
            0 => wait(&mut self.luck, 30 * DAY),
            1 => AHEAD + wait(&mut self.luck, 30 * DAY),
            2 => right - wait(&mut self.luck, 900 * DAY),
            3 => right + wait(&mut self.luck, 900 * DAY),
            _ => right - wait(&mut self.luck, 3 * HOUR),
        }
    }

    fn wall_shows(&mut self, shown: i64) {
        self.wall_offset = shown - i64::try_from(self.at).unwrap_or(0);
    }

    /// Nobody keeps it any more, or whoever kept it was wrong.
    fn clock_goes_wild(&mut self) {
        self.model.shows(self.now().wall);
        let was_wrong = self.luck.one_in(3);
        if was_wrong {
            self.true_offset -= i64::try_from(self.luck.wait(20 * DAY)).unwrap_or(0);
            (self.wall_offset, self.clock) = (self.true_offset, Clock::Synced);
        } else {
            let shown = self.any_time();
            self.wall_shows(shown);
            self.clock = Clock::Unsynced;
            self.synchronises_later();
        }
        let (clock, wall) = (self.clock, self.now().wall);
        self.tell(|| format!("* the clock shows {wall}, {clock:?}"));
    }

    fn disk_fails(&mut self) {
        // Now and then for so long that not all can be carried that it refuses.
        let most = if self.luck.one_in(4) { 2 * DAY } else { (self.kind.trouble_every * 3).min(6 * HOUR) };
        let wait = self.luck.wait(most);
        match self.luck.below(5) {
            0 | 1 => {
                let fault = if self.luck.one_in(2) { Fault::Fail } else { Fault::Half };
                self.disk.fail_at(self.disk.ops() + self.luck.below(6), fault);
                self.tell(|| format!("* an operation of the disk will go wrong: {fault:?}"));
            }
            2 => {
                self.disk.fail_from(self.disk.ops());
                self.disk_is_bad = true;
                self.tell(|| "* the disk takes nothing".to_owned());
                self.later(wait, Coming::DiskHeals);
            }
            _ => {
                let names = self.disk.names();
                let used: usize = names
                    .iter()
                    .filter_map(|name| self.disk.content(name))
                    .map(|content| content.len())
                    .sum();
                let room = self.luck.wait(600_000);
                // The reserve is part of what is used.
                self.disk.set_capacity(Some(used as u64 + room));
                self.tell(|| format!("* the disk has room for {room} bytes"));
                self.later(wait, Coming::DiskHeals);
            }
        }
    }

    pub(crate) fn disk_heals(&mut self) {
        self.disk.heal();
        self.disk.set_capacity(None);
        self.disk_is_bad = false;
        self.tell(|| "* the disk is well".to_owned());
        if let Some(fall) = self.armed.filter(|_| self.falls_after_acts.is_none()) {
            self.disk.fail_at(self.disk.ops() + 3, Fault::PowerCut);
            self.armed = Some(fall);
        }
    }

    /// An upgrade: the agent ends in good order and starts again.
    fn restart(&mut self) {
        let Some(agent) = self.agent.as_mut().filter(|agent| !agent.stopping) else { return };
        agent.stopping = true;
        agent.link.up = false;
        self.tell(|| "* the agent is told to stop".to_owned());
        self.note(EventKind::Stopped);
    }

    fn shut_down(&mut self) {
        let Some(agent) = self.agent.as_mut().filter(|agent| !agent.stopping) else { return };
        let ask = agent.ask(Asked::Shutdown);
        self.tell(|| "* the machine shuts down".to_owned());
        self.step(Event::EndRuns { by: "machine shutdown".to_owned(), ask });
    }
}
