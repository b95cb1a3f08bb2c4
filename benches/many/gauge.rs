//! What the servers and the kernel say: nats-server's monitoring port, its process, and what the hub tells of consumers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use leafcron::nats::{Connection, Message, Settings};
use nix::unistd::{SysconfVar, sysconf};
use serde_json::Value;

use super::crowd::{Crowd, Outcomes};
use super::servers::{Hub, free_port};

const ANSWER: Duration = Duration::from_secs(5);
const ADVISORIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.";
/// Of a burst, so many may wait; a lost one would be a wrong figure.
const WAITING: usize = 100_000;
/// How the devices' consumers begin.
const DEVICES: &str = "pi-";

/// Where a server can be asked.
pub(super) struct Gauge {
    port: u16,
    pid_file: PathBuf,
}

impl Gauge {
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        Self { port: free_port(), pid_file: dir.join(name) }
    }

    /// What the server's configuration needs for it.
    pub(super) fn config(&self) -> String {
        format!("http: \"127.0.0.1:{}\"\npid_file: {:?}\n", self.port, self.pid_file)
    }

    pub(super) fn ask(&self, what: &str) -> Outcomes<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(format!("GET /{what} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// A figure of `/varz`.
    pub(super) fn figure(&self, name: &str) -> Outcomes<u64> {
        let figures = self.ask("varz")?;
        Ok(figures.get(name).and_then(Value::as_u64).ok_or_else(|| format!("varz has no {name}"))?)
    }

    pub(super) fn pid(&self) -> Outcomes<u32> {
        Ok(fs::read_to_string(&self.pid_file)?.trim().parse()?)
    }

    /// User and system time so far (proc(5): utime, stime), exact to a tick.
    pub(super) fn cpu(&self) -> Outcomes<Duration> {
        let tick = sysconf(SysconfVar::CLK_TCK)?.ok_or("no clock tick")?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let (_, fields) = stat.rsplit_once(") ").ok_or("stat without a name")?;
        let ticks =
            fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        Ok(Duration::from_millis(ticks * 1_000 / u64::try_from(tick)?))
    }

    /// In MiB.
    pub(super) fn memory(&self) -> Outcomes<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: u64 = line.split_whitespace().next().ok_or("an empty VmRSS")?.parse()?;
        Ok(kib / 1_024)
    }
}

/// All figures that grow, at one moment.
#[derive(Clone, Default)]
pub(super) struct Reading {
    hub: u32,
    cpu: Duration,
    /// Messages both ways, by connection of a leaf node.
    messages: BTreeMap<u64, u64>,
    /// Bytes between devices and leaf nodes, and between these and the hub.
    paths: u64,
    line: u64,
    made: u64,
}

/// What grew between two.
pub(super) struct Growth {
    pub(super) cpu: Duration,
    pub(super) messages: u64,
    pub(super) paths: u64,
    pub(super) line: u64,
    pub(super) made: u64,
}

impl Reading {
    pub(super) fn take(crowd: &Crowd, hub: &Gauge, consumers: &Consumers) -> Outcomes<Self> {
        let mut messages = BTreeMap::new();
        let leafs = hub.ask("leafz")?;
        for leaf in leafs.get("leafs").and_then(Value::as_array).into_iter().flatten() {
            let field = |name: &str| leaf.get(name).and_then(Value::as_u64).unwrap_or(0);
            // nats-server 2.9 names no connection, but each has a port of its own.
            messages.insert(field("port"), field("in_msgs") + field("out_msgs"));
        }
        Ok(Self {
            hub: hub.pid()?,
            cpu: hub.cpu()?,
            messages,
            paths: crowd.paths.iter().map(super::servers::Line::carried).sum(),
            line: crowd.hub.line.carried(),
            made: consumers.count().made,
        })
    }

    /// A server, or a connection, that is new began at nothing.
    pub(super) fn since(&self, before: &Self) -> Growth {
        let begun = |port: &u64| before.messages.get(port).filter(|_| self.hub == before.hub).copied();
        let cpu = if self.hub == before.hub { before.cpu } else { Duration::ZERO };
        Growth {
            cpu: self.cpu.saturating_sub(cpu),
            messages: self
                .messages
                .iter()
                .map(|(port, now)| now.saturating_sub(begun(port).unwrap_or(0)))
                .sum(),
            paths: self.paths - before.paths,
            line: self.line - before.line,
            made: self.made - before.made,
        }
    }
}

/// The devices' consumers at the hub, which tells of each one that comes and goes.
pub(super) struct Consumers {
    count: Arc<Mutex<Count>>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    made: u64,
    now: u64,
    pub(super) most: u64,
}

impl Consumers {
    pub(super) fn new() -> Self {
        Self { count: Arc::default() }
    }

    /// Listens at this hub, until it ends; what it had of consumers before is gone.
    pub(super) fn watch(&self, hub: &Hub) -> Outcomes<()> {
        let connection = Connection::connect(&Settings::new(vec![hub.url()], "gauge"), ANSWER, |_| {})?;
        let told = connection.subscribe(&format!("{ADVISORIES}>"), WAITING)?;
        let count = Arc::clone(&self.count);
        locked(&count).now = 0;
        thread::spawn(move || {
            while let Ok(message) = told.next_blocking() {
                locked(&count).take(&message);
            }
            drop(connection);
        });
        Ok(())
    }

    pub(super) fn count(&self) -> Count {
        *locked(&self.count)
    }

    /// The most at once is counted anew.
    pub(super) fn begin(&self) {
        let mut count = locked(&self.count);
        count.most = count.now;
    }
}

impl Count {
    fn take(&mut self, message: &Message) {
        let mut words = message.subject.strip_prefix(ADVISORIES).unwrap_or_default().split('.');
        let (what, name) = (words.next(), words.nth(1));
        if !name.is_some_and(|name| name.starts_with(DEVICES)) {
            return;
        }
        match what {
            Some("CREATED") => {
                self.made += 1;
                self.now += 1;
                self.most = self.most.max(self.now);
            }
            Some("DELETED") => self.now = self.now.saturating_sub(1),
            _ => {}
        }
    }
}

fn locked(count: &Mutex<Count>) -> std::sync::MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}
