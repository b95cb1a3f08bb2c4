//! Which processes belong to a Run, and how they are told to end. Nothing is ever signalled by a number alone: a
//! pidfd is opened, then the start time is compared, so a reused pid is never touched.
//!
//! ```text
//!   while the runner lives: its descendants (it is a subreaper, so double forks and new sessions stay below it)
//!   when it is dead:        a) its session, vouched for by b) or by having become our own child
//!                           b) processes marked with the Run's variables, below no living runner
//!                           c) the descendants of these
//! ```
//! Sources: `pidfd_open(2)`, `pidfd_send_signal(2)`, `PR_SET_CHILD_SUBREAPER(2const)`, `credentials(7)`.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc::{self, Process};

/// What loses its parent below this process becomes its child. Every Linux since 3.4 knows how; qemu-user says that it does
/// not, and under it an orphan is init's: found by its session and its variables, if it keeps them.
pub(super) fn adopt_orphans() -> io::Result<()> {
    match nix::sys::prctl::set_child_subreaper(true) {
        Err(nix::errno::Errno::EINVAL) => {
            log::debug!("PR_SET_CHILD_SUBREAPER is not served: is this an emulator?");
            Ok(())
        }
        done => Ok(done?),
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// The process is gone.
    Gone,
    /// It is another user's.
    Denied,
}

/// Opens a pidfd for exactly this process.
pub(super) fn pidfd(pid: u32, start_ticks: u64) -> Option<OwnedFd> {
    // The number is its own as long as this holds after the descriptor was opened.
    pidfd_of(pid).filter(|(_, process)| process.start_ticks == start_ticks).map(|(fd, _)| fd)
}

/// Opens a pidfd, and then looks whose it is.
pub(super) fn pidfd_of(pid: u32) -> Option<(OwnedFd, Process)> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let fd = pidfd_open(number, PidfdFlags::empty()).ok()?;
    Some((fd, proc::process(Path::new(proc::ROOT), pid)?))
}

/// Sends one signal to exactly this process.
pub(super) fn signal(process: &Process, signal: Signal) -> Sent {
    let Some(fd) = pidfd(process.pid, process.start_ticks) else { return Sent::Gone };
    match pidfd_send_signal(fd, signal) {
        Ok(()) => Sent::Yes,
        Err(Errno::PERM) => Sent::Denied,
        Err(_) => Sent::Gone,
    }
}

/// All processes below `root`, itself not included.
pub(super) fn descendants(all: &[Process], root: u32) -> Vec<Process> {
    grown(all, HashSet::from([root])).into_iter().filter(|it| it.pid != root).collect()
}

/// `seed` and everything below it.
fn grown(all: &[Process], mut seed: HashSet<u32>) -> Vec<Process> {
    loop {
        let before = seed.len();
        seed.extend(all.iter().filter(|it| seed.contains(&it.parent)).map(|it| it.pid).collect::<Vec<_>>());
        if seed.len() == before {
            return all.iter().filter(|it| seed.contains(&it.pid)).copied().collect();
        }
    }
}

/// What is known of a runner that is dead.
#[derive(Debug)]
pub(super) struct Dead<'a> {
    /// Its pid, hence its session, and its start; `None`: not known.
    pub(super) runner: Option<(u32, u64)>,
    /// `NAME=value` that all of its processes were started with; empty: not known.
    pub(super) marks: &'a [String],
    /// This process, to which orphans fall.
    pub(super) heir: u32,
    /// Sessions in which some of its tree were found before.
    pub(super) sessions: HashSet<u32>,
}

