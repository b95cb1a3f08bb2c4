//! The gate on the real machine.

use super::rig::Rig;
use leafcron::job::{Outcome, Reason};

#[test]
fn a_gate_that_stays_shut_skips_the_fire_and_the_record_says_on_which_readings() {
    let mut rig = Rig::new(
        r#"
[job.greedy]
schedule = "@yearly"
command = "echo ran >> @DIR@/witness"
hold = "1s"
[job.greedy.require]
memory_available = "900TiB"
disk_available = [{path = "/", at_least = "1B"}]

[job.modest]
schedule = "@yearly"
command = "true"
[job.modest.require]
memory_available = "1MiB"
load_per_cpu = 1000
"#,
    );
    rig.start();
    let waited = rig.leafcron(&["run", "greedy", "--wait"]);
    assert_eq!(waited.status.code(), Some(1), "{}", super::rig::text_of(&waited.stderr));
    let record = &rig.records("greedy")[0];
    assert_eq!((record.outcome, record.reason), (Outcome::Skipped, Some(Reason::Gate)));
    assert!(record.gate.memory_available.unwrap() > 0);
    assert!(matches!(&record.gate.disk_available[..], [(path, Some(_))] if path == "/"));
    assert_eq!(rig.lines("witness").len(), 0);

    let forced = rig.leafcron(&["run", "greedy", "--wait", "--force"]);
    assert!(forced.status.success());
    assert_eq!(rig.lines("witness"), ["ran"]);
    assert!(rig.leafcron(&["run", "modest", "--wait"]).status.success());
    assert!(rig.records("modest")[0].gate.load_per_cpu.is_some());
}

#[test]
fn a_check_command_opens_and_shuts_the_gate() {
    let mut rig = Rig::new(
        r#"
[job.careful]
schedule = "@yearly"
command = "echo ran >> @DIR@/witness"
hold = "30s"
[job.careful.require]
check = "echo asked >> @DIR@/asked; test -e @DIR@/ready"
"#,
    );
    rig.start();
    assert!(rig.leafcron(&["run", "careful"]).status.success());
    rig.wait_for_lines("asked", 1);
    let held = super::rig::wait_for("the fire is held", || {
        let status = rig.json(&["status"]);
        (status["waiting"][0]["stage"] == "gate").then_some(status)
    });
    assert_eq!(held["waiting"][0]["job"], "careful");
    std::fs::write(rig.path("ready"), "").unwrap();
    rig.wait_for_lines("witness", 1);
    let record = &rig.wait_for_finals("careful", 1)[0];
    assert_eq!(record.gate.check, Some(true));
}
