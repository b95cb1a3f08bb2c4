//! What waits for the centre: read in order, kept beyond history, and missed by nobody without being told.

use leafcron::job::{Acked, Clock, DeviceEvent, Entry, EventKind, Outcome};
use leafcron::store::{Durability, Journal, MemDisk, Options, Outbox, Survey, Unsent};

use crate::sample::{EPOCH, at, event, has_output, options, record};

const SYNCED: Durability = Durability::Synced;

fn open(disk: &MemDisk, options: Options) -> Journal<MemDisk> {
    Journal::open(disk.clone(), options).unwrap().0
}

fn kept(disk_bytes: u64, history: usize) -> Options {
    Options { disk_bytes, history, unsent: Unsent::Kept, ..options() }
}

fn acked(through: u64) -> Entry {
    Entry::Acked(Acked { through, stream_sequence: through, told: 0 })
}

fn failed(n: i64, output: usize) -> Entry {
    let Entry::Record(mut record) = record(n, output) else { unreachable!() };
    record.outcome = Outcome::Failed;
    Entry::Record(record)
}

fn numbers(facts: &[(u64, Entry)]) -> Vec<u64> {
    facts.iter().map(|(seq, _)| *seq).collect()
}

/// All that an outbox gives after a number, in windows.
fn drain(outbox: &mut Outbox<MemDisk>, after: u64, through: u64) -> Vec<u64> {
    let (mut after, mut all) = (after, Vec::new());
    loop {
        let facts = outbox.read(after, through, 32, 64 * 1024).unwrap();
        let Some((last, _)) = facts.last() else { return all };
        after = *last;
        all.extend(numbers(&facts));
    }
}

#[test]
fn facts_come_in_order_in_windows_and_never_beyond_what_is_durable() {
    let disk = MemDisk::new();
    let mut journal = open(&disk, kept(32 << 20, 50));
    for n in 0..100 {
        journal
            .commit(&[event(n), record(n, 0), Entry::Booted { boot: crate::sample::BOOT }], SYNCED)
            .unwrap();
    }
    let mut outbox = Outbox::new(disk.clone(), EPOCH);
    assert_eq!(numbers(&outbox.read(0, 200, 3, 1 << 20).unwrap()), [1, 2, 3], "in the middle of a frame");
    assert_eq!(numbers(&outbox.read(3, 200, 3, 1 << 20).unwrap()), [4, 5, 6]);
    assert_eq!(numbers(&outbox.read(6, 8, 32, 1 << 20).unwrap()), [7, 8]);
    assert_eq!(numbers(&outbox.read(8, 200, 32, 1).unwrap()), [9], "one at least");
    assert_eq!(drain(&mut outbox, 9, 199), (10..=199).collect::<Vec<_>>());
    assert_eq!(numbers(&outbox.read(2, 4, 32, 1 << 20).unwrap()), [3, 4], "and back");
    assert_eq!(outbox.read(200, 200, 32, 1 << 20).unwrap(), []);
    assert_eq!(outbox.survey(0, 200).unwrap(), None);
    assert_eq!(Outbox::new(MemDisk::new(), EPOCH).read(0, 9, 9, 9).unwrap(), []);
}

#[test]
fn a_compaction_at_any_moment_takes_nothing_from_what_is_unsent() {
    for compact_after in 0..12 {
        let disk = MemDisk::new();
        let mut journal = open(&disk, kept(32 << 20, 2));
        let (mut outbox, mut got, mut next) = (Outbox::new(disk.clone(), EPOCH), Vec::new(), 1);
        for n in 0..12 {
            let committed = journal.commit(&[record(n, 100), event(n)], SYNCED).unwrap();
            next = committed.first_seq + committed.count;
            if n == compact_after {
                journal.compact().unwrap();
            }
            let after = got.last().copied().unwrap_or(0);
            got.extend(numbers(&outbox.read(after, next - 1, 3, 1 << 20).unwrap()));
            journal.commit(&[acked(after)], Durability::Unsynced).unwrap();
        }
        let after = got.last().copied().unwrap_or(0);
        got.extend(drain(&mut outbox, after, next - 1));
        assert_eq!(got, (1..next).collect::<Vec<_>>(), "compacted after {compact_after}");
        // And after a restart, from the journal's own point.
        drop(journal);
        let (_, recovered) = Journal::open(disk.clone(), kept(32 << 20, 2)).unwrap();
        let through = recovered.image.acked.through;
        assert!(through > 0);
        assert_eq!(
            drain(&mut Outbox::new(disk, EPOCH), through, next - 1),
            (through + 1..next).collect::<Vec<_>>()
        );
    }
}

