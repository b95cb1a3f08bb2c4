//! What is kept in memory for a disk that refuses it, within a bound. What is beyond gives way in this order: skips of one
//! job become one record that covers them, outputs are left out, the oldest successes and skips go, then the oldest of
//! the rest. What goes is counted, and told when the disk takes facts again.

use std::collections::{BTreeMap, BTreeSet};

use super::turns::{acked, weight};
use crate::job::{
    Covers, Entry, Fire, FireKey, JobName, Outcome, Record, RunId, Taken, Trigger, WallTime, limits,
};

/// Bytes that are kept, about.
pub(super) const CARRIED_BYTES: usize = 384 * 1024;

/// Whether no fire of the job lies between two records of skips, the first given first.
pub(super) type Adjacent<'a> = &'a dyn Fn(&Record, &Record) -> bool;

/// What is carried, and how many facts were given up.
pub(super) fn bounded(mut entries: Vec<Entry>, adjacent: Adjacent<'_>) -> (Vec<Entry>, u64) {
    // Of acknowledgements the last one says all.
    let last = entries.iter().filter_map(acked).next_back();
    entries.retain(|entry| acked(entry).is_none_or(|acked| Some(acked) == last));
    drop_outdated(&mut entries);
    if weight(&entries) <= CARRIED_BYTES {
        return (entries, 0);
    }
    drop_settled(&mut entries);
    let mut entries = fold_skips(entries, adjacent);
    if weight(&entries) <= CARRIED_BYTES {
        return (entries, 0);
    }
    for entry in &mut entries {
        if let Entry::Record(record) = entry {
            record.leave_out_output();
        }
    }
    let mut surplus = weight(&entries).saturating_sub(CARRIED_BYTES);
    let mut given_up = 0;
    for goes in [goes_first, is_fact] {
        entries.retain(|entry| {
            let goes = surplus > 0 && goes(entry);
            if goes {
                surplus = surplus.saturating_sub(weight(core::slice::from_ref(entry)));
                given_up += 1;
            }
            !goes
        });
    }
    (entries, given_up)
}

/// What later entries make void: all but the newest commands that are remembered, all but a job's last pause and
/// last resumption. Nobody fills memory by asking.
fn drop_outdated(entries: &mut Vec<Entry>) {
    let (mut taken, mut paused, mut resumed) = (0, BTreeSet::new(), BTreeSet::new());
    let mut newest_first: Vec<Entry> = Vec::with_capacity(entries.len());
    newest_first.extend(entries.drain(..).rev().filter(|entry| match entry {
        Entry::Taken(_) => {
            taken += 1;
            taken <= limits::COMMAND_IDS
        }
        Entry::Paused { job, .. } => paused.insert(job.clone()),
        Entry::Resumed { job } => resumed.insert(job.clone()),
        _ => true,
    }));
    entries.extend(newest_first.into_iter().rev());
}

/// Where the final record of a fire is there as well, nothing else of it is needed.
fn drop_settled(entries: &mut Vec<Entry>) {
    let settled: BTreeSet<FireKey> = entries.iter().filter_map(settles).cloned().collect();
    let over = |entry: &Entry| match entry {
        Entry::Intent(intent) if settled.contains(&intent.key) => Some(intent.run),
        _ => None,
    };
    let over: BTreeSet<RunId> = entries.iter().filter_map(over).collect();
    entries.retain(|entry| match entry {
        Entry::Intent(intent) => !settled.contains(&intent.key),
        Entry::Pending(pending) => !settled.contains(&pending.key),
        Entry::Stopping { run, .. } | Entry::SuccessExitCodes { run, .. } => !over.contains(run),
        Entry::Started(_) => false,
        _ => true,
    });
}

/// The fire that an entry settles.
fn settles(entry: &Entry) -> Option<&FireKey> {
    if let Entry::Record(record) = entry { Some(&record.key).filter(|_| record.last) } else { None }
}

fn is_fact(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(_) | Entry::Event(_))
}

fn goes_first(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(record) if matches!(record.outcome, Outcome::Succeeded | Outcome::Skipped))
}

