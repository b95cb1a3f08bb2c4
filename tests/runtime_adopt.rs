//! What is found of a Run after its runner's death, its agent's, or both; and what is never touched.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod runtime_common;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leafcron::job::{Action, RunId, Started};
use leafcron::runtime::{End, Found, How, Launch, Live, RunResult, RunSpec, Runtime, Since};
use runtime_common::{PROGRAM, Room, is_alive, is_dead, pids_of_session, spec, until, zombies_below};
use rustix::process::{Pid, Signal, kill_process};

fn shell(text: &str) -> Action {
    Action::Shell(text.to_owned())
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn wait(runtime: &Runtime, live: &Live) -> Found {
    until("the runner ends", || is_dead(live, Duration::from_millis(10)).then_some(()));
    runtime.collect(live).unwrap()
}

fn ended(found: Found) -> RunResult {
    match found {
        Found::Ended(result) => result,
        found => panic!("{found:?}"),
    }
}

/// A run directory with its spec, and a runner that never came: the binary is `true`.
fn prepared(room: &Room, spec: &RunSpec) {
    let program = Path::new("/bin/true");
    let idle = Runtime::with(&room.path("run"), program, Launch::Exec).unwrap();
    let live = idle.start(spec).unwrap();
    until("it does nothing", || is_dead(&live, Duration::from_millis(10)).then_some(()));
    rustix::process::waitid(
        rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&live)),
        rustix::process::WaitIdOptions::EXITED,
    )
    .unwrap();
}

