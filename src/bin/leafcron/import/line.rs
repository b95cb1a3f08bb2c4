//! One line of a crontab: nothing, a setting, or an entry. Splits only; what the parts mean is said elsewhere.
//!
//! Sources: crontab(5) of Debian's cron and of cronie. `NAME=`, which Debian's cron refuses together with the rest of the
//! file, is an empty value here: nobody can mean anything else.

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'t> {
    /// Blank, or a comment.
    Nothing,
    /// `NAME = value`.
    Setting {
        /// Its name, without quotes.
        name: &'t str,
        /// Its value, without quotes. Nothing in it is expanded.
        value: &'t str,
    },
    /// When and what.
    Entry(Entry<'t>),
}

/// A line that says when something is run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    /// Whether it begins with cronie's `-`: not logged.
    pub(super) unlogged: bool,
    /// The five time fields or the `@word`, as they stand there.
    pub(super) schedule: Part<'t>,
    /// Whom it runs as, in a crontab of the system.
    pub(super) user: Option<Part<'t>>,
    /// The rest of the line.
    pub(super) command: Part<'t>,
}

/// A part of a line, and the byte that it begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'t> {
    pub(super) at: usize,
    pub(super) text: &'t str,
}

/// Why a line is neither, and the byte that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: String,
}

/// Whether a line names a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A user's own crontab.
    User,
    /// `/etc/crontab` and `/etc/cron.d`: a user stands before the command.
    System,
}

const BLANK: [char; 2] = [' ', '\t'];
const TIME_FIELDS: usize = 5;

/// Whether nothing of it is ever read: asked of bytes, since a comment need not be text.
pub(super) fn is_nothing(line: &[u8]) -> bool {
    line.trim_ascii_start().first().is_none_or(|byte| *byte == b'#')
}

pub(super) fn read(text: &str, form: Form) -> Result<Line<'_>, Fault> {
    if is_nothing(text.as_bytes()) {
        return Ok(Line::Nothing);
    }
    match setting(text.trim_start_matches(BLANK)) {
        Some((name, value)) => Ok(Line::Setting { name, value }),
        None => entry(text, form).map(Line::Entry),
    }
}

/// A name, `=` and a value; blanks may stand around each, quotes may enclose each.
fn setting(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match quoted(text) {
        Some(quoted) => quoted?,
        None => text.split_at(text.find(|c: char| c == '=' || c.is_ascii_whitespace())?),
    };
    let value = rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
    let value = match quoted(value) {
        Some(quoted) => quoted.filter(|(_, rest)| rest.trim_ascii().is_empty())?.0,
        None => value.trim_ascii_end(),
    };
    (!name.is_empty() && !name.contains('=')).then_some((name, value))
}

/// What stands between the quotes that `text` begins with, and what follows. Outer `None`: it begins with none; inner:
/// they are never closed.
fn quoted(text: &str) -> Option<Option<(&str, &str)>> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(text.get(1..).and_then(|rest| rest.split_once(quote)))
}

fn entry(text: &str, form: Form) -> Result<Entry<'_>, Fault> {
    let fault = |at: usize, reason: &str| Err(Fault { at, reason: reason.to_owned() });
    let mut words = Words { text, at: 0 };
    words.skip_blanks();
    let first = words.at;
    let unlogged = words.rest().starts_with('-') && !words.rest().get(1..).is_none_or(begins_blank);
    if unlogged {
        words.at += 1;
    }
    let start = words.at;
    let count = if words.rest().starts_with('@') { 1 } else { TIME_FIELDS };
    for n in 0..count {
        if words.next().is_none() {
            if looks_like_a_setting(text) {
                let reason =
                    "is no setting: write NAME=value, in quotes that match and end the line, or in none";
                return fault(first, reason);
            }
            return fault(text.len(), &format!("ends after {n} of {TIME_FIELDS} time fields"));
        }
    }
    let schedule = Part { at: start, text: text.get(start..words.at).unwrap_or_default() };
    let user = match form {
        Form::User => None,
        Form::System => match words.next() {
            Some(user) if is_user(user.text) => Some(user),
            Some(user) => {
                let name = shortened(user.text);
                let reason = format!(
                    "{name:?} is no user's name, which a crontab of the system has before each command; a user's \
                     own crontab is told by --as USER"
                );
                return fault(user.at, &reason);
            }
            None => return fault(text.len(), "names no user and no command"),
        },
    };
    words.skip_blanks();
    let command = Part { at: words.at, text: words.rest() };
    match command.text.chars().next() {
        None => fault(text.len(), "has no command"),
        Some('*') => {
            fault(command.at, "'*' after the time fields, where cron wants a command; it takes five fields")
        }
        Some(_) => Ok(Entry { unlogged, schedule, user, command }),
    }
}

