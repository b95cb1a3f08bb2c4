//! What takes minutes: the check of the bucket, a server and a link that hang, a phase that is left out. The agents here
//! have the long waits of their link shortened (`LEAFCRON_HASTE`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use leafcron::job::VerdictState;

use super::device::wait_for;
use super::rig::{Fleet, stock};

const HELLO: &str = r#"{"schedule":"@yearly","command":"true"}"#;
const OWN: &str = "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n";

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn what_no_hint_tells_is_found_by_the_check_and_another_bucket_by_the_minutes_question() {
    // 10 minutes are a quarter of one, and a minute is 1.5 s.
    let fleet = Fleet::hasty(40, "", "");
    let sequence = fleet.put("agent.pi.gone", HELLO);
    fleet.put("agent.pi.kept", HELLO);
    fleet.wait_for_verdict("gone", |verdict| verdict.sequence == Some(sequence));
    fleet.wait_for_verdict("kept", |_| true);
    let pid = fleet.link_pid();
    // A limit of the stream takes it, and nobody says so.
    fleet.hub.erase("KV_leafcron-jobs", "$KV.leafcron-jobs.agent.pi.gone");
    let since = leafcron::agent::wall_clock();
    wait_for("the check removes it", || fleet.verdict("gone").is_none().then_some(()));
    let waited = leafcron::agent::wall_clock().since(since);
    assert!(waited < Duration::from_secs(60), "the quarter of a minute took {waited:?}");
    stock(&fleet.hub).delete_stream("KV_leafcron-jobs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.wait_for_verdict("kept", |verdict| verdict.state == VerdictState::Orphaned);
    assert_eq!(fleet.link_pid(), pid, "one and the same link process did it");
}

#[test]
fn a_push_into_a_bucket_that_was_made_anew_waits_for_its_own_verdict() {
    let fleet = Fleet::hasty(40, "", "");
    for n in 0..9 {
        fleet.put("agent.pi.a", format!(r#"{{"schedule":"@yearly","command":"echo {n}"}}"#));
    }
    fleet.wait_for_verdict("a", |verdict| verdict.sequence >= Some(9));
    stock(&fleet.hub).delete_stream("KV_leafcron-jobs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    // Its sequence is far below the one that the device spoke of last.
    let path = fleet.device.path("fleet.toml");
    std::fs::write(&path, "[job.a]\nschedule = \"@yearly\"\ncommand = \"echo new\"\n").unwrap();
    wait_for("the device is known", || fleet.heartbeat());
    let pushed = fleet.hub(&["push", path.to_str().unwrap(), "--agent", "pi"]);
    let said = super::device::text_of(&pushed.stderr);
    assert!(pushed.status.success() && said.contains("pi  a  accepted"), "{said}");
    assert_eq!(fleet.verdict("a").unwrap().sequence, Some(2));
}

#[test]
fn a_server_that_stalls_is_left_after_its_time_and_joined_when_it_goes_on() {
    // 150 s are 7.5.
    let fleet = Fleet::hasty(20, "", OWN);
    let pid = fleet.link_pid().unwrap();
    fleet.leaf.server.signal("STOP");
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    wait_for("the link process ends", || (fleet.link_pid() != Some(pid)).then_some(()));
    wait_for("it said why", || fleet.device.log().contains("no answer at all for").then_some(()));
    let left_out = fleet.link()["left_out"].clone();
    assert!(
        left_out.as_array().is_none_or(Vec::is_empty),
        "the connection's fault, and no phase's: {left_out}"
    );
    fleet.leaf.server.signal("CONT");
    fleet.wait_until_up();
    fleet.settled();
    assert_eq!(fleet.finals("own").len(), 1);
}

#[test]
fn a_link_that_hangs_is_killed_and_another_one_goes_on() {
    let fleet = Fleet::hasty(40, "", OWN);
    let pid = fleet.link_pid().unwrap();
    signal(pid, "STOP");
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    wait_for("it is killed", || (fleet.link_pid() != Some(pid)).then_some(()));
    assert!(fleet.device.log().contains("it said nothing for"), "{}", fleet.device.log());
    fleet.wait_until_up();
    fleet.settled();
    assert_eq!(fleet.finals("own").len(), 1);
}

/// Publishes a message that no client can read: a header without a colon.
fn publish_malformed(fleet: &Fleet, subject: &str) {
    let header = "NATS/1.0\r\nno colon\r\n\r\n";
    let mut server = TcpStream::connect(fleet.hub.server.address()).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let size = header.len();
    let text = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB {subject} {size} {}\r\n{header}{{}}\r\nPING\r\n",
        size + 2
    );
    server.write_all(text.as_bytes()).unwrap();
    let mut said = String::new();
    while !said.contains("PONG") {
        let mut bytes = [0; 4096];
        let count = server.read(&mut bytes).unwrap();
        assert!(count > 0, "the server hung up: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[test]
fn what_ends_every_link_while_it_reads_definitions_leaves_them_out_and_results_still_flow() {
    // 10 minutes are 15 s.
    let fleet = Fleet::hasty(40, "", OWN);
    publish_malformed(&fleet, "$KV.leafcron-jobs.agent.pi.bad");
    wait_for("definitions are left out", || {
        let link = fleet.link();
        (link["left_out"][0] == "definitions" && link["state"] == "up").then_some(())
    });
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    wait_for("the record is at the hub", || (fleet.finals("own").len() == 1).then_some(()));
    let said = |fact: &serde_json::Value| fact["event"] == "link" && fact["phase"] == "definitions";
    assert!(fleet.stream().iter().any(said), "and so is what happened to the link");
    // Somebody takes it away, and all is read again when the time is over.
    fleet.bucket().delete("agent.pi.bad").unwrap();
    let sequence = fleet.put("agent.pi.good", HELLO);
    fleet.wait_for_verdict("good", |verdict| verdict.sequence == Some(sequence));
    assert!(fleet.link()["left_out"].as_array().is_none_or(Vec::is_empty));
    fleet.settled();
}

#[test]
fn a_forged_hint_costs_a_look_at_its_key_and_no_more() {
    let fleet = Fleet::hasty(40, "", "");
    let sequence = fleet.put("agent.pi.hello", HELLO);
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(sequence));
    let leaf = nats::Options::new().connect(fleet.leaf.url()).unwrap();
    let readings = leaf.subscribe("$JS.hub.API.CONSUMER.CREATE.KV_leafcron-jobs.>").unwrap();
    leaf.flush().unwrap();
    // The check may have to look at what the first hint was for.
    while readings.next_timeout(Duration::from_secs(17)).is_ok() {}
    leaf.publish("leafcron.job.agent.pi.nothing", "").unwrap();
    let looked = readings.next_timeout(Duration::from_secs(10)).unwrap();
    assert!(looked.subject.ends_with(".$KV.leafcron-jobs.agent.pi.nothing"), "{}", looked.subject);
    let more = readings.next_timeout(Duration::from_secs(4));
    assert!(more.is_err(), "{:?}", more.map(|more| more.subject));
}
