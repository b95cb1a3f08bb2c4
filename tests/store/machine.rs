//! A journal on another machine than the one that it belongs to, and one whose numbers the centre knows for other facts.

use leafcron::job::{Acked, Entry, EventKind, Id128};
use leafcron::store::mem::{Fault, Loss};
use leafcron::store::{
    Delivered, Durability, Journal, MemDisk, Options, Outbox, Recovered, Renewal, Unsent, events, history,
};

use crate::sample::{ALL, EPOCH, at, event, intent, options, record, turns};

const SYNCED: Durability = Durability::Synced;
const HERE: Id128 = Id128([0xa1; 16]);
const THERE: Id128 = Id128([0xa2; 16]);
const NEXT_EPOCH: Id128 = Id128([0xe1; 16]);

fn on(names: &[Id128], fresh_epoch: Id128) -> Options {
    Options { machine: names.to_vec(), fresh_epoch, unsent: Unsent::Kept, ..options() }
}

fn open(disk: &MemDisk, names: &[Id128], fresh_epoch: Id128) -> (Journal<MemDisk>, Recovered) {
    Journal::open(disk.clone(), on(names, fresh_epoch)).unwrap()
}

/// Facts 1 to 6, of which the centre has 1 to 4, and an intent without an end.
fn sent_in_part() -> MemDisk {
    let disk = MemDisk::new();
    let mut journal = open(&disk, &[HERE], EPOCH).0;
    for n in 0..3 {
        journal.commit(&[event(n), record(n, 40)], SYNCED).unwrap();
    }
    journal.commit(&[Entry::Acked(Acked { through: 4, stream_sequence: 70, told: 4 })], SYNCED).unwrap();
    journal.commit(&[intent(9)], SYNCED).unwrap();
    disk
}

