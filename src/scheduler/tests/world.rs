//! A device in virtual time: the core, the image that its entries add up to, and runs that end when the test says so.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::job::{
    BootId, BootTime, Clock, CommandId, CronJob, Entry, EventKind, Fire, Id128, Image, JobName, Now,
    Readings, Record, Reply, Revision, RunId, WallTime, text,
};
use crate::schedule::{Calendar, Zone};
use crate::scheduler::{Act, AskId, Effects, Event, Force, How, Plan, RunEnd, Scheduler, Settings, Start};

/// 2026-11-22T00:00:00Z, a Sunday.
pub(super) const MIDNIGHT: WallTime = WallTime::from_secs(1_795_305_600);

pub(super) struct World {
    pub(super) now: Now,
    pub(super) boot: BootId,
    pub(super) core: Scheduler,
    pub(super) image: Image,
    pub(super) texts: BTreeMap<JobName, String>,
    /// Runs that were started and have not ended.
    pub(super) running: BTreeMap<RunId, Start>,
    /// Every command that ever started, in order.
    pub(super) starts: Vec<Start>,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<EventKind>,
    pub(super) replies: Vec<Reply>,
    pub(super) stops: Vec<RunId>,
    pub(super) checks: Vec<RunId>,
    /// What a probe reads.
    pub(super) readings: Readings,
    pub(super) disk: Disk,
    pub(super) turns: usize,
    settings: Settings,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Good,
    Refuses,
}

pub(super) fn name(text: &str) -> JobName {
    text.parse().unwrap()
}

