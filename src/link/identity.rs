//! The name, asked for and held at the centre: see [`claim`](super::claim) for who has it.

use super::claim::{Claim, HEADER, Standing};
use super::main::Link;
use super::patience::{ANSWER, now};
use crate::job::Epoch;
use crate::nats::{From, Message, NatsError, PubAck, Read, verbs};

/// So often the key may be written by somebody else while it is asked for.
const TRIES: usize = 5;
/// Hints that wait while an answer is waited for.
const WAITING: usize = 16;

/// A name that is ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// From which sequence on.
    pub(super) since: u64,
    /// The sequence of the key's newest message.
    pub(super) last: u64,
}

/// What the question came to.
pub(super) enum Asked {
    /// It is ours.
    Ours(Name),
    /// Another has it, and has answered.
    Theirs(Epoch),
}

/// The key as it stands there.
#[derive(Default)]
pub(super) struct There {
    pub(super) last: u64,
    claim: Option<Claim>,
    pub(super) value: Vec<u8>,
}

impl There {
    pub(super) fn judge(&self, link: &Link, since: Option<u64>) -> Standing {
        Claim::judge(self.claim, link.hello.epoch, since)
    }
}

/// Reads the key.
pub(super) fn there(link: &Link) -> Result<There, NatsError> {
    let bucket = link.hello.names().state();
    let agent = link.hello.agent.as_str();
    let (stream, filter) = (verbs::stream_of(&bucket), verbs::key(&bucket, agent));
    let read = Read { stream: &stream, consumer: agent, filter: &filter, from: From::LastPerSubject };
    let mut there = There::default();
    link.stream.read(&read, ANSWER, &mut |stored| {
        let claim = stored.header(HEADER).filter(|_| !stored.deleted);
        there = There {
            last: stored.sequence,
            claim: claim.and_then(|claim| claim.parse().ok()),
            value: stored.payload,
        };
        Ok(())
    })?;
    Ok(there)
}

/// Writes the key under our claim, over the message that was seen there and no other.
pub(super) fn write(link: &Link, name: Name, value: &[u8]) -> Result<PubAck, NatsError> {
    let claim = Claim { epoch: link.hello.epoch, since: name.since }.to_string();
    let (bucket, key) = (link.hello.names().state(), link.hello.agent.as_str());
    link.stream.kv_update(&bucket, key, &[(HEADER, &claim)], value, name.last, ANSWER)
}

/// Asks whose the name is.
pub(super) fn ask(link: &Link) -> Result<Asked, NatsError> {
    for _ in 0..TRIES {
        let there = there(link)?;
        let since = match there.judge(link, None) {
            Standing::Ours(since) => since,
            Standing::Free => there.last,
            Standing::Older(_) | Standing::Younger(_) => match challenge(link, &there)? {
                Some(asked) => return Ok(asked),
                None => continue,
            },
        };
        return Ok(Asked::Ours(Name { since, last: there.last }));
    }
    Err(NatsError::Given("the name's key is written by somebody else all the time".to_owned()))
}

/// Writes our claim beside what stands there, and waits for an answer. `None`: something else was written meanwhile.
fn challenge(link: &Link, found: &There) -> Result<Option<Asked>, NatsError> {
    let answers = link.stream.connection().subscribe(&link.hello.names().named(), WAITING)?;
    let name = Name { since: found.last, last: found.last };
    let mine = match write(link, name, &found.value) {
        Ok(ack) => ack.sequence,
        Err(error) if error.is_wrong_last() => return Ok(None),
        Err(error) => return Err(error),
    };
    let until = now() + ANSWER;
    loop {
        let left = until.saturating_sub(now());
        let hint = answers.next(left)?;
        // Our own comes back too.
        if hint.as_ref().is_some_and(|hint| !left.is_zero() && sequence(hint) <= mine) {
            continue;
        }
        // Hints may be lost, and are forged by anybody: it counts what stands there.
        let there = there(link)?;
        match there.judge(link, Some(name.since)) {
            Standing::Older(epoch) => return Ok(Some(Asked::Theirs(epoch))),
            _ if left.is_zero() || hint.is_none() => {
                return Ok(Some(Asked::Ours(Name { last: there.last, ..name })));
            }
            _ => {}
        }
    }
}

/// Which sequence of the bucket a hint says that it is about.
pub(super) fn sequence(hint: &Message) -> u64 {
    hint.header("Nats-Sequence").and_then(|text| text.parse().ok()).unwrap_or(0)
}
