//! The environment of a command, built from nothing: what the system gives, then the job's own, then its file, then
//! the facts of the Run. Later ones win. Sources: `environ(7)`, `crontab(5)`, `systemd.exec(5)`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::error::reason_of;
use super::spec::{EnvFile, RunSpec, trigger_text};
use super::user::Identity;
use crate::job::limits;

/// Where commands are looked for, as root's and users' login shells do.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The shell of `command`, whatever the user's login shell is.
pub(super) const SHELL: &str = "/bin/sh";
/// Where the agent itself has none.
const LANG: &str = "C.UTF-8";
/// A variables file, in bytes: a definition's bound.
const ENV_FILE_BYTES: u64 = 64 * 1024;

/// All variables of one Run.
pub(super) fn of(spec: &RunSpec, identity: &Identity) -> Result<BTreeMap<String, String>, String> {
    let own = |name: &str| std::env::var(name).ok();
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("PATH", PATH.to_owned());
    set("HOME", identity.home.clone());
    set("USER", identity.name.clone());
    set("LOGNAME", identity.name.clone());
    set("SHELL", SHELL.to_owned());
    set("LANG", own("LANG").unwrap_or_else(|| LANG.to_owned()));
    if let Some(zone) = spec.time_zone.clone().or_else(|| own("TZ")) {
        set("TZ", zone);
    }
    env.extend(spec.env.iter().cloned());
    if let Some(file) = &spec.env_file {
        env.extend(read(file, identity)?);
    }
    env.extend(facts(spec).map(|(name, value)| (name.to_owned(), value)));
    Ok(env)
}

/// What a command may know of its Run; also the mark by which its processes are found again.
pub(super) fn facts(spec: &RunSpec) -> [(&'static str, String); 5] {
    [
        ("LEAFCRON_JOB", spec.job.to_string()),
        ("LEAFCRON_RUN", spec.run.to_string()),
        ("LEAFCRON_DUE", spec.due.to_string()),
        ("LEAFCRON_ATTEMPT", spec.attempt.to_string()),
        ("LEAFCRON_TRIGGER", trigger_text(spec.trigger).to_owned()),
    ]
}

fn read(file: &EnvFile, identity: &Identity) -> Result<Vec<(String, String)>, String> {
    let (EnvFile::Local(path) | EnvFile::AsUser(path)) = file;
    let refuse = |why: String| format!("env_file {path}: {why}");
    // Not blocking: opening a FIFO must not hold the Run.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || openat(CWD, path.as_str(), flags, Mode::empty()).map_err(std::io::Error::from);
    let opened = match file {
        EnvFile::Local(_) => open().map_err(|error| reason_of(&error)),
        EnvFile::AsUser(_) => identity.open(open),
    };
    let mut opened = File::from(opened.map_err(refuse)?);
    let about = opened.metadata().map_err(|error| refuse(reason_of(&error)))?;
    if !about.is_file() {
        return Err(refuse("is not a regular file".to_owned()));
    }
    let own = nix::unistd::geteuid().as_raw();
    if matches!(file, EnvFile::Local(_)) && about.uid() != 0 && about.uid() != own {
        return Err(refuse(format!("belongs to uid {}; root or the agent's uid is allowed", about.uid())));
    }
    let mut text = String::new();
    (&mut opened)
        .take(ENV_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| refuse(reason_of(&error)))?;
    if text.len() as u64 > ENV_FILE_BYTES {
        return Err(refuse(format!("is longer than {ENV_FILE_BYTES} bytes")));
    }
    parse(&text).map_err(refuse)
}

/// Lines of `NAME=value`; blank lines and those that begin with `#` or `;` are passed over, one pair of quotes around
/// a value is taken off. Nothing is expanded. A value never appears in an error: it may be a secret.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let name_and_value = line.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start()));
        let Some((name, value)) = name_and_value.filter(|(name, value)| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !name.is_empty()
                && name.chars().all(allowed)
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && !value.contains('\0')
        }) else {
            return Err(format!("line {number} is not NAME=value"));
        };
        if found.len() == limits::ENV_VARS {
            return Err(format!("has more than {} variables", limits::ENV_VARS));
        }
        found.push((name.to_owned(), unquoted(value).to_owned()));
    }
    Ok(found)
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variables_file_is_read_line_by_line() {
        let text = "# about\n\nA=1\n B = two words \n; old\nC=\"quoted \"\nD='$A'\nE=\nF=a=b\nG=\"\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "quoted "),
            ("D", "$A"),
            ("E", ""),
            ("F", "a=b"),
            ("G", "\""),
        ];
        let found = parse(text).unwrap();
        assert_eq!(found.len(), expected.len());
        for ((name, value), expected) in found.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
    }

    #[test]
    fn an_error_names_the_line_and_never_the_value() {
        for text in
            ["A=1\nsecret\n", "A=1\n=secret\n", "A=1\n1A=secret\n", "A=1\nA B=secret", "A=1\nB=sec\0ret"]
        {
            let error = parse(text).unwrap_err();
            assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
        }
    }
}
