//! When nothing goes wrong.

use leafcron::job::{Entry, EventKind, Id128};
use leafcron::store::mem::Op;
use leafcron::store::{Durability, Journal, MemDisk, StoreError, history};

use crate::sample::{
    ALL, Model, event, intent, job, open, options, record, reopened, segment, started, state_of, turns,
};

#[test]
fn what_was_committed_comes_back_with_its_numbers() {
    let disk = MemDisk::new();
    let (mut journal, recovered) = open(&disk);
    assert_eq!((recovered.next_seq, recovered.epoch), (1, Id128([0xe0; 16])));
    let mut model = Model::new();
    assert!(model.run(&mut journal, &turns(30)));
    assert_eq!(journal.status().next_seq, model.now().next_seq);
    drop(journal);
    let (state, recovered) = reopened(&disk);
    model.check(&state, "reopened");
    assert_eq!(state, *model.now());
    assert_eq!(recovered.notes, []);
}

#[test]
fn an_epoch_outlives_the_restart_that_brings_another() {
    let disk = MemDisk::new();
    open(&disk).0.commit(&[event(1)], Durability::Synced).unwrap();
    let (_, recovered) =
        Journal::open(disk, leafcron::store::Options { fresh_epoch: Id128([9; 16]), ..options() }).unwrap();
    assert_eq!(recovered.epoch, Id128([0xe0; 16]));
}

#[test]
fn opening_and_idling_write_nothing() {
    let disk = MemDisk::new();
    open(&disk).0.commit(&[event(1)], Durability::Synced).unwrap();
    let (before, ops) = (disk.content(&segment(&disk)), disk.ops());
    let (mut journal, _) = open(&disk);
    assert_eq!(journal.commit(&[], Durability::Synced).unwrap().count, 0);
    assert!(!journal.tidy().unwrap());
    // Two syncs, of the segment and of its name: what a dead agent wrote may be in memory only.
    assert_eq!(disk.kinds()[usize::try_from(ops).unwrap()..], [Op::Open, Op::Sync, Op::SyncDir]);
    assert_eq!(disk.content(&segment(&disk)), before);
}

#[test]
fn a_commit_is_one_write_and_one_sync() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    let ops = disk.ops();
    journal.commit(&[intent(1), intent(2), event(2)], Durability::Synced).unwrap();
    assert_eq!(disk.ops(), ops + 2);
    journal.commit(&[started(1)], Durability::Unsynced).unwrap();
    assert_eq!(disk.ops(), ops + 3);
    journal.commit(&[], Durability::Synced).unwrap();
    assert_eq!(disk.ops(), ops + 4);
}

/// `cargo test --test store bytes_of_a_run -- --nocapture` prints the figure of DESIGN section 11.
#[test]
fn the_bytes_of_a_run_are_within_the_budget() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    let before = journal.status();
    journal.commit(&[intent(1_000)], Durability::Synced).unwrap();
    journal.commit(&[started(1_000)], Durability::Unsynced).unwrap();
    journal.commit(&[record(1_000, 0)], Durability::Synced).unwrap();
    let after = journal.status();
    let bytes = after.written - before.written;
    println!("journal bytes per run: {bytes}, syncs {}", after.syncs - before.syncs);
    assert!(bytes <= 200, "{bytes}");
    assert_eq!(after.syncs - before.syncs, 2);
}

#[test]
fn history_is_the_newest_records_oldest_first_while_the_journal_is_open() {
    let disk = MemDisk::new();
    assert_eq!(history(&disk, None, ALL).unwrap(), []);
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    assert!(model.run(&mut journal, &turns(30)));
    let all = &model.now().records;
    assert_eq!(history(&disk, None, 5).unwrap(), all[all.len() - 5..]);
    let of_one: Vec<_> = all.iter().filter(|(_, record)| record.key.job == job(1)).cloned().collect();
    assert_eq!(history(&disk, Some(&job(1)), ALL).unwrap(), of_one);
    assert_eq!(history(&disk, Some(&job(1)), 3).unwrap(), of_one[of_one.len() - 3..]);
    assert_eq!(history(&disk, Some(&"nobody".parse().unwrap()), 3).unwrap(), []);
    assert_eq!(history(&disk, None, 0).unwrap(), []);
}

#[test]
fn a_second_agent_is_told_the_first_ones_pid() {
    let disk = MemDisk::new();
    let (journal, _) = open(&disk);
    let refused = Journal::open(disk.clone(), options()).err().unwrap();
    assert!(
        matches!(refused, StoreError::Locked { pid: Some(pid) } if pid == std::process::id()),
        "{refused}"
    );
    drop(journal);
    assert!(Journal::open(disk, options()).is_ok());
}

#[test]
fn an_entry_that_no_frame_holds_is_refused_and_harms_nothing() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let huge = Entry::Defined {
        job: job(0),
        source: leafcron::job::Source::Agent,
        text: "x".repeat(leafcron::job::limits::FRAME_BYTES),
    };
    for _ in 0..2 {
        let refused = journal.commit(&[event(1), huge.clone()], Durability::Synced).unwrap_err();
        assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
        assert_eq!(journal.commit(&[event(1)], Durability::Synced).unwrap().count, 1);
    }
    drop(journal);
    assert_eq!(reopened(&disk).0.next_seq, 3);
}

