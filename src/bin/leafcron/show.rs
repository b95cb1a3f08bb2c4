//! `leafcron show`.

use leafcron::job::{FieldShown, JobShown};
use leafcron::schedule::Explained;
use serde_json::Value;

use crate::here::Here;
use crate::table::{safe, safe_lines};
use crate::{explain, list, status, words};

/// The page. `fires`: the next few.
pub(crate) fn render(shown: &JobShown, fires: &[Explained], here: &Here) -> String {
    let row = &shown.row;
    let mut lines = vec![
        format!("job       {}", row.job),
        format!("from      {} ({}), revision {}", shown.origin, row.source, shown.revision),
        format!("state     {}", words::state(row)),
        format!("schedule  {}", list::schedule(row, here)),
    ];
    lines.extend(explain::calendar(row).map(|calendar| format!("          {}", calendar.words())));
    if fires.is_empty() {
        lines.push(format!("next      {}", here.when(row.next)));
    }
    for (title, Explained { at, note, .. }) in
        core::iter::once("next").chain(core::iter::repeat("")).zip(fires)
    {
        lines.push(format!("{title:<8}  {}", here.when(Some(*at))));
        lines.extend(note.as_ref().map(|note| format!("              {note}")));
    }
    lines.push(match row.last {
        None => "last      -".to_owned(),
        Some(last) => {
            let code = last.exit_code.map_or_else(String::new, |code| format!(", exit {code}"));
            let outcome = words::outcome(last.outcome, last.reason);
            format!("last      {outcome}{code}, {}", here.when(Some(last.ended)))
        }
    });
    let mut text = lines.iter().map(|line| safe(line) + "\n").collect::<String>();
    if let Some(refused) = &shown.refused {
        text.push_str("\nREFUSED: a newer definition; what is shown here stays in force\n");
        text.push_str(&format!("  {}\n", safe(&refused.to_string())));
    }
    if !shown.warnings.is_empty() {
        text.push_str("\nNOT SERVED BY THIS MACHINE\n");
        let row = |it: &leafcron::job::Warning| format!("  {}: {}\n", safe(&it.field), safe(&it.reason));
        text.extend(shown.warnings.iter().map(row));
    }
    for (title, table) in
        [("RUNNING", status::running(&shown.runs, here)), ("WAITING", status::waiting(&shown.pending, here))]
    {
        if !table.is_empty() {
            text.push_str(&format!("\n{title}\n{}", table.render("  ")));
        }
    }
    text + "\n" + &fields(&shown.fields)
}

/// Name, source, value; a value of many lines goes on below itself.
fn fields(fields: &[FieldShown]) -> String {
    let width = |of: fn(&FieldShown) -> &str, title: &str| {
        fields.iter().map(|field| of(field).chars().count()).chain([title.len()]).max().unwrap_or(0)
    };
    let name = width(|field| &field.field, "FIELD");
    let from = width(|field| &field.from, "FROM");
    let mut text = format!("{:<name$}  {:<from$}  VALUE\n", "FIELD", "FROM");
    for field in fields {
        let value = value(&field.value);
        let mut lines = value.lines();
        let first = lines.next().unwrap_or("");
        text.push_str(
            format!("{:<name$}  {:<from$}  {first}", safe(&field.field), safe(&field.from)).trim_end(),
        );
        text.push('\n');
        for line in lines {
            text.push_str(format!("{:<1$}{line}", "", name + from + 4).trim_end());
            text.push('\n');
        }
    }
    text
}

/// Text as it is, anything else as JSON.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => safe_lines(text),
        Value::Null => "-".to_owned(),
        other => safe(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use leafcron::job::WallTime;

    use super::*;
    use crate::samples;

    #[test]
    fn the_page_shows_every_value_and_where_it_came_from() {
        let expected = "\
job       backup
from      jobs.d/home.toml (file), revision 9f2c41d07a3e
state     running, waiting
schedule  0 3 * * *
          at 03:00 every day
next      2026-11-22 03:00:00 (in 5h)
          2026-11-23 03:00:00 (in 1d 5h)
              in place of 02:30
last      failed, exit 3, 2026-11-21 03:03:10 (18h 56m ago)

REFUSED: a newer definition; what is shown here stays in force
  jobs.d/home.toml:3: job backup: timeout: \"5x\" is not a duration

RUNNING
  JOB     DUE                  RUNNING FOR  TRY  TRIGGER  PID
  backup  2026-11-21 21:58:00  1m 59s       1    manual   812  overdue

WAITING
  JOB     DUE                  WAITS FOR  AT MOST UNTIL        TRIGGER
  backup  2026-11-21 21:59:00  gate       2026-11-21 22:09:00  schedule
    load_per_cpu is 1.2, at most 0.7 is allowed

FIELD                 FROM        VALUE
schedule              definition  0 3 * * *
command               definition  restic backup /home
                                  echo \\u{1b}[2Jdone
require.load_per_cpu  device      0.7
retry                 default     {\"attempts\":1}
time_zone             default     -
";
        let shown = samples::shown();
        let fire =
            |at, note: Option<&str>| Explained { at, local: String::new(), note: note.map(str::to_owned) };
        let moved = fire(WallTime::from_secs(1_795_399_200), Some("in place of 02:30"));
        let fires = [fire(shown.row.next.unwrap(), None), moved];
        assert_eq!(render(&shown, &fires, &samples::here()), expected);
    }
}
