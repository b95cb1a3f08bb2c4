//! Writes what the package carries of the command line, from its definition: manual pages and completions.
//!
//! ```sh
//! cargo run --example manual -- DIR      # DIR/man/*.1, DIR/completions/{leafcron.bash,_leafcron,leafcron.fish}
//! ```
#![expect(clippy::print_stderr, reason = "a program for whoever builds the package")]

mod pages;

/// The command line's own modules look for it here.
mod hub {
    pub(crate) use crate::pages::Hub;
}

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(to) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: manual DIR");
        return ExitCode::from(2);
    };
    match pages::write(&to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manual: {}: {error}", to.display());
            ExitCode::FAILURE
        }
    }
}
