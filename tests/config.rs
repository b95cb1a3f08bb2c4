//! Every key of the configuration, its default, and every way to get it wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leafcron::config::{Auth, Commands, Config, ConfigError, Host, SendOutput, User};

fn root() -> Host {
    Host { user: User::Root, name: Some("pi-07.lan".to_owned()), cpus: 4 }
}

fn other() -> Host {
    let home = |path| Some(PathBuf::from(path));
    let user = User::Other {
        config: home("/home/me/.config"),
        state: home("/home/me/.local/state"),
        runtime: home("/run/user/1000"),
    };
    Host { user, ..root() }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("c.toml")), &root())
}

/// Every key of the design, as it stands there.
const FULL: &str = r#"
agent      = "pi-01"
groups     = ["lab", "all"]
state_dir  = "/data/leafcron"
run_dir    = "/run/lc"
jobs_dir   = "/data/jobs"
max_runs   = 8
clock_wait = "30s"
trust_clock = true
disk       = "64MiB"
history    = 20

[nats]
servers   = ["tls://leaf.example:4222", "nats://[::1]"]
domain    = "centre"
prefix    = "lc"
users     = ["leafcron-job", "root"]
commands  = "any"
creds     = "/etc/leafcron/agent.creds"
ca        = "/etc/leafcron/ca.pem"
cert      = "/etc/leafcron/cert.pem"
key       = "/etc/leafcron/key.pem"
heartbeat = "5m"
send_output = "failures"

[defaults]
timeout = "1h"
[defaults.require]
memory_available = "32MiB"
"#;

#[test]
fn every_key_is_read() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.agent.as_str(), "pi-01");
    assert_eq!(config.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["lab", "all"]);
    assert_eq!(config.all_groups(), config.groups, "`all` is there already");
    assert_eq!(config.state_dir, Path::new("/data/leafcron"));
    assert_eq!(config.run_dir, Path::new("/run/lc"));
    assert_eq!(config.jobs_dir, Path::new("/data/jobs"));
    assert_eq!((config.max_runs, config.history, config.disk), (8, 20, 64 << 20));
    assert_eq!((config.clock_wait, config.trust_clock), (Duration::from_secs(30), true));
    assert_eq!(config.defaults.keys().collect::<Vec<_>>(), ["require", "timeout"]);
    let nats = config.nats.unwrap();
    assert_eq!(nats.servers, ["tls://leaf.example:4222", "nats://[::1]"]);
    assert_eq!((nats.domain.as_str(), nats.prefix.as_str()), ("centre", "lc"));
    assert_eq!(nats.users, ["leafcron-job", "root"]);
    assert_eq!((nats.commands, nats.send_output), (Commands::Any, SendOutput::Failures));
    assert_eq!(nats.auth, Auth::Creds("/etc/leafcron/agent.creds".into()));
    assert_eq!(nats.ca, Some("/etc/leafcron/ca.pem".into()));
    assert_eq!(nats.client, Some(("/etc/leafcron/cert.pem".into(), "/etc/leafcron/key.pem".into())));
    assert_eq!(nats.heartbeat, Duration::from_secs(300));
    assert!(config.warnings.is_empty() && config.nameless.is_none());
}

#[test]
fn silence_means_the_documented_defaults_for_root() {
    let config = Config::parse("", None, &root()).unwrap();
    assert_eq!(config.agent.as_str(), "pi-07", "the host name up to its first dot");
    assert_eq!(config.state_dir, Path::new("/var/lib/leafcron"));
    assert_eq!(config.run_dir, Path::new("/run/leafcron"));
    assert_eq!(config.jobs_dir, Path::new("/etc/leafcron/jobs.d"));
    assert_eq!((config.max_runs, config.history, config.disk), (8, 50, 32 << 20));
    assert_eq!((config.clock_wait, config.trust_clock), (Duration::from_secs(120), false));
    assert!(config.groups.is_empty() && config.nats.is_none() && config.defaults.is_empty());
    assert_eq!(config.all_groups().iter().map(ToString::to_string).collect::<Vec<_>>(), ["all"]);
    assert!(config.warnings.is_empty());

    let nats = parse("[nats]\nservers = [\"tls://h\"]").unwrap().nats.unwrap();
    assert_eq!((nats.domain.as_str(), nats.prefix.as_str()), ("hub", "leafcron"));
    assert_eq!(nats.users, ["leafcron-job"]);
    assert_eq!((nats.commands, nats.send_output), (Commands::Central, SendOutput::All));
    assert_eq!((nats.auth, nats.heartbeat), (Auth::None, Duration::from_secs(900)));
}