/// The words of a line, one by one.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(BLANK).len();
    }

    fn next(&mut self) -> Option<Part<'t>> {
        self.skip_blanks();
        let rest = self.rest();
        let text = rest.split(BLANK).next().filter(|word| !word.is_empty())?;
        let part = Part { at: self.at, text };
        self.at += text.len();
        Some(part)
    }
}

fn begins_blank(text: &str) -> bool {
    text.is_empty() || text.starts_with(BLANK)
}

/// `A="x" y` and the like: cron takes it for an entry and finds no minute in it.
fn looks_like_a_setting(text: &str) -> bool {
    let text = text.trim_start_matches(BLANK);
    text.contains('=') && text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '"' | '\''))
}

/// As useradd(8) lets them be, with dots and capitals.
pub(super) fn is_user(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let body = text.strip_suffix('$').unwrap_or(text);
    (1..=32).contains(&text.len())
        && body.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && body.chars().all(allowed)
}

/// As much of somebody's text as a message needs.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_quotes_and_blanks_as_cron_takes_them() {
        for (text, expected) in [
            ("A=1", Some(("A", "1"))),
            ("  A =  b c  ", Some(("A", "b c"))),
            ("A\t=\t\"  b \"  ", Some(("A", "  b "))),
            ("'A b' = 'it''", None),
            ("'A b'='c \"d'", Some(("A b", "c \"d"))),
            ("A=x\"y\"", Some(("A", "x\"y\""))),
            ("A=", Some(("A", ""))),
            ("A=''", Some(("A", ""))),
            ("A=\"x\" y", None),
            ("A=\"x", None),
            ("A=b=c # no comment", Some(("A", "b=c # no comment"))),
            ("=x", None),
            ("\"A=B\"=x", None),
            ("PATH=$HOME/bin:/bin\r", Some(("PATH", "$HOME/bin:/bin"))),
            ("0 5 * * * A=1 x", None),
            ("@daily A=1 x", None),
        ] {
            let read = read(text, Form::User);
            let found = match &read {
                Ok(Line::Setting { name, value }) => Some((*name, *value)),
                _ => None,
            };
            assert_eq!(found, expected, "{text:?}: {read:?}");
        }
    }

    fn parts(text: &str, form: Form) -> (bool, String, Option<String>, String) {
        match read(text, form) {
            Ok(Line::Entry(entry)) => {
                for part in [Some(entry.schedule), entry.user, Some(entry.command)].into_iter().flatten() {
                    assert_eq!(text.get(part.at..part.at + part.text.len()), Some(part.text));
                }
                let user = entry.user.map(|user| user.text.to_owned());
                (entry.unlogged, entry.schedule.text.to_owned(), user, entry.command.text.to_owned())
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn an_entry_is_time_fields_a_user_and_the_rest_of_the_line() {
        assert_eq!(
            parts(" 5 4\t* *  sun  echo  # two ", Form::User),
            (false, "5 4\t* *  sun".to_owned(), None, "echo  # two ".to_owned())
        );
        assert_eq!(
            parts("-*/5 * * * * root true", Form::System),
            (true, "*/5 * * * *".to_owned(), Some("root".to_owned()), "true".to_owned())
        );
        assert_eq!(
            parts("@reboot www-data /srv/up", Form::System),
            (false, "@reboot".to_owned(), Some("www-data".to_owned()), "/srv/up".to_owned())
        );
        assert_eq!(parts("@daily a b", Form::User).3, "a b");
        for nothing in ["", "  \t", "# x", "   #A=1", "\r"] {
            assert_eq!(read(nothing, Form::User), Ok(Line::Nothing), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_where_it_goes_wrong() {
        for (text, form, at, word) in [
            ("1 2 3", Form::User, 5, "3 of 5"),
            ("1 2 3 4 5", Form::User, 9, "no command"),
            ("1 2 3 4 5  ", Form::User, 11, "no command"),
            ("1 2 3 4 5 root", Form::System, 14, "no command"),
            ("1 2 3 4 5", Form::System, 9, "no user"),
            ("1 2 3 4 5 /bin/x y", Form::System, 10, "no user's name"),
            ("1 2 3 4 5 * x", Form::User, 10, "five fields"),
            ("A=\"x\" y", Form::User, 0, "no setting"),
            ("@daily", Form::User, 6, "no command"),
        ] {
            let fault = read(text, form).unwrap_err();
            assert!(fault.at == at && fault.reason.contains(word), "{text:?}: {fault:?}");
        }
    }
}
