//! `leafcron hub run`, `stop` and `status`: asked of the device itself, through the hub.

use core::time::Duration;
use std::io::{self, IsTerminal};
use std::thread;

use leafcron::job::{AgentName, Command, CommandId, JobName, RecordJson, RefusalKind, Reply, Request};
use leafcron::nats::{From, Subscription};
use serde_json::json;

use super::{ANSWER, Centre, Place, cannot, random};
use crate::answer::{Answer, Failure, say};
use crate::here::Here;
use crate::table::{safe, safe_lines};
use crate::{act, status};

/// While a run is waited for: how often the stream is asked whether its record came another way.
const LOOK: Duration = Duration::from_secs(5);

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

pub(super) fn stop(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    job: &JobName,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    let request = Request::Stop { job: job.clone(), id: Some(fresh_id()?) };
    match ask(centre, here, agent, request, timeout)?.1 {
        Reply::Done { message } if as_json => Answer::json(&json!({ "message": message })),
        Reply::Done { message } => Ok(Answer::text(safe(&message) + "\n")),
        other => Err(crate::ask::unexpected(&other)),
    }
}

pub(super) fn status(
    centre: &Centre,
    here: &Here,
    agent: &AgentName,
    timeout: Duration,
    as_json: bool,
) -> Result<Answer, Failure> {
    match ask(centre, here, agent, Request::Status {}, timeout)?.1 {
        Reply::Status(status) if as_json => Answer::json(&status),
        Reply::Status(status) => Ok(Answer::text(status::render(&status, here))),
        other => Err(crate::ask::unexpected(&other)),
    }
}