#[test]
fn another_user_has_the_directories_of_xdg() {
    let config = Config::parse("", None, &other()).unwrap();
    assert_eq!(config.state_dir, Path::new("/home/me/.local/state/leafcron"));
    assert_eq!(config.run_dir, Path::new("/run/user/1000/leafcron"));
    assert_eq!(config.jobs_dir, Path::new("/home/me/.config/leafcron/jobs.d"));
    assert_eq!(other().config_file(), Some("/home/me/.config/leafcron/leafcrond.toml".into()));
    let nats = Config::parse("[nats]\nservers = [\"tls://h\"]", None, &other()).unwrap().nats.unwrap();
    assert!(nats.users.is_empty(), "central definitions run as the agent's own user");
}

#[test]
fn a_directory_that_has_no_default_is_asked_for_by_name() {
    let nowhere = Host { user: User::Other { config: None, state: None, runtime: None }, ..root() };
    let error = Config::parse("", None, &nowhere).unwrap_err();
    assert_eq!(
        error.to_string(),
        "configuration: state_dir: has no default, as XDG_STATE_HOME is not set; write state_dir = \"/…\""
    );
    let text = "state_dir = \"/s\"\njobs_dir = \"/j\"\n";
    let error = Config::parse(text, Some(Path::new("c.toml")), &nowhere).unwrap_err();
    assert!(error.to_string().starts_with("c.toml: run_dir: has no default, as XDG_RUNTIME_DIR"), "{error}");
    assert!(Config::parse(&format!("{text}run_dir = \"/r\""), None, &nowhere).is_ok());
}

#[test]
fn every_refusal_says_file_line_and_field() {
    for (text, said) in [
        ("colour = 1", "c.toml:1: colour: unknown field; allowed here: agent groups "),
        ("\n\nagent = 5", "c.toml:3: agent: 5 is not text"),
        ("agent = \"a.b\"", "c.toml:1: agent: \"a.b\": '.' at column 2 of a name"),
        ("agent = \"\"", "c.toml:1: agent: \"\": an empty name"),
        ("groups = \"lab\"", "c.toml:1: groups: \"lab\" is not a list of names"),
        ("groups = [\"a\", 1]", "c.toml:1: groups: 1 is not text"),
        ("groups = [\"a\", \"a\"]", "c.toml:1: groups: a is there twice"),
        ("state_dir = \"x\"", "c.toml:1: state_dir: \"x\" does not begin with /"),
        ("run_dir = 1", "c.toml:1: run_dir: 1 is not text"),
        ("jobs_dir = \"~/x\"", "c.toml:1: jobs_dir: \"~/x\" does not begin with /"),
        ("max_runs = 0", "c.toml:1: max_runs: 0 is not a whole number in 1-1024"),
        ("max_runs = 1.5", "c.toml:1: max_runs: 1.5 is not a whole number"),
        ("max_runs = \"8\"", "c.toml:1: max_runs: \"8\" is not a whole number"),
        ("clock_wait = 5", "c.toml:1: clock_wait: 5 is not text"),
        ("clock_wait = \"5\"", "c.toml:1: clock_wait: \"5\" is not a duration"),
        ("trust_clock = \"yes\"", "c.toml:1: trust_clock: \"yes\" is neither true nor false"),
        ("disk = \"1KiB\"", "c.toml:1: disk: \"1KiB\" is less than 1MiB"),
        ("disk = 5", "c.toml:1: disk: 5 is not text"),
        ("history = 0", "c.toml:1: history: 0 is not a whole number in 1-10000"),
        ("history = 2020-01-01", "c.toml:1: history: a date"),
        ("nats = 5", "c.toml:1: nats: is not a table"),
        ("defaults = 5", "c.toml:1: defaults: is not a table"),
        ("agent = \"a\"\nagent = \"b\"", "c.toml:2: not TOML: column 1: "),
        ("[nats", "c.toml:1: not TOML: column 6: "),
        ("[defaults]\ntimeout = 5", "c.toml:2: defaults.timeout: 5 is not text"),
        ("[defaults]\ncolour = 5", "c.toml:2: defaults.colour: unknown field"),
        ("[defaults.require]\n\nload = 5", "c.toml:3: defaults.require.load: unknown field"),
        ("[defaults]\ncommand = \"a\"\nargs = [\"b\"]", "c.toml:3: defaults.args: is given beside"),
        ("[defaults.limits]\npids = 0", "c.toml:2: defaults.limits.pids: 0 is not a whole number in 1-"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(said), "{text:?}: {error}");
    }
}

