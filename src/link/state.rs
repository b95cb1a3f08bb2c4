//! The device's own keys in the bucket of reported state: read once, then put one after the other.

use std::sync::mpsc::Receiver;

use super::frame::{FromLink, Phase};
use super::main::Link;
use super::patience::ANSWER;
use crate::job::limits::LINK_FRAME_BYTES;
use crate::nats::verbs;
use crate::nats::{From, NatsError, Read};

/// A key that shall say something, or be gone.
pub(super) struct Put {
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

/// Reads, then puts until the process ends.
pub(super) fn run(link: &Link, puts: &Receiver<Put>) {
    let names = link.hello.names();
    let bucket = names.state();
    let (stream, prefix) = (verbs::stream_of(&bucket), verbs::key(&bucket, ""));
    let agent = &link.hello.agent;
    for filter in names.reported().map(|key| verbs::key(&bucket, &key)) {
        let read =
            Read { stream: &stream, consumer: agent.as_str(), filter: &filter, from: From::LastPerSubject };
        link.pulse.until(Phase::State, &link.out, || {
            link.stream.read(&read, ANSWER, &mut |stored| {
                let key = stored.subject.strip_prefix(&prefix).unwrap_or_default();
                // What is larger is not ours, and is put anew.
                if !stored.deleted && stored.payload.len() < LINK_FRAME_BYTES / 2 {
                    link.out.say(&FromLink::Reported { key: key.to_owned(), value: stored.payload });
                }
                Ok(())
            })
        });
    }
    link.out.say(&FromLink::ReportedEnd);
    while let Ok(Put { key, value }) = puts.recv() {
        link.pulse.until(Phase::State, &link.out, || {
            let put = match &value {
                Some(value) => link.stream.kv_put(&bucket, &key, value, ANSWER),
                None => link.stream.kv_delete(&bucket, &key, ANSWER),
            };
            match put {
                Err(error @ NatsError::TooLarge { .. }) => {
                    log::error!("{key} is not reported: {error}");
                    Ok(())
                }
                put => put.map(drop),
            }
        });
        link.out.say(&FromLink::Done { key });
    }
}
