//! The command line's end: blocking, one request at a time. Its errors say what to do next.

use core::fmt;
use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::place::socket_path;
use crate::job::{Reply, Request, limits};

/// For being let in and for sending a request.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// For an answer: behind it may lie a slow disk, not a running job.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens.
    NoAgent(PathBuf),
    /// The socket is not for this user.
    Denied(PathBuf),
    /// The path is longer than a socket's can be.
    TooLong(PathBuf),
    /// The agent is there and says nothing.
    Silent(Duration),
    /// The agent hung up without an answer.
    HungUp,
    /// The answer is not one that this version knows.
    NotAReply(String),
    /// Anything else: what was done, and why not.
    Io(&'static str, io::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAgent(path) => write!(
                f,
                "no agent answers at {}: start `leafcrond`, or name the configuration of the one that is meant with \
                 --config",
                path.display()
            ),
            Self::Denied(path) => write!(
                f,
                "{} is not open to you: use sudo, or become a member of its group (`sudo usermod -aG leafcron \
                 $USER`, then log in again)",
                path.display()
            ),
            Self::TooLong(path) => write!(
                f,
                "{} is longer than the path of a socket can be: choose a shorter run_dir",
                path.display()
            ),
            Self::Silent(patience) => {
                write!(f, "the agent did not answer within {patience:?}: see `journalctl -u leafcrond`")
            }
            Self::HungUp => f.write_str(
                "the agent hung up without an answer: see `journalctl -u leafcrond`, then ask again",
            ),
            Self::NotAReply(why) => write!(
                f,
                "the agent's answer is not understood ({why}): are leafcron and leafcrond of one version?"
            ),
            Self::Io(what, _) => write!(f, "could not {what} the agent"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// A connection to an agent.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the agent whose `run_dir` this is.
    ///
    /// # Errors
    /// Nobody listens there, or not to this user.
    pub fn connect(run_dir: &Path) -> Result<Self, ClientError> {
        Self::connect_to(&socket_path(run_dir))
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// Nobody listens there, or not to this user.
    pub fn connect_to(path: &Path) -> Result<Self, ClientError> {
        let address = SocketAddrUnix::new(path).map_err(|_| ClientError::TooLong(path.to_owned()))?;
        let connect = || {
            let socket = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            // Also bounds connect(2), which waits while the agent's backlog is full.
            set_socket_timeout(&socket, Timeout::Send, Some(SEND_PATIENCE))?;
            rustix::net::connect(&socket, &address)?;
            Ok(UnixStream::from(socket))
        };
        let stream = connect().map_err(|error: rustix::io::Errno| {
            let error = io::Error::from(error);
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                    ClientError::NoAgent(path.to_owned())
                }
                io::ErrorKind::PermissionDenied => ClientError::Denied(path.to_owned()),
                io::ErrorKind::WouldBlock => ClientError::Silent(SEND_PATIENCE),
                _ => ClientError::Io("connect to", error),
            }
        })?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The agent is gone, silent, or not of this version.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut line = serde_json::to_vec(request)
            .map_err(|error| ClientError::Io("write a request for", error.into()))?;
        line.push(b'\n');
        match self.stream.get_ref().write_all(&line) {
            // It may have said why it hung up before it did.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(ClientError::Silent(SEND_PATIENCE));
            }
            sent => sent.map_err(|error| ClientError::Io("ask", error))?,
        }
        self.read(Some(ANSWER_PATIENCE))
    }

    /// Waits for one more answer, however long it takes: how a `run` with `wait` ended.
    ///
    /// # Errors
    /// The agent is gone, or not of this version.
    pub fn next_reply(&mut self) -> Result<Reply, ClientError> {
        self.read(None)
    }

    fn read(&mut self, patience: Option<Duration>) -> Result<Reply, ClientError> {
        let read = |error| ClientError::Io("read from", error);
        self.stream.get_ref().set_read_timeout(patience).map_err(read)?;
        let most = u64::try_from(limits::REPLY_BYTES).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        match self.stream.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(_) if line.last() != Some(&b'\n') => Err(ClientError::HungUp),
            Ok(_) => serde_json::from_slice(&line).map_err(|error| ClientError::NotAReply(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(ClientError::Silent(patience.unwrap_or_default()))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ClientError::HungUp),
            Err(error) => Err(read(error)),
        }
    }
}
