//! A connection: bounded in time and memory, and never mended.

use core::time::Duration;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::ask::{Answers, Inboxes};
use super::error::NatsError;
use super::message::Message;
use super::settings::{Prepared, Settings};
use super::socket;

/// A message this small is written without ever blocking: it fits into the client's buffer, or waits until it does.
const SMALL: usize = 16 * 1024;
/// How long a full buffer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(2);
/// The stack of the thread that connects: TLS and the parsing of certificates.
const STACK_BYTES: usize = 512 * 1024;

/// What is told of a connection that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble<'a> {
    /// It has ended, and why.
    Ended(&'a str),
    /// The server does not permit something, which it names; all else goes on.
    Denied(&'a str),
}

/// What the server says of something that it does not permit.
const DENIED: &str = "permissions violation";

/// A connection to one server. Clones are the same connection.
#[derive(Clone)]
pub struct Connection {
    client: ::nats::Connection,
    inboxes: Inboxes,
    ended: Arc<Mutex<Option<String>>>,
    server: String,
    inbox: String,
    plain: bool,
}

/// What was published on a subject.
pub struct Subscription {
    inner: ::nats::Subscription,
    ended: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Connects to the first server that lets us in, in the order given, each within its share of the time.
    ///
    /// `trouble` is called from the client's thread, and must not call back: once when the connection has ended, and before
    /// that whenever the server does not permit something.
    ///
    /// # Errors
    /// No server within that time, or none lets us in: of several reasons one that may pass.
    pub fn connect(
        settings: &Settings,
        within: Duration,
        trouble: impl Fn(Trouble<'_>) + Send + Sync + 'static,
    ) -> Result<Self, NatsError> {
        let trouble = Arc::new(trouble);
        let share = within / u32::try_from(settings.servers.len().max(1)).unwrap_or(u32::MAX);
        let mut failed = None;
        for server in &settings.servers {
            let one = Settings { servers: vec![server.clone()], ..settings.clone() };
            match Self::reach(&one, server, share, Arc::clone(&trouble)) {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    if failed.as_ref().is_none_or(NatsError::is_final) {
                        failed = Some(error);
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| NatsError::Settings("no server is given".to_owned())))
    }

    /// Connects to one server. The client has no patience of its own, so it does this on a thread that is left behind when
    /// it does not come back.
    fn reach(
        settings: &Settings,
        server: &str,
        within: Duration,
        trouble: Arc<impl Fn(Trouble<'_>) + Send + Sync + 'static>,
    ) -> Result<Self, NatsError> {
        let failed = |source: std::io::Error| NatsError::Connect { servers: server.to_owned(), source };
        let connected = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(Mutex::new(None));
        let Prepared { options, files } = settings.prepare(Arc::clone(&connected))?;
        let denied = Arc::clone(&trouble);
        let end = ending(Arc::clone(&ended), Arc::clone(&connected), move |why| trouble(Trouble::Ended(why)));
        let (lost, closed, leaves) = (Arc::clone(&end), Arc::clone(&end), end);
        // What the server says before it hangs up is why. Not every word of it is an end: a full queue, say.
        let word = Arc::new(Mutex::new(String::from("the server is gone")));
        let last_word = Arc::clone(&word);
        let options = options
            .disconnect_callback(move || lost(&last_word.lock().unwrap_or_else(PoisonError::into_inner)))
            .close_callback(move || closed("the client has closed it"))
            .lame_duck_callback(move || leaves("the server shuts down"))
            .error_callback(move |error| {
                log::warn!("the nats client: {error}");
                let said = error.to_string();
                if said.to_ascii_lowercase().contains(DENIED) {
                    return denied(Trouble::Denied(&said));
                }
                *word.lock().unwrap_or_else(PoisonError::into_inner) = said;
            });
        let (answer, answers) = mpsc::sync_channel(1);
        let url = server.to_owned();
        thread::Builder::new()
            .name("connect".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Nobody waits any more: what came of it goes with the process.
                answer.send(options.connect(url)).unwrap_or_default();
                drop(files);
            })
            .map_err(failed)?;
        let client = match answers.recv_timeout(within) {
            Ok(result) => result.map_err(failed)?,
            Err(_) => return Err(NatsError::TimedOut { what: format!("connecting to {server}"), within }),
        };
        connected.store(true, Ordering::SeqCst);
        if let Err(error) = socket::watch() {
            log::warn!("a dead line is found late, since TCP cannot be told to watch it: {error}");
        }
        let plain = !settings.wants_tls() && !is_local(host(server));
        let (server, inbox) = (server.to_owned(), settings.inbox.clone());
        Ok(Self { client, inboxes: Inboxes::default(), ended, server, inbox, plain })
    }

    /// Which server it is, for a person.
    #[must_use]
    pub fn server(&self) -> String {
        self.server.clone()
    }

    /// Whether what is sent can be read on its way: no TLS, and not within this machine.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Bytes of one message, at most: a larger one would end the connection.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// A subject that nobody else uses.
    #[must_use]
    pub fn new_inbox(&self) -> String {
        let unguessable = self.client.new_inbox();
        let (_, token) = unguessable.rsplit_once('.').unwrap_or(("", &unguessable));
        format!("{}.{token}", self.inbox)
    }

    /// Sends a message on its way. Done is not arrived. A message of more than 16 KiB can block as long as the server does
    /// not read: the caller has somebody who watches it.
    ///
    /// # Errors
    /// It is too large, the connection has ended, or the server does not read.
    pub fn publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<(), NatsError> {
        check_subject(subject)?;
        self.alive()?;
        let size: usize =
            headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 16;
        let bytes = payload.len() + if headers.is_empty() { 0 } else { size };
        let most = self.max_payload();
        if bytes > most {
            return Err(NatsError::TooLarge { bytes, most });
        }
        if let Some((name, _)) = headers.iter().find(|(name, value)| !is_line(name) || !is_line(value)) {
            return Err(NatsError::Settings(format!("the header {name:?} does not fit on one line")));
        }
        let map: Option<::nats::HeaderMap> = (!headers.is_empty()).then(|| headers.iter().collect());
        let written = if bytes + size + subject.len() <= SMALL {
            let mut waited = Duration::ZERO;
            loop {
                match self.client.try_publish_with_reply_or_headers(subject, reply, map.as_ref(), payload) {
                    Some(result) => break result,
                    None if waited >= PATIENCE => return Err(NatsError::Stalled),
                    None => thread::sleep(LOOK),
                }
                waited += LOOK;
            }
        } else {
            self.client.publish_with_reply_or_headers(subject, reply, map.as_ref(), payload)
        };
        written.map_err(|error| NatsError::Closed(error.to_string()))
    }

    /// Asks, and waits for the first answer.
    ///
    /// # Errors
    /// Nobody is there, or nobody answers in time; and those of [`publish`](Self::publish).
    pub fn request(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
        within: Duration,
    ) -> Result<Message, NatsError> {
        match self.ask(subject, headers, payload)?.next(within)? {
            Some(answer) if answer.is_no_responders() => {
                Err(NatsError::NoResponders { subject: subject.to_owned() })
            }
            Some(answer) => Ok(answer),
            None => Err(NatsError::TimedOut { what: subject.to_owned(), within }),
        }
    }

    /// Asks; any number of answers may come.
    pub(super) fn ask(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<Answers, NatsError> {
        let answers = self.inboxes.take(self)?;
        self.publish(subject, Some(answers.reply()), headers, payload)?;
        Ok(answers)
    }

    /// Listens to a subject; at most `limit` messages wait, more are dropped.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn subscribe(&self, subject: &str, limit: usize) -> Result<Subscription, NatsError> {
        check_subject(subject)?;
        self.alive()?;
        let inner = self.client.subscribe(subject).map_err(|error| NatsError::Closed(error.to_string()))?;
        inner.set_message_limits(limit);
        Ok(Subscription { inner, ended: Arc::clone(&self.ended) })
    }

    /// Whether it still stands: what has ended stays so.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn alive(&self) -> Result<(), NatsError> {
        match said(&self.ended) {
            Some(why) => Err(NatsError::Closed(why)),
            None => Ok(()),
        }
    }
}

impl Subscription {
    /// The next message; `None`: there was none within this time.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn next(&self, within: Duration) -> Result<Option<Message>, NatsError> {
        match self.inner.next_timeout(within) {
            Ok(message) => Ok(Some(Message::new(message))),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => match said(&self.ended) {
                Some(why) => Err(NatsError::Closed(why)),
                None => Ok(None),
            },
            Err(error) => Err(NatsError::Closed(error.to_string())),
        }
    }

    /// The next message on any of them; `None`: there was none within this time.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn next_of(any: &[Self], within: Duration) -> Result<Option<Message>, NatsError> {
        let ended = || any.first().and_then(|one| said(&one.ended));
        let mut select = crossbeam_channel::Select::new();
        for one in any {
            select.recv(one.inner.receiver());
        }
        let Ok(ready) = select.select_timeout(within) else {
            return ended().map_or(Ok(None), |why| Err(NatsError::Closed(why)));
        };
        let received = any.get(ready.index()).map(|one| ready.recv(one.inner.receiver()));
        match received {
            Some(Ok(message)) => Ok(Some(Message::new(message))),
            Some(Err(_)) | None => {
                Err(NatsError::Closed(ended().unwrap_or_else(|| "unsubscribed".to_owned())))
            }
        }
    }

    /// The next message, however long it takes.
    ///
    /// # Errors
    /// The connection has ended; a client that dies in silence never says so.
    pub fn next_blocking(&self) -> Result<Message, NatsError> {
        let ended = || NatsError::Closed(said(&self.ended).unwrap_or_else(|| "unsubscribed".to_owned()));
        self.inner.next().map(Message::new).ok_or_else(ended)
    }
}

