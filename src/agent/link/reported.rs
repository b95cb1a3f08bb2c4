//! The device's keys in the bucket of reported state: what they shall say, against what they say there. Nothing of it is
//! remembered over a restart of the link: each start reads the keys and puts what differs.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::job::AgentName;
use crate::link::frame::ToLink;

/// Puts on their way at once.
const IN_FLIGHT: usize = 16;
/// Keys that are compared: the verdicts of all jobs, and as many that are gone.
const KEYS: usize = 2 * crate::job::limits::JOBS + 16;

type Hash = [u8; 16];

/// The keys.
#[derive(Debug, Default)]
pub(in super::super) struct Reported {
    /// All own keys were read: puts are welcome.
    ready: bool,
    /// What a key says there, or will when its put is done.
    there: BTreeMap<String, Hash>,
    /// Keys to look at again.
    due: BTreeSet<String>,
    in_flight: BTreeSet<String>,
}

impl Reported {
    /// A link process begins.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether a put may go.
    pub(super) fn wants(&self) -> bool {
        self.ready && !self.due.is_empty() && self.in_flight.len() < IN_FLIGHT
    }

    /// A key of ours.
    pub(super) fn there(&mut self, key: String, value: &[u8]) {
        if self.there.len() < KEYS {
            self.there.insert(key, hash(value));
        }
    }

    /// All were told.
    pub(super) fn end(&mut self) {
        self.ready = true;
    }

    pub(super) fn done(&mut self, key: &str) {
        self.in_flight.remove(key);
    }

    /// All verdicts have to be looked at: `keys` are those that shall be there.
    pub(super) fn look(&mut self, agent: &AgentName, keys: impl IntoIterator<Item = String>) {
        let verdicts = format!("{agent}.");
        let old = self.there.keys().filter(|key| key.starts_with(&verdicts)).cloned();
        self.due.extend(old);
        self.due.extend(keys);
    }

    /// This key has to be looked at.
    pub(super) fn due(&mut self, key: String) {
        self.due.insert(key);
    }

    /// The puts that may go now; `value` says what a key shall say, `None`: it shall be gone.
    pub(super) fn next(&mut self, value: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<ToLink> {
        let mut puts = Vec::new();
        // A key that is on its way waits for its end: puts of one key must not overtake each other.
        let free: Vec<String> = self.due.difference(&self.in_flight).cloned().collect();
        for key in free {
            if !self.ready || self.in_flight.len() >= IN_FLIGHT {
                break;
            }
            self.due.remove(&key);
            let value = value(&key);
            let now = value.as_deref().map(hash);
            if self.there.get(&key).copied() == now {
                continue;
            }
            match now {
                Some(now) => self.there.insert(key.clone(), now),
                None => self.there.remove(&key),
            };
            self.in_flight.insert(key.clone());
            puts.push(ToLink::Put { key, value });
        }
        puts
    }
}

fn hash(value: &[u8]) -> Hash {
    let mut hash = Hash::default();
    for (to, from) in hash.iter_mut().zip(Sha256::digest(value)) {
        *to = from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(puts: &[ToLink]) -> Vec<(String, bool)> {
        let of = |put: &ToLink| match put {
            ToLink::Put { key, value } => (key.clone(), value.is_some()),
            other => panic!("{other:?}"),
        };
        puts.iter().map(of).collect()
    }

    #[test]
    fn only_what_differs_is_put_and_what_is_no_more_is_deleted() {
        let agent: AgentName = "a".parse().unwrap();
        let mut reported = Reported::default();
        reported.there("a".to_owned(), b"heartbeat");
        reported.there("a.same".to_owned(), b"1");
        reported.there("a.old".to_owned(), b"1");
        let value = |key: &str| (key != "a.old").then(|| b"1".to_vec());
        reported.look(&agent, ["a.new".to_owned(), "a.same".to_owned()]);
        assert_eq!(reported.next(value), [], "nothing before all was read");
        reported.end();
        let puts = keys(&reported.next(value));
        assert_eq!(puts, [("a.new".to_owned(), true), ("a.old".to_owned(), false)]);
        reported.look(&agent, ["a.new".to_owned()]);
        assert_eq!(reported.next(value), []);
        // Another verdict waits for the first to arrive.
        let other = |_: &str| Some(b"2".to_vec());
        reported.look(&agent, ["a.new".to_owned()]);
        assert_eq!(keys(&reported.next(other)), [("a.same".to_owned(), true)]);
        reported.done("a.new");
        assert_eq!(keys(&reported.next(other)), [("a.new".to_owned(), true)]);
    }

    #[test]
    fn puts_on_their_way_are_bounded() {
        let agent: AgentName = "a".parse().unwrap();
        let mut reported = Reported::default();
        reported.end();
        reported.look(&agent, (0..100).map(|n| format!("a.{n}")));
        let mut put = 0;
        for _ in 0..100 {
            let puts = keys(&reported.next(|_| Some(Vec::new())));
            assert!(puts.len() <= IN_FLIGHT);
            put += puts.len();
            puts.iter().for_each(|(key, _)| reported.done(key));
        }
        assert_eq!(put, 100);
    }
}
