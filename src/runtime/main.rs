//! `leafcrond runner …`: the entry for the processes that the agent starts through its own binary.
//!
//! ```text
//!   leafcrond runner 17        one Run, in the current directory, the directory of runs
//!   leafcrond runner nursery   forks runners as asked over the socket that is its standard input
//! ```

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::error::{Doing, RuntimeError};
use super::{dir, nursery, proc, runner};
use crate::job::RunId;

/// Runs with the arguments that follow `leafcrond runner`. Must be called before anything starts a thread.
#[must_use]
pub fn runner_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let asked = arguments.next().unwrap_or_default();
    runner::settle();
    match asked.to_str() {
        Some("nursery") => match nursery::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                runner::complain("nursery", &error);
                ExitCode::FAILURE
            }
        },
        name => match name.and_then(proc::parse_run) {
            Some(run) => runner::finish(run, &one(run)),
            None => ExitCode::from(2),
        },
    }
}

fn one(run: RunId) -> Result<(), RuntimeError> {
    let runs = dir::open_here().doing(|| "open the directory of runs".to_owned())?;
    runner::run(runs.as_fd(), run)
}