pub(super) fn plan(definition: &str) -> Plan {
    let cronjob = CronJob::parse(&text::parse(definition).unwrap(), &text::FieldMap::new()).unwrap();
    let zone = Zone::named("UTC").unwrap();
    let calendar = Calendar::new(&cronjob.schedule, cronjob.time_zone.as_deref(), &zone).unwrap();
    Plan::new(&cronjob, calendar, Revision::of(definition))
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_settings(Settings { agent: name("pi"), max_runs: 4, clock_wait: Duration::ZERO })
    }

    pub(super) fn with_settings(settings: Settings) -> Self {
        let now = Now { wall: MIDNIGHT, boot: BootTime::from_millis(1_000_000), clock: Clock::Synced };
        let boot = Id128([1; 16]);
        let mut effects = Effects::default();
        let core = Scheduler::restore(settings.clone(), &Image::default(), [], boot, now, &mut effects);
        assert!(effects.entries.is_empty());
        Self {
            now,
            boot,
            core,
            image: Image::default(),
            texts: BTreeMap::new(),
            running: BTreeMap::new(),
            starts: Vec::new(),
            records: Vec::new(),
            events: Vec::new(),
            replies: Vec::new(),
            stops: Vec::new(),
            checks: Vec::new(),
            readings: Readings::default(),
            disk: Disk::Good,
            turns: 0,
            settings,
        }
    }

    pub(super) fn define(&mut self, job: &str, fields: &str) {
        let text = format!("{{\"command\":\"true\",{fields}}}");
        self.texts.insert(name(job), text.clone());
        self.turn([Event::Define { job: name(job), plan: plan(&text) }]);
    }

    pub(super) fn remove(&mut self, job: &str) {
        self.texts.remove(&name(job));
        self.turn([Event::Remove { job: name(job) }]);
    }

    /// One turn and all that it brings about at once.
    pub(super) fn turn(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut next: Vec<Event> = events.into_iter().collect();
        for _ in 0..100 {
            let mut effects = Effects::default();
            for event in next.drain(..) {
                self.core.step(self.now, event, &mut effects);
            }
            self.core.close(self.now, &mut effects);
            self.turns += 1;
            next = self.commit(effects);
            if next.is_empty() {
                return;
            }
        }
        panic!("a hundred turns at one instant");
    }

    /// Commits a turn, then acts.
    fn commit(&mut self, effects: Effects) -> Vec<Event> {
        if self.disk == Disk::Refuses && !effects.entries.is_empty() {
            let lost = effects.acts.iter().filter_map(|act| match act {
                // An intent that no disk took.
                Act::Start(start) if self.in_entries(&effects.entries, start.run) => {
                    Some(Event::NotStored { run: start.run })
                }
                _ => None,
            });
            let lost: Vec<Event> = lost.collect();
            let in_entries: Vec<RunId> = effects.entries.iter().filter_map(intent_run).collect();
            self.take(&effects.entries);
            let acts = effects.acts.into_iter();
            let rest =
                acts.filter(|act| !matches!(act, Act::Start(start) if in_entries.contains(&start.run)));
            let mut next = self.act(rest.collect());
            next.extend(lost);
            return next;
        }
        for entry in &effects.entries {
            self.image.apply(entry);
        }
        self.take(&effects.entries);
        self.act(effects.acts)
    }

    fn in_entries(&self, entries: &[Entry], run: RunId) -> bool {
        entries.iter().filter_map(intent_run).any(|of| of == run)
    }

    fn take(&mut self, entries: &[Entry]) {
        for entry in entries {
            match entry {
                Entry::Record(record) => self.records.push((**record).clone()),
                Entry::Event(event) => self.events.push(event.kind.clone()),
                _ => {}
            }
        }
    }

    fn act(&mut self, acts: Vec<Act>) -> Vec<Event> {
        let mut next = Vec::new();
        for act in acts {
            match act {
                Act::Start(start) => {
                    next.push(Event::Started { run: start.run, pid: 1 });
                    self.starts.push(start.clone());
                    self.running.insert(start.run, start);
                }
                Act::Stop { run } => self.stops.push(run),
                Act::Probe(_) => next.push(Event::Readings(self.readings.clone())),
                Act::Check { run, .. } => self.checks.push(run),
                Act::Answer { reply, .. } => self.replies.push(reply),
                Act::Clear { .. } => {}
            }
        }
        next
    }

    /// Time passes, wake by wake as the core asks for it.
    pub(super) fn pass(&mut self, secs: u64) {
        let end = self.now.boot.plus(Duration::from_secs(secs));
        for _ in 0..200_000 {
            let wake = self.core.wake(self.now).map(|at| self.now.boot.plus(at.since(self.now.wall)));
            match wake.filter(|at| *at < end) {
                Some(at) => self.move_to(at),
                None => {
                    self.move_to(end);
                    self.turn([]);
                    return;
                }
            }
            self.turn([]);
        }
        panic!("the core never sleeps: {:?}", self.core.wake(self.now));
    }

    fn move_to(&mut self, at: BootTime) {
        let by = at.since(self.now.boot);
        self.now = Now { wall: self.now.wall.plus(by), boot: at, ..self.now };
    }

    pub(super) fn end(&mut self, run: RunId, how: How) {
        assert!(self.running.remove(&run).is_some(), "run {run} is not going on");
        self.turn([Event::Ended { run, end: end(how) }]);
    }

    /// Ends all that runs, with exit code 0.
    pub(super) fn end_all(&mut self) {
        while let Some(run) = self.running.keys().next().copied() {
            self.end(run, How::Exited(0));
        }
    }

    pub(super) fn only_run(&self) -> RunId {
        assert_eq!(self.running.len(), 1, "{:?}", self.running);
        *self.running.keys().next().unwrap()
    }

    pub(super) fn run(&mut self, job: &str, id: &str) {
        let id: CommandId = id.parse().unwrap();
        self.turn([Event::Run { job: name(job), id, force: Force::No, ask: AskId(0) }]);
    }

    /// The agent is killed and starts again at once: the core comes back from the image.
    pub(super) fn crash(&mut self) {
        self.crash_with(Vec::new());
    }

    /// The same, in which `first` is what the shell finds out about open intents.
    pub(super) fn crash_with(&mut self, first: Vec<Event>) {
        let plans: Vec<_> = self.texts.iter().map(|(job, text)| (job.clone(), plan(text))).collect();
        let mut effects = Effects::default();
        self.core =
            Scheduler::restore(self.settings.clone(), &self.image, plans, self.boot, self.now, &mut effects);
        assert_eq!(effects.entries, []);
        self.turn(first);
    }

    /// A power cut: another boot, runs are gone, time has passed.
    pub(super) fn power_cut(&mut self, off_secs: u64) {
        self.now.wall = self.now.wall.plus(Duration::from_secs(off_secs));
        self.now.boot = BootTime::from_millis(20_000);
        self.boot = Id128([self.boot.0[0] + 1; 16]);
        self.running.clear();
        let open = self.image.intents.values().map(|open| open.intent.run);
        let first = open.map(|run| Event::Ended { run, end: end(How::PowerCut) }).collect();
        self.crash_with(first);
    }

    /// `(due - midnight, outcome, reason, covers.count)` of each final record of a job, in order.
    pub(super) fn finals(&self, job: &str) -> Vec<String> {
        let finals = self.records.iter().filter(|record| record.last && record.key.job == name(job));
        finals.map(short).collect()
    }

    pub(super) fn started_dues(&self, job: &str) -> Vec<i64> {
        let starts = self.starts.iter().filter(|start| start.key.job == name(job));
        starts.map(|start| start.due.secs() - MIDNIGHT.secs()).collect()
    }
}

fn intent_run(entry: &Entry) -> Option<RunId> {
    if let Entry::Intent(intent) = entry { Some(intent.run) } else { None }
}

pub(super) fn end(how: How) -> RunEnd {
    RunEnd::without_result(how)
}

fn short(record: &Record) -> String {
    let due = match record.key.fire {
        Fire::Scheduled { due, .. } => (due.secs() - MIDNIGHT.secs()).to_string(),
        Fire::Reboot { .. } => "boot".to_owned(),
        Fire::Manual { ref id } => id.to_string(),
    };
    let outcome = format!("{:?}", record.outcome).to_lowercase();
    let reason = record.reason.map_or(String::new(), |reason| format!("({reason:?})").to_lowercase());
    let covers = record.covers.map_or(String::new(), |covers| format!(" x{}", covers.count));
    format!("{due} {outcome}{reason}{covers}")
}
