//! `leafcron status`.

use leafcron::job::{JournalStatus, LinkState, LinkStatus, PendingRow, Readings, RunRow, Status};

use crate::events;
use crate::here::{Here, long};
use crate::machine::{self, size};
use crate::table::{Table, safe};
use crate::words;

/// The page.
pub(crate) fn render(status: &Status, here: &Here) -> String {
    let mut lines = vec![
        format!("agent    {}, leafcrond {}, pid {}", status.agent, status.version, status.pid),
        format!("since    {} ({})", here.time(status.since), here.distance(status.since)),
        format!("clock    {}, {}", words::word(status.clock), here.time(status.now)),
    ];
    lines.extend(status.provisional.map(implausible));
    lines.extend([format!(
        "jobs     {} in force; {} of {} slots taken, {} waiting, {} refused",
        status.jobs,
        status.running.len(),
        status.max_runs,
        status.waiting.len(),
        status.refused.len()
    )]);
    lines.extend(readings(&status.readings));
    lines.extend(journal(&status.journal));
    lines.extend(status.link.iter().flat_map(|status| link(status, here)));
    let mut text = lines.iter().map(|line| safe(line) + "\n").collect::<String>();
    text.push_str(&section("RUNNING", running(&status.running, here)));
    text.push_str(&section("WAITING", waiting(&status.waiting, here)));
    text.push_str(&section(
        "EVENTS (`leafcron history --events` for more)",
        events::table(&status.events, here),
    ));
    if !status.warnings.is_empty() {
        text.push_str("\nNOT SERVED BY THIS MACHINE (see `leafcron doctor`)\n");
        text.extend(status.warnings.iter().map(|row| format!("  {}\n", safe(&row.to_string()))));
    }
    if !status.refused.is_empty() {
        text.push_str("\nREFUSED (what was valid before stays in force)\n");
        text.extend(status.refused.iter().map(|row| format!("  {}\n", safe(&row.to_string()))));
    }
    text
}

fn section(title: &str, table: Table) -> String {
    if table.is_empty() { String::new() } else { format!("\n{title}\n{}", table.render("  ")) }
}

