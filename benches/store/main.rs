//! `make bench`, the rows of the store: what a run costs the disk, how fast facts are appended and read back, how long a
//! start takes with a full journal, what compaction adds. On the disk below `BENCH_DIR`, or the build's.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

mod alone;
#[path = "../device/device.rs"]
#[expect(dead_code, reason = "the device of the other measurements")]
mod device;
mod facts;
#[path = "../device/machine.rs"]
#[expect(dead_code, reason = "the machine of the other measurements")]
mod machine;
mod start;
#[path = "../device/table.rs"]
mod table;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use table::Table;

type Outcomes<T> = Result<T, Box<dyn Error>>;

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
    alone::measure(&mut table)?;
    start::measure(&mut table)?;
    Ok(table)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
