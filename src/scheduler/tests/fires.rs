//! The life of a fire: overlap, slots, gates, retries, interruptions, commands, a disk that refuses.

use core::time::Duration;

use super::world::{Disk, World, name, settings};
use crate::job::{CommandId, EventKind, Outcome, PendingStage, Readings, Reason, Reply};
use crate::scheduler::{AskId, Ending, Event, Force, How};

const MINUTELY: &str = r#""schedule":"* * * * *""#;

#[test]
fn a_busy_job_meets_its_next_fire_as_overlap_says() {
    for (overlap, running, finals) in [
        ("skip", 1, vec!["120 skipped(overlap)", "180 skipped(overlap)", "240 skipped(overlap)"]),
        ("queue", 1, vec!["180 skipped(queuefull)", "240 skipped(queuefull)"]),
        ("replace", 1, vec!["120 skipped(replaced)", "180 skipped(replaced)"]),
        ("allow", 4, vec![]),
    ] {
        let mut world = World::new();
        world.define("a", &format!(r#"{MINUTELY},"overlap":"{overlap}""#));
        world.pass(240);
        assert_eq!(world.running.len(), running, "{overlap}");
        assert_eq!(world.finals("a"), finals, "{overlap}");
        assert_eq!(world.stops.len(), usize::from(overlap == "replace"));
    }
}

#[test]
fn a_replaced_run_is_recorded_as_stopped_and_the_latest_fire_starts() {
    let mut world = World::new();
    world.define("a", &format!(r#"{MINUTELY},"overlap":"replace""#));
    world.pass(120);
    let run = world.only_run();
    world.end(run, How::Stopped(Ending { exit_code: None, signal: Some(15) }));
    assert_eq!(world.finals("a"), ["60 stopped(replaced)"]);
    assert_eq!(world.started_dues("a"), [60, 120]);
}

#[test]
fn slots_go_to_the_highest_priority_then_to_the_earliest() {
    let mut world = World::with_settings(settings(1, Duration::ZERO));
    for (job, priority) in [("low", -1), ("high", 5), ("normal", 0)] {
        world.define(job, &format!(r#"{MINUTELY},"priority":{priority}"#));
    }
    world.pass(60);
    assert_eq!(world.image.pending.len(), 2, "those that wait are durable");
    for _ in 0..3 {
        let run = world.only_run();
        world.end(run, How::Exited(0));
    }
    let order: Vec<_> = world.starts.iter().map(|start| start.key.job.as_str()).collect();
    assert_eq!(order, ["high", "normal", "low"]);
}

#[test]
fn a_shut_gate_holds_a_fire_and_then_otherwise_decides() {
    for (otherwise, finals) in
        [("skip", "60 skipped(gate)"), ("fail", "60 failed(gate)"), ("run", "60 succeeded")]
    {
        let mut world = World::new();
        let require = r#""require":{"memory_available":"1GiB"},"hold":"5m","schedule":"1 0 * * *""#;
        world.define("a", &format!(r#"{require},"otherwise":"{otherwise}""#));
        world.readings = Readings { memory_available: Some(5), ..Readings::default() };
        world.pass(60 + 299);
        assert_eq!(world.records, [], "{otherwise}");
        let pending = world.core.pending(None, world.now);
        assert_eq!(pending[0].stage, PendingStage::Gate);
        assert_eq!(pending[0].shut.len(), 1);
        world.pass(2);
        world.end_all();
        assert_eq!(world.finals("a"), [finals]);
        let record = &world.records[0];
        assert_eq!(record.gate.memory_available, Some(5), "the readings that decided");
    }
}

#[test]
fn a_gate_that_opens_lets_the_held_fire_start_and_a_crash_does_not_lengthen_the_hold() {
    let mut world = World::new();
    world.define("a", r#""require":{"memory_available":"1GiB"},"hold":"5m","schedule":"1 0 * * *""#);
    world.readings = Readings { memory_available: Some(5), ..Readings::default() };
    world.pass(60 + 100);
    world.crash();
    world.pass(100);
    world.readings = Readings { memory_available: Some(2 << 30), ..Readings::default() };
    world.pass(60);
    world.end_all();
    assert_eq!(world.finals("a"), ["60 succeeded"]);

    let mut world = World::new();
    world.define("a", r#""require":{"memory_available":"1GiB"},"hold":"5m","schedule":"1 0 * * *""#);
    world.pass(60 + 290);
    world.crash();
    world.pass(11);
    assert_eq!(world.finals("a"), ["60 skipped(gate)"]);
}

#[test]
fn held_fires_are_looked_at_ever_more_rarely_and_an_idle_core_never_wakes() {
    let mut world = World::new();
    world.define("a", r#""require":{"memory_available":"1GiB"},"hold":"10h","schedule":"1 0 * * *""#);
    world.pass(60);
    let turns = world.turns;
    world.pass(3_600);
    let looks = (world.turns - turns) / 2;
    assert!((58..70).contains(&looks), "{looks} looks in an hour");
    let mut idle = World::new();
    idle.turn([]);
    assert_eq!(idle.core.wake(idle.now), None);
}

#[test]
fn of_those_that_a_gate_held_one_is_admitted_per_set_of_readings() {
    let mut world = World::new();
    for job in ["a", "b", "c"] {
        world.define(job, r#""require":{"memory_available":"1GiB"},"schedule":"1 0 * * *""#);
    }
    world.pass(61);
    world.readings = Readings { memory_available: Some(2 << 30), ..Readings::default() };
    world.pass(5);
    assert_eq!(world.starts.len(), 1);
    world.pass(20);
    assert_eq!(world.starts.len(), 3);
}

#[test]
fn a_check_runs_before_its_job_and_a_failed_one_holds_it() {
    let mut world = World::new();
    world.define("a", r#""require":{"check":"test -e /x"},"schedule":"1 0 * * *""#);
    world.pass(60);
    assert_eq!((world.checks.len(), world.starts.len()), (1, 0));
    let run = world.checks[0];
    world.turn([Event::Checked { run, passed: false }]);
    assert_eq!(world.starts.len(), 0);
    world.pass(10);
    assert_eq!(world.checks.len(), 2, "asked again");
    let run = world.checks[1];
    world.turn([Event::Checked { run, passed: true }]);
    assert_eq!(world.starts.len(), 1);
    world.end_all();
    assert_eq!(world.records[0].gate.check, Some(true));
}

#[test]
fn a_failed_run_is_tried_again_after_a_doubling_delay() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":3,"delay":"30s"}"#);
    world.pass(60);
    let run = world.only_run();
    world.end(run, How::Exited(1));
    assert!(!world.records[0].last);
    world.crash();
    world.pass(29);
    assert!(world.running.is_empty());
    world.pass(1);
    let run = world.only_run();
    world.end(run, How::TimedOut(Ending::default()));
    world.pass(59);
    assert!(world.running.is_empty());
    world.pass(1);
    let run = world.only_run();
    world.end(run, How::Exited(7));
    assert_eq!(world.finals("a"), ["60 failed"]);
    let attempts: Vec<_> = world.records.iter().map(|record| (record.attempt, record.outcome)).collect();
    assert_eq!(attempts, [(1, Outcome::Failed), (2, Outcome::TimedOut), (3, Outcome::Failed)]);
}

#[test]
fn a_fire_given_up_between_attempts_repeats_the_last_outcome() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":3,"delay":"5m"}"#);
    world.pass(60);
    let run = world.only_run();
    world.end(run, How::Exited(9));
    world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]);
    assert_eq!(world.finals("a"), ["60 failed(paused)"]);
    assert_eq!(world.records.last().unwrap().exit_code, Some(9));
}

#[test]
fn a_success_is_what_the_definition_calls_one() {
    let mut world = World::new();
    world.define("a", r#""schedule":"* * * * *","success_exit_codes":[0,3]"#);
    world.pass(60);
    let run = world.only_run();
    world.end(run, How::Exited(3));
    world.pass(60);
    let run = world.only_run();
    world.end(run, How::Signaled(9));
    assert_eq!(world.finals("a"), ["60 succeeded", "120 failed"]);
}

#[test]
fn a_run_that_a_power_cut_broke_off_is_reported_or_started_again() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 1 * * *""#);
    world.pass(3_600);
    world.power_cut(600);
    assert_eq!(world.finals("a"), ["3600 interrupted(boot)"]);
    world.pass(3_600);
    assert_eq!(world.starts.len(), 1, "never started again");

    let mut world = World::new();
    world.define("a", r#""schedule":"0 1 * * *","on_interrupt":"rerun""#);
    world.pass(3_600);
    for _ in 0..5 {
        world.power_cut(60);
        world.pass(300);
    }
    assert_eq!(world.starts.len(), 3, "at most three starts");
    assert_eq!(world.finals("a"), ["3600 interrupted(boot)"]);
}

#[test]
fn an_intent_whose_command_never_started_starts_anew_under_the_same_number() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 1 * * *""#);
    world.pass(3_600);
    let run = world.only_run();
    world.running.clear();
    world.crash_with(vec![Event::NeverStarted { run }]);
    let again = world.only_run();
    assert_ne!(run, again);
    assert_eq!(world.starts[1].attempt, 1);
    world.end_all();
    assert_eq!(world.finals("a"), ["3600 succeeded"]);
}

#[test]
fn a_disk_that_takes_no_intent_skips_the_fire_unless_the_owner_chose_otherwise() {
    for (fields, starts, finals) in [
        (r#""unrecorded":"skip""#, 0, "60 skipped(disk)"),
        (r#""unrecorded":"run""#, 1, "60 succeeded"),
        (r#""on_interrupt":"rerun""#, 1, "60 succeeded"),
    ] {
        let mut world = World::new();
        world.define("a", &format!(r#""schedule":"1 0 * * *",{fields}"#));
        world.disk = Disk::Refuses;
        world.pass(60);
        world.end_all();
        assert_eq!(world.records, [], "nothing is durable");
        world.mend_disk();
        assert_eq!(world.starts.len(), starts, "{fields}");
        assert_eq!(world.finals("a"), [finals]);
    }
}

#[test]
fn a_manual_run_obeys_overlap_is_allowed_while_paused_and_moves_nothing() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 1 * * *""#);
    let before = world.image.progress.clone();
    world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]);
    world.run("a", "x1");
    world.run("a", "x1");
    world.run("a", "x2");
    assert_eq!(world.starts.len(), 1, "asked twice, run once");
    assert_eq!(world.finals("a"), ["x2 skipped(overlap)"]);
    world.end_all();
    assert_eq!(world.image.progress, before);
    world.crash();
    world.run("a", "x1");
    assert_eq!(world.starts.len(), 1, "remembered over a restart");
    world.run("b", "x3");
    assert!(matches!(world.replies.last(), Some(Reply::Refused(_))));
}

#[test]
fn force_passes_over_the_gate() {
    let mut world = World::new();
    world.define("a", r#""require":{"memory_available":"1GiB"},"schedule":"1 0 * * *""#);
    let id: CommandId = "x".parse().unwrap();
    world.turn([Event::Run { job: name("a"), command: id.into(), force: Force::Yes, ask: AskId(0) }]);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn stop_ends_runs_and_the_retry_that_waits() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":3}"#);
    let stop = || Event::Stop { job: name("a"), by: "uid 0".to_owned(), command: None, ask: AskId(1) };
    world.turn([stop()]);
    assert!(matches!(world.replies.last(), Some(Reply::Refused(_))), "nothing to stop");
    world.pass(60);
    world.turn([stop()]);
    assert_eq!(world.stops, [world.only_run()]);
    let run = world.only_run();
    world.end(run, How::Stopped(Ending { exit_code: None, signal: Some(15) }));
    assert_eq!(world.finals("a"), ["60 stopped(command)"]);
    assert_eq!(world.records[0].stopped_by.as_deref(), Some("uid 0"));

    world.run("a", "m");
    let run = world.only_run();
    world.end(run, How::Exited(1));
    world.turn([stop()]);
    assert_eq!(world.finals("a")[1], "m failed(command)");
}

#[test]
fn a_run_longer_than_its_warn_after_is_reported_once() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","warn_after":"10m""#);
    world.pass(60 + 599);
    assert_eq!(world.events, []);
    world.pass(3_600);
    assert!(matches!(&world.events[..], [EventKind::Overdue { job, .. }] if *job == name("a")));
    assert!(world.core.runs(None)[0].overdue);
}

#[test]
fn a_tree_that_does_not_end_when_it_is_killed_is_reported_whatever_warn_after_says() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","warn_after":"none","timeout":"1m","stop_grace":"10s""#);
    world.define("b", r#""schedule":"1 0 * * *","warn_after":"none","timeout":"none","stop_grace":"10s""#);
    world.pass(60 + 129);
    world.turn([Event::Stop { job: name("b"), by: "uid 0".to_owned(), command: None, ask: AskId(1) }]);
    assert_eq!(world.events, []);
    world.pass(1);
    assert!(matches!(&world.events[..], [EventKind::Overdue { job, .. }] if *job == name("a")));
    world.pass(68);
    assert_eq!(world.events.len(), 1);
    world.pass(3_600);
    assert!(matches!(&world.events[..], [_, EventKind::Overdue { job, .. }] if *job == name("b")));
    assert!(world.core.runs(None).iter().all(|run| run.overdue), "busy still");
}

#[test]
fn a_fire_that_waits_past_its_deadline_is_never_started() {
    let mut world = World::with_settings(settings(1, Duration::ZERO));
    world.define("long", r#""schedule":"1 0 * * *","priority":9"#);
    world.define("a", r#""schedule":"1 0 * * *","deadline":"10m""#);
    world.pass(60 + 602);
    assert_eq!(world.finals("a"), ["60 skipped(deadline)"]);
    world.end_all();
    assert_eq!(world.starts.len(), 1);
    assert!(world.records.iter().any(|record| record.reason == Some(Reason::Deadline)));
}

#[test]
fn a_run_stopped_before_its_command_began_is_stopped_and_not_tried_again() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":3}"#);
    world.pass(60);
    let run = world.only_run();
    world.turn([Event::Stop { job: name("a"), by: "uid 0".to_owned(), command: None, ask: AskId(1) }]);
    world.running.clear();
    world.turn([Event::NeverStarted { run }]);
    assert_eq!(world.finals("a"), ["60 stopped(command)"]);
    assert_eq!(world.records[0].started, None);
    assert!(world.core.runs(None).is_empty());
}

#[test]
fn at_the_machines_shutdown_runs_end_and_what_waits_waits_for_the_next_boot() {
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","retry":{"attempts":3}"#);
    world.define("b", r#""schedule":"2 0 * * *""#);
    let end_runs = || Event::EndRuns { by: "machine shutdown".to_owned(), ask: AskId(7) };
    world.pass(60);
    let (first, answers) = (world.only_run(), world.replies.len());
    world.turn([end_runs()]);
    assert_eq!(world.stops, [first]);
    assert_eq!(world.replies.len(), answers, "it has not ended");
    world.pass(60);
    assert_eq!(world.starts.len(), 1, "b is due, and nothing starts");
    world.end(first, How::Stopped(Ending { exit_code: None, signal: Some(15) }));
    assert!(matches!(world.replies.last(), Some(Reply::Done { .. })));
    assert_eq!(world.finals("a"), ["60 stopped(command)"]);
    assert_eq!(world.records[0].stopped_by.as_deref(), Some("machine shutdown"));
    let answers = world.replies.len();
    world.turn([end_runs()]);
    assert_eq!(world.replies.len(), answers + 1, "nothing runs: answered at once");
    world.power_cut(600);
    assert_eq!(world.started_dues("b"), [120]);
}
