//! How long after its instant a lone job starts.

use std::fs;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::table::{Spread, Table};
use super::{Outcomes, machine, millis, next_multiple, say, sleep_until};

const FIRES: u64 = 10;
const EVERY: u64 = 2;
const FSYNCS: usize = 20;

/// `date` tells its own start: a shell and an exec later than the first instruction of the shell.
const JOB: &str = "[job.lone]\nschedule = \"*/2 * * * * *\"\ncommand = \"date +%s%N >> @DIR@/lone\"\n";

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    say(&format!("lateness: one job, {FIRES} fires, {EVERY} s apart"));
    let mut device = Device::new(JOB)?;
    let first = next_multiple(EVERY, Duration::from_secs(1))?;
    device.start()?;
    let last = first + Duration::from_secs((FIRES - 1) * EVERY);
    sleep_until(last + Duration::from_millis(1_200))?;
    let records = device.history("lone")?;
    device.stop()?;

    // The first starts the nursery as well, and is among them.
    let due = |at: Duration| Duration::from_secs(at.as_secs() / EVERY * EVERY);
    let mut by_date = Vec::new();
    for line in fs::read_to_string(device.path("lone"))?.lines() {
        let at = Duration::from_nanos(line.parse()?);
        by_date.push(millis(at.saturating_sub(due(at))));
    }
    let by_record = records.iter().filter_map(|it| it.started.map(|at| millis(at.since(it.due))));
    let mut syncs = Vec::new();
    for _ in 0..FSYNCS {
        syncs.push(millis(machine::fsync(&device.path(""))?));
        thread::sleep(Duration::from_millis(20));
    }
    let name = format!("one job, {} fires: late by `date` in the job", by_date.len());
    table.row(name, Spread::of(by_date).with_unit("ms"), "10 ms + one fsync");
    table.row("  late by the record's `started`", Spread::of(by_record).with_unit("ms"), "");
    table.row("  an append and fsync of that disk", Spread::of(syncs).with_unit("ms"), "");
    Ok(())
}
