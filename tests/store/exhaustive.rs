//! A day of a device in small: definitions, pendings, runs, acknowledgements, compaction and restarts. Each of its
//! operations fails, is half done, or is the last before the power goes; the disk turns read-only or full there; and what
//! was not synced is lost in every way. Then what was acknowledged must be there, what is there must have been written,
//! nothing may be doubled, and no number may be missing without a note.

use std::collections::BTreeSet;

use leafcron::job::{Acked, Entry, EventKind, Source};
use leafcron::store::mem::{Fault, Loss, Op};
use leafcron::store::{Durability, Journal, MemDisk, Options, Outbox, Recovered, Unsent, events, history};

use crate::sample::{
    ALL, BOOT, EPOCH, Model, State, at, event, intent, job, lean, options, pending, record, started,
};

use Durability::{Synced, Unsynced};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Entry>, Durability),
    Compact,
    Restart,
}

/// What happens to operation N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    At(Fault),
    ReadOnly,
    Full,
}

/// Whether the agent ends when the disk refused a turn, and another one starts: which knows nothing of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    GoesOn,
    StartsAnew,
}

/// What a power cut spares comes first in time.
const IN_ORDER: [Loss; 6] =
    [Loss::All, Loss::Nothing, Loss::Prefix(1), Loss::Prefix(2), Loss::Prefix(3), Loss::Prefix(4)];
/// What it spares is any of it.
const IN_NO_ORDER: [Loss; 6] =
    [Loss::Some(1), Loss::Some(2), Loss::Some(3), Loss::Sectors(1), Loss::Sectors(2), Loss::Sectors(3)];

fn kept() -> Options {
    Options { history: ALL, unsent: Unsent::Kept, ..options() }
}

