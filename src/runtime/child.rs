//! Starting the command itself: the only process of a Run that enters its control group, takes its limits and changes
//! its user. Sources: `clone(2)`, `vfork(2)`, `execvp(3)`, `credentials(7)`.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, chdir};
use rustix::fs::Mode;

use super::env::{PATH, SHELL};
use super::error::{reason, reason_of};
use super::limit::{self, Applied, Means};
use super::oom;
use super::spec::RunSpec;
use super::sys;
use super::user::Identity;
use crate::job::Action;

/// Where a user's home cannot be entered.
const FALLBACK: &CStr = c"/";

/// A command that is ready to start: everything that can be found out before `go` is found out.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) identity: Identity,
    /// What is executed: where it may lie, in the order of the search.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where, and whether `/` will do instead.
    dir: CString,
    fallback: Option<&'static CStr>,
    umask: Mode,
}

/// Why a command was not started.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// What was tried, and what the system said.
    Failed(String),
    /// It could not enter its control group: without one it may be tried again.
    NoEntry(Errno),
}

/// What a child tells before it executes the command: which step failed, then an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Enter = 1,
    Streams = 2,
    Drop = 3,
    Chdir = 4,
    Exec = 5,
    /// A limit that is required could not be applied.
    Refused = 6,
    /// From here on: the limit of this number could not be applied.
    Limit = 16,
}

/// One such report, in bytes.
const REPORT_BYTES: usize = 5;

impl NotStarted {
    pub(super) fn into_words(self) -> String {
        match self {
            Self::Failed(words) => words,
            Self::NoEntry(errno) => format!("enter its control group: {}", reason(errno)),
        }
    }
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
        Ok(Self {
            candidates: candidates(&argv, &env)?,
            argv: c_strings(argv.into_iter())?,
            env: c_strings(env.iter().map(|(name, value)| format!("{name}={value}")))?,
            dir: CString::new(dir).map_err(|_| "working_dir: holds NUL".to_owned())?,
            fallback: spec.working_dir.is_none().then_some(FALLBACK),
            umask: Mode::from_bits_truncate(spec.umask.into()),
            identity,
        })
    }

    /// Starts the command and says which limits it does not have.
    pub(super) fn start(&self, output: &PipeWriter, means: &Means) -> Result<(Pid, Vec<String>), NotStarted> {
        let started = oom::unprotected(|| self.spawned(output, means));
        // A runner must not hold a file system busy. `/` can be entered.
        chdir(FALLBACK).map_err(|errno| NotStarted::Failed(reason(errno)))?;
        started
    }

    fn spawned(&self, output: &PipeWriter, means: &Means) -> Result<(Pid, Vec<String>), NotStarted> {
        let system = |error: &io::Error| NotStarted::Failed(reason_of(error));
        let (mut told, tell) = io::pipe().map_err(|error| system(&error))?;
        let child = |enters: bool| {
            let (step, errno) = self.child(output, means, enters, &tell);
            report(&tell, step as u8, errno);
        };
        // Into the group at its birth; a kernel that does not know how has the child enter it.
        let group = means.group.as_ref();
        let born = group.map(|group| sys::spawn(Some(group.as_fd()), || child(false))).and_then(Result::ok);
        let pid = born.map_or_else(|| sys::spawn(None, || child(group.is_some())), Ok);
        let pid = pid.map_err(|error| system(&error))?;
        drop(tell);
        let mut reports = Vec::new();
        told.read_to_end(&mut reports).map_err(|error| system(&error))?;
        let pid = i32::try_from(pid).map(Pid::from_raw);
        let pid = pid.map_err(|_| NotStarted::Failed("a pid beyond pid_t".to_owned()))?;
        let mut not_applied = Vec::new();
        for report in reports.chunks_exact(REPORT_BYTES) {
            let Some((step, errno)) = read(report) else { continue };
            match (step.checked_sub(Step::Limit as u8), Step::fatal(step)) {
                (Some(limit), _) => not_applied.extend(means.name_of(limit)),
                (None, Some(step)) => {
                    // It ends at once; its status is nobody's.
                    nix::sys::wait::waitpid(pid, None).map(drop).unwrap_or_default();
                    return Err(match step {
                        Step::Enter => NotStarted::NoEntry(errno),
                        Step::Refused => NotStarted::Failed(limit::refusal(&not_applied)),
                        step => self.explain(step, errno),
                    });
                }
                (None, None) => {}
            }
        }
        Ok((pid, not_applied))
    }

    /// The child's way to its command; only a failure comes back. It may share the memory of its parent, which waits.
    fn child(&self, output: &PipeWriter, means: &Means, enters: bool, tell: &PipeWriter) -> (Step, Errno) {
        if let Some(group) = means.group.as_ref().filter(|_| enters)
            && let Err(error) = group.enter()
        {
            return (Step::Enter, Errno::from_raw(error.raw_os_error().unwrap_or(0)));
        }
        if let Err(errno) = streams(output) {
            return (Step::Streams, errno);
        }
        if means.apply(|limit, errno| report(tell, Step::Limit as u8 + limit, errno)) == Applied::Refused {
            return (Step::Refused, Errno::EPERM);
        }
        if let Some(ids) = &self.identity.drop
            && let Err(errno) = ids.assume()
        {
            return (Step::Drop, errno);
        }
        rustix::process::umask(self.umask);
        if let Err(errno) = self.enter() {
            return (Step::Chdir, errno);
        }
        (Step::Exec, self.execute())
    }

    fn enter(&self) -> Result<(), Errno> {
        chdir(self.dir.as_c_str()).or_else(|errno| self.fallback.map_or(Err(errno), chdir))
    }

    /// As execvp goes through the candidates: what may not be executed is remembered over what is not there.
    fn execute(&self) -> Errno {
        let mut last = Errno::ENOENT;
        for path in &self.candidates {
            match nix::unistd::execve(path, &self.argv, &self.env) {
                Err(Errno::EACCES) => last = Errno::EACCES,
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return errno,
            }
        }
        last
    }

    /// What was tried, and what the system said.
    fn explain(&self, step: Step, errno: Errno) -> NotStarted {
        let why = reason(errno);
        NotStarted::Failed(match step {
            Step::Exec => {
                format!("{}: {why}", self.argv.first().map_or("".into(), |program| program.to_string_lossy()))
            }
            Step::Drop => format!("user {}: {why}", self.identity.name),
            Step::Chdir => format!("working_dir {}: {why}", self.dir.to_string_lossy()),
            Step::Enter | Step::Streams | Step::Refused | Step::Limit => why,
        })
    }
}

