//! `make simulate FOR=60s SEED=n`: a device through years of bad luck, in virtual time, and an independent judge.
//!
//! Real are the catalog, the core, the turn queue, the results' window, the journal and its outbox; below them lies the
//! disk in memory that fails, fills up and loses power (`store::mem`). The seed makes the rest: jobs of every kind, files
//! and keys that come, go and turn to nonsense, commands, gates, runs that fail, hang and outlive the agent, crashes at
//! any operation of the disk and between any two acts, power cuts, clocks that are set, boot late, or show 1970, 2098, last
//! month or next year, a hub that answers late, twice, never, or forgets.
//!
//! ```text
//!   world    time: one list of what will happen, in order        ┌─ model    what was promised, judged from outside:
//!   trouble  what goes wrong, what the owner does                │   walk     which instants are due (no Calendar)
//!   desk     the jobs directory and the centre's bucket          │   force    which definition counts
//!                                                                │   eras     by which clock, and what is owed by it
//!   process  the agent's memory, gone with a crash         ─────▶│   journal  what a crash must leave
//!   shell    its loop, as src/agent has it                       │   cover    promise 1: one final record each
//!   acts     start, stop, probe, answer                          │   starts   promise 2: late or never twice
//!   centre   link and stream of results                          │   sent     promise 4: at the hub, or told
//!   settle   trouble ends; all that was owed must be there       └─  bounds   promise 5: within the limits
//! ```
//! A world is its seed. One that breaks a promise prints the end of its story, which `STORY=1` tells whole. `cargo test`
//! lives 200 small ones (`SMALL=1`).
//!
//! *It can fail.* `make simulate-breaks` breaks the code on purpose, one patch of `breaks/` after the other, and each must
//! be caught. Seen, with `SMALL=1` and seeds from 1 on (whoever changes the worlds changes the seeds):
//!
//! ```text
//!  promise  break                   what it does                                                  caught by seed
//!  1        done-through-early      done_through moves over missed fires without a record         2
//!  1        fold-uncounted          a skip put together with another counts only its own fires    114
//!  1        main-era-forgotten      the main era goes on from now, not from where it stood        17
//!  1        missed-forgotten        missed fires that will run are not written down               6
//!  1        pending-forgotten       fires that wait are not written down                          2
//!  1        provisional-time-counts what an implausible clock shows is the newest time             10
//!  2        era-number-used-again   another era gets the number of one before it                 6
//!  2        intent-dropped          a fire that was started still waits after a restart           2
//!  2        interrupted-reruns      what a power cut broke off is retried under `report`          1
//!  2        retry-doubled           one attempt more than `retry` grants                          1
//!  2        start-before-intent     acts do not wait for the commit                               1
//!  4        failed-sync-ignored     a failed fsync does not latch                                 13
//!  4        freed-unsent            what is in flight counts as acknowledged                      1
//!  4        gap-untold              numbers that the journal lacks are not told                   20
//!  4        given-up-untold         what was given up is told a frame later                       105
//!  4        no-fsync                three of four commits are not synced                          2
//!  5        alerts-at-once          on_failure does not wait for the one before it                6
//!  5        never-compacts          the journal does not compact                                  2
//!  5        slots-ignored           the last slot is given away again and again                   1
//!  5        waiting-unbounded       a job may have eight fires waiting                            3
//!  5        window-ignored          the window counts only what is read at once                   3
//! ```
//! *What it found*, now tests: `a_job_has_no_more_fires_pending_than_it_may_those_that_back_off_included` and
//! `a_run_that_was_started_under_report_is_not_started_again_under_a_newer_rerun` (`scheduler/tests/mended.rs`), and
//! `what_gives_way_after_the_survey_is_told_as_well`, `a_stream_that_ends_before_our_point_is_owed_everything_again`
//! (`agent/link/results.rs`), `an_intent_of_an_era_that_is_over_says_no_time` (`store/compaction.rs`),
//! `what_stands_still_with_the_main_era_counts_among_what_waits` (`scheduler/tests/eras.rs`) and
//! `a_fire_that_waits_in_the_journal_is_settled_by_the_skip_that_its_own_was_folded_into` (`agent/carried.rs`).
//!
//! *What it does not do.* Runners, sockets and the link's own process are the torture tests' matter; the shell here is a
//! copy of the agent's. What a start finds that was never synced stays there until something is. The disk loses what was
//! not synced, but does not rot.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it finds")]
#![expect(clippy::indexing_slicing, reason = "an index that is wrong here ends a simulation, no device")]

