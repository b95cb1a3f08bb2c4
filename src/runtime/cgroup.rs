//! One Run's control group: its whole tree, whatever sessions and parents its processes choose. Limits, usage, and an
//! end that no fork outruns. Source: the kernel's `admin-guide/cgroup-v2`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};

use super::dir::open_dir;
use crate::job::{RunLimits, Usage, units};

/// An interface file, in bytes: what is longer is not one that is read here.
const FILE_BYTES: u64 = 256 * 1024;
/// cpu.max counts within periods of so many microseconds.
const CPU_PERIOD: u64 = 100_000;
/// How often a group is removed that its last process is just leaving.
const REMOVALS: u32 = 50;
/// Looks at a group that is to freeze, and between two of them: it takes well under a millisecond.
const FREEZE_LOOKS: u32 = 100;
const FREEZE_LOOK: core::time::Duration = core::time::Duration::from_millis(1);
/// Groups within groups that a job may have made, to this depth.
const DEPTH: u32 = 16;

/// A Run's group, open.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    dir: OwnedFd,
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Group {
    /// Makes it. What an earlier Run of that name left there is ended first.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        if let Err(error) = fs::create_dir(path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            if let Some(old) = Self::find(path) {
                old.kill();
                old.remove();
            }
            fs::create_dir(path)?;
        }
        Self::open(path)
    }

    /// `None`: there is none, or it cannot be opened.
    pub(super) fn find(path: &Path) -> Option<Self> {
        Self::open(path).ok()
    }

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), dir: open_dir(rustix::fs::CWD, &path.to_string_lossy())? })
    }

    fn read(&self, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = String::new();
        let file = File::from(openat(&self.dir, name, flags, Mode::empty()).ok()?);
        file.take(FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// A kernel that does not serve a file has none: it is never made.
    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        File::from(openat(&self.dir, name, flags, Mode::empty())?).write_all(value.as_bytes())
    }

    fn takes(&self, name: &str, value: &str) -> bool {
        match self.write(name, value) {
            Ok(()) => true,
            Err(error) => {
                log::debug!("write {value} to {}/{name}: {error}", self.path.display());
                false
            }
        }
    }

    /// Sets what its controllers can bound, and names it.
    pub(super) fn limit(&self, limits: &RunLimits) -> Vec<&'static str> {
        let mut held = Vec::new();
        if let Some(bytes) = limits.memory
            && self.takes("memory.max", &bytes.to_string())
        {
            // Neither is there on every kernel. A disk's swap is no memory, and half a dead tree is no use.
            self.takes("memory.swap.max", "0");
            self.takes("memory.oom.group", "1");
            held.push("memory");
        }
        let quota = limits.cpu.map(|percent| u64::from(percent) * CPU_PERIOD / 100);
        if quota.is_some_and(|quota| self.takes("cpu.max", &format!("{quota} {CPU_PERIOD}"))) {
            held.push("cpu");
        }
        if limits.pids.is_some_and(|pids| self.takes("pids.max", &pids.to_string())) {
            held.push("pids");
        }
        if let Some(nice) = limits.nice {
            // Where the kernel shares among groups, a process's own value counts within its group only.
            self.takes("cpu.weight.nice", &nice.to_string());
        }
        held
    }

    /// Moves this process into it: for a kernel on which nothing is born there.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.write("cgroup.procs", "0")
    }

    /// Its processes, of groups within it not.
    pub(super) fn pids(&self) -> Vec<u32> {
        let text = self.read("cgroup.procs").unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
    }

    /// Does `act` while nothing in it runs or forks: Linux 5.2. `false`: it cannot be frozen, and nothing was done.
    pub(super) fn frozen(&self, act: impl FnOnce()) -> bool {
        if !self.takes("cgroup.freeze", "1") {
            return false;
        }
        let mut frozen = false;
        for _ in 0..FREEZE_LOOKS {
            frozen = field(&self.read("cgroup.events").unwrap_or_default(), "frozen") == Some(1);
            if frozen {
                act();
                break;
            }
            // One that hangs in the kernel does not freeze, nor does it fork.
            std::thread::sleep(FREEZE_LOOK);
        }
        self.takes("cgroup.freeze", "0");
        frozen
    }

    /// KILL to all in it, at once and forks included: Linux 5.14. Elsewhere whoever calls has to sweep.
    pub(super) fn kill(&self) {
        self.takes("cgroup.kill", "1");
    }

    /// Whether anything lives in it or below.
    pub(super) fn is_populated(&self) -> bool {
        field(&self.read("cgroup.events").unwrap_or_default(), "populated") == Some(1)
    }

    /// What all in it have used, where it is counted; the rest as `waited` says.
    pub(super) fn usage(&self, waited: Usage) -> Usage {
        let cpu = self.read("cpu.stat").and_then(|text| field(&text, "usage_usec"));
        let peak: Option<u64> = self.read("memory.peak").and_then(|text| text.trim().parse().ok());
        Usage {
            cpu_ms: cpu.map_or(waited.cpu_ms, |micros| micros / 1_000),
            max_rss_kib: peak.map_or(waited.max_rss_kib, |bytes| bytes / 1024),
        }
    }

    /// Which of its limits were reached, in words for a record.
    pub(super) fn reached(&self, limits: &RunLimits) -> Option<String> {
        let count = |file: &str, name: &str| {
            self.read(file).and_then(|text| field(&text, name)).filter(|count| *count > 0)
        };
        let memory = limits.memory.filter(|_| count("memory.events", "oom_kill").is_some());
        let memory =
            memory.map(|bytes| format!("killed at its memory limit of {}", units::format_size(bytes)));
        let pids = limits.pids.and_then(|pids| {
            let refused = count("pids.events", "max")?;
            Some(format!("{refused} forks were refused at its limit of {pids} processes"))
        });
        let words: Vec<String> = memory.into_iter().chain(pids).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Removes it, once nothing lives in it.
    pub(super) fn remove(&self) {
        for _ in 0..REMOVALS {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    remove_below(&self.dir, DEPTH);
                    // A process that is dead leaves its group a moment after it was waited for.
                    std::thread::sleep(core::time::Duration::from_millis(1));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return log::warn!("remove {}: {error}", self.path.display());
                }
                Ok(()) | Err(_) => return,
            }
        }
        log::warn!("{} is not empty", self.path.display());
    }
}

