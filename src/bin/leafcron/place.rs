//! Which agent is meant: its socket.

use std::path::PathBuf;

use leafcron::control::Client;

use crate::answer::Failure;
use crate::args::Agent;
use crate::ask;

/// Connects to the agent.
pub(crate) fn connect(agent: &Agent) -> Result<Client, Failure> {
    match &agent.socket {
        Some(path) => Client::connect_to(path),
        None => Client::connect(&PathBuf::from("/run/leafcron")),
    }
    .map_err(|error| ask::unasked(&error))
}
