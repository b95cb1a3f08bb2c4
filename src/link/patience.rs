//! Time, chance, and what is done about a request that nobody answered: it is sent again, slower and slower. Only silence
//! on a standing connection ends the process.

use core::time::Duration;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

use super::frame::{FromLink, Phase};
use super::haste::hastened;
use super::out::Out;
use crate::nats::NatsError;

/// How long an answer is waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// The first wait before a request is sent again.
const FIRST: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// Without any answer for so long, the server is stalled: with the last request's patience, 150 s.
const SILENCE: Duration = Duration::from_secs(140);
/// The agent hears that the link lives when that has changed, and again after this: each word wakes it up. It waits
/// twice as long, and more, before it ends a link that says nothing.
const ALIVE: Duration = Duration::from_secs(100);

/// Since boot.
pub(super) fn now() -> Duration {
    let at = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// Some part of `most`, by chance.
pub(super) fn chance(most: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().build_hasher().finish() % 1_001).unwrap_or(0);
    most * random / 1_000
}

/// What all threads know of the world outside.
pub(super) struct Pulse {
    /// When somebody answered last, in milliseconds since boot.
    answered: AtomicU64,
    /// Whether the hub did.
    hub: AtomicBool,
    /// When the agent was told last that we live.
    said: AtomicU64,
    /// How often the hub has come back: whoever waits to send again looks at it.
    returns: Mutex<u64>,
    came_back: Condvar,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let answered = AtomicU64::new(millis(now()));
        let said = AtomicU64::new(0);
        Self {
            answered,
            hub: AtomicBool::new(false),
            said,
            returns: Mutex::new(0),
            came_back: Condvar::new(),
        }
    }

    /// Somebody answered: the hub, or a server that says that nobody is there.
    fn beat(&self, hub: bool, out: &Out) {
        self.answered.store(millis(now()), Ordering::SeqCst);
        if self.hub.swap(hub, Ordering::SeqCst) == hub {
            return;
        }
        self.say_alive(out);
        if hub {
            self.nudge();
        }
    }

    /// What was not there may be now: whoever waits asks again.
    pub(super) fn nudge(&self) {
        *self.returns.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.came_back.notify_all();
    }

    pub(super) fn hub(&self) -> bool {
        self.hub.load(Ordering::SeqCst)
    }

    /// How often the hub has come back.
    pub(super) fn returns(&self) -> u64 {
        *self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nobody has answered.
    pub(super) fn silent(&self) -> Duration {
        since(&self.answered)
    }

    /// Says that the link lives, when that was last said some time ago.
    pub(super) fn say(&self, out: &Out) {
        if since(&self.said) >= hastened(ALIVE) {
            self.say_alive(out);
        }
    }

    fn say_alive(&self, out: &Out) {
        self.said.store(millis(now()), Ordering::SeqCst);
        out.say(&FromLink::Alive { hub: self.hub() });
    }

    /// Notes what an answer, or its absence, says; ends the process where nothing will change. Silence is the connection's
    /// fault, whoever met it: the watch's own question was not answered either.
    pub(super) fn note<T>(&self, result: &Result<T, NatsError>, out: &Out) {
        match result {
            Ok(_) => self.beat(true, out),
            Err(NatsError::NoResponders { .. }) => self.beat(false, out),
            // The hub's own refusals.
            Err(NatsError::Api { .. } | NatsError::Nonsense { .. }) => self.beat(true, out),
            Err(error @ NatsError::Closed(_)) => {
                out.fault(Phase::Connect, error.to_string(), error.is_final())
            }
            Err(error @ NatsError::Stalled) => out.fault(Phase::Connect, error.to_string(), false),
            Err(error) if self.silent() >= hastened(SILENCE) => out.fault(
                Phase::Connect,
                format!("no answer at all for {} s; last {error}", self.silent().as_secs()),
                false,
            ),
            Err(_) => {}
        }
    }

    /// Asks until there is an answer that does not only say that nobody is there.
    pub(super) fn until<T>(&self, phase: Phase, out: &Out, ask: impl FnMut() -> Result<T, NatsError>) -> T {
        let mut ask = ask;
        let mut again = Again::default();
        loop {
            let returns = self.returns();
            let result = ask();
            self.note(&result, out);
            match result {
                Ok(answer) => return answer,
                Err(error) => {
                    let wait = again.next();
                    log::debug!("{phase}: {error}; again in {wait:?}");
                    self.wait(wait, returns);
                }
            }
        }
    }

    /// Waits so long, or until the hub is back.
    fn wait(&self, most: Duration, seen: u64) {
        let returns = self.returns.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came_back.wait_timeout_while(returns, most, |returns| *returns == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The waits between one request and the same again.
#[derive(Default)]
pub(super) struct Again {
    tries: u32,
}

impl Again {
    pub(super) fn next(&mut self) -> Duration {
        let base = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        hastened(base + chance(base / 4))
    }
}

fn since(at: &AtomicU64) -> Duration {
    now().saturating_sub(Duration::from_millis(at.load(Ordering::SeqCst)))
}

fn millis(since: Duration) -> u64 {
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
