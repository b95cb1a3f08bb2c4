//! From a key in the bucket to a job in force, and the verdict that comes back.

use leafcron::job::{Revision, VerdictState};

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};

const HELLO: &str = r#"{"schedule":"@yearly","command":"echo hello"}"#;

#[test]
fn a_stock_put_at_the_hub_is_in_force_on_the_device_and_a_stock_get_tells_so() {
    let fleet = Fleet::new("", "");
    let sequence = fleet.put("agent.pi.hello", HELLO);
    let verdict = fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(sequence));
    assert_eq!((verdict.state, verdict.source.as_str()), (VerdictState::Accepted, "agent"));
    assert_eq!(verdict.in_force, verdict.revision);
    assert_eq!(fleet.device.json(&["list"])[0]["source"], "agent");
    let beat = wait_for("a heartbeat names the job", || fleet.heartbeat().filter(|beat| beat.jobs == 1));
    assert_eq!(beat.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["lab", "all"]);

    // Changed, refused, mended, deleted.
    let sequence = fleet.put("agent.pi.hello", r#"{"schedule":"0 25 * * *","command":"true"}"#);
    let refused = fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(sequence));
    assert_eq!(refused.state, VerdictState::Rejected);
    assert_eq!(refused.field.as_deref(), Some("schedule"));
    assert!(refused.reason.unwrap().contains("25"), "the reason names what is wrong");
    assert_eq!(refused.in_force, verdict.in_force, "the last valid one stays");
    let sequence = fleet.put("agent.pi.hello", r#"{"command":"true","schedule":"@monthly"}"#);
    fleet.wait_for_verdict("hello", |verdict| {
        verdict.sequence == Some(sequence) && verdict.state == VerdictState::Accepted
    });
    fleet.bucket().delete("agent.pi.hello").unwrap();
    wait_for("the verdict goes with the job", || fleet.verdict("hello").is_none().then_some(()));
    assert_eq!(fleet.device.json(&["list"]).as_array().unwrap().len(), 0);
}

