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

#[test]
fn what_this_machine_does_not_serve_is_said_at_acceptance_in_show_in_status_and_by_doctor() {
    let mut rig = Rig::new("");
    rig.start();
    let doctor = rig.json(&["doctor"]);
    let unserved = |doctor: &serde_json::Value| -> Vec<String> {
        let gates = doctor["gates"].as_array().unwrap().iter();
        gates.map(|it| it["field"].as_str().unwrap().to_owned()).collect()
    };
    // Few machines have both, and a build machine neither.
    let ways = [("require.throttled", "throttled = false"), ("require.battery", "battery = 1")];
    let Some((field, requirement)) =
        ways.into_iter().find(|(field, _)| unserved(&doctor).contains(&(*field).to_owned()))
    else {
        panic!("a Raspberry Pi with a battery: {doctor}");
    };
    assert_eq!(rig.leafcron(&["doctor"]).status.code(), Some(0), "no job asks for it");

    rig.write_jobs(
        "picky.toml",
        &format!(
            "[job.picky]\nschedule = \"@yearly\"\ncommand = \"true\"\nhold = \"1s\"\n[job.picky.require]\n{requirement}\n"
        ),
    );
    let reload = rig.leafcron(&["reload"]);
    assert!(reload.status.success(), "accepted all the same");
    let warned = super::rig::text_of(&reload.stderr);
    assert!(warned.contains(&format!("job picky: {field}: ")) && warned.contains("never holds"), "{warned}");
    assert_eq!(rig.json(&["show", "picky"])["warnings"][0]["field"], field);
    let show = super::rig::text_of(&rig.leafcron(&["show", "picky"]).stdout);
    assert!(show.contains("NOT SERVED BY THIS MACHINE") && show.contains(field), "{show}");
    assert_eq!(rig.json(&["status"])["warnings"][0]["job"], "picky");
    let doctor = rig.leafcron(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1), "a job in force asks for it");
    let said = super::rig::text_of(&doctor.stdout);
    assert!(said.contains("JOBS THAT ASK FOR WHAT THIS MACHINE DOES NOT SERVE"), "{said}");

    assert_eq!(rig.leafcron(&["run", "picky", "--wait"]).status.code(), Some(1));
    let record = &rig.records("picky")[0];
    assert_eq!((record.outcome, record.reason), (Outcome::Skipped, Some(Reason::Gate)));
    assert!(record.detail.as_deref().unwrap().ends_with(" could not be read"), "{record:?}");
}

#[test]
fn status_reads_the_machine_and_doctor_the_paths_of_jobs_too() {
    let mut rig = Rig::new(
        r#"
[job.a]
schedule = "@yearly"
command = "true"
require = {disk_available = [{path = "/", at_least = "1B"}, {path = "/no/such/place", at_least = "1B"}]}
"#,
    );
    rig.start();
    for verb in ["status", "doctor"] {
        let readings = &rig.json(&[verb])["readings"];
        assert!(readings["load_per_cpu"].is_number() && readings["memory_available"].is_u64(), "{readings}");
        assert!(["online", "offline"].contains(&readings["network"].as_str().unwrap()), "{readings}");
        assert_eq!(readings["clock"], "synced", "trust_clock");
    }
    let disk = &rig.json(&["doctor"])["readings"]["disk_available"];
    assert!(disk["/"].is_u64() && disk["/no/such/place"].is_null(), "{disk}");
    assert!(disk.as_object().unwrap().contains_key("/no/such/place"));
    // Without an agent the machine can be read all the same.
    rig.stop();
    let alone = rig.leafcron(&["doctor"]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(super::rig::text_of(&alone.stdout).contains("load_per_cpu"), "{alone:?}");
    assert!(super::rig::text_of(&alone.stderr).contains("no agent answers"), "{alone:?}");
}
