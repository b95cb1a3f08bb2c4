//! What a link process is told at its start: the configuration, and the contents of the files that it names. The process
//! itself may read none of them.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::{User, geteuid};

use crate::config::{Auth, Config, Nats};
use crate::job::{Acked, Epoch};
use crate::link::Names;
use crate::link::frame::{Hello, Phase};
use crate::nats::{self, Settings};

/// The user of the link process, where the agent is root.
pub const USER: &str = "leafcron-link";
/// Where that user is missing: nobody's, by number.
const NOBODY: (u32, u32) = (65_534, 65_534);
/// A file of credentials or certificates, in bytes: a bundle of all public authorities has a quarter of it. All of them
/// go into one frame.
const FILE_BYTES: u64 = 512 * 1024;

/// Who the link process becomes, and what is to be said about it.
pub(super) fn user() -> (Option<(u32, u32)>, Option<String>) {
    if !geteuid().is_root() {
        return (None, None);
    }
    match User::from_name(USER) {
        Ok(Some(user)) => (Some((user.uid.as_raw(), user.gid.as_raw())), None),
        Ok(None) | Err(_) => {
            let why = format!("there is no user {USER} on this device: the link runs as uid {}", NOBODY.0);
            (Some(NOBODY), Some(why))
        }
    }
}

/// The uid of the link process, where that is another than the agent's.
pub(in super::super) fn link_uid() -> Option<u32> {
    user().0.map(|(uid, _)| uid)
}

pub(super) fn hello(
    config: &Config,
    link: &Nats,
    epoch: Epoch,
    acked: Acked,
    left_out: Vec<Phase>,
) -> Result<Hello, String> {
    let text =
        |path: &Path| String::from_utf8(read(path)?).map_err(|_| format!("{} is not text", path.display()));
    let auth = match &link.auth {
        Auth::None => nats::Auth::None,
        Auth::Creds(path) => nats::Auth::Creds(text(path)?),
        Auth::Nkey(path) => nats::Auth::Nkey(text(path)?.trim().to_owned()),
        Auth::Token(token) => nats::Auth::Token(token.clone()),
        Auth::Password(user, password) => nats::Auth::Password(user.clone(), password.clone()),
    };
    let client = match &link.client {
        Some((cert, key)) => Some((read(cert)?, read(key)?)),
        None => None,
    };
    let groups = config.all_groups();
    let names = Names { prefix: &link.prefix, agent: &config.agent, groups: &groups };
    let connection = Settings {
        servers: link.servers.clone(),
        auth,
        ca: link.ca.as_deref().map(read).transpose()?,
        client,
        name: format!("leafcron {}", config.agent),
        inbox: names.inbox(),
    };
    Ok(Hello {
        agent: config.agent.clone(),
        groups,
        epoch,
        connection,
        domain: link.domain.clone(),
        prefix: link.prefix.clone(),
        become_user: user().0,
        left_out,
        stream_sequence: acked.stream_sequence,
    })
}

/// A file's bytes; its name is in the error, its content never.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("read {}: {error}", path.display());
    // A pipe in its place must not hold up the agent.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("{}: more than {FILE_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}