#[test]
fn every_refusal_of_the_link_says_line_and_field_and_no_secret() {
    for (line, said) in [
        ("", "c.toml:1: nats.servers: is required"),
        ("servers = []", "nats.servers: 0 entries; 1 to 32"),
        ("servers = \"tls://h\"", "nats.servers: is not a list"),
        ("servers = [\"http://h\"]", "nats.servers: \"http://h\" is not a server"),
        ("servers = [\"tls://h:0\"]", "nats.servers: \"tls://h:0\" is not a server"),
        ("servers = [\"tls://h:99999\"]", "nats.servers: \"tls://h:99999\" is not a server"),
        ("servers = [\"tls://\"]", "nats.servers: \"tls://\" is not a server"),
        ("servers = [\"tls://[::g]:1\"]", "nats.servers: \"tls://[::g]:1\" is not a server"),
        ("servers = [\"nats://me:SECRET@h\"]", "nats.servers: a server with a password"),
        ("colour = \"SECRET\"", "nats.colour: unknown field"),
        ("domain = \"a.b\"", "nats.domain: \"a.b\": "),
        ("prefix = 5", "nats.prefix: 5 is not text"),
        ("users = []", "nats.users: 0 entries"),
        ("users = [\"\"]", "nats.users: is empty"),
        ("commands = \"all\"", "nats.commands: \"all\" is none of: central any none"),
        ("send_output = true", "nats.send_output: true is not text"),
        ("heartbeat = \"1s\"", "nats.heartbeat: \"1s\" is not in 10s-1d"),
        ("heartbeat = \"2d\"", "nats.heartbeat: \"2d\" is not in 10s-1d"),
        ("creds = \"x\"", "nats.creds: \"x\" does not begin with /"),
        ("ca = 5", "nats.ca: 5 is not text"),
        ("cert = \"/c\"", "nats.cert: is given without `key`"),
        ("key = \"/k\"", "nats.key: is given without `cert`"),
        ("user = \"SECRET\"", "nats.user: is given without `password`"),
        ("password = \"SECRET\"", "nats.password: is given without `user`"),
        ("token = [\"SECRET\"]", "nats.token: is not text"),
        ("token = \"\"", "nats.token: is empty"),
        ("token = \"SECRET\"\ncreds = \"/c\"", "nats.token: is given beside `creds`"),
        ("user = \"u\"\npassword = \"SECRET\"\nnkey = \"/n\"", "nats.user: is given beside `nkey`"),
    ] {
        let servers =
            if line.starts_with("servers") || line.is_empty() { "" } else { "servers = [\"tls://h\"]\n" };
        let error = parse(&format!("[nats]\n{line}\n{servers}")).unwrap_err().to_string();
        let wanted = if said.starts_with("c.toml") { said.to_owned() } else { format!("c.toml:2: {said}") };
        assert!(error.starts_with(&wanted), "{line:?}: {error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    let error = Config::parse("[nats]\nservers=[\"tls://h\"]\nusers = [\"a\"]", None, &other()).unwrap_err();
    assert!(error.to_string().contains("nats.users: this agent is not root"), "{error}");
}

#[test]
fn secrets_are_kept_and_not_printed() {
    let config = parse("[nats]\nservers = [\"tls://h\"]\nuser = \"u\"\npassword = \"SECRET\"").unwrap();
    assert_eq!(config.nats.as_ref().unwrap().auth, Auth::Password("u".to_owned(), "SECRET".to_owned()));
    assert!(!format!("{config:?}").contains("SECRET"));
    let config = parse("[nats]\nservers = [\"tls://h\"]\ntoken = \"SECRET\"").unwrap();
    assert!(!format!("{config:?}").contains("SECRET"));
}

#[test]
fn a_name_that_many_devices_have_is_warned_of_only_where_there_is_a_centre() {
    for name in [Some("raspberrypi"), Some("localhost.localdomain"), Some("bad name"), None] {
        let host = Host { name: name.map(str::to_owned), ..root() };
        let config = Config::parse("", None, &host).unwrap();
        assert!(config.warnings.is_empty());
        let wanted = if name == Some("raspberrypi") { "raspberrypi" } else { "localhost" };
        assert_eq!(config.agent.as_str(), wanted);
        let linked = "[nats]\nservers = [\"tls://h\"]";
        let warnings = Config::parse(linked, None, &host).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.contains("set agent = ")), "{warnings:?}");
        let named = format!("agent = \"pi-01\"\n{linked}");
        let named = Config::parse(&named, None, &host).unwrap();
        assert!(named.warnings.is_empty() && named.nameless.is_none());
    }
}

