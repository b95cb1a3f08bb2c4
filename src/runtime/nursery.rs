//! The nursery: a small prepared process that forks a runner per Run, which costs a fraction of one more exec. It
//! holds nothing that matters: when it dies, the agent starts another, and `go` decides who started what.
//!
//! ```text
//!   agent --- SOCK_SEQPACKET: run id, 8 bytes LE ---> nursery --clone(CLONE_PARENT)--> runner, the agent's child
//!         <-- pid, errno: 4 + 4 bytes LE -----------
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::Timespec;

use super::error::{Doing, RuntimeError};
use super::sys::{self, Forked};
use super::user::Identity;
use super::{dir, runner};
use crate::job::RunId;

/// Without work for so long, it ends: an idle agent has no second process.
const IDLE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// What it calls itself.
const NAME: &core::ffi::CStr = c"leafcron-nurse";

/// A pid, or an errno.
pub(super) const REPLY_BYTES: usize = 8;

/// Serves until the socket is closed, and in each forked child executes one Run.
pub(super) fn serve() -> Result<(), RuntimeError> {
    let (runs, socket) = prepare().doing(|| "prepare the nursery".to_owned())?;
    while let Some(run) = next(&socket).doing(|| "read a request".to_owned())? {
        match sys::fork_sibling() {
            Ok(Forked::Child) => {
                drop(socket);
                runner::finish(run, &runner::run(runs.as_fd(), run));
            }
            Ok(Forked::Parent(pid)) => reply(&socket, pid, 0),
            Err(error) => reply(&socket, 0, error.raw_os_error().unwrap_or(Errno::AGAIN.raw_os_error())),
        }
        .doing(|| "answer".to_owned())?;
    }
    Ok(())
}

fn prepare() -> io::Result<(OwnedFd, OwnedFd)> {
    let runs = dir::open_here()?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    // From now on standard input is /dev/null, here and in every runner.
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::chdir("/")?;
    // Whatever every runner would have to find out again.
    Identity::own();
    // It was executed by the name of a descriptor; a number would say nothing in a list of processes.
    nix::sys::prctl::set_name(NAME)?;
    Ok((runs, socket))
}

/// The next run to start; `None`: the agent is gone, or has had no work for a while.
fn next(socket: &OwnedFd) -> io::Result<Option<RunId>> {
    loop {
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&IDLE)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut request = [0; 8];
        return match recv(socket, &mut request, RecvFlags::empty()) {
            Ok((_, 8)) => Ok(Some(RunId(u64::from_le_bytes(request)))),
            Ok(_) | Err(Errno::CONNRESET) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn reply(socket: &OwnedFd, pid: u32, errno: i32) -> io::Result<()> {
    let mut bytes = [0; REPLY_BYTES];
    let (first, second) = bytes.split_at_mut(4);
    first.copy_from_slice(&pid.to_le_bytes());
    second.copy_from_slice(&errno.to_le_bytes());
    send(socket, &bytes, SendFlags::NOSIGNAL)?;
    Ok(())
}
