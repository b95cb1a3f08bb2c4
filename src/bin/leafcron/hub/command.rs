//! `leafcron hub run`, `stop`, `pause`, `resume`, `logs` and `status`: asked of the device itself, through the hub.

use core::time::Duration;
use std::io::{self, IsTerminal};
use std::thread;

use leafcron::job::{AgentName, Command, CommandId, JobName, RecordJson, RefusalKind, Reply, Request, RunId};
use leafcron::nats::{From, Subscription};
use serde_json::json;

use super::{ANSWER, Centre, Place, cannot, random};
use crate::answer::{Answer, Failure, say};
use crate::here::Here;
use crate::logs::{Printer, part_of};
use crate::table::{safe, safe_lines};
use crate::{act, status};

/// While a run is waited for: how often the stream is asked whether its record came another way.
const LOOK: Duration = Duration::from_secs(5);

/// Whoever follows an output says so as often as this.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A run to be started.
pub(super) struct Run<'a> {
    pub(super) job: &'a JobName,
    pub(super) wait: bool,
    pub(super) force: bool,
    pub(super) id: Option<CommandId>,
}

fn fresh_id() -> Result<CommandId, Failure> {
    random()?.parse().map_err(|error| Failure::CannotAsk(format!("make an id: {error}")))
}

/// Sends a command; the subscription that hears its answers, and the first of them.
fn ask(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    request: Request,
    timeout: Duration,
) -> Result<(Subscription, Reply), Failure> {
    let command = Command { request, not_after: Some(here.now.plus(timeout)) };
    let text = command.to_json().to_string();
    let connection = centre.stream.connection();
    let inbox = connection.new_inbox();
    let answers = connection.subscribe(&inbox, 8).map_err(|error| cannot(&error))?;
    let subject = format!("{}.cmd.{agent}", centre.prefix);
    connection.publish(&subject, Some(&inbox), &[], text.as_bytes()).map_err(|error| cannot(&error))?;
    let silent = || {
        Failure::No(format!(
            "{agent} did not answer within {timeout:?}; it may take the command until then. `leafcron hub agents` tells when it was seen"
        ))
    };
    let first = answers.next(timeout).map_err(|error| cannot(&error))?.ok_or_else(silent)?;
    if first.is_no_responders() {
        return Err(Failure::No(format!(
            "{agent} is not connected; `leafcron hub agents` tells when it was seen"
        )));
    }
    Ok((answers, reply(&first.payload)?))
}

/// The one answer to a request.
pub(super) fn read(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    request: Request,
    timeout: Duration,
) -> Result<Reply, Failure> {
    ask(centre, here, agent, request, timeout).map(|(_, reply)| reply)
}

fn reply(payload: &[u8]) -> Result<Reply, Failure> {
    match serde_json::from_slice(payload) {
        Ok(Reply::Refused(refusal)) => {
            let message = safe(&refusal.message);
            Err(match refusal.kind {
                RefusalKind::BadRequest | RefusalKind::Busy => Failure::CannotAsk(message),
                _ => Failure::No(message),
            })
        }
        Ok(reply) => Ok(reply),
        Err(error) => Err(Failure::CannotAsk(format!("the device's answer makes no sense: {error}"))),
    }
}

pub(super) fn run(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    run: &Run<'_>,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    let id = match &run.id {
        Some(id) => id.clone(),
        None => fresh_id()?,
    };
    let stream = centre.name("runs");
    // Its record lies behind this.
    let from = match (run.wait, centre.stream.stream_info(&stream, ANSWER)) {
        (true, Ok(info)) => Place { created: info.created, next: info.last_seq.saturating_add(1) },
        (true, Err(error)) => return Err(centre.unread(&stream, &error)),
        (false, _) => Place { created: String::new(), next: 0 },
    };
    let request =
        Request::Run { job: run.job.clone(), id: Some(id.clone()), force: run.force, wait: run.wait };
    let (answers, first) = ask(centre, here, agent, request, timeout)?;
    match first {
        Reply::Accepted { id } if !run.wait => {
            if as_json {
                return Answer::json(&json!({ "id": id }));
            }
            Ok(Answer::text(format!("accepted as {id}; `leafcron hub history` tells how it ended\n")))
        }
        Reply::Accepted { .. } => {
            if io::stderr().is_terminal() {
                say(&format!("accepted as {id}; it goes on if you stop waiting\n"));
            }
            let record = wait_for(centre, agent, run.job, &id, answers, &from)?;
            act::ran(&record, as_json, if io::stdout().is_terminal() { safe_lines } else { str::to_owned })
        }
        other => Err(crate::ask::unexpected(&other)),
    }
}

