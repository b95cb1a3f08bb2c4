//! The subtree of control groups that is the agent's, found at its start.
//!
//! ```text
//!   leafcrond.service/      what the service manager gave: nobody stays in it, for a group with processes of its own
//!     agent/                has no controllers to hand on: here we move ourselves, and the unit knows the name
//!     backup-17.1a-3f/      one Run; behind the dot is which agent's
//! ```
//! Ours is what systemd marks as delegated (`user.delegate`, `trusted.delegate`), and on a machine without systemd the
//! agent's own group, if it may write there. Nothing else is touched. Sources: systemd's `CGROUP_DELEGATION`,
//! `systemd.resource-control(5)`, `cgroups(7)`, `proc(5)`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat};

use super::cgroup::make_below;
use super::dir::open_dir;
use crate::job::{JobName, RunId};

/// Where the agent and its runners live.
const AGENT: &str = "agent";
/// What serves `limits` and `usage`.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Where Runs have their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    dir: PathBuf,
    prefix: &'static str,
    /// Tells ours from other agents'.
    suffix: String,
    holds: Holds,
}

/// Whether Runs that go on have their limits still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    Kept,
    /// Controllers were handed on anew: whatever they bounded before is forgotten.
    Forgotten,
}

/// Who else may be in the group that is the agent's, hence who may be moved down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Whatever is in it is the agent's.
    Ours,
    /// The agent, and others that are none of its business.
    Others,
    /// A service manager may put its next processes there: nobody moves.
    Manager,
}

impl Groups {
    /// Claims the subtree, if there is one. `name` is this agent's among others.
    pub(super) fn claim(root: &Path, name: &str) -> Option<(Self, Limits)> {
        let (path, own) = own_group(root)?;
        let suffix = format!(".{name}");
        let shared = |holds| Self { dir: own.clone(), prefix: "leafcron-", suffix: suffix.clone(), holds };
        let groups = match delegated(&own) {
            Some(dir) => Self { dir, prefix: "", suffix, holds: Holds::Ours },
            None if root.join("run/systemd/system").exists() => {
                log::info!(
                    "no control groups: {} is not delegated (Delegate=yes in the unit)",
                    own.display()
                );
                return None;
            }
            // The top of what can be seen, a container's say: no service manager will want to put us there again.
            None if path == Path::new("/") => shared(Holds::Others),
            None => shared(Holds::Manager),
        };
        match groups.prepare() {
            Ok(limits) => Some((groups, limits)),
            // A container's are often read-only; an unprivileged agent has none to itself.
            Err(error) => {
                log::info!("no control groups: {}: {error}", groups.dir.display());
                None
            }
        }
    }

    /// Whether each Run is to have one. Where nobody gave us the subtree only a Run that is bounded, or another user's,
    /// has: a group costs a Run some system calls.
    pub(super) fn are_delegated(&self) -> bool {
        self.holds == Holds::Ours
    }

    /// The controllers that Runs' groups do not have.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let now = words(&self.dir.join("cgroup.subtree_control"));
        CONTROLLERS.into_iter().filter(|name| !now.iter().any(|it| it == name)).collect()
    }

    /// The directory of a Run's group.
    pub(super) fn of(&self, job: &JobName, run: RunId) -> String {
        self.dir.join(format!("{}{job}-{run}{}", self.prefix, self.suffix)).to_string_lossy().into_owned()
    }

    fn prepare(&self) -> io::Result<Limits> {
        let dir = open_dir(CWD, &self.dir.to_string_lossy())?;
        accessat(&dir, ".", Access::WRITE_OK, AtFlags::EACCESS)?;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(&self.suffix));
            if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                // Left by an agent and a runner that died together; one in which something lives stays.
                fs::remove_dir(entry.path()).unwrap_or_default();
            }
        }
        let served = words(&self.dir.join("cgroup.controllers"));
        let wanted: Vec<&str> =
            CONTROLLERS.into_iter().filter(|name| served.iter().any(|it| it == name)).collect();
        let handed_on = || words(&self.dir.join("cgroup.subtree_control"));
        let before = handed_on();
        if !wanted.is_empty() && self.is_empty(&dir) {
            for name in &wanted {
                if let Err(error) = write(&dir, "cgroup.subtree_control", &format!("+{name}")) {
                    log::warn!("hand on {name} in {}: {error}", self.dir.display());
                }
            }
        }
        let (now, missing) = (handed_on(), self.missing());
        log::info!(
            "control groups of runs: {}{}{}",
            self.dir.display(),
            if missing.is_empty() { "" } else { ", without the controllers " },
            missing.join(" ")
        );
        Ok(if before == now { Limits::Kept } else { Limits::Forgotten })
    }

    /// Whether it has no processes of its own: only then does a group hand controllers on, but for the root of all. (Some
    /// controllers it would hand on all the same, and become a group of threads, in which no Run can have its own.)
    fn is_empty(&self, dir: &OwnedFd) -> bool {
        let is_root = !self.dir.join("cgroup.type").exists();
        if is_root || words(&self.dir.join("cgroup.procs")).is_empty() {
            return true;
        }
        if let Err(error) = self.move_down(dir) {
            log::warn!("move to {}/{AGENT}: {error}", self.dir.display());
        }
        words(&self.dir.join("cgroup.procs")).is_empty()
    }

    /// Moves this process, and runners of an earlier agent, out of the way.
    fn move_down(&self, dir: &OwnedFd) -> io::Result<()> {
        if self.holds == Holds::Manager {
            return Ok(());
        }
        let agent = make_below(dir, AGENT)?;
        if self.holds == Holds::Others {
            return write(&agent, "cgroup.procs", "0");
        }
        for pid in words(&self.dir.join("cgroup.procs")) {
            match write(&agent, "cgroup.procs", &pid) {
                // Gone meanwhile.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                done => done?,
            }
        }
        Ok(())
    }
}

