//! `make bench`: the budgets of DESIGN section 11 that one machine without a network can measure, for real: real
//! processes, a real disk, the release binary. Figures only: nothing fails on a slow machine.
//!
//! `BENCH_IDLE=120s` watches an idle agent for the full two minutes; `BENCH_DIR=DIR` measures the disk below DIR.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![expect(clippy::disallowed_methods, reason = "it holds leafcron's instants against the machine's clock")]

mod bare;
mod crowd;
mod device;
mod drain;
#[path = "../store/facts.rs"]
#[expect(dead_code, reason = "the runs of the store's measurements")]
mod facts;
mod idle;
mod lateness;
mod link;
mod machine;
mod probe;
mod secure;
#[path = "../../tests/servers/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the servers of the tests: what fails there ends the measurement"
)]
mod servers;
mod step;
mod table;
mod wire;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use table::Table;

type Outcomes<T> = Result<T, Box<dyn Error>>;

/// Rounds of what is compared; the table shows medians.
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches as well.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("a measurement, not a test: `make bench`");
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(table) => {
            println!("\n{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcomes<Table> {
    let mut table = Table::default();
    println!("{}", machine::description()?);
    table.row(
        "device binary, stripped",
        machine::stripped_size(device::PROGRAM)?,
        "3 MiB on armv7, TLS included",
    );
    step::measure(&mut table)?;
    probe::measure(&mut table)?;
    idle::measure(&mut table)?;
    link::measure(&mut table)?;
    wire::measure(&mut table)?;
    drain::measure(&mut table)?;
    lateness::measure(&mut table)?;
    crowd::measure(&mut table)?;
    Ok(table)
}

/// Says what is going on now.
fn say(text: &str) {
    println!("{text}");
}

/// The wall clock, since 1970.
fn wall() -> Outcomes<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// Sleeps until a moment of the wall clock.
fn sleep_until(at: Duration) -> Outcomes<()> {
    thread::sleep(at.saturating_sub(wall()?));
    Ok(())
}

/// The next whole multiple of `secs` that is at least `ahead` away.
fn next_multiple(secs: u64, ahead: Duration) -> Outcomes<Duration> {
    let earliest = wall()? + ahead;
    Ok(Duration::from_secs((earliest.as_secs() / secs + 1) * secs))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
