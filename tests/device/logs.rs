//! `leafcron logs`: a running job's output while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::rig::{Rig, text_of, wait_for};

const TALKS: &str = r#"
[job.talks]
schedule = "@yearly"
command = """
echo one
touch @DIR@/up
while [ ! -e @DIR@/on ]; do sleep 0.02; done
printf 'two\nthr'
exit 4
"""
"#;

fn follow(rig: &Rig, job: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    command.arg("--config").arg(rig.path("leafcrond.toml")).args(["logs", "--follow", job]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(rig: &Rig, job: &str) {
    assert!(rig.leafcron(&["run", job]).status.success());
    wait_for("the job is up", || rig.path("up").exists().then_some(()));
}

#[test]
fn whoever_follows_reads_all_of_it_to_the_end_also_over_a_restart_of_the_agent() {
    let mut rig = Rig::new(TALKS);
    rig.start();
    run(&rig, "talks");
    wait_for("its first words are there", || {
        (text_of(&rig.leafcron(&["logs", "talks"]).stdout) == "one\n").then_some(())
    });
    rig.kill();
    rig.start();
    let mut followers = [follow(&rig, "talks"), follow(&rig, "talks")];
    let mut readers: Vec<_> =
        followers.iter_mut().map(|it| BufReader::new(it.stdout.take().unwrap())).collect();
    for reader in &mut readers {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
    }
    // One of them goes away: nobody minds.
    followers[0].kill().unwrap();
    followers[0].wait().unwrap();
    std::fs::write(rig.path("on"), "").unwrap();
    let mut rest = String::new();
    readers[1].read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\nthr", "what was printed just before the end is not lost");
    assert!(followers[1].wait().unwrap().success());
    assert_eq!(rig.wait_for_finals("talks", 1)[0].exit_code, Some(4));
    wait_for("the run's directory goes after its last reader", || {
        std::fs::read_dir(rig.path("run/runs")).unwrap().next().is_none().then_some(())
    });
    let over = rig.leafcron(&["logs", "talks"]);
    assert_eq!(over.status.code(), Some(1));
    assert!(text_of(&over.stderr).contains("talks is not running; `leafcron history --output talks`"));
    assert!(text_of(&rig.leafcron(&["logs", "nope"]).stderr).contains("no job nope"));
}

#[test]
fn of_a_flood_the_latest_can_be_followed_within_its_bound() {
    let mut rig = Rig::with_config(
        "max_runs = 32",
        r#"
[job.flood]
schedule = "@yearly"
command = """
head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last
touch @DIR@/up
while [ ! -e @DIR@/on ]; do sleep 0.02; done
"""
[job.secret]
schedule = "@yearly"
output = "0B"
command = "echo secret; touch @DIR@/up; sleep 1000"
"#,
    );
    rig.start();
    run(&rig, "flood");
    let logs = wait_for("its last words are there", || {
        let logs = rig.leafcron(&["logs", "flood"]);
        logs.stdout.ends_with(b"x\nlast\n").then_some(logs)
    });
    // 4 MiB for all that may run at once, half of it at least.
    assert!((65_536..=131_072).contains(&logs.stdout.len()), "{}", logs.stdout.len());
    let said = text_of(&logs.stderr);
    assert!(
        said.contains(&format!("{} bytes before this are gone", 30_000_006 - logs.stdout.len())),
        "{said}"
    );
    let run_dir = std::fs::read_dir(rig.path("run/runs")).unwrap().next().unwrap().unwrap().path();
    let held: u64 = std::fs::read_dir(run_dir).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(held < 135_000, "{held}");
    std::fs::write(rig.path("on"), "").unwrap();
    rig.wait_for_finals("flood", 1);
    std::fs::remove_file(rig.path("up")).unwrap();
    run(&rig, "secret");
    assert_eq!(text_of(&rig.leafcron(&["logs", "secret"]).stdout), "", "what is not kept is not shown");
    assert!(rig.leafcron(&["stop", "secret"]).status.success());
    rig.wait_for_finals("secret", 1);
}
