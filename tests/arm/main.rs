//! `make test-arm`: the package on emulated ARM computers under systemd, with a hub on this machine. Not part of `make test`:
//! it takes the better part of an hour. docs/proofs.md says what it proves, and how the same is done on a real Pi.
//!
//!     make test-arm                         # all of it, on armhf
//!     make test-arm STAGES="cuts" CUTS=30   # a part
//!     make test-arm ARCHITECTURE=arm64
#![expect(
    deprecated,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that panics says what is wrong, and it holds leafcron's instants against a clock"
)]

#[path = "../torture/account.rs"]
mod account;
mod block;
mod clock;
mod cuts;
mod dice;
mod figures;
mod lab;
mod limits;
mod machine;
mod package;
#[path = "../servers/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of a fleet")]
mod servers;
mod survive;

use std::process::ExitCode;
use std::time::Instant;

use lab::Lab;

type Stage = (&'static str, fn(&Lab));

const STAGES: &[Stage] = &[
    ("package", package::stage),
    ("survive", survive::stage),
    ("limits", limits::stage),
    ("clock", clock::stage),
    ("past", clock::of_a_boot_in_the_past),
    ("cuts", cuts::stage),
    ("disk", cuts::of_a_disk_that_forgets),
    ("figures", figures::stage),
];

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::var("STAGES").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    if let Some(unknown) = wanted.iter().find(|name| STAGES.iter().all(|(stage, _)| stage != name)) {
        let all: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
        eprintln!("no stage {unknown}; there are {}", all.join(" "));
        return ExitCode::from(2);
    }
    let lab = Lab::set_up();
    let mut failed = Vec::new();
    for (name, stage) in
        STAGES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|it| it == name))
    {
        println!("== {name}");
        let begun = Instant::now();
        // The next one has machines of its own.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage(&lab)));
        println!(
            "== {name}: {} after {} s",
            if done.is_ok() { "ok" } else { "FAILED" },
            begun.elapsed().as_secs()
        );
        if done.is_err() {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {}", failed.join(" "));
    ExitCode::FAILURE
}
