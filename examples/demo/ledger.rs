//! The closing account: what was due by the schedule alone, what ran by the lines that the jobs wrote, and what
//! leafcron's records say of it.

use std::collections::BTreeMap;
use std::fmt;

use leafcron::job::{Outcome, RecordJson};
use serde::Serialize;

/// A schedule in plain arithmetic: each instant whose seconds since 1970 leave `offset`. Zones are whole minutes.
#[derive(Clone, Copy)]
pub(super) struct Every {
    pub(super) secs: i64,
    pub(super) offset: i64,
}

/// The time that is accounted for, in milliseconds.
pub(super) struct Expected {
    /// The agent was started.
    pub(super) from: i64,
    /// It answered: from here on every instant counts. One before may have come before the jobs were in force.
    pub(super) certain_from: i64,
    /// The last look.
    pub(super) until: i64,
}

/// Due instants in milliseconds, and whether each must be there.
type Due = BTreeMap<i64, bool>;

impl Expected {
    pub(super) fn of(&self, every: Every) -> Due {
        let seconds = self.from.div_euclid(1_000)..=self.until.div_euclid(1_000);
        let due = seconds.filter(|second| second.rem_euclid(every.secs) == every.offset);
        due.map(|second| second * 1_000)
            .filter(|at| (self.from..=self.until).contains(at))
            .map(|at| (at, at > self.certain_from))
            .collect()
    }
}

/// One line of the table a job.
#[derive(Default)]
pub(super) struct Ledger {
    rows: Vec<Row>,
}

struct Row {
    job: &'static str,
    due: usize,
    ran: usize,
    /// Final records in the hub's stream.
    hub: usize,
    ended: BTreeMap<String, usize>,
    lost: Vec<String>,
    doubled: Vec<String>,
}

impl Ledger {
    /// Holds a job's due instants, its own witness lines, its final records and those in the hub's stream against each
    /// other.
    pub(super) fn add(
        &mut self,
        job: &'static str,
        due: &Due,
        witnesses: &[i64],
        records: &[RecordJson],
        hub: &[RecordJson],
    ) {
        let of_job = |it: &&RecordJson| it.job.as_str() == job && it.last;
        let finals: Vec<&RecordJson> = records.iter().filter(of_job).collect();
        let there: Vec<&RecordJson> = hub.iter().filter(of_job).collect();
        let mut row = Row {
            job,
            due: 0,
            ran: 0,
            hub: there.len(),
            ended: BTreeMap::new(),
            lost: Vec::new(),
            doubled: Vec::new(),
        };
        for (&at, &certain) in due {
            let settled: Vec<_> = finals.iter().filter(|record| covers(record, at)).collect();
            let lines = witnesses.iter().filter(|line| **line == at).count();
            if !certain && settled.is_empty() && lines == 0 {
                continue;
            }
            row.due += 1;
            row.ran += usize::from(lines > 0);
            if settled.is_empty() {
                row.lost.push(format!("{}: no final record", clock(at)));
            }
            if settled.len() > 1 {
                row.doubled.push(format!("{}: {} final records", clock(at), settled.len()));
            }
            if lines > 1 {
                row.doubled.push(format!("{}: ran {lines} times", clock(at)));
            }
            for record in settled {
                let skipped = record.outcome == Outcome::Skipped;
                if skipped && lines > 0 {
                    row.doubled.push(format!("{}: ran, and its record says skipped", clock(at)));
                }
                if !skipped && lines == 0 {
                    row.lost.push(format!("{}: its record says that it ran", clock(at)));
                }
                *row.ended.entry(ending(record)).or_default() += 1;
            }
        }
        let stray = witnesses.iter().filter(|line| !due.contains_key(line));
        row.doubled.extend(stray.map(|at| format!("{}: ran without being due", clock(*at))));
        let stray = finals.iter().filter(|record| !due.keys().any(|at| covers(record, *at)));
        row.doubled.extend(stray.map(|it| format!("{}: a record without being due", clock(it.due.millis()))));
        for record in &finals {
            let at = clock(record.due.millis());
            match there.iter().filter(|it| it == &record).count() {
                0 => row.lost.push(format!("{at}: its record {} is not at the hub", record.seq)),
                1 => {}
                more => {
                    row.doubled.push(format!("{at}: its record {} is {more} times at the hub", record.seq))
                }
            }
        }
        let stray = there.iter().filter(|it| !finals.contains(it));
        row.doubled.extend(stray.map(|it| format!("record {} at the hub is not the device's", it.seq)));
        self.rows.push(row);
    }

    pub(super) fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| row.due > 0 && row.lost.is_empty() && row.doubled.is_empty())
    }
}

fn covers(record: &RecordJson, at: i64) -> bool {
    match &record.covers {
        Some(covers) => (covers.from.millis()..=covers.to.millis()).contains(&at),
        None => record.due.millis() == at,
    }
}

fn ending(record: &RecordJson) -> String {
    let outcome = word(&record.outcome);
    match record.reason {
        Some(reason) => format!("{outcome} ({})", word(&reason)),
        None => outcome,
    }
}

/// The word that a record uses.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

