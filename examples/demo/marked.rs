//! Processes that carry this demonstration's mark in their environment, found in /proc: an agent, its helpers, a job
//! and all that a job left behind.

use std::fmt;
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use super::Outcomes;

/// The environment variable.
pub(super) const NAME: &str = "LEAFCRON_DEMO_DIR";

pub(super) struct Process {
    pub(super) pid: u32,
    command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.command)
    }
}

pub(super) fn processes(mark: &str) -> Outcomes<Vec<Process>> {
    let wanted = format!("{NAME}={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Gone meanwhile, or of another user: not of ours.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(Process { pid, command });
        }
    }
    Ok(found)
}

/// The child of a process that was started with this word.
pub(super) fn child(parent: u32, word: &str) -> Outcomes<Option<u32>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let of = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if of == Some(parent) && command.split(|byte| *byte == 0).any(|part| part == word.as_bytes()) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

pub(super) fn kill(pid: u32) -> Outcomes<()> {
    signal(pid, Signal::SIGKILL)
}

pub(super) fn terminate(pid: u32) -> Outcomes<()> {
    signal(pid, Signal::SIGTERM)
}

fn signal(pid: u32, signal: Signal) -> Outcomes<()> {
    match send(Pid::from_raw(i32::try_from(pid)?), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
