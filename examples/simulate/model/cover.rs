//! Promise 1: every due instant of a definition in force is covered by exactly one final record, and none of another.

use std::collections::BTreeMap;

use leafcron::job::{EventKind, Fire, FireKey, JobName, Record, WallTime};

use super::walk::Walker;
use super::{Fact, Model};

/// One instant that is owed a record.
struct Owed {
    era: u32,
    due: i64,
    /// More than one definition may have owed it, one after the other.
    times: u32,
    records: Vec<u64>,
}

impl Model {
    /// Promise 1. `now` ends what is still in force.
    pub(super) fn judge_cover(&mut self, now: i64) {
        let mut owed = self.owed(now);
        for (seq, fact) in (1..).zip(&self.facts) {
            if let Fact::Record(record) = fact
                && let Err(why) = settle(&mut owed, record, seq)
            {
                return self.blame(why);
            }
        }
        let excused = self.excuse(&mut owed);
        let told: u64 = self.facts.iter().map(unrecorded).sum();
        if excused > told {
            return self.blame(format!("cover: {excused} records were given up, and events tell of {told}"));
        }
        for (job, instants) in &owed {
            let wrong = instants.iter().find(|owed| owed.records.len() as u64 != u64::from(owed.times));
            let Some(Owed { era, due, times, records }) = wrong else { continue };
            let due = WallTime::from_secs(*due);
            let why = match records.as_slice() {
                [] => "has no final record".to_owned(),
                many => format!("is owed {times} record and has {}: seq {many:?}", many.len()),
            };
            return self.blame(format!("cover: {job} due {due} in era {era} {why}"));
        }
        self.judge_asked();
    }

    fn owed(&mut self, now: i64) -> BTreeMap<JobName, Vec<Owed>> {
        let mut walker = Walker::default();
        let mut all = BTreeMap::new();
        for (job, spans) in &self.spans {
            let mut instants: BTreeMap<(u32, i64), u32> = BTreeMap::new();
            let done = self.durable.progress.get(job).map(|progress| progress.done_through.millis());
            for span in spans {
                let to = span.to.unwrap_or_else(|| done.map_or(now, |done| done.max(now)));
                for due in walker.due(&span.definition, &self.device_zone, span.era, span.from, to) {
                    *instants.entry((span.era, due)).or_default() += 1;
                }
            }
            let owed =
                instants.into_iter().map(|((era, due), times)| Owed { era, due, times, records: Vec::new() });
            all.insert(job.clone(), owed.collect());
        }
        all
    }

    /// What was given up while the disk refused everything; how many records covered what has no other.
    fn excuse(&self, owed: &mut BTreeMap<JobName, Vec<Owed>>) -> u64 {
        let mut excused = 0;
        for record in &self.given_up {
            let Some(instants) = owed.get_mut(&record.key.job) else { continue };
            let mut needed = false;
            for owed in concerned(instants, record) {
                needed |= owed.records.is_empty();
                owed.records.resize(owed.times.try_into().unwrap_or(1), 0);
            }
            excused += u64::from(needed);
        }
        excused
    }

    /// Every command that was accepted, and every boot of an `@reboot` job, has one final record.
    fn judge_asked(&mut self) {
        let mut finals: BTreeMap<&FireKey, u32> = BTreeMap::new();
        for fact in &self.facts {
            let Fact::Record(record) = fact else { continue };
            if record.last && !matches!(record.key.fire, Fire::Scheduled { .. }) {
                *finals.entry(&record.key).or_default() += 1;
            }
        }
        let given_up = |key: &FireKey| self.given_up.iter().any(|record| record.key == *key);
        let asked = self
            .accepted
            .iter()
            .map(|(id, job)| FireKey { job: job.clone(), fire: Fire::Manual { id: id.clone() } });
        let wrong = asked
            .chain(self.booted.iter().cloned())
            .find(|key| finals.get(key) != Some(&1) && !given_up(key));
        let twice = finals.iter().find(|(_, count)| **count > 1).map(|(key, _)| (*key).clone());
        let undue = |key: &&&FireKey| matches!(key.fire, Fire::Reboot { .. }) && !self.booted.contains(**key);
        let undue = finals.keys().find(undue).map(|key| (*key).clone());
        if let Some(key) = wrong.or(twice).or(undue) {
            let count = finals.get(&key).copied().unwrap_or(0);
            self.blame(format!("cover: {} {:?} has {count} final records", key.job, key.fire));
        }
    }

    /// Whether the journal moved past a fire without its final record.
    pub(super) fn was_given_up(&self, key: &FireKey) -> bool {
        let covers = |record: &Record| match (&record.key.fire, &key.fire, record.covers) {
            (Fire::Scheduled { era, .. }, Fire::Scheduled { era: own, due }, Some(covers)) => {
                era == own && covers.from <= *due && *due <= covers.to
            }
            _ => record.key.fire == key.fire,
        };
        self.given_up.iter().any(|record| record.last && record.key.job == key.job && covers(record))
    }

    /// Records that the queue gave up.
    pub(crate) fn gives_up(&mut self, record: &Record) {
        self.given_up_so_far.push(record.clone());
    }
}

/// The instants that a record is about.
fn concerned<'a>(instants: &'a mut [Owed], record: &Record) -> impl Iterator<Item = &'a mut Owed> {
    let (era, from, to) = match (&record.key.fire, record.covers) {
        (Fire::Scheduled { era, .. }, Some(covers)) if record.last => (*era, covers.from, covers.to),
        (Fire::Scheduled { era, due }, None) if record.last => (*era, *due, *due),
        _ => (0, WallTime::from_secs(0), WallTime::from_secs(-1)),
    };
    let first = instants.partition_point(|owed| (owed.era, owed.due) < (era, from.secs()));
    instants[first..].iter_mut().take_while(move |owed| (owed.era, owed.due) <= (era, to.secs()))
}

fn settle(owed: &mut BTreeMap<JobName, Vec<Owed>>, record: &Record, seq: u64) -> Result<(), String> {
    let Fire::Scheduled { era, due } = record.key.fire else { return Ok(()) };
    if !record.last {
        return Ok(());
    }
    let job = &record.key.job;
    let said = record.covers.map_or(1, |covers| covers.count);
    let mut count = 0;
    for owed in owed.get_mut(job).into_iter().flat_map(|instants| concerned(instants, record)) {
        count += 1;
        owed.records.push(seq);
    }
    if count == said {
        return Ok(());
    }
    let covers = record.covers;
    Err(format!(
        "cover: {job} due {due} in era {era}: seq {seq} settles {said} fires, {covers:?}, and {count} were due"
    ))
}

fn unrecorded(fact: &Fact) -> u64 {
    match fact {
        Fact::Event(EventKind::Unrecorded { count, .. }) => *count,
        Fact::Event(_) | Fact::Record(_) | Fact::Hole => 0,
    }
}
