//! `on_failure`, and what of a run must outlive the agent.

use core::time::Duration;

use super::world::{World, name};
use crate::job::{CommandId, CommandMark, Outcome, Reason, RefusalKind, Reply, limits};
use crate::scheduler::{AskId, Ending, Event, Force, How};

const ALERT: &str = r#""on_failure":"logger oh""#;

fn told(world: &World) -> Vec<(Outcome, Option<Reason>, Option<u8>)> {
    world.told.iter().map(|failure| (failure.outcome, failure.reason, failure.exit_code)).collect()
}

fn fail(world: &mut World, code: u8) {
    let run = world.only_run();
    world.end(run, How::Exited(code));
}

#[test]
fn a_jobs_own_command_is_told_of_the_final_failure_and_of_nothing_else() {
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"* * * * *",{ALERT},"retry":{{"attempts":2,"delay":"5s"}}"#));
    world.pass(60);
    fail(&mut world, 7);
    assert_eq!(told(&world), [], "another attempt follows");
    world.pass(5);
    fail(&mut world, 9);
    assert_eq!(told(&world), [(Outcome::Failed, None, Some(9))]);
    world.end_alert();
    // It succeeds, meets itself and is paused: no news.
    world.pass(120);
    world.end_all();
    world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]);
    world.run("a", "paused");
    world.end_all();
    world.pass(300);
    world.turn([Event::Resume { job: name("a"), command: None, ask: AskId(2) }]);
    assert_eq!(told(&world).len(), 1);
    // What was missed is.
    world.power_cut(86_400);
    assert_eq!(told(&world)[1..], [(Outcome::Skipped, Some(Reason::Missed), None)]);
}

#[test]
fn its_commands_run_one_at_a_time_in_no_slot_and_of_too_many_the_newest_are_told() {
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"* * * * *",{ALERT}"#));
    for code in 1..=7 {
        world.pass(60);
        fail(&mut world, code);
    }
    assert_eq!(told(&world).len(), 1);
    for _ in 0..7 {
        world.end_alert();
    }
    let codes: Vec<_> = world.told.iter().filter_map(|failure| failure.exit_code).collect();
    assert_eq!(codes, [1, 4, 5, 6, 7]);
    let runs: std::collections::BTreeSet<_> = world.told.iter().map(|failure| failure.run).collect();
    assert_eq!(runs.len(), 5, "each has a run of its own");
    assert!(world.core.runs(None).is_empty());
}

