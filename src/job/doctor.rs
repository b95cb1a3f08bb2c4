//! What `doctor` is told of a machine: what it can serve of what definitions may ask for, and how it is now.

use serde::{Deserialize, Serialize};

use super::ask::{PendingRow, RefusedRow};
use super::readings::Readings;

/// A field that a machine cannot serve as it was meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Its name, as `require.temperature`.
    pub field: String,
    /// Why, what comes of it, and what would help.
    pub reason: String,
}

/// How a machine is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Doctor {
    /// Everything that can be read now; of `disk_available` the paths that jobs in force name.
    pub readings: Readings,
    /// Requirements that this machine cannot serve, or not as they were meant.
    pub gates: Vec<Warning>,
    /// The same of limits.
    pub limits: Vec<Warning>,
    /// Fires that wait at a gate, each with why and until when.
    pub waiting: Vec<PendingRow>,
    /// Jobs in force that ask for what is not served.
    pub warnings: Vec<RefusedRow>,
    /// What has to be known all the time: of the configuration, of the link.
    pub standing: Vec<String>,
}
