//! A state directory that was copied to another machine, one that cannot be written, and what the device tells of both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::rig::{Rig, is_root, wait_for};
use leafcron::job::{Outcome, Reason};

const ONCE: &str = "[job.once]\nschedule = \"@yearly\"\ncommand = \"true\"\n";

fn machine(rig: &Rig, name: &str, serial: &str) -> String {
    let root = rig.path(name);
    fs::create_dir_all(root.join("proc/device-tree")).unwrap();
    fs::write(root.join("proc/device-tree/serial-number"), format!("{serial}\0")).unwrap();
    root.to_str().unwrap().to_owned()
}

fn start_on(rig: &mut Rig, machine: &str) {
    rig.start_with(&[("LEAFCRON_MACHINE", machine)]);
    wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
}

fn epoch(rig: &Rig) -> String {
    rig.json(&["status"])["epoch"].as_str().unwrap().to_owned()
}

#[test]
fn a_card_in_another_machine_begins_a_new_epoch_and_says_so() {
    let mut rig = Rig::new(ONCE);
    let (first, second) =
        (machine(&rig, "first", "10000000d2a1f4c7"), machine(&rig, "second", "10000000d2a1f4c8"));
    start_on(&mut rig, &first);
    let old = epoch(&rig);
    assert!(rig.leafcron(&["run", "once", "--wait"]).status.success());
    let last_seq = rig.json(&["status"])["journal"]["next_seq"].as_u64().unwrap();
    // It stops in good order: one more event.
    assert!(rig.stop().success());
    start_on(&mut rig, &first);
    assert_eq!(epoch(&rig), old, "the same machine");
    rig.kill();

    start_on(&mut rig, &second);
    let new = epoch(&rig);
    assert_ne!(new, old);
    let events = rig.json(&["history", "--events", "-n", "100"]);
    let events = events.as_array().unwrap();
    assert_eq!((&events[0]["event"], &events[0]["seq"]), (&"new_epoch".into(), &1.into()), "{events:#?}");
    assert_eq!(events[0]["old_epoch"], old.as_str());
    assert!(events[0]["last_seq"].as_u64().unwrap() >= last_seq);
    assert!(events.iter().all(|event| event["epoch"] == new.as_str()));
    // No centre has any of it: all is taken over, under new numbers.
    let records = rig.records("once");
    assert_eq!((records.len(), records[0].outcome), (1, Outcome::Succeeded));
    assert!(records[0].seq > 1);
    let page = rig.leafcron(&["history", "--events"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains(&old), "{page:?}");
    let page = String::from_utf8(rig.leafcron(&["status"]).stdout).unwrap();
    assert!(page.contains("EVENTS") && page.contains("new_epoch"), "{page}");
    assert!(rig.stop().success());
    start_on(&mut rig, &second);
    assert_eq!(epoch(&rig), new, "it is at home now");
    assert_eq!(rig.records("once").len(), 1);
}

const SECONDLY: &str = "\
[job.must]
schedule = \"* * * * * *\"
command = \"echo must $LEAFCRON_DUE >> @DIR@/witness\"
[job.may]
schedule = \"* * * * * *\"
command = \"echo may $LEAFCRON_DUE >> @DIR@/witness\"
unrecorded = \"run\"
";

fn set_mode(dir: &Path, of_dir: u32, of_files: u32) {
    for entry in fs::read_dir(dir).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(of_files)).unwrap();
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(of_dir)).unwrap();
}

/// What cannot be written is read all the same, with a lock that was there and without one.
#[test]
fn on_a_read_only_state_directory_the_agent_starts_and_runs_what_may_run_unrecorded() {
    for lock in [true, false] {
        let mut rig = Rig::new(&format!("{SECONDLY}{ONCE}"));
        if is_root() {
            // Nothing is read-only to root.
            rig = rig.owned_by(65_534);
        }
        rig.start();
        assert!(rig.leafcron(&["run", "once", "--wait"]).status.success());
        assert!(rig.stop().success());
        let state = rig.path("state");
        if !lock {
            fs::remove_file(state.join("lock")).unwrap();
        }
        set_mode(&state, 0o500, 0o400);
        let before = rig.lines("witness").iter().filter(|line| line.starts_with("must")).count();

        rig.start();
        let enough =
            |rig: &Rig, word: &str| rig.lines("witness").iter().filter(|line| line.starts_with(word)).count();
        let ran = enough(&rig, "may");
        wait_for("what may run unrecorded runs", || (enough(&rig, "may") >= ran + 3).then_some(()));
        assert_eq!(enough(&rig, "must"), before, "what must be recorded does not run");
        assert_eq!(rig.records("once").len(), 1, "what is there can be read");
        let status = rig.json(&["status"]);
        let trouble = status["journal"]["trouble"].as_str().unwrap_or_default();
        assert!(trouble.contains("denied") || trouble.contains("ead-only"), "{status}");

        set_mode(&state, 0o700, 0o600);
        // Everything that was carried is written, and each second of `must` is accounted for.
        let records = wait_for("the disk is written again", || {
            let records = rig.records("must");
            let disk = records.iter().any(|record| record.reason == Some(Reason::Disk));
            let after = records.last().is_some_and(|record| record.outcome == Outcome::Succeeded);
            (disk && after).then_some(records)
        });
        let seconds = |record: &leafcron::job::RecordJson| {
            let covers = record.covers.map_or((record.due, record.due), |covers| (covers.from, covers.to));
            (covers.0.secs(), covers.1.secs())
        };
        let settled: Vec<i64> = records.iter().map(seconds).flat_map(|(from, to)| from..=to).collect();
        let expected: Vec<i64> = (settled[0]..=settled[settled.len() - 1]).collect();
        let mut sorted = settled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "each second once");
        assert!(rig.records("may").iter().filter(|record| record.outcome == Outcome::Succeeded).count() >= 3);
    }
}
