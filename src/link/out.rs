//! The link's way to the agent, and its way out.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Mutex, PoisonError};

use super::frame::{self, FromLink, Phase};

/// The agent's end takes a frame within this time or is gone.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(30);

/// Says things to the agent; shared by all threads.
pub(super) struct Out {
    stream: Mutex<UnixStream>,
}

impl Out {
    pub(super) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Mutex::new(stream) })
    }

    /// Says it. Without an agent there is no link.
    pub(super) fn say(&self, frame: &FromLink) {
        let bytes = match frame::encode(frame) {
            Ok(bytes) => bytes,
            // What is larger than any message of ours is not ours: somebody else wrote it under our names.
            Err(error) => return log::error!("what came in is not told to the agent: {error}"),
        };
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = stream.write_all(&bytes) {
            log::debug!("tell the agent: {error}");
            process::exit(0);
        }
    }

    /// The same from a panic, for what it is worth: whoever is saying something now may be the one who panics, and a frame of
    /// theirs is not to be cut into. A word that is missing is told by the end itself.
    pub(super) fn last_words(&self, phase: Phase, reason: String) {
        let Ok(bytes) = frame::encode(&FromLink::Fault { phase, reason, lasting: false }) else { return };
        if let Ok(mut stream) = self.stream.try_lock()
            && let Err(error) = stream.write_all(&bytes)
        {
            log::debug!("tell the agent: {error}");
        }
    }

    /// Says why, and ends the process as it stands: no connection is closed, no thread is waited for.
    pub(super) fn fault(&self, phase: Phase, reason: impl Into<String>, lasting: bool) -> ! {
        self.say(&FromLink::Fault { phase, reason: reason.into(), lasting });
        process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_cuts_into_no_frame_of_another() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let out = Out::new(ours).unwrap();
        {
            let mut stream = out.stream.lock().unwrap();
            let bytes = frame::encode(&FromLink::Resumed).unwrap();
            let (half, rest) = bytes.split_at(2);
            stream.write_all(half).unwrap();
            out.last_words(Phase::Connect, "between two halves".to_owned());
            stream.write_all(rest).unwrap();
        }
        out.last_words(Phase::Connect, "a fault of the program".to_owned());
        drop(out);
        assert_eq!(frame::read::<FromLink>(&mut theirs).unwrap(), Some(FromLink::Resumed));
        let said = frame::read::<FromLink>(&mut theirs).unwrap();
        assert!(matches!(said, Some(FromLink::Fault { reason, .. }) if reason == "a fault of the program"));
        assert_eq!(frame::read::<FromLink>(&mut theirs).unwrap(), None);
    }
}
