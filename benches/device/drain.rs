//! What piled up in a long outage goes out, while a job fires each second.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use leafcron::job::Entry;
use leafcron::store::{Durability, Journal, Options, RealDisk, Unsent};

use super::device::Device;
use super::facts;
use super::servers::{Hub, Leaf};
use super::table::{Spread, Table};
use super::{Outcomes, machine, millis, say, sleep_until, wall};

const RESULTS: u64 = 100_000;
/// Records of as many jobs.
const JOBS: usize = 100;
const BATCH: usize = 200;
/// So long the job is watched without a centre.
const BEFORE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);

const JOB: &str = "[job.lone]\nschedule = \"* * * * * *\"\ncommand = \"date +%s%N >> @DIR@/lone\"\n";

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    say(&format!("drain: {RESULTS} results, and a job that fires each second meanwhile"));
    let hub = Hub::start();
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_leafcron"))
        .args(["hub", "init", "--server", &hub.url()])
        .output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    let mut leaf = Leaf::start(hub.leaf_address());
    leaf.kill();
    let mut device = Device::new(JOB)?;
    device.configure(&format!("[nats]\nservers = [{:?}]\n", leaf.url()))?;
    fill(&device)?;
    device.start()?;
    let begun = wall()?;
    sleep_until(begun + BEFORE)?;
    let unsent = device.status()?.link.ok_or("no link")?.unsent;
    if unsent < RESULTS {
        return Err(format!("{unsent} of {RESULTS} results are kept for the centre").into());
    }

    let agent = device.pid()?;
    let cpu = machine::cpu_of_tree(agent)?;
    leaf.start_again();
    // From the first that arrives: when the leaf node is looked for again is not the question.
    let (mut left, mut first) = (unsent, None);
    let from = Instant::now();
    while left > 0 {
        if from.elapsed() > PATIENCE {
            return Err(format!("{left} results are left after {PATIENCE:?}").into());
        }
        thread::sleep(LOOK);
        left = device.status()?.link.ok_or("no link")?.unsent;
        if left < unsent {
            first.get_or_insert((wall()?, left));
        }
    }
    let end = wall()?;
    let (start, of) = first.ok_or("nothing was sent")?;
    let cpu = machine::cpu_of_tree(agent)?.saturating_sub(cpu);
    device.stop()?;

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rate = of as f64 / (end - start).as_secs_f64();
    table.row(
        format!("{unsent} results drained, agent to leaf node to hub"),
        format!("{rate:.0} a second"),
        "5,000 a second",
    );
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = cpu.as_secs_f64() * 1e6 / unsent as f64;
    table.row("  CPU of agent and link", format!("{each:.0} us a result"), "");
    let (mut before, mut during) = (Vec::new(), Vec::new());
    for line in fs::read_to_string(device.path("lone"))?.lines() {
        let at = Duration::from_nanos(line.parse()?);
        let late = millis(Duration::from_nanos(at.subsec_nanos().into()));
        match at {
            at if at < begun + BEFORE => before.push(late),
            at if (start..end).contains(&at) => during.push(late),
            _ => {}
        }
    }
    let fires = during.len();
    table.row(
        "  late by `date` in a job, before it",
        Spread::of(before).with_unit("ms"),
        "10 ms + one fsync",
    );
    table.row(format!("  and during it, {fires} fires"), Spread::of(during).with_unit("ms"), "the same");
    Ok(())
}

/// A journal as an agent leaves it that has met no centre.
fn fill(device: &Device) -> Outcomes<()> {
    let names = facts::names(JOBS)?;
    let disk = RealDisk::open(&device.path("state"))?;
    let (mut journal, _) = Journal::open(disk, Options { unsent: Unsent::Kept, ..facts::options() })?;
    let mut number = 0;
    while number < RESULTS {
        let mut entries: Vec<Entry> = Vec::new();
        for job in names.iter().cycle().take(BATCH) {
            number += 1;
            entries.extend(facts::run(job, number, 0)?);
        }
        journal.commit(&entries, Durability::Synced)?;
        journal.tidy()?;
    }
    Ok(())
}
