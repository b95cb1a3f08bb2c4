//! Many devices behind two leaf nodes of one hub: real agents, each in a directory of its own, half of them on each leaf.
//! What they say is read at the hub, as a centre does. Shared by the test and by `make many`, so it returns its errors.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use leafcron::agent::wall_clock;
use leafcron::control::Client;
use leafcron::job::{Reply, Request, Status};
use leafcron::nats::{Connection, From, JetStream, Read, Settings, Stored};
use serde_json::Value;
use tempfile::TempDir;

use super::servers::{Hub, Leaf, Line};

pub(super) type Outcomes<T> = Result<T, Box<dyn Error>>;

const LEAVES: usize = 2;
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// A command is not taken after this.
const COMMAND: Duration = Duration::from_secs(60);
/// As which the crowd's own readings are known at the hub.
pub(super) const READER: &str = "many";
pub(super) const STREAMS: [&str; 3] = ["KV_leafcron-jobs", "KV_leafcron-state", "leafcron-runs"];

/// Servers, lines and devices.
pub(super) struct Crowd {
    // The devices go first, then the servers that they speak to.
    devices: Vec<Device>,
    /// From the devices to each leaf node.
    pub(super) paths: Vec<Line>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) hub: Hub,
    centre: JetStream,
    dir: TempDir,
    /// How long anything is waited for.
    patience: Duration,
}

struct Device {
    name: String,
    dir: PathBuf,
    agent: Option<Child>,
}

/// What a centre waits for devices to say.
pub(super) enum Word<'a> {
    /// A heartbeat that is stored after this (nanoseconds since 1970).
    Heartbeat(i64),
    /// That this job is accepted in this sequence.
    Accepted(&'a str, u64),
}

impl Crowd {
    /// The servers, and a hub that is made ready; nobody is there yet. `more` is added to the configuration of each.
    pub(super) fn new(patience: Duration, hub: &str, leaves: [&str; LEAVES]) -> Outcomes<Self> {
        let hub = Hub::with(hub);
        let leaves: Vec<Leaf> = leaves.iter().map(|more| Leaf::with(hub.leaf_address(), more)).collect();
        let paths = leaves.iter().map(|leaf| Line::to(leaf.server.address())).collect();
        let centre = centre(&hub)?;
        let dir = tempfile::Builder::new().prefix("leafcron-many-").tempdir()?;
        let crowd = Self { devices: Vec::new(), paths, leaves, hub, centre, dir, patience };
        crowd.command_line(&["init"])?;
        Ok(crowd)
    }

    /// Starts so many agents in one moment.
    pub(super) fn start(&mut self, agents: usize) -> Outcomes<()> {
        for number in 0..agents {
            let at = number % LEAVES;
            let path = self.paths.get(at).ok_or("no such leaf")?;
            let name = format!("pi-{number:04}");
            let dir = self.dir.path().join(&name);
            fs::create_dir_all(dir.join("jobs.d"))?;
            let users = if nix::unistd::geteuid().is_root() { "users = [\"root\"]\n" } else { "" };
            fs::write(
                dir.join("leafcrond.toml"),
                format!(
                    "agent = {name:?}\ngroups = [\"lab\"]\nstate_dir = {:?}\nrun_dir = {:?}\njobs_dir = {:?}\ntrust_clock = true\n[nats]\nservers = [\"nats://{}\"]\n{users}",
                    dir.join("state"),
                    dir.join("run"),
                    dir.join("jobs.d"),
                    path.address(),
                ),
            )?;
            self.devices.push(Device { name, dir, agent: None });
        }
        self.devices.iter_mut().try_for_each(Device::start)
    }

    /// A centre of the hub that has been started again.
    pub(super) fn renew(&mut self) -> Outcomes<()> {
        self.centre = centre(&self.hub)?;
        Ok(())
    }

