//! A numbered fact as the centre stores it: its JSON, under the id `<agent>-<epoch>-<seq>`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fire::Epoch;

/// The fields that make a fact this one. An output that was left out, or a field that another version adds, makes it no
/// other.
const ESSENCE: &[&str] = &["seq", "epoch", "job", "event", "due", "ended", "at", "attempt", "outcome"];

/// Which fact a message of the stream is, however it was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactId {
    /// The numbering.
    pub epoch: Epoch,
    /// Its number.
    pub seq: u64,
    digest: [u8; 16],
}

impl FactId {
    /// Reads it from a message; `None`: it is no fact.
    #[must_use]
    pub fn of(payload: &[u8]) -> Option<Self> {
        let fact: Value = serde_json::from_slice(payload).ok()?;
        let mut hasher = Sha256::new();
        for (name, value) in ESSENCE.iter().filter_map(|name| Some((name, fact.get(*name)?))) {
            hasher.update(name.as_bytes());
            // Values of plain types: their text is one whatever the order of the object's keys.
            hasher.update(value.to_string().as_bytes());
        }
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(hasher.finalize()) {
            *to = from;
        }
        Some(Self {
            epoch: fact.get("epoch")?.as_str()?.parse().ok()?,
            seq: fact.get("seq")?.as_u64()?,
            digest,
        })
    }
}

/// A fact's JSON without what its command printed; `None`: there is nothing to leave out.
#[must_use]
pub fn without_output(payload: &[u8]) -> Option<Vec<u8>> {
    let mut fact: Value = serde_json::from_slice(payload).ok()?;
    fact.as_object_mut()?.remove("output")?;
    serde_json::to_vec(&fact).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_the_same_without_its_output_and_another_with_another_end() {
        let golden = include_bytes!("../../tests/golden/record.json");
        let id = FactId::of(golden).unwrap();
        assert_eq!(id.seq, 4_711);
        let lean = without_output(golden).unwrap();
        assert!(lean.len() < golden.len());
        assert_eq!(FactId::of(&lean), Some(id));
        assert_eq!(without_output(&lean), None);
        let mut other: Value = serde_json::from_slice(golden).unwrap();
        other["outcome"] = "succeeded".into();
        assert_ne!(FactId::of(&serde_json::to_vec(&other).unwrap()), Some(id));
        other["seq"] = 4_712.into();
        assert_eq!(FactId::of(&serde_json::to_vec(&other).unwrap()).unwrap().seq, 4_712);
        for hostile in [&b""[..], b"{}", b"\xff", br#"{"seq":-1,"epoch":"x"}"#] {
            assert_eq!(FactId::of(hostile), None);
        }
    }
}
