//! What is due, what is missed, and what a clock that is set does to both.

use core::time::Duration;

use super::world::{MIDNIGHT, World, name, settings};
use crate::job::{Clock, Entry, EventKind, Id128, Reason, Revision, WallTime};
use crate::scheduler::{AskId, Event, How};

const MINUTELY: &str = r#""schedule":"* * * * *""#;

#[test]
fn each_due_instant_starts_once_and_nothing_wakes_in_between() {
    let mut world = World::new();
    world.define("a", MINUTELY);
    let turns = world.turns;
    for _ in 0..5 {
        world.pass(60);
        world.end_all();
    }
    assert_eq!(world.started_dues("a"), [60, 120, 180, 240, 300]);
    assert_eq!(world.finals("a").last().unwrap(), "300 succeeded");
    // Each minute: the due turn, the started turn, the end turn, and the test's own look.
    assert!(world.turns - turns <= 5 * 5, "{} turns", world.turns - turns);
}

#[test]
fn a_new_definition_owes_nothing_before_its_acceptance() {
    let mut world = World::new();
    world.pass(3_600);
    world.define("a", MINUTELY);
    assert!(world.starts.is_empty());
    assert_eq!(world.records, []);
}

#[test]
fn missed_fires_are_made_up_for_as_the_owner_chose() {
    for (catch_up, dues, finals) in [
        ("none", vec![], vec!["1800 skipped(missed) x3"]),
        ("last", vec![1_800], vec!["1200 skipped(missed) x2", "1800 succeeded"]),
        ("all", vec![600, 1_200, 1_800], vec!["600 succeeded", "1200 succeeded", "1800 succeeded"]),
    ] {
        let mut world = World::new();
        world.define("a", &format!(r#""schedule":"*/10 * * * *","catch_up":"{catch_up}""#));
        world.power_cut(1_800 + 61);
        world.end_all();
        assert_eq!(world.started_dues("a"), dues, "{catch_up}");
        assert_eq!(world.finals("a"), finals, "{catch_up}");
    }
}

#[test]
fn a_latest_fire_that_is_a_minute_late_at_most_is_on_time() {
    for (catch_up, finals) in [
        ("none", vec!["1200 skipped(missed) x2", "1800 succeeded"]),
        ("last", vec!["1200 skipped(missed) x2", "1800 succeeded"]),
        ("all", vec!["1800 succeeded", "600 succeeded", "1200 succeeded"]),
    ] {
        let mut world = World::new();
        world.define("a", &format!(r#""schedule":"*/10 * * * *","catch_up":"{catch_up}""#));
        world.power_cut(1_800 + 60);
        world.end_all();
        assert_eq!(world.finals("a"), finals, "{catch_up}");
    }
}

#[test]
fn a_step_back_repeats_nothing_and_a_step_forward_makes_missed_fires() {
    let mut world = World::new();
    world.define("a", MINUTELY);
    for _ in 0..2 {
        world.pass(60);
        world.end_all();
    }
    world.now.wall = MIDNIGHT;
    world.turn([]);
    world.pass(119);
    assert_eq!(world.started_dues("a"), [60, 120]);
    assert!(matches!(world.events[..], [EventKind::ClockStep { by_ms: -120_000 }]));
    world.pass(61);
    world.end_all();
    assert_eq!(world.started_dues("a"), [60, 120, 180]);
    world.now.wall = world.now.wall.plus(Duration::from_secs(86_400 * 365));
    let turns = world.turns;
    world.turn([]);
    world.end_all();
    assert!(world.turns - turns < 6, "a year costs no more than an hour");
    assert_eq!(world.events.len(), 2);
    let finals = world.finals("a");
    assert!(finals.iter().any(|f| f.contains("skipped(missed) x5255")), "{finals:?}");
}

#[test]
fn all_missed_fires_run_in_order_one_at_a_time_after_what_is_on_time() {
    let mut world = World::new();
    world.define("a", r#""schedule":"*/10 * * * *","catch_up":"all""#);
    world.power_cut(1_800 + 300);
    assert_eq!(world.started_dues("a"), [600]);
    world.end_all();
    // end_all ends what each end lets start, too.
    assert_eq!(world.started_dues("a"), [600, 1_200, 1_800]);
    assert_eq!(world.finals("a"), ["600 succeeded", "1200 succeeded", "1800 succeeded"]);
    assert!(world.image.missed.is_empty());
}

#[test]
fn a_hundred_of_the_missed_fires_run_and_the_rest_are_covered() {
    let mut world = World::new();
    world.define("a", r#""schedule":"* * * * *","catch_up":"all","deadline":"none""#);
    world.power_cut(86_400 + 30);
    world.end_all();
    world.end_all();
    assert_eq!(world.starts.len(), 101);
    let covered =
        world.records.iter().filter_map(|record| record.covers).map(|covers| covers.count).sum::<u64>();
    assert_eq!(covered + 101, 86_400 / 60);
}

#[test]
fn the_backlog_survives_a_crash_half_way() {
    let mut world = World::new();
    world.define("a", r#""schedule":"*/10 * * * *","catch_up":"all""#);
    world.power_cut(3_000 + 300);
    let run = world.only_run();
    world.end(run, How::Exited(0));
    // The second runs; the agent dies and finds it ended.
    let run = world.only_run();
    world.running.clear();
    world.crash_with(vec![Event::Ended { run, end: super::world::end(How::Exited(0)) }]);
    world.end_all();
    assert_eq!(world.started_dues("a"), [600, 1_200, 1_800, 2_400, 3_000]);
    assert_eq!(world.finals("a").len(), 5);
}

#[test]
fn a_missed_fire_past_its_deadline_is_not_started() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 * * * *","deadline":"30m","catch_up":"all""#);
    world.power_cut(3 * 3_600 + 1_200);
    world.end_all();
    assert_eq!(world.finals("a"), ["7200 skipped(missed) x2", "10800 succeeded"]);
}

#[test]
fn a_pause_is_covered_by_one_record() {
    let mut world = World::new();
    world.define("a", MINUTELY);
    world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]);
    world.pass(300);
    world.crash();
    world.pass(301);
    assert!(world.starts.is_empty());
    world.turn([Event::Resume { job: name("a"), command: None, ask: AskId(2) }]);
    assert_eq!(world.finals("a"), ["600 skipped(paused) x10"]);
    world.pass(60);
    assert_eq!(world.started_dues("a"), [660]);
}

#[test]
fn a_changed_schedule_begins_at_its_acceptance() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 * * * *""#);
    world.pass(1_800);
    world.define("a", r#""schedule":"*/10 * * * *""#);
    assert!(world.starts.is_empty(), "nothing before the change is due by the new schedule");
    world.pass(600);
    world.end_all();
    assert_eq!(world.started_dues("a"), [2_400]);
    // Another field changes: what is accounted for stays.
    world.power_cut(1_210);
    world.define("a", r#""schedule":"*/10 * * * *","timeout":"1m""#);
    world.end_all();
    assert_eq!(world.started_dues("a"), [2_400, 3_600]);
}

#[test]
fn a_disabled_or_removed_job_owes_nothing_and_is_forgotten() {
    let mut world = World::new();
    world.define("a", MINUTELY);
    world.define("a", r#""schedule":"* * * * *","enabled":false"#);
    world.pass(600);
    assert!(world.starts.is_empty());
    world.define("a", MINUTELY);
    world.pass(60);
    world.end_all();
    assert_eq!(world.started_dues("a"), [660]);
    world.remove("a");
    assert!(world.image.progress.is_empty(), "forgotten");
    world.pass(600);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn a_removed_jobs_run_goes_on_to_its_end_and_its_waiting_fire_is_skipped() {
    let mut world = World::new();
    world.define("a", r#""schedule":"* * * * *","overlap":"queue""#);
    world.pass(120);
    world.remove("a");
    assert_eq!(world.finals("a"), ["120 skipped(removed)"]);
    let run = world.only_run();
    world.end(run, How::Exited(3));
    assert_eq!(world.finals("a"), ["120 skipped(removed)", "60 failed"]);
    assert!(world.image.progress.is_empty());
}

#[test]
fn a_change_of_zone_begins_anew_and_a_disabled_job_gives_up_what_waits() {
    let mut world = World::new();
    world.define("zone", r#""schedule":"30 * * * *""#);
    world.define("off", r#""schedule":"* * * * *","overlap":"queue""#);
    world.pass(1_900);
    let run = *world.running.iter().find(|(_, start)| start.key.job == name("zone")).unwrap().0;
    world.end(run, How::Exited(0));
    // In Kolkata it is half past at every full hour of UTC: what was due before the change stays settled.
    world.define("zone", r#""schedule":"30 * * * *","time_zone":"Asia/Kolkata""#);
    world.define("off", r#""schedule":"* * * * *","overlap":"queue","enabled":false"#);
    assert_eq!(world.finals("off").last().unwrap(), "120 skipped(removed)");
    world.end_all();
    world.pass(1_800);
    assert_eq!(world.started_dues("zone"), [1_800, 3_600]);
    assert_eq!(world.started_dues("off"), [60]);
}

#[test]
fn a_fire_that_waits_is_started_with_the_definition_that_is_in_force_then() {
    let mut world = World::new();
    world.define("a", r#""schedule":"* * * * *","overlap":"queue""#);
    world.pass(120);
    world.define("a", r#""schedule":"* * * * *","overlap":"queue","success_exit_codes":[0,5]"#);
    let fail = |world: &mut World| {
        let run = world.only_run();
        world.end(run, How::Exited(5));
    };
    fail(&mut world);
    assert_eq!(
        world.image.intents.values().next().unwrap().intent.revision,
        Revision::of(&world.texts[&name("a")])
    );
    fail(&mut world);
    assert_eq!(world.finals("a"), ["60 failed", "120 succeeded"]);
}

#[test]
fn of_one_job_no_more_than_four_fires_wait() {
    let mut world = World::with_settings(settings(1, Duration::ZERO));
    world.define("busy", r#""schedule":"1 0 * * *""#);
    world.define("many", r#""schedule":"* * * * *","overlap":"allow","deadline":"none""#);
    world.pass(60 * 7);
    assert_eq!((world.image.pending.len(), world.core.pending(None, world.now).len()), (4, 4));
    let refused = world.records.iter().filter(|record| record.reason == Some(Reason::QueueFull));
    assert_eq!(refused.count(), 7 - 4);
    world.end_all();
    assert_eq!(world.started_dues("many"), [60, 120, 180, 240]);
}

#[test]
fn missed_fires_give_way_to_what_is_on_time_and_are_no_reason_to_skip_it() {
    let mut world = World::with_settings(settings(1, Duration::ZERO));
    world.define("missed", r#""schedule":"*/10 * * * *","catch_up":"all","priority":100"#);
    world.define("on-time", r#""schedule":"5 1 * * *","priority":-100"#);
    // Two of the first are missed; one slot, and the second falls due now.
    world.power_cut(3_600 + 300);
    assert_eq!(world.starts[0].key.job, name("on-time"));
    world.pass(300);
    assert_eq!(
        world.finals("missed"),
        Vec::<String>::new(),
        "the fire of 01:10 waits for the slot, and is not skipped"
    );
    world.end_all();
    assert_eq!(world.started_dues("missed")[0], 4_200, "first what is on time, then in order");
    assert_eq!(world.started_dues("missed")[1..], [600, 1_200, 1_800, 2_400, 3_000, 3_600]);
}

#[test]
fn reboot_jobs_fire_once_per_boot() {
    let mut world = World::new();
    world.define("a", r#""schedule":"@reboot""#);
    let boot = world.boot;
    world.turn([Event::Booted { boot }]);
    assert_eq!(world.starts.len(), 1);
    world.end_all();
    assert_eq!(world.image.boot, Some(boot));
    assert_eq!(world.finals("a"), ["boot succeeded"]);
    world.crash();
    assert_eq!(world.starts.len(), 1);
    world.define("b", r#""schedule":"@reboot""#);
    assert_eq!(world.starts.len(), 1, "accepted later: from the next boot");
    let boot = Id128([9; 16]);
    world.turn([Event::Booted { boot }]);
    assert_eq!(world.starts.len(), 3);
}

#[test]
fn calendar_jobs_wait_for_the_clock_after_boot_and_are_then_on_time() {
    let wait = Duration::from_secs(120);
    let mut world = World::with_settings(settings(9, wait));
    world.define("calendar", r#""schedule":"*/2 * * * *","catch_up":"none""#);
    world.define("every", r#""schedule":"@every 30s""#);
    world.now.clock = Clock::Unsynced;
    world.now.wall = WallTime::from_secs(MIDNIGHT.secs() + 115);
    world.power_cut(0);
    world.pass(65);
    world.end_all();
    assert!(world.started_dues("calendar").is_empty());
    assert!(!world.started_dues("every").is_empty());
    world.now.clock = Clock::Synced;
    world.pass(2);
    assert_eq!(world.started_dues("calendar"), [120], "62 s late, but it became due during the wait");
}

#[test]
fn splay_delays_the_start_by_the_same_time_each_day() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 1 * * *","splay":"1h""#);
    world.pass(3_600);
    assert!(world.starts.is_empty());
    assert_eq!(world.image.pending.len(), 1, "durable while it waits");
    world.crash();
    world.pass(3_600);
    assert_eq!(world.started_dues("a"), [3_600]);
    let delay = world.image.intents.values().next().unwrap().intent.at.since(MIDNIGHT).as_secs() - 3_600;
    world.end_all();
    world.pass(86_400);
    let next = world.image.intents.values().next().unwrap().intent.at.since(MIDNIGHT).as_secs();
    assert_eq!(next - 3_600 - 86_400, delay);
    assert!(delay > 0 && delay < 3_600);
}

#[test]
fn an_entry_is_written_before_anything_acts_on_it() {
    let mut world = World::new();
    world.define("a", MINUTELY);
    world.pass(60);
    let start = &world.starts[0];
    let open = world.image.intents.get(&start.key).unwrap();
    assert_eq!(open.intent.run, start.run);
    assert!(!matches!(Entry::Intent(open.intent.clone()), Entry::Started(_)));
    assert_eq!(world.image.progress[&name("a")].done_through, start.due);
}
