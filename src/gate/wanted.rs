//! Which readings a set of requirements needs, so that one look at the machine serves them all.

use std::collections::BTreeSet;

use crate::job::{Require, Resource};

/// The readings that are needed; the union of what has been added. The clock and the `check` are none: who judges knows
/// the one and runs the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub(super) resources: BTreeSet<Resource>,
    pub(super) disk_available: BTreeSet<String>,
}

impl Wanted {
    /// Whether nothing has to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `require` needs.
    pub fn add(&mut self, require: &Require) {
        self.resources.extend(require.resources());
        for floor in &require.disk_available {
            if !self.disk_available.contains(&floor.path) {
                self.disk_available.insert(floor.path.clone());
            }
        }
    }

    /// Whether readings of this can judge `require`.
    #[must_use]
    pub fn serves(&self, require: &Require) -> bool {
        require.resources().all(|resource| self.resources.contains(&resource))
            && require.disk_available.iter().all(|floor| self.disk_available.contains(&floor.path))
    }

    /// The paths, of which each may hang; the rest is read at once.
    #[must_use]
    pub fn split_paths(mut self) -> (Self, Self) {
        let disk_available = core::mem::take(&mut self.disk_available);
        (self, Self { disk_available, ..Self::default() })
    }

    /// The paths that are wanted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.disk_available.iter().map(String::as_str)
    }

    /// Everything that needs no path: what `status` shows of the machine.
    #[must_use]
    pub fn machine() -> Self {
        Self { resources: Resource::ALL.into(), disk_available: BTreeSet::new() }
    }

    /// The same but for what leaves a trace: to read the firmware's flags makes the kernel warn.
    #[must_use]
    pub fn quietly(mut self) -> Self {
        self.resources.remove(&Resource::Throttled);
        self
    }
}

impl<'a> FromIterator<&'a Require> for Wanted {
    fn from_iter<I: IntoIterator<Item = &'a Require>>(requires: I) -> Self {
        let mut wanted = Self::default();
        requires.into_iter().for_each(|require| wanted.add(require));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, DiskFloor, Power};

    #[test]
    fn it_is_the_union_and_each_path_is_there_once() {
        let floor = |path: &str, at_least| DiskFloor { path: path.to_owned(), at_least };
        let requires = [
            Require { memory_available: Some(1), power: Some(Power::Mains), ..Require::default() },
            Require { disk_available: vec![floor("/var", 1), floor("/", 2)], ..Require::default() },
            Require { disk_available: vec![floor("/var", 9)], ..Require::default() },
            Require { check: Some("true".to_owned()), clock: Some(Clock::Synced), ..Require::default() },
        ];
        let wanted: Wanted = requires.iter().collect();
        assert_eq!(wanted.resources, [Resource::MemoryAvailable, Resource::Power].into());
        assert_eq!(wanted.disk_available.iter().map(String::as_str).collect::<Vec<_>>(), ["/", "/var"]);
        assert!(requires[3..].iter().collect::<Wanted>().is_empty());
        assert!(requires.iter().all(|require| wanted.serves(require)));
        assert!(!Wanted::machine().serves(&requires[1]) && Wanted::machine().serves(&requires[0]));
    }
}
