//! The shell around the core: events in, effects out, and the one place that answers a [`Request`](crate::job::Request).
//!
//! ```text
//!   timerfd ─┐                                                       ┌─▶ runtime: start, stop, clear
//!   pidfds  ─┤                  step*, close      one fsync          ├─▶ gate: probe
//!   socket  ─┼─▶ inbox ─▶ core ───────────▶ turn ─────────▶ acts ────┼─▶ answers
//!   signals ─┤              ▲                     journal            └─▶ timer
//!   writer  ─┘              └──────────── events of what acts came to ◀┘
//! ```
//! One loop (smol) and one thread (the journal's). Decides nothing about a fire: that is `scheduler`.

mod acts;
mod answer;
mod begin;
pub mod calendars;
mod carried;
mod check;
mod clock;
mod doctor;
mod jobs;
pub mod link;
mod logs;
mod machine;
mod manager;
mod renew;
mod rules;
mod signals;
mod start;
mod stop_point;
mod timer;
pub mod turns;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use smol::channel::{Receiver, Sender};
use smol::{LocalExecutor, Task};

use crate::catalog::Catalog;
use crate::config::Config;
use crate::gate::Probe;
use crate::job::limits::EVENTS_SHOWN;
use crate::job::{
    BootTime, CommandId, DeviceEvent, Entry, Epoch, EventKind, Fire, Now, Outcome, Readings, Record,
    RecordJson, Reply, Request, RunId, Started, WallTime,
};
use crate::runtime::{Live, Runtime, Since};
use crate::scheduler::{AskId, Effects, Event, Scheduler};

pub use check::{Report, check};
pub use clock::wall_clock;
pub use doctor::examine;
pub use link::USER as LINK_USER;
pub use rules::{rules, unserved};

use answer::Asker;
use calendars::Calendars;
use link::{Link, News};
use logs::Followed;
use manager::Manager;
use signals::Signal;
use timer::{Armed, Ring, Timer};
use turns::{Retry, Turns};
use writer::{Batch, Writer, Written};

/// Events that may wait for the loop.
const INBOX: usize = 256;
/// A turn takes in no more once its entries weigh this, in bytes.
const TURN_BYTES: usize = 128 * 1024;
/// Stack of a thread that reads the journal or the state of a file system.
const STACK_BYTES: usize = 256 * 1024;
/// Before a run is looked at again that could not be judged.
const JUDGE_AGAIN: core::time::Duration = core::time::Duration::from_secs(5);
/// Before a disk that refused is asked again though nothing new is to be stored.
const DISK_AGAIN: core::time::Duration = core::time::Duration::from_secs(10);

/// Something that happened outside.
enum Happening {
    Rang(Ring),
    Signal(Signal),
    Asked {
        request: Request,
        asker: Asker,
        reply: Sender<Reply>,
    },
    /// Of the link, or of one that was.
    Link {
        generation: u64,
        news: News,
    },
    Written(Written),
    /// The journal goes on in a new epoch, or the disk says why not.
    Renewed(Result<Box<crate::store::Renewed>, String>),
    /// What the journal found wrong with itself.
    Noted(Vec<EventKind>),
    /// A runner is dead.
    RunOver {
        run: RunId,
    },
    /// What became of a run could not be read a while ago.
    LookAgain {
        run: RunId,
    },
    /// Somebody who followed the output of a run has gone, or has read all of it.
    FollowerGone {
        run: RunId,
    },
    Readings(Readings),
    /// The pressure that was watched is over.
    Eased,
}

/// Why the agent could not start or go on.
#[derive(Debug)]
pub struct AgentError {
    what: String,
    source: Option<Box<dyn std::error::Error>>,
}

impl AgentError {
    fn new(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for AgentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref()
    }
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// It could not start: the state directory is another agent's, say. What goes wrong later is recorded and lived with.
pub fn run(config: Config) -> Result<(), AgentError> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let (mut agent, inbox) = Agent::begin(config, Rc::clone(&executor))?;
        agent.manager.ready();
        agent.live(&inbox).await;
        Ok(())
    }))
}

/// A runner that the loop waits for.
struct Tracked {
    live: Rc<Live>,
    what: What,
    /// Waits for its end; dropped with it.
    _wait: Task<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Job,
    Check,
    OnFailure,
}

/// What is known of a run that is still to be judged.
#[derive(Clone, Copy, Debug)]
struct Unjudged {
    started: Option<Started>,
    since: Since,
    journal: Whole,
}

/// Whether the journal could be read as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Yes,
    /// Facts may be missing: an intent without an end may have had one.
    Damaged,
}

