//! Two live devices of one name: which of them this one is, and that it was said.

use std::collections::BTreeSet;

use super::{Agent, Link, WARNINGS};
use crate::job::{Epoch, EventKind};
use crate::link::frame::{Naming, Phase};

/// What was heard of others of this name.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Why neither definitions nor commands are taken: one of them had the name first.
    trouble: Option<String>,
    /// Those of whom an event tells, each once in an agent's life.
    told: BTreeSet<(Epoch, bool)>,
}

impl Others {
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// A process begins: it asks anew.
    pub(super) fn begin(&mut self) {
        self.trouble = None;
    }

    /// The event that tells it, if none did.
    fn tell(&mut self, other_epoch: Epoch, newcomer: bool) -> Option<EventKind> {
        let new = self.told.len() < WARNINGS && self.told.insert((other_epoch, newcomer));
        new.then_some(EventKind::DuplicateAgent { other_epoch, newcomer })
    }
}

impl Agent {
    /// Whose the name is.
    pub(super) fn named(&mut self, naming: Naming) {
        let Some(link) = &mut self.link else { return };
        let agent = &self.config.agent;
        let told = match naming {
            Naming::Ours => {
                link.others.begin();
                None
            }
            Naming::Theirs { epoch } => {
                let trouble = format!(
                    "another live device is called {agent} too, and was so first (epoch {epoch}): no definitions and no commands are taken, results still flow; give one of them another name (`agent` in leafcrond.toml)"
                );
                if link.others.trouble.as_ref() != Some(&trouble) {
                    log::error!("{trouble}");
                }
                link.others.trouble = Some(trouble);
                if let Some(process) = &mut link.process {
                    // They do not begin at all.
                    process.settles(Phase::Definitions);
                    process.settles(Phase::State);
                }
                link.others.tell(epoch, true)
            }
            Naming::Challenged { epoch } => {
                link.warn(format!(
                    "another live device is called {agent} too, and came later (epoch {epoch}): it takes no definitions and no commands; give one of them another name"
                ));
                link.others.tell(epoch, false)
            }
        };
        if let Some(event) = told {
            self.note(event);
        }
    }
}

impl Link {
    /// Something that is wrong as long as this process lives; said once.
    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            log::warn!("{warning}");
            self.warnings.push(warning);
        }
    }
}
