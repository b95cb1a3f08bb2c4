//! The manual, the sample of the configuration and the units say what the code does: no field, option, verb or user can be
//! added, removed or served without them.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use leafcron::config::{Config, Host, User};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[path = "../examples/manual/pages.rs"]
mod pages;

/// The command line's own modules look for it here.
mod hub {
    pub(crate) use crate::pages::Hub;
}

/// The machine that the manual speaks of.
fn host() -> Host {
    Host { user: User::Root, name: Some("pi-01".to_owned()), cpus: 4 }
}

/// What a page explains: each tag of a list that is one bold word, with what follows it.
fn entries(page: &str) -> Vec<(String, String)> {
    let text = read(page);
    let tagged = text.split("\n.TP\n").skip(1).filter_map(|entry| {
        let (tag, rest) = entry.split_once('\n')?;
        Some((tag.strip_prefix(".B ")?.to_owned(), rest.split("\n.SH").next()?.to_owned()))
    });
    tagged.collect()
}

fn names(page: &str) -> BTreeSet<String> {
    entries(page).into_iter().map(|(name, _)| name).collect()
}

/// What is allowed, by the refusal of what is not.
fn allowed(refusal: &str, below: &str) -> BTreeSet<String> {
    let (_, list) = refusal.split_once("allowed here: ").unwrap_or_else(|| panic!("{refusal}"));
    list.split_whitespace().map(|name| format!("{below}{name}")).collect()
}

fn config_refusal(text: &str) -> String {
    Config::parse(text, None, &host()).unwrap_err().to_string()
}

#[test]
fn every_key_of_the_configuration_is_explained_and_no_other() {
    let mut keys = allowed(&config_refusal("colour = 1"), "");
    keys.extend(allowed(&config_refusal("[nats]\nservers = [\"tls://a\"]\ncolour = 1"), "nats."));
    assert_eq!(names("docs/man/leafcrond.toml.5"), keys);
}

/// What `leafcron check` says of one job.
fn job_refusal(fields: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jobs.toml");
    fs::write(&file, format!("[job.a]\nschedule = \"@daily\"\n{fields}\n")).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_leafcron")).arg("check").arg(file).output().unwrap();
    String::from_utf8(checked.stderr).unwrap()
}

#[test]
fn every_field_of_a_job_is_explained_and_whether_it_is_served() {
    let page = "docs/man/leafcron-jobs.5";
    let mut fields = allowed(&job_refusal("command = \"true\"\ncolour = 1"), "");
    fields.extend(allowed(&job_refusal("command = \"true\"\nrequire = {colour = 1}"), "require."));
    assert_eq!(names(page), fields);
    for (name, text) in entries(page) {
        // A value that is wrong for each: what is refused is either the value or the field.
        let refusal = match name.strip_prefix("require.") {
            Some(name) => job_refusal(&format!("command = \"true\"\nrequire = {{{name} = \"?\"}}")),
            None if name == "schedule" || name == "command" => continue,
            None => job_refusal(&format!("command = \"true\"\n{name} = \"?\"")),
        };
        let served = !refusal.contains("is not served");
        assert_eq!(served, !text.contains("Not served"), "{name}: {refusal}");
    }
}

