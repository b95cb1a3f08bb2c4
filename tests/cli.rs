//! The command line from end to end: the built binary against a made-up agent that serves canned answers, and what
//! needs no agent.

// So that clippy knows the helpers below for test code.
#![cfg(test)]
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use leafcron::control::Listener;
use leafcron::job::{JobRow, JobShown, RecordJson, Refusal, RefusalKind, Reloaded, Reply, Request, Status};

/// An agent that gives one client the canned answers, whatever it asks, and tells what it was asked.
struct Fake {
    run_dir: tempfile::TempDir,
    asked: mpsc::Receiver<Request>,
}

impl Fake {
    fn serving(replies: Vec<Reply>) -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(run_dir.path()).unwrap();
        let (tell, asked) = mpsc::channel();
        std::thread::spawn(move || {
            smol::block_on(async move {
                let mut connection = listener.accept().await;
                tell.send(connection.request().await.unwrap().unwrap()).unwrap();
                for reply in &replies {
                    connection.reply(reply).await.unwrap();
                }
                // So that it ends by itself, not by us.
                assert_eq!(connection.request().await.unwrap(), None);
            });
        });
        Self { run_dir, asked }
    }

    fn refusing(kind: RefusalKind) -> Self {
        Self::serving(vec![Reply::Refused(Refusal { kind, message: "because\x1b".to_owned() })])
    }

    fn run(&self, args: &[&str]) -> Ran {
        let socket = self.run_dir.path().join("control.sock");
        leafcron([&["--socket", socket.to_str().unwrap()], args].concat().as_slice())
    }

    fn asked(&self) -> serde_json::Value {
        serde_json::to_value(self.asked.recv().unwrap()).unwrap()
    }
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    command.args(args).env("TZ", "Europe/Berlin").stdin(Stdio::null());
    command
}

fn leafcron(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

fn row() -> JobRow {
    serde_json::from_str(
        r#"{"job":"backup","source":"file","schedule":"30 2 * * *","time_zone":"America/New_York","enabled":true,
            "paused":true,"next":"2099-11-22T02:00:00.000Z","running":0,"waiting":0}"#,
    )
    .unwrap()
}

fn shown() -> JobShown {
    JobShown {
        row: row(),
        revision: "9f2c41d07a3e".parse().unwrap(),
        origin: "jobs.d/a.toml".to_owned(),
        fields: Vec::new(),
        runs: Vec::new(),
        pending: Vec::new(),
        refused: None,
        warnings: Vec::new(),
    }
}

fn record() -> RecordJson {
    serde_json::from_str(include_str!("golden/record.json")).unwrap()
}

fn accepted() -> Reply {
    Reply::Accepted { id: "c1".parse().unwrap() }
}

#[test]
fn list_prints_a_table_or_the_rows_as_json() {
    let jobs = || Fake::serving(vec![Reply::Jobs(vec![row()])]);
    let table = jobs().run(&["list"]);
    assert_eq!((table.code, table.err.as_str()), (0, ""));
    assert!(table.out.contains("backup  paused  2099-11-22 03:00:00  in "), "{}", table.out);
    let fake = jobs();
    let json = fake.run(&["list", "--json"]);
    assert_eq!(json.json(), serde_json::to_value([row()]).unwrap());
    assert_eq!(fake.asked(), serde_json::json!({"verb": "list"}));
}

#[test]
fn show_asks_for_one_job() {
    let fake = Fake::serving(vec![Reply::Job(Box::new(shown()))]);
    let page = fake.run(&["show", "backup"]);
    assert!(page.out.starts_with("job       backup\nfrom      jobs.d/a.toml (file)"), "{}", page.out);
    assert_eq!(page.out.matches("(in ").count(), 3, "three fires are named: {}", page.out);
    assert_eq!(fake.asked(), serde_json::json!({"verb": "show", "job": "backup"}));
    let json = Fake::serving(vec![Reply::Job(Box::new(shown()))]).run(&["--json", "show", "backup"]);
    assert_eq!(json.json(), serde_json::to_value(shown()).unwrap());
}

