//! The bucket of definitions, read: all keys that concern the device, or some.

use std::collections::BTreeSet;

use super::frame::{FromLink, KeyValue};
use super::main::Link;
use super::patience::ANSWER;
use crate::job::limits::DEFINITION_BYTES;
use crate::nats::verbs;
use crate::nats::{From, NatsError, Read, Stored, StreamInfo};

/// The bucket's stream.
pub(super) fn stream(link: &Link) -> String {
    verbs::stream_of(&link.hello.names().jobs())
}

fn subject(link: &Link, key: &str) -> String {
    verbs::key(&link.hello.names().jobs(), key)
}

/// Reads one filter; every message is a key.
fn read(link: &Link, filter: &str, each: &mut dyn FnMut(&str, Stored)) -> Result<(), NatsError> {
    let (stream, prefix) = (stream(link), subject(link, ""));
    let read =
        Read { stream: &stream, consumer: link.hello.agent.as_str(), filter, from: From::LastPerSubject };
    link.stream.read(&read, ANSWER, &mut |stored| {
        let key = stored.subject.strip_prefix(&prefix).unwrap_or_default().to_owned();
        each(&key, stored);
        Ok(())
    })
}

fn say(link: &Link, key: &str, stored: Stored) {
    let value = match stored.payload.len() {
        _ if stored.deleted => KeyValue::Deleted,
        bytes if bytes > DEFINITION_BYTES => KeyValue::TooLarge(bytes as u64),
        _ => KeyValue::Bytes(stored.payload),
    };
    // As long as a subject may be; a job's name is judged by the agent.
    let key: String = key.chars().take(512).collect();
    link.out.say(&FromLink::Key { key, sequence: stored.sequence, value });
}

/// Reads all keys that concern the device. `info` is the bucket as it was before.
pub(super) fn snapshot(link: &Link, info: &StreamInfo) -> Result<(), NatsError> {
    let mut id = None;
    read(link, &link.hello.names().id(), &mut |_, stored| {
        // What is longer is no id of ours.
        let text = String::from_utf8(stored.payload).ok().filter(|text| text.len() <= 128);
        id = text.filter(|_| !stored.deleted);
    })?;
    link.out.say(&FromLink::Snapshot { id, sequence: info.last_seq });
    for filter in link.hello.names().definitions() {
        read(link, &filter, &mut |key, stored| say(link, key, stored))?;
    }
    // Made anew or restored meanwhile, it would be told under the id of the one before, and prove what it cannot.
    let now = link.stream.stream_info(&stream(link), ANSWER)?;
    if now.created != info.created || now.last_seq < info.last_seq {
        return Err(NatsError::Given("the bucket was made anew while it was read".to_owned()));
    }
    link.out.say(&FromLink::SnapshotEnd);
    Ok(())
}

/// Reads these keys. `false`: one of them is not there, which only a complete reading can judge.
pub(super) fn keys(link: &Link, keys: &BTreeSet<String>) -> Result<bool, NatsError> {
    for key in keys {
        let mut there = false;
        read(link, &subject(link, key), &mut |key, stored| {
            there = true;
            say(link, key, stored);
        })?;
        if !there {
            return Ok(false);
        }
    }
    Ok(true)
}
