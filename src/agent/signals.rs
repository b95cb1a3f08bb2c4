//! Signals as happenings: TERM and INT stop the agent (its jobs go on), HUP reloads, CHLD has orphans to be reaped.

use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use smol::channel::Sender;
use smol::io::AsyncReadExt;
use smol::{Async, LocalExecutor, Task};

use super::Happening;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Stop,
    Reload,
    Child,
}

/// Watches for all of them.
pub(super) fn watch(
    executor: &Rc<LocalExecutor<'static>>,
    inbox: &Sender<Happening>,
) -> io::Result<Vec<Task<()>>> {
    let signals =
        [(SIGTERM, Signal::Stop), (SIGINT, Signal::Stop), (SIGHUP, Signal::Reload), (SIGCHLD, Signal::Child)];
    signals
        .into_iter()
        .map(|(number, signal)| {
            let (read, write) = UnixStream::pair()?;
            pipe::register(number, write)?;
            let mut read = Async::new(read)?;
            let inbox = inbox.clone();
            Ok(executor.spawn(async move {
                let mut bytes = [0; 64];
                // Several of a kind are one.
                while read.read(&mut bytes).await.is_ok_and(|count| count > 0) {
                    if inbox.send(Happening::Signal(signal)).await.is_err() {
                        return;
                    }
                }
            }))
        })
        .collect()
}
