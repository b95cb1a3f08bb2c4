//! `leafcron history --events`.

use leafcron::job::{EventJson, EventKind};

use crate::here::Here;
use crate::table::Table;
use crate::words;

/// The page.
pub(crate) fn render(events: &[EventJson], here: &Here) -> String {
    if events.is_empty() {
        return "nothing has happened to this device yet\n".to_owned();
    }
    table(events, here).render("")
}

/// The table, the oldest first.
pub(crate) fn table(events: &[EventJson], here: &Here) -> Table {
    let mut table = Table::new(&["WHEN", "EVENT", "WHAT"]);
    for event in events {
        let unsynced = event.clock != leafcron::job::Clock::Synced;
        let at = format!("{}{}", here.time(event.at), if unsynced { "?" } else { "" });
        table.row([at, kind(event), what(&event.kind.0, here)]);
    }
    table
}

/// The kind's name as JSON has it.
fn kind(event: &EventJson) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    json.get("event").map(words::word).unwrap_or_default()
}

fn what(kind: &EventKind, here: &Here) -> String {
    match kind {
        EventKind::Started { version } => format!("leafcrond {version}"),
        EventKind::Stopped => String::new(),
        EventKind::ClockStep { by_ms } => {
            let (secs, millis) = (by_ms.unsigned_abs() / 1_000, by_ms.unsigned_abs() % 1_000);
            format!(
                "the clock was set {} by {secs}.{millis:03} s",
                if *by_ms < 0 { "back" } else { "forward" }
            )
        }
        EventKind::Dropped { from: 0, to: 0, count, why } => format!("{count} records are gone: {why}"),
        EventKind::Dropped { from, to, count, why } => {
            format!("{count} records between {from} and {to} are gone: {why}")
        }
        EventKind::Damaged { from: 0, to: 0, file } => {
            format!("the journal, or part of it, could not be read: {file}")
        }
        EventKind::Damaged { from, to, file } if to < from => {
            format!("part of the journal could not be read ({file}); no record is missing")
        }
        EventKind::Damaged { from, to, file } => {
            format!("part of the journal could not be read ({file}): records {from} to {to} may be missing")
        }
        EventKind::Newer { file } => format!("a journal of a newer version was set aside: {file}"),
        EventKind::Overdue { job, started } => format!("{job} runs since {}", here.time(*started)),
        EventKind::Refused { job, source, reason } => {
            let job = job.as_ref().map(|job| format!(" of {job}")).unwrap_or_default();
            format!("the definition{job} in {source}: {reason}")
        }
        EventKind::Paused { job } | EventKind::Resumed { job } => job.to_string(),
        EventKind::Unrecorded { count, why } => {
            format!("{count} facts could not be stored while the disk refused: {why}")
        }
        EventKind::Link { phase, reason } => format!("{phase} is left out for a while: {reason}"),
        EventKind::NewEpoch { old_epoch, last_seq, why } => {
            format!("{why}; numbers begin anew after {last_seq} of epoch {old_epoch}")
        }
        EventKind::DuplicateAgent { other_epoch, newcomer: true } => format!(
            "another live device, of epoch {other_epoch}, has this name and had it first: no definitions and no commands are taken"
        ),
        EventKind::DuplicateAgent { other_epoch, newcomer: false } => format!(
            "another live device, of epoch {other_epoch}, came with this name: it takes no definitions and no commands"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn each_event_is_a_line_in_words_and_cannot_command_the_terminal() {
        let expected = "\
WHEN                 EVENT       WHAT
2026-11-18 18:00:02  clock_step  the clock was set back by 15.000 s
2026-11-20 09:00:00  refused     the definition of backup in jobs.d/\\u{1b}home.toml: timeout: no
";
        assert_eq!(render(&samples::events(), &samples::here()), expected);
        assert_eq!(render(&[], &samples::here()), "nothing has happened to this device yet\n");
    }
}