fn runner(room: &Room, run: RunId) -> Child {
    Command::new(PROGRAM)
        .args(["runner", &run.to_string()])
        .current_dir(room.path("run/runs"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

// ---- an agent of its own process: this test program, executed anew ----

const AGENT_DIR: &str = "LEAFCRON_TEST_AGENT_DIR";
const AGENT_TEXT: &str = "LEAFCRON_TEST_AGENT_TEXT";
const AGENT_LAUNCH: &str = "LEAFCRON_TEST_AGENT_LAUNCH";

#[test]
#[ignore = "not a test: the agent that others kill"]
fn an_agent() {
    let Ok(dir) = std::env::var(AGENT_DIR) else { return };
    let launch = if std::env::var(AGENT_LAUNCH).unwrap() == "Exec" { Launch::Exec } else { Launch::Nursery };
    let runtime = Runtime::with(Path::new(&dir), Path::new(PROGRAM), launch).unwrap();
    let live = runtime.start(&spec(shell(&std::env::var(AGENT_TEXT).unwrap()))).unwrap();
    let it = live.started();
    println!("\nstarted {} {} {}", it.run, it.pid, it.start_ticks);
    loop {
        std::thread::park();
    }
}

/// Starts it; answers when its run has a runner.
fn agent(room: &Room, launch: Launch, text: &str) -> (Child, Started) {
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_agent", "--ignored", "--nocapture"])
        .env(AGENT_DIR, room.path("run"))
        .env(AGENT_TEXT, text)
        .env(AGENT_LAUNCH, format!("{launch:?}"))
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("started ")).unwrap();
    let numbers: Vec<u64> = line.split(' ').skip(1).map(|it| it.parse().unwrap()).collect();
    let pid = u32::try_from(numbers[1]).unwrap();
    (agent, Started { run: RunId(numbers[0]), pid, start_ticks: numbers[2] })
}

#[test]
fn a_run_outlives_its_agent_and_its_result_is_found() {
    for launch in [Launch::Exec, Launch::Nursery] {
        let room = Room::new(launch);
        let go_on = room.path("go-on");
        let text = format!("while [ ! -e {} ]; do sleep 0.01; done; echo survived; exit 4", go_on.display());
        let (mut agent, started) = agent(&room, launch, &text);
        agent.kill().unwrap();
        agent.wait().unwrap();
        let found = room.runtime.inspect(started.run, Some(started), Since::ThisBoot).unwrap();
        let Found::Running(live) = found else { panic!("{found:?}") };
        // Killed before it had noted the runner: found all the same.
        let go = room.path(&format!("run/runs/{}/go", started.run));
        until("go is there", || go.is_symlink().then_some(()));
        let found = room.runtime.inspect(started.run, None, Since::ThisBoot).unwrap();
        let Found::Running(again) = found else { panic!("{found:?}") };
        assert_eq!((live.started(), again.started()), (started, started));
        assert!(!is_dead(&live, Duration::ZERO));
        std::fs::write(&go_on, "").unwrap();
        let result = ended(wait(&room.runtime, &again));
        assert_eq!((result.end, result.output.head.as_str()), (End::Exited(4), "survived\n"));
    }
}

#[test]
fn an_adopted_run_can_be_stopped() {
    let room = Room::new(Launch::Nursery);
    let (mut agent, started) = agent(&room, Launch::Nursery, "sleep 1000");
    agent.kill().unwrap();
    agent.wait().unwrap();
    let found = room.runtime.inspect(started.run, Some(started), Since::ThisBoot).unwrap();
    let Found::Running(live) = found else { panic!("{found:?}") };
    until("the command is up", || (pids_of_session(started.pid).len() > 1).then_some(()));
    room.runtime.stop(&live).unwrap();
    assert_eq!(ended(wait(&room.runtime, &live)).end, End::Stopped(How::Signaled(15)));
    room.runtime.stop(&live).unwrap();
}

#[test]
fn of_a_killed_runner_nothing_is_left_but_its_neighbours() {
    for launch in [Launch::Exec, Launch::Nursery] {
        let room = Room::new(launch);
        let pids = room.path("pids");
        // Its session; a child without variables; a daemon in a session of its own that only its variables give away.
        let text = format!(
            "env -i sleep 1000 & setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 1000' & echo up; wait",
            pids.display()
        );
        let live = room.started(shell(&text), |_| {});
        let neighbour = room.started(shell("setsid sleep 1000 & echo up; wait"), |_| {});
        let daemon = until("the daemon is up", || std::fs::read_to_string(&pids).ok());
        kill(live.started().pid);
        let found = wait(&room.runtime, &live);
        assert!(matches!(found, Found::Lost), "{found:?}");
        let daemon = pids_of_session(daemon.trim().parse().unwrap());
        let left = [daemon, pids_of_session(live.started().pid)].concat();
        assert!(left.iter().all(|pid| !is_alive(*pid)), "{left:?}");
        assert!(!is_dead(&neighbour, Duration::ZERO));
        room.runtime.stop(&neighbour).unwrap();
        assert_eq!(ended(wait(&room.runtime, &neighbour)).end, End::Stopped(How::Signaled(15)));
        std::fs::remove_file(pids).unwrap();
    }
}

#[test]
fn when_agent_and_runner_are_both_killed_the_tree_is_found_by_its_variables() {
    let room = Room::new(Launch::Nursery);
    let (mut agent, started) = agent(&room, Launch::Nursery, "(setsid sleep 1000 & sleep 1000) & wait");
    until("the tree is up", || (pids_of_session(started.pid).len() > 2).then_some(()));
    let tree: Vec<u32> = pids_of_session(started.pid).into_iter().filter(|pid| *pid != started.pid).collect();
    agent.kill().unwrap();
    agent.wait().unwrap();
    kill(started.pid);
    until("the runner is dead", || (!is_alive(started.pid)).then_some(()));
    // The journal never learnt of the runner: `go` names it.
    let found = room.runtime.inspect(started.run, None, Since::ThisBoot).unwrap();
    assert!(matches!(found, Found::Lost), "{found:?}");
    assert!(tree.iter().all(|pid| !is_alive(*pid)), "{tree:?}");
}

#[test]
fn what_was_prepared_but_never_started_never_will_be() {
    let room = Room::new(Launch::Exec);
    let mark = room.path("mark");
    let spec = spec(shell(&format!(": > {}", mark.display())));
    prepared(&room, &spec);
    for _ in 0..2 {
        let found = room.runtime.inspect(spec.run, None, Since::ThisBoot).unwrap();
        assert!(matches!(found, Found::NeverStarted), "{found:?}");
    }
    // A runner that comes late loses, before the directory is cleared and after.
    assert!(runner(&room, spec.run).wait().unwrap().success());
    room.runtime.clear(spec.run).unwrap();
    assert!(!runner(&room, spec.run).wait().unwrap().success());
    assert!(!mark.exists() && room.runtime.existing().unwrap().is_empty());
    let found = room.runtime.inspect(spec.run, None, Since::ThisBoot).unwrap();
    assert!(matches!(found, Found::NeverStarted), "{found:?}");
}

#[test]
fn whoever_wins_go_decides_and_a_command_is_started_at_most_once() {
    let room = Room::new(Launch::Exec);
    for round in 0..40 {
        let mark = room.path(&format!("mark{round}"));
        let spec = spec(shell(&format!("echo started >> {}", mark.display())));
        prepared(&room, &spec);
        let mut runners = [runner(&room, spec.run), runner(&room, spec.run)];
        // From at once to well after they have started.
        (0..round * 20_000).for_each(|_| std::hint::spin_loop());
        let found = room.runtime.inspect(spec.run, None, Since::ThisBoot).unwrap();
        runners.iter_mut().for_each(|runner| {
            runner.wait().unwrap();
        });
        let starts = std::fs::read_to_string(&mark).unwrap_or_default().lines().count();
        match found {
            Found::NeverStarted => assert_eq!(starts, 0),
            Found::Running(_) | Found::Ended(_) => assert_eq!(starts, 1),
            Found::Lost => panic!("lost"),
        }
        let again = room.runtime.inspect(spec.run, None, Since::ThisBoot).unwrap();
        assert_eq!(matches!(again, Found::Ended(_)), starts == 1, "{again:?}");
    }
}

#[test]
fn a_reused_pid_is_never_touched() {
    let room = Room::new(Launch::Exec);
    let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let wrong = |run| Started { run, pid: stranger.id(), start_ticks: 1 };
    // No directory, but the journal names a runner.
    let found = room.runtime.inspect(RunId(1), Some(wrong(RunId(1))), Since::ThisBoot).unwrap();
    assert!(matches!(found, Found::Lost), "{found:?}");
    // A directory whose `go` names it.
    let spec = spec(shell("true"));
    prepared(&room, &spec);
    std::fs::write(room.path(&format!("run/runs/{}/go", spec.run)), format!("{} 1\n", stranger.id()))
        .unwrap();
    let found = room.runtime.inspect(spec.run, Some(wrong(spec.run)), Since::ThisBoot).unwrap();
    assert!(matches!(found, Found::Lost), "{found:?}");
    room.runtime.abandon(spec.run).unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "it was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn of_an_earlier_boot_nothing_is_killed_and_a_result_still_counts() {
    let room = Room::new(Launch::Nursery);
    let live = room.started(shell("echo up; sleep 1000"), |_| {});
    let started = live.started();
    let found = room.runtime.inspect(started.run, Some(started), Since::EarlierBoot).unwrap();
    assert!(matches!(found, Found::Lost), "{found:?}");
    assert!(!is_dead(&live, Duration::ZERO));
    room.runtime.stop(&live).unwrap();
    wait(&room.runtime, &live);
    ended(room.runtime.inspect(started.run, None, Since::EarlierBoot).unwrap());
    let gone = room.runtime.inspect(RunId(2), None, Since::EarlierBoot).unwrap();
    assert!(matches!(gone, Found::NeverStarted), "{gone:?}");
}

#[test]
fn a_damaged_result_counts_as_lost() {
    let room = Room::new(Launch::Nursery);
    let spec = spec(shell("true"));
    room.result(&spec);
    let path = room.path(&format!("run/runs/{}/result", spec.run));
    for bytes in [&b""[..], &[99, 1, 2], &[1, 255, 255]] {
        std::fs::write(&path, bytes).unwrap();
        let found = room.runtime.inspect(spec.run, None, Since::ThisBoot).unwrap();
        assert!(matches!(found, Found::Lost), "{found:?}");
    }
}

#[test]
fn an_abandoned_run_ends_with_its_daemons_and_its_directory() {
    let room = Room::new(Launch::Nursery);
    let pids = room.path("pids");
    let text = format!(
        "(env -i setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 1000' &) ; echo up; sleep 1000",
        pids.display()
    );
    let live = room.started(shell(&text), |_| {});
    let daemon = until("the daemon is up", || std::fs::read_to_string(&pids).ok());
    room.runtime.abandon(live.run()).unwrap();
    until("the runner is dead", || is_dead(&live, Duration::from_millis(10)).then_some(()));
    // It leads its session, and may have been about to fork when its end came.
    let daemon = pids_of_session(daemon.trim().parse().unwrap());
    assert!(daemon.iter().all(|pid| !is_alive(*pid)), "{daemon:?}");
    let left = pids_of_session(live.started().pid);
    assert!(left.iter().all(|pid| !is_alive(*pid)), "{left:?}");
    assert!(room.runtime.existing().unwrap().is_empty());
    room.runtime.abandon(live.run()).unwrap();
}

#[test]
fn a_stop_at_once_is_a_stop_or_no_start() {
    for launch in [Launch::Exec, Launch::Nursery] {
        let room = Room::new(launch);
        for _ in 0..10 {
            let live = room.runtime.start(&spec(shell("sleep 1000"))).unwrap();
            room.runtime.stop(&live).unwrap();
            match wait(&room.runtime, &live) {
                Found::Ended(result) => assert_eq!(result.end, End::Stopped(How::Signaled(15))),
                Found::NeverStarted => assert_eq!(launch, Launch::Exec),
                found => panic!("{found:?}"),
            }
        }
    }
}

#[test]
fn runners_come_from_the_binary_that_the_agent_was_started_from() {
    for launch in [Launch::Exec, Launch::Nursery] {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("leafcrond");
        std::fs::copy(PROGRAM, &old).unwrap();
        let room = Room { runtime: Runtime::with(&dir.path().join("run"), &old, launch).unwrap(), dir };
        std::fs::remove_file(&old).unwrap();
        std::fs::write(&old, "#!/bin/false\n").unwrap();
        assert_eq!(room.result(&spec(shell("true"))).end, End::Exited(0));
    }
}

#[test]
fn a_directory_of_runs_that_is_not_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Runtime::with(dir.path(), Path::new(PROGRAM), Launch::Exec);
    open().unwrap();
    let runs = dir.path().join("runs");
    std::fs::set_permissions(&runs, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    open().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&runs).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&runs, Some(nix::unistd::Uid::from_raw(4_242)), None).unwrap();
        assert!(open().is_err());
    }
    std::fs::remove_dir(&runs).unwrap();
    std::os::unix::fs::symlink("/tmp", &runs).unwrap();
    assert!(open().is_err());
}

