//! Which era counts, and what is owed in each. Read from DESIGN section 5, "The clock": a clock that nobody keeps and that
//! shows what cannot be counts in an era of its own, of this boot; one that is kept and shows that it had been wrong opens a
//! new main era. Of an era that is over all is owed that was lived of it.

use leafcron::job::{BootId, Clock, Entry, Eras, JobName, Now};

use super::{Model, Span};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What the agent's memory should know.
#[derive(Clone, Copy, Default)]
pub(super) struct Shown {
    /// The newest time of the main era.
    pub(super) newest: Option<i64>,
    /// Of the provisional one.
    pub(super) lived: Option<i64>,
    main: u32,
    provisional: Option<(u32, BootId)>,
    last: u32,
}

impl Shown {
    fn of(eras: &Eras, newest: Option<i64>, lived: Option<i64>) -> Self {
        let provisional = eras.provisional.map(|provisional| (provisional.era, provisional.boot));
        Self { newest, lived, main: eras.main, provisional, last: eras.last }
    }

    /// How far the era that counts was lived.
    pub(super) fn latest(&self) -> Option<i64> {
        if self.provisional.is_some() { self.lived } else { self.newest }
    }

    fn shows(&mut self, wall: i64) {
        let lived = if self.provisional.is_some() { &mut self.lived } else { &mut self.newest };
        *lived = (*lived).max(Some(wall));
    }

    fn is_behind(wall: i64, known: Option<i64>) -> bool {
        known.is_some_and(|known| wall + HOUR < known)
    }

    /// What is wrong with an era that begins at this moment.
    fn begins(&mut self, next: &Eras, now: Now) -> Result<(), String> {
        let (wall, old) = (now.wall.millis(), *self);
        let fresh = |era: u32| era == old.last + 1 && next.last == era;
        *self = Self::of(next, old.newest, None);
        if next.at != now.wall {
            return Err(format!("begins at {}, and it is {}", next.at, now.wall));
        }
        if next.main != old.main {
            self.newest = Some(wall);
            let was_wrong = now.clock == Clock::Synced && Self::is_behind(wall, old.newest);
            return match was_wrong && fresh(next.main) && next.provisional.is_none() {
                true => Ok(()),
                false => Err("is a new main one, and the clock had not been wrong".to_owned()),
            };
        }
        match (next.provisional, old.provisional) {
            (None, None) => Err("is no other one".to_owned()),
            (None, Some(_)) => Ok(()),
            (Some(new), Some((_, boot))) if new.boot == boot && !Self::is_behind(wall, old.lived) => {
                Err("is another provisional one of the same boot".to_owned())
            }
            (Some(new), _) if !fresh(new.era) => Err("has a number that was used before".to_owned()),
            (Some(_), _) => {
                self.lived = Some(wall);
                Ok(())
            }
        }
    }

    /// What is wrong with the era that counts.
    fn judge(&self, now: Now) -> Option<&'static str> {
        let wall = now.wall.millis();
        let known = self.newest.max(Some(0));
        let behind = Self::is_behind(wall, known);
        let ahead = self.newest.is_some() && known.is_some_and(|known| wall > known + 400 * DAY);
        match (now.clock, self.provisional) {
            (Clock::Synced, Some(_)) => Some("a synchronised clock counts in a provisional era"),
            (Clock::Synced, None) => {
                Self::is_behind(wall, self.newest).then_some("the clock had been wrong, and its era goes on")
            }
            (Clock::Unsynced, Some(_)) => (!behind && !ahead).then_some("a plausible clock does not count"),
            (Clock::Unsynced, None) => (behind || ahead).then_some("an implausible clock counts"),
        }
    }
}

impl Model {
    /// The wall stands here, and is about to be set: the core knows as much, from how long the machine has been up.
    pub(crate) fn shows(&mut self, wall: leafcron::job::WallTime) {
        self.shown.shows(wall.millis());
    }

    /// A turn was closed: which era it counts by.
    pub(super) fn counts_by(&mut self, now: Now, entries: &[Entry]) {
        for entry in entries {
            let Entry::Eras(next) = entry else { continue };
            if next.main != self.shown.main {
                self.stood.insert(next.main, self.shown.newest);
            }
            if let Err(why) = self.shown.begins(next, now) {
                self.blame(format!("era: {} {why}", next.current()));
            }
        }
        if let Some(why) = self.shown.judge(now) {
            let (wall, clock) = (now.wall, now.clock);
            self.blame(format!("era: it is {wall}, {clock:?}, and {why}"));
        }
        self.shown.shows(now.wall.millis());
    }

    /// After a crash.
    pub(super) fn eras_restarted(&mut self) {
        let newest = self.durable.newest.map(|newest| newest.millis());
        let lived = self.durable.provisional.values().map(|of| of.done_through.millis()).max();
        self.shown = Shown::of(&self.durable.eras, newest, lived);
    }

    /// Another era counts, durably: what is owed in each.
    pub(super) fn note_eras(&mut self, next: &Eras) {
        let old = self.durable.eras.clone();
        let ends = next.main != old.main;
        let jobs: Vec<JobName> = self.spans.keys().cloned().collect();
        for job in jobs {
            let definition = self.durably_in_force(&job);
            if let Some(provisional) = old.provisional {
                let of = self.durable.provisional.get(&job).copied();
                let done = of.map(|of| of.done_through.millis());
                // Of an earlier boot nobody knows how far it was lived.
                let to = next.until.map(|until| until.millis()).or(done);
                let span = self.end_span_of(&job, provisional.era, to.unwrap_or(next.at.millis()));
                // What was accepted meanwhile begins in the main era.
                if let Some(definition) = span.filter(|_| next.provisional.is_none() && !ends)
                    && of.is_some_and(|of| of.anew)
                {
                    let (era, from) = (next.main, next.begins().millis());
                    let from =
                        self.durable.progress.get(&job).map_or(from, |of| from.max(of.done_through.millis()));
                    self.spans.entry(job.clone()).or_default().push(Span { definition, era, from, to: None });
                }
            }
            if ends {
                let stood = self.stood.get(&next.main).copied().flatten();
                let done = self.durable.progress.get(&job).map(|of| of.done_through.millis());
                let to = stood.max(done).unwrap_or(next.at.millis());
                self.end_span_of(&job, old.main, to);
            }
            if let Some(definition) = definition.filter(|_| ends || next.provisional.is_some()) {
                let (era, from) = (next.current(), next.at.millis());
                self.spans.entry(job).or_default().push(Span { definition, era, from, to: None });
            }
        }
    }
}
