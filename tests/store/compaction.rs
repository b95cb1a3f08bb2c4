//! Compaction keeps the image, the numbers, and the newest of each job.

use leafcron::job::{Entry, Eras, EventKind, Image, JobName, Record};
use leafcron::store::mem::{Fault, Loss};
use leafcron::store::{Durability, Journal, MemDisk, Options, history};

use crate::sample::{
    ALL, Model, at, event, has_output, intent, job, open, open_with, options, record, reopened, segment,
    started, state_of, turns,
};

fn small(history: usize) -> Options {
    Options { disk_bytes: 64 << 10, history, ..options() }
}

/// The newest `history` of each job, and each job's last final one, of those that the image still knows.
fn kept(records: &[(u64, Record)], image: &Image, history: usize) -> Vec<(u64, Record)> {
    let of = |job: &JobName| records.iter().filter(|(_, record)| record.key.job == *job).collect::<Vec<_>>();
    let stays = |(seq, record): &&(u64, Record)| {
        let mine = of(&record.key.job);
        let newest = mine.iter().rev().take(history).any(|(other, _)| other == seq);
        let last = mine.iter().rev().find(|(_, record)| record.last).is_some_and(|(other, _)| other == seq);
        newest || (last && image.last.contains_key(&record.key.job))
    };
    records.iter().filter(stays).cloned().collect()
}

#[test]
fn the_image_and_the_numbers_stay_and_history_is_cut() {
    for keep in [0, 1, 3, 50] {
        let disk = MemDisk::new();
        let (mut journal, _) = open_with(&disk, small(keep));
        let mut model = Model::new();
        assert!(model.run(&mut journal, &turns(40)));
        let mut now = model.now().clone();
        for _ in 0..3 {
            journal.compact().unwrap();
            now.records = kept(&now.records, &now.image, keep);
            assert_eq!(history(&disk, None, ALL).unwrap(), now.records, "history {keep}");
        }
        assert_eq!(disk.names().len(), 2);
        drop(journal);
        let (state, recovered) = reopened(&disk);
        assert_eq!(state, now, "history {keep}");
        assert_eq!(recovered.notes, []);
    }
}

#[test]
fn what_comes_after_a_compaction_goes_on_with_the_numbers() {
    let disk = MemDisk::new();
    let (mut journal, _) = open_with(&disk, small(100));
    let mut model = Model::new();
    for turn in turns(25) {
        assert!(model.run(&mut journal, &[turn]));
        journal.compact().unwrap();
    }
    drop(journal);
    assert_eq!(reopened(&disk).1.next_seq, model.now().next_seq);
    assert_eq!(history(&disk, None, ALL).unwrap(), model.now().records);
}

/// A job that nothing but an old record remembers.
#[test]
fn a_forgotten_job_does_not_come_back() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let forget = |n| Entry::Forgotten { job: job(n) };
    let turn = vec![record(0, 0), forget(0), record(1, 0), intent(2), started(2), forget(2)];
    assert!(model.run(&mut journal, &[(turn, Durability::Synced)]));
    for _ in 0..2 {
        journal.compact().unwrap();
    }
    drop(journal);
    let (state, _) = reopened(&disk);
    assert_eq!(state, *model.now());
    assert!(!state.image.last.contains_key(&job(0)) && state.image.last.contains_key(&job(1)));
}

#[test]
fn any_failure_or_power_cut_of_a_compaction_loses_nothing() {
    let used = || {
        let disk = MemDisk::new();
        let (mut journal, _) = open(&disk);
        let mut model = Model::new();
        assert!(model.run(&mut journal, &turns(6)));
        assert!(model.run(&mut journal, &[(vec![started(5)], Durability::Unsynced)]));
        (disk, journal, model)
    };
    let (disk, mut journal, _) = used();
    let before = disk.ops();
    journal.compact().unwrap();
    let operations = disk.ops() - before;
    assert!(operations >= 6);
    for fault in [Fault::Fail, Fault::Half, Fault::PowerCut] {
        for n in 0..operations {
            let (disk, mut journal, mut model) = used();
            disk.fail_at(disk.ops() + n, fault);
            let compacted = journal.compact();
            // Only the removal of the old segment may fail unseen.
            assert_eq!(compacted.is_ok(), n + 1 == operations, "{fault:?} at {n}");
            if !disk.is_off() {
                assert!(model.run(&mut journal, &turns(1)), "{fault:?} at {n}");
            }
            for seed in 0..8 {
                for loss in [Loss::All, Loss::Nothing, Loss::Prefix(seed), Loss::Some(seed)] {
                    let (state, recovered) = reopened(&disk.crash(loss));
                    model.check(&state, &format!("{fault:?} at {n}, {loss:?}"));
                    assert_eq!(recovered.notes, []);
                }
            }
        }
    }
}

