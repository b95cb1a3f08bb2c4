//! What the entries of a journal add up to: all that the agent must know after a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Intent, Missed, Pending, Source, Started, StopWhy};
use super::eras::{Eras, Provisionally};
use super::fire::{BootId, Fire, FireKey, RunId};
use super::name::JobName;
use super::record::{Outcome, Reason, Record};
use super::sync::{Acked, Bucket};
use super::taken::Remembered;
use super::time::WallTime;

/// How far a job's fires are accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The era of the instant.
    pub era: u32,
    /// Every fire up to here has its record, its intent or its pending.
    pub done_through: WallTime,
}

/// An intent without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// The intent.
    pub intent: Intent,
    /// Its runner, if that was noted.
    pub started: Option<Started>,
    /// Why it is made to end, if it is.
    pub stopping: Option<StopWhy>,
    /// What its definition calls a success.
    pub success_exit_codes: Vec<u8>,
}

impl OpenIntent {
    /// One of which no more is known.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        Self { intent, started: None, stopping: None, success_exit_codes: vec![0] }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let run = self.intent.run;
        let started = self.started.map(Entry::Started);
        let codes = Some(&self.success_exit_codes).filter(|codes| ***codes != [0]);
        let codes = codes.map(|codes| Entry::SuccessExitCodes { run, codes: codes.clone() });
        let stopping = self.stopping.clone().map(|why| Entry::Stopping { run, why });
        core::iter::once(Entry::Intent(self.intent.clone())).chain(started).chain(codes).chain(stopping)
    }
}

/// What the entries add up to: all that the agent must know after a restart. Applying the entries of a journal in
/// order, or the image's own [`entries`](Self::entries), gives the same image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// The last valid text by job and source.
    pub definitions: BTreeMap<(JobName, Source), String>,
    /// Which era counts.
    pub eras: Eras,
    /// How far each job's fires are accounted for in the main era.
    pub progress: BTreeMap<JobName, Progress>,
    /// The same in the provisional era, while that counts.
    pub provisional: BTreeMap<JobName, Provisionally>,
    /// Fires that wait.
    pub pending: BTreeMap<FireKey, Pending>,
    /// Missed fires that will run, by job, oldest first; the ranges do not meet.
    pub missed: BTreeMap<JobName, Vec<Missed>>,
    /// Starts without an end.
    pub intents: BTreeMap<FireKey, OpenIntent>,
    /// Paused jobs, since when.
    pub paused: BTreeMap<JobName, WallTime>,
    /// Each job's last final record, in short, for `list`.
    pub last: BTreeMap<JobName, LastRun>,
    /// The boot of the agent's last start.
    pub boot: Option<BootId>,
    /// The newest wall time of the main era.
    pub newest: Option<WallTime>,
    /// The largest run id in use or used since the image began.
    pub last_run: u64,
    /// The commands that were taken.
    pub commands: Remembered,
    /// How far the centre has what is numbered.
    pub acked: Acked,
    /// Where the centre's definitions came from; `None`: there never was one.
    pub bucket: Option<Bucket>,
    /// Definitions that the centre's bucket no longer holds, without having withdrawn them.
    pub orphans: BTreeSet<(JobName, Source)>,
}

/// A job's last final record, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When it ended.
    #[serde(with = "super::time::rfc3339")]
    pub ended: WallTime,
    /// How.
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// With which code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

impl From<&Record> for LastRun {
    fn from(record: &Record) -> Self {
        Self {
            ended: record.ended,
            outcome: record.outcome,
            reason: record.reason,
            exit_code: record.exit_code,
        }
    }
}

