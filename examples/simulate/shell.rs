//! The loop of the agent, as `src/agent` has it: start, turn, commit, act.

use leafcron::agent::calendars::Calendars;
use leafcron::agent::link::results::{FactSender, Results};
use leafcron::agent::turns::{Retry, Turns, weight};
use leafcron::catalog::{AgentUser, Catalog, Centre, Change, Changes, Rules};
use leafcron::config::SendOutput;
use leafcron::job::{DeviceEvent, Entry, EventKind, Id128, Image, OpenIntent, Record};
use leafcron::schedule::Zone;
use leafcron::scheduler::{Effects, Event, How, Plan, RunEnd, Scheduler, Settings};
use leafcron::store::{Durability, Journal, Options, Outbox, Recovered, Unsent};

use crate::model::GROUPS;
use crate::process::{Link, Process};
use crate::runs::Over;
use crate::world::{Coming, Fall, Kind, SECOND, World};

/// A turn is cut beyond this weight, as in the agent.
const TURN_BYTES: usize = 128 * 1024;
/// Before a disk that refused is asked again.
const DISK_AGAIN: core::time::Duration = core::time::Duration::from_secs(10);
/// Turns at one instant before it counts as a circle.
const TURNS: usize = 2_000;

impl World {
    fn options(&self) -> Options {
        let Kind { disk_bytes, history, .. } = self.kind;
        Options {
            disk_bytes,
            history,
            fresh_epoch: Id128([0xE0; 16]),
            machine: Vec::new(),
            now: self.now(),
            unsent: Unsent::Kept,
        }
    }

    pub(crate) fn start_agent(&mut self) {
        let (mut journal, recovered) = match Journal::open(self.disk.clone(), self.options()) {
            Ok(opened) => opened,
            Err(error) => {
                self.tell(|| format!("* the agent does not start: {}", error.chain()));
                self.later(5 * SECOND, Coming::Start);
                return self.look_for_fall();
            }
        };
        let Recovered { mut image, epoch, next_seq, durable, notes, .. } = recovered;
        if self.look_for_fall_with(&mut journal) {
            return;
        }
        if !self.look_back(&image, epoch, next_seq, &notes) {
            drop(journal);
            return self.look_for_fall();
        }
        self.tell(|| format!("* the agent starts; {next_seq} is the next number, noted: {notes:?}"));
        let rules = Rules {
            defaults: leafcron::job::FieldMap::new(),
            zone: Zone::named(self.kind.device_zone),
            user: AgentUser::Root { exists: |_| true },
            groups: GROUPS.iter().map(|group| group.parse().expect("a name")).collect(),
            centre: Some(Centre { users: vec!["job".to_owned()] }),
        };
        let mut catalog = Catalog::new(rules);
        catalog.restore(core::mem::take(&mut image.definitions));
        catalog.remember(core::mem::take(&mut image.orphans), image.bucket.take());
        let settings = Settings {
            agent: "pi".parse().expect("a name"),
            max_runs: self.kind.max_runs,
            clock_wait: core::time::Duration::from_millis(self.kind.clock_wait),
            released: leafcron::job::WallTime::from_millis(0),
        };
        let plans: Vec<_> =
            catalog.jobs().filter_map(|(job, _)| Some((job.clone(), plan(&catalog, job)?))).collect();
        let mut turn = Effects::default();
        let core = Scheduler::restore(settings, &image, plans, self.boot, self.now(), &mut turn);
        let sender = FactSender {
            agent: "pi".parse().expect("a name"),
            prefix: "leafcron".parse().expect("a name"),
            send_output: SendOutput::All,
        };
        let outbox = Outbox::new(self.disk.clone(), epoch);
        let results = Results::new(sender, epoch, outbox, image.acked, durable, next_seq - 1);
        self.generations += 1;
        self.entries_seen = 0;
        self.agent = Some(Process {
            core,
            catalog,
            journal,
            turns: Turns::bounded(self.kind.carried_bytes),
            turn,
            events: std::collections::VecDeque::new(),
            results,
            disk_again: None,
            writing: None,
            trouble: String::new(),
            asks: std::collections::BTreeMap::new(),
            last_ask: 0,
            stopping: false,
            link: Link::default(),
            deaf: false,
            generation: self.generations,
        });
        let damaged =
            notes.iter().any(|note| matches!(note, EventKind::Damaged { .. } | EventKind::Newer { .. }));
        notes.into_iter().for_each(|note| self.note(note));
        self.note(EventKind::Started { version: "simulated".to_owned() });
        self.find_runs(&image, damaged);
        self.reload();
        if let Some(agent) = &mut self.agent {
            let left = agent.catalog.leave_groups();
            self.bring_in_force(&left);
        }
        if image.boot != Some(self.boot) {
            self.first_start();
        }
        self.start_link();
    }

