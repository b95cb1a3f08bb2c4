//! The run directory, the only thing that a Run's agent and runner share.
//!
//! ```text
//!   <run_dir>/runs/            0700, the agent's
//!     17/  spec                what to do; written before a runner is started
//!          go                  who starts the command: a link to "pid start-ticks", or to "nobody": the agent
//!                              gave the Run up
//!          out-8192 …          the latest output while it goes on (see `tail`)
//!          result              how it ended; appears whole
//!     .18/                     being removed
//! ```
//! `go` is a symbolic link that leads nowhere: the one thing that a file system makes exclusively and with its content
//! in one step (editors lock files so). Whoever makes it decides whether the command is ever started. A runner that comes late, to a directory that is being removed or gone, must not
//! start: removal begins by renaming the directory, and a runner looks after its claim whether it still has its name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::proc::{self, Process};
use super::tail;
use crate::job::RunId;

pub(super) const SPEC: &str = "spec";
const GO: &str = "go";
const RESULT: &str = "result";
/// What `go` leads to when the agent made it.
const NOBODY: &str = "nobody";
/// Any of the files, in bytes: a definition with its variables, or an output, at most.
const FILE_BYTES: u64 = 1024 * 1024;
/// What holds almost any of them, in bytes.
const COMMON_BYTES: usize = 4096;
/// How often a directory is emptied that does not stay empty.
const REMOVALS: u32 = 8;

/// One run's directory, open.
#[derive(Debug)]
pub(super) struct RunDir {
    fd: OwnedFd,
}

/// Whether a claim was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Won,
    Lost,
}

/// What `go` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// It is not there: nobody has started anything.
    Open,
    /// The agent gave the Run up: nothing was started and nothing will be.
    GivenUp,
    /// This process went on to start the command.
    Runner { pid: u32, start_ticks: u64 },
    /// Somebody did, and it cannot be told who: no runner writes this.
    Unknown,
}

