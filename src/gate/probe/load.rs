//! How busy the machine is: load, cpus, memory.
//!
//! Sources: `proc_loadavg(5)`, `proc_meminfo(5)`, `proc_stat(5)`, the kernel's `Documentation/admin-guide/cputopology.rst`
//! (`/sys/devices/system/cpu/online`). Load is not per cgroup and counts processes in uninterruptible sleep: a hanging
//! network file system raises it.

use super::files::Root;

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

/// 1-minute load average divided by the online cpus.
pub(super) fn load_per_cpu(root: &Root) -> Option<f32> {
    let load = parse_loadavg(&root.text("/proc/loadavg", LOADAVG_BYTES).ok()?)?;
    #[expect(clippy::cast_precision_loss, reason = "at most 65,536: exact in f32")]
    let cpus = cpus(root)? as f32;
    Some(load / cpus)
}

/// How many cpus are online, if the system says so.
pub(super) fn cpus(root: &Root) -> Option<u32> {
    match root.text("/sys/devices/system/cpu/online", ONLINE_BYTES) {
        Ok(list) => count_cpu_list(&list),
        // A container without /sys.
        Err(_) => count_cpu_lines(&root.beginning("/proc/stat", STAT_BYTES)?),
    }
}

/// Bytes that can be had without swapping.
pub(super) fn memory_available(root: &Root) -> Option<u64> {
    parse_available(&root.text("/proc/meminfo", MEMINFO_BYTES).ok()?)
}

/// The same in percent of all memory.
pub(super) fn memory_available_percent(root: &Root) -> Option<f32> {
    let text = root.text("/proc/meminfo", MEMINFO_BYTES).ok()?;
    let (available, total) = (parse_available(&text)?, meminfo_bytes(&text, "MemTotal")?);
    if available > total {
        return None;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a share in percent")]
    let percent = (available as f64 / total as f64 * 100.0) as f32;
    // Of no memory at all there is no share.
    percent.is_finite().then_some(percent)
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
fn parse_available(text: &str) -> Option<u64> {
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
        assert_eq!(parse_available("MemFree: 1 kB\nMemAvailable:   65536 kB\n"), Some(64 << 20));
        let old = "MemTotal: 9 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\nSwapCached: 7 kB\n";
        assert_eq!(parse_available(old), Some(60 * 1024));
        assert_eq!(parse_available(&format!("{old}Shmem: 25 kB\n")), Some(35 * 1024));
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
            assert_eq!(parse_available(text), None, "{text:?}");
        }
    }
}
