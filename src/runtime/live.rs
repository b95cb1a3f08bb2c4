//! The agent's side: what it holds of the running, and the calls by which it handles Runs.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};

use super::adopt::{Found, Since};
use super::cgroup::Group;
use super::dir::{self, Claim, Go, RunDir, SPEC};
use super::error::{Doing, RuntimeError};
use super::launch::{Launch, Launcher};
use super::limit;
use super::proc;
use super::spec::{Order, RunSpec};
use super::subtree::{Groups, Limits};
use super::tail::Tail;
use super::tree;
use crate::job::{RunId, Started, Warning};

/// A runner that lives, or did until just now. Its descriptor is ready to read when the runner is dead.
#[derive(Debug)]
pub struct Live {
    started: Started,
    pidfd: OwnedFd,
}

/// The `process` runtime: a directory of runs and the means to start runners.
#[derive(Debug)]
pub struct Runtime {
    pub(super) runs: OwnedFd,
    launcher: Launcher,
    /// Where each Run has its control group.
    groups: Option<Groups>,
    /// Bytes of a Run's latest output that can be followed.
    live: u32,
}

impl Live {
    pub(super) fn find(run: RunId, pid: u32, start_ticks: u64) -> Option<Self> {
        let pidfd = tree::pidfd(pid, start_ticks)?;
        Some(Self { started: Started { run, pid, start_ticks }, pidfd })
    }

    /// A child that nobody has waited for yet: its pid is its own whatever its start time.
    pub(super) fn child(run: RunId, pid: u32) -> Option<Self> {
        let (pidfd, process) = tree::pidfd_of(pid)?;
        Some(Self { started: Started { run, pid, start_ticks: process.start_ticks }, pidfd })
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.started.run
    }

    /// What to note in the journal, so that it is found again.
    #[must_use]
    pub fn started(&self) -> Started {
        self.started
    }
}

/// To be polled for reading: ready means dead.
impl AsFd for Live {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Runtime {
    /// Makes `<run_dir>/runs`, keeps this process's own binary for runners, and becomes the heir of orphans.
    ///
    /// # Errors
    /// A directory that cannot be made, or belongs to another user.
    pub fn open(run_dir: &Path) -> Result<Self, RuntimeError> {
        Self::with(run_dir, Path::new("/proc/self/exe"), Launch::Nursery)
    }

    /// The same with another binary that knows `runner`, and a choice of how runners are started: for tests and
    /// measurements.
    ///
    /// # Errors
    /// Those of [`Runtime::open`].
    pub fn with(run_dir: &Path, program: &Path, launch: Launch) -> Result<Self, RuntimeError> {
        let path = run_dir.join("runs");
        let runs = open_runs(run_dir, &path).doing(|| format!("open {}", path.display()))?;
        let program = rustix::fs::openat(CWD, program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open {}", program.display()))?;
        tree::adopt_orphans().doing(|| "become a subreaper".to_owned())?;
        let about = rustix::fs::fstat(&runs).doing(|| format!("look at {}", path.display()))?;
        let groups = Groups::claim(Path::new("/"), &format!("{:x}-{:x}", about.st_dev, about.st_ino));
        let (groups, limits) = groups.map_or((None, Limits::Kept), |(groups, limits)| (Some(groups), limits));
        let this = Self { runs, launcher: Launcher::new(program, launch), groups, live: 0 };
        if limits == Limits::Forgotten {
            this.limit_again().doing(|| "give runs their limits again".to_owned())?;
        }
        Ok(this)
    }

    /// An earlier agent's controllers were taken back, and with them what bounded the Runs that go on.
    fn limit_again(&self) -> io::Result<()> {
        for run in dir::existing(self.runs())? {
            let spec = RunDir::find(self.runs(), run)?.and_then(|dir| dir.read(SPEC).ok());
            let Some(order) = spec.and_then(|bytes| Order::decode(&bytes)) else { continue };
            if let Some(group) = order.group.and_then(|path| Group::find(path.as_ref())) {
                group.limit(&order.spec.limits);
            }
        }
        Ok(())
    }

    /// The limits that cannot be applied here as they are meant, why, and what would help.
    #[must_use]
    pub fn unserved_limits(&self) -> Vec<Warning> {
        limit::unserved(self.groups.as_ref().map(Groups::missing).as_deref())
    }

    /// From now on the latest output of a Run can be followed, up to so many bytes of it.
    #[must_use]
    pub fn with_live_output(self, bytes: u32) -> Self {
        Self { live: bytes, ..self }
    }

    /// The latest output of a Run, while it goes on and after, until its directory goes. `None`: it has none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn tail(&self, run: RunId) -> Result<Option<Tail>, RuntimeError> {
        let what = || format!("open the output of run {run}");
        let Some(dir) = RunDir::find(self.runs(), run).doing(what)? else { return Ok(None) };
        Ok(Some(Tail::new(dir.again().doing(what)?)))
    }

    /// Removes what could be followed of a Run that is over; its result stays.
    pub fn drop_output(&self, run: RunId) {
        // A directory that is gone or cannot be read holds nothing that anybody follows.
        if let Ok(Some(dir)) = RunDir::find(self.runs(), run) {
            dir.drop_output();
        }
    }

