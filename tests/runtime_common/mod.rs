//! What the tests of the runtime share: a room of its own per test, and waiting for conditions with a deadline.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leafcron::job::{Action, RunId, RunLimits, Trigger, WallTime};
use leafcron::runtime::{Found, Launch, Live, RunResult, RunSpec, Runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_leafcrond");
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Room {
    pub runtime: Runtime,
    pub dir: tempfile::TempDir,
}

impl Room {
    pub fn new(launch: Launch) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::with(&dir.path().join("run"), Path::new(PROGRAM), launch).unwrap();
        Self { runtime, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn spec(&self, action: Action) -> RunSpec {
        spec(action)
    }

    /// Starts it and waits for its first line.
    pub fn started(&self, action: Action, change: impl FnOnce(&mut RunSpec)) -> Live {
        let up = self.path("up");
        let Action::Shell(text) = action else { panic!("a shell text") };
        let text = text.replace("echo up", &format!("echo up; : > {}", up.display()));
        let mut spec = self.spec(Action::Shell(text));
        change(&mut spec);
        let live = self.runtime.start(&spec).unwrap();
        until("the command is up", || up.exists().then_some(()));
        std::fs::remove_file(up).unwrap();
        live
    }

    pub fn wait(&self, live: Live) -> RunResult {
        self.wait_while(live, |_| ())
    }

    pub fn wait_while(&self, live: Live, mut watch: impl FnMut(&Live)) -> RunResult {
        until("the runner ends", || {
            watch(&live);
            is_dead(&live, Duration::from_millis(10)).then_some(())
        });
        match self.runtime.collect(&live).unwrap() {
            Found::Ended(result) => result,
            found => panic!("{found:?}"),
        }
    }

    pub fn result(&self, spec: &RunSpec) -> RunResult {
        self.wait(self.runtime.start(spec).unwrap())
    }
}

pub fn spec(action: Action) -> RunSpec {
    // Unique on this machine: tests of several programs run side by side.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = u64::from(std::process::id()) << 20 | NEXT.fetch_add(1, Ordering::Relaxed);
    RunSpec {
        run: RunId(run),
        job: "test".parse().unwrap(),
        action,
        user: None,
        working_dir: None,
        env: Vec::new(),
        env_file: None,
        time_zone: None,
        umask: 0o022,
        timeout: Some(Duration::from_secs(3_600)),
        stop_grace: Some(Duration::from_secs(30)),
        output: 4096,
        limits: RunLimits::default(),
        due: WallTime::from_millis(1_795_312_800_000),
        attempt: 2,
        trigger: Trigger::CatchUp,
    }
}

/// Whether a runner is dead, waiting for it a little.
pub fn is_dead(live: &Live, wait: Duration) -> bool {
    let wait = Timespec::try_from(wait).unwrap();
    poll(&mut [PollFd::from_borrowed_fd(live.as_fd(), PollFlags::IN)], Some(&wait)).unwrap() > 0
}

/// Waits for a condition, not for time.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let step = Duration::from_millis(2);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if let Some(met) = condition() {
            return met;
        }
        std::thread::sleep(step);
    }
    panic!("not within {PATIENCE:?}: {what}");
}

/// Every process, zombies too, as (pid, state, parent, session).
fn processes() -> Vec<(u32, char, u32, u32)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let read = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        Some((pid, state, parent, fields.nth(1)?.parse().ok()?))
    };
    entries.filter_map(read).collect()
}

pub fn pids_of_session(session: u32) -> Vec<u32> {
    processes().into_iter().filter(|it| it.3 == session).map(|it| it.0).collect()
}

pub fn states_of_session(session: u32) -> Vec<char> {
    processes().into_iter().filter(|it| it.3 == session).map(|it| it.1).collect()
}

/// Dead children that nobody waited for.
pub fn zombies_below(parent: u32) -> Vec<u32> {
    processes().into_iter().filter(|it| it.2 == parent && it.1 == 'Z').map(|it| it.0).collect()
}

pub fn is_alive(pid: u32) -> bool {
    processes().iter().any(|it| it.0 == pid && it.1 != 'Z')
}
