//! A new epoch while the agent lives: the stream holds other facts under our numbers, so this journal is a restored copy,
//! or another has the same one. Nothing is sent until the new epoch is durable; see `store/takeover.rs`.
//!
//! ```text
//!   results: conflict ─▶ no batch under way ─▶ writer: Renew ─▶ Renewed: numbers, events, a pump and a link of the new epoch
//! ```
//! Between order and answer no batch is handed over, and acknowledgements of the old epoch that wait are forgotten: in the
//! new one they would mean other facts.

use super::begin::fresh_epoch;
use super::{Agent, DISK_AGAIN, chain};
use crate::job::Now;
use crate::store::{Outbox, RealDisk, Renewal, Renewed};

impl Agent {
    /// Asks for a new epoch if there has to be one; whether that is under way.
    pub(super) fn renew(&mut self, now: Now) -> bool {
        let conflict = self.link.as_ref().and_then(|link| link.results.renewal());
        let Some((why, delivered)) = conflict.filter(|_| !self.turns.is_committing()) else { return false };
        let needed = fresh_epoch().map_err(|error| format!("read random bits: {error}")).and_then(|epoch| {
            let disk = RealDisk::open(&self.config.state_dir);
            Ok((epoch, disk.map_err(|error| format!("open the state directory: {}", chain(&error)))?))
        });
        let (epoch, disk) = match needed {
            Ok(needed) => needed,
            Err(why) => {
                self.renew_later(&why);
                return false;
            }
        };
        self.turns.forget_acks();
        self.renewing = self.writer.renew(Renewal { epoch, why, delivered, now }).then_some(disk);
        self.renewing.is_some()
    }

    /// The journal has answered.
    pub(super) fn renewed(&mut self, renewed: Result<Box<Renewed>, String>) {
        let Some(disk) = self.renewing.take() else { return };
        match renewed {
            Ok(renewed) => {
                let Renewed { epoch, next_seq, acked, recent } = *renewed;
                log::error!("epoch {epoch} takes over from epoch {}", self.epoch);
                self.epoch = epoch;
                self.recent = recent.into();
                if let Some(link) = &mut self.link {
                    link.renew(Outbox::new(disk, epoch), acked, next_seq.saturating_sub(1));
                }
            }
            Err(why) => self.renew_later(&why),
        }
    }

    fn renew_later(&mut self, why: &str) {
        log::error!("a new epoch cannot be begun: {why}; again in {DISK_AGAIN:?}");
        self.disk_again = Some(self.now().boot.plus(DISK_AGAIN));
    }
}