#[test]
fn the_examples_of_the_manual_are_accepted() {
    let page = read("docs/man/leafcron-jobs.5");
    let (_, example) = page.split_once("\n.nf\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jobs.toml");
    fs::write(&file, example.split("\n.fi").next().unwrap()).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_leafcron")).arg("check").arg(file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_examples_are_accepted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/jobs");
    let checked = Command::new(env!("CARGO_BIN_EXE_leafcron")).arg("check").arg(examples).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_sample_names_every_key_and_what_it_calls_a_default_is_one() {
    let sample = read("systemd/leafcrond.toml");
    assert!(Config::parse(&sample, None, &host()).unwrap() == Config::parse("", None, &host()).unwrap());
    // What is commented out, read in; examples apart.
    let lines =
        sample.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
    let (mut given, mut defaults) =
        (String::new(), String::from("[nats]\nservers = [\"tls://leaf.example:4222\"]\n"));
    let mut in_nats = false;
    let mut top = String::new();
    let mut keys = BTreeSet::new();
    for line in lines {
        given.push_str(line);
        given.push('\n');
        in_nats = if line.starts_with('[') { line == "[nats]" } else { in_nats };
        let Some((key, _)) = line.split_once(" = ") else { continue };
        keys.insert(if in_nats { format!("nats.{key}") } else { key.to_owned() });
        if !line.contains("# example") {
            if in_nats { &mut defaults } else { &mut top }.push_str(&format!("{line}\n"));
        }
    }
    let bare = "[nats]\nservers = [\"tls://leaf.example:4222\"]\n";
    let (as_sampled, as_default) =
        (Config::parse(&(top + &defaults), None, &host()), Config::parse(bare, None, &host()));
    assert!(as_sampled.unwrap() == as_default.unwrap(), "a default of the sample is none");
    // All of it at once is a configuration too.
    let all = Config::parse(&given, None, &host()).unwrap();
    assert!(all.nats.is_some() && !all.defaults.is_empty());
    let mut known = names("docs/man/leafcrond.toml.5");
    // Tables, and what is named beside its alternative.
    for other in
        ["nats", "defaults", "nats.nkey", "nats.token", "nats.user", "nats.password", "nats.cert", "nats.key"]
    {
        assert!(known.remove(other), "{other}");
    }
    keys.retain(|key| key != "time_zone" && key != "load_per_cpu");
    assert_eq!(keys, known);
}

#[test]
fn the_daemons_page_has_the_options_of_its_usage() {
    let said = Command::new(env!("CARGO_BIN_EXE_leafcrond")).arg("--help").output().unwrap();
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
    };
    let page = read("docs/man/leafcrond.8").replace("\\-", "-");
    assert_eq!(options(&page), options(&String::from_utf8(said.stdout).unwrap()));
}

#[test]
fn the_generated_pages_and_completions_know_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    pages::write(dir.path()).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_leafcron")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.contains(&"history") && verbs.contains(&"hub"), "{help}");
    let bash = fs::read_to_string(dir.path().join("completions/leafcron.bash")).unwrap();
    for verb in verbs {
        let page = fs::read_to_string(dir.path().join(format!("man/leafcron-{verb}.1"))).unwrap();
        assert!(page.contains(".SH DESCRIPTION") || page.contains(".SH NAME"), "{verb}");
        assert!(bash.contains(verb), "{verb}");
    }
}

#[test]
fn the_units_name_the_users_and_files_that_the_code_knows() {
    let users = read("systemd/leafcron.sysusers");
    let link = read("src/agent/link/hello.rs");
    let nats = Config::parse("[nats]\nservers = [\"tls://a\"]", None, &host()).unwrap().nats.unwrap();
    assert!(link.contains("const USER: &str = \"leafcron-link\";"));
    for user in nats.users.iter().map(String::as_str).chain(["leafcron-link"]) {
        assert!(users.contains(&format!("\nu {user} ")), "{user}");
    }
    let config = Config::parse("", None, &host()).unwrap();
    let unit = read("systemd/leafcrond.service");
    for (directory, parent, path) in [
        ("StateDirectory", "/var/lib", config.state_dir),
        ("RuntimeDirectory", "/run", config.run_dir),
        (
            "ConfigurationDirectory",
            "/etc",
            Path::new(leafcron::config::SYSTEM_FILE).parent().unwrap().to_owned(),
        ),
    ] {
        let name = path.strip_prefix(parent).unwrap().to_str().unwrap();
        assert!(unit.contains(&format!("\n{directory}={name}\n")), "{directory}");
    }
    for unit in ["systemd/leafcrond.service", "systemd/user/leafcrond.service"] {
        assert!(read(unit).contains("\nExecStart=/usr/sbin/leafcrond\n"), "{unit}");
    }
}