// ---- what needs a process of its own: these wait for any child ----

const ALONE: &str = "LEAFCRON_TEST_ALONE";

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

fn alone(test: &str) {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(ALONE, "")
        .status()
        .unwrap();
    assert!(done.success(), "{test}");
}

#[test]
fn no_zombie_is_left_and_no_status_is_stolen() {
    alone("reaping");
}

#[test]
#[ignore = "waits for any child: executed alone by another test"]
fn reaping() {
    if !is_alone() {
        return;
    }
    let reaper = Room::new(Launch::Exec);
    for launch in [Launch::Exec, Launch::Nursery] {
        let room = Room::new(launch);
        let lives: Vec<Live> = (0..5).map(|_| room.runtime.start(&spec(shell("exit 3"))).unwrap()).collect();
        for live in &lives {
            until("the runner ends", || is_dead(live, Duration::from_millis(10)).then_some(()));
        }
        // Reaped before they are asked about, as by a SIGCHLD between: their results tell.
        room.runtime.reap_orphans(&[]);
        for live in &lives {
            assert_eq!(ended(room.runtime.collect(live).unwrap()).end, End::Exited(3));
        }
        // A runner dies, its tree falls to us.
        let live = room.started(shell("sleep 1000 & echo up; wait"), |_| {});
        kill(live.started().pid);
        let found = wait(&room.runtime, &live);
        assert!(matches!(found, Found::Lost), "{found:?}");
        // Somebody else's children, dead before and after ours.
        let mut kept = Command::new("false").spawn().unwrap();
        until("it is dead", || (!is_alive(kept.id())).then_some(()));
        let after = room.runtime.start(&spec(shell("true"))).unwrap();
        until("the runner ends", || is_dead(&after, Duration::from_millis(10)).then_some(()));
        room.runtime.reap_orphans(&[kept.id()]);
        assert_eq!(zombies_below(std::process::id()), [kept.id()]);
        assert_eq!(kept.wait().unwrap().code(), Some(1));
        drop(room);
        until("the nursery ends with its socket, and is reaped", || {
            reaper.runtime.reap_orphans(&[]);
            (nurseries().is_empty() && zombies_below(std::process::id()).is_empty()).then_some(())
        });
    }
}

