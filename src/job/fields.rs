//! Reads a definition's fields one by one, so that every refusal names its field and what would be allowed, and a
//! field that nobody asked for is refused by name.

use core::fmt;

use serde_json::Value;

use super::text::FieldMap;

/// A refused field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path, as `require.check`; empty when the definition as a whole is meant.
    pub field: String,
    /// What is wrong with it and what is allowed; does not repeat the field's name.
    pub reason: String,
}

impl FieldError {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl std::error::Error for FieldError {}

/// The fields of one table, and which of them have been asked for.
pub(crate) struct Fields<'a> {
    table: &'static str,
    map: &'a FieldMap,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The top level of a definition, or an inline table whose errors are wrapped.
    pub(crate) fn new(map: &'a FieldMap) -> Self {
        Self { table: "", map, known: Vec::new() }
    }

    /// The table `table` of a definition.
    pub(crate) fn below(table: &'static str, map: &'a FieldMap) -> Self {
        Self { table, map, known: Vec::new() }
    }

    /// The field's value, if it was given, through `read`.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T, String>,
    ) -> Result<Option<T>, FieldError> {
        self.known.push(name);
        self.map.get(name).map(|value| read(value).map_err(|reason| self.refuse(name, reason))).transpose()
    }

    /// The field's value through `read`, or the default.
    pub(crate) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&'a Value) -> Result<T, String>,
    ) -> Result<T, FieldError> {
        Ok(self.optional(name, read)?.unwrap_or(default))
    }

    /// The field's value through `read`; its absence is an error.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T, String>,
    ) -> Result<T, FieldError> {
        self.optional(name, read)?.ok_or_else(|| self.refuse(name, "is required".to_owned()))
    }

    /// Refuses the first field that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), FieldError> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                Err(self.refuse(unknown, format!("unknown field; allowed here: {}", self.known.join(" "))))
            }
        }
    }

    fn refuse(&self, name: &str, reason: String) -> FieldError {
        let field = if self.table.is_empty() { name.to_owned() } else { format!("{}.{name}", self.table) };
        FieldError { field, reason }
    }

    /// A string.
    pub(crate) fn text(value: &Value) -> Result<&str, String> {
        value.as_str().ok_or_else(|| format!("{value} is not text; write it in quotes"))
    }

    /// A string that can be an argument: not empty, no NUL.
    pub(crate) fn command(value: &Value) -> Result<String, String> {
        let text = Self::text(value)?;
        if text.trim().is_empty() {
            return Err("is empty; write a command".to_owned());
        }
        no_nul(text)?;
        Ok(text.to_owned())
    }

    /// A path from the root.
    pub(crate) fn absolute_path(value: &Value) -> Result<String, String> {
        let text = Self::text(value)?;
        no_nul(text)?;
        if text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} does not begin with /"))
        }
    }

    /// A yes or no.
    pub(crate) fn flag(value: &Value) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| format!("{value} is neither true nor false"))
    }

    /// A whole number within `range`.
    pub(crate) fn whole<T: TryFrom<i64> + fmt::Display>(
        value: &Value,
        range: core::ops::RangeInclusive<i64>,
    ) -> Result<T, String> {
        value
            .as_i64()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("{value} is not a whole number in {}-{}", range.start(), range.end()))
    }

    /// One of the words.
    pub(crate) fn one_of<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, String> {
        let given = Self::text(value)?;
        words.iter().find(|(word, _)| *word == given).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("{given:?} is none of: {}", words.join(" "))
        })
    }
}

/// Refuses what no argument, variable or path of Linux can hold.
pub(crate) fn no_nul(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        Err("holds a NUL character, which no command can be given".to_owned())
    } else {
        Ok(())
    }
}
