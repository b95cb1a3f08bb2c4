//! What the core wants done, done in this world.

use leafcron::gate::Wanted;
use leafcron::job::{Entry, Fire, JobName, Reply, RunId, Started};
use leafcron::scheduler::{Act, Event, Failure, How, RunEnd, Start};

use crate::process::Asked;
use crate::runs::Over;
use crate::world::{Coming, Fall, SECOND, World};

impl World {
    /// Does what a turn wants done, in order, unless the process falls in between.
    pub(crate) fn act(&mut self, acts: Vec<Act>) {
        for act in acts {
            if self.fallen.is_some() {
                return;
            }
            if let Some(left) = &mut self.falls_after_acts {
                if *left == 0 {
                    self.falls_after_acts = None;
                    self.fallen = Some(self.armed.take().unwrap_or(Fall::Killed));
                    return;
                }
                *left -= 1;
            }
            match act {
                Act::Start(start) => self.start(&start),
                Act::Stop { run } => self.stop(run),
                Act::Probe(wanted) => self.probe(&wanted),
                // These kernels tell of no pressure: what is held is looked at in its time.
                Act::Watch(_) => {}
                Act::Check { run, job } => {
                    self.tell(|| format!("{job}: its check starts as run {run}"));
                    self.runs.checks.insert(run, job);
                    let (generation, takes) = (self.generations, self.luck.wait(20 * SECOND));
                    self.later(takes, Coming::Checked { generation, run });
                }
                Act::Clear { run } => {
                    self.runs.dirs.remove(&run);
                }
                Act::OnFailure(failure) => self.on_failure(&failure),
                Act::Answer { ask, reply } => self.answer(ask, &reply),
            }
        }
    }

    fn start(&mut self, start: &Start) {
        let now = self.now().wall;
        let Start { run, key, due, attempt, .. } = start;
        let (run, job) = (*run, &key.job);
        let Some(agent) = &mut self.agent else { return };
        let definition = self.model.in_force(job).cloned();
        let fails = self.luck.one_in(40);
        let Some(definition) = definition.filter(|_| agent.catalog.cronjob(job).is_some() && !fails) else {
            let detail = "it cannot be started".to_owned();
            let end = RunEnd::without_result(How::NotStarted { detail });
            agent.events.push_back(Event::Ended { run, end });
            return self.tell(|| format!("{job}: run {run} cannot be started"));
        };
        let (takes, fate) = self.runs.start(start, &definition, now, &mut self.luck);
        self.tell(|| {
            format!("{job}: run {run} begins, due {due}, attempt {attempt}; {fate:?} after {takes} ms")
        });
        self.model.begins(start);
        self.model.check_runs(self.runs.going(), self.kind.max_runs, job);
        self.later(takes, Coming::RunEnds { run });
        let ticks = self.now().boot.millis() / 10;
        let Some(agent) = &mut self.agent else { return };
        agent.turn.entries.push(Entry::Started(Started { run, pid: 1, start_ticks: ticks }));
        agent.events.push_back(Event::Started { run, pid: 1 });
    }

    fn stop(&mut self, id: RunId) {
        let Some(run) = self.runs.dirs.get_mut(&id).filter(|run| run.over.is_none() && !run.stopping) else {
            return;
        };
        run.stopping = true;
        let job = run.job.clone();
        let takes = self.luck.wait(10 * SECOND);
        self.tell(|| format!("{job}: run {id} is told to end"));
        self.later(takes, Coming::RunEnds { run: id });
    }

    pub(crate) fn run_ends(&mut self, run: RunId) {
        let now = self.now().wall;
        let Some(truth) = self.runs.end(run, now, &mut self.luck) else { return };
        let Some(job) = self.runs.dirs.get(&run).map(|run| run.job.clone()) else { return };
        self.tell(|| format!("{job}: run {run} is over: {truth:?}"));
        self.model.ends(run, truth);
        let over = self.runs.dirs.get(&run).and_then(|run| run.over.clone());
        let (Some(agent), Some(over)) = (&mut self.agent, over) else { return };
        agent.events.push_back(match over {
            Over::Result(end) => Event::Ended { run, end },
            Over::Lost => Event::Ended { run, end: RunEnd::without_result(How::RunnerLost) },
            Over::NeverBegan => Event::NeverStarted { run },
        });
    }

    fn probe(&mut self, wanted: &Wanted) {
        let _ = wanted;
        let (generation, takes) =
            (self.generations, if self.luck.one_in(8) { self.luck.wait(5 * SECOND) } else { 0 });
        self.later(takes, Coming::Probed { generation });
    }

    pub(crate) fn probed(&mut self) {
        let readings = self.readings();
        if let Some(agent) = &mut self.agent {
            agent.events.push_back(Event::Readings(readings));
        }
    }

    pub(crate) fn checked(&mut self, run: RunId) {
        let passed = !self.check_fails;
        if self.runs.checks.remove(&run).is_some()
            && let Some(agent) = &mut self.agent
        {
            agent.events.push_back(Event::Checked { run, passed });
        }
    }

    /// A job's own command is told of a failure; now and then it cannot be started.
    fn on_failure(&mut self, failure: &Failure) {
        let (run, job) = (failure.run, failure.key.job.clone());
        let Some(agent) = &mut self.agent else { return };
        let refuses = agent.disk_again.is_some();
        self.model.alerts(failure, refuses);
        self.tell(|| format!("{job}: run {run} tells of {:?} {:?}", failure.outcome, failure.key.fire));
        if self.luck.one_in(20) {
            self.told(run, &job);
        } else {
            let (generation, takes) = (self.generations, self.luck.wait(30 * SECOND));
            self.later(takes, Coming::Told { generation, run, job });
        }
    }

    pub(crate) fn told(&mut self, run: RunId, job: &JobName) {
        self.model.alert_over(job);
        if let Some(agent) = &mut self.agent {
            agent.events.push_back(Event::OnFailureEnded { run });
        }
    }

    fn answer(&mut self, ask: leafcron::scheduler::AskId, reply: &Reply) {
        let Some(agent) = &mut self.agent else { return };
        match (agent.asks.remove(&ask), reply) {
            (Some(Asked::Run { job, id }), Reply::Accepted { .. }) => {
                self.tell(|| format!("{job}: command {id} is accepted"));
                self.model.accepts(&job, Fire::Manual { id });
            }
            (Some(Asked::Shutdown), _) => {
                self.tell(|| "* every run has ended: the machine goes down".to_owned());
                self.fallen = Some(Fall::PowerCut);
            }
            (Some(Asked::Run { .. } | Asked::Other) | None, _) => {}
        }
    }
}