/// Our own nurseries.
fn nurseries() -> Vec<u32> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == own;
            (parent && words.ends_with("\0nursery\0") && comm.trim_end() != "leafcron-runner").then_some(pid)
        })
        .collect()
}

#[test]
fn a_nursery_that_dies_is_replaced_and_an_idle_one_ends() {
    alone("nursery");
}

#[test]
#[ignore = "counts its children: executed alone by another test"]
fn nursery() {
    if !is_alone() {
        return;
    }
    let room = Room::new(Launch::Nursery);
    assert!(nurseries().is_empty());
    let run = || assert_eq!(room.result(&spec(shell("true"))).end, End::Exited(0));
    run();
    let first = nurseries();
    run();
    assert_eq!(nurseries(), first);
    // Killed; then stopped, so that it does not answer.
    kill(first[0]);
    run();
    let second = nurseries();
    assert!(second.len() == 1 && second != first, "{second:?}");
    kill_process(Pid::from_raw(i32::try_from(second[0]).unwrap()).unwrap(), Signal::STOP).unwrap();
    run();
    kill(second[0]);
    run();
    let third = nurseries();
    assert_eq!(third.len(), 1);
    let live = room.started(shell("echo up; sleep 1000"), |_| {});
    until("the idle nursery ends, its runners do not", || {
        room.runtime.reap_orphans(&[]);
        nurseries().is_empty().then_some(())
    });
    assert!(!is_dead(&live, Duration::ZERO));
    run();
    room.runtime.stop(&live).unwrap();
    room.wait(live);
}

#[test]
fn on_a_full_file_system_how_it_ended_still_comes_through() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    let flags = nix::mount::MsFlags::empty();
    if nix::mount::mount(Some("tmpfs"), &run_dir, Some("tmpfs"), flags, Some("size=64k")).is_err() {
        return;
    }
    let room = Room { runtime: Runtime::with(&run_dir, Path::new(PROGRAM), Launch::Nursery).unwrap(), dir };
    let mut spec = spec(shell(&format!(
        "head -c 30000 /dev/zero | tr '\\0' x; dd if=/dev/zero of={}/filler bs=1k 2>/dev/null; exit 6",
        run_dir.display()
    )));
    spec.output = 65_536;
    let result = room.result(&spec);
    let unmounted = nix::mount::umount2(&run_dir, nix::mount::MntFlags::MNT_DETACH);
    assert_eq!(result.end, End::Exited(6));
    assert_eq!((result.output.bytes, result.output.dropped, result.output.head.len()), (30_000, 30_000, 0));
    unmounted.unwrap();
}
