//! A clock that shows what cannot be, and one that turns out to have been wrong.

use core::time::Duration;

use super::luck::{assert_accounted, assert_started_once};
use super::world::{MIDNIGHT, RELEASED, World, name, settings};
use crate::job::{BootTime, Clock, EventKind, Fire, Trigger, WallTime};
use crate::scheduler::{AskId, Event, How};

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// What a machine without a battery shows.
const DEAD_CLOCK: WallTime = WallTime::from_secs(600);
/// 2098-01-01T00:00:00Z.
const FAR_AHEAD: WallTime = WallTime::from_secs(4_039_372_800);
const EVERY_TEN_MINUTES: &str = r#""schedule":"*/10 * * * *""#;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `(era, due)` of each command that started by schedule, `due` from an instant on.
fn starts(world: &World, job: &str, from: WallTime) -> Vec<(u32, i64)> {
    let of_job = world.starts.iter().filter(|start| start.key.job == name(job));
    let scheduled = of_job.filter_map(|start| match start.key.fire {
        Fire::Scheduled { era, due } => Some((era, due.secs() - from.secs())),
        Fire::Reboot { .. } | Fire::Manual { .. } => None,
    });
    scheduled.collect()
}

/// Time passes, and runs are short.
fn live(world: &mut World, secs: u64) {
    for _ in 0..secs / 10 {
        world.pass(10);
        world.end_all();
    }
}

fn at(seconds: u64) -> WallTime {
    MIDNIGHT.plus(secs(seconds))
}

#[test]
fn a_boot_in_1970_or_2098_runs_in_an_era_of_its_own_and_the_main_one_goes_on_where_it_stood() {
    for shown in [DEAD_CLOCK, FAR_AHEAD] {
        let mut world = World::new();
        world.define("a", EVERY_TEN_MINUTES);
        live(&mut world, 1_300);
        world.boot_at(shown, Clock::Unsynced);
        live(&mut world, 1_300);
        assert_eq!(starts(&world, "a", shown)[2..], [(2, 600), (2, 1_200)]);
        assert!(world.records.iter().all(|record| record.covers.is_none()), "such a clock misses nothing");
        assert_eq!(world.image.newest, Some(at(1_200)), "nor does it say anything about the time");
        world.set(at(4_600), Clock::Synced);
        live(&mut world, 800);
        let finals = ["3600 skipped(missed) x4", "4200 succeeded", "4800 succeeded", "5400 succeeded"];
        assert_eq!(world.finals("a")[4..], finals);
        assert_eq!(starts(&world, "a", MIDNIGHT)[4..], [(1, 4_200), (1, 4_800), (1, 5_400)]);
        assert_accounted(&world, "implausible");
    }
}