/// The groups that a job made within its own.
fn remove_below(dir: &OwnedFd, depth: u32) {
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if depth == 0 || name.to_bytes().starts_with(b".") || !entry.file_type().is_dir() {
            continue;
        }
        if let Ok(below) = open_dir(dir, &name.to_string_lossy()) {
            remove_below(&below, depth - 1);
        }
        // What still lives keeps its group, and ours with it.
        unlinkat(dir, name, AtFlags::REMOVEDIR).unwrap_or_default();
    }
}

/// The value of a line `name value`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Makes a group within one, if it is not there.
pub(super) fn make_below(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => open_dir(parent, name),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of plain files: what a kernel with these controllers would show.
    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
        let group = Group::find(dir.path()).unwrap();
        (dir, group)
    }

    fn limits() -> RunLimits {
        RunLimits {
            memory: Some(64 << 20),
            cpu: Some(150),
            pids: Some(32),
            nice: Some(5),
            ..RunLimits::default()
        }
    }

    #[test]
    fn a_limit_is_written_where_its_controller_is_and_nowhere_else() {
        let files =
            ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cpu.weight.nice"];
        let (dir, group) = group(&files.map(|name| (name, "")));
        assert_eq!(group.limit(&limits()), ["memory", "cpu", "pids"]);
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(files.map(read), ["67108864", "0", "1", "150000 100000", "32", "5"]);
        let (dir, group) = self::group(&[("pids.max", "")]);
        assert_eq!(group.limit(&limits()), ["pids"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no file was made");
        assert!(group.limit(&RunLimits::default()).is_empty());
    }

    #[test]
    fn usage_and_events_are_read_where_they_are() {
        let waited = Usage { cpu_ms: 1, max_rss_kib: 2 };
        let (_dir, group) = group(&[
            ("cpu.stat", "usage_usec 7654321\nuser_usec 1\n"),
            ("memory.peak", "4194304\n"),
            ("memory.events", "low 0\noom 2\noom_kill 2\noom_group_kill 1\n"),
            ("pids.events", "max 17\n"),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
            ("cgroup.procs", "12\n0\n13\n"),
        ]);
        assert_eq!(group.usage(waited), Usage { cpu_ms: 7654, max_rss_kib: 4096 });
        assert_eq!(
            group.reached(&limits()).unwrap(),
            "killed at its memory limit of 64MiB; 17 forks were refused at its limit of 32 processes"
        );
        assert!(group.is_populated());
        assert_eq!(group.pids(), [12, 13]);
        let (_dir, old) = self::group(&[("cpu.stat", "usage_usec x\n"), ("memory.events", "oom_kill 0\n")]);
        assert_eq!(old.usage(waited), waited);
        assert_eq!((old.reached(&limits()), old.is_populated()), (None, false));
    }
}
