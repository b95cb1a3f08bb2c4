//! The agent's configuration (`leafcrond.toml`) and the reading of the jobs directory: what the device's owner wrote,
//! as far as it can be trusted. Every key is optional; what is unknown, of the wrong type or out of bounds is refused
//! with file, line, field and reason, and nothing is guessed. Nothing here looks at the meaning of a definition.

mod error;
mod host;
mod jobs_dir;
mod nats;
mod read;
mod trust;

use core::time::Duration;
use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub use host::{Host, User};
pub use jobs_dir::{JobsDir, JobsDirError};
pub use nats::{Auth, Commands, Nats, SendOutput};

use crate::job::{AgentName, FieldMap, Name};

/// Where a root agent's configuration lies.
pub const SYSTEM_FILE: &str = "/etc/leafcron/leafcrond.toml";

/// The configuration file, in bytes.
const CONFIG_BYTES: u64 = 256 * 1024;

/// Every value effective (DESIGN section 12).
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it came from; `None`: there is none, all are defaults.
    pub file: Option<PathBuf>,
    /// The device's name.
    pub agent: AgentName,
    /// Why that name does not do for the centre: nobody gave it.
    pub nameless: Option<String>,
    /// Its groups, the first with the highest precedence.
    pub groups: Vec<Name>,
    /// Where the journal lies.
    pub state_dir: PathBuf,
    /// Where the socket and the runs lie.
    pub run_dir: PathBuf,
    /// Where the jobs files lie.
    pub jobs_dir: PathBuf,
    /// Runs at once.
    pub max_runs: usize,
    /// How long after boot calendar jobs wait for a synchronised clock.
    pub clock_wait: Duration,
    /// Whether the clock counts as synchronised without the kernel saying so.
    pub trust_clock: bool,
    /// All segments of the journal, in bytes.
    pub disk: u64,
    /// Records kept per job.
    pub history: usize,
    /// The link to the centre.
    pub nats: Option<Nats>,
    /// Fields for every job that is silent on them.
    pub defaults: FieldMap,
    /// What is not wrong but has to be said, once.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the configuration of this machine. A `file` that is named must be there; the default one may be absent.
    ///
    /// # Errors
    /// It cannot be read or trusted, or something in it is refused.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_on(file, &Host::this())
    }

    /// [`load`](Self::load) on a given machine.
    ///
    /// # Errors
    /// As there.
    pub fn load_on(file: Option<&Path>, host: &Host) -> Result<Self, ConfigError> {
        let default = host.config_file();
        let Some(path) = file.or(default.as_deref()) else {
            return Self::parse("", None, host);
        };
        match trust::read_config(path, CONFIG_BYTES, host) {
            Ok(text) => Self::parse(&text, Some(path), host),
            Err(trust::Refused::Absent) if file.is_none() => Self::parse("", None, host),
            Err(refused) => Err(ConfigError::of_file(path, refused.to_string())),
        }
    }

    /// Its groups, in the order of their precedence: everyone is in `all`, last unless it says otherwise.
    #[must_use]
    pub fn all_groups(&self) -> Vec<Name> {
        let all: Name = "all".parse().expect("three letters are a name");
        let rest = (!self.groups.contains(&all)).then_some(all);
        self.groups.iter().cloned().chain(rest).collect()
    }

    /// Reads a configuration's text; `file` is where it came from.
    ///
    /// # Errors
    /// Something in it is refused.
    pub fn parse(text: &str, file: Option<&Path>, host: &Host) -> Result<Self, ConfigError> {
        read::config(text, file, host)
    }
}
