//! A device in a directory of its own: state on a real disk, run directory on tmpfs where there is one, as on a Pi.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use leafcron::control::Client;
use leafcron::job::{JobName, RecordJson, Reply, Request, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Outcomes;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_leafcrond");
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);

pub(super) struct Device {
    dir: TempDir,
    run: TempDir,
    agent: Option<Child>,
}

impl Device {
    pub(super) fn new(jobs: &str) -> Outcomes<Self> {
        let disk =
            std::env::var_os("BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
        let shm = Path::new("/dev/shm");
        let tmpfs = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("leafcron-bench-").tempdir_in(disk)?;
        let run = tempfile::Builder::new().prefix("leafcron-bench-").tempdir_in(tmpfs)?;
        let device = Self { dir, run, agent: None };
        fs::create_dir(device.path("jobs.d"))?;
        fs::set_permissions(device.path("jobs.d"), Permissions::from_mode(0o700))?;
        let config = format!(
            "agent = \"bench\"\nstate_dir = {:?}\nrun_dir = {:?}\njobs_dir = {:?}\ntrust_clock = true\nmax_runs = 200\n",
            device.path("state"),
            device.run.path(),
            device.path("jobs.d"),
        );
        write_private(&device.path("leafcrond.toml"), &config)?;
        write_private(
            &device.path("jobs.d/bench.toml"),
            &jobs.replace("@DIR@", &device.path("").to_string_lossy()),
        )?;
        Ok(device)
    }

    /// Adds to the configuration.
    pub(super) fn configure(&self, more: &str) -> Outcomes<()> {
        let path = self.path("leafcrond.toml");
        let text = fs::read_to_string(&path)?;
        write_private(&path, &(text + more))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the agent; how long it took until it answered.
    pub(super) fn start(&mut self) -> Outcomes<Duration> {
        let from = Instant::now();
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("leafcrond.toml")).env("RUST_LOG", "warn");
        self.agent = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        while let Err(error) = self.status() {
            if from.elapsed() > PATIENCE {
                return Err(format!("leafcrond does not answer: {error}").into());
            }
            thread::sleep(LOOK);
        }
        Ok(from.elapsed())
    }

    pub(super) fn pid(&self) -> Outcomes<u32> {
        Ok(self.agent.as_ref().ok_or("leafcrond does not run")?.id())
    }

    pub(super) fn stop(&mut self) -> Outcomes<()> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(agent.id())?), Signal::SIGTERM)?;
        agent.wait()?;
        Ok(())
    }

    pub(super) fn status(&self) -> Outcomes<Status> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(*status),
            other => Err(format!("{other:?}").into()),
        }
    }

    pub(super) fn history(&self, job: &str) -> Outcomes<Vec<RecordJson>> {
        match self.ask(&Request::History { job: Some(job.parse::<JobName>()?), limit: 1_000 })? {
            Reply::Records(records) => Ok(records),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn ask(&self, request: &Request) -> Outcomes<Reply> {
        let mut client = Client::connect(self.run.path())?;
        Ok(client.ask(request)?)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop().unwrap_or_default();
    }
}

/// A jobs file counts only if nobody else can write it, whatever the umask here.
fn write_private(path: &Path, text: &str) -> Outcomes<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}
