//! The line to beat: a loop of posix_spawn(sh -c) over all jobs, then a wait for all. std's `Command` is posix_spawn as
//! long as nothing is asked of the child before its exec.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Outcomes;
use super::crowd::{Cost, LOOK, appended};

pub(super) fn run(command: &str, jobs: usize, file: &Path) -> Outcomes<Cost> {
    fs::write(file, "")?;
    let watched = file.to_owned();
    let from = Instant::now();
    let watcher = thread::spawn(move || -> Option<(Duration, Duration)> {
        let mut first = None;
        loop {
            let lines = appended(&watched);
            if lines > 0 {
                first.get_or_insert_with(|| from.elapsed());
            }
            if lines >= jobs {
                return first.map(|first| (first, from.elapsed()));
            }
            if from.elapsed() > Duration::from_secs(60) {
                return None;
            }
            thread::sleep(LOOK);
        }
    });
    let before = cpu()?;
    let mut children = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        children.push(Command::new("/bin/sh").args(["-c", command]).spawn()?);
    }
    for mut child in children {
        child.wait()?;
    }
    let cpu = cpu()?.saturating_sub(before);
    let (first, last) = watcher.join().map_err(|_| "the watcher fell")?.ok_or("jobs are missing")?;
    Ok(Cost { first, last, cpu })
}

/// Of this thread, which spawns, and of all children waited for; not of the watcher.
fn cpu() -> Outcomes<Duration> {
    let mut sum = 0;
    for who in [UsageWho::RUSAGE_THREAD, UsageWho::RUSAGE_CHILDREN] {
        let used = getrusage(who)?;
        sum += used.user_time().num_microseconds() + used.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(u64::try_from(sum)?))
}
