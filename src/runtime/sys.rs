//! The few system calls that no safe wrapper serves: the only file that holds `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

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

impl Forked {
    /// What a system call returned; `None`: an error.
    fn of(pid: Option<u32>) -> io::Result<Self> {
        match pid {
            Some(0) => Ok(Self::Child),
            Some(pid) => Ok(Self::Parent(pid)),
            None => Err(io::Error::last_os_error()),
        }
    }
}

/// Forks a process that becomes the child of this one's parent. The caller must be single-threaded.
#[expect(unsafe_code, reason = "clone with CLONE_PARENT has no wrapper at all")]
pub(super) fn fork_sibling() -> io::Result<Forked> {
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let zero: libc::c_long = 0;
    // SAFETY: without CLONE_VM this is fork: the child has its own copy of the memory and goes on on a copy of this
    // stack. There is one thread, so no lock is held by a thread that does not exist in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, zero, zero, zero, zero) };
    Forked::of(u32::try_from(pid).ok())
}

/// Starts a child for `child`, which executes a program or returns to end; born in the control group whose directory is
/// given, where one is. The caller must be single-threaded.
///
/// Where this kernel and this architecture know how, the child shares the memory of this process, which stands still until
/// the child is done with it: nothing of a large process is copied for what is thrown away at once. What the child does to
/// memory stays done: it may allocate, and nobody else is there meanwhile. Else it is a fork.
///
/// # Errors
/// Those of `clone3(2)` where a group is given, so that whoever calls may do without it; else of `fork(2)`.
pub(super) fn spawn<F: FnMut()>(group: Option<BorrowedFd<'_>>, mut child: F) -> io::Result<u32> {
    match (vfork(group, &mut child), group) {
        (Ok(pid), _) => Ok(pid),
        (Err(error), Some(_)) if !is_unknown(&error) => Err(error),
        // A kernel before 5.3, a filter that does not know it, an architecture that nobody has written it for.
        (Err(_), _) => match fork_into(group)? {
            Forked::Child => {
                child();
                exit(127)
            }
            Forked::Parent(pid) => Ok(pid),
        },
    }
}

fn is_unknown(error: &io::Error) -> bool {
    [libc::ENOSYS, libc::EPERM].iter().any(|code| error.raw_os_error() == Some(*code))
}

/// The arguments of clone3(2): `struct clone_args`, whose fields are flags, pidfd, child_tid, parent_tid, exit_signal, stack,
/// stack_size, tls, set_tid, set_tid_size, cgroup. Without a group the fields of Linux 5.3, with one those of 5.7.
struct CloneArguments {
    fields: [u64; 11],
    bytes: usize,
}

impl CloneArguments {
    fn new(flags: libc::c_int, group: Option<BorrowedFd<'_>>) -> Self {
        const INTO_CGROUP: u64 = 1 << 33;
        let mut flags = u64::from(flags.unsigned_abs());
        let signal = u64::from(libc::SIGCHLD.unsigned_abs());
        let (mut count, mut group_field) = (8, 0);
        if let Some(group) = group {
            flags |= INTO_CGROUP;
            (count, group_field) = (11, u64::from(group.as_raw_fd().unsigned_abs()));
        }
        let fields = [flags, 0, 0, 0, signal, 0, 0, 0, 0, 0, group_field];
        Self { fields, bytes: count * core::mem::size_of::<u64>() }
    }
}

/// A child with its own copy of the memory.
#[expect(unsafe_code, reason = "fork has no safe wrapper, and clone3 none at all")]
fn fork_into(group: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let Some(group) = group else {
        // SAFETY: there is one thread, so no lock is held by a thread that does not exist in the child.
        return Forked::of(u32::try_from(unsafe { libc::fork() }).ok());
    };
    let arguments = CloneArguments::new(0, Some(group));
    // SAFETY: the kernel reads the array, which outlives the call. Without CLONE_VM and a stack this is fork, as above.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, arguments.fields.as_ptr(), arguments.bytes) };
    Forked::of(u32::try_from(pid).ok())
}

