//! The fixed delay that keeps a fleet from starting all at once: the same on a device for ever, spread over devices.
//!
//! Source: SipHash (Aumasson, Bernstein 2012), with 1 and 3 rounds; systemd.timer(5), FixedRandomDelay.

use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher13;

use crate::job::{AgentName, JobName};

/// How long after its due instant a fire of `job` starts: whole seconds, less than `splay`, and less than the `gap` to
/// the job's next fire, so that order is never inverted. `None`: there is no next fire.
#[must_use]
pub fn splay(agent: &AgentName, job: &JobName, splay: Duration, gap: Option<Duration>) -> Duration {
    let range = gap.map_or(splay, |gap| gap.min(splay)).as_secs();
    match hash(agent.as_str(), job.as_str()).checked_rem(range) {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::ZERO,
    }
}

fn hash(agent: &str, job: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(agent.as_bytes());
    hasher.write(&[0]);
    hasher.write(job.as_bytes());
    hasher.finish()
}
