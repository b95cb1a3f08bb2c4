//! From a crontab's text to jobs: what each line comes to, and what has to be said of it. Pure.
//!
//! A setting holds for the lines below it, so lines are read in their order and each job has what was set by then.

use std::collections::BTreeMap;
use std::rc::Rc;

use leafcron::job::limits;
use leafcron::schedule::{Calendar, ScheduleError, Zone};

use super::finding::{Finding, Kind};
use super::line::{self, Entry, Fault, Form, Line, Part, shortened};
use super::percent;
use super::settings::{SHELL, Settings};

/// A crontab as it was found.
#[derive(Clone, Debug)]
pub(super) struct Crontab {
    /// What messages call it.
    pub(super) file: String,
    /// What the names of its jobs begin with.
    pub(super) label: String,
    /// Whose it is; `None`: each line says so.
    pub(super) owner: Option<String>,
    pub(super) text: Vec<u8>,
    /// The permissions of the jobs file that is made of it: as readable as it is itself.
    pub(super) mode: u32,
}

/// A job before it has a name.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The line of the crontab, from 1.
    pub(super) line: usize,
    /// That line.
    pub(super) text: String,
    pub(super) schedule: String,
    pub(super) action: Action,
    pub(super) user: String,
    pub(super) working_dir: Option<Rc<str>>,
    pub(super) time_zone: Option<Rc<str>>,
    pub(super) splay_mins: Option<u16>,
    pub(super) mail_to: Option<Rc<str>>,
    pub(super) env: BTreeMap<Rc<str>, Rc<str>>,
    /// The command as the crontab has it, for the job's name.
    pub(super) command: String,
}

/// `command` or `args`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Command(String),
    Args(Vec<String>),
}

/// What a crontab comes to.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) drafts: Vec<Draft>,
    pub(super) findings: Vec<Finding>,
}

/// Reads all of its lines; takes at most `most` jobs.
pub(super) fn translate(crontab: &Crontab, most: usize) -> Translated {
    let form = if crontab.owner.is_some() { Form::User } else { Form::System };
    let mut reader = Reader { crontab, form, most, settings: Settings::new(), out: Translated::default() };
    let mut lines = crontab.text.split(|byte| *byte == b'\n').peekable();
    let mut number = 1;
    while let Some(bytes) = lines.next() {
        let ended = lines.peek().is_some();
        if !line::is_nothing(bytes) {
            reader.line(number, bytes);
            if !ended {
                let reason = "is the last line and has no end: cron does not take it, or the whole file";
                reader.say(number, None, Kind::Changed, reason, bytes);
            }
        }
        number += 1;
    }
    reader.out
}

struct Reader<'c> {
    crontab: &'c Crontab,
    form: Form,
    most: usize,
    settings: Settings,
    out: Translated,
}

impl Reader<'_> {
    fn say(
        &mut self,
        line: usize,
        column: Option<usize>,
        kind: Kind,
        reason: impl Into<String>,
        bytes: &[u8],
    ) {
        let text = String::from_utf8_lossy(bytes.get(..4 * 1024).unwrap_or(bytes)).trim().to_owned();
        self.out.findings.push(Finding {
            file: self.crontab.file.clone(),
            line: Some(line),
            column,
            kind,
            reason: reason.into(),
            text: Some(shortened(&text.replace('\t', " "))),
        });
    }

    fn line(&mut self, number: usize, bytes: &[u8]) {
        let text = match text_of(bytes) {
            Ok(text) => text,
            Err(fault) => return self.refuse(number, bytes, &fault),
        };
        let bare = text.strip_suffix('\r').unwrap_or(text);
        match line::read(bare, self.form) {
            Ok(Line::Nothing) => {}
            Ok(Line::Setting { name, value }) => {
                if let Some((kind, reason)) = self.settings.set(name, value) {
                    self.say(number, None, kind, format!("{}: {reason}", shortened(name)), bytes);
                }
            }
            Ok(Line::Entry(entry)) => match self.draft(number, bare, &entry) {
                Ok(draft) => {
                    self.remark(number, &draft, &entry, bytes);
                    if bare.len() < text.len() {
                        let reason = "ends in a carriage return, which cron hands to the shell; left out";
                        self.say(number, None, Kind::Changed, reason, bytes);
                    }
                    self.out.drafts.push(draft);
                }
                Err(fault) => self.refuse(number, bytes, &fault),
            },
            Err(fault) => self.refuse(number, bytes, &fault),
        }
    }

    fn refuse(&mut self, number: usize, bytes: &[u8], fault: &Fault) {
        let before = bytes.get(..fault.at).unwrap_or(bytes);
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        self.say(number, Some(column), Kind::NotCarried, fault.reason.clone(), bytes);
    }

    fn draft(&self, number: usize, text: &str, entry: &Entry<'_>) -> Result<Draft, Fault> {
        let settings = &self.settings;
        if self.out.drafts.len() >= self.most {
            let reason = format!("is one job too many: a device has at most {}", limits::JOBS);
            return Err(Fault { at: 0, reason });
        }
        let schedule = schedule(entry.schedule, settings.time_zone.as_deref())?;
        let command = entry.command.text;
        if text.len() > limits::DEFINITION_BYTES {
            let reason =
                format!("is longer than a job may be ({} bytes); call a script", limits::DEFINITION_BYTES);
            return Err(Fault { at: entry.command.at, reason });
        }
        let owner = entry.user.map(|user| user.text).or(self.crontab.owner.as_deref());
        Ok(Draft {
            line: number,
            text: text.trim().to_owned(),
            schedule,
            action: action(command, settings.shell.as_deref()),
            user: owner.unwrap_or_default().to_owned(),
            working_dir: settings.home.clone(),
            time_zone: settings.time_zone.clone(),
            splay_mins: settings.delay_mins,
            mail_to: settings.mail_to.clone(),
            env: settings.env_for_commands(),
            command: command.to_owned(),
        })
    }

    /// What is carried and yet not the same.
    fn remark(&mut self, number: usize, draft: &Draft, entry: &Entry<'_>, bytes: &[u8]) {
        if entry.unlogged {
            let reason = "the '-' keeps it out of cron's log; leafcron records every run";
            self.say(number, None, Kind::Changed, reason, bytes);
        }
        let (command, _) = percent::split(&draft.command);
        let command = command.trim_ascii_end();
        if command.ends_with('&') && !command.ends_with("&&") && !command.ends_with("\\&") {
            let reason = "what it leaves in the background ends when its shell does; leave the last '&' out, or start \
                          a service";
            self.say(number, None, Kind::Changed, reason, bytes);
        }
    }
}

