//! The lines: one JSON text each, ended by a newline, with a bound on either side.

use std::io::{self, Write};

use crate::job::{Refusal, RefusalKind, Reply, Request, limits};

/// What one more look at the bytes that have come says.
pub(super) enum Step {
    /// A line is there; it has been taken out.
    Line(Vec<u8>),
    /// More bytes are needed.
    More,
    /// No newline within [`limits::REQUEST_BYTES`]: where the next request begins is unknown.
    TooLong,
}

/// Takes the next line out of what has come.
pub(super) fn take(buffer: &mut Vec<u8>) -> Step {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) if end < limits::REQUEST_BYTES => Step::Line(buffer.drain(..=end).collect()),
        None if buffer.len() < limits::REQUEST_BYTES => Step::More,
        _ => Step::TooLong,
    }
}

/// Reads a request line.
pub(super) fn request(line: &[u8]) -> Result<Request, Refusal> {
    serde_json::from_slice(line).map_err(|error| {
        bad_request(format!(
            "not a request: {error}; write one line of JSON such as {{\"verb\":\"status\"}} or \
             {{\"verb\":\"show\",\"job\":\"NAME\"}}; verbs: list show history run stop pause resume status reload"
        ))
    })
}

/// The answer to a line without an end.
pub(super) fn too_long() -> Refusal {
    bad_request(format!("a request line of {} bytes or more; less is allowed", limits::REQUEST_BYTES))
}

fn bad_request(message: String) -> Refusal {
    // A message repeats what was sent, such as an unknown verb: not all of it.
    let message = match message.char_indices().nth(limits::DETAIL_BYTES) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message,
    };
    Refusal { kind: RefusalKind::BadRequest, message }
}

/// Writes a reply line. What would be longer than [`limits::REPLY_BYTES`] becomes a refusal that says so.
pub(super) fn reply(reply: &Reply) -> Vec<u8> {
    encode(reply).unwrap_or_else(|| {
        let refusal = Refusal {
            kind: RefusalKind::Busy,
            message: format!("the answer is longer than {} bytes: ask for fewer rows", limits::REPLY_BYTES),
        };
        encode(&Reply::Refused(refusal)).unwrap_or_default()
    })
}

fn encode(reply: &Reply) -> Option<Vec<u8>> {
    let mut line = Capped(Vec::new());
    serde_json::to_writer(&mut line, reply).ok()?;
    line.write_all(b"\n").ok()?;
    Some(line.0)
}

/// Refuses to grow beyond a reply, so that what is too long never takes its memory.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::REPLY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order_and_a_part_stays() {
        let mut buffer = b"a\nbc\nd".to_vec();
        assert!(matches!(take(&mut buffer), Step::Line(line) if line == b"a\n"));
        assert!(matches!(take(&mut buffer), Step::Line(line) if line == b"bc\n"));
        assert!(matches!(take(&mut buffer), Step::More));
        assert_eq!(buffer, b"d");
    }

    #[test]
    fn a_line_at_the_bound_passes_and_one_byte_more_does_not() {
        let mut buffer = vec![b' '; limits::REQUEST_BYTES - 1];
        assert!(matches!(take(&mut buffer), Step::More));
        buffer.push(b'\n');
        assert!(matches!(take(&mut buffer.clone()), Step::Line(_)));
        buffer.insert(0, b' ');
        assert!(matches!(take(&mut buffer), Step::TooLong));
        assert!(matches!(take(&mut vec![b' '; limits::REQUEST_BYTES]), Step::TooLong));
    }

    #[test]
    fn a_refusal_says_what_is_allowed_and_does_not_echo_without_bound() {
        let refusal = request(br#"{"verb":"explode"}"#).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::BadRequest);
        assert!(refusal.message.contains("explode") && refusal.message.contains("reload"), "{refusal:?}");
        let long = request(format!(r#"{{"verb":"{}"}}"#, "é".repeat(20_000)).as_bytes()).unwrap_err();
        assert!(long.message.len() < 4 * limits::DETAIL_BYTES);
        assert!(request(b"\xff\n").is_err());
        assert!(request(br#"{"verb":"list","job":"x"}"#).is_err(), "an unknown field is refused");
    }

    #[test]
    fn a_reply_without_bound_becomes_a_refusal() {
        let message = "x".repeat(limits::REPLY_BYTES);
        let bytes = reply(&Reply::Done { message });
        let Reply::Refused(refusal) = serde_json::from_slice(&bytes).unwrap() else { panic!() };
        assert_eq!(refusal.kind, RefusalKind::Busy);
        assert_eq!(bytes.last(), Some(&b'\n'));
    }
}
