//! A complete reading of what a filter matches, by a pull consumer that lives as long as the reading. It proves that it is
//! complete: the consumer is new, its sequence has no gap, and its last message says that nothing is pending.

use core::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::connection::Subscription;
use super::error::NatsError;
use super::jetstream::JetStream;
use super::message::Message;
use super::verbs::Consumer;

/// Messages asked for at once: each can be as large as the server allows.
const BATCH: u64 = 32;
/// A consumer that was left behind goes by itself after this, in nanoseconds.
const INACTIVE_NANOS: u64 = 60_000_000_000;
/// A consumer of this name that comes back to life is deleted again, so often.
const TRIES: usize = 3;

/// In a cluster the first pull may come to a server that has not heard of the new consumer, and finds nobody there: it is
/// sent again after these.
const NOT_KNOWN_YET: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1_000)];

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What the consumer is called: a name of the reader's own, which permissions can be bound to.
    pub consumer: &'a str,
    /// The subjects.
    pub filter: &'a str,
    /// Of them what.
    pub from: From,
}

impl Read<'_> {
    fn consumer(&self) -> Consumer<'_> {
        Consumer { stream: self.stream, name: self.consumer }
    }
}

/// Where a reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The newest message of each subject.
    LastPerSubject,
    /// All, from this sequence of the stream on.
    Sequence(u64),
    /// The newest message of all.
    Last,
    /// All.
    All,
}

/// A message of a stream.
#[derive(Debug)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub at_nanos: i64,
    /// What it says.
    pub payload: Vec<u8>,
    /// It marks its key as deleted or purged, or is what a time limit left of it.
    pub deleted: bool,
    headers: Option<::nats::HeaderMap>,
}

impl Stored {
    /// The value of a header, letter case as it was written.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
    delivered: Delivered,
}

#[derive(Deserialize)]
struct Delivered {
    consumer_seq: u64,
}

/// What the reply subject of a delivered message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    stream_sequence: u64,
    consumer_sequence: u64,
    at_nanos: i64,
    pending: u64,
}

impl JetStream {
    /// Reads all that is there, in the stream's order; `within` bounds each answer. An error of `each` ends the reading.
    ///
    /// # Errors
    /// The reading is not complete: nothing may be concluded from what was not seen.
    pub fn read(
        &self,
        read: &Read<'_>,
        within: Duration,
        each: &mut dyn FnMut(Stored) -> Result<(), NatsError>,
    ) -> Result<(), NatsError> {
        let pending = self.begin(read, within)?;
        let result = if pending == 0 { Ok(()) } else { self.pull(read, pending, within, each) };
        // Left behind it would go by itself; a new one of its name deletes it first in any case.
        let deleted = self.delete_consumer(read.consumer(), within);
        result.and(deleted)
    }

    /// A new consumer; how many messages it will deliver.
    fn begin(&self, read: &Read<'_>, within: Duration) -> Result<u64, NatsError> {
        let Read { consumer, filter, from, .. } = *read;
        let (policy, start) = match from {
            From::LastPerSubject => ("last_per_subject", None),
            From::Sequence(sequence) => ("by_start_sequence", Some(sequence.max(1))),
            From::Last => ("last", None),
            From::All => ("all", None),
        };
        let mut config = json!({
            "name": consumer,
            "deliver_policy": policy,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": filter,
            "inactive_threshold": INACTIVE_NANOS,
            "num_replicas": 1,
            "mem_storage": true,
        });
        if let (Some(start), Some(fields)) = (start, config.as_object_mut()) {
            fields.insert("opt_start_seq".to_owned(), start.into());
        }
        for _ in 0..TRIES {
            self.delete_consumer(read.consumer(), within)?;
            let answer = self.create_consumer(read.consumer(), config.clone(), filter, within)?;
            let Created { num_pending, delivered } = serde_json::from_value(answer)
                .map_err(|error| NatsError::nonsense("CONSUMER.CREATE", error))?;
            // An old one under this name answers like a new one, and that nothing is pending.
            if delivered.consumer_seq == 0 {
                return Ok(num_pending);
            }
        }
        Err(incomplete(filter, "a consumer of this name is in use by somebody else"))
    }

