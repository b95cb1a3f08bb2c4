//! The journal from outside: what is committed comes back, whatever the disk does.
//!
//! `cfg(test)` tells clippy that the helpers are tests too.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod format;
#[cfg(test)]
mod full;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod real;
#[cfg(test)]
mod sample;
