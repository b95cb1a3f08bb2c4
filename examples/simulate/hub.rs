//! The centre's stream of results: it takes what it is sent, once or twice, answers late or never, and forgets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::luck::Luck;

/// Messages that the stream still knows by their ids.
const REMEMBERED: usize = 400;
/// Messages whose text is kept.
const TEXTS: usize = 6_000;

/// The stream.
#[derive(Default)]
pub(crate) struct Hub {
    /// Stream sequence and number of each message.
    stream: Vec<(u64, u64)>,
    last: u64,
    /// The newest ones, with their texts.
    texts: VecDeque<(u64, u64, Vec<u8>)>,
    /// By number: where the message is that was taken under it last.
    ids: BTreeMap<u64, u64>,
    pub(crate) reachable: bool,
}

/// What the stream says to a message.
pub(crate) enum Taken {
    At(u64),
    /// It was there under the same id.
    Before(u64, Vec<u8>),
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { reachable: true, ..Self::default() }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn take(&mut self, seq: u64, payload: Vec<u8>) -> Taken {
        let known = self.ids.get(&seq).copied();
        let text = known.and_then(|at| self.texts.iter().rev().find(|(of, _, _)| *of == at));
        if let Some((at, _, text)) = text {
            return Taken::Before(*at, text.clone());
        }
        self.last += 1;
        self.stream.push((self.last, seq));
        self.ids.insert(seq, self.last);
        self.texts.push_back((self.last, seq, payload));
        if self.texts.len() > TEXTS {
            self.texts.pop_front();
        }
        if let Some((_, old, _)) = self.texts.len().checked_sub(REMEMBERED).and_then(|at| self.texts.get(at))
        {
            self.ids.remove(old);
        }
        Taken::At(self.last)
    }

    /// Messages beyond a sequence, with their texts.
    pub(crate) fn beyond(&self, sequence: u64) -> Vec<(u64, Vec<u8>)> {
        let beyond = self.texts.iter().filter(|(at, _, _)| *at > sequence);
        beyond.map(|(at, _, text)| (*at, text.clone())).collect()
    }

    /// The numbers that it holds now.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.stream.iter().map(|(_, seq)| *seq).collect()
    }

    /// Made anew, or restored from a backup.
    pub(crate) fn forget(&mut self, luck: &mut Luck) -> String {
        let kept = if luck.one_in(2) { 0 } else { luck.index(self.stream.len() + 1) };
        self.stream.truncate(kept);
        self.last = self.stream.last().map_or(0, |(at, _)| *at);
        self.texts.retain(|(at, _, _)| *at <= self.last);
        self.ids.clear();
        format!("* the stream of results is restored: it ends at {}", self.last)
    }
}
