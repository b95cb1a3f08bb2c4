//! What is said about refusals: bounded, however much is wrong, and harmless to a terminal.

use crate::job::{FieldError, RefusedRow, Source, limits};

/// Rows of one load: one for each job that could be in force. Further ones are counted.
const ROWS: usize = limits::JOBS;
/// A name or a field in a row, in bytes.
const NAME_BYTES: usize = 128;

/// The rows of a load.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<RefusedRow>,
    beyond: usize,
}

impl Rows {
    /// Adds a row, or counts it.
    pub(super) fn push(&mut self, row: impl FnOnce() -> RefusedRow) {
        if self.rows.len() < ROWS {
            self.rows.push(row());
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    /// The rows, the last of which says how many more there were.
    pub(super) fn finish(mut self) -> Vec<RefusedRow> {
        if self.beyond > 0 {
            let reason = FieldError::new("", "are refused too and not listed");
            self.rows.push(row(format!("{} more", self.beyond), None, None, &reason));
        }
        self.rows.shrink_to_fit();
        self.rows
    }
}

/// One row.
pub(super) fn row(origin: String, line: Option<usize>, job: Option<&str>, error: &FieldError) -> RefusedRow {
    let field = Some(error.field.as_str()).filter(|field| !field.is_empty());
    RefusedRow {
        origin: clean(&origin, NAME_BYTES),
        line,
        job: job.map(|job| clean(job, NAME_BYTES)),
        field: field.map(|field| clean(field, NAME_BYTES)),
        reason: clean(&error.reason, limits::DETAIL_BYTES),
    }
}

/// The file or key that a source is.
pub(super) fn origin(source: &Source) -> String {
    match source {
        Source::File(name) => name.clone(),
        Source::Agent | Source::Group(_) => source.to_string(),
    }
}

/// Whether it is a file of this device.
pub(super) fn is_file(source: &Source) -> bool {
    matches!(source, Source::File(_))
}

/// At most `most` bytes of `text`, without what would move a terminal's cursor.
fn clean(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        let c = if c.is_control() { '\u{fffd}' } else { c };
        if clean.len() + c.len_utf8() > most {
            clean.push('…');
            break;
        }
        clean.push(c);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_clean() {
        let mut rows = Rows::default();
        let error = FieldError::new("a\u{1b}[31m", "ü".repeat(10_000));
        for _ in 0..ROWS + 7 {
            rows.push(|| row("f.toml".to_owned(), Some(1), Some("x"), &error));
        }
        let rows = rows.finish();
        assert_eq!(rows.len(), ROWS + 1);
        assert_eq!(rows[0].field.as_deref(), Some("a\u{fffd}[31m"));
        assert!(
            rows[0].reason.len() <= limits::DETAIL_BYTES + '…'.len_utf8() && rows[0].reason.ends_with('…')
        );
        assert_eq!(rows[ROWS].to_string(), "7 more: are refused too and not listed");
    }
}
