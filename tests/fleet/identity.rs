//! One journal in two places, and two devices of one name: nothing that either recorded is lost or told twice, and the
//! centre learns of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::device::{Rig, wait_for};
use super::rig::Fleet;

const OWN: &str = "[job.own]\nschedule = \"@yearly\"\ncommand = \"echo mine\"\n";

/// Where the names of a machine are read.
fn machine(rig: &Rig, serial: &str) -> String {
    let root = rig.path(serial);
    fs::create_dir_all(root.join("proc/device-tree")).unwrap();
    fs::write(root.join("proc/device-tree/serial-number"), format!("10000000{serial}\0")).unwrap();
    root.to_str().unwrap().to_owned()
}

fn start_on(rig: &mut Rig, machine: &str) {
    rig.start_with(&[("LEAFCRON_MACHINE", machine)]);
    wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
}

/// Another device with the same configuration, its agent not started.
fn twin(fleet: &Fleet) -> Rig {
    let text = fs::read_to_string(fleet.device.path("leafcrond.toml")).unwrap();
    let (_, config) = text.split_once("trust_clock = true\n").unwrap();
    let mut twin = Rig::with_config(config, OWN);
    twin.haste = fleet.device.haste;
    twin
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = Command::new("cp").arg("-aT").args([from, to]).status().unwrap();
    assert!(copied.success());
}

fn run(rig: &Rig) {
    let ran = rig.leafcron(&["run", "own", "--wait"]);
    assert!(ran.status.success(), "{ran:?}; {}", rig.log());
}

fn epoch(rig: &Rig) -> String {
    rig.json(&["status"])["epoch"].as_str().unwrap().to_owned()
}

/// Waits until all of these have told everything, and holds the stream against promise 4: of each epoch every number
/// up to its end once, of each run that any of them remembers one record.
fn account(fleet: &Fleet, devices: &[&Rig]) -> Vec<Value> {
    for device in devices {
        wait_for(&format!("all is acknowledged: {}", device.log()), || {
            let link = device.json(&["status"])["link"].clone();
            // Nothing is owed, and it was compared: an epoch that has to end is no trouble any more.
            (link["unsent"] == 0 && link["state"] == "up").then_some(())
        });
    }
    let stream = fleet.stream();
    let mut epochs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut runs: BTreeMap<&str, u32> = BTreeMap::new();
    for fact in &stream {
        let (epoch, seq) = (fact["epoch"].as_str().unwrap(), fact["seq"].as_u64().unwrap());
        assert!(epochs.entry(epoch).or_default().insert(seq), "{seq} is twice in the stream: {fact}");
        if let Some(id) = fact["id"].as_str() {
            *runs.entry(id).or_default() += 1;
        }
    }
    for (epoch, seqs) in &epochs {
        let last = seqs.last().copied().unwrap();
        assert_eq!(seqs.len() as u64, last, "numbers of {epoch} are missing: {seqs:?}");
    }
    for device in devices {
        let acked = device.json(&["status"])["link"]["acked_through"].as_u64().unwrap();
        let own = epoch(device);
        assert!(epochs[own.as_str()].contains(&acked), "{acked} of {own}");
        for record in device.records("own") {
            let record = serde_json::to_value(&record).unwrap();
            assert_eq!(runs.get(record["id"].as_str().unwrap()), Some(&1), "{record}");
        }
    }
    stream
}

/// The events of new epochs, each as the old epoch, its last number, and the new one.
fn new_epochs(stream: &[Value]) -> Vec<(String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let new = stream.iter().filter(|fact| fact["event"] == "new_epoch");
    new.map(|fact| {
        assert_eq!(fact["seq"], 1);
        (text(&fact["old_epoch"]), fact["last_seq"].as_u64().unwrap(), text(&fact["epoch"]))
    })
    .collect()
}

#[test]
fn a_card_that_was_cloned_goes_on_in_another_machine_under_numbers_of_its_own() {
    let mut fleet = Fleet::waiting("", OWN);
    assert!(fleet.hub(&["init"]).status.success());
    let first = machine(&fleet.device, "d2a1f4c7");
    start_on(&mut fleet.device, &first);
    fleet.wait_until_up();
    run(&fleet.device);
    account(&fleet, &[&fleet.device]);
    // What it records without its leaf is on the card, and not at the hub.
    fleet.leaf.kill();
    run(&fleet.device);
    fleet.device.kill();
    let mut clone = twin(&fleet);
    copy(&fleet.device.path("state"), &clone.path("state"));
    fleet.leaf.start_again();
    let second = machine(&clone, "d2a1f4c8");
    start_on(&mut clone, &second);
    run(&clone);
    let stream = account(&fleet, &[&clone]);
    let [(old, _, new)] = <[_; 1]>::try_from(new_epochs(&stream)).unwrap();
    assert_eq!(new, epoch(&clone));
    let of = |epoch: &str| stream.iter().filter(|f| f["epoch"] == epoch && f["job"] == "own").count();
    assert_eq!((of(&old), of(&new)), (1, 2), "what was not at the hub was taken over");
}