fn workload() -> Vec<Step> {
    let defined =
        |n, source| Entry::Defined { job: job(n), source, text: r#"{"command":"true"}"#.to_owned() };
    let acked = |through| Entry::Acked(Acked { through, stream_sequence: through + 100, told: 0 });
    vec![
        Step::Commit(vec![Entry::Booted { boot: BOOT }, event(0), defined(0, Source::Agent)], Synced),
        Step::Commit(vec![pending(0), intent(1)], Synced),
        Step::Commit(vec![started(1)], Unsynced),
        Step::Commit(vec![record(1, 700), intent(0)], Synced),
        Step::Commit(vec![acked(2)], Unsynced),
        Step::Compact,
        Step::Commit(vec![record(0, 40), Entry::Began { job: job(2), era: 1, at: at(0) }], Synced),
        Step::Commit(vec![defined(2, Source::File("a.toml".to_owned())), event(3)], Synced),
        Step::Restart,
        Step::Commit(vec![acked(3)], Unsynced),
        Step::Commit(vec![intent(4)], Synced),
        Step::Commit(vec![started(4)], Unsynced),
        Step::Commit(vec![record(4, 0)], Synced),
        Step::Compact,
        Step::Commit(vec![Entry::Withdrawn { job: job(0), source: Source::Agent }, event(5)], Synced),
    ]
}

struct World {
    disk: MemDisk,
    journal: Option<Journal<MemDisk>>,
    model: Model,
    /// What may be there as well: turns that were refused, and what a start found that could not be synced.
    possible: Vec<State>,
    agent: Agent,
    context: String,
}

impl World {
    fn new(agent: Agent, context: String) -> Self {
        let disk = MemDisk::new();
        Self { disk, journal: None, model: Model::new(), possible: Vec::new(), agent, context }
    }

    fn run(&mut self) {
        self.start();
        for step in workload() {
            if self.disk.is_off() {
                return;
            }
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        let Some(journal) = &mut self.journal else { return self.start() };
        match step {
            Step::Restart => self.start(),
            Step::Compact => {
                if journal.compact().is_ok() {
                    self.sure();
                }
            }
            Step::Commit(entries, durability) => {
                let expected = self.model.now().next_seq;
                let left_out = journal.status().outputs_left_out;
                match journal.commit(&entries, durability) {
                    Ok(committed) => {
                        assert_eq!(committed.first_seq, expected, "{}", self.context);
                        let whole = journal.status().outputs_left_out == left_out;
                        self.model.add(&if whole { entries } else { lean(&entries) });
                        if durability == Synced {
                            self.sure();
                        }
                    }
                    Err(_) => {
                        for refused in [lean(&entries), entries] {
                            self.model.add(&refused);
                            self.possible.push(self.model.pop());
                        }
                        if self.agent == Agent::StartsAnew && !self.disk.is_off() {
                            self.start();
                        }
                    }
                }
            }
        }
    }

    /// All that was committed is durable.
    fn sure(&mut self) {
        self.model.acknowledge();
        self.possible.clear();
    }

    /// Another agent on the same disk, which may refuse it.
    fn start(&mut self) {
        self.journal = None;
        let Ok((journal, recovered)) = Journal::open(self.disk.clone(), kept()) else { return };
        // Reading may fail as well: a fault takes one operation.
        let found = (0..3).find_map(|_| state(&self.disk, &recovered).ok());
        let Some(found) = found else { return };
        self.check(&found, &recovered, "a start");
        if recovered.durable + 1 != recovered.next_seq {
            self.possible.extend(self.model.states.drain(self.model.acknowledged..));
        } else {
            self.possible.clear();
        }
        self.model = Model::of(found);
        self.journal = Some(journal);
    }

    fn check(&self, found: &State, recovered: &Recovered, what: &str) {
        assert_eq!(recovered.notes, [], "{}, {what}", self.context);
        if !self.possible.contains(found) {
            self.model.check(found, &format!("{}, {what}", self.context));
        }
    }

    /// The power goes now.
    fn cut(&self, loss: Loss, order: Order) {
        let context = format!("{}, {loss:?}", self.context);
        let after = self.disk.crash(loss);
        after.set_capacity(None);
        let (mut journal, recovered) = Journal::open(after.clone(), kept()).unwrap();
        let found = state(&after, &recovered).unwrap();
        match order {
            Order::Kept => self.check(&found, &recovered, &format!("{loss:?}")),
            Order::Lost => self.check_parts(&found, &context),
        }
        assert_accounted(&after, &recovered, &context);
        // And it goes on from there.
        journal.commit(&[event(77)], Synced).unwrap();
        drop(journal);
        let (_, next) = Journal::open(after.crash(Loss::All), kept()).unwrap();
        assert_eq!((next.next_seq, next.notes), (recovered.next_seq + 1, vec![]), "{context}");
    }

    /// Of turns that nobody acknowledged any may be there; of those acknowledged all.
    fn check_parts(&self, found: &State, context: &str) {
        let sure = &self.model.states[self.model.acknowledged];
        let bases: Vec<&State> = if self.possible.is_empty() {
            vec![sure]
        } else {
            std::iter::once(sure).chain(&self.possible).collect()
        };
        let least: BTreeSet<u64> = bases
            .iter()
            .map(|state| state.records.iter().map(|(seq, _)| *seq).collect::<BTreeSet<_>>())
            .reduce(|a, b| &a & &b)
            .unwrap();
        let there: BTreeSet<u64> = found.records.iter().map(|(seq, _)| *seq).collect();
        assert!(there.is_superset(&least), "{context}: {there:?} lacks some of {least:?}");
        assert_eq!(there.len(), found.records.len(), "{context}: doubled");
        let written = self.model.states.iter().chain(&self.possible).flat_map(|state| &state.records);
        let written: Vec<_> = written.collect();
        assert!(found.records.iter().all(|one| written.contains(&one)), "{context}: never written");
    }
}

#[derive(Clone, Copy)]
enum Order {
    Kept,
    Lost,
}

fn state(disk: &MemDisk, recovered: &Recovered) -> Result<State, leafcron::store::StoreError> {
    Ok(State {
        image: recovered.image.clone(),
        records: history(disk, None, ALL)?,
        next_seq: recovered.next_seq,
    })
}

/// Every number is there once, or in a note; and the outbox gives what the centre does not have.
fn assert_accounted(disk: &MemDisk, recovered: &Recovered, context: &str) {
    let mut there: Vec<u64> = history(disk, None, ALL).unwrap().iter().map(|(seq, _)| *seq).collect();
    there.extend(events(disk, ALL).unwrap().iter().map(|(seq, _)| *seq));
    there.sort_unstable();
    let noted = |seq: &u64| {
        recovered.notes.iter().any(|note| match note {
            EventKind::Damaged { from, to, .. } => (from..=to).contains(&seq),
            _ => false,
        })
    };
    let expected: Vec<u64> =
        (1..recovered.next_seq).filter(|seq| there.contains(seq) || !noted(seq)).collect();
    assert_eq!(there, expected, "{context}: {:?}", recovered.notes);
    let (after, through) = (recovered.image.acked.through, recovered.durable);
    let sent = Outbox::new(disk.clone(), EPOCH).read(after, through, ALL, 1 << 20).unwrap();
    let owed: Vec<u64> = expected.into_iter().filter(|seq| (after + 1..=through).contains(seq)).collect();
    assert_eq!(sent.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), owed, "{context}: the outbox");
}

fn operations() -> Vec<Op> {
    let mut world = World::new(Agent::GoesOn, "nothing goes wrong".to_owned());
    world.run();
    world.disk.kinds()
}

fn trouble(world: &World, n: u64, trouble: Trouble) {
    match trouble {
        Trouble::At(fault) => world.disk.fail_at(n, fault),
        Trouble::ReadOnly => world.disk.read_only_from(n),
        // As full as it is then: see below.
        Trouble::Full => world.disk.set_capacity(Some(n)),
    }
}

#[test]
fn the_workload_has_every_kind_of_operation() {
    let kinds: BTreeSet<Op> = operations().into_iter().collect();
    let all = [Op::Open, Op::Create, Op::Append, Op::Sync, Op::Rename, Op::Remove, Op::SyncDir, Op::Allocate];
    assert!(all.iter().all(|op| kinds.contains(op)), "{kinds:?}");
    // Where an append is half done, it is cut as well.
    let appended = operations().iter().position(|op| *op == Op::Append).unwrap() as u64;
    let mut world = World::new(Agent::GoesOn, String::new());
    world.disk.fail_at(appended + 8, Fault::Half);
    world.run();
    assert!(world.disk.kinds().contains(&Op::Cut));
}

#[test]
fn whatever_fails_at_any_operation_nothing_is_lost_doubled_or_made_up() {
    let count = operations().len() as u64;
    assert!(count > 40, "{count}");
    let faults = [Fault::Fail, Fault::Half, Fault::PowerCut].map(Trouble::At);
    for kind in faults.into_iter().chain([Trouble::ReadOnly]) {
        for n in 0..count {
            for agent in [Agent::GoesOn, Agent::StartsAnew] {
                let mut world = World::new(agent, format!("{kind:?} at {n}, {agent:?}"));
                trouble(&world, n, kind);
                world.run();
                IN_ORDER.iter().for_each(|loss| world.cut(*loss, Order::Kept));
                IN_NO_ORDER.iter().for_each(|loss| world.cut(*loss, Order::Lost));
            }
        }
    }
}

#[test]
fn two_failures_are_no_worse_than_one() {
    let count = operations().len() as u64;
    for n in 0..count {
        for gap in 1..=5 {
            for second in [Fault::Fail, Fault::Half, Fault::PowerCut] {
                let context = format!("failure at {n} and {second:?} {gap} later");
                let mut world = World::new(Agent::GoesOn, context);
                world.disk.fail_at(n, Fault::Fail);
                world.disk.fail_at(n + gap, second);
                world.run();
                [Loss::All, Loss::Nothing].iter().for_each(|loss| world.cut(*loss, Order::Kept));
                world.cut(Loss::Sectors(n + gap), Order::Lost);
            }
        }
    }
}

/// The disk refuses a sync and the fresh segment after it, the agent that knows of it dies, the disk pretends that all is
/// well, and some time later the power goes.
#[test]
fn an_agent_trusts_no_bytes_that_an_earlier_one_failed_to_sync() {
    let count = operations().len() as u64;
    for n in 0..count {
        for refused in 1..=6 {
            for later in 0..=10 {
                let context = format!("{refused} failures from {n} on, power cut {later} later");
                let mut world = World::new(Agent::StartsAnew, context);
                (n..n + refused).for_each(|op| world.disk.fail_at(op, Fault::Fail));
                world.disk.fail_at(n + refused + later, Fault::PowerCut);
                world.run();
                world.cut(Loss::All, Order::Kept);
                world.cut(Loss::Prefix(1), Order::Kept);
            }
        }
    }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_loses_nothing_and_makes_nothing_up() {
    for space in (0..9_000).step_by(61) {
        for agent in [Agent::GoesOn, Agent::StartsAnew] {
            let mut world = World::new(agent, format!("space for {space} bytes, {agent:?}"));
            trouble(&world, space, Trouble::Full);
            world.run();
            [Loss::All, Loss::Nothing, Loss::Prefix(2)].iter().for_each(|loss| world.cut(*loss, Order::Kept));
            world.cut(Loss::Sectors(space), Order::Lost);
        }
    }
}
