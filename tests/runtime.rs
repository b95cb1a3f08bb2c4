//! Runs as real processes: what they see, how they end, and that nothing of them is left.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod runtime_common;

use std::time::Duration;

use leafcron::job::{Action, Output};
use leafcron::runtime::{End, EnvFile, How, Launch};
use runtime_common::{Room, pids_of_session, until};

fn shell(text: &str) -> Action {
    Action::Shell(text.to_owned())
}

fn argv(words: &[&str]) -> Action {
    Action::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

/// The same promises hold however runners are started.
fn both(test: impl Fn(&Room)) {
    for launch in [Launch::Exec, Launch::Nursery] {
        test(&Room::new(launch));
    }
}

#[test]
fn a_command_ends_and_its_exit_code_and_output_are_known() {
    both(|room| {
        let result = room.result(&room.spec(shell("echo out; echo err >&2; exit 3")));
        assert_eq!(result.end, End::Exited(3));
        assert_eq!(result.output.head, "out\nerr\n");
        assert_eq!((result.output.bytes, result.output.dropped, result.survivors), (8, 0, 0));
        assert!(result.ended >= result.started && result.started.millis() > 1_700_000_000_000);
        assert!(result.usage.max_rss_kib > 0);
    });
}

#[test]
fn a_signal_is_not_an_exit_code() {
    let room = Room::new(Launch::Exec);
    assert_eq!(room.result(&room.spec(shell("kill -USR1 $$"))).end, End::Signaled(10));
}

#[test]
fn a_silent_command_is_silent() {
    let room = Room::new(Launch::Exec);
    let result = room.result(&room.spec(argv(&["true"])));
    assert_eq!((result.end, result.output), (End::Exited(0), Output::default()));
}

#[test]
fn a_program_that_does_not_exist_is_told_apart_from_exit_code_127() {
    both(|room| {
        let detail = "/bin/nope: no such file or directory".to_owned();
        let result = room.result(&room.spec(argv(&["/bin/nope"])));
        assert_eq!(result.end, End::NotStarted { detail });
        let detail = "nope: no such file or directory".to_owned();
        assert_eq!(room.result(&room.spec(argv(&["nope"]))).end, End::NotStarted { detail });
        let detail = "/etc/passwd: permission denied".to_owned();
        assert_eq!(room.result(&room.spec(argv(&["/etc/passwd"]))).end, End::NotStarted { detail });
        assert_eq!(room.result(&room.spec(shell("/bin/nope"))).end, End::Exited(127));
    });
}

#[test]
fn what_is_missing_is_named() {
    let room = Room::new(Launch::Exec);
    let not_started = |change: &dyn Fn(&mut leafcron::runtime::RunSpec)| {
        let mut spec = room.spec(argv(&["true"]));
        change(&mut spec);
        match room.result(&spec).end {
            End::NotStarted { detail } => detail,
            end => panic!("{end:?}"),
        }
    };
    let detail = not_started(&|spec| spec.working_dir = Some("/nope/x".to_owned()));
    assert_eq!(detail, "working_dir /nope/x: no such file or directory");
    let detail = not_started(&|spec| spec.user = Some("no-such-user".to_owned()));
    assert_eq!(detail, "user no-such-user: there is no such user");
    let detail = not_started(&|spec| spec.env_file = Some(EnvFile::Local("/nope.env".to_owned())));
    assert_eq!(detail, "env_file /nope.env: no such file or directory");
    let detail = not_started(&|spec| spec.env_file = Some(EnvFile::Local("/dev/null".to_owned())));
    assert_eq!(detail, "env_file /dev/null: is not a regular file");
    let fifo = room.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.to_str().unwrap().to_owned();
    let detail = not_started(&|spec| spec.env_file = Some(EnvFile::Local(fifo.clone())));
    assert!(detail.ends_with("is not a regular file"), "{detail}");
}

#[test]
fn the_environment_is_built_from_nothing() {
    both(|room| {
        let file = room.path("env");
        std::fs::write(&file, "FROM_FILE=yes\nOVER=file\n").unwrap();
        let mut spec = room.spec(argv(&["env"]));
        spec.output = 64 * 1024;
        spec.env = vec![
            ("OVER".to_owned(), "job".to_owned()),
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("LEAFCRON_JOB".to_owned(), "forged".to_owned()),
        ];
        spec.env_file = Some(EnvFile::Local(file.to_str().unwrap().to_owned()));
        spec.time_zone = Some("Europe/Berlin".to_owned());
        let text = room.result(&spec).output.head;
        let mut names: Vec<&str> = text.lines().map(|line| line.split_once('=').unwrap().0).collect();
        names.sort_unstable();
        let expected = [
            "FROM_FILE",
            "HOME",
            "LANG",
            "LEAFCRON_ATTEMPT",
            "LEAFCRON_DUE",
            "LEAFCRON_JOB",
            "LEAFCRON_RUN",
            "LEAFCRON_TRIGGER",
            "LOGNAME",
            "OVER",
            "PATH",
            "SHELL",
            "TZ",
            "USER",
        ];
        assert_eq!(names, expected);
        for line in [
            "OVER=file",
            "PATH=/usr/bin:/bin",
            "TZ=Europe/Berlin",
            "SHELL=/bin/sh",
            "LEAFCRON_JOB=test",
            "LEAFCRON_DUE=2026-11-22T02:00:00.000Z",
            "LEAFCRON_ATTEMPT=2",
            "LEAFCRON_TRIGGER=catch_up",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
        }
        assert!(text.contains(&format!("LEAFCRON_RUN={}\n", spec.run)));
    });
}

#[test]
fn umask_directory_descriptors_session_and_group_are_as_documented() {
    both(|room| {
        let mut spec = room.spec(shell(
            "umask; pwd; ls -l /proc/self/fd | grep -c /dev/null; echo $(ls /proc/self/fd | wc -w); \
              cut -d' ' -f6 /proc/$$/stat; cut -d' ' -f5 /proc/$$/stat; echo $$ $PPID",
        ));
        spec.umask = 0o027;
        spec.working_dir = Some("/usr".to_owned());
        let text = room.result(&spec).output.head;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["0027", "/usr"], "{text}");
        // Standard input; then 0, 1, 2, and the directory that ls itself reads.
        assert_eq!(lines[2..4], ["1", "4"], "{text}");
        let (pid, runner) = lines[6].split_once(' ').unwrap();
        assert_eq!(lines[4..6], [runner, pid], "the runner's session, its own group: {text}");
    });
}

