//! The runner: one small single-threaded process per Run, leader of its own session, which starts the command,
//! outlives the agent if it must, and leaves `result` behind. It needs the directory of runs and a number, no more.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeValLike;
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::Group;
use super::child::NotStarted;
use super::child::Prepared;
use super::dir::{Claim, RunDir, SPEC};
use super::error::{Doing, RuntimeError};
use super::limit::Means;
use super::output::Capture;
use super::result::{End, RunResult};
use super::spec::Order;
use super::supervise::{self, Bounds, Ended};
use super::{proc, sys, tail, tree};
use crate::job::{Output, RunId, Usage, WallTime};

/// What every process of this room does once, before it starts or forks another.
pub(super) fn settle() {
    // First: a stop that comes early waits until somebody can answer it. It cannot fail with these arguments.
    SigSet::all().thread_block().unwrap_or_default();
    sys::default_signals();
    sys::keep_from_children();
    rustix::process::umask(super::UMASK);
}

/// Executes one Run from its directory, and returns when nothing of it is left.
pub(super) fn run(runs: BorrowedFd<'_>, run: RunId) -> Result<(), RuntimeError> {
    let dir = RunDir::open(runs, run).doing(|| "open the run directory".to_owned())?;
    let bytes = dir.read(SPEC).doing(|| "read spec".to_owned())?;
    let order = Order::decode(&bytes)
        .ok_or(io::ErrorKind::InvalidData)
        .doing(|| "read spec: not of this version, or damaged".to_owned())?;
    session().doing(|| "begin a session".to_owned())?;
    let signals = supervise::signals().doing(|| "make a signalfd".to_owned())?;
    let spec = &order.spec;
    let prepared = Prepared::of(spec);
    let own = proc::own().doing(|| "find own start time".to_owned())?;
    // From here on the command counts as started, if this is won and the directory still has its name.
    let claim = dir.claim(&own).doing(|| "create go".to_owned())?;
    if claim == Claim::Lost || !dir.is_in(runs, run).doing(|| "look for the run directory".to_owned())? {
        return Ok(());
    }
    let started = wall_clock();
    let ended = prepared.and_then(|prepared| {
        let (pipe, output) = io::pipe().map_err(|error| error.to_string())?;
        let Begun { command, group, not_applied } = begin(&prepared, &order, &output)?;
        drop(output);
        let bounds = Bounds { timeout: spec.timeout, stop_grace: spec.stop_grace };
        let tail = dir.again().ok().filter(|_| order.live > 0).map(|dir| tail::Writer::new(dir, order.live));
        let capture = Capture::new(spec.output).with_tail(tail);
        drop_stderr();
        // A supervisor that cannot wait is no supervisor: it ends without a result, and the agent ends the tree.
        Ok((supervise::supervise(command, bounds, &signals, pipe, capture, group), not_applied))
    });
    let mut result = RunResult {
        started,
        ended: started,
        end: End::Exited(0),
        output: Output::default(),
        usage: usage(),
        survivors: 0,
        not_applied: Vec::new(),
        detail: None,
    };
    match ended {
        Ok((ended, not_applied)) => {
            let Ended { end, output, survivors, group } =
                ended.doing(|| "wait for the command".to_owned())?;
            result = RunResult { end, output: output.finish(), survivors, not_applied, ..result };
            result.usage = usage();
            if let Some(group) = group {
                result.usage = group.usage(result.usage);
                result.detail = group.reached(&spec.limits);
                group.remove();
            }
        }
        Err(detail) => result.end = End::NotStarted { detail },
    }
    result.ended = wall_clock();
    leave(&dir, result).doing(|| "write result".to_owned())
}

/// A command that runs.
struct Begun {
    command: nix::unistd::Pid,
    group: Option<Group>,
    not_applied: Vec<String>,
}

