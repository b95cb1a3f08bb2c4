//! The few system calls that no safe wrapper serves: the only file that holds `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::ForkResult;

use crate::job::IoPriority;

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

/// The two sides of a fork.
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

/// Forks. The caller must be single-threaded.
#[expect(unsafe_code, reason = "fork has no safe wrapper")]
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: there is one thread, so no lock is held by a thread that does not exist in the child.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Forked::Child),
        ForkResult::Parent { child } => Ok(Forked::Parent(child.as_raw().unsigned_abs())),
    }
}

/// Forks a child that is born in the control group whose directory this is: Linux 5.7. The caller must be
/// single-threaded.
#[expect(unsafe_code, reason = "clone3 has no wrapper at all")]
pub(super) fn fork_into(group: BorrowedFd<'_>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup.
    let signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let group = u64::from(group.as_raw_fd().unsigned_abs());
    let arguments: [u64; 11] = [CLONE_INTO_CGROUP, 0, 0, 0, signal, 0, 0, 0, 0, 0, group];
    // SAFETY: the kernel reads the array, which outlives the call. Without CLONE_VM and a stack this is fork, and there
    // is one thread, so no lock is held by a thread that does not exist in the child.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), core::mem::size_of_val(&arguments)) };
    match u32::try_from(pid) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) => Ok(Forked::Parent(pid)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Gives SIGPIPE its default action, which Rust had taken from it.
#[expect(unsafe_code, reason = "sigaction has no safe wrapper; SIG_DFL runs no code of ours")]
pub(super) fn default_pipe_signal() {
    // SAFETY: SIG_DFL installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Sets the I/O class and level of this process: ioprio_set(2).
#[expect(unsafe_code, reason = "ioprio_set has no wrapper at all")]
pub(super) fn set_io_priority(priority: IoPriority) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_long = 1;
    let value: libc::c_long = match priority {
        IoPriority::Idle => 3 << 13,
        IoPriority::BestEffort(level) => 2 << 13 | libc::c_long::from(level),
    };
    let zero: libc::c_long = 0;
    // SAFETY: three integers; it touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, zero, value) }).map(drop)
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
