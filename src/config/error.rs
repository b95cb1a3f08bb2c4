//! Why a configuration is refused.

use core::fmt;
use std::path::{Path, PathBuf};

/// A refused configuration: the agent cannot start until its owner changes what is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None`: a default of this machine is meant.
    pub file: Option<PathBuf>,
    /// The line, from 1; `None`: the whole file is meant.
    pub line: Option<usize>,
    /// The field, as `nats.servers`; `None`: the text as a whole.
    pub field: Option<String>,
    /// What is wrong and what is allowed.
    pub reason: String,
}

impl ConfigError {
    pub(super) fn of_file(file: &Path, reason: String) -> Self {
        Self { file: Some(file.to_owned()), line: None, field: None, reason }
    }
}

/// `FILE:LINE: FIELD: REASON`, as compilers print it.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("configuration")?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for ConfigError {}