/// A child on this process's memory and stack, while this process waits: vfork(2), for a child that may call functions. It
/// calls `child` further down the stack, and never comes back to the frame that is this process's.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
#[expect(unsafe_code, reason = "clone3 has no wrapper at all")]
fn vfork<F: FnMut()>(group: Option<BorrowedFd<'_>>, child: &mut F) -> io::Result<u32> {
    extern "C" fn enter<F: FnMut()>(child: *mut F) -> ! {
        // SAFETY: made of a reference by `vfork`, whose frame stands, and whose process stands still.
        let child = unsafe { &mut *child };
        child();
        exit(127)
    }
    let arguments = CloneArguments::new(libc::CLONE_VM | libc::CLONE_VFORK, group);
    let (enter, child): (extern "C" fn(*mut F) -> !, *mut F) = (enter::<F>, child);
    let done: libc::c_long;
    // SAFETY: as vfork. The kernel reads the array, which outlives the call, and lets one process at a time run on this
    // memory. The child leaves this block by a call that does not return, with the stack aligned for one: it writes below
    // this frame only, and what is below is nobody's, since a block without `nostack` has no red zone there. Registers are
    // each process's own; the kernel changes those that are said to be changed.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r8",
            "call r9",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => done,
            in("rdi") arguments.fields.as_ptr(),
            in("rsi") arguments.bytes,
            in("r8") child,
            in("r9") enter,
            out("rcx") _,
            out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x0, x2",
            "blr x3",
            "brk #0",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") arguments.fields.as_ptr() => done,
            in("x1") arguments.bytes,
            in("x2") child,
            in("x3") enter,
        );
    }
    // SAFETY: as above. r7 holds the frame in Thumb code: it is put back; two words keep the stack aligned.
    #[cfg(target_arch = "arm")]
    unsafe {
        core::arch::asm!(
            "push {{r4, r7}}",
            "mov r7, r12",
            "svc #0",
            "cmp r0, #0",
            "bne 2f",
            "mov r0, r2",
            "blx r3",
            "udf #0",
            "2:",
            "pop {{r4, r7}}",
            inlateout("r0") arguments.fields.as_ptr() => done,
            in("r1") arguments.bytes,
            in("r2") child,
            in("r3") enter,
            in("r12") libc::SYS_clone3,
        );
    }
    u32::try_from(done).map_err(|_| {
        let code = i32::try_from(done.unsigned_abs()).unwrap_or(libc::EINVAL);
        io::Error::from_raw_os_error(code)
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm")))]
fn vfork<F: FnMut()>(_: Option<BorrowedFd<'_>>, _: &mut F) -> io::Result<u32> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
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

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;

    fn status_of(pid: u32) -> WaitStatus {
        waitpid(Pid::from_raw(pid.cast_signed()), None).unwrap()
    }

    /// Deep enough to write over whatever it could spoil.
    fn fill(depth: u32) -> u64 {
        let many = std::hint::black_box([u64::from(depth); 64]);
        let below = if depth == 0 { 0 } else { fill(depth - 1) };
        many.iter().sum::<u64>() + below
    }

    #[test]
    fn a_child_on_the_parents_stack_leaves_the_parents_frames_as_they_were() {
        for round in 0..100_u64 {
            let before = std::hint::black_box([round; 32]);
            let mut told = 0;
            let (mut call, pid) = (0, vfork(None, &mut || told = fill(100)));
            call += 1;
            match pid {
                Ok(pid) => {
                    assert_eq!(status_of(pid), WaitStatus::Exited(Pid::from_raw(pid.cast_signed()), 127));
                    assert_eq!(told, 64 * (0..=100).sum::<u64>(), "the memory is one");
                }
                // An emulator of user processes, a filter: that is what fork is for.
                Err(error) => {
                    assert!(is_unknown(&error) || error.raw_os_error() == Some(libc::EINVAL), "{error}")
                }
            }
            assert_eq!((call, before), (1, [round; 32]), "it comes back once");
        }
    }

    #[test]
    fn a_child_ends_as_it_says_and_knows_what_the_parent_knew() {
        let words = String::from("words");
        let child = || exit(if words == "words" { 7 } else { 8 });
        let pid = spawn(None, child).unwrap();
        assert_eq!(status_of(pid), WaitStatus::Exited(Pid::from_raw(pid.cast_signed()), 7));
    }

    #[test]
    fn what_is_no_control_group_is_an_error_and_starts_nothing() {
        let dir = std::fs::File::open("/").unwrap();
        let group = std::os::fd::AsFd::as_fd(&dir);
        assert!(spawn(Some(group), || exit(0)).is_err());
    }
}