#[test]
fn history_asks_for_as_much_as_is_wanted() {
    let fake = Fake::serving(vec![Reply::Records(vec![record()])]);
    let page = fake.run(&["history", "backup", "-n", "3", "--output"]);
    assert!(page.out.contains("failed") && page.out.contains("  | …\n  | [… 44115 of 48211"), "{}", page.out);
    assert_eq!(fake.asked(), serde_json::json!({"verb": "history", "job": "backup", "limit": 3}));
    let fake = Fake::serving(vec![Reply::Records(vec![record()])]);
    assert_eq!(fake.run(&["history", "--json"]).json(), serde_json::to_value([record()]).unwrap());
    assert_eq!(fake.asked(), serde_json::json!({"verb": "history", "limit": 20}));
}

#[test]
fn run_says_its_id_and_with_wait_exits_as_the_job_did() {
    let fake = Fake::serving(vec![accepted()]);
    let ran = fake.run(&["run", "backup", "--force", "--id", "mine"]);
    assert_eq!((ran.code, ran.out.starts_with("accepted as c1")), (0, true));
    assert_eq!(
        fake.asked(),
        serde_json::json!({"verb": "run", "job": "backup", "id": "mine", "force": true})
    );
    let json = Fake::serving(vec![accepted()]).run(&["run", "backup", "--json"]);
    assert_eq!(json.json(), serde_json::json!({"id": "c1"}));

    let fake = Fake::serving(vec![accepted(), Reply::Ran(Box::new(record()))]);
    let ran = fake.run(&["run", "backup", "--wait"]);
    assert_eq!((ran.code, ran.err.as_str()), (3, "leafcron: backup failed, exit code 3\n"));
    assert_eq!(ran.out, "…\n[… 44115 of 48211 bytes were not kept …]\n…\n");
    assert_eq!(fake.asked(), serde_json::json!({"verb": "run", "job": "backup", "wait": true}));
    let json = Fake::serving(vec![accepted(), Reply::Ran(Box::new(record()))])
        .run(&["run", "backup", "--wait", "--json"]);
    assert_eq!((json.code, json.json()), (3, serde_json::to_value(record()).unwrap()));
}

#[test]
fn an_agent_that_goes_away_during_a_run_is_said_so() {
    let ran = Fake::serving(vec![accepted()]).run(&["history"]);
    assert_eq!(ran.code, 2, "an answer to another question: {}", ran.err);
    let run_dir = tempfile::tempdir().unwrap();
    let listener = Listener::bind(run_dir.path()).unwrap();
    let socket = listener.path().to_owned();
    let agent = std::thread::spawn(move || {
        smol::block_on(async {
            let mut connection = listener.accept().await;
            connection.request().await.unwrap();
            connection.reply(&accepted()).await.unwrap();
        });
    });
    let ran = leafcron(&["--socket", socket.to_str().unwrap(), "run", "backup", "--wait"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("hung up"), "{}", ran.err);
    agent.join().unwrap();
}

#[test]
fn stop_pause_resume_and_remove_say_what_was_done() {
    for verb in ["stop", "pause", "resume", "remove"] {
        let done = || Fake::serving(vec![Reply::Done { message: format!("{verb} is done") }]);
        let fake = done();
        assert_eq!(fake.run(&[verb, "backup"]).out, format!("{verb} is done\n"));
        assert_eq!(fake.asked(), serde_json::json!({"verb": verb, "job": "backup"}));
        let json = done().run(&[verb, "backup", "--json"]);
        assert_eq!(json.json(), serde_json::json!({"message": format!("{verb} is done")}));
    }
}

#[test]
fn status_is_a_page_or_the_agents_own_json() {
    let text = r#"{"agent":"pi-01","version":"0.1.0","epoch":"6f0c0000000000000000000000000000","pid":411,
        "since":"2026-11-18T17:00:00.000Z","now":"2026-11-21T21:00:00.000Z","clock":"unsynced","jobs":3,"max_runs":4,
        "running":[],"waiting":[],"refused":[],"readings":{},
        "journal":{"next_seq":1,"bytes":0,"segments":1,"frames":0,"written":0,"syncs":0,"unrecorded":0}}"#;
    let status = || -> Status { serde_json::from_str(text).unwrap() };
    let page = Fake::serving(vec![Reply::Status(Box::new(status()))]).run(&["status"]);
    assert!(page.out.contains("clock    unsynced, 2026-11-21 22:00:00\n"), "{}", page.out);
    let json = Fake::serving(vec![Reply::Status(Box::new(status()))]).run(&["status", "--json"]);
    assert_eq!(json.json(), serde_json::to_value(status()).unwrap());
}

