//! Facts on their way into the stream. The window is the agent's: what it hands over is published, and told when the
//! stream has it; what is not answered is published again under the same id.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;

use super::frame::{FromLink, Phase};
use super::main::Link;
use super::patience::{ANSWER, Again, now};
use crate::job::limits::LINK_FRAME_BYTES;
use crate::nats::{Connection, Expect, From, Message, NatsError, PubAck, Read};

/// Acknowledgements that wait: twice the agent's window.
const ACKS: usize = 2 * crate::job::limits::IN_FLIGHT;
/// With nothing open there is nothing to look after.
const IDLE: Duration = Duration::from_secs(86_400);

/// What the thread takes in.
pub(super) enum Input {
    Fact {
        seq: u64,
        subject: String,
        payload: Vec<u8>,
    },
    Ack(Message),
    /// The hub is back.
    Kick,
}

struct Fact {
    /// Under which the stream knows it.
    id: String,
    subject: String,
    payload: Vec<u8>,
    again: Again,
    /// When it is published again.
    due: Duration,
}

struct Results<'a> {
    link: &'a Link,
    connection: Connection,
    inbox: String,
    expect: Expect,
    open: BTreeMap<u64, Fact>,
    /// The highest sequence that the stream has given.
    highest: u64,
    /// How often the hub had come back when all was last published again.
    returns: u64,
}