impl Dead<'_> {
    /// What is left of its tree.
    pub(super) fn left(&self, root: &Path, all: &[Process]) -> Vec<Process> {
        let since = self.runner.map_or(0, |(_, ticks)| ticks);
        let candidates: Vec<&Process> = all
            .iter()
            .filter(|it| it.start_ticks >= since && it.pid != self.heir && it.pid != 1)
            .filter(|it| !below_a_runner(root, all, it, self.heir))
            .collect();
        let marked: HashSet<u32> = candidates
            .iter()
            .filter(|it| proc::is_marked(root, it.pid, self.marks))
            .map(|it| it.pid)
            .collect();
        let mut seed = marked.clone();
        seed.extend(candidates.iter().filter(|it| self.sessions.contains(&it.session)).map(|it| it.pid));
        if let Some((sid, ticks)) = self.runner {
            // A leader of another age: the number was given out again, so nobody of our session is left.
            let reused = all.iter().any(|it| it.pid == sid && it.start_ticks != ticks);
            let session = candidates.iter().filter(|it| !reused && it.session == sid && it.pid != sid);
            let members: Vec<&&Process> = session.collect();
            if members.iter().any(|it| marked.contains(&it.pid) || it.parent == self.heir) {
                seed.extend(members.iter().map(|it| it.pid));
            }
        }
        grown(all, seed)
    }
}

/// Whether a living runner is above `process`: then it is that runner's, whatever marks it carries.
fn below_a_runner(root: &Path, all: &[Process], process: &Process, heir: u32) -> bool {
    let mut at = *process;
    // A chain of parents is no longer than there are processes.
    for _ in 0..all.len() {
        if proc::is_runner(root, at.pid) && !at.zombie {
            return true;
        }
        if at.parent <= 1 || at.parent == heir {
            return false;
        }
        match all.iter().find(|it| it.pid == at.parent) {
            Some(parent) => at = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, session: u32, start_ticks: u64) -> Process {
        Process { pid, parent, session, start_ticks, zombie: false }
    }

    fn pids(found: &[Process]) -> Vec<u32> {
        found.iter().map(|it| it.pid).collect()
    }

    /// A tree of /proc files: (pid, comm, environ).
    fn root(files: &[(u32, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (pid, comm, environ) in files {
            let dir = root.path().join(pid.to_string());
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
            std::fs::write(dir.join("environ"), environ).unwrap();
        }
        root
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let all = [process(9, 8, 1, 0), process(8, 7, 1, 0), process(7, 5, 1, 0), process(6, 1, 1, 0)];
        assert_eq!(pids(&descendants(&all, 5)), [9, 8, 7]);
        assert!(descendants(&all, 6).is_empty());
    }

    #[test]
    fn of_a_dead_runner_the_session_the_marked_and_their_children_are_left() {
        let marks = ["LEAFCRON_RUN=7".to_owned()];
        let dead = Dead { runner: Some((50, 100)), marks: &marks, heir: 10, sessions: HashSet::new() };
        let root =
            root(&[(61, "job", "LEAFCRON_RUN=7"), (63, "daemon", "LEAFCRON_RUN=7"), (64, "other", "")]);
        let all = [
            process(61, 10, 50, 101),
            process(62, 61, 50, 102),
            process(63, 1, 63, 103),
            process(64, 1, 64, 104),
            process(65, 63, 63, 105),
        ];
        assert_eq!(pids(&dead.left(root.path(), &all)), [61, 62, 63, 65]);
        // Born while 63 was killed, and heir to nothing but its session.
        let dead = Dead { sessions: HashSet::from([63]), ..dead };
        assert_eq!(pids(&dead.left(root.path(), &[process(66, 10, 63, 106), all[3]])), [66]);
    }

    #[test]
    fn what_is_older_foreign_or_below_a_living_runner_is_not_touched() {
        let marks = ["LEAFCRON_RUN=7".to_owned()];
        let dead = Dead { runner: Some((50, 100)), marks: &marks, heir: 10, sessions: HashSet::new() };
        let root = root(&[
            (40, "old", "LEAFCRON_RUN=7"),
            (70, proc::RUNNER_NAME, ""),
            (71, "job", "LEAFCRON_RUN=7"),
            (90, "sh", ""),
        ]);
        let all = [
            process(40, 1, 40, 99),
            // Another agent's run of the same number, alive.
            process(70, 11, 70, 120),
            process(71, 70, 70, 121),
            // Session 50 anew: its leader is another process.
            process(50, 1, 50, 200),
            process(90, 50, 50, 201),
        ];
        assert!(dead.left(root.path(), &all).is_empty());
        // And a session of that number for which nobody vouches.
        assert!(dead.left(root.path(), &[process(90, 1, 50, 201)]).is_empty());
    }
}