#[test]
fn a_rejection_makes_reload_exit_with_1() {
    let rejected = serde_json::from_str(
        r#"{"accepted":["a"],"removed":[],
            "rejected":[{"origin":"b.toml","line":2,"job":"b","field":"schedule","reason":"is empty"}]}"#,
    );
    let rejected: Reloaded = rejected.unwrap();
    let ran = Fake::serving(vec![Reply::Reloaded(rejected.clone())]).run(&["reload"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "accepted 1: a\nrejected 1\n"));
    assert_eq!(ran.err, "b.toml:2: job b: schedule: is empty\n");
    let json = Fake::serving(vec![Reply::Reloaded(rejected.clone())]).run(&["reload", "--json"]);
    assert_eq!((json.code, json.json()), (1, serde_json::to_value(rejected).unwrap()));
    assert_eq!(Fake::serving(vec![Reply::Reloaded(Reloaded::default())]).run(&["reload"]).code, 0);
}

#[test]
fn a_refusal_is_1_and_what_could_not_be_asked_is_2() {
    use RefusalKind::*;
    for (kind, code) in
        [(UnknownJob, 1), (Conflict, 1), (Forbidden, 1), (Disk, 1), (BadRequest, 2), (Busy, 2)]
    {
        let ran = Fake::refusing(kind).run(&["show", "x", "--json"]);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{kind:?}");
        assert_eq!(ran.err, "leafcron: because\\u{1b}\n");
    }
}

#[test]
fn without_an_agent_the_message_says_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    let socket = nowhere.path().join("control.sock");
    let ran = leafcron(&["--socket", socket.to_str().unwrap(), "list"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("start `leafcrond`") && ran.err.contains("--config"), "{}", ran.err);
}