/// Runs going on.
pub(crate) fn running(runs: &[RunRow], here: &Here) -> Table {
    let mut table = Table::new(&["JOB", "DUE", "RUNNING FOR", "TRY", "TRIGGER", "PID", ""]);
    for run in runs {
        let remarks = [run.stopping.then_some("stopping"), run.overdue.then_some("overdue")];
        table.row([
            run.job.to_string(),
            here.time(run.due),
            long(here.now.since(run.started)),
            run.attempt.to_string(),
            words::word(run.trigger),
            run.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            remarks.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

/// Fires waiting to start, each with why.
pub(crate) fn waiting(fires: &[PendingRow], here: &Here) -> Table {
    let mut table = Table::new(&["JOB", "DUE", "WAITS FOR", "AT MOST UNTIL", "TRIGGER"]);
    for fire in fires {
        table.row([
            fire.job.to_string(),
            here.time(fire.due),
            words::word(fire.stage),
            fire.until.map_or_else(|| "-".to_owned(), |at| here.time(at)),
            words::word(fire.trigger),
        ]);
        for reason in &fire.shut {
            table.note(reason);
        }
    }
    table
}

/// As many readings stand in a line.
const READINGS_A_LINE: usize = 4;

/// What can be read here.
fn readings(readings: &Readings) -> Vec<String> {
    let read: Vec<String> = machine::rows(readings)
        .into_iter()
        .filter(|(name, _)| name != "clock")
        .filter_map(|(name, value)| Some(format!("{name} {}", value?)))
        .collect();
    let title = core::iter::once("machine").chain(core::iter::repeat(""));
    read.chunks(READINGS_A_LINE)
        .zip(title)
        .map(|(part, title)| format!("{title:<7}  {}", part.join(", ")))
        .collect()
}

fn journal(journal: &JournalStatus) -> Vec<String> {
    let mut lines = vec![
        format!(
            "journal  next record {}; {} in {} segment{}",
            journal.next_seq,
            size(journal.bytes),
            journal.segments,
            if journal.segments == 1 { "" } else { "s" }
        ),
        format!(
            "         since its start: {} written in {} frames, {} syncs",
            size(journal.written),
            journal.frames,
            journal.syncs
        ),
    ];
    if let Some(per_run) = per_run(journal) {
        lines.push(format!("         {per_run}"));
    }
    if journal.outputs_left_out > 0 {
        lines.push(format!(
            "         LEFT OUT: the outputs of {} runs, since the disk was full",
            journal.outputs_left_out
        ));
    }
    if journal.unrecorded > 0 {
        lines.push(format!("         NOT RECORDED: {} facts that no disk took", journal.unrecorded));
    }
    lines.extend(journal.trouble.iter().map(|said| format!("         TROUBLE: {said}")));
    lines
}

/// What a run costs the disk.
fn per_run(journal: &JournalStatus) -> Option<String> {
    let tenths = |count: u64| journal.runs.checked_sub(1).map(|_| count.saturating_mul(10) / journal.runs);
    let (bytes, syncs) = (tenths(journal.written)? / 10, tenths(journal.syncs)?);
    let (runs, whole, part) = (journal.runs, syncs / 10, syncs % 10);
    Some(format!("for each of {runs} runs: {bytes} bytes, {whole}.{part} syncs"))
}

fn link(link: &LinkStatus, here: &Here) -> Vec<String> {
    let server = link.server.as_ref().map(|server| format!(" to {server}")).unwrap_or_default();
    let state = match link.state {
        LinkState::Up => format!("up{server}"),
        LinkState::NoHub => format!("connected{server}, but the hub does not answer"),
        state @ (LinkState::Connecting | LinkState::Waiting | LinkState::Down) => state.to_string(),
    };
    let next = link.next_try.map(|at| format!("; tried again {}", here.distance(at))).unwrap_or_default();
    let mut lines = vec![
        format!("link     {state}, since {} ({}){next}", here.time(link.since), here.distance(link.since)),
        format!("         {} acknowledged, {} to be sent", link.acked_through, link.unsent),
    ];
    lines.extend(link.trouble.iter().map(|said| format!("         TROUBLE: {said}")));
    if !link.left_out.is_empty() {
        lines.push(format!("         LEFT OUT for a while: {}", link.left_out.join(", ")));
    }
    lines.extend(link.warnings.iter().map(|said| format!("         warning: {said}")));
    lines
}

/// Of a clock that cannot be right.
fn implausible(era: u32) -> String {
    format!(
        "         not plausible: jobs run in era {era} until it is, and nothing counts as missed; set it, or have it synchronised (see `timedatectl`)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_clock_that_cannot_be_right_is_told_with_what_to_do() {
        let status = Status { provisional: Some(7), ..samples::status() };
        let text = render(&status, &samples::here());
        assert!(text.contains("\n         not plausible: jobs run in era 7 until it is"), "{text}");
    }

    #[test]
    fn the_page_says_what_runs_what_waits_and_why_and_what_is_refused() {
        let expected = "\
agent    pi-01, leafcrond 0.1.0, pid 411
since    2026-11-18 18:00:00 (3d 4h ago)
clock    synced, 2026-11-21 22:00:00
jobs     3 in force; 1 of 4 slots taken, 1 waiting, 1 refused
machine  load_per_cpu 1.20, memory_available 100MiB, disk_available of /var 1GiB
journal  next record 4712; 1269KiB in 2 segments
         since its start: 12KiB written in 17 frames, 17 syncs
         for each of 40 runs: 308 bytes, 0.4 syncs

RUNNING
  JOB     DUE                  RUNNING FOR  TRY  TRIGGER  PID
  backup  2026-11-21 21:58:00  1m 59s       1    manual   812  overdue

WAITING
  JOB     DUE                  WAITS FOR  AT MOST UNTIL        TRIGGER
  backup  2026-11-21 21:59:00  gate       2026-11-21 22:09:00  schedule
    load_per_cpu is 1.2, at most 0.7 is allowed

EVENTS (`leafcron history --events` for more)
  WHEN                 EVENT       WHAT
  2026-11-18 18:00:02  clock_step  the clock was set back by 15.000 s
  2026-11-20 09:00:00  refused     the definition of backup in jobs.d/\\u{1b}home.toml: timeout: no

REFUSED (what was valid before stays in force)
  jobs.d/home.toml:3: job backup: timeout: \"5x\" is not a duration
";
        assert_eq!(render(&samples::status(), &samples::here()), expected);
    }

    #[test]
    fn the_link_says_how_it_stands_and_what_is_wrong() {
        let mut status = samples::status();
        status.link = Some(LinkStatus {
            state: LinkState::Waiting,
            since: status.since,
            server: None,
            next_try: Some(status.now.plus(core::time::Duration::from_secs(40))),
            trouble: Some("connect: connection refused".to_owned()),
            left_out: vec!["definitions".to_owned()],
            warnings: vec!["plain text".to_owned()],
            exits: 3,
            acked_through: 4_000,
            unsent: 711,
        });
        let text = render(&status, &samples::here());
        let expected = "\
link     down, since 2026-11-18 18:00:00 (3d 4h ago); tried again in 40s
         4000 acknowledged, 711 to be sent
         TROUBLE: connect: connection refused
         LEFT OUT for a while: definitions
         warning: plain text
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_disk_that_refuses_is_not_overlooked() {
        let mut status = samples::status();
        status.journal.unrecorded = 3;
        status.journal.trouble = Some("sync: I/O error".to_owned());
        let text = render(&status, &samples::here());
        assert!(text.contains("NOT RECORDED: 3") && text.contains("TROUBLE: sync: I/O error"), "{text}");
    }
}
