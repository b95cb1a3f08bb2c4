//! `leafcron hub problems` and `forget`.

use serde_json::{Value, json};

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};
use leafcron::job::VerdictState;

/// What is wrong: kind, device and what.
fn problems(fleet: &Fleet) -> Vec<(String, String, String)> {
    let asked = fleet.hub(&["problems", "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&asked.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text_of(&asked.stderr)));
    assert_eq!(asked.status.code(), Some(i32::from(!rows.is_empty())));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    rows.iter().map(|row| (text(&row["kind"]), text(&row["agent"]), text(&row["what"]))).collect()
}

fn is_problem(fleet: &Fleet, kind: &str, agent: &str, what: &str) -> bool {
    problems(fleet).contains(&(kind.to_owned(), agent.to_owned(), what.to_owned()))
}

#[test]
fn a_fleet_that_is_well_has_none_and_each_kind_is_named() {
    let fleet = Fleet::new("", "[job.bad]\nschedule = \"@yearly\"\ncommand = \"exit 3\"\n");
    let beat = wait_for("the device is known", || fleet.heartbeat());
    assert!(beat.readings.memory_available.is_some_and(|bytes| bytes > 0), "{beat:?}");
    wait_for("all is well", || problems(&fleet).is_empty().then_some(()));
    assert_eq!(text_of(&fleet.hub(&["problems"]).stdout), "no problem is known\n");

    fleet.put("agent.pi.wrong", r#"{"schedule":"61 * * * *","command":"true"}"#);
    fleet.wait_for_verdict("wrong", |verdict| verdict.state == VerdictState::Rejected);
    fleet.put("agent.nobody.a", "{}");
    fleet.put("group.nowhere.a", "{}");
    fleet.put("stray", "{}");
    fleet.device.leafcron(&["run", "bad", "--wait"]);
    wait_for("all of it is told", || {
        let found = problems(&fleet);
        let has = |kind: &str, agent: &str, what: &str| {
            found.contains(&(kind.to_owned(), agent.to_owned(), what.to_owned()))
        };
        (has("rejected", "pi", "wrong")
            && has("failing", "pi", "bad")
            && has("unread key", "-", "agent.nobody.a")
            && has("unread key", "-", "group.nowhere.a")
            && has("unread key", "-", "stray")
            && found.len() == 5)
            .then_some(())
    });
}

#[test]
fn a_number_that_is_missing_is_named_and_one_that_is_given_up_is_not() {
    let fleet = Fleet::new("", "");
    wait_for("the device is known", || fleet.heartbeat());
    let stream = stock(&fleet.hub);
    let epoch = "0123456789abcdef0123456789abcdef";
    let publish = |seq: u64, more: Value| {
        let mut fact =
            json!({"seq": seq, "epoch": epoch, "agent": "other", "at": "2026-11-26T00:00:00.000Z"});
        fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stream.publish("leafcron.event.other.started", fact.to_string()).unwrap();
    };
    for seq in [3, 4, 9] {
        publish(seq, json!({"event": "started"}));
    }
    assert!(is_problem(&fleet, "missing", "other", "5-8"));
    publish(10, json!({"event": "dropped", "from": 5, "to": 7, "count": 3}));
    assert!(is_problem(&fleet, "missing", "other", "8"));
    publish(8, json!({"event": "started"}));
    assert_eq!(problems(&fleet), []);
}

#[test]
fn a_device_that_is_silent_is_named_until_it_is_forgotten() {
    let mut fleet = Fleet::new("", "");
    fleet.put("agent.pi.a", r#"{"schedule":"@yearly","command":"true"}"#);
    fleet.wait_for_verdict("a", |verdict| verdict.state == VerdictState::Accepted);
    let refused = fleet.hub(&["forget", "pi"]);
    assert_eq!(refused.status.code(), Some(1), "it is there");
    assert!(text_of(&refused.stderr).contains("--force"), "{}", text_of(&refused.stderr));
    assert_eq!(fleet.hub(&["forget", "stranger"]).status.code(), Some(1));

    fleet.device.stop();
    wait_for("it is silent", || is_problem(&fleet, "silent", "pi", "-").then_some(()));
    assert!(text_of(&fleet.hub(&["agents"]).stdout).contains("SILENT"));
    let forgotten = fleet.hub(&["forget", "pi"]);
    assert_eq!(forgotten.status.code(), Some(0), "{}", text_of(&forgotten.stderr));
    assert!(
        text_of(&forgotten.stderr).contains("1 definitions wait for it still"),
        "{}",
        text_of(&forgotten.stderr)
    );
    assert!(fleet.heartbeat().is_none() && fleet.verdict("a").is_none());
    assert!(is_problem(&fleet, "unread key", "-", "agent.pi.a"));
    let forgotten = fleet.hub(&["forget", "pi", "--jobs"]);
    assert_eq!(forgotten.status.code(), Some(0), "{}", text_of(&forgotten.stderr));
    assert_eq!(problems(&fleet), []);
}
