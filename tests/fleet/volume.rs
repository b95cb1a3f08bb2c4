//! Much at once: keys, definitions, results.

use std::error::Error;

use leafcron::job::Entry;
use leafcron::store::{Durability, Journal, Options, RealDisk, Unsent};

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};

#[path = "../../benches/store/facts.rs"]
#[expect(dead_code, reason = "the runs of the store's measurements")]
mod facts;

type Outcomes<T> = Result<T, Box<dyn Error>>;

#[test]
fn a_thousand_definitions_at_once_come_into_force_among_thousands_of_keys_of_others() {
    const OTHERS: usize = 3_000;
    const OWN: usize = 1_000;
    let fleet = Fleet::new("", "");
    let bucket = stock(&fleet.hub);
    for n in 0..OTHERS {
        let subject = format!("$KV.leafcron-jobs.group.elsewhere-{}.job-{n}", n % 50);
        bucket.publish_with_options(&subject, "{}", &nats::jetstream::PublishOptions::default()).unwrap();
    }
    let jobs: String =
        (0..OWN).map(|n| format!("[job.job-{n}]\nschedule = \"@yearly\"\ncommand = \"true\"\n")).collect();
    let file = fleet.device.path("thousand.toml");
    std::fs::write(&file, jobs).unwrap();
    let pushed = fleet.hub(&["push", file.to_str().unwrap(), "--agent", "pi", "--timeout", "2m"]);
    assert_eq!(pushed.status.code(), Some(0), "{}", text_of(&pushed.stderr).lines().last().unwrap());
    let said = text_of(&pushed.stdout);
    assert!(said.contains("1000 sent; 1000 accepted, 0 shadowed, 0 rejected, 0 without a verdict"), "{said}");
    wait_for("all are in force", || {
        (fleet.device.json(&["list"]).as_array().unwrap().len() == OWN).then_some(())
    });
}

#[test]
fn what_piled_up_in_a_long_outage_goes_out_once_and_delays_no_fire() {
    const RESULTS: usize = 5_000;
    // A fire that comes to its turn five seconds late is skipped, and its record says so.
    let job = "[job.lone]\nschedule = \"* * * * * *\"\ncommand = \"true\"\ndeadline = \"5s\"\n";
    let mut fleet = Fleet::waiting("disk = \"32MiB\"", job);
    assert!(fleet.hub(&["init"]).status.success());
    fleet.leaf.kill();
    fill(&fleet.device.path("state"), RESULTS);
    fleet.device.start();
    wait_for("it fires", || (fleet.device.records("lone").len() > 2).then_some(()));
    let unsent = |fleet: &Fleet| fleet.link()["unsent"].as_u64().unwrap();
    assert!(unsent(&fleet) > RESULTS as u64);
    fleet.leaf.start_again();
    wait_for("all went out", || (unsent(&fleet) < 10).then_some(()));
    wait_for("it fires on", || (fleet.device.records("lone").len() > 6).then_some(()));
    assert!(fleet.device.leafcron(&["pause", "lone"]).status.success());

    let stream = fleet.settled();
    let piled = stream.iter().filter(|fact| fact["job"].as_str().is_some_and(|job| job != "lone"));
    assert_eq!(piled.count(), RESULTS);
    let mut fires = fleet.finals("lone");
    fires.sort_by_key(|fact| fact["seq"].as_u64());
    assert!(fires.iter().all(|fact| fact["outcome"] == "succeeded"), "{fires:#?}");
    let due = |fact: &serde_json::Value| fact["due"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let seconds: Vec<i64> = fires.iter().map(|fact| due(fact).as_second()).collect();
    assert!(seconds.windows(2).all(|two| two[1] == two[0] + 1), "{seconds:?}");
}

/// A journal as an agent leaves it that has met no centre.
fn fill(state: &std::path::Path, results: usize) {
    std::fs::create_dir_all(state).unwrap();
    let options = Options { unsent: Unsent::Kept, ..facts::options() };
    let (mut journal, _) = Journal::open(RealDisk::open(state).unwrap(), options).unwrap();
    let names = facts::names(100).unwrap();
    let runs = (1..=results).zip(names.iter().cycle());
    let entries: Vec<Entry> =
        runs.flat_map(|(number, job)| facts::run(job, number as u64, 0).unwrap()).collect();
    for entries in entries.chunks(600) {
        journal.commit(entries, Durability::Synced).unwrap();
    }
}
