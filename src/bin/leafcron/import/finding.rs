//! What is said about a line: by file, line and column, as compilers do.

use serde::Serialize;

use super::line::shortened;
use crate::table::safe;

/// Something to know about a line or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The file.
    pub(super) file: String,
    /// The line, from 1; `None`: the file as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// The character of the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<usize>,
    pub(super) kind: Kind,
    /// Why, and what to write instead.
    pub(super) reason: String,
    /// The line itself, or as much of it as fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It is there, and means something else in a way that matters.
    Changed,
    /// cron runs or heeds it, and leafcron will not.
    NotCarried,
    /// cron does not heed it either.
    PassedOver,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::NotCarried => "not carried",
            Self::PassedOver => "passed over",
        }
    }
}

impl Finding {
    /// Of a whole file.
    pub(super) fn of_file(file: &str, kind: Kind, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, kind, reason: reason.into(), text: None }
    }
}

/// `FILE:LINE:COLUMN: not carried: REASON`, and below it the line.
impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&safe(&self.file))?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        writeln!(f, ": {}: {}", self.kind.words(), safe(&self.reason))?;
        match &self.text {
            Some(text) => writeln!(f, "  {}", safe(&shortened(text))),
            None => Ok(()),
        }
    }
}
