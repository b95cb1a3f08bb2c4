//! Limits and control groups with what this machine's kernel has: each test says aloud what it could not check here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what is not checked is said aloud")]

mod runtime_common;

use std::path::{Path, PathBuf};

use leafcron::job::{Action, IoPriority, RunLimits};
use leafcron::runtime::{End, Found, Launch, RunResult};
use runtime_common::{Room, is_alive, is_dead, until};

fn shell(text: &str) -> Action {
    Action::Shell(text.to_owned())
}

fn run(room: &Room, text: &str, user: Option<&str>, limits: RunLimits) -> RunResult {
    let mut spec = room.spec(shell(text));
    spec.user = user.map(str::to_owned);
    spec.limits = limits;
    room.result(&spec)
}

/// The control group of a command, if it has one of its own.
fn group_of(pid: u32) -> Option<PathBuf> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let name = name.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if own.lines().any(|line| line.strip_prefix("0::/") == Some(&name)) {
        return None;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    Some(Path::new(mount).join(name))
}

/// What gives a Run a control group also where the subtree is not delegated.
fn bounded() -> RunLimits {
    RunLimits { pids: Some(10_000), ..RunLimits::default() }
}

/// Whether Runs have control groups here, and with this controller.
fn served(room: &Room, controller: &str) -> bool {
    let live = room.started(shell("echo $$ > pid.new; echo up; sleep 1000"), |spec| {
        spec.working_dir = Some(room.dir.path().to_str().unwrap().to_owned());
        spec.limits = bounded();
    });
    let pid = std::fs::read_to_string(room.path("pid.new")).unwrap().trim().parse().unwrap();
    let group = group_of(pid);
    room.runtime.stop(&live).unwrap();
    room.wait(live);
    let file = match controller {
        "" => "cgroup.procs".to_owned(),
        name => format!("{name}.max"),
    };
    let there = group.is_some_and(|group| {
        assert!(!group.exists(), "{group:?} is left");
        let parent = std::fs::read_to_string(group.parent().unwrap().join("cgroup.subtree_control")).unwrap();
        file == "cgroup.procs" || parent.split_whitespace().any(|name| name == controller)
    });
    if !there {
        eprintln!("NOT CHECKED by control group: no {file} for Runs on this machine");
    }
    there
}

fn users() -> Vec<Option<&'static str>> {
    let root = nix::unistd::geteuid().is_root();
    [None, Some("nobody")].into_iter().take(1 + usize::from(root)).collect()
}

#[test]
fn nice_and_io_class_are_those_of_the_command_and_not_of_its_runner() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap();
    for launch in [Launch::Exec, Launch::Nursery] {
        let room = Room::new(launch);
        for user in users() {
            let limits = RunLimits {
                nice: Some(13),
                io: Some(IoPriority::Idle),
                required: true,
                ..RunLimits::default()
            };
            let result = run(&room, "nice; ionice; cut -d' ' -f19 /proc/$PPID/stat", user, limits);
            assert_eq!(result.output.head, format!("13\nidle\n{own}\n"), "{user:?} {:?}", result.end);
            let limits = RunLimits { io: Some(IoPriority::BestEffort(6)), ..RunLimits::default() };
            let result = run(&room, "nice; ionice", user, limits);
            assert_eq!(result.output.head, format!("{own}\nbest-effort: prio 6\n"), "{user:?}");
            assert!(result.not_applied.is_empty());
        }
    }
}

#[test]
fn a_job_that_eats_memory_ends_at_its_limit_and_its_record_says_so() {
    let room = Room::new(Launch::Nursery);
    let limits = RunLimits { memory: Some(48 << 20), required: true, ..RunLimits::default() };
    let eat = "head -c 300000000 /dev/zero | tail >/dev/null; echo over";
    for user in users() {
        let result = run(&room, eat, user, limits.clone());
        assert!(result.not_applied.is_empty());
        if served(&room, "memory") {
            // The whole of it, not only `tail`.
            assert_eq!(result.end, End::Signaled(9), "{result:?}");
            assert_eq!(result.detail.unwrap(), "killed at its memory limit of 48MiB");
            assert!(result.usage.max_rss_kib <= 48 << 10);
        } else {
            assert_eq!(result.end, End::Exited(0));
            assert!(result.output.head.contains("memory exhausted"), "{:?}", result.output);
            assert!(result.usage.max_rss_kib < 100 << 10, "{:?}", result.usage);
        }
    }
    // What was bounded is the job.
    let result = run(&room, "head -c 100000000 /dev/zero | tail >/dev/null", None, RunLimits::default());
    assert_eq!((result.end, result.output.bytes), (End::Exited(0), 0));
}

