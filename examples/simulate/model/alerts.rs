//! `on_failure`: told after a final record that is no success and no skip by overlap or pause, once for each, one at a
//! time per job. A crash may lose one.

use leafcron::job::{JobName, Outcome, Reason};
use leafcron::scheduler::Failure;

use super::{Fact, Model};

/// What is known of a failure that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its record was durable: no crash brings another.
    Durably,
    /// The disk refused its record: a restart may judge the fire anew.
    Meanwhile,
}

impl Model {
    /// A job's command is told of a failure, maybe while the disk refuses.
    pub(crate) fn alerts(&mut self, failure: &Failure, refuses: bool) {
        let Failure { key, outcome, reason, attempt, .. } = failure;
        let job = &key.job;
        let quiet = matches!(
            (outcome, reason),
            (Outcome::Succeeded, _) | (Outcome::Skipped, Some(Reason::Overlap | Reason::Paused))
        );
        let durable = self.facts.iter().rev().any(|fact| {
            matches!(fact, Fact::Record(record) if record.last
                && (&record.key, record.outcome, record.reason, record.attempt) == (key, *outcome, *reason, *attempt))
        });
        let told = if durable { Told::Durably } else { Told::Meanwhile };
        let wrong = if quiet {
            Some("which is none")
        } else if !durable && !refuses {
            Some("and no final record says so")
        } else if !self.alerting.insert(job.clone()) {
            Some("while it is still told of another")
        } else if self.alerted.insert(key.clone(), told).is_some() {
            Some("a second time")
        } else {
            None
        };
        if let Some(why) = wrong {
            self.blame(format!("alert: {job} is told of {outcome:?} {reason:?} of {:?}, {why}", key.fire));
        }
    }

    /// It has been told.
    pub(crate) fn alert_over(&mut self, job: &JobName) {
        self.alerting.remove(job);
    }
}
