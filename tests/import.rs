//! `leafcron import` as a process: what it finds, what it refuses, what it writes and with which exit status.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Another machine's disk, and this one's configuration.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        fs::set_permissions(disk.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in ["etc/cron.d", "var/spool/cron/crontabs", "jobs.d"] {
            fs::create_dir_all(disk.path(path)).unwrap();
            fs::set_permissions(disk.path(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = format!(
            "jobs_dir = {:?}\nrun_dir = \"/nowhere\"\nstate_dir = \"/nowhere\"\n",
            disk.path("jobs.d")
        );
        fs::write(disk.path("leafcrond.toml"), config).unwrap();
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn import(&self, args: &[&str]) -> Ran {
        self.import_from(args, b"")
    }

    fn import_from(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.arg("import").arg("--root").arg(self.dir.path()).args(args);
        command.arg("--config").arg(self.path("leafcrond.toml"));
        command.env_remove("SUDO_USER").env("TZ", "UTC");
        run(command, input)
    }

    /// What was written, by name.
    fn written(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("jobs.d")).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn run(mut command: Command, input: &[u8]) -> Ran {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // It may have seen enough before all is written.
    child.stdin.take().unwrap().write_all(input).unwrap_or_default();
    child.wait_with_output().unwrap().into()
}

fn check(path: &Path) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    command.arg("check").arg(path).env("XDG_RUNTIME_DIR", "/nowhere").env("HOME", "/nowhere");
    run(command, b"")
}

fn me() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
}

const SYSTEM: &str = "SHELL=/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n\n\
                      17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n\
                      25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n";

