//! The crontabs that are asked for: where they lie, whose they are, and whether cron would heed them. Each is read from an
//! opened descriptor, bounded, and only if it is a regular file.
//!
//! Sources: cron(8) and crontab(5) of Debian and cronie, run-parts(8).

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use leafcron::job::limits;
use nix::fcntl::OFlag;
use nix::unistd::{Uid, User};

use super::crontab::Crontab;
use super::finding::{Finding, Kind};
use super::line::is_user;
use crate::answer::Failure;
use crate::args::Import;
use crate::table::safe;

/// Where users' crontabs lie: Debian's place, then cronie's.
const SPOOLS: [&str; 2] = ["var/spool/cron/crontabs", "var/spool/cron"];
const CRONTAB: &str = "etc/crontab";
const CRON_D: &str = "etc/cron.d";
/// What is read from standard input is nobody else's to read.
const PRIVATE: u32 = 0o600;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) crontabs: Vec<Crontab>,
    /// Files that are not among them.
    pub(super) findings: Vec<Finding>,
}

/// All that is asked for, in the order of the options' description. What is named and cannot be had fails as a
/// whole.
pub(super) fn find(asked: &Import) -> Result<Found, Failure> {
    let root = asked.root.as_deref().unwrap_or(Path::new("/"));
    let root = &std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut found = Found::default();
    for file in &asked.files {
        found.crontabs.push(named(file, root, asked)?);
    }
    if asked.system {
        system(root, &mut found)?;
    }
    let named = asked.system || !asked.files.is_empty();
    for user in &asked.user_crontab {
        if !is_user(user) {
            return Err(Failure::CannotAsk(format!("--user-crontab {}: is no user's name", safe(user))));
        }
        match spooled(user, root) {
            Ok(path) => found.crontabs.push(of_user(user, &path, root)?),
            // A user without one is nothing to stop for where more was asked for.
            Err(none) if named => found.findings.push(none),
            Err(none) => return Err(Failure::CannotAsk(none.reason)),
        }
    }
    Ok(found)
}

/// A file that is named: whoever owns it and wherever it lies, but never as root what somebody else wrote, unless told.
fn named(file: &Path, root: &Path, asked: &Import) -> Result<Crontab, Failure> {
    let name = file.display().to_string();
    let cannot = |why: String| Failure::CannotAsk(format!("{}: {why}", safe(&name)));
    let is_stdin = file == Path::new("-");
    let (text, about) = if is_stdin {
        (bounded(io::stdin().lock()).map_err(cannot)?, None)
    } else {
        let (text, about) = read(file, OFlag::empty()).map_err(cannot)?;
        (text, Some(about))
    };
    let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let absolute = std::path::absolute(file).unwrap_or_default();
    let of_system = absolute == root.join(CRONTAB) || absolute.parent() == Some(&root.join(CRON_D));
    let mode = about.as_ref().map_or(PRIVATE, mode);
    let file = if is_stdin { "standard input".to_owned() } else { name.clone() };
    if of_system || asked.user_field {
        let label = if is_stdin { "stdin".to_owned() } else { file_name };
        return Ok(Crontab { file, label, owner: None, text, mode });
    }
    let owner = match &asked.owner {
        Some(owner) if is_user(owner) => owner.clone(),
        Some(owner) => return Err(Failure::CannotAsk(format!("--as {}: is no user's name", safe(owner)))),
        None => asker(about.as_ref()).map_err(cannot)?,
    };
    Ok(Crontab { file, label: owner.clone(), owner: Some(owner), text, mode })
}

/// Whose a crontab is that nothing is said of: of whoever asks. Root is not made to run what others wrote by silence.
fn asker(about: Option<&Metadata>) -> Result<String, String> {
    let own = Uid::effective();
    let called =
        |uid: Uid| User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let other = match about {
        Some(about) => Some(Uid::from_raw(about.uid())).filter(|uid| *uid != own).map(called),
        None => std::env::var("SUDO_USER").ok().filter(|user| *user != called(own)),
    };
    match other {
        Some(other) if own.is_root() => Err(format!(
            "is it the crontab of {0} or of root? `--as {0}` or `--as root` says whom its jobs run as",
            safe(&other)
        )),
        _ => Ok(called(own)),
    }
}

/// `/etc/crontab` and `/etc/cron.d`, as cron reads them.
fn system(root: &Path, found: &mut Found) -> Result<(), Failure> {
    let crontab = root.join(CRONTAB);
    let directory = root.join(CRON_D);
    let names = names(&directory)?;
    if names.is_none() && !crontab.exists() {
        let (crontab, directory) = (crontab.display(), directory.display());
        return Err(Failure::CannotAsk(format!(
            "there is neither {crontab} nor {directory}: name the files"
        )));
    }
    if crontab.symlink_metadata().is_ok() {
        found.trusted(&crontab, "crontab");
    }
    for name in names.into_iter().flatten() {
        let path = directory.join(&name);
        match name.to_str().filter(|name| is_run_parts(name)) {
            Some(name) => found.trusted(&path, name),
            None => found.findings.push(Finding::of_file(
                &path.display().to_string(),
                Kind::PassedOver,
                "Debian's cron reads only names of letters, digits, _ and -; name the file itself if cronie ran it",
            )),
        }
    }
    Ok(())
}

