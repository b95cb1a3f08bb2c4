//! Why a schedule or its zone is refused.

use core::fmt;

use crate::job::FieldError;

/// A refused `schedule` or `time_zone`: the definition cannot be taken until its owner changes that field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    field: &'static str,
    reason: String,
    fires: Fires,
}

/// What is known of a refused line's fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fires {
    /// Well written, and it has none.
    Never,
    /// Nothing.
    Unknown,
}

impl ScheduleError {
    /// A refusal of the line.
    pub(super) fn line(reason: impl Into<String>) -> Self {
        Self { field: "schedule", reason: reason.into(), fires: Fires::Unknown }
    }

    /// The refusal of a line that is well written and names no date that exists.
    pub(super) fn never(reason: impl Into<String>) -> Self {
        Self { fires: Fires::Never, ..Self::line(reason) }
    }

    /// A refusal of the zone.
    pub(super) fn zone(reason: impl Into<String>) -> Self {
        Self { field: "time_zone", reason: reason.into(), fires: Fires::Unknown }
    }

    /// The same, and this too.
    pub(super) fn and(self, more: &str) -> Self {
        Self { reason: format!("{}; {more}", self.reason), ..self }
    }

    /// The definition's field that is meant: `schedule` or `time_zone`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Whether it is refused because it can never fire, and for nothing else.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.fires == Fires::Never
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
