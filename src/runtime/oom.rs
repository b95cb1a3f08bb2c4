//! Whom the kernel ends first when memory runs out: proc(5), `oom_score_adj`. What protects the agent and its runners is
//! not for the commands that they start.

use std::fs;
use std::io;

const OWN: &str = "/proc/self/oom_score_adj";

/// Does `start` with the score of an ordinary process, which what it starts inherits, and takes the own score back.
pub(super) fn unprotected<T>(start: impl FnOnce() -> T) -> T {
    let own = protection().unwrap_or_else(|error| {
        log::debug!("read {OWN}: {error}");
        None
    });
    let Some(own) = own else { return start() };
    // To give it up is nobody's privilege; to have it back is ours, since we had it.
    set("0");
    let started = start();
    set(&own);
    started
}

/// The own score, where it is one that protects.
fn protection() -> io::Result<Option<String>> {
    let text = fs::read_to_string(OWN)?;
    Ok(Some(text.trim().to_owned()).filter(|score| score.starts_with('-')))
}

fn set(score: &str) {
    if let Err(error) = fs::write(OWN, score) {
        log::warn!("write {score} to {OWN}: {error}");
    }
}
