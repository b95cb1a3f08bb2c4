//! Servers that stop and start, lines that stall, and a device that goes on.

use leafcron::job::VerdictState;

use super::device::wait_for;
use super::rig::Fleet;

const HELLO: &str = r#"{"schedule":"@yearly","command":"true"}"#;

#[test]
fn a_device_that_starts_with_nothing_in_reach_takes_its_definitions_when_all_is_there() {
    let mut fleet = Fleet::waiting("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    fleet.leaf.kill();
    fleet.device.start();
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success(), "offline is normal");
    wait_for("the link says what is wrong", || {
        let link = fleet.link();
        (link["state"] == "waiting" && link["trouble"].is_string()).then_some(())
    });
    // The leaf comes, the hub has no bucket yet; then it has.
    fleet.leaf.start_again();
    wait_for("the link is connected", || fleet.link()["server"].as_str().map(drop));
    assert!(fleet.hub(&["init"]).status.success());
    let sequence = fleet.put("agent.pi.hello", HELLO);
    fleet.kill_link();
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(sequence));
    fleet.settled();
}

#[test]
fn a_hub_that_stops_and_starts_again_costs_nothing() {
    let mut fleet = Fleet::new("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let first = fleet.put("agent.pi.hello", HELLO);
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(first));
    for round in 0..2 {
        if round == 0 {
            fleet.hub.stop()
        } else {
            fleet.hub.kill()
        }
        assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
        fleet.hub.start_again();
        fleet.settled();
    }
    let second = fleet.put("agent.pi.hello", r#"{"schedule":"@monthly","command":"true"}"#);
    fleet.kill_link();
    let verdict = fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(second));
    assert_eq!(verdict.state, VerdictState::Accepted);
    assert_eq!(fleet.finals("own").len(), 2);
}

#[test]
fn a_leaf_that_is_killed_ends_the_link_process_and_the_next_one_goes_on() {
    let mut fleet = Fleet::new("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let pid = fleet.link_pid().unwrap();
    fleet.leaf.kill();
    wait_for("the link process ends", || (fleet.link_pid() != Some(pid)).then_some(()));
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    fleet.leaf.start_again();
    fleet.wait_until_up();
    fleet.settled();
    assert_eq!(fleet.finals("own").len(), 1);
}

#[test]
fn a_change_while_the_line_is_cut_is_in_force_soon_after_it_is_joined() {
    let fleet = Fleet::new("", "");
    fleet.hub.line.cut();
    let sequence = fleet.put("agent.pi.hello", HELLO);
    fleet.hub.line.join();
    // The hint was lost with the line: the next start, or the check, finds the key.
    fleet.kill_link();
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(sequence));
}

#[test]
fn an_older_state_of_the_bucket_takes_no_definition_away() {
    let mut fleet = Fleet::new("", "");
    let old = fleet.put("agent.pi.old", HELLO);
    fleet.wait_for_verdict("old", |verdict| verdict.sequence == Some(old));
    fleet.hub.stop();
    fleet.hub.save();
    fleet.hub.start_again();
    let new = fleet.put("agent.pi.new", HELLO);
    fleet.kill_link();
    fleet.wait_for_verdict("new", |verdict| verdict.sequence == Some(new));
    fleet.settled();
    // The hub is restored from a backup that knows nothing of `new`, nor of what was sent since.
    fleet.hub.stop();
    fleet.hub.restore();
    fleet.hub.start_again();
    fleet.kill_link();
    let verdict = fleet.wait_for_verdict("new", |verdict| verdict.state == VerdictState::Orphaned);
    assert!(verdict.in_force.is_some());
    assert_eq!(fleet.device.json(&["list"]).as_array().unwrap().len(), 2);
    fleet.settled();
}

#[test]
fn a_link_process_is_confined_and_of_a_group_of_its_own() {
    let fleet = Fleet::new("", "");
    let pid = fleet.link_pid().unwrap();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let group = read("stat").rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().to_owned();
    assert_eq!(group, pid.to_string(), "Ctrl-C at a terminal is not for it");
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    if super::device::is_root() {
        assert!(!status.contains("Uid:\t0\t") && status.contains("CapEff:\t0000000000000000"), "{status}");
    }
}

#[test]
fn credentials_that_do_not_fit_are_told_by_the_agent() {
    let mut fleet = Fleet::waiting("", "");
    for name in ["ca", "cert", "key"] {
        std::fs::write(fleet.device.path(name), "x".repeat(400_000)).unwrap();
        fleet.configure(&format!("{name} = {:?}", fleet.device.path(name)));
    }
    fleet.device.start();
    wait_for("it is told", || fleet.link()["trouble"].as_str()?.contains("at most 1048576").then_some(()));
}

#[test]
fn nothing_of_the_link_is_left_when_the_agent_is_killed() {
    let mut fleet = Fleet::new("", "");
    let pid = fleet.link_pid().unwrap();
    fleet.device.kill();
    wait_for("the link process ends by itself", || {
        (!std::path::Path::new("/proc").join(pid.to_string()).exists()
            || super::device::process_state(pid) == Some('Z'))
        .then_some(())
    });
}