/// Starts the command in its control group with its limits; without a group where none can be had.
fn begin(prepared: &Prepared, order: &Order, output: &io::PipeWriter) -> Result<Begun, String> {
    let limits = &order.spec.limits;
    let group = order.group.as_ref().and_then(|path| match Group::create(path.as_ref()) {
        Ok(group) => Some(group),
        Err(error) => {
            complain_of(order, &format!("make {path}: {error}"));
            None
        }
    });
    let means = Means::of(limits, &prepared.identity, group);
    match start(prepared, output, means) {
        Err(NotStarted::NoEntry(errno)) => {
            complain_of(order, &format!("enter its control group: {errno}"));
            start(prepared, output, Means::of(limits, &prepared.identity, None))
                .map_err(NotStarted::into_words)
        }
        started => started.map_err(NotStarted::into_words),
    }
}

fn start(prepared: &Prepared, output: &io::PipeWriter, means: Means) -> Result<Begun, NotStarted> {
    let started = match means.refused() {
        Some(why) => Err(NotStarted::Failed(why)),
        None => prepared.start(output, &means),
    };
    let Means { group, mut not_applied, .. } = means;
    match started {
        Ok((command, failed)) => {
            not_applied.extend(failed);
            Ok(Begun { command, group, not_applied })
        }
        Err(not_started) => {
            group.iter().for_each(Group::remove);
            Err(not_started)
        }
    }
}

fn complain_of(order: &Order, why: &str) {
    let text = format!("leafcrond runner {}: {why}\n", order.spec.run);
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

fn session() -> io::Result<()> {
    rustix::process::setsid()?;
    tree::adopt_orphans()?;
    let name = std::ffi::CString::new(proc::RUNNER_NAME)?;
    Ok(nix::sys::prctl::set_name(&name)?)
}

/// The agent's stderr is not held while the command runs: it may be a pipe whose reader waits for its end.
fn drop_stderr() {
    // Standard input is /dev/null, for reading and writing alike. Should it fail, stderr stays: no harm.
    nix::unistd::dup2_stderr(io::stdin().as_fd()).unwrap_or_default();
}

/// Where there is no room, the output gives way: how it ended matters more.
fn leave(dir: &RunDir, mut result: RunResult) -> io::Result<()> {
    let first = dir.finish(&result.encode()).or_else(|_| {
        dir.drop_output();
        dir.finish(&result.encode())
    });
    first.or_else(|_| {
        let lost = std::mem::take(&mut result.output);
        result.output = Output { bytes: lost.bytes, dropped: lost.bytes, ..Output::default() };
        // Its place is enough for a result without output; if it is gone already, so much the better.
        dir.remove(SPEC).unwrap_or_default();
        dir.finish(&result.encode())
    })
}

/// CLOCK_REALTIME: a runner is an edge, no virtual clock reaches it.
fn wall_clock() -> WallTime {
    let now = clock_gettime(ClockId::Realtime);
    WallTime::from_millis(now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000))
}

/// What all processes used that were waited for, by the runner or by one that it waited for.
fn usage() -> Usage {
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Usage::default() };
    let micros = used.user_time().num_microseconds().saturating_add(used.system_time().num_microseconds());
    let cpu_ms = u64::try_from(micros).unwrap_or(0) / 1_000;
    Usage { cpu_ms, max_rss_kib: u64::try_from(used.max_rss()).unwrap_or(0) }
}

/// The end of a runner. Nothing is left to be flushed or torn down, and tearing down costs more than all the rest.
pub(super) fn finish(run: RunId, done: &Result<(), RuntimeError>) -> ! {
    if let Err(error) = done {
        complain(&run.to_string(), error);
    }
    sys::exit(i32::from(done.is_err()))
}

/// Says on stderr what went wrong before a command was started.
pub(super) fn complain(who: &str, error: &RuntimeError) {
    let text = format!("leafcrond runner {who}: {error}: {}\n", super::error::reason_of(error.io()));
    // Nobody is left to be told when stderr fails.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}
