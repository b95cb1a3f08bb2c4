//! The one place that answers a [`Request`]. What only reads is answered at once from what is in memory; what changes
//! something goes through the core and is answered when it is durable.

use core::fmt;

use smol::channel::Sender;

use crate::job::{
    CommandId, CommandMark, DeviceEvent, Entry, EventJson, Fire, JobName, JobRow, JobShown, JournalStatus,
    RecordJson, Refusal, RefusalKind, Reply, Request, Source, Status, WallTime,
};
use crate::scheduler::{Act, AskId, Event, Force};
use crate::store::{self, RealDisk, StoreError};

use super::{Agent, beside, chain, send};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A user of this machine.
    User(u32),
    /// The centre, which may send the same until then.
    Centre {
        /// The command's `not_after`.
        until: Option<WallTime>,
    },
}

impl Asker {
    fn mark(self, id: CommandId) -> CommandMark {
        let until = match self {
            Self::User(_) => None,
            Self::Centre { until } => until,
        };
        CommandMark { id, until }
    }
}

/// As a record says it.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid {uid}"),
            Self::Centre { .. } => f.write_str("centre"),
        }
    }
}

impl Agent {
    /// A request has come in; `reply` is dropped when nothing more will be said.
    pub(super) fn asked(&mut self, request: Request, asker: Asker, reply: Sender<Reply>) {
        match request {
            Request::List {} => {
                send(&reply, Reply::Jobs(self.catalog.jobs().map(|(job, _)| self.row(job)).collect()))
            }
            Request::Show { job } => send(&reply, self.show(&job)),
            Request::Status {} => send(&reply, Reply::Status(Box::new(self.status()))),
            Request::Doctor {} => self.doctor(reply),
            Request::History { job, limit } => self.history(job, limit, reply),
            Request::Logs { job, run, from, follow } => self.logs(job, run, from, follow, reply),
            Request::Events { limit } => self.events(limit, reply),
            Request::Reload {} => {
                // Answered once what was accepted is durable.
                let reloaded = Reply::Reloaded(self.reload_asked());
                let ask = self.ask(reply);
                self.turn.acts.push(Act::Answer { ask, reply: reloaded });
            }
            Request::Remove { job } => {
                // Answered once that is durable.
                let removed = self.remove_orphan(&job);
                let ask = self.ask(reply);
                self.turn.acts.push(Act::Answer { ask, reply: removed });
            }
            Request::Run { job, id, force, wait } => {
                let Some(id) = id.or_else(|| self.fresh_command()) else {
                    let message = "no id could be made for this command";
                    return send(&reply, refused(RefusalKind::Conflict, message));
                };
                self.run(job, asker.mark(id), force, wait, reply);
            }
            Request::Stop { job, id } => {
                let (ask, command) = (self.ask(reply), id.map(|id| asker.mark(id)));
                self.step(Event::Stop { job, by: asker.to_string(), command, ask });
            }
            Request::EndRuns {} => {
                log::info!("the machine goes down: every run is told to end, and none is started");
                let ask = self.ask(reply);
                self.step(Event::EndRuns { by: format!("machine shutdown ({asker})"), ask });
            }
            Request::Pause { job, id } => {
                let (ask, command) = (self.ask(reply), id.map(|id| asker.mark(id)));
                self.step(Event::Pause { job, command, ask });
            }
            Request::Resume { job, id } => {
                let (ask, command) = (self.ask(reply), id.map(|id| asker.mark(id)));
                self.step(Event::Resume { job, command, ask });
            }
        }
    }

    fn ask(&mut self, reply: Sender<Reply>) -> AskId {
        self.last_ask += 1;
        let ask = AskId(self.last_ask);
        self.asks.insert(ask, reply);
        ask
    }

    fn run(&mut self, job: JobName, command: CommandMark, force: bool, wait: bool, reply: Sender<Reply>) {
        let id = command.id.clone();
        if wait {
            if self.waiters.contains_key(&id) {
                return send(&reply, refused(RefusalKind::Busy, "somebody waits for this command already"));
            }
            self.waiters.retain(|_, waiter| !waiter.is_closed());
            self.waiters.insert(id.clone(), reply.clone());
        }
        if wait && self.core.has_taken(&id) && !self.core.is_going_on(&id) && !self.is_on_its_way(&id) {
            let message = format!(
                "{id} has been taken before and is over; `leafcron history {job}` tells how it ended"
            );
            self.waiters.remove(&id);
            return send(&reply, refused(RefusalKind::Conflict, &message));
        }
        let ask = self.ask(reply);
        let force = if force { Force::Yes } else { Force::No };
        self.step(Event::Run { job, command, force, ask });
        // Refused, or taken before and over: nobody must wait for a record that does not come.
        if wait && !self.core.is_going_on(&id) && !self.is_on_its_way(&id) {
            self.waiters.remove(&id);
        }
    }

    /// Whether the final record of a command is not committed yet: in the turn that collects, or in one that is closed.
    fn is_on_its_way(&self, id: &CommandId) -> bool {
        let mut entries = self.turn.entries.iter().chain(self.turns.entries());
        entries.any(|entry| match entry {
            Entry::Record(record) => matches!(&record.key.fire, Fire::Manual { id: of } if of == id),
            _ => false,
        })
    }

