//! `make demo`: a hub, a leaf node and a device for half a minute, in directories of their own, on a real schedule that was
//! pushed from the hub. The line between leaf and hub is cut, the agent and its link process are killed; then every due
//! instant is accounted for, on the device and at the hub, without asking leafcron what was due.
//!
//! ```text
//!  seconds    0    2    4    6    8    10   12   14   16   18   20   22
//!  line       ==============- - - - - - - - - - -=====================     leaf to hub
//!  link       ========================          =========-============     kill -9
//!  beat       |    x    x    x    x    x    -    -    x    x    x    x    every 2 s
//!  slow            x===| timed out
//!  patient              x....| its gate holds it, then it is skipped
//!  long                               x========|      outlives the agent
//!  cut                                x==| its runner dies with the agent
//!  leafcrond  ============================ kill -9     ================
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a demonstration talks")]
#![expect(clippy::disallowed_methods, reason = "it goes by the machine's clock, not by leafcron's")]

mod device;
mod ledger;
mod marked;
#[path = "../../tests/servers/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the servers of the tests: what fails there ends the demonstration"
)]
mod servers;

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use device::Device;
use leafcron::job::{LinkState, LinkStatus, Outcome, RecordJson};
use ledger::{Every, Expected, Ledger};
use servers::{Hub, Leaf};

type Outcomes<T> = Result<T, Box<dyn Error>>;

/// When things happen, in seconds after the start of the schedule.
const SLOW_AT: i64 = 2;
const PATIENT_AT: i64 = 4;
const CUT_AT_MS: i64 = 5_500;
const LONG_AT: i64 = 10;
const KILL_AT_MS: i64 = 11_500;
const JOIN_AT_MS: i64 = 15_500;
const BACK_AT_MS: i64 = 16_500;
const KILL_LINK_AT_MS: i64 = 19_500;
const END_AT_MS: i64 = 22_900;
/// All that happened is at the hub so soon after the end.
const DELIVERY: Duration = Duration::from_secs(40);
/// No answer may take longer than this, nor the clock be read so close to a due instant.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the history.
const LOOK: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("demo: cannot watch for signal {signal}: {error}");
        }
    }
    match demonstrate(stop) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was lost, doubled or left behind.
fn demonstrate(stop: Arc<AtomicBool>) -> Outcomes<bool> {
    let hub = Hub::start();
    let leaf = Leaf::start(hub.leaf_address());
    let device = Device::new(&leaf.url())?;
    // The schedule begins at an even second, with some seconds for the agent to come up and its jobs to arrive.
    let zero = (now_ms()? / 1_000 + 5) / 2 * 2;
    let jobs = jobs(zero, &device);
    let file = device.write_jobs(&jobs.text)?;
    let mut show = Show { device, zero, stop, told: BTreeSet::new() };

    println!(
        "A hub on {}, a leaf node on {}, and a device in {}.",
        hub.url(),
        leaf.url(),
        show.device.dir().display()
    );
    println!(
        "The device knows the leaf node only, and has no jobs of its own. These are pushed from the hub:\n"
    );
    println!("{}", indented(&jobs.text));
    show.device.hub(&hub.url(), &["init"])?;
    show.device.start()?;
    show.wait_for_link()?;
    show.wait_until_heard(&hub.url())?;
    show.say("leafcrond is connected, through the leaf node");
    let from = now_ms()?;
    let file = file.display().to_string();
    let pushed = show.device.hub(&hub.url(), &["push", &file, "--agent", "demo"])?;
    let said = String::from_utf8_lossy(&pushed.stdout);
    show.say(&format!("leafcron hub push --agent demo: {}", said.trim()));
    let certain_from = now_ms()?;

    show.watch_until(CUT_AT_MS)?;
    hub.line.cut();
    show.say("the line between leaf node and hub is CUT. The device goes on");
    show.watch_until(KILL_AT_MS)?;
    let cut = show.device.runner_of("cut")?;
    show.device.kill()?;
    marked::kill(cut)?;
    show.say("kill -9: leafcrond is dead, and so is the runner of `cut`. `long` runs on, alone");
    show.pass_until(JOIN_AT_MS)?;
    hub.line.join();
    show.say("the line is joined again");
    show.pass_until(BACK_AT_MS)?;
    show.device.start()?;
    show.wait_for_answer()?;
    show.say("leafcrond is back, and reads its journal");
    show.watch_until(KILL_LINK_AT_MS)?;
    show.wait_for_link()?;
    marked::kill(show.device.link_process()?)?;
    show.say("kill -9: the link process is dead. The agent starts another");
    show.watch_until(END_AT_MS)?;
    let status = show.settled()?;
    let until = status.now.millis();
    show.wait_for_delivery()?;
    let records = show.device.history()?;
    show.say("everything is acknowledged by the hub");
    let at_hub = show.device.hub(&hub.url(), &["history", "--agent", "demo", "-n", "1000", "--json"])?;
    let at_hub: Vec<RecordJson> = serde_json::from_slice(&at_hub.stdout)?;
    show.device.stop()?;
    show.say("leafcrond was told to stop, and did");

    let expected = Expected { from, certain_from, until };
    let mut ledger = Ledger::default();
    for (name, every) in jobs.schedules {
        ledger.add(name, &expected.of(every), &show.device.witnesses(name)?, &records, &at_hub);
    }
    println!(
        "\nWhat was due goes by the schedule and the clock, what ran by the line that each job wrote itself;"
    );
    println!("both are held against the device's records, and these against the hub's stream:\n\n{ledger}");
    let left = show.device.left_behind()?;
    for process in &left {
        println!("left behind: {process}");
    }
    let good = ledger.is_clean() && left.is_empty() && told_the_story(&records);
    println!(
        "{}",
        if good { "Nothing was lost, nothing was doubled, no process is left." } else { "NOT GOOD." }
    );
    Ok(good)
}