struct Agent {
    config: Config,
    trust: clock::Trust,
    core: Scheduler,
    catalog: Catalog,
    runtime: Runtime,
    probe: Probe,
    /// They wait for the end of pressure.
    watches: Vec<Task<()>>,
    /// A thread that looks at paths has not come back.
    paths_hang: Arc<AtomicBool>,
    writer: Writer,
    turns: Turns,
    /// The turn that collects.
    turn: Effects,
    /// What acts came to, for the next turn.
    events: VecDeque<Event>,
    tracked: BTreeMap<RunId, Tracked>,
    /// Runs of which it could not be read what became of them.
    unjudged: BTreeMap<RunId, Unjudged>,
    /// Runs whose output somebody follows.
    followed: BTreeMap<RunId, Followed>,
    asks: BTreeMap<AskId, Sender<Reply>>,
    last_ask: u64,
    /// Those who wait for the end of a manual run.
    waiters: BTreeMap<CommandId, Sender<Reply>>,
    inbox: Sender<Happening>,
    executor: Rc<LocalExecutor<'static>>,
    timer: Rc<Timer>,
    manager: Manager,
    epoch: Epoch,
    /// The journal was asked for a new epoch, which is then read here: nothing is handed to it until it answers.
    renewing: Option<crate::store::RealDisk>,
    since: WallTime,
    /// When a disk that refused is asked again.
    disk_again: Option<BootTime>,
    /// The clock was set while the timer was armed: look again at once.
    clock_was_set: bool,
    /// Facts that were given up since the start, and told.
    given_up: u64,
    /// What the disk said when it refused.
    trouble: String,
    /// Definitions were read since free memory was last given back.
    bulky: bool,
    /// Told to stop: ends once all is committed.
    stopping: bool,
    /// The link to the centre, where one is configured.
    link: Option<Link>,
    /// The end of the newest run that succeeded.
    last_success: Option<WallTime>,
    /// The newest events that are durable, with their numbers.
    recent: VecDeque<(u64, DeviceEvent)>,
    _tasks: Vec<Task<()>>,
}

impl Agent {
    fn now(&self) -> Now {
        clock::now(self.trust)
    }

    /// The loop: collect what is ready, close the turn, commit, act, sleep.
    async fn live(&mut self, inbox: &Receiver<Happening>) {
        loop {
            self.end_turn();
            if self.stopping && (self.turns.is_empty() || self.disk_again.is_some()) {
                break;
            }
            if self.events.is_empty() && !self.clock_was_set {
                let Ok(happening) = inbox.recv().await else { break };
                self.take(happening);
            }
            while let Some(event) = self.events.pop_front() {
                self.step(event);
            }
            while turns::weight(&self.turn.entries) < TURN_BYTES
                && let Ok(happening) = inbox.try_recv()
            {
                self.take(happening);
            }
        }
        // The writer must not wait for a loop that reads no more.
        self.inbox.close();
        self.writer.finish();
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        self.core.step(now, event, &mut self.turn);
    }

    /// Closes the turn, hands over what is to be committed, does what may be done, and sets the timer.
    fn end_turn(&mut self) {
        let now = self.now();
        self.core.close(now, &mut self.turn);
        self.note_acks();
        self.turns.push(core::mem::take(&mut self.turn));
        let acts = self.turns.free_acts();
        self.act(acts);
        self.submit(now);
        self.tend_link();
        // While a batch is under way its answer is what wakes the loop.
        let disk = self.disk_again.filter(|_| !self.turns.is_committing()).map(|at| now.wall_at(at));
        self.manager.status(|| summary(&self.catalog, self.link.as_ref()));
        let watchdog = self.manager.feed(now).map(|at| now.wall_at(at));
        let wake = [self.core.wake(now), disk, watchdog].into_iter().flatten().min();
        match self.timer.arm(wake) {
            Ok(armed) => self.clock_was_set = armed == Armed::ClockSet,
            Err(error) => log::error!("arm the timer: {error}"),
        }
    }

