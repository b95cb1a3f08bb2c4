//! Jobs files: hostile, changed, moved, gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::rig::{Rig, is_root, text_of, wait_for};

const GOOD: &str = "[job.good]\nschedule = \"@daily\"\ncommand = \"true\"\n";

fn check(rig: &Rig) -> Output {
    Command::new(env!("CARGO_BIN_EXE_leafcrond"))
        .arg("--check")
        .arg("--config")
        .arg(rig.path("leafcrond.toml"))
        .output()
        .unwrap()
}

fn in_force(rig: &Rig) -> Vec<String> {
    let list = rig.json(&["list"]);
    list.as_array().unwrap().iter().map(|row| row["job"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn check_says_0_1_or_2_with_file_line_field_and_reason() {
    let rig = Rig::new(GOOD);
    assert_eq!(check(&rig).status.code(), Some(0));
    rig.write_jobs("bad.toml", "# a comment\n[job.bad]\ncommand = \"true\"\nschedule = \"61 * * * *\"\n");
    let refused = check(&rig);
    assert_eq!(refused.status.code(), Some(1));
    let said = text_of(&refused.stderr);
    assert!(said.contains("bad.toml:4: job bad: schedule: field 1 (minute)"), "{said}");
    fs::write(rig.path("leafcrond.toml"), "max_runs = 5\nunknown_key = 1\n").unwrap();
    let unreadable = check(&rig);
    assert_eq!(unreadable.status.code(), Some(2));
    let said = text_of(&unreadable.stderr);
    assert!(said.contains("leafcrond.toml:2") && said.contains("unknown_key"), "{said}");
    fs::remove_file(rig.path("leafcrond.toml")).unwrap();
    assert_eq!(check(&rig).status.code(), Some(2));
}

#[test]
fn a_hostile_file_is_refused_by_name_and_harms_nobody_else() {
    let mut rig = Rig::new(GOOD);
    let jobs = rig.path("jobs.d");
    fs::write(jobs.join("not-utf8.toml"), b"[job.a]\ncommand = \"\xff\xfe\"\n").unwrap();
    fs::write(jobs.join("too-large.toml"), vec![b'#'; 2 * 1024 * 1024]).unwrap();
    rig.write_jobs("unknown.toml", "[job.b]\nschedule = \"@daily\"\ncommand = \"true\"\ncolour = \"red\"\n");
    rig.write_jobs("type.toml", "[job.c]\nschedule = \"@daily\"\ncommand = \"true\"\ntimeout = 5\n");
    rig.write_jobs("syntax.toml", "[job.d\n");
    rig.write_jobs("writable.toml", &GOOD.replace("good", "e"));
    fs::set_permissions(jobs.join("writable.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::create_dir(jobs.join("directory.toml")).unwrap();
    nix::unistd::mkfifo(&jobs.join("fifo.toml"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    rig.write_jobs("twice.toml", GOOD);
    let mut expected =
        vec!["directory", "fifo", "not-utf8", "syntax", "too-large", "twice", "type", "unknown", "writable"];
    if is_root() {
        rig.write_jobs("owner.toml", &GOOD.replace("good", "f"));
        std::os::unix::fs::chown(jobs.join("owner.toml"), Some(65_534), None).unwrap();
        expected.push("owner");
        expected.sort_unstable();
    }
    rig.start();
    assert_eq!(in_force(&rig), ["good"]);
    let status = rig.json(&["status"]);
    let mut origins: Vec<_> =
        status["refused"].as_array().unwrap().iter().map(|row| row["origin"].as_str().unwrap()).collect();
    origins.sort_unstable();
    let expected: Vec<_> = expected.iter().map(|name| format!("{name}.toml")).collect();
    assert_eq!(origins, expected, "{status:#}");
    let reload = rig.leafcron(&["reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert!(text_of(&reload.stderr).contains("colour") || text_of(&reload.stdout).contains("colour"));
}

#[test]
fn a_reload_takes_what_is_valid_and_keeps_the_last_valid_of_what_is_not() {
    let mut rig = Rig::new(GOOD);
    rig.write_jobs("other.toml", &GOOD.replace("good", "other"));
    rig.start();
    assert_eq!(in_force(&rig), ["good", "other"]);
    rig.write_jobs("jobs.toml", "[job.good\n");
    fs::remove_file(rig.path("jobs.d").join("other.toml")).unwrap();
    rig.write_jobs("new.toml", &GOOD.replace("good", "new"));
    assert_eq!(rig.leafcron(&["reload"]).status.code(), Some(1));
    assert_eq!(in_force(&rig), ["good", "new"], "the broken file keeps its job, the deleted one does not");
    // Also over a restart.
    rig.kill();
    rig.start();
    assert_eq!(in_force(&rig), ["good", "new"]);
    rig.write_jobs("jobs.toml", &GOOD.replace("@daily", "@hourly"));
    rig.signal("HUP");
    wait_for("the new schedule is in force", || {
        (rig.json(&["show", "good"])["schedule"] == "@hourly").then_some(())
    });
    assert_eq!(rig.leafcron(&["reload"]).status.code(), Some(0));
    let before = rig.json(&["status"])["journal"]["written"].clone();
    assert_eq!(rig.leafcron(&["reload"]).status.code(), Some(0));
    assert_eq!(rig.json(&["status"])["journal"]["written"], before, "nothing changed, nothing is written");
}

#[test]
fn an_idle_agent_writes_nothing() {
    let mut rig = Rig::new(GOOD);
    rig.start();
    let written = |rig: &Rig| rig.json(&["status"])["journal"].clone();
    wait_for("its start is recorded", || (written(&rig)["frames"] == 1).then_some(()));
    let before = written(&rig);
    for _ in 0..5 {
        rig.leafcron(&["list"]);
        rig.leafcron(&["history"]);
    }
    assert_eq!(written(&rig), before);
}
