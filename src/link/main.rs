//! The process: who it becomes, its threads, and the agent's frames.

use core::time::Duration;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::commands::{self, Open};
use super::confine::confine;
use super::frame::{self, FromLink, Hello, Phase, ToLink};
use super::out::Out;
use super::patience::Pulse;
use super::results::{self, Input};
use super::state::{self, Put};
use super::watch::{self, Others};
use crate::nats::{Connection, JetStream, NatsError, Trouble};

/// A server that has not let us in after this is none.
const CONNECT: Duration = Duration::from_secs(30);
/// Stack of a thread: JSON of a few levels, TLS when it writes.
const STACK_BYTES: usize = 256 * 1024;
/// Frames of the agent that wait for a thread: its window of facts, its puts.
const WAITING: usize = 64;

/// Of what a server does not permit, so many letters are told: a subject, and some words.
const DENIED: usize = 512;

/// What all threads share.
pub(super) struct Link {
    pub(super) hello: Hello,
    pub(super) stream: JetStream,
    pub(super) out: Arc<Out>,
    pub(super) pulse: Pulse,
    /// Commands that are not answered yet.
    pub(super) open: Mutex<BTreeMap<u64, Open>>,
}

impl Link {
    pub(super) fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `leafcrond link`: what the agent starts, with a socket to itself as standard input.
pub fn link_main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let stream = match take_stdin() {
        Ok(stream) if arguments.next().is_none() => stream,
        _ => {
            log::error!("`leafcrond link` is started by leafcrond itself");
            return ExitCode::from(2);
        }
    };
    match begin(stream) {
        // The agent is gone, and so is the reason to be here.
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("the link cannot begin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The socket that standard input is; from now on that is /dev/null.
fn take_stdin() -> io::Result<UnixStream> {
    let stdin = io::stdin();
    rustix::net::sockopt::socket_type(stdin.as_fd())?;
    let socket = stdin.as_fd().try_clone_to_owned()?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null: OwnedFd = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    Ok(UnixStream::from(socket))
}

fn begin(mut from: UnixStream) -> io::Result<()> {
    nix::sys::prctl::set_name(c"leafcron-link")?;
    let hello = match frame::read(&mut from)? {
        Some(ToLink::Hello(hello)) => *hello,
        Some(_) => return Err(io::Error::other("the agent's first frame is no hello")),
        None => return Ok(()),
    };
    confine(hello.become_user)?;
    let out = Arc::new(Out::new(from.try_clone()?)?);
    end_on_panic(Arc::clone(&out));
    let link = connect(hello, out);
    let puts = start_state(&link)?;
    let facts = start(&link, puts.clone())?;
    serve(&link, &mut from, facts.as_ref(), puts.as_ref());
    Ok(())
}

/// A thread that panics would leave a link behind that looks alive.
fn end_on_panic(out: Arc<Out>) {
    std::panic::set_hook(Box::new(move |panic| {
        log::error!("{panic}");
        out.last_words(Phase::Connect, format!("a fault of the program: {panic}"));
        std::process::exit(101);
    }));
}

fn connect(hello: Hello, out: Arc<Out>) -> Arc<Link> {
    out.say(&FromLink::Phase(Phase::Connect));
    let end = Arc::clone(&out);
    let connected = Connection::connect(&hello.connection, CONNECT, move |trouble| match trouble {
        Trouble::Ended(why) => {
            let lasting = NatsError::Closed(why.to_owned()).is_final();
            end.fault(Phase::Connect, why, lasting);
        }
        Trouble::Denied(what) => end.say(&FromLink::Denied { what: what.chars().take(DENIED).collect() }),
    });
    let connection = match connected {
        Ok(connection) => connection,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            out.fault(Phase::Connect, format!("{error}{cause}"), error.is_final());
        }
    };
    let mut warnings = Vec::new();
    if connection.is_plain() {
        warnings.push(
            "the link is plain text over a network: anyone on the way can read it, forge definitions and take over; use tls://"
                .to_owned(),
        );
    }
    out.say(&FromLink::Up { server: connection.server(), warnings });
    let stream = JetStream::new(connection, hello.domain.as_str());
    Arc::new(Link { hello, stream, out, pulse: Pulse::new(), open: Mutex::default() })
}

fn thread(link: &Arc<Link>, name: &str, work: impl FnOnce(&Arc<Link>) + Send + 'static) -> io::Result<()> {
    let link = Arc::clone(link);
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    builder.spawn(move || work(&link)).map(drop)
}

/// Watch, results and commands; where facts are to be handed in.
fn start(link: &Arc<Link>, state: Option<SyncSender<state::Input>>) -> io::Result<Option<SyncSender<Input>>> {
    let wanted = |phase| !link.hello.left_out.contains(&phase);
    let mut facts = None;
    if wanted(Phase::Results) {
        link.out.say(&FromLink::Phase(Phase::Results));
        // The acknowledgements come the same way.
        let (give, take) = sync_channel(4 * WAITING);
        let acks = give.clone();
        facts = Some(give);
        thread(link, "results", move |link| results::run(link, &take, acks))?;
    }
    // Whoever may have the name of another takes no commands.
    let (begin, named) = sync_channel(1);
    if wanted(Phase::Commands) {
        link.out.say(&FromLink::Phase(Phase::Commands));
        thread(link, "commands", move |link| {
            if named.recv().is_ok() {
                commands::listen(link);
            }
        })?;
    }
    let definitions = wanted(Phase::Definitions);
    if definitions {
        link.out.say(&FromLink::Phase(Phase::Definitions));
    }
    let others = Others { results: facts.clone(), state, commands: Some(begin) };
    thread(link, "watch", move |link| watch::run(link, definitions, others))?;
    Ok(facts)
}

fn start_state(link: &Arc<Link>) -> io::Result<Option<SyncSender<state::Input>>> {
    if link.hello.left_out.contains(&Phase::State) {
        return Ok(None);
    }
    link.out.say(&FromLink::Phase(Phase::State));
    let (give, take) = sync_channel(WAITING);
    thread(link, "state", move |link| state::run(link, &take))?;
    Ok(Some(give))
}

/// Hands the agent's frames on, until it is gone.
fn serve(
    link: &Link,
    from: &mut UnixStream,
    facts: Option<&SyncSender<Input>>,
    puts: Option<&SyncSender<state::Input>>,
) {
    loop {
        let full = match frame::read(from) {
            Ok(Some(ToLink::Fact { seq, subject, payload })) => {
                hand(facts, Input::Fact { seq, subject, payload })
            }
            Ok(Some(ToLink::Put { key, value })) => hand(puts, state::Input::Put(Put { key, value })),
            Ok(Some(ToLink::Answer { ask, payload, last })) => {
                commands::answer(link, ask, &payload, last);
                false
            }
            Ok(Some(ToLink::Hello(_)) | None) => return,
            Err(error) => {
                log::error!("read what the agent says: {error}");
                return;
            }
        };
        if full {
            link.out.fault(Phase::Connect, "the agent says more than the link can take", false);
        }
    }
}

/// Whether a thread has too much to do to take this.
fn hand<T>(to: Option<&SyncSender<T>>, what: T) -> bool {
    matches!(to.map(|to| to.try_send(what)), Some(Err(TrySendError::Full(_))))
}