    fn submit(&mut self, now: Now) {
        // A refusing disk is asked again when there is something new, or after a while.
        let waits = self.disk_again.is_some_and(|at| now.boot < at);
        if self.renewing.is_some() || !waits && self.renew(now) {
            return;
        }
        let retry = if waits { Retry::NotYet } else { Retry::Due };
        let trouble = &self.trouble;
        let note = |count| {
            let kind = EventKind::Unrecorded { count, why: trouble.clone() };
            Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind })
        };
        let Some((entries, durability)) = self.turns.next_batch(retry, note) else { return };
        if let Err(Batch { entries, .. }) = self.writer.write(Batch { entries, durability }) {
            self.written(Written { entries, outcome: Err("the journal's thread is gone".to_owned()) });
        }
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Rang(Ring::Due | Ring::ClockSet) => {}
            Happening::Signal(signal) => self.signal(signal),
            Happening::Asked { request, asker, reply } => self.asked(request, asker, reply),
            Happening::Link { generation, news } => self.link_news(generation, news),
            Happening::Written(written) => self.written(written),
            Happening::Renewed(renewed) => self.renewed(renewed),
            Happening::Noted(notes) => notes.into_iter().for_each(|kind| self.note(kind)),
            Happening::RunOver { run } => self.run_over(run),
            Happening::LookAgain { run } => self.look_again(run),
            Happening::FollowerGone { run } => self.follower_gone(run),
            Happening::Readings(readings) => self.step(Event::Readings(readings)),
            Happening::Eased => self.step(Event::Eased),
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Stop => {
                log::info!("stopping; running jobs go on");
                self.manager.stopping();
                self.note(EventKind::Stopped);
                self.stopping = true;
                self.link = None;
            }
            Signal::Reload => {
                let reloaded = self.reload_asked();
                log::info!(
                    "reloaded: {} jobs in force, {} refused",
                    reloaded.accepted.len(),
                    reloaded.rejected.len()
                );
            }
            Signal::Child => {
                let keep: Vec<u32> =
                    self.tracked.values().map(|tracked| tracked.live.started().pid).collect();
                self.runtime.reap_orphans(&keep);
            }
        }
    }

    /// A batch came back from the writer.
    fn written(&mut self, written: Written) {
        match written.outcome {
            Ok(first_seq) => {
                if self.disk_again.take().is_some() {
                    self.disk_takes_again();
                    self.hear_again();
                }
                self.take_stock(first_seq, &written.entries);
                // First that it was accepted, then how it ended: both may be in this batch.
                let acts = self.turns.committed();
                self.act(acts);
                self.answer_waiters(first_seq, &written.entries);
                if self.turns.is_empty() && core::mem::take(&mut self.bulky) {
                    crate::runtime::release_free_memory();
                }
            }
            Err(why) => {
                if self.disk_again.is_none() {
                    log::error!("the journal is not written: {why}");
                }
                self.disk_again = Some(self.now().boot.plus(DISK_AGAIN));
                let calendars = Calendars::new(&self.catalog);
                let adjacent = |earlier: &Record, later: &Record| calendars.are_adjacent(earlier, later);
                let leftover = self.turns.refused(written.entries, &why, &adjacent);
                self.trouble = why;
                self.events.extend(leftover.events);
                self.act(leftover.acts);
            }
        }
    }

    fn disk_takes_again(&mut self) {
        log::warn!("the journal is written again; {} facts were given up", self.turns.unrecorded);
        self.given_up += self.turns.unrecorded;
    }

    /// An event about the device, in this turn.
    fn note(&mut self, kind: EventKind) {
        let now = self.now();
        self.turn.entries.push(Entry::Event(DeviceEvent { at: now.wall, clock: now.clock, kind }));
    }

    /// What became durable, for the centre.
    fn take_stock(&mut self, first_seq: u64, entries: &[Entry]) {
        let mut next_seq = first_seq;
        let mut news = false;
        for entry in entries {
            match entry {
                Entry::Record(record) => {
                    news = true;
                    if record.outcome == Outcome::Succeeded {
                        self.last_success = self.last_success.max(Some(record.ended));
                    }
                }
                Entry::Event(event) => {
                    news = true;
                    if self.recent.len() >= EVENTS_SHOWN {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((next_seq, event.clone()));
                }
                Entry::Eras(eras) => {
                    log::warn!("{}", clock::era_in_words(eras));
                    continue;
                }
                _ => continue,
            }
            next_seq += 1;
        }
        if let Some(link) = &mut self.link {
            link.results.durable(next_seq.saturating_sub(1), entries);
        }
        if news {
            self.look_soon();
        }
    }

    /// Whoever waits for a manual run hears of its final record once that is durable.
    fn answer_waiters(&mut self, first_seq: u64, entries: &[Entry]) {
        let numbered = entries.iter().filter(|entry| matches!(entry, Entry::Record(_) | Entry::Event(_)));
        for (seq, entry) in (first_seq..).zip(numbered) {
            let Entry::Record(record) = entry else { continue };
            let Fire::Manual { id } = &record.key.fire else { continue };
            if !record.last {
                continue;
            }
            if let Some(waiter) = self.waiters.remove(id) {
                let view = RecordJson::new(seq, self.epoch, self.config.agent.clone(), (**record).clone());
                send(&waiter, Reply::Ran(Box::new(view)));
            }
        }
    }
}

/// Does what may take its time on a thread of its own, which ends with it: a pool keeps threads that wake for nothing.
fn beside(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// Answers somebody who may be gone by now.
fn send(to: &Sender<Reply>, reply: Reply) {
    if to.try_send(reply).is_err() {
        log::debug!("nobody waits for this answer any more");
    }
}

/// What `systemctl status` shows.
fn summary(catalog: &Catalog, link: Option<&Link>) -> String {
    let (jobs, refused) = (catalog.jobs().count(), catalog.refused().len());
    let mut line = if jobs == 1 { "1 job in force".to_owned() } else { format!("{jobs} jobs in force") };
    if refused > 0 {
        line.push_str(&format!(", {refused} refused"));
    }
    if let Some(link) = link {
        line.push_str(&format!("; link {}", link.state()));
    }
    line
}

/// An error and what caused it, in one line: for where it is logged.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// An I/O error of one step of the start.
fn doing(what: &'static str) -> impl Fn(io::Error) -> AgentError {
    move |error| AgentError::new(what, error)
}
