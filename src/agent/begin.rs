//! The start: lock and journal, what it remembers, what became of runs meanwhile, the jobs directory, the socket.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use smol::channel::{Receiver, bounded};
use smol::{LocalExecutor, Task, future};

use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::{Connection, Listener};
use crate::gate::Probe;
use crate::job::{BootId, Epoch, EventKind, Image, Now, OpenIntent, Outcome, WallTime, limits};
use crate::runtime::{Runtime, Since};
use crate::scheduler::{Effects, Event, Plan, Scheduler, Settings};
use crate::store::{Journal, Options, Outbox, RealDisk, Recovered, StoreError, Unsent};

use super::answer::Asker;
use super::clock::{self, Trust};
use super::link::{FactSender, Link, Results, link_uid};
use super::manager::Manager;
use super::timer::Timer;
use super::turns::Turns;
use super::writer::Writer;
use super::{Agent, AgentError, Happening, INBOX, Unjudged, Whole, chain, doing, machine, signals};

impl Agent {
    /// Everything up to the first turn; the agent then only has to live.
    pub(super) fn begin(
        config: Config,
        executor: Rc<LocalExecutor<'static>>,
    ) -> Result<(Self, Receiver<Happening>), AgentError> {
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        let trust = if config.trust_clock { Trust::Always } else { Trust::Ask };
        let now = clock::now(trust);
        let boot = clock::boot_id().map_err(|why| AgentError::new("learn which boot this is", why))?;
        let (journal, recovered) = open_journal(&config, now)?;
        let runtime = Runtime::open(&config.run_dir)
            .map_err(|error| AgentError::new("open the runtime", error))?
            .with_live_output(live_bytes(config.max_runs));
        let listener = Listener::bind(&config.run_dir)
            .map_err(|error| AgentError::new("open the control socket", error))?
            .shutting_out(link_uid());
        let mut catalog = Catalog::new(super::rules(&config));
        catalog.note_unserved(super::unserved(&Probe::default()));
        let Recovered { mut image, epoch, durable, recent, notes, next_seq, .. } = recovered;
        catalog.restore(core::mem::take(&mut image.definitions));
        catalog.remember(core::mem::take(&mut image.orphans), image.bucket.take());
        let mut turn = Effects::default();
        let core = restore_core(&config, &catalog, &image, boot, now, &mut turn);

        let link = new_link(&config, epoch, &image, (durable, next_seq.saturating_sub(1)), now)?;
        let (inbox, happenings) = bounded(INBOX);
        let writer = Writer::start(journal, inbox.clone()).map_err(doing("start the journal's thread"))?;
        let timer = Rc::new(Timer::new().map_err(doing("make a timer"))?);
        let mut tasks = signals::watch(&executor, &inbox).map_err(doing("watch for signals"))?;
        tasks.extend([ring(&executor, &timer, &inbox), listen(&executor, listener, &inbox)]);
        let mut agent = Self {
            trust,
            core,
            catalog,
            runtime,
            probe: Probe::default(),
            watches: Vec::new(),
            paths_hang: Arc::default(),
            writer,
            turns: Turns::default(),
            turn,
            events: VecDeque::new(),
            tracked: BTreeMap::new(),
            unjudged: BTreeMap::new(),
            followed: BTreeMap::new(),
            asks: BTreeMap::new(),
            last_ask: 0,
            waiters: BTreeMap::new(),
            inbox,
            executor,
            timer,
            manager: Manager::new(now),
            epoch,
            renewing: None,
            since: now.wall,
            disk_again: None,
            clock_was_set: false,
            given_up: 0,
            trouble: String::new(),
            bulky: true,
            stopping: false,
            link,
            last_success: last_success(&image),
            recent: recent.into(),
            config,
            _tasks: tasks,
        };
        let whole = agent.tell_start(notes);
        agent.find_runs(&image, boot, whole)?;
        let loaded = agent.reload();
        let left = agent.catalog.leave_groups();
        agent.bring_in_force(&left);
        if image.boot != Some(boot) {
            agent.step(Event::Booted { boot });
        }
        agent.start_link();
        let (accepted, rejected) = (loaded.accepted.len(), loaded.rejected.len());
        let (version, name) = (env!("CARGO_PKG_VERSION"), &agent.config.agent);
        log::info!("leafcrond {version} on {name}: {accepted} jobs in force, {rejected} refused");
        Ok((agent, happenings))
    }

