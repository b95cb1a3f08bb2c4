//! Commands that were taken: they are remembered, so that one that comes twice is done once.

use serde::{Deserialize, Serialize};

use super::fire::CommandId;
use super::limits;
use super::name::JobName;
use super::time::WallTime;

/// By what a command is known when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMark {
    /// Its id.
    pub id: CommandId,
    /// Until when it may come again: the centre's `not_after`. `None`: nobody sends it by himself again.
    pub until: Option<WallTime>,
}

impl From<CommandId> for CommandMark {
    fn from(id: CommandId) -> Self {
        Self { id, until: None }
    }
}

/// A command that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its id.
    pub id: CommandId,
    /// The job that it was for.
    pub job: JobName,
    /// Until when it may come again: [`CommandMark::until`].
    pub until: Option<WallTime>,
}

/// Those that are remembered, oldest first: at most [`limits::COMMAND_IDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered(Vec<Taken>);

impl Remembered {
    /// The command that was taken under this id.
    #[must_use]
    pub fn find(&self, id: &CommandId) -> Option<&Taken> {
        self.0.iter().find(|taken| taken.id == *id)
    }

    /// Whether one more can be remembered at this time without forgetting one that may come again.
    #[must_use]
    pub fn has_room(&self, now: WallTime) -> bool {
        self.0.len() < limits::COMMAND_IDS || self.0.iter().any(|taken| taken.until < Some(now))
    }

    /// Remembers one more; when there are too many, the one that may come again for the shortest time is forgotten.
    pub fn remember(&mut self, taken: Taken) {
        if self.find(&taken.id).is_some() {
            return;
        }
        let first = self.0.iter().enumerate().min_by_key(|(_, taken)| taken.until).map(|(at, _)| at);
        if let Some(first) = first.filter(|_| self.0.len() >= limits::COMMAND_IDS) {
            self.0.remove(first);
        }
        self.0.push(taken);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(number: usize, until: Option<i64>) -> Taken {
        let id = format!("c{number}").parse().unwrap();
        Taken { id, job: "a".parse().unwrap(), until: until.map(WallTime::from_secs) }
    }

    #[test]
    fn what_may_come_again_is_remembered_longest() {
        let mut remembered = Remembered::default();
        remembered.remember(taken(0, Some(50)));
        remembered.remember(taken(1, None));
        (2..limits::COMMAND_IDS).for_each(|number| remembered.remember(taken(number, Some(100))));
        assert!(remembered.has_room(WallTime::default()), "nobody sends c1 again");
        remembered.remember(taken(1_000, Some(90)));
        assert_eq!((remembered.count(), remembered.find(&taken(1, None).id)), (limits::COMMAND_IDS, None));
        // All may come again: the oldest is not given up for a newer one.
        assert!(!remembered.has_room(WallTime::from_secs(50)));
        assert!(remembered.has_room(WallTime::from_secs(51)));
        remembered.remember(taken(1_001, Some(100)));
        assert_eq!(remembered.find(&taken(0, None).id), None);
        // Twice is once.
        remembered.remember(taken(1_001, Some(7)));
        assert_eq!(remembered.find(&taken(1_001, None).id), Some(&taken(1_001, Some(100))));
        assert_eq!(remembered.count(), limits::COMMAND_IDS);
    }
}
