//! Definitions from the centre, through the catalog, to the core.

use super::super::Agent;
use crate::catalog::Text;
use crate::job::{JobName, Name, RefusalKind, Reply};
use crate::link::frame::{FromLink, KeyValue};

impl Agent {
    /// A part of a snapshot, or a key that a hint pointed at.
    pub(super) fn defined(&mut self, frame: FromLink) {
        let Some(process) = self.link.as_mut().and_then(|link| link.process.as_mut()) else { return };
        // What the disk does not take is held in memory meanwhile: definitions from afar can wait.
        if self.disk_again.is_some() && !process.deaf {
            log::warn!("definitions of the centre are passed over while the disk takes nothing");
            process.deaf = true;
            self.catalog.abort_snapshot();
        }
        if process.deaf {
            return;
        }
        let changes = match frame {
            FromLink::Snapshot { id, sequence } => {
                // An id that is no name is none of ours: it proves nothing.
                let id = id.and_then(|id| id.parse::<Name>().ok());
                return self.catalog.begin_snapshot(id, sequence);
            }
            FromLink::Key { key, sequence, value } => {
                let text = match &value {
                    KeyValue::Bytes(bytes) => Text::Bytes(bytes),
                    KeyValue::Deleted => Text::Deleted,
                    KeyValue::TooLarge(bytes) => Text::TooLarge(*bytes),
                };
                self.catalog.load_key(&self.config.agent, &key, sequence, text)
            }
            FromLink::SnapshotEnd => self.catalog.end_snapshot(),
            _ => return,
        };
        self.bulky |= !changes.entries.is_empty();
        self.note_refusals(&[], &changes.rejected);
        self.bring_in_force(&changes);
    }

    /// The disk takes entries again: a fresh link reads anew what was passed over.
    pub(in super::super) fn hear_again(&mut self) {
        let process = self.link.as_mut().and_then(|link| link.process.as_mut());
        if let Some(process) = process.filter(|process| process.deaf) {
            process.kill("it has to read the definitions again".to_owned());
        }
    }

    /// `leafcron remove`: an orphan goes.
    pub(in super::super) fn remove_orphan(&mut self, job: &JobName) -> Reply {
        match self.catalog.remove_orphan(job) {
            Ok(changes) => {
                self.bring_in_force(&changes);
                Reply::Done { message: format!("{job} is removed") }
            }
            Err(why) => super::super::answer::refused(RefusalKind::Conflict, why.as_str()),
        }
    }
}
