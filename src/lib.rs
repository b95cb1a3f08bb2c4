//! leafcron: cron for fleets of small Linux machines.
//!
//! Imports point down only; `tests/house.rs` holds the table.
//!
//! ```text
//!   bin/leafcrond  bin/leafcron        the two programs
//!        agent                         the shell around the core: events in, effects out
//!   scheduler   catalog                DECIDE, IN FORCE: pure
//!   link                               SYNC: the process that speaks with the centre
//!   runtime  store  nats  control  config   HOW, REMEMBER, CONNECT, ASK: one outside thing each
//!   schedule  gate                     WHEN, WHETHER
//!        job                           WHAT: the words that all rooms share
//! ```

pub mod agent;
pub mod catalog;
pub mod config;
pub mod control;
pub mod gate;
pub mod job;
pub mod link;
pub mod nats;
pub mod runtime;
pub mod schedule;
pub mod scheduler;
pub mod store;
