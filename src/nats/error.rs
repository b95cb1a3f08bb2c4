//! What can go wrong between here and a stream.

use core::fmt;
use core::time::Duration;
use std::io;

/// Why something was not done.
#[derive(Debug)]
pub enum NatsError {
    /// No server could be reached, or none let us in.
    Connect {
        /// Which were tried.
        servers: String,
        /// The last one's answer.
        source: io::Error,
    },
    /// What the settings name cannot be used.
    Settings(String),
    /// Nobody said anything within this time.
    TimedOut {
        /// To what.
        what: String,
        /// How long.
        within: Duration,
    },
    /// The server knows nobody who would answer.
    NoResponders {
        /// On which subject.
        subject: String,
    },
    /// The server takes nothing more: its end of the line does not read.
    Stalled,
    /// The connection has ended.
    Closed(String),
    /// The server would end the connection over it.
    TooLarge {
        /// Bytes.
        bytes: usize,
        /// As many are allowed.
        most: usize,
    },
    /// JetStream's own refusal.
    Api {
        /// As in HTTP.
        code: u64,
        /// The exact one.
        err_code: u64,
        /// In words.
        description: String,
    },
    /// An answer that is none.
    Nonsense {
        /// To what.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A reading that is not complete: part of it was lost on the way.
    Incomplete {
        /// The filter.
        filter: String,
        /// What is missing.
        why: String,
    },
    /// The caller's own end of a reading.
    Given(String),
}

/// What servers say when the same attempt cannot succeed later.
const FINAL: [&str; 14] = [
    "authorization violation",
    "authentication expired",
    "authentication revoked",
    "account authentication expired",
    "user authentication",
    "invalid peer certificate",
    "bad certificate",
    // What the other end of TLS has to say of ours, in the words of this end's library.
    "alert: badcertificate",
    "alert: unsupportedcertificate",
    "alert: certificaterevoked",
    "alert: certificateexpired",
    "alert: certificateunknown",
    "alert: certificaterequired",
    "alert: unknownca",
];

impl NatsError {
    /// Whether trying the same again soon cannot help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Settings(_) => true,
            Self::Connect { source, .. } => is_final(&source.to_string()),
            Self::Closed(why) => is_final(why),
            _ => false,
        }
    }

    /// Whether JetStream says that there is no such stream, consumer or message.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { code: 404, .. })
    }

    /// Whether a subject's newest message was another than the one that was to be written over.
    #[must_use]
    pub fn is_wrong_last(&self) -> bool {
        matches!(self, Self::Api { err_code: 10_071 | 10_164, .. })
    }

    /// Whether somebody answered, if only to say that nobody is there.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::NoResponders { .. } | Self::Api { .. } | Self::Nonsense { .. })
    }

    pub(super) fn nonsense(what: &str, why: impl fmt::Display) -> Self {
        Self::Nonsense { what: what.to_owned(), why: why.to_string() }
    }
}

fn is_final(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    FINAL.iter().any(|words| text.contains(words))
}

impl fmt::Display for NatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { servers, .. } => write!(f, "connect to {servers}"),
            Self::Settings(why) => f.write_str(why),
            Self::TimedOut { what, within } => write!(f, "no answer to {what} within {within:?}"),
            Self::NoResponders { subject } => write!(f, "nobody answers on {subject}"),
            Self::Stalled => f.write_str("the server does not read what it is sent"),
            Self::Closed(why) => write!(f, "the connection has ended: {why}"),
            Self::TooLarge { bytes, most } => {
                write!(f, "a message of {bytes} bytes; this server allows {most} (max_payload)")
            }
            Self::Api { code, err_code, description } => write!(f, "{description} ({code}, {err_code})"),
            Self::Nonsense { what, why } => write!(f, "the answer to {what} makes no sense: {why}"),
            Self::Incomplete { filter, why } => write!(f, "reading {filter} is not complete: {why}"),
            Self::Given(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NatsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. } => Some(source),
            _ => None,
        }
    }
}
