//! `leafcron explain`: a line or a job's schedule, in words and in instants. A line needs no agent.

use jiff::Timestamp;
use leafcron::job::{JobRow, WallTime};
use leafcron::schedule::{Calendar, Explained, ScheduleError, Zone};

use crate::answer::{Answer, Failure};
use crate::args::Explain;
use crate::here::Here;
use crate::table::{harmful, safe};

/// What is explained.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) line: String,
    /// The zone it goes by; `None`: this machine's.
    pub(crate) zone: Option<String>,
    /// What else there is to say about it.
    pub(crate) remarks: Vec<String>,
}

/// Whether this is a schedule line: every line has several words or begins with `@`, no job's name does either.
pub(crate) fn is_line(text: &str) -> bool {
    text.is_empty() || text.starts_with('@') || text.contains(char::is_whitespace)
}

/// The answer.
pub(crate) fn explain(
    subject: &Subject,
    asked: &Explain,
    here: &Here,
    as_json: bool,
) -> Result<Answer, Failure> {
    let zone = asked.zone.as_deref().or(subject.zone.as_deref());
    let read =
        zone.map_or_else(Zone::device, zone_of).and_then(|zone| Calendar::new(&subject.line, None, &zone));
    let calendar = match read {
        Ok(calendar) => calendar,
        // The list of its fires is empty, and it is refused all the same.
        Err(error) if as_json && error.is_never() => {
            let err = format!("leafcron: {}\n", refusal(&subject.line, &error));
            return Ok(Answer { out: "[]\n".to_owned(), err, code: 1 });
        }
        Err(error) => return Err(Failure::No(refusal(&subject.line, &error))),
    };
    let from = match &asked.from {
        Some(text) => instant(text, &calendar)?,
        None => here.now,
    };
    let fires = calendar.explain(from).take(asked.count.into());
    if as_json {
        return Answer::json(&fires.map(|fire| fire.at.timestamp().to_string()).collect::<Vec<_>>());
    }
    let mut text = format!("{}\n{}, zone {}\n", safe(&subject.line), calendar.words(), calendar.zone_name());
    text.extend(subject.remarks.iter().map(|remark| safe(remark) + "\n"));
    let mut told = 0;
    for Explained { at, local, note } in fires {
        text.push_str(&format!("  {local}  {}  {}\n", at.timestamp(), here.distance(at)));
        text.extend(note.map(|note| format!("      {note}\n")));
        told += 1;
    }
    if told < usize::from(asked.count) && !calendar.is_reboot() {
        text.push_str("  no further fire before the year 10000\n");
    }
    Ok(Answer::text(text))
}

/// The calendar of a job as its agent tells of it.
pub(crate) fn calendar(row: &JobRow) -> Option<Calendar> {
    zone_of(&row.time_zone).and_then(|zone| Calendar::new(&row.schedule, None, &zone)).ok()
}

/// A zone by the name that an agent or a person gives; that of a file is the device's own, which has no other name.
fn zone_of(name: &str) -> Result<Zone, ScheduleError> {
    if name.starts_with('/') { Zone::device() } else { Zone::named(name) }
}

/// An instant, or a local date or time in the calendar's zone.
fn instant(text: &str, calendar: &Calendar) -> Result<WallTime, Failure> {
    let instant = text.parse::<Timestamp>().map(WallTime::from).ok();
    instant.or_else(|| calendar.instant(text)).ok_or_else(|| {
        Failure::CannotAsk(format!(
            "--from {}: write an instant as 2026-03-29T00:00:00Z, or a local date or time as 2026-03-29 or \
             2026-03-29T02:30",
            safe(text)
        ))
    })
}

/// The refusal, and below it the line with a mark at the column that it names.
fn refusal(line: &str, error: &ScheduleError) -> String {
    let mut text = safe(&error.to_string());
    if let Some(column) = column(error).filter(|_| error.field() == "schedule") {
        // One cell per character, so that the mark stands where it should.
        let shown: String = line.chars().map(|c| if harmful(c) { ' ' } else { c }).collect();
        text.push_str(&format!("\n  {shown}\n  {:>column$}", '^'));
    }
    text
}

