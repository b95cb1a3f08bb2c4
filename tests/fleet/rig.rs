//! Hub, line, leaf and a device.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use leafcron::job::{Heartbeat, Verdict};
use leafcron::nats::{Connection, From, JetStream, NatsError, Read, Settings};
use nats::kv;
use serde_json::Value;

use super::device::{Rig, text_of, wait_for};
use super::servers::{Hub, Leaf};

const PATIENCE: Duration = Duration::from_secs(10);
/// One answer to a reading, which is begun again.
const READ_PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Fleet {
    // The device goes first, then the servers that it speaks to.
    pub(super) device: Rig,
    pub(super) leaf: Leaf,
    pub(super) hub: Hub,
}

impl Fleet {
    /// A device whose agent runs, behind a leaf node of a hub that `leafcron hub init` made ready.
    pub(super) fn new(config: &str, jobs: &str) -> Self {
        Self::hasty(1, config, jobs)
    }

    /// The same, with an agent whose link has its long waits shortened by so much.
    pub(super) fn hasty(haste: u32, config: &str, jobs: &str) -> Self {
        let mut fleet = Self::waiting(config, jobs);
        fleet.device.haste = haste;
        let made = fleet.hub(&["init"]);
        assert!(made.status.success(), "{}", text_of(&made.stderr));
        fleet.device.start();
        fleet.wait_until_up();
        // Who pushes to a device that was never heard of waits for nothing.
        wait_for("the hub has heard of the device", || fleet.heartbeat());
        fleet
    }

    /// The same, but nothing is made at the hub and the agent is not started.
    pub(super) fn waiting(config: &str, jobs: &str) -> Self {
        let hub = Hub::start();
        let leaf = Leaf::start(hub.leaf_address());
        let url = leaf.url();
        Self::of(hub, leaf, &url, config, jobs)
    }

    /// A device that connects there, of these servers; nothing is made, and the agent is not started.
    pub(super) fn of(hub: Hub, leaf: Leaf, url: &str, config: &str, jobs: &str) -> Self {
        let config = format!(
            "groups = [\"lab\"]\n{config}\n[nats]\nservers = [{:?}]\nusers = [\"{}\"]\nheartbeat = \"10s\"\n",
            url,
            own_user()
        );
        // An agent that is not root runs the centre's jobs as itself, and may not name anyone.
        let config = if super::device::is_root() { config } else { config.replace("users = ", "# users = ") };
        Self { device: Rig::with_config(&config, jobs), leaf, hub }
    }

    pub(super) fn wait_until_up(&self) {
        wait_for("the link is up", || (self.link()["state"] == "up").then_some(()));
    }

    pub(super) fn link(&self) -> Value {
        self.device.json(&["status"])["link"].clone()
    }