#[test]
fn the_oldest_give_way_to_the_bound_then_the_outputs_of_the_last() {
    let disk = MemDisk::new();
    let (mut journal, _) = open_with(&disk, small(50));
    for n in 0..60 {
        journal.commit(&[record(n, 4_000)], Durability::Synced).unwrap();
        journal.tidy().unwrap();
        assert!(journal.status().bytes <= 64 << 10, "{:?}", journal.status());
    }
    journal.compact().unwrap();
    assert!(journal.status().bytes <= 17 << 10, "{:?}", journal.status());
    let left: Vec<u64> = history(&disk, None, ALL).unwrap().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(left, (60 - left.len() as u64 + 1..=60).collect::<Vec<_>>());
    assert!(left.len() >= 3, "{left:?}");

    // Three jobs whose last records alone are more than the budget.
    for n in 60..63 {
        journal.commit(&[record(n, 12_000)], Durability::Synced).unwrap();
    }
    journal.compact().unwrap();
    let left = history(&disk, None, ALL).unwrap();
    let outputs: Vec<bool> = left.iter().map(|(_, record)| has_output(record)).collect();
    assert_eq!(outputs, [false, false, true]);
    drop(journal);
    assert_eq!(reopened(&disk).0.image.last.len(), 3);
}

#[test]
fn forgotten_jobs_without_end_do_not_fill_the_disk() {
    let disk = MemDisk::new();
    let (mut journal, _) = open_with(&disk, small(50));
    for n in 0..2_000 {
        let Entry::Record(mut one) = record(n, 0) else { unreachable!() };
        one.key.job = format!("job-{n}").parse().unwrap();
        let forget = Entry::Forgotten { job: one.key.job.clone() };
        journal.commit(&[Entry::Record(one), forget], Durability::Synced).unwrap();
        journal.tidy().unwrap();
        assert!(journal.status().bytes <= 64 << 10, "{:?}", journal.status());
    }
}

#[test]
fn compaction_writes_little_more_than_what_is_committed() {
    let disk = MemDisk::new();
    let (mut journal, _) = open_with(&disk, small(50));
    let mut entries = 0;
    for n in 0..2_000 {
        let before = journal.status().written;
        journal.commit(&[intent(n), record(n, 100)], Durability::Synced).unwrap();
        entries += (journal.status().written - before).min(400);
        journal.tidy().unwrap();
    }
    let written = journal.status().written;
    assert!(written < 3 * entries, "{written} for {entries}");
}

#[test]
fn damage_that_a_compaction_meets_is_set_aside_and_told() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut ends = Vec::new();
    for n in 0..5 {
        journal.commit(&[record(n, 100)], Durability::Synced).unwrap();
        ends.push(disk.content(&segment(&disk)).unwrap().len());
    }
    let mut bad = disk.content("journal-1").unwrap();
    bad[ends[2] - 1] ^= 1;
    disk.overwrite("journal-1", &bad);
    journal.compact().unwrap();
    let note = EventKind::Damaged { from: 3, to: 3, file: "damaged-1".to_owned() };
    assert_eq!(journal.take_notes(), [note]);
    assert_eq!(journal.take_notes(), []);
    assert_eq!(disk.content("damaged-1"), Some(bad));
    let left: Vec<u64> = history(&disk, None, ALL).unwrap().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(left, [1, 2, 4, 5]);
    assert_eq!(journal.commit(&[event(1)], Durability::Synced).unwrap().first_seq, 6);
}

#[test]
fn a_segment_that_is_gone_can_be_read_to_its_end_by_who_has_it_open() {
    use leafcron::store::{Disk, DiskFile};
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    let content = disk.content("journal-1").unwrap();
    let file = disk.open("journal-1").unwrap();
    journal.compact().unwrap();
    journal.compact().unwrap();
    let mut buffer = vec![0; content.len()];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), content.len());
    assert_eq!(buffer, content);
}

#[test]
fn history_is_read_while_another_thread_commits_and_compacts() {
    let disk = MemDisk::new();
    let (mut journal, _) = open_with(&disk, small(10));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut newest = 0;
            let mut reads = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || reads == 0 {
                let records = history(&disk, None, 5).unwrap();
                assert!(records.is_sorted_by_key(|(seq, _)| *seq));
                let last = records.last().map_or(0, |(seq, _)| *seq);
                assert!(last >= newest, "{last} after {newest}");
                newest = last;
                reads += 1;
            }
        });
        for n in 0..300 {
            journal.commit(&[record(n, 400)], Durability::Synced).unwrap();
            if n % 7 == 0 {
                journal.compact().unwrap();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
    let recovered = {
        drop(journal);
        Journal::open(disk.clone(), small(10)).unwrap().1
    };
    assert_eq!(state_of(&disk, &recovered).next_seq, 301);
}

/// What a run of an era that is over was started at is no time of the one that counts.
#[test]
fn an_intent_of_an_era_that_is_over_says_no_time() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let newest = Some(at(10));
    let next = Eras { main: 2, last: 2, at: at(10), until: Some(at(5_000)), newest, ..Eras::default() };
    journal.commit(&[intent(5_000), Entry::Eras(next)], Durability::Synced).unwrap();
    journal.compact().unwrap();
    drop(journal);
    let (_, recovered) = open(&disk);
    assert_eq!((recovered.image.newest, recovered.image.intents.len()), (newest, 1));
}
