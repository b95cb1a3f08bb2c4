//! Eras: which numbering of due instants the wall clock counts by (DESIGN section 5, "The clock").
//!
//! ```text
//!  main 1 ──▶ time ──▶ ·  it had been wrong  · main 4 ──▶
//!               │      ▲                                     implausible: the main era stands still, and goes on
//!               ▼      │                                     where it stood once the clock is plausible again
//!            provisional 2, 3: one for each boot whose clock is implausible
//! ```
//! A due instant is unique within its era: the same instant of another era is another fire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Missed};
use super::fire::BootId;
use super::image::{Image, Progress};
use super::name::JobName;
use super::time::WallTime;

/// The era of a device whose clock has never been found wrong.
const FIRST: u32 = 1;

/// Which era counts: an entry whenever that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eras {
    /// The main era.
    pub main: u32,
    /// The one that counts while the clock is implausible.
    pub provisional: Option<Provisional>,
    /// The largest number given out: one counter for both kinds.
    pub last: u32,
    /// Where the era that counts from now on begins, or goes on.
    pub at: WallTime,
    /// Up to where the era was lived that counted before; `None`: nobody knows, the machine was off since.
    pub until: Option<WallTime>,
    /// The newest time of the main era; `None`: it has none yet.
    pub newest: Option<WallTime>,
}

/// The era of a boot whose clock is implausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisional {
    /// Its number.
    pub era: u32,
    /// Its boot: another one has its own.
    pub boot: BootId,
}

/// How far a job's fires are accounted for in the provisional era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provisionally {
    /// Every fire up to here is.
    pub done_through: WallTime,
    /// Its definition was accepted meanwhile: it begins in the main era when that goes on.
    pub anew: bool,
}

impl Default for Eras {
    fn default() -> Self {
        let at = WallTime::default();
        Self { main: FIRST, provisional: None, last: FIRST, at, until: None, newest: None }
    }
}

impl Provisionally {
    /// The entry that says so of a job, after the one that began the era.
    pub(super) fn entry(self, job: &JobName, era: u32) -> Entry {
        let (job, to) = (job.clone(), self.done_through);
        if self.anew {
            Entry::Began { job, era, at: to }
        } else {
            // A range that holds nothing: all before its end is accounted for.
            Entry::Missed(Missed { job, era, after: to, to })
        }
    }
}

impl Eras {
    /// Where a definition begins that was accepted before this era counted: never before what was lived of it, since a
    /// job of that name may have fired by then.
    #[must_use]
    pub fn begins(&self) -> WallTime {
        self.newest.unwrap_or(self.at).max(self.at)
    }

    /// The era in which fires fall due.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.provisional.map_or(self.main, |provisional| provisional.era)
    }
}

impl Image {
    /// Another era counts, or the main one again.
    pub(super) fn turn_to(&mut self, next: &Eras) {
        let old = core::mem::replace(&mut self.eras, Eras { newest: None, ..next.clone() });
        self.newest = next.newest;
        let main = |done_through| Progress { era: next.main, done_through };
        let before = core::mem::take(&mut self.provisional);
        let anew = |job: &JobName| before.get(job).is_some_and(|of| of.anew);
        if next.main != old.main {
            let jobs = core::mem::take(&mut self.progress).into_keys().chain(before.into_keys());
            self.progress = jobs.map(|job| (job, main(next.at))).collect();
        } else if next.provisional.is_some() {
            let jobs = self.progress.keys().chain(before.keys());
            let begin =
                |job: &JobName| (job.clone(), Provisionally { done_through: next.at, anew: anew(job) });
            self.provisional = jobs.map(begin).collect::<BTreeMap<_, _>>();
        } else {
            for job in before.iter().filter(|(_, of)| of.anew).map(|(job, _)| job) {
                let progress = self.progress.entry(job.clone()).or_insert(main(next.begins()));
                progress.done_through = progress.done_through.max(next.begins());
            }
        }
    }

    /// A schedule begins in an era; of one that is over nothing is owed any more.
    pub(super) fn begin(&mut self, job: &JobName, era: u32, at: WallTime) {
        if era == self.eras.main {
            self.newest = self.newest.max(Some(at));
            self.progress.insert(job.clone(), Progress { era, done_through: at });
        } else if era == self.eras.current() {
            self.provisional.insert(job.clone(), Provisionally { done_through: at, anew: true });
        }
    }

