//! Random worlds: jobs of every kind, runs that end in every way, crashes between any two turns, power cuts, a clock
//! that is set. After each, every due instant is accounted for exactly once and no command started twice.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::world::{Disk, MIDNIGHT, Span, Trace, World, name, plan, settings};
use crate::job::{Clock, Entry, Fire, JobName, Record, Reply, WallTime};
use crate::scheduler::{AskId, Ending, Event, How};

const JOBS: [&str; 5] = ["a", "b", "c", "d", "e"];

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
    let schedule = luck.one_of(&[
        "* * * * *",
        "*/7 * * * *",
        "*/20 * * * * *",
        "0 * * * *",
        "@every 90s",
        "30 3 * * *",
        "@reboot",
    ]);
    let overlap = luck.one_of(&["skip", "queue", "replace", "allow"]);
    let catch_up = luck.one_of(&["none", "last", "all"]);
    let interrupt = luck.one_of(&["report", "report", "rerun"]);
    let unrecorded = luck.one_of(&["skip", "run"]);
    let deadline = luck.one_of(&["none", "24h", "5m"]);
    let retry = luck.one_of(&["1", "1", "3"]);
    let splay = luck.one_of(&["0s", "0s", "40s"]);
    let enabled = luck.one_of(&["true", "true", "true", "true", "true", "true", "true", "false"]);
    let otherwise = luck.one_of(&["skip", "run", "fail"]);
    let alert = luck.one_of(&["", r#","on_failure":"logger oh""#]);
    let gate = luck.one_of(&[
        "",
        "",
        r#","require":{"memory_available":"1GiB"},"hold":"3m""#,
        r#","require":{"check":"test -e /x"},"hold":"0s""#,
        r#","require":{"memory_available":"1GiB","check":"test -e /x"},"hold":"4m""#,
        r#","require":{"disk_available":[{"path":"/x","at_least":"1GiB"}]},"hold":"1m""#,
    ]);
    format!(
        r#""schedule":"{schedule}","overlap":"{overlap}","catch_up":"{catch_up}","on_interrupt":"{interrupt}","unrecorded":"{unrecorded}","deadline":"{deadline}","retry":{{"attempts":{retry},"delay":"45s"}},"splay":"{splay}","enabled":{enabled},"otherwise":"{otherwise}"{alert}{gate}"#
    )
}

/// What may go wrong in a world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    /// Its disk takes everything.
    Sound,
    /// Its disk refuses for a while, now and then.
    BadDisk,
    /// Its clock shows anything at a boot, and is set by years.
    WildClock,
}