/// The final record: as the device's second answer, or, where its link or ours was cut meanwhile, from the stream.
fn wait_for(
    centre: &Centre,
    agent: &AgentName,
    job: &JobName,
    id: &CommandId,
    answers: Subscription,
    from: &Place,
) -> Result<RecordJson, Failure> {
    let subject = format!("{}.run.{agent}.{job}", centre.prefix);
    let (mut centre, mut answers, mut told) = (centre.clone(), Some(answers), false);
    loop {
        match answers.as_ref().map(|answers| answers.next(LOOK)) {
            Some(Ok(Some(message))) => {
                return match reply(&message.payload)? {
                    Reply::Ran(record) => Ok(*record),
                    other => Err(crate::ask::unexpected(&other)),
                };
            }
            Some(Ok(None)) => {}
            // What the device answers goes to an inbox that is no more.
            Some(Err(_)) => answers = None,
            None => thread::sleep(LOOK),
        }
        let mut found = None;
        let read = centre.on_from(from).and_then(|from| match from {
            None => Ok(()),
            Some(from) => {
                centre.read(&centre.name("runs"), &subject, From::Sequence(from.next), &mut |stored| {
                    let last = |record: &RecordJson| record.id.as_ref() == Some(id) && record.last;
                    found = found.take().or(centre.record(&stored).filter(last));
                })
            }
        });
        // The hub may be away for a while; the job goes on.
        match (found, read) {
            (Some(record), _) => return Ok(record),
            (None, Ok(())) => told = false,
            (None, Err(Failure::CannotAsk(why) | Failure::No(why))) => {
                if !core::mem::replace(&mut told, true) {
                    say(&format!("leafcron: {why}; still waiting\n"));
                }
                centre = centre.again()?;
            }
        }
    }
}

/// What is answered by words.
pub(super) fn done(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    request: impl FnOnce(CommandId) -> Request,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    match read(centre, here, agent, request(fresh_id()?), timeout)? {
        Reply::Done { message } if as_json => Answer::json(&json!({ "message": message })),
        Reply::Done { message } => Ok(Answer::text(safe(&message) + "\n")),
        other => Err(crate::ask::unexpected(&other)),
    }
}

/// What a run prints, until it is over.
pub(super) fn follow(
    centre: &Centre,
    agent: &AgentName,
    job: &JobName,
    run: Option<RunId>,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    let (mut centre, mut run, mut printer) = (centre.clone(), run, Printer::new(as_json));
    loop {
        let request = Request::Logs { job: job.clone(), run, from: printer.at, follow: true };
        let here = Here::of_this_machine();
        let (answers, mut reply) = match ask(&centre, &here, agent, request, timeout) {
            Ok(answered) => answered,
            // The first answer says whether there is anything to follow; later the way there may be cut for a while.
            Err(Failure::CannotAsk(why)) if run.is_some() => {
                say(&format!("leafcron: {why}; still following\n"));
                centre = centre.again()?;
                continue;
            }
            Err(Failure::No(why)) if run.is_some() => {
                let message = format!(
                    "{why}: what it printed last was not seen; `leafcron hub history --output` shows what was kept"
                );
                return Err(Failure::No(message));
            }
            Err(failure) => return Err(failure),
        };
        loop {
            let part = part_of(reply)?;
            run = Some(part.run);
            if !printer.goes_on(&part) {
                return Ok(Answer::default());
            }
            // The device stops telling whoever does not ask again.
            let left = ASK_AGAIN.saturating_sub(Here::of_this_machine().now.since(here.now));
            match answers.next(left) {
                Ok(Some(message)) => reply = self::reply(&message.payload)?,
                Ok(None) => break,
                Err(_) => {
                    centre = centre.again()?;
                    break;
                }
            }
        }
    }
}

pub(super) fn status(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    match read(centre, here, agent, Request::Status {}, timeout)? {
        Reply::Status(status) if as_json => Answer::json(&status),
        Reply::Status(status) => Ok(Answer::text(status::render(&status, here))),
        other => Err(crate::ask::unexpected(&other)),
    }
}