/// Asked of the command itself: a shell sets its own mask whenever it waits.
fn status_lines(room: &Room, user: Option<&str>) -> Vec<(String, u64)> {
    let mut spec = room.spec(argv(&["grep", "-E", "SigBlk|SigIgn|CapEff", "/proc/self/status"]));
    spec.user = user.map(str::to_owned);
    let line = |line: &str| {
        let (name, set) = line.split_once(":\t").unwrap();
        (name.to_owned(), u64::from_str_radix(set, 16).unwrap())
    };
    room.result(&spec).output.head.lines().map(line).collect()
}

#[test]
fn a_command_begins_with_no_signal_blocked_or_ignored_and_a_user_without_capabilities() {
    // glibc's posix_spawn leaves its own two signals, 32 and 33, ignored.
    let own_to_libc = 3 << 31;
    let users = [None, Some("nobody")];
    both(|room| {
        for user in users.iter().take(1 + usize::from(nix::unistd::geteuid().is_root())) {
            let found = status_lines(room, *user);
            assert_eq!(found.len(), 3);
            for (name, set) in found {
                match name.as_str() {
                    "CapEff" if user.is_none() => {}
                    _ => assert_eq!(set & !own_to_libc, 0, "{name} {user:?}"),
                }
            }
        }
    });
}

#[test]
fn a_flood_is_counted_in_constant_memory() {
    let room = Room::new(Launch::Nursery);
    let mut spec = room.spec(shell("head -c 300000000 /dev/zero | tr '\\0' x; printf end"));
    spec.output = 64;
    let live = room.runtime.start(&spec).unwrap();
    let mut most = 0;
    let result = room.wait_while(live, |live| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", live.started().pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: u64 = line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        most = most.max(kib);
    });
    assert_eq!(result.end, End::Exited(0));
    assert_eq!((result.output.bytes, result.output.dropped), (300_000_003, 300_000_003 - 64));
    assert_eq!(result.output.head, "x".repeat(32));
    assert_eq!(result.output.tail, format!("{}end", "x".repeat(29)));
    // What it wrote itself: how much of the program's file is mapped is not its memory.
    assert!(most > 0 && most < 2 * 1024, "{most} KiB");
}