fn write(dir: impl AsFd, name: &str, value: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    File::from(openat(dir, name, flags, Mode::empty())?).write_all(value.as_bytes())
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// This process's group in the version 2 hierarchy: its name there, and its directory.
fn own_group(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let (below, at) = mounts.lines().find_map(cgroup2_mount)?;
    let path = Path::new(own).strip_prefix(below).ok()?;
    Some((own.into(), root.join(at.strip_prefix('/')?).join(path)))
}

/// Of a line of mountinfo: which part of the hierarchy is mounted, and where.
fn cgroup2_mount(line: &str) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (below, at) = (fields.next()?, fields.next()?);
    (kind.split(' ').next()? == "cgroup2" && !at.contains('\\')).then_some((below, at))
}

/// The group that was delegated: the process's own, or the one above, from which it was moved down.
fn delegated(own: &Path) -> Option<PathBuf> {
    let above = own.parent().filter(|_| own.file_name().is_some_and(|name| name == AGENT));
    [above, Some(own)].into_iter().flatten().find(|path| is_marked(path)).map(Path::to_owned)
}

fn is_marked(path: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(path, name, &mut value);
        length.is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of plain files.
    fn machine(cgroup: &str, mountinfo: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/cgroup"), cgroup).unwrap();
        fs::write(root.path().join("proc/self/mountinfo"), mountinfo).unwrap();
        root
    }

    const UNIFIED: &str = "25 30 0:22 / /proc rw shared:5 - proc proc rw\n\
                           29 30 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "33 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                          42 32 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_in_each_kind_of_hierarchy() {
        let find = |cgroup: &str, mountinfo: &str| {
            let root = machine(cgroup, mountinfo);
            own_group(root.path())
                .map(|(_, path)| path.strip_prefix(root.path()).unwrap().display().to_string())
        };
        let unit = "0::/system.slice/leafcrond.service\n";
        let expected = "sys/fs/cgroup/system.slice/leafcrond.service";
        assert_eq!(find(unit, UNIFIED).unwrap(), expected);
        assert_eq!(find("9:name=systemd:/a\n0::/\n", HYBRID).unwrap(), "sys/fs/cgroup/unified");
        // A container that sees a part of the hierarchy only, and one that sees none.
        let part = UNIFIED.replace("0:26 /", "0:26 /system.slice");
        assert_eq!(find(unit, &part).unwrap(), "sys/fs/cgroup/leafcrond.service");
        assert_eq!(find("0::/other\n", &part), None);
        assert_eq!(find("4:memory:/a\n", UNIFIED), None);
        assert_eq!(find(unit, "25 30 0:22 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn a_group_that_systemd_did_not_delegate_is_left_alone() {
        let root = machine("0::/user.slice/session-1.scope\n", UNIFIED);
        let own = root.path().join("sys/fs/cgroup/user.slice/session-1.scope");
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(Groups::claim(root.path(), "x"), None);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        // Without systemd it is the agent's own.
        fs::remove_dir(root.path().join("run/systemd/system")).unwrap();
        let (groups, limits) = Groups::claim(root.path(), "x").unwrap();
        assert_eq!(limits, Limits::Kept);
        let group = own.join("leafcron-backup-17.x").display().to_string();
        assert_eq!(groups.of(&"backup".parse().unwrap(), RunId(17)), group);
    }

    #[test]
    fn controllers_are_handed_on_and_what_is_left_of_dead_runs_goes() {
        let root = machine("0::/unit\n", UNIFIED);
        let own = root.path().join("sys/fs/cgroup/unit");
        for name in ["leafcron-old-1.x", "leafcron-other-1.y", "other"] {
            fs::create_dir_all(own.join(name)).unwrap();
        }
        fs::write(own.join("cgroup.controllers"), "cpuset cpu io memory\n").unwrap();
        fs::write(own.join("cgroup.subtree_control"), "").unwrap();
        // Somebody is in it: it is left as it is.
        fs::write(own.join("cgroup.type"), "domain\n").unwrap();
        fs::write(own.join("cgroup.procs"), "1\n").unwrap();
        Groups::claim(root.path(), "x").unwrap();
        assert_eq!(fs::read_to_string(own.join("cgroup.subtree_control")).unwrap(), "");
        fs::write(own.join("cgroup.procs"), "").unwrap();
        let (_, limits) = Groups::claim(root.path(), "x").unwrap();
        assert_eq!(limits, Limits::Forgotten);
        // A plain file keeps what was written over: memory, then cpu; pids is not served.
        assert_eq!(fs::read_to_string(own.join("cgroup.subtree_control")).unwrap(), "+cpuory");
        let mut left: Vec<_> = fs::read_dir(&own)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.retain(|name| !name.starts_with("cgroup."));
        assert!(!own.join(AGENT).exists(), "a service manager's group is nobody's to reorder");
        left.sort();
        assert_eq!(left, ["leafcron-other-1.y", "other"]);
    }
}
