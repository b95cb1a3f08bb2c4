//! Records and events at the hub: each once, none missing, whatever dies on the way.

use serde_json::Value;

use super::device::wait_for;
use super::rig::{Fleet, stock};

const TICK: &str = r#"
[job.tick]
schedule = "* * * * * *"
command = "echo $LEAFCRON_DUE"
overlap = "allow"
catch_up = "all"
"#;

fn seqs(stream: &[Value]) -> Vec<u64> {
    stream.iter().map(|fact| fact["seq"].as_u64().unwrap()).collect()
}

#[test]
fn what_the_device_recorded_is_in_the_stream_as_history_shows_it() {
    let fleet = Fleet::new("", "[job.one]\nschedule = \"@yearly\"\ncommand = \"echo here; exit 3\"\n");
    assert_eq!(fleet.device.leafcron(&["run", "one", "--wait"]).status.code(), Some(3));
    let stream = fleet.settled();
    let there: Vec<&Value> = stream.iter().filter(|fact| fact["job"] == "one").collect();
    let here = fleet.device.json(&["history", "one"]);
    assert_eq!(there, here.as_array().unwrap().iter().collect::<Vec<_>>());
    assert_eq!(there[0]["output"]["head"], "here\n");
    assert!(stream.iter().any(|fact| fact["event"] == "started"), "events go the same way");
    wait_for("the heartbeat says that it fails", || {
        fleet.heartbeat().filter(|beat| beat.failing.iter().any(|job| job.as_str() == "one"))
    });
}

#[test]
fn an_agent_and_a_link_that_are_killed_all_the_time_lose_and_double_nothing() {
    let mut fleet = Fleet::new("max_runs = 16", TICK);
    for round in 0..6 {
        let seen = fleet.stream().len();
        wait_for("something new is at the hub", || (fleet.stream().len() > seen).then_some(()));
        if round % 2 == 0 {
            fleet.kill_link();
        } else {
            fleet.device.kill();
            fleet.device.start();
        }
        fleet.wait_until_up();
    }
    assert!(fleet.device.leafcron(&["pause", "tick"]).status.success());
    let stream = fleet.settled();
    assert!(seqs(&stream).len() > 10);
}

#[test]
fn what_piled_up_while_the_line_was_cut_arrives_once_it_is_joined() {
    let fleet = Fleet::new("max_runs = 16", TICK);
    wait_for("something is at the hub", || (!fleet.finals("tick").is_empty()).then_some(()));
    fleet.hub.line.cut();
    let before = fleet.device.records("tick").len();
    fleet.device.wait_for_finals("tick", before + 4);
    wait_for("the device knows that it is on its own", || (fleet.link()["state"] != "up").then_some(()));
    assert!(fleet.link()["unsent"].as_u64().unwrap() > 0);
    let pid = fleet.link_pid();
    fleet.hub.line.join();
    assert!(fleet.device.leafcron(&["pause", "tick"]).status.success());
    fleet.settled();
    assert_eq!(fleet.link_pid(), pid, "a line that is cut beyond the leaf ends no link process");
}

#[test]
fn the_journal_of_a_device_that_meets_its_centre_late_is_told_as_far_as_it_goes_back() {
    let mut fleet = Fleet::waiting("history = 2", TICK);
    // No centre yet: history alone rules what is kept. Small as it is, only compaction takes from it.
    let text = std::fs::read_to_string(fleet.device.path("leafcrond.toml")).unwrap();
    let (alone, _) = text.split_once("[nats]").unwrap();
    std::fs::write(fleet.device.path("leafcrond.toml"), alone).unwrap();
    fleet.device.start();
    fleet.device.wait_for_finals("tick", 3);
    fleet.device.stop();
    std::fs::write(fleet.device.path("leafcrond.toml"), text).unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.device.start();
    fleet.wait_until_up();
    assert!(fleet.device.leafcron(&["pause", "tick"]).status.success());
    let stream = fleet.settled();
    assert!(stream.iter().filter(|fact| fact["job"] == "tick").count() >= 3);
}