#[test]
fn the_configuration_names_the_agent() {
    let fake = Fake::serving(vec![Reply::Jobs(Vec::new())]);
    let file = fake.run_dir.path().join("leafcrond.toml");
    std::fs::write(&file, format!("run_dir = {:?}\n", fake.run_dir.path())).unwrap();
    let ran = leafcron(&["list", "--config", file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);

    std::fs::write(&file, "agent = \"a\"\nrun_dri = \"/run/x\"\n").unwrap();
    let ran = leafcron(&["--config", file.to_str().unwrap(), "list"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("leafcrond.toml:2: run_dri: unknown"), "{}", ran.err);
    assert_eq!(leafcron(&["--config", "/nowhere/leafcrond.toml", "list"]).code, 2);
}

#[test]
fn somebody_else_than_root_asks_an_agent_of_their_own_if_there_is_one_and_else_the_systems() {
    if Path::new(leafcron::config::SYSTEM_FILE).exists() {
        return eprintln!("this machine has an agent's configuration: left out");
    }
    let home = tempfile::tempdir().unwrap();
    let runtime = home.path().join("runtime");
    let asked = |home: &Path| {
        let mut command = command(&["list"]);
        command.env("XDG_RUNTIME_DIR", &runtime).env("HOME", home).env_remove("XDG_CONFIG_HOME");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        }
        Ran::from(command.output().unwrap()).err
    };
    assert!(asked(home.path()).contains("/run/leafcron/control.sock"), "{}", asked(home.path()));
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(runtime.join("leafcron")).unwrap();
    std::fs::write(runtime.join("leafcron/control.sock"), "").unwrap();
    assert!(asked(home.path()).contains("runtime/leafcron/control.sock"), "{}", asked(home.path()));
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    for args in [
        &["dance"][..],
        &["show"],
        &["show", "../etc"],
        &["history", "-n", "-1"],
        &["explain"],
        &["explain", "@daily", "--count", "0"],
        &["explain", "@daily", "--from", "noon", "--zone", "UTC"],
    ] {
        let ran = leafcron(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
    let help = leafcron(&["--help"]);
    assert!(help.code == 0 && help.out.contains("Exit status: 0 done;"), "{}", help.out);
    assert_eq!(leafcron(&["--version"]).out, format!("leafcron {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn explain_tells_a_line_without_an_agent() {
    let ran = leafcron(&["explain", "30 2 * * *", "--from", "2025-03-29T12:00", "--count", "2", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json(), serde_json::json!(["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]), "TZ's zone");
    let utc = ["explain", "30", "2", "*", "*", "*", "--zone", "UTC", "--from", "2025-03-29T12:00Z", "--json"];
    assert_eq!(leafcron(&utc).json().as_array().unwrap().len(), 5, "unquoted words are one line");
    assert_eq!(leafcron(&["explain", "@reboot", "--json"]).out, "[]\n");
    let bad = leafcron(&["explain", "0 25 * * *"]);
    assert_eq!((bad.code, bad.out.as_str()), (1, ""));
    assert!(bad.err.ends_with("\n  0 25 * * *\n    ^\n") && bad.err.contains("schedule: "), "{}", bad.err);
}

#[test]
fn explain_asks_the_agent_about_a_job_and_goes_by_its_zone() {
    let args = ["explain", "backup", "--from", "2025-03-30T12:00:00Z", "--count", "1"];
    let fake = Fake::serving(vec![Reply::Job(Box::new(shown()))]);
    let ran = fake.run(&[&args[..], &["--json"]].concat());
    assert_eq!(ran.json(), serde_json::json!(["2025-03-31T06:30:00Z"]));
    assert_eq!(fake.asked(), serde_json::json!({"verb": "show", "job": "backup"}));
    let ran = Fake::serving(vec![Reply::Job(Box::new(shown()))]).run(&args);
    assert!(ran.out.contains("zone America/New_York\nthe job is paused"), "{}", ran.out);
    let unknown = Fake::refusing(RefusalKind::UnknownJob).run(&["explain", "bakcup"]);
    assert_eq!(unknown.code, 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command(&["explain", "* * * * *", "--count", "10000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    if Path::new("/dev/full").exists() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ran: Ran = command(&["explain", "@daily"]).stdout(full).output().unwrap().into();
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("No space left"), "{}", ran.err);
    }
}

#[test]
fn check_judges_files_without_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("leafcrond.toml");
    let jobs_dir = dir.path().join("jobs.d");
    std::fs::write(&config, format!("run_dir = \"/nowhere\"\njobs_dir = {jobs_dir:?}\n")).unwrap();
    let check = |args: &[&str]| leafcron(&[&["check", "--config", config.to_str().unwrap()], args].concat());
    assert_eq!(check(&[]).code, 2, "no directory");

    let write = |name: &str, text: &str| std::fs::write(jobs_dir.join(name), text).unwrap();
    std::fs::create_dir(&jobs_dir).unwrap();
    std::fs::set_permissions(&jobs_dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    write("a.toml", "[job.backup]\nschedule = \"0 3 * * *\"\ncommand = \"true\"\n");
    let good = check(&[]);
    assert_eq!((good.code, good.out.as_str(), good.err.as_str()), (0, "1 job in 1 file accepted\n", ""));

    write("b.toml", "\n[job.bad]\nschedule = \"0 25 * * *\"\ncommand = \"true\"\n");
    let bad = check(&[]);
    assert_eq!((bad.code, bad.out.as_str()), (1, "1 job in 2 files accepted, 1 rejection\n"));
    let expected = format!("{}/b.toml:3: job bad: schedule: field 2 (hour), column 3: ", jobs_dir.display());
    assert!(bad.err.starts_with(&expected), "{}", bad.err);
    let json = check(&["--json"]);
    assert_eq!((json.code, &json.json()["accepted"]), (1, &serde_json::json!(["backup"])));
    assert_eq!(json.json()["rejected"][0]["job"], "bad");

    let a = jobs_dir.join("a.toml");
    assert_eq!(check(&[a.to_str().unwrap()]).code, 0);
    assert_eq!(check(&[a.to_str().unwrap(), a.to_str().unwrap()]).code, 1, "one job twice");
    let absent = check(&[a.to_str().unwrap(), "/nowhere/c.toml"]);
    assert_eq!(absent.code, 2);
    assert!(absent.err.contains("/nowhere/c.toml: cannot be read: No such file"), "{}", absent.err);
    write("c.toml", "not toml");
    assert_eq!(check(&[]).code, 1);
}
