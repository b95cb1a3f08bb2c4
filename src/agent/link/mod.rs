//! The agent's end of the link: starts the process, takes what it says, kills it when it says nothing, and starts it
//! again. What comes in is judged here: definitions by the catalog, acknowledgements by the outbox, commands by the
//! device's configuration.

mod commands;
mod definitions;
mod hello;
mod naming;
mod process;
mod reported;
pub mod results;
mod state;

use core::time::Duration;
use std::hash::{BuildHasher, Hasher, RandomState};

use smol::Task;
use smol::channel::{Sender, bounded};

use super::{Agent, Happening, beside};
use crate::config::Nats;
use crate::job::{Acked, BootTime, EventKind, LinkState, LinkStatus, WallTime};
use crate::link::frame::{FromLink, Phase, ToLink};
use crate::link::{Backoff, Child};
use crate::store::{Outbox, RealDisk};

pub use hello::USER;
pub(super) use hello::link_uid;
use naming::Others;
use process::{Fault, Process, later, silence};
use reported::Reported;
use results::{Answer, Ask, Outgoing};
pub(super) use results::{FactSender, Results};
use state::Beat;

/// Warnings of one process that are kept.
const WARNINGS: usize = 16;

/// What the loop hears of the link.
pub(super) enum News {
    /// A frame of the process.
    Said(FromLink),
    /// The process is gone.
    Gone,
    /// A while is over.
    Due(Due),
    /// What the journal held.
    Read(Box<Answer<RealDisk>>),
}

/// What a while was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The process is started again.
    Start,
    /// Has it said anything?
    Watch,
    /// The heartbeat.
    Beat,
    /// Is there anything that the heartbeat should say now?
    Look,
}

/// The link.
pub(super) struct Link {
    nats: Nats,
    /// Why it is never started.
    down: Option<String>,
    state: LinkState,
    since: WallTime,
    server: Option<String>,
    next_try: Option<WallTime>,
    trouble: Option<String>,
    /// Said once for all.
    standing: Vec<String>,
    /// Said by the process that is up.
    warnings: Vec<String>,
    exits: u64,
    backoff: Backoff,
    /// Which process; news of an older one is passed over.
    generation: u64,
    process: Option<Process>,
    pub(super) results: Results<RealDisk>,
    reported: Reported,
    beat: Beat,
    others: Others,
    /// The verdicts may have changed.
    pub(super) verdicts: bool,
    start: Option<Task<()>>,
    watch: Option<Task<()>>,
}

impl Link {
    pub(super) fn new(nats: Nats, down: Option<String>, results: Results<RealDisk>, now: WallTime) -> Self {
        Self {
            nats,
            down,
            state: LinkState::Down,
            since: now,
            server: None,
            next_try: None,
            trouble: None,
            standing: hello::user().1.into_iter().collect(),
            warnings: Vec::new(),
            exits: 0,
            backoff: Backoff::default(),
            generation: 0,
            process: None,
            results,
            reported: Reported::default(),
            beat: Beat::default(),
            others: Others::default(),
            verdicts: true,
            start: None,
            watch: None,
        }
    }

    fn frames(&self) -> Option<Sender<ToLink>> {
        self.process.as_ref().map(|process| process.frames.clone())
    }

    fn stands(&mut self, state: LinkState, now: WallTime) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// A new epoch has begun: what is under way belongs to the old one.
    pub(super) fn renew(&mut self, reader: Outbox<RealDisk>, acked: Acked, durable: u64) {
        self.results.renew(reader, acked, durable);
        if let Some(process) = &mut self.process {
            process.kill("it speaks for an epoch that is over".to_owned());
        }
    }

    pub(super) fn state(&self) -> LinkState {
        self.state
    }

    fn send(&mut self, frames: impl IntoIterator<Item = ToLink>) {
        let Some(process) = &mut self.process else { return };
        for frame in frames {
            if process.frames.try_send(frame).is_err() {
                return process.kill("it does not take what it is told".to_owned());
            }
        }
    }

    pub(super) fn status(&self, now: crate::job::Now) -> LinkStatus {
        let left_out = self.backoff.left_out(now.boot).iter().map(ToString::to_string).collect();
        let conflict = self.results.conflict().map(str::to_owned);
        LinkStatus {
            state: self.state,
            since: self.since,
            server: self.server.clone(),
            next_try: self.next_try,
            trouble: self
                .down
                .clone()
                .or_else(|| self.others.trouble().map(str::to_owned))
                .or(conflict)
                .or_else(|| self.trouble.clone()),
            left_out,
            warnings: self.standing.iter().chain(&self.warnings).cloned().collect(),
            exits: self.exits,
            acked_through: self.results.acked().through,
            unsent: self.results.unsent(),
        }
    }
}

