//! Restarts, clocks and what must be durable before anything is answered: each of these went wrong once.

use core::time::Duration;

use super::luck::assert_accounted;
use super::world::{MIDNIGHT, Trace, World, name, settings};
use crate::job::{Clock, Entry, Fire, Readings, Reply, Revision};
use crate::scheduler::{AskId, Event, How};

const NEEDS_MEMORY: &str = r#""require":{"memory_available":"1GiB"}"#;
const FIFTY_YEARS: Duration = Duration::from_secs(50 * 365 * 86_400);

fn patient(clock_wait_secs: u64) -> World {
    let clock_wait = Duration::from_secs(clock_wait_secs);
    World::with_settings(settings(4, clock_wait))
}

/// The one run's runner dies before it began the command.
fn runner_dies(world: &mut World) {
    let run = world.only_run();
    world.running.clear();
    world.turn([Event::NeverStarted { run }]);
}

#[test]
fn a_runner_that_dies_before_its_command_is_a_failed_start() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":2,"delay":"30s"}"#);
    world.pass(60);
    runner_dies(&mut world);
    assert!(world.core.runs(None).is_empty(), "the slot is free");
    world.pass(29);
    assert_eq!(world.starts.len(), 1, "not at once");
    world.pass(1);
    runner_dies(&mut world);
    world.pass(3_600);
    assert_eq!(world.starts.len(), 2);
    assert_eq!(world.finals("a"), ["60 failed(start)"]);
    world.run("a", "m");
    assert_eq!(world.running.len(), 1, "the job is free");
}