#[test]
fn a_stream_that_was_made_anew_gets_everything_that_history_holds_again() {
    let fleet = Fleet::new("", "[job.one]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    for _ in 0..3 {
        assert!(fleet.device.leafcron(&["run", "one", "--wait"]).status.success());
    }
    let before = fleet.settled();
    stock(&fleet.hub).delete_stream("leafcron-runs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.kill_link();
    fleet.wait_until_up();
    wait_for("all is there again", || {
        let there = seqs(&fleet.stream());
        seqs(&before).iter().all(|seq| there.contains(seq)).then_some(())
    });
    fleet.settled();
}

#[test]
fn an_acknowledgement_that_never_came_back_doubles_nothing_after_the_window_of_duplicates() {
    // The hub forgets ids at once: only what the stream itself holds can tell.
    let mut fleet = Fleet::waiting("max_runs = 16", TICK);
    assert!(fleet.hub(&["init"]).status.success());
    let mut config = stock(&fleet.hub).stream_info("leafcron-runs").unwrap().config;
    config.duplicate_window = 100_000_000;
    stock(&fleet.hub).update_stream(&config).unwrap();
    fleet.device.start();
    for _ in 0..4 {
        fleet.wait_until_up();
        let seen = fleet.stream().len();
        wait_for("something new is at the hub", || (fleet.stream().len() > seen).then_some(()));
        fleet.device.kill();
        fleet.device.start();
    }
    fleet.wait_until_up();
    assert!(fleet.device.leafcron(&["pause", "tick"]).status.success());
    fleet.settled();
}

#[test]
fn a_record_that_is_too_large_for_the_server_goes_with_less_of_its_output_and_says_so() {
    let fleet = Fleet::new(
        "",
        "[job.loud]\nschedule = \"@yearly\"\noutput = \"64KiB\"\ncommand = \"head -c 60000 /dev/zero\"\n\
         [job.after]\nschedule = \"@yearly\"\ncommand = \"echo after\"\n",
    );
    // Control characters grow sixfold in JSON; the rig's servers take 256 KiB at once.
    assert!(fleet.device.leafcron(&["run", "loud", "--wait"]).status.success());
    assert!(fleet.device.leafcron(&["run", "after", "--wait"]).status.success());
    let stream = fleet.settled();
    let after = stream.iter().find(|fact| fact["job"] == "after").unwrap();
    assert_eq!((&after["output"]["head"], &after["output"]["dropped"]), (&"after\n".into(), &0.into()));
    let loud = stream.iter().find(|fact| fact["job"] == "loud").unwrap();
    assert_eq!(loud["outcome"], "succeeded");
    let output = &loud["output"];
    let kept = output["head"].as_str().unwrap().len() + output["tail"].as_str().unwrap().len();
    assert_eq!(
        (output["bytes"].as_u64(), output["dropped"].as_u64()),
        (Some(60_000), Some(60_000 - kept as u64))
    );
    assert!((5_000..40_000).contains(&kept), "{output}");
    // At home there is all of it.
    assert_eq!(fleet.device.records("loud")[0].output.as_ref().map(|output| output.dropped), Some(0));
}

#[test]
fn send_output_failures_keeps_the_words_of_what_succeeded_at_home() {
    let jobs = "[job.good]\nschedule = \"@yearly\"\ncommand = \"echo fine\"\n[job.bad]\nschedule = \"@yearly\"\ncommand = \"echo broken; false\"\n";
    let mut fleet = Fleet::waiting("", jobs);
    let path = fleet.device.path("leafcrond.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}send_output = \"failures\"\n")).unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.device.start();
    fleet.wait_until_up();
    for job in ["good", "bad"] {
        fleet.device.leafcron(&["run", job, "--wait"]);
    }
    let stream = fleet.settled();
    let output = |job: &str| stream.iter().find(|fact| fact["job"] == job).unwrap().get("output").cloned();
    assert_eq!(output("good"), None);
    assert_eq!(output("bad").unwrap()["head"], "broken\n");
}
