//! The pages and completions, from the definition of the command line itself.
#![allow(dead_code, unreachable_pub, reason = "of the command line only its definition is used")]

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

#[path = "../../src/bin/leafcron/args.rs"]
mod args;
#[allow(unused_imports, reason = "the tests parse with it")]
pub(crate) use args::Cli;

#[path = "../../src/bin/leafcron/hub/args.rs"]
mod hub_args;
pub(crate) use hub_args::Hub;

pub(crate) fn write(to: &Path) -> io::Result<()> {
    let (man, completions) = (to.join("man"), to.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    // One page a verb, each named by the one above it.
    clap_mangen::generate_to(args::Cli::command().disable_help_subcommand(true), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut args::Cli::command(), "leafcron", &completions)?;
    }
    Ok(())
}
