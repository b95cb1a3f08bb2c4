//! What agent and link process say to each other over their socket pair. Both are the same build, so the frames have no
//! version: postcard behind a length, little-endian, of at most [`limits::LINK_FRAME_BYTES`].
//!
//! ```text
//!   agent                                             link process
//!     Hello ─────────────────────────────────────────▶  connects; one phase after the other begins
//!       ◀──────────── Phase · Up · Alive · Fault ─────
//!       ◀──────────── Name ───────────────────────────  whose the name is: the next three begin when it is ours
//!       ◀── Snapshot · Key* · SnapshotEnd   Key* ─────  definitions: all of them; then what a hint pointed at
//!       ◀── Stream · Stored* · Resumed ───────────────  results: what of ours is there beyond the point
//!     Fact ──────────────────────────────────────────▶
//!       ◀──────────── Acked | Duplicate ──────────────
//!       ◀── Reported* · ReportedEnd ──────────────────  state: what our keys say there
//!     Put ───────────────────────────────────────────▶
//!       ◀──────────── Done ───────────────────────────
//!       ◀──────────── Asked ──────────────────────────  commands
//!     Answer ────────────────────────────────────────▶
//! ```
//! The agent believes none of it beyond its form: what a key says is judged, what was acknowledged is looked up.

use core::fmt;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::limits::LINK_FRAME_BYTES;
use crate::job::{AgentName, Epoch, Name};
use crate::nats::Settings;

/// Bytes before a frame's body: its length.
pub const HEAD_BYTES: usize = 4;

/// From the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToLink {
    /// The first frame.
    Hello(Box<Hello>),
    /// A record or an event that is durable, for the stream.
    Fact {
        /// Its number.
        seq: u64,
        /// Where it goes.
        subject: String,
        /// Its JSON.
        payload: Vec<u8>,
    },
    /// What a key of the reported state shall say; `None`: it shall be gone. Answered by [`FromLink::Done`].
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Option<Vec<u8>>,
    },
    /// An answer to [`FromLink::Asked`].
    Answer {
        /// Which.
        ask: u64,
        /// The reply's JSON.
        payload: Vec<u8>,
        /// Whether nothing more will be said.
        last: bool,
    },
}

/// Everything that the link process needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Who the device is.
    pub agent: AgentName,
    /// Its groups, in order; with `all`.
    pub groups: Vec<Name>,
    /// The journal's numbering.
    pub epoch: Epoch,
    /// Where leaf nodes listen, and how the link says who it is: contents of files, never their paths.
    pub connection: Settings,
    /// The hub's JetStream domain.
    pub domain: Name,
    /// What every name begins with.
    pub prefix: Name,
    /// The uid and gid to become; `None`: stay who it is.
    pub become_user: Option<(u32, u32)>,
    /// What is left out this time.
    pub left_out: Vec<Phase>,
    /// Own messages of the stream beyond this sequence are of interest.
    pub stream_sequence: u64,
}

/// A part of the link's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Reaching a server.
    Connect,
    /// Taking definitions.
    Definitions,
    /// Delivering records and events.
    Results,
    /// Reporting state.
    State,
    /// Taking commands.
    Commands,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Definitions => "definitions",
            Self::Results => "results",
            Self::State => "state",
            Self::Commands => "commands",
        })
    }
}