#[test]
fn without_a_centre_history_rules_and_what_went_is_surveyed_until_it_is_told() {
    let disk = MemDisk::new();
    let mut journal = open(&disk, Options { history: 3, ..options() });
    for n in 0..30 {
        journal.commit(&[record(3 * n, 0)], SYNCED).unwrap();
    }
    journal.compact().unwrap();
    let mut outbox = Outbox::new(disk.clone(), EPOCH);
    assert_eq!(numbers(&outbox.read(0, 30, 99, 1 << 20).unwrap()), [28, 29, 30]);
    assert_eq!(outbox.survey(0, 30).unwrap(), Some(Survey { from: 1, to: 27, count: 27 }));
    assert_eq!(outbox.survey(20, 30).unwrap(), Some(Survey { from: 21, to: 27, count: 7 }));
    let told = |from, to| {
        let kind = EventKind::Dropped { from, to, count: to - from + 1, why: "history".to_owned() };
        Entry::Event(DeviceEvent { at: at(9), clock: Clock::Synced, kind })
    };
    journal.commit(&[told(5, 10)], SYNCED).unwrap();
    assert_eq!(outbox.survey(0, 31).unwrap(), Some(Survey { from: 1, to: 27, count: 21 }));
    journal.commit(&[told(1, 27)], SYNCED).unwrap();
    assert_eq!(outbox.survey(0, 32).unwrap(), None);
}

#[test]
fn on_a_small_disk_history_goes_first_then_outputs_then_successes_then_the_rest() {
    // What is left of 80 sent and 800 unsent facts, when so many bytes may stay.
    let left = |disk_bytes: u64| {
        let disk = MemDisk::new();
        let mut journal = open(&disk, kept(32 << 20, 1_000));
        for n in 0..80 {
            journal.commit(&[record(3 * n, 0)], SYNCED).unwrap();
        }
        journal.commit(&[acked(80)], SYNCED).unwrap();
        for n in 80..480 {
            journal.commit(&[record(3 * n, 400), failed(3 * n, 400)], SYNCED).unwrap();
        }
        drop(journal);
        // All at once, in one compaction.
        open(&disk, kept(disk_bytes, 1_000)).compact().unwrap();
        let facts = Outbox::new(disk, EPOCH).read(0, 880, 1_000, 1 << 20).unwrap();
        let (sent, unsent): (Vec<_>, Vec<_>) = facts.into_iter().partition(|(seq, _)| *seq <= 80);
        // The job's last record stays in any case, and is the last to lose its output.
        let unsent: Vec<_> = unsent.into_iter().filter(|(seq, _)| *seq < 880).collect();
        let count = |is: &dyn Fn(&leafcron::job::Record) -> bool| {
            unsent.iter().filter(|(_, fact)| matches!(fact, Entry::Record(record) if is(record))).count()
        };
        let outputs = count(&has_output);
        let successes = count(&|record| record.outcome == Outcome::Succeeded);
        let failures = count(&|record| record.outcome == Outcome::Failed);
        (sent.len(), outputs, successes, failures)
    };
    assert_eq!(left(4 << 20), (80, 799, 400, 399));
    let mut before = left(4 << 20);
    let mut seen = Vec::new();
    for kib in [
        2_048, 1_700, 1_500, 1_480, 1_460, 1_440, 1_420, 1_400, 1_200, 1_100, 900, 700, 500, 400, 300, 250,
        200, 150, 100, 80, 64,
    ] {
        let now = left(kib * 1024);
        assert!(now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2 && now.3 <= before.3, "{kib}");
        assert!(now.1 == 799 || now.0 == 0, "an output went before history: {kib} {now:?}");
        assert!(now.2 == 400 || now.1 == 0, "a success went before an output: {kib} {now:?}");
        assert!(now.3 == 399 || now.2 == 0, "a failure went before a success: {kib} {now:?}");
        seen.push(now);
        before = now;
    }
    assert!(
        seen.iter().any(|now| now.0 > 0 && now.0 < 80) && seen.iter().any(|now| now.1 > 0 && now.1 < 799),
        "{seen:?}"
    );
    assert!(seen.iter().any(|now| now.2 < 400) && seen.iter().any(|now| now.3 < 399), "{seen:?}");
}

/// Nothing is shared but the files: who drains waits for nobody, and nobody for who drains.
#[test]
fn draining_goes_on_beside_commits_and_compactions_and_misses_nothing() {
    let disk = MemDisk::new();
    let mut journal = open(&disk, kept(32 << 20, 3));
    let durable = std::sync::atomic::AtomicU64::new(0);
    let ordering = std::sync::atomic::Ordering::SeqCst;
    let total = 1_200;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut outbox = Outbox::new(disk.clone(), EPOCH);
            let (mut after, mut got) = (0, Vec::new());
            while after < total {
                for (seq, _) in outbox.read(after, durable.load(ordering), 32, 64 * 1024).unwrap() {
                    got.push(seq);
                    after = seq;
                }
            }
            got
        });
        for n in 0..600 {
            let committed = journal.commit(&[record(n, 300), event(n)], SYNCED).unwrap();
            durable.store(committed.first_seq + 1, ordering);
            if n % 40 == 0 {
                journal.compact().unwrap();
            }
        }
        assert_eq!(reader.join().unwrap(), (1..=total).collect::<Vec<_>>());
    });
}