/// Neighbouring skips of one job become one record, where the later one stood.
fn fold_skips(entries: Vec<Entry>, adjacent: Adjacent<'_>) -> Vec<Entry> {
    let mut folded: Vec<Option<Entry>> = Vec::with_capacity(entries.len());
    // Where the skip lies that was the job's last entry.
    let mut skips: BTreeMap<JobName, usize> = BTreeMap::new();
    for mut entry in entries {
        let job = job_of(&entry).cloned();
        let before = job.as_ref().and_then(|job| skips.remove(job));
        if let Entry::Record(record) = &mut entry
            && range(record).is_some()
        {
            if let Some(slot) = before.and_then(|at| folded.get_mut(at))
                && let Some(Entry::Record(earlier)) = slot
                && adjacent(earlier, record)
                && cover(record, earlier)
            {
                *slot = None;
            }
            skips.extend(job.map(|job| (job, folded.len())));
        }
        folded.push(Some(entry));
    }
    folded.into_iter().flatten().collect()
}

/// The fires that a skip settles, if it is one that others can be put together with: caught-up ones have others between
/// them.
pub(super) fn range(record: &Record) -> Option<Covers> {
    let Fire::Scheduled { due, .. } = record.key.fire else { return None };
    let skipped = record.outcome == Outcome::Skipped && record.last && record.attempt == 0;
    let scheduled = skipped && record.trigger == Trigger::Schedule;
    scheduled.then(|| record.covers.unwrap_or(Covers { from: due, to: due, count: 1 }))
}

/// Lets a skip cover an earlier one of the same kind; whether it does.
fn cover(later: &mut Record, earlier: &Record) -> bool {
    let era = |record: &Record| match record.key.fire {
        Fire::Scheduled { era, .. } => Some(era),
        Fire::Reboot { .. } | Fire::Manual { .. } => None,
    };
    let alike = later.reason == earlier.reason
        && later.revision == earlier.revision
        && later.clock == earlier.clock
        && era(later) == era(earlier);
    let (Some(first), Some(second)) = (range(earlier), range(later)) else { return false };
    if !alike || first.to >= second.from {
        return false;
    }
    later.covers = Some(Covers { from: first.from, to: second.to, count: first.count + second.count });
    true
}

/// The last fire of one range and the first of the next.
pub(super) fn between(earlier: &Record, later: &Record) -> Option<(WallTime, WallTime)> {
    Some((range(earlier)?.to, range(later)?.from))
}

