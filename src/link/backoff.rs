//! When the next link process is started, and what it leaves out. Pure.

use core::time::Duration;
use std::collections::BTreeMap;

use super::frame::Phase;
use super::haste::hastened;
use crate::job::BootTime;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(600);
/// A fault that trying again cannot mend is tried again no sooner.
const LASTING: Duration = Duration::from_secs(60);
/// Of a process that was well for so long the past is forgotten.
const HEALTH: Duration = Duration::from_secs(60);
/// So many ends in one phase, without health in between,
const ENDS: u32 = 3;
/// and it is left out for so long.
const LEFT_OUT: Duration = Duration::from_secs(600);

/// The memory of ends.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    ends: BTreeMap<Phase, u32>,
    left_out: BTreeMap<Phase, BootTime>,
}

impl Backoff {
    /// A process has ended, or could not be started; `up` is how long it was well. Answers how long to wait: half of it is
    /// chance, by `jitter`, so that a thousand devices do not come back in one moment.
    pub fn exited(
        &mut self,
        now: BootTime,
        up: Option<Duration>,
        phase: Phase,
        lasting: bool,
        jitter: u64,
    ) -> Duration {
        if up.is_some_and(|up| up >= HEALTH) {
            self.failures = 0;
            self.ends.clear();
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let base = if lasting { doubled.max(LASTING) } else { doubled }.min(LONGEST);
        // Without a server there is nothing to leave out.
        if phase != Phase::Connect {
            let ends = self.ends.entry(phase).or_default();
            *ends += 1;
            if *ends >= ENDS {
                *ends = 0;
                self.left_out.insert(phase, now.plus(hastened(LEFT_OUT)));
                self.failures = 0;
            }
        }
        let half = base / 2;
        let chance = u32::try_from(jitter % 1_001).unwrap_or(0);
        half + half * chance / 1_000
    }

    /// What a process that starts now leaves out.
    #[must_use]
    pub fn left_out(&self, now: BootTime) -> Vec<Phase> {
        self.left_out.iter().filter(|(_, until)| now < **until).map(|(phase, _)| *phase).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1_000;

    fn at(secs: u64) -> BootTime {
        BootTime::from_millis(secs * 1_000)
    }

    #[test]
    fn waits_double_from_a_quarter_of_a_second_to_ten_minutes_and_health_begins_anew() {
        let mut backoff = Backoff::default();
        let mut end = |up, jitter| backoff.exited(at(0), up, Phase::Connect, false, jitter);
        assert_eq!(end(None, MOST), Duration::from_millis(250));
        assert_eq!(end(None, MOST), Duration::from_millis(500));
        assert_eq!(end(None, 0), Duration::from_millis(500), "half of a second is chance");
        for _ in 0..40 {
            assert!(end(None, MOST) <= LONGEST);
        }
        assert_eq!(end(None, MOST), LONGEST);
        assert_eq!(end(Some(Duration::from_secs(59)), MOST), LONGEST);
        assert_eq!(end(Some(HEALTH), MOST), Duration::from_millis(250));
    }

    #[test]
    fn what_cannot_be_mended_by_trying_is_tried_slowly() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.exited(at(0), None, Phase::Connect, true, MOST), LASTING);
    }

    #[test]
    fn three_ends_in_one_phase_leave_it_out_for_ten_minutes() {
        let mut backoff = Backoff::default();
        let end = |backoff: &mut Backoff, phase| {
            backoff.exited(at(5), None, phase, false, 0);
            backoff.left_out(at(5))
        };
        assert_eq!(end(&mut backoff, Phase::Results), []);
        assert_eq!(end(&mut backoff, Phase::Definitions), []);
        assert_eq!(end(&mut backoff, Phase::Results), []);
        assert_eq!(end(&mut backoff, Phase::Results), [Phase::Results]);
        assert_eq!(backoff.left_out(at(5 + 599)), [Phase::Results]);
        assert_eq!(backoff.left_out(at(5 + 600)), []);
        // Not to reach a server is no phase's fault.
        for _ in 0..9 {
            assert_eq!(end(&mut backoff, Phase::Connect), [Phase::Results]);
        }
    }
}