    /// That it started, and what it found wrong with the journal; whether that could be read as it was written.
    fn tell_start(&mut self, notes: Vec<EventKind>) -> Whole {
        let damaged = |note: &EventKind| matches!(note, EventKind::Damaged { .. } | EventKind::Newer { .. });
        let whole = if notes.iter().any(damaged) { Whole::Damaged } else { Whole::Yes };
        for note in notes {
            log::error!("the journal is not as it was written: {note:?}");
            self.note(note);
        }
        self.note(EventKind::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
        whole
    }

    /// What became of the runs that were going on, and of those that nobody remembers.
    fn find_runs(&mut self, image: &Image, boot: BootId, whole: Whole) -> Result<(), AgentError> {
        let existing = self.runtime.existing().map_err(|error| AgentError::new("look for runs", error))?;
        if let Some(last) = existing.iter().max() {
            self.core.skip_runs(*last);
        }
        for open in image.intents.values() {
            self.find_run(open, boot, whole);
        }
        for run in existing {
            if image.intents.values().any(|open| open.intent.run == run) {
                continue;
            }
            log::info!(
                "run {run} is nobody's: a check that was broken off, or a run whose record is durable"
            );
            if let Err(error) = self.runtime.abandon(run) {
                log::warn!("{}", chain(&error));
            }
        }
        Ok(())
    }

    fn find_run(&mut self, open: &OpenIntent, boot: BootId, journal: Whole) {
        let since = if open.intent.boot == boot { Since::ThisBoot } else { Since::EarlierBoot };
        self.judge(open.intent.run, Unjudged { started: open.started, since, journal });
    }
}

/// What can be followed of one run, so that all together keep within their bound.
fn live_bytes(max_runs: usize) -> u32 {
    let runs = u32::try_from(max_runs.max(1)).unwrap_or(u32::MAX);
    limits::LIVE_RUN_BYTES.min(limits::LIVE_BYTES / runs)
}

/// How often, and how many times, the lock of an agent that ends is looked at.
const LOCK_LOOK: core::time::Duration = core::time::Duration::from_millis(100);
const LOCK_LOOKS: u32 = 20;

fn open_journal(config: &Config, now: Now) -> Result<(Journal<RealDisk>, Recovered), AgentError> {
    let what = || format!("open the state directory {}", config.state_dir.display());
    let fresh_epoch = fresh_epoch().map_err(|error| AgentError::new("read random bits", error))?;
    let unsent = if config.nats.is_some() { Unsent::Kept } else { Unsent::History };
    let open = || {
        let disk = RealDisk::open(&config.state_dir).map_err(|error| AgentError::new(what(), error))?;
        let (disk_bytes, history, machine) = (config.disk, config.history, machine::names());
        Ok(Journal::open(disk, Options { disk_bytes, history, fresh_epoch, machine, now, unsent }))
    };
    let mut opened = open()?;
    // One that was killed a moment ago may not be gone yet.
    for _ in 0..LOCK_LOOKS {
        if !matches!(opened, Err(StoreError::Locked { .. })) {
            break;
        }
        std::thread::sleep(LOCK_LOOK);
        opened = open()?;
    }
    let opened = opened.map_err(|error| AgentError::new(what(), error))?;
    let Recovered { epoch, old_epoch, .. } = &opened.1;
    if let Some(old) = old_epoch {
        log::error!(
            "the journal is another machine's (a cloned card?): epoch {epoch} takes over from epoch {old}"
        );
    }
    Ok(opened)
}

fn last_success(image: &Image) -> Option<WallTime> {
    let successes = image.last.values().filter(|last| last.outcome == Outcome::Succeeded);
    successes.map(|last| last.ended).max()
}

/// The link, where one is configured; it is started when all else is.
fn new_link(
    config: &Config,
    epoch: Epoch,
    image: &Image,
    (durable, found): (u64, u64),
    now: Now,
) -> Result<Option<Link>, AgentError> {
    let Some(nats) = &config.nats else { return Ok(None) };
    let disk = RealDisk::open(&config.state_dir).map_err(doing("open the state directory"))?;
    let sender = FactSender::new(config, nats);
    let results = Results::new(sender, epoch, Outbox::new(disk, epoch), image.acked, durable, found);
    Ok(Some(Link::new(nats.clone(), config.nameless.clone(), results, now.wall)))
}

pub(super) fn fresh_epoch() -> std::io::Result<Epoch> {
    let mut bits = [0; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bits)?;
    Ok(machine::epoch(bits, &machine::names()))
}

fn restore_core(
    config: &Config,
    catalog: &Catalog,
    image: &Image,
    boot: BootId,
    now: Now,
    turn: &mut Effects,
) -> Scheduler {
    let settings = Settings {
        agent: config.agent.clone(),
        max_runs: config.max_runs,
        clock_wait: config.clock_wait,
        released: clock::RELEASED,
    };
    let plans = catalog.jobs().filter_map(|(job, in_force)| {
        let cronjob = catalog.cronjob(job)?;
        // It was found valid a moment ago, zone and all.
        let calendar = catalog.calendar(&cronjob).ok()?;
        Some((job.clone(), Plan::new(&cronjob, calendar, in_force.revision)))
    });
    Scheduler::restore(settings, image, plans, boot, now, turn)
}

fn ring(
    executor: &Rc<LocalExecutor<'static>>,
    timer: &Rc<Timer>,
    inbox: &smol::channel::Sender<Happening>,
) -> Task<()> {
    let (timer, inbox) = (Rc::clone(timer), inbox.clone());
    executor.spawn(async move {
        loop {
            match timer.ring().await {
                Ok(ring) => {
                    if inbox.send(Happening::Rang(ring)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    log::error!("the timer is broken: {error}");
                    return;
                }
            }
        }
    })
}

fn listen(
    executor: &Rc<LocalExecutor<'static>>,
    listener: Listener,
    inbox: &smol::channel::Sender<Happening>,
) -> Task<()> {
    let (spawner, inbox) = (Rc::clone(executor), inbox.clone());
    executor.spawn(async move {
        loop {
            let connection = listener.accept().await;
            spawner.spawn(serve(connection, inbox.clone())).detach();
        }
    })
}

/// One client: its requests in order, each answered until nothing more will be said.
async fn serve(mut connection: Connection, inbox: smol::channel::Sender<Happening>) {
    let asker = Asker::User(connection.peer().uid);
    while let Ok(Some(request)) = connection.request().await {
        // An answer, and for `run` with `wait` a second one.
        let (reply, replies) = bounded(2);
        if inbox.send(Happening::Asked { request, asker, reply }).await.is_err() {
            return;
        }
        loop {
            let gone = async {
                connection.gone().await;
                None
            };
            let Some(reply) = future::or(async { replies.recv().await.ok() }, gone).await else { break };
            if let Err(error) = connection.reply(&reply).await {
                log::debug!("a client went away: {error}");
                return;
            }
        }
    }
}