#[test]
fn a_stop_reaches_the_whole_tree() {
    both(|room| {
        let live = room.started(shell("sleep 1000 & sleep 1000 & echo up; wait"), |_| {});
        let session = live.started().pid;
        room.runtime.stop(&live).unwrap();
        let result = room.wait(live);
        assert_eq!(result.end, End::Stopped(How::Signaled(15)));
        assert!(pids_of_session(session).is_empty());
    });
}

#[test]
fn one_that_ignores_term_is_killed_after_its_grace_and_its_last_words_are_kept() {
    let room = Room::new(Launch::Nursery);
    let live = room.started(
        shell("trap '' TERM; (trap 'echo told' TERM; echo up; while :; do sleep 0.01; done)"),
        |spec| spec.stop_grace = Some(Duration::from_millis(300)),
    );
    room.runtime.stop(&live).unwrap();
    let result = room.wait(live);
    assert_eq!(result.end, End::Stopped(How::Signaled(9)));
    // Between them the shell may say that its `sleep` was told as well.
    assert!(result.output.head.ends_with("told\n"), "{:?}", result.output);
}

#[test]
fn a_clean_exit_after_term_is_still_a_stop() {
    let room = Room::new(Launch::Nursery);
    let live =
        room.started(shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"), |_| {});
    room.runtime.stop(&live).unwrap();
    let result = room.wait(live);
    assert_eq!(result.end, End::Stopped(How::Exited(0)));
    assert!(result.output.head.ends_with("bye\n"), "{:?}", result.output);
}

#[test]
fn a_stopped_command_is_continued_so_that_it_can_end() {
    let room = Room::new(Launch::Nursery);
    // Without CONT its TERM would wait for ever: there is no grace after which KILL comes.
    let live = room.started(
        shell("trap 'exit 7' TERM; echo up; kill -STOP $$; while :; do sleep 0.01; done"),
        |spec| {
            spec.stop_grace = None;
        },
    );
    until("the command is stopped", || {
        runtime_common::states_of_session(live.started().pid).contains(&'T').then_some(())
    });
    room.runtime.stop(&live).unwrap();
    assert_eq!(room.wait(live).end, End::Stopped(How::Exited(7)));
}

#[test]
fn a_timeout_ends_the_tree() {
    both(|room| {
        let mut spec = room.spec(shell("setsid sleep 1000 & (sleep 1000; true) & wait"));
        spec.timeout = Some(Duration::from_millis(200));
        let live = room.runtime.start(&spec).unwrap();
        let session = live.started().pid;
        let result = room.wait(live);
        assert_eq!(result.end, End::TimedOut(How::Signaled(15)));
        assert!(result.ended.since(result.started) >= Duration::from_millis(200));
        assert!(pids_of_session(session).is_empty());
    });
}

#[test]
fn a_daemon_with_a_session_of_its_own_does_not_survive_its_run() {
    both(|room| {
        // Double fork, new session, no standard streams, deaf to TERM.
        let pid_file = room.path("daemon");
        let mut spec = room.spec(shell(&format!(
            "(setsid sh -c 'trap \"\" TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.05; done' \
             >/dev/null 2>&1 </dev/null & ) ; while [ ! -e {0} ]; do sleep 0.01; done; exit 5",
            pid_file.display(),
        )));
        spec.stop_grace = Some(Duration::from_millis(100));
        let result = room.result(&spec);
        assert_eq!((result.end, result.survivors), (End::Exited(5), 0));
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "the daemon {pid} lives");
        std::fs::remove_file(pid_file).unwrap();
    });
}

#[test]
fn a_tree_that_forks_while_it_is_killed_is_killed() {
    let room = Room::new(Launch::Nursery);
    let live = room.started(
        shell("trap '' TERM; echo up; while :; do (trap '' TERM; sleep 1000) & sleep 0.002; done"),
        |spec| spec.stop_grace = Some(Duration::from_millis(100)),
    );
    let session = live.started().pid;
    room.runtime.stop(&live).unwrap();
    assert_eq!(room.wait(live).end, End::Stopped(How::Signaled(9)));
    assert!(pids_of_session(session).is_empty());
}

