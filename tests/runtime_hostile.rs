//! Jobs that mean harm, one by one: how each ends, what the record says, and that nothing of it is left. Those that eat
//! or fork to a limit, and root within its control group, are in `runtime_limits`; further ones in `runtime`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod runtime_common;

use std::path::PathBuf;
use std::time::Duration;

use leafcron::job::{Action, RunId};
use leafcron::runtime::{End, Found, How, Launch, Live, RunResult};
use runtime_common::{Room, is_alive, is_dead, pids_of_session, until};

/// Runs `text`, which may write pids to `@PIDS@`, and holds that nothing is left: neither its session nor those pids.
fn hostile(room: &Room, text: &str, change: impl FnOnce(&mut leafcron::runtime::RunSpec)) -> RunResult {
    let pids = room.path("pids");
    std::fs::write(&pids, "").unwrap();
    std::fs::set_permissions(&pids, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut spec = room.spec(Action::Shell(text.replace("@PIDS@", pids.to_str().unwrap())));
    change(&mut spec);
    let live = room.runtime.start(&spec).unwrap();
    let session = live.started().pid;
    let result = room.wait(live);
    let left: Vec<u32> = pids_of_session(session).into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} are left of {text}");
    for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
        assert!(!is_alive(pid.parse().unwrap()), "{pid} is left of {text}");
    }
    assert_eq!(result.survivors, 0);
    result
}

fn both(test: impl Fn(&Room)) {
    for launch in [Launch::Exec, Launch::Nursery] {
        test(&Room::new(launch));
    }
}

#[test]
fn one_that_closes_its_pipes_and_lives_on_is_waited_for() {
    both(|room| {
        let result = hostile(room, "echo before; exec >&- 2>&- <&-; sleep 0.3; exit 3", |_| {});
        assert_eq!((result.end, result.output.head.as_str()), (End::Exited(3), "before\n"));
        assert!(result.ended.since(result.started) >= Duration::from_millis(300));
    });
}

#[test]
fn one_that_forks_and_exits_takes_its_children_with_it() {
    both(|room| {
        let text = "for n in 1 2 3; do sleep 1000 & echo $! >> @PIDS@; done; exit 5";
        assert_eq!(hostile(room, text, |_| {}).end, End::Exited(5));
        // Children that ignore it, in sessions and groups of their own, after an end and after a timeout.
        let deaf = "setsid sh -c 'trap \"\" TERM HUP; echo $$ >> @PIDS@; exec sleep 1000' & \
                    while [ ! -s @PIDS@ ]; do sleep 0.01; done; ";
        let grace =
            |spec: &mut leafcron::runtime::RunSpec| spec.stop_grace = Some(Duration::from_millis(100));
        assert_eq!(hostile(room, &format!("{deaf} exit 6"), grace).end, End::Exited(6));
        let timed_out = hostile(room, &format!("{deaf} sleep 1000"), |spec| {
            grace(spec);
            spec.timeout = Some(Duration::from_millis(500));
        });
        assert_eq!(timed_out.end, End::TimedOut(How::Signaled(15)));
    });
}

#[test]
fn children_that_are_born_while_term_is_sent_hear_of_it_too() {
    let room = Room::new(Launch::Nursery);
    // The command is over, what it left goes on forking: nothing but a look that finds all of it tells them in time.
    let text = "(n=0; while [ $n -lt 400 ]; do sleep 1000 & n=$((n+1)); done) & sleep 0.05; exit 5";
    for _ in 0..3 {
        let result = hostile(&room, text, |_| {});
        assert_eq!(result.end, End::Exited(5));
        let took = result.ended.since(result.started);
        assert!(took < Duration::from_secs(25), "only KILL ended it: {took:?}");
    }
}

#[test]
fn what_is_no_text_is_shown_as_text() {
    let room = Room::new(Launch::Nursery);
    let result = hostile(&room, "printf 'a\\377\\376b\\303'", |_| {});
    assert_eq!((result.end, result.output.head.as_str()), (End::Exited(0), "a\u{fffd}\u{fffd}b\u{fffd}"));
    assert_eq!((result.output.bytes, result.output.dropped), (5, 0));
}

#[test]
fn one_that_stops_itself_ends_at_its_timeout() {
    let room = Room::new(Launch::Nursery);
    let result = hostile(&room, "kill -STOP $$", |spec| spec.timeout = Some(Duration::from_millis(200)));
    assert_eq!(result.end, End::TimedOut(How::Signaled(15)));
}

