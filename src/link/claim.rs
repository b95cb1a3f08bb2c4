//! Whose a device's name is at the centre. Pure.
//!
//! Each message of the heartbeat's key says in a header who wrote it, and from which sequence of the bucket on it has the
//! name. The key is written only over the message that was seen there, so that of two who come at once one is first. Who
//! finds another's claim writes its own, which is later, and waits for an answer: an older claim that is written over it.
//! Nobody answers for a device that is no more.

use core::fmt;
use core::str::FromStr;

use crate::job::Epoch;

/// The header of a heartbeat.
pub(super) const HEADER: &str = "Leafcron-Claim";

/// Who has the name, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Whose journal.
    pub(super) epoch: Epoch,
    /// The sequence of the key's message that was there before it.
    pub(super) since: u64,
}

/// What a claim that stands there is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody's.
    Free,
    /// Our own, since then.
    Ours(u64),
    /// Of another who came later than we did.
    Younger(Epoch),
    /// Of another who was there before.
    Older(Epoch),
}

impl Claim {
    /// What `there` is to the claimant `epoch`, which has the name since then; `None`: not yet.
    pub(super) fn judge(there: Option<Self>, epoch: Epoch, since: Option<u64>) -> Standing {
        match there {
            None => Standing::Free,
            Some(there) if there.epoch == epoch => Standing::Ours(there.since),
            Some(there) if since.is_some_and(|since| since < there.since) => Standing::Younger(there.epoch),
            Some(there) => Standing::Older(there.epoch),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.epoch, self.since)
    }
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, since) = text.split_once(' ').ok_or("a claim is an epoch and a sequence")?;
        Ok(Self { epoch: epoch.parse()?, since: since.parse().map_err(|_| "a sequence is a number")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Id128;

    const ME: Epoch = Id128([1; 16]);
    const OTHER: Epoch = Id128([2; 16]);

    #[test]
    fn a_claim_is_read_as_it_was_written_and_a_hostile_one_is_none() {
        let claim = Claim { epoch: OTHER, since: 17 };
        assert_eq!(claim.to_string().parse(), Ok(claim));
        for bad in
            ["", " ", "17", "02 17", &format!("{OTHER}"), &format!("{OTHER} -1"), &format!("{OTHER} 1 2")]
        {
            assert!(bad.parse::<Claim>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_was_there_first_has_the_name() {
        let there = |epoch, since| Some(Claim { epoch, since });
        assert_eq!(Claim::judge(None, ME, Some(5)), Standing::Free);
        assert_eq!(Claim::judge(there(ME, 3), ME, None), Standing::Ours(3));
        assert_eq!(Claim::judge(there(OTHER, 3), ME, None), Standing::Older(OTHER));
        assert_eq!(Claim::judge(there(OTHER, 3), ME, Some(5)), Standing::Older(OTHER));
        assert_eq!(Claim::judge(there(OTHER, 7), ME, Some(5)), Standing::Younger(OTHER));
    }
}