impl Image {
    /// Takes one entry into account. Total: an entry that makes no sense (a runner of an unknown intent) changes
    /// nothing, since the journal of an older or damaged agent may hold anything that parses.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(record) => self.apply_record(record),
            Entry::Event(event) => self.note_time(event.at),
            Entry::Defined { job, source, text } => {
                let key = (job.clone(), source.clone());
                self.orphans.remove(&key);
                self.definitions.insert(key, text.clone());
            }
            Entry::Withdrawn { job, source } => {
                let key = (job.clone(), source.clone());
                self.orphans.remove(&key);
                self.definitions.remove(&key);
            }
            Entry::Orphaned { job, source } => {
                let key = (job.clone(), source.clone());
                if self.definitions.contains_key(&key) {
                    self.orphans.insert(key);
                }
            }
            Entry::Acked(acked) => self.acked = *acked,
            Entry::Bucket(bucket) => self.bucket = Some(bucket.clone()),
            Entry::Eras(eras) => self.turn_to(eras),
            Entry::Began { job, era, at } => self.begin(job, *era, *at),
            Entry::Forgotten { job } => {
                self.progress.remove(job);
                self.provisional.remove(job);
                self.missed.remove(job);
                self.paused.remove(job);
                self.last.remove(job);
            }
            Entry::Pending(pending) => {
                self.advance(&pending.key);
                self.intents.remove(&pending.key);
                self.pending.insert(pending.key.clone(), pending.clone());
            }
            Entry::Missed(missed) => {
                self.advance_to(&missed.job, missed.era, missed.to);
                let mut ranges = self.missed.remove(&missed.job).unwrap_or_default();
                ranges.retain(|range| (range.era, range.to) != (missed.era, missed.to));
                if missed.after < missed.to {
                    ranges.push(missed.clone());
                }
                if !ranges.is_empty() {
                    self.missed.insert(missed.job.clone(), ranges);
                }
            }
            Entry::Intent(intent) => {
                self.note_time(intent.at);
                self.advance(&intent.key);
                self.pending.remove(&intent.key);
                self.last_run = self.last_run.max(intent.run.0);
                self.intents.insert(intent.key.clone(), OpenIntent::new(intent.clone()));
            }
            Entry::Started(started) => self.with_run(started.run, |open| open.started = Some(*started)),
            Entry::Stopping { run, why } => self.with_run(*run, |open| open.stopping = Some(why.clone())),
            Entry::SuccessExitCodes { run, codes } => {
                self.with_run(*run, |open| open.success_exit_codes.clone_from(codes));
            }
            Entry::Booted { boot } => self.boot = Some(*boot),
            Entry::Paused { job, at } => {
                self.paused.entry(job.clone()).or_insert(*at);
            }
            Entry::Resumed { job } => {
                self.paused.remove(job);
            }
            Entry::Taken(taken) => self.commands.remember(taken.clone()),
        }
    }

    fn with_run(&mut self, run: RunId, change: impl FnOnce(&mut OpenIntent)) {
        if let Some(open) = self.intents.values_mut().find(|open| open.intent.run == run) {
            change(open);
        }
    }

    /// What an implausible clock says is no time of the main era.
    fn note_time(&mut self, at: WallTime) {
        if self.eras.provisional.is_none() {
            self.newest = self.newest.max(Some(at));
        }
    }

    fn apply_record(&mut self, record: &Record) {
        self.note_time(record.ended);
        self.intents.remove(&record.key);
        self.advance(&record.key);
        if let (Fire::Scheduled { era, .. }, Some(covers)) = (&record.key.fire, record.covers) {
            self.advance_to(&record.key.job, *era, covers.to);
            // Skips that a refusing disk had put together: the fires may be waiting here.
            let of = |fire: &Fire| matches!(fire, Fire::Scheduled { era: of, due } if of == era && covers.from <= *due && *due <= covers.to);
            self.pending.retain(|key, _| key.job != record.key.job || !of(&key.fire));
        }
        if record.last {
            self.pending.remove(&record.key);
            self.last.insert(record.key.job.clone(), LastRun::from(record));
        }
    }

    /// A scheduled fire that is accounted for moves `done_through`, and with it the missed fires before it.
    fn advance(&mut self, key: &FireKey) {
        if let Fire::Scheduled { era, due } = key.fire {
            self.advance_to(&key.job, era, due);
        }
    }

    fn advance_to(&mut self, job: &JobName, era: u32, to: WallTime) {
        self.account(job, era, to);
        if let Some(ranges) = self.missed.get_mut(job) {
            for range in ranges.iter_mut().filter(|range| range.era == era && to <= range.to) {
                range.after = range.after.max(to);
            }
            ranges.retain(|range| range.after < range.to);
            if ranges.is_empty() {
                self.missed.remove(job);
            }
        }
    }

    /// The image as entries: what compaction writes at the head of a fresh segment, beside the records it keeps.
    /// `last` is not among them; it comes back with the records. Nor are `newest`, `last_run` and
    /// `commands`. The order matters: what moves `done_through` comes before the entries that set it.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let definitions = self.definitions.iter().map(|((job, source), text)| Entry::Defined {
            job: job.clone(),
            source: source.clone(),
            text: text.clone(),
        });
        let standing = Eras { provisional: None, newest: self.newest, ..self.eras.clone() };
        let main = (self.eras != Eras::default()).then_some(Entry::Eras(standing));
        let progress = self.progress.iter().map(|(job, progress)| Entry::Began {
            job: job.clone(),
            era: progress.era,
            at: progress.done_through,
        });
        let provisional = self.eras.provisional.iter().flat_map(|provisional| {
            let eras = Entry::Eras(Eras { newest: self.newest, ..self.eras.clone() });
            let jobs = self.provisional.iter();
            let jobs = jobs.filter(|(_, of)| of.anew || of.done_through > self.eras.at);
            core::iter::once(eras).chain(jobs.map(|(job, of)| of.entry(job, provisional.era)))
        });
        let missed = self.missed.values().flatten().cloned().map(Entry::Missed);
        let pending = self.pending.values().cloned().map(Entry::Pending);
        let intents = self.intents.values().flat_map(OpenIntent::entries);
        let paused = self.paused.iter().map(|(job, at)| Entry::Paused { job: job.clone(), at: *at });
        let boot = self.boot.map(|boot| Entry::Booted { boot });
        let acked = (self.acked != Acked::default()).then_some(Entry::Acked(self.acked));
        let bucket = self.bucket.clone().map(Entry::Bucket);
        let orphans = self
            .orphans
            .iter()
            .map(|(job, source)| Entry::Orphaned { job: job.clone(), source: source.clone() });
        // A waiting fire of a forgotten job brings its progress back; this takes it away again.
        let waiting = self.pending.keys().chain(self.intents.keys());
        let forgotten =
            waiting.filter(|key| !self.knows(&key.job)).map(|key| Entry::Forgotten { job: key.job.clone() });
        let waiting = main.into_iter().chain(pending).chain(intents).chain(forgotten);
        let progress = progress.chain(provisional);
        let device = boot.into_iter().chain(acked).chain(bucket);
        waiting.chain(missed).chain(progress).chain(definitions).chain(orphans).chain(paused).chain(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{BootTime, Clock, DeviceEvent, PendingStage, Trigger};

    fn at(minute: i64) -> WallTime {
        WallTime::from_secs(60 * minute)
    }

    fn scheduled(job: &str, due: i64) -> Entry {
        Entry::Pending(Pending {
            key: FireKey { job: job.parse().unwrap(), fire: Fire::Scheduled { era: 1, due: at(due) } },
            due: at(due),
            trigger: Trigger::Schedule,
            stage: PendingStage::Queue,
            attempt: 0,
            since: BootTime::from_millis(0),
            boot: BootId::default(),
            not_before: BootTime::from_millis(0),
            last: None,
            force: false,
        })
    }

    #[test]
    fn an_images_own_entries_give_the_same_image() {
        let job: JobName = "a".parse().unwrap();
        let mut image = Image::default();
        for entry in [
            // Missed fires noted after a later one waits, progress set back, and a forgotten job that still waits.
            scheduled("a", 20),
            Entry::Missed(Missed { job: job.clone(), era: 1, after: at(10), to: at(30) }),
            Entry::Began { job, era: 1, at: at(5) },
            scheduled("b", 7),
            Entry::Forgotten { job: "b".parse().unwrap() },
            Entry::Defined { job: "b".parse().unwrap(), source: Source::Agent, text: "{}".to_owned() },
            Entry::Orphaned { job: "b".parse().unwrap(), source: Source::Agent },
            Entry::Acked(Acked { through: 7, stream_sequence: 70, told: 9 }),
            Entry::Bucket(Bucket { id: None, sequence: 12 }),
            Entry::Event(DeviceEvent {
                at: at(1),
                clock: Clock::Synced,
                kind: super::super::EventKind::Stopped,
            }),
        ] {
            image.apply(&entry);
        }
        let mut again = Image { newest: image.newest, ..Image::default() };
        image.entries().for_each(|entry| again.apply(&entry));
        assert_eq!(again, image);
    }
}
