//! `make many AGENTS=100`: that many real agents behind two leaf nodes of one hub, all of them processes of this machine.
//! How long they take to join, to take a job that is pushed to their group, and to come back all at once; what each of that
//! costs the hub. Ends with 1 where something does not converge, or a result is missing or doubled.
//!
//! `QUIET=11m` watches the quiet for longer than the ten minutes after which each device reads its keys again;
//! `OUTAGE=3m` has servers away for longer than the minute within which each device notices.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

#[path = "../../tests/fleet/crowd.rs"]
mod crowd;
mod gauge;
mod readings;
#[path = "../../tests/servers/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the servers of the tests: what fails there ends the measurement"
)]
mod servers;
mod table;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crowd::{Crowd, Outcomes, Word, now_nanos};
use gauge::{Consumers, Gauge, Reading};
use leafcron::job::units::parse_duration;
use serde_json::Value;
use table::Table;

/// Nothing that works takes this long.
const PATIENCE: Duration = Duration::from_secs(300);
const JOB: &str = "job";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches as well.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("a measurement, not a test: `make many`");
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(report) => {
            println!("\n{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("many: {error}");
            ExitCode::FAILURE
        }
    }
}

fn setting<T>(name: &str, or: T, parse: impl FnOnce(&str) -> Option<T>) -> Outcomes<T> {
    match std::env::var(name).ok().filter(|text| !text.is_empty()) {
        None => Ok(or),
        Some(text) => Ok(parse(&text).ok_or_else(|| format!("{name}={text} makes no sense"))?),
    }
}

/// All that is measured, and by what.
struct Measurement {
    crowd: Crowd,
    hub: Gauge,
    leaves: Vec<Gauge>,
    consumers: Consumers,
    table: Table,
    /// How long servers are away.
    outage: Duration,
}

