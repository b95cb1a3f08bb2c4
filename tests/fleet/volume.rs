//! Much at once: keys, definitions, results.

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};

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
