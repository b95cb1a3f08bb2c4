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
    if !follow {
        return print(job, run, as_json, |request| ask::ask(client, request));
    }
    let request = Request::Logs { job: job.clone(), run, from: 0, follow };
    let mut printer = Printer::new(as_json);
    let mut reply = ask::ask(client, &request)?;
    while printer.goes_on(&part_of(reply)?) {
        reply = ask::next(client)?;
    }
    Ok(Answer::default())
}

/// Prints what is there; `ask` gets the answers.
pub(crate) fn print(
    job: &JobName,
    run: Option<RunId>,
    as_json: bool,
    mut ask: impl FnMut(&Request) -> Result<Reply, Failure>,
) -> Result<Answer, Failure> {
    let mut printer = Printer::new(as_json);
    let mut part = part_of(ask(&Request::Logs { job: job.clone(), run, from: 0, follow: false })?)?;
    let there = part.end;
    while printer.goes_on(&part) && part.next < there && !part.text.is_empty() {
        let (run, from) = (Some(part.run), part.next);
        part = match ask(&Request::Logs { job: job.clone(), run, from, follow: false }) {
            // It has ended meanwhile.
            Err(Failure::No(_)) => break,
            reply => part_of(reply?)?,
        };
    }
    Ok(Answer::default())
}

/// The part of an output that an answer is.
pub(crate) fn part_of(reply: Reply) -> Result<LogPart, Failure> {
    match reply {
        Reply::Log(part) => Ok(part),
        other => Err(ask::unexpected(&other)),
    }
}

/// Prints one part after the other.
pub(crate) struct Printer {
    as_json: bool,
    terminal: bool,
    /// The byte of the output that comes next.
    pub(crate) at: u64,
}

impl Printer {
    pub(crate) fn new(as_json: bool) -> Self {
        Self { as_json, terminal: io::stdout().is_terminal(), at: 0 }
    }

    /// Prints a part, and says whether more is wanted: not after the last one, and not when whoever read has seen enough.
    pub(crate) fn goes_on(&mut self, part: &LogPart) -> bool {
        self.print(part).is_ok() && !part.over
    }

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
