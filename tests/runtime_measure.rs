//! What a Run costs beside a bare `posix_spawn(sh -c)` of the same command, in figures:
//!
//! ```text
//! cargo test --release --test runtime_measure -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod runtime_common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use leafcron::job::Action;
use leafcron::runtime::{Found, Launch, Live, Runtime};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::{WaitPidFlag, waitpid};
use runtime_common::{PROGRAM, is_dead, spec};
use rustix::time::{ClockId, clock_gettime};

const JOBS: usize = 200;
const ROUNDS: usize = 7;

fn now() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap()
}

/// Of this process and all that it waited for.
fn cpu() -> Duration {
    let of = |who| {
        let used = getrusage(who).unwrap();
        [used.user_time(), used.system_time()].into_iter().fold(Duration::ZERO, |sum, time| {
            sum + Duration::new(time.tv_sec().unsigned_abs(), 0)
                + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// (until all were started, until all were over, CPU)
type Cost = (Duration, Duration, Duration);

fn bare(text: &str) -> Cost {
    let (cpu_before, from) = (cpu(), now());
    let spawn = |_| Command::new("/bin/sh").args(["-c", text]).spawn().unwrap();
    let children: Vec<_> = (0..JOBS).map(spawn).collect();
    let started = now() - from;
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    (started, now() - from, cpu() - cpu_before)
}

fn one_by_one(text: &str) -> Cost {
    let (cpu_before, from) = (cpu(), now());
    for _ in 0..JOBS {
        assert!(Command::new("/bin/sh").args(["-c", text]).status().unwrap().success());
    }
    (now() - from, now() - from, cpu() - cpu_before)
}

fn ours(text: &str, launch: Launch) -> Cost {
    // On tmpfs, as /run is.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let runtime = Runtime::with(dir.path(), Path::new(PROGRAM), launch).unwrap();
    let (cpu_before, from) = (cpu(), now());
    let start = |_| runtime.start(&spec(Action::Shell(text.to_owned()))).unwrap();
    let lives: Vec<Live> = (0..JOBS).map(start).collect();
    let started = now() - from;
    for live in &lives {
        while !is_dead(live, Duration::from_secs(1)) {}
        let found = runtime.collect(live).unwrap();
        assert!(matches!(found, Found::Ended(_)), "{found:?}");
        runtime.clear(live.run()).unwrap();
    }
    let ended = now() - from;
    // The nursery's share counts as well: it ends with its socket.
    drop(runtime);
    while waitpid(None, None::<WaitPidFlag>).is_ok() {}
    (started, ended, cpu() - cpu_before)
}

fn median(mut costs: Vec<Cost>) -> Cost {
    let mut of = |field: fn(&Cost) -> Duration| {
        costs.sort_by_key(field);
        costs.get(costs.len() / 2).map(field).unwrap()
    };
    (of(|it| it.0), of(|it| it.1), of(|it| it.2))
}

#[test]
#[ignore = "a measurement, not a test"]
fn two_hundred_at_once() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let text = format!("echo x >> {}/file", dir.path().display());
    type Way<'a> = (&'a str, Box<dyn Fn() -> Cost + 'a>);
    let mut ways: Vec<Way<'_>> = vec![
        ("bare posix_spawn loop", Box::new(|| bare(&text))),
        ("bare, one by one", Box::new(|| one_by_one(&text))),
        ("runner from the nursery", Box::new(|| ours(&text, Launch::Nursery))),
        ("runner executed anew", Box::new(|| ours(&text, Launch::Exec))),
    ];
    // `ONLY=nursery perf record …` looks at one of them.
    let only = std::env::var("ONLY").unwrap_or_default();
    ways.retain(|(name, _)| name.contains(&only));
    // In turns, so that a noisy neighbour disturbs all of them alike.
    let mut costs = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way), costs) in ways.iter().zip(&mut costs) {
            costs.push(way());
        }
    }
    println!("medians of {ROUNDS} rounds of {JOBS} jobs; ms: all started, all over, CPU per job");
    for ((name, _), costs) in ways.iter().zip(costs) {
        let (started, ended, cpu) = median(costs);
        let ms = |it: Duration| it.as_secs_f64() * 1e3;
        println!("{name:25} {:8.1} {:8.1} {:8.3}", ms(started), ms(ended), ms(cpu) / 200.0);
    }
    let lines = std::fs::read_to_string(dir.path().join("file")).unwrap().lines().count();
    assert_eq!(lines, JOBS * ROUNDS * ways.len());
}
