//! The device's own keys in the bucket of reported state: read once, then put one after the other. The heartbeat's key is
//! the one that tells whose the name is.

use core::time::Duration;
use std::sync::mpsc::Receiver;

use super::claim::Standing;
use super::frame::{FromLink, Naming, Phase};
use super::identity::{self, Name};
use super::main::Link;
use super::patience::{ANSWER, now};
use crate::job::limits::LINK_FRAME_BYTES;
use crate::nats::verbs;
use crate::nats::{From, NatsError, Read};

/// Between two readings that hints ask for: anybody may forge one.
const SPACING: Duration = Duration::from_secs(1);

/// What the thread is told.
pub(super) enum Input {
    /// The name is ours: keys are read, and puts are welcome then. The first of all.
    Ours(Name),
    /// A key.
    Put(Put),
    /// The heartbeat's key has changed, somebody says.
    Changed {
        /// At this sequence.
        sequence: u64,
    },
}

/// A key that shall say something, or be gone.
pub(super) struct Put {
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

struct State<'a> {
    link: &'a Link,
    bucket: String,
    name: Name,
    /// The last heartbeat.
    said: Option<Vec<u8>>,
    /// When the key was read last because of a hint.
    looked_at: Duration,
}

/// Waits for the name; reads, then puts until the process ends.
pub(super) fn run(link: &Link, inputs: &Receiver<Input>) {
    let bucket = link.hello.names().state();
    let Ok(Input::Ours(name)) = inputs.recv() else { return };
    let mut state = State { link, bucket, name, said: None, looked_at: Duration::ZERO };
    state.read();
    while let Ok(input) = inputs.recv() {
        match input {
            Input::Put(Put { key, value }) => {
                match value {
                    Some(value) if key == link.hello.agent.as_str() => state.beat(value),
                    value => state.put(&key, value.as_deref()),
                }
                link.out.say(&FromLink::Done { key });
            }
            Input::Changed { sequence } => state.changed(sequence),
            Input::Ours(_) => {}
        }
    }
}

impl State<'_> {
    fn read(&self) {
        let (link, agent) = (self.link, &self.link.hello.agent);
        let (stream, prefix) = (verbs::stream_of(&self.bucket), verbs::key(&self.bucket, ""));
        for filter in link.hello.names().reported().map(|key| verbs::key(&self.bucket, &key)) {
            let read = Read {
                stream: &stream,
                consumer: agent.as_str(),
                filter: &filter,
                from: From::LastPerSubject,
            };
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
    }

    fn put(&self, key: &str, value: Option<&[u8]>) {
        let link = self.link;
        link.pulse.until(Phase::State, &link.out, || {
            let put = match value {
                Some(value) => link.stream.kv_put(&self.bucket, key, value, ANSWER),
                None => link.stream.kv_delete(&self.bucket, key, ANSWER),
            };
            fits(key, put).map(drop)
        });
    }

    /// Writes the heartbeat. Where somebody has written the key since, who that was is looked at first.
    fn beat(&mut self, value: Vec<u8>) {
        let link = self.link;
        loop {
            let written = link.pulse.until(Phase::State, &link.out, || {
                match fits(link.hello.agent.as_str(), identity::write(link, self.name, &value)) {
                    Err(error) if error.is_wrong_last() => Ok(None),
                    written => written.map(|ack| Some(ack.map_or(self.name.last, |ack| ack.sequence))),
                }
            });
            if let Some(last) = written {
                self.name.last = last;
                break;
            }
            self.meet();
        }
        self.said = Some(value);
    }

    /// The key has changed: our own word comes back, or somebody else has one.
    fn changed(&mut self, sequence: u64) {
        if sequence <= self.name.last {
            return;
        }
        std::thread::sleep((self.looked_at + SPACING).saturating_sub(now()));
        self.looked_at = now();
        if let Some(value) = self.meet() {
            let answer = self.said.take().unwrap_or(value);
            self.beat(answer);
        }
    }

    /// Reads whose the key is; the value that is to be written over, if another wrote it who came later. From one who was
    /// there before, the process ends: the next one begins by asking.
    fn meet(&mut self) -> Option<Vec<u8>> {
        let link = self.link;
        let there = link.pulse.until(Phase::State, &link.out, || identity::there(link));
        let standing = there.judge(link, Some(self.name.since));
        self.name.last = there.last;
        match standing {
            Standing::Ours(since) => self.name.since = since,
            // Deleted, or in a bucket that was made anew, where other sequences count.
            Standing::Free => self.name.since = there.last,
            Standing::Younger(epoch) => {
                link.out.say(&FromLink::Name(Naming::Challenged { epoch }));
                return Some(there.value);
            }
            Standing::Older(epoch) => link.out.fault(
                Phase::Connect,
                format!("another live device has this name, and had it first (epoch {epoch})"),
                false,
            ),
        }
        None
    }
}

/// What the server will never take is not put.
fn fits<T>(key: &str, put: Result<T, NatsError>) -> Result<Option<T>, NatsError> {
    match put {
        Err(error @ NatsError::TooLarge { .. }) => {
            log::error!("{key} is not reported: {error}");
            Ok(None)
        }
        put => put.map(Some),
    }
}
