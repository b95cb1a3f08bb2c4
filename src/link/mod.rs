//! SYNC: definitions, results, state and commands over `nats`, in a process of its own: crash-only.
//!
//! ```text
//!   agent ══ socket pair, frames ══ main: reads frames, hands them on
//!                                   watch: whose the name is; one request a minute; hints, snapshots  (Definitions)
//!                                   results: a window of facts; acks: what the stream says        (Results)
//!                                   state: one put after the other                                (State)
//!                                   commands: what comes in                                       (Commands)
//! ```
//! It holds no state, decides nothing about a job and never reconnects: at trouble it says why ([`FromLink::Fault`]) and
//! ends, or the agent, hearing nothing, kills it. Whatever it was doing the next one does again from what bucket, stream
//! and journal say. It runs as a user that can read nothing of ours; configuration and secrets come in its first frame.
//!
//! [`FromLink::Fault`]: frame::FromLink::Fault

mod backoff;
mod bucket;
mod child;
mod claim;
mod commands;
mod confine;
pub mod frame;
mod haste;
mod hints;
mod identity;
mod main;
mod names;
mod out;
mod patience;
mod results;
mod state;
mod watch;

pub use backoff::Backoff;
pub use child::Child;
pub use haste::hastened;
pub use main::link_main;
pub use names::{ANSWERED_WITHIN, ANSWERS, Names, Permits, exports};
