//! Everything at once, for as long as it is told: `make chaos FOR=60s SEED=n`. Results and definitions flow while servers, lines,
//! the link and the agent are killed, stopped, cut and stalled; then all is mended, and an account is made.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use leafcron::job::VerdictState;
use leafcron::job::units::parse_duration;
use serde_json::Value;

use super::device::wait_for;
use super::rig::{Fleet, stock};
use super::servers::{Hub, Leaf, Line};

/// Between two changes of definitions.
const STEP: Duration = Duration::from_millis(400);
/// Steps that a trouble lasts.
const LASTS: usize = 5;
const TICKS: usize = 20;
const KEYS: u64 = 8;
const SECRET: &str = "of-the-device";

/// splitmix64: the same troubles for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    LeafKilled,
    HubKilled,
    LineCut,
    LineStalled,
    PathCut,
    PathStalled,
    LeafStopped,
    HubStopped,
    LinkKilled,
    AgentKilled,
    BucketRecreated,
    SecretRevoked,
}

const TROUBLES: [Trouble; 12] = [
    Trouble::LeafKilled,
    Trouble::HubKilled,
    Trouble::LineCut,
    Trouble::LineStalled,
    Trouble::PathCut,
    Trouble::PathStalled,
    Trouble::LeafStopped,
    Trouble::HubStopped,
    Trouble::LinkKilled,
    Trouble::AgentKilled,
    Trouble::BucketRecreated,
    Trouble::SecretRevoked,
];

