//! What can be typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use leafcron::job::{CommandId, JobName};

use crate::hub::Hub;

/// Ask the leafcron agent of this device.
#[derive(Debug, Parser)]
#[command(
    name = "leafcron",
    version,
    after_help = "Exit status: 0 done; 1 the answer is no (a rejection, a failed run); 2 it could not be asked (usage, \
                  unreadable configuration, no agent)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) agent: Agent,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Which agent is meant.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The agent's configuration [default: /etc/leafcron/leafcrond.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The agent's socket [default: control.sock in its run_dir]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Every job: its next fire, how it last ended, its state
    List,
    /// One job: every effective value and where it came from
    Show {
        /// The job
        job: JobName,
    },
    /// How fires ended, the newest last
    History {
        /// Of this job only
        job: Option<JobName>,
        /// At most this many
        #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 20)]
        limit: usize,
        /// With what was kept of their output
        #[arg(long)]
        output: bool,
        /// What happened to the device instead: starts, steps of its clock, damage, what was dropped or refused
        #[arg(long, conflicts_with_all = ["job", "output"])]
        events: bool,
    },
    /// What a running job prints, as it comes: the latest of it
    Logs {
        /// The job
        job: JobName,
        /// Go on until the run is over
        #[arg(short, long)]
        follow: bool,
        /// This run of it, by its number in `leafcron status --json` [default: the newest]
        #[arg(long, value_name = "RUN")]
        run: Option<u64>,
    },
    /// Start a job now
    Run {
        /// The job
        job: JobName,
        /// Wait for its end, print its output, exit as it did
        #[arg(long)]
        wait: bool,
        /// Start even if its resource gate is shut
        #[arg(long)]
        force: bool,
        /// An id of your own: asked twice under one id, it runs once
        #[arg(long)]
        id: Option<CommandId>,
    },
    /// Stop a job's runs, and the retry that waits
    Stop {
        /// The job
        job: JobName,
    },
    /// End all runs and start nothing until the agent starts anew: for the machine's shutdown, which a unit tells
    EndRuns,
    /// Let nothing of a job fire until it is resumed
    Pause {
        /// The job
        job: JobName,
    },
    /// Let a paused job fire again
    Resume {
        /// The job
        job: JobName,
    },
    /// Remove an orphan: a definition that the centre's bucket lost without withdrawing it
    Remove {
        /// The job
        job: JobName,
    },
    /// The agent: its clock, what runs, what waits and why, what is refused
    Status,
    /// What this machine can serve of gates and limits, what is read now, and what would help
    Doctor,
    /// When a schedule line or a job fires, in words and in instants
    Explain(Explain),
    /// Judge jobs files without an agent
    Check {
        /// Files, or directories of them [default: the configured jobs_dir]
        #[arg(value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Make jobs of crontabs, and name each line that changes or cannot be carried
    Import(Import),
    /// Have the agent read its jobs directory again
    Reload,
    /// Ask the fleet, over NATS: for its operator
    Hub(Box<Hub>),
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A schedule line, in quotes ("0 3 * * *"), or the name of a job
    #[arg(value_name = "LINE|JOB", required = true)]
    pub(crate) words: Vec<String>,
    /// In this zone, such as Europe/Berlin [default: the job's or the device's]
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// Fires after this instant: 2026-03-29T00:00:00Z, or 2026-03-29 or 2026-03-29T02:30 in the zone [default: now]
    #[arg(long, value_name = "T")]
    pub(crate) from: Option<String>,
    /// How many fires
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) count: u16,
}

/// Crontabs, and what becomes of them.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("crontabs").required(true).multiple(true),
    after_help = "Without --write the jobs are printed, as one jobs file. cron's own files are left as they are: once the jobs \
                  are in force, take their lines out of cron, or both run them.\n\n\
                  Exit status: 0 all is carried; 1 some line is not, or a file is there already; 2 a crontab cannot be \
                  read, or nothing can be written.\n\n\
                  Examples: `crontab -l | leafcron import -`; `leafcron import --system --write` as root."
)]
pub(crate) struct Import {
    /// Crontabs; `-`: standard input. In /etc/crontab and /etc/cron.d each line names a user; else it is a user's own
    #[arg(value_name = "FILE", group = "crontabs")]
    pub(crate) files: Vec<PathBuf>,
    /// /etc/crontab, and what cron reads in /etc/cron.d
    #[arg(long, group = "crontabs")]
    pub(crate) system: bool,
    /// This user's crontab, from cron's spool (more than one may be given)
    #[arg(long, value_name = "USER", group = "crontabs")]
    pub(crate) user_crontab: Vec<String>,
    /// Whose crontabs the FILEs are: their jobs run as this user [default: who asks]
    #[arg(long = "as", value_name = "USER", requires = "files")]
    pub(crate) owner: Option<String>,
    /// Each line of the FILEs names a user
    #[arg(long, requires = "files", conflicts_with = "owner")]
    pub(crate) user_field: bool,
    /// cron's files lie below this directory, where another machine's disk is mounted
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Write a jobs file for each crontab into the agent's jobs_dir; none is written over
    #[arg(long)]
    pub(crate) write: bool,
}
