//! `leafcron hub history`: the stream of results, from its end.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write};

use leafcron::job::{AgentName, JobName, RecordJson};
use leafcron::nats::From;

use super::{ANSWER, Centre, cannot};
use crate::answer::{Answer, Failure};
use crate::here::Here;
use crate::history::{self, Outputs};

/// While nothing comes: how often the stream is asked all the same, since a message may be lost on its way here.
const LOOK: Duration = Duration::from_secs(15);

/// What is asked of the past.
pub(super) struct Asked<'a> {
    pub(super) agent: Option<&'a AgentName>,
    pub(super) job: Option<&'a JobName>,
    pub(super) output: bool,
    pub(super) json: bool,
}

impl Asked<'_> {
    fn subject(&self, centre: &Centre) -> String {
        let token = |name: Option<&JobName>| name.map_or_else(|| "*".to_owned(), ToString::to_string);
        format!("{}.run.{}.{}", centre.prefix, token(self.agent), token(self.job))
    }
}

/// The newest records, oldest first: the stream is read in growing pieces from its end.
pub(super) fn newest(centre: &Centre, asked: &Asked<'_>, limit: usize) -> Result<Vec<RecordJson>, Failure> {
    Ok(look_back(centre, asked, limit)?.0)
}

/// The same, and the stream's last sequence.
fn look_back(centre: &Centre, asked: &Asked<'_>, limit: usize) -> Result<(Vec<RecordJson>, u64), Failure> {
    let stream = centre.name("runs");
    let info = centre.stream.stream_info(&stream, ANSWER).map_err(|error| centre.unread(&stream, &error))?;
    let (last, first) = (info.last_seq, info.first_seq.max(1));
    let mut piece = u64::try_from(limit).unwrap_or(u64::MAX).saturating_mul(4).max(256);
    loop {
        let from = last.saturating_sub(piece).max(first);
        let mut records = VecDeque::new();
        centre.read(&stream, &asked.subject(centre), From::Sequence(from), &mut |stored| {
            records.extend(serde_json::from_slice::<RecordJson>(&stored.payload));
            if records.len() > limit {
                records.pop_front();
            }
        })?;
        if records.len() >= limit || from <= first {
            return Ok((records.into(), last));
        }
        piece = piece.saturating_mul(8);
    }
}

pub(super) fn history(
    centre: &Centre,
    here: &Here,
    asked: &Asked<'_>,
    limit: usize,
    follow: bool,
) -> Result<Answer, Failure> {
    let (records, last) = look_back(centre, asked, limit)?;
    if !follow {
        return if asked.json {
            Answer::json(&records)
        } else {
            Ok(Answer::text(render(&records, here, asked)))
        };
    }
    // What comes meanwhile wakes; what is printed is read from the stream.
    let bell =
        centre.stream.connection().subscribe(&asked.subject(centre), 64).map_err(|error| cannot(&error))?;
    if !records.is_empty() && print(&records, here, asked)? == Reader::Gone {
        return Ok(Answer::default());
    }
    let mut next = last.saturating_add(1);
    loop {
        let mut fresh = Vec::new();
        centre.read(&centre.name("runs"), &asked.subject(centre), From::Sequence(next), &mut |stored| {
            next = stored.sequence.saturating_add(1);
            fresh.extend(serde_json::from_slice::<RecordJson>(&stored.payload));
        })?;
        if !fresh.is_empty() && print(&fresh, here, asked)? == Reader::Gone {
            return Ok(Answer::default());
        }
        bell.next(LOOK).map_err(|error| cannot(&error))?;
    }
}

fn render(records: &[RecordJson], here: &Here, asked: &Asked<'_>) -> String {
    let outputs = if asked.output { Outputs::Shown } else { Outputs::Hidden };
    let named: Vec<RecordJson> = records.to_vec();
    if asked.agent.is_some() {
        return history::render(&named, here, outputs);
    }
    // Of many devices: each with its records.
    let mut text = String::new();
    let mut agents: Vec<&AgentName> = named.iter().map(|record| &record.agent).collect();
    agents.sort();
    agents.dedup();
    if agents.is_empty() {
        return history::render(&[], here, outputs);
    }
    for agent in agents {
        let own: Vec<RecordJson> = named.iter().filter(|record| record.agent == *agent).cloned().collect();
        text.push_str(&format!("{agent}\n"));
        text.extend(history::render(&own, here, outputs).lines().map(|line| format!("  {line}\n")));
    }
    text
}

#[derive(PartialEq, Eq)]
enum Reader {
    There,
    /// It has seen enough (`| head`).
    Gone,
}

/// One line each: JSON for programs.
fn print(records: &[RecordJson], here: &Here, asked: &Asked<'_>) -> Result<Reader, Failure> {
    let text = if asked.json {
        records.iter().map(|record| serde_json::to_string(record).unwrap_or_default() + "\n").collect()
    } else {
        render(records, here, asked)
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::CannotAsk(format!("cannot print: {error}"))),
    }
}