    /// This process's own binary, for other processes of the agent: the file that it was started from, whatever lies
    /// there by now.
    #[must_use]
    pub fn program(&self) -> BorrowedFd<'_> {
        self.launcher.program()
    }

    /// Starts a runner for `spec`. Answers when it exists; whether the command could be started is in its result.
    ///
    /// # Errors
    /// Nothing was started and nothing will be; the directory is gone again.
    pub fn start(&self, spec: &RunSpec) -> Result<Live, RuntimeError> {
        let run = spec.run;
        let dir = RunDir::create(self.runs(), run).doing(|| format!("make the directory of run {run}"))?;
        let launched = dir
            .write(SPEC, &self.order(spec).encode())
            .and_then(|()| self.launcher.launch(self.runs(), run))
            .and_then(|pid| Live::child(run, pid).ok_or(Errno::SRCH.into()));
        launched.or_else(|error| self.given_up(&dir, run, error))
    }

    fn order(&self, spec: &RunSpec) -> Order {
        let forks = !spec.limits.is_empty() || spec.user.is_some();
        let groups = self.groups.as_ref().filter(|groups| forks || groups.are_delegated());
        let group = groups.map(|groups| groups.of(&spec.job, spec.run));
        // Of a Run that is to keep nothing there is nothing to be followed either.
        let live = if spec.output == 0 { 0 } else { self.live };
        Order { spec: spec.clone(), group, live }
    }

    /// A runner may exist although no word of it came back: only `go` tells.
    fn given_up(&self, dir: &RunDir, run: RunId, error: io::Error) -> Result<Live, RuntimeError> {
        let what = || format!("start a runner for run {run}");
        match dir.give_up().doing(what)? {
            Claim::Won => {
                dir::clear(self.runs(), run).doing(what)?;
                Err(RuntimeError::new(what(), error))
            }
            Claim::Lost => match dir.go().doing(what)? {
                Go::Runner { pid, start_ticks } => Live::find(run, pid, start_ticks),
                Go::Open | Go::GivenUp | Go::Unknown => None,
            }
            // Dead already: a process that is dead as well stands for it, and `collect` finds the result.
            .or_else(|| self.launcher.dead(run))
            .ok_or_else(|| RuntimeError::new(what(), error)),
        }
    }

    /// Asks a runner to stop its Run: TERM, CONT, grace, KILL, to the whole tree. One that is dead has stopped.
    ///
    /// # Errors
    /// Another user's process: it cannot be a runner of ours.
    pub fn stop(&self, live: &Live) -> Result<(), RuntimeError> {
        match pidfd_send_signal(&live.pidfd, Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).doing(|| format!("stop run {}", live.run())),
        }
    }

    /// What became of a Run whose descriptor is ready: reaps the runner, then as [`Runtime::inspect`].
    ///
    /// # Errors
    /// Those of [`Runtime::inspect`].
    pub fn collect(&self, live: &Live) -> Result<Found, RuntimeError> {
        // An adopted runner is not our child, and an orphan of it may have been reaped already: both are fine.
        match rustix::process::waitid(
            WaitId::PidFd(live.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        ) {
            Ok(_) | Err(Errno::CHILD | Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| format!("wait for the runner of run {}", live.run())),
        }
        self.inspect(live.run(), Some(live.started()), Since::ThisBoot)
    }

    /// Removes a Run's directory: only after its record is durable. One that is not there is removed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn clear(&self, run: RunId) -> Result<(), RuntimeError> {
        dir::clear(self.runs(), run).doing(|| format!("remove the directory of run {run}"))
    }

    /// The Runs that have a directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn existing(&self) -> Result<Vec<RunId>, RuntimeError> {
        dir::existing(self.runs()).doing(|| "list the directory of runs".to_owned())
    }

    /// Reaps this process's dead children (runners, and orphans that fell to it), but for those in `keep`, whose
    /// owner waits for them. A runner's status is needed by nobody: its result tells. Safe at every SIGCHLD.
    pub fn reap_orphans(&self, keep: &[u32]) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        while let Ok(status) = waitid(Id::All, flags | WaitPidFlag::WNOWAIT) {
            let Some(pid) = status.pid().filter(|_| status != WaitStatus::StillAlive) else { return };
            if keep.iter().any(|kept| i32::try_from(*kept) == Ok(pid.as_raw())) {
                return reap_around(keep);
            }
            if waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
                return;
            }
        }
    }

    pub(super) fn runs(&self) -> BorrowedFd<'_> {
        self.runs.as_fd()
    }
}

/// One of `keep` is dead and stands before the others: they are looked up one by one.
fn reap_around(keep: &[u32]) {
    let own = std::process::id();
    for child in proc::all(Path::new(proc::ROOT)).unwrap_or_default() {
        let pid = i32::try_from(child.pid).map(Pid::from_raw);
        if let (true, true, false, Ok(pid)) =
            (child.parent == own, child.zombie, keep.contains(&child.pid), pid)
        {
            // Gone meanwhile is as good.
            waitpid(pid, Some(WaitPidFlag::WNOHANG)).map(drop).unwrap_or_default();
        }
    }
}

fn open_runs(run_dir: &Path, path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o750).create(run_dir)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let runs = File::from(dir::open_dir(CWD, &path.to_string_lossy())?);
    let about = runs.metadata()?;
    if about.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if about.mode() & 0o777 != 0o700 {
        runs.set_permissions(std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(runs.into())
}
