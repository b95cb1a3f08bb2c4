//! By which means a Run's limits hold: its control group's controllers where it has them, else what the kernel can bound
//! of a process or a user. Sources: `setrlimit(2)`, `setpriority(2)`, `ioprio_set(2)`, `sched(7)` (autogroup).

use std::path::Path;

use nix::errno::Errno;
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

use super::cgroup::Group;
use super::user::Identity;
use super::{proc, sys};
use crate::job::{IoPriority, RunLimits, Warning};

/// The field names, in the order of [`Means::apply`]'s numbers.
const NAMES: [&str; 5] = ["memory", "cpu", "pids", "nice", "io"];
const MEMORY: u8 = 0;
const PIDS: u8 = 2;
const NICE: u8 = 3;
const IO: u8 = 4;

/// What a command is started with.
#[derive(Debug, Default)]
pub(super) struct Means {
    pub(super) group: Option<Group>,
    /// RLIMIT_DATA, in bytes. Not RLIMIT_AS: what a program only reserves is no memory.
    data: Option<u64>,
    /// RLIMIT_NPROC
    processes: Option<u64>,
    nice: Option<i8>,
    io: Option<IoPriority>,
    /// What nothing here can bound.
    pub(super) not_applied: Vec<String>,
    required: bool,
}

/// Whether the child may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Yes,
    /// One that is required failed.
    Refused,
}

/// Why a command is not started without these.
pub(super) fn refusal(not_applied: &[String]) -> String {
    format!("limits: {} cannot be applied here, and limits.required is true", not_applied.join(", "))
}

/// What cannot be applied as it is meant. `missing`: the controllers that Runs' groups lack; `None`: they have no groups.
pub(super) fn unserved(missing: Option<&[&str]>) -> Vec<Warning> {
    let lacks = |name: &str| missing.is_none_or(|missing| missing.contains(&name));
    let help = |name: &str| {
        match missing {
        None => "runs have no control groups: the unit's Delegate=yes gives them".to_owned(),
        Some(_) if name == "memory" => {
            "this kernel's memory controller is off or not delegated: `cgroup_enable=memory` on the kernel's command line brings it"
                .to_owned()
        }
        Some(_) => format!("the controller {name} is not delegated to the agent, or not built in"),
    }
    };
    let instead = |name: &str| match name {
        "memory" => "each process is bounded by itself (RLIMIT_DATA), not the run as a whole",
        "pids" => "the user's processes are counted together (RLIMIT_NPROC), and root's not at all",
        _ => "it is not applied, and records say so",
    };
    ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|name| lacks(name))
        .map(|name| Warning {
            field: format!("limits.{name}"),
            reason: format!("{}; {}", help(name), instead(name)),
        })
        .collect()
}

impl Means {
    /// Sets what can be set before the command exists, and remembers the rest.
    pub(super) fn of(limits: &RunLimits, identity: &Identity, group: Option<Group>) -> Self {
        let held = group.as_ref().map(|group| group.limit(limits)).unwrap_or_default();
        let elsewhere = |name: &str| !held.contains(&name);
        let mut means = Self {
            data: limits.memory.filter(|_| elsewhere("memory")),
            nice: limits.nice,
            io: limits.io,
            required: limits.required,
            ..Self::default()
        };
        if limits.cpu.is_some() && elsewhere("cpu") {
            means.not_applied.push("cpu".to_owned());
        }
        if let Some(pids) = limits.pids.filter(|_| elsewhere("pids")) {
            match identity.uid() {
                // Bounds no root: setrlimit(2).
                0 => means.not_applied.push("pids".to_owned()),
                uid => means.processes = Some(proc::threads_of(Path::new(proc::ROOT), uid) + u64::from(pids)),
            }
        }
        Self { group, ..means }
    }

    /// What is already known not to hold, if that must not be.
    pub(super) fn refused(&self) -> Option<String> {
        (self.required && !self.not_applied.is_empty()).then(|| refusal(&self.not_applied))
    }

    /// In the child, before it changes its user: tells the number of each limit that failed.
    pub(super) fn apply(&self, failed: impl Fn(u8, Errno)) -> Applied {
        let mut applied = Applied::Yes;
        let mut told = |limit: u8, done: Result<(), Errno>| {
            if let Err(errno) = done {
                failed(limit, errno);
                applied = if self.required { Applied::Refused } else { applied };
            }
        };
        if let Some(bytes) = self.data {
            told(MEMORY, bound(Resource::Data, bytes));
        }
        if let Some(processes) = self.processes {
            told(PIDS, bound(Resource::Nproc, processes));
        }
        if let Some(nice) = self.nice {
            // The session's share among others, where the kernel groups by session; there is no promise in it.
            std::fs::write("/proc/self/autogroup", nice.to_string()).unwrap_or_default();
            told(NICE, setpriority_process(None, nice.into()).map_err(errno));
        }
        if let Some(io) = self.io {
            told(IO, sys::set_io_priority(io));
        }
        applied
    }

    /// The field of a number that [`Means::apply`] told.
    pub(super) fn name_of(&self, limit: u8) -> Option<String> {
        NAMES.get(usize::from(limit)).map(|name| (*name).to_owned())
    }
}

/// For itself and for good: a job cannot raise it again.
fn bound(resource: Resource, most: u64) -> Result<(), Errno> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(errno)
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
