//! Gates and queues under strain: probes and checks that take their time, many jobs at once.

use core::time::Duration;

use super::world::{World, settings};
use crate::job::{Clock, Pressure, Readings, Resource, limits};
use crate::scheduler::{Event, How};

fn world(max_runs: usize, clock_wait: Duration) -> World {
    World::with_settings(settings(max_runs, clock_wait))
}

#[test]
fn the_core_sleeps_when_a_delay_is_over_and_something_else_is_awaited() {
    let splayed = r#""schedule":"0 1 * * *","splay":"1h""#;
    // The answer to a probe.
    let mut world = World::new();
    world.probes_wait = true;
    world.define("a", &format!(r#"{splayed},"require":{{"memory_available":"1GiB"}}"#));
    world.pass(2 * 3_600);
    world.readings.memory_available = Some(2 << 30);
    world.answer_probe();
    assert_eq!(world.started_dues("a"), [3_600]);
    // The end of a check.
    let mut world = World::new();
    world.define("a", &format!(r#"{splayed},"require":{{"check":"test -e /x"}}"#));
    world.pass(2 * 3_600);
    world.check(true);
    assert_eq!(world.started_dues("a"), [3_600]);
    // The clock, after a restart.
    let mut world = self::world(4, Duration::from_secs(9 * 3_600));
    world.define("a", splayed);
    world.pass(3_600);
    world.now.clock = Clock::Unsynced;
    world.crash();
    world.pass(3_600);
    assert!(world.starts.is_empty());
    world.now.clock = Clock::Synced;
    world.pass(2);
    assert_eq!(world.started_dues("a"), [3_600]);
}

#[test]
fn no_more_checks_go_on_than_slots_are_free_and_each_job_has_its_turn() {
    let mut world = world(2, Duration::ZERO);
    for n in 0..100 {
        world.define(&format!("job-{n}"), r#""schedule":"1 0 * * *","require":{"check":"test -e /x"}"#);
    }
    world.pass(60);
    let mut most = 0;
    while world.starts.len() < 100 || !world.running.is_empty() {
        most = most.max(world.checking.len());
        assert!(world.now.boot.millis() < 3_000_000, "{} started", world.starts.len());
        match world.running.keys().next().copied() {
            _ if !world.checking.is_empty() => world.check(true),
            Some(run) => world.end(run, How::Exited(0)),
            None => world.pass(5),
        }
    }
    assert_eq!(most, 2);
}

#[test]
fn a_check_that_keeps_failing_is_asked_ever_more_rarely() {
    for takes in [0, 3] {
        let mut world = World::new();
        world.define("a", r#""schedule":"1 0 * * *","require":{"check":"test -e /x"},"hold":"10h""#);
        world.pass(60);
        let mut asked = Vec::new();
        for second in 0..3_600 {
            if !world.checking.is_empty() {
                asked.push(second);
                world.pass(takes);
                world.check(false);
            }
            world.pass(1);
        }
        let late = asked.iter().filter(|second| **second >= 1_800).count();
        assert!((25..=31).contains(&late), "{late} times in half an hour: {asked:?}");
    }
}

#[test]
fn readings_judge_only_those_on_whose_behalf_they_were_made() {
    let mut world = World::new();
    world.probes_wait = true;
    let disk = r#""require":{"disk_available":[{"path":"/x","at_least":"1GiB"}]}"#;
    world.define("a", &format!(r#""schedule":"1 0 * * *",{disk}"#));
    world.define("b", r#""schedule":"30 1 0 * * *","require":{"memory_available":"1GiB"},"hold":"0s""#);
    world.pass(60);
    assert_eq!(world.probing, 1);
    world.pass(30);
    assert_eq!(world.probing, 1, "one at a time");
    world.readings =
        Readings { disk_available: vec![("/x".to_owned(), Some(2 << 30))], ..Readings::default() };
    world.answer_probe();
    world.pass(1);
    assert_eq!(world.started_dues("a"), [60]);
    assert_eq!(world.records, [], "nothing was read for b");
    world.readings = Readings { memory_available: Some(2 << 30), ..Readings::default() };
    world.answer_probe();
    assert_eq!(world.started_dues("b"), [90]);
}

#[test]
fn a_gate_that_shuts_between_attempts_repeats_the_last_outcome() {
    for (otherwise, reason) in [(r#""hold":"1m""#, "gate"), (r#""hold":"1h","deadline":"10m""#, "deadline")] {
        let mut world = World::new();
        let retry = r#""retry":{"attempts":2,"delay":"30s"},"require":{"memory_available":"1GiB"}"#;
        world.define("a", &format!(r#""schedule":"1 0 * * *","otherwise":"fail",{retry},{otherwise}"#));
        world.readings.memory_available = Some(2 << 30);
        world.pass(60);
        let run = world.only_run();
        world.end(run, How::Exited(9));
        world.readings.memory_available = Some(5);
        world.pass(3_000);
        assert_eq!(world.finals("a"), [format!("60 failed({reason})")]);
        assert_eq!(world.records.last().unwrap().exit_code, Some(9), "{reason}");
    }
}

#[test]
fn fires_that_wait_are_bounded_over_all_jobs() {
    let mut world = world(1, Duration::ZERO);
    for n in 0..260 {
        world.define(&format!("job-{n}"), r#""schedule":"* * * * *","overlap":"allow""#);
    }
    world.pass(240);
    let waiting = world.core.pending(None, world.now).len();
    assert!((limits::PENDING - 1..=limits::PENDING).contains(&waiting), "{waiting} wait");
    let skipped: Vec<String> = (0..260)
        .flat_map(|n| world.finals(&format!("job-{n}")))
        .filter(|of| of.contains("skipped"))
        .collect();
    assert_eq!(skipped.len() + waiting + world.running.len(), 4 * 260);
    assert!(skipped.iter().all(|of| of == "240 skipped(queuefull)"), "{skipped:?}");
}

#[test]
fn a_held_fire_is_looked_at_though_another_job_reads_the_machine_all_the_time() {
    for gate in [r#""memory_available":"1GiB""#, r#""check":"test -e /x""#] {
        let mut world = World::new();
        let disk = r#""require":{"disk_available":[{"path":"/x","at_least":"1GiB"}]}"#;
        world.define("often", &format!(r#""schedule":"*/5 * * * * *",{disk}"#));
        world.define("held", &format!(r#""schedule":"1 0 * * *","require":{{{gate}}},"hold":"10h""#));
        world.readings.disk_available = vec![("/x".to_owned(), Some(2 << 30))];
        world.readings.memory_available = Some(5);
        let mut asked = 0;
        for _ in 0..1_800 {
            world.pass(1);
            asked += world.checking.len();
            world.check(false);
            world.end_all();
        }
        assert!(asked < 40, "{asked} checks in half an hour");
        world.readings.memory_available = Some(2 << 30);
        for _ in 0..130 {
            world.pass(1);
            world.check(true);
            world.end_all();
        }
        assert_eq!(world.started_dues("held"), [60], "{gate}");
    }
}

#[test]
fn checks_that_take_their_time_and_fail_are_asked_ever_more_rarely() {
    let mut world = world(1, Duration::ZERO);
    for n in 0..3 {
        let gate = r#""require":{"check":"test -e /x"},"hold":"10h""#;
        world.define(&format!("job-{n}"), &format!(r#""schedule":"1 0 * * *",{gate}"#));
    }
    world.pass(60);
    let mut late = 0;
    let begin = world.now.boot;
    while world.now.boot.since(begin).as_secs() < 3_600 {
        if !world.checking.is_empty() {
            late += usize::from(world.now.boot.since(begin).as_secs() >= 1_800);
            world.pass(8);
            world.check(false);
        }
        world.pass(1);
    }
    assert!((3 * 15..=3 * 31).contains(&late), "{late} checks in half an hour");
}

#[test]
fn a_gate_on_the_clock_needs_no_probe_of_files_and_opens_when_it_is_synchronised() {
    let mut world = World::new();
    // `@every` waits for no clock by itself.
    world.define("a", r#""schedule":"@every 1h","require":{"clock":"synced"},"hold":"30m""#);
    world.now.clock = Clock::Unsynced;
    world.pass(3_600);
    assert_eq!(world.core.pending(None, world.now)[0].shut, ["clock is not synchronised"]);
    world.now.clock = Clock::Synced;
    world.pass(60);
    assert_eq!(world.started_dues("a"), [3_600]);
    world.end_all();
    assert_eq!(world.records[0].gate, Readings { clock: Some(Clock::Synced), ..Readings::default() });
}

#[test]
fn the_record_of_a_fire_that_its_gate_stopped_says_what_was_lacking() {
    for (otherwise, hold, finals) in [
        ("skip", "5m", "60 skipped(gate)"),
        ("fail", "5m", "60 failed(gate)"),
        ("skip", "2h", "60 skipped(deadline)"),
    ] {
        let mut world = World::new();
        let require =
            r#""require":{"temperature":70,"power":"mains"},"schedule":"1 0 * * *","deadline":"1h""#;
        world.define("a", &format!(r#"{require},"hold":"{hold}","otherwise":"{otherwise}""#));
        world.readings = Readings { temperature: Some(80.0), ..Readings::default() };
        world.pass(2 * 3_600);
        assert_eq!(world.finals("a"), [finals]);
        let record = &world.records[0];
        let said = "temperature 80.0 °C is above 70 °C; power could not be read";
        assert_eq!(record.detail.as_deref(), Some(said), "{finals}");
        assert_eq!(record.gate, world.readings, "{finals}");
    }
}

#[test]
fn what_was_lacking_is_told_in_a_bounded_line_of_whole_characters() {
    let mut world = World::new();
    let path = format!("/{}", "é".repeat(200));
    let paths = format!(r#"{{"path":"{path}","at_least":"1KiB"}}"#);
    let list = [paths.as_str(); 4].join(",");
    let require = format!(r#""require":{{"disk_available":[{list}]}},"schedule":"1 0 * * *","hold":"1m""#);
    world.define("a", &require);
    world.pass(200);
    let detail = world.records[0].detail.as_deref().unwrap();
    assert!((limits::DETAIL_BYTES - 1..=limits::DETAIL_BYTES).contains(&detail.len()), "{}", detail.len());
}

/// Some tasks wait for a cpu, in so many percent of the time.
fn busy(percent: f32) -> Readings {
    Readings { cpu_pressure: Some(Pressure::Some10(percent)), ..Readings::default() }
}

#[test]
fn pressure_that_shuts_gates_is_watched_and_its_end_wakes_what_is_held() {
    let mut world = World::new();
    for (job, percent) in [("a", 10), ("b", 30)] {
        let require = format!(r#""require":{{"cpu_pressure":{percent}}}"#);
        world.define(job, &format!(r#""schedule":"1 0 * * *","hold":"10h",{require}"#));
    }
    assert!(world.watched.is_empty(), "nothing is held");
    world.readings = busy(90.0);
    world.pass(60 + 1_800);
    let watched = |world: &World| world.watched.bounds().collect::<Vec<_>>();
    assert_eq!(watched(&world), [(Resource::CpuPressure, 30.0)], "the first that can open");
    // Right after a look, when the next one is a minute away.
    let looks = world.turns;
    while world.turns == looks {
        world.pass(1);
    }
    world.readings = busy(20.0);
    world.turn([Event::Eased]);
    assert_eq!(world.started_dues("b"), [60], "looked at once");
    assert_eq!(watched(&world), [(Resource::CpuPressure, 10.0)], "what still holds is watched anew");
    world.readings = busy(0.0);
    world.turn([Event::Eased]);
    assert_eq!(world.started_dues("a"), [60]);
    assert!(world.watched.is_empty(), "nothing is held any more");
    // One that comes too late finds nothing to do.
    let turns = world.turns;
    world.turn([Event::Eased]);
    assert_eq!(world.turns - turns, 1, "no probe");
}

#[test]
fn a_gate_that_nobody_waits_at_any_more_is_watched_no_longer() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","hold":"1m","require":{"cpu_pressure":10}"#);
    world.readings = busy(90.0);
    world.pass(61);
    assert!(!world.watched.is_empty());
    world.pass(60);
    assert_eq!(world.finals("a"), ["60 skipped(gate)"]);
    assert!(world.watched.is_empty());
}

#[test]
fn the_most_important_of_those_that_wait_goes_first_and_one_per_set_of_readings() {
    let mut world = World::new();
    for (job, priority) in [("low", -5), ("high", 5), ("mid", 0)] {
        let require = r#""require":{"cpu_pressure":10},"hold":"10h""#;
        world.define(job, &format!(r#""schedule":"1 0 * * *","priority":{priority},{require}"#));
    }
    world.readings = busy(90.0);
    world.pass(120);
    world.readings = busy(0.0);
    world.pass(600);
    let order: Vec<_> = world.starts.iter().map(|start| start.key.job.to_string()).collect();
    assert_eq!(order, ["high", "mid", "low"]);
}
