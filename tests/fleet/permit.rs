//! What `leafcron hub permit` prints, pasted into the servers' configuration: with it a device does all that it is for,
//! and whoever has stolen the secret of one, or of a leaf node, does no more than that.

use std::process::Command;

use leafcron::job::VerdictState;
use serde_json::json;

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};
use super::servers::{Hub, Leaf};
use super::thief::{self, ATTEMPTS, Attempt, Thief};

const OWN: &str = "[job.own]\nschedule = \"@yearly\"\ncommand = \"echo mine\"\n";

/// What is printed for these devices: for each what it may at its leaf node and at the hub; last the hub's accounts.
fn permits(agents: &[&str], groups: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    let printed = command.args(["hub", "permit"]).args(agents).args(["--groups", groups]).output().unwrap();
    assert!(printed.status.success(), "{}", text_of(&printed.stderr));
    let blocks: Vec<String> = text_of(&printed.stdout).trim().split("\n\n").map(str::to_owned).collect();
    assert_eq!(blocks.len(), 2 * agents.len() + 1);
    blocks
}

/// Users, each with what it is permitted: nothing said is everything.
fn users(users: &[(&str, &str)]) -> String {
    let users = users
        .iter()
        .map(|(user, permits)| format!("  {{ user: {user}, password: \"{user}-secret\"\n{permits}\n}}\n"));
    format!("users: [\n{}]\n", users.collect::<String>())
}

/// A hub of one account, with these users and an operator, who is whoever says nothing.
fn plain_hub(at_hub: &[(&str, &str)]) -> Hub {
    let users = users(&[&[("operator", "")], at_hub].concat());
    Hub::with(&format!("authorization {{ {users} }}\nno_auth_user: operator\n"))
}

/// A hub with the accounts as they are printed, for leaf nodes that join as these, and for these devices of the first of
/// them that connect to the hub itself.
fn hub_of_accounts(printed: &[(&str, &str)], at_hub: &[(&str, &str)]) -> Hub {
    let mut all = String::new();
    let (mut fleet, mut exports) = (String::new(), String::new());
    let mut at_hub = at_hub;
    for (leaf, accounts) in printed {
        let (head, own) = accounts.split_once("\n  LEAF: {\n").unwrap();
        let (of_buckets, imports) = head.split_once("    imports: [\n").unwrap();
        exports = of_buckets.split_once("    exports: [\n").unwrap().1.to_owned();
        fleet += &imports.replace("\"LEAF\"", &format!("{leaf:?}")).replace("    ]\n  }", "");
        // The place that is left for users.
        let (comment, own) = own.split_once('\n').unwrap();
        assert!(comment.contains("users: ["), "{comment}");
        let users = users(&[&[(*leaf, "")][..], core::mem::take(&mut at_hub)].concat());
        all += &format!("{leaf}: {{ {users}{}", own.strip_suffix('}').unwrap());
    }
    let operator = users(&[("operator", "")]);
    Hub::with(&format!(
        "accounts {{ FLEET: {{ jetstream: enabled, {operator} exports: [ {exports} imports: [ {fleet} ] }}\n{all} }}\n\
         no_auth_user: operator\n"
    ))
}

fn leaf(hub: &Hub, joins_as: &str, at_leaf: &[(&str, &str)]) -> Leaf {
    let joins = format!("{joins_as}:{joins_as}-secret@{}", hub.leaf_address());
    Leaf::joining(&joins, &format!("authorization {{ {} }}\n", users(at_leaf)))
}

/// A device `pi`, of the group `lab`, with its own user.
fn begun(hub: Hub, leaf: Leaf, url: &str) -> Fleet {
    let mut fleet = Fleet::of(hub, leaf, url, "", OWN);
    fleet.configure("user = \"pi\"\npassword = \"pi-secret\"");
    let made = fleet.hub(&["init"]);
    assert!(made.status.success(), "{}", text_of(&made.stderr));
    fleet.device.start();
    fleet.wait_until_up();
    fleet
}

