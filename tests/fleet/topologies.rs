//! The ways in which a device can be joined to its hub: in each a definition arrives, a command is answered, and every
//! result is at the hub once.

use std::path::PathBuf;

use leafcron::job::VerdictState;
use serde_json::Value;

use super::device::{text_of, wait_for};
use super::rig::Fleet;
use super::servers::{Hub, Leaf, free_port};

const TICK: &str =
    "[job.tick]\nschedule = \"* * * * * *\"\ncommand = \"true\"\noverlap = \"allow\"\ncatch_up = \"all\"\n";

fn url_of(servers: &[&str]) -> String {
    servers.join("\", \"")
}

/// Makes the hub's streams and starts the device, whose configuration names these servers.
fn begin(mut fleet: Fleet, servers: &[&str], replicas: &str) -> Fleet {
    let path: PathBuf = fleet.device.path("leafcrond.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"SERVERS\"", &format!("\"{}\"", url_of(servers)))).unwrap();
    // A cluster has to find its leader first.
    wait_for("the hub is made", || {
        fleet.hub(&["init", "--replicas", replicas]).status.success().then_some(())
    });
    fleet.device.start();
    fleet.wait_until_up();
    fleet
}

/// A definition arrives, a command is answered, its result is at the hub, and so is the device's state.
fn works(fleet: &Fleet, job: &str) {
    let sequence = fleet.put(&format!("agent.pi.{job}"), r#"{"schedule":"@yearly","command":"echo here"}"#);
    fleet.wait_for_verdict(job, |verdict| {
        verdict.state == VerdictState::Accepted && verdict.sequence == Some(sequence)
    });
    let run = fleet.hub(&["run", "pi", job, "--wait"]);
    assert_eq!(
        (run.status.code(), text_of(&run.stdout).trim()),
        (Some(0), "here"),
        "{}",
        text_of(&run.stderr)
    );
    wait_for("its result is at the hub", || (fleet.finals(job).len() == 1).then_some(()));
    wait_for("the device says how it is", || fleet.heartbeat());
}

/// Messages that the hub's stream has: told by its leader alone, without a consumer, which nats-server 2.9 may make at a
/// server that is dead.
fn results(fleet: &Fleet) -> u64 {
    fleet.info("leafcron-runs")["state"]["messages"].as_u64().unwrap()
}

/// Waits for so many more results at the hub.
fn goes_on(fleet: &Fleet, more: u64) {
    let seen = results(fleet);
    wait_for("results go on", || (results(fleet) >= seen + more).then_some(()));
}

#[test]
fn a_leaf_node_with_a_jetstream_and_a_stream_of_its_own_on_our_subjects_takes_nothing_away() {
    let hub = Hub::start();
    let leaf = Leaf::with(hub.leaf_address(), "jetstream { domain: leaf, store_dir: \"@DIR@/store\" }\n");
    let own = nats::Options::new().connect(leaf.url()).unwrap();
    // It captures what the device publishes, and acknowledges it sooner than the hub can.
    let config = nats::jetstream::StreamConfig {
        name: "leafcron-runs".to_owned(),
        subjects: vec!["leafcron.run.>".to_owned(), "leafcron.event.>".to_owned()],
        ..Default::default()
    };
    let local = nats::jetstream::new(own.clone());
    local.add_stream(&config).unwrap();
    let url = leaf.url();
    let fleet = begin(Fleet::of(hub, leaf, "SERVERS", "max_runs = 16", TICK), &[&url], "1");
    works(&fleet, "job");
    goes_on(&fleet, 3);
    // While the hub is away the leaf's own stream acknowledges alone: that is nobody's proof.
    fleet.hub.line.cut();
    let before = local.stream_info("leafcron-runs").unwrap().state.messages;
    wait_for("the leaf's own stream has taken more", || {
        (local.stream_info("leafcron-runs").unwrap().state.messages > before).then_some(())
    });
    fleet.hub.line.join();
    goes_on(&fleet, 3);
    fleet.settled();
}

#[test]
fn a_device_may_be_a_client_of_the_hub_itself() {
    let hub = Hub::start();
    let leaf = Leaf::start(hub.leaf_address());
    let url = hub.url();
    let fleet = begin(Fleet::of(hub, leaf, "SERVERS", "", ""), &[&url], "1");
    works(&fleet, "job");
    assert_eq!(fleet.link()["server"], url.as_str());
    fleet.settled();
}

#[test]
fn of_two_leaf_nodes_the_other_is_taken_when_one_is_gone() {
    let hub = Hub::start();
    let (first, second) = (Leaf::start(hub.leaf_address()), Leaf::start(hub.leaf_address()));
    let (at_first, at_second) = (first.url(), second.url());
    let mut second = Some(second);
    let mut fleet =
        begin(Fleet::of(hub, first, "SERVERS", "max_runs = 16", TICK), &[&at_first, &at_second], "1");
    works(&fleet, "job");
    // Whichever it is on, one after the other.
    for round in 0..2 {
        let on = fleet.link()["server"].as_str().unwrap().to_owned();
        if on == at_first {
            fleet.leaf.kill();
        } else {
            second.as_mut().unwrap().kill();
        }
        wait_for("it is on the other", || {
            let link = fleet.link();
            (link["state"] == "up" && link["server"] != on.as_str()).then_some(())
        });
        works(&fleet, &format!("job-{round}"));
        goes_on(&fleet, 2);
        if on == at_first {
            fleet.leaf.start_again();
        } else {
            second.as_mut().unwrap().start_again();
        }
    }
    fleet.settled();
}

/// Three servers that are one hub, each with three replicas of all.
struct Cluster {
    servers: Vec<Hub>,
}

impl Cluster {
    fn start() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let routes = routes.join(", ");
        let server = |port: &u16| {
            let more = format!("cluster {{ name: hub, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n");
            Hub::named(&format!("hub-{port}"), &more)
        };
        Self { servers: ports.iter().map(server).collect() }
    }
}

