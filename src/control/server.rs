//! The agent's end: accepts, asks the kernel who it is, reads requests and writes replies. What is no request, and
//! what the peer may not ask, is answered here and never reaches the caller.

use core::fmt;
use core::time::Duration;
use std::io::{self, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smol::io::AsyncWriteExt;
use smol::{Async, Timer, future};

use super::line::{self, Step};
use super::peer::Peer;
use super::place::{BindError, Place};
use crate::job::{Refusal, RefusalKind, Reply, Request, limits};

/// Connections that only root and the agent's user can take, so that no member of the group can shut them out.
const RESERVED: usize = 4;
/// After an accept(2) that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long a client may keep the agent waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one whole request line; the connection ends after it.
    pub request: Duration,
    /// For taking one whole reply.
    pub reply: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request: Duration::from_secs(30), reply: Duration::from_secs(10) }
    }
}

/// The bound socket. Dropped, it is removed.
pub struct Listener {
    socket: Async<UnixListener>,
    place: Place,
    patience: Patience,
    open: Arc<AtomicUsize>,
    shut_out: Option<u32>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.path().display())
    }
}

impl Listener {
    /// Makes `run_dir` if it is not there, replaces the socket of an agent that is gone, and listens.
    ///
    /// # Errors
    /// Another agent answers there; the directory is not safe; what the system said.
    pub fn bind(run_dir: &Path) -> Result<Self, BindError> {
        let (listener, place) = Place::bind(run_dir)?;
        let socket = Async::new(listener)
            .map_err(|error| BindError::Io("listen on", place.path().to_owned(), error))?;
        Ok(Self { socket, place, patience: Patience::default(), open: Arc::default(), shut_out: None })
    }

    /// With another patience, for tests.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// A user whom nothing is answered, whatever the socket's permissions say.
    #[must_use]
    pub fn shutting_out(self, uid: Option<u32>) -> Self {
        Self { shut_out: uid, ..self }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The next client. One too many is told so and let go.
    pub async fn accept(&self) -> Connection {
        loop {
            match self.socket.accept().await.and_then(|(stream, _)| Ok((Peer::of(&stream)?, stream))) {
                Ok((peer, stream)) => match self.admit(peer) {
                    Ok(place) => return Connection::new(stream, peer, self.patience, place),
                    Err(refusal) => turn_away(&stream, peer, refusal),
                },
                Err(error) => {
                    log::warn!("accept on {}: {error}", self.path().display());
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
            // A crowd at the door must not keep the loop from its other work.
            future::yield_now().await;
        }
    }

    fn admit(&self, peer: Peer) -> Result<Occupied, Refusal> {
        if self.shut_out == Some(peer.uid) {
            return Err(peer.shut_out());
        }
        let bound = limits::CONNECTIONS - if peer.is_owner() { 0 } else { RESERVED };
        let more = |open: usize| (open < bound).then_some(open + 1);
        match self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Occupied(Arc::clone(&self.open))),
            Err(_) => Err(Refusal {
                kind: RefusalKind::Busy,
                message: "too many connections to the agent at once; try again in a moment".to_owned(),
            }),
        }
    }
}

/// One taken place among [`limits::CONNECTIONS`].
struct Occupied(Arc<AtomicUsize>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says why, as far as the socket takes it at once.
fn turn_away(stream: &Async<UnixStream>, peer: Peer, refusal: Refusal) {
    log::warn!("uid {} pid {}: {}", peer.uid, peer.pid, refusal.message);
    let line = line::reply(&Reply::Refused(refusal));
    if let Err(error) = io::Write::write_all(&mut stream.get_ref(), &line) {
        log::debug!("turn away pid {}: {error}", peer.pid);
    }
}

/// One client.
pub struct Connection {
    stream: Async<UnixStream>,
    peer: Peer,
    patience: Patience,
    /// What has come and is not yet a request.
    buffer: Vec<u8>,
    /// The client sends no more, or what it sends cannot be told apart any more.
    ended: bool,
    _place: Occupied,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?})", self.peer)
    }
}

impl Connection {
    fn new(stream: Async<UnixStream>, peer: Peer, patience: Patience, place: Occupied) -> Self {
        Self { stream, peer, patience, buffer: Vec::new(), ended: false, _place: place }
    }

    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The next request that is one and that the peer may ask; the others are answered here. `None`: the client is
    /// done, or was too slow. Safe to drop: nothing that has come is lost.
    ///
    /// # Errors
    /// What the socket said; the connection is of no more use.
    pub async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            let patience = self.patience.request;
            let line = future::or(async { Some(self.line().await) }, async {
                Timer::after(patience).await;
                None
            })
            .await;
            match line.unwrap_or_else(|| Ok(Err(slow(patience)))) {
                Ok(Ok(Some(line))) => match self.judge(&line) {
                    Ok(request) => return Ok(Some(request)),
                    Err(refusal) => self.reply(&Reply::Refused(refusal)).await?,
                },
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(refusal)) => {
                    self.ended = true;
                    self.buffer = Vec::new();
                    self.reply(&Reply::Refused(refusal)).await?;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            future::yield_now().await;
        }
    }

    fn judge(&self, line: &[u8]) -> Result<Request, Refusal> {
        let request = line::request(line)?;
        if self.peer.may(&request) {
            return Ok(request);
        }
        log::warn!("uid {} pid {} may not ask {request:?}", self.peer.uid, self.peer.pid);
        Err(self.peer.forbidden())
    }

    /// The next line with anything in it; `None` at the end; a refusal where no line can follow.
    async fn line(&mut self) -> io::Result<Result<Option<Vec<u8>>, Refusal>> {
        loop {
            let line = match line::take(&mut self.buffer) {
                Step::Line(line) => line,
                Step::TooLong => return Ok(Err(line::too_long())),
                // A last line may lack its newline.
                Step::More if self.ended && self.buffer.is_empty() => return Ok(Ok(None)),
                Step::More if self.ended => std::mem::take(&mut self.buffer),
                Step::More => {
                    self.fill().await?;
                    continue;
                }
            };
            if !line.trim_ascii().is_empty() {
                return Ok(Ok(Some(line)));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let buffer = &mut self.buffer;
        let read = self.stream.read_with(|mut stream| {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk)?;
            buffer.extend(chunk.iter().take(read));
            Ok(read)
        });
        self.ended = read.await? == 0;
        Ok(())
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// The client is gone, or did not take it within [`Patience::reply`]: the connection is of no more use.
    pub async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        let line = line::reply(reply);
        let patience = self.patience.reply;
        future::or(self.stream.write_all(&line), async {
            Timer::after(patience).await;
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the client did not take a reply within {patience:?}"),
            ))
        })
        .await
    }

    /// Resolves when the client has closed its end: nobody waits any more for what `run` with `wait` comes to. A
    /// client that wants that second line keeps its sending side open. Safe to drop.
    pub async fn gone(&mut self) {
        while !self.ended {
            if self.buffer.len() >= limits::REQUEST_BYTES {
                // It talks on: it is there, and what it says is read when its turn comes.
                return future::pending().await;
            }
            if self.fill().await.is_err() {
                return;
            }
        }
    }
}

fn slow(patience: Duration) -> Refusal {
    Refusal {
        kind: RefusalKind::BadRequest,
        message: format!("no whole request line within {patience:?}: the connection ends"),
    }
}
