//! A device in a temporary directory: configuration, jobs, agent, command line. Whatever way it goes away, its
//! processes go first.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use leafcron::job::{RecordJson, Status};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::{LOOK, Outcomes, PATIENCE, marked};

/// How long what was left of a run may take to go once the agent has stopped.
const LEAVE: Duration = Duration::from_secs(2);

pub(super) struct Device {
    dir: TempDir,
    programs: PathBuf,
    agent: Option<Child>,
}

impl Device {
    /// A device whose link goes to the leaf node there.
    pub(super) fn new(leaf: &str) -> Outcomes<Self> {
        let dir = tempfile::Builder::new().prefix("leafcron-demo-").tempdir()?;
        // target/PROFILE/examples/demo lies below the programs.
        let here = std::env::current_exe()?;
        let programs = here.parent().and_then(Path::parent).ok_or("this program lies nowhere")?.to_owned();
        if !programs.join("leafcrond").exists() {
            return Err("leafcrond is not built: use `make demo`".into());
        }
        let device = Self { dir, programs, agent: None };
        fs::create_dir(device.path("jobs.d"))?;
        fs::set_permissions(device.path("jobs.d"), Permissions::from_mode(0o700))?;
        let config = format!(
            "agent = \"demo\"\nstate_dir = {:?}\nrun_dir = {:?}\njobs_dir = {:?}\ntrust_clock = true\n\
             [nats]\nservers = [{leaf:?}]\n{}[defaults.env]\n{} = {:?}\n",
            device.path("state"),
            device.path("run"),
            device.path("jobs.d"),
            users()?,
            marked::NAME,
            device.mark(),
        );
        write_private(&device.path("leafcrond.toml"), &config)?;
        Ok(device)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The jobs, as the operator at the hub has them.
    pub(super) fn write_jobs(&self, text: &str) -> Outcomes<PathBuf> {
        let path = self.path("fleet.toml");
        write_private(&path, text)?;
        Ok(path)
    }

    pub(super) fn start(&mut self) -> Outcomes<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log"))?;
        let mut command = Command::new(self.programs.join("leafcrond"));
        command.arg("--config").arg(self.path("leafcrond.toml")).env(marked::NAME, self.mark());
        self.agent = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    pub(super) fn is_alive(&mut self) -> Outcomes<()> {
        match self.agent.as_mut().map(Child::try_wait).transpose()?.flatten() {
            Some(status) => Err(format!("leafcrond ended: {status}\n{}", self.log()).into()),
            None => Ok(()),
        }
    }

    /// kill -9.
    pub(super) fn kill(&mut self) -> Outcomes<()> {
        if let Some(mut agent) = self.agent.take() {
            agent.kill()?;
            agent.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub(super) fn stop(&mut self) -> Outcomes<()> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        marked::terminate(agent.id())?;
        let mut waited = Duration::ZERO;
        while agent.try_wait()?.is_none() {
            if waited > PATIENCE {
                agent.kill()?;
                return Err("leafcrond did not stop when told to".into());
            }
            thread::sleep(LOOK / 10);
            waited += LOOK / 10;
        }
        Ok(())
    }

    pub(super) fn status(&self) -> Outcomes<Status> {
        self.ask(&["status"])
    }

    pub(super) fn history(&self) -> Outcomes<Vec<RecordJson>> {
        self.ask(&["history", "-n", "1000"])
    }

    /// `leafcron hub …` at this hub.
    pub(super) fn hub(&self, url: &str, words: &[&str]) -> Outcomes<std::process::Output> {
        let mut command = Command::new(self.programs.join("leafcron"));
        command.arg("hub").args(words).args(["--server", url]).stdin(Stdio::null());
        let output = command.env_remove("NATS_CONTEXT").env_remove("NATS_URL").output()?;
        match output.status.code() {
            Some(0) => Ok(output),
            _ => Err(format!("leafcron hub {words:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// The process that speaks with the centre for the agent.
    pub(super) fn link_process(&self) -> Outcomes<u32> {
        let agent = self.agent.as_ref().map(Child::id).ok_or("no agent runs")?;
        marked::child(agent, "link")?.ok_or_else(|| "the agent has no link process".into())
    }

    /// The process that supervises the job's run.
    pub(super) fn runner_of(&self, job: &str) -> Outcomes<u32> {
        let running = self.status()?.running;
        let row = running.into_iter().find(|row| row.job.as_str() == job);
        row.and_then(|row| row.pid).ok_or_else(|| format!("{job} does not run").into())
    }

    /// The due instants that the job itself wrote down, in milliseconds.
    pub(super) fn witnesses(&self, job: &str) -> Outcomes<Vec<i64>> {
        let path = self.path(&format!("ran.{job}"));
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let due = |line: &str| Ok(line.parse::<jiff::Timestamp>()?.as_millisecond());
        text.lines().map(due).collect()
    }

    /// What still lives of this device, once it had a moment to go.
    pub(super) fn left_behind(&self) -> Outcomes<Vec<String>> {
        let mut waited = Duration::ZERO;
        loop {
            let left = marked::processes(&self.mark())?;
            if left.is_empty() || waited > LEAVE {
                return Ok(left.iter().map(ToString::to_string).collect());
            }
            thread::sleep(LOOK / 10);
            waited += LOOK / 10;
        }
    }

    /// What leafcrond wrote to stderr.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn ask<T: DeserializeOwned>(&self, words: &[&str]) -> Outcomes<T> {
        let mut command = Command::new(self.programs.join("leafcron"));
        command.arg("--config").arg(self.path("leafcrond.toml")).args(words).arg("--json");
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What every process of this device carries in its environment.
    fn mark(&self) -> String {
        self.dir.path().display().to_string()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill().unwrap_or_default();
        for process in marked::processes(&self.mark()).unwrap_or_default() {
            marked::kill(process.pid).unwrap_or_default();
        }
    }
}

/// Whom the centre's jobs may run as: root has to say so, everybody else is alone.
fn users() -> Outcomes<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?.filter(|user| user.uid.is_root());
    Ok(user.map_or_else(String::new, |user| format!("users = [{:?}]\n", user.name)))
}

/// A jobs file counts only if nobody else can write it, whatever the umask here.
fn write_private(path: &Path, text: &str) -> Outcomes<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}
