//! `make torture FOR=60s SEED=n`: the real agent with jobs due each second, killed with -9 at random moments, its runners
//! sometimes too; then the same on a small file system that fills up. In the end what the jobs themselves wrote to a
//! witness file (job, due, attempt) is held against the records in the journal: no fire may be lost, doubled or
//! unrecorded, and no number missing.
//!
//! Moments are of the machine: a seed repeats the choices, not the run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that panics says what is wrong, and it holds leafcron's instants against the machine's clock"
)]

mod account;
#[path = "../device/rig.rs"]
#[expect(dead_code, reason = "the rig of the device's tests")]
mod rig;
mod small_disk;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use account::{Account, Span};
use leafcron::job::{JobName, units};
use rig::{Rig, wait_for};
use small_disk::SmallDisk;

/// Each is due each second; what it does there differs.
const JOBS: &[(&str, &str)] = &[
    ("tick", "overlap = \"allow\"\ncatch_up = \"all\"\ncommand = \"@WITNESS@\""),
    (
        "tock",
        "overlap = \"allow\"\ncatch_up = \"all\"\ncommand = \"@WITNESS@; head -c 3000 /dev/zero | tr '\\\\0' x\"",
    ),
    ("last", "command = \"@WITNESS@\""),
    ("slow", "overlap = \"queue\"\ncommand = \"@WITNESS@; sleep 1.3\""),
    ("fail", "retry = { attempts = 2, delay = \"1s\" }\ncommand = \"@WITNESS@; exit 3\""),
];
const WITNESS: &str = "echo $LEAFCRON_JOB $LEAFCRON_DUE $LEAFCRON_ATTEMPT >> @DIR@/witness";
/// All of it is accounted for in the end, so none of it may give way to a bound: an hour fits.
const CONFIG: &str = "max_runs = 64\nhistory = 10000\ndisk = \"1GiB\"";
/// What CI gives each half.
const SHORT: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let length = std::env::var("FOR").ok().map_or(SHORT, |text| units::parse_duration(&text).unwrap() / 2);
    let seed = std::env::var("SEED").ok().map_or_else(nanos, |text| text.parse().unwrap());
    println!("torture: seed {seed}, {length:?} on a sound disk, then {length:?} on one that fills up");
    let mut dice = Dice(seed);
    let mut sound = torture("a sound disk", length, &mut dice, None);
    match SmallDisk::try_new() {
        Ok(disk) => sound &= torture("a disk that fills up", length, &mut dice, Some(disk)),
        Err(why) => not_checked(&why),
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says aloud what this machine did not allow, now and when all tests are over.
fn not_checked(why: &str) {
    let line = format!("NOT CHECKED: the disk that fills up: no file system can be mounted here: {why}");
    println!("torture: {line}");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let file = std::path::Path::new(&target).join("not-checked");
    let noted = std::fs::OpenOptions::new().create(true).append(true).open(file);
    noted.and_then(|mut file| writeln!(file, "tests/torture: {line}")).unwrap();
}

fn nanos() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos())
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// Mostly short: starts are as interesting as runs.
    fn life(&mut self) -> Duration {
        let most = [30, 120, 400, 1_100, 2_500][usize::try_from(self.below(5)).unwrap()];
        Duration::from_millis(self.below(most))
    }

    fn death(&mut self) -> Duration {
        let most = [1, 1, 60, 250, 1_700][usize::try_from(self.below(5)).unwrap()];
        Duration::from_millis(self.below(most))
    }
}

fn torture(name: &str, length: Duration, dice: &mut Dice, mut disk: Option<SmallDisk>) -> bool {
    let jobs: String = JOBS
        .iter()
        .map(|(job, rest)| {
            format!("[job.{job}]\nschedule = \"* * * * * *\"\n{}\n", rest.replace("@WITNESS@", WITNESS))
        })
        .collect();
    let mut rig = Rig::with_config(CONFIG, &jobs);
    if let Some(disk) = &mut disk {
        disk.mount(&rig.path("state"));
    }
    let begun = now();
    rig.start_with(&[("RUST_LOG", "info")]);
    answers(&rig);
    let certain = now();
    let (end, mut kills, mut runners_killed) = (Instant::now() + length, 0, 0);
    while Instant::now() < end {
        std::thread::sleep(dice.life());
        if let Some(disk) = &mut disk {
            // Full, or free again, while the same agent lives on.
            if dice.below(5) == 0 {
                disk.fill_and_free();
            } else {
                disk.change(dice.below(4));
                std::thread::sleep(dice.life());
            }
        }
        if dice.below(6) == 0 {
            runners_killed += kill_runners(&rig, if dice.below(3) == 0 { usize::MAX } else { 1 });
        }
        rig.kill();
        kills += 1;
        std::thread::sleep(dice.death());
        rig.start_with(&[("RUST_LOG", "info")]);
    }
    if let Some(disk) = &mut disk {
        disk.free();
    }
    answers(&rig);
    let stopped = now();
    for (job, _) in JOBS {
        wait_for("the job is paused", || rig.leafcron(&["pause", job]).status.success().then_some(()));
    }
    wait_for("all runs end", || {
        let status = rig.json(&["status"]);
        let quiet = |list: &str| status[list].as_array().unwrap().is_empty();
        (quiet("running") && quiet("waiting") && status["journal"].get("trouble").is_none()).then_some(())
    });
    let refusals = rig.log().matches("the journal is not written").count();
    let unrecorded = rig.json(&["status"])["journal"]["unrecorded"].as_u64().unwrap();
    assert!(rig.stop().success());

    let names: Vec<JobName> = JOBS.iter().map(|(job, _)| job.parse().unwrap()).collect();
    let span = Span { begun, certain, stopped };
    let account = Account::of(&rig.path("state"), &rig.lines("witness"), &names, &span, runners_killed);
    // Before its mount point goes.
    drop(disk);
    println!(
        "torture: {name}: {kills} kills of the agent, {runners_killed} of runners, {refusals} refusals by the disk"
    );
    println!("torture:   {account}");
    for wrong in &account.wrong {
        println!("torture:   WRONG: {wrong}");
    }
    // The bound on what is carried is far beyond this.
    assert_eq!(unrecorded, 0, "facts were given up");
    if !account.wrong.is_empty() {
        eprintln!("the agent's log:\n{}", rig.log());
    }
    account.wrong.is_empty()
}

/// kill -9 of some runners; how many it were.
fn kill_runners(rig: &Rig, most: usize) -> usize {
    let mut killed = 0;
    for (pid, start_ticks) in rig.runners().into_iter().take(most) {
        if rig::start_ticks_of(pid) == Some(start_ticks) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            killed += usize::from(nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).is_ok());
        }
    }
    killed
}

fn answers(rig: &Rig) {
    wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
}
