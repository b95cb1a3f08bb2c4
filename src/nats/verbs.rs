//! What JetStream is asked, by name: a question's subject says all of it that permissions can be bound to.
//!
//! Source: ADR-1 and ADR-9 of nats-architecture-and-design; that a consumer's filter stands in the subject that makes it,
//! and is held against the body, was seen on nats-server 2.9 and 2.15.

/// Whose JetStream a verb is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api<'a> {
    /// That of a domain, as it is asked through a leaf node, or anywhere.
    Domain(&'a str),
    /// The server's own: what it makes of the above before it looks at permissions.
    Own,
}

impl Api<'_> {
    /// The subject of a verb, or of a key as [`key`] names it.
    #[must_use]
    pub fn subject(self, verb: &str) -> String {
        match self {
            Self::Domain(domain) => format!("$JS.{domain}.API.{verb}"),
            // Keys have a place of their own beside the API.
            Self::Own if verb.starts_with("$KV.") => verb.to_owned(),
            Self::Own => format!("$JS.API.{verb}"),
        }
    }
}

/// A key's subject in its bucket's stream.
#[must_use]
pub fn key(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// The stream of a bucket.
#[must_use]
pub fn stream_of(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Asks what a stream is and has.
#[must_use]
pub fn stream_info(stream: &str) -> String {
    format!("STREAM.INFO.{stream}")
}

/// A consumer, and everything that is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Consumer<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// Its name: one word of a subject, which no wildcard takes a part of.
    pub name: &'a str,
}

impl Consumer<'_> {
    fn verb(&self, what: &str) -> String {
        format!("CONSUMER.{what}.{}.{}", self.stream, self.name)
    }

    /// Makes it, for these subjects and no others.
    #[must_use]
    pub fn create(&self, filter: &str) -> String {
        format!("{}.{filter}", self.verb("CREATE"))
    }

    /// Takes its next messages.
    #[must_use]
    pub fn next(&self) -> String {
        self.verb("MSG.NEXT")
    }

    /// Asks how far it is.
    #[must_use]
    pub fn info(&self) -> String {
        self.verb("INFO")
    }

    /// Removes it.
    #[must_use]
    pub fn delete(&self) -> String {
        self.verb("DELETE")
    }
}
