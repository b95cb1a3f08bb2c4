//! kill -9 of the agent: before, during and after a run, and at every point between intent and record.

use super::rig::{Rig, wait_for};
use leafcron::job::{
    BootTime, Clock, DeviceEvent, Entry, EventKind, Fire, FireKey, Id128, Intent, Now, Outcome, RecordJson,
    Revision, RunId, Trigger, WallTime,
};
use leafcron::store::{Durability, Journal, Options, RealDisk};

/// A run that says when it starts and ends, and ends with 7 once it may.
const LONG: &str = r#"
[job.long]
schedule = "@yearly"
command = """
echo start $LEAFCRON_ATTEMPT >> @DIR@/witness
while [ ! -e @DIR@/go ]; do sleep 0.02; done
echo end >> @DIR@/witness
echo the output
exit 7
"""
"#;

fn let_it_end(rig: &Rig) {
    std::fs::write(rig.path("go"), "").unwrap();
}

fn assert_ended_once_with_7(rig: &Rig, records: &[RecordJson]) {
    assert_eq!(records.len(), 1, "{records:#?}");
    assert_eq!((records[0].outcome, records[0].exit_code), (Outcome::Failed, Some(7)), "{records:#?}");
    assert_eq!(records[0].attempt, 1);
    assert_eq!(records[0].output.as_ref().unwrap().head, "the output\n");
    assert_eq!(rig.lines("witness"), ["start 1", "end"]);
}

#[test]
fn a_running_job_outlives_the_agent_and_its_exit_status_is_not_lost() {
    let mut rig = Rig::new(LONG);
    rig.start();
    assert!(rig.leafcron(&["run", "long"]).status.success());
    rig.wait_for_lines("witness", 1);
    rig.kill();
    // It ends while there is no agent.
    let_it_end(&rig);
    rig.wait_for_lines("witness", 2);
    rig.start();
    assert_ended_once_with_7(&rig, &rig.wait_for_finals("long", 1));
}

#[test]
fn a_job_that_still_runs_is_found_again_and_waited_for() {
    let mut rig = Rig::new(LONG);
    rig.start();
    assert!(rig.leafcron(&["run", "long"]).status.success());
    rig.wait_for_lines("witness", 1);
    rig.kill();
    rig.start();
    let running = rig.json(&["status"])["running"].clone();
    assert_eq!(running[0]["job"], "long", "{running}");
    assert!(rig.leafcron(&["run", "long"]).status.success(), "accepted, and skipped: it is busy");
    let_it_end(&rig);
    let records = rig.wait_for_finals("long", 2);
    assert_eq!(records[0].outcome, Outcome::Skipped);
    assert_ended_once_with_7(&rig, &records[1..]);
}

#[test]
fn sigterm_stops_the_agent_cleanly_and_leaves_jobs_running() {
    let mut rig = Rig::new(LONG);
    rig.start();
    assert!(rig.leafcron(&["run", "long"]).status.success());
    rig.wait_for_lines("witness", 1);
    assert!(rig.stop().success());
    let_it_end(&rig);
    rig.wait_for_lines("witness", 2);
    rig.start();
    assert_ended_once_with_7(&rig, &rig.wait_for_finals("long", 1));
}

