//! The disk fails, or the power goes, at operation N; for every N.

use leafcron::store::mem::{Fault, Loss};
use leafcron::store::{Durability, Journal, MemDisk};

use crate::sample::{Model, Turn, event, open, options, reopened, state_of, turns};

const LOSSES: [Loss; 6] =
    [Loss::All, Loss::Nothing, Loss::Prefix(1), Loss::Prefix(2), Loss::Prefix(3), Loss::Prefix(4)];

/// A disk that has had some turns, so that opening finds something.
fn used() -> (MemDisk, Model) {
    let disk = MemDisk::new();
    let mut model = Model::new();
    assert!(model.run(&mut open(&disk).0, &turns(2)));
    (disk, model)
}

fn workload() -> Vec<Turn> {
    turns(4)
}

/// Opens and runs the workload; goes on after each refused turn, which then does not count.
fn run(disk: &MemDisk, model: &mut Model) {
    let Ok((mut journal, _)) = Journal::open(disk.clone(), options()) else { return };
    for turn in workload() {
        let before = model.states.len();
        if !model.run(&mut journal, &[turn]) {
            if disk.is_off() {
                return;
            }
            model.pop();
            assert_eq!(model.states.len(), before);
        }
    }
}

fn operations() -> u64 {
    let (disk, mut model) = used();
    let before = disk.ops();
    run(&disk, &mut model);
    disk.ops() - before
}

#[test]
fn a_failure_at_any_operation_loses_nothing_acknowledged_and_brings_nothing_refused() {
    let operations = operations();
    assert!(operations > 30);
    for fault in [Fault::Fail, Fault::Half] {
        for n in 0..operations {
            let (disk, mut model) = used();
            disk.fail_at(disk.ops() + n, fault);
            run(&disk, &mut model);
            // The process ends and another reads what the kernel holds: every commit that was not refused.
            let context = format!("{fault:?} at {n}");
            let (state, recovered) = reopened(&disk.crash(Loss::Nothing));
            assert_eq!(recovered.notes, [], "{context}");
            model.check(&state, &context);
            for loss in LOSSES {
                let (state, _) = reopened(&disk.crash(loss));
                model.check(&state, &format!("{context}, power cut at the end with {loss:?}"));
            }
        }
    }
}

#[test]
fn two_failures_in_a_row_are_no_worse_than_one() {
    for n in 0..operations() {
        for gap in 1..5 {
            let (disk, mut model) = used();
            disk.fail_at(disk.ops() + n, Fault::Fail);
            disk.fail_at(disk.ops() + n + gap, Fault::Half);
            run(&disk, &mut model);
            for loss in LOSSES {
                let (state, _) = reopened(&disk.crash(loss));
                model.check(&state, &format!("failures at {n} and {gap} later, {loss:?}"));
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_all_that_was_acknowledged() {
    for n in 0..operations() {
        let (disk, mut model) = used();
        disk.fail_at(disk.ops() + n, Fault::PowerCut);
        run(&disk, &mut model);
        assert!(disk.is_off(), "cut at {n}");
        for loss in LOSSES {
            let context = format!("power cut at {n}, {loss:?}");
            let after = disk.crash(loss);
            let (mut journal, recovered) = open(&after);
            let state = state_of(&after, &recovered);
            model.check(&state, &context);
            // And the journal goes on from there.
            journal.commit(&[event(7)], Durability::Synced).unwrap();
            drop(journal);
            let (next, recovered) = reopened(&after.crash(Loss::All));
            assert_eq!((next.next_seq, recovered.notes), (state.next_seq + 1, vec![]), "{context}");
        }
    }
}

#[test]
fn a_power_cut_after_a_failure_finds_at_most_the_refused_turn_whole() {
    for n in 0..operations() {
        for later in 1..8 {
            let (disk, mut model) = used();
            disk.fail_at(disk.ops() + n, Fault::Fail);
            disk.fail_at(disk.ops() + n + later, Fault::PowerCut);
            let Ok((mut journal, _)) = Journal::open(disk.clone(), options()) else { continue };
            let mut refused = None;
            for turn in workload() {
                let before = model.states.len();
                if model.run(&mut journal, std::slice::from_ref(&turn)) {
                    refused = None;
                } else if !disk.is_off() {
                    refused = Some(model.pop());
                    assert_eq!(model.states.len(), before);
                }
                if disk.is_off() {
                    break;
                }
            }
            for loss in LOSSES {
                let (state, _) = reopened(&disk.crash(loss));
                if Some(&state) != refused.as_ref() {
                    model.check(&state, &format!("failure at {n}, cut {later} later, {loss:?}"));
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_is_not_made_up_for_by_a_later_one() {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    assert!(model.run(&mut journal, &turns(3)));
    // The next turn: one append, then its sync.
    disk.fail_at(disk.ops() + 1, Fault::Fail);
    assert!(model.run(&mut journal, &turns(3)));
    assert_eq!(disk.names(), ["journal-2", "reserve"]);
    assert_eq!(reopened(&disk.crash(Loss::All)).0, *model.now());
}

#[test]
fn a_disk_that_refuses_everything_is_reported_and_served_again_when_it_heals() {
    let (disk, mut model) = used();
    let (mut journal, _) = open(&disk);
    disk.fail_from(disk.ops());
    for _ in 0..3 {
        let error = journal.commit(&[event(1)], Durability::Synced).unwrap_err();
        assert!(error.chain().ends_with(": injected fault"), "{}", error.chain());
        assert!(!error.to_string().contains("injected"), "{error}");
        assert_eq!(journal.status().trouble, Some(error.chain()));
    }
    disk.heal();
    assert!(model.run(&mut journal, &turns(2)));
    assert_eq!(journal.status().trouble, None);
    assert_eq!(reopened(&disk.crash(Loss::All)).0, *model.now());
}
