//! Commands from the centre: once, in time, and only for what is the centre's.

use std::time::Duration;

use serde_json::{Value, json};

use super::device::{text_of, wait_for};
use super::rig::Fleet;

/// A stock request over the hub, and its first answer.
fn ask(fleet: &Fleet, command: &Value) -> Value {
    let connection = nats::Options::new().max_reconnects(1).connect(fleet.hub.url()).unwrap();
    let text = serde_json::to_vec(command).unwrap();
    let answer = connection.request_timeout("leafcron.cmd.pi", text, Duration::from_secs(10)).unwrap();
    serde_json::from_slice(&answer.data).unwrap()
}

fn soon() -> String {
    let now = leafcron::agent::wall_clock();
    now.plus(Duration::from_secs(30)).to_string()
}

fn counted(fleet: &Fleet) -> usize {
    fleet.device.lines("ran").len()
}

#[test]
fn a_command_runs_once_however_often_it_is_delivered() {
    let fleet = Fleet::new("", "");
    let job =
        format!(r#"{{"schedule":"@yearly","command":"echo ran >> {}"}}"#, fleet.device.path("ran").display());
    let sequence = fleet.put("agent.pi.job", job);
    fleet.wait_for_verdict("job", |verdict| verdict.sequence == Some(sequence));
    let command = json!({"verb": "run", "job": "job", "id": "first", "not_after": soon()});
    for _ in 0..3 {
        assert_eq!(ask(&fleet, &command)["accepted"]["id"], "first");
    }
    fleet.device.wait_for_finals("job", 1);
    // Over a restart of the link, too: ids are the agent's.
    fleet.kill_link();
    fleet.wait_until_up();
    assert_eq!(ask(&fleet, &command)["accepted"]["id"], "first");
    let other = json!({"verb": "run", "job": "job", "id": "second", "not_after": soon()});
    ask(&fleet, &other);
    fleet.device.wait_for_finals("job", 2);
    assert_eq!(counted(&fleet), 2);
    let record = fleet.settled().into_iter().find(|fact| fact["id"] == "first").unwrap();
    assert_eq!(record["trigger"], "manual");
}

#[test]
fn what_has_no_id_no_end_a_past_end_or_a_far_one_is_refused_with_its_reason() {
    let fleet = Fleet::new("", "");
    let sequence = fleet.put("agent.pi.job", r#"{"schedule":"@yearly","command":"true"}"#);
    fleet.wait_for_verdict("job", |verdict| verdict.sequence == Some(sequence));
    let run = |more: Value| {
        let mut command = json!({"verb": "run", "job": "job"});
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&fleet, &command)["refused"].clone()
    };
    assert_eq!(run(json!({"not_after": soon()}))["kind"], "bad_request");
    assert_eq!(run(json!({"id": "a"}))["kind"], "expired");
    assert_eq!(run(json!({"id": "a", "not_after": "2020-01-01T00:00:00Z"}))["kind"], "expired");
    assert_eq!(run(json!({"id": "a", "not_after": "2999-01-01T00:00:00Z"}))["kind"], "expired");
    assert_eq!(ask(&fleet, &json!({"verb": "reload"}))["refused"]["kind"], "forbidden");
    assert_eq!(ask(&fleet, &json!({"verb": "shell", "command": "sh"}))["refused"]["kind"], "bad_request");
    assert_eq!(ask(&fleet, &json!(7))["refused"]["kind"], "bad_request");
    assert_eq!(fleet.device.records("job").len(), 0);
    assert_eq!(ask(&fleet, &json!({"verb": "status"}))["status"]["agent"], "pi");
}

#[test]
fn the_devices_own_jobs_are_not_the_centres_to_command_unless_the_device_says_so() {
    let own = "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n";
    let run = json!({"verb": "run", "job": "own", "id": "x", "not_after": soon()});
    let fleet = Fleet::new("", own);
    assert_eq!(ask(&fleet, &run)["refused"]["kind"], "forbidden");
    drop(fleet);
    let mut fleet = Fleet::waiting("", own);
    let path = fleet.device.path("leafcrond.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}commands = \"any\"\n")).unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.device.start();
    fleet.wait_until_up();
    assert_eq!(ask(&fleet, &run)["accepted"]["id"], "x");
}