mod acts;
mod centre;
mod definition;
mod desk;
mod hub;
mod luck;
mod model;
mod process;
mod runs;
mod settle;
mod shell;
mod story;
mod trouble;
mod world;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use world::{Size, World};

/// Lines of the story that a failure is told with.
const LINES: usize = 60;

/// What a world came to.
struct Lived {
    days: f64,
    fires: u64,
}

/// Lives one world to its end.
///
/// # Errors
/// A promise was broken: which, and the end of its story.
fn live(seed: u64, size: Size) -> Result<Lived, String> {
    let (world, wrong) = one(seed, size, false);
    match wrong {
        None => Ok(Lived { days: world.at as f64 / 86_400_000.0, fires: world.model.fires() }),
        Some(why) => {
            let (world, _) = one(seed, size, true);
            let of = |word: &&str| world.desk.jobs.iter().any(|job| job.as_str() == *word);
            let job = why.split(|c: char| !c.is_ascii_alphanumeric()).find(of);
            let lines = world.story.last(LINES, job).join("\n");
            let (kind, small) = (&world.kind, if size == Size::Small { " SMALL=1" } else { "" });
            Err(format!(
                "{lines}\n\nseed {seed}: {why}\n{kind:?}\nagain: make simulate SEED={seed} FOR=0s{small}; its whole story: STORY=1"
            ))
        }
    }
}

fn one(seed: u64, size: Size, told: bool) -> (World, Option<String>) {
    let mut world = World::new(seed, size, told);
    let lived = catch_unwind(AssertUnwindSafe(|| world.run()));
    let wrong = match lived {
        Ok(()) => world.model.wrong().map(str::to_owned),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panic: {}", text.unwrap_or_default()))
        }
    };
    (world, wrong)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seed, mut lasts, mut size, mut story) = (any_seed(), Duration::from_secs(60), Size::Full, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_default();
        let read = match arg.as_str() {
            "--seed" => value().parse().map(|n| seed = n).is_ok(),
            "--for" => leafcron::job::units::parse_duration(&value()).map(|d| lasts = d).is_ok(),
            "--small" => {
                size = Size::Small;
                true
            }
            "--story" => {
                story = true;
                true
            }
            _ => false,
        };
        if !read {
            eprintln!("simulate: {arg}: usage: simulate [--for 60s] [--seed N] [--small] [--story]");
            return ExitCode::from(2);
        }
    }
    if story {
        let (world, wrong) = one(seed, size, true);
        world.story.lines().for_each(|line| println!("{line}"));
        println!("seed {seed}: {}", wrong.as_deref().unwrap_or("all that is promised was kept"));
        return if wrong.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    simulate(seed, size, lasts)
}

/// A seed that nobody chose: which one it was is printed.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000_000
}

fn simulate(first: u64, size: Size, lasts: Duration) -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "how long it has taken")]
    let began = Instant::now();
    let (mut worlds, mut days, mut fires) = (0_u64, 0.0, 0);
    for seed in first.. {
        match live(seed, size) {
            Ok(lived) => {
                worlds += 1;
                days += lived.days;
                fires += lived.fires;
            }
            Err(why) => {
                println!("{why}");
                return ExitCode::FAILURE;
            }
        }
        if began.elapsed() >= lasts {
            break;
        }
    }
    let secs = began.elapsed().as_secs_f64();
    println!(
        "{worlds} worlds from seed {first} on, {:.1} simulated years, {fires} fires, {:.0} fires per second: all that is promised was kept",
        days / 365.25,
        fires as f64 / secs
    );
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_of_bad_luck_break_no_promise() {
        for seed in 1..=200 {
            if let Err(why) = live(seed, Size::Small) {
                panic!("{why}");
            }
        }
    }

    #[test]
    fn a_seed_is_always_the_same_world() {
        let (world, _) = one(9, Size::Small, true);
        let (again, _) = one(9, Size::Small, true);
        assert!(world.story.lines().count() > 1_000);
        assert!(world.story.lines().eq(again.story.lines()));
    }
}
