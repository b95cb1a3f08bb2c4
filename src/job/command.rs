//! A command from the centre: a [`Request`] with an id and an instant after which it must not be taken. On the wire
//! they stand in one object: `{"verb":"run","job":"backup","id":"7f3a","not_after":"2026-11-22T03:00:00.000Z"}`.

use serde_json::{Map, Value};

use super::ask::Request;
use super::limits;
use super::time::{WallTime, rfc3339};

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What is asked.
    pub request: Request,
    /// After this it is refused; absent only where nothing is changed.
    pub not_after: Option<WallTime>,
}

/// Verbs that have an id of their own.
const WITH_ID: &[&str] = &["run", "stop", "pause", "resume"];

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// A text for whoever sent it.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        if payload.len() > limits::REQUEST_BYTES {
            let most = limits::REQUEST_BYTES;
            return Err(format!("a command of {} bytes; at most {most} are allowed", payload.len()));
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(payload)
            .map_err(|error| format!("not a JSON object: {error}; as {{\"verb\":\"status\"}}"))?;
        let not_after = match fields.remove("not_after") {
            None => None,
            Some(at) => Some(rfc3339::deserialize(&at).map_err(|error| format!("not_after: {error}"))?),
        };
        if !fields.get("verb").and_then(Value::as_str).is_some_and(|verb| WITH_ID.contains(&verb)) {
            fields.remove("id");
        }
        let request = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        Ok(Self { request, not_after })
    }

    /// The text that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // A request of plain data always prints, as an object with its verb.
        let mut json = serde_json::to_value(&self.request).unwrap_or_default();
        if let (Some(at), Some(fields)) = (self.not_after, json.as_object_mut()) {
            fields.insert("not_after".to_owned(), Value::String(at.to_string()));
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_request_with_an_id_and_an_end() {
        let text = br#"{"verb":"run","job":"a","id":"x1","not_after":"2026-11-22T03:00:00Z"}"#;
        let command = Command::parse(text).unwrap();
        assert!(
            matches!(&command.request, Request::Run { id: Some(id), wait: false, .. } if id.to_string() == "x1")
        );
        assert_eq!(command.not_after.unwrap().to_string(), "2026-11-22T03:00:00.000Z");
        let again = serde_json::to_vec(&command.to_json()).unwrap();
        assert_eq!(Command::parse(&again).unwrap(), command);
        assert!(Command::parse(br#"{"verb":"status","id":"whatever"}"#).is_ok());
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_reason() {
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "1",
            "{}",
            r#"{"verb":"launch"}"#,
            r#"{"verb":"run"}"#,
            "\u{0}",
            &deep,
            r#"{"verb":"run","job":"../a"}"#,
            r#"{"verb":"status","not_after":"tomorrow"}"#,
            r#"{"verb":"run","job":"a","shell":"sh"}"#,
        ] {
            let why = Command::parse(text.as_bytes()).unwrap_err();
            assert!(!why.is_empty() && why.len() < 500, "{text}: {why}");
        }
        assert!(Command::parse(&[b' '; limits::REQUEST_BYTES + 1]).unwrap_err().contains("at most"));
        assert!(Command::parse(b"{\"verb\":\"status\xff\"}").is_err());
    }
}
