//! What can be typed behind `leafcron hub`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use leafcron::job::units::parse_duration;
use leafcron::job::{AgentName, CommandId, JobName, Name};

/// Ask the fleet, over NATS
#[derive(Debug, Args)]
pub(crate) struct Hub {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How the hub is reached. What is not given is taken from a context of the `nats` tool, or from its environment.
#[derive(Debug, Default, Args)]
pub(crate) struct Reach {
    /// A server of the hub, or a leaf node of it: tls://host:4222 or nats://host:4222 (more than one may be given)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Vec<String>,
    /// A context of the `nats` tool [default: the one that is selected there]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// A .creds file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// A user; the password comes from --password or NATS_PASSWORD
    #[arg(long, global = true)]
    pub(crate) user: Option<String>,
    /// A password; others can see it in the list of processes, so prefer NATS_PASSWORD
    #[arg(long, global = true)]
    pub(crate) password: Option<String>,
    /// A token; as with --password, prefer NATS_TOKEN
    #[arg(long, global = true)]
    pub(crate) token: Option<String>,
    /// A file with an nkey's seed
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// Trust these certificates, and not the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A certificate for mTLS
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The hub's JetStream domain [default: hub]
    #[arg(long, global = true)]
    pub(crate) domain: Option<Name>,
    /// What every bucket, stream and subject begins with [default: leafcron]
    #[arg(long, global = true)]
    pub(crate) prefix: Option<Name>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the buckets and the stream; safe to run again
    Init {
        /// Servers that keep each of them; 3 in a cluster
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
        replicas: u8,
        /// How long results are kept
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = keep)]
        keep: Duration,
    },
    /// Send the jobs of a file, and wait for what the devices say
    Push {
        /// A jobs file, as in jobs.d; `-`: standard input
        file: PathBuf,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        wait: Wait,
        /// Send what this version would refuse: newer devices may know more
        #[arg(long)]
        unchecked: bool,
    },
    /// Make the jobs of a device or a group equal a directory of jobs files: shows the difference, then sends it
    Apply {
        /// A directory of *.toml, as jobs.d
        dir: PathBuf,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        wait: Wait,
        /// Show the difference, and send nothing
        #[arg(long)]
        dry_run: bool,
        /// Withdraw orphans too: what devices keep since a bucket lost it without withdrawing it
        #[arg(long)]
        adopt: bool,
        /// Let a directory without a job take every job away
        #[arg(long)]
        allow_empty: bool,
        /// Send what this version would refuse: newer devices may know more
        #[arg(long)]
        unchecked: bool,
    },
    /// Take a job away, and wait until it is gone
    Remove {
        /// The job
        job: JobName,
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        wait: Wait,
    },
    /// What the devices say of their jobs
    List {
        /// Of this device only
        #[arg(long)]
        agent: Option<AgentName>,
    },
    /// One job of one device: what is wanted, what became of it, how it ended
    Show {
        /// The device
        agent: AgentName,
        /// The job
        job: JobName,
    },
    /// How fires ended, the newest last
    History {
        /// On this device only
        #[arg(long)]
        agent: Option<AgentName>,
        /// Of this job only
        #[arg(long)]
        job: Option<JobName>,
        /// At most this many
        #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
        /// Go on with what comes
        #[arg(long)]
        follow: bool,
        /// With what was kept of their output
        #[arg(long)]
        output: bool,
    },
    /// Print the least permissions of devices, and of the leaf node that they connect to, as nats-server takes them
    Permit {
        /// The devices; of several that share a leaf node, name all at once
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<AgentName>,
        /// Their groups, as in their `leafcrond.toml`; everyone is in `all`
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        groups: Vec<Name>,
    },
    /// What an operator has to look at: devices that are silent, numbers that are missing, what is refused, fails or is overdue,
    /// keys that nobody reads; exit 1 if there is any
    Problems,
    /// Forget a device that is gone for good: what it said of itself
    Forget {
        /// The device
        agent: AgentName,
        /// Its own definitions too
        #[arg(long)]
        jobs: bool,
        /// Although it was heard of lately
        #[arg(long)]
        force: bool,
    },
    /// The devices: when each was seen, what it runs, what fails
    Agents,
    /// Start a job on a device now
    Run {
        /// The device
        agent: AgentName,
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
        #[command(flatten)]
        patience: Patience,
    },
    /// Stop a job's runs on a device
    Stop {
        /// The device
        agent: AgentName,
        /// The job
        job: JobName,
        #[command(flatten)]
        patience: Patience,
    },
    /// Nothing of a job fires on a device until it is resumed
    Pause {
        /// The device
        agent: AgentName,
        /// The job
        job: JobName,
        #[command(flatten)]
        patience: Patience,
    },
    /// A job fires on a device again
    Resume {
        /// The device
        agent: AgentName,
        /// The job
        job: JobName,
        #[command(flatten)]
        patience: Patience,
    },
    /// What a running job of a device prints
    Logs {
        /// The device
        agent: AgentName,
        /// The job
        job: JobName,
        /// This run of it [default: the newest]
        #[arg(long, value_name = "RUN")]
        run: Option<u64>,
        /// Go on with what comes, until the run is over
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        patience: Patience,
    },
    /// A device's own state, as `leafcron status` there
    Status {
        /// The device
        agent: AgentName,
        #[command(flatten)]
        patience: Patience,
    },
}

/// For whom a definition is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Scope {
    /// For one device
    #[arg(long)]
    pub(crate) agent: Option<AgentName>,
    /// For a group of devices; everyone is in `all`
    #[arg(long)]
    pub(crate) group: Option<Name>,
}

impl Scope {
    /// The key of a job, and its source as verdicts name it.
    pub(crate) fn key(&self, job: &JobName) -> (String, String) {
        (format!("{}.{job}", self.prefix()), self.source())
    }

    /// What its keys begin with.
    pub(crate) fn prefix(&self) -> String {
        self.agent.as_ref().map_or_else(|| self.source(), |agent| format!("agent.{agent}"))
    }

    /// As verdicts name it.
    pub(crate) fn source(&self) -> String {
        match (&self.agent, &self.group) {
            (None, Some(group)) => format!("group.{group}"),
            _ => "agent".to_owned(),
        }
    }
}

/// For people.
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.agent, &self.group) {
            (Some(agent), _) => write!(f, "device {agent}"),
            (None, Some(group)) => write!(f, "group {group}"),
            (None, None) => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// How long the devices may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Do not wait
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Patience {
    /// How long the device may take; later it takes the command no more
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

/// A duration that may be in days.
fn keep(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        None => parse_duration(text),
    }
}
