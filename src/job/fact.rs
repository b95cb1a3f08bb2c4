//! A numbered fact as the centre stores it: its JSON, under the id `<agent>-<epoch>-<seq>`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fire::Epoch;
use super::record::Output;

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

/// A fact's JSON with a quarter of what it has of its command's output: the first of its head, the last of its tail; the
/// rest counts as dropped. `None`: there is nothing to cut.
#[must_use]
pub fn with_less_output(payload: &[u8]) -> Option<Vec<u8>> {
    let mut fact: Value = serde_json::from_slice(payload).ok()?;
    let mut output: Output = serde_json::from_value(fact.get("output")?.clone()).ok()?;
    let had = output.head.len() + output.tail.len();
    if had == 0 {
        return None;
    }
    let from = output.tail.len() - output.tail.len() / 4;
    let from = (from..=output.tail.len()).find(|at| output.tail.is_char_boundary(*at))?;
    output.tail.drain(..from);
    let to = (0..=output.head.len() / 4).rev().find(|at| output.head.is_char_boundary(*at))?;
    output.head.truncate(to);
    let cut = had - output.head.len() - output.tail.len();
    // Bytes that are no text were written as other, longer ones.
    output.dropped = output.dropped.saturating_add(cut as u64).min(output.bytes);
    *fact.get_mut("output")? = serde_json::to_value(output).ok()?;
    serde_json::to_vec(&fact).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_the_same_with_less_output_and_another_with_another_end() {
        let golden = include_bytes!("../../tests/golden/record.json");
        let id = FactId::of(golden).unwrap();
        assert_eq!(id.seq, 4_711);
        let lean = with_less_output(golden).unwrap();
        assert_eq!(FactId::of(&lean), Some(id));
        let mut other: Value = serde_json::from_slice(golden).unwrap();
        other["outcome"] = "succeeded".into();
        assert_ne!(FactId::of(&serde_json::to_vec(&other).unwrap()), Some(id));
        other["seq"] = 4_712.into();
        assert_eq!(FactId::of(&serde_json::to_vec(&other).unwrap()).unwrap().seq, 4_712);
        for hostile in [&b""[..], b"{}", b"\xff", br#"{"seq":-1,"epoch":"x"}"#] {
            assert_eq!(FactId::of(hostile), None);
        }
    }
    #[test]
    fn an_output_is_cut_to_a_quarter_again_and_again_until_nothing_is_left_and_says_so() {
        let fact = |head: &str, tail: &str, bytes: u64, dropped: u64| {
            let output = Output { head: head.to_owned(), tail: tail.to_owned(), bytes, dropped };
            serde_json::to_vec(&serde_json::json!({"seq": 1, "output": output})).unwrap()
        };
        let cut = |payload: &[u8]| {
            let fact: Value = serde_json::from_slice(&with_less_output(payload)?).unwrap();
            Some(serde_json::from_value::<Output>(fact["output"].clone()).unwrap())
        };
        let of = |head: &str, tail: &str, bytes, dropped| Output {
            head: head.to_owned(),
            tail: tail.to_owned(),
            bytes,
            dropped,
        };
        assert_eq!(cut(&fact("abcdefgh", "", 8, 0)), Some(of("ab", "", 8, 6)));
        assert_eq!(cut(&fact("abcdefgh", "stuvwxyz", 90, 74)), Some(of("ab", "yz", 90, 86)));
        assert_eq!(cut(&fact("ab", "yz", 90, 86)), Some(of("", "", 90, 90)));
        assert_eq!(cut(&fact("", "", 90, 90)), None);
        // Between characters, and never more dropped than was written.
        assert_eq!(cut(&fact("äöüß", "äöüß", 16, 0)), Some(of("ä", "ß", 16, 12)));
        assert_eq!(cut(&fact("aäöü", "äöüa", 14, 0)), Some(of("a", "a", 14, 12)));
        assert_eq!(cut(&fact("\u{fffd}\u{fffd}", "", 2, 0)), Some(of("", "", 2, 2)));
        assert_eq!(with_less_output(br#"{"seq":1}"#), None);
        assert_eq!(with_less_output(br#"{"seq":1,"output":7}"#), None);
    }
}
