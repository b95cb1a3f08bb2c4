//! TOML text as fields, with the line of each: what a person wrote, in jobs files and in the agent's configuration.

use core::fmt;

use serde_json::{Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::fields::FieldError;
use super::text::FieldMap;

/// Tables and lists within one another. No field of ours goes deeper than four; reading a definition back from its
/// JSON text has a bound too, and this is well below it.
const DEPTH: usize = 16;

/// A file of the jobs directory, as its reader found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsFile {
    /// Its name, without the directory.
    pub name: String,
    /// What it says, or why it was not read.
    pub text: Result<String, String>,
}

/// A text that is not TOML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not TOML: column {}: {}", self.column, self.reason)
    }
}

impl std::error::Error for SyntaxError {}

/// A TOML text, parsed.
pub struct Document<'t> {
    table: DeTable<'t>,
    lines: Lines,
}

impl<'t> Document<'t> {
    /// Parses `text`.
    ///
    /// # Errors
    /// The first thing that is not TOML.
    pub fn parse(text: &'t str) -> Result<Self, SyntaxError> {
        let lines = Lines::of(text);
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { table: table.into_inner(), lines }),
            Err(error) => {
                let at = error.span().map_or(text.len(), |span| span.start);
                let (line, start) = lines.position(at);
                let column = text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
                // The parser's text for two keys of one name, in its own words.
                let reason = error.message().to_owned();
                Err(SyntaxError { line, column, reason })
            }
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn top(&self) -> Section<'_> {
        Section { table: &self.table, lines: &self.lines, at: 0 }
    }
}

/// A table of a document.
#[derive(Clone, Copy)]
pub struct Section<'d> {
    table: &'d DeTable<'d>,
    lines: &'d Lines,
    /// Where its name stands, in bytes.
    at: usize,
}

impl<'d> Section<'d> {
    /// The line of its name, from 1.
    #[must_use]
    pub fn line(self) -> usize {
        self.lines.position(self.at).0
    }

    /// The line of the field at `path`, as `require.check`; of what comes nearest to it, where there is none.
    #[must_use]
    pub fn line_of(self, path: &str) -> usize {
        self.lines.position(find(self.table, path).unwrap_or(self.at)).0
    }

    /// The names in it, in byte order.
    pub fn names(self) -> impl Iterator<Item = &'d str> {
        self.table.keys().map(|key| key.get_ref().as_ref())
    }

    /// The table `name` in it; `None`: there is none, or it is not a table.
    #[must_use]
    pub fn section(self, name: &str) -> Option<Self> {
        let (key, value) = self.table.get_key_value(name)?;
        let table = value.get_ref().as_table()?;
        Some(Self { table, lines: self.lines, at: key.span().start })
    }

    /// Its fields.
    ///
    /// # Errors
    /// A value that a definition cannot hold: a date, a number that is not finite or beyond 64 bits, tables in tables
    /// without end.
    pub fn fields(self) -> Result<FieldMap, FieldError> {
        fields(self.table, DEPTH)
    }
}

/// Where the lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let next = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(core::iter::once(0).chain(next).collect())
    }

    /// The line of byte `at`, from 1, and the byte at which that line begins.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= at);
        (line, line.checked_sub(1).and_then(|line| self.0.get(line)).copied().unwrap_or(0))
    }
}

/// Where the longest known beginning of `path` stands. Names may hold dots themselves.
fn find(table: &DeTable<'_>, path: &str) -> Option<usize> {
    if let Some((key, _)) = table.get_key_value(path) {
        return Some(key.span().start);
    }
    table.iter().find_map(|(key, value)| {
        let rest = path.strip_prefix(key.get_ref().as_ref())?.strip_prefix('.')?;
        let deeper = value.get_ref().as_table().and_then(|table| find(table, rest));
        Some(deeper.unwrap_or(key.span().start))
    })
}

fn fields(table: &DeTable<'_>, depth: usize) -> Result<FieldMap, FieldError> {
    let entries = table.iter().map(|(key, item)| {
        let name = key.get_ref().as_ref();
        match value(item.get_ref(), depth) {
            Ok(value) => Ok((name.to_owned(), value)),
            Err(error) if error.field.is_empty() => Err(FieldError::new(name, error.reason)),
            Err(error) => Err(FieldError::new(format!("{name}.{}", error.field), error.reason)),
        }
    });
    entries.collect()
}

