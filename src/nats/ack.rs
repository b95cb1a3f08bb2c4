//! What a stream says to what was published into it, read to the letter. (The client takes an error whose code it does not
//! know for success, with sequence 0.)

use serde::Deserialize;

use super::NatsError;

/// Whose acknowledgement counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The stream.
    pub stream: String,
    /// Its JetStream domain. A leaf with a stream of its own on the same subject answers too, and first.
    pub domain: String,
}

/// It is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck {
    /// Where.
    pub sequence: u64,
    /// Something was there under this message id before: not necessarily the same.
    pub duplicate: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    error: Option<ApiError>,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    duplicate: bool,
}

/// The `error` of any JetStream answer.
#[derive(Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

impl core::convert::From<ApiError> for NatsError {
    fn from(error: ApiError) -> Self {
        let ApiError { code, err_code, description } = error;
        Self::Api { code, err_code, description }
    }
}

impl PubAck {
    /// Reads an acknowledgement: one with an error, without a sequence, or of another stream or domain is none.
    ///
    /// # Errors
    /// The stream's own refusal, or an answer that does not count.
    pub fn parse(payload: &[u8], expect: &Expect) -> Result<Self, NatsError> {
        let nonsense = |why: String| NatsError::nonsense("a publish", why);
        let ack: Wire = serde_json::from_slice(payload).map_err(|error| nonsense(error.to_string()))?;
        if let Some(error) = ack.error {
            // Another stream's refusal is not this one's.
            let ours = ack.stream.is_empty() || ack.stream == expect.stream;
            return Err(if ours {
                error.into()
            } else {
                nonsense(format!("stream {:?} refuses it", ack.stream))
            });
        }
        if ack.seq == 0 {
            return Err(nonsense("it has no sequence".to_owned()));
        }
        let domain = ack.domain.unwrap_or_default();
        if ack.stream != expect.stream || domain != expect.domain {
            return Err(nonsense(format!(
                "stream {:?} of domain {domain:?} answers, not {:?} of {:?}",
                ack.stream, expect.stream, expect.domain
            )));
        }
        Ok(Self { sequence: ack.seq, duplicate: ack.duplicate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PubAck, NatsError> {
        PubAck::parse(text.as_bytes(), &Expect { stream: "S".to_owned(), domain: "hub".to_owned() })
    }

    #[test]
    fn only_the_right_stream_with_a_sequence_and_no_error_has_acknowledged() {
        let good = parse(r#"{"stream":"S","domain":"hub","seq":7}"#).unwrap();
        assert_eq!(good, PubAck { sequence: 7, duplicate: false });
        assert!(parse(r#"{"stream":"S","domain":"hub","seq":7,"duplicate":true}"#).unwrap().duplicate);
        for bad in [
            r#"{"stream":"S","domain":"hub","seq":0}"#,
            r#"{"stream":"S","seq":7}"#,
            r#"{"stream":"S","domain":"leaf","seq":7}"#,
            r#"{"stream":"T","domain":"hub","seq":7}"#,
            r#"{"stream":"S","domain":"hub","seq":7,"error":{"code":503}}"#,
            "",
            "[]",
            "+OK",
            "\u{0}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        // A code above those that the client knows.
        let full = parse(
            r#"{"error":{"code":500,"err_code":10118,"description":"full"},"stream":"S","domain":"hub","seq":0}"#,
        );
        assert!(matches!(full, Err(NatsError::Api { err_code: 10118, .. })));
    }
}
