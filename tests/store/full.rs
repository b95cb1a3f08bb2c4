//! A full disk.

use leafcron::store::mem::Loss;
use leafcron::store::{Durability, MemDisk, Options, StoreError, history};

use crate::sample::{
    ALL, Model, event, has_output, intent, lean, open, open_with, options, record, reopened, state_of,
};

const RESERVE: u64 = 256 * 1024;

/// A disk with this much space beside the reserve.
fn disk_with(bytes: u64) -> MemDisk {
    let disk = MemDisk::new();
    disk.set_capacity(Some(RESERVE + bytes));
    disk
}

#[test]
fn the_reserve_takes_intents_and_records_without_output_and_then_nothing() {
    let disk = disk_with(20_000);
    // Nothing is old: no compaction helps.
    let (mut journal, _) = open_with(&disk, Options { history: ALL, ..options() });
    let mut model = Model::new();
    let (mut whole, mut stripped, mut written) = (0, 0, 0);
    let error = (0..)
        .find_map(|n| {
            let turn = [intent(n), record(n, 400)];
            if let Err(error) = journal.commit(&turn, Durability::Synced) {
                return Some(error);
            }
            let bytes = journal.status().written;
            let more = bytes - core::mem::replace(&mut written, bytes);
            // After a compaction the figure does not say it.
            let newest = (more > 1_000).then(|| history(&disk, None, 1).unwrap().remove(0).1);
            if newest.map_or(more > 400, |record| has_output(&record)) {
                model.add(&turn);
                whole += 1;
            } else {
                model.add(&lean(&turn));
                stripped += 1;
            }
            // The model of every turn would be large.
            model.states.drain(..model.states.len() - 1);
            None
        })
        .unwrap();
    assert!(matches!(&error, StoreError::Disk { .. }) && error.is_full(), "{}", error.chain());
    assert!(whole >= 30 && stripped >= 1_000, "{whole} {stripped}");
    assert_eq!(journal.status().outputs_left_out, stripped, "told to whoever asks");
    let lean = history(&disk, None, 1).unwrap().remove(0).1.output.unwrap();
    assert_eq!((lean.bytes, lean.dropped), (400, 400), "and in the record");
    assert!(journal.status().trouble.is_some());
    // Nothing acknowledged is lost, and a start needs no space.
    let after = disk.crash(Loss::All);
    let (_, recovered) = open(&after);
    assert_eq!(state_of(&after, &recovered), *model.now());

    disk.set_capacity(None);
    let turn = [intent(9_999), record(9_999, 400)];
    assert!(model.run(&mut journal, &[(turn.to_vec(), Durability::Synced)]));
    for n in 0..64 {
        journal.commit(&[event(n)], Durability::Synced).unwrap();
    }
    assert!(disk.names().contains(&"reserve".to_owned()));
}

#[test]
fn a_full_disk_at_the_first_start_keeps_no_agent_down() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(100));
    let (mut journal, recovered) = open(&disk);
    assert_eq!((recovered.next_seq, journal.status().segments), (1, 0));
    for _ in 0..2 {
        assert!(journal.commit(&[event(1)], Durability::Synced).unwrap_err().is_full());
    }
    assert_eq!(disk.names(), [""; 0]);
    disk.set_capacity(None);
    assert_eq!(journal.commit(&[event(1)], Durability::Synced).unwrap().first_seq, 1);
    assert_eq!(reopened(&disk.crash(Loss::All)).0.next_seq, 2);
}

#[test]
fn a_journal_with_much_old_history_makes_room_for_itself() {
    let disk = disk_with(100_000);
    let (mut journal, _) = open_with(&disk, Options { history: 3, ..options() });
    for n in 0..1_000 {
        journal.commit(&[record(n, 400)], Durability::Synced).unwrap();
    }
    assert!(journal.status().written > 400_000 && journal.status().bytes < 100_000);
    assert!(disk.names().contains(&"reserve".to_owned()));
    let outputs = history(&disk, None, 9).unwrap().into_iter().filter(|(_, record)| has_output(record));
    assert!(outputs.count() >= 3);
}

#[test]
fn a_refusal_on_a_full_disk_costs_no_more_than_the_try() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(20_000));
    let (mut journal, _) = open(&disk);
    while journal.commit(&[event(1)], Durability::Synced).is_ok() {}
    for _ in 0..3 {
        let ops = disk.ops();
        assert!(journal.commit(&[event(1)], Durability::Synced).is_err());
        // The append, and the cut after it.
        assert_eq!(disk.ops(), ops + 2);
    }
}

/// Space of every size, so that it runs out inside a frame, at its end, and in a compaction.
#[test]
fn a_disk_that_fills_up_at_any_byte_loses_nothing_acknowledged() {
    for space in (0..6_000).step_by(53) {
        let disk = MemDisk::new();
        // No room for the reserve.
        disk.set_capacity(Some(space));
        let (mut journal, _) = open(&disk);
        let mut model = Model::new();
        for n in 0..40 {
            let turn = [intent(n), record(n, 0)];
            if journal.commit(&turn, Durability::Synced).is_ok() {
                model.add(&turn);
                model.acknowledge();
            }
            if n % 10 == 9 && journal.compact().is_err() {
                assert!(journal.status().bytes > 0 || space < 500);
            }
        }
        drop(journal);
        for loss in [Loss::All, Loss::Nothing, Loss::Some(space)] {
            let after = disk.crash(loss);
            let (_, recovered) = open(&after);
            model.check(&state_of(&after, &recovered), &format!("space {space}, {loss:?}"));
        }
    }
}
