//! What can fail here, and the system's own words for it.

use core::fmt;
use std::io;

use nix::errno::Errno;

/// An operation of the runtime that failed. Nothing of the Run is left running when `start` answers with one.
#[derive(Debug)]
pub struct RuntimeError {
    what: String,
    source: io::Error,
}

impl RuntimeError {
    pub(super) fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { what: what.into(), source: source.into() }
    }

    /// What the system said.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for RuntimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds the operation to a failure of the system.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, RuntimeError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, RuntimeError> {
        self.map_err(|source| RuntimeError::new(what(), source))
    }
}

/// The system's words in the style of the house: `no such file or directory`.
pub(super) fn reason(errno: Errno) -> String {
    let mut words = errno.desc().to_owned();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}

/// The same for an error of std.
pub(super) fn reason_of(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| reason(Errno::from_raw(code)))
}
