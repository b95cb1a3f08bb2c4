//! Effects become system calls: only here.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smol::Async;
use smol::channel::{Receiver, Sender};

use crate::gate::{self, Pressed, Trigger, Wanted};
use crate::job::{Entry, JobName, RunId};
use crate::runtime::{Found, Live, RuntimeError, Since};
use crate::scheduler::{Act, Event, Failure, How, RunEnd, Start};

use super::stop_point::stop_at;
use super::{Agent, Happening, JUDGE_AGAIN, Tracked, Unjudged, What, Whole, beside, chain, send, start};

/// How long a probe may take before its readings count as unreadable: a dead network file system answers never.
const PROBE_PATIENCE: core::time::Duration = core::time::Duration::from_secs(5);

/// Bytes free by path.
type FreeSpace = Vec<(String, Option<u64>)>;

impl Agent {
    /// Does what a turn wants done, in order.
    pub(super) fn act(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Start(start) => self.start(&start),
                Act::Stop { run } => self.stop(run),
                Act::Probe(wanted) => self.probe(wanted),
                Act::Watch(pressed) => self.watch(&pressed),
                Act::Check { run, job } => self.check(run, &job),
                Act::OnFailure(failure) => self.on_failure(&failure),
                Act::Clear { run } => {
                    stop_at("clear");
                    self.clear(run);
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

    /// Reads the machine: /proc and /sys at once, paths beside the loop.
    fn probe(&mut self, wanted: Wanted) {
        let (at_once, paths) = wanted.split_paths();
        let mut readings = self.probe.read(&at_once);
        if paths.is_empty() {
            self.events.push_back(Event::Readings(readings));
            return;
        }
        let (paths, inbox) = (self.read_paths(paths), self.inbox.clone());
        let task = self.executor.spawn(async move {
            readings.disk_available = paths.await;
            // The loop is gone: nobody needs them.
            inbox.send(Happening::Readings(readings)).await.unwrap_or_default();
        });
        task.detach();
    }

    /// Looks at file systems beside the loop, since a dead one in the network may never answer. While one does not, no
    /// further thread is risked, and what is asked of paths counts as unreadable.
    pub(super) fn read_paths(&self, paths: Wanted) -> impl Future<Output = FreeSpace> + use<> {
        let unreadable: FreeSpace = paths.paths().map(|path| (path.to_owned(), None)).collect();
        let answer = self.look_beside(paths);
        async move {
            let patience = async {
                smol::Timer::after(PROBE_PATIENCE).await;
                log::warn!("a file system of `disk_available` does not answer within {PROBE_PATIENCE:?}");
                None
            };
            let read = async { answer?.recv().await.ok() };
            smol::future::or(read, patience).await.unwrap_or(unreadable)
        }
    }

    /// A thread that looks; none where an earlier one has not come back, or where there is nothing to look at.
    fn look_beside(&self, paths: Wanted) -> Option<Receiver<FreeSpace>> {
        if paths.is_empty() || self.paths_hang.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (probe, hang) = (self.probe.clone(), Arc::clone(&self.paths_hang));
        let (found, answer) = smol::channel::bounded(1);
        let read = beside("paths", move || {
            let read = probe.read(&paths);
            hang.store(false, Ordering::SeqCst);
            // Who asked has given up waiting.
            found.try_send(read.disk_available).unwrap_or_default();
        });
        if let Err(error) = read {
            log::warn!("look at the file systems of `disk_available`: {error}");
            self.paths_hang.store(false, Ordering::SeqCst);
        }
        Some(answer)
    }

    /// Waits for the end of pressure, where the kernel tells of it; what was watched before is let go.
    fn watch(&mut self, pressed: &Pressed) {
        self.watches.clear();
        for (pressure, bound) in pressed.bounds() {
            match self.probe.trigger(pressure, bound) {
                Ok(trigger) => self.watches.push(self.executor.spawn(eased(trigger, self.inbox.clone()))),
                // Then held fires are looked at in their time.
                Err(error) => log::debug!("no trigger for {}: {error}", pressure.field()),
            }
        }
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

    fn on_failure(&mut self, failure: &Failure) {
        let (run, job) = (failure.run, &failure.key.job);
        let source = self.catalog.in_force(job).map(|in_force| in_force.source.clone());
        let spec = self
            .catalog
            .cronjob(job)
            .zip(source)
            .and_then(|(cronjob, source)| start::on_failure(failure, cronjob, &source));
        let started = match spec {
            Some(spec) => self.runtime.start(&spec).map_err(|error| chain(&error)),
            None => Err("its definition is gone".to_owned()),
        };
        match started {
            Ok(live) => self.track(run, live, What::OnFailure),
            Err(detail) => {
                log::error!("{job}: its on_failure command could not be started: {detail}");
                self.events.push_back(Event::OnFailureEnded { run });
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
        let found = self.runtime.collect(&tracked.live);
        if tracked.what == What::Job {
            self.output_is_whole(run);
        }
        match (tracked.what, found) {
            (What::Job, found) => {
                let started = Some(tracked.live.started());
                let known = Unjudged { started, since: Since::ThisBoot, journal: Whole::Yes };
                self.judged(run, known, found);
            }
            (what @ (What::Check | What::OnFailure), Ok(Found::Running(live))) => self.track(run, live, what),
            (What::Check, Ok(found)) => self.step(Event::Checked { run, passed: start::passed(&found) }),
            (What::Check, Err(error)) => {
                log::warn!("{}", chain(&error));
                self.step(Event::Checked { run, passed: false });
            }
            (What::OnFailure, found) => {
                match found {
                    Ok(found) if start::passed(&found) => {}
                    Ok(found) => log::warn!("run {run}, an on_failure command, did not succeed: {found:?}"),
                    Err(error) => log::warn!("{}", chain(&error)),
                }
                self.step(Event::OnFailureEnded { run });
            }
        }
    }

    /// After a while: what became of a run that could not be judged.
    pub(super) fn look_again(&mut self, run: RunId) {
        let Some(unjudged) = self.unjudged.remove(&run) else { return };
        self.judge(run, unjudged);
    }

    /// Finds out what became of a run.
    pub(super) fn judge(&mut self, run: RunId, known: Unjudged) {
        let found = self.runtime.inspect(run, known.started, known.since);
        self.judged(run, known, found);
    }

    fn judged(&mut self, run: RunId, known: Unjudged, found: Result<Found, RuntimeError>) {
        let earlier_boot = known.since == Since::EarlierBoot;
        let event = match found {
            Ok(Found::Running(live)) => {
                let pid = live.started().pid;
                self.track(run, live, What::Job);
                Event::Started { run, pid }
            }
            Ok(Found::Ended(result)) => Event::Ended { run, end: start::ended(result) },
            Ok(Found::NeverStarted | Found::Lost) if earlier_boot => {
                Event::Ended { run, end: RunEnd::without_result(How::PowerCut) }
            }
            // Its record may be what is missing, and its directory gone with that: it is not started again.
            Ok(Found::NeverStarted) if known.journal == Whole::Damaged => {
                Event::Ended { run, end: RunEnd::without_result(How::RunnerLost) }
            }
            Ok(Found::NeverStarted) => Event::NeverStarted { run },
            Ok(Found::Lost) => Event::Ended { run, end: RunEnd::without_result(How::RunnerLost) },
            // Nothing is known, so nothing is said: it is asked again.
            Err(error) => {
                log::error!("{}; again in {JUDGE_AGAIN:?}", chain(&error));
                self.unjudged.insert(run, known);
                let inbox = self.inbox.clone();
                let again = self.executor.spawn(async move {
                    smol::Timer::after(JUDGE_AGAIN).await;
                    inbox.send(Happening::LookAgain { run }).await.unwrap_or_default();
                });
                return again.detach();
            }
        };
        self.step(event);
    }
}

/// Tells the loop once a trigger has been silent for a whole window.
async fn eased(trigger: Trigger, inbox: Sender<Happening>) {
    let trigger = match Async::new_nonblocking(trigger) {
        Ok(trigger) => trigger,
        Err(error) => return log::warn!("wait for the end of pressure: {error}"),
    };
    loop {
        let silence = async {
            smol::Timer::after(gate::WINDOW + gate::WINDOW / 10).await;
            Ok(Told::Nothing)
        };
        let told = async { trigger.readable().await.map(|()| Told::Pressure) };
        match smol::future::or(told, silence).await {
            // The kernel tells once per window, and whatever it does no faster than this.
            Ok(Told::Pressure) => {
                smol::Timer::after(gate::WINDOW / 2).await;
            }
            Ok(Told::Nothing) => break,
            Err(error) => return log::warn!("wait for the end of pressure: {error}"),
        }
    }
    log::debug!("the pressure is over: what is held is looked at");
    // The loop is gone: nobody needs it.
    inbox.send(Happening::Eased).await.unwrap_or_default();
}

/// What a trigger tells.
enum Told {
    Pressure,
    Nothing,
}
