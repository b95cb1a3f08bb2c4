//! The manual, the sample of the configuration and the units say what the code does: no field, option, verb or user can be
//! added, removed or served without them.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use leafcron::config::{Config, Host, User};
use leafcron::job::{CronJob, Document, FieldError, FieldMap};

mod manual {
    mod installed;
    mod takes;
    mod typed;
}

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
fn entries(page: &str) -> BTreeMap<String, String> {
    let text = read(page);
    let tagged = text.split("\n.TP\n").skip(1).filter_map(|entry| {
        let (tag, rest) = entry.split_once('\n')?;
        Some((tag.strip_prefix(".B ")?.to_owned(), rest.split("\n.SH").next()?.to_owned()))
    });
    tagged.collect()
}

fn names(page: &str) -> BTreeSet<String> {
    entries(page).into_keys().collect()
}

/// Why a configuration is refused; nothing if it is not.
fn config_refusal(text: &str) -> String {
    Config::parse(text, None, &host()).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Why a job with these fields is refused; nothing if it is not.
fn job_refusal(fields: &str) -> String {
    let text = format!("schedule = \"@daily\"\n{fields}\n");
    let refused = match Document::parse(&text) {
        Ok(document) => document.top().fields().and_then(|own| CronJob::parse(&own, &FieldMap::new())).err(),
        Err(error) => return error.to_string(),
    };
    refused.map(|FieldError { field, reason }| format!("{field}: {reason}")).unwrap_or_default()
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