#[test]
fn a_script_that_may_not_be_executed_says_why() {
    let room = Room::new(Launch::Nursery);
    let script = room.path("script");
    std::fs::write(&script, "no shebang").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for user in [None, Some("nobody".to_owned())].into_iter().take(1 + usize::from(is_root())) {
        let mut spec = room.spec(Action::Argv(vec!["/bin/true".to_owned()]));
        spec.user = user;
        spec.action = Action::Argv(vec![script.to_str().unwrap().to_owned()]);
        std::fs::set_permissions(room.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let detail = format!("{}: exec format error", script.display());
        assert_eq!(room.result(&spec).end, End::NotStarted { detail });
        spec.run = RunId(spec.run.0 + (1 << 40));
        spec.action = Action::Argv(vec!["/etc/hostname/x".to_owned()]);
        let detail = "/etc/hostname/x: no such file or directory".to_owned();
        assert_eq!(room.result(&spec).end, End::NotStarted { detail });
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn an_unprivileged_job_can_neither_kill_nor_look_into_nor_forge_its_runner() {
    if !is_root() {
        eprintln!("NOT CHECKED: it takes root to run a job as another user");
        return;
    }
    both(|room| {
        std::fs::set_permissions(room.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let runs: PathBuf = room.path("run/runs");
        // Each line is an attack that must fail; /proc/PID/mem and environ ask what ptrace(2) asks.
        let text = format!(
            "me=$LEAFCRON_RUN\n\
             kill -KILL $PPID && echo KILLED; kill -STOP $PPID && echo STOPPED; kill -TERM $PPID && echo TOLD\n\
             (: < /proc/$PPID/mem) && echo PTRACED; cat /proc/$PPID/environ && echo LOOKED\n\
             ls -l /proc/$PPID/fd && echo LISTED; (: > /proc/$PPID/fd/1) && echo WROTE\n\
             ls {0} && echo SEEN; echo x > {0}/$me/result && echo FORGED; ln -s nobody {0}/$me/go && echo CLAIMED\n\
             mkdir {0}/999 && echo MADE; mv {0}/$me {0}/x && echo MOVED\n\
             echo $PPID > /sys/fs/cgroup/cgroup.procs && echo ESCAPED; kill -KILL -1\n\
             exit 3",
            runs.display()
        );
        let mut spec = room.spec(Action::Shell(format!("({text}) 2>/dev/null; exit 4")));
        spec.user = Some("nobody".to_owned());
        spec.output = 64 * 1024;
        let live = room.runtime.start(&spec).unwrap();
        let session = live.started().pid;
        let result = room.wait(live);
        // `kill -1` ends all that it may: itself and every process of that user.
        assert!(matches!(result.end, End::Signaled(9) | End::Exited(3 | 4)), "{result:?}");
        assert_eq!(result.output.head, "", "an attack came through");
        assert!(pids_of_session(session).is_empty());
        assert_eq!(room.runtime.existing().unwrap(), [spec.run]);
        room.runtime.clear(spec.run).unwrap();
    });
}

#[test]
fn a_tree_that_kill_cannot_end_stays_a_run_until_it_ends() {
    // The freezer of version 1 holds a process even against KILL, as a dead disk does.
    let freezer = PathBuf::from(format!("/sys/fs/cgroup/freezer/leafcron-test-{}", std::process::id()));
    if std::fs::create_dir(&freezer).is_err() {
        eprintln!("NOT CHECKED: no freezer of version 1 to hold a process against KILL");
        return;
    }
    let room = Room::new(Launch::Nursery);
    let live = room.started(
        Action::Shell(format!("echo $$ > {}; echo up; sleep 1000", freezer.join("cgroup.procs").display())),
        |spec| spec.stop_grace = Some(Duration::from_millis(50)),
    );
    std::fs::write(freezer.join("freezer.state"), "FROZEN").unwrap();
    room.runtime.stop(&live).unwrap();
    assert!(!is_dead(&live, Duration::from_millis(1_500)), "the runner gave it up");
    let found = room.runtime.inspect(live.run(), Some(live.started()), leafcron::runtime::Since::ThisBoot);
    assert!(matches!(found, Ok(Found::Running(_))), "{found:?}");
    std::fs::write(freezer.join("freezer.state"), "THAWED").unwrap();
    let result = room.wait(live);
    assert!(matches!(result.end, End::Stopped(How::Signaled(_))), "{result:?}");
    until("its group is empty", || std::fs::remove_dir(&freezer).ok());
}

#[test]
fn after_all_that_nothing_is_left() {
    // Everything above in one room, side by side; then no process of its runs is alive, and no control group is there.
    let room = Room::new(Launch::Nursery);
    let texts = [
        "exit 1",
        "(setsid sleep 1000 &) ; exit 2",
        "trap '' TERM; sleep 1000",
        "kill -STOP $$",
        "exec >&- 2>&-; sleep 1000",
        "while :; do sleep 1000 & sleep 0.01; done",
        "kill -SEGV $$",
    ];
    let lives: Vec<Live> = texts
        .iter()
        .map(|text| {
            let mut spec = room.spec(Action::Shell((*text).to_owned()));
            spec.timeout = Some(Duration::from_millis(300));
            spec.stop_grace = Some(Duration::from_millis(100));
            room.runtime.start(&spec).unwrap()
        })
        .collect();
    let runs: Vec<RunId> = lives.iter().map(Live::run).collect();
    for live in lives {
        room.wait(live);
    }
    let marks: Vec<String> = runs.iter().map(|run| format!("LEAFCRON_RUN={run}")).collect();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ).into_owned();
        let left = environ.split('\0').any(|variable| marks.iter().any(|mark| mark == variable));
        assert!(!left, "{:?} is left", entry.path());
    }
    let cgroups = std::fs::read_dir("/sys/fs/cgroup/unified").into_iter().flatten().flatten();
    for name in cgroups.filter_map(|entry| entry.file_name().into_string().ok()) {
        assert!(!runs.iter().any(|run| name.contains(&format!("-{run}."))), "{name} is left");
    }
    for run in runs {
        room.runtime.clear(run).unwrap();
    }
    assert!(room.runtime.existing().unwrap().is_empty());
}
