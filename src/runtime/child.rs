//! Starting the command itself: the only process of a Run that changes its user. Sources: `posix_spawn(3)`,
//! `execvp(3)`, `credentials(7)`.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, chdir};
use rustix::fs::Mode;

use super::env::{PATH, SHELL};
use super::error::{reason, reason_of};
use super::oom;
use super::spec::RunSpec;
use super::sys::{self, Step};
use super::user::{Identity, Ids};
use crate::job::Action;

/// Where a user's home cannot be entered.
const FALLBACK: &CStr = c"/";

/// A command that is ready to start: everything that can be found out before `go` is found out.
#[derive(Debug)]
pub(super) struct Prepared {
    identity: Identity,
    env: BTreeMap<String, String>,
    argv: Vec<String>,
    /// Where, and whether `/` will do instead.
    dir: CString,
    fallback: Option<&'static CStr>,
    umask: Mode,
}

impl Prepared {
    pub(super) fn of(spec: &RunSpec) -> Result<Self, String> {
        let identity = Identity::of(spec.user.as_deref())?;
        let env = super::env::of(spec, &identity)?;
        let argv = match &spec.action {
            Action::Shell(text) => vec![SHELL.to_owned(), "-c".to_owned(), text.clone()],
            Action::Argv(argv) => argv.clone(),
        };
        let dir = spec.working_dir.as_deref().unwrap_or(&identity.home);
        let dir = CString::new(dir).map_err(|_| "working_dir: holds NUL".to_owned())?;
        let fallback = spec.working_dir.is_none().then_some(FALLBACK);
        let umask = Mode::from_bits_truncate(spec.umask.into());
        Ok(Self { identity, env, argv, dir, fallback, umask })
    }

    /// Starts the command. Afterwards this process has its own directory and umask again.
    pub(super) fn start(&self, output: &PipeWriter) -> Result<Pid, String> {
        let started = oom::unprotected(|| match &self.identity.drop {
            None => self.as_self(output),
            Some(ids) => self.as_user(ids, output),
        });
        rustix::process::umask(super::UMASK);
        // A runner must not hold a file system busy. `/` can be entered.
        chdir(FALLBACK).map_err(reason)?;
        started
    }

    /// At the cost of a vfork.
    fn as_self(&self, output: &PipeWriter) -> Result<Pid, String> {
        chdir(self.dir.as_c_str())
            .or_else(|errno| self.fallback.map_or(Err(errno), chdir))
            .map_err(|errno| self.explain(Step::Chdir, errno))?;
        rustix::process::umask(self.umask);
        let argv = c_strings(self.argv.iter().cloned())?;
        let env = c_strings(self.env.iter().map(|(name, value)| format!("{name}={value}")))?;
        let mut last = Errno::ENOENT;
        for path in self.candidates()? {
            match spawn(&path, &argv, &env, output) {
                Ok(pid) => return Ok(pid),
                // As execvp goes on; what may not be executed is remembered over what is not there.
                Err(Errno::EACCES) => last = Errno::EACCES,
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(self.explain(Step::Exec, errno)),
            }
        }
        Err(self.explain(Step::Exec, last))
    }

    /// Where the program may lie: a name without a slash is looked for in the command's own PATH.
    fn candidates(&self) -> Result<Vec<CString>, String> {
        let program = self.argv.first().filter(|it| !it.is_empty()).ok_or("args: names no program")?;
        if program.contains('/') {
            return c_strings(std::iter::once(program.clone()));
        }
        let path = self.env.get("PATH").map_or(PATH, String::as_str);
        c_strings(path.split(':').map(|dir| match dir {
            "" => format!("./{program}"),
            dir => format!("{dir}/{program}"),
        }))
    }

    /// At the cost of a fork: nothing cheaper lets the child change its user.
    fn as_user(&self, ids: &Ids, output: &PipeWriter) -> Result<Pid, String> {
        let (program, arguments) = self.argv.split_first().ok_or("args: names no program")?;
        let stream = || output.try_clone().map(Stdio::from).map_err(|error| reason_of(&error));
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.env).process_group(0);
        command.stdin(Stdio::inherit()).stdout(stream()?).stderr(stream()?);
        sys::become_user(&mut command, ids, self.dir.clone(), self.fallback);
        rustix::process::umask(self.umask);
        let child = command.spawn().map_err(|error| {
            let (step, errno) = sys::failed_step(&error);
            errno.map_or_else(|| format!("{program}: {error}"), |errno| self.explain(step, errno))
        })?;
        i32::try_from(child.id()).map(Pid::from_raw).map_err(|_| "a pid beyond pid_t".to_owned())
    }

    /// What was tried, and what the system said.
    fn explain(&self, step: Step, errno: Errno) -> String {
        let why = reason(errno);
        match step {
            Step::Exec => format!("{}: {why}", self.argv.first().map_or("", String::as_str)),
            Step::Drop => format!("user {}: {why}", self.identity.name),
            Step::Chdir => format!("working_dir {}: {why}", self.dir.to_string_lossy()),
        }
    }
}

/// In a process group of its own, with no signal blocked and none ignored.
fn spawn(path: &CStr, argv: &[CString], env: &[CString], output: &PipeWriter) -> Result<Pid, Errno> {
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(output.as_raw_fd(), 1)?;
    actions.add_dup2(output.as_raw_fd(), 2)?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    // The others are at their default since `settle`.
    attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
    posix_spawn(path, &actions, &attributes, argv, env)
}

fn c_strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>, String> {
    texts
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| "NUL in a command, an argument or a variable".to_owned())
}