fn live(seed: u64, device: Device) -> World {
    let mut luck = Luck(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let clock_wait = Duration::from_secs(luck.below(2) * 150);
    let mut world = World::with_settings(settings(3, clock_wait));
    for job in JOBS {
        let fields = definition(&mut luck);
        world.define(job, &fields);
    }
    for step in 0..150 {
        match luck.below(25) {
            0..8 => {
                let secs = luck.below(200);
                world.pass(secs);
            }
            8..12 => end_one(&mut world, &mut luck),
            12..14 => {
                let passed = luck.below(3) > 0;
                world.check(passed);
                world.end_alert();
            }
            14 => {
                let found = world.found();
                world.crash_with(found);
                boot(&mut world);
            }
            15 => cut_power(&mut world, &mut luck, device),
            16 => {
                let free = if luck.below(2) == 0 { 5 } else { 2 << 30 };
                world.readings.memory_available = Some(free);
                world.readings.disk_available = vec![("/x".to_owned(), Some(free))];
            }
            17 => set_clock(&mut world, &mut luck, device),
            18 if device == Device::BadDisk && luck.below(2) == 0 => match world.disk {
                Disk::Good => world.disk = Disk::Refuses,
                Disk::Refuses => world.mend_disk(),
            },
            19 => {
                let fields = definition(&mut luck);
                world.define(luck.one_of(&JOBS), &fields);
            }
            20 if seed % 2 == 1 => world.remove(luck.one_of(&JOBS)),
            21 => world.run(luck.one_of(&JOBS), &format!("m{step}")),
            22 => world.probes_wait = false,
            23 => {
                // A probe that takes its time.
                world.probes_wait = true;
                if world.probing > 0 {
                    world.answer_probe();
                }
            }
            _ => {
                let job = name(luck.one_of(&JOBS));
                let event = match luck.below(3) {
                    0 => Event::Pause { job, command: None, ask: AskId(0) },
                    1 => Event::Resume { job, command: None, ask: AskId(0) },
                    _ => Event::Stop { job, by: "test".to_owned(), command: None, ask: AskId(0) },
                };
                world.turn([event]);
            }
        }
        if !world.probes_wait && world.probing > 0 {
            world.answer_probe();
        }
    }
    world
}

fn cut_power(world: &mut World, luck: &mut Luck, device: Device) {
    if device == Device::WildClock {
        let (wall, clock) = wild(world, luck);
        world.boot_at(wall, clock);
    } else {
        world.now.clock = if luck.below(2) == 0 { Clock::Unsynced } else { Clock::Synced };
        world.power_cut(luck.below(3_000));
    }
    boot(world);
}

fn set_clock(world: &mut World, luck: &mut Luck, device: Device) {
    if device == Device::WildClock {
        let (wall, clock) = wild(world, luck);
        let (era, back) = (world.image.eras.provisional, wall < world.now.wall);
        // Not through a century within one era: the test would count every minute of it.
        if era.is_none() || back || clock == Clock::Synced {
            world.set(wall, clock);
        }
        return;
    }
    let by = Duration::from_secs(luck.below(1_000));
    let back = luck.below(2) == 0;
    let wall = if back { world.now.wall.minus(by) } else { world.now.wall.plus(by) };
    world.set(wall, Clock::Synced);
}

/// What a clock without a battery shows, and what it is set to.
fn wild(world: &World, luck: &mut Luck) -> (WallTime, Clock) {
    let newest = world.image.newest.unwrap_or(world.now.wall);
    let secs = |n: u64| Duration::from_secs(n);
    let hours = secs(luck.below(5 * 3_600));
    match luck.below(6) {
        0 => (WallTime::from_secs(0).plus(hours), Clock::Unsynced),
        1 => (WallTime::from_secs(4_000_000_000).plus(hours), Clock::Unsynced),
        2 => (newest.minus(hours), Clock::Unsynced),
        3 => (newest.minus(hours), Clock::Synced),
        4 => (newest.plus(hours), Clock::Unsynced),
        _ => (newest.plus(hours), Clock::Synced),
    }
}

fn end_one(world: &mut World, luck: &mut Luck) {
    let Some(run) = world.running.keys().next().copied() else { return };
    let how = match luck.below(6) {
        0 | 1 => How::Exited(1),
        2 => How::TimedOut(Ending::default()),
        3 if world.stops.contains(&run) => How::Stopped(Ending::default()),
        4 if luck.below(4) == 0 => {
            // Its runner died before it began the command.
            world.running.remove(&run);
            return world.turn([Event::NeverStarted { run }]);
        }
        _ => How::Exited(0),
    };
    world.end(run, how);
}

/// The agent's first start in a boot, unless it is known to have been.
fn boot(world: &mut World) {
    let boot = world.boot;
    if world.image.boot != Some(boot) {
        world.turn([Event::Booted { boot }]);
    }
}

/// Settles the world: gates open, pauses end, everything runs to its end, and nothing falls due any more.
fn settle(world: &mut World) {
    world.mend_disk();
    world.readings.memory_available = Some(2 << 30);
    world.probes_wait = false;
    if world.probing > 0 {
        world.answer_probe();
    }
    if world.image.eras.provisional.is_some() {
        // Not where it is now: the test would count every minute of a century.
        world.now.wall = world.image.newest.unwrap_or(MIDNIGHT);
    }
    world.now.clock = Clock::Synced;
    let jobs: Vec<JobName> = world.texts.keys().cloned().collect();
    for job in &jobs {
        world.turn([Event::Resume { job: job.clone(), command: None, ask: AskId(0) }]);
    }
    for job in &jobs {
        world.turn([Event::Pause { job: job.clone(), command: None, ask: AskId(0) }]);
        let plan = plan(&world.texts[job]);
        let late = plan.calendar.next(world.image.progress[job].done_through);
        assert!(!plan.policy.enabled || late.is_none_or(|at| at > world.now.wall), "{job}: {late:?} is left");
    }
    for _ in 0..20 {
        while !world.checking.is_empty() {
            world.check(true);
        }
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
        let mut owed: BTreeSet<(u32, WallTime)> = BTreeSet::new();
        let mut all = Vec::new();
        for Span { text, era, from, to } in spans {
            let plan = plan(text);
            let through = world.image.progress.get(job).map(|progress| progress.done_through);
            let to = to.or(through).unwrap_or(*from);
            let mut due = *from;
            while let Some(next) = plan.calendar.next(due).filter(|next| *next <= to && plan.policy.enabled) {
                assert!(
                    owed.insert((*era, next)),
                    "{story}: {job} owes {next} of era {era} twice: {spans:#?}"
                );
                all.push((*era, next));
                due = next;
            }
        }
        for record in finals(world, job) {
            let Fire::Scheduled { era, due } = record.key.fire else { continue };
            let covers = record.covers.map_or((due, due, 1), |covers| (covers.from, covers.to, covers.count));
            let (from, to, count) = covers;
            let covered: Vec<_> =
                all.iter().filter(|(of, at)| *of == era && (from..=to).contains(at)).collect();
            assert_eq!(covered.len() as u64, count, "{story}: {}", tale(world, job, due));
            for (era, at) in covered {
                assert!(owed.remove(&(*era, *at)), "{story}: twice: {}", tale(world, job, *at));
            }
        }
        if let Some((_, at)) = owed.first() {
            panic!("{story}: {} instants have no record: {}", owed.len(), tale(world, job, *at));
        }
    }
}

/// Every command that was accepted, and every boot of an `@reboot` job, has one final record.
fn assert_asked(world: &World, story: &str) {
    let mut owed: BTreeMap<(Option<JobName>, Fire), u32> = BTreeMap::new();
    let mut texts: BTreeMap<&JobName, &str> = BTreeMap::new();
    for trace in &world.trace {
        match trace {
            Trace::Answered(Reply::Accepted { id }) => {
                owed.insert((None, Fire::Manual { id: id.clone() }), 0);
            }
            Trace::Stored(entries) => {
                for entry in entries {
                    match entry {
                        Entry::Defined { job, text, .. } => {
                            texts.insert(job, text);
                        }
                        Entry::Withdrawn { job, .. } => {
                            texts.remove(job);
                        }
                        Entry::Booted { boot } => {
                            let plans = texts.iter().map(|(job, text)| (*job, plan(text)));
                            for (job, _) in
                                plans.filter(|(_, plan)| plan.policy.enabled && plan.calendar.is_reboot())
                            {
                                owed.insert((Some(job.clone()), Fire::Reboot { boot: *boot }), 0);
                            }
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    for record in world.records.iter().filter(|record| record.last) {
        let job = match record.key.fire {
            Fire::Manual { .. } => None,
            Fire::Reboot { .. } => Some(record.key.job.clone()),
            Fire::Scheduled { .. } => continue,
        };
        // A command of which the answer said that no disk took it may have been done all the same.
        if let Some(count) = owed.get_mut(&(job, record.key.fire.clone())) {
            *count += 1;
        } else {
            assert!(matches!(record.key.fire, Fire::Manual { .. }), "{story}: {record:?} was never due");
        }
    }
    owed.retain(|_, count| *count != 1);
    assert!(owed.is_empty(), "{story}: {owed:?}");
}

#[test]
fn every_due_instant_is_accounted_for_exactly_once() {
    for seed in 1..=70 {
        let mut world = live(seed, Device::Sound);
        settle(&mut world);
        assert_accounted(&world, &format!("seed {seed}"));
        assert_asked(&world, &format!("seed {seed}"));
    }
}

#[test]
fn every_due_instant_is_accounted_for_exactly_once_on_a_disk_that_refuses() {
    for seed in 1_001..=1_070 {
        let mut world = live(seed, Device::BadDisk);
        settle(&mut world);
        assert_accounted(&world, &format!("seed {seed}"));
        assert_asked(&world, &format!("seed {seed}"));
    }
}

#[test]
fn every_due_instant_is_accounted_for_exactly_once_whatever_the_clock_shows() {
    for seed in 2_001..=2_080 {
        let mut world = live(seed, Device::WildClock);
        settle(&mut world);
        assert_accounted(&world, &format!("seed {seed}"));
        assert_asked(&world, &format!("seed {seed}"));
    }
}

#[test]
fn no_attempt_of_a_fire_starts_twice_and_none_more_often_than_its_definition_grants() {
    for (seeds, device) in [(301..=370, Device::Sound), (2_301..=2_340, Device::WildClock)] {
        for seed in seeds {
            let mut world = live(seed, device);
            settle(&mut world);
            assert_started_once(&world, &format!("seed {seed}"));
        }
    }
}

pub(super) fn assert_started_once(world: &World, story: &str) {
    let mut starts: BTreeMap<_, u32> = BTreeMap::new();
    for start in &world.starts {
        *starts.entry((start.key.clone(), start.attempt)).or_default() += 1;
        assert!(start.attempt <= 3, "{story}: {start:?}");
    }
    assert!(starts.values().all(|count| *count == 1), "{story}");
    // Each start has its record.
    for (key, attempt) in starts.into_keys() {
        let recorded = |record: &&Record| record.key == key && record.attempt == attempt;
        assert!(world.records.iter().any(|record| recorded(&record)), "{story}: {key:?} {attempt}");
    }
}
