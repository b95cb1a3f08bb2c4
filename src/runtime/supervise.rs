//! The runner's wait: reads output, keeps the time, ends the tree, reaps everything.
//!
//! ```text
//!   Running --timeout, TERM--> Ending(grace) --grace over--> Killing --+
//!      |                          ^                                    |
//!      +--command ended, others left                                   |
//!      +------------------- no child left ---------------------------->+--> done
//! ```
//! One thread, three descriptors, no wake-up without an event: SIGCHLD and SIGTERM come by signalfd, the deadline by a
//! timerfd on CLOCK_BOOTTIME. The runner is a subreaper, so "no child" means that nothing of the tree is left.
//! Sources: `signalfd(2)`, `timerfd_create(2)`, `PR_SET_CHILD_SUBREAPER(2const)`.

use core::time::Duration;
use std::collections::HashSet;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::cgroup::Group;
use super::output::Capture;
use super::proc;
use super::result::{End, How};
use super::tree::{self, Sent};

/// One read of the pipe, in bytes: as much as a pipe holds.
const CHUNK: usize = 64 * 1024;
/// What is still read after the tree is dead, in bytes: no pipe of an ordinary user holds more, and whoever got hold
/// of our end from outside cannot keep the Run by writing on.
const LAST_BYTES: usize = 2 * 1024 * 1024;
/// Between two sweeps with KILL: doubles from the first to the last.
const SWEEP: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// Looks for processes that were born while the others were stopped: each finds those of the one before.
const STOP_SWEEPS: u32 = 16;
/// Sweeps that find nothing they may signal before the Run is ended without them.
const DENIED_SWEEPS: u32 = 12;

/// What a Run's time limits are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) timeout: Option<Duration>,
    pub(super) stop_grace: Option<Duration>,
}

/// What the wait found.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) output: Capture,
    pub(super) survivors: u32,
    pub(super) group: Option<Group>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    Ending,
    Killing { next: Duration, denied: u32 },
}

/// Why the command was told to end before it did.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Timeout,
    Stop,
}

