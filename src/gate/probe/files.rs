//! Files below a root path, so that tests bring fixture trees: every read is bounded, and never waits.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A value of sysfs is one short line.
const VALUE_BYTES: u64 = 256;
/// Entries of one directory of sysfs: no machine has as many thermal zones, supplies or sensors.
const ENTRIES: usize = 256;

/// The root.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is no such file.
    Absent,
    /// The kernel has it and serves it not: EOPNOTSUPP.
    Unsupported,
    /// Opening or reading it failed otherwise: a sensor that is off, say.
    Failed,
    /// It says what no such file says.
    Garbage,
}

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn below(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The file's text if it is at most `most` bytes of UTF-8.
    pub(super) fn text(&self, path: &str, most: u64) -> Result<String, Unread> {
        text(&self.below(path), most)
    }

    /// The file's whole lines within its first `most` bytes.
    pub(super) fn beginning(&self, path: &str, most: u64) -> Option<String> {
        let mut bytes = prefix(&self.below(path), most).ok()?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
        bytes.truncate(end);
        String::from_utf8(bytes).ok()
    }

    /// The entries of a directory of sysfs; none where there is no such directory, no answer where it is none.
    pub(super) fn entries(&self, path: &str) -> Option<Vec<PathBuf>> {
        let list = match std::fs::read_dir(self.below(path)) {
            Ok(list) => list,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Vec::new()),
            Err(_) => return None,
        };
        let entries = list.take(ENTRIES + 1).map(|entry| entry.map(|entry| entry.path()));
        let entries = entries.collect::<Result<Vec<_>, _>>().ok()?;
        (entries.len() <= ENTRIES).then_some(entries)
    }
}

/// One value of sysfs, without the end of its line.
pub(super) fn value(dir: &Path, name: &str) -> Result<String, Unread> {
    let text = text(&dir.join(name), VALUE_BYTES)?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

fn text(path: &Path, most: u64) -> Result<String, Unread> {
    let bytes = prefix(path, most.saturating_add(1)).map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            Unread::Absent
        } else if error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) {
            Unread::Unsupported
        } else {
            Unread::Failed
        }
    })?;
    let short = u64::try_from(bytes.len()).is_ok_and(|length| length <= most);
    if short { String::from_utf8(bytes).map_err(|_| Unread::Garbage) } else { Err(Unread::Garbage) }
}

fn prefix(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // A FIFO in the place of the file must not stop the agent.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
