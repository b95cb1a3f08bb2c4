//! Names for jobs: from the crontab and the words of the command, so that the same crontabs give the same names, and a
//! line keeps its name when others come and go around it.

use std::collections::{BTreeMap, BTreeSet};

use leafcron::job::{JobName, NAME_BYTES, Revision};

use super::crontab::Draft;
use super::percent;

/// As many bytes are left for what tells two of one name apart: `-`, six digits, `-`, a number.
const ROOM: usize = 12;
/// Words are added up to here.
const LONG_ENOUGH: usize = 40;
/// Words that tell nothing about a command.
const SILENT: [&str; 24] = [
    "cd", "test", "nice", "ionice", "env", "sudo", "if", "then", "else", "fi", "exec", "sh", "bash",
    "timeout", "nohup", "true", "command", "sleep", "flock", "chronic", "dev", "null", "do", "done",
];

/// A name for each, unlike all others and those in `taken`.
pub(super) fn names(drafts: &[(&str, &Draft)], taken: &BTreeSet<JobName>) -> Vec<JobName> {
    let plain: Vec<String> =
        drafts.iter().map(|(label, draft)| plain(label, &percent::split(&draft.command).0)).collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &plain {
        *count.entry(name).or_default() += 1;
    }
    let mut used = taken.clone();
    let mut names = Vec::new();
    for (name, (_, draft)) in plain.iter().zip(drafts) {
        let alone = count.get(name.as_str()).is_some_and(|count| *count == 1);
        let base = if alone { name.clone() } else { format!("{name}-{}", digest(draft)) };
        let numbered = (2..).map(|n| format!("{base}-{n}"));
        let free = std::iter::once(base.clone())
            .chain(numbered)
            .filter_map(|name| name.parse::<JobName>().ok())
            .find(|name| !used.contains(name))
            .expect("a name has room for a number, and numbers do not end");
        used.insert(free.clone());
        names.push(free);
    }
    names
}

fn plain(label: &str, command: &str) -> String {
    let mut name = clean(label);
    let mut last = String::new();
    let mut target = false;
    for word in command.split_whitespace() {
        // Where output goes says nothing either.
        let skipped = std::mem::replace(&mut target, word.ends_with(['>', '<']));
        if skipped || word.starts_with('-') || word.contains(['>', '<', '=']) {
            continue;
        }
        let word = clean(word.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
        if word.is_empty() || word == last || SILENT.contains(&word.as_str()) {
            continue;
        }
        if !name.is_empty() {
            if name.len() + word.len() > LONG_ENOUGH && !last.is_empty() {
                break;
            }
            name.push('-');
        }
        name.push_str(&word);
        last = word;
    }
    name.truncate(NAME_BYTES - ROOM);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "job".to_owned() } else { name.to_owned() }
}

/// Only what a name may hold, with one `-` for the rest.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            clean.push(c);
        } else if !clean.is_empty() && !clean.ends_with('-') {
            clean.push('-');
        }
    }
    clean.truncate(clean.trim_end_matches('-').len());
    clean
}

fn digest(draft: &Draft) -> String {
    let text = format!("{}\0{}\0{}", draft.schedule, draft.user, draft.command);
    Revision::of(&text).to_string().chars().take(6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is_and_what_it_does() {
        for (label, command, expected) in [
            ("pi", "/usr/bin/backup.sh --full /home >> /var/log/x 2>&1", "pi-backup-sh-home"),
            (
                "crontab",
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
                "crontab-anacron-run-parts-cron-daily",
            ),
            ("www-data", "A=1 -x", "www-data"),
            ("ä", "é", "job"),
            ("j.doe", "x", "j-doe-x"),
        ] {
            assert_eq!(plain(label, command), expected);
        }
        assert!(plain(&"l".repeat(80), &"c".repeat(300)).len() <= NAME_BYTES - ROOM);
        assert!(plain("l", &"c".repeat(300)).len() <= NAME_BYTES - ROOM);
    }
}
