//! JetStream's API by raw requests, through a domain: it answers over a leaf node too, and at the hub itself.

use core::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ack::{ApiError, Expect, PubAck};
use super::connection::Connection;
use super::error::NatsError;
use super::verbs::{self, Api, Consumer};

/// JetStream of one domain.
#[derive(Clone)]
pub struct JetStream {
    connection: Connection,
    domain: String,
}

/// What of a stream tells whether it changed.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// When it was made.
    pub created: String,
    /// Messages in it.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first sequence that is there.
    pub first_seq: u64,
    /// The last sequence that was given.
    pub last_seq: u64,
    /// Subjects, where the server counts them.
    pub subjects: u64,
    /// All of its configuration.
    pub config: Value,
}

/// Two of them are equal when nothing was stored or deleted in between.
impl PartialEq for StreamInfo {
    fn eq(&self, other: &Self) -> bool {
        let of = |info: &Self| (info.messages, info.bytes, info.first_seq, info.last_seq, info.subjects);
        self.created == other.created && of(self) == of(other)
    }
}

#[derive(Deserialize)]
struct InfoWire {
    created: String,
    state: StateWire,
    config: Value,
}

#[derive(Deserialize)]
struct StateWire {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    #[serde(default)]
    num_subjects: u64,
}

/// Publish only if the newest message of the subject has this sequence.
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";

impl JetStream {
    /// The JetStream of `domain`, wherever the connection leads.
    #[must_use]
    pub fn new(connection: Connection, domain: &str) -> Self {
        Self { connection, domain: domain.to_owned() }
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn subject(&self, verb: &str) -> String {
        Api::Domain(&self.domain).subject(verb)
    }

    /// One request, as `STREAM.INFO.KV_x`.
    ///
    /// # Errors
    /// JetStream's own refusal; nobody there; no answer; an answer that is no JSON.
    pub fn api(&self, verb: &str, body: &Value, within: Duration) -> Result<Value, NatsError> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.connection.request(&self.subject(verb), &[], &body, within)?;
        let nonsense = |error: serde_json::Error| NatsError::nonsense(verb, error);
        let mut answer: Value = serde_json::from_slice(&answer.payload).map_err(nonsense)?;
        match answer.as_object_mut().and_then(|fields| fields.remove("error")) {
            Some(error) => Err(serde_json::from_value::<ApiError>(error).map_err(nonsense)?.into()),
            None => Ok(answer),
        }
    }

    /// What a stream is and has.
    ///
    /// # Errors
    /// Those of [`api`](Self::api); a stream that is not there is [`NatsError::is_not_found`].
    pub fn stream_info(&self, stream: &str, within: Duration) -> Result<StreamInfo, NatsError> {
        let verb = verbs::stream_info(stream);
        let answer = self.api(&verb, &Value::Null, within)?;
        let InfoWire { created, state, config } =
            serde_json::from_value(answer).map_err(|error| NatsError::nonsense(&verb, error))?;
        Ok(StreamInfo {
            created,
            messages: state.messages,
            bytes: state.bytes,
            first_seq: state.first_seq,
            last_seq: state.last_seq,
            subjects: state.num_subjects,
            config,
        })
    }

    /// Publishes into a stream and waits until that has it.
    ///
    /// # Errors
    /// The stream's refusal, somebody else's answer, or none.
    pub fn publish(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
        expect: &Expect,
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        let expected = [headers, &[("Nats-Expected-Stream", expect.stream.as_str())]].concat();
        let answers = self.connection.ask(subject, &expected, payload)?;
        let mut other = None;
        // Somebody else's stream on the same subject answers too: it is passed over.
        while let Some(answer) = answers.next(within)? {
            if answer.is_no_responders() {
                return Err(NatsError::NoResponders { subject: subject.to_owned() });
            }
            match PubAck::parse(&answer.payload, expect) {
                Err(error @ NatsError::Nonsense { .. }) => other = Some(error),
                counts => return counts,
            }
        }
        Err(other.unwrap_or_else(|| NatsError::TimedOut { what: subject.to_owned(), within }))
    }

    /// Where a key of a bucket is written, so that this domain's bucket and no other takes it, over a leaf node too.
    #[must_use]
    pub fn kv_subject(&self, bucket: &str, key: &str) -> String {
        self.subject(&verbs::key(bucket, key))
    }

    /// Writes a key.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub fn kv_put(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        self.kv_write(bucket, key, &[], value, within)
    }

    /// Writes a key that is not there; one that is stays as it is.
    ///
    /// # Errors
    /// It is there: [`NatsError::is_wrong_last`]. And those of [`publish`](Self::publish).
    pub fn kv_create(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        self.kv_write(bucket, key, &[(EXPECTED_LAST, "0")], value, within)
    }

    /// Writes a key whose last message, a deletion too, has this sequence; 0: it has none.
    ///
    /// # Errors
    /// It has another: [`NatsError::is_wrong_last`]. And those of [`publish`](Self::publish).
    pub fn kv_update(
        &self,
        bucket: &str,
        key: &str,
        headers: &[(&str, &str)],
        value: &[u8],
        last: u64,
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        let last = last.to_string();
        self.kv_write(bucket, key, &[headers, &[(EXPECTED_LAST, last.as_str())]].concat(), value, within)
    }

    /// Marks a key as deleted whose last message has this sequence; 0: it has none.
    ///
    /// # Errors
    /// Those of [`kv_update`](Self::kv_update).
    pub fn kv_delete_last(
        &self,
        bucket: &str,
        key: &str,
        last: u64,
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        let headers = [("KV-Operation", "DEL"), (EXPECTED_LAST, &last.to_string())];
        self.kv_write(bucket, key, &headers, &[], within)
    }

    /// Marks a key as deleted.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub fn kv_delete(&self, bucket: &str, key: &str, within: Duration) -> Result<PubAck, NatsError> {
        self.kv_write(bucket, key, &[("KV-Operation", "DEL")], &[], within)
    }

    fn kv_write(
        &self,
        bucket: &str,
        key: &str,
        headers: &[(&str, &str)],
        value: &[u8],
        within: Duration,
    ) -> Result<PubAck, NatsError> {
        let expect = Expect { stream: verbs::stream_of(bucket), domain: self.domain.clone() };
        self.publish(&self.kv_subject(bucket, key), headers, value, &expect, within)
    }

    pub(super) fn create_consumer(
        &self,
        consumer: Consumer<'_>,
        config: Value,
        filter: &str,
        within: Duration,
    ) -> Result<Value, NatsError> {
        let body = json!({"stream_name": consumer.stream, "config": config});
        self.api(&consumer.create(filter), &body, within)
    }

    pub(super) fn delete_consumer(&self, consumer: Consumer<'_>, within: Duration) -> Result<(), NatsError> {
        match self.api(&consumer.delete(), &Value::Null, within) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