#[test]
fn a_device_that_was_set_back_to_an_older_image_goes_on_in_a_new_epoch_and_says_so() {
    let mut fleet = Fleet::new("", OWN);
    run(&fleet.device);
    account(&fleet, &[&fleet.device]);
    // The image has a record that the hub will get from the device, and the device goes on.
    fleet.leaf.kill();
    run(&fleet.device);
    fleet.device.kill();
    let (state, image) = (fleet.device.path("state"), fleet.device.path("image"));
    copy(&state, &image);
    fleet.leaf.start_again();
    fleet.device.start();
    run(&fleet.device);
    run(&fleet.device);
    let before = account(&fleet, &[&fleet.device]);
    let old = epoch(&fleet.device);
    fleet.device.kill();

    fs::remove_dir_all(&state).unwrap();
    fs::rename(&image, &state).unwrap();
    // It records something under numbers that the hub knows already before it learns of that.
    fleet.leaf.kill();
    fleet.device.start();
    run(&fleet.device);
    assert_eq!(epoch(&fleet.device), old);
    fleet.leaf.start_again();
    wait_for("a new epoch", || (epoch(&fleet.device) != old).then_some(()));
    run(&fleet.device);
    let stream = account(&fleet, &[&fleet.device]);
    let [(from, _, to)] = <[_; 1]>::try_from(new_epochs(&stream)).unwrap();
    assert_eq!((from, to), (old.clone(), epoch(&fleet.device)));
    let of = |epoch: &str| stream.iter().filter(|f| f["epoch"] == epoch).count();
    assert_eq!(of(&old), before.len(), "nothing more goes out under the old epoch");
    assert_eq!(stream.iter().filter(|fact| fact["job"] == "own").count(), 6);
    let told = fleet.device.leafcron(&["status"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("new_epoch"), "{told:?}");
    assert_eq!(fleet.link()["trouble"], Value::Null);

    // It is at home in it: no start and no kill makes another one.
    let new = epoch(&fleet.device);
    fleet.device.kill();
    fleet.device.start();
    run(&fleet.device);
    account(&fleet, &[&fleet.device]);
    assert_eq!(epoch(&fleet.device), new);
}

#[test]
fn an_image_that_is_behind_the_stream_and_has_nothing_of_its_own_learns_it_too() {
    let mut fleet = Fleet::new("", OWN);
    fleet.device.kill();
    let (state, image) = (fleet.device.path("state"), fleet.device.path("image"));
    copy(&state, &image);
    fleet.device.start();
    for _ in 0..5 {
        run(&fleet.device);
    }
    let before = account(&fleet, &[&fleet.device]);
    let old = epoch(&fleet.device);
    fleet.device.kill();
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&image, &state).unwrap();
    fleet.device.start();
    wait_for("a new epoch", || (epoch(&fleet.device) != old).then_some(()));
    let stream = account(&fleet, &[&fleet.device]);
    assert_eq!(stream.iter().filter(|fact| fact["epoch"] == old).count(), before.len());
    assert_eq!(new_epochs(&stream).len(), 1);
}

/// Why the link takes neither definitions nor commands.
fn trouble(rig: &Rig) -> String {
    rig.json(&["status"])["link"]["trouble"].as_str().unwrap_or_default().to_owned()
}

fn is_newcomer(rig: &Rig) -> bool {
    trouble(rig).contains("no definitions and no commands are taken")
}

/// Whose the heartbeat is.
fn heard(fleet: &Fleet) -> String {
    fleet.heartbeat().unwrap().epoch.to_string()
}

fn duplicates(stream: &[Value], epoch: &str) -> Vec<(String, bool)> {
    let of = stream.iter().filter(|fact| fact["event"] == "duplicate_agent" && fact["epoch"] == epoch);
    of.map(|fact| (fact["other_epoch"].as_str().unwrap().to_owned(), fact["newcomer"].as_bool().unwrap()))
        .collect()
}

