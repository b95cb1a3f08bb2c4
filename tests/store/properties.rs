//! Whatever happens in whatever order: what is recovered is a prefix of what was written and holds all that was
//! acknowledged; and no bytes make it panic.

use leafcron::store::mem::{Fault, Loss};
use leafcron::store::{Durability, Journal, MemDisk, history};
use proptest::prelude::*;

use crate::sample::{ALL, Model, State, Turn, open, options, state_of, turns};

/// The same cases in every run: a change is judged by itself. More of them, `PROPTEST_CASES` or another seed, are for
/// whoever looks for trouble.
const SEED: proptest::test_runner::RngSeed = proptest::test_runner::RngSeed::Fixed(0x1eaf_c407);

#[derive(Clone, Debug)]
enum Step {
    Commit(usize, bool),
    Compact,
    Restart,
    PowerCut(Loss),
    Fail(u64, Fault),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..400usize, any::<bool>()).prop_map(|(turn, synced)| Step::Commit(turn, synced)),
        1 => Just(Step::Compact),
        1 => Just(Step::Restart),
        1 => prop_oneof![
            Just(Loss::All),
            any::<u64>().prop_map(Loss::Prefix),
            any::<u64>().prop_map(Loss::Some),
        ].prop_map(Step::PowerCut),
        1 => (0..6u64, prop_oneof![Just(Fault::Fail), Just(Fault::Half), Just(Fault::PowerCut)])
            .prop_map(|(after, fault)| Step::Fail(after, fault)),
    ]
}

/// A journal, its disk, and what they may hold.
struct World {
    disk: MemDisk,
    journal: Option<Journal<MemDisk>>,
    model: Model,
    /// What the disk may hold after a turn that it refused.
    refused: Option<State>,
    /// Whether the last power cut spared unsynced frames in no order.
    any_order: bool,
}

impl World {
    fn open(&mut self) {
        self.journal = None;
        loop {
            if self.disk.is_off() {
                self.disk = self.disk.crash(Loss::Prefix(self.disk.ops()));
            }
            let Ok((journal, recovered)) = Journal::open(self.disk.clone(), options()) else { continue };
            if self.disk.is_off() {
                continue;
            }
            let found = state_of(&self.disk, &recovered);
            let may = Some(&found) == self.refused.as_ref()
                || (self.any_order && self.model.subsequences().contains(&found));
            if !may {
                self.model.check(&found, "opened");
            }
            // What was found, and is durable now, is all there is from here on.
            self.model = Model::of(found);
            self.any_order = false;
            self.refused = None;
            self.journal = Some(journal);
            return;
        }
    }

    fn take(&mut self, step: Step, all: &[Turn]) {
        let Some(journal) = &mut self.journal else { return };
        match step {
            Step::Commit(turn, synced) => {
                let durability = if synced { Durability::Synced } else { Durability::Unsynced };
                let entries = all[turn % all.len()].0.clone();
                if self.model.run(journal, &[(entries, durability)]) {
                    self.refused = None;
                } else {
                    self.refused = Some(self.model.pop());
                }
            }
            Step::Compact => {
                if journal.compact().is_ok() {
                    self.refused = None;
                    self.model.acknowledge();
                }
            }
            // Also after a sync that failed and then pretends. The start's own sync may not fail here: `exhaustive` fails each
            // start by itself.
            Step::Restart => {
                self.disk.heal();
                self.open();
            }
            Step::PowerCut(loss) => {
                self.journal = None;
                let any_order = matches!(loss, Loss::Some(_));
                // Of many unsynced turns there are too many subsequences to look at.
                let few = self.model.states.len() - self.model.acknowledged <= 8;
                self.disk = self.disk.crash(if any_order && !few { Loss::All } else { loss });
                self.any_order = any_order && few;
                self.open();
            }
            Step::Fail(after, fault) => self.disk.fail_at(self.disk.ops() + after, fault),
        }
        if self.disk.is_off() {
            self.open();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recovered_is_a_prefix_and_holds_all_that_was_acknowledged(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let all = turns(100);
        let disk = MemDisk::new();
        let mut world = World { journal: None, disk, model: Model::new(), refused: None, any_order: false };
        world.open();
        for step in steps {
            world.take(step, &all);
        }
        world.disk.heal();
        world.open();
    }

    #[test]
    fn random_bytes_never_panic(
        header in any::<bool>(),
        garbage in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(1)], 0..1_500),
    ) {
        let disk = MemDisk::new();
        let (mut journal, _) = open(&disk);
        journal.commit(&turns(1)[0].0, Durability::Synced).unwrap();
        let mut bytes = if header { disk.content("journal-1").unwrap() } else { Vec::new() };
        drop(journal);
        bytes.extend(garbage);
        let disk = MemDisk::new();
        disk.put("journal-1", &bytes);
        history(&disk, None, ALL).unwrap();
        let (mut journal, recovered) = open(&disk);
        prop_assert_eq!(recovered.next_seq, if header { 2 } else { 1 });
        journal.commit(&turns(1)[0].0, Durability::Synced).unwrap();
    }

    #[test]
    fn any_change_to_a_journal_costs_no_more_than_the_frames_it_touches(
        changes in prop::collection::vec((160..4_000usize, any::<u8>()), 1..6)
    ) {
        let disk = MemDisk::new();
        let mut model = Model::new();
        let mut ends = vec![160];
        let mut journal = open(&disk).0;
        for turn in turns(12) {
            prop_assert!(model.run(&mut journal, &[turn]));
            ends.push(disk.content("journal-1").unwrap().len());
        }
        drop(journal);
        let good = disk.content("journal-1").unwrap();
        let mut bad = good.clone();
        for (at, value) in &changes {
            if let Some(byte) = bad.get_mut(*at) {
                *byte = *value;
            }
        }
        let disk = MemDisk::new();
        disk.put("journal-1", &bad);
        let (_, recovered) = open(&disk);
        let found = state_of(&disk, &recovered);
        let touched = |seq: u64| {
            let turn = model.states.iter().position(|state| state.next_seq > seq).unwrap();
            good[ends[turn - 1]..ends[turn]] != bad[ends[turn - 1]..ends[turn]]
        };
        let left: Vec<_> = model.now().records.iter().filter(|(seq, _)| !touched(*seq)).cloned().collect();
        prop_assert_eq!(found.records, left);
    }
}