/// Everything that a link is for.
fn works(fleet: &Fleet) {
    let sequence = fleet.put("agent.pi.job", r#"{"schedule":"@yearly","command":"echo done; exit 3"}"#);
    fleet.wait_for_verdict("job", |verdict| verdict.sequence == Some(sequence));
    let sequence = fleet.put("group.lab.shared", r#"{"schedule":"@yearly","command":"true"}"#);
    let verdict = fleet.wait_for_verdict("shared", |verdict| verdict.sequence == Some(sequence));
    assert_eq!(verdict.state, VerdictState::Accepted);
    let ran = fleet.hub(&["run", "pi", "job", "--wait"]);
    assert_eq!((ran.status.code(), text_of(&ran.stdout).as_str()), (Some(3), "done\n"), "{ran:?}");
    assert!(fleet.hub(&["status", "pi"]).status.success());
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    fleet.settled();
    // The next process compares what is there.
    fleet.kill_link();
    fleet.wait_until_up();
    fleet.bucket().delete("agent.pi.job").unwrap();
    wait_for("it is gone", || (fleet.device.json(&["list"]).as_array()?.len() == 2).then_some(()));
    fleet.settled();
    assert_eq!(fleet.finals("own").len(), 1);
    wait_for("it has said how it is", || fleet.heartbeat());
    for (who, log) in [("the hub", fleet.hub.server.log()), ("the leaf node", fleet.leaf.server.log())] {
        assert!(!log.contains("Violation"), "{who} did not permit all: {log}");
    }
}

#[test]
fn with_what_permit_prints_a_device_behind_a_leaf_does_all_that_it_is_for() {
    let [at_leaf, _, accounts] = <[String; 3]>::try_from(permits(&["pi"], "lab")).unwrap();
    let hub = hub_of_accounts(&[("line", &accounts)], &[]);
    let leaf = leaf(&hub, "line", &[("pi", &at_leaf)]);
    let url = leaf.url();
    works(&begun(hub, leaf, &url));
}

#[test]
fn with_what_permit_prints_a_device_at_the_hub_does_all_that_it_is_for() {
    let [_, at_hub, accounts] = <[String; 3]>::try_from(permits(&["pi"], "lab")).unwrap();
    let hub = hub_of_accounts(&[("line", &accounts)], &[("pi", &at_hub)]);
    let (leaf, url) = (leaf(&hub, "line", &[("nobody", "")]), hub.url());
    works(&begun(hub, leaf, &url));
}

#[test]
fn what_is_not_permitted_is_told_by_name_and_is_no_reason_for_an_end() {
    // Nobody has said that it is of the group `lab`.
    let [at_leaf, _, _] = <[String; 3]>::try_from(permits(&["pi"], "all")).unwrap();
    let hub = plain_hub(&[("line", "")]);
    let leaf = leaf(&hub, "line", &[("pi", &at_leaf)]);
    let url = leaf.url();
    let mut fleet = begun(hub, leaf, &url);
    let told = wait_for("it is told", || {
        let warnings = fleet.link()["warnings"].to_string();
        warnings.contains("leafcron.job.group.lab.>").then_some(warnings)
    });
    assert!(told.contains("leafcron hub permit pi"), "{told}");
    fleet.leaf.kill();
    let link = wait_for("the link has ended", || {
        let link = fleet.link();
        link["trouble"].is_string().then_some(link)
    });
    assert!(!link["trouble"].as_str().unwrap().contains("ermissions"), "{link}");
}

/// The device at work, and something of it that is worth stealing.
fn staged(hub: Hub, leaf: Leaf) -> Fleet {
    let url = leaf.url();
    staged_at(hub, leaf, &url)
}

fn staged_at(hub: Hub, leaf: Leaf, url: &str) -> Fleet {
    let fleet = begun(hub, leaf, url);
    let sequence = fleet.put("agent.pi.job", r#"{"schedule":"@yearly","command":"echo hush"}"#);
    fleet.wait_for_verdict("job", |verdict| verdict.sequence == Some(sequence));
    let ran = fleet.hub(&["run", "pi", "job", "--wait"]);
    assert!(ran.status.success(), "{ran:?}");
    fleet.settled();
    fleet
}

/// What of it worked, by name.
fn worked(attempts: &[Attempt], fleet: &Fleet, thief: &Thief) -> Vec<&'static str> {
    attempts.iter().filter(|attempt| thief.tries(attempt, fleet)).map(|attempt| attempt.what).collect()
}

#[test]
fn whoever_has_stolen_the_secret_of_a_device_can_do_nothing_in_the_name_of_its_neighbour() {
    let [pi, _, evil, _, accounts] = <[String; 5]>::try_from(permits(&["pi", "evil"], "lab")).unwrap();
    let hub = hub_of_accounts(&[("line", &accounts)], &[]);
    let leaf = leaf(&hub, "line", &[("pi", &pi), ("evil", &evil)]);
    let url = leaf.url();
    let fleet = staged(hub, leaf);
    let thief = Thief::new(&url, &fleet);
    assert_eq!(worked(thief::THROUGH_ANSWERS, &fleet, &thief), [""; 0]);
    assert_eq!(worked(ATTEMPTS, &fleet, &thief), [""; 0]);
    thief.does_what_it_may();
}

#[test]
fn nor_can_whoever_has_stolen_that_of_a_device_that_connects_to_the_hub_itself() {
    let [_, pi, _, evil, accounts] = <[String; 5]>::try_from(permits(&["pi", "evil"], "lab")).unwrap();
    let hub = hub_of_accounts(&[("line", &accounts)], &[("pi", &pi), ("evil", &evil)]);
    let (leaf, url) = (leaf(&hub, "line", &[("nobody", "")]), hub.url());
    let fleet = staged_at(hub, leaf, &url);
    let thief = Thief::new(&url, &fleet);
    assert_eq!(worked(thief::THROUGH_ANSWERS, &fleet, &thief), [""; 0]);
    assert_eq!(worked(ATTEMPTS, &fleet, &thief), [""; 0]);
    thief.does_what_it_may();
}

#[test]
fn whoever_has_stolen_a_leaf_node_can_do_nothing_in_the_name_of_a_device_behind_another() {
    let (pi, evil) = (permits(&["pi"], "lab"), permits(&["evil"], "all"));
    let hub = hub_of_accounts(&[("line", &pi[2]), ("other", &evil[2])], &[]);
    let (line, other) = (leaf(&hub, "line", &[("pi", "")]), leaf(&hub, "other", &[("evil", "")]));
    let fleet = staged(hub, line);
    let thief = Thief::new(&other.url(), &fleet);
    assert_eq!(worked(thief::THROUGH_ANSWERS, &fleet, &thief), [""; 0]);
    assert_eq!(worked(ATTEMPTS, &fleet, &thief), [""; 0]);
    thief.does_what_it_may();
}

#[test]
fn without_permissions_each_of_these_attempts_succeeds() {
    let hub = plain_hub(&[("line", "")]);
    let leaf = leaf(&hub, "line", &[("pi", ""), ("evil", "")]);
    let url = leaf.url();
    let fleet = staged(hub, leaf);
    let thief = Thief::new(&url, &fleet);
    let all = |attempts: &[Attempt]| attempts.iter().map(|attempt| attempt.what).collect::<Vec<_>>();
    assert_eq!(worked(thief::THROUGH_ANSWERS, &fleet, &thief), all(thief::THROUGH_ANSWERS));
    assert_eq!(worked(ATTEMPTS, &fleet, &thief), all(ATTEMPTS));
}

#[test]
fn whoever_takes_the_ids_of_anothers_results_keeps_none_of_them_from_the_stream() {
    let [pi, _, evil, _, accounts] = <[String; 5]>::try_from(permits(&["pi", "evil"], "lab")).unwrap();
    let hub = hub_of_accounts(&[("line", &accounts)], &[]);
    let leaf = leaf(&hub, "line", &[("pi", &pi), ("evil", &evil)]);
    let url = leaf.url();
    let fleet = staged(hub, leaf);
    let thief = Thief::new(&url, &fleet);
    // It would have to know the epoch, which is random and told to the hub alone.
    let (last, epoch) = fleet
        .stream()
        .iter()
        .filter_map(|fact| Some((fact["seq"].as_u64()?, fact["epoch"].as_str()?.to_owned())))
        .max()
        .unwrap();
    for seq in last + 1..last + 10 {
        thief.takes_the_id(&format!("pi-{epoch}-{seq}"));
    }
    for _ in 0..2 {
        assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    }
    let stream = fleet.settled();
    assert_eq!(stream.iter().filter(|fact| fact["job"] == "own").count(), 2);
}

#[test]
fn a_device_cannot_delete_what_all_others_say_by_a_header_of_its_own_state() {
    let fleet = Fleet::waiting("", "");
    // As stock tools make a bucket.
    let config = nats::kv::Config { bucket: "leafcron-state".to_owned(), ..Default::default() };
    let state = stock(&fleet.hub).create_key_value(&config).unwrap();
    state.put("pi.job", "{}").unwrap();
    let client = nats::Options::new().connect(fleet.hub.url()).unwrap();
    let rolls_up = || {
        let headers: nats::HeaderMap = [("Nats-Rollup", "all")].into_iter().collect();
        let answers = client.subscribe("_INBOX.evil").unwrap();
        let subject = "$KV.leafcron-state.evil";
        client.publish_with_reply_or_headers(subject, Some("_INBOX.evil"), Some(&headers), "{}").unwrap();
        let answer = answers.next_timeout(std::time::Duration::from_secs(10)).unwrap();
        !String::from_utf8(answer.data).unwrap().contains("\"error\"")
    };
    assert!(rolls_up() && state.get("pi.job").unwrap().is_none(), "so it is without `hub init`");
    let made = fleet.hub(&["init"]);
    assert!(made.status.success(), "{}", text_of(&made.stderr));
    state.put("pi.job", "{}").unwrap();
    assert!(!rolls_up() && state.get("pi.job").unwrap().is_some());
}

#[test]
fn what_a_stream_delivers_to_a_device_is_no_command() {
    let hub = plain_hub(&[("line", "")]);
    let leaf = leaf(&hub, "line", &[("pi", ""), ("evil", "")]);
    let url = leaf.url();
    let fleet = staged(hub, leaf);
    let thief = Thief::new(&url, &fleet);
    let end = leafcron::agent::wall_clock().plus(std::time::Duration::from_secs(60));
    let command = json!({"verb": "run", "job": "job", "id": "of-evil", "not_after": end.to_string()});
    thief.has_its_state_delivered(&command.to_string(), "leafcron.cmd.pi");
    // One that comes after it is carried out.
    assert!(fleet.hub(&["run", "pi", "job", "--wait"]).status.success());
    assert!(fleet.settled().iter().all(|fact| fact["id"] != "of-evil"), "a stream has commanded the device");
}
