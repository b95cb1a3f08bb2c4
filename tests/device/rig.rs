//! A device in a directory of its own: configuration, jobs, agent, command line.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use leafcron::job::RecordJson;
use tempfile::TempDir;

/// Only a broken agent takes this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(15);

pub(super) struct Rig {
    dir: TempDir,
    agent: Option<Child>,
    /// As whom the agent runs, when the tests are root.
    uid: Option<u32>,
    /// By how much the long waits of its link are shorter.
    pub(super) haste: u32,
}

impl Rig {
    /// A device with these jobs.
    pub(super) fn new(jobs: &str) -> Self {
        Self::with_config("", jobs)
    }

    pub(super) fn with_config(config: &str, jobs: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("leafcron-").tempdir().unwrap();
        let rig = Self { dir, agent: None, uid: None, haste: 1 };
        fs::create_dir(rig.path("jobs.d")).unwrap();
        let text = format!(
            "agent = \"pi\"\nstate_dir = {:?}\nrun_dir = {:?}\njobs_dir = {:?}\ntrust_clock = true\n{config}\n",
            rig.path("state"),
            rig.path("run"),
            rig.path("jobs.d"),
        );
        fs::write(rig.path("leafcrond.toml"), text).unwrap();
        rig.write_jobs("jobs.toml", jobs);
        rig
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a jobs file; `@DIR@` stands for the device's directory.
    pub(super) fn write_jobs(&self, name: &str, jobs: &str) {
        let jobs = jobs.replace("@DIR@", self.dir.path().to_str().unwrap());
        fs::write(self.path("jobs.d").join(name), jobs).unwrap();
    }

    /// Starts the agent and waits until it answers.
    pub(super) fn start(&mut self) {
        self.start_program(Path::new(env!("CARGO_BIN_EXE_leafcrond")));
    }

    /// The same with this binary.
    pub(super) fn start_program(&mut self, program: &Path) {
        self.spawn(program, &[]);
        wait_for("the agent answers", || {
            assert!(self.is_alive(), "the agent ended: {}", self.log());
            self.leafcron(&["status"]).status.success().then_some(())
        });
    }

    /// Starts the agent with more environment, and waits for nothing.
    pub(super) fn start_with(&mut self, env: &[(&str, &str)]) {
        self.spawn(Path::new(env!("CARGO_BIN_EXE_leafcrond")), env);
    }

    fn spawn(&mut self, program: &Path, env: &[(&str, &str)]) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(self.path("leafcrond.toml"));
        command.env("LEAFCRON_HASTE", self.haste.to_string());
        command.env("RUST_LOG", "debug").envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        self.agent = Some(command.spawn().unwrap());
    }

    /// The agent of another user, who owns the device's directory.
    pub(super) fn owned_by(mut self, uid: u32) -> Self {
        for path in ["", "jobs.d", "jobs.d/jobs.toml", "leafcrond.toml"] {
            std::os::unix::fs::chown(self.path(path), Some(uid), Some(uid)).unwrap();
        }
        self.uid = Some(uid);
        self
    }

    pub(super) fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    fn is_alive(&mut self) -> bool {
        self.agent.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and how the agent ended.
    pub(super) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let mut agent = self.agent.take().unwrap();
        wait_for("the agent ends", || agent.try_wait().unwrap())
    }

    /// Waits until the agent stands still at the point that its environment named, and kills it there.
    pub(super) fn kill_where_it_stands(&mut self) {
        let pid = self.pid();
        wait_for("the agent stands still", || (process_state(pid) == Some('T')).then_some(()));
        self.kill();
    }

    pub(super) fn leafcron(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.arg("--config").arg(self.path("leafcrond.toml")).args(arguments).stdin(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command.output().unwrap()
    }

    /// What `leafcron … --json` says.
    pub(super) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.leafcron(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text:?} {}", text_of(&output.stderr)))
    }

    pub(super) fn records(&self, job: &str) -> Vec<RecordJson> {
        serde_json::from_value(self.json(&["history", job, "-n", "1000"])).unwrap()
    }

    /// Waits until the job has so many final records, and gives all records.
    pub(super) fn wait_for_finals(&self, job: &str, count: usize) -> Vec<RecordJson> {
        wait_for(&format!("{count} final records of {job}; {}", self.log()), || {
            let records = self.records(job);
            (records.iter().filter(|record| record.last).count() >= count).then_some(records)
        })
    }

    /// The runners that claimed a run: each run's `go` names its pid and start time.
    pub(super) fn runners(&self) -> Vec<(u32, u64)> {
        let runs = fs::read_dir(self.path("run").join("runs")).into_iter().flatten().flatten();
        let claims = runs.filter_map(|run| fs::read_link(run.path().join("go")).ok());
        let parse = |claim: PathBuf| {
            let (pid, start_ticks) = claim.to_str()?.split_once(' ')?;
            Some((pid.parse().ok()?, start_ticks.parse().ok()?))
        };
        claims.filter_map(parse).collect()
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The lines of a file that jobs write; none while it is not there.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    pub(super) fn wait_for_lines(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines of {name}; {}", self.log()), || {
            Some(self.lines(name)).filter(|lines| lines.len() >= count)
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        // Jobs outlive their agent; a test that fails in the middle leaves none behind all the same.
        for (pid, start_ticks) in self.runners() {
            if start_ticks_of(pid) == Some(start_ticks) {
                Command::new("kill").arg("-TERM").arg(pid.to_string()).status().ok();
            }
        }
        if thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

/// Waits for a condition.
pub(super) fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    let mut condition = condition;
    let looks = PATIENCE.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if let Some(found) = condition() {
            return found;
        }
        thread::sleep(LOOK);
    }
    panic!("waited in vain until {what}");
}

/// The state letter of `/proc/PID/stat`.
pub(super) fn process_state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Field 22 of `/proc/PID/stat`.
pub(super) fn start_ticks_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