fn value(value_: &DeValue<'_>, depth: usize) -> Result<Value, FieldError> {
    let refuse = |reason: &str| Err(FieldError::new("", reason));
    let Some(below) = depth.checked_sub(1) else {
        return refuse("tables or lists within one another, too deep");
    };
    Ok(match value_ {
        DeValue::String(text) => Value::String(text.as_ref().to_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => match integer(number) {
            Some(number) => Value::Number(number.into()),
            None => return refuse("a number beyond 64 bits"),
        },
        DeValue::Float(number) => match float(number) {
            Some(number) => Value::Number(number),
            None => return refuse("a number that is not finite"),
        },
        DeValue::Datetime(_) => return refuse("a date; no field is one (write text in quotes)"),
        DeValue::Array(list) => {
            let items = list.iter().map(|item| value(item.get_ref(), below));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Object(fields(table, below)?),
    })
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn float(number: &DeFloat<'_>) -> Option<Number> {
    Number::from_f64(number.as_str().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::text::canonical;

    const JOBS: &str = "# jobs\n\n[job.a]\nschedule = \"@daily\"\nretry = { attempts = 2 }\n\n[job.a.require]\n\
                        load_per_cpu = 1.5\n\"odd.name\" = 1\n[job.b]\n";

    #[test]
    fn each_field_knows_its_line() {
        let document = Document::parse(JOBS).unwrap();
        let jobs = document.top().section("job").unwrap();
        assert_eq!(jobs.names().collect::<Vec<_>>(), ["a", "b"]);
        let a = jobs.section("a").unwrap();
        assert_eq!((a.line(), jobs.section("b").unwrap().line()), (3, 10));
        for (path, line) in [
            ("schedule", 4),
            ("retry", 5),
            ("retry.attempts", 5),
            ("require", 7),
            ("require.load_per_cpu", 8),
            ("require.odd.name", 9),
            ("require.check", 7),
            ("command", 3),
            ("", 3),
        ] {
            assert_eq!(a.line_of(path), line, "{path}");
        }
        assert!(document.top().section("none").is_none() && a.section("schedule").is_none());
    }

    #[test]
    fn fields_become_canonical_text() {
        let document = Document::parse(JOBS).unwrap();
        let fields = document.top().section("job").unwrap().section("a").unwrap().fields().unwrap();
        assert_eq!(
            canonical(&fields),
            r#"{"require":{"load_per_cpu":1.5,"odd.name":1},"retry":{"attempts":2},"schedule":"@daily"}"#
        );
        let numbers = Document::parse("a = 0x1F\nb = -9_000\nc = 1e3\nd = +0.5\ne = [1, [2]]").unwrap();
        assert_eq!(
            canonical(&numbers.top().fields().unwrap()),
            r#"{"a":31,"b":-9000,"c":1000.0,"d":0.5,"e":[1,[2]]}"#
        );
    }

    #[test]
    fn what_is_not_toml_says_where() {
        for (text, line, column) in [
            ("a = 1\nb = = 2\n", 2, 5),
            ("a = 1\nü = 2\n", 2, 1),
            ("a = \"x", 1, 7),
            ("[job.a]\n[job.a]\n", 2, 6),
            ("a = 1\n\na = 2\n", 3, 1),
        ] {
            let error = Document::parse(text).map(|_| ()).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        }
    }

    #[test]
    fn values_that_no_definition_can_hold_are_named() {
        for (text, field) in [
            ("a = 2020-01-01", "a"),
            ("a = 07:32:00", "a"),
            ("a = inf", "a"),
            ("a = -nan", "a"),
            ("a = 1e999", "a"),
            ("a = 9223372036854775808", "a"),
            ("[a.b]\nc = [1, nan]", "a.b.c"),
        ] {
            let document = Document::parse(text).unwrap();
            assert_eq!(document.top().fields().unwrap_err().field, field, "{text}");
        }
    }

    #[test]
    fn bottomless_texts_are_refused_and_cost_no_stack() {
        for text in [
            format!("a = {}1{}", "[".repeat(60), "]".repeat(60)),
            format!("a{} = 1", ".a".repeat(60)),
            format!("a = {}1{}", "{a=".repeat(60), "}".repeat(60)),
        ] {
            let document = Document::parse(&text).unwrap();
            assert!(document.top().fields().unwrap_err().reason.contains("too deep"));
        }
        for text in [
            format!("a = {}", "[".repeat(1 << 16)),
            format!("a{} = 1", ".a".repeat(1 << 15)),
            format!("[a{}]", ".a".repeat(1 << 15)),
            format!("a = {}", "{a=".repeat(1 << 14)),
        ] {
            assert!(Document::parse(&text).is_err());
        }
    }
}
