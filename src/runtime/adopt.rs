//! What became of a Run: after its runner's end, and after the agent's.
//!
//! | `result` | `go` | runner | found |
//! |---|---|---|---|
//! | there | – | – | `Ended` |
//! | – | a runner's | alive | `Running` |
//! | – | a runner's | dead | its tree is killed, then `Lost` |
//! | – | the agent's | – | `NeverStarted` |
//! | – | – | known and alive | `Running`: it is about to create `go` |
//! | – | – | otherwise | the agent creates `go`: `NeverStarted`, or, if it comes too late, as above |
//!
//! Without a directory nothing was started, unless the journal knows a runner. In a later boot nothing is alive.

use core::time::Duration;
use std::collections::HashSet;
use std::path::Path;

use rustix::process::Signal;

use super::cgroup::Group;
use super::dir::{self, Claim, Go, RunDir, SPEC};
use super::error::{Doing, RuntimeError};
use super::live::{Live, Runtime};
use super::proc::{self, Process};
use super::result::RunResult;
use super::spec::Order;
use super::tree::{self, Dead};
use crate::job::{RunId, Started};

/// Sweeps over what a dead runner left, at most: KILL works at once but for processes that hang in the kernel, and
/// an agent cannot wait for those.
const SWEEPS: u32 = 50;
/// Between two of them, where one found something.
const PAUSE: Duration = Duration::from_millis(5);

/// What became of a Run.
#[derive(Debug)]
pub enum Found {
    /// Its runner lives.
    Running(Live),
    /// It is over, and this is how it ended.
    Ended(RunResult),
    /// Its command was never started, and never will be.
    NeverStarted,
    /// Its runner died without a result. Nothing of its tree is left.
    Lost,
}

/// When the intent of a Run was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// In this boot.
    ThisBoot,
    /// In an earlier one: no process of it can be alive.
    EarlierBoot,
}

impl Runtime {
    /// Judges a Run by its directory and, where the journal knows it, its runner.
    ///
    /// # Errors
    /// A directory that cannot be read: ask again later, trust nothing meanwhile.
    pub fn inspect(&self, run: RunId, started: Option<Started>, since: Since) -> Result<Found, RuntimeError> {
        let known = started.filter(|_| since == Since::ThisBoot);
        let noted = || known.and_then(|it| Live::find(run, it.pid, it.start_ticks)).filter(alive);
        let what = || format!("inspect run {run}");
        let Some(dir) = RunDir::find(self.runs(), run).doing(what)? else {
            return Ok(match (started, noted()) {
                (None, _) => Found::NeverStarted,
                (Some(_), Some(live)) => Found::Running(live),
                (Some(it), None) => lost(since, Some((it.pid, it.start_ticks)), None),
            });
        };
        if let Some(result) = result(&dir, run).doing(what)? {
            return Ok(Found::Ended(result));
        }
        let mut go = dir.go().doing(what)?;
        if go == Go::Open {
            if let Some(live) = noted() {
                return Ok(Found::Running(live));
            }
            if dir.give_up().doing(what)? == Claim::Won {
                return Ok(Found::NeverStarted);
            }
            go = dir.go().doing(what)?;
        }
        let runner = match go {
            Go::GivenUp | Go::Open => return Ok(Found::NeverStarted),
            Go::Runner { pid, start_ticks } => Some((pid, start_ticks)),
            Go::Unknown => known.map(|it| (it.pid, it.start_ticks)),
        };
        let living = runner.filter(|_| since == Since::ThisBoot);
        if let Some(live) = living.and_then(|(pid, ticks)| Live::find(run, pid, ticks)).filter(alive) {
            return Ok(Found::Running(live));
        }
        // It may have written its result after the first look and before its end.
        if let Some(result) = result(&dir, run).doing(what)? {
            return Ok(Found::Ended(result));
        }
        Ok(lost(since, runner, Some(&dir)))
    }

    /// Ends what a dead agent left of a Run that nobody remembers: its tree, its runner, its directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn abandon(&self, run: RunId) -> Result<(), RuntimeError> {
        let what = || format!("abandon run {run}");
        let Some(dir) = RunDir::find(self.runs(), run).doing(what)? else { return Ok(()) };
        // Won: a runner that is still on its way will not start anything.
        if dir.give_up().doing(what)? == Claim::Lost
            && let Go::Runner { pid, start_ticks } = dir.go().doing(what)?
        {
            let root = Path::new(proc::ROOT);
            if let Some(runner) = proc::process(root, pid).filter(|it| it.start_ticks == start_ticks) {
                // Last of all: as long as it lives, whatever is born meanwhile stays below it.
                sweep(root, |all| tree::descendants(all, pid));
                kill(&[runner]);
            }
            end_tree(Some((pid, start_ticks)), Some(&dir));
        }
        dir::clear(self.runs(), run).doing(what)
    }
}

fn lost(since: Since, runner: Option<(u32, u64)>, dir: Option<&RunDir>) -> Found {
    if since == Since::ThisBoot {
        end_tree(runner, dir);
    }
    Found::Lost
}

/// Kills what is left of a dead runner's tree, until nothing is.
fn end_tree(runner: Option<(u32, u64)>, dir: Option<&RunDir>) {
    let order = dir.and_then(|dir| dir.read(SPEC).ok()).and_then(|bytes| Order::decode(&bytes));
    let group = order.as_ref().and_then(|order| Group::find(Path::new(order.group.as_ref()?)));
    let marks: Vec<String> = order
        .iter()
        .flat_map(|order| super::env::facts(&order.spec))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut dead = Dead { runner, marks: &marks, heir: std::process::id(), sessions: HashSet::new() };
    let root = Path::new(proc::ROOT);
    sweep(root, |all| {
        // All in it at once; the others, or all on a kernel that cannot, one by one.
        group.iter().for_each(Group::kill);
        let mut left = dead.left(root, all);
        let pids = group.as_ref().map(Group::pids).unwrap_or_default();
        left.extend(all.iter().filter(|it| pids.contains(&it.pid)).copied().collect::<Vec<_>>());
        // What they bear while they are killed is in their sessions, if nowhere else.
        dead.sessions.extend(left.iter().map(|it| it.session));
        left
    });
    group.iter().for_each(Group::remove);
}

/// Kills what `find` finds, until it finds nothing that lives.
fn sweep(root: &Path, mut find: impl FnMut(&[Process]) -> Vec<Process>) {
    for _ in 0..SWEEPS {
        let left = find(&proc::all(root).unwrap_or_default());
        kill(&left);
        if left.iter().all(|it| it.zombie) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    log::error!("of a run that is over, processes are left that do not end by KILL");
}

fn kill(processes: &[Process]) {
    for process in processes {
        tree::signal(process, Signal::KILL);
    }
}

/// A zombie's pidfd opens as well, but it will write no result.
fn alive(live: &Live) -> bool {
    proc::process(Path::new(proc::ROOT), live.started().pid).is_some_and(|it| !it.zombie)
}

fn result(dir: &RunDir, run: RunId) -> std::io::Result<Option<RunResult>> {
    let Some(bytes) = dir.result()? else { return Ok(None) };
    let result = RunResult::decode(&bytes);
    if result.is_none() {
        log::error!("the result of run {run} is damaged, or of another version: it counts as lost");
    }
    Ok(result)
}
