//! What the two pages of file formats explain, against what the code takes: it is asked by what it refuses.

use std::collections::{BTreeSet, VecDeque};

use super::super::{config_refusal, entries, job_refusal, read};
use super::installed::files;

/// What the names of a run's own variables begin with.
const VARIABLES: &str = "LEAFCRON_";

/// The words behind `mark` in a refusal.
fn listed(refusal: &str, mark: &str) -> Option<BTreeSet<String>> {
    let (_, list) = refusal.split_once(mark)?;
    Some(list.split_whitespace().map(str::to_owned).collect())
}

/// The names that a table takes: what it requires is given, until it refuses a name that nobody knows.
fn parts(refusal: impl Fn(&str) -> String) -> BTreeSet<String> {
    /// A value of each type that a required name has.
    const VALUES: [&str; 4] = ["1", "\"/\"", "\"1MiB\"", "[\"tls://a\"]"];
    let required = |said: &str| {
        let name = said.trim_end().strip_suffix(": is required")?.rsplit([' ', '.', ':']).next()?;
        Some(name.to_owned())
    };
    let mut given = String::from("no_such_name = 1");
    loop {
        let said = refusal(&given);
        if let Some(names) = listed(&said, "unknown field; allowed here: ") {
            return names;
        }
        let Some(name) = required(&said) else { return BTreeSet::new() };
        let more = VALUES.iter().map(|value| format!("{name} = {value}, {given}")).find(|given| {
            let said = refusal(given);
            said.contains("allowed here: ") || required(&said).is_some_and(|next| next != name)
        });
        given = more.unwrap_or_else(|| panic!("no value known here is one for {name}: {said}"));
    }
}

/// What one field takes, where that is a choice of words or a table of names.
fn takes(refusal: impl Fn(&str) -> String) -> BTreeSet<String> {
    let mut words = listed(&refusal("\"?\""), "is none of: ").unwrap_or_default();
    for (open, close) in [("{", "}"), ("[{", "}]")] {
        words.extend(parts(|table| refusal(&format!("{open}{table}{close}"))));
    }
    words
}

/// Each field, each name in its table and each word of its choice is on the page, and no other field.
fn holds(page: &str, elsewhere: &str, top: &BTreeSet<String>, refusal: impl Fn(&str, &str) -> String) {
    let mut entries = entries(page);
    entries.retain(|name, _| !name.starts_with(VARIABLES));
    let mut fields: VecDeque<String> = top.iter().cloned().collect();
    let mut known = BTreeSet::new();
    while let Some(field) = fields.pop_front() {
        known.insert(field.clone());
        let text = entries.get(&field).unwrap_or_else(|| panic!("{page} does not explain {field}"));
        if field == elsewhere {
            continue;
        }
        let said: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        for word in takes(|value| refusal(&field, value)) {
            let below = format!("{field}.{word}");
            if entries.contains_key(&below) {
                fields.push_back(below);
            } else {
                let said = said.contains(word.as_str()) || said.contains(format!("dq{word}").as_str());
                assert!(said, "{page} does not say that {field} takes {word}");
            }
        }
    }
    assert_eq!(entries.into_keys().collect::<BTreeSet<_>>(), known, "{page}");
}

#[test]
fn every_key_of_the_configuration_is_explained_and_no_other() {
    let top = listed(&config_refusal("no_such_name = 1"), "allowed here: ").unwrap();
    // What `defaults` takes is a job's.
    holds("docs/man/leafcrond.toml.5", "defaults", &top, |key, value| match key.strip_prefix("nats.") {
        // Required: there is nothing beside it.
        Some("servers") => config_refusal(&format!("nats = {{servers = {value}}}")),
        Some(key) => config_refusal(&format!("nats = {{servers = [\"tls://a\"], {key} = {value}}}")),
        None => config_refusal(&format!("{key} = {value}")),
    });
}

#[test]
fn every_field_of_a_job_is_explained_and_whether_it_is_served() {
    let top = listed(&job_refusal("command = \"true\"\nno_such_name = 1"), "allowed here: ").unwrap();
    holds("docs/man/leafcron-jobs.5", "", &top, |field, value| match field.split_once('.') {
        Some((table, name)) => job_refusal(&format!("command = \"true\"\n{table} = {{{name} = {value}}}")),
        // They are given already.
        None if field == "schedule" || field == "command" => String::new(),
        None => job_refusal(&format!("command = \"true\"\n{field} = {value}")),
    });
}

#[test]
fn every_variable_of_a_run_is_explained_and_no_other() {
    let mut set = BTreeSet::new();
    // What tests of a room say is no promise.
    for file in files("src").into_iter().filter(|file| !file.ends_with("/tests.rs")) {
        for name in read(&file).split('"').filter(|text| text.starts_with(VARIABLES)) {
            let end = name.find(|c: char| !c.is_ascii_uppercase() && c != '_');
            set.insert(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    // Of the tests, in a debug build only.
    for name in ["LEAFCRON_STOP_AT", "LEAFCRON_HASTE", "LEAFCRON_MACHINE"] {
        assert!(set.remove(name), "{name}");
    }
    let said = entries("docs/man/leafcron-jobs.5").into_keys().filter(|name| name.starts_with(VARIABLES));
    assert_eq!(said.collect::<BTreeSet<_>>(), set);
}
