//! Which due instant of which job a fact is about, and the ids that go with it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::{JobName, Name};
use super::time::WallTime;

/// 128 bits with a hex text: a boot's id (`/proc/sys/kernel/random/boot_id`) or a journal's epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id128(pub [u8; 16]);

/// One boot of one kernel.
pub type BootId = Id128;
/// One numbering of records: bound to one machine and one state directory.
pub type Epoch = Id128;

impl fmt::Display for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::hex::write(&self.0, f)
    }
}

impl fmt::Debug for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// 32 hex digits; dashes, as the kernel prints them, are passed over.
impl FromStr for Id128 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').take(33).collect();
        super::hex::decode(&digits).map(Self).ok_or("an id is 32 hex digits")
    }
}

impl Serialize for Id128 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Id128 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self)
        }
    }
}

/// The id of a command: one token, chosen by whoever asks, so that asking twice runs once.
pub type CommandId = Name;

/// One due instant of one job, in what makes it unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fire {
    /// By the calendar or `@every`: the nominal instant, before splay.
    Scheduled {
        /// The era of the wall clock (DESIGN section 5); the first is 1.
        era: u32,
        /// The nominal instant.
        due: WallTime,
    },
    /// `@reboot`: once per boot.
    Reboot {
        /// The boot.
        boot: BootId,
    },
    /// Asked for by a person or the centre.
    Manual {
        /// The command's id.
        id: CommandId,
    },
}

/// A fire of a job: the key of everything that is remembered about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FireKey {
    /// The job.
    pub job: JobName,
    /// Which of its fires.
    pub fire: Fire,
}

/// Why a fire came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// On time, by the schedule.
    Schedule,
    /// Missed, and made up for.
    CatchUp,
    /// By a command.
    Manual,
    /// `@reboot`.
    Reboot,
}

/// One Run on this device; its directory's name. Never used again while anything remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_as_the_kernel_prints_it() {
        let id: BootId = "0b1c8e2a-0f3d-4b62-9f0e-8d1a2b3c4d5e\n".parse().unwrap();
        assert_eq!(id.to_string(), "0b1c8e2a0f3d4b629f0e8d1a2b3c4d5e");
        assert!("0b1c".parse::<BootId>().is_err());
        assert!("zz1c8e2a0f3d4b629f0e8d1a2b3c4d5e".parse::<BootId>().is_err());
        assert!("+b1c8e2a0f3d4b629f0e8d1a2b3c4d5e".parse::<BootId>().is_err());
    }
}
