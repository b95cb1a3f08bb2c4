//! TCP's own watch over the client's socket: a dead path is found without a wake-up of ours. The client does not give its
//! socket away, so it is found among this process's descriptors.
//!
//! Sources: tcp(7), `pidfd_getfd(2)`; RFC 5482.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Idle for so long, the other end is asked whether it is there,
const IDLE: Duration = Duration::from_secs(20);
/// so often,
const BETWEEN: Duration = Duration::from_secs(8);
/// at most so many times: 20 s + 3 × 8 s.
const TIMES: u32 = 3;
/// What was sent and is not acknowledged for so long ends the connection.
const UNACKED: Duration = Duration::from_secs(40);

/// Sets it on every TCP socket of this process; tells on how many.
///
/// # Errors
/// The kernel (before 5.6) or a sandbox does not give the descriptors.
pub(super) fn watch() -> io::Result<usize> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut watched = 0;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // What is closed meanwhile is none of ours.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if !target.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let socket = pidfd_getfd(&own, number, PidfdGetfdFlags::empty())?;
        if is_tcp(&socket) {
            set(&socket)?;
            watched += 1;
        }
    }
    Ok(watched)
}

fn is_tcp(socket: &OwnedFd) -> bool {
    sockopt::socket_protocol(socket).is_ok_and(|protocol| protocol == Some(rustix::net::ipproto::TCP))
}

fn set(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, IDLE)?;
    sockopt::set_tcp_keepintvl(socket, BETWEEN)?;
    sockopt::set_tcp_keepcnt(socket, TIMES)?;
    let unacked = u32::try_from(UNACKED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, unacked)?;
    Ok(())
}
