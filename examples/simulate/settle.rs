//! A world comes to rest: trouble ends, all is taken back, and everything that was owed must be there.

use leafcron::job::JobName;
use leafcron::scheduler::Event;

use crate::process::Asked;
use crate::world::{Coming, DAY, Fall, HOUR, MINUTE, World};

impl World {
    /// From its beginning to its end.
    pub(crate) fn run(&mut self) {
        self.live(self.kind.lasts);
        if self.is_well() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.settling = true;
        (self.armed, self.falls_after_acts) = (None, None);
        self.disk_heals();
        self.hub.reachable = true;
        (self.memory_short, self.check_fails) = (false, false);
        self.tell(|| "* trouble is over".to_owned());
        self.wait_until("the agent runs", |world| world.agent.as_ref().is_some_and(|agent| !agent.stopping));
        self.later(0, Coming::Synchronised);
        self.live(self.at + MINUTE);
        let jobs: Vec<JobName> = self.desk.jobs.clone();
        for job in &jobs {
            let Some(agent) = &mut self.agent else { return };
            let ask = agent.ask(Asked::Other);
            self.step(Event::Resume { job: job.clone(), command: None, ask });
        }
        self.turn_over();
        self.wait_until("the bucket is read", |world| !world.desk.news);
        self.check_centre();
        self.desk.clear();
        if self.agent.is_none() {
            return self.model.blame("rest: the agent is gone".to_owned());
        }
        self.reload();
        self.turn_over();
        self.wait_until("the empty bucket is read", |world| !world.desk.news);
        for job in &jobs {
            let Some(agent) = &mut self.agent else { return };
            if let Ok(changes) = agent.catalog.remove_orphan(job) {
                self.desk.lets_go(job);
                self.bring_in_force(&changes);
            }
        }
        self.turn_over();
        let going: Vec<_> = self.runs.dirs.keys().copied().collect();
        going.into_iter().for_each(|run| self.later(MINUTE, Coming::RunEnds { run }));
        self.wait_until("everything has ended and is delivered", World::rests);
        if !self.is_well() {
            return;
        }
        // What memory says is what the journal says.
        self.fallen = Some(Fall::Killed);
        self.turn_over();
        self.wait_until("the agent runs once more and rests", World::rests);
        self.model.judge(self.now().wall.millis());
        self.model.judge_sent(&self.hub.numbers());
    }

    /// What the centre says now is what is held of it.
    fn check_centre(&mut self) {
        let wrong = self.desk.bucket.keys.iter().find_map(|(key, found)| {
            let text = found.text.as_deref()?;
            self.model.is_known(text).then_some(())?;
            let (source, job) = crate::desk::parse(key)?;
            let held = self.model.held().get(&(job, source)).map(|definition| definition.text.as_str());
            (held != Some(text)).then(|| format!("catalog: {key} says {text}, and {held:?} is held"))
        });
        wrong.into_iter().for_each(|why| self.model.blame(why));
    }

    fn rests(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| {
            self.runs.going() == 0
                && agent.turns.is_empty()
                && agent.turn.entries.is_empty()
                && agent.writing.is_none()
                && agent.core.runs(None).is_empty()
                && agent.core.pending(None, self.now()).is_empty()
                && agent.results.unsent() == 0
        })
    }

    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.at + 4 * DAY;
        while self.is_well() && !is_so(self) {
            if self.at >= end {
                let unsent = self.agent.as_ref().map(|agent| agent.results.unsent());
                return self
                    .model
                    .blame(format!("rest: it does not come about that {what}; unsent: {unsent:?}"));
            }
            let step = if self.at + 3 * DAY < end { MINUTE } else { HOUR };
            self.live(self.at + step);
        }
    }
}
