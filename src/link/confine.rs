//! What a link process gives up before the first byte from the network: its user, its groups, and every way to more.
//!
//! Sources: `setresuid(2)`, `prctl(2)`, `getrlimit(2)`.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::unistd::{Gid, Uid, getppid, setgroups, setresgid, setresuid};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Descriptors at once: a socket, the agent, some files in memory, and a moment's look into /proc.
const DESCRIPTORS: rlim_t = 64;

/// Memory for data, stacks among it, in bytes: idle it has some 10 MiB of addresses. Whoever floods it with what the
/// server lets pass ends this process and no other.
const DATA_BYTES: rlim_t = 96 * 1024 * 1024;

/// Gives it up. `become_user`: the uid and gid to be from now on.
pub(super) fn confine(become_user: Option<(u32, u32)>) -> io::Result<()> {
    let parent = getppid();
    // What protects the agent when memory runs out does not protect what can be started again.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "0") {
        log::debug!("write /proc/self/oom_score_adj: {error}");
    }
    if let Some((uid, gid)) = become_user {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    prctl::set_no_new_privs()?;
    // No debugger of the same user, and no core, with the secrets in it.
    prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_DATA, DATA_BYTES, DATA_BYTES)?;
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS)?;
    // A change of user forgets it, so it comes last; and the agent may be gone already.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != parent {
        return Err(io::Error::other("the agent is gone"));
    }
    Ok(())
}