impl Step {
    fn fatal(number: u8) -> Option<Self> {
        [Self::Enter, Self::Streams, Self::Drop, Self::Chdir, Self::Exec, Self::Refused]
            .into_iter()
            .find(|step| *step as u8 == number)
    }
}

/// Where the program may lie: a name without a slash is looked for in the command's own PATH.
fn candidates(argv: &[String], env: &BTreeMap<String, String>) -> Result<Vec<CString>, String> {
    let program = argv.first().filter(|it| !it.is_empty()).ok_or("args: names no program")?;
    if program.contains('/') {
        return c_strings(std::iter::once(program.clone()));
    }
    let path = env.get("PATH").map_or(PATH, String::as_str);
    c_strings(path.split(':').map(|dir| match dir {
        "" => format!("./{program}"),
        dir => format!("{dir}/{program}"),
    }))
}

fn report(mut tell: &PipeWriter, step: u8, errno: Errno) {
    let [a, b, c, d] = (errno as i32).to_le_bytes();
    // Less than PIPE_BUF and the only one to write: it fits. Nobody is left to be told otherwise.
    tell.write_all(&[step, a, b, c, d]).unwrap_or_default();
}

fn read(report: &[u8]) -> Option<(u8, Errno)> {
    let (step, errno) = report.split_first()?;
    Some((*step, Errno::from_raw(i32::from_le_bytes(errno.try_into().ok()?))))
}

/// In a process group of its own, with no signal blocked and none ignored; standard input stays /dev/null.
fn streams(output: &PipeWriter) -> Result<(), Errno> {
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    sys::default_pipe_signal();
    SigSet::empty().thread_set_mask()?;
    nix::unistd::dup2_stdout(output)?;
    nix::unistd::dup2_stderr(output)
}

fn c_strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>, String> {
    texts
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| "NUL in a command, an argument or a variable".to_owned())
}
