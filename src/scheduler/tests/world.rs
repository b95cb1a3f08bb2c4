//! A device in virtual time: the core, the image that its entries add up to, and runs that end when the test says so.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::gate::Pressed;
use crate::job::{
    BootId, BootTime, Clock, CommandId, CronJob, Entry, Eras, EventKind, Fire, Id128, Image, JobName, Now,
    Readings, Record, Refusal, RefusalKind, Reply, Revision, RunId, Source, WallTime, text,
};
use crate::schedule::{Calendar, Zone};
use crate::scheduler::{
    Act, AskId, Effects, Event, Failure, Force, How, Plan, RunEnd, Scheduler, Settings, Start,
};

/// 2026-11-22T00:00:00Z, a Sunday.
pub(super) const MIDNIGHT: WallTime = WallTime::from_secs(1_795_305_600);
/// 2026-11-01T00:00:00Z.
pub(super) const RELEASED: WallTime = WallTime::from_secs(1_793_491_200);

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
    /// Checks that have no answer yet.
    pub(super) checking: BTreeSet<RunId>,
    /// Failures that the jobs' own commands were told of.
    pub(super) told: Vec<Failure>,
    /// Those commands that go on.
    pub(super) alerting: BTreeMap<JobName, RunId>,
    /// Probes that have no answer yet, while `probes_wait`.
    pub(super) probing: usize,
    /// Probes are not answered at once, but by the test.
    pub(super) probes_wait: bool,
    /// What became durable and what was done, in order.
    pub(super) trace: Vec<Trace>,
    /// Which text a job's fires were due by, and when.
    pub(super) spans: BTreeMap<JobName, Vec<Span>>,
    /// What a probe reads.
    pub(super) readings: Readings,
    /// The pressure that is watched.
    pub(super) watched: Pressed,
    pub(super) disk: Disk,
    pub(super) turns: usize,
    settings: Settings,
    /// What the disk refused, turn by turn; it waits for the next one that the disk takes.
    carried: Vec<(WallTime, Vec<Entry>)>,
    /// Directories of runs whose record waits with it.
    clears: Vec<RunId>,
    /// Runs that ended and whose directory is still there: a restart finds it.
    ended: BTreeMap<RunId, How>,
}

/// Something that the outside saw.
#[derive(Debug, PartialEq)]
pub(super) enum Trace {
    /// These are durable from here on.
    Stored(Vec<Entry>),
    Started(RunId),
    Cleared(RunId),
    Answered(Reply),
}

/// A text in force: all that is due by it in `(from, to]` is owed.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) era: u32,
    pub(super) from: WallTime,
    /// `None`: it is still in force.
    pub(super) to: Option<WallTime>,
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

