//! A message as it came in.

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Where it was sent.
    pub subject: String,
    /// Where an answer is expected.
    pub reply: Option<String>,
    /// What it says.
    pub payload: Vec<u8>,
    pub(super) headers: Option<::nats::HeaderMap>,
}

impl Message {
    pub(super) fn new(message: ::nats::Message) -> Self {
        let ::nats::Message { subject, reply, data, headers, .. } = message;
        Self { subject, reply, payload: data, headers }
    }

    /// The value of a header, letter case as the server writes it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(String::as_str)
    }

    /// The code of a message that is the server's own: 503, 404 and the like.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if self.payload.is_empty() { self.header("Status")?.parse().ok() } else { None }
    }

    /// Whether nobody was there to take what was sent.
    #[must_use]
    pub fn is_no_responders(&self) -> bool {
        self.status() == Some(503)
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.contains_key(name))
    }
}