/// The column that the reason names, from 1: `…, column 3: …`.
fn column(error: &ScheduleError) -> Option<usize> {
    let (_, rest) = error.reason().split_once("column ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|column| *column > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn asked(zone: Option<&str>, from: &str, count: u16) -> Explain {
        Explain { words: Vec::new(), zone: zone.map(str::to_owned), from: Some(from.to_owned()), count }
    }

    fn of(line: &str, asked: &Explain, as_json: bool) -> Result<Answer, Failure> {
        let subject = Subject { line: line.to_owned(), zone: None, remarks: Vec::new() };
        explain(&subject, asked, &samples::here(), as_json)
    }

    #[test]
    fn a_clock_change_that_moved_a_fire_is_named() {
        let berlin = asked(Some("Europe/Berlin"), "2025-03-29T12:00:00Z", 2);
        let expected = "\
30 2 * * *
at 02:30 every day, zone Europe/Berlin
  Sun 2025-03-30 03:00:00 +02:00  2025-03-30T01:00:00Z  601d 20h ago
      in place of 02:30, which the clock skipped as it went forward from 02:00 to 03:00 on 2025-03-30
  Mon 2025-03-31 02:30:00 +02:00  2025-03-31T00:30:00Z  600d 20h ago
";
        assert_eq!(of("30 2 * * *", &berlin, false).unwrap().out, expected);
        assert_eq!(
            of("30 2 * * *", &berlin, true).unwrap().out,
            "[\"2025-03-30T01:00:00Z\",\"2025-03-31T00:30:00Z\"]\n"
        );
    }

    #[test]
    fn what_has_no_instants_gives_an_empty_list() {
        let asked = asked(Some("UTC"), "2026-01-01", 3);
        assert_eq!(of("@reboot", &asked, true).unwrap().out, "[]\n");
        assert_eq!(of("@reboot", &asked, false).unwrap().out, "@reboot\nonce after each boot, zone UTC\n");
    }

    #[test]
    fn a_refused_line_is_shown_with_a_mark_below_the_column() {
        let Err(Failure::No(text)) = of("0 25 * * *", &asked(Some("UTC"), "2026-01-01", 1), false) else {
            panic!()
        };
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("schedule: field 2 (hour), column 3: "), "{text}");
        assert_eq!(lines.collect::<Vec<_>>(), ["  0 25 * * *", "    ^"]);
        let bad = of("0\t0 *\x1b * mon-xyz", &asked(Some("UTC"), "2026-01-01", 1), false).unwrap_err();
        assert!(
            matches!(&bad, Failure::No(text) if !text.replace('\n', "").contains(char::is_control)),
            "{bad:?}"
        );
    }

    #[test]
    fn a_line_that_never_fires_is_refused_and_has_no_fires() {
        let asked = asked(Some("UTC"), "2026-01-01", 3);
        let answer = of("0 0 30 2 *", &asked, true).unwrap();
        assert_eq!((answer.out.as_str(), answer.code), ("[]\n", 1));
        assert!(answer.err.starts_with("leafcron: schedule: can never fire: "), "{}", answer.err);
        assert!(matches!(of("0 0 30 2 *", &asked, false), Err(Failure::No(_))));
        assert!(matches!(of("0 0 30 13 *", &asked, true), Err(Failure::No(_))));
    }

    #[test]
    fn a_local_time_is_one_of_the_zone() {
        let json = |from| of("0 * * * *", &asked(Some("Europe/Berlin"), from, 1), true).unwrap().out;
        assert_eq!(json("2026-07-01T12:30"), "[\"2026-07-01T11:00:00Z\"]\n");
        assert_eq!(json("2026-07-01"), "[\"2026-06-30T23:00:00Z\"]\n");
        assert_eq!(json("2026-07-01T12:30:00+05:00"), "[\"2026-07-01T08:00:00Z\"]\n");
        let nonsense = of("0 * * * *", &asked(None, "tomorrow", 1), true);
        assert!(matches!(nonsense, Err(Failure::CannotAsk(_))));
    }

    #[test]
    fn a_zone_that_is_not_there_is_named() {
        let answer = of("0 * * * *", &asked(Some("Mars/Olympus"), "2026-07-01", 1), true);
        assert!(matches!(answer, Err(Failure::No(text)) if text.starts_with("time_zone: \"Mars/Olympus\"")));
    }

    #[test]
    fn a_line_is_told_from_a_name() {
        for (text, line) in
            [("backup", false), ("0 3 * * *", true), ("@daily", true), ("", true), ("a.b", false)]
        {
            assert_eq!(is_line(text), line, "{text}");
        }
    }
}