    /// The link process: the agent's child that is one.
    pub(super) fn link_pid(&self) -> Option<u32> {
        let agent = self.device.pid().to_string();
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            (parent == agent && command.split(|byte| *byte == 0).any(|word| word == b"link")).then_some(pid)
        })
    }

    /// Adds to the end of the configuration, which is the table `[nats]`; read at the next start.
    pub(super) fn configure(&self, more: &str) {
        let path = self.device.path("leafcrond.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{more}\n")).unwrap();
    }

    pub(super) fn kill_link(&self) {
        let pid = wait_for("there is a link process", || self.link_pid());
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        wait_for("it is gone", || (self.link_pid() != Some(pid)).then_some(()));
    }

    /// `leafcron hub … --server` the hub.
    pub(super) fn hub(&self, arguments: &[&str]) -> Output {
        self.hub_command(arguments).output().unwrap()
    }

    /// The same, to be started.
    pub(super) fn hub_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.arg("hub").args(arguments).args(["--server", &self.hub.url()]);
        command.env_remove("NATS_URL").env_remove("NATS_CONTEXT").stdin(Stdio::null());
        command
    }

    /// The bucket of definitions, by the stock client.
    pub(super) fn bucket(&self) -> kv::Store {
        stock(&self.hub).key_value("leafcron-jobs").unwrap()
    }

    /// Puts a definition as stock tools do; its sequence.
    pub(super) fn put(&self, key: &str, value: impl AsRef<[u8]>) -> u64 {
        self.bucket().put(key, value).unwrap()
    }

    /// What a stream is and has.
    pub(super) fn info(&self, stream: &str) -> Value {
        let client = nats::Options::new().connect(self.hub.url()).unwrap();
        let answer = client.request_timeout(&format!("$JS.API.STREAM.INFO.{stream}"), "", PATIENCE).unwrap();
        serde_json::from_slice(&answer.data).unwrap()
    }

    /// The sequence of the last message of a subject.
    pub(super) fn last_of(&self, stream: &str, subject: &str) -> Option<u64> {
        let client = nats::Options::new().connect(self.hub.url()).unwrap();
        let body = serde_json::json!({"last_by_subj": subject}).to_string();
        let asked = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = client.request_timeout(&asked, body, PATIENCE).unwrap();
        serde_json::from_slice::<Value>(&answer.data).unwrap()["message"]["seq"].as_u64()
    }

    /// What the device says of a job, read at the hub.
    pub(super) fn verdict(&self, job: &str) -> Option<Verdict> {
        let state = stock(&self.hub).key_value("leafcron-state").ok()?;
        let value = state.get(&format!("pi.{job}")).ok()??;
        serde_json::from_slice(&value).ok()
    }

    pub(super) fn wait_for_verdict(&self, job: &str, is: impl Fn(&Verdict) -> bool) -> Verdict {
        let mut last = None;
        let found = (0..2_000).find_map(|_| {
            last = self.verdict(job);
            let found = last.clone().filter(|verdict| is(verdict));
            if found.is_none() {
                std::thread::sleep(Duration::from_millis(15));
            }
            found
        });
        found.unwrap_or_else(|| {
            panic!("the verdict on {job} stays {last:#?}; the agent: {}", self.device.log())
        })
    }

    pub(super) fn heartbeat(&self) -> Option<Heartbeat> {
        let state = stock(&self.hub).key_value("leafcron-state").ok()?;
        serde_json::from_slice(&state.get("pi").ok()??).ok()
    }

    /// All messages of the stream of results, in its order: a cluster that looks for a leader answers a moment later.
    pub(super) fn stream(&self) -> Vec<Value> {
        wait_for("the stream can be read", || self.try_stream().ok())
    }

    fn try_stream(&self) -> Result<Vec<Value>, NatsError> {
        let settings = Settings::new(vec![self.hub.url()], "test");
        let connection = Connection::connect(&settings, PATIENCE, |_| {})?;
        let stream = JetStream::new(connection, "hub");
        let mut found = Vec::new();
        let read = Read { stream: "leafcron-runs", consumer: "test", filter: "leafcron.>", from: From::All };
        stream.read(&read, READ_PATIENCE, &mut |stored| {
            found.push(serde_json::from_slice(&stored.payload).unwrap());
            Ok(())
        })?;
        Ok(found)
    }

    /// Waits until everything that is numbered is acknowledged, and holds the stream against promise 4: each number of
    /// the epoch once, or inside a range that a record states.
    pub(super) fn settled(&self) -> Vec<Value> {
        // A record may be written between two looks: what counts is that the link has caught up.
        wait_for(&format!("all is acknowledged: {}", self.device.log()), || {
            let status = self.device.json(&["status"]);
            (status["link"]["unsent"] == 0 && status["running"].as_array()?.is_empty()).then_some(())
        });
        let acked = self.link()["acked_through"].as_u64().unwrap();
        let stream = self.stream();
        let told: Vec<(u64, u64)> = stream
            .iter()
            .filter(|fact| fact["event"] == "dropped" || fact["event"] == "damaged")
            .map(|fact| (fact["from"].as_u64().unwrap(), fact["to"].as_u64().unwrap()))
            .collect();
        let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for fact in &stream {
            // What somebody else wrote is none of the device's.
            let Some(epoch) = fact["epoch"].as_str().map(str::to_owned) else { continue };
            let seq = fact["seq"].as_u64().unwrap();
            assert!(seen.entry(epoch).or_default().insert(seq), "{seq} is twice in the stream: {fact}");
        }
        assert!(seen.len() <= 1, "more than one epoch: {:?}", seen.keys());
        let seen = seen.into_values().next().unwrap_or_default();
        for seq in 1..=acked {
            let told = told.iter().any(|(from, to)| (*from..=*to).contains(&seq));
            assert!(seen.contains(&seq) || told, "{seq} of {acked} is missing");
        }
        stream
    }

    /// The stream's final records of a job.
    pub(super) fn finals(&self, job: &str) -> Vec<Value> {
        self.stream().into_iter().filter(|fact| fact["job"] == job && fact["final"] == true).collect()
    }
}

/// A stock client at the hub, of this moment: servers come and go in these tests.
pub(super) fn stock(hub: &Hub) -> nats::jetstream::JetStream {
    let connection = nats::Options::new().max_reconnects(1).connect(hub.url()).unwrap();
    let options = nats::JetStreamOptions::new().domain("hub");
    nats::jetstream::JetStream::new(connection, options)
}

fn own_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap();
    user.map_or_else(String::new, |user| user.name)
}