/// The line as text without what no command can be given.
fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Fault { at, reason: "holds a NUL character, which no command can be given".to_owned() });
    }
    core::str::from_utf8(bytes).map_err(|error| Fault {
        at: error.valid_up_to(),
        reason: "is not UTF-8, which a jobs file is written in; convert it (iconv)".to_owned(),
    })
}

fn action(command: &str, shell: Option<&str>) -> Action {
    match (percent::split(command), shell) {
        ((command, Some(input)), shell) => {
            Action::Command(percent::with_input(shell.unwrap_or(SHELL), &command, &input))
        }
        ((command, None), None) => Action::Command(command),
        ((command, None), Some(shell)) => Action::Args(vec![shell.to_owned(), "-c".to_owned(), command]),
    }
}

/// The schedule with single blanks, if leafcron's dialect has it; else why not and what to write, in the line's columns.
fn schedule(part: Part<'_>, zone: Option<&str>) -> Result<String, Fault> {
    match Calendar::new(part.text, zone, &Zone::utc()) {
        Ok(_) => Ok(part.text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")),
        Err(error) if error.field() == "schedule" => Err(refused(part, &error)),
        Err(error) => Err(Fault { at: part.at, reason: format!("CRON_TZ: {}", error.reason()) }),
    }
}

fn refused(part: Part<'_>, error: &ScheduleError) -> Fault {
    let reason = error.reason();
    // `field 2 (hour), column 3: …`: the column is the schedule's there and the line's here.
    let (place, why) = match reason.split_once(", column ").or_else(|| reason.split_once("column ")) {
        Some((place, rest)) => (place, rest),
        None => return Fault { at: part.at, reason: reason.to_owned() },
    };
    let (column, why) = why.split_once(": ").unwrap_or(("1", why));
    let characters = column.parse::<usize>().unwrap_or(1).saturating_sub(1);
    let at = part.text.char_indices().nth(characters).map_or(part.text.len(), |(at, _)| at);
    let word = word_around(part.text, at);
    let why = instead(word, why);
    let reason = if place.is_empty() { why } else { format!("{place}: {why}") };
    Fault { at: part.at + at, reason }
}

/// The word of `text` that holds the byte `at`.
fn word_around(text: &str, at: usize) -> &str {
    let mut start = 0;
    for word in text.split([' ', '\t']) {
        if at <= start + word.len() {
            return word;
        }
        start += word.len() + 1;
    }
    ""
}

/// What some cron takes and leafcron does not, and what says the same.
fn instead(word: &str, why: &str) -> String {
    if word.contains('~') {
        return format!(
            "{word:?} lets cronie draw a number when it starts; write one number, and `splay` for a delay by chance"
        );
    }
    if why.contains("runs backwards") {
        return format!(
            "{:?} runs backwards; a span over the end is written as two, as in 22-23,0-5 for 22-5",
            shortened(word)
        );
    }
    why.to_owned()
}
