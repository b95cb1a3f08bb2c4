//! What is kept in memory for a disk that refuses it, within a bound. What is beyond gives way in this order: skips of one
//! job become one record that covers them, outputs are left out, the oldest successes and skips go, then the oldest of
//! the rest. What goes is counted, and told when the disk takes facts again.

use std::collections::{BTreeMap, BTreeSet};

use super::turns::{acked, weight};
use crate::job::{
    Covers, Entry, Eras, Fire, FireKey, JobName, Outcome, Record, RunId, Source, Taken, Trigger, WallTime,
    limits,
};

/// Bytes that are kept, about.
pub(super) const CARRIED_BYTES: usize = 384 * 1024;

/// Whether no fire of the job lies between two records of skips, the first given first.
pub(super) type Adjacent<'a> = &'a dyn Fn(&Record, &Record) -> bool;

/// What is carried within `most` bytes, about, and how many facts were given up.
pub(super) fn bounded(mut entries: Vec<Entry>, most: usize, adjacent: Adjacent<'_>) -> (Vec<Entry>, u64) {
    // Of acknowledgements the last one says all.
    let last = entries.iter().filter_map(acked).next_back();
    entries.retain(|entry| acked(entry).is_none_or(|acked| Some(acked) == last));
    drop_outdated(&mut entries);
    if weight(&entries) <= most {
        return (entries, 0);
    }
    drop_settled(&mut entries);
    let mut entries = fold_skips(entries, adjacent);
    if weight(&entries) <= most {
        return (entries, 0);
    }
    for entry in &mut entries {
        if let Entry::Record(record) = entry {
            record.leave_out_output();
        }
    }
    let mut surplus = weight(&entries).saturating_sub(most);
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

/// What later entries make void, so that nobody fills memory by asking, by writing definitions, or with a clock that comes
/// and goes. The image that the rest adds up to is the same.
fn drop_outdated(entries: &mut Vec<Entry>) {
    drop_passing_eras(entries);
    let mut later = Later::default();
    let mut newest_first: Vec<Entry> = Vec::with_capacity(entries.len());
    newest_first.extend(entries.drain(..).rev().filter(|entry| !later.voids(entry)));
    entries.extend(newest_first.into_iter().rev());
}

/// What was seen of a queue that is read from its end.
#[derive(Default)]
struct Later {
    taken: usize,
    paused: BTreeSet<JobName>,
    resumed: BTreeSet<JobName>,
    /// Defined or withdrawn: whatever was said before is not in force, and no orphan.
    said: BTreeSet<(JobName, Source)>,
    orphaned: BTreeSet<(JobName, Source)>,
    /// Where a schedule begins within the same reign of one era.
    began: BTreeMap<(JobName, u32), WallTime>,
    bucket: bool,
}

impl Later {
    /// Whether an entry says nothing beside those after it; it is one of them from now on.
    fn voids(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Taken(_) => {
                self.taken += 1;
                self.taken > limits::COMMAND_IDS
            }
            Entry::Paused { job, .. } => !self.paused.insert(job.clone()),
            Entry::Resumed { job } => !self.resumed.insert(job.clone()),
            Entry::Defined { job, source, .. } | Entry::Withdrawn { job, source } => {
                !self.said.insert((job.clone(), source.clone()))
            }
            Entry::Orphaned { job, source } => {
                let key = (job.clone(), source.clone());
                self.said.contains(&key) || !self.orphaned.insert(key)
            }
            // A later beginning sets progress whatever it was; the newest time must not go back with it.
            Entry::Began { job, era, at } => {
                let key = (job.clone(), *era);
                let void = self.began.get(&key).is_some_and(|later| at <= later);
                self.began.entry(key).or_insert(*at);
                void
            }
            // To which era a beginning belongs depends on the era that counts.
            Entry::Eras(_) => {
                self.began.clear();
                false
            }
            Entry::Bucket(_) => core::mem::replace(&mut self.bucket, true),
            _ => false,
        }
    }
}

