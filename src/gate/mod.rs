//! WHETHER: may a fire start on this machine, now?
//!
//! ```text
//!   Require (of each job that waits) ──▶ Wanted ──▶ Probe ──▶ Readings
//!            └───────────────────────── judge ◀─────────────────┘
//!                                         └──▶ Pass | NeedsCheck | Shut(why)
//! ```
//! The pure half judges; the probe reads `/proc` and `/sys` below a root path. One set of readings serves every job of
//! a turn. Nothing here runs a `check`: whoever does puts its answer into a copy of the readings and judges again.

mod judge;
mod pressed;
mod probe;
mod shortfall;
mod wanted;

pub use judge::{Verdict, decided_by, judge};
pub use pressed::Pressed;
pub use probe::{Probe, Shortcoming, Trigger, WINDOW};
pub use shortfall::{Limit, Shortfall};
pub use wanted::Wanted;
