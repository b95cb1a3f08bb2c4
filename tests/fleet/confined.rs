//! What a link process can reach that does what somebody on the network wants: nothing of the device. Whatever has its uid
//! and gid, and no groups, can do as much as it can.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use super::device::{is_root, text_of, wait_for};
use super::rig::Fleet;

struct Confined {
    fleet: Fleet,
    link: u32,
    uid: u32,
    gid: u32,
}

impl Confined {
    /// `None`: without root there is nobody else to become, and the agent says so.
    fn new() -> Option<Self> {
        if !is_root() {
            eprintln!("not checked: without root the link has the agent's own uid");
            return None;
        }
        let fleet = Fleet::new("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"sleep 600\"\n");
        assert!(fleet.device.leafcron(&["run", "own"]).status.success());
        wait_for("it runs", || (fleet.device.runners().len() == 1).then_some(()));
        // Everybody may come as far as the device's own directories; what keeps them out is to be theirs.
        fs::set_permissions(fleet.device.path(""), Permissions::from_mode(0o755)).unwrap();
        let link = wait_for("there is a link process", || fleet.link_pid());
        let status = fs::read_to_string(format!("/proc/{link}/status")).unwrap();
        let id = |field: &str| -> u32 {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert!(ids.iter().all(|id| *id == ids[0] && *id != 0), "{status}");
            ids[0]
        };
        let (uid, gid) = (id("Uid:"), id("Gid:"));
        for nothing in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(status.contains(&format!("{nothing}:\t0000000000000000")), "{status}");
        }
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        assert_eq!(groups.trim(), "");
        Some(Self { fleet, link, uid, gid })
    }

    /// As whom the link runs. (Who becomes another user leaves all groups.)
    fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).uid(self.uid).gid(self.gid).current_dir("/").output().unwrap()
    }

    fn is_denied(&self, program: &str, argument: &str) {
        assert!(fs::symlink_metadata(argument).is_ok(), "{argument} is not there: nothing would be shown");
        let done = self.run(program, &[argument]);
        let said = text_of(&done.stderr);
        let denied = said.contains("Permission denied") || said.contains("not permitted");
        assert!(!done.status.success() && denied, "{program} {argument}: {done:?}");
    }
}

/// All files and directories below one.
fn below(dir: &Path) -> Vec<String> {
    let mut found = vec![dir.display().to_string()];
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(below(&entry.path())),
            false => found.push(entry.path().display().to_string()),
        }
    }
    found
}

#[test]
fn the_link_reads_neither_the_journal_nor_what_runs_and_writes_no_jobs() {
    let Some(confined) = Confined::new() else { return };
    let device = &confined.fleet.device;
    let (state, run) = (below(&device.path("state")), below(&device.path("run")));
    assert!(state.iter().any(|path| path.contains("journal-")), "{state:?}");
    assert!(run.iter().any(|path| path.contains("/runs/")), "{run:?}");
    for path in state.iter().chain(&run) {
        let program = if Path::new(path).is_dir() { "ls" } else { "cat" };
        confined.is_denied(program, path);
    }
    for dir in ["state", "run", "jobs.d"] {
        let new = device.path(dir).join("new.toml");
        assert!(!confined.run("touch", &[new.to_str().unwrap()]).status.success() && !new.exists());
    }
    let jobs = device.path("jobs.d/jobs.toml");
    assert!(!confined.run("sh", &["-c", &format!("echo >> {}", jobs.display())]).status.success());
}

#[test]
fn the_link_cannot_ask_the_agent_even_where_everybody_may_come_to_its_socket() {
    let Some(confined) = Confined::new() else { return };
    let device = &confined.fleet.device;
    // The command line is of the build's directory, where others may not look.
    let program = device.path("leafcron");
    fs::copy(env!("CARGO_BIN_EXE_leafcron"), &program).unwrap();
    let config = device.path("ask.toml");
    fs::write(&config, format!("run_dir = {:?}\n", device.path("run"))).unwrap();
    let ask =
        |words: &[&str]| confined.run(&program, &[&["--config", config.to_str().unwrap()], words].concat());
    let kept_out = ask(&["status"]);
    assert_eq!(kept_out.status.code(), Some(2), "{kept_out:?}");
    assert!(text_of(&kept_out.stderr).contains("is not open to you"), "{kept_out:?}");
    fs::set_permissions(device.path("run"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(device.path("run/control.sock"), Permissions::from_mode(0o666)).unwrap();
    for words in [&["status"][..], &["list"], &["run", "own"], &["stop", "own"], &["history"]] {
        let refused = ask(words);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{words:?}: {refused:?}");
        assert!(text_of(&refused.stderr).contains("as which the link to the centre runs"), "{refused:?}");
    }
    assert_eq!(device.json(&["status"])["running"].as_array().unwrap().len(), 1, "it runs on");
}

#[test]
fn the_link_sees_into_no_process_and_nobody_of_its_uid_sees_into_it() {
    let Some(confined) = Confined::new() else { return };
    let device = &confined.fleet.device;
    let runners = device.runners();
    for pid in [device.pid(), runners[0].0, confined.link] {
        for file in ["mem", "maps", "environ", "auxv"] {
            confined.is_denied("cat", &format!("/proc/{pid}/{file}"));
        }
        confined.is_denied("ls", &format!("/proc/{pid}/fd"));
        confined.is_denied("ls", &format!("/proc/{pid}/map_files"));
    }
    // The agent and what it runs are not its to end.
    for pid in [device.pid(), runners[0].0] {
        let killed = confined.run("sh", &["-c", &format!("kill -KILL {pid}")]);
        assert!(!killed.status.success(), "{killed:?}");
    }
    assert!(device.leafcron(&["status"]).status.success());
}

#[test]
fn the_link_holds_nothing_of_the_devices_open() {
    let Some(confined) = Confined::new() else { return };
    let log = confined.fleet.device.path("log").display().to_string();
    let open: Vec<String> = fs::read_dir(format!("/proc/{}/fd", confined.link))
        .unwrap()
        .flatten()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect();
    assert!(open.iter().any(|what| what.starts_with("socket:")), "{open:?}");
    for what in &open {
        let its_own = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/memfd:"];
        assert!(its_own.iter().any(|own| what.starts_with(own)) || *what == log, "{what} of {open:?}");
    }
}