#[test]
fn nothing_is_told_for_a_job_that_is_gone_nor_while_the_machine_goes_down_nor_twice() {
    let mut world = World::new();
    world.define("a", &format!(r#""schedule":"* * * * *",{ALERT}"#));
    world.pass(60);
    world.remove("a");
    fail(&mut world, 1);
    world.define("a", &format!(r#""schedule":"* * * * *",{ALERT}"#));
    world.pass(60);
    fail(&mut world, 2);
    world.crash();
    world.pass(60);
    assert_eq!(told(&world), [(Outcome::Failed, None, Some(2))], "a crash may lose it, and doubles nothing");
    world.turn([Event::EndRuns { by: "shutdown".to_owned(), ask: AskId(3) }]);
    let run = world.only_run();
    world.end(run, How::Stopped(Ending::default()));
    assert_eq!(told(&world).len(), 1);
}

#[test]
fn a_stop_outlives_the_agent_with_its_reason() {
    for found_running in [true, false] {
        let mut world = World::new();
        world.define("a", r#""schedule":"* * * * *","on_interrupt":"rerun""#);
        world.pass(60);
        world.turn([Event::Stop { job: name("a"), by: "uid 7".to_owned(), command: None, ask: AskId(1) }]);
        let run = world.only_run();
        world.stops.clear();
        if found_running {
            world.crash_with(vec![Event::Started { run, pid: 3 }]);
            assert_eq!(world.stops, [run], "it is told again: nobody knows whether it was");
            world.end(run, How::Stopped(Ending::default()));
        } else {
            world.running.clear();
            let end = super::world::end(How::Stopped(Ending::default()));
            world.crash_with(vec![Event::Ended { run, end }]);
        }
        let record = world.records.last().unwrap();
        assert_eq!((record.outcome, record.reason), (Outcome::Stopped, Some(Reason::Command)));
        assert_eq!(record.stopped_by.as_deref(), Some("uid 7"));
    }
    // A power cut meets a run that was to end: it is not started again.
    let mut world = World::new();
    world.define("a", r#""schedule":"1 0 * * *","on_interrupt":"rerun""#);
    world.pass(60);
    world.turn([Event::Stop { job: name("a"), by: "uid 7".to_owned(), command: None, ask: AskId(1) }]);
    world.power_cut(60);
    world.pass(3_600);
    assert_eq!((world.starts.len(), world.finals("a")), (1, vec!["60 interrupted(boot)".to_owned()]));
}

#[test]
fn a_run_is_judged_by_the_definition_that_it_was_started_with() {
    for change in ["removed", "changed"] {
        let mut world = World::new();
        world.define("a", r#""schedule":"1 0 * * *","success_exit_codes":[0,3]"#);
        world.pass(60);
        match change {
            "removed" => world.remove("a"),
            _ => world.define("a", r#""schedule":"1 0 * * *""#),
        }
        world.crash_with(world.found());
        fail(&mut world, 3);
        assert_eq!(world.finals("a"), ["60 succeeded"], "{change}");
    }
}

#[test]
fn a_commands_id_is_for_one_job_also_after_a_restart() {
    let mut world = World::new();
    let far = r#""schedule":"0 0 1 1 *""#;
    world.define("a", far);
    world.define("b", far);
    world.run("a", "id");
    world.end_all();
    let id: CommandId = "stop".parse().unwrap();
    world.run("a", "other");
    world.turn([Event::Stop {
        job: name("a"),
        by: String::new(),
        command: Some(id.clone().into()),
        ask: AskId(1),
    }]);
    world.end_all();
    for _ in 0..2 {
        world.replies.clear();
        world.run("a", "id");
        world.run("b", "id");
        world.turn([Event::Stop {
            job: name("b"),
            by: String::new(),
            command: Some(id.clone().into()),
            ask: AskId(2),
        }]);
        let refused =
            |reply: &Reply| matches!(reply, Reply::Refused(refusal) if refusal.kind == RefusalKind::Conflict);
        assert!(matches!(world.replies[0], Reply::Accepted { .. }), "asked twice it runs once");
        assert!(refused(&world.replies[1]) && refused(&world.replies[2]), "{:?}", world.replies);
        world.crash();
    }
    assert_eq!(world.starts.len(), 2);
}

/// A command that may come again until its `not_after` is not forgotten for newer ones; those are refused.
#[test]
fn a_flood_of_commands_makes_none_run_twice() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 0 1 1 *","overlap":"allow""#);
    let until = Some(world.now.wall.plus(Duration::from_secs(3_600)));
    let run = |number: usize| Event::Run {
        job: name("a"),
        command: CommandMark { id: format!("c{number}").parse().unwrap(), until },
        force: Force::No,
        ask: AskId(1),
    };
    for number in 0..limits::COMMAND_IDS {
        world.turn([run(number)]);
        world.end_all();
    }
    let started = world.starts.len();
    world.replies.clear();
    world.turn([run(0)]);
    world.turn([run(1_000)]);
    world.crash();
    world.turn([run(0)]);
    world.turn([run(1_000)]);
    assert_eq!(world.starts.len(), started);
    let busy = |reply: &Reply| matches!(reply, Reply::Refused(refusal) if refusal.kind == RefusalKind::Busy);
    assert!(busy(&world.replies[1]) && busy(&world.replies[3]), "{:?}", world.replies);
    assert!(world.replies.iter().step_by(2).all(|reply| matches!(reply, Reply::Accepted { .. })));
    // A person's own command always has room.
    world.run("a", "own");
    world.end_all();
    assert_eq!(world.starts.len(), started + 1);
    // Nor do they forget one that may come again.
    world.pass(3_601);
    world.turn([run(1_000)]);
    assert_eq!(world.starts.len(), started + 2);
}

/// Delivered twice, a stop that found nothing must not stop what was started since.
#[test]
fn a_pause_and_a_stop_are_taken_once() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 0 1 1 *""#);
    let mark = |id: &str| Some(CommandMark::from(id.parse::<CommandId>().unwrap()));
    let stop = || Event::Stop { job: name("a"), by: String::new(), command: mark("s"), ask: AskId(1) };
    world.turn([stop()]);
    world.run("a", "id");
    world.crash();
    world.turn([stop()]);
    assert!(world.stops.is_empty(), "{:?}", world.stops);
    let pause = || Event::Pause { job: name("a"), command: mark("p"), ask: AskId(1) };
    world.turn([pause()]);
    world.turn([Event::Resume { job: name("a"), command: mark("r"), ask: AskId(1) }]);
    world.crash();
    world.turn([pause()]);
    assert!(!world.core.view(&name("a")).unwrap().paused);
}
