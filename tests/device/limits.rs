//! What a job's limits come to in its record.

use leafcron::job::{Outcome, Reason};

use super::rig::Rig;

#[test]
fn a_record_names_the_limits_that_could_not_be_applied_and_a_required_one_refuses_the_run() {
    let mut rig = Rig::new(
        r#"
[job.bounded]
schedule = "@yearly"
command = "nice"
limits = {nice = 19, cpu = 50}
[job.required]
schedule = "@yearly"
command = "echo ran"
limits = {cpu = 50, required = true}
"#,
    );
    rig.start();
    assert_eq!(rig.leafcron(&["run", "bounded", "--wait"]).stdout, b"19\n");
    let bounded = rig.wait_for_finals("bounded", 1).remove(0);
    assert_eq!(bounded.outcome, Outcome::Succeeded);
    rig.leafcron(&["run", "required", "--wait"]);
    let required = rig.wait_for_finals("required", 1).remove(0);
    if bounded.not_applied.is_empty() {
        eprintln!("NOT CHECKED: this machine's runs have the cpu controller, so nothing is left out");
        assert_eq!(required.outcome, Outcome::Succeeded);
        return;
    }
    assert_eq!(bounded.not_applied, ["cpu"]);
    assert_eq!((required.outcome, required.reason), (Outcome::Failed, Some(Reason::Start)));
    assert!(required.detail.unwrap().contains("cpu cannot be applied here"));
    assert!(required.output.is_none());
    let history = rig.leafcron(&["history", "bounded"]);
    assert!(String::from_utf8_lossy(&history.stdout).contains("not applied: cpu"));
}
