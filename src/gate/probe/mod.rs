//! Reads the machine. Every file lies below a root path, so that tests bring fixture trees; every read is bounded; what
//! is absent, too long or not as documented is no reading, never a guess. Each module names the documents that define
//! its files; `statvfs(3)` of a path on a dead network file system may hang.

mod files;
mod heat;
mod load;
mod network;
mod power;
mod pressure;
mod served;
mod trigger;

use std::path::{Path, PathBuf};

use super::wanted::Wanted;
use crate::job::{Readings, Resource};
use files::Root;
pub use served::Shortcoming;
pub use trigger::{Trigger, WINDOW};

/// What reads the machine.
#[derive(Clone, Debug)]
pub struct Probe {
    root: Root,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Probe {
    /// Reads the files of `root`: `/` but in tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Root::new(root.into()) }
    }

    /// Reads what is wanted; what could not be read is absent.
    #[must_use]
    pub fn read(&self, wanted: &Wanted) -> Readings {
        let disk = |path: &String| (path.clone(), free_bytes(&self.root.below(path)));
        let mut readings = Readings {
            disk_available: wanted.disk_available.iter().map(disk).collect(),
            ..Readings::default()
        };
        for resource in &wanted.resources {
            self.read_one(*resource, &mut readings);
        }
        readings
    }

    fn read_one(&self, resource: Resource, readings: &mut Readings) {
        let root = &self.root;
        match resource {
            Resource::LoadPerCpu => readings.load_per_cpu = load::load_per_cpu(root),
            Resource::MemoryAvailable => readings.memory_available = load::memory_available(root),
            Resource::CpuPressure => readings.cpu_pressure = pressure::cpu(root),
            Resource::MemoryPressure => readings.memory_pressure = pressure::memory(root),
            Resource::IoPressure => readings.io_pressure = pressure::io(root),
            Resource::Temperature => readings.temperature = heat::temperature(root),
            Resource::Throttled => readings.throttled = heat::throttled(root),
            Resource::Power => readings.power = power::power(root),
            Resource::Battery => readings.battery = power::battery(root),
            Resource::Network => readings.network = network::network(root),
        }
    }

    /// How many cpus are online, if the system says so.
    #[must_use]
    pub fn cpus(&self) -> Option<u32> {
        load::cpus(&self.root)
    }
}

/// Bytes that an unprivileged user may still write.
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}
