//! `leafcron hub apply`: the keys of a scope, made equal a directory.

use std::fs;
use std::path::PathBuf;

use leafcron::job::VerdictState;

use super::device::{text_of, wait_for};
use super::rig::Fleet;

/// A directory of the operator's with these files.
fn directory(fleet: &Fleet, files: &[(&str, &str)]) -> PathBuf {
    let dir = fleet.device.path("wanted");
    fs::remove_dir_all(&dir).unwrap_or_default();
    fs::create_dir(&dir).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    dir
}

fn job(name: &str, command: &str) -> String {
    format!("[job.{name}]\nschedule = \"@yearly\"\ncommand = \"{command}\"\n")
}

#[test]
fn a_scope_is_made_equal_a_directory_and_the_devices_say_so() {
    let fleet = Fleet::new("", "");
    wait_for("the device is known", || fleet.heartbeat());
    let dir = directory(&fleet, &[("a.toml", &(job("a", "true") + &job("b", "true"))), ("not-one.txt", "[")]);
    let dir = dir.to_str().unwrap().to_owned();
    let apply = |more: &[&str]| fleet.hub(&[&["apply", &dir, "--agent", "pi"], more].concat());
    // Only shown.
    let shown = apply(&["--dry-run"]);
    assert_eq!(
        (shown.status.code(), text_of(&shown.stdout)),
        (Some(0), "+ a\n+ b\n0 unchanged\n".to_owned())
    );
    assert!(fleet.bucket().get("agent.pi.a").unwrap().is_none());

    let applied = apply(&[]);
    let said = text_of(&applied.stderr);
    assert_eq!(applied.status.code(), Some(0), "{said}");
    assert!(said.starts_with("+ a\n+ b\n0 unchanged\n") && said.contains("pi  a  accepted"), "{said}");
    // Another scope is nobody's business.
    fleet.put("group.lab.other", r#"{"schedule":"@yearly","command":"true"}"#);

    directory(&fleet, &[("a.toml", &job("b", "echo 2")), ("c.toml", &job("c", "true"))]);
    let applied = apply(&[]);
    let said = text_of(&applied.stderr);
    assert_eq!(applied.status.code(), Some(0), "{said}");
    assert!(said.starts_with("- a\n~ b (command)\n+ c\n0 unchanged\n"), "{said}");
    let mut keys: Vec<String> = fleet.bucket().keys().unwrap().filter(|key| key != "meta.id").collect();
    keys.sort();
    assert_eq!(keys, ["agent.pi.b", "agent.pi.c", "group.lab.other"]);
    let in_force = fleet.device.json(&["list"]);
    let jobs: Vec<&str> =
        in_force.as_array().unwrap().iter().map(|row| row["job"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["b", "c", "other"]);
    // Again: nothing is written.
    let before = fleet.bucket().entry("agent.pi.b").unwrap().unwrap().revision;
    assert_eq!(apply(&[]).status.code(), Some(0));
    assert_eq!(fleet.bucket().entry("agent.pi.b").unwrap().unwrap().revision, before);
}

#[test]
fn nothing_is_sent_of_a_directory_with_one_that_is_refused_or_with_none_at_all() {
    let fleet = Fleet::new("", "");
    fleet.put("agent.pi.kept", r#"{"schedule":"@yearly","command":"true"}"#);
    fleet.wait_for_verdict("kept", |verdict| verdict.state == VerdictState::Accepted);
    let dir = directory(
        &fleet,
        &[
            ("a.toml", &job("a", "true")),
            ("b.toml", "[job.b]\nschedule = \"61 * * * *\"\ncommand = \"true\"\n"),
        ],
    );
    let dir = dir.to_str().unwrap().to_owned();
    let refused = fleet.hub(&["apply", &dir, "--agent", "pi"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text_of(&refused.stderr);
    assert!(said.contains("b.toml:2: job b: schedule") && said.contains("nothing was sent"), "{said}");
    // Two files that define one job are refused as a device would.
    directory(&fleet, &[("a.toml", &job("a", "true")), ("b.toml", &job("a", "false"))]);
    assert_eq!(fleet.hub(&["apply", &dir, "--agent", "pi"]).status.code(), Some(1));
    directory(&fleet, &[]);
    let empty = fleet.hub(&["apply", &dir, "--agent", "pi"]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(text_of(&empty.stderr).contains("--allow-empty"), "{}", text_of(&empty.stderr));
    assert!(fleet.bucket().get("agent.pi.kept").unwrap().is_some());
    assert!(fleet.bucket().get("agent.pi.a").unwrap().is_none());
    let meant = fleet.hub(&["apply", &dir, "--agent", "pi", "--allow-empty"]);
    assert_eq!(meant.status.code(), Some(0), "{}", text_of(&meant.stderr));
    assert!(fleet.verdict("kept").is_none());
}

#[test]
fn what_a_bucket_lost_is_withdrawn_only_where_it_is_adopted() {
    let fleet = Fleet::new("", "");
    let definition = r#"{"schedule":"@yearly","command":"true"}"#;
    fleet.put("agent.pi.lost", definition);
    fleet.put("agent.pi.kept", definition);
    fleet.wait_for_verdict("lost", |verdict| verdict.state == VerdictState::Accepted);
    fleet.wait_for_verdict("kept", |verdict| verdict.state == VerdictState::Accepted);
    // The bucket is made anew, and somebody puts back but one.
    super::rig::stock(&fleet.hub).delete_key_value("leafcron-jobs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.kill_link();
    fleet.wait_for_verdict("lost", |verdict| verdict.state == VerdictState::Orphaned);
    let dir = directory(&fleet, &[("a.toml", &job("kept", "true"))]);
    let dir = dir.to_str().unwrap().to_owned();
    let applied = fleet.hub(&["apply", &dir, "--agent", "pi"]);
    let said = text_of(&applied.stderr);
    assert_eq!(applied.status.code(), Some(0), "{said}");
    assert!(said.contains("left alone: lost; --adopt"), "{said}");
    assert_eq!(fleet.verdict("lost").unwrap().state, VerdictState::Orphaned);
    let problems = fleet.hub(&["problems"]);
    assert_eq!(problems.status.code(), Some(1));
    assert!(text_of(&problems.stdout).contains("orphaned"), "{}", text_of(&problems.stdout));

    let adopted = fleet.hub(&["apply", &dir, "--agent", "pi", "--adopt"]);
    let said = text_of(&adopted.stderr);
    assert_eq!(adopted.status.code(), Some(0), "{said}");
    assert!(said.contains("- lost (orphaned)\n1 unchanged"), "{said}");
    assert!(fleet.verdict("lost").is_none() && fleet.verdict("kept").is_some());
}
