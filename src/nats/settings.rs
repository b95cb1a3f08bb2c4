//! How to reach a server and be known there. Contents, not paths: secrets come from another process, or were read by the
//! caller.

use core::fmt;
use core::time::Duration;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::NatsError;

/// What inboxes begin with everywhere.
pub const INBOX: &str = "_INBOX";

/// What a connection needs to know.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `tls://host:port` or `nats://host:port`.
    pub servers: Vec<String>,
    /// Who we are.
    pub auth: Auth,
    /// The certificates that are trusted, in PEM; `None`: the system's.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key for mTLS, in PEM.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// What the server's list of connections shows.
    pub name: String,
    /// What every subject begins with that answers are sent to: [`INBOX`], or something below it that permissions keep
    /// others from listening to.
    pub inbox: String,
}

/// Neither a key nor a certificate is shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Who we are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Auth {
    /// Nobody, or who the certificate says.
    None,
    /// The text of a `.creds` file.
    Creds(String),
    /// An nkey's seed.
    Nkey(String),
    /// A token.
    Token(String),
    /// User and password.
    Password(String, String),
}

/// Secrets are not shown.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Creds(_) => "Creds(…)",
            Self::Nkey(_) => "Nkey(…)",
            Self::Token(_) => "Token(…)",
            Self::Password(..) => "Password(…)",
        })
    }
}

/// Options for the client, and the files in memory that they point at.
pub(super) struct Prepared {
    pub(super) options: ::nats::Options,
    /// Kept until the connection stands.
    pub(super) files: Vec<OwnedFd>,
}

impl Settings {
    /// Nobody at one of these servers, with inboxes where everybody has them.
    #[must_use]
    pub fn new(servers: Vec<String>, name: &str) -> Self {
        let (name, inbox) = (name.to_owned(), INBOX.to_owned());
        Self { servers, auth: Auth::None, ca: None, client: None, name, inbox }
    }

    /// Whether every server has to speak TLS.
    pub(super) fn wants_tls(&self) -> bool {
        let tls = self.servers.iter().all(|server| server.starts_with("tls://"));
        tls || self.ca.is_some() || self.client.is_some()
    }

    /// None of the client's defaults is left: after a disconnect it would retry sixty times and swallow what is published
    /// meanwhile.
    pub(super) fn prepare(&self, connected: Arc<AtomicBool>) -> Result<Prepared, NatsError> {
        let mut files = Vec::new();
        let mut options = authenticated(&self.auth)?
            .with_name(&self.name)
            .max_reconnects(None)
            .reconnect_buffer_size(0)
            .reconnect_delay_callback(move |_| {
                // Never reconnects: its thread sleeps until the process ends. (While DNS fails its loop would not sleep.)
                while connected.load(Ordering::SeqCst) {
                    thread::park_timeout(Duration::from_secs(3_600));
                }
                Duration::ZERO
            });
        if self.wants_tls() {
            options = options.tls_required(true);
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificate(file(c"ca", ca, &mut files)?);
        }
        if let Some((cert, key)) = &self.client {
            let (cert, key) = (file(c"cert", cert, &mut files)?, file(c"key", key, &mut files)?);
            options = options.client_cert(cert, key);
        }
        Ok(Prepared { options, files })
    }
}

fn authenticated(auth: &Auth) -> Result<::nats::Options, NatsError> {
    match auth {
        Auth::None => Ok(::nats::Options::new()),
        Auth::Token(token) => Ok(::nats::Options::with_token(token)),
        Auth::Password(user, password) => Ok(::nats::Options::with_user_pass(user, password)),
        // The client's own words may repeat what it could not read.
        Auth::Creds(text) => ::nats::Options::with_static_credentials(text).map_err(|_| {
            NatsError::Settings("the credentials are no .creds file with a JWT and a seed".to_owned())
        }),
        Auth::Nkey(seed) => {
            let unreadable = || NatsError::Settings("the nkey file holds no user's seed (SU…)".to_owned());
            let pair = nkeys::KeyPair::from_seed(seed.trim()).map_err(|_| unreadable())?;
            let public = pair.public_key();
            Ok(::nats::Options::with_nkey(&public, move |nonce| pair.sign(nonce).unwrap_or_default()))
        }
    }
}

/// A file that has no name: the client wants a path, and nothing secret goes to a disk.
fn file(name: &core::ffi::CStr, bytes: &[u8], files: &mut Vec<OwnedFd>) -> Result<PathBuf, NatsError> {
    let failed = |error: std::io::Error| NatsError::Settings(format!("keep {name:?} in memory: {error}"));
    let memory = memfd_create(name, MemfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(bytes).map_err(failed)?;
    let memory = OwnedFd::from(memory);
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    files.push(memory);
    Ok(path)
}