fn measure() -> Outcomes<String> {
    let agents = setting("AGENTS", 100, |text| text.parse().ok())?;
    let quiet = setting("QUIET", Duration::from_secs(60), |text| parse_duration(text).ok())?;
    let outage = setting("OUTAGE", Duration::from_secs(5), |text| parse_duration(text).ok())?;
    let dir = tempfile::tempdir()?;
    let gauge = |name: &str| Gauge::new(dir.path(), name);
    let (hub, first, second) = (gauge("hub"), gauge("first"), gauge("second"));
    let crowd = Crowd::new(PATIENCE, &hub.config(), [&first.config(), &second.config()])?;
    let consumers = Consumers::new();
    consumers.watch(&crowd.hub)?;
    let leaves = vec![first, second];
    let mut it = Measurement { crowd, hub, leaves, consumers, table: Table::of(agents), outage };
    it.phase("all join", |crowd| {
        let from = now_nanos();
        crowd.start(agents)?;
        Ok(Some((from, crowd.all_say(&Word::Heartbeat(0))?)))
    })?;
    it.phase("a job is pushed to the group", |crowd| pushed(crowd, "true"))?;
    it.phase(&format!("{} s of quiet", quiet.as_secs()), |_| {
        thread::sleep(quiet);
        Ok(None)
    })?;
    let standing = it.standing()?;
    it.all_run(1)?;
    it.leaves_die()?;
    it.all_run(2)?;
    it.hub_dies(3)?;
    it.all_run(4)?;
    let stored = it.stored()?;
    let table = it.table.to_string();
    // Nobody else is at work while it is measured what a hub serves at most.
    drop(it);
    println!("readings");
    Ok(format!("{table}\n{standing}\n{stored}\n{}", readings::measure()?))
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// When it was pushed, and when each device said that it has it.
fn pushed(crowd: &Crowd, command: &str) -> Outcomes<Option<(i64, Vec<i64>)>> {
    let (sequence, at) = crowd.push(JOB, command)?;
    Ok(Some((at, crowd.all_say(&Word::Accepted(JOB, sequence))?)))
}

impl Measurement {
    /// Does something that begins at a moment and ends for each device at one of its own.
    fn phase(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Crowd) -> Outcomes<Option<(i64, Vec<i64>)>>,
    ) -> Outcomes<()> {
        println!("{name}");
        self.consumers.begin();
        let before = self.reading()?;
        let times = work(&mut self.crowd)?;
        self.crowd.no_consumer_stays()?;
        let growth = self.reading()?.since(&before);
        for server in core::iter::once(&self.hub).chain(&self.leaves) {
            let slow = server.figure("slow_consumers")?;
            if slow > 0 {
                return Err(format!("{name}: {slow} slow consumers").into());
            }
        }
        self.table.row(name, times, &growth, self.consumers.count().most, self.hub.memory()?);
        Ok(())
    }

    fn reading(&self) -> Outcomes<Reading> {
        Reading::take(&self.crowd, &self.hub, &self.consumers)
    }

    /// All have run the job in one moment, and its results are there once.
    fn all_run(&mut self, times: usize) -> Outcomes<()> {
        self.all_run_since("all run it at once", now_nanos(), times)
    }

    fn all_run_since(&mut self, name: &str, from: i64, times: usize) -> Outcomes<()> {
        self.phase(name, |crowd| {
            crowd.all_run(JOB)?;
            let mut stored = crowd.account(JOB, times)?;
            stored.retain(|at| *at > from);
            Ok(Some((from, stored)))
        })
    }

    /// Both leaf nodes are away for a while, and come back together; something was pushed meanwhile.
    fn leaves_die(&mut self) -> Outcomes<()> {
        for leaf in &mut self.crowd.leaves {
            leaf.kill();
        }
        let (sequence, _) = self.crowd.push(JOB, "echo one")?;
        thread::sleep(self.outage);
        self.phase(&format!("both leaf nodes come back after {} s", self.outage.as_secs()), |crowd| {
            let from = now_nanos();
            for leaf in &mut crowd.leaves {
                leaf.start_again();
            }
            Ok(Some((from, crowd.all_say(&Word::Accepted(JOB, sequence))?)))
        })
    }

    /// The hub is away for a while, and the leaf nodes join it again. Whoever can be commanded hears of what is pushed.
    fn hub_dies(&mut self, times: usize) -> Outcomes<()> {
        self.crowd.hub.kill();
        thread::sleep(self.outage);
        let from = now_nanos();
        self.crowd.hub.start_again();
        self.crowd.renew()?;
        self.consumers.watch(&self.crowd.hub)?;
        let name = format!("the hub comes back after {} s: all run it", self.outage.as_secs());
        self.all_run_since(&name, from, times)?;
        self.phase("a job is pushed to the group", |crowd| pushed(crowd, "echo two"))
    }

    /// What a result takes in the hub's stream.
    fn stored(&self) -> Outcomes<String> {
        let there = self.hub.ask("jsz?acc=$G&streams=true")?;
        let streams = there.pointer("/account_details/0/stream_detail").and_then(Value::as_array);
        let named = |stream: &&Value| stream.get("name").is_some_and(|name| name == "leafcron-runs");
        let runs = streams.into_iter().flatten().find(named);
        let state = runs.and_then(|runs| runs.get("state")).ok_or("no stream of results")?;
        let (messages, bytes) = (number(state, "messages"), number(state, "bytes"));
        Ok(format!("results: {messages} messages in the stream, {} bytes each", bytes / messages.max(1)))
    }

    /// What is there while nothing happens.
    fn standing(&self) -> Outcomes<String> {
        let hub = &self.hub;
        let consumers = number(&hub.ask("jsz")?, "consumers");
        let mut text = format!(
            "quiet: the hub has {} leaf nodes, {} clients (of this program), {} subscriptions, {consumers} consumers, {} MiB",
            hub.figure("leafnodes")?,
            hub.figure("connections")?,
            hub.figure("subscriptions")?,
            hub.memory()?
        );
        for leaf in &self.leaves {
            text += &format!(
                "\n       a leaf node has {} clients, {} subscriptions, {} MiB",
                leaf.figure("connections")?,
                leaf.figure("subscriptions")?,
                leaf.memory()?
            );
        }
        Ok(text)
    }
}