    /// `leafcron hub … --server` the hub.
    fn command_line(&self, arguments: &[&str]) -> Outcomes<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.arg("hub").args(arguments).args(["--server", &self.hub.url()]);
        let done = command.env_remove("NATS_URL").env_remove("NATS_CONTEXT").stdin(Stdio::null()).output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(format!("leafcron hub {}: {}: {said}", arguments.join(" "), done.status).into());
        }
        Ok(())
    }

    /// `leafcron hub push --group lab` of a job; the sequence that it got, and when it was stored.
    pub(super) fn push(&self, job: &str, command: &str) -> Outcomes<(u64, i64)> {
        let file = self.dir.path().join("pushed.toml");
        fs::write(&file, format!("[job.{job}]\nschedule = \"@yearly\"\ncommand = {command:?}\n"))?;
        self.command_line(&["push", &file.to_string_lossy(), "--group", "lab", "--no-wait"])?;
        let key = format!("$KV.leafcron-jobs.group.lab.{job}");
        let mut found = self.read("KV_leafcron-jobs", &key, From::LastPerSubject)?;
        let stored = found.pop().ok_or_else(|| format!("there is no {key}"))?;
        Ok((stored.sequence, stored.at_nanos))
    }

    pub(super) fn read(&self, stream: &str, filter: &str, from: From) -> Outcomes<Vec<Stored>> {
        let mut found = Vec::new();
        let read = Read { stream, consumer: READER, filter, from };
        self.centre.read(&read, ANSWER, &mut |stored| {
            found.push(stored);
            Ok(())
        })?;
        Ok(found)
    }

    /// Looks until there is something to see.
    pub(super) fn until<T>(
        &self,
        what: &str,
        look: impl FnMut() -> Outcomes<Result<T, String>>,
    ) -> Outcomes<T> {
        let (mut look, from) = (look, wall_clock());
        loop {
            let lacking = match look()? {
                Ok(found) => return Ok(found),
                Err(lacking) => lacking,
            };
            if wall_clock().since(from) > self.patience {
                return Err(format!("{what}: after {:?} {lacking}", self.patience).into());
            }
            thread::sleep(LOOK);
        }
    }

    /// When each device said it, in nanoseconds since 1970 by the hub's clock, in order.
    pub(super) fn all_say(&self, word: &Word<'_>) -> Outcomes<Vec<i64>> {
        let (filter, what) = match word {
            Word::Heartbeat(_) => ("$KV.leafcron-state.*".to_owned(), "heartbeats".to_owned()),
            Word::Accepted(job, _) => (format!("$KV.leafcron-state.*.{job}"), format!("verdicts on {job}")),
        };
        let (mut read_at, mut missing) = (0, 1);
        self.until(&what, || {
            // It is read only when enough has been said since: a reading is a load, too.
            let last = self.centre.stream_info("KV_leafcron-state", ANSWER)?.last_seq;
            if last >= read_at + missing {
                read_at = last;
                let said = self.read("KV_leafcron-state", &filter, From::LastPerSubject)?;
                // A key that is overwritten meanwhile may come twice.
                let said = said.into_iter().filter(|stored| word.is(stored));
                let times: BTreeMap<String, i64> =
                    said.map(|stored| (stored.subject, stored.at_nanos)).collect();
                missing = (self.devices.len() - times.len()) as u64;
                if missing == 0 {
                    let mut times: Vec<i64> = times.into_values().collect();
                    times.sort_unstable();
                    return Ok(Ok(times));
                }
            }
            Ok(Err(format!("{missing} of {} are missing", self.devices.len())))
        })
    }

    /// Has all devices run a job, by a command to each in one moment. Who is not there yet is asked again.
    pub(super) fn all_run(&self, job: &str) -> Outcomes<()> {
        let connection = self.centre.connection();
        let inbox = connection.new_inbox();
        let answers = connection.subscribe(&format!("{inbox}.*"), 2 * self.devices.len())?;
        let ask = |number: usize, device: &Device| -> Outcomes<()> {
            let id = format!("{}-{}", inbox.rsplit('.').next().unwrap_or_default(), device.name);
            let request =
                Request::Run { job: job.parse()?, id: Some(id.parse()?), force: false, wait: false };
            let command = leafcron::job::Command { request, not_after: Some(wall_clock().plus(COMMAND)) };
            let (subject, reply) = (format!("leafcron.cmd.{}", device.name), format!("{inbox}.{number}"));
            Ok(connection.publish(&subject, Some(&reply), &[], command.to_json().to_string().as_bytes())?)
        };
        let mut open: BTreeSet<usize> = (0..self.devices.len()).collect();
        let mut again = open.clone();
        self.until("commands", || {
            for number in core::mem::take(&mut again) {
                ask(number, self.devices.get(number).ok_or("no such device")?)?;
            }
            while let Some(answer) = answers.next(LOOK)? {
                let number = answer.subject.rsplit('.').next().unwrap_or_default().parse()?;
                if answer.is_no_responders() {
                    again.insert(number);
                    continue;
                }
                match serde_json::from_slice(&answer.payload)? {
                    Reply::Accepted { .. } => open.remove(&number),
                    other => return Err(format!("device {number} answers {other:?}").into()),
                };
            }
            Ok(if open.is_empty() { Ok(()) } else { Err(format!("{} are not taken", open.len())) })
        })
    }

    /// Waits until all that is numbered is acknowledged, and holds the stream against it: each number of each device is
    /// there once, and each device has so many successful runs of the job. Gives when these were stored, in order.
    pub(super) fn account(&self, job: &str, runs: usize) -> Outcomes<Vec<i64>> {
        let mut acked = BTreeMap::new();
        for Device { name, .. } in &self.devices {
            acked.insert(name.as_str(), 0);
        }
        self.until("results", || {
            for device in &self.devices {
                let status = device.status()?;
                let link = status.link.ok_or("no link")?;
                if link.unsent > 0 || !status.running.is_empty() || !status.waiting.is_empty() {
                    return Ok(Err(format!("{} of {} are unsent", link.unsent, device.name)));
                }
                acked.insert(&device.name, link.acked_through);
            }
            Ok(Ok(()))
        })?;
        self.until("results", || {
            let mut found = Found::default();
            for stored in self.read("leafcron-runs", "leafcron.>", From::All)? {
                found.take(&stored, job)?;
            }
            found.judge(&acked, runs)
        })
    }

    /// Waits until no reading goes on, and says so if a consumer stays.
    pub(super) fn no_consumer_stays(&self) -> Outcomes<()> {
        self.until("consumers at the hub", || {
            let mut there = Vec::new();
            for stream in STREAMS {
                let list = self.centre.api(&format!("CONSUMER.NAMES.{stream}"), &Value::Null, ANSWER)?;
                let names = list.get("consumers").and_then(Value::as_array).cloned().unwrap_or_default();
                there.extend(names.iter().map(|name| format!("{stream} {name}")));
            }
            Ok(if there.is_empty() { Ok(()) } else { Err(format!("there are {}", there.join(", "))) })
        })
    }
}

