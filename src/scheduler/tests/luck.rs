//! Random worlds: jobs of every kind, runs that end in every way, crashes between any two turns, power cuts, a clock
//! that is set. After each, every due instant is accounted for exactly once and no command started twice.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::world::{Span, World, end, name, plan};
use crate::job::{Fire, JobName, Record, WallTime};
use crate::scheduler::{AskId, Ending, Event, How, Settings};

/// xorshift64*: a world is its seed.
struct Luck(u64);

impl Luck {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

fn definition(luck: &mut Luck) -> String {
    let schedule =
        luck.one_of(&["* * * * *", "*/7 * * * *", "*/20 * * * * *", "0 * * * *", "@every 90s", "30 3 * * *"]);
    let overlap = luck.one_of(&["skip", "queue", "replace", "allow"]);
    let catch_up = luck.one_of(&["none", "last", "all"]);
    let interrupt = luck.one_of(&["report", "report", "rerun"]);
    let deadline = luck.one_of(&["none", "24h", "5m"]);
    let retry = luck.one_of(&["1", "1", "3"]);
    let splay = luck.one_of(&["0s", "0s", "40s"]);
    let gate = luck.one_of(&["", "", r#","require":{"memory_available":"1GiB"},"hold":"3m""#]);
    format!(
        r#""schedule":"{schedule}","overlap":"{overlap}","catch_up":"{catch_up}","on_interrupt":"{interrupt}","deadline":"{deadline}","retry":{{"attempts":{retry},"delay":"45s"}},"splay":"{splay}"{gate}"#
    )
}

fn live(seed: u64) -> World {
    let mut luck = Luck(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world =
        World::with_settings(Settings { agent: name("pi"), max_runs: 3, clock_wait: Duration::ZERO });
    for job in ["a", "b", "c", "d", "e"] {
        let fields = definition(&mut luck);
        world.define(job, &fields);
    }
    for _ in 0..150 {
        match luck.below(20) {
            0..8 => {
                let secs = luck.below(200);
                world.pass(secs);
            }
            8..14 => {
                if let Some(run) = world.running.keys().next().copied() {
                    let how = match luck.below(4) {
                        0 => How::Exited(1),
                        1 => How::TimedOut(Ending::default()),
                        2 if world.stops.contains(&run) => How::Stopped(Ending::default()),
                        _ => How::Exited(0),
                    };
                    world.end(run, how);
                }
            }
            14 | 15 => {
                let open: Vec<_> = world.image.intents.values().map(|open| open.intent.run).collect();
                let first = open.into_iter().map(|run| match world.running.contains_key(&run) {
                    true => Event::Started { run, pid: 1 },
                    false => Event::Ended { run, end: end(How::RunnerLost) },
                });
                let first = first.collect();
                world.crash_with(first);
            }
            16 => {
                let off = luck.below(3_000);
                world.power_cut(off);
            }
            17 => {
                let free = if luck.below(2) == 0 { 5 } else { 2 << 30 };
                world.readings.memory_available = Some(free);
            }
            18 => {
                let by = Duration::from_secs(luck.below(1_000));
                let back = luck.below(2) == 0;
                world.now.wall = if back { world.now.wall.minus(by) } else { world.now.wall.plus(by) };
                world.turn([]);
            }
            _ => {
                let job = name(luck.one_of(&["a", "b", "c"]));
                let event = match luck.below(3) {
                    0 => Event::Pause { job, ask: AskId(0) },
                    1 => Event::Resume { job, ask: AskId(0) },
                    _ => Event::Stop { job, by: "test".to_owned(), ask: AskId(0) },
                };
                world.turn([event]);
            }
        }
    }
    world
}

/// Settles the world: gates open, pauses end, everything runs to its end, a minute after the last due instant.
fn settle(world: &mut World) {
    world.readings.memory_available = Some(2 << 30);
    for job in ["a", "b", "c"] {
        world.turn([Event::Resume { job: name(job), ask: AskId(0) }]);
    }
    let jobs: Vec<JobName> = world.texts.keys().cloned().collect();
    for job in jobs {
        world.turn([Event::Pause { job, ask: AskId(0) }]);
    }
    for _ in 0..20 {
        world.end_all();
        world.pass(400);
    }
    assert!(
        world.image.intents.is_empty() && world.image.pending.is_empty() && world.image.missed.is_empty()
    );
}

fn finals<'a>(world: &'a World, job: &'a JobName) -> impl Iterator<Item = &'a Record> {
    world.records.iter().filter(move |record| record.last && record.key.job == *job)
}

/// What is known of one due instant that went wrong.
fn tale(world: &World, job: &JobName, due: WallTime) -> String {
    let concerned = |record: &&Record| match (&record.key.fire, record.covers) {
        (_, Some(covers)) => covers.from <= due && due <= covers.to,
        (Fire::Scheduled { due: of, .. }, None) => *of == due,
        (Fire::Reboot { .. } | Fire::Manual { .. }, None) => false,
    };
    let records: Vec<_> = world.records.iter().filter(|r| r.key.job == *job).filter(concerned).collect();
    format!("job {job} due {due}: {:#?}\n{records:#?}", world.spans[job])
}

/// Every instant that was due by a definition in force has one final record or is covered by one, and none has two.
pub(super) fn assert_accounted(world: &World, story: &str) {
    for (job, spans) in &world.spans {
        let mut owed: BTreeSet<WallTime> = BTreeSet::new();
        let mut all = Vec::new();
        for Span { text, from, to } in spans {
            let plan = plan(text);
            let through = world.image.progress.get(job).map(|progress| progress.done_through);
            let to = to.or(through).unwrap_or(*from);
            let mut due = *from;
            while let Some(next) = plan.calendar.next(due).filter(|next| *next <= to && plan.policy.enabled) {
                assert!(owed.insert(next), "{story}: {job} owes {next} twice");
                all.push(next);
                due = next;
            }
        }
        for record in finals(world, job) {
            let Fire::Scheduled { due, .. } = record.key.fire else { continue };
            let covers = record.covers.map_or((due, due, 1), |covers| (covers.from, covers.to, covers.count));
            let (from, to, count) = covers;
            let covered: Vec<_> = all.iter().filter(|at| (from..=to).contains(*at)).collect();
            assert_eq!(covered.len() as u64, count, "{story}: {}", tale(world, job, due));
            for at in covered {
                assert!(owed.remove(at), "{story}: twice: {}", tale(world, job, *at));
            }
        }
        if let Some(at) = owed.first() {
            panic!("{story}: {} instants have no record: {}", owed.len(), tale(world, job, *at));
        }
    }
}

#[test]
fn every_due_instant_is_accounted_for_exactly_once() {
    for seed in 1..=120 {
        let mut world = live(seed);
        settle(&mut world);
        assert_accounted(&world, &format!("seed {seed}"));
    }
}

#[test]
fn no_attempt_of_a_fire_starts_twice_and_none_more_often_than_its_definition_grants() {
    for seed in 300..=400 {
        let mut world = live(seed);
        settle(&mut world);
        let mut starts: BTreeMap<_, u32> = BTreeMap::new();
        for start in &world.starts {
            *starts.entry((start.key.clone(), start.attempt)).or_default() += 1;
            assert!(start.attempt <= 3, "seed {seed}: {start:?}");
        }
        assert!(starts.values().all(|count| *count == 1), "seed {seed}");
        // Each start has its record.
        for (key, attempt) in starts.into_keys() {
            let recorded = |record: &&Record| record.key == key && record.attempt == attempt;
            assert!(world.records.iter().any(|record| recorded(&record)), "seed {seed}: {key:?} {attempt}");
        }
    }
}
