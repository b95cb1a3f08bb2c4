//! Which agent is meant: its configuration and its socket.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use leafcron::config::{Config, ConfigError, Host, SYSTEM_FILE, User};
use leafcron::control::{Client, socket_path};

use crate::answer::Failure;
use crate::args::Agent;
use crate::ask;

/// Connects to the agent.
pub(crate) fn connect(agent: &Agent) -> Result<Client, Failure> {
    Client::connect_to(&socket(agent)?).map_err(|error| ask::unasked(&error))
}

fn socket(agent: &Agent) -> Result<PathBuf, Failure> {
    match &agent.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(socket_path(&config(agent)?.config.run_dir)),
    }
}

/// A configuration, and who its agent is.
pub(crate) struct Found {
    pub(crate) config: Config,
    pub(crate) user: User,
}

/// The configuration that is named; else root's is the system's. Anybody else's is their own where they have one or an
/// agent of theirs runs; if not, they ask the system's agent, as members of its group do.
pub(crate) fn config(agent: &Agent) -> Result<Found, Failure> {
    let host = Host::this();
    let own = Config::load_on(agent.config.as_deref(), &host);
    let config = match own {
        own if agent.config.is_some() || host.user == User::Root => own.map_err(refused)?,
        Ok(own) if own.file.is_some() || socket_path(&own.run_dir).exists() => own,
        Err(error) if error.file.is_some() => return Err(refused(error)),
        // No directory of one's own can be told, or nothing is in it.
        _ => return system(host),
    };
    Ok(Found { config, user: host.user })
}

fn system(host: Host) -> Result<Found, Failure> {
    let host = Host { user: User::Root, ..host };
    let config = match File::open(SYSTEM_FILE) {
        // It may hold credentials; its socket lies in the usual place, most likely.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Config::parse("", None, &host),
        _ => Config::load_on(None, &host),
    };
    Ok(Found { config: config.map_err(refused)?, user: host.user })
}

fn refused(error: ConfigError) -> Failure {
    Failure::CannotAsk(error.to_string())
}
