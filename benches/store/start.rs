//! A start with a thousand jobs and a full journal.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use leafcron::job::Entry;
use leafcron::store::Durability;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::device::Device;
use super::table::{Spread, Table};
use super::{Outcomes, facts, machine, millis};

const JOBS: usize = 1_000;
const ROUNDS: usize = 3;
/// Runs that go into one commit.
const BATCH: usize = 250;
/// What a run prints, so that history fills what compaction leaves.
const OUTPUT_BYTES: usize = 60;
/// Runs until history is full, and some more.
const RUNS: u64 = 60_000;
/// A commit, about.
const STEP_BYTES: u64 = 128 * 1024;

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(
            jobs,
            "[job.idle-{number}]\nschedule = \"0 0 1 1 *\"\ncommand = \"echo x >> @DIR@/{number}\""
        )?;
    }
    let mut device = Device::new(&jobs)?;
    println!("store: a start with {JOBS} jobs and a full journal, {ROUNDS} times");
    device.start()?;
    device.stop()?;
    let bytes = fill(&device)?;
    let (mut reads, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (from, used) = (Instant::now(), cpu()?);
        let (_, recovered) = facts::open(&device.path("state"))?;
        reads.push(from.elapsed());
        cpus.push(cpu()?.saturating_sub(used));
        if recovered.image.last.len() != JOBS {
            return Err("the journal does not hold what was written".into());
        }
    }
    let best = cpus.iter().min().copied().unwrap_or_default();
    let mib = f64::from(u32::try_from(bytes / 1_024)?) / 1_024.0;
    table.row(
        format!("a full journal, {mib:.1} MiB: read at a start"),
        Spread::of(reads.iter().copied().map(millis)).with_unit("ms"),
        "",
    );
    table.row("  CPU of it", Spread::of(cpus.iter().copied().map(millis)).with_unit("ms"), "");
    table.row("  recovery rate", format!("{:.0} MiB a second of CPU", mib / best.as_secs_f64()), "");
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        // The same journal each time: an agent that starts adds little, and compacts once that is due.
        starts.push(millis(device.start()?));
        device.stop()?;
        fill(&device)?;
    }
    table.row(
        format!("start-up with {JOBS} jobs and a full journal"),
        Spread::of(starts).with_unit("ms"),
        "200 ms",
    );
    let sync: Duration = machine::fsync(&device.path(""))?;
    table.row("  an append and fsync of that disk", format!("{:.1} ms", millis(sync)), "");
    Ok(())
}

/// Adds runs of all jobs as an agent does, compacted as it falls due, until history is full and one more commit would
/// have it compacted again: a journal is never longer, nor a start slower.
fn fill(device: &Device) -> Outcomes<u64> {
    let names = facts::names(JOBS)?;
    let (mut journal, recovered) = facts::open(&device.path("state"))?;
    let mut number = recovered.image.last_run + 1;
    let enough = number + RUNS;
    // After the last compaction.
    let mut base = journal.status().bytes;
    loop {
        let from = usize::try_from(number)? % JOBS;
        let mut entries: Vec<Entry> = Vec::new();
        for job in names.iter().cycle().skip(from).take(BATCH) {
            entries.extend(facts::run(job, number, OUTPUT_BYTES)?);
            number += 1;
        }
        journal.commit(&entries, Durability::Synced)?;
        if journal.tidy()? {
            base = journal.status().bytes;
            continue;
        }
        let bytes = journal.status().bytes;
        if number > enough && bytes + STEP_BYTES > base + base.max(facts::DISK_BYTES / 32) {
            return Ok(bytes);
        }
    }
}

/// CPU that this thread has used.
fn cpu() -> Outcomes<Duration> {
    let used = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