/// The job that an entry says something of.
fn job_of(entry: &Entry) -> Option<&JobName> {
    match entry {
        Entry::Record(record) => Some(&record.key.job),
        Entry::Pending(pending) => Some(&pending.key.job),
        Entry::Intent(intent) => Some(&intent.key.job),
        Entry::Missed(missed) => Some(&missed.job),
        Entry::Defined { job, .. }
        | Entry::Withdrawn { job, .. }
        | Entry::Began { job, .. }
        | Entry::Forgotten { job }
        | Entry::Paused { job, .. }
        | Entry::Resumed { job }
        | Entry::Orphaned { job, .. }
        | Entry::Taken(Taken { job, .. }) => Some(job),
        Entry::Event(_)
        | Entry::Eras(_)
        | Entry::Started(_)
        | Entry::Stopping { .. }
        | Entry::SuccessExitCodes { .. }
        | Entry::Booted { .. }
        | Entry::Acked(_)
        | Entry::Bucket(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, Readings, Reason, Revision};

    fn skip(job: &str, secs: i64, reason: Reason) -> Entry {
        let due = WallTime::from_secs(secs);
        Entry::Record(Box::new(Record {
            key: FireKey { job: job.parse().unwrap(), fire: Fire::Scheduled { era: 1, due } },
            revision: Revision::default(),
            trigger: Trigger::Schedule,
            due,
            started: None,
            ended: due,
            attempt: 0,
            outcome: Outcome::Skipped,
            last: true,
            reason: Some(reason),
            detail: Some("no space left on device".to_owned()),
            exit_code: None,
            signal: None,
            covers: None,
            stopped_by: None,
            not_applied: Vec::new(),
            output: None,
            usage: None,
            gate: Readings::default(),
            clock: Clock::Synced,
            era: 1,
        }))
    }

    /// Due each second.
    fn secondly(earlier: &Record, later: &Record) -> bool {
        between(earlier, later).is_some_and(|(from, to)| to.secs() - from.secs() == 1)
    }

    fn ranges(entries: &[Entry], job: &str) -> Vec<(i64, i64, u64)> {
        let records = entries.iter().filter_map(|entry| match entry {
            Entry::Record(record) if record.key.job.as_str() == job => range(record),
            _ => None,
        });
        records.map(|covers| (covers.from.secs(), covers.to.secs(), covers.count)).collect()
    }

    #[test]
    fn a_disk_that_is_full_for_a_day_costs_one_record_a_job() {
        let mut entries = Vec::new();
        let mut given_up = 0;
        for secs in 0..86_400 {
            entries.push(skip("a", secs, Reason::Disk));
            entries.push(skip("b", secs, Reason::Disk));
            let (kept, gone) = bounded(entries, &secondly);
            entries = kept;
            given_up += gone;
        }
        assert_eq!(given_up, 0, "nothing is lost");
        assert!(weight(&entries) <= CARRIED_BYTES);
        for job in ["a", "b"] {
            let ranges = ranges(&entries, job);
            assert_eq!(ranges.iter().map(|range| range.2).sum::<u64>(), 86_400);
            assert!(ranges.first().unwrap().0 == 0 && ranges.last().unwrap().1 == 86_399);
        }
    }

    #[test]
    fn only_skips_with_nothing_between_them_are_put_together() {
        let job: JobName = "a".parse().unwrap();
        let entries = vec![
            skip("a", 1, Reason::Disk),
            skip("a", 2, Reason::Disk),
            skip("b", 3, Reason::Disk),
            // Another fire lies between, another reason, another entry of the job, and an order that time has not.
            skip("a", 4, Reason::Disk),
            skip("a", 5, Reason::Overlap),
            skip("a", 6, Reason::Overlap),
            Entry::Paused { job, at: WallTime::from_secs(6) },
            skip("a", 7, Reason::Overlap),
            skip("a", 6, Reason::Overlap),
        ];
        let folded = fold_skips(entries, &secondly);
        assert_eq!(ranges(&folded, "a"), [(1, 2, 2), (4, 4, 1), (5, 6, 2), (7, 7, 1), (6, 6, 1)]);
        assert_eq!(ranges(&folded, "b"), [(3, 3, 1)]);
    }

    #[test]
    fn successes_and_skips_are_given_up_before_what_failed() {
        let end = |secs, outcome| {
            let Entry::Record(mut record) = skip("a", secs, Reason::Start) else { unreachable!() };
            record.outcome = outcome;
            Entry::Record(record)
        };
        let mixed = |n: i64| if n % 2 == 0 { Outcome::Failed } else { Outcome::Succeeded };
        let (kept, gone) = bounded((0..1_600).map(|n| end(n, mixed(n))).collect(), &secondly);
        let failed = |entry: &&Entry| !goes_first(entry);
        assert_eq!(kept.iter().filter(failed).count(), 800);
        assert_eq!(kept.len() as u64 + gone, 1_600);
        assert!(gone > 300 && weight(&kept) <= CARRIED_BYTES, "{gone}");
    }

    #[test]
    fn asking_without_end_on_a_refusing_disk_fills_no_memory() {
        let job: JobName = "a".parse().unwrap();
        let taken = |n: i64| Taken { id: format!("m{n}").parse().unwrap(), job: job.clone(), until: None };
        let asked = (0..2_000_i64).flat_map(|n| {
            let at = WallTime::from_secs(n);
            [
                Entry::Taken(taken(n)),
                Entry::Paused { job: job.clone(), at },
                Entry::Resumed { job: job.clone() },
            ]
        });
        let (kept, given_up) = bounded(asked.collect(), &|_, _| false);
        assert_eq!((kept.len(), given_up), (limits::COMMAND_IDS + 2, 0));
        let newest = Entry::Resumed { job: job.clone() };
        assert_eq!(kept.last(), Some(&newest));
        assert!(kept.contains(&Entry::Taken(taken(1_999))));
    }
}
