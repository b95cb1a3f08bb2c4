//! A definition's one form: canonical JSON text. Exactly the fields that were given, values as given, keys in byte
//! order, no white space, no defaults merged in. What is kept, hashed and sent is this text.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::limits;

/// The fields of one definition as they were given. `serde_json`'s map is ordered by key, so printing it is canonical.
pub type FieldMap = Map<String, Value>;

/// Writes the canonical text.
#[must_use]
pub fn canonical(fields: &FieldMap) -> String {
    // A map of JSON values always prints: its keys are text and its numbers finite.
    serde_json::to_string(fields).unwrap_or_default()
}

/// Reads a definition's text into its fields, whatever its order and white space.
///
/// # Errors
/// A text for a person: too long, not JSON, or not an object.
pub fn parse(text: &str) -> Result<FieldMap, String> {
    if text.len() > limits::DEFINITION_BYTES {
        return Err(format!(
            "a definition of {} bytes; at most {} are allowed",
            text.len(),
            limits::DEFINITION_BYTES
        ));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("a definition is a JSON object: {\"schedule\":…,\"command\":…}".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// The first 12 hex digits of the SHA-256 of a definition's canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision([u8; 6]);

impl Revision {
    /// The revision of a canonical text.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        let mut revision = [0; 6];
        for (to, from) in revision.iter_mut().zip(Sha256::digest(canonical.as_bytes())) {
            *to = from;
        }
        Self(revision)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::hex::write(&self.0, f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Revision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        super::hex::decode(text).map(Self).ok_or("a revision is 12 hex digits")
    }
}

/// Text for people and JSON, six bytes in the journal.
impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 6]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_has_sorted_keys_and_no_white_space() {
        let fields =
            parse("{ \"schedule\" : \"@daily\", \"command\":\"true\", \"env\":{\"b\":\"1\",\"a\":\"2\"} }")
                .unwrap();
        let text = canonical(&fields);
        assert_eq!(text, r#"{"command":"true","env":{"a":"2","b":"1"},"schedule":"@daily"}"#);
        assert_eq!(canonical(&parse(&text).unwrap()), text);
        // printf '%s' TEXT | sha256sum | cut -c1-12
        assert_eq!(Revision::of("{}").to_string(), "44136fa355b3");
        assert_eq!(Revision::of("{}"), "44136fa355b3".parse().unwrap());
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["", "[]", "1", "{", "{}x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{{\"command\":\"{}\"}}", "x".repeat(limits::DEFINITION_BYTES))).is_err());
    }
}