/// Gets the signals that matter by descriptor: all are blocked since [`super::runner::settle`].
pub(super) fn signals() -> io::Result<SignalFd> {
    let mut wanted = SigSet::empty();
    wanted.add(NixSignal::SIGTERM);
    wanted.add(NixSignal::SIGCHLD);
    Ok(SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Waits until nothing of the tree of `command` is left.
pub(super) fn supervise(
    command: Pid,
    bounds: Bounds,
    signals: &SignalFd,
    pipe: PipeReader,
    capture: Capture,
    group: Option<Group>,
) -> io::Result<Ended> {
    rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK)?;
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let mut this = Supervisor {
        command,
        bounds,
        timer,
        pipe: Some(pipe),
        capture,
        phase: Phase::Running,
        cause: None,
        how: None,
        survivors: 0,
        group,
        done: false,
    };
    this.arm(bounds.timeout)?;
    // Not zeroed: of a command that writes little, few of its pages are ever touched.
    let mut chunk = Vec::with_capacity(CHUNK);
    while !this.done {
        this.turn(signals, &mut chunk)?;
    }
    this.drain(&mut chunk);
    // Without a status of its own (it cannot happen: the command is our child) a KILL is assumed.
    let how = this.how.unwrap_or(How::Signaled(9));
    let end = match (this.cause, how) {
        (Some(Cause::Timeout), how) => End::TimedOut(how),
        (Some(Cause::Stop), how) => End::Stopped(how),
        (None, How::Exited(code)) => End::Exited(code),
        (None, How::Signaled(signal)) => End::Signaled(signal),
    };
    Ok(Ended { end, output: this.capture, survivors: this.survivors, group: this.group })
}

struct Supervisor {
    command: Pid,
    bounds: Bounds,
    timer: OwnedFd,
    pipe: Option<PipeReader>,
    capture: Capture,
    phase: Phase,
    cause: Option<Cause>,
    how: Option<How>,
    survivors: u32,
    group: Option<Group>,
    done: bool,
}

impl Supervisor {
    /// Waits for one round of events and answers them.
    fn turn(&mut self, signals: &SignalFd, chunk: &mut Vec<u8>) -> io::Result<()> {
        let [signalled, due, readable] = {
            let interest = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let (signals, timer) = (interest(signals.as_fd()), interest(self.timer.as_fd()));
            // A pipe that is at its end is watched no more: it would be ready for ever.
            let pipe = self.pipe.as_ref().map_or_else(|| timer.clone(), |pipe| interest(pipe.as_fd()));
            let mut fds = [signals, timer, pipe];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            fds.each_ref().map(|fd| !fd.revents().is_empty())
        };
        if readable {
            self.read(chunk);
        }
        if signalled {
            self.answer(signals)?;
        }
        if due && !self.done {
            self.deadline()?;
        }
        Ok(())
    }

    fn read(&mut self, chunk: &mut Vec<u8>) {
        let Some(pipe) = &self.pipe else { return };
        chunk.clear();
        match rustix::io::read(pipe, spare_capacity(chunk)) {
            Ok(1..) => self.capture.push(chunk),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }

    /// What the dead have left in the pipe.
    fn drain(&mut self, chunk: &mut Vec<u8>) {
        for _ in 0..LAST_BYTES / CHUNK {
            let before = self.capture.bytes();
            self.read(chunk);
            if self.capture.bytes() == before {
                return;
            }
        }
    }

    fn answer(&mut self, signals: &SignalFd) -> io::Result<()> {
        let mut stop = false;
        while let Some(info) = signals.read_signal()? {
            stop |= i32::try_from(info.ssi_signo) == Ok(NixSignal::SIGTERM as i32);
        }
        let ended_before = self.how.is_some();
        self.reap()?;
        if self.done {
            return Ok(());
        }
        match (self.phase, self.how) {
            (Phase::Running, None) if stop => self.end(Some(Cause::Stop)),
            // The command is over, others are not: they share its end.
            (Phase::Running, Some(_)) => self.end(None),
            // Those that its end brought forth have not been told yet.
            (Phase::Ending, Some(_)) if !ended_before => self.tell(),
            (Phase::Running | Phase::Ending | Phase::Killing { .. }, _) => Ok(()),
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.command => {
                    self.how = Some(How::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.command => {
                    self.how = Some(How::Signaled(u8::try_from(signal as i32).unwrap_or(u8::MAX)));
                }
                Ok(WaitStatus::StillAlive) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return self.no_child_left(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// That is the end, unless somebody put processes into the Run's group that are not below us: nobody tells of
    /// their end, so they have no grace.
    fn no_child_left(&mut self) -> io::Result<()> {
        match (&self.group, self.phase) {
            (Some(group), phase) if group.is_populated() => match phase {
                Phase::Killing { .. } => Ok(()),
                Phase::Running | Phase::Ending => self.kill(SWEEP.0, 0),
            },
            _ => {
                self.done = true;
                Ok(())
            }
        }
    }

    /// TERM and CONT to the whole tree, and KILL when the grace is over.
    fn end(&mut self, cause: Option<Cause>) -> io::Result<()> {
        self.cause = cause;
        self.phase = Phase::Ending;
        self.arm(self.bounds.stop_grace)?;
        self.tell()
    }

    /// While nothing of the tree runs, so that none is born of one that was not told yet and is missed.
    fn tell(&self) -> io::Result<()> {
        let told = || -> io::Result<()> {
            let tree = self.tree()?;
            for signal in [Signal::TERM, Signal::CONT] {
                tree.iter().for_each(|process| {
                    tree::signal(process, signal);
                });
            }
            Ok(())
        };
        let mut done = Ok(());
        let group = self.group.as_ref();
        if group.is_some_and(|group| group.frozen(|| done = told())) {
            return done;
        }
        // Without a group each is stopped by itself, until a look finds none that runs.
        let mut stopped = HashSet::new();
        for _ in 0..STOP_SWEEPS {
            let tree = self.tree()?;
            let before = stopped.len();
            for process in tree.iter().filter(|it| !it.zombie) {
                if stopped.insert((process.pid, process.start_ticks)) {
                    tree::signal(process, Signal::STOP);
                }
            }
            if stopped.len() == before {
                break;
            }
        }
        told()
    }

    fn deadline(&mut self) -> io::Result<()> {
        match self.phase {
            Phase::Running => self.end(Some(Cause::Timeout)),
            Phase::Ending => self.kill(SWEEP.0, 0),
            Phase::Killing { next, denied } => {
                self.kill(next, denied)?;
                self.reap()
            }
        }
    }

    /// One sweep with KILL. New ones may be born while it goes on, so it is repeated until no child is left.
    fn kill(&mut self, wait: Duration, denied: u32) -> io::Result<()> {
        self.group.iter().for_each(Group::kill);
        let tree = self.tree()?;
        let alive: Vec<_> = tree.iter().filter(|it| !it.zombie).collect();
        let sent: Vec<Sent> = alive.iter().map(|process| tree::signal(process, Signal::KILL)).collect();
        let nothing = !sent.is_empty() && sent.iter().all(|sent| *sent == Sent::Denied);
        let denied = if nothing { denied + 1 } else { 0 };
        if denied >= DENIED_SWEEPS && self.how.is_some() {
            self.survivors = u32::try_from(sent.len()).unwrap_or(u32::MAX);
            self.done = true;
            return Ok(());
        }
        self.phase = Phase::Killing { next: (wait * 2).min(SWEEP.1), denied };
        self.arm(Some(wait))
    }

    fn tree(&self) -> io::Result<Vec<proc::Process>> {
        let all = proc::all(Path::new(proc::ROOT))?;
        let mut tree = tree::descendants(&all, std::process::id());
        let pids = self.group.as_ref().map(Group::pids).unwrap_or_default();
        let below: HashSet<u32> = tree.iter().map(|it| it.pid).collect();
        tree.extend(all.iter().filter(|it| pids.contains(&it.pid) && !below.contains(&it.pid)));
        Ok(tree)
    }

    /// Sets the one deadline; `None`: there is none.
    fn arm(&self, after: Option<Duration>) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = match after {
            None => zero,
            // Zero would disarm it.
            Some(after) => Timespec::try_from(after.max(Duration::from_nanos(1))).unwrap_or(zero),
        };
        let at = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &at)?;
        Ok(())
    }
}