#[test]
fn a_turn_beyond_a_frame_is_one_commit_all_the_same() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let big: Vec<Entry> = (0..40).map(|n| record(n, 60_000)).collect();
    let committed = journal.commit(&big, Durability::Synced).unwrap();
    assert_eq!((committed.first_seq, committed.count), (1, 40));
    drop(journal);
    let (state, recovered) = reopened(&disk);
    assert_eq!(state.records.len(), 40);
    assert_eq!(recovered.next_seq, 41);
}

#[test]
fn a_newer_journal_is_set_aside_untouched_and_reported_until_that_is_committed() {
    let disk = MemDisk::new();
    let newer = [b"leafcron".as_slice(), &2u32.to_le_bytes(), &[0xab; 500]].concat();
    disk.put("journal-7", &newer);
    disk.put("journal-6", &[]);
    let note = EventKind::Newer { file: "newer-7".to_owned() };
    for _ in 0..2 {
        let (_, recovered) = open(&disk);
        assert_eq!(recovered.notes, std::slice::from_ref(&note));
        assert_eq!((recovered.next_seq, recovered.image), (1, leafcron::job::Image::default()));
    }
    open(&disk).0.commit(&[event(1)], Durability::Synced).unwrap();
    assert_eq!(disk.content("newer-7"), Some(newer));
    let (state, recovered) = reopened(&disk);
    assert_eq!((state.next_seq, recovered.notes), (2, vec![]));
    assert_eq!(segment(&disk), "journal-8");
}

#[test]
fn a_newer_journal_below_ours_was_reported_by_ours() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    drop(journal);
    disk.put("journal-0", b"leafcron\x02\0\0\0");
    let (state, recovered) = reopened(&disk);
    assert_eq!((state.next_seq, recovered.notes), (2, vec![]));
    assert_eq!(disk.names(), ["journal-1", "newer-0", "reserve"]);
}

#[test]
fn a_foreign_file_is_set_aside_and_what_lies_below_it_is_used() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    assert!(model.run(&mut journal, &turns(5)));
    drop(journal);
    disk.put("journal-9", b"not one of ours");
    disk.put("journal-10", &disk.content("journal-1").unwrap());
    let (mut journal, recovered) = open(&disk);
    assert_eq!(state_of(&disk, &recovered), *model.now());
    assert_eq!(recovered.notes.len(), 2);
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    model.add(&[event(1)]);
    drop(journal);
    let (state, recovered) = reopened(&disk);
    assert_eq!(state, *model.now());
    assert_eq!(recovered.notes, []);
    assert_eq!(disk.content("damaged-9").unwrap(), b"not one of ours");
}

/// After a repair of the file system, say.
#[test]
fn a_journal_that_is_gone_is_missed() {
    let disk = MemDisk::new();
    assert_eq!(open(&disk).1.notes, [], "a first start");
    open(&disk).0.commit(&[event(1)], Durability::Synced).unwrap();
    leafcron::store::Disk::remove(&disk, "journal-1").unwrap();
    let missing = EventKind::Damaged { from: 0, to: 0, file: "missing".to_owned() };
    let (mut journal, recovered) = open(&disk);
    assert_eq!((recovered.next_seq, recovered.notes), (1, vec![missing]));
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    drop(journal);
    assert_eq!(open(&disk).1.notes, []);
}

#[test]
fn a_read_only_disk_is_read_and_serves_again_when_it_can_be_written() {
    let disk = MemDisk::new();
    let mut model = Model::new();
    assert!(model.run(&mut open(&disk).0, &turns(5)));
    // With a torn tail, which cannot be cut off.
    let torn = [disk.content("journal-1").unwrap(), vec![7; 20]].concat();
    disk.overwrite("journal-1", &torn);
    disk.read_only_from(0);
    let (mut journal, recovered) = open(&disk);
    assert_eq!(state_of(&disk, &recovered), *model.now());
    assert_eq!(recovered.notes, []);
    for _ in 0..2 {
        let refused = journal.commit(&[event(1)], Durability::Synced).unwrap_err();
        assert!(refused.chain().contains("read-only"), "{}", refused.chain());
    }
    disk.heal();
    assert!(model.run(&mut journal, &turns(2)));
    drop(journal);
    assert_eq!(reopened(&disk.crash(leafcron::store::mem::Loss::All)).0, *model.now());
}

#[test]
fn the_newest_events_are_told_at_a_start() {
    let disk = MemDisk::new();
    let (mut journal, recovered) = open(&disk);
    assert_eq!(recovered.recent, []);
    for n in 0..12 {
        journal.commit(&[event(n), record(n, 0)], Durability::Synced).unwrap();
    }
    drop(journal);
    let recent: Vec<u64> = open(&disk).1.recent.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(recent, [9, 11, 13, 15, 17, 19, 21, 23]);
    assert_eq!(
        leafcron::store::events(&disk, 2).unwrap().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [21, 23]
    );
}

/// The store asks no clock: what was written in the future is there, in its order.
#[test]
fn a_clock_that_went_back_loses_nothing() {
    let disk = MemDisk::new();
    let mut model = Model::new();
    let (mut journal, _) = open(&disk);
    let back = [9_000_000, 3, 9_000_001, 1].map(|n| (vec![record(n, 0), event(n)], Durability::Synced));
    assert!(model.run(&mut journal, &back));
    journal.compact().unwrap();
    drop(journal);
    let (state, recovered) = reopened(&disk);
    assert_eq!(state, *model.now());
    assert_eq!(recovered.image.newest, Some(crate::sample::at(9_000_002)));
}
