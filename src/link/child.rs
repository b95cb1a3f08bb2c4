//! The agent's hold on a link process.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::haste;

/// A link process. The agent reaps it with all its dead children; the descriptor keeps a reused number from being killed
/// in its place.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
}

impl Child {
    /// Executes `program`, the kept binary of the agent, as `leafcrond link`, and gives our end of what it reads and
    /// writes. It inherits nothing else but stderr, for its log.
    ///
    /// # Errors
    /// Those of `socketpair(2)`, `fork(2)`, `execve(2)`.
    pub fn spawn(program: BorrowedFd<'_>) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command.arg0("leafcrond").arg("link").env_clear().current_dir("/");
        if let Some(level) = std::env::var_os("RUST_LOG") {
            command.env("RUST_LOG", level);
        }
        haste::hand_on(&mut command);
        // Of a group of its own: Ctrl-C at a terminal is meant for the agent, whose end is its end.
        command.process_group(0);
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).spawn()?;
        let pid = child.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())?;
        Ok((Self { pid, pidfd }, ours))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Ends it. One that is dead already is ended.
    pub fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, Signal::KILL) {
            log::debug!("kill link process {}: {error}", self.pid);
        }
    }
}
