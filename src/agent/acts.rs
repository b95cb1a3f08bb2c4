//! Effects become system calls: only here.

use std::os::fd::AsFd;
use std::rc::Rc;

use smol::Async;

use crate::gate::Wanted;
use crate::job::{Entry, JobName, RunId};
use crate::runtime::{Found, Live};
use crate::scheduler::{Act, Event, How, RunEnd, Start};

use super::stop_point::stop_at;
use super::{Agent, Happening, Tracked, What, send, start};

/// How long a probe may take before its readings count as unreadable: a dead network file system answers never.
const PROBE_PATIENCE: core::time::Duration = core::time::Duration::from_secs(5);

impl Agent {
    /// Does what a turn wants done, in order.
    pub(super) fn act(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Start(start) => self.start(&start),
                Act::Stop { run } => self.stop(run),
                Act::Probe(wanted) => self.probe(wanted),
                Act::Check { run, job } => self.check(run, &job),
                Act::Clear { run } => {
                    stop_at("clear");
                    if let Err(error) = self.runtime.clear(run) {
                        log::warn!("{}", chain(&error));
                    }
                }
                Act::Answer { ask, reply } => {
                    if let Some(asker) = self.asks.remove(&ask) {
                        send(&asker, reply);
                    }
                }
            }
        }
    }

    fn start(&mut self, start: &Start) {
        stop_at("intent");
        let job = &start.key.job;
        let started = match (self.catalog.cronjob(job), self.catalog.in_force(job)) {
            (Some(cronjob), Some(in_force)) => {
                let spec = start::spec(start, cronjob, in_force.source);
                self.runtime.start(&spec).map_err(|error| chain(&error))
            }
            _ => Err("its definition is gone".to_owned()),
        };
        match started {
            Ok(live) => {
                log::debug!("{job}: run {} started, due {}", start.run, start.due);
                stop_at("started");
                self.turn.entries.push(Entry::Started(live.started()));
                let pid = live.started().pid;
                self.track(start.run, live, What::Job);
                self.events.push_back(Event::Started { run: start.run, pid });
            }
            Err(detail) => {
                log::error!("{job}: run {} could not be started: {detail}", start.run);
                let end = RunEnd::without_result(How::NotStarted { detail });
                self.events.push_back(Event::Ended { run: start.run, end });
            }
        }
    }

    fn stop(&mut self, run: RunId) {
        let Some(tracked) = self.tracked.get(&run) else { return };
        if let Err(error) = self.runtime.stop(&tracked.live) {
            log::error!("{}", chain(&error));
        }
    }

    /// Reads the machine beside the loop: a path of a dead network file system must not stop it.
    fn probe(&mut self, wanted: Wanted) {
        let (probe, inbox) = (self.probe.clone(), self.inbox.clone());
        let read = smol::unblock(move || probe.read(&wanted));
        let bounded = smol::future::or(async { Some(read.await) }, async {
            smol::Timer::after(PROBE_PATIENCE).await;
            None
        });
        let task = self.executor.spawn(async move {
            let readings = bounded.await.unwrap_or_else(|| {
                log::warn!("the machine could not be read within {PROBE_PATIENCE:?}");
                crate::job::Readings::default()
            });
            // The loop is gone: nobody needs them.
            inbox.send(Happening::Readings(readings)).await.unwrap_or_default();
        });
        task.detach();
    }

    fn check(&mut self, run: RunId, job: &JobName) {
        let now = self.now().wall;
        let spec = self.catalog.cronjob(job).and_then(|cronjob| start::check(run, job, cronjob, now));
        let started = match spec {
            Some(spec) => self.runtime.start(&spec).map_err(|error| chain(&error)),
            None => Err("its definition is gone".to_owned()),
        };
        match started {
            Ok(live) => self.track(run, live, What::Check),
            Err(detail) => {
                log::warn!("{job}: its check could not be started: {detail}");
                self.events.push_back(Event::Checked { run, passed: false });
            }
        }
    }

    /// Waits for a runner's end.
    pub(super) fn track(&mut self, run: RunId, live: Live, what: What) {
        let live = Rc::new(live);
        let (watched, inbox) = (Rc::clone(&live), self.inbox.clone());
        let wait = self.executor.spawn(async move {
            match Async::new_nonblocking(watched.as_fd()) {
                Ok(pidfd) => {
                    if let Err(error) = pidfd.readable().await {
                        log::error!("wait for the runner of run {run}: {error}");
                    }
                }
                Err(error) => log::error!("wait for the runner of run {run}: {error}"),
            }
            inbox.send(Happening::RunOver { run }).await.unwrap_or_default();
        });
        self.tracked.insert(run, Tracked { live, what, _wait: wait });
    }

    /// A runner is dead: what its run came to goes to the core.
    pub(super) fn run_over(&mut self, run: RunId) {
        let Some(tracked) = self.tracked.remove(&run) else { return };
        stop_at("ended");
        let found = self.runtime.collect(&tracked.live).unwrap_or_else(|error| {
            log::error!("{}", chain(&error));
            Found::Lost
        });
        let found = match found {
            // Not dead after all, or another process of the same run: that one is waited for.
            Found::Running(live) => return self.track(run, live, tracked.what),
            found => found,
        };
        let event = match (tracked.what, found) {
            (What::Check, found) => Event::Checked { run, passed: start::passed(&found) },
            (What::Job, Found::NeverStarted) => Event::NeverStarted { run },
            (What::Job, found) => match start::end(found) {
                Some(end) => Event::Ended { run, end },
                None => Event::Ended { run, end: RunEnd::without_result(How::RunnerLost) },
            },
        };
        self.step(event);
    }
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
