//! HOW a Run runs: its directory, its runner, its tree of processes, its output; and how all that is found again.
//!
//! Owns the directory of runs and every process below it. Never decides whether anything runs, never touches the
//! journal, never reads a definition: an agent hands over a [`RunSpec`] and is told a [`RunResult`].
//!
//! ```text
//!   agent --spec--> runs/17/ --+                      +--> command and its tree (session of the runner)
//!     |                        v                      |
//!     +--run id--> nursery --fork--> runner 17 --go---+
//!     |                                 | output, timeout, TERM CONT grace KILL, reap
//!     +<---------- pidfd is ready ------+--result--> runs/17/
//! ```
//! [`Runtime::start`] answers when the runner exists; the agent polls [`Live`]'s pidfd, then asks
//! [`Runtime::collect`]; when the record is durable, [`Runtime::clear`]. After a restart [`Runtime::existing`] and
//! [`Runtime::inspect`] tell what became of each Run. The runner depends on nobody: an agent that is killed, replaced
//! or absent for days finds the result where it was left.
//!
//! The seam for a second JobRuntime (a container, say) is this set of calls: `start inspect collect stop clear existing
//! abandon`, and `tail drop_output` for whoever follows a Run. In goes a [`RunSpec`], out come [`Found`] and [`Tail`].
//! Processes, pidfds, control groups and `/proc` do not leak beyond [`Live`], which need only be something to poll. A
//! second one would have to start what outlives the agent, decide by something exclusive whether it ever started, leave
//! a [`RunResult`] where a later agent finds it, and end a whole tree. Until there is one, there is no trait.
//!
//! Sources: `pidfd_open(2)`, `prctl(2)`, `setsid(2)`, `proc(5)`, `vfork(2)`, `signalfd(2)`; cronie's
//! `do_command.c`; s6-supervise.

mod adopt;
mod cgroup;
mod child;
mod dir;
mod env;
mod error;
mod launch;
mod limit;
mod live;
mod main;
mod nursery;
mod oom;
mod output;
mod proc;
mod result;
mod runner;
mod spec;
mod subtree;
mod supervise;
mod sys;
mod tail;
mod tree;
mod user;

pub use adopt::{Found, Since};
pub use error::RuntimeError;
pub use launch::Launch;
pub use live::{Live, Runtime};
pub use main::runner_main;
pub use result::{End, How, RunResult};
pub use spec::{EnvFile, RunSpec};
pub use sys::{clock_is_synchronised, release_free_memory};
pub use tail::{Part, Tail};

use serde::{Serialize, de::DeserializeOwned};

/// Nobody else reads what this room writes.
const UMASK: rustix::fs::Mode = rustix::fs::Mode::RWXG.union(rustix::fs::Mode::RWXO);

/// A version byte and postcard. What later builds add goes behind what is there.
fn stamp<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    // Plain data into a growing vector: postcard has no reason to refuse it.
    postcard::to_extend(value, vec![version]).unwrap_or_default()
}

/// What [`stamp`] wrote, if it was this version: what there always was, and what was added, if the build that wrote it
/// knew of that.
fn unstamp<T: DeserializeOwned, A: DeserializeOwned>(version: u8, bytes: &[u8]) -> Option<(T, Option<A>)> {
    let (first, rest) = bytes.split_first()?;
    if *first != version {
        return None;
    }
    let (known, rest) = postcard::take_from_bytes(rest).ok()?;
    let added = if rest.is_empty() { None } else { Some(postcard::from_bytes(rest).ok()?) };
    Some((known, added))
}