#[test]
fn a_job_that_forks_without_end_is_bounded_by_pids() {
    let room = Room::new(Launch::Nursery);
    let limits = RunLimits { pids: Some(12), ..RunLimits::default() };
    // Bounded by itself as well, should the limit not hold.
    let fork = "for n in 0 1 2 3 4 5 6 7 8 9; do for m in 0 1 2 3; do sleep 1000 & done; done; echo all";
    for user in users() {
        let result = run(&room, fork, user, limits.clone());
        if served(&room, "pids") {
            assert!(result.detail.unwrap().contains("forks were refused at its limit of 12 processes"));
            assert!(result.not_applied.is_empty());
        } else if user.is_none() {
            assert_eq!(result.not_applied, ["pids"], "no kernel bounds root by rlimits");
            assert_eq!(result.output.head, "all\n");
            continue;
        }
        assert!(!result.output.head.contains("all"), "{user:?} {:?}", result.output);
        assert!(result.output.head.to_lowercase().contains("fork"), "{user:?} {:?}", result.output);
    }
}

#[test]
fn what_cannot_be_applied_is_named_and_refused_where_it_is_required() {
    let room = Room::new(Launch::Nursery);
    let limits = RunLimits { cpu: Some(20), ..RunLimits::default() };
    let burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done";
    let result = run(&room, burn, None, limits.clone());
    assert_eq!(result.output.head, "done\n");
    let required = run(&room, burn, None, RunLimits { required: true, ..limits.clone() });
    if served(&room, "cpu") {
        assert!(result.not_applied.is_empty());
        assert_eq!(required.end, End::Exited(0));
        // A fifth of one processor: five times as long as it works.
        let took = result.ended.since(result.started).as_millis();
        assert!(took >= u128::from(result.usage.cpu_ms) * 3, "{took} ms for {:?}", result.usage);
    } else {
        assert_eq!(result.not_applied, ["cpu"]);
        let detail = "limits: cpu cannot be applied here, and limits.required is true".to_owned();
        assert_eq!(required.end, End::NotStarted { detail });
        assert_eq!(required.output.bytes, 0);
    }
}

#[test]
fn a_run_has_a_control_group_of_its_own_that_goes_with_it() {
    let room = Room::new(Launch::Nursery);
    if !served(&room, "") {
        return;
    }
    for user in users() {
        let mut spec =
            room.spec(shell("cat /proc/self/cgroup; cat /proc/$PPID/cgroup; (setsid sleep 1000 &)"));
        spec.user = user.map(str::to_owned);
        spec.limits = bounded();
        let result = room.result(&spec);
        let groups: Vec<&str> =
            result.output.head.lines().filter_map(|line| line.strip_prefix("0::")).collect();
        assert!(groups[0].contains(&format!("test-{}.", spec.run)), "{groups:?}");
        assert_ne!(groups[0], groups[1], "its runner stays outside");
    }
    let burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    let result = run(&room, burn, None, bounded());
    assert!(result.usage.cpu_ms > 20, "{:?}", result.usage);
}

#[test]
fn a_chain_of_forks_is_told_and_ends_within_its_grace() {
    let room = Room::new(Launch::Nursery);
    if !served(&room, "") {
        return;
    }
    // Each starts the next and ends: what a look at /proc finds may be gone when it is signalled. The grace is long: only
    // who hears TERM ends before it. Without its script, which goes with the room, the chain ends.
    let script = room.path("chain");
    std::fs::write(&script, format!("/bin/sh {} &\n", script.display())).unwrap();
    let chain = format!("for n in 1 2 3 4 5 6; do /bin/sh {} & done; echo up; sleep 1000", script.display());
    for _ in 0..5 {
        let live = room.started(shell(&chain), |spec| spec.limits = bounded());
        room.runtime.stop(&live).unwrap();
        let result = room.wait(live);
        assert!(matches!(result.end, End::Stopped(_) | End::Exited(0)), "{result:?}");
        let took = result.ended.since(result.started);
        assert!(took < std::time::Duration::from_secs(25), "only KILL ended it: {took:?}");
    }
}

#[test]
fn as_root_within_its_group_a_job_that_kills_its_runner_escapes_nothing() {
    let room = Room::new(Launch::Nursery);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT CHECKED: not root");
        return;
    }
    if !served(&room, "") {
        return;
    }
    let pids = room.path("pids");
    // Two sessions away, without a variable that would give it away, deaf to TERM: then the runner dies.
    let text = format!(
        "runner=$PPID; (env -i setsid sh -c 'trap \"\" TERM; (setsid sh -c \"echo \\$\\$ >> {0}; exec sleep 1000\" &); \
         echo $$ >> {0}; exec sleep 1000' &); while [ $(wc -l < {0}) -lt 2 ]; do sleep 0.01; done; echo up; \
         kill -9 $runner; sleep 1000",
        pids.display()
    );
    std::fs::write(&pids, "").unwrap();
    let live = room.started(shell(&text), |spec| spec.limits = bounded());
    let group = group_of(std::fs::read_to_string(&pids).unwrap().lines().next().unwrap().parse().unwrap());
    until("the runner is dead", || is_dead(&live, std::time::Duration::from_millis(10)).then_some(()));
    let found = room.runtime.collect(&live).unwrap();
    assert!(matches!(found, Found::Lost), "{found:?}");
    for pid in std::fs::read_to_string(&pids).unwrap().lines() {
        assert!(!is_alive(pid.parse().unwrap()), "{pid} lives");
    }
    assert!(!group.unwrap().exists());
}