impl Agent {
    /// Starts the process, or says why not and tries again later.
    pub(super) fn start_link(&mut self) {
        let now = self.now();
        let Some(link) = self.link.as_mut().filter(|link| link.down.is_none()) else { return };
        link.generation += 1;
        link.next_try = None;
        link.results.begin();
        link.reported.begin();
        link.others.begin();
        self.catalog.abort_snapshot();
        let left_out = link.backoff.left_out(now.boot);
        let begun = hello::hello(&self.config, &link.nats, self.epoch, link.results.acked(), left_out)
            .and_then(|hello| {
                let spawned = Child::spawn(self.runtime.program());
                spawned
                    .and_then(|child| {
                        Process::begin(child, hello, now.boot, &self.executor, &self.inbox, link.generation)
                    })
                    .map_err(|error| format!("start the link process: {error}"))
            });
        match begun {
            Ok(process) => {
                log::debug!("link process {} started", process.pid());
                link.stands(LinkState::Connecting, now.wall);
                link.process = Some(process);
                let watch = later(&self.executor, &self.inbox, silence(), link.generation, Due::Watch);
                link.watch = Some(watch);
            }
            Err(reason) => self.link_over(Fault { phase: Phase::Connect, reason, lasting: false }),
        }
    }

    /// The process is no more: the next one is started after a while.
    fn link_over(&mut self, fault: Fault) {
        let now = self.now();
        let Some(link) = &mut self.link else { return };
        let Fault { mut phase, reason, lasting } = fault;
        // The hub was there, and then the connection was not: what was being read may be what ended it.
        if let Some(process) = link.process.as_ref().filter(|process| process.healthy.is_some())
            && phase == Phase::Connect
        {
            phase = process.phase();
        }
        let before = link.backoff.left_out(now.boot);
        let healthy = link.process.take().and_then(|process| process.healthy);
        let up = healthy.map(|since| now.boot.since(since));
        let jitter = RandomState::new().build_hasher().finish();
        let delay = link.backoff.exited(now.boot, up, phase, lasting, jitter);
        log::warn!("the link is down ({phase}: {reason}); again in {delay:?}");
        link.exits += 1;
        link.server = None;
        link.warnings.clear();
        link.trouble = Some(format!("{phase}: {reason}"));
        link.next_try = Some(now.wall.plus(delay));
        link.stands(LinkState::Waiting, now.wall);
        link.watch = None;
        link.beat.stop();
        link.start = Some(later(&self.executor, &self.inbox, delay, link.generation, Due::Start));
        let left_out = link.backoff.left_out(now.boot).contains(&phase) && !before.contains(&phase);
        self.catalog.abort_snapshot();
        if left_out {
            self.note(EventKind::Link { phase: phase.to_string(), reason });
        }
    }

    /// Something about the link has happened.
    pub(super) fn link_news(&mut self, generation: u64, news: News) {
        let now = self.now();
        let Some(link) = &mut self.link else { return };
        if let News::Read(answer) = news {
            let out = link.results.read(*answer);
            return self.outgoing(out);
        }
        if generation != link.generation {
            return;
        }
        match news {
            News::Said(frame) => {
                if let Some(process) = &mut link.process {
                    process.heard = now.boot;
                }
                self.said(frame);
            }
            News::Gone => {
                let Some(process) = &mut link.process else { return };
                let unsaid = Fault {
                    phase: process.phase(),
                    reason: "it ended without a word".to_owned(),
                    lasting: false,
                };
                let fault = process.fault.take().unwrap_or(unsaid);
                self.link_over(fault);
            }
            News::Due(Due::Start) => self.start_link(),
            News::Due(Due::Watch) => self.watch_link(now.boot),
            News::Due(Due::Beat) => self.beat(),
            News::Due(Due::Look) => self.look(),
            News::Read(_) => {}
        }
    }