#[test]
fn what_was_due_while_the_clock_is_awaited_is_settled_before_the_schedule_changes() {
    for catch_up in ["none", "last", "all"] {
        for change in ["define", "remove", "pause"] {
            let mut world = patient(120);
            world.define("a", &format!(r#""schedule":"*/10 * * * *","catch_up":"{catch_up}""#));
            world.now.clock = Clock::Unsynced;
            world.power_cut(3_600 + 300);
            world.pass(10);
            assert_eq!(world.records, [], "the clock is awaited");
            match change {
                "define" => {
                    world.define("a", &format!(r#""schedule":"30 12 * * *","catch_up":"{catch_up}""#))
                }
                "remove" => world.remove("a"),
                _ => world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]),
            }
            world.now.clock = Clock::Synced;
            for _ in 0..10 {
                world.pass(10);
                world.end_all();
            }
            assert_accounted(&world, &format!("{catch_up}, {change}"));
            let covered = world.records.iter().map(|record| record.covers.map_or(1, |covers| covers.count));
            assert_eq!(covered.sum::<u64>(), 6, "{catch_up}, {change}: {:?}", world.finals("a"));
        }
    }
}

/// Whether a turn holds the fire of `job` as one that waits or starts.
fn holds(turn: &Trace, job: &str) -> bool {
    let Trace::Stored(entries) = turn else { return false };
    entries.iter().any(|entry| match entry {
        Entry::Pending(pending) => pending.key.job == name(job),
        Entry::Intent(intent) => intent.key.job == name(job),
        _ => false,
    })
}

#[test]
fn a_command_at_a_gate_is_durable_before_it_is_answered() {
    let mut world = World::new();
    world.probes_wait = true;
    world.define("a", &format!(r#""schedule":"0 1 * * *",{NEEDS_MEMORY}"#));
    world.run("a", "m");
    let accepted = |trace: &Trace| matches!(trace, Trace::Answered(Reply::Accepted { .. }));
    let answer = world.trace.iter().position(accepted).unwrap();
    assert!(world.trace[..answer].iter().any(|turn| holds(turn, "a")), "{:?}", world.trace);
    // And so it survives the agent.
    world.crash();
    world.readings.memory_available = Some(2 << 30);
    world.answer_probe();
    assert!(matches!(&world.starts[..], [start] if matches!(start.key.fire, Fire::Manual { .. })));
}

#[test]
fn a_boot_is_durable_together_with_what_it_makes_due() {
    let mut world = World::new();
    world.probes_wait = true;
    world.define("a", &format!(r#""schedule":"@reboot",{NEEDS_MEMORY}"#));
    let boot = world.boot;
    world.turn([Event::Booted { boot }]);
    let booted =
        |turn: &&Trace| matches!(turn, Trace::Stored(entries) if entries.contains(&Entry::Booted { boot }));
    assert!(holds(world.trace.iter().find(booted).unwrap(), "a"), "{:?}", world.trace);
}

#[test]
fn a_manual_run_does_not_wait_for_the_clock() {
    let mut world = patient(7_200);
    world.define("a", r#""schedule":"*/10 * * * *""#);
    world.now.clock = Clock::Unsynced;
    world.crash();
    world.pass(1_200);
    assert!(world.starts.is_empty());
    world.run("a", "m");
    assert_eq!(world.starts.len(), 1);
}

/// The fixed delay of job `a` with this schedule.
fn splay_of(fields: &str) -> u64 {
    let mut world = World::new();
    world.define("a", fields);
    world.pass(4 * 3_600);
    let at = world.image.intents.values().next().unwrap().intent.at;
    at.since(MIDNIGHT).as_secs() - 3 * 3_600
}

#[test]
fn power_that_is_back_before_the_splayed_start_misses_nothing_and_hurries_nothing() {
    for catch_up in ["none", "last", "all"] {
        let fields = format!(r#""schedule":"0 3 * * *","splay":"1h","catch_up":"{catch_up}""#);
        let splay = splay_of(&fields);
        assert!(splay > 180, "the test needs room");
        let mut world = World::new();
        world.define("a", &fields);
        world.power_cut(3 * 3_600 + splay - 60);
        world.pass(59);
        assert!(world.starts.is_empty(), "{catch_up}: {:?}", world.starts);
        world.pass(1);
        assert_eq!(world.started_dues("a"), [3 * 3_600], "{catch_up}");
        let mut world = World::new();
        world.define("a", &fields);
        // Late by more than a minute already, if it were not for the splay.
        world.power_cut(3 * 3_600 + 90);
        world.pass(splay);
        let at = world.image.intents.values().next().unwrap().intent.at;
        assert_eq!(at.since(MIDNIGHT).as_secs(), 3 * 3_600 + splay, "{catch_up}");
    }
}

#[test]
fn a_clock_that_is_set_does_not_end_the_retry_of_what_was_asked_for() {
    for crash in [false, true] {
        let mut world = World::new();
        let retry = r#""retry":{"attempts":2,"delay":"5m"},"catch_up":"none""#;
        world.define("boot", &format!(r#""schedule":"@reboot",{retry}"#));
        world.define("a", &format!(r#""schedule":"0 12 * * *",{retry}"#));
        let boot = world.boot;
        world.turn([Event::Booted { boot }]);
        world.run("a", "m");
        for run in world.running.keys().copied().collect::<Vec<_>>() {
            world.end(run, How::Exited(1));
        }
        world.now.wall = world.now.wall.plus(FIFTY_YEARS);
        world.turn([]);
        if crash {
            world.crash();
        }
        world.pass(300);
        world.end_all();
        assert_eq!(world.finals("boot"), ["boot succeeded"]);
        assert_eq!(world.finals("a").last().unwrap(), "m succeeded");
        assert_eq!(world.starts.len(), 4);
    }
}

#[test]
fn a_run_that_outlives_its_job_and_the_agent_keeps_its_revision() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *""#);
    let revision = Revision::of(&world.texts[&name("a")]);
    world.pass(60);
    world.remove("a");
    world.crash_with(world.found());
    world.end_all();
    assert_eq!(world.finals("a"), ["60 succeeded"]);
    assert_eq!(world.records[0].revision, revision);
}

#[test]
fn a_start_that_never_was_waits_durably_before_its_directory_goes() {
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"1 0 * * *",{NEEDS_MEMORY}"#));
    world.readings.memory_available = Some(2 << 30);
    world.pass(60);
    let run = world.only_run();
    world.running.clear();
    world.probes_wait = true;
    world.crash_with(vec![Event::NeverStarted { run }]);
    let cleared = world.trace.iter().position(|step| *step == Trace::Cleared(run)).unwrap();
    let pending = |entry: &Entry| matches!(entry, Entry::Pending(_));
    let waits = |step: &Trace| matches!(step, Trace::Stored(entries) if entries.iter().any(pending));
    assert!(world.trace[..cleared].iter().any(waits), "{:?}", world.trace);
    assert!(world.image.intents.is_empty());
    world.crash_with(world.found());
    world.answer_probe();
    assert_eq!(world.starts[1].attempt, 1);
    world.end_all();
    assert_eq!(world.finals("a"), ["60 succeeded"]);
}

#[test]
fn of_all_missed_fires_the_latest_hundred_run_however_often_the_power_fails() {
    let mut world = World::new();
    let schedule = r#""schedule":"*/10 * * * *","catch_up":"all","deadline":"none","hold":"20h""#;
    world.define("a", &format!("{schedule},{NEEDS_MEMORY}"));
    world.readings.memory_available = Some(5);
    // Seventy wait at the gate, then seventy more.
    world.power_cut(42_000 + 300);
    world.power_cut(42_000);
    world.readings.memory_available = Some(2 << 30);
    for _ in 0..3 {
        world.pass(60);
        world.end_all();
    }
    assert_eq!(world.started_dues("a"), (41..=140).map(|n| n * 600).collect::<Vec<_>>());
    let covers: Vec<u64> = world.records.iter().filter_map(|record| Some(record.covers?.count)).collect();
    assert!(covers.iter().sum::<u64>() == 40 && covers.len() <= 2, "{covers:?}");
    assert_accounted(&world, "all");
}

#[test]
fn a_job_has_no_more_fires_pending_than_it_may_those_that_back_off_included() {
    let retry = r#""retry":{"attempts":3,"delay":"1h","max_delay":"1h"}"#;
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"* * * * *","overlap":"allow",{retry}"#));
    for _ in 0..8 {
        world.pass(60);
        let run = world.only_run();
        world.end(run, How::Exited(1));
        assert!(world.image.pending.len() <= 4, "{:?}", world.image.pending);
    }
    assert_eq!(world.started_dues("a").len(), 8, "what starts at once does not wait");
    let last =
        ["300 failed(queuefull)", "360 failed(queuefull)", "420 failed(queuefull)", "480 failed(queuefull)"];
    assert_eq!(world.finals("a"), last);
    // What cannot start at once would have to wait: there is no room for it.
    world.define("b", r#""schedule":"0 12 * * *","overlap":"allow""#);
    (0..4).for_each(|n| world.run("b", &format!("b{n}")));
    world.pass(60);
    assert_eq!(world.finals("a")[4..], ["540 skipped(queuefull)"]);
    assert_eq!(world.image.pending.len(), 4);
    world.end_all();
    world.pass(3_600);
    world.end_all();
    assert_accounted(&world, "a");
}

#[test]
fn a_run_that_was_started_under_report_is_not_started_again_under_a_newer_rerun() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","on_interrupt":"report""#);
    world.pass(60);
    world.define("a", r#""schedule":"1 0 * * *","on_interrupt":"rerun""#);
    world.power_cut(60);
    world.pass(3_600);
    assert_eq!(world.starts.len(), 1);
    assert_eq!(world.finals("a"), ["60 interrupted(boot)"]);
    // What is started under it is.
    world.run("a", "m");
    world.power_cut(60);
    world.pass(3_600);
    assert_eq!(world.starts.len(), 3);
}

/// A disk that refused took that the job was paused, and had lost the records of what waited then.
#[test]
fn a_paused_job_starts_nothing_that_waits_in_the_journal() {
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"* * * * *","overlap":"queue",{NEEDS_MEMORY}"#));
    world.pass(70);
    assert_eq!(world.image.pending.len(), 1);
    world.image.apply(&Entry::Paused { job: name("a"), at: world.now.wall });
    world.readings = Readings { memory_available: Some(2 << 30), ..Readings::default() };
    world.crash();
    world.pass(120);
    assert!(world.starts.is_empty() && world.image.pending.is_empty(), "{:?}", world.image.pending);
    assert_eq!(world.finals("a")[0], "60 skipped(paused)");
    // What a person asks for is theirs.
    world.run("a", "own");
    world.pass(10);
    assert_eq!(world.starts.len(), 1);
}
