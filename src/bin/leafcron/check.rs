//! `leafcron check`: judges jobs files as the agent would, without one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use leafcron::catalog::{AgentUser, Catalog, Rules};
use leafcron::config::{JobsDir, User};
use leafcron::job::{JobsFile, Reloaded, limits};
use leafcron::schedule::Zone;
use nix::unistd;

use crate::answer::{Answer, Failure, chain};
use crate::place::Found;
use crate::table::safe;

/// Judges the files together, so that a job that two of them define is seen; none named: the configured directory.
pub(crate) fn check(found: Found, paths: &[PathBuf], as_json: bool) -> Result<Answer, Failure> {
    let mut files = Vec::new();
    match paths {
        [] => files.extend(in_directory(&found.config.jobs_dir)?),
        paths => {
            for path in paths {
                if path.is_dir() {
                    files.extend(in_directory(path)?);
                } else {
                    files.push(JobsFile { name: path.display().to_string(), text: read(path) });
                }
            }
        }
    }
    let code = if files.iter().any(|file| file.text.is_err()) { 2 } else { 0 };
    let read = files.len();
    let judged = Reloaded::from(Catalog::new(rules(found)).load_files(files));
    render(&judged, read, code, as_json)
}

/// What the agent of this configuration demands of files; nothing else is judged here.
pub(crate) fn rules(found: Found) -> Rules {
    let zone = Zone::device();
    let (groups, centre) = (Vec::new(), None);
    let user = agent_user(&found.user);
    Rules { defaults: found.config.defaults, zone, user, groups, centre }
}

fn render(judged: &Reloaded, files: usize, unreadable: u8, as_json: bool) -> Result<Answer, Failure> {
    let code = unreadable.max(u8::from(!judged.rejected.is_empty()));
    if as_json {
        return Ok(Answer::json(judged)?.with_code(code));
    }
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut out = format!("{} in {} accepted", plural(judged.accepted.len(), "job"), plural(files, "file"));
    if !judged.rejected.is_empty() {
        out.push_str(&format!(", {}", plural(judged.rejected.len(), "rejection")));
    }
    let err = judged.rejected.iter().map(|row| safe(&row.to_string()) + "\n").collect();
    Ok(Answer { out: out + "\n", err, code })
}

/// The files of a directory, as the agent reads them: only what nobody else can have written.
fn in_directory(path: &Path) -> Result<Vec<JobsFile>, Failure> {
    let directory = JobsDir::open(path).map_err(|error| Failure::CannotAsk(chain(&error)))?;
    if directory.is_missing() {
        return Err(Failure::CannotAsk(format!(
            "{}: there is no such directory; name the files to check",
            safe(&path.display().to_string())
        )));
    }
    Ok(directory.map(|file| JobsFile { name: path.join(&file.name).display().to_string(), ..file }).collect())
}

/// A file that is named: whoever owns it, wherever it lies.
fn read(path: &Path) -> Result<String, String> {
    let read = || {
        let mut text = String::new();
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.take(limits::JOBS_FILE_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= limits::JOBS_FILE_BYTES) {
        Ok(text)
    } else {
        Err(format!("is larger than {} bytes", limits::JOBS_FILE_BYTES))
    }
}

/// As whom the agent of this configuration runs.
fn agent_user(user: &User) -> AgentUser {
    match user {
        User::Root => AgentUser::Root {
            exists: |name| unistd::User::from_name(name).map_or(true, |user| user.is_some()),
        },
        User::Other { .. } => AgentUser::Other {
            name: unistd::User::from_uid(unistd::geteuid())
                .ok()
                .flatten()
                .map_or_else(|| unistd::geteuid().to_string(), |user| user.name),
        },
    }
}
