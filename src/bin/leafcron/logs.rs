//! `leafcron logs`: what a running job prints, as it comes.

use std::io::{self, IsTerminal, Write};

use leafcron::control::Client;
use leafcron::job::{JobName, LogPart, Reply, Request, RunId};

use crate::answer::{Answer, Failure, say};
use crate::ask;
use crate::table::safe_lines;

/// Prints what is there, and with `follow` what comes until the run is over.
pub(crate) fn logs(
    client: &mut Client,
    job: &JobName,
    run: Option<RunId>,
    follow: bool,
    as_json: bool,
) -> Result<Answer, Failure> {
    let mut printer = Printer { as_json, terminal: io::stdout().is_terminal(), at: 0 };
    let mut request = Request::Logs { job: job.clone(), run, from: 0, follow };
    let mut part = log_part(ask::ask(client, &request)?)?;
    let there = part.end;
    loop {
        if printer.print(&part).is_err() {
            // Whoever read has seen enough.
            return Ok(Answer::default());
        }
        if part.over || !follow && (part.next >= there || part.text.is_empty()) {
            return Ok(Answer::default());
        }
        part = if follow {
            log_part(ask::next(client)?)?
        } else {
            request = Request::Logs { job: job.clone(), run: Some(part.run), from: part.next, follow };
            match ask::ask(client, &request) {
                // It has ended meanwhile.
                Err(Failure::No(_)) => return Ok(Answer::default()),
                reply => log_part(reply?)?,
            }
        };
    }
}

fn log_part(reply: Reply) -> Result<LogPart, Failure> {
    match reply {
        Reply::Log(part) => Ok(part),
        other => Err(ask::unexpected(&other)),
    }
}

struct Printer {
    as_json: bool,
    terminal: bool,
    /// The byte of the output that comes next.
    at: u64,
}

impl Printer {
    fn print(&mut self, part: &LogPart) -> io::Result<()> {
        let gone = part.from.saturating_sub(self.at);
        self.at = part.next;
        let mut out = io::stdout().lock();
        if self.as_json {
            serde_json::to_writer(&mut out, part)?;
            out.write_all(b"\n")?;
            return out.flush();
        }
        if gone > 0 {
            say(&format!("leafcron: {gone} bytes before this are gone\n"));
        }
        let text = if self.terminal { safe_lines(&part.text) } else { part.text.clone() };
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
