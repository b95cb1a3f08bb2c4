//! What happened, one line each, with the virtual time. Kept only when somebody wants to read it: a seed tells the same
//! story again.

use std::collections::VecDeque;

use leafcron::job::{Entry, Fire, Now};

/// Lines kept of a long story.
const LINES: usize = 500_000;

#[derive(Default)]
pub(crate) struct Story {
    told: bool,
    lines: VecDeque<String>,
}

impl Story {
    pub(crate) fn new(told: bool) -> Self {
        Self { told, lines: VecDeque::new() }
    }

    pub(crate) fn tell(&mut self, now: Now, line: impl FnOnce() -> String) {
        if !self.told {
            return;
        }
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        let boot = now.boot.millis();
        self.lines.push_back(format!("{} +{}.{:03}  {}", now.wall, boot / 1_000, boot % 1_000, line()));
    }

    /// What a turn will make durable.
    pub(crate) fn tell_entries(&mut self, now: Now, entries: &[Entry]) {
        for entry in entries {
            self.tell(now, || line(entry));
        }
    }

    /// All of it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The last lines, of those that speak of `about` or of the whole device.
    pub(crate) fn last(&self, most: usize, about: Option<&str>) -> Vec<&str> {
        let concerns = |line: &&String| {
            let text = line.splitn(3, ' ').nth(2).unwrap_or_default();
            about.is_none_or(|job| text.contains(job) || text.trim_start().starts_with('*'))
        };
        let lines: Vec<&str> = self.lines.iter().filter(concerns).map(String::as_str).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

/// An entry in a few words.
fn line(entry: &Entry) -> String {
    let of = |fire: &Fire| match fire {
        Fire::Scheduled { era, due } => format!("{due} (era {era})"),
        Fire::Reboot { .. } => "its boot".to_owned(),
        Fire::Manual { id } => format!("command {id}"),
    };
    match entry {
        Entry::Record(record) => {
            let last = if record.last { "final" } else { "not final" };
            let covers = record.covers.map_or(String::new(), |covers| {
                format!(", covers {} to {}: {}", covers.from, covers.to, covers.count)
            });
            let (job, fire, attempt) = (&record.key.job, of(&record.key.fire), record.attempt);
            let reason = record.reason.map_or(String::new(), |reason| format!(" ({reason:?})"));
            format!("  {job}: {:?}{reason} of {fire}, attempt {attempt}, {last}{covers}", record.outcome)
        }
        Entry::Intent(intent) => {
            format!(
                "  {}: intent of {}, attempt {}, run {}",
                intent.key.job,
                of(&intent.key.fire),
                intent.attempt,
                intent.run
            )
        }
        Entry::Pending(pending) => {
            format!("  {}: {} waits for {:?}", pending.key.job, of(&pending.key.fire), pending.stage)
        }
        Entry::Missed(missed) => {
            format!("  {}: missed after {} to {} will run", missed.job, missed.after, missed.to)
        }
        Entry::Began { job, era, at } => format!("  {job}: begins at {at} in era {era}"),
        Entry::Defined { job, source, text } => format!("  {job}: defined by {source:?}: {text}"),
        Entry::Withdrawn { job, source } => format!("  {job}: withdrawn by {source:?}"),
        Entry::Forgotten { job } => format!("  {job}: forgotten"),
        Entry::Paused { job, at } => format!("  {job}: paused at {at}"),
        Entry::Resumed { job } => format!("  {job}: resumed"),
        Entry::Orphaned { job, source } => format!("  {job}: orphaned by {source:?}"),
        other => format!("  entry: {other:?}"),
    }
}