/// Compares, then publishes until the process ends.
pub(super) fn run(link: &Arc<Link>, inputs: &Receiver<Input>, acks: SyncSender<Input>) {
    let stream = link.hello.names().runs();
    let highest = resume(link, &stream);
    let connection = link.stream.connection().clone();
    let inbox = connection.new_inbox();
    listen(link, &format!("{inbox}.*"), acks);
    let expect = Expect { stream, domain: link.hello.domain.to_string() };
    let returns = link.pulse.returns();
    let mut results = Results { link, connection, inbox, expect, open: BTreeMap::new(), highest, returns };
    link.out.say(&FromLink::Resumed);
    loop {
        let due = results.open.values().map(|fact| fact.due).min();
        let wait = due.map_or(IDLE, |due| due.saturating_sub(now()));
        match inputs.recv_timeout(wait) {
            Ok(Input::Fact { seq, subject, payload }) => {
                let id = format!("{}-{}-{seq}", link.hello.agent, link.hello.epoch);
                let again = Again::default();
                results.open.insert(seq, Fact { id, subject, payload, again, due: Duration::ZERO });
                results.publish(seq);
            }
            Ok(Input::Ack(message)) => results.answered(&message),
            Ok(Input::Kick) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        results.repeat();
    }
}

/// Tells what of ours the stream holds beyond the agent's point; gives its last sequence.
fn resume(link: &Link, stream: &str) -> u64 {
    let info = link.pulse.until(Phase::Results, &link.out, || link.stream.stream_info(stream, ANSWER));
    link.out.say(&FromLink::Stream { last_sequence: info.last_seq });
    let known = link.hello.stream_sequence;
    // A stream that ends before that point is another one, or an older state: all of it counts.
    let from = if info.last_seq < known { From::All } else { From::Sequence(known.saturating_add(1)) };
    if info.last_seq == known {
        return known;
    }
    for filter in link.hello.names().facts() {
        let read = Read { stream, consumer: link.hello.agent.as_str(), filter: &filter, from };
        link.pulse.until(Phase::Results, &link.out, || {
            link.stream.read(&read, ANSWER, &mut |stored| {
                link.out.say(&FromLink::Stored { stream_sequence: stored.sequence, payload: stored.payload });
                Ok(())
            })
        });
    }
    info.last_seq
}

/// A thread that hands on what comes to the inbox.
fn listen(link: &Arc<Link>, subject: &str, acks: SyncSender<Input>) {
    let subscribed = link.stream.connection().subscribe(subject, ACKS);
    let (link, own) = (Arc::clone(link), Arc::clone(link));
    let begun = subscribed.map_err(|error| error.to_string()).and_then(|messages| {
        let work = move || loop {
            match messages.next_blocking() {
                Ok(message) => {
                    if acks.send(Input::Ack(message)).is_err() {
                        return;
                    }
                }
                Err(error) => link.out.fault(Phase::Connect, error.to_string(), error.is_final()),
            }
        };
        let thread = thread::Builder::new().name("acks".to_owned()).stack_size(64 * 1024).spawn(work);
        thread.map_err(|error| error.to_string())
    });
    if let Err(why) = begun {
        own.out.fault(Phase::Results, why, false);
    }
}

impl Results<'_> {
    /// Publishes what is due: everything, when the hub has come back.
    fn repeat(&mut self) {
        let returns = self.link.pulse.returns();
        if core::mem::replace(&mut self.returns, returns) != returns {
            self.open.values_mut().for_each(|fact| fact.due = Duration::ZERO);
        }
        let now = now();
        let due: Vec<u64> =
            self.open.iter().filter(|(_, fact)| fact.due <= now).map(|(seq, _)| *seq).collect();
        for seq in due {
            self.publish(seq);
        }
    }

    fn publish(&mut self, seq: u64) {
        let Some(fact) = self.open.get_mut(&seq) else { return };
        fact.due = now() + fact.again.next();
        let headers =
            [("Nats-Msg-Id", fact.id.as_str()), ("Nats-Expected-Stream", self.expect.stream.as_str())];
        let reply = format!("{}.{seq}", self.inbox);
        match self.connection.publish(&fact.subject, Some(&reply), &headers, &fact.payload) {
            Ok(()) => {}
            Err(error @ NatsError::TooLarge { .. }) => self.refused(seq, &error),
            Err(error) => self.link.out.fault(Phase::Connect, error.to_string(), error.is_final()),
        }
    }

    fn refused(&mut self, seq: u64, error: &NatsError) {
        self.open.remove(&seq);
        self.link.out.say(&FromLink::Refused { seq, reason: error.to_string() });
    }

    fn answered(&mut self, message: &Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let Some(seq) = number.filter(|seq| self.open.contains_key(seq)) else { return };
        let ack = if message.is_no_responders() {
            Err(NatsError::NoResponders { subject: self.expect.stream.clone() })
        } else {
            PubAck::parse(&message.payload, &self.expect)
        };
        self.link.pulse.note(&ack, &self.link.out);
        match ack {
            Ok(PubAck { sequence, duplicate: false }) => {
                if sequence < self.highest {
                    let why = format!("the stream gives {sequence} after {}: it was made anew", self.highest);
                    self.link.out.fault(Phase::Connect, why, false);
                }
                self.highest = sequence;
                self.done(seq, sequence);
            }
            Ok(PubAck { sequence, duplicate: true }) => self.compare(seq, sequence),
            // Larger than the stream allows, or than the account has room for in one message.
            Err(error @ NatsError::Api { err_code: 10_054, .. }) => self.refused(seq, &error),
            // It is published again when its time has come. (A leaf's own stream answers first: the hub's answer follows.)
            Err(error) => log::debug!("fact {seq}: {error}"),
        }
    }

    fn done(&mut self, seq: u64, stream_sequence: u64) {
        self.open.remove(&seq);
        self.link.out.say(&FromLink::Acked { seq, stream_sequence });
    }

    /// Under its subject there is nothing where the stream says that it has its id.
    fn missing(&mut self, seq: u64, sequence: u64) {
        let info = self.link.stream.stream_info(&self.expect.stream, ANSWER);
        self.link.pulse.note(&info, &self.link.out);
        match info {
            // It was there, and a limit of the stream has taken it since.
            Ok(info) if sequence < info.first_seq => self.done(seq, sequence),
            // Somebody else took the id, for something of their own, or it was deleted there. It goes under one that nobody
            // can guess; should it come twice, it is the same.
            Ok(_) => {
                log::warn!(
                    "somebody else has the id of fact {seq} in the stream: it is published under another"
                );
                let unguessable = self.connection.new_inbox();
                if let Some(fact) = self.open.get_mut(&seq) {
                    fact.id = format!("{}-{unguessable}", fact.id);
                }
                self.publish(seq);
            }
            // It is published again when its time has come.
            Err(error) => log::debug!("fact {seq}: {error}"),
        }
    }

    /// The stream has something under this id: what?
    fn compare(&mut self, seq: u64, sequence: u64) {
        let Some(fact) = self.open.get(&seq) else { return };
        let read = Read {
            stream: &self.expect.stream,
            consumer: self.link.hello.agent.as_str(),
            filter: &fact.subject,
            from: From::Sequence(sequence),
        };
        let mut found = None;
        let result = self.link.stream.read(&read, ANSWER, &mut |stored| {
            found = (stored.sequence == sequence).then_some(stored.payload);
            // The first one is enough.
            Err(NatsError::Given(String::new()))
        });
        match (found, result) {
            (Some(payload), _) => {
                self.open.remove(&seq);
                // What fits into no frame is none of ours; the agent is to hear of it all the same.
                let payload = if payload.len() < LINK_FRAME_BYTES / 2 { payload } else { Vec::new() };
                self.link.out.say(&FromLink::Duplicate { seq, stream_sequence: sequence, payload });
            }
            (None, Ok(()) | Err(NatsError::Given(_))) => self.missing(seq, sequence),
            (None, Err(error)) => {
                self.link.pulse.note::<()>(&Err(error), &self.link.out);
            }
        }
    }
}