/// The server that leads a stream, by its name; nobody answers while none does.
fn leader(client: &nats::Connection, stream: &str) -> Option<String> {
    let asked = format!("$JS.API.STREAM.INFO.{stream}");
    let answer = client.request_timeout(&asked, "", std::time::Duration::from_secs(1)).ok()?;
    let info: Value = serde_json::from_slice(&answer.data).unwrap();
    info["cluster"]["leader"].as_str().map(str::to_owned)
}

#[test]
fn a_hub_of_three_loses_and_doubles_nothing_when_the_leader_of_its_results_is_killed() {
    let mut cluster = Cluster::start();
    // The test asks the first, so that another one has to die.
    let hub = cluster.servers.remove(0);
    let leaf = Leaf::of_remotes(&[&hub, &cluster.servers[0], &cluster.servers[1]]);
    let url = leaf.url();
    let fleet = begin(Fleet::of(hub, leaf, "SERVERS", "max_runs = 16", TICK), &[&url], "3");
    assert_eq!(fleet.info("leafcron-runs")["config"]["num_replicas"], 3);
    works(&fleet, "job");
    let first = fleet.hub.name();
    let client = nats::Options::new().connect(fleet.hub.url()).unwrap();
    let victim = wait_for("another server leads", || {
        let leads = leader(&client, "leafcron-runs")?;
        if leads != first {
            return Some(leads);
        }
        // It may say no while there is no other.
        let down = "$JS.API.STREAM.LEADER.STEPDOWN.leafcron-runs";
        client.request_timeout(down, "", std::time::Duration::from_secs(2)).ok();
        None
    });
    goes_on(&fleet, 3);
    let at = cluster.servers.iter().position(|server| server.name() == victim).unwrap();
    cluster.servers[at].kill();
    wait_for("there is another leader", || leader(&client, "leafcron-runs").filter(|leads| *leads != victim));
    goes_on(&fleet, 5);
    works(&fleet, "after");
    cluster.servers[at].start_again();
    goes_on(&fleet, 2);
    fleet.settled();
}
