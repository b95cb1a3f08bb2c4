//! One link process: its frames both ways, and how long it has been silent. It is never asked to do better: it is killed.

use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use smol::channel::{Receiver, Sender, bounded};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor, Task};

use super::super::Happening;
use super::{Due, News};
use crate::job::BootTime;
use crate::link::frame::{self, FromLink, HEAD_BYTES, Hello, Phase, ToLink};
use crate::link::{Child, hastened};

/// Frames on their way to the process: a window of facts, some puts and answers.
const FRAMES: usize = 128;
/// A link that says nothing for so long is killed: it asks once a minute, and ends itself after 150 s without an answer.
const SILENCE: Duration = Duration::from_secs(240);

pub(super) fn silence() -> Duration {
    hastened(SILENCE)
}

/// A process.
pub(super) struct Process {
    child: Child,
    pub(super) frames: Sender<ToLink>,
    /// What was begun and not come to its end.
    open: BTreeSet<Phase>,
    pub(super) heard: BootTime,
    /// Since when the hub answers.
    pub(super) healthy: Option<BootTime>,
    pub(super) fault: Option<Fault>,
    /// What it was told to leave out.
    pub(super) left_out: bool,
    /// Definitions are passed over until the next start: the disk does not take them.
    pub(super) deaf: bool,
    /// Nothing that it says counts any more.
    pub(super) killed: bool,
    _tasks: [Task<()>; 2],
}

/// Why a process ended.
pub(super) struct Fault {
    pub(super) phase: Phase,
    pub(super) reason: String,
    pub(super) lasting: bool,
}

impl Process {
    pub(super) fn begin(
        (child, stream): (Child, UnixStream),
        hello: Hello,
        now: BootTime,
        executor: &Rc<LocalExecutor<'static>>,
        inbox: &Sender<Happening>,
        generation: u64,
    ) -> io::Result<Self> {
        let reader = Async::new(stream)?;
        let writer = Async::new(reader.get_ref().try_clone()?)?;
        let (frames, outgoing) = bounded(FRAMES);
        let left_out = !hello.left_out.is_empty();
        // Certificates and credentials are in it: too many of them are told now, and not by a link that says nothing.
        let hello = frame::encode(&ToLink::Hello(Box::new(hello)))?;
        let tasks = [
            executor.spawn(read(reader, inbox.clone(), generation)),
            executor.spawn(write(writer, hello, outgoing)),
        ];
        let (open, healthy, fault) = (BTreeSet::new(), None, None);
        let (deaf, killed) = (false, false);
        Ok(Self { child, frames, open, heard: now, healthy, fault, left_out, deaf, killed, _tasks: tasks })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn begins(&mut self, phase: Phase) {
        self.open.insert(phase);
    }

    /// A phase has come to the end of its beginning: what happens later is no reason to leave it out.
    pub(super) fn settles(&mut self, phase: Phase) {
        self.open.remove(&phase);
    }

    /// The phase that is to blame for an end without a word.
    pub(super) fn phase(&self) -> Phase {
        self.open.first().copied().unwrap_or(Phase::Connect)
    }

    /// Ends it; its end comes as news.
    pub(super) fn kill(&mut self, reason: String) {
        log::warn!("the link process is killed: {reason}");
        let phase = self.phase();
        self.fault.get_or_insert(Fault { phase, reason, lasting: false });
        self.killed = true;
        self.child.kill();
    }
}

/// A process that nobody looks after any more is no more.
impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill();
    }
}

async fn read(mut from: Async<UnixStream>, inbox: Sender<Happening>, generation: u64) {
    loop {
        let news = match next(&mut from).await {
            Ok(Some(frame)) => News::Said(frame),
            Ok(None) => News::Gone,
            Err(error) => {
                log::warn!("read what the link process says: {error}");
                News::Gone
            }
        };
        let last = matches!(news, News::Gone);
        if inbox.send(Happening::Link { generation, news }).await.is_err() || last {
            return;
        }
    }
}

async fn next(from: &mut Async<UnixStream>) -> io::Result<Option<FromLink>> {
    let mut head = [0; HEAD_BYTES];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut body = vec![0; frame::length(head)?];
    from.read_exact(&mut body).await?;
    frame::decode(&body).map(Some)
}

async fn write(mut to: Async<UnixStream>, hello: Vec<u8>, frames: Receiver<ToLink>) {
    let mut bytes = Ok(hello);
    loop {
        let written = match bytes {
            Ok(bytes) => to.write_all(&bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // Its end is seen by the reader.
            log::debug!("tell the link process: {error}");
            return;
        }
        let Ok(next) = frames.recv().await else { return };
        bytes = frame::encode(&next);
    }
}

/// Sends word after a while.
pub(super) fn later(
    executor: &Rc<LocalExecutor<'static>>,
    inbox: &Sender<Happening>,
    after: Duration,
    generation: u64,
    due: Due,
) -> Task<()> {
    let inbox = inbox.clone();
    executor.spawn(async move {
        smol::Timer::after(after).await;
        // The loop is gone: nothing is due any more.
        inbox.send(Happening::Link { generation, news: News::Due(due) }).await.unwrap_or_default();
    })
}