fn clock(at: i64) -> String {
    format!(":{:02}", at.div_euclid(1_000).rem_euclid(60))
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<9}{:>4}{:>5}{:>9}{:>8}{:>6}{:>9}  how it ended",
            "job", "due", "ran", "skipped", "at hub", "lost", "doubled"
        )?;
        for row in &self.rows {
            let skipped: usize = row
                .ended
                .iter()
                .filter(|(word, _)| word.starts_with("skipped"))
                .map(|(_, count)| count)
                .sum();
            let ended: Vec<_> = row.ended.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let (job, due, ran, hub) = (row.job, row.due, row.ran, row.hub);
            let (lost, doubled, ended) = (row.lost.len(), row.doubled.len(), ended.join(", "));
            writeln!(f, "{job:<9}{due:>4}{ran:>5}{skipped:>9}{hub:>8}{lost:>6}{doubled:>9}  {ended}")?;
        }
        for row in &self.rows {
            for line in &row.lost {
                writeln!(f, "lost: {} {line}", row.job)?;
            }
            for line in &row.doubled {
                writeln!(f, "doubled: {} {line}", row.job)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = include_str!("../../tests/golden/record.json");
    /// Every two seconds from 0 to 6, the first of them before the agent answered.
    const WINDOW: Expected = Expected { from: 0, certain_from: 500, until: 6_900 };

    fn record(at: i64, outcome: Outcome) -> RecordJson {
        let mut record: RecordJson = serde_json::from_str(RECORD).expect("golden");
        record.due = leafcron::job::WallTime::from_millis(at);
        record.outcome = outcome;
        record
    }

    fn row(witnesses: &[i64], records: &[RecordJson]) -> Row {
        let mut ledger = Ledger::default();
        // The hub has each of them once.
        let mut hub = records.to_vec();
        hub.dedup();
        ledger.add("backup", &WINDOW.of(Every { secs: 2, offset: 0 }), witnesses, records, &hub);
        ledger.rows.pop().expect("one row")
    }

    fn ran(instants: &[i64]) -> Vec<RecordJson> {
        instants.iter().map(|at| record(*at, Outcome::Succeeded)).collect()
    }

    #[test]
    fn a_full_account_is_clean_with_or_without_the_instant_before_the_agent_answered() {
        let row_of = row(&[2_000, 4_000, 6_000], &ran(&[2_000, 4_000, 6_000]));
        assert_eq!((row_of.due, row_of.ran, row_of.lost.len(), row_of.doubled.len()), (3, 3, 0, 0));
        let row_of = row(&[0, 2_000, 4_000, 6_000], &ran(&[0, 2_000, 4_000, 6_000]));
        assert_eq!((row_of.due, row_of.ran, row_of.lost.len(), row_of.doubled.len()), (4, 4, 0, 0));
    }

    #[test]
    fn a_missing_record_and_a_run_that_never_was_are_lost() {
        assert_eq!(row(&[2_000, 4_000], &ran(&[2_000, 4_000])).lost.len(), 1);
        assert_eq!(row(&[2_000, 4_000], &ran(&[2_000, 4_000, 6_000])).lost.len(), 1);
    }

    #[test]
    fn a_second_run_a_second_record_and_a_stray_are_doubled() {
        let all = [2_000, 4_000, 6_000];
        assert_eq!(row(&[2_000, 2_000, 4_000, 6_000], &ran(&all)).doubled.len(), 1);
        assert_eq!(row(&all, &ran(&[2_000, 2_000, 4_000, 6_000])).doubled.len(), 1);
        assert_eq!(row(&[2_000, 3_000, 4_000, 6_000], &ran(&all)).doubled.len(), 1);
        let mut records = ran(&all[..2]);
        records.push(record(6_000, Outcome::Skipped));
        assert_eq!(row(&all, &records).doubled.len(), 1);
    }

    #[test]
    fn a_record_that_the_hub_lacks_or_has_twice_is_told() {
        let due = WINDOW.of(Every { secs: 2, offset: 0 });
        let (all, records) = ([2_000, 4_000, 6_000], ran(&[2_000, 4_000, 6_000]));
        let account = |hub: &[RecordJson]| {
            let mut ledger = Ledger::default();
            ledger.add("backup", &due, &all, &records, hub);
            let row = ledger.rows.pop().expect("one row");
            (row.lost.len(), row.doubled.len())
        };
        assert_eq!(account(&records), (0, 0));
        assert_eq!(account(&records[1..]), (1, 0));
        assert_eq!(account(&[&records[..], &records[..1]].concat()), (0, 1));
        assert_eq!(account(&[&records[..], &ran(&[8_000])[..]].concat()), (0, 1));
    }

    #[test]
    fn one_record_may_cover_several() {
        let mut skipped = record(4_000, Outcome::Skipped);
        let at = leafcron::job::WallTime::from_millis;
        skipped.covers = Some(leafcron::job::Covers { from: at(2_000), to: at(4_000), count: 2 });
        let mut records = ran(&[6_000]);
        records.push(skipped);
        let row = row(&[6_000], &records);
        assert_eq!((row.due, row.ran, row.lost.len(), row.doubled.len()), (3, 1, 0, 0));
        assert_eq!(row.ended.get("skipped"), Some(&2));
    }
}