#[test]
fn what_is_printed_is_one_jobs_file_that_the_agent_takes() {
    let disk = Disk::new();
    disk.write("etc/crontab", SYSTEM);
    disk.write("etc/cron.d/certbot", "0 */12 * * * root certbot -q renew\n");
    disk.write("etc/cron.d/.placeholder", "not a line\n");
    disk.write(
        "var/spool/cron/crontabs/pi",
        "*/5 * * * * curl -s \"http://x/?a=1\\%20\" | cat\n@reboot /home/pi/up\n",
    );
    let ran = disk.import(&["--system", "--user-crontab", "pi"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.err, "leafcron: 5 jobs from 3 crontabs; nothing is written without --write\n");
    for line in [
        "[job.crontab-run-parts-cron-hourly]\nschedule = \"17 * * * *\"\n",
        "command = \"cd / && run-parts --report /etc/cron.hourly\"\nuser = \"root\"\ncatch_up = \"none\"\n",
        "[job.crontab-anacron-run-parts-cron-daily]\n",
        "[job.certbot-certbot-renew]\n",
        "command = 'curl -s \"http://x/?a=1%20\" | cat'\nuser = \"pi\"\n",
        "schedule = \"@reboot\"\n",
        "env = { PATH = \"/usr/bin:/bin\" }\n",
    ] {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
    assert_eq!(ran.out.matches("# As under cron").count(), 1, "said once");
    let printed = disk.write("printed.toml", ran.out.replace("\"pi\"", &format!("{:?}", me())));
    let checked = check(&printed);
    assert_eq!(checked.out, "5 jobs in 1 file accepted\n", "{}", checked.err);
    assert!(disk.written().is_empty());
}

#[test]
fn a_line_that_is_not_carried_is_named_and_makes_it_1() {
    let disk = Disk::new();
    let path = disk.write("mine", "MAILTO=x\n5/15 * * * * a\n1 1 * * * b\n").display().to_string();
    let ran = disk.import(&[&path, "--as", &me()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(&format!("{path}:1: changed: MAILTO: ")), "{}", ran.err);
    let named = format!("{path}:2:2: not carried: field 1 (minute): a step needs");
    assert!(ran.err.contains(&named) && ran.err.contains("\n  5/15 * * * * a\n"), "{}", ran.err);
    assert!(
        ran.err.ends_with(
            "1 job from 1 crontab, 1 not carried, 1 changed; nothing is written without --write\n"
        )
    );
    let json = disk.import(&[&path, "--as", &me(), "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, json.err.as_str()), (Some(1), ""));
    assert_eq!(value["findings"][1]["kind"], "not_carried");
    assert_eq!((&value["findings"][1]["line"], &value["findings"][1]["column"]), (&2.into(), &2.into()));
    assert_eq!(value["files"][0]["jobs"][0]["line"], 3);
    assert!(value["files"][0]["text"].as_str().unwrap().contains("schedule = \"1 1 * * *\""));
    assert_eq!(value["written"], serde_json::Value::Null);
}

#[test]
fn write_makes_a_file_for_each_crontab_and_none_over_another() {
    let disk = Disk::new();
    let me = me();
    disk.write("etc/crontab", format!("1 1 * * * {me} a\n"));
    let own = disk.write("mine", "2 2 * * * b\n");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    let args = ["--system", own.to_str().unwrap(), "--as", &me, "--write"];
    let ran = disk.import(&args);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.ends_with("until then both run them.\n"), "{}", ran.out);
    let user_file = format!("cron-{me}.toml");
    assert_eq!(disk.written(), ["cron-crontab.toml", &user_file]);
    let mode =
        |name: &str| fs::metadata(disk.path("jobs.d").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("cron-crontab.toml"), mode(&user_file)), (0o644, 0o600), "as readable as the crontabs");
    let checked = check(&disk.path("jobs.d"));
    assert_eq!(checked.out, "2 jobs in 2 files accepted\n", "{}", checked.err);

    let before = fs::read_to_string(disk.path("jobs.d/cron-crontab.toml")).unwrap();
    let again = disk.import(&args);
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""));
    assert!(again.err.contains("is there already and is not written over"), "{}", again.err);
    assert_eq!(fs::read_to_string(disk.path("jobs.d/cron-crontab.toml")).unwrap(), before);

    // A name that another file has is not taken from it.
    fs::rename(disk.path("jobs.d/cron-crontab.toml"), disk.path("jobs.d/z.toml")).unwrap();
    let other = disk.import(&["--system", "--write", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(value["files"][0]["jobs"][0]["job"], "crontab-a-2", "{}", other.err);
    assert_eq!(check(&disk.path("jobs.d")).out, "3 jobs in 3 files accepted\n");
}

#[test]
fn what_this_devices_agent_would_refuse_is_not_written() {
    let disk = Disk::new();
    disk.write("etc/crontab", format!("1 1 * * * no-such-user-here a\n2 2 * * * {} b\n", me()));
    assert_eq!(disk.import(&["--system"]).code, Some(0), "for another machine it may be right");
    let ran = disk.import(&["--system", "--write"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("etc/crontab:1: not carried: user: "), "{}", ran.err);
    assert_eq!(check(&disk.path("jobs.d")).out, "1 job in 1 file accepted\n");

    fs::set_permissions(disk.path("jobs.d"), fs::Permissions::from_mode(0o777)).unwrap();
    let open_to_all = disk.import(&["--system", "--write"]);
    assert!(open_to_all.code == Some(2) && open_to_all.err.contains("chmod go-w"), "{}", open_to_all.err);
    fs::remove_dir_all(disk.path("jobs.d")).unwrap();
    let nowhere = disk.import(&["--system", "--write"]);
    assert!(nowhere.code == Some(2) && nowhere.err.contains("install -d"), "{}", nowhere.err);
}

#[test]
fn what_cron_would_not_read_is_not_read() {
    let disk = Disk::new();
    let good = format!("1 1 * * * {} a\n", me());
    disk.write("etc/cron.d/a.dpkg-old", &good);
    let open = disk.write("etc/cron.d/open", &good);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    fs::create_dir(disk.path("etc/cron.d/directory")).unwrap();
    symlink(disk.write("elsewhere", &good), disk.path("etc/cron.d/link")).unwrap();
    symlink("/nowhere", disk.path("etc/cron.d/dangling")).unwrap();
    nix::unistd::mkfifo(&disk.path("etc/cron.d/fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    symlink("/dev/zero", disk.path("etc/cron.d/zero")).unwrap();
    disk.write("etc/cron.d/huge", vec![b'#'; 2 << 20]);
    let ran = disk.import(&["--system"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.out.matches("[job.").count(), 1, "the link, which cron follows: {}", ran.out);
    for (name, kind, why) in [
        ("a.dpkg-old", "passed over", "letters, digits, _ and -"),
        ("open", "not carried", "can be written by others"),
        ("directory", "not carried", "is not a regular file"),
        ("dangling", "not carried", "No such file"),
        ("fifo", "not carried", "is not a regular file"),
        ("zero", "not carried", "is not a regular file"),
        ("huge", "not carried", "is larger than 1048576 bytes"),
    ] {
        let line = ran
            .err
            .lines()
            .find(|line| line.contains(&format!("cron.d/{name}: ")))
            .unwrap_or_else(|| panic!("{name}: {}", ran.err));
        assert!(line.contains(&format!(": {kind}: ")) && line.contains(why), "{line}");
    }

    // Of somebody who has none the rest is not to wait.
    let ran = disk.import(&["--system", "--user-crontab", "nobody"]);
    assert!(ran.code != Some(2) && ran.err.contains("passed over: nobody has no crontab"), "{}", ran.err);

    symlink(disk.path("elsewhere"), disk.path("var/spool/cron/crontabs/pi")).unwrap();
    for (args, why) in [
        (&["--user-crontab", "pi"][..], "is a symbolic link"),
        (&["--user-crontab", "nobody"], "has no crontab"),
        (&["--user-crontab", "../../../elsewhere"], "is no user's name"),
        (&["-", "--as", "a b"], "is no user's name"),
        (&["/nowhere/at/all"], "/nowhere/at/all: cannot be read"),
        (&["/"], "/: is not a regular file"),
        (&[], "required"),
    ] {
        let ran = disk.import(args);
        assert!(ran.code == Some(2) && ran.out.is_empty() && ran.err.contains(why), "{args:?}: {}", ran.err);
    }
}

#[test]
fn root_is_not_made_to_run_what_somebody_else_wrote_by_silence() {
    let disk = Disk::new();
    let ran = disk.import_from(&["-"], b"1 1 * * * a\n");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains(&format!("user = {:?}\n", me())), "{}", ran.out);
    if !nix::unistd::geteuid().is_root() {
        // Every agent of theirs runs all as themselves anyway.
        return;
    }
    let path = disk.write("theirs", "1 1 * * * a\n");
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let ran = disk.import(&[path.to_str().unwrap()]);
    assert!(ran.code == Some(2) && ran.err.contains("`--as nobody` or `--as root`"), "{}", ran.err);
    let told = disk.import(&[path.to_str().unwrap(), "--as", "nobody"]);
    assert!(told.code == Some(0) && told.out.contains("user = \"nobody\""), "{}", told.err);
    let mut sudo = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    sudo.args(["import", "-"]).env("SUDO_USER", "pi");
    let ran = run(sudo, b"1 1 * * * a\n");
    assert!(ran.code == Some(2) && ran.err.contains("--as pi"), "{}", ran.err);
}

#[test]
fn lines_that_no_command_can_be_given_are_refused_one_by_one() {
    let disk = Disk::new();
    let mut text =
        b"# caf\xe9\n1 1 * * * echo \0\n2 2 * * * echo \xff\n3 3 * * * good\n4 4 * * * crlf\r\n".to_vec();
    text.extend_from_slice(&[b'x'; 300_000]);
    let ran = disk.import_from(&["-", "--as", &me()], &text);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("standard input:2:16: not carried: holds a NUL"), "{}", ran.err);
    assert!(ran.err.contains("standard input:3:16: not carried: is not UTF-8"), "{}", ran.err);
    assert!(ran.err.contains("standard input:5: changed: ends in a carriage return"), "{}", ran.err);
    assert!(ran.err.contains("standard input:6:"), "{}", ran.err);
    assert!(ran.out.contains("command = \"good\"") && ran.out.contains("command = \"crlf\""), "{}", ran.out);
    assert!(ran.err.len() < 2_000, "{}", ran.err.len());
}