/// What the stream of results has.
#[derive(Default)]
struct Found {
    /// By device, and for each number how often.
    seen: BTreeMap<String, BTreeMap<u64, usize>>,
    ran: BTreeMap<String, usize>,
    times: Vec<i64>,
}

impl Found {
    fn take(&mut self, stored: &Stored, job: &str) -> Outcomes<()> {
        let fact: Value = serde_json::from_slice(&stored.payload)?;
        let field = |name: &str| fact.get(name).and_then(Value::as_str).unwrap_or_default();
        let agent = field("agent").to_owned();
        let seq = fact.get("seq").and_then(Value::as_u64).ok_or("a fact without a number")?;
        if field("job") == job && field("outcome") == "succeeded" {
            *self.ran.entry(agent.clone()).or_default() += 1;
            self.times.push(stored.at_nanos);
        }
        *self.seen.entry(agent).or_default().entry(seq).or_default() += 1;
        Ok(())
    }

    /// What is missing may yet come; what is doubled stays so.
    fn judge(&mut self, acked: &BTreeMap<&str, u64>, runs: usize) -> Outcomes<Result<Vec<i64>, String>> {
        let (mut lacking, none) = (String::new(), BTreeMap::new());
        for (name, acked) in acked {
            let seen = self.seen.get(*name).unwrap_or(&none);
            let missing = (1..=*acked).filter(|seq| !seen.contains_key(seq)).count();
            let ran = self.ran.get(*name).copied().unwrap_or(0);
            if ran > runs || seen.values().any(|times| *times > 1) {
                return Err(format!("{name}: {ran} runs of {runs}, and these numbers: {seen:?}").into());
            }
            if missing > 0 || ran < runs {
                write!(lacking, "{name}: {missing} of {acked} numbers are missing, {ran} runs of {runs}; ")?;
            }
        }
        if !lacking.is_empty() {
            return Ok(Err(lacking));
        }
        self.times.sort_unstable();
        Ok(Ok(core::mem::take(&mut self.times)))
    }
}

impl Word<'_> {
    fn is(&self, stored: &Stored) -> bool {
        if stored.deleted {
            return false;
        }
        match self {
            Self::Heartbeat(after) => stored.at_nanos > *after,
            Self::Accepted(_, sequence) => {
                let verdict: Value = serde_json::from_slice(&stored.payload).unwrap_or_default();
                verdict.get("state").is_some_and(|state| state == "accepted")
                    && verdict.get("sequence").and_then(Value::as_u64) >= Some(*sequence)
            }
        }
    }
}

impl Device {
    fn start(&mut self) -> Outcomes<()> {
        let log = fs::File::create(self.dir.join("log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcrond"));
        command.arg("--config").arg(self.dir.join("leafcrond.toml")).env("RUST_LOG", "warn");
        self.agent = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    fn status(&self) -> Outcomes<Status> {
        let asked =
            Client::connect(&self.dir.join("run")).and_then(|mut client| client.ask(&Request::Status {}));
        match asked {
            Ok(Reply::Status(status)) => Ok(*status),
            other => {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                Err(format!("{} does not say how it is: {other:?}; its log: {log}", self.name).into())
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
    }
}

fn centre(hub: &Hub) -> Outcomes<JetStream> {
    let connection = Connection::connect(&Settings::new(vec![hub.url()], READER), ANSWER, |_| {})?;
    Ok(JetStream::new(connection, "hub"))
}

/// The wall clock in nanoseconds since 1970, as the hub counts.
pub(super) fn now_nanos() -> i64 {
    wall_clock().timestamp().as_nanosecond().try_into().unwrap_or(i64::MAX)
}
