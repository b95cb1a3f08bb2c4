//! Another machine has this journal, from a cloned card, say, or the centre has other facts under its numbers, since it
//! is a restored copy: two journals must not give the same numbers to different facts. So it goes on in a new epoch, which
//! takes over what the centre does not have.
//!
//! ```text
//!  old numbers     1 … acked through    … last
//!                  └──────┬───────┘     └──┬─┘
//!  new numbers            0             2, 3, …      1: the event that names the old epoch and its last number
//! ```
//! What the centre has under the old epoch stays as history, under no number (0), and is not sent again.

use std::collections::BTreeSet;
use std::io;

use super::disk::DiskFile;
use super::frame::Unreadable;
use super::recover::{Live, Recent};
use super::replay::replay;
use crate::job::{DeviceEvent, Entry, Epoch, EventKind, Id128, Now};

/// What of the old epoch the centre has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// All up to this number.
    pub through: u64,
    /// And these, of a window that had gaps.
    pub beyond: BTreeSet<u64>,
}

/// A new epoch that a running journal is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// 128 random bits.
    pub epoch: Epoch,
    /// Why the old one ends.
    pub why: String,
    /// What is not taken over.
    pub delivered: Delivered,
    /// When it begins.
    pub now: Now,
}

/// A new epoch that no segment holds yet.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    /// What the centre has under the old numbers.
    pub(super) delivered: Delivered,
    /// The first fact of the new epoch.
    pub(super) event: DeviceEvent,
    /// What follows the last fact taken over.
    pub(super) next_seq: u64,
}

/// Whether the epoch of a journal that was bound to one machine belongs to another than this one, which goes by these
/// names. Who has no name is taken for the same.
pub(super) fn is_anothers(bound: Id128, names: &[Id128]) -> bool {
    bound != Id128::default() && !names.is_empty() && !names.contains(&bound)
}

impl Takeover {
    /// Numbers what `live` holds anew; all of it is synced. `recent` are then the events of the new epoch; nothing is
    /// written.
    pub(super) fn begin<F: DiskFile>(
        live: &mut Live<F>,
        recent: &mut Recent,
        delivered: Delivered,
        why: String,
        now: Now,
    ) -> io::Result<Self> {
        let last_seq = live.synced_seq.saturating_sub(1);
        let kind = EventKind::NewEpoch { old_epoch: live.header.epoch, last_seq, why };
        let mut takeover =
            Self { delivered, event: DeviceEvent { at: now.wall, clock: now.clock, kind }, next_seq: 2 };
        *recent = Recent::default();
        let mut numbers = takeover.numbers();
        let mut told = Some(Entry::Event(takeover.event.clone()));
        replay(&live.file, &live.header, live.len, Unreadable::Skip, |seq, fact| {
            let seq = numbers.of(seq);
            if seq > 1
                && let Some(event) = told.take()
            {
                recent.see(1, &event);
            }
            recent.see(seq, &fact);
        })?;
        if let Some(event) = told {
            recent.see(1, &event);
        }
        takeover.next_seq = numbers.next;
        live.synced_seq = takeover.next_seq;
        live.sound = false;
        Ok(takeover)
    }

    pub(super) fn numbers(&self) -> Numbers<'_> {
        Numbers { delivered: &self.delivered, next: 2 }
    }

    /// The epoch that it follows.
    pub(super) fn old_epoch(&self) -> Option<Epoch> {
        match self.event.kind {
            EventKind::NewEpoch { old_epoch, .. } => Some(old_epoch),
            _ => None,
        }
    }
}

/// New numbers for old ones, in their order.
pub(super) struct Numbers<'a> {
    delivered: &'a Delivered,
    next: u64,
}

impl Numbers<'_> {
    pub(super) fn of(&mut self, seq: u64) -> u64 {
        if seq <= self.delivered.through || self.delivered.beyond.contains(&seq) {
            return 0;
        }
        let number = self.next;
        self.next += 1;
        number
    }
}

/// A fact under its new number: ranges of old numbers in it mean nothing any more.
pub(super) fn renumbered(mut fact: Entry) -> Entry {
    if let Entry::Event(event) = &mut fact {
        without_numbers(&mut event.kind);
    }
    fact
}

/// Leaves out numbers of another epoch.
pub(super) fn without_numbers(kind: &mut EventKind) {
    if let EventKind::Dropped { from, to, .. } | EventKind::Damaged { from, to, .. } = kind {
        (*from, *to) = (0, 0);
    }
}
