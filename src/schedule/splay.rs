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

#[cfg(test)]
mod tests {
    use super::*;

    // Of `pi-01 \0 backup` and `a \0 b`, by a page of Python written from the paper, which also gives the paper's own
    // SipHash-2-4 value 0xa129ca6149be45e5 for its key and the bytes 0 to 14.
    const PI_BACKUP: u64 = 0x0783_a644_43be_275b;
    const A_B: u64 = 0xdc6e_953a_4a09_cb85;

    const MINUTE: Duration = Duration::from_secs(60);

    fn name(text: &str) -> AgentName {
        text.parse().unwrap()
    }

    #[test]
    fn the_hash_is_siphash_1_3_with_a_zero_key() {
        assert_eq!(hash("pi-01", "backup"), PI_BACKUP);
        assert_eq!(hash("a", "b"), A_B);
        // Whole words and a rest of every kind; the longest names.
        assert_eq!(hash("-", "-"), 0x6efe_287e_f817_53c9);
        assert_eq!(hash("kitchen_7", "log-rotate"), 0x8945_1b42_5159_7070);
        assert_eq!(hash(&"A".repeat(64), &"z".repeat(64)), 0xc42f_49e8_2d11_fb46);
    }

    #[test]
    fn a_delay_is_fixed_whole_and_below_its_bounds() {
        let (agent, hour) = (name("pi-01"), Duration::from_secs(3_600));
        let delay = splay(&agent, &name("backup"), hour, None);
        assert_eq!(delay.as_secs(), PI_BACKUP % 3_600);
        assert_eq!(delay, splay(&agent, &name("backup"), hour, Some(2 * hour)));
        assert_eq!(splay(&agent, &name("backup"), hour, Some(MINUTE)).as_secs(), PI_BACKUP % 60);
        assert_ne!(delay, splay(&agent, &name("other"), hour, None));
        // The NUL keeps the two names apart.
        assert_ne!(splay(&name("ab"), &name("c"), hour, None), splay(&name("a"), &name("bc"), hour, None));
    }

    #[test]
    fn no_room_is_no_delay() {
        let (agent, job) = (name("pi-01"), name("backup"));
        assert_eq!(splay(&agent, &job, Duration::ZERO, None), Duration::ZERO);
        assert_eq!(splay(&agent, &job, MINUTE, Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(splay(&agent, &job, Duration::from_millis(999), None), Duration::ZERO);
        assert_eq!(splay(&agent, &job, MINUTE, Some(Duration::from_secs(1))), Duration::ZERO);
    }
}