    /// What the journal says now, against what was acknowledged; unless the power goes while it is read.
    fn look_back(&mut self, image: &Image, epoch: Id128, next_seq: u64, notes: &[EventKind]) -> bool {
        let known = self.model.next_seq() - 1;
        let through = next_seq.saturating_sub(1);
        let read = || Outbox::new(self.disk.clone(), epoch).read(known, through, usize::MAX, usize::MAX);
        // One operation may be about to fail: it is not what is judged here.
        let found = read().or_else(|_| read());
        if self.disk.is_off() {
            return false;
        }
        let found: Vec<Entry> = found.unwrap_or_default().into_iter().map(|(_, fact)| fact).collect();
        self.model.recovered(image, next_seq, notes, &found);
        true
    }

    fn first_start(&mut self) {
        let boot = self.boot;
        // What was refused or is not read yet is not in force.
        self.model_turn();
        self.model.boots(boot);
        self.step(Event::Booted { boot });
    }

    fn find_runs(&mut self, image: &Image, damaged: bool) {
        let Some(agent) = &mut self.agent else { return };
        if let Some(last) = self.runs.dirs.keys().chain(self.runs.checks.keys()).max() {
            agent.core.skip_runs(*last);
        }
        for open in image.intents.values() {
            let event = self.find_run(open, damaged);
            self.step(event);
        }
        let known = |run| image.intents.values().any(|open| open.intent.run == run);
        self.runs.dirs.retain(|run, of| known(*run) || of.over.is_none());
        let nobodys =
            self.runs.dirs.iter().find(|(run, _)| !known(**run)).map(|(run, of)| (*run, of.job.clone()));
        if let Some((run, job)) = nobodys {
            // Its intent was never taken by any disk, or its record is durable and it goes on all the same.
            self.tell(|| format!("{job}: run {run} is nobody's, and is ended"));
            self.runs.dirs.retain(|run, _| known(*run));
        }
        self.runs.checks.clear();
    }