    fn pull(
        &self,
        read: &Read<'_>,
        pending: u64,
        within: Duration,
        each: &mut dyn FnMut(Stored) -> Result<(), NatsError>,
    ) -> Result<(), NatsError> {
        let connection = self.connection();
        let inbox = connection.new_inbox();
        let limit = usize::try_from(2 * BATCH).unwrap_or(usize::MAX);
        let messages = connection.subscribe(&inbox, limit)?;
        let next = self.subject(&read.consumer().next());
        let expires = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        let (mut pending, mut seen, mut again) = (pending, 0, NOT_KNOWN_YET.into_iter());
        while pending > 0 {
            // No more than are there: a pull that is left open would have messages delivered into the void.
            let batch = pending.min(BATCH);
            let ask = json!({"batch": batch, "expires": expires}).to_string();
            connection.publish(&next, Some(&inbox), &[], ask.as_bytes())?;
            for _ in 0..batch {
                let (message, position) = match one(&messages, read, within) {
                    Ok(one) => one,
                    Err(NatsError::NoResponders { .. }) if seen == 0 && again.len() > 0 => {
                        std::thread::sleep(again.next().unwrap_or_default());
                        break;
                    }
                    // Of keys that are overwritten meanwhile nats-server 2.9 announces more than it delivers.
                    Err(error) => {
                        return if self.is_drained(read, seen, within)? { Ok(()) } else { Err(error) };
                    }
                };
                seen += 1;
                if position.consumer_sequence != seen {
                    let why = format!("message {seen} was lost; {} came", position.consumer_sequence);
                    return Err(incomplete(read.filter, &why));
                }
                pending = position.pending;
                let deleted = message.header("KV-Operation").is_some_and(|it| it == "DEL" || it == "PURGE")
                    || message.has_header("Nats-Marker-Reason");
                each(Stored {
                    subject: message.subject,
                    sequence: position.stream_sequence,
                    at_nanos: position.at_nanos,
                    payload: message.payload,
                    deleted,
                    headers: message.headers,
                })?;
            }
        }
        Ok(())
    }
}

impl JetStream {
    /// Whether the consumer has delivered all that there is, and we have seen all that it delivered.
    fn is_drained(&self, read: &Read<'_>, seen: u64, within: Duration) -> Result<bool, NatsError> {
        let verb = read.consumer().info();
        let answer = self.api(&verb, &serde_json::Value::Null, within)?;
        let Created { num_pending, delivered } =
            serde_json::from_value(answer).map_err(|error| NatsError::nonsense(&verb, error))?;
        Ok(num_pending == 0 && delivered.consumer_seq == seen)
    }
}

/// The next message of a batch.
fn one(messages: &Subscription, read: &Read<'_>, within: Duration) -> Result<(Message, Position), NatsError> {
    let what = || format!("a pull on {}", read.filter);
    let Some(message) = messages.next(within)? else {
        return Err(NatsError::TimedOut { what: what(), within });
    };
    let position = message.reply.as_deref().and_then(Position::parse);
    match (position, message.status()) {
        (Some(position), _) => Ok((message, position)),
        (None, Some(503)) => Err(NatsError::NoResponders { subject: what() }),
        (None, Some(status)) => {
            let said = message.header("Description").unwrap_or_default();
            Err(incomplete(read.filter, &format!("the server ends the pull: {status} {said}")))
        }
        (None, None) => Err(NatsError::nonsense(&what(), "a message without a position")),
    }
}

fn incomplete(filter: &str, why: &str) -> NatsError {
    NatsError::Incomplete { filter: filter.to_owned(), why: why.to_owned() }
}

impl Position {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, or with domain and account
    /// before the stream and a token behind (ADR-15).
    fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let from = match tokens.len() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let number = |at: usize| tokens.get(from + at)?.parse::<u64>().ok();
        Some(Self {
            stream_sequence: number(0)?,
            consumer_sequence: number(1)?,
            at_nanos: i64::try_from(number(2)?).ok()?,
            pending: number(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_position_are_read() {
        let expected = Position {
            stream_sequence: 20,
            consumer_sequence: 2,
            at_nanos: 1_700_000_000_000_000_000,
            pending: 5,
        };
        let tail = "1.20.2.1700000000000000000.5";
        assert_eq!(Position::parse(&format!("$JS.ACK.S.c.{tail}")), Some(expected));
        assert_eq!(Position::parse(&format!("$JS.ACK.hub.acc.S.c.{tail}")), Some(expected));
        assert_eq!(Position::parse(&format!("$JS.ACK.hub.acc.S.c.{tail}.token")), Some(expected));
        for bad in ["", "_INBOX.x", "$JS.ACK.S.c.1.2", "$JS.ACK.S.c.1.x.2.3.4"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }
}