#[test]
fn the_centre_stops_a_run_and_the_record_says_who_did() {
    let fleet = Fleet::new("", "");
    let sequence = fleet.put("agent.pi.long", r#"{"schedule":"@yearly","command":"sleep 600"}"#);
    fleet.wait_for_verdict("long", |verdict| verdict.sequence == Some(sequence));
    ask(&fleet, &json!({"verb": "run", "job": "long", "id": "go", "not_after": soon()}));
    wait_for("it runs", || {
        (fleet.device.json(&["status"])["running"].as_array().unwrap().len() == 1).then_some(())
    });
    let stop = json!({"verb": "stop", "job": "long", "id": "halt", "not_after": soon()});
    assert!(ask(&fleet, &stop)["done"]["message"].as_str().unwrap().contains("stopping"));
    let records = fleet.device.wait_for_finals("long", 1);
    assert_eq!(records[0].stopped_by.as_deref(), Some("centre"));
    // Delivered again, it stops nothing that was started since.
    ask(&fleet, &json!({"verb": "run", "job": "long", "id": "again", "not_after": soon()}));
    assert!(ask(&fleet, &stop)["done"]["message"].as_str().unwrap().contains("before"));
    assert_eq!(fleet.device.json(&["status"])["running"].as_array().unwrap().len(), 1);
    assert!(fleet.device.leafcron(&["stop", "long"]).status.success());
    fleet.device.wait_for_finals("long", 2);
}

#[test]
fn an_unsynchronised_clock_answers_status_alone() {
    let mut fleet = Fleet::waiting("", "");
    let path = fleet.device.path("leafcrond.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("trust_clock = true", "trust_clock = false")).unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.device.start();
    fleet.wait_until_up();
    if fleet.device.json(&["status"])["clock"] == "synced" {
        eprintln!("not checked: this machine's clock is synchronised");
        return;
    }
    let run = json!({"verb": "run", "job": "job", "id": "x", "not_after": soon()});
    assert_eq!(ask(&fleet, &run)["refused"]["kind"], "conflict");
    assert_eq!(ask(&fleet, &json!({"verb": "status"}))["status"]["clock"], "unsynced");
}

#[test]
fn the_operator_pauses_resumes_and_reads_along() {
    let fleet = Fleet::new("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"sleep 600\"\n");
    let long = format!(
        r#"{{"schedule":"@yearly","command":"echo one; cd {}; while ! [ -e more ]; do sleep 0.1; done; echo two; while ! [ -e end ]; do sleep 0.1; done; echo three; exit 3"}}"#,
        fleet.device.path("").display()
    );
    let sequence = fleet.put("agent.pi.long", long);
    fleet.wait_for_verdict("long", |verdict| verdict.sequence == Some(sequence));
    let said = |words: &[&str]| {
        let output = fleet.hub(words);
        (output.status.code(), text_of(&output.stdout), text_of(&output.stderr))
    };
    assert_eq!(said(&["pause", "pi", "long"]).1, "long is paused\n");
    assert_eq!(fleet.device.json(&["show", "long"])["paused"], true);
    assert_eq!(said(&["resume", "pi", "long"]).1, "long fires again\n");
    assert_eq!(fleet.device.json(&["show", "long"])["paused"], false);
    let (code, _, why) = said(&["pause", "pi", "own"]);
    assert!(code == Some(1) && why.contains("own is the device's own"), "{why}");

    let (code, _, why) = said(&["logs", "pi", "long"]);
    assert!(code == Some(1) && why.contains("long is not running"), "{why}");
    assert!(fleet.hub(&["run", "pi", "long"]).status.success());
    wait_for("it prints", || (said(&["logs", "pi", "long"]).1 == "one\n").then_some(()));
    let mut command = fleet.hub_command(&["logs", "pi", "long", "--follow"]);
    let mut follow = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follow.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    // Over a link that is cut, too.
    fleet.kill_link();
    std::fs::write(fleet.device.path("more"), "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    std::fs::write(fleet.device.path("end"), "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    assert!(lines.next().is_none() && follow.wait().unwrap().success());
    assert!(fleet.device.leafcron(&["run", "own"]).status.success());
    let (code, _, why) = said(&["logs", "pi", "own"]);
    assert!(code == Some(1) && why.contains("own is the device's own"), "{why}");
    assert!(fleet.device.leafcron(&["stop", "own"]).status.success());
}

#[test]
fn a_flood_of_commands_is_bounded_answered_and_delays_no_fire() {
    const FLOOD: usize = 1_000;
    let fleet = Fleet::new("", "[job.tick]\nschedule = \"@every 1s\"\ncommand = \"true\"\n");
    let job =
        format!(r#"{{"schedule":"@yearly","command":"echo ran >> {}"}}"#, fleet.device.path("ran").display());
    let sequence = fleet.put("agent.pi.job", job);
    fleet.wait_for_verdict("job", |verdict| verdict.sequence == Some(sequence));
    fleet.device.wait_for_finals("tick", 2);
    let connection = nats::Options::new().connect(fleet.hub.url()).unwrap();
    let inbox = connection.new_inbox();
    let answers = connection.subscribe(&inbox).unwrap();
    let not_after = soon();
    for n in 0..FLOOD {
        let command =
            json!({"verb": "pause", "job": "job", "id": format!("flood-{n}"), "not_after": not_after});
        connection.publish_request("leafcron.cmd.pi", &inbox, command.to_string()).unwrap();
    }
    connection.flush().unwrap();
    // What it cannot take it drops or refuses, and says so; what it takes it remembers, and no more than it can.
    let mut taken = 0;
    let mut refused = 0;
    while let Ok(answer) = answers.next_timeout(Duration::from_secs(3)) {
        let answer: Value = serde_json::from_slice(&answer.data).unwrap();
        match answer["refused"]["kind"].as_str() {
            None => taken += 1,
            Some("busy") => refused += 1,
            Some(other) => panic!("{other}: {answer}"),
        }
    }
    assert!((1..=leafcron::job::limits::COMMAND_IDS).contains(&taken), "{taken} taken, {refused} refused");
    // It is there, and what it took it knows.
    wait_for("it answers again", || {
        (ask(&fleet, &json!({"verb": "status"}))["status"]["agent"] == "pi").then_some(())
    });
    let again = json!({"verb": "pause", "job": "job", "id": "flood-0", "not_after": not_after});
    assert!(ask(&fleet, &again)["refused"].is_null());
    let before = fleet.device.records("tick").len();
    let ticks = fleet.device.wait_for_finals("tick", before + 2);
    let dues: Vec<i64> = ticks.iter().map(|record| record.due.millis() / 1_000).collect();
    assert!(dues.windows(2).all(|pair| pair[1] == pair[0] + 1), "each second, and each once: {dues:?}");
    assert!(ticks.iter().all(|record| record.outcome == leafcron::job::Outcome::Succeeded), "{ticks:?}");
}