/// From the link process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromLink {
    /// Connected.
    Up {
        /// To which server.
        server: String,
        /// What has to be known all the time, as plain text off loopback.
        warnings: Vec<String>,
    },
    /// A part of the work begins.
    Phase(Phase),
    /// An answer came from beyond the connection, about once a minute.
    Alive {
        /// Whether it was the hub's JetStream; else nobody but the leaf answered.
        hub: bool,
    },
    /// Whose the device's name is at the centre.
    Name(Naming),
    /// A complete reading of the bucket of definitions begins.
    Snapshot {
        /// Its `meta.id`.
        id: Option<String>,
        /// The stream's last sequence when the reading began.
        sequence: u64,
    },
    /// What a key says: of the reading that has begun, or what a hint pointed at.
    Key {
        /// The key, as `agent.pi-01.backup`.
        key: String,
        /// Its sequence.
        sequence: u64,
        /// What it says.
        value: KeyValue,
    },
    /// Every filter was read to its end.
    SnapshotEnd,
    /// The stream of results.
    Stream {
        /// Its last sequence.
        last_sequence: u64,
    },
    /// A message of ours that lies beyond the point of the [`Hello`].
    Stored {
        /// Where.
        stream_sequence: u64,
        /// What.
        payload: Vec<u8>,
    },
    /// All of those were told: facts are welcome.
    Resumed,
    /// The stream has it.
    Acked {
        /// The fact's number.
        seq: u64,
        /// Where.
        stream_sequence: u64,
    },
    /// The stream has something under this number's id.
    Duplicate {
        /// The fact's number.
        seq: u64,
        /// Where.
        stream_sequence: u64,
        /// What.
        payload: Vec<u8>,
    },
    /// The stream will never take this one as it is: too large for the server, say.
    Refused {
        /// The fact's number.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// What a key of the reported state says there.
    Reported {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// All keys of ours were told: puts are welcome.
    ReportedEnd,
    /// A put is done.
    Done {
        /// The key.
        key: String,
    },
    /// A command has come in.
    Asked {
        /// What its answers are to name.
        ask: u64,
        /// Its text.
        payload: Vec<u8>,
    },
    /// The server does not permit something.
    Denied {
        /// In its words.
        what: String,
    },
    /// The process ends.
    Fault {
        /// While it did what.
        phase: Phase,
        /// Why.
        reason: String,
        /// Trying the same again soon cannot help: a wrong password, say.
        lasting: bool,
    },
}

/// Whose a device's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Naming {
    /// Ours.
    Ours,
    /// Ours, and another live device has asked for it, who came later.
    Challenged {
        /// The other's.
        epoch: Epoch,
    },
    /// Another's, who was there before and lives: neither definitions nor commands are taken, and no state is reported.
    Theirs {
        /// The other's.
        epoch: Epoch,
    },
}

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyValue {
    /// This.
    Bytes(Vec<u8>),
    /// It was deleted or purged.
    Deleted,
    /// More than a definition may have; how many bytes.
    TooLarge(u64),
}

/// The bytes of a frame, its length before it.
///
/// # Errors
/// It is larger than [`LINK_FRAME_BYTES`].
pub fn encode<T: Serialize>(frame: &T) -> io::Result<Vec<u8>> {
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let bytes =
        postcard::to_extend(frame, vec![0; HEAD_BYTES]).map_err(|error| refused(error.to_string()))?;
    let length = bytes.len() - HEAD_BYTES;
    let head = u32::try_from(length).ok().filter(|_| length <= LINK_FRAME_BYTES);
    let head =
        head.ok_or_else(|| refused(format!("a frame of {length} bytes; at most {LINK_FRAME_BYTES}")))?;
    let mut bytes = bytes;
    for (to, from) in bytes.iter_mut().zip(head.to_le_bytes()) {
        *to = from;
    }
    Ok(bytes)
}

/// How many bytes follow a frame's head.
///
/// # Errors
/// More than [`LINK_FRAME_BYTES`].
pub fn length(head: [u8; HEAD_BYTES]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length <= LINK_FRAME_BYTES {
        Ok(length)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes; at most {LINK_FRAME_BYTES}"),
        ))
    }
}

/// A frame's body.
///
/// # Errors
/// It is no frame.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Writes a frame, blocking.
///
/// # Errors
/// Those of the socket.
pub fn write<T: Serialize>(to: &mut impl Write, frame: &T) -> io::Result<()> {
    to.write_all(&encode(frame)?)
}

/// Reads a frame, blocking; `None`: the other end is gone.
///
/// # Errors
/// Those of the socket; it is no frame.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; HEAD_BYTES];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_a_hostile_one_is_an_error() {
        let frame = FromLink::Key { key: "agent.a.b".to_owned(), sequence: 7, value: KeyValue::Deleted };
        let mut bytes = Vec::new();
        write(&mut bytes, &frame).unwrap();
        write(&mut bytes, &FromLink::Resumed).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(read::<FromLink>(&mut from).unwrap(), Some(frame));
        assert_eq!(read::<FromLink>(&mut from).unwrap(), Some(FromLink::Resumed));
        assert_eq!(read::<FromLink>(&mut from).unwrap(), None);
        for cut in HEAD_BYTES..bytes.len() - HEAD_BYTES - 1 {
            assert!(read::<FromLink>(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        assert!(read::<FromLink>(&mut [0xff; 64].as_slice()).unwrap_err().to_string().contains("at most"));
        assert!(decode::<FromLink>(&[99]).is_err());
        let large = ToLink::Put { key: String::new(), value: Some(vec![0; LINK_FRAME_BYTES]) };
        assert!(encode(&large).is_err());
    }
}
