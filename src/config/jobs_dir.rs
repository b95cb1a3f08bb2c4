//! The jobs directory: its `*.toml` files in byte order, each only if it can be trusted. Hidden files are passed over
//! (editors and package managers leave them); so is everything that is not called `.toml`.
//!
//! One file is in memory at a time: a [`JobsDir`] reads each when it is asked for the next.

use core::fmt;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::trust::{self, Refused};
use crate::job::{JobsFile, limits};

/// Names that are listed at most, so that a directory that something floods costs little: beyond
/// [`limits::JOBS_FILES`] each is refused by name, beyond this the directory as a whole.
const LISTED: usize = 8 * limits::JOBS_FILES;

/// The files of a directory; an iterator that reads one at a time.
#[derive(Debug)]
pub struct JobsDir {
    /// `None`: there is no directory.
    dir: Option<OwnedFd>,
    path: PathBuf,
    names: std::iter::Enumerate<std::vec::IntoIter<OsString>>,
}

/// The directory cannot be read or trusted: what is in force stays as it is.
#[derive(Debug)]
pub struct JobsDirError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Refused(Refused),
    TooMany,
}

impl fmt::Display for JobsDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason())
    }
}

impl std::error::Error for JobsDirError {}

impl JobsDirError {
    /// What is wrong and what mends it, without the path.
    #[must_use]
    pub fn reason(&self) -> String {
        let most = limits::JOBS_FILES;
        match &self.why {
            Why::Refused(refused) => refused.to_string(),
            Why::TooMany => format!("holds more than {LISTED} jobs files; at most {most} are read"),
        }
    }
}

impl JobsDir {
    /// Lists the directory. One that is not there holds no files: [`is_missing`](Self::is_missing) says so.
    ///
    /// # Errors
    /// It cannot be read or trusted, or holds too many files to list.
    pub fn open(path: &Path) -> Result<Self, JobsDirError> {
        let fail = |why| JobsDirError { path: path.to_owned(), why };
        let dir = match trust::open_directory(path) {
            Ok(dir) => Some(dir),
            Err(Refused::Absent) => None,
            Err(refused) => return Err(fail(Why::Refused(refused))),
        };
        let names = dir.as_ref().map_or_else(|| Ok(Vec::new()), list).map_err(fail)?;
        Ok(Self { dir, path: path.to_owned(), names: names.into_iter().enumerate() })
    }

    /// Whether there is no directory.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.dir.is_none()
    }
}

impl Iterator for JobsDir {
    type Item = JobsFile;

    fn next(&mut self) -> Option<JobsFile> {
        let dir = self.dir.as_ref()?;
        let (at, name) = self.names.next()?;
        let text = match (at < limits::JOBS_FILES, name.to_str()) {
            (true, Some(_)) => trust::read_at(dir, &name, &self.path.join(&name), limits::JOBS_FILE_BYTES)
                .map_err(|refused| refused.to_string()),
            (true, None) => Err("has a name that is not UTF-8; rename it".to_owned()),
            (false, _) => Err(format!(
                "is not read: {} jobs files come before it, and no more are allowed",
                limits::JOBS_FILES
            )),
        };
        Some(JobsFile { name: name.to_string_lossy().into_owned(), text })
    }
}

/// The names of the jobs files, in byte order.
fn list(dir: &OwnedFd) -> Result<Vec<OsString>, Why> {
    let read = |error: rustix::io::Errno| Why::Refused(Refused::Io(error.into()));
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name.as_bytes().starts_with(b".") || !name.as_bytes().ends_with(b".toml") {
            continue;
        }
        if names.len() == LISTED {
            return Err(Why::TooMany);
        }
        names.push(OsString::from_vec(name.as_bytes().to_vec()));
    }
    names.sort_unstable();
    Ok(names)
}