fn jobs(rig: &Rig) -> Vec<String> {
    let listed = rig.json(&["list"]);
    let names = listed.as_array().unwrap().iter().map(|row| row["job"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn of_two_live_devices_of_one_name_the_one_that_came_first_keeps_it_until_it_is_gone() {
    // The name is asked for again after 300 s.
    let mut fleet = Fleet::hasty(60, "", OWN);
    let first = epoch(&fleet.device);
    let mut twin = twin(&fleet);
    let other = machine(&twin, "d2a1f4c8");
    start_on(&mut twin, &other);
    let second = epoch(&twin);
    wait_for("the newcomer knows it", || is_newcomer(&twin).then_some(()));
    wait_for("the first knows it too", || {
        let warnings = fleet.link()["warnings"].to_string();
        (warnings.contains("came later") && warnings.contains(&second)).then_some(())
    });

    // Definitions and commands reach one of them, what both record reaches the hub.
    fleet.put("agent.pi.pushed", r#"{"schedule":"@yearly","command":"true"}"#);
    fleet.wait_for_verdict("pushed", |verdict| verdict.in_force.is_some());
    let ran = fleet.hub(&["run", "pi", "pushed", "--wait"]);
    assert!(ran.status.success(), "{ran:?}");
    run(&twin);
    run(&fleet.device);
    let stream = account(&fleet, &[&fleet.device, &twin]);
    assert_eq!(jobs(&twin), ["own"]);
    assert_eq!(stream.iter().filter(|fact| fact["job"] == "pushed").count(), 1);
    assert_eq!(duplicates(&stream, &first), [(second.clone(), false)]);
    assert_eq!(duplicates(&stream, &second), [(first.clone(), true)]);
    assert_eq!(heard(&fleet), first);
    let problems = fleet.hub(&["problems"]);
    let told = String::from_utf8_lossy(&problems.stdout);
    assert!(problems.status.code() == Some(1) && told.contains("duplicate agent"), "{told}");

    // One is gone: the other has the name within minutes, and keeps it when the first comes back.
    fleet.device.kill();
    wait_for("it takes the name", || (!is_newcomer(&twin) && heard(&fleet) == second).then_some(()));
    wait_for("and what was defined under it", || (jobs(&twin).len() == 2).then_some(()));
    fleet.device.start();
    wait_for("the first is the newcomer now", || is_newcomer(&fleet.device).then_some(()));
    account(&fleet, &[&fleet.device, &twin]);
    assert_eq!(heard(&fleet), second);
}

#[test]
fn a_copy_that_lives_beside_its_original_gets_numbers_of_its_own_and_yields() {
    let mut fleet = Fleet::waiting("", OWN);
    assert!(fleet.hub(&["init"]).status.success());
    // Virtual machines: nothing tells them apart.
    let same = machine(&fleet.device, "d2a1f4c7");
    start_on(&mut fleet.device, &same);
    fleet.wait_until_up();
    run(&fleet.device);
    account(&fleet, &[&fleet.device]);
    fleet.device.kill();
    let mut copied = twin(&fleet);
    copy(&fleet.device.path("state"), &copied.path("state"));
    start_on(&mut fleet.device, &same);
    start_on(&mut copied, &same);
    assert_eq!(epoch(&fleet.device), epoch(&copied));
    run(&fleet.device);
    run(&copied);
    wait_for("one of them goes on in a new epoch", || (epoch(&fleet.device) != epoch(&copied)).then_some(()));
    run(&fleet.device);
    run(&copied);
    wait_for("one of them yields", || (is_newcomer(&fleet.device) != is_newcomer(&copied)).then_some(()));
    account(&fleet, &[&fleet.device, &copied]);
}

#[test]
fn without_hints_of_the_name_two_devices_find_out_at_their_heartbeats() {
    let mut fleet = Fleet::waiting("", OWN);
    assert!(fleet.hub(&["init"]).status.success());
    let client = nats::Options::new().connect(fleet.hub.url()).unwrap();
    let ask = |verb: &str, body: &str| -> Value {
        let answer = client.request(&format!("$JS.API.STREAM.{verb}.KV_leafcron-state"), body).unwrap();
        let answer: Value = serde_json::from_slice(&answer.data).unwrap();
        assert!(answer["error"].is_null(), "{verb}: {answer}");
        answer
    };
    let mut config = ask("INFO", "")["config"].clone();
    assert!(config.as_object_mut().unwrap().remove("republish").is_some());
    ask("DELETE", "");
    ask("CREATE", &config.to_string());
    fleet.device.start();
    fleet.wait_until_up();
    wait_for("a heartbeat", || fleet.heartbeat());
    let mut twin = twin(&fleet);
    let other = machine(&twin, "d2a1f4c8");
    start_on(&mut twin, &other);
    wait_for("the newcomer knows it", || is_newcomer(&twin).then_some(()));
    assert!(!is_newcomer(&fleet.device));
    account(&fleet, &[&fleet.device, &twin]);
    assert_eq!(heard(&fleet), epoch(&fleet.device));
    // `init` mends it, where the server lets it: 2.9 does not.
    let made = fleet.hub(&["init"]);
    let said = |bytes: &[u8], what| String::from_utf8_lossy(bytes).contains(what);
    let mended = said(&made.stdout, "KV_leafcron-state: there already; republish set");
    assert!(mended || said(&made.stderr, "two devices of one name find out at a heartbeat"), "{made:#?}");
}
