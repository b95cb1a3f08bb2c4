//! The core in virtual time.

mod due;
mod fires;
mod luck;
mod world;
