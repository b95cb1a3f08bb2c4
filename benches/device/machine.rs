//! What the kernel says: of this machine, of a process and all below it, of a disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

use super::Outcomes;

/// The machine and its load, in a line.
pub(super) fn description() -> Outcomes<String> {
    let system = nix::sys::utsname::uname()?;
    let cpus = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or("?");
    let (name, release) = (system.machine().to_string_lossy(), system.release().to_string_lossy());
    Ok(format!("{name}, {cpus} cpus, Linux {release}, load {load} at the start"))
}

/// The size of the program without its symbols.
pub(super) fn stripped_size(program: &str) -> Outcomes<String> {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("stripped");
    let kib = |bytes: u64| format!("{} KiB on {}", bytes.div_ceil(1_024), std::env::consts::ARCH);
    match Command::new("strip").arg("-o").arg(&copy).arg(program).status() {
        Ok(status) if status.success() => Ok(kib(fs::metadata(copy)?.len())),
        _ => Ok(format!("{}, not stripped: there is no `strip` here", kib(fs::metadata(program)?.len()))),
    }
}

/// The process and all its descendants.
pub(super) fn tree(pid: u32) -> Outcomes<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may be gone by now.
        if let Ok(fields) = stat(child)
            && let Some(parent) = fields.get(1).and_then(|field| field.parse::<u32>().ok())
        {
            parents.push((child, parent));
        }
    }
    let mut tree = vec![pid];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    Ok(tree)
}

/// User and system time of the process, of all below it, and of all that these waited for (proc(5): utime stime cutime
/// cstime). Exact to a tick each.
pub(super) fn cpu_of_tree(pid: u32) -> Outcomes<Duration> {
    let tick = sysconf(SysconfVar::CLK_TCK)?.ok_or("no clock tick")?;
    let mut ticks = 0_u64;
    for process in tree(pid)? {
        let Ok(fields) = stat(process) else { continue };
        ticks += fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(Duration::from_millis(ticks * 1_000 / u64::try_from(tick)?))
}

/// `/proc/PID/stat` from its third field on, behind the command's name, which may hold anything.
fn stat(pid: u32) -> Outcomes<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").ok_or("stat without a name")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// Voluntary context switches of all threads: each wake-up ends in one. (What another process pushed aside did not sleep.)
pub(super) fn switches(pid: u32) -> Outcomes<u64> {
    let mut count = 0;
    for process in tree(pid)? {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            count += field(&status, "voluntary_ctxt_switches:");
        }
    }
    Ok(count)
}

/// (processes, threads)
pub(super) fn threads(pid: u32) -> Outcomes<(usize, usize)> {
    let tree = tree(pid)?;
    let mut threads = 0;
    for process in &tree {
        threads += fs::read_dir(format!("/proc/{process}/task"))?.count();
    }
    Ok((tree.len(), threads))
}

/// Memory of the process and all below it, in KiB.
#[derive(Default)]
pub(super) struct Memory {
    /// Written by it and its alone: heap, stacks, data.
    pub(super) dirty: u64,
    /// Of files that nobody else maps just now: mostly the program's own text.
    pub(super) clean: u64,
    /// All of it, what is shared by its share.
    pub(super) pss: u64,
}

pub(super) fn memory(pid: u32) -> Outcomes<Memory> {
    let mut memory = Memory::default();
    for process in tree(pid)? {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        memory.dirty += field(&rollup, "Private_Dirty:");
        memory.clean += field(&rollup, "Private_Clean:");
        memory.pss += field(&rollup, "Pss:");
    }
    Ok(memory)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// How long an append of one record's size and its fsync take in that directory.
pub(super) fn fsync(dir: &Path) -> Outcomes<Duration> {
    let mut file = File::create(dir.join("fsync"))?;
    file.write_all(&[0; 4_096])?;
    file.sync_all()?;
    let from = Instant::now();
    file.write_all(&[1; 300])?;
    file.sync_data()?;
    Ok(from.elapsed())
}