    /// A fire is accounted for.
    pub(super) fn account(&mut self, job: &JobName, era: u32, to: WallTime) {
        if era == self.eras.main {
            self.newest = self.newest.max(Some(to));
            let progress = self.progress.entry(job.clone()).or_insert(Progress { era, done_through: to });
            progress.done_through = progress.done_through.max(to);
        } else if era == self.eras.current() {
            let fresh = Provisionally { done_through: to, anew: false };
            let progress = self.provisional.entry(job.clone()).or_insert(fresh);
            progress.done_through = progress.done_through.max(to);
        }
    }

    /// Whether anything is known of how far a job's fires are accounted for.
    pub(super) fn knows(&self, job: &JobName) -> bool {
        self.progress.contains_key(job) || self.provisional.contains_key(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, DeviceEvent, EventKind, Id128};

    const BOOT: BootId = Id128([7; 16]);

    fn at(minute: i64) -> WallTime {
        WallTime::from_secs(60 * minute)
    }

    fn name(text: &str) -> JobName {
        text.parse().unwrap()
    }

    fn began(job: &str, era: u32, minute: i64) -> Entry {
        Entry::Began { job: name(job), era, at: at(minute) }
    }

    fn event(minute: i64) -> Entry {
        Entry::Event(DeviceEvent { at: at(minute), clock: Clock::Unsynced, kind: EventKind::Stopped })
    }

    fn eras(main: u32, provisional: Option<u32>, minute: i64, newest: i64) -> Entry {
        let provisional = provisional.map(|era| Provisional { era, boot: BOOT });
        let last = provisional.map_or(main, |provisional| provisional.era).max(main);
        Entry::Eras(Eras { main, provisional, last, at: at(minute), until: None, newest: Some(at(newest)) })
    }

    fn image(entries: impl IntoIterator<Item = Entry>) -> Image {
        let mut image = Image::default();
        for entry in entries {
            image.apply(&entry);
            let mut again = Image::default();
            image.entries().for_each(|entry| again.apply(&entry));
            // What `Base` says of a segment, and no entry.
            again.newest = image.newest;
            assert_eq!(again, image, "after {entry:?}");
        }
        image
    }

    fn moved(job: &str, era: u32, minute: i64) -> Entry {
        Entry::Missed(Missed { job: name(job), era, after: at(minute), to: at(minute) })
    }

    #[test]
    fn the_main_era_stands_still_while_a_provisional_one_counts() {
        let image = image([
            began("a", 1, 1_000),
            began("b", 1, 1_000),
            event(1_010),
            eras(1, Some(2), 5, 1_010),
            event(6),
            event(1_000_000),
            moved("a", 2, 7),
            began("new", 2, 8),
            began("b", 2, 9),
        ]);
        assert_eq!(image.newest, Some(at(1_010)), "an implausible clock says nothing");
        assert_eq!(image.progress[&name("a")].done_through, at(1_000));
        let of = |job| (image.provisional[&name(job)].done_through, image.provisional[&name(job)].anew);
        assert_eq!((of("a"), of("new"), of("b")), ((at(7), false), (at(8), true), (at(9), true)));
        assert!(!image.progress.contains_key(&name("new")));
    }

    #[test]
    fn the_main_era_goes_on_where_it_stood_and_begins_for_what_was_accepted_meanwhile() {
        let image = image([
            began("a", 1, 1_000),
            began("b", 1, 1_000),
            began("c", 1, 2_050),
            eras(1, Some(2), 5, 2_050),
            began("new", 2, 8),
            began("b", 2, 9),
            // Another boot, and its clock is no better.
            eras(1, Some(3), 6, 2_050),
            // A little behind what was lived before: nothing of that comes again.
            eras(1, None, 2_000, 2_050),
            event(2_060),
        ]);
        let of = |job: &str| image.progress[&name(job)];
        assert_eq!(of("a"), Progress { era: 1, done_through: at(1_000) });
        assert_eq!((of("new"), of("b")), (of("c"), Progress { era: 1, done_through: at(2_050) }));
        assert!(image.provisional.is_empty());
        assert_eq!((image.newest, image.eras.last), (Some(at(2_060)), 1));
    }

    #[test]
    fn a_new_main_era_begins_for_every_job_and_forgets_how_far_the_old_one_was() {
        let image = image([
            began("a", 1, 9_000),
            event(9_010),
            eras(1, Some(2), 5, 9_010),
            began("new", 2, 8),
            eras(3, None, 2_000, 2_000),
            moved("a", 1, 9_999),
            moved("new", 2, 9_999),
        ]);
        let progress = Progress { era: 3, done_through: at(2_000) };
        assert_eq!((image.progress[&name("a")], image.progress[&name("new")]), (progress, progress));
        assert_eq!(image.newest, Some(at(2_000)));
    }
}