#[test]
fn steps_of_every_size_in_both_directions_double_nothing_and_lose_nothing() {
    let sizes = [1, 9, 11, 59, 61, 600, HOUR - 1, HOUR + 1, 5 * HOUR, DAY, 40 * DAY, 401 * DAY, 20_000 * DAY];
    for (size, clock) in sizes.into_iter().flat_map(|size| [(size, Clock::Synced), (size, Clock::Unsynced)]) {
        for back in [false, true] {
            let story = format!("{size} s {} {clock:?}", if back { "back" } else { "on" });
            let mut world = World::new();
            for (job, catch_up) in [("none", "none"), ("last", "last"), ("all", "all")] {
                world.define(job, &format!(r#""schedule":"7 */3 * * *","catch_up":"{catch_up}""#));
            }
            live(&mut world, 4 * HOUR);
            let set = if back { world.now.wall.minus(secs(size)) } else { world.now.wall.plus(secs(size)) };
            world.set(set, clock);
            let steps =
                world.events.iter().filter(|event| matches!(event, EventKind::ClockStep { .. })).count();
            assert_eq!(steps, usize::from(size > 10), "{story}");
            let implausible = clock == Clock::Unsynced && if back { size > HOUR } else { size > 400 * DAY };
            let wrong = clock == Clock::Synced && back && size > HOUR;
            let eras = &world.image.eras;
            assert_eq!((eras.provisional.is_some(), eras.main == 2), (implausible, wrong), "{story}");
            live(&mut world, 4 * HOUR);
            // The clock turns out to be right, or is set right.
            if implausible {
                world.set(at(9 * HOUR), Clock::Synced);
                assert_eq!(world.image.eras.current(), 1, "{story}");
            }
            live(&mut world, 4 * HOUR);
            if size < 1_000 * DAY {
                assert_accounted(&world, &story);
            }
            assert_started_once(&world, &story);
        }
    }
}

#[test]
fn a_synchronised_clock_that_shows_it_had_been_wrong_opens_a_new_main_era() {
    let mut world = World::new();
    world.define("a", EVERY_TEN_MINUTES);
    world.define("paused", EVERY_TEN_MINUTES);
    world.turn([Event::Pause { job: name("paused"), command: None, ask: AskId(1) }]);
    live(&mut world, 100);
    // Off by 40 days, as yet unnoticed.
    world.set(at(40 * DAY), Clock::Unsynced);
    live(&mut world, 1_300);
    world.set(at(1_500), Clock::Synced);
    assert_eq!((world.image.eras.main, world.image.newest), (2, Some(at(1_500))));
    live(&mut world, 700);
    assert_eq!(starts(&world, "a", MIDNIGHT).last(), Some(&(2, 1_800)), "the instant is near again");
    assert_eq!(world.finals("paused"), [format!("{} skipped(paused) x{}", 40 * DAY + 1_200, 40 * 144 + 2)]);
    world.turn([Event::Resume { job: name("paused"), command: None, ask: AskId(2) }]);
    assert_eq!(world.finals("paused")[1..], ["1800 skipped(paused) x1"]);
    assert_accounted(&world, "wrong");
    // It survives a restart, and a boot that shows the wrong time once more.
    world.crash();
    assert_eq!(world.image.eras.main, 2);
    world.boot_at(at(40 * DAY), Clock::Synced);
    assert_eq!(world.image.eras.current(), 2, "a synchronised clock may be ahead of all that was seen");
}

#[test]
fn what_waits_when_its_era_ends_goes_by_the_boot_clock() {
    for crash in [false, true] {
        let mut world = World::new();
        world.define("splayed", r#""schedule":"0 * * * *","splay":"50m""#);
        world.define("retried", r#""schedule":"0 * * * *","retry":{"attempts":2,"delay":"20m","max_delay":"20m"},"deadline":"30m""#);
        world.set(at(40 * DAY - 60), Clock::Unsynced);
        world.end_all();
        world.pass(120);
        let run = world.running.keys().next_back().copied().unwrap();
        world.end(run, How::Exited(1));
        let splayed_at = world.core.wake(world.now);
        world.set(at(600), Clock::Synced);
        assert_eq!(world.image.eras.main, 2);
        if crash {
            world.crash_with(world.found());
        }
        live(&mut world, 20 * 60);
        assert!(splayed_at.is_some());
        assert_eq!(
            world.finals("retried").last().unwrap(),
            &format!("{} succeeded", 40 * DAY),
            "not in 40 days"
        );
        live(&mut world, 40 * 60);
        let due = i64::try_from(40 * DAY).unwrap();
        assert!(starts(&world, "splayed", MIDNIGHT).contains(&(1, due)), "crash {crash}: {:?}", world.starts);
        assert_accounted(&world, "waits");
    }
}

#[test]
fn a_fire_that_waits_since_an_earlier_boot_stands_still_with_its_era() {
    let gate = r#""require":{"memory_available":"1GiB"},"hold":"20h","deadline":"1h""#;
    for (known, finals) in [(3 * HOUR, "1800 skipped(deadline)"), (2_400, "1800 succeeded")] {
        let mut world = World::new();
        world.readings.memory_available = Some(5);
        world.define("a", &format!(r#""schedule":"*/30 * * * *",{gate}"#));
        live(&mut world, 1_830);
        world.readings.memory_available = Some(2 << 30);
        world.boot_at(DEAD_CLOCK, Clock::Unsynced);
        live(&mut world, 1_300);
        assert_eq!(
            starts(&world, "a", DEAD_CLOCK),
            [(2, 1_200)],
            "it does not start, and the job is not busy"
        );
        assert_eq!(world.core.pending(None, world.now).len(), 1);
        // A restart changes nothing.
        world.crash();
        live(&mut world, 100);
        assert_eq!(world.starts.len(), 1);
        world.set(at(known), Clock::Synced);
        world.end_all();
        assert!(world.finals("a").iter().any(|last| last == finals), "{finals}: {:?}", world.finals("a"));
    }
}

#[test]
fn an_era_outlives_the_agent_and_another_boot_has_its_own() {
    let mut world = World::new();
    world.define("a", EVERY_TEN_MINUTES);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    live(&mut world, 650);
    for _ in 0..2 {
        world.crash();
        live(&mut world, 600);
    }
    assert_eq!(starts(&world, "a", DEAD_CLOCK), [(2, 600), (2, 1_200), (2, 1_800)]);
    // The agent was down meanwhile: such a clock makes up for nothing, and says so.
    world.now.wall = world.now.wall.plus(secs(1_250));
    world.now.boot = world.now.boot.plus(secs(1_250));
    world.crash();
    assert!(world.finals("a").last().unwrap().ends_with("skipped(missed) x2"), "{:?}", world.finals("a"));
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    live(&mut world, 650);
    assert_eq!(starts(&world, "a", DEAD_CLOCK)[3..], [(3, 600)]);
    // Set far back it would wait for what it had before: it begins anew.
    world.set(WallTime::from_secs(0), Clock::Unsynced);
    assert_eq!(world.image.eras.current(), 3, "less than an hour");
    world.pass(5 * HOUR);
    world.set(WallTime::from_secs(0), Clock::Unsynced);
    assert_eq!(world.image.eras.current(), 4);
}

#[test]
fn what_is_accepted_changed_or_removed_under_an_implausible_clock_begins_once_that_is_right() {
    let mut world = World::new();
    for job in ["changed", "removed", "kept"] {
        world.define(job, EVERY_TEN_MINUTES);
    }
    live(&mut world, 650);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    world.define("new", EVERY_TEN_MINUTES);
    world.define("changed", r#""schedule":"5 * * * *""#);
    world.remove("removed");
    live(&mut world, 650);
    assert_eq!(starts(&world, "new", DEAD_CLOCK), [(2, 600)]);
    world.crash();
    world.set(at(3 * HOUR + 5), Clock::Synced);
    live(&mut world, 700);
    let last = |job: &str| starts(&world, job, MIDNIGHT).last().copied();
    assert_eq!(last("new"), Some((1, 3 * 3_600 + 600)));
    assert_eq!(last("changed"), Some((1, 3 * 3_600 + 300)));
    assert_eq!(last("removed"), Some((1, 600)));
    let made_up: Vec<_> = world.records.iter().filter(|record| record.covers.is_some()).collect();
    assert!(made_up.iter().all(|record| record.key.job == name("kept")), "only that was owed: {made_up:?}");
    assert!(!world.image.progress.contains_key(&name("removed")), "forgotten");
    assert_accounted(&world, "accepted meanwhile");
}

#[test]
fn a_pause_goes_on_through_an_implausible_clock() {
    let mut world = World::new();
    world.define("a", EVERY_TEN_MINUTES);
    world.turn([Event::Pause { job: name("a"), command: None, ask: AskId(1) }]);
    live(&mut world, 1_250);
    // The journal knows that it was 00:20 by another job's record.
    world.define("b", r#""schedule":"0 12 * * *""#);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    live(&mut world, 650);
    world.turn([Event::Resume { job: name("a"), command: None, ask: AskId(2) }]);
    assert_eq!(world.finals("a")[0], "1200 skipped(paused) x2");
    assert!(world.finals("a")[1].ends_with("skipped(paused) x1"));
    world.set(at(HOUR - 300), Clock::Synced);
    live(&mut world, 20);
    assert_eq!(world.finals("a")[2..], ["2400 skipped(missed) x2", "3000 succeeded"]);
    assert_accounted(&world, "paused");
}

#[test]
fn while_the_clock_is_awaited_nothing_starts_by_one_that_is_implausible() {
    let mut world = World::with_settings(settings(4, secs(120)));
    world.define("calendar", r#""schedule":"* * * * *","catch_up":"none""#);
    world.define("every", r#""schedule":"@every 30s""#);
    live(&mut world, 10);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    live(&mut world, 65);
    assert!(starts(&world, "calendar", MIDNIGHT).is_empty());
    assert_eq!(starts(&world, "every", DEAD_CLOCK), [(2, 30), (2, 60)]);
    world.set(at(DAY + 30), Clock::Synced);
    world.end_all();
    assert_eq!(starts(&world, "calendar", MIDNIGHT), [(1, 86_400)], "due since the boot: on time");
    let covered = world
        .records
        .iter()
        .filter_map(|record| record.covers.filter(|_| record.key.job == name("calendar")));
    assert_eq!(covered.map(|covers| covers.count).collect::<Vec<_>>(), [1, 1_439]);
    assert_accounted(&world, "awaited");
    // Nobody comes: the wait ends, and then it has to do.
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    live(&mut world, 100);
    assert_eq!(starts(&world, "calendar", DEAD_CLOCK).len(), 1 + 1);
    assert_eq!(starts(&world, "calendar", DEAD_CLOCK)[1].0, 3);
}

#[test]
fn what_fell_due_between_the_boot_and_the_agents_start_waited_as_well() {
    let mut world = World::with_settings(settings(4, secs(120)));
    world.define("a", r#""schedule":"1 0 * * *","catch_up":"none""#);
    // Due 10 s after the boot; the agent starts 10 s later.
    world.boot_at(at(70), Clock::Unsynced);
    assert_eq!(world.now.boot, BootTime::from_millis(20_000));
    world.pass(99);
    assert!(world.starts.is_empty());
    world.pass(1);
    assert_eq!(world.started_dues("a"), [60]);
}

#[test]
fn a_fresh_device_knows_no_time_but_the_release() {
    // Before the release nothing is believed.
    let mut world = World::new();
    world.set(RELEASED.minus(secs(2 * HOUR)), Clock::Unsynced);
    world.image = crate::job::Image::default();
    world.boot_at(RELEASED.minus(secs(2 * HOUR)), Clock::Unsynced);
    world.define("a", EVERY_TEN_MINUTES);
    assert_eq!(world.image.eras.current(), 2);
    assert!(world.image.progress.is_empty());
    world.set(at(5), Clock::Synced);
    live(&mut world, 600);
    assert_eq!(starts(&world, "a", MIDNIGHT), [(1, 600)], "the main era begins, and owes nothing");
    // A century ahead it cannot know better, until it is told.
    let mut world = World::new();
    world.image = crate::job::Image::default();
    world.boot_at(FAR_AHEAD, Clock::Unsynced);
    world.define("a", EVERY_TEN_MINUTES);
    live(&mut world, 600);
    assert_eq!(starts(&world, "a", FAR_AHEAD), [(1, 600)]);
    world.set(at(5), Clock::Synced);
    live(&mut world, 600);
    assert_eq!(starts(&world, "a", MIDNIGHT)[1..], [(2, 600)]);
}

#[test]
fn a_boot_at_the_last_shutdowns_time_is_plausible_and_late_synchronisation_makes_missed_fires() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 * * * *""#);
    live(&mut world, 2 * HOUR + 60);
    // Off for a night, and the clock stood still.
    world.boot_at(world.now.wall, Clock::Unsynced);
    live(&mut world, HOUR);
    assert_eq!(world.started_dues("a"), [3_600, 7_200, 10_800]);
    world.set(at(11 * HOUR + 90), Clock::Synced);
    world.end_all();
    assert_eq!(world.image.eras, crate::job::Eras::default());
    assert_eq!(world.finals("a")[3..], ["36000 skipped(missed) x7", "39600 succeeded"]);
}

#[test]
fn a_machine_that_slept_finds_what_it_missed() {
    let mut world = World::new();
    world.define("a", r#""schedule":"*/10 * * * *","catch_up":"none""#);
    world.suspend(1_830);
    world.end_all();
    assert_eq!(world.finals("a"), ["1200 skipped(missed) x2", "1800 succeeded"]);
    world.suspend(1_240);
    assert_eq!(world.finals("a")[2..], ["3000 skipped(missed) x2"]);
    assert!(world.events.is_empty(), "to sleep is no step of the clock");
    assert_accounted(&world, "slept");
}

#[test]
fn an_implausible_clock_is_looked_at_ever_more_rarely_and_may_be_right_again_by_itself() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 0 1 1 *""#);
    world.set(MIDNIGHT.plus(secs(10)), Clock::Unsynced);
    let turns = world.turns;
    world.pass(DAY);
    assert_eq!(world.turns - turns, 1, "nothing wakes a plausible one");
    world.set(world.now.wall.minus(secs(3 * HOUR)), Clock::Unsynced);
    assert_eq!(world.image.eras.current(), 2);
    let turns = world.turns;
    world.pass(2 * HOUR - 1);
    assert_eq!(world.image.eras.current(), 2);
    world.pass(1);
    assert_eq!(world.image.eras.current(), 1, "an hour behind is nothing to speak of");
    assert!(world.turns - turns < 20, "{}", world.turns - turns);
    world.set(DEAD_CLOCK, Clock::Unsynced);
    let turns = world.turns;
    world.pass(DAY);
    assert!(world.turns - turns < 40, "{}", world.turns - turns);
}

#[test]
fn every_record_says_in_which_era_it_was_made_and_an_open_provisional_one_is_seen() {
    let mut world = World::new();
    world.define("a", r#""schedule":"0 0 1 1 *""#);
    world.define("b", r#""schedule":"@reboot""#);
    let eras = |world: &World, trigger: Trigger| {
        let of = world.records.iter().filter(|record| record.trigger == trigger);
        of.map(|record| record.era).collect::<Vec<_>>()
    };
    world.run("a", "first");
    world.end_all();
    assert_eq!(world.core.provisional_era(), None);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    let boot = world.boot;
    world.turn([Event::Booted { boot }]);
    world.end_all();
    world.run("a", "second");
    world.end_all();
    assert_eq!(world.core.provisional_era(), Some(2));
    world.crash();
    assert_eq!(world.core.provisional_era(), Some(2), "after a restart, too");
    world.set(at(3_600), Clock::Synced);
    world.run("a", "third");
    world.end_all();
    assert_eq!(world.core.provisional_era(), None);
    assert_eq!(eras(&world, Trigger::Manual), [1, 2, 1]);
    assert_eq!(eras(&world, Trigger::Reboot), [2]);
}

/// Four may wait: those that stand still with the main era, and those of the provisional one, together.
#[test]
fn what_stands_still_with_the_main_era_counts_among_what_waits() {
    let mut world = World::with_settings(settings(1, Duration::ZERO));
    world.define("a", r#""schedule":"* * * * *","overlap":"allow","deadline":"none","catch_up":"none""#);
    // The first runs, and four wait for its slot.
    world.pass(60 * 5 + 30);
    assert_eq!(world.image.pending.len(), 4);
    world.boot_at(DEAD_CLOCK, Clock::Unsynced);
    world.pass(200);
    assert!(world.image.pending.len() <= 4, "{:?}", world.image.pending.keys());
    world.set(at(600), Clock::Synced);
    live(&mut world, 600);
    assert_accounted(&world, "frozen");
}
