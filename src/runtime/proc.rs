//! Reading `/proc`: who is whose child, in which session, since when. Every line is taken as foreign: what does not
//! read as expected is a process that is gone. Source: `proc(5)`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::job::RunId;

/// Where the kernel shows its processes.
pub(super) const ROOT: &str = "/proc";
/// A stat line, in bytes: fifty numbers and a name.
const STAT_BYTES: usize = 1024;
/// How much of an environment is searched, in bytes.
const ENVIRON_BYTES: u64 = 256 * 1024;

/// One process, as its stat line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) session: u32,
    /// Field 22, in clock ticks since boot. With the pid, a name that is not used twice in a boot.
    pub(super) start_ticks: u64,
    /// Dead, and not yet waited for.
    pub(super) zombie: bool,
}

/// The process with this id, if there is one.
pub(super) fn process(root: &Path, pid: u32) -> Option<Process> {
    let mut line = [0; STAT_BYTES];
    let length = File::open(root.join(pid.to_string()).join("stat")).ok()?.read(&mut line).ok()?;
    parse(line.get(..length)?)
}

/// This process, by its first thread, which began when it did: qemu-user makes up what /proc/self/stat says, and there
/// its start is often a tick later than others see it.
pub(super) fn own() -> io::Result<Process> {
    process(Path::new("/proc/self/task"), std::process::id()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "/proc/self/task cannot be read; is /proc mounted?")
    })
}

/// All processes, as far as they can be seen.
pub(super) fn all(root: &Path) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        found.extend(pid.and_then(|pid| process(root, pid)));
    }
    Ok(found)
}

/// How many threads run under this real uid: what RLIMIT_NPROC counts.
pub(super) fn threads_of(root: &Path, uid: u32) -> u64 {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let status = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    let of_user = status.filter_map(|status| {
        let field = |name: &str| -> Option<u64> {
            status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        field("Threads:").filter(|_| field("Uid:") == Some(uid.into()))
    });
    of_user.sum()
}

/// Whether all of `marks` are among a process's variables. Unreadable ones have none.
pub(super) fn is_marked(root: &Path, pid: u32, marks: &[String]) -> bool {
    let mut environ = Vec::new();
    let read = File::open(root.join(pid.to_string()).join("environ"))
        .and_then(|file| file.take(ENVIRON_BYTES).read_to_end(&mut environ));
    let has = |mark: &String| environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
    read.is_ok() && !marks.is_empty() && marks.iter().all(has)
}

/// The name that runners give themselves, at most 15 bytes.
pub(super) const RUNNER_NAME: &str = "leafcron-runner";

/// Whether a process calls itself a runner.
pub(super) fn is_runner(root: &Path, pid: u32) -> bool {
    std::fs::read(root.join(pid.to_string()).join("comm"))
        .is_ok_and(|name| name.trim_ascii_end() == RUNNER_NAME.as_bytes())
}

/// `pid (name) state ppid pgrp session …`; the name may hold anything, so the last parenthesis counts.
fn parse(line: &[u8]) -> Option<Process> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let before = core::str::from_utf8(line.get(..line.iter().position(|byte| *byte == b'(')?)?).ok()?;
    let after = core::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    let zombie = matches!(state, "Z" | "X" | "x");
    Some(Process { pid: before.trim().parse().ok()?, parent, session, start_ticks, zombie })
}

/// What a runner makes `go` lead to: who it is.
pub(super) fn claim_text(process: &Process) -> String {
    format!("{} {}", process.pid, process.start_ticks)
}

/// Reads it back.
pub(super) fn parse_claim(text: &[u8]) -> Option<(u32, u64)> {
    let (pid, ticks) = core::str::from_utf8(text).ok()?.split_once(' ')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}

/// The name of a run's directory, read strictly.
pub(super) fn parse_run(name: &str) -> Option<RunId> {
    name.parse().ok().map(RunId).filter(|run| run.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "812 (a) b (c) S 1 812 700 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 1 0 5154 2703360 0";

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let process = parse(LINE.as_bytes()).unwrap();
        let expected = Process { pid: 812, parent: 1, session: 700, start_ticks: 5154, zombie: false };
        assert_eq!(process, expected);
        assert!(parse(LINE.replace(") S", ") Z").as_bytes()).unwrap().zombie);
    }

    #[test]
    fn a_torn_line_is_no_process() {
        for cut in 0..LINE.find("5154").unwrap() {
            assert_eq!(parse(&LINE.as_bytes()[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_tree_of_files_is_read_like_proc() {
        let root = tempfile::tempdir().unwrap();
        for pid in ["812", "self", "net"] {
            std::fs::create_dir(root.path().join(pid)).unwrap();
        }
        std::fs::write(root.path().join("812/stat"), LINE).unwrap();
        std::fs::write(root.path().join("812/environ"), "A=1\0LEAFCRON_RUN=7\0").unwrap();
        assert_eq!(all(root.path()).unwrap().len(), 1);
        let marked = |mark: &str| is_marked(root.path(), 812, &[mark.to_owned()]);
        assert!(marked("LEAFCRON_RUN=7") && !marked("LEAFCRON_RUN=77") && !marked("RUN=7"));
        assert!(!is_marked(root.path(), 812, &[]));
    }

    #[test]
    fn the_threads_of_a_user_are_counted_by_the_real_uid() {
        let root = tempfile::tempdir().unwrap();
        for (pid, uids, threads) in [("1", "0 0 0 0", 1), ("7", "7 0 0 0", 2), ("8", "7\t7\t7\t7", 3)] {
            std::fs::create_dir(root.path().join(pid)).unwrap();
            let text = format!("Name:\ta\nUid:\t{uids}\nThreads:\t{threads}\n");
            std::fs::write(root.path().join(pid).join("status"), text).unwrap();
        }
        std::fs::create_dir(root.path().join("self")).unwrap();
        assert_eq!((threads_of(root.path(), 7), threads_of(root.path(), 9)), (5, 0));
    }

    #[test]
    fn a_claim_is_read_strictly() {
        let process = parse(LINE.as_bytes()).unwrap();
        assert_eq!(parse_claim(claim_text(&process).as_bytes()), Some((812, 5154)));
        for text in ["", "812", "812 5154\n", "812 x", "-1 5"] {
            assert_eq!(parse_claim(text.as_bytes()), None, "{text}");
        }
    }
}