pub(super) fn open_dir(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// The current directory.
pub(super) fn open_here() -> io::Result<OwnedFd> {
    open_dir(CWD, ".")
}

impl RunDir {
    pub(super) fn create(runs: BorrowedFd<'_>, run: RunId) -> io::Result<Self> {
        rustix::fs::mkdirat(runs, run.to_string(), Mode::RWXU)?;
        Self::open(runs, run)
    }

    pub(super) fn open(runs: BorrowedFd<'_>, run: RunId) -> io::Result<Self> {
        Ok(Self { fd: open_dir(runs, &run.to_string())? })
    }

    /// `None`: there is no such directory.
    pub(super) fn find(runs: BorrowedFd<'_>, run: RunId) -> io::Result<Option<Self>> {
        match Self::open(runs, run) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        // One read for almost every file.
        let mut bytes = Vec::with_capacity(COMMON_BYTES);
        file.take(FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        File::from(rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?).write_all(bytes)
    }

    /// Its directory once more, for whoever outlives this.
    pub(super) fn again(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    pub(super) fn drop_output(&self) {
        tail::drop_output(&self.fd);
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// `result`, whole or not at all.
    pub(super) fn finish(&self, bytes: &[u8]) -> io::Result<()> {
        let temporary = "result.new";
        self.write(temporary, bytes)?;
        Ok(rustix::fs::renameat(&self.fd, temporary, &self.fd, RESULT)?)
    }

    pub(super) fn result(&self) -> io::Result<Option<Vec<u8>>> {
        match self.read(RESULT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes `go` for this runner, unless it is there.
    pub(super) fn claim(&self, runner: &Process) -> io::Result<Claim> {
        self.make_go(&proc::claim_text(runner))
    }

    /// Makes `go` for the agent, unless it is there: the command will never be started.
    pub(super) fn give_up(&self) -> io::Result<Claim> {
        self.make_go(NOBODY)
    }

    fn make_go(&self, text: &str) -> io::Result<Claim> {
        match rustix::fs::symlinkat(text, &self.fd, GO) {
            Ok(()) => Ok(Claim::Won),
            Err(Errno::EXIST) => Ok(Claim::Lost),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn go(&self) -> io::Result<Go> {
        let text = match rustix::fs::readlinkat(&self.fd, GO, Vec::new()) {
            Ok(text) => text,
            Err(Errno::NOENT) => return Ok(Go::Open),
            // Not a link.
            Err(Errno::INVAL) => return Ok(Go::Unknown),
            Err(error) => return Err(error.into()),
        };
        if text.to_bytes() == NOBODY.as_bytes() {
            return Ok(Go::GivenUp);
        }
        let named = proc::parse_claim(text.to_bytes());
        Ok(named.map_or(Go::Unknown, |(pid, start_ticks)| Go::Runner { pid, start_ticks }))
    }

    /// Whether it still has its name, hence is not being removed.
    pub(super) fn is_in(&self, runs: BorrowedFd<'_>, run: RunId) -> io::Result<bool> {
        match rustix::fs::statat(runs, run.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => {
                let here = rustix::fs::fstat(&self.fd)?;
                Ok((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Removes a run's directory, whatever became of it; one that is not there is removed.
pub(super) fn clear(runs: BorrowedFd<'_>, run: RunId) -> io::Result<()> {
    let going = format!(".{run}");
    match rustix::fs::renameat(runs, run.to_string(), runs, &going) {
        Ok(()) => remove(runs, &going),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The runs that have a directory. What an earlier agent was removing is removed.
pub(super) fn existing(runs: BorrowedFd<'_>) -> io::Result<Vec<RunId>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(runs)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        match name.strip_prefix('.').and_then(proc::parse_run) {
            Some(_) => remove(runs, name)?,
            None => found.extend(proc::parse_run(name)),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn remove(runs: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let dir = open_dir(runs, name)?;
    for known in [RESULT, GO, SPEC] {
        absent_is_fine(rustix::fs::unlinkat(&dir, known, AtFlags::empty()))?;
    }
    // A runner that comes late may still leave a file; it does so once.
    for _ in 0..REMOVALS {
        match rustix::fs::unlinkat(runs, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => empty(&dir)?,
            other => return absent_is_fine(other),
        }
    }
    Err(Errno::NOTEMPTY.into())
}

fn empty(dir: &OwnedFd) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        if ![&b"."[..], b".."].contains(&entry.file_name().to_bytes()) {
            absent_is_fine(rustix::fs::unlinkat(dir, entry.file_name(), AtFlags::empty()))?;
        }
    }
    Ok(())
}

fn absent_is_fine(removed: Result<(), Errno>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNER: Process = Process { pid: 5, parent: 1, session: 5, start_ticks: 6, zombie: false };

    fn runs() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = open_dir(CWD, dir.path().to_str().unwrap()).unwrap();
        (dir, fd)
    }

    #[test]
    fn go_is_won_once() {
        let (_keep, runs) = runs();
        let dir = RunDir::create(runs.as_fd(), RunId(1)).unwrap();
        assert_eq!(dir.go().unwrap(), Go::Open);
        assert_eq!(dir.claim(&RUNNER).unwrap(), Claim::Won);
        assert_eq!(dir.give_up().unwrap(), Claim::Lost);
        assert_eq!(dir.go().unwrap(), Go::Runner { pid: 5, start_ticks: 6 });
        let dir = RunDir::create(runs.as_fd(), RunId(2)).unwrap();
        assert_eq!(dir.give_up().unwrap(), Claim::Won);
        assert_eq!(dir.claim(&RUNNER).unwrap(), Claim::Lost);
        assert_eq!(dir.go().unwrap(), Go::GivenUp);
        let dir = RunDir::create(runs.as_fd(), RunId(3)).unwrap();
        dir.write(GO, b"5 6").unwrap();
        assert_eq!(dir.go().unwrap(), Go::Unknown);
    }

    #[test]
    fn a_runner_that_comes_late_sees_that_its_directory_goes() {
        let (_keep, runs) = runs();
        let late = RunDir::create(runs.as_fd(), RunId(1)).unwrap();
        assert!(late.is_in(runs.as_fd(), RunId(1)).unwrap());
        rustix::fs::renameat(&runs, "1", &runs, ".1").unwrap();
        assert_eq!(late.claim(&RUNNER).unwrap(), Claim::Won);
        assert!(!late.is_in(runs.as_fd(), RunId(1)).unwrap());
        // The same number anew is another directory.
        RunDir::create(runs.as_fd(), RunId(1)).unwrap();
        assert!(!late.is_in(runs.as_fd(), RunId(1)).unwrap());
        assert_eq!(existing(runs.as_fd()).unwrap(), [RunId(1)]);
        clear(runs.as_fd(), RunId(1)).unwrap();
        clear(runs.as_fd(), RunId(1)).unwrap();
        assert_eq!(existing(runs.as_fd()).unwrap(), []);
    }
}