    fn find_run(&mut self, open: &OpenIntent, damaged: bool) -> Event {
        let run = open.intent.run;
        let ended = |end| Event::Ended { run, end };
        if open.intent.boot != self.boot {
            return ended(RunEnd::without_result(How::PowerCut));
        }
        match self.runs.dirs.get(&run).map(|run| &run.over) {
            Some(None) => Event::Started { run, pid: 1 },
            Some(Some(Over::Result(end))) => ended(end.clone()),
            Some(Some(Over::Lost)) => ended(RunEnd::without_result(How::RunnerLost)),
            Some(Some(Over::NeverBegan)) | None if damaged => ended(RunEnd::without_result(How::RunnerLost)),
            Some(Some(Over::NeverBegan)) | None => Event::NeverStarted { run },
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let now = self.now();
        if let Some(agent) = &mut self.agent {
            agent.core.step(now, event, &mut agent.turn);
        }
    }

    pub(crate) fn note(&mut self, kind: EventKind) {
        let now = self.now();
        self.tell(|| format!("  noted: {kind:?}"));
        if let Some(agent) = &mut self.agent {
            agent.turn.entries.push(Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind }));
        }
    }

    /// Turns, until nothing is left to be done at this instant.
    pub(crate) fn turn_over(&mut self) {
        for _ in 0..TURNS {
            if self.look_for_fall_now() || self.agent.is_none() || !self.is_well() {
                return;
            }
            let more = self.end_turn();
            if self.look_for_fall_now() {
                return;
            }
            let Some(agent) = &mut self.agent else { return };
            if agent.stopping
                && (agent.turns.is_empty() || agent.disk_again.is_some())
                && agent.writing.is_none()
            {
                return self.agent_stopped();
            }
            if agent.events.is_empty() && !more {
                return;
            }
            while let Some(event) = self.agent.as_mut().and_then(|agent| agent.events.pop_front()) {
                self.step(event);
            }
        }
        self.model.blame(format!("rest: {TURNS} turns at one instant"));
    }

    /// Whether a batch was answered in it.
    fn end_turn(&mut self) -> bool {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return false };
        agent.core.close(now, &mut agent.turn);
        let note = agent.results.take_note();
        agent.turn.entries.extend(note);
        self.close_turn();
        let Some(agent) = &mut self.agent else { return false };
        let acts = agent.turns.free_acts();
        self.act(acts);
        let answered = self.submit();
        self.tend_link();
        answered
    }

    /// The turn goes into the queue.
    fn close_turn(&mut self) {
        self.model_turn();
        if let Some(agent) = &mut self.agent {
            self.entries_seen = 0;
            agent.turns.push(core::mem::take(&mut agent.turn));
        }
    }

    /// The model sees what of the turn it has not seen yet.
    pub(crate) fn model_turn(&mut self) {
        let now = self.now();
        let Some(agent) = &self.agent else { return };
        let new = &agent.turn.entries[self.entries_seen..];
        self.entries_seen = agent.turn.entries.len();
        self.story.tell_entries(now, new);
        self.model.closed(now, new, &self.desk);
    }

    fn submit(&mut self) -> bool {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return false };
        let waits = agent.disk_again.is_some_and(|at| now.boot < at);
        let retry = if waits { Retry::NotYet } else { Retry::Due };
        let trouble = &agent.trouble;
        let note = |count| {
            let kind = EventKind::Unrecorded { count, why: trouble.clone() };
            Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind })
        };
        let Some(batch) = agent.turns.next_batch(retry, note) else { return false };
        agent.writing = Some(batch);
        if self.luck.one_in(4) {
            let (generation, takes) = (self.generations, self.luck.wait(4_000));
            self.later(takes, Coming::Written { generation });
            return false;
        }
        self.write();
        true
    }

    /// The writer's thread: commits the batch, answers, and tidies up.
    pub(crate) fn write(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let Some((entries, durability)) = agent.writing.take() else { return };
        let outcome = agent.journal.commit(&entries, durability);
        if self.look_for_fall_after(&entries) {
            return;
        }
        match outcome {
            Ok(committed) => self.written(committed.first_seq, &entries, durability),
            Err(error) => self.refused(entries, &error.chain()),
        }
        if self.fallen.is_some() {
            return;
        }
        let Some(agent) = &mut self.agent else { return };
        if let Err(error) = agent.journal.tidy() {
            let now = self.now();
            self.story.tell(now, || format!("  the journal is not compacted: {}", error.chain()));
        }
        let Some(agent) = &mut self.agent else { return };
        let notes = agent.journal.take_notes();
        notes.into_iter().for_each(|note| self.note(note));
        self.model.check_disk(&self.disk, self.kind.disk_bytes);
        self.look_for_fall();
    }

    fn written(&mut self, first_seq: u64, entries: &[Entry], durability: Durability) {
        self.model.stored(first_seq, entries);
        let numbered =
            entries.iter().filter(|entry| matches!(entry, Entry::Record(_) | Entry::Event(_))).count();
        self.tell(|| {
            format!(
                "  durable: {} entries, {numbered} of them from {first_seq} on ({durability:?})",
                entries.len()
            )
        });
        let Some(agent) = &mut self.agent else { return };
        if agent.disk_again.take().is_some() {
            self.disk_takes_again();
        }
        let Some(agent) = &mut self.agent else { return };
        agent.results.durable((first_seq + numbered as u64).saturating_sub(1), entries);
        let acts = agent.turns.committed();
        self.act(acts);
    }

    fn disk_takes_again(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        if agent.deaf {
            self.link_dies("it has to read the definitions again");
        }
    }

    fn refused(&mut self, entries: Vec<Entry>, why: &str) {
        self.tell(|| format!("  refused by the disk: {} entries: {why}", entries.len()));
        let again = self.now().boot.plus(DISK_AGAIN);
        self.model.unsure(entries.clone());
        let Some(agent) = &mut self.agent else { return };
        agent.disk_again = Some(again);
        let before = agent.turns.unrecorded;
        let tells = |entry: &Entry| matches!(entry, Entry::Event(event) if matches!(event.kind, EventKind::Unrecorded { .. }));
        let facts: Vec<Entry> =
            entries.iter().filter(|entry| is_fact(entry) && !tells(entry)).cloned().collect();
        let calendars = Calendars::new(&agent.catalog);
        let adjacent = |earlier: &Record, later: &Record| calendars.are_adjacent(earlier, later);
        let leftover = agent.turns.refused(entries, why, &adjacent);
        let given_up = agent.turns.unrecorded - before;
        self.model.is_carried(&facts, agent.turns.carried(), given_up, self.kind.carried_bytes);
        agent.trouble = why.to_owned();
        agent.events.extend(leftover.events);
        self.act(leftover.acts);
    }

    /// Reads the jobs directory again.
    pub(crate) fn reload(&mut self) {
        let files = self.desk.read();
        self.model_turn();
        let before = self.model.held().clone();
        let Some(agent) = &mut self.agent else { return };
        let known = agent.catalog.refused();
        let changes = agent.catalog.load_files(files);
        let news: Vec<_> = changes.rejected.iter().filter(|row| !known.contains(row)).cloned().collect();
        for row in news {
            let job = row.job.as_ref().and_then(|job| job.parse().ok());
            self.note(EventKind::Refused { job, source: row.origin, reason: row.reason.clone() });
        }
        self.bring_in_force(&changes);
        self.model_turn();
        self.model.files_read(&self.desk, &before);
        self.check_in_force();
    }

    /// The catalog's word against the model's.
    pub(crate) fn check_in_force(&mut self) {
        let Some(agent) = &self.agent else { return };
        let wrong = self.desk.jobs.iter().find_map(|job| {
            let found = agent.catalog.in_force(job).map(|in_force| in_force.text);
            let expected = self.model.in_force(job).map(|definition| definition.text.as_str());
            (found != expected)
                .then(|| format!("catalog: in force for {job} is {found:?}, and not {expected:?}"))
        });
        wrong.into_iter().for_each(|why| self.model.blame(why));
    }

    /// As the agent does: what follows from the new texts first, then the texts.
    pub(crate) fn bring_in_force(&mut self, changes: &Changes) {
        for Change { job, .. } in &changes.changed {
            let text = self.agent.as_ref().and_then(|agent| agent.catalog.in_force(job)).map(|now| now.text);
            self.model.will_count(job, text);
        }
        for Change { job, now } in &changes.changed {
            let Some(agent) = &self.agent else { return };
            let plan = now.and_then(|_| plan(&agent.catalog, job));
            let job = job.clone();
            self.step(match plan {
                Some(plan) => Event::Define { job, plan },
                None => Event::Remove { job },
            });
            self.cut_turn();
        }
        for entry in &changes.entries {
            let Some(agent) = &mut self.agent else { return };
            agent.turn.entries.push(entry.clone());
            self.cut_turn();
        }
        self.model_turn();
        self.model.counts();
    }

    fn cut_turn(&mut self) {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return };
        if weight(&agent.turn.entries) >= TURN_BYTES {
            agent.core.close(now, &mut agent.turn);
            self.close_turn();
        }
    }

    fn agent_stopped(&mut self) {
        self.tell(|| "* the agent has stopped in good order".to_owned());
        // What the disk refused to the last is lost with it.
        self.agent = None;
        self.runs.checks.clear();
        let wait = self.luck.wait(20 * SECOND);
        self.later(wait, Coming::Start);
    }

    fn look_for_fall_now(&mut self) -> bool {
        self.look_for_fall();
        match self.fallen.take() {
            Some(fall) => {
                self.falls(fall);
                true
            }
            None => false,
        }
    }

    fn look_for_fall(&mut self) {
        if self.disk.is_off() && self.fallen.is_none() {
            self.fallen = Some(self.armed.take().unwrap_or(Fall::PowerCut));
        }
    }

    /// Whether the disk died while the journal was opened: nobody has read it then.
    fn look_for_fall_with(&mut self, _journal: &mut Journal<leafcron::store::MemDisk>) -> bool {
        self.look_for_fall();
        self.fallen.is_some()
    }

    /// Whether it died while these were written.
    fn look_for_fall_after(&mut self, entries: &[Entry]) -> bool {
        self.look_for_fall();
        if self.fallen.is_some() {
            self.model.unsure(entries.to_vec());
        }
        self.fallen.is_some()
    }
}

fn is_fact(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(_) | Entry::Event(_))
}

fn plan(catalog: &Catalog, job: &leafcron::job::JobName) -> Option<Plan> {
    let revision = catalog.in_force(job)?.revision;
    let cronjob = catalog.cronjob(job)?;
    Some(Plan::new(&cronjob, catalog.calendar(&cronjob).ok()?, revision))
}
