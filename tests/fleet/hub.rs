//! `leafcron hub`: the operator's words, and what devices make of them.

use serde_json::Value;

use super::device::{text_of, wait_for};
use super::rig::{Fleet, stock};

fn json(fleet: &Fleet, arguments: &[&str]) -> Value {
    let output = fleet.hub(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text_of(&output.stderr)))
}

/// Writes a jobs file of the operator's.
fn file(fleet: &Fleet, text: &str) -> String {
    let path = fleet.device.path("fleet.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn init_can_be_run_again_and_gives_a_stock_bucket_what_it_lacks() {
    let fleet = Fleet::waiting("", "");
    let config = nats::kv::Config { bucket: "leafcron-jobs".to_owned(), ..Default::default() };
    stock(&fleet.hub).create_key_value(&config).unwrap();
    let first = fleet.hub(&["init"]);
    assert!(first.status.success(), "{}", text_of(&first.stderr));
    assert!(text_of(&first.stderr).contains("sync_interval"), "one replica is warned of");
    let id = fleet.bucket().get("meta.id").unwrap().unwrap();
    assert_eq!(id.len(), 32);
    let second = fleet.hub(&["init"]);
    assert!(second.status.success() && text_of(&second.stdout).contains("there already"));
    assert_eq!(fleet.bucket().get("meta.id").unwrap().unwrap(), id, "never rewritten");
    // Servers from 2.10 on let it be given what makes hints; of older ones that is said.
    let given = text_of(&first.stdout).contains("republish set");
    assert!(
        given || text_of(&first.stderr).contains("needs another republish"),
        "{}",
        text_of(&first.stderr)
    );
}

#[test]
fn the_hint_of_a_change_crosses_the_leaf() {
    let fleet = Fleet::new("", "");
    let leaf = nats::Options::new().connect(fleet.leaf.url()).unwrap();
    let hints = leaf.subscribe("leafcron.job.>").unwrap();
    leaf.flush().unwrap();
    wait_for("a hint comes", || {
        fleet.put("agent.pi.x", "{}");
        hints.next_timeout(std::time::Duration::from_millis(200)).ok()
    });
}

#[test]
fn a_push_says_what_each_device_made_of_each_job() {
    let fleet = Fleet::new("", "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let good = file(
        &fleet,
        "[job.a]\nschedule = \"@yearly\"\ncommand = \"true\"\n[job.own]\nschedule = \"@daily\"\ncommand = \"true\"\n",
    );
    wait_for("the device is known", || fleet.heartbeat());
    let pushed = fleet.hub(&["push", &good, "--group", "lab"]);
    assert_eq!(pushed.status.code(), Some(0), "{}", text_of(&pushed.stderr));
    let said = text_of(&pushed.stderr);
    assert!(said.contains("pi  a  accepted") && said.contains("pi  own  shadowed by file"), "{said}");
    // Wrong in itself: told with its line, and not sent.
    let bad = file(&fleet, "[job.a]\nschedule = \"61 * * * *\"\ncommand = \"true\"\n");
    let refused = fleet.hub(&["push", &bad, "--agent", "pi"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text_of(&refused.stderr).contains(":2: job a: schedule"), "{}", text_of(&refused.stderr));
    assert!(fleet.bucket().get("agent.pi.a").unwrap().is_none());
    // What only the device can know.
    let unknown =
        file(&fleet, "[job.a]\nschedule = \"@daily\"\ncommand = \"true\"\nuser = \"no-such-user\"\n");
    let refused = fleet.hub(&["push", &unknown, "--agent", "pi"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text_of(&refused.stderr).contains("pi  a  rejected: user"), "{}", text_of(&refused.stderr));
    let rows = json(&fleet, &["push", &unknown, "--agent", "pi"]);
    assert_eq!((&rows[0]["state"], &rows[0]["field"]), (&"rejected".into(), &"user".into()));
    let forced = fleet.hub(&["push", &bad, "--agent", "pi", "--unchecked"]);
    assert_eq!(forced.status.code(), Some(1), "the device refuses it, too");

    let list = json(&fleet, &["list"]);
    let states: Vec<_> = list.as_array().unwrap().iter().map(|row| (&row["job"], &row["state"])).collect();
    assert_eq!(states, [(&"a".into(), &"rejected".into()), (&"own".into(), &"accepted".into())]);
    let shown = fleet.hub(&["show", "pi", "a"]);
    let shown = text_of(&shown.stdout);
    assert!(shown.contains("group.lab.a") && shown.contains("agent.pi.a"), "{shown}");

    let removed = fleet.hub(&["remove", "a", "--agent", "pi"]);
    assert_eq!(removed.status.code(), Some(0), "{}", text_of(&removed.stderr));
    assert_eq!(fleet.verdict("a").unwrap().source, "group.lab");
    assert_eq!(fleet.hub(&["remove", "a", "--agent", "pi"]).status.code(), Some(1), "it is gone");
    assert_eq!(fleet.hub(&["remove", "a", "--group", "lab"]).status.code(), Some(0));
    assert!(fleet.verdict("a").is_none());
}

#[test]
fn a_push_is_warned_of_what_the_device_does_not_serve() {
    let fleet = Fleet::new("", "");
    // Few machines have both, and a build machine neither.
    let picky = "require = {throttled = false, battery = 1}";
    let picky = file(&fleet, &format!("[job.a]\nschedule = \"@yearly\"\ncommand = \"true\"\n{picky}\n"));
    wait_for("the device is known", || fleet.heartbeat());
    let pushed = fleet.hub(&["push", &picky, "--agent", "pi"]);
    assert_eq!(pushed.status.code(), Some(0), "{}", text_of(&pushed.stderr));
    let said = text_of(&pushed.stderr);
    assert!(said.contains("accepted; warning: require.") && said.contains("never holds"), "{said}");
    let warnings = fleet.verdict("a").unwrap().warnings;
    assert!(
        warnings.iter().any(|it| ["require.throttled", "require.battery"].contains(&it.field.as_str())),
        "{warnings:?}"
    );
}

#[test]
fn a_device_that_is_away_is_named_and_takes_the_push_when_it_comes_back() {
    let mut fleet = Fleet::new("", "");
    wait_for("the device is known", || fleet.heartbeat());
    let nobody = file(&fleet, "[job.a]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let nobody = fleet.hub(&["push", &nobody, "--group", "no-such-group"]);
    assert_eq!(nobody.status.code(), Some(1), "nobody has accepted it");
    fleet.device.stop();
    let jobs = file(&fleet, "[job.a]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let pushed = fleet.hub(&["push", &jobs, "--group", "all", "--timeout", "1s"]);
    assert_eq!(pushed.status.code(), Some(1));
    assert!(
        text_of(&pushed.stderr).contains("pi  a  no verdict yet; last seen"),
        "{}",
        text_of(&pushed.stderr)
    );
    assert_eq!(fleet.hub(&["push", &jobs, "--group", "all", "--no-wait"]).status.code(), Some(0));
    for words in [&["run", "pi", "a"][..], &["status", "pi"], &["stop", "pi", "a"]] {
        let away = fleet.hub(words);
        assert_eq!(away.status.code(), Some(1));
        assert!(text_of(&away.stderr).contains("not connected"), "{}", text_of(&away.stderr));
    }
    fleet.device.start();
    fleet.wait_for_verdict("a", |verdict| verdict.source == "group.all");
    // Unchanged, it is not put again, and its verdict is there.
    let again = fleet.hub(&["push", &jobs, "--group", "all"]);
    assert_eq!(again.status.code(), Some(0), "{}", text_of(&again.stderr));
}

#[test]
fn a_run_from_the_hub_exits_as_the_job_did_and_history_and_agents_tell_of_it() {
    let fleet = Fleet::new("", "");
    wait_for("the device is known", || fleet.heartbeat());
    let jobs = file(
        &fleet,
        "[job.bad]\nschedule = \"@yearly\"\ncommand = \"echo words; exit 7\"\n[job.long]\nschedule = \"@yearly\"\ncommand = \"sleep 600\"\n",
    );
    assert!(fleet.hub(&["push", &jobs, "--agent", "pi"]).status.success());
    let ran = fleet.hub(&["run", "pi", "bad", "--wait"]);
    assert_eq!((ran.status.code(), text_of(&ran.stdout).as_str()), (Some(7), "words\n"));
    let twice = ["run", "pi", "bad", "--id", "once"];
    assert!(fleet.hub(&twice).status.success() && fleet.hub(&twice).status.success());
    assert!(fleet.hub(&["run", "pi", "long"]).status.success());
    wait_for("it runs", || (json(&fleet, &["status", "pi"])["running"].as_array()?.len() == 1).then_some(()));
    assert!(fleet.hub(&["stop", "pi", "long"]).status.success());
    assert_eq!(fleet.hub(&["run", "pi", "no-such-job"]).status.code(), Some(1));
    fleet.settled();
    let records = json(&fleet, &["history", "--agent", "pi"]);
    let jobs: Vec<&Value> = records.as_array().unwrap().iter().map(|record| &record["job"]).collect();
    assert_eq!(jobs, ["bad", "bad", "long"]);
    assert_eq!(json(&fleet, &["history", "--job", "bad", "-n", "1"])[0]["id"], "once");
    wait_for("the heartbeat tells what fails", || {
        let agents = json(&fleet, &["agents"]);
        let failing = agents[0]["failing"].as_array()?;
        (failing.iter().any(|job| job == "bad")).then_some(())
    });
    assert!(text_of(&fleet.hub(&["agents"]).stdout).contains("failing: bad"));
}

/// A process that ends with its test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `leafcron hub history --follow`.
struct Follow {
    process: Ends,
    records: std::sync::mpsc::Receiver<Value>,
}

impl Follow {
    fn start(fleet: &Fleet) -> Self {
        let mut command = fleet.hub_command(&["history", "--follow", "--json"]);
        let mut process = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
        let (give, records) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Whoever wants no more closes our end, and with it the pipe.
            for line in lines.map_while(Result::ok) {
                if give.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { process: Ends(process), records }
    }

    fn job(&self) -> String {
        let record = self.records.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        record["job"].as_str().unwrap().to_owned()
    }
}

#[test]
fn history_follows_and_ends_when_nobody_reads() {
    let fleet = Fleet::new("", "[job.one]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let mut follow = Follow::start(&fleet);
    for _ in 0..2 {
        assert!(fleet.device.leafcron(&["run", "one", "--wait"]).status.success());
        assert_eq!(follow.job(), "one");
    }
    // The next finds that nobody takes it any more; what comes then meets a closed pipe.
    follow.records = std::sync::mpsc::channel().1;
    let ended = wait_for("it ends", || {
        assert!(fleet.device.leafcron(&["run", "one", "--wait"]).status.success());
        follow.process.0.try_wait().unwrap()
    });
    assert!(ended.success());
}

#[test]
fn whoever_follows_or_waits_goes_on_when_the_hub_comes_back() {
    let mut fleet = Fleet::new("", "[job.one]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    let long = format!(
        r#"{{"schedule":"@yearly","command":"while ! [ -e {} ]; do sleep 0.1; done; exit 7"}}"#,
        fleet.device.path("end").display()
    );
    let sequence = fleet.put("agent.pi.long", long);
    fleet.wait_for_verdict("long", |verdict| verdict.sequence == Some(sequence));
    let follow = Follow::start(&fleet);
    let mut wait = Ends(fleet.hub_command(&["run", "pi", "long", "--wait"]).spawn().unwrap());
    assert!(fleet.device.leafcron(&["run", "one", "--wait"]).status.success());
    assert_eq!(follow.job(), "one");
    wait_for("it runs", || (fleet.device.json(&["status"])["running"].as_array()?.len() == 1).then_some(()));
    fleet.hub.kill();
    std::fs::write(fleet.device.path("end"), "").unwrap();
    fleet.device.wait_for_finals("long", 1);
    fleet.hub.start_again();
    assert_eq!(follow.job(), "long");
    assert_eq!(wait_for("it ends as the job did", || wait.0.try_wait().unwrap()).code(), Some(7));
    // The stream is made anew, and told from its beginning: what history still holds is sent again.
    stock(&fleet.hub).delete_stream("leafcron-runs").unwrap();
    assert!(fleet.hub(&["init"]).status.success());
    fleet.kill_link();
    let mut again = [follow.job(), follow.job()];
    again.sort();
    assert_eq!(again, ["long", "one"]);
}

#[test]
fn what_speaks_of_another_device_than_its_subject_or_key_is_believed_by_nobody() {
    let fleet = Fleet::new("", "[job.one]\nschedule = \"@yearly\"\ncommand = \"true\"\n");
    assert!(fleet.device.leafcron(&["run", "one", "--wait"]).status.success());
    fleet.settled();
    wait_for("it has said how it is", || fleet.verdict("one").and(fleet.heartbeat()));
    let (record, beat, verdict) = (fleet.finals("one"), fleet.heartbeat(), fleet.verdict("one"));
    let client = nats::Options::new().connect(fleet.hub.url()).unwrap();
    let text = record[0].to_string();
    for subject in ["leafcron.run.evil.one", "leafcron.run.pi.two"] {
        client.request_timeout(subject, &text, std::time::Duration::from_secs(10)).unwrap();
    }
    let state = stock(&fleet.hub).key_value("leafcron-state").unwrap();
    state.put("evil", serde_json::to_vec(&beat).unwrap()).unwrap();
    state.put("pi.two", serde_json::to_vec(&verdict).unwrap()).unwrap();
    assert_eq!(json(&fleet, &["history"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&fleet, &["agents"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&fleet, &["list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_context_of_the_nats_tool_leads_to_the_hub() {
    let fleet = Fleet::new("", "");
    let dir = fleet.device.path("config");
    std::fs::create_dir_all(dir.join("nats/context")).unwrap();
    let context = format!(
        r#"{{"description":"here","url":{:?},"jetstream_domain":"hub","creds":""}}"#,
        fleet.hub.url()
    );
    std::fs::write(dir.join("nats/context/here.json"), context).unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.args(["hub", "list"]).args(arguments).env("XDG_CONFIG_HOME", &dir);
        command.env_remove("NATS_URL").env_remove("NATS_CONTEXT").output().unwrap()
    };
    assert!(ask(&["--context", "here"]).status.success());
    assert_eq!(ask(&[]).status.code(), Some(2), "none is selected");
    std::fs::write(dir.join("nats/context.txt"), "here").unwrap();
    assert!(ask(&[]).status.success());
}

#[test]
fn where_there_is_no_hub_the_answer_says_what_to_do() {
    let fleet = Fleet::waiting("", "");
    let nothing = fleet.hub(&["list"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text_of(&nothing.stderr).contains("leafcron hub init"), "{}", text_of(&nothing.stderr));
    let other = fleet.hub(&["list", "--domain", "elsewhere"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text_of(&other.stderr).contains("domain"), "{}", text_of(&other.stderr));
    let through_leaf = std::process::Command::new(env!("CARGO_BIN_EXE_leafcron"))
        .args(["hub", "init", "--server", &fleet.leaf.url()])
        .output()
        .unwrap();
    assert!(through_leaf.status.success(), "{}", text_of(&through_leaf.stderr));
    assert!(fleet.hub(&["list"]).status.success());
}
