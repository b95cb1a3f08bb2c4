//! Tables for people: columns as wide as their cells, and nothing in a cell that a terminal would obey.

/// A header and rows.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    /// Lines below it.
    notes: Vec<String>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as the header has.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        let cells = cells.into_iter().map(|cell| safe(&cell)).collect();
        self.rows.push(Row { cells, notes: Vec::new() });
        self
    }

    /// Adds a line below the last row.
    pub(crate) fn note(&mut self, text: &str) -> &mut Self {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(safe(text));
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, every line indented by `indent`.
    pub(crate) fn render(&self, indent: &str) -> String {
        let widths: Vec<usize> = self
            .header
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
                cells.map(|cell| width(cell)).chain([width(title)]).max().unwrap_or(0)
            })
            .collect();
        let header: Vec<String> = self.header.iter().map(|title| (*title).to_owned()).collect();
        let mut text = line(&header, &widths, indent);
        for row in &self.rows {
            text.push_str(&line(&row.cells, &widths, indent));
            for note in &row.notes {
                text.push_str(&format!("{indent}{GAP}{note}\n"));
            }
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize], indent: &str) -> String {
    let mut text = indent.to_owned();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&format!("{cell:<width$}{GAP}"));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text on one line, without what a terminal would obey: job output and definitions are somebody else's words.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|c| if harmful(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same for text of many lines, which stay lines.
pub(crate) fn safe_lines(text: &str) -> String {
    let keep = |c: char| c == '\n' || c == '\t' || !harmful(c);
    text.chars().map(|c| if keep(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

/// Controls, and the characters that turn the direction of what follows or break its line.
pub(crate) fn harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut table = Table::new(&["JOB", "NEXT", "STATE"]);
        table.row(["backup", "-", "idle"].map(str::to_owned));
        table.row(["ünï", "2026-11-22", ""].map(str::to_owned)).note("a note");
        let expected = "JOB     NEXT        STATE\nbackup  -           idle\nünï     2026-11-22\n  a note\n";
        assert_eq!(table.render(""), expected);
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        assert_eq!(safe("a\x1b[2Jb\r\n\u{9b}c\u{202e}d\u{7f}é"), r"a\u{1b}[2Jb\r\n\u{9b}c\u{202e}d\u{7f}é");
        assert_eq!(safe_lines("a\tb\nc\x07\r\n"), "a\tb\nc\\u{7}\\r\n");
    }
}