#[test]
fn a_run_of_a_used_number_is_refused_and_a_cleared_one_is_gone() {
    let room = Room::new(Launch::Exec);
    let spec = room.spec(argv(&["true"]));
    room.result(&spec);
    assert_eq!(room.runtime.existing().unwrap(), [spec.run]);
    let error = room.runtime.start(&spec).unwrap_err();
    assert_eq!(error.io().kind(), std::io::ErrorKind::AlreadyExists);
    room.runtime.clear(spec.run).unwrap();
    assert!(room.runtime.existing().unwrap().is_empty());
    room.runtime.clear(spec.run).unwrap();
}

#[test]
fn as_root_a_command_becomes_its_user_with_all_groups() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    both(|room| {
        let mut spec = room.spec(shell("id -u; id -g; id -G; echo $USER $HOME; pwd"));
        spec.user = Some("nobody".to_owned());
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        let text = room.result(&spec).output.head;
        let lines: Vec<&str> = text.lines().collect();
        let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
        assert_eq!(lines[..3], [uid.as_str(), gid.as_str(), gid.as_str()]);
        assert_eq!(lines[3], format!("nobody {}", nobody.dir.display()));
        assert_eq!(lines[4], if nobody.dir.exists() { nobody.dir.to_str().unwrap() } else { "/" });
        // A directory that only root may enter, and a program that only root may execute.
        let closed = room.path("closed");
        std::fs::create_dir_all(&closed).unwrap();
        std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let mut spec = room.spec(argv(&["true"]));
        spec.user = Some("nobody".to_owned());
        spec.working_dir = Some(closed.to_str().unwrap().to_owned());
        let detail = format!("working_dir {}: permission denied", closed.display());
        assert_eq!(room.result(&spec).end, End::NotStarted { detail });
    });
}

#[test]
fn as_root_a_central_env_file_is_opened_with_the_users_rights() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let room = Room::new(Launch::Nursery);
    let file = room.path("secret.env");
    std::fs::write(&file, "SECRET=1\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let mut spec = room.spec(shell("echo $SECRET"));
    spec.user = Some("nobody".to_owned());
    spec.env_file = Some(EnvFile::AsUser(path.clone()));
    let detail = format!("env_file {path}: permission denied");
    assert_eq!(room.result(&spec).end, End::NotStarted { detail });
    let mut spec = room.spec(shell("echo $SECRET"));
    spec.user = Some("nobody".to_owned());
    spec.env_file = Some(EnvFile::Local(path.clone()));
    assert_eq!(room.result(&spec).output.head, "1\n");
    nix::unistd::chown(&file, Some(nix::unistd::Uid::from_raw(4_242)), None).unwrap();
    let mut spec = room.spec(shell("echo $SECRET"));
    spec.env_file = Some(EnvFile::Local(path));
    assert!(
        matches!(room.result(&spec).end, End::NotStarted { detail } if detail.contains("belongs to uid 4242"))
    );
}

#[test]
fn as_root_a_command_has_its_users_supplementary_groups() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT CHECKED: not root");
        return;
    }
    // A thread with mounts of its own, where the group database has one more: nobody else sees it.
    let groups = std::thread::spawn(|| {
        let room = Room::new(Launch::Nursery);
        let database = room.path("group");
        let text = std::fs::read_to_string("/etc/group").unwrap();
        std::fs::write(&database, format!("{text}lcextra:x:54321:nobody\n")).unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).ok()?;
        let none: Option<&str> = None;
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(none, "/", none, private, none).ok()?;
        nix::mount::mount(Some(&database), "/etc/group", none, nix::mount::MsFlags::MS_BIND, none).ok()?;
        let mut spec = room.spec(argv(&["id", "-G"]));
        spec.user = Some("nobody".to_owned());
        Some(room.result(&spec).output.head)
    });
    match groups.join().unwrap() {
        Some(groups) => assert!(groups.split_whitespace().any(|gid| gid == "54321"), "{groups}"),
        None => eprintln!("NOT CHECKED: no mounts of its own for a thread here"),
    }
}
