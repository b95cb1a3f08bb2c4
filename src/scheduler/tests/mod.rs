//! The core in virtual time.

mod alerts;
mod due;
mod eras;
mod fires;
mod gates;
mod luck;
mod mended;
mod table;
mod world;