fn said(ended: &Mutex<Option<String>>) -> Option<String> {
    ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Notes the first word of the end and hands it on; before the connection stands there is nothing to end.
fn ending(
    ended: Arc<Mutex<Option<String>>>,
    connected: Arc<AtomicBool>,
    trouble: impl Fn(&str) + Send + Sync + 'static,
) -> Arc<impl Fn(&str) + Send + Sync> {
    Arc::new(move |why: &str| {
        if !connected.load(Ordering::SeqCst) {
            return;
        }
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            *ended = Some(why.to_owned());
            drop(ended);
            trouble(why);
        }
    })
}

/// The host of `scheme://host:port`.
fn host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => rest.rsplit_once(':').map_or(rest, |(host, _)| host),
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_line(text: &str) -> bool {
    !text.contains(['\r', '\n'])
}

fn check_subject(subject: &str) -> Result<(), NatsError> {
    if subject.is_empty() || subject.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(NatsError::Settings(format!("{subject:?} is no subject")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for (server, local) in [
            ("nats://127.0.0.1:4222", true),
            ("nats://localhost:4222", true),
            ("tls://[::1]", true),
            ("nats://10.0.0.1:4222", false),
            ("nats://leaf.example", false),
            ("nats://localhost.example:4222", false),
        ] {
            assert_eq!(is_local(host(server)), local, "{server}");
        }
    }
}
