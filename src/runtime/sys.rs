//! The few system calls that no safe wrapper serves: the only file that holds `unsafe`.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;

use super::user::Ids;

/// Which of the child's steps failed: carried in the errno that std hands from the child to the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Drop,
    Chdir,
    Exec,
}

/// Above every errno of the kernel (4095 at most).
const STEP: i32 = 1 << 16;

/// Sets every signal to its default action: a parent's `nohup` must not reach a job.
#[expect(unsafe_code, reason = "sigaction has no safe wrapper; SIG_DFL runs no code of ours")]
pub(super) fn default_signals() {
    for number in 1..=libc::SIGRTMAX() {
        // SIGPIPE stays as Rust set it: std gives children the default.
        if number != libc::SIGPIPE {
            // SAFETY: SIG_DFL installs no handler. KILL, STOP and libc's own numbers are refused, which changes nothing.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
    }
}

/// Marks every descriptor from 3 on as not to be inherited by a command, whoever left it open.
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
pub(super) fn keep_from_children() {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: only sets a flag; no descriptor is closed, so none that somebody owns becomes invalid.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Before Linux 5.11: one by one, as far as descriptors go here.
    let last = nix::unistd::sysconf(nix::unistd::SysconfVar::OPEN_MAX).ok().flatten().unwrap_or(1024);
    for number in 3..libc::c_int::try_from(last.min(65_536)).unwrap_or(1024) {
        // SAFETY: only sets a flag; a number that is not open is refused, which changes nothing.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Ends this process at once, without the ways out that libc and Rust have prepared.
#[expect(unsafe_code, reason = "_exit has no safe wrapper")]
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: no thread, no buffer and no handler of this process is left that would need them.
    unsafe { libc::_exit(code) }
}

/// The two sides of [`fork_sibling`].
#[derive(Debug)]
pub(super) enum Forked {
    Child,
    Parent(u32),
}

/// Forks a process that becomes the child of this one's parent. The caller must be single-threaded.
#[expect(unsafe_code, reason = "clone with CLONE_PARENT has no wrapper at all")]
pub(super) fn fork_sibling() -> io::Result<Forked> {
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let zero: libc::c_long = 0;
    // SAFETY: without CLONE_VM this is fork: the child has its own copy of the memory and goes on on a copy of this
    // stack. There is one thread, so no lock is held by a thread that does not exist in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, zero, zero, zero, zero) };
    match u32::try_from(pid) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) => Ok(Forked::Parent(pid)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Makes the child of `command` another user that enters `dir`, or `/` where `fallback` says so and it cannot.
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec")]
pub(super) fn become_user(
    command: &mut Command,
    ids: &Ids,
    dir: CString,
    fallback: Option<&'static core::ffi::CStr>,
) {
    let ids = ids.clone();
    let enter = move || {
        let failed =
            |step: Step, errno: Errno| io::Error::from_raw_os_error(STEP * (step as i32 + 1) + errno as i32);
        // What the runner blocks, std hands down.
        SigSet::empty().thread_set_mask().map_err(|errno| failed(Step::Drop, errno))?;
        nix::unistd::setgroups(&ids.groups)
            .and_then(|()| nix::unistd::setresgid(ids.gid, ids.gid, ids.gid))
            .and_then(|()| nix::unistd::setresuid(ids.uid, ids.uid, ids.uid))
            .map_err(|errno| failed(Step::Drop, errno))?;
        nix::unistd::chdir(dir.as_c_str())
            .or_else(|errno| fallback.map_or(Err(errno), nix::unistd::chdir))
            .map_err(|errno| failed(Step::Chdir, errno))
    };
    // SAFETY: the runner has one thread, and the closure only makes system calls; it allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// Takes the step out of an error of `Command::spawn`.
pub(super) fn failed_step(error: &io::Error) -> (Step, Option<Errno>) {
    let code = error.raw_os_error().unwrap_or(0);
    let step = match code / STEP {
        0 => Step::Exec,
        1 => Step::Drop,
        _ => Step::Chdir,
    };
    (step, error.raw_os_error().map(|code| Errno::from_raw(code % STEP)))
}

/// Whether the kernel says that the wall clock is synchronised: adjtimex(2), which changes nothing when asked so. Here
/// because no safe wrapper serves it.
#[expect(unsafe_code, reason = "adjtimex has no safe wrapper")]
#[must_use]
pub fn clock_is_synchronised() -> bool {
    // SAFETY: timex is plain integers, for which zero is a value; modes = 0 only reads.
    let mut timex: libc::timex = unsafe { core::mem::zeroed() };
    // SAFETY: the pointer is to a timex that outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    state >= 0 && state != libc::TIME_ERROR
}

/// Gives free pages of the heap back to the system: reading a thousand definitions takes several times what keeping them
/// does. Here because no safe wrapper serves it; nothing on a libc without malloc_trim(3).
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "malloc_trim has no safe wrapper"))]
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
