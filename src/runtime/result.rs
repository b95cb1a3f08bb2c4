//! How a Run ended: the one thing that a runner tells the agent. A version byte and postcard; variants and fields are
//! append-only.

use serde::{Deserialize, Serialize};

use crate::job::{Output, Usage, WallTime};

/// Version of the file `result`.
const VERSION: u8 = 1;

/// What a runner leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// When the command was started, or was to be.
    pub started: WallTime,
    /// When the last process of the Run was gone.
    pub ended: WallTime,
    /// How.
    pub end: End,
    /// What was kept of stdout and stderr.
    pub output: Output,
    /// What the Run's processes used.
    pub usage: Usage,
    /// Processes that could not be killed: they belong to another user than a runner without root may signal.
    pub survivors: u32,
    /// Limits that could not be applied.
    pub not_applied: Vec<String>,
    /// What else is to be said: that a limit was reached, say.
    pub detail: Option<String>,
}

/// The file's own type: what there was from the first build on.
#[derive(Serialize, Deserialize)]
struct Stored {
    started: WallTime,
    ended: WallTime,
    end: End,
    output: Output,
    usage: Usage,
    survivors: u32,
}

/// What was added since.
#[derive(Default, Serialize, Deserialize)]
struct Added {
    not_applied: Vec<String>,
    detail: Option<String>,
}

/// How a Run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The command ended by itself with this exit code.
    Exited(u8),
    /// A signal that was not the runner's ended the command.
    Signaled(u8),
    /// Its time was over; how the command then ended.
    TimedOut(How),
    /// The agent asked for it; how the command then ended.
    Stopped(How),
    /// The command could not be started.
    NotStarted {
        /// What was tried, and what the system said: `/bin/nope: no such file or directory`.
        detail: String,
    },
}

/// What became of the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Its exit code.
    Exited(u8),
    /// The signal that ended it.
    Signaled(u8),
}

impl RunResult {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { started, ended, end, output, usage, survivors, not_applied, detail } = self.clone();
        let added = Added { not_applied, detail };
        super::stamp(VERSION, &(Stored { started, ended, end, output, usage, survivors }, added))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (stored, added): (_, Option<Added>) = super::unstamp(VERSION, bytes)?;
        let Stored { started, ended, end, output, usage, survivors } = stored;
        let Added { not_applied, detail } = added.unwrap_or_default();
        Some(Self { started, ended, end, output, usage, survivors, not_applied, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_version_one_are_these() {
        let result = RunResult {
            started: WallTime::from_millis(1),
            ended: WallTime::from_millis(2),
            end: End::TimedOut(How::Signaled(15)),
            output: Output { head: "h".to_owned(), tail: "t".to_owned(), bytes: 300, dropped: 298 },
            usage: Usage { cpu_ms: 3, max_rss_kib: 4 },
            survivors: 0,
            not_applied: vec!["cpu".to_owned()],
            detail: Some("d".to_owned()),
        };
        let golden = [
            1, 2, 4, 2, 1, 15, 1, b'h', 1, b't', 172, 2, 170, 2, 3, 4, 0, 1, 3, b'c', b'p', b'u', 1, 1, b'd',
        ];
        assert_eq!(result.encode(), golden);
        assert_eq!(RunResult::decode(&golden).unwrap(), result);
        // An earlier build's ended with the survivors.
        let earlier = 17;
        for cut in (0..golden.len()).filter(|cut| *cut != earlier) {
            assert!(RunResult::decode(&golden[..cut]).is_none(), "{cut}");
        }
        let known = RunResult { not_applied: Vec::new(), detail: None, ..result };
        assert_eq!(RunResult::decode(&golden[..earlier]).unwrap(), known);
    }
}
