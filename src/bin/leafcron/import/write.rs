//! Jobs files into the jobs directory: whole or not at all, and none over another.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use leafcron::config::JobsDir;

use crate::answer::{Failure, chain};
use crate::table::safe;

/// A file to be written.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) text: String,
    /// Its permissions.
    pub(super) mode: u32,
}

/// The directory, if an agent would read it: its owner and its permissions are right.
pub(super) fn open(directory: &Path) -> Result<JobsDir, Failure> {
    let opened = JobsDir::open(directory).map_err(|error| Failure::CannotAsk(chain(&error)))?;
    if opened.is_missing() {
        let path = safe(&directory.display().to_string());
        return Err(Failure::CannotAsk(format!(
            "{path}: there is no such directory; make it with: install -d -m 755 {path}"
        )));
    }
    Ok(opened)
}

/// Writes them. The first that is there already stops it, before anything is written.
pub(super) fn write(directory: &Path, files: &[Made]) -> Result<Vec<PathBuf>, Failure> {
    let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(&file.name)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(exists(there));
    }
    for (path, file) in paths.iter().zip(files) {
        put(directory, path, file).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(path),
            _ => Failure::CannotAsk(format!("write {}: {error}", safe(&path.display().to_string()))),
        })?;
    }
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Failure::CannotAsk(format!("write {}: {error}", directory.display())))?;
    Ok(paths)
}

fn exists(path: &Path) -> Failure {
    let path = safe(&path.display().to_string());
    Failure::No(format!(
        "{path} is there already and is not written over: remove it or give it another name first"
    ))
}

/// Under a hidden name, which no agent reads, until it is whole on the disk; a link then fails where a file has come up.
fn put(directory: &Path, path: &Path, file: &Made) -> io::Result<()> {
    let hidden = directory.join(format!(".{}.{}", file.name, std::process::id()));
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
    let written = opened
        .write_all(file.text.as_bytes())
        .and_then(|()| opened.set_permissions(Permissions::from_mode(file.mode)))
        .and_then(|()| opened.sync_all())
        .and_then(|()| std::fs::hard_link(&hidden, path));
    let removed = std::fs::remove_file(&hidden);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> Made {
        Made { name: name.to_owned(), text: "new".to_owned(), mode: 0o640 }
    }

    #[test]
    fn nothing_is_written_over_and_nothing_half_written_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let b = dir.path().join("b.toml");
        std::os::unix::fs::symlink("/nowhere", &b).unwrap();
        assert!(matches!(write(dir.path(), &[made("a.toml"), made("b.toml")]), Err(Failure::No(_))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "not even the first");
        // It comes up between look and link.
        assert_eq!(put(dir.path(), &b, &made("b.toml")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let written = write(dir.path(), &[made("a.toml")]).unwrap();
        assert_eq!(std::fs::read_to_string(&written[0]).unwrap(), "new");
        assert_eq!(std::fs::metadata(&written[0]).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
