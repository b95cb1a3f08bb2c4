//! CONNECT: hardened use of the sync client, over plain publish, subscribe and request. Knows no leafcron word.
//!
//! The client may block for ever, go silently dead or leak its threads, so whoever uses this room can be killed at any
//! moment, and is: nothing here is ever repaired. Of the client's own JetStream nothing is used: an error it does not know
//! comes out of it as success, its watchers die in silence. Instead: raw API requests, a pull consumer that proves that it
//! is complete, and [`PubAck`] read to the letter.
//!
//! Sources: the client protocol and ADR-1, ADR-8 (key-value), ADR-15 of nats-architecture-and-design; what was measured on
//! nats-server 2.9 to 2.15 stands at each place.
#![expect(
    deprecated,
    reason = "the sync client is the owner's choice; upstream mends its security faults only"
)]

mod ack;
mod ask;
mod connection;
mod error;
mod jetstream;
mod message;
mod read;
mod settings;
mod socket;
pub mod verbs;

pub use ack::{Expect, PubAck};
pub use connection::{Connection, Subscription, Trouble};
pub use error::NatsError;
pub use jetstream::{JetStream, StreamInfo};
pub use message::Message;
pub use read::{From, Read, Stored};
pub use settings::{Auth, INBOX, Settings};
