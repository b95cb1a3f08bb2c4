//! The closing account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use leafcron::job::{EventKind, JobName, Outcome, Reason, Record, WallTime};
use leafcron::store::{RealDisk, events, history};

/// When it was, in milliseconds.
pub(super) struct Span {
    /// The agent was started for the first time.
    pub(super) begun: i64,
    /// It answered: from here on each second is due.
    pub(super) certain: i64,
    /// The jobs were still due here.
    pub(super) stopped: i64,
}

#[derive(Default)]
pub(super) struct Account {
    due: usize,
    ran: usize,
    skipped: usize,
    /// Of them, because no disk took the intent.
    refused: usize,
    interrupted: usize,
    /// By a power cut.
    cut: usize,
    facts: u64,
    pub(super) wrong: Vec<String>,
}

/// One start: job, due, attempt.
type Witness = (String, String, u8);

impl Account {
    pub(super) fn of(
        state: &Path,
        witness: &[String],
        jobs: &[JobName],
        span: &Span,
        runners_killed: usize,
    ) -> Self {
        let disk = RealDisk::open(state).unwrap();
        let mut account = Self::default();
        let records = all(jobs, &disk);
        account.numbers(&records, &disk);
        let mut witnessed: BTreeMap<Witness, usize> = BTreeMap::new();
        for line in witness {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [job, due, attempt] => {
                    let start = (job.to_owned(), due.to_owned(), attempt.parse().unwrap());
                    *witnessed.entry(start).or_default() += 1;
                }
                _ => account.wrong.push(format!("a line that no job wrote: {line:?}")),
            }
        }
        for job in jobs {
            let of_job = records.iter().filter(|(_, record)| record.key.job == *job);
            let of_job: Vec<&Record> = of_job.map(|(_, record)| record).collect();
            account.fires(job, &of_job, span);
            account.starts(&of_job, &mut witnessed);
        }
        let unknown = witnessed.into_keys().map(|start| format!("{start:?} ran, and no record says so"));
        account.wrong.extend(unknown);
        if account.interrupted > runners_killed {
            let count = account.interrupted;
            account.wrong.push(format!("{count} runs were interrupted, and {runners_killed} runners killed"));
        }
        account
    }

    /// Each number is there once, or told to be missing.
    fn numbers(&mut self, records: &[(u64, Record)], disk: &RealDisk) {
        let events = events(disk, usize::MAX).unwrap();
        let mut numbers: Vec<u64> = records.iter().map(|(seq, _)| *seq).collect();
        numbers.extend(events.iter().map(|(seq, _)| *seq));
        numbers.sort_unstable();
        self.facts = numbers.len() as u64;
        let expected: Vec<u64> = (1..=self.facts).collect();
        if numbers != expected {
            let missing = expected.iter().find(|seq| !numbers.contains(seq));
            self.wrong.push(format!(
                "{} numbers up to {:?}; missing: {missing:?}",
                self.facts,
                numbers.last()
            ));
        }
        for (seq, event) in events {
            if let EventKind::Damaged { .. } | EventKind::Dropped { .. } | EventKind::Unrecorded { .. } =
                event.kind
            {
                self.wrong.push(format!("event {seq}: {:?}", event.kind));
            }
        }
    }

    /// Each second has one final record.
    fn fires(&mut self, job: &JobName, records: &[&Record], span: &Span) {
        let mut settled: BTreeMap<i64, usize> = BTreeMap::new();
        for record in records.iter().filter(|record| record.last) {
            let (from, to) =
                record.covers.map_or((record.due, record.due), |covers| (covers.from, covers.to));
            let count = record.covers.map_or(1, |covers| covers.count);
            if u64::try_from(to.secs() - from.secs() + 1) != Ok(count) {
                self.wrong.push(format!("{job}: {from} to {to} are said to be {count} fires"));
            }
            (from.secs()..=to.secs()).for_each(|secs| *settled.entry(secs).or_default() += 1);
            self.refused += usize::from(record.reason == Some(Reason::Disk));
            self.skipped +=
                if record.outcome == Outcome::Skipped { usize::try_from(count).unwrap() } else { 0 };
        }
        let first = span.begun / 1_000;
        for secs in first..=span.stopped / 1_000 {
            let count = settled.remove(&secs).unwrap_or(0);
            self.due += count.min(1);
            let certain = secs * 1_000 > span.certain;
            if count > 1 || certain && count == 0 {
                self.wrong.push(format!("{job}: due {}: {count} final records", WallTime::from_secs(secs)));
            }
        }
        // Until the pause was there it was still due.
        for (secs, count) in settled {
            if secs < first || count > 1 {
                self.wrong.push(format!("{job}: due {}: {count} final records", WallTime::from_secs(secs)));
            }
        }
    }

    /// Each start that a record tells was witnessed once; its line is then taken away.
    fn starts(&mut self, records: &[&Record], witnessed: &mut BTreeMap<Witness, usize>) {
        let mut told: BTreeSet<Witness> = BTreeSet::new();
        for record in records.iter().filter(|record| record.attempt > 0) {
            let start = (record.key.job.to_string(), record.due.to_string(), record.attempt);
            // A fire that is given up after an attempt has a final record of its own, which repeats that attempt.
            let again = !told.insert(start.clone());
            if again && record.last {
                continue;
            }
            let lines = witnessed.remove(&start).unwrap_or(0);
            self.ran += lines.min(1);
            let lost = record.outcome == Outcome::Interrupted && record.reason == Some(Reason::RunnerLost);
            self.interrupted += usize::from(lost);
            // The machine's power was cut, perhaps before its first word.
            let cut = record.outcome == Outcome::Interrupted && record.reason == Some(Reason::Boot);
            self.cut += usize::from(cut);
            if lines != 1 && !((lost || cut) && lines == 0) {
                self.wrong.push(format!("{start:?} ran {lines} times; its record: {:?}", record.outcome));
            }
        }
    }
}

fn all(jobs: &[JobName], disk: &RealDisk) -> Vec<(u64, Record)> {
    // Job by job: an answer has a bound.
    jobs.iter().flat_map(|job| history(disk, Some(job), usize::MAX).unwrap()).collect()
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, ran, skipped, refused, interrupted, cut, facts, wrong } = self;
        write!(
            f,
            "{due} fires due, {ran} starts, {skipped} skipped ({refused} for the disk), {interrupted} interrupted, {cut} cut off; {facts} facts; {} wrong",
            wrong.len()
        )
    }
}