impl Found {
    /// A file of the system that cron heeds: root's (or the asker's own), and written by nobody else.
    fn trusted(&mut self, path: &Path, label: &str) {
        let file = path.display().to_string();
        let read = read(path, OFlag::empty()).and_then(|(text, about)| {
            let own = Uid::effective().as_raw();
            match () {
                () if about.uid() != 0 && about.uid() != own => {
                    Err(format!("belongs to uid {}, not to root: cron does not read it", about.uid()))
                }
                () if about.mode() & 0o022 != 0 => {
                    Err("can be written by others: cron does not read it; chmod go-w".to_owned())
                }
                () => Ok((text, about)),
            }
        });
        match read {
            Ok((text, about)) => {
                let label = label.to_owned();
                self.crontabs.push(Crontab { file, label, owner: None, text, mode: mode(&about) });
            }
            Err(why) => self.findings.push(Finding::of_file(&file, Kind::NotCarried, why)),
        }
    }
}

/// The names in `/etc/cron.d`, in byte order; hidden ones, which packages leave there, are no crontabs. `None`: there is
/// no such directory.
fn names(directory: &Path) -> Result<Option<Vec<std::ffi::OsString>>, Failure> {
    let cannot =
        |why: String| Failure::CannotAsk(format!("{}: {why}", safe(&directory.display().to_string())));
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(format!("cannot be read: {error}"))),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| cannot(format!("cannot be read: {error}")))?.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if names.len() == limits::JOBS_FILES {
            let most = limits::JOBS_FILES;
            return Err(cannot(format!("holds more than {most} files; name those that are meant")));
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(Some(names))
}

/// What run-parts(8) takes for a name.
fn is_run_parts(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Where a user's crontab lies in cron's spool; or that there is none.
fn spooled(user: &str, root: &Path) -> Result<PathBuf, Finding> {
    let paths: Vec<PathBuf> = SPOOLS.iter().map(|spool| root.join(spool).join(user)).collect();
    let there = |path: &&PathBuf| match path.symlink_metadata() {
        Ok(about) => !about.is_dir(),
        Err(error) => error.kind() != io::ErrorKind::NotFound && error.kind() != io::ErrorKind::NotADirectory,
    };
    paths.iter().find(there).cloned().ok_or_else(|| {
        let looked: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let none = format!("{user} has no crontab: there is no {}", looked.join(" and no "));
        Finding::of_file(looked.first().map_or("", String::as_str), Kind::PassedOver, none)
    })
}

/// A user's crontab: a file of theirs or root's, and no link.
fn of_user(user: &str, path: &Path, root: &Path) -> Result<Crontab, Failure> {
    let file = path.display().to_string();
    let cannot = |why: String| Failure::CannotAsk(format!("{}: {why}", safe(&file)));
    let (text, about) = read(path, OFlag::O_NOFOLLOW).map_err(|why| {
        cannot(format!("{why}; as {user}, `crontab -l | leafcron import -` needs no rights"))
    })?;
    if about.mode() & 0o022 != 0 {
        return Err(cannot("can be written by others: cron does not read it".to_owned()));
    }
    // Of another machine's disk, whose numbers may mean others, it is not asked.
    let theirs = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
    if root == Path::new("/") && about.uid() != 0 && theirs.is_some_and(|uid| uid != about.uid()) {
        return Err(cannot(format!("belongs to uid {}, not to {user}: cron does not read it", about.uid())));
    }
    Ok(Crontab { file, label: user.to_owned(), owner: Some(user.to_owned()), text, mode: mode(&about) })
}

/// A regular file's bytes, without waiting for whoever might write to a FIFO.
fn read(path: &Path, flags: OFlag) -> Result<(Vec<u8>, Metadata), String> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file: File =
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(|error| {
            match error.raw_os_error() {
                Some(code) if code == nix::errno::Errno::ELOOP as i32 => "is a symbolic link".to_owned(),
                _ => format!("cannot be read: {error}"),
            }
        })?;
    let about = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("is not a regular file".to_owned());
    }
    Ok((bounded(file)?, about))
}

fn bounded(from: impl Read) -> Result<Vec<u8>, String> {
    let most = limits::JOBS_FILE_BYTES;
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        Err(format!("is larger than {most} bytes"))
    }
}

/// As readable as the crontab is: it may hold secrets, and so does what is made of it.
fn mode(about: &Metadata) -> u32 {
    PRIVATE | about.mode() & 0o044
}

/// Whether `name` can be part of a jobs file's name as it is.
pub(super) fn file_name(label: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    let name: String = OsStr::new(label).to_string_lossy().chars().map(clean).take(64).collect();
    format!("cron-{name}.toml")
}
