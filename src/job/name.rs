//! Names of jobs, agents and groups: `[A-Za-z0-9_-]{1,64}`, so that each is one NATS subject token, one KV key token
//! and one file name, with nothing to escape anywhere.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes.
pub const NAME_BYTES: usize = 64;

/// A checked name. Order is byte order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(heapless::String<NAME_BYTES, u8>);

/// The name of a CronJob.
pub type JobName = Name;
/// The name of a device's agent.
pub type AgentName = Name;

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// No character at all.
    Empty,
    /// More than [`NAME_BYTES`] bytes; the length found.
    TooLong(usize),
    /// A character that is not allowed, and its column, from 1.
    Character(char, usize),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "an empty name; 1 to {NAME_BYTES} of A-Z a-z 0-9 _ - are allowed"),
            Self::TooLong(n) => write!(f, "a name of {n} bytes; at most {NAME_BYTES} are allowed"),
            Self::Character(c, column) => {
                write!(f, "{c:?} at column {column} of a name; A-Z a-z 0-9 _ - are allowed")
            }
        }
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if let Some((column, c)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(NameError::Character(c, column + 1));
        }
        let name = heapless::String::try_from(text).map_err(|_| NameError::TooLong(text.len()))?;
        Ok(Self(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token_of_sixty_four_bytes_at_most() {
        assert_eq!("backup_2-a".parse::<Name>().unwrap().as_str(), "backup_2-a");
        assert!("x".repeat(64).parse::<Name>().is_ok());
        assert_eq!("x".repeat(65).parse::<Name>(), Err(NameError::TooLong(65)));
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("a.b".parse::<Name>(), Err(NameError::Character('.', 2)));
        assert_eq!("ü".parse::<Name>(), Err(NameError::Character('ü', 1)));
    }

    #[test]
    fn a_hostile_name_does_not_deserialize() {
        assert!(serde_json::from_str::<Name>("\"../etc\"").is_err());
        assert!(serde_json::from_str::<Name>("\"ok\"").is_ok());
    }
}
