//! Under a service manager: what systemd would hear, and the machine's shutdown.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use leafcron::job::Outcome;

use super::rig::{Rig, text_of, wait_for};

/// A socket as systemd's.
struct Manager(UnixDatagram);

impl Manager {
    fn at(rig: &Rig) -> Self {
        let socket = UnixDatagram::bind(rig.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(socket)
    }

    /// The next message that is no sign of life.
    fn hears(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        text_of(&buffer[..length]).trim_end().to_owned()
    }
}

#[test]
fn systemd_hears_of_the_start_of_reloads_of_the_end_and_that_the_loop_turns() {
    let mut rig = Rig::new("[job.a]\nschedule = \"@yearly\"\ncommand = \"true\"");
    let manager = Manager::at(&rig);
    let socket = rig.path("notify");
    rig.start_with(&[("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "200000")]);
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(manager.hears(), "STATUS=1 job in force");
    // Nothing else wakes an idle agent.
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    rig.write_jobs("more.toml", "[job.b]\nschedule = \"@yearly\"\ncommand = \"true\"\n[job.c]\nschedule = 7");
    assert_eq!(rig.leafcron(&["reload"]).status.code(), Some(1), "c is refused");
    assert!(manager.hears().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(manager.hears(), "STATUS=2 jobs in force, 1 refused");
    rig.signal("HUP");
    assert!(manager.hears().starts_with("RELOADING=1"));
    assert_eq!(manager.hears(), "READY=1");
    assert!(rig.stop().success());
    assert_eq!(manager.hears(), "STOPPING=1");
}

#[test]
fn at_the_machines_shutdown_runs_end_with_their_grace_and_are_recorded_before_the_answer() {
    let mut rig = Rig::new(
        r#"
[job.long]
schedule = "@yearly"
command = """
trap 'echo told >> @DIR@/witness; sleep 0.2; echo done >> @DIR@/witness; exit 3' TERM
echo start >> @DIR@/witness
while :; do sleep 0.02; done
"""
[job.next]
schedule = "@yearly"
command = "true"
"#,
    );
    rig.start();
    assert!(rig.leafcron(&["run", "long"]).status.success());
    rig.wait_for_lines("witness", 1);
    let ended = rig.leafcron(&["end-runs"]);
    assert!(ended.status.success(), "{}", text_of(&ended.stderr));
    assert_eq!(rig.lines("witness"), ["start", "told", "done"]);
    let record = &rig.records("long")[0];
    assert_eq!((record.outcome, record.exit_code), (Outcome::Stopped, Some(3)), "{record:?}");
    assert!(record.stopped_by.as_ref().unwrap().starts_with("machine shutdown"), "{record:?}");
    // What is asked for now waits for the next start.
    assert!(rig.leafcron(&["run", "next"]).status.success());
    assert_eq!(rig.json(&["status"])["waiting"].as_array().unwrap().len(), 1);
    assert!(rig.stop().success());
    rig.start();
    assert_eq!(rig.wait_for_finals("next", 1)[0].outcome, Outcome::Succeeded);
}

#[test]
fn what_protects_the_agent_from_the_oom_killer_does_not_protect_its_jobs() {
    let mut rig = Rig::new(
        r#"
[job.own]
schedule = "@yearly"
command = "cat /proc/self/oom_score_adj"
[job.other]
schedule = "@yearly"
user = "nobody"
command = "cat /proc/self/oom_score_adj"
"#,
    );
    rig.start_with(&[]);
    // It takes CAP_SYS_RESOURCE, which root in a container may lack.
    if let Err(error) = std::fs::write(format!("/proc/{}/oom_score_adj", rig.pid()), "-500") {
        eprintln!("not checked: no process can be protected here: {error}");
        return;
    }
    wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
    for job in ["own", "other"] {
        let ran = rig.leafcron(&["run", job, "--wait"]);
        assert_eq!(text_of(&ran.stdout), "0\n", "{job}: {}", text_of(&ran.stderr));
    }
}