#[test]
fn what_stock_tools_can_put_is_judged_and_never_ends_the_link() {
    let fleet = Fleet::new("", "");
    let pid = fleet.link_pid();
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let huge = format!("{{\"schedule\":\"@daily\",\"command\":\"{}\"}}", "x".repeat(66_000));
    let hostile: [(&str, &[u8]); 8] = [
        ("utf8", b"{\"schedule\":\"@daily\",\"command\":\"\xff\xfe\"}"),
        ("deep", deep.as_bytes()),
        ("huge", huge.as_bytes()),
        ("empty", b""),
        ("list", b"[]"),
        ("unknown", br#"{"schedule":"@daily","command":"true","colour":"red"}"#),
        ("nobody", br#"{"schedule":"@daily","command":"true","user":"no-such-user"}"#),
        ("never", br#"{"schedule":"0 0 30 2 *","command":"true"}"#),
    ];
    for (job, value) in hostile {
        let sequence = fleet.put(&format!("agent.pi.{job}"), value);
        let verdict = fleet.wait_for_verdict(job, |verdict| verdict.sequence == Some(sequence));
        assert_eq!(verdict.state, VerdictState::Rejected, "{job}");
        let reason = verdict.reason.unwrap();
        assert!(!reason.is_empty() && reason.len() < 1_000, "{job}: {reason}");
        assert_eq!(verdict.in_force, None, "{job}");
    }
    // Keys that are no name of a job: told in `status`, and nothing else.
    fleet.put("agent.pi.a.b", HELLO);
    let sequence = fleet.put("agent.pi.fine", HELLO);
    fleet.wait_for_verdict("fine", |verdict| verdict.sequence == Some(sequence));
    let status = fleet.device.json(&["status"]).to_string();
    assert!(status.contains("agent.pi.a.b"), "{status}");
    assert_eq!(fleet.link_pid(), pid, "one and the same link process took all of it");
}

#[test]
fn precedence_is_file_then_agent_then_groups_in_order_and_what_loses_is_told() {
    let fleet = Fleet::new("", "[job.both]\nschedule = \"@yearly\"\ncommand = \"echo file\"\n");
    let of = |word: &str| format!(r#"{{"command":"echo {word}","schedule":"@yearly"}}"#);
    let revision = |word: &str| Some(Revision::of(&of(word)));
    let all = fleet.put("group.all.both", of("all"));
    let agent = fleet.put("agent.pi.both", of("agent"));
    // The devices of a group look at different moments.
    let shadowed = fleet.wait_for_verdict("both", |verdict| verdict.shadowed.len() == 2);
    assert_eq!(
        (shadowed.shadowed.get("agent"), shadowed.shadowed.get("group.all")),
        (Some(&agent), Some(&all))
    );
    assert_eq!(shadowed.source, "file");
    let lab = fleet.put("group.lab.both", of("lab"));
    fleet.device.write_jobs("jobs.toml", "");
    assert!(fleet.device.leafcron(&["reload"]).status.success());
    let verdict = fleet.wait_for_verdict("both", |verdict| verdict.source == "agent");
    assert_eq!(verdict.in_force, revision("agent"));
    fleet.bucket().delete("agent.pi.both").unwrap();
    let verdict = fleet.wait_for_verdict("both", |verdict| verdict.source == "group.lab");
    assert_eq!((verdict.in_force, verdict.sequence), (revision("lab"), Some(lab)));
    assert_eq!(verdict.shadowed.get("group.all"), Some(&all));
    fleet.bucket().purge("group.lab.both").unwrap();
    let verdict = fleet.wait_for_verdict("both", |verdict| verdict.source == "group.all");
    assert_eq!(verdict.in_force, revision("all"));
    // A refused key that never was valid shadows nobody.
    let bad = fleet.put("agent.pi.both", "{}");
    let verdict = fleet.wait_for_verdict("both", |verdict| verdict.sequence == Some(bad));
    assert_eq!((verdict.state, verdict.in_force), (VerdictState::Rejected, revision("all")));
}

#[test]
fn the_last_valid_definition_of_the_centre_survives_a_restart_without_a_network() {
    let mut fleet = Fleet::new("", "");
    let good = fleet.put("agent.pi.hello", HELLO);
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(good));
    let bad = fleet.put("agent.pi.hello", "no JSON");
    fleet.wait_for_verdict("hello", |verdict| verdict.sequence == Some(bad));
    fleet.device.kill();
    fleet.leaf.kill();
    fleet.device.start();
    assert_eq!(fleet.device.json(&["list"])[0]["job"], "hello");
    assert!(fleet.device.leafcron(&["run", "hello", "--wait"]).status.success(), "{}", fleet.device.log());
}

#[test]
fn the_centre_runs_jobs_only_as_the_users_that_the_device_lists() {
    if !super::device::is_root() {
        eprintln!("not checked: only a root agent can start jobs as others");
        return;
    }
    // The rig lists the agent's own user: root.
    let fleet = Fleet::new("", "");
    let other = fleet.put("agent.pi.other", r#"{"schedule":"@daily","command":"true","user":"daemon"}"#);
    let verdict = fleet.wait_for_verdict("other", |verdict| verdict.sequence == Some(other));
    assert_eq!((verdict.state, verdict.field.as_deref()), (VerdictState::Rejected, Some("user")));
    assert!(verdict.reason.unwrap().contains("nats.users"), "it says where that is set");
}

#[test]
fn a_key_that_vanishes_without_a_marker_is_removed_by_a_complete_reading_of_the_same_bucket() {
    let mut fleet = Fleet::new("", "");
    let sequence = fleet.put("agent.pi.gone", HELLO);
    fleet.put("agent.pi.stays", HELLO);
    fleet.wait_for_verdict("gone", |verdict| verdict.sequence == Some(sequence));
    fleet.wait_for_verdict("stays", |_| true);
    fleet.device.stop();
    // As a limit of the stream, or an operator, takes it.
    fleet.hub.erase("KV_leafcron-jobs", "$KV.leafcron-jobs.agent.pi.gone");
    fleet.device.start();
    fleet.wait_until_up();
    wait_for("it is removed", || fleet.verdict("gone").is_none().then_some(()));
    assert_eq!(fleet.device.json(&["list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_bucket_that_was_made_anew_removes_nothing_and_what_it_lacks_is_orphaned() {
    let fleet = Fleet::new("", "");
    let first = fleet.put("agent.pi.kept", HELLO);
    fleet.put("agent.pi.changed", HELLO);
    fleet.wait_for_verdict("kept", |verdict| verdict.sequence == Some(first));
    fleet.wait_for_verdict("changed", |_| true);
    stock(&fleet.hub).delete_stream("KV_leafcron-jobs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.put("agent.pi.changed", r#"{"schedule":"@monthly","command":"true"}"#);
    // The next start of a link reads the bucket; so does the check.
    fleet.kill_link();
    let orphan = fleet.wait_for_verdict("kept", |verdict| verdict.state == VerdictState::Orphaned);
    assert!(orphan.in_force.is_some());
    fleet.wait_for_verdict("changed", |verdict| verdict.state == VerdictState::Accepted);
    // It stays an orphan however often the bucket is read, until somebody decides.
    fleet.kill_link();
    fleet.wait_until_up();
    assert_eq!(fleet.verdict("kept").unwrap().state, VerdictState::Orphaned);
    assert_eq!(fleet.device.leafcron(&["remove", "changed"]).status.code(), Some(1), "no orphan");
    let removed = fleet.device.leafcron(&["remove", "kept"]);
    assert!(removed.status.success(), "{}", text_of(&removed.stderr));
    wait_for("it is gone", || fleet.verdict("kept").is_none().then_some(()));
}

#[test]
fn what_a_centre_left_on_a_device_that_has_none_any_more_can_be_removed_there() {
    let mut fleet = Fleet::new("", "");
    let sequence = fleet.put("agent.pi.left", HELLO);
    fleet.wait_for_verdict("left", |verdict| verdict.sequence == Some(sequence));
    fleet.device.stop();
    let path = fleet.device.path("leafcrond.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.split_once("[nats]").unwrap().0).unwrap();
    fleet.device.start();
    let refused = fleet.device.json(&["status"]);
    assert!(refused.to_string().contains("`leafcron remove` forgets"), "{refused}");
    for code in [0, 1] {
        let removed = fleet.device.leafcron(&["remove", "left"]);
        assert_eq!(removed.status.code(), Some(code), "{}", text_of(&removed.stderr));
    }
    fleet.device.stop();
    fleet.device.start();
    assert!(!fleet.device.json(&["status"]).to_string().contains("left"), "durably");
}

#[test]
fn a_bucket_without_an_id_proves_nothing() {
    let mut fleet = Fleet::waiting("", "");
    stock(&fleet.hub)
        .create_key_value(&nats::kv::Config { bucket: "leafcron-jobs".to_owned(), ..Default::default() })
        .unwrap();
    stock(&fleet.hub)
        .create_key_value(&nats::kv::Config { bucket: "leafcron-state".to_owned(), ..Default::default() })
        .unwrap();
    let sequence = fleet.put("agent.pi.a", HELLO);
    fleet.device.start();
    fleet.wait_for_verdict("a", |verdict| verdict.sequence == Some(sequence));
    fleet.hub.erase("KV_leafcron-jobs", "$KV.leafcron-jobs.agent.pi.a");
    fleet.kill_link();
    fleet.wait_for_verdict("a", |verdict| verdict.state == VerdictState::Orphaned);
    // An explicit delete is a proof of its own.
    fleet.put("agent.pi.a", HELLO);
    fleet.kill_link();
    fleet.wait_for_verdict("a", |verdict| verdict.state == VerdictState::Accepted);
    fleet.bucket().delete("agent.pi.a").unwrap();
    fleet.kill_link();
    wait_for("the marker removes it", || fleet.verdict("a").is_none().then_some(()));
}