    fn watch_link(&mut self, now: BootTime) {
        let Some(link) = &mut self.link else { return };
        let Some(process) = &mut link.process else { return };
        if process.left_out && link.backoff.left_out(now).is_empty() {
            process.kill("what was left out is taken in again".to_owned());
        }
        let silent = now.since(process.heard);
        if silent >= silence() {
            process.kill(format!("it said nothing for {silent:?}"));
        }
        let wait = silence().saturating_sub(silent).max(Duration::from_secs(1));
        link.watch = Some(later(&self.executor, &self.inbox, wait, link.generation, Due::Watch));
    }

    fn said(&mut self, frame: FromLink) {
        let now = self.now();
        let Some(link) = &mut self.link else { return };
        let Some(process) = link.process.as_mut().filter(|process| !process.killed) else { return };
        match frame {
            FromLink::Phase(Phase::Connect | Phase::Commands) => {}
            FromLink::Name(naming) => self.named(naming),
            FromLink::Phase(phase) => process.begins(phase),
            FromLink::Up { server, warnings } => {
                log::info!("connected to {server}");
                warnings.iter().for_each(|warning| log::warn!("{warning}"));
                link.server = Some(server);
                link.warnings = warnings;
                link.stands(LinkState::NoHub, now.wall);
            }
            FromLink::Alive { hub } => {
                link.results.look_again();
                if hub {
                    process.healthy.get_or_insert(now.boot);
                    link.trouble = None;
                }
                link.stands(if hub { LinkState::Up } else { LinkState::NoHub }, now.wall);
            }
            FromLink::Denied { what } => {
                let warning = format!(
                    "the server does not permit everything ({what}): `leafcron hub permit {} --groups …` prints what it has to",
                    self.config.agent
                );
                link.warn(warning);
            }
            FromLink::Fault { phase, reason, lasting } => {
                process.fault = Some(Fault { phase, reason, lasting })
            }
            FromLink::SnapshotEnd => {
                process.settles(Phase::Definitions);
                self.defined(frame);
            }
            FromLink::Snapshot { .. } | FromLink::Key { .. } => self.defined(frame),
            FromLink::Stream { last_sequence } => link.results.stream(last_sequence),
            FromLink::Stored { stream_sequence, payload } => link.results.stored(stream_sequence, &payload),
            FromLink::Resumed => {
                process.settles(Phase::Results);
                link.results.resumed();
            }
            FromLink::Acked { seq, stream_sequence } => link.results.acknowledged(seq, stream_sequence),
            FromLink::Duplicate { seq, stream_sequence, payload } => {
                link.results.duplicate(seq, stream_sequence, &payload);
            }
            FromLink::Refused { seq, reason } => {
                let out = link.results.refused(seq, &reason);
                self.outgoing(out);
            }
            FromLink::Reported { key, value } => link.reported.there(key, &value),
            FromLink::ReportedEnd => {
                process.settles(Phase::State);
                link.reported.end();
                link.verdicts = true;
                self.beat();
            }
            FromLink::Done { key } => link.reported.done(&key),
            FromLink::Asked { ask, payload } => self.command(ask, &payload),
        }
    }

    fn outgoing(&mut self, out: Outgoing) {
        out.events.into_iter().for_each(|kind| self.note(kind));
        if let Some(link) = &mut self.link {
            link.send(out.frames);
        }
    }

    /// What the journal is to remember of the link, in the turn that closes.
    pub(super) fn note_acks(&mut self) {
        let note = self.link.as_mut().and_then(|link| link.results.take_note());
        self.turn.entries.extend(note);
    }

    /// After a turn: hands the link what it may have now.
    pub(super) fn tend_link(&mut self) {
        self.report();
        let Some(link) = self.link.as_mut().filter(|link| link.process.is_some()) else { return };
        let Some(ask) = link.results.wants() else { return };
        let (inbox, generation) = (self.inbox.clone(), link.generation);
        // Handed over once there is a thread: it must not get lost with one that could not be had.
        let (give, take) = bounded::<Ask<RealDisk>>(1);
        let read = beside("outbox", move || {
            let Ok(ask) = take.recv_blocking() else { return };
            let news = News::Read(Box::new(ask.read()));
            // The loop is gone: nobody sends.
            inbox.send_blocking(Happening::Link { generation, news }).unwrap_or_default();
        });
        match read {
            Ok(()) => give.try_send(ask).unwrap_or_default(),
            Err(error) => {
                log::error!("read what is to be sent: {error}");
                link.results.give_back(ask);
            }
        }
    }
}
