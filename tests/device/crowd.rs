//! A thousand jobs due at one instant; runs that take too long; a new build that takes over from an old one.

use std::os::unix::fs::PermissionsExt;

use chrono::Timelike;
use leafcron::job::Outcome;

use super::rig::{Rig, wait_for};

/// Memory of its own, in KiB: what it wrote to, not what it mapped.
fn anonymous_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_jobs_due_at_once_all_run_within_max_runs_and_the_agents_memory_is_flat() {
    const JOBS: usize = 1_000;
    const MAX_RUNS: i64 = 25;
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(6);
    let jobs: String = (0..JOBS)
        .map(|n| {
            format!(
                "[job.n{n}]\nschedule = \"{} {} {} * * *\"\ntime_zone = \"UTC\"\n\
                 command = \"echo +{n} >> @DIR@/witness; sleep 0.02; echo -{n} >> @DIR@/witness\"\n",
                at.second(),
                at.minute(),
                at.hour()
            )
        })
        .collect();
    let mut rig = Rig::with_config(&format!("max_runs = {MAX_RUNS}"), &jobs);
    rig.start();
    let idle = anonymous_kib(rig.pid());
    let mut most = idle;
    let lines = wait_for_crowd(&rig, 2 * JOBS, || most = most.max(anonymous_kib(rig.pid())));
    let (mut running, mut most_running) = (0, 0);
    for line in &lines {
        running += if line.starts_with('+') { 1 } else { -1 };
        most_running = most_running.max(running);
    }
    assert!((2..=MAX_RUNS).contains(&most_running), "{most_running} at once");
    let mut begun: Vec<_> = lines.iter().filter(|line| line.starts_with('+')).collect();
    begun.sort();
    begun.dedup();
    assert_eq!((begun.len(), lines.len()), (JOBS, 2 * JOBS), "each once");
    wait_for("all are recorded", || {
        (rig.json(&["list"]).to_string().matches("\"succeeded\"").count() == JOBS).then_some(())
    });
    let after = anonymous_kib(rig.pid());
    eprintln!(
        "private memory: idle {idle} KiB, at most {most} KiB, after {after} KiB; {most_running} at once"
    );
    assert!(most < idle + 2_048 && after < idle + 1_024, "{idle} {most} {after}");
    assert!(std::fs::read_dir(rig.path("run/runs")).unwrap().next().is_none());
    assert!(rig.stop().success());
}

/// Longer than others wait: a thousand processes on a busy machine.
fn wait_for_crowd(rig: &Rig, count: usize, mut look: impl FnMut()) -> Vec<String> {
    for _ in 0..4 {
        for _ in 0..1_000 {
            look();
            let lines = rig.lines("witness");
            if lines.len() >= count {
                return lines;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    panic!("{} of {count} lines: {}", rig.lines("witness").len(), rig.log());
}

#[test]
fn a_run_that_takes_too_long_is_overdue_and_goes_on() {
    let mut rig = Rig::new(
        "[job.long]\nschedule = \"@yearly\"\nwarn_after = \"300ms\"\ncommand = \"touch @DIR@/up; while [ ! -e @DIR@/on ]; do sleep 0.02; done\"",
    );
    rig.start();
    assert!(rig.leafcron(&["run", "long"]).status.success());
    wait_for("it is overdue", || (rig.json(&["status"])["running"][0]["overdue"] == true).then_some(()));
    std::fs::write(rig.path("on"), "").unwrap();
    assert_eq!(rig.wait_for_finals("long", 1)[0].outcome, Outcome::Succeeded);
}

#[test]
fn another_build_takes_over_what_the_old_one_started() {
    let mut rig = Rig::new(
        "[job.long]\nschedule = \"@yearly\"\ncommand = \"touch @DIR@/up; while [ ! -e @DIR@/on ]; do sleep 0.02; done; exit 9\"\n\
         success_exit_codes = [9]",
    );
    // The same program, and yet another file with other bytes: as an upgrade leaves it.
    let program = rig.path("leafcrond");
    let install = |tail: &[u8]| {
        let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_leafcrond")).unwrap();
        bytes.extend_from_slice(tail);
        let new = program.with_extension("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, &program).unwrap();
    };
    install(b"old");
    rig.start_program(&program);
    assert!(rig.leafcron(&["run", "long"]).status.success());
    wait_for("the job is up", || rig.path("up").exists().then_some(()));
    // The old agent starts its runners from its own file, whatever lies there by now.
    install(b"new");
    std::fs::write(rig.path("jobs.d/more.toml"), "[job.short]\nschedule = \"@yearly\"\ncommand = \"true\"")
        .unwrap();
    assert!(rig.leafcron(&["reload"]).status.success());
    assert!(rig.leafcron(&["run", "short", "--wait"]).status.success());
    rig.kill();
    rig.start_program(&program);
    assert_eq!(rig.json(&["status"])["running"][0]["job"], "long");
    std::fs::write(rig.path("on"), "").unwrap();
    let records = rig.wait_for_finals("long", 1);
    assert_eq!((records.len(), records[0].exit_code, records[0].outcome), (1, Some(9), Outcome::Succeeded));
}