pub(super) fn settings(max_runs: usize, clock_wait: Duration) -> Settings {
    Settings { agent: name("pi"), max_runs, clock_wait, released: RELEASED }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_settings(settings(4, Duration::ZERO))
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
            checking: BTreeSet::new(),
            told: Vec::new(),
            alerting: BTreeMap::new(),
            probing: 0,
            probes_wait: false,
            trace: Vec::new(),
            spans: BTreeMap::new(),
            readings: Readings::default(),
            watched: Pressed::default(),
            disk: Disk::Good,
            turns: 0,
            settings,
            carried: Vec::new(),
            clears: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    pub(super) fn define(&mut self, job: &str, fields: &str) {
        let text = format!("{{\"command\":\"true\",{fields}}}");
        self.texts.insert(name(job), text.clone());
        let defined = Entry::Defined { job: name(job), source: source(), text: text.clone() };
        self.turn_with(vec![defined], [Event::Define { job: name(job), plan: plan(&text) }]);
    }

    pub(super) fn remove(&mut self, job: &str) {
        self.texts.remove(&name(job));
        let withdrawn = Entry::Withdrawn { job: name(job), source: source() };
        self.turn_with(vec![withdrawn], [Event::Remove { job: name(job) }]);
    }

    /// One turn and all that it brings about at once.
    pub(super) fn turn(&mut self, events: impl IntoIterator<Item = Event>) {
        self.turn_with(Vec::new(), events);
    }

    /// The same, in which the shell has `entries` of its own.
    fn turn_with(&mut self, entries: Vec<Entry>, events: impl IntoIterator<Item = Event>) {
        self.turn_on(Effects { entries, acts: Vec::new() }, events);
    }

    /// The same, in a turn that has begun.
    fn turn_on(&mut self, mut begun: Effects, events: impl IntoIterator<Item = Event>) {
        let mut next: Vec<Event> = events.into_iter().collect();
        for _ in 0..1_000 {
            let mut effects = core::mem::take(&mut begun);
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
        panic!("a thousand turns at one instant");
    }

    /// Commits a turn, then acts; what the disk refuses waits for the next turn that it takes, as in the agent.
    fn commit(&mut self, effects: Effects) -> Vec<Event> {
        let Effects { entries, acts } = effects;
        if entries.is_empty() {
            return self.act(acts);
        }
        if self.disk == Disk::Good {
            self.carried.push((self.now.wall, entries));
            self.store();
            return self.act(acts);
        }
        let unstored: BTreeSet<RunId> = entries.iter().filter_map(intent_run).collect();
        self.carried.push((self.now.wall, entries));
        let mut next = Vec::new();
        let mut rest = Vec::new();
        for act in acts {
            match act {
                // An intent that no disk took.
                Act::Start(start) if unstored.contains(&start.run) => {
                    next.push(Event::NotStored { run: start.run });
                }
                Act::Clear { run } => self.clears.push(run),
                Act::Answer { ask, .. } => {
                    let refusal = Refusal { kind: RefusalKind::Disk, message: String::new() };
                    rest.push(Act::Answer { ask, reply: Reply::Refused(refusal) });
                }
                act => rest.push(act),
            }
        }
        next.extend(self.act(rest));
        next
    }

    /// The disk takes again what it refused.
    pub(super) fn mend_disk(&mut self) {
        self.disk = Disk::Good;
        self.store();
    }

    fn store(&mut self) {
        for (wall, entries) in core::mem::take(&mut self.carried) {
            for entry in &entries {
                self.note_span(wall, entry);
                self.image.apply(entry);
                match entry {
                    Entry::Record(record) => self.records.push((**record).clone()),
                    Entry::Event(event) => self.events.push(event.kind.clone()),
                    _ => {}
                }
            }
            self.trace.push(Trace::Stored(entries));
        }
        for run in core::mem::take(&mut self.clears) {
            self.clear(run);
        }
    }

    fn note_span(&mut self, wall: WallTime, entry: &Entry) {
        let eras = self.image.eras.clone();
        match entry {
            Entry::Began { job, era, at } => {
                self.close_spans(job, *era, *at);
                // What is accepted while a main era stands still begins when that goes on.
                if *era != eras.main {
                    self.close_spans(job, eras.main, self.image.newest.unwrap_or(*at));
                }
                self.open_span(job, *era, *at);
            }
            Entry::Withdrawn { job, .. } => {
                let main = self.image.progress.get(job).map(|progress| progress.done_through);
                let stood = if eras.provisional.is_some() { self.image.newest } else { Some(wall) };
                self.close_spans(job, eras.main, main.max(stood).unwrap_or(wall));
                let through = self.image.provisional.get(job).map(|of| of.done_through);
                self.close_spans(job, eras.current(), through.map_or(wall, |through| through.max(wall)));
            }
            Entry::Eras(next) => self.turn_spans(&eras, next),
            _ => {}
        }
    }

    fn turn_spans(&mut self, old: &Eras, next: &Eras) {
        let jobs: Vec<JobName> = self.image.definitions.keys().map(|(job, _)| job.clone()).collect();
        for job in self.spans.keys().chain(&jobs).cloned().collect::<BTreeSet<_>>() {
            let provisional = self.image.provisional.get(&job).copied();
            if let (Some(over), Some(of)) = (old.provisional, provisional) {
                self.close_spans(&job, over.era, next.until.unwrap_or(of.done_through));
            }
            if next.main != old.main {
                let until = if old.provisional.is_some() { self.image.newest } else { next.until };
                self.close_spans(&job, old.main, until.unwrap_or_default());
            }
            if !jobs.contains(&job) {
                continue;
            }
            let stands = self.image.progress.get(&job).map(|progress| progress.done_through);
            if next.provisional.is_some() || next.main != old.main {
                self.open_span(&job, next.current(), next.at);
            } else if provisional.is_some_and(|of| of.anew) {
                self.open_span(&job, next.main, stands.max(Some(next.begins())).unwrap_or_default());
            }
        }
    }

    fn open_span(&mut self, job: &JobName, era: u32, from: WallTime) {
        let text = self.image.definitions.get(&(job.clone(), source())).cloned();
        if let Some(text) = text {
            self.spans.entry(job.clone()).or_default().push(Span { text, era, from, to: None });
        }
    }

    fn close_spans(&mut self, job: &JobName, era: u32, to: WallTime) {
        let spans = self.spans.entry(job.clone()).or_default().iter_mut();
        for span in spans.filter(|span| span.era == era && span.to.is_none()) {
            span.to = Some(to);
        }
    }

    fn clear(&mut self, run: RunId) {
        self.ended.remove(&run);
        self.trace.push(Trace::Cleared(run));
    }

    fn act(&mut self, acts: Vec<Act>) -> Vec<Event> {
        let mut next = Vec::new();
        for act in acts {
            match act {
                Act::Start(start) => {
                    next.push(Event::Started { run: start.run, pid: 1 });
                    self.trace.push(Trace::Started(start.run));
                    self.starts.push(start.clone());
                    self.running.insert(start.run, start);
                }
                Act::Stop { run } => self.stops.push(run),
                Act::Probe(_) if self.probes_wait => self.probing += 1,
                Act::Probe(_) => next.push(Event::Readings(self.readings.clone())),
                Act::Watch(pressed) => self.watched = pressed,
                Act::Check { run, .. } => {
                    self.checks.push(run);
                    self.checking.insert(run);
                }
                Act::Answer { reply, .. } => {
                    self.trace.push(Trace::Answered(reply.clone()));
                    self.replies.push(reply);
                }
                Act::OnFailure(failure) => {
                    let busy = self.alerting.insert(failure.key.job.clone(), failure.run);
                    assert_eq!(busy, None, "one at a time: {failure:?}");
                    self.told.push(failure);
                }
                Act::Clear { run } => self.clear(run),
            }
        }
        next
    }

    /// Answers a probe, with what is to be read now.
    pub(super) fn answer_probe(&mut self) {
        self.probing = self.probing.checked_sub(1).unwrap();
        self.turn([Event::Readings(self.readings.clone())]);
    }

    /// Answers the oldest check that goes on.
    pub(super) fn check(&mut self, passed: bool) {
        if let Some(run) = self.checking.pop_first() {
            self.turn([Event::Checked { run, passed }]);
        }
    }

    /// Ends the command of a job that was told of a failure.
    pub(super) fn end_alert(&mut self) {
        if let Some((_, run)) = self.alerting.pop_first() {
            self.turn([Event::OnFailureEnded { run }]);
        }
    }

    /// Time passes, wake by wake as the core asks for it.
    pub(super) fn pass(&mut self, secs: u64) {
        let end = self.now.boot.plus(Duration::from_secs(secs));
        let mut sleepless = 0;
        while sleepless < 5 {
            let wake = self.core.wake(self.now).map(|at| self.now.boot.plus(at.since(self.now.wall)));
            sleepless = if wake == Some(self.now.boot) { sleepless + 1 } else { 0 };
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

    /// Somebody sets the clock.
    pub(super) fn set(&mut self, wall: WallTime, clock: Clock) {
        (self.now.wall, self.now.clock) = (wall, clock);
        self.turn([]);
    }

    /// The machine sleeps: nothing is looked at.
    pub(super) fn suspend(&mut self, secs: u64) {
        self.move_to(self.now.boot.plus(Duration::from_secs(secs)));
        self.turn([]);
    }

    fn move_to(&mut self, at: BootTime) {
        let by = at.since(self.now.boot);
        self.now = Now { wall: self.now.wall.plus(by), boot: at, ..self.now };
    }

    pub(super) fn end(&mut self, run: RunId, how: How) {
        assert!(self.running.remove(&run).is_some(), "run {run} is not going on");
        self.ended.insert(run, how.clone());
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
        self.turn([Event::Run { job: name(job), command: id.into(), force: Force::No, ask: AskId(0) }]);
    }

    /// The agent is killed and starts again at once: the core comes back from the image.
    pub(super) fn crash(&mut self) {
        self.crash_with(Vec::new());
    }

    /// The same, in which `first` is what the shell finds out about open intents.
    pub(super) fn crash_with(&mut self, first: Vec<Event>) {
        let defined = self.image.definitions.iter();
        let plans: Vec<_> = defined.map(|((job, _), text)| (job.clone(), plan(text))).collect();
        // Memory is gone, and with it what no disk took.
        self.carried.clear();
        self.clears.clear();
        self.checking.clear();
        self.alerting.clear();
        self.probing = 0;
        let known: Vec<RunId> = self.image.intents.values().map(|open| open.intent.run).collect();
        self.running.retain(|run, _| known.contains(run));
        let mut effects = Effects::default();
        self.core =
            Scheduler::restore(self.settings.clone(), &self.image, plans, self.boot, self.now, &mut effects);
        self.turn_on(effects, first);
        self.reload();
    }

    /// What the shell finds out about open intents, as it does after a restart in the same boot.
    pub(super) fn found(&self) -> Vec<Event> {
        let runs = self.image.intents.values().map(|open| open.intent.run);
        let found = runs.map(|run| match self.ended.get(&run) {
            Some(how) => Event::Ended { run, end: end(how.clone()) },
            None if self.running.contains_key(&run) => Event::Started { run, pid: 1 },
            None => Event::NeverStarted { run },
        });
        found.collect()
    }

    /// Definitions that changed and that no disk took come in force again.
    fn reload(&mut self) {
        let stored =
            |world: &Self, job: &JobName| world.image.definitions.get(&(job.clone(), source())).cloned();
        for (job, text) in self.texts.clone() {
            if stored(self, &job).as_ref() != Some(&text) {
                let defined = Entry::Defined { job: job.clone(), source: source(), text: text.clone() };
                self.turn_with(vec![defined], [Event::Define { job, plan: plan(&text) }]);
            }
        }
        let stored_jobs = self.image.definitions.keys().map(|(job, _)| job);
        let gone: Vec<JobName> = stored_jobs.filter(|job| !self.texts.contains_key(*job)).cloned().collect();
        for job in gone {
            let withdrawn = Entry::Withdrawn { job: job.clone(), source: source() };
            self.turn_with(vec![withdrawn], [Event::Remove { job }]);
        }
    }

    /// A power cut: another boot, runs are gone, time has passed.
    pub(super) fn power_cut(&mut self, off_secs: u64) {
        self.boot_at(self.now.wall.plus(Duration::from_secs(off_secs)), self.now.clock);
    }

    /// The same, and the clock shows something.
    pub(super) fn boot_at(&mut self, wall: WallTime, clock: Clock) {
        (self.now.wall, self.now.clock) = (wall, clock);
        self.now.boot = BootTime::from_millis(20_000);
        self.boot = Id128([self.boot.0[0] + 1; 16]);
        self.running.clear();
        let open = self.image.intents.values().map(|open| open.intent.run);
        let how = |run| self.ended.get(&run).cloned().unwrap_or(How::PowerCut);
        let first = open.map(|run| Event::Ended { run, end: end(how(run)) }).collect();
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

fn source() -> Source {
    Source::File("jobs".to_owned())
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
