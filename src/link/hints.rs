//! What the bucket's stream republishes: that a key has changed. A hint is never believed: anybody who may publish on its
//! subject can forge one. It says where to look.

use core::time::Duration;
use std::collections::BTreeSet;

use std::sync::mpsc::SyncSender;

use super::frame::Phase;
use super::identity;
use super::main::Link;
use super::patience::{chance, now};
use super::state::Input;
use crate::nats::Subscription;

/// Hints of one kind that wait; more are dropped, and the check finds what they meant.
const WAITING: usize = 256;
/// Hints within this time are followed together.
const TOGETHER: Duration = Duration::from_millis(250);
/// The devices of a group do not all read at one moment.
const SPREAD: Duration = Duration::from_secs(2);
/// More keys than this are read by reading all.
const KEYS: usize = 16;

/// The subscriptions: to the device's own keys and those of its groups, and to its name.
pub(super) struct Hints {
    prefix: String,
    named: String,
    /// Who looks after the name.
    state: Option<SyncSender<Input>>,
    all: Vec<Subscription>,
}

/// Where to look.
pub(super) enum Look {
    /// Nowhere.
    Nothing,
    /// At these keys.
    Keys(BTreeSet<String>),
    /// At all of them.
    All,
}

impl Hints {
    pub(super) fn subscribe(link: &Link, definitions: bool, state: Option<SyncSender<Input>>) -> Self {
        let (names, named) = (link.hello.names(), link.hello.names().named());
        let subscribe = |subject: String| match link.stream.connection().subscribe(&subject, WAITING) {
            Ok(subscription) => subscription,
            Err(error) => link.out.fault(Phase::Connect, format!("subscribe to {subject}: {error}"), false),
        };
        let wanted = names.hints().into_iter().filter(|_| definitions);
        let all = wanted.chain(state.is_some().then(|| named.clone())).map(subscribe).collect();
        Self { all, prefix: names.hint(), named, state }
    }

    /// Waits for a hint, at most so long, and for those that come with it.
    pub(super) fn gather(&self, link: &Link, most: Duration) -> Look {
        let Some(first) = self.next(link, most) else { return Look::Nothing };
        let mut end = now() + TOGETHER;
        let (mut spread, mut keys, mut count) = (false, BTreeSet::new(), 0);
        let mut next = Some(first);
        while let Some(key) = next {
            if key.starts_with("group.") && !core::mem::replace(&mut spread, true) {
                end += chance(SPREAD);
            }
            count += 1;
            if keys.len() <= KEYS && is_key(&key) {
                keys.insert(key);
            }
            // A flood does not keep us from looking.
            let left = end.saturating_sub(now());
            next = if left.is_zero() || count > WAITING { None } else { self.next(link, left) };
        }
        match keys.len() {
            // About the name, or no keys at all: nobody is asked, so nobody has answered either.
            0 => Look::Nothing,
            1..=KEYS => Look::Keys(keys),
            _ => Look::All,
        }
    }

    /// The key that the next hint names; none that can be one: it was about the name.
    fn next(&self, link: &Link, most: Duration) -> Option<String> {
        let next = Subscription::next_of(&self.all, most);
        if let Err(error) = &next {
            link.out.fault(Phase::Connect, error.to_string(), error.is_final());
        }
        let hint = next.ok()??;
        if hint.subject == self.named {
            let changed = Input::Changed { sequence: identity::sequence(&hint) };
            // Whoever is busy there writes the key soon, and finds out so.
            let told = self.state.as_ref().is_none_or(|state| state.try_send(changed).is_ok());
            log::trace!("the name's key has changed; looked at: {told}");
            return Some(String::new());
        }
        // A subscription to all below the prefix gives nothing else; what is odd is no key, and dropped as such.
        Some(hint.subject.strip_prefix(&self.prefix).unwrap_or_default().to_owned())
    }
}

/// Whether it can be a key: nothing in it that would make a filter match others.
fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 256
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=/".contains(&b))
}