#[test]
fn a_named_file_must_be_there_and_be_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leafcrond.toml");
    let load = || Config::load_on(Some(&file), &root());
    assert!(load().unwrap_err().to_string().ends_with("leafcrond.toml: there is no such file"));
    fs::create_dir(&file).unwrap();
    assert!(load().unwrap_err().to_string().ends_with(": is not a regular file"));
    fs::remove_dir(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(load().unwrap_err().to_string().ends_with(": is not a regular file"));
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"agent = \"a\"\n# \xff\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load().unwrap_err().to_string().ends_with(": line 2 is not UTF-8"));
    fs::write(&file, "#".repeat(300 * 1024)).unwrap();
    assert!(load().unwrap_err().to_string().ends_with(": is larger than 256KiB"));
    fs::write(&file, "agent = \"a\"\n").unwrap();
    let config = load().unwrap();
    assert_eq!((config.agent.as_str(), config.file), ("a", Some(file.clone())));
    fs::write(&file, "agent = \"a\"\nx = 1\n").unwrap();
    let error = load().unwrap_err();
    assert_eq!(error.to_string(), format!("{}:2: x: {}", file.display(), error.reason));
}

#[test]
fn the_default_file_may_be_absent() {
    let dir = tempfile::tempdir().unwrap();
    let config = Some(dir.path().to_owned());
    let user = User::Other { config: config.clone(), state: config.clone(), runtime: config };
    let host = Host { user, ..root() };
    assert_eq!(Config::load_on(None, &host).unwrap().file, None);
    fs::create_dir(dir.path().join("leafcron")).unwrap();
    fs::write(host.config_file().unwrap(), "history = 7").unwrap();
    let config = Config::load_on(None, &host).unwrap();
    assert_eq!((config.history, config.file), (7, host.config_file()));
}

#[test]
fn a_root_agent_takes_no_configuration_that_others_can_write() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "history = 7").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    let error = Config::load_on(Some(&file), &root()).unwrap_err().to_string();
    assert!(error.contains("mend it with: chmod go-w "), "{error}");
    assert!(Config::load_on(Some(&file), &other()).is_ok(), "whose else than that user's could it be");
}
