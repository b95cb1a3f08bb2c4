//! A tz database of the test's own, which changes while the agent runs: zones are read anew at a reload, and one that
//! cannot be loaded refuses the jobs that go by it, by name, and stops nothing else.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::rig::{Rig, wait_for};

/// `here` and `there` go by zones of the database, the device's and their own; the others need none of it.
const JOBS: &str = r#"
job.here  = { schedule = "0 12 * * *", command = "true" }
job.there = { schedule = "0 12 * * *", command = "true", time_zone = "Test/There" }
job.every = { schedule = "@every 1h", command = "true" }
job.boot  = { schedule = "@reboot", command = "true" }
job.utc   = { schedule = "0 12 * * *", command = "true", time_zone = "UTC" }
"#;

/// Puts a zone of the system into the test's database, under another name.
fn put(rig: &Rig, name: &str, zone: &str) {
    let directory = rig.path("zoneinfo/Test");
    fs::create_dir_all(&directory).unwrap();
    fs::copy(Path::new("/usr/share/zoneinfo").join(zone), directory.join("new")).unwrap();
    // As a package manager does it.
    fs::rename(directory.join("new"), directory.join(name)).unwrap();
}

/// Takes a zone out of it.
fn take(rig: &Rig, name: &str) {
    fs::remove_file(rig.path("zoneinfo/Test").join(name)).unwrap();
}

fn start(rig: &mut Rig) {
    let zoneinfo = rig.path("zoneinfo");
    rig.start_with(&[("TZDIR", zoneinfo.to_str().unwrap()), ("TZ", "Test/Here")]);
    wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
}

/// The time of day, in UTC, at which a job fires next.
fn next(rig: &Rig, job: &str) -> Option<String> {
    let rows = rig.json(&["list"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["job"] == job)?;
    Some(row["next"].as_str()?.split_once('T')?.1.to_owned())
}

/// The jobs that a reload refuses for their zone, in order.
fn refused(rig: &Rig) -> Vec<String> {
    let reloaded = rig.json(&["reload"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = reloaded["rejected"].as_array().unwrap().iter();
    let mut jobs: Vec<_> =
        rows.inspect(|row| assert_eq!(row["field"], "time_zone")).map(|row| text(&row["job"])).collect();
    jobs.sort();
    jobs
}

#[test]
fn a_reload_reads_the_zones_of_the_device_and_of_its_jobs_anew() {
    let mut rig = Rig::new(JOBS);
    put(&rig, "Here", "Asia/Tokyo");
    put(&rig, "There", "Asia/Kolkata");
    start(&mut rig);
    assert_eq!(next(&rig, "here").as_deref(), Some("03:00:00.000Z"));
    assert_eq!(next(&rig, "there").as_deref(), Some("06:30:00.000Z"));
    put(&rig, "Here", "Etc/GMT+5");
    put(&rig, "There", "Asia/Kathmandu");
    assert_eq!(refused(&rig), Vec::<String>::new());
    assert_eq!(next(&rig, "here").as_deref(), Some("17:00:00.000Z"));
    assert_eq!(next(&rig, "there").as_deref(), Some("06:15:00.000Z"));
    assert_eq!(next(&rig, "utc").as_deref(), Some("12:00:00.000Z"));
    assert!(rig.stop().success());
}

#[test]
fn a_zone_that_cannot_be_loaded_refuses_its_jobs_by_name_and_stops_no_others() {
    let mut rig = Rig::new(JOBS);
    put(&rig, "Here", "Asia/Tokyo");
    put(&rig, "There", "Asia/Kolkata");
    // A database without any zone would be none.
    put(&rig, "Elsewhere", "Asia/Kabul");
    start(&mut rig);
    // Lost while the agent runs: what was read before goes on.
    take(&rig, "Here");
    take(&rig, "There");
    assert_eq!(refused(&rig), ["here", "there"]);
    assert_eq!(next(&rig, "here").as_deref(), Some("03:00:00.000Z"));
    assert_eq!(next(&rig, "there").as_deref(), Some("06:30:00.000Z"));
    assert_eq!(rig.json(&["show", "here"])["refused"]["field"], "time_zone");
    assert!(rig.stop().success());
    // Lost when it starts: nobody knows when they are due.
    start(&mut rig);
    for job in ["here", "there"] {
        assert_eq!(next(&rig, job), None, "{job}");
    }
    assert_eq!(next(&rig, "utc").as_deref(), Some("12:00:00.000Z"));
    assert!(next(&rig, "every").is_some());
    assert_eq!(refused(&rig), ["here", "there"]);
    // And found again.
    put(&rig, "Here", "Etc/GMT+5");
    put(&rig, "There", "Asia/Kathmandu");
    assert_eq!(refused(&rig), Vec::<String>::new());
    assert_eq!(next(&rig, "here").as_deref(), Some("17:00:00.000Z"));
    assert_eq!(next(&rig, "there").as_deref(), Some("06:15:00.000Z"));
    assert!(rig.stop().success());
}