struct World {
    fleet: Fleet,
    /// From the device to its leaf node.
    path: Line,
    dice: Dice,
    /// Of definitions, so far.
    changes: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let hub = Hub::start();
        let leaf = Leaf::with(hub.leaf_address(), &login(SECRET));
        let path = Line::to(leaf.server.address());
        let tick = |n: usize| {
            format!(
                "[job.tick-{n}]\nschedule = \"* * * * * *\"\nargs = [\"/bin/true\"]\noverlap = \"allow\"\ncatch_up = \"all\"\n"
            )
        };
        let url = format!("nats://{}", path.address());
        let ticks: String = (0..TICKS).map(tick).collect();
        let mut fleet = Fleet::of(hub, leaf, &url, "max_runs = 32", &ticks);
        fleet.device.haste = 20;
        fleet.configure(&format!("user = \"device\"\npassword = \"{SECRET}\""));
        assert!(fleet.hub(&["init"]).status.success());
        fleet.device.start();
        fleet.wait_until_up();
        Self { fleet, path, dice: Dice(seed), changes: 0 }
    }

    fn begin(&mut self, trouble: Trouble) {
        let fleet = &mut self.fleet;
        match trouble {
            Trouble::LeafKilled => fleet.leaf.kill(),
            Trouble::HubKilled => fleet.hub.kill(),
            Trouble::LineCut => fleet.hub.line.cut(),
            Trouble::LineStalled => fleet.hub.line.stall(),
            Trouble::PathCut => self.path.cut(),
            Trouble::PathStalled => self.path.stall(),
            Trouble::LeafStopped => fleet.leaf.server.signal("STOP"),
            Trouble::HubStopped => fleet.hub.server.signal("STOP"),
            Trouble::LinkKilled => {
                if let Some(pid) = fleet.link_pid() {
                    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
                }
            }
            Trouble::AgentKilled => fleet.device.kill(),
            Trouble::SecretRevoked => fleet.leaf.server.reconfigure(&login(SECRET), &login("another")),
            Trouble::BucketRecreated => {
                stock(&fleet.hub).delete_key_value("leafcron-jobs").unwrap();
                assert!(fleet.hub(&["init"]).status.success());
            }
        }
    }

    fn end(&mut self, trouble: Trouble) {
        let fleet = &mut self.fleet;
        match trouble {
            Trouble::LeafKilled => fleet.leaf.start_again(),
            Trouble::HubKilled => fleet.hub.start_again(),
            Trouble::LineCut | Trouble::LineStalled => fleet.hub.line.join(),
            Trouble::PathCut | Trouble::PathStalled => self.path.join(),
            Trouble::LeafStopped => fleet.leaf.server.signal("CONT"),
            Trouble::HubStopped => fleet.hub.server.signal("CONT"),
            Trouble::LinkKilled | Trouble::BucketRecreated => {}
            Trouble::AgentKilled => fleet.device.start(),
            Trouble::SecretRevoked => fleet.leaf.server.reconfigure(&login("another"), &login(SECRET)),
        }
    }

    /// Puts something, sound or not, or takes something away, at the hub: if it is there to take it.
    fn change(&mut self, hub_is_there: bool) {
        let (key, what) = (self.dice.roll(KEYS), self.dice.roll(5));
        if !hub_is_there {
            return;
        }
        self.changes += 1;
        let (bucket, key) = (self.fleet.bucket(), format!("agent.pi.job-{key}"));
        match what {
            0 => bucket.delete(&key).map(|_| 0),
            1 => bucket.put(&key, r#"{"schedule":"61 * * * *","command":"true"}"#),
            _ => bucket.put(&key, format!(r#"{{"schedule":"@yearly","command":"echo {}"}}"#, self.changes)),
        }
        .unwrap();
    }
}

/// As the leaf node is told who may come.
fn login(secret: &str) -> String {
    format!("authorization {{ user: device, password: {secret:?} }}\n")
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[test]
fn under_all_troubles_nothing_is_missing_nothing_doubled_and_definitions_are_those_of_the_hub() {
    let lasts = setting("CHAOS_FOR").map_or(Duration::from_secs(24), |text| parse_duration(&text).unwrap());
    let seed = setting("CHAOS_SEED").map_or(1, |text| text.parse().unwrap());
    let mut world = World::new(seed);
    // Somebody who listens to all and reads nothing: the servers have to get rid of him by themselves.
    let mut sluggard = TcpStream::connect(world.fleet.leaf.server.address()).unwrap();
    sluggard.write_all(b"CONNECT {\"verbose\":false,\"user\":\"device\",\"pass\":\"of-the-device\"}\r\nSUB leafcron.> 1\r\n").unwrap();
    let steps = usize::try_from(lasts.as_millis() / STEP.as_millis()).unwrap();
    let mut now: Option<Trouble> = None;
    // Each once, in an order of its own, then at random.
    let mut left: Vec<Trouble> = TROUBLES.to_vec();
    for step in 0..steps {
        if step % LASTS == 0 {
            if let Some(over) = now.take() {
                world.end(over);
            }
            let among = if left.is_empty() { &TROUBLES[..] } else { &left[..] };
            let trouble = among[usize::try_from(world.dice.roll(among.len() as u64)).unwrap()];
            left.retain(|it| *it != trouble);
            eprintln!("{} seed {seed}, step {step}: {trouble:?}", leafcron::agent::wall_clock());
            world.begin(trouble);
            now = Some(trouble);
        }
        world.change(!matches!(now, Some(Trouble::HubKilled | Trouble::HubStopped)));
        thread::sleep(STEP);
    }
    if let Some(over) = now {
        world.end(over);
    }
    let fleet = &world.fleet;
    wait_for("the link is up again", || (fleet.link()["state"] == "up").then_some(()));
    definitions_agree(fleet);
    every_second_is_accounted_for_once(&fleet.settled());
    eprintln!("{} changes of definitions, {} facts at the hub", world.changes, fleet.stream().len());
}

/// What each key of the hub's bucket says is in force, or refused as it has to be; what it does not say is not, unless the
/// bucket lost it without a word.
fn definitions_agree(fleet: &Fleet) {
    let bucket = fleet.bucket();
    for key in 0..KEYS {
        let job = format!("job-{key}");
        let entry = bucket.entry(&format!("agent.pi.{job}")).unwrap();
        match entry.filter(|entry| entry.operation == nats::kv::Operation::Put) {
            Some(entry) => {
                let sound = !entry.value.windows(3).any(|part| part == b"61 ");
                let state = if sound { VerdictState::Accepted } else { VerdictState::Rejected };
                fleet.wait_for_verdict(&job, |verdict| {
                    verdict.sequence == Some(entry.revision) && verdict.state == state
                });
            }
            None => wait_for(&format!("{job} is gone or an orphan"), || {
                fleet.verdict(&job).is_none_or(|it| it.state == VerdictState::Orphaned).then_some(())
            }),
        }
    }
}

/// By its own record or inside a range.
fn every_second_is_accounted_for_once(stream: &[Value]) {
    let second = |value: &Value| -> i64 {
        let at: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
        at.as_second()
    };
    let mut accounts: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for fact in stream.iter().filter(|fact| fact["final"] == true) {
        let Some(job) = fact["job"].as_str().filter(|job| job.starts_with("tick-")) else { continue };
        let range = match &fact["covers"] {
            Value::Null => (second(&fact["due"]), second(&fact["due"])),
            covers => (second(&covers["from"]), second(&covers["to"])),
        };
        accounts.entry(job).or_default().push(range);
    }
    assert_eq!(accounts.len(), TICKS);
    for (job, mut ranges) in accounts {
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            assert_eq!(pair[1].0, pair[0].1 + 1, "{job}: {pair:?}");
        }
    }
}