    /// An id that no command of this journal has: boot time and a counter within this process.
    fn fresh_command(&self) -> Option<CommandId> {
        let now = self.now();
        format!("{:x}-{:x}-{:x}", now.wall.millis(), now.boot.millis(), self.last_ask).parse().ok()
    }

    fn history(&self, job: Option<JobName>, limit: usize, reply: Sender<Reply>) {
        let (epoch, agent) = (self.epoch, self.config.agent.clone());
        let limit = limit.min(crate::job::limits::HISTORY_ROWS);
        // A job that is gone is known by its records alone.
        let strange = job.clone().filter(|job| self.catalog.in_force(job).is_none());
        self.read_journal(reply, move |disk| {
            let view = |(seq, record)| RecordJson::new(seq, epoch, agent.clone(), record);
            let records: Vec<_> = store::history(disk, job.as_ref(), limit)?.into_iter().map(view).collect();
            Ok(match strange {
                Some(job) if records.is_empty() => unknown(&job),
                _ => Reply::Records(records),
            })
        });
    }

    fn events(&self, limit: usize, reply: Sender<Reply>) {
        let (epoch, agent) = (self.epoch, self.config.agent.clone());
        let limit = limit.min(crate::job::limits::HISTORY_ROWS);
        self.read_journal(reply, move |disk| {
            let view = |(seq, event)| EventJson::new(seq, epoch, agent.clone(), event);
            Ok(Reply::Events(store::events(disk, limit)?.into_iter().map(view).collect()))
        });
    }

    /// Reads the journal beside the loop.
    fn read_journal(
        &self,
        reply: Sender<Reply>,
        read: impl FnOnce(&RealDisk) -> Result<Reply, StoreError> + Send + 'static,
    ) {
        let state_dir = self.config.state_dir.clone();
        let asker = reply.clone();
        let reading = beside("history", move || {
            let answer = RealDisk::open(&state_dir)
                .map_err(|error| chain(&error))
                .and_then(|disk| read(&disk).map_err(|error| chain(&error)))
                .unwrap_or_else(|why| {
                    refused(RefusalKind::Disk, &format!("the journal could not be read: {why}"))
                });
            send(&reply, answer);
        });
        if let Err(error) = reading {
            send(
                &asker,
                refused(RefusalKind::Busy, &format!("the journal could not be read: {error}; ask again")),
            );
        }
    }

    fn row(&self, job: &JobName) -> JobRow {
        let view = self.core.view(job);
        let in_force = self.catalog.in_force(job);
        let cronjob = self.catalog.cronjob(job);
        let calendar = cronjob.as_ref().and_then(|cronjob| self.catalog.calendar(cronjob).ok());
        JobRow {
            job: job.clone(),
            source: in_force.map_or_else(String::new, |in_force| in_force.source.to_string()),
            time_zone: match (calendar, &cronjob) {
                (Some(calendar), _) => calendar.zone_name().to_owned(),
                // Lost since it was read.
                (None, Some(cronjob)) => cronjob.time_zone.clone().unwrap_or_default(),
                (None, None) => String::new(),
            },
            schedule: cronjob.map_or_else(String::new, |cronjob| cronjob.schedule),
            enabled: view.is_some_and(|view| view.enabled),
            paused: view.is_some_and(|view| view.paused),
            next: view.and_then(|view| view.next),
            last: view.and_then(|view| view.last),
            running: view.map_or(0, |view| view.running),
            waiting: view.map_or(0, |view| view.waiting),
        }
    }

    fn show(&self, job: &JobName) -> Reply {
        let Some(in_force) = self.catalog.in_force(job) else {
            return unknown(job);
        };
        Reply::Job(Box::new(JobShown {
            row: self.row(job),
            revision: in_force.revision,
            origin: match in_force.source {
                Source::File(name) => self.config.jobs_dir.join(name).display().to_string(),
                source @ (Source::Agent | Source::Group(_)) => source.to_string(),
            },
            fields: self.catalog.shown(job),
            runs: self.core.runs(Some(job)),
            pending: self.core.pending(Some(job), self.now()),
            refused: self.catalog.refused_of(job),
            warnings: self.catalog.warnings_of(job),
        }))
    }

    fn recent_events(&self) -> Vec<EventJson> {
        let view = |(seq, event): &(u64, DeviceEvent)| {
            EventJson::new(*seq, self.epoch, self.config.agent.clone(), event.clone())
        };
        self.recent.iter().map(view).collect()
    }

    fn status(&self) -> Status {
        let now = self.now();
        Status {
            agent: self.config.agent.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch,
            pid: std::process::id(),
            since: self.since,
            now: now.wall,
            clock: now.clock,
            provisional: self.core.provisional_era(),
            jobs: self.catalog.jobs().count(),
            max_runs: self.config.max_runs,
            running: self.core.runs(None),
            waiting: self.core.pending(None, now),
            refused: self.catalog.refused(),
            events: self.recent_events(),
            warnings: self.catalog.warnings(),
            readings: self.readings(),
            journal: JournalStatus {
                unrecorded: self.given_up + self.turns.unrecorded,
                ..self.writer.status()
            },
            link: self.link.as_ref().map(|link| link.status(now)),
        }
    }
}

pub(super) fn unknown(job: &JobName) -> Reply {
    refused(RefusalKind::UnknownJob, &format!("no job {job}; `leafcron list` names those in force"))
}

pub(super) fn refused(kind: RefusalKind, message: &str) -> Reply {
    Reply::Refused(Refusal { kind, message: message.to_owned() })
}
