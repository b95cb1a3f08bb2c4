//! Reads the machine. Every file lies below a root path, so that tests bring fixture trees; every read is bounded; what
//! is absent, too long or not as documented is no reading, never a guess.
//!
//! Sources: `proc_loadavg(5)`, `proc_meminfo(5)`, `proc_stat(5)`, the kernel's `Documentation/admin-guide/cputopology.rst`
//! (`/sys/devices/system/cpu/online`), `statvfs(3)`. Load is not per cgroup and counts processes in uninterruptible
//! sleep: a hanging network file system raises it, and `statvfs` of a path on one may hang with it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::wanted::Wanted;
use crate::job::Readings;

/// `/proc/loadavg` has some 30 bytes.
const LOADAVG_BYTES: u64 = 256;
/// `/proc/meminfo` has some 1,600 bytes.
const MEMINFO_BYTES: u64 = 16 * 1024;
/// The list of cpus is one line of ranges.
const ONLINE_BYTES: u64 = 4 * 1024;
/// The lines of the cpus come first in `/proc/stat`; this holds some 500 of them.
const STAT_BYTES: u64 = 64 * 1024;
/// No Linux counts cpus beyond this.
const CPUS: u32 = 65_536;

/// What reads the machine.
#[derive(Clone, Debug)]
pub struct Probe {
    root: PathBuf,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Probe {
    /// Reads the files of `root`: `/` but in tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads what is wanted; what could not be read is absent.
    #[must_use]
    pub fn read(&self, wanted: &Wanted) -> Readings {
        let disk = |path: &String| (path.clone(), free_bytes(&self.below(path)));
        Readings {
            load_per_cpu: wanted.load_per_cpu.then(|| self.load_per_cpu()).flatten(),
            memory_available: wanted.memory_available.then(|| self.memory_available()).flatten(),
            disk_available: wanted.disk_available.iter().map(disk).collect(),
            check: None,
        }
    }

    /// The requirements that can never be read here, and so never hold: by name, and why.
    #[must_use]
    pub fn unreadable(&self) -> Vec<(&'static str, &'static str)> {
        let read = self.read(&Wanted::machine());
        let load = (read.load_per_cpu.is_none()).then_some((
            "require.load_per_cpu",
            "/proc/loadavg and the number of cpus cannot be read on this machine, so it never holds",
        ));
        let memory = (read.memory_available.is_none()).then_some((
            "require.memory_available",
            "/proc/meminfo has no MemAvailable on this machine, so it never holds",
        ));
        load.into_iter().chain(memory).collect()
    }

    /// How many cpus are online, if the system says so.
    #[must_use]
    pub fn cpus(&self) -> Option<u32> {
        let online = whole_file(&self.below("/sys/devices/system/cpu/online"), ONLINE_BYTES);
        match online {
            Some(list) => count_cpu_list(&list),
            // A container without /sys.
            None => count_cpu_lines(&beginning(&self.below("/proc/stat"), STAT_BYTES)?),
        }
    }

    fn load_per_cpu(&self) -> Option<f32> {
        let load = parse_loadavg(&whole_file(&self.below("/proc/loadavg"), LOADAVG_BYTES)?)?;
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536: exact in f32")]
        let cpus = self.cpus()? as f32;
        Some(load / cpus)
    }

    fn memory_available(&self) -> Option<u64> {
        parse_meminfo(&whole_file(&self.below("/proc/meminfo"), MEMINFO_BYTES)?)
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// The file's text if it is at most `most` bytes of UTF-8.
fn whole_file(path: &Path, most: u64) -> Option<String> {
    let bytes = prefix(path, most.saturating_add(1))?;
    let short = u64::try_from(bytes.len()).is_ok_and(|length| length <= most);
    if short { String::from_utf8(bytes).ok() } else { None }
}

/// The file's whole lines within its first `most` bytes.
fn beginning(path: &Path, most: u64) -> Option<String> {
    let mut bytes = prefix(path, most)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    bytes.truncate(end);
    String::from_utf8(bytes).ok()
}

fn prefix(path: &Path, most: u64) -> Option<Vec<u8>> {
    // A FIFO in the place of the file must not stop the agent.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).ok()?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `"0.15 0.12 0.09 1/123 4567"`: the first number.
fn parse_loadavg(text: &str) -> Option<f32> {
    let load: f32 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// `"0-3,5"`: how many; ranges ascend.
fn count_cpu_list(text: &str) -> Option<u32> {
    let mut count: u32 = 0;
    let mut next: u32 = 0;
    for range in text.trim_end().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first < next || last < first || last >= CPUS {
            return None;
        }
        count += last - first + 1;
        next = last + 1;
    }
    Some(count)
}

/// The lines `cpu0 …`, `cpu1 …` that follow the sum `cpu  …`.
fn count_cpu_lines(text: &str) -> Option<u32> {
    let mut lines = text.lines();
    lines.next().filter(|sum| sum.starts_with("cpu "))?;
    let cpus = lines.take_while(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    u32::try_from(cpus.count()).ok().filter(|count| *count > 0)
}

/// `MemAvailable`, in bytes. Kernels before 3.14 have no such line: then what `free(1)` used to say, `MemFree` +
/// `Buffers` + `Cached`, less `Shmem`, which is counted as cached and cannot be given up.
fn parse_meminfo(text: &str) -> Option<u64> {
    if has_line(text, "MemAvailable") {
        return meminfo_bytes(text, "MemAvailable");
    }
    let cached = meminfo_bytes(text, "MemFree")?
        .checked_add(meminfo_bytes(text, "Buffers")?)?
        .checked_add(meminfo_bytes(text, "Cached")?)?;
    let shared = if has_line(text, "Shmem") { meminfo_bytes(text, "Shmem")? } else { 0 };
    cached.checked_sub(shared)
}

fn has_line(text: &str, name: &str) -> bool {
    meminfo_line(text, name).is_some()
}

fn meminfo_line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// `"Name:   123 kB"` in bytes.
fn meminfo_bytes(text: &str, name: &str) -> Option<u64> {
    let kib: u64 = meminfo_line(text, name)?.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that an unprivileged user may still write.
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_finite_number_that_is_not_negative() {
        assert_eq!(parse_loadavg("0.15 0.12 0.09 1/123 4567\n"), Some(0.15));
        for text in ["", "\n", "x", "nan 0 0", "inf 0 0", "-0.5 0 0", "1,5 0 0"] {
            assert_eq!(parse_loadavg(text), None, "{text:?}");
        }
    }

    #[test]
    fn cpu_lists_are_counted() {
        for (text, count) in [("0\n", 1), ("0-3\n", 4), ("0,2-3,7\n", 4), ("0-65535", 65_536)] {
            assert_eq!(count_cpu_list(text), Some(count), "{text:?}");
        }
        for text in ["", "\n", "x", "3-0", "0-3,2", "0-4294967295", "0-65536", "-1", "0,", "0--3"] {
            assert_eq!(count_cpu_list(text), None, "{text:?}");
        }
        assert_eq!(count_cpu_lines("cpu  1 2\ncpu0 1\ncpu1 1\nintr 5\ncpu2 1\n"), Some(2));
        for text in ["", "cpu0 1\n", "cpu  1\nintr 1\n", "x"] {
            assert_eq!(count_cpu_lines(text), None, "{text:?}");
        }
    }

    #[test]
    fn memory_is_what_the_kernel_says_is_available() {
        assert_eq!(parse_meminfo("MemFree: 1 kB\nMemAvailable:   65536 kB\n"), Some(64 << 20));
        let old = "MemTotal: 9 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\nSwapCached: 7 kB\n";
        assert_eq!(parse_meminfo(old), Some(60 * 1024));
        assert_eq!(parse_meminfo(&format!("{old}Shmem: 25 kB\n")), Some(35 * 1024));
        for text in [
            "",
            "MemAvailable:\n",
            "MemAvailable: 5\n",
            "MemAvailable: -5 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\n",
            "MemAvailable: 99999999999999999999 kB\n",
            "MemAvailable: 18446744073709551615 kB\n",
            "MemFree: 10 kB\nBuffers: 20 kB\n",
            "MemFree: 1 kB\nBuffers: 1 kB\nCached: 1 kB\nShmem: 9 kB\n",
        ] {
            assert_eq!(parse_meminfo(text), None, "{text:?}");
        }
    }
}
