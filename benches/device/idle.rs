//! An agent with a thousand jobs and nothing to do.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::table::Table;
use super::{Outcomes, machine, millis, say};

const JOBS: usize = 1_000;
/// After the start things settle: helpers end, caches are given back.
const SETTLE: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_secs(20);
const FULL: Duration = Duration::from_secs(120);

/// How long something idle is watched.
pub(super) fn watched(otherwise: Duration) -> Outcomes<Duration> {
    match std::env::var("BENCH_IDLE") {
        Ok(text) => Ok(leafcron::job::units::parse_duration(&text)?),
        Err(_) => Ok(otherwise),
    }
}

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let idle = watched(SHORT)?;
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(
            jobs,
            "[job.idle-{number}]\nschedule = \"0 0 1 1 *\"\ncommand = \"echo x >> @DIR@/{number}\""
        )?;
    }
    let mut device = Device::new(&jobs)?;
    say(&format!(
        "idle: {JOBS} jobs, {} s to settle, then watched for {} s",
        SETTLE.as_secs(),
        idle.as_secs()
    ));
    let first = device.start()?;
    device.stop()?;
    let second = device.start()?;
    thread::sleep(SETTLE);
    let pid = device.pid()?;
    let before = machine::switches(pid)?;
    thread::sleep(idle);
    let wakeups = machine::switches(pid)? - before;
    let memory = machine::memory(pid)?;
    let (processes, threads) = machine::threads(pid)?;
    let known = device.status()?.jobs;
    if known != JOBS {
        return Err(format!("{known} of {JOBS} jobs are in force").into());
    }
    let starts = format!("{:.0} ms, again {:.0} ms", millis(first), millis(second));
    table.row(
        format!("start-up with {JOBS} jobs, journal almost empty"),
        starts,
        "200 ms, with a full journal",
    );
    let private =
        format!("{} KiB: {} dirty, {} clean", memory.dirty + memory.clean, memory.dirty, memory.clean);
    table.row(format!("idle with {JOBS} jobs: private memory"), private, "1,024 KiB");
    table.row("  PSS", format!("{} KiB", memory.pss), "");
    table.row("  threads", format!("{threads} in {processes} process(es)"), "");
    let note = if idle < FULL { "; BENCH_IDLE=120s for all of it" } else { "" };
    let watched = format!("{wakeups} in {} s{note}", idle.as_secs());
    table.row("  wake-ups (voluntary switches of all threads)", watched, "0 in 120 s");
    device.stop()
}
