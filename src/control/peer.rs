//! Who asks, by what the kernel says, and what that gives a right to (DESIGN section 10).

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use crate::job::{Refusal, RefusalKind, Request};

/// The process at the other end, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process id; 0: it cannot be told, as from within a container.
    pub pid: i32,
    /// The agent's own user.
    agent: u32,
}

impl Peer {
    /// Asks the kernel.
    pub(super) fn of(socket: impl AsFd) -> io::Result<Self> {
        // Not rustix: its process id cannot be the 0 that a peer outside our pid namespace has.
        let credentials = getsockopt(&socket, PeerCredentials)?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
            agent: rustix::process::geteuid().as_raw(),
        })
    }

    /// Whether it is root or the agent's own user: they may do everything.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.uid == 0 || self.uid == self.agent
    }

    /// Whether it may ask this. Everybody else reached the socket as a member of its group: they read, and they run,
    /// stop, pause and resume what exists, but what is in force is not theirs to change.
    #[must_use]
    pub fn may(&self, request: &Request) -> bool {
        match request {
            Request::List {}
            | Request::Show { .. }
            | Request::History { .. }
            | Request::Logs { .. }
            | Request::Events { .. }
            | Request::Run { .. }
            | Request::Stop { .. }
            | Request::Pause { .. }
            | Request::Resume { .. }
            | Request::Status {}
            | Request::Doctor {} => true,
            Request::EndRuns {} | Request::Remove { .. } | Request::Reload {} => self.is_owner(),
        }
    }

    /// The answer to a user who may ask nothing.
    pub(super) fn shut_out(&self) -> Refusal {
        Refusal {
            kind: RefusalKind::Forbidden,
            message: format!(
                "you are uid {}, as which the link to the centre runs: it is told what it needs, and asks nothing",
                self.uid
            ),
        }
    }

    /// The answer to what it may not ask.
    pub(super) fn forbidden(&self) -> Refusal {
        Refusal {
            kind: RefusalKind::Forbidden,
            message: format!(
                "you are uid {}; only root and the agent's own user (uid {}) may ask this: use sudo",
                self.uid, self.agent
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_use_jobs_but_not_change_what_is_in_force() {
        let peer = |uid| Peer { uid, gid: 7, pid: 1, agent: 500 };
        let job = || "backup".parse().unwrap();
        for (uid, reload) in [(0, true), (500, true), (1000, false)] {
            assert_eq!(peer(uid).may(&Request::Reload {}), reload, "uid {uid}");
            assert_eq!(peer(uid).may(&Request::Remove { job: job() }), reload);
            assert_eq!(peer(uid).may(&Request::EndRuns {}), reload);
            assert_eq!(peer(uid).is_owner(), reload);
            for request in [
                Request::List {},
                Request::Status {},
                Request::Show { job: job() },
                Request::History { job: None, limit: 1 },
                Request::Logs { job: job(), run: None, from: 0, follow: true },
                Request::Events { limit: 1 },
                Request::Run { job: job(), id: None, force: true, wait: true },
                Request::Stop { job: job(), id: None },
                Request::Pause { job: job(), id: None },
                Request::Resume { job: job(), id: None },
            ] {
                assert!(peer(uid).may(&request), "uid {uid}: {request:?}");
            }
        }
    }
}
