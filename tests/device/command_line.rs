//! What the owner asks and what comes back.

use super::rig::{Rig, is_root, text_of, wait_for};
use leafcron::job::{Outcome, Reason};

const JOBS: &str = r#"
[job.three]
schedule = "0 3 * * *"
command = "echo to stdout; echo to stderr >&2; exit 3"

[job.sleeper]
schedule = "@yearly"
command = "sleep 600"
timeout = "none"

[job.short]
schedule = "@yearly"
command = "sleep 600"
timeout = "200ms"

[job.missing]
schedule = "@yearly"
args = ["/nowhere/at/all", "x"]
"#;

#[test]
fn run_with_wait_ends_as_the_job_did() {
    let mut rig = Rig::new(JOBS);
    rig.start();
    let ran = rig.leafcron(&["run", "three", "--wait"]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(text_of(&ran.stdout).contains("to stdout\n"), "{}", text_of(&ran.stdout));
    let record = &rig.records("three")[0];
    assert_eq!(record.output.as_ref().unwrap().bytes, 20);
    assert!(record.usage.is_some() && record.started.unwrap() <= record.ended);

    let missing = rig.leafcron(&["run", "missing", "--wait"]);
    assert_eq!(missing.status.code(), Some(1));
    let record = &rig.records("missing")[0];
    assert_eq!((record.outcome, record.reason), (Outcome::Failed, Some(Reason::Start)));
    assert!(record.detail.as_ref().unwrap().contains("/nowhere/at/all"), "{record:#?}");

    rig.leafcron(&["run", "short", "--wait"]);
    assert_eq!(rig.records("short")[0].outcome, Outcome::TimedOut);
    assert_eq!(rig.leafcron(&["run", "nobody"]).status.code(), Some(1));
}

#[test]
fn run_with_wait_on_a_busy_job_says_that_it_was_skipped() {
    let mut rig = Rig::new(JOBS);
    rig.start();
    assert!(rig.leafcron(&["run", "sleeper"]).status.success());
    for _ in 0..3 {
        let skipped = rig.leafcron(&["run", "sleeper", "--wait"]);
        assert_eq!(skipped.status.code(), Some(1), "{}", text_of(&skipped.stderr));
        assert!(text_of(&skipped.stderr).contains("overlap"), "{}", text_of(&skipped.stderr));
    }
    // Under an id that was used, nothing runs and nobody waits.
    assert_eq!(rig.leafcron(&["run", "three", "--wait", "--id", "once"]).status.code(), Some(3));
    let again = rig.leafcron(&["run", "three", "--wait", "--id", "once"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text_of(&again.stderr).contains("taken before"), "{}", text_of(&again.stderr));
    assert_eq!(rig.records("three").len(), 1);
    assert!(rig.leafcron(&["stop", "sleeper"]).status.success());
    rig.wait_for_finals("sleeper", 4);
}

#[test]
fn what_was_read_beside_the_loop_leaves_no_thread_behind() {
    let mut rig = Rig::new(
        "[job.gated]\nschedule = \"@yearly\"\ncommand = \"true\"\n\
         require = { disk_available = [{path = \"/\", at_least = \"1B\"}] }\n",
    );
    rig.start();
    let threads = |rig: &Rig| std::fs::read_dir(format!("/proc/{}/task", rig.pid())).unwrap().count();
    let before = threads(&rig);
    assert!(rig.leafcron(&["history", "gated"]).status.success());
    let strange = rig.leafcron(&["history", "nosuch"]);
    assert_eq!(strange.status.code(), Some(1));
    assert!(text_of(&strange.stderr).contains("no job nosuch; `leafcron list`"), "{strange:?}");
    assert!(rig.leafcron(&["run", "gated", "--wait"]).status.success());
    wait_for("the threads end", || (threads(&rig) == before).then_some(()));
}

#[test]
fn stop_ends_a_run_and_says_who() {
    let mut rig = Rig::new(JOBS);
    rig.start();
    assert_eq!(rig.leafcron(&["stop", "sleeper"]).status.code(), Some(1), "nothing to stop");
    assert!(rig.leafcron(&["run", "sleeper"]).status.success());
    wait_for("it runs", || (rig.json(&["status"])["running"][0]["pid"].is_u64()).then_some(()));
    assert!(rig.leafcron(&["stop", "sleeper"]).status.success());
    let record = &rig.wait_for_finals("sleeper", 1)[0];
    assert_eq!((record.outcome, record.reason), (Outcome::Stopped, Some(Reason::Command)));
    assert!(record.stopped_by.as_ref().unwrap().starts_with("uid "), "{record:#?}");
}

#[test]
fn list_show_and_status_name_what_is_in_force() {
    let mut rig = Rig::with_config("[defaults]\nstop_grace = \"3s\"", JOBS);
    rig.start();
    let list = rig.json(&["list"]);
    let names: Vec<_> = list.as_array().unwrap().iter().map(|row| row["job"].as_str().unwrap()).collect();
    assert_eq!(names, ["missing", "short", "sleeper", "three"]);
    let shown = rig.json(&["show", "three"]);
    let field = |name: &str| {
        let fields = shown["fields"].as_array().unwrap().iter();
        fields
            .clone()
            .find(|field| field["field"] == name)
            .unwrap_or_else(|| panic!("{name}: {shown:#}"))
            .clone()
    };
    assert_eq!(field("schedule")["from"], "definition");
    assert_eq!(
        (field("stop_grace")["from"].clone(), field("stop_grace")["value"].clone()),
        ("device".into(), "3s".into())
    );
    assert_eq!(field("overlap")["from"], "default");
    let status = rig.json(&["status"]);
    assert_eq!((status["jobs"].clone(), status["agent"].clone()), (4.into(), "pi".into()));
    assert_eq!(status["pid"], rig.pid());
    for arguments in [&["list"][..], &["show", "three"], &["history"], &["status"]] {
        let table = rig.leafcron(arguments);
        assert!(table.status.success() && !table.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_an_agent_the_answer_is_2_and_what_to_do() {
    let rig = Rig::new(JOBS);
    let list = rig.leafcron(&["list"]);
    assert_eq!(list.status.code(), Some(2));
    assert!(text_of(&list.stderr).contains("leafcrond"), "{}", text_of(&list.stderr));
    assert!(rig.leafcron(&["explain", "30 2 * * *", "--zone", "UTC", "--count", "1"]).status.success());
    assert_eq!(rig.leafcron(&["check"]).status.code(), Some(0));
    assert_eq!(rig.leafcron(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn an_unprivileged_agent_serves_its_own_user() {
    if !is_root() {
        // Every other test then runs unprivileged.
        return;
    }
    let nobody = 65_534;
    let mut rig = Rig::new(
        "[job.me]\nschedule = \"@yearly\"\ncommand = \"id -u\"\n\
         [job.root]\nschedule = \"@yearly\"\ncommand = \"id\"\nuser = \"root\"\n",
    )
    .owned_by(nobody);
    rig.start();
    let ran = rig.leafcron(&["run", "me", "--wait"]);
    assert_eq!(text_of(&ran.stdout).trim(), "65534", "{}", text_of(&ran.stderr));
    let refused = rig.json(&["status"])["refused"].clone();
    assert_eq!(
        (refused[0]["job"].clone(), refused[0]["field"].clone()),
        ("root".into(), "user".into()),
        "{refused}"
    );
}

#[test]
fn a_paused_job_does_not_fire_until_it_is_resumed_and_the_pause_is_accounted_for() {
    let mut rig = Rig::new("[job.tick]\nschedule = \"* * * * * *\"\ncommand = \"true\"\n");
    rig.start();
    rig.wait_for_finals("tick", 1);
    for _ in 0..2 {
        let paused = rig.leafcron(&["pause", "tick"]);
        assert_eq!((paused.status.code(), text_of(&paused.stdout).as_ref()), (Some(0), "tick is paused\n"));
    }
    let row = |rig: &Rig| rig.json(&["list"])[0].clone();
    assert_eq!((&row(&rig)["paused"], row(&rig).get("next")), (&true.into(), None));
    wait_for("what ran has ended", || (row(&rig)["running"] == 0).then_some(()));
    let before = rig.records("tick").len();

    // It holds over the agent's death, and a manual run is allowed.
    rig.kill();
    rig.start();
    assert_eq!(row(&rig)["paused"], true);
    let explained = rig.leafcron(&["explain", "tick"]);
    assert!(text_of(&explained.stdout).contains("leafcron resume tick"), "{}", text_of(&explained.stdout));
    assert!(rig.leafcron(&["run", "tick", "--wait"]).status.success());
    // Some instants of the pause pass.
    let ended = rig.records("tick")[before].ended.secs();
    let later = leafcron::job::WallTime::from_secs(ended + 3).to_string();
    wait_for("two seconds pass", || {
        (rig.json(&["status"])["now"].as_str().unwrap() >= later.as_str()).then_some(())
    });
    assert_eq!(rig.records("tick").len(), before + 1, "nothing but the manual run");

    let resumed = rig.leafcron(&["resume", "tick"]);
    assert_eq!((resumed.status.code(), text_of(&resumed.stdout).as_ref()), (Some(0), "tick fires again\n"));
    rig.wait_for_finals("tick", before + 3);
    let records = rig.records("tick");
    let covered: Vec<_> = records.iter().filter(|record| record.reason == Some(Reason::Paused)).collect();
    assert_eq!(covered.len(), 1, "{covered:#?}");
    assert!(covered[0].covers.as_ref().is_some_and(|covers| covers.count >= 2), "{covered:#?}");
    assert_eq!((&row(&rig)["paused"], row(&rig)["next"].is_string()), (&false.into(), true));
    assert!(rig.leafcron(&["resume", "tick"]).status.success(), "it is, already");
}

#[test]
fn pause_resume_and_remove_say_no_of_what_they_are_not_for() {
    let mut rig = Rig::new(JOBS);
    rig.start();
    for verb in ["pause", "resume", "remove"] {
        let unknown = rig.leafcron(&[verb, "nobody"]);
        assert_eq!(unknown.status.code(), Some(1), "{verb}");
        assert!(text_of(&unknown.stderr).contains("nobody"), "{verb}: {}", text_of(&unknown.stderr));
    }
    let file = rig.leafcron(&["remove", "three"]);
    assert_eq!(file.status.code(), Some(1));
    assert!(
        text_of(&file.stderr).contains("three is no orphan: remove it from jobs.toml"),
        "{}",
        text_of(&file.stderr)
    );
    assert_eq!(rig.json(&["list"]).as_array().unwrap().len(), 4, "nothing went");
}