/// Each of the four jobs that something happens to ended as announced.
fn told_the_story(records: &[RecordJson]) -> bool {
    let story = [
        ("slow", Outcome::TimedOut),
        ("patient", Outcome::Skipped),
        ("long", Outcome::Succeeded),
        ("cut", Outcome::Interrupted),
    ];
    let mut good = true;
    for (job, outcome) in story {
        if !records.iter().any(|it| it.job.as_str() == job && it.last && it.outcome == outcome) {
            println!("`{job}` did not end as it should have: {outcome:?}");
            good = false;
        }
    }
    good
}

struct Jobs {
    text: String,
    schedules: [(&'static str, Every); 5],
}

fn jobs(zero: i64, device: &Device) -> Jobs {
    let at = |second: i64| (zero + second).rem_euclid(60);
    let minutely = |second: i64| Every { secs: 60, offset: at(second) };
    let (slow, patient, long) = (at(SLOW_AT), at(PATIENT_AT), at(LONG_AT));
    let dir = device.dir().display();
    let text = format!(
        r#"[job.beat]
schedule = "*/2 * * * * *"
command  = 'echo "$LEAFCRON_DUE" >> {dir}/ran.beat'

[job.slow]
schedule = "{slow} * * * * *"
command  = 'echo "$LEAFCRON_DUE" >> {dir}/ran.slow; sleep 60'
timeout  = "2s"

[job.patient]
schedule = "{patient} * * * * *"
command  = 'echo "$LEAFCRON_DUE" >> {dir}/ran.patient'
hold     = "4s"
require  = {{ memory_available = "1024TiB" }}

[job.long]
schedule = "{long} * * * * *"
command  = 'echo "$LEAFCRON_DUE" >> {dir}/ran.long; sleep 4; echo done'

[job.cut]
schedule = "{long} * * * * *"
command  = 'echo "$LEAFCRON_DUE" >> {dir}/ran.cut; sleep 60'
"#
    );
    let schedules = [
        ("beat", Every { secs: 2, offset: 0 }),
        ("slow", minutely(SLOW_AT)),
        ("patient", minutely(PATIENT_AT)),
        ("long", minutely(LONG_AT)),
        ("cut", minutely(LONG_AT)),
    ];
    Jobs { text, schedules }
}

/// The device, the clock that the narration goes by, and what was told already.
struct Show {
    device: Device,
    zero: i64,
    stop: Arc<AtomicBool>,
    told: BTreeSet<u64>,
}

impl Show {
    fn say(&self, text: &str) {
        let since = now_ms().unwrap_or_default() - self.zero * 1_000;
        println!("{:>5}.{} s  {text}", since.div_euclid(1_000), since.rem_euclid(1_000) / 100);
    }

    /// Tells each new record until that moment of the schedule.
    fn watch_until(&mut self, at_ms: i64) -> Outcomes<()> {
        while self.left(at_ms)? > Duration::ZERO {
            self.tell()?;
            thread::sleep(LOOK.min(self.left(at_ms)?));
        }
        self.tell()
    }

    /// Lets time pass; nobody is there to ask.
    fn pass_until(&self, at_ms: i64) -> Outcomes<()> {
        while self.left(at_ms)? > Duration::ZERO {
            thread::sleep(LOOK.min(self.left(at_ms)?));
        }
        Ok(())
    }

    fn left(&self, at_ms: i64) -> Outcomes<Duration> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let left = self.zero * 1_000 + at_ms - now_ms()?;
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn tell(&mut self) -> Outcomes<()> {
        for record in self.device.history()? {
            if self.told.insert(record.seq) {
                self.say(&in_words(&record));
            }
        }
        Ok(())
    }

    fn wait_for_answer(&mut self) -> Outcomes<()> {
        let mut waited = Duration::ZERO;
        while let Err(error) = self.device.status() {
            if waited > PATIENCE || self.stop.load(Ordering::Relaxed) {
                return Err(format!("leafcrond does not answer: {error}\n{}", self.device.log()).into());
            }
            self.device.is_alive()?;
            thread::sleep(LOOK / 10);
            waited += LOOK / 10;
        }
        Ok(())
    }

    /// Until the link reaches the hub.
    fn wait_for_link(&mut self) -> Outcomes<()> {
        self.wait_for("reach the hub", PATIENCE, |link| link.state == LinkState::Up)
    }

    /// Until the hub has its first heartbeat: it has asked for its name by then, and takes what is pushed.
    fn wait_until_heard(&mut self, hub: &str) -> Outcomes<()> {
        let mut waited = Duration::ZERO;
        loop {
            let heard = self.device.hub(hub, &["agents", "--json"])?;
            if String::from_utf8_lossy(&heard.stdout).contains("\"demo\"") {
                return Ok(());
            }
            if waited > PATIENCE || self.stop.load(Ordering::Relaxed) {
                return Err(format!("the hub does not hear of the device\n{}", self.device.log()).into());
            }
            thread::sleep(LOOK / 4);
            waited += LOOK / 4;
        }
    }

    /// Until the hub has acknowledged all that is recorded.
    fn wait_for_delivery(&mut self) -> Outcomes<()> {
        self.wait_for("deliver all", DELIVERY, |link| link.unsent == 0)
    }

    fn wait_for(&mut self, what: &str, most: Duration, is: impl Fn(&LinkStatus) -> bool) -> Outcomes<()> {
        self.wait_for_answer()?;
        let mut waited = Duration::ZERO;
        loop {
            let link = self.device.status()?.link.ok_or("the device has no link")?;
            if is(&link) {
                return Ok(());
            }
            if waited > most || self.stop.load(Ordering::Relaxed) {
                return Err(format!("the link does not {what}: {link:#?}\n{}", self.device.log()).into());
            }
            thread::sleep(LOOK / 4);
            waited += LOOK / 4;
        }
    }

    /// The first status in which nothing runs nor waits, well clear of any due instant.
    fn settled(&mut self) -> Outcomes<leafcron::job::Status> {
        let mut waited = Duration::ZERO;
        loop {
            let status = self.device.status()?;
            let into = status.now.millis().rem_euclid(2_000);
            if status.running.is_empty() && status.waiting.is_empty() && (500..1_900).contains(&into) {
                self.tell()?;
                return Ok(status);
            }
            if waited > PATIENCE || self.stop.load(Ordering::Relaxed) {
                return Err(format!("leafcrond does not come to rest: {status:#?}").into());
            }
            self.tell()?;
            thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}

fn in_words(record: &RecordJson) -> String {
    let due = record.due.millis();
    let name = format!("{:<8}", record.job.as_str());
    let late = record.started.map_or(0, |started| started.millis() - due);
    let took = |started: leafcron::job::WallTime| record.ended.millis() - started.millis();
    let at = format!("due at :{:02}", record.due.secs().rem_euclid(60));
    let reason = record.reason.map_or(String::new(), |reason| format!(" ({})", ledger::word(&reason)));
    let outcome = ledger::word(&record.outcome).replace('_', " ");
    match (record.outcome, &record.covers, record.started) {
        (Outcome::Succeeded, _, Some(started)) => {
            format!("{name} {at}, started {late} ms later, succeeded after {} ms", took(started))
        }
        (Outcome::Skipped, Some(covers), _) if covers.count > 1 => {
            format!("{name} {at} and {} before it: skipped{reason}", covers.count - 1)
        }
        (Outcome::Skipped, _, _) => format!("{name} {at}: skipped{reason}"),
        (_, _, Some(started)) => format!("{name} {at}: {outcome}{reason} after {} ms", took(started)),
        (_, _, None) => format!("{name} {at}: {outcome}{reason}"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn now_ms() -> Outcomes<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
