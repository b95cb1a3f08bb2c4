//! `leafcron hub history`: the stream of results, from its end.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};

use leafcron::job::{AgentName, Epoch, JobName, RecordJson};
use leafcron::nats::From;

use super::{ANSWER, Centre, Place, cannot};
use crate::answer::{Answer, Failure, say};
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

/// The same, and up to where they were looked for.
fn look_back(centre: &Centre, asked: &Asked<'_>, limit: usize) -> Result<(Vec<RecordJson>, Place), Failure> {
    let stream = centre.name("runs");
    let info = centre.stream.stream_info(&stream, ANSWER).map_err(|error| centre.unread(&stream, &error))?;
    let (mut last, first) = (info.last_seq, info.first_seq.max(1));
    let mut piece = u64::try_from(limit).unwrap_or(u64::MAX).saturating_mul(4).max(256);
    loop {
        let from = last.saturating_sub(piece).max(first);
        let mut records = VecDeque::new();
        centre.read(&stream, &asked.subject(centre), From::Sequence(from), &mut |stored| {
            // Something may have come since that was asked.
            last = last.max(stored.sequence);
            records.extend(centre.record(&stored));
            if records.len() > limit {
                records.pop_front();
            }
        })?;
        if records.len() >= limit || from <= first {
            let place = Place { created: info.created, next: last.saturating_add(1) };
            return Ok((in_order(records.into()), place));
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
    let (records, mut place) = look_back(centre, asked, limit)?;
    if !follow {
        return if asked.json {
            Answer::json(&records)
        } else {
            Ok(Answer::text(render(&records, here, asked)))
        };
    }
    if !records.is_empty() && print(&records, here, asked)? == Reader::Gone {
        return Ok(Answer::default());
    }
    let (mut centre, mut told) = (centre.clone(), false);
    loop {
        let lost = match listen(&centre, here, asked, &mut place, &mut told) {
            Ok(end) => return end,
            Err(Failure::CannotAsk(why) | Failure::No(why)) => why,
        };
        // Once for each time that it is away.
        if !core::mem::replace(&mut told, true) {
            say(&format!("leafcron: {lost}; it goes on when the hub is there again\n"));
        }
        centre = centre.again()?;
    }
}

/// Prints what comes, until nobody reads it any more; an error is the hub's absence.
fn listen(
    centre: &Centre,
    here: &Here,
    asked: &Asked<'_>,
    place: &mut Place,
    told: &mut bool,
) -> Result<Result<Answer, Failure>, Failure> {
    // What comes meanwhile wakes; what is printed is read from the stream.
    let bell =
        centre.stream.connection().subscribe(&asked.subject(centre), 64).map_err(|error| cannot(&error))?;
    loop {
        if let Some(on) = centre.on_from(place)? {
            let (mut fresh, from) = (Vec::new(), on.next);
            let mut end = from;
            centre.read(
                &centre.name("runs"),
                &asked.subject(centre),
                From::Sequence(from),
                &mut |stored| {
                    end = stored.sequence.saturating_add(1);
                    fresh.extend(centre.record(&stored));
                },
            )?;
            *place = Place { next: end, ..on };
            if !fresh.is_empty() {
                match print(&in_order(fresh), here, asked) {
                    Ok(Reader::There) => {}
                    Ok(Reader::Gone) => return Ok(Ok(Answer::default())),
                    Err(failure) => return Ok(Err(failure)),
                }
            }
        }
        *told = false;
        bell.next(LOOK).map_err(|error| cannot(&error))?;
    }
}

/// Of each device and numbering the records in the order of their numbers: what was sent again may lie behind what came
/// after it.
fn in_order(records: Vec<RecordJson>) -> Vec<RecordJson> {
    type Numbering = (AgentName, Epoch);
    let of = |record: &RecordJson| (record.agent.clone(), record.epoch);
    let places: Vec<Numbering> = records.iter().map(of).collect();
    let mut by_number: BTreeMap<Numbering, Vec<RecordJson>> = BTreeMap::new();
    for record in records {
        by_number.entry(of(&record)).or_default().push(record);
    }
    by_number.values_mut().for_each(|records| records.sort_by_key(|record| Reverse(record.seq)));
    places.iter().filter_map(|place| by_number.get_mut(place)?.pop()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_late_stands_where_its_number_is() {
        let golden: RecordJson =
            serde_json::from_str(include_str!("../../../../tests/golden/record.json")).unwrap();
        let record = |agent: &str, seq| {
            let agent = agent.parse().unwrap();
            RecordJson { agent, seq, ..golden.clone() }
        };
        let stored = vec![record("a", 2), record("b", 9), record("a", 1), record("b", 8), record("a", 3)];
        let ordered = in_order(stored);
        let seen: Vec<(&str, u64)> =
            ordered.iter().map(|record| (record.agent.as_str(), record.seq)).collect();
        assert_eq!(seen, [("a", 1), ("b", 8), ("a", 2), ("b", 9), ("a", 3)]);
    }
}