#[test]
fn killed_at_any_point_of_a_run_it_is_executed_and_recorded_once() {
    // intent: durable, nothing started; started: the runner is up; ended: it is dead, no record yet;
    // clear: the record is durable, the directory still there.
    for point in ["intent", "started", "ended", "clear"] {
        let mut rig = Rig::new(LONG);
        let_it_end(&rig);
        rig.start_with(&[("LEAFCRON_STOP_AT", point)]);
        wait_for("the agent answers", || rig.leafcron(&["status"]).status.success().then_some(()));
        // The answer may not come any more: do not wait for it.
        let mut asking = std::process::Command::new(env!("CARGO_BIN_EXE_leafcron"))
            .arg("--config")
            .arg(rig.path("leafcrond.toml"))
            .args(["run", "long"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        rig.kill_where_it_stands();
        asking.wait().unwrap();
        if point == "intent" {
            assert_eq!(rig.lines("witness").len(), 0, "nothing has started");
        } else {
            rig.wait_for_lines("witness", 2);
        }
        rig.start();
        let records = rig.wait_for_finals("long", 1);
        assert_ended_once_with_7(&rig, &records);
        // Nothing is left of it.
        wait_for("the run's directory goes", || {
            std::fs::read_dir(rig.path("run").join("runs")).unwrap().next().is_none().then_some(())
        });
        rig.kill();
        rig.start();
        assert_eq!(rig.records("long").len(), 1, "{point}");
    }
}

#[test]
fn a_second_agent_on_the_same_state_is_told_the_pid_of_the_first() {
    let mut rig = Rig::new("");
    rig.start();
    let first = rig.pid();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_leafcrond"))
        .arg("--config")
        .arg(rig.path("leafcrond.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = super::rig::text_of(&second.stderr);
    assert!(said.contains(&first.to_string()), "{said}");
    assert!(rig.leafcron(&["status"]).status.success(), "the first goes on, and its socket is its own");
}

#[test]
fn many_at_once_are_started_from_one_nursery_however_many_end_meanwhile() {
    // Those that end early send SIGCHLD into the starting of the others.
    let jobs: String =
        (0..200).map(|n| format!("[job.n{n}]\nschedule = \"*/2 * * * * *\"\ncommand = \"true\"\n")).collect();
    let mut rig = Rig::with_config("max_runs = 200", &jobs);
    rig.start();
    for job in ["n0", "n40", "n199"] {
        let records = rig.wait_for_finals(job, 2);
        assert!(records.iter().all(|record| record.outcome == Outcome::Succeeded), "{records:#?}");
    }
    assert!(rig.stop().success());
    let log = rig.log();
    assert!(!log.contains("nursery"), "a nursery was given up: {log}");
}

#[test]
fn a_damaged_journal_starts_nothing_a_second_time() {
    let mut rig = Rig::new(LONG);
    let_it_end(&rig);
    rig.start();
    rig.leafcron(&["run", "long", "--wait"]);
    rig.kill();
    // An intent whose end, and whose runner, stood in what cannot be read any more.
    let options = Options {
        disk_bytes: 1 << 20,
        history: 50,
        fresh_epoch: Id128::default(),
        machine: Vec::new(),
        now: Now { wall: WallTime::from_secs(0), boot: BootTime::from_millis(0), clock: Clock::Synced },
        unsent: leafcron::store::Unsent::History,
    };
    let (mut journal, _) = Journal::open(RealDisk::open(&rig.path("state")).unwrap(), options).unwrap();
    let now = leafcron::agent::wall_clock();
    let event = |kind| Entry::Event(DeviceEvent { at: now, clock: Clock::Synced, kind });
    let lost = EventKind::Dropped { from: 1, to: 1, count: 1, why: "damage me".to_owned() };
    let intent = Entry::Intent(Intent {
        key: FireKey { job: "long".parse().unwrap(), fire: Fire::Manual { id: "again".parse().unwrap() } },
        due: now,
        trigger: Trigger::Manual,
        attempt: 1,
        run: RunId(4_711),
        revision: Revision::default(),
        at: now,
        boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().parse().unwrap(),
    });
    for entry in [intent, event(lost), event(EventKind::Stopped)] {
        journal.commit(&[entry], Durability::Synced).unwrap();
    }
    drop(journal);
    let journal = std::fs::read_dir(rig.path("state")).unwrap().map(|entry| entry.unwrap().path());
    let journal = journal.into_iter().find(|path| path.to_string_lossy().contains("journal-")).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.windows(9).position(|part| part == b"damage me").unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(&journal, bytes).unwrap();
    rig.start();
    let records = rig.wait_for_finals("long", 2);
    assert_eq!(records[1].outcome, Outcome::Interrupted, "{records:#?}");
    assert_eq!(rig.lines("witness"), ["start 1", "end"], "not started again");
    assert!(rig.log().contains("Damaged"), "{}", rig.log());
}