/// A provisional era in which no schedule began leaves nothing once the main era goes on; and of two returns to one main
/// era with nothing between them the last says all. The first stays: it may end an era that the disk knows.
fn drop_passing_eras(entries: &mut Vec<Entry>) {
    let mut kept: Vec<(usize, &Eras)> = Vec::new();
    let mut void: BTreeSet<usize> = BTreeSet::new();
    let began = |era: u32, from: usize, to: usize| {
        let between = entries.iter().take(to).skip(from);
        between.into_iter().any(|entry| matches!(entry, Entry::Began { era: of, .. } if *of == era))
    };
    for (index, entry) in entries.iter().enumerate() {
        let Entry::Eras(eras) = entry else { continue };
        while let [.., (_, first), (at, last)] = kept[..]
            && eras.provisional.is_none()
            && [first, last].iter().all(|of| of.main == eras.main)
            && first.provisional.is_none()
            && last.provisional.is_none_or(|of| !began(of.era, at, index))
        {
            void.insert(at);
            kept.pop();
        }
        kept.push((index, eras));
    }
    let mut index = 0..;
    entries.retain(|_| index.next().is_none_or(|index| !void.contains(&index)));
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
    use crate::job::{Clock, Image, Missed, Provisional, Readings, Reason, Revision};

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
            let (kept, gone) = bounded(entries, CARRIED_BYTES, &secondly);
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
    fn a_fire_that_waits_in_the_journal_is_settled_by_the_skip_that_its_own_was_folded_into() {
        let settled = [skip("a", 1, Reason::Disk), skip("a", 2, Reason::Disk)];
        let Entry::Record(of) = &settled[0] else { unreachable!() };
        let waits = Entry::Pending(crate::job::Pending {
            key: of.key.clone(),
            due: of.due,
            trigger: Trigger::Schedule,
            stage: crate::job::PendingStage::Splay,
            attempt: 0,
            since: crate::job::BootTime::from_millis(0),
            boot: crate::job::Id128::default(),
            not_before: crate::job::BootTime::from_millis(0),
            last: None,
            force: false,
        });
        let mut after = vec![waits];
        after.extend(fold_skips(settled.to_vec(), &secondly));
        assert_eq!(after.len(), 2, "they are folded");
        assert!(image(&after).pending.is_empty());
    }

    #[test]
    fn successes_and_skips_are_given_up_before_what_failed() {
        let end = |secs, outcome| {
            let Entry::Record(mut record) = skip("a", secs, Reason::Start) else { unreachable!() };
            record.outcome = outcome;
            Entry::Record(record)
        };
        let mixed = |n: i64| if n % 2 == 0 { Outcome::Failed } else { Outcome::Succeeded };
        let (kept, gone) = bounded((0..1_600).map(|n| end(n, mixed(n))).collect(), CARRIED_BYTES, &secondly);
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
        let (kept, given_up) = bounded(asked.collect(), CARRIED_BYTES, &|_, _| false);
        assert_eq!((kept.len(), given_up), (limits::COMMAND_IDS + 2, 0));
        let newest = Entry::Resumed { job: job.clone() };
        assert_eq!(kept.last(), Some(&newest));
        assert!(kept.contains(&Entry::Taken(taken(1_999))));
    }

    /// SplitMix64, for a walk that anybody can repeat.
    fn dice(seed: &mut u64, n: u64) -> u64 {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    /// Entries as a clock that comes and goes and an owner who cannot make up his mind leave them.
    fn walk(seed: u64, length: usize) -> Vec<Entry> {
        let mut seed = seed.wrapping_mul(7_919);
        let (mut main, mut last, mut provisional) = (1, 1, None);
        let mut at = 1_000;
        let mut entries = Vec::new();
        while entries.len() < length {
            let d = &mut seed;
            at += i64::try_from(dice(d, 60)).unwrap() - 10;
            let job: JobName = ["a", "b"][usize::try_from(dice(d, 2)).unwrap()].parse().unwrap();
            let source =
                [Source::Agent, Source::File("x".to_owned())][usize::try_from(dice(d, 2)).unwrap()].clone();
            let era = [main, provisional.unwrap_or(main)][usize::try_from(dice(d, 2)).unwrap()];
            let now = WallTime::from_secs(at);
            entries.push(match dice(d, 9) {
                0 => Entry::Defined { job, source, text: format!("{at}") },
                1 => Entry::Withdrawn { job, source },
                2 => Entry::Orphaned { job, source },
                3 => Entry::Began { job, era, at: now },
                4 => skip(job.as_str(), at, Reason::Disk),
                5 => Entry::Missed(Missed { job, era, after: WallTime::from_secs(at - 20), to: now }),
                6 if dice(d, 5) == 0 => Entry::Forgotten { job },
                _ => {
                    last += 1;
                    match dice(d, 9) {
                        0 => (main, provisional) = (last, None),
                        1..5 => provisional = None,
                        _ => provisional = Some(last),
                    }
                    let boot = crate::job::Id128::default();
                    let provisional = provisional.map(|era| Provisional { era, boot });
                    Entry::Eras(Eras { main, provisional, last, at: now, until: None, newest: Some(now) })
                }
            });
        }
        entries
    }

    fn image(entries: &[Entry]) -> Image {
        let mut image = Image::default();
        entries.iter().for_each(|entry| image.apply(entry));
        image
    }

    #[test]
    fn what_is_left_out_as_outdated_changes_no_image() {
        let mut dropped = 0;
        for seed in 0..3_000 {
            let all = walk(seed, 60);
            let (durable, refused) = all.split_at(20);
            let mut kept = refused.to_vec();
            drop_outdated(&mut kept);
            dropped += refused.len() - kept.len();
            let after = [durable, &kept[..]].concat();
            assert_eq!(image(&after), image(&all), "seed {seed}: of {refused:#?} is left {kept:#?}");
        }
        assert!(dropped > 30_000, "{dropped}");
    }

    #[test]
    fn a_clock_that_comes_and_goes_and_definitions_that_change_for_ever_fill_no_memory() {
        let (job, boot): (JobName, _) = ("a".parse().unwrap(), crate::job::Id128::default());
        let mut kept = Vec::new();
        for n in 0..2_000_u32 {
            let at = WallTime::from_secs(i64::from(n));
            let provisional = n.is_multiple_of(2).then_some(Provisional { era: 2 + n, boot });
            let eras = Eras { main: 1, provisional, last: 2 + n, at, until: None, newest: Some(at) };
            let text = "x".repeat(limits::DEFINITION_BYTES);
            kept.extend([
                Entry::Eras(eras),
                Entry::Began { job: job.clone(), era: 1, at },
                Entry::Defined { job: job.clone(), source: Source::Agent, text },
            ]);
            kept = bounded(kept, CARRIED_BYTES, &|_, _| false).0;
            // Four changes of the era at most, where the schedule began in each, and one definition.
            assert!(kept.len() <= 9, "{}", kept.len());
        }
    }
}
