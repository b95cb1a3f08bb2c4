//! The journal without an agent.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leafcron::job::Entry;
use leafcron::store::{Durability, history};

use super::table::{Spread, Table};
use super::{Outcomes, facts, millis};

const JOBS: usize = 50;
const RUNS: u64 = 500;
/// Enough for some compactions.
const MANY: u64 = 60_000;
/// Runs that go into one commit where the syncs are not what is measured.
const BATCH: u64 = 100;
const ROUNDS: usize = 3;

pub(super) fn disk() -> PathBuf {
    std::env::var_os("BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    a_run(table)?;
    many_runs(table)
}

/// Bytes that this process had the disk write (proc(5)).
fn disk_bytes() -> Outcomes<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
    Ok(line.parse()?)
}

/// Each durable by itself, as when one job is due at a time.
fn a_run(table: &mut Table) -> Outcomes<()> {
    println!("store: {RUNS} runs, each intent and each record synced");
    let dir = tempfile::tempdir_in(disk())?;
    let jobs = facts::names(JOBS)?;
    let mut journal = facts::open(dir.path())?.0;
    let mut times = Vec::new();
    let (before, on_disk) = (journal.status(), disk_bytes()?);
    for (number, job) in (1..=RUNS).zip(jobs.iter().cycle()) {
        let [intent, started, record] = facts::run(job, number, 0)?;
        let from = Instant::now();
        journal.commit(&[intent], Durability::Synced)?;
        times.push(millis(from.elapsed()));
        journal.commit(&[started], Durability::Unsynced)?;
        journal.commit(&[record], Durability::Synced)?;
    }
    let (after, on_disk) = (journal.status(), disk_bytes()? - on_disk);
    let per = |count: u64| format!("{:.1}", f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / 500.0);
    table.row("a run alone: bytes to the journal", per(after.written - before.written), "300");
    table.row("  bytes to the disk, by pages", per(on_disk), "");
    table.row("  syncs", per(after.syncs - before.syncs), "1 a turn");
    table.row("  an append and its sync", Spread::of(times).with_unit("ms"), "");
    Ok(())
}

fn many_runs(table: &mut Table) -> Outcomes<()> {
    println!("store: {MANY} runs, {BATCH} to a commit, compacted as it falls due");
    let dir = tempfile::tempdir_in(disk())?;
    let jobs = facts::names(JOBS)?;
    let mut journal = facts::open(dir.path())?.0;
    let (mut appended, mut appending, mut compacting) = (0, Duration::ZERO, Vec::new());
    let mut most = 0;
    for batch in 0..MANY / BATCH {
        let mut entries: Vec<Entry> = Vec::new();
        for (number, job) in (batch * BATCH..(batch + 1) * BATCH).zip(jobs.iter().cycle()) {
            entries.extend(facts::run(job, number + 1, 0)?);
        }
        let (from, before) = (Instant::now(), journal.status().written);
        journal.commit(&entries, Durability::Synced)?;
        appending += from.elapsed();
        appended += journal.status().written - before;
        most = most.max(journal.status().bytes);
        let from = Instant::now();
        if journal.tidy()? {
            compacting.push(millis(from.elapsed()));
        }
    }
    let written = journal.status().written;
    let rate = |count: f64, time: Duration| count / time.as_secs_f64();
    let runs = f64::from(u32::try_from(MANY)?);
    table.row("runs appended, 100 to a sync", format!("{:.0} a second", rate(runs, appending)), "");
    table.row(
        "  write amplification of compaction",
        format!("{:.2}", f64::from(u32::try_from(written)?) / f64::from(u32::try_from(appended)?)),
        "2",
    );
    table.row(
        format!("  a compaction ({} of them)", compacting.len()),
        Spread::of(compacting).with_unit("ms"),
        "",
    );
    table.row("  the segment at most", format!("{} KiB", most / 1_024), "16,384 KiB");
    drop(journal);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let from = Instant::now();
        let disk = leafcron::store::RealDisk::open(dir.path())?;
        history(&disk, None, 20)?;
        times.push(millis(from.elapsed()));
    }
    table.row("  history -n 20 of it", Spread::of(times).with_unit("ms"), "");
    Ok(())
}
