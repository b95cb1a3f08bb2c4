//! Why a schedule or its zone is refused.

use core::fmt;

use crate::job::FieldError;

/// A refused `schedule` or `time_zone`: the definition cannot be taken until its owner changes that field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    field: &'static str,
    reason: String,
}

impl ScheduleError {
    /// A refusal of the line.
    pub(super) fn line(reason: impl Into<String>) -> Self {
        Self { field: "schedule", reason: reason.into() }
    }

    /// A refusal of the zone.
    pub(super) fn zone(reason: impl Into<String>) -> Self {
        Self { field: "time_zone", reason: reason.into() }
    }

    /// The definition's field that is meant: `schedule` or `time_zone`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong, where, and what is allowed; does not repeat the field's name.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for ScheduleError {}

impl From<ScheduleError> for FieldError {
    fn from(error: ScheduleError) -> Self {
        Self::new(error.field, error.reason)
    }
}
