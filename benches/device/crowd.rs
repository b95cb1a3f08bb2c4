//! Two hundred jobs due at one instant, beside a bare loop over the same commands in the same run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::table::{Spread, Table};
use super::{Outcomes, ROUNDS, bare, machine, millis, next_multiple, say, sleep_until, wall};

const JOBS: usize = 200;
/// Between two rounds; the bare loop runs in between.
const EVERY: u64 = 30;
/// Between two looks at the file that the jobs append to.
pub(super) const LOOK: Duration = Duration::from_micros(500);
/// Until the records of a round are written.
const CALM: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// Of one round: when the first and the last line was there, and what all of them cost.
pub(super) struct Cost {
    pub(super) first: Duration,
    pub(super) last: Duration,
    pub(super) cpu: Duration,
}

/// How many jobs have appended their two bytes.
pub(super) fn appended(file: &Path) -> usize {
    fs::metadata(file).ok().and_then(|meta| usize::try_from(meta.len() / 2).ok()).unwrap_or(0)
}

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(
            jobs,
            "[job.crowd-{number}]\nschedule = \"*/{EVERY} * * * * *\"\ncommand = \"echo x >> @DIR@/crowd\""
        )?;
    }
    say(&format!("crowd: {JOBS} jobs due at once and a bare loop, {ROUNDS} rounds, {EVERY} s apart"));
    let mut device = Device::new(&jobs)?;
    let command = format!("echo x >> {}", device.path("bare").display());
    let mut due = next_multiple(EVERY, Duration::from_secs(3))?;
    device.start()?;
    let (mut ours, mut loops, mut bytes, mut syncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = device.status()?.journal;
        ours.push(fire(&device, due)?);
        let after = device.status()?.journal;
        bytes.push(per_job(after.written - before.written)?);
        syncs.push(f64::from(u32::try_from(after.syncs - before.syncs)?));
        loops.push(bare::run(&command, JOBS, &device.path("bare"))?);
        say(&format!("  round {}: {}; bare: {}", round + 1, in_words(ours.last()), in_words(loops.last())));
        due += Duration::from_secs(EVERY);
    }
    device.stop()?;
    let of = |costs: &[Cost], value: fn(&Cost) -> f64| Spread::of(costs.iter().map(value));
    let first = |cost: &Cost| millis(cost.first);
    let last = |cost: &Cost| millis(cost.last);
    let cpu = |cost: &Cost| millis(cost.cpu) / 200.0;
    table.row(
        format!("{JOBS} at once: the first after the instant"),
        of(&ours, first).with_unit("ms"),
        "10 ms + one fsync",
    );
    table.row("  the last", of(&ours, last).with_unit("ms"), "2 x the loop");
    table.row("  that loop", of(&loops, last).with_unit("ms"), "");
    table.row("  the last / the loop", times(&of(&ours, last), &of(&loops, last)), "2.0");
    table.row("  CPU per job: agent, helpers, runners, jobs", of(&ours, cpu).with_unit("ms"), "2 x the loop");
    table.row("  CPU per job of the loop", of(&loops, cpu).with_unit("ms"), "");
    table.row("  CPU / the loop's", times(&of(&ours, cpu), &of(&loops, cpu)), "2.0");
    table.row("  journal per run", Spread::of(bytes).with_unit("bytes"), "300 bytes");
    table.row(format!("  syncs for the {JOBS}"), Spread::of(syncs).with_unit("syncs"), "1 a turn");
    Ok(())
}

/// One round: the jobs are due at that instant.
fn fire(device: &Device, due: Duration) -> Outcomes<Cost> {
    let file = device.path("crowd");
    let pid = device.pid()?;
    sleep_until(due.saturating_sub(Duration::from_millis(500)))?;
    if wall()? > due {
        return Err("the rounds are too close for this machine".into());
    }
    fs::write(&file, "")?;
    let before = machine::cpu_of_tree(pid)?;
    let mut first = None;
    loop {
        let lines = appended(&file);
        let since = wall()?.saturating_sub(due);
        if lines > 0 {
            first.get_or_insert(since);
        }
        if lines >= JOBS {
            thread::sleep(CALM);
            let cpu = machine::cpu_of_tree(pid)?.saturating_sub(before);
            return Ok(Cost { first: first.unwrap_or(since), last: since, cpu });
        }
        if since > PATIENCE {
            return Err(format!("{lines} of {JOBS} jobs have run after {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(LOOK);
    }
}

fn per_job(bytes: u64) -> Outcomes<f64> {
    Ok(f64::from(u32::try_from(bytes)?) / 200.0)
}

fn times(ours: &Spread, theirs: &Spread) -> String {
    format!("{:.2}", ours.median() / theirs.median())
}

fn in_words(cost: Option<&Cost>) -> String {
    let ms = |value: fn(&Cost) -> Duration| cost.map_or(f64::NAN, |cost| millis(value(cost)));
    format!(
        "first {:.0} ms, last {:.0} ms, CPU {:.0} ms",
        ms(|it| it.first),
        ms(|it| it.last),
        ms(|it| it.cpu)
    )
}
