//! `leafcron history`.

use leafcron::job::{Output, RecordJson};

use crate::here::{Here, long};
use crate::table::{Table, safe_lines};
use crate::words;

/// The table. Of all jobs: with a column for the job.
pub(crate) fn render(records: &[RecordJson], here: &Here, outputs: Outputs) -> String {
    if records.is_empty() {
        return "nothing has happened yet\n".to_owned();
    }
    match outputs {
        Outputs::Hidden => table(records, here),
        Outputs::Shown => {
            records.iter().map(|record| table(std::slice::from_ref(record), here) + &shown(record)).collect()
        }
    }
}

/// Whether what was kept of a run's output is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    Shown,
    Hidden,
}

fn table(records: &[RecordJson], here: &Here) -> String {
    let mut table = Table::new(&["JOB", "DUE", "STARTED", "TOOK", "OUTCOME", "EXIT", "TRY", "TRIGGER"]);
    for record in records {
        table.row([
            record.job.to_string(),
            here.time(record.due),
            record.started.map_or_else(|| "-".to_owned(), |at| format!("+{}", long(at.since(record.due)))),
            record.started.map_or_else(|| "-".to_owned(), |at| long(record.ended.since(at))),
            words::outcome(record.outcome, record.reason),
            words::exit(record),
            if record.attempt == 0 { "-".to_owned() } else { record.attempt.to_string() },
            words::word(record.trigger),
        ]);
        for note in notes(record, here) {
            table.note(&note);
        }
    }
    table.render("")
}

/// What no column has room for.
pub(crate) fn notes(record: &RecordJson, here: &Here) -> Vec<String> {
    let covers = record.covers.map(|covers| {
        format!("covers {} fires, {} to {}", covers.count, here.time(covers.from), here.time(covers.to))
    });
    let again = (!record.last).then(|| "another attempt follows".to_owned());
    let by = record.stopped_by.as_ref().map(|who| format!("stopped by {who}"));
    let limits =
        (!record.not_applied.is_empty()).then(|| format!("not applied: {}", record.not_applied.join(", ")));
    [covers, record.detail.clone(), by, limits, again].into_iter().flatten().collect()
}

fn shown(record: &RecordJson) -> String {
    let text = record.output.as_ref().map(kept).unwrap_or_default();
    safe_lines(&text).lines().map(|line| format!("  | {line}\n")).collect()
}

/// Head and tail, and what is missing between them. Ends with a newline if there is anything.
pub(crate) fn kept(output: &Output) -> String {
    let mut text = output.head.clone();
    let end_line = |text: &mut String| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    };
    if output.dropped > 0 {
        end_line(&mut text);
        text.push_str(&format!("[… {} of {} bytes were not kept …]\n", output.dropped, output.bytes));
    }
    text.push_str(&output.tail);
    end_line(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn each_record_is_one_line_and_what_it_covers_another() {
        let expected = "\
JOB     DUE                  STARTED  TOOK    OUTCOME          EXIT  TRY  TRIGGER
backup  2026-11-22 03:00:00  +4ms     3m 10s  failed           3     1    schedule
clean   2026-11-22 03:00:00  -        -       skipped(missed)  -     -    catch_up
  covers 42 fires, 2026-11-20 03:00:00 to 2026-11-22 03:00:00
";
        let records = [samples::record(), samples::missed()];
        assert_eq!(render(&records, &samples::here(), Outputs::Hidden), expected);
    }

    #[test]
    fn output_is_shown_below_its_record_and_cannot_command_the_terminal() {
        let mut record = samples::record();
        record.output = Some(Output {
            head: "one\n\x1b[2Jtwo".to_owned(),
            tail: "last".to_owned(),
            bytes: 900,
            dropped: 800,
        });
        let text = render(&[record], &samples::here(), Outputs::Shown);
        let shown = "  | one\n  | \\u{1b}[2Jtwo\n  | [… 800 of 900 bytes were not kept …]\n  | last\n";
        assert!(text.ends_with(shown), "{text}");
    }
}
