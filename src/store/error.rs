//! What can go wrong with the store.

use core::fmt;
use std::io;

use super::disk::LockRefused;

/// Why the store could not do something. `Display` names operation and object; the cause is the `source`.
#[derive(Debug)]
pub enum StoreError {
    /// The disk refused: try again with the next turn.
    Disk {
        /// What was tried, as `append to`.
        operation: &'static str,
        /// On which file of the state directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent has the state directory: give up.
    Locked {
        /// Its process id, if it could be read.
        pid: Option<u32>,
    },
    /// One entry alone is more than a frame may hold: it is never stored, give it up.
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// An entry has no binary form: it is never stored, give it up.
    Encode(postcard::Error),
}

impl StoreError {
    /// Whether there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
        matches!(self, Self::Disk { source, .. } if full.contains(&source.kind()))
    }

    /// The error and its cause in one line, as `status` shows it.
    #[must_use]
    pub fn chain(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    pub(super) fn disk(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { operation, file: file.to_owned(), source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { operation, file, .. } => write!(f, "{operation} {file}"),
            Self::Locked { pid: Some(pid) } => {
                write!(f, "the state directory is in use by process {pid}; stop that agent first")
            }
            Self::Locked { pid: None } => {
                f.write_str("the state directory is in use by another process; stop that agent first")
            }
            Self::TooLarge { bytes } => {
                write!(f, "an entry of {bytes} bytes; a frame holds {}", crate::job::limits::FRAME_BYTES)
            }
            Self::Encode(_) => f.write_str("encode an entry"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::Encode(source) => Some(source),
            Self::Locked { .. } | Self::TooLarge { .. } => None,
        }
    }
}

impl From<LockRefused> for StoreError {
    fn from(refused: LockRefused) -> Self {
        match refused {
            LockRefused::Held(pid) => Self::Locked { pid },
            LockRefused::Io(source) => Self::Disk { operation: "lock", file: "lock".to_owned(), source },
        }
    }
}
