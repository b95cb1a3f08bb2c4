//! What the core needs of a definition. Most jobs of a device share one policy, so it is shared in memory too.

use core::time::Duration;
use std::rc::Rc;

use crate::job::{
    CatchUp, CronJob, OnInterrupt, Otherwise, Overlap, Require, Retry, Revision, Unrecorded, limits,
};
use crate::schedule::Calendar;

/// A definition as the core sees it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When.
    pub calendar: Calendar,
    /// Which definition.
    pub revision: Revision,
    /// How the core treats its fires.
    pub policy: Rc<Policy>,
}

/// The fields of a CronJob that decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(super) enabled: bool,
    pub(super) splay: Duration,
    pub(super) warn_after: Option<Duration>,
    /// By then its timeout and its grace are over, and KILL had a minute; `None`: it may run for ever.
    pub(super) ends_within: Option<Duration>,
    /// The same of a run that is told to stop.
    pub(super) stops_within: Option<Duration>,
    pub(super) overlap: Overlap,
    pub(super) catch_up: CatchUp,
    pub(super) deadline: Option<Duration>,
    pub(super) on_interrupt: OnInterrupt,
    pub(super) retry: Retry,
    pub(super) success_exit_codes: Vec<u8>,
    pub(super) priority: i8,
    pub(super) hold: Duration,
    pub(super) otherwise: Otherwise,
    pub(super) unrecorded: Unrecorded,
    pub(super) require: Require,
    /// Whether it has a command that is told of failures.
    pub(super) on_failure: bool,
}

impl Plan {
    /// The plan of a definition.
    #[must_use]
    pub fn new(cronjob: &CronJob, calendar: Calendar, revision: Revision) -> Self {
        let stops_within = cronjob.stop_grace.map(|grace| grace + limits::KILL_WORKS);
        let policy = Policy {
            enabled: cronjob.enabled,
            splay: cronjob.splay,
            warn_after: cronjob.warn_after,
            ends_within: Option::zip(cronjob.timeout, stops_within).map(|(timeout, stop)| timeout + stop),
            stops_within,
            overlap: cronjob.overlap,
            catch_up: cronjob.catch_up,
            deadline: cronjob.deadline,
            on_interrupt: cronjob.on_interrupt,
            retry: cronjob.retry,
            success_exit_codes: cronjob.success_exit_codes.clone(),
            priority: cronjob.priority,
            hold: cronjob.hold,
            otherwise: cronjob.otherwise,
            unrecorded: cronjob.unrecorded,
            require: cronjob.require.clone(),
            on_failure: cronjob.on_failure.is_some(),
        };
        Self { calendar, revision, policy: Rc::new(policy) }
    }

    /// Whether a change from `self` to `other` lets the schedule begin anew.
    pub(super) fn same_schedule(&self, other: &Self) -> bool {
        self.calendar == other.calendar && self.policy.enabled == other.policy.enabled
    }
}

impl Policy {
    /// Starts that a fire may have in all, when it was interrupted.
    pub(super) fn rerun_starts(&self) -> u8 {
        self.retry.attempts.max(limits::RERUN_STARTS)
    }
}
