//! `leafcron list`.

use leafcron::job::JobRow;

use crate::here::Here;
use crate::table::Table;
use crate::{explain, words};

/// The table.
pub(crate) fn render(rows: &[JobRow], here: &Here) -> String {
    if rows.is_empty() {
        return "no jobs: put a file into the jobs directory, then `leafcron reload`\n".to_owned();
    }
    let mut table = Table::new(&["JOB", "STATE", "NEXT", "", "LAST", "", "SCHEDULE", ""]);
    for row in rows {
        let last = row.last.map(|last| (words::outcome(last.outcome, last.reason), last.ended));
        table.row([
            row.job.to_string(),
            words::state(row),
            row.next.map_or_else(|| "-".to_owned(), |at| here.time(at)),
            row.next.map_or_else(String::new, |at| here.distance(at)),
            last.as_ref().map_or_else(|| "-".to_owned(), |(outcome, _)| outcome.clone()),
            last.map_or_else(String::new, |(_, ended)| here.distance(ended)),
            schedule(row, here),
            explain::calendar(row).map_or_else(String::new, |calendar| calendar.words()),
        ]);
    }
    table.render("")
}

/// The line, with its zone where that is not the reader's.
pub(crate) fn schedule(row: &JobRow, here: &Here) -> String {
    if row.time_zone.is_empty() || here.zone.iana_name() == Some(row.time_zone.as_str()) {
        row.schedule.clone()
    } else {
        format!("{} ({})", row.schedule, row.time_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn each_job_is_one_line() {
        let expected = "\
JOB      STATE              NEXT                        LAST                        SCHEDULE
backup   running            2026-11-22 03:00:00  in 5h  failed         18h 56m ago  0 3 * * *         at 03:00 every day
clean    2 waiting, paused  -                           skipped(gate)  30s ago      @every 90s (UTC)  every 1m30s, counted from 1970-01-01 UTC
new-one  disabled           -                           -                           @reboot           once after each boot
";
        assert_eq!(render(&samples::rows(), &samples::here()), expected);
        assert!(render(&[], &samples::here()).contains("leafcron reload"));
    }
}