fn numbers(disk: &MemDisk) -> Vec<u64> {
    history(disk, None, ALL).unwrap().iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn another_machine_takes_over_what_the_centre_does_not_have_in_a_new_epoch() {
    let disk = sent_in_part();
    let (mut journal, recovered) = open(&disk, &[THERE], NEXT_EPOCH);
    assert_eq!((recovered.epoch, recovered.old_epoch, recovered.next_seq), (NEXT_EPOCH, Some(EPOCH), 4));
    assert_eq!(recovered.durable, 0, "no segment says so yet: nothing may be sent");
    assert_eq!(recovered.notes, []);
    assert_eq!(recovered.image.acked, Acked { through: 0, stream_sequence: 70, told: 0 });
    assert_eq!(recovered.image.intents.len(), 1, "all else is as it was");
    let kind = EventKind::NewEpoch {
        old_epoch: EPOCH,
        last_seq: 6,
        why: "this journal belongs to another machine".to_owned(),
    };
    let Entry::Event(taken) = event(2) else { unreachable!() };
    let shown: Vec<_> = recovered.recent.iter().map(|(seq, event)| (*seq, &event.kind)).collect();
    assert_eq!(shown[2..], [(1, &kind), (2, &taken.kind)]);
    // Until it is written, the segment's numbers are those of the old epoch.
    assert!(Outbox::new(disk.clone(), NEXT_EPOCH).read(0, 9, 9, 1 << 20).is_err());

    assert_eq!(journal.commit(&[event(7)], SYNCED).unwrap().first_seq, 4);
    drop(journal);
    let sent = Outbox::new(disk.clone(), NEXT_EPOCH).read(0, 4, 9, 1 << 20).unwrap();
    assert_eq!(sent.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(matches!(&sent[0].1, Entry::Event(event) if event.kind == kind));
    assert_eq!((&sent[1].1, &sent[2].1, &sent[3].1), (&event(2), &record(2, 40), &event(7)));
    assert_eq!(numbers(&disk), [0, 0, 3], "what the centre has stays as history, and is not sent again");

    // Here it is at home now, whatever is compacted.
    for _ in 0..2 {
        let (mut journal, again) = open(&disk, &[THERE], Id128([9; 16]));
        assert_eq!((again.epoch, again.old_epoch, again.next_seq), (NEXT_EPOCH, None, 5));
        assert_eq!(again.durable, 4);
        journal.compact().unwrap();
        assert_eq!(numbers(&disk), [0, 0, 3]);
    }
    // And back on the first machine, where the card may have left a copy.
    let (_, back) = open(&disk, &[HERE], Id128([0xe2; 16]));
    assert_eq!((back.epoch, back.old_epoch), (Id128([0xe2; 16]), Some(NEXT_EPOCH)));
}

#[test]
fn a_machine_is_known_by_any_of_its_names_and_one_without_a_name_is_taken_for_the_same() {
    let names: [&[Id128]; 3] = [&[HERE], &[THERE, HERE], &[]];
    for names in names {
        let (mut journal, recovered) = open(&sent_in_part(), names, NEXT_EPOCH);
        assert_eq!((recovered.epoch, recovered.old_epoch, recovered.next_seq), (EPOCH, None, 7), "{names:?}");
        assert_eq!(journal.commit(&[event(1)], SYNCED).unwrap().first_seq, 7);
    }
}

#[test]
fn a_journal_that_was_bound_to_nothing_is_bound_with_its_next_segment() {
    let disk = MemDisk::new();
    open(&disk, &[], EPOCH).0.commit(&[event(1)], SYNCED).unwrap();
    let (mut journal, recovered) = open(&disk, &[HERE, THERE], NEXT_EPOCH);
    assert_eq!(recovered.epoch, EPOCH);
    journal.compact().unwrap();
    drop(journal);
    assert_eq!(open(&disk, &[HERE], NEXT_EPOCH).1.epoch, EPOCH);
    assert_eq!(open(&disk, &[THERE], NEXT_EPOCH).1.epoch, NEXT_EPOCH, "bound to the best of the names");
}

#[test]
fn ranges_of_old_numbers_say_nothing_in_the_new_epoch() {
    let disk = MemDisk::new();
    let mut journal = open(&disk, &[HERE], EPOCH).0;
    let why = || "history".to_owned();
    let dropped = |kind| {
        Entry::Event(leafcron::job::DeviceEvent { at: at(1), clock: leafcron::job::Clock::Synced, kind })
    };
    journal
        .commit(&[dropped(EventKind::Dropped { from: 2, to: 900, count: 7, why: why() })], SYNCED)
        .unwrap();
    drop(journal);
    open(&disk, &[THERE], NEXT_EPOCH).0.commit(&[event(1)], SYNCED).unwrap();
    let kinds: Vec<_> = events(&disk, 9).unwrap().into_iter().map(|(seq, event)| (seq, event.kind)).collect();
    assert_eq!(kinds[1], (2, EventKind::Dropped { from: 0, to: 0, count: 7, why: why() }));
}

#[test]
fn a_takeover_that_fails_or_is_cut_off_at_any_operation_loses_nothing_and_doubles_nothing() {
    let used = || {
        let disk = MemDisk::new();
        let mut journal = open(&disk, &[HERE], EPOCH).0;
        for (entries, durability) in turns(3) {
            journal.commit(&entries, durability).unwrap();
        }
        disk
    };
    let facts = |disk: &MemDisk| {
        let events = events(disk, ALL)
            .unwrap()
            .into_iter()
            .filter(|(_, event)| !matches!(event.kind, EventKind::NewEpoch { .. }));
        (
            history(disk, None, ALL).unwrap().into_iter().map(|(_, record)| record).collect::<Vec<_>>(),
            events.map(|(_, event)| event).collect::<Vec<_>>(),
        )
    };
    let before = facts(&used());
    let operations = {
        let disk = used();
        let ops = disk.ops();
        open(&disk, &[THERE], NEXT_EPOCH)
            .0
            .commit(&[Entry::Booted { boot: Id128([1; 16]) }], SYNCED)
            .unwrap();
        disk.ops() - ops
    };
    for fault in [Fault::Fail, Fault::Half, Fault::PowerCut] {
        for n in 0..operations {
            let disk = used();
            disk.fail_at(disk.ops() + n, fault);
            if let Ok((mut journal, _)) = Journal::open(disk.clone(), on(&[THERE], NEXT_EPOCH)) {
                for _ in 0..2 {
                    // Refused once, perhaps.
                    journal.commit(&[Entry::Booted { boot: Id128([1; 16]) }], SYNCED).ok();
                }
            }
            for loss in [Loss::All, Loss::Nothing, Loss::Prefix(2), Loss::Some(n), Loss::Sectors(n)] {
                let context = format!("{fault:?} at {n}, {loss:?}");
                let after = disk.crash(loss);
                let (mut journal, recovered) = open(&after, &[THERE], Id128([0xe3; 16]));
                assert_eq!(recovered.notes, [], "{context}");
                journal.commit(&[Entry::Booted { boot: Id128([2; 16]) }], SYNCED).unwrap();
                let count = recovered.next_seq - 1;
                assert_eq!(facts(&after), before, "{context}");
                let sent = Outbox::new(after, recovered.epoch).read(0, count, ALL, 1 << 20).unwrap();
                let numbers: Vec<u64> = sent.iter().map(|(seq, _)| *seq).collect();
                assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{context}");
            }
        }
    }
}

/// A new epoch that leaves out what the centre has of [`sent_in_part`].
fn renewal() -> Renewal {
    let delivered = Delivered { through: 2, beyond: [4].into() };
    Renewal { epoch: NEXT_EPOCH, why: "a restored copy".to_owned(), delivered, now: options().now }
}

#[test]
fn a_running_journal_takes_over_what_the_centre_does_not_have_in_a_new_epoch() {
    let disk = sent_in_part();
    let mut journal = open(&disk, &[HERE], EPOCH).0;
    // Not synced: it belongs to what is taken over, too.
    journal.commit(&[event(6)], Durability::Unsynced).unwrap();
    let renewed = journal.renew(renewal()).unwrap();
    assert_eq!((renewed.epoch, renewed.next_seq, journal.epoch()), (NEXT_EPOCH, 6, NEXT_EPOCH));
    assert_eq!(renewed.acked, Acked { through: 0, stream_sequence: 70, told: 0 });
    let kind = EventKind::NewEpoch { old_epoch: EPOCH, last_seq: 7, why: "a restored copy".to_owned() };
    assert!(renewed.recent.iter().any(|(seq, event)| *seq == 1 && event.kind == kind), "{renewed:?}");
    // Durable before anything is sent: a power cut right now changes nothing.
    let cut = disk.crash(Loss::All);
    let sent = Outbox::new(cut.clone(), NEXT_EPOCH).read(0, 9, 9, 1 << 20).unwrap();
    assert_eq!(sent.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!((&sent[1].1, &sent[2].1, &sent[3].1), (&event(1), &event(2), &record(2, 40)));
    assert_eq!(sent[4].1, event(6));
    assert_eq!(journal.commit(&[event(8)], SYNCED).unwrap().first_seq, 6);
    drop(journal);
    let (_, again) = open(&disk, &[HERE], Id128([9; 16]));
    assert_eq!((again.epoch, again.old_epoch, again.next_seq), (NEXT_EPOCH, None, 7));
    assert_eq!(again.image.intents.len(), 1, "all else is as it was");
}

#[test]
fn a_new_epoch_that_the_disk_refuses_at_any_operation_leaves_the_old_one_or_is_whole() {
    let operations = {
        let disk = sent_in_part();
        let mut journal = open(&disk, &[HERE], EPOCH).0;
        let ops = disk.ops();
        journal.renew(renewal()).unwrap();
        disk.ops() - ops
    };
    for fault in [Fault::Fail, Fault::Half, Fault::PowerCut] {
        for n in 0..operations {
            for loss in [Loss::All, Loss::Nothing, Loss::Some(n)] {
                let context = format!("{fault:?} at {n}, {loss:?}");
                let disk = sent_in_part();
                let mut journal = open(&disk, &[HERE], EPOCH).0;
                disk.fail_at(disk.ops() + n, fault);
                let renewed = journal.renew(renewal()).is_ok();
                let first = if renewed { 5 } else { 7 };
                assert_eq!(journal.epoch() == NEXT_EPOCH, renewed, "{context}");
                if let Ok(committed) = journal.commit(&[event(8)], SYNCED) {
                    assert_eq!(committed.first_seq, first, "{context}");
                    let sent = Outbox::new(disk.clone(), journal.epoch()).read(first - 1, first, 9, 1 << 20);
                    assert_eq!(sent.unwrap(), [(first, event(8))], "{context}");
                }
                drop(journal);
                let (_, after) = open(&disk.crash(loss), &[HERE], Id128([9; 16]));
                assert_eq!(after.notes, [], "{context}");
                let known = (after.epoch, after.next_seq);
                let whole = [(EPOCH, 7), (EPOCH, 8), (NEXT_EPOCH, 5), (NEXT_EPOCH, 6)];
                assert!(whole.contains(&known), "{context}: {known:?}");
                assert!(!renewed || after.epoch == NEXT_EPOCH, "{context}");
            }
        }
    }
}
