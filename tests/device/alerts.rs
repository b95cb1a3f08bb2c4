//! `on_failure` with real processes.

use super::rig::{Rig, is_root, wait_for};

#[test]
fn a_jobs_own_command_is_told_how_it_failed_and_leaves_nothing_behind() {
    let mut rig = Rig::new(
        r#"
[job.sore]
schedule = "@yearly"
command = "exit 3"
on_failure = "echo $LEAFCRON_JOB $LEAFCRON_OUTCOME $LEAFCRON_REASON:$LEAFCRON_EXIT_CODE $MARK $(id -un) >> @DIR@/told"
env = {MARK = "own"}

[job.shut]
schedule = "@yearly"
command = "true"
hold = "0s"
require = {memory_available = "900TiB"}
on_failure = "echo $LEAFCRON_OUTCOME $LEAFCRON_REASON:$LEAFCRON_EXIT_CODE >> @DIR@/told"

[job.fine]
schedule = "@yearly"
command = "true"
on_failure = "echo fine >> @DIR@/told"
"#,
    );
    rig.start();
    let user = if is_root() {
        "root".to_owned()
    } else {
        nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name
    };
    for (job, told) in [("fine", 0), ("sore", 1), ("shut", 2)] {
        rig.leafcron(&["run", job, "--wait"]);
        rig.wait_for_lines("told", told);
    }
    assert_eq!(rig.lines("told"), [format!("sore failed :3 own {user}"), "skipped gate:".to_owned()]);
    wait_for("the directories of all runs are gone", || {
        std::fs::read_dir(rig.path("run/runs")).unwrap().next().is_none().then_some(())
    });
}
