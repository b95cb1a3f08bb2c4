//! What the defaults depend on: who the agent is, what the machine is called, how many cpus it has.
//!
//! Sources: the XDG Base Directory Specification (a path that is not absolute is to be ignored), `gethostname(2)`.

use std::path::PathBuf;

use nix::unistd;

/// The machine as far as the defaults go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Who the agent is.
    pub user: User,
    /// The host name, if it is text.
    pub name: Option<String>,
    /// Cpus that this process may use.
    pub cpus: usize,
}

/// Who the agent is, and where that user's files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// Root: the directories of the system.
    Root,
    /// Another: the directories of that user. Each `None` where it cannot be told.
    Other {
        /// `$XDG_CONFIG_HOME`, or `.config` of the home.
        config: Option<PathBuf>,
        /// `$XDG_STATE_HOME`, or `.local/state` of the home.
        state: Option<PathBuf>,
        /// `$XDG_RUNTIME_DIR`: it has no fallback.
        runtime: Option<PathBuf>,
    },
}

impl Host {
    /// This machine and process.
    #[must_use]
    pub fn this() -> Self {
        Self {
            user: if unistd::geteuid().is_root() { User::Root } else { User::of_environment() },
            name: unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Where its configuration lies if nobody says otherwise.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        match &self.user {
            User::Root => Some(PathBuf::from(super::SYSTEM_FILE)),
            User::Other { config, .. } => Some(config.as_ref()?.join("leafcron/leafcrond.toml")),
        }
    }
}

impl User {
    fn of_environment() -> Self {
        let absolute =
            |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME")
            .or_else(|| unistd::User::from_uid(unistd::geteuid()).ok().flatten().map(|user| user.dir));
        let below_home = |path| home.as_ref().map(|home| home.join(path));
        Self::Other {
            config: absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config")),
            state: absolute("XDG_STATE_HOME").or_else(|| below_home(".local/state")),
            runtime: absolute("XDG_RUNTIME_DIR"),
        }
    }
}
