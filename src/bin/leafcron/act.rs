//! `leafcron run`, `stop`, `pause`, `resume`, `reload`: what changes something.

use std::io::{self, IsTerminal};

use leafcron::control::Client;
use leafcron::job::{CommandId, Outcome, RecordJson, Reloaded, Reply, Request};
use serde_json::json;

use crate::answer::{Answer, Failure, say};
use crate::ask;
use crate::history::kept;
use crate::table::{safe, safe_lines};
use crate::words;

/// `stop`, `pause`, `resume`.
pub(crate) fn done(client: &mut Client, request: &Request, as_json: bool) -> Result<Answer, Failure> {
    match ask::ask(client, request)? {
        Reply::Done { message } if as_json => Answer::json(&json!({ "message": message })),
        Reply::Done { message } => Ok(Answer::text(safe(&message) + "\n")),
        other => Err(ask::unexpected(&other)),
    }
}

/// `run` without `--wait`.
pub(crate) fn run(client: &mut Client, request: &Request, as_json: bool) -> Result<Answer, Failure> {
    let id = accepted(client, request)?;
    if as_json {
        return Answer::json(&json!({ "id": id }));
    }
    Ok(Answer::text(format!("accepted as {id}; `leafcron history` tells how it ended\n")))
}

/// `run --wait`.
pub(crate) fn run_and_wait(client: &mut Client, request: &Request, as_json: bool) -> Result<Answer, Failure> {
    let id = accepted(client, request)?;
    if io::stderr().is_terminal() {
        say(&format!("accepted as {id}; it goes on if you stop waiting\n"));
    }
    match ask::next(client)? {
        Reply::Ran(record) => {
            ran(&record, as_json, if io::stdout().is_terminal() { safe_lines } else { raw })
        }
        other => Err(ask::unexpected(&other)),
    }
}

fn accepted(client: &mut Client, request: &Request) -> Result<CommandId, Failure> {
    match ask::ask(client, request)? {
        Reply::Accepted { id } => Ok(id),
        other => Err(ask::unexpected(&other)),
    }
}

fn raw(text: &str) -> String {
    text.to_owned()
}

/// Prints its output and exits as it did; why it did not succeed goes to stderr.
pub(crate) fn ran(record: &RecordJson, as_json: bool, print: fn(&str) -> String) -> Result<Answer, Failure> {
    let answer = if as_json {
        Answer::json(record)?
    } else {
        Answer::text(record.output.as_ref().map(|output| print(&kept(output))).unwrap_or_default())
    };
    let code = exit_code(record);
    if record.outcome == Outcome::Succeeded || as_json {
        return Ok(answer.with_code(code));
    }
    let mut why = format!("leafcron: {} {}", record.job, words::outcome(record.outcome, record.reason));
    match (record.exit_code, record.signal) {
        (_, Some(signal)) => why.push_str(&format!(", by signal {signal}")),
        (Some(code), None) => why.push_str(&format!(", exit code {code}")),
        (None, None) => {}
    }
    if let Some(detail) = &record.detail {
        why.push_str(&format!(": {}", safe(detail)));
    }
    Ok(Answer { err: why + "\n", ..answer.with_code(code) })
}

/// The job's exit code, or 128 and its signal; never 0 for a run that did not succeed.
fn exit_code(record: &RecordJson) -> u8 {
    let code = match (record.exit_code, record.signal) {
        (_, Some(signal)) => 128_u8.saturating_add(signal),
        (Some(code), None) => code,
        (None, None) => 0,
    };
    if code == 0 && record.outcome != Outcome::Succeeded { 1 } else { code }
}

/// `reload`: what is in force on stdout, what was refused on stderr.
pub(crate) fn reloaded(reloaded: &Reloaded, as_json: bool) -> Result<Answer, Failure> {
    let code = u8::from(!reloaded.rejected.is_empty());
    if as_json {
        return Ok(Answer::json(reloaded)?.with_code(code));
    }
    let mut out = format!("accepted {}{}\n", reloaded.accepted.len(), names(&reloaded.accepted));
    if !reloaded.removed.is_empty() {
        out.push_str(&format!("removed {}{}\n", reloaded.removed.len(), names(&reloaded.removed)));
    }
    let mut err = String::new();
    if !reloaded.rejected.is_empty() {
        out.push_str(&format!("rejected {}\n", reloaded.rejected.len()));
        err.extend(reloaded.rejected.iter().map(|row| safe(&row.to_string()) + "\n"));
    }
    err.extend(reloaded.warnings.iter().map(|row| format!("warning: {}\n", safe(&row.to_string()))));
    Ok(Answer { out, err, code })
}

fn names(names: &[leafcron::job::JobName]) -> String {
    names.iter().enumerate().map(|(n, name)| format!("{} {name}", if n == 0 { ":" } else { "" })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use leafcron::job::Reason;

    #[test]
    fn a_run_that_was_waited_for_exits_as_the_job_did() {
        use Outcome::*;
        for (outcome, exit_code, signal, expected) in [
            (Succeeded, Some(0), None, 0),
            (Succeeded, Some(4), None, 4),
            (Failed, Some(3), None, 3),
            (Failed, None, Some(11), 139),
            (Failed, None, None, 1),
            (TimedOut, Some(0), None, 1),
            (TimedOut, None, Some(15), 143),
            (Skipped, None, None, 1),
            (Interrupted, None, None, 1),
        ] {
            let record = RecordJson { outcome, exit_code, signal, ..samples::record() };
            assert_eq!(
                ran(&record, false, raw).unwrap().code,
                expected,
                "{outcome:?} {exit_code:?} {signal:?}"
            );
            assert_eq!(ran(&record, true, raw).unwrap().code, expected);
        }
    }

    #[test]
    fn why_a_run_did_not_succeed_is_on_stderr_and_only_its_output_on_stdout() {
        let mut record = samples::record();
        record.output =
            Some(leafcron::job::Output { head: "a\x07b".to_owned(), ..leafcron::job::Output::default() });
        let answer = ran(&record, false, raw).unwrap();
        assert_eq!(
            (answer.out.as_str(), answer.err.as_str()),
            ("a\x07b\n", "leafcron: backup failed, exit code 3\n")
        );
        assert_eq!(ran(&record, false, safe_lines).unwrap().out, "a\\u{7}b\n");
        let skipped = RecordJson {
            outcome: Outcome::Skipped,
            reason: Some(Reason::Gate),
            exit_code: None,
            output: None,
            detail: Some("load_per_cpu is 1.2".to_owned()),
            ..record
        };
        let answer = ran(&skipped, false, raw).unwrap();
        assert_eq!(answer.err, "leafcron: backup skipped(gate): load_per_cpu is 1.2\n");
    }

    #[test]
    fn a_reload_names_what_it_took_and_what_it_refused() {
        let all = Reloaded {
            accepted: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            rejected: samples::shown().refused.into_iter().collect(),
            removed: vec!["c".parse().unwrap()],
            ..Reloaded::default()
        };
        let answer = reloaded(&all, false).unwrap();
        assert_eq!(answer.out, "accepted 2: a b\nremoved 1: c\nrejected 1\n");
        assert_eq!(answer.err, "jobs.d/home.toml:3: job backup: timeout: \"5x\" is not a duration\n");
        assert_eq!(answer.code, 1);
        assert_eq!(reloaded(&Reloaded::default(), false).unwrap(), Answer::text("accepted 0\n"));
    }
}
