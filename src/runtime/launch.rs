//! Starting runners: through the nursery where it can be had, else by executing the binary anew.

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::live::Live;
use super::nursery::REPLY_BYTES;
use crate::job::RunId;

/// A fork takes well under a millisecond; a nursery that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// How runners are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// Forked from a prepared process.
    Nursery,
    /// Executed anew, each.
    Exec,
}

/// The kept binary, and the nursery once there is one.
#[derive(Debug)]
pub(super) struct Launcher {
    program: OwnedFd,
    launch: Launch,
    nursery: Mutex<Option<OwnedFd>>,
}

impl Launcher {
    pub(super) fn new(program: OwnedFd, launch: Launch) -> Self {
        Self { program, launch, nursery: Mutex::new(None) }
    }

    pub(super) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Starts a runner, answers its pid. On failure one may exist all the same.
    pub(super) fn launch(&self, runs: BorrowedFd<'_>, run: RunId) -> io::Result<u32> {
        if self.launch == Launch::Nursery {
            let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
            // One that has ended by itself, being idle, is replaced once.
            for _ in 0..2 {
                let socket = match nursery.take() {
                    Some(socket) => socket,
                    None => self.start_nursery(runs)?,
                };
                if let Ok(pid) = ask(&socket, run) {
                    *nursery = Some(socket);
                    return Ok(pid);
                }
            }
        }
        self.execute(&run.to_string(), runs, Stdio::null())
    }

    fn start_nursery(&self, runs: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&ours, direction, Some(PATIENCE))?;
        }
        self.execute("nursery", runs, theirs.into())?;
        Ok(ours)
    }

    /// Executes the kept binary: the file that this agent was started from, whatever lies there by now.
    fn execute(&self, what: &str, runs: BorrowedFd<'_>, stdin: Stdio) -> io::Result<u32> {
        let child = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .arg0("leafcrond")
            .args(["runner", what])
            .current_dir(format!("/proc/self/fd/{}", runs.as_raw_fd()))
            .stdin(stdin)
            .stdout(Stdio::null())
            .spawn()?;
        // Dropping it neither kills nor waits; the pidfd's holder and `reap_orphans` do.
        Ok(child.id())
    }

    /// A pidfd of a process that is dead, for a runner that died unseen.
    pub(super) fn dead(&self, run: RunId) -> Option<Live> {
        let mut child = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .args(["runner", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let live = Live::child(run, child.id());
        child.wait().ok()?;
        live
    }
}

fn ask(socket: &OwnedFd, run: RunId) -> io::Result<u32> {
    // With a time-out on the socket SA_RESTART does not hold (signal(7)): every SIGCHLD interrupts.
    retry_on_intr(|| send(socket.as_fd(), &run.0.to_le_bytes(), SendFlags::NOSIGNAL))?;
    let mut reply = [0; REPLY_BYTES];
    let (_, length) = retry_on_intr(|| recv(socket.as_fd(), &mut reply, RecvFlags::empty()))?;
    let (pid, errno) = reply.split_at(4);
    let (Ok(pid), Ok(errno)) =
        (pid.try_into().map(u32::from_le_bytes), errno.try_into().map(i32::from_le_bytes))
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    match (length, pid, errno) {
        (REPLY_BYTES, 1.., 0) => Ok(pid),
        (REPLY_BYTES, _, errno) if errno != 0 => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
