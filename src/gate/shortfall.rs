//! What does not hold, in words for people: the reading and its bound. Pure.

use core::fmt;

use crate::job::units::format_size;
use crate::job::{Network, Power, Throttled, limits};

/// A requirement that does not hold. `found: None`: it could not be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Shortfall {
    /// A number is too large.
    AtMost {
        /// Which.
        limit: Limit,
        /// What was read.
        found: Option<f32>,
        /// The bound.
        at_most: f32,
    },
    /// Pressure is bounded, the kernel serves no PSI, and the load per cpu that stands in for it is too large.
    NoPsiLoad {
        /// What is bounded.
        limit: Limit,
        /// The load per cpu.
        found: f32,
    },
    /// The same of memory, by what is available.
    NoPsiMemory {
        /// `MemAvailable` in percent of `MemTotal`.
        found: f32,
    },
    /// Memory is short.
    MemoryAvailable {
        /// Bytes available.
        found: Option<u64>,
        /// The bound in bytes.
        at_least: u64,
    },
    /// A file system is full.
    DiskAvailable {
        /// The path as the requirement names it.
        path: String,
        /// Bytes free.
        found: Option<u64>,
        /// The bound in bytes.
        at_least: u64,
    },
    /// The firmware holds something back.
    Throttled {
        /// What.
        found: Option<Throttled>,
    },
    /// The machine runs on something else.
    Power {
        /// On what.
        found: Option<Power>,
    },
    /// A battery is low.
    Battery {
        /// Percent.
        found: Option<u8>,
        /// The bound in percent.
        at_least: u8,
    },
    /// There is no way out.
    Network {
        /// What was read.
        found: Option<Network>,
    },
    /// The wall clock runs free.
    Clock {
        /// What it is worth.
        found: Option<crate::job::Clock>,
    },
    /// The `check` command ran and did not exit with 0.
    Check,
}

/// What has an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Load average divided by cpus.
    LoadPerCpu,
    /// Percent of time.
    CpuPressure,
    /// Percent of time.
    MemoryPressure,
    /// Percent of time.
    IoPressure,
    /// Degrees Celsius.
    Temperature,
}

impl Limit {
    /// Name, decimals and unit.
    const fn words(self) -> (&'static str, usize, &'static str) {
        match self {
            Self::LoadPerCpu => ("load_per_cpu", 2, ""),
            Self::CpuPressure => ("cpu_pressure", 1, " %"),
            Self::MemoryPressure => ("memory_pressure", 1, " %"),
            Self::IoPressure => ("io_pressure", 1, " %"),
            Self::Temperature => ("temperature", 1, " °C"),
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost { limit, found, at_most } => {
                let (name, decimals, unit) = limit.words();
                let Some(found) = found else { return unread(f, name) };
                let found = up(*found, decimals);
                write!(f, "{name} {found:.decimals$}{unit} is above {at_most}{unit}")
            }
            Self::NoPsiLoad { limit, found } => {
                let (name, found, at_most) = (limit.words().0, up(*found, 2), limits::STAND_IN_LOAD);
                write!(f, "{name}: {NO_PSI}, and load per cpu {found:.2} in its place is above {at_most}")
            }
            Self::NoPsiMemory { found } => {
                let (found, at_least) = ((found * 10.0).floor() / 10.0, limits::STAND_IN_MEMORY_PERCENT);
                write!(
                    f,
                    "memory_pressure: {NO_PSI}, and memory available {found:.1} % in its place is below {at_least} %"
                )
            }
            Self::MemoryAvailable { found: None, .. } => unread(f, "memory_available"),
            Self::MemoryAvailable { found: Some(bytes), at_least } => {
                write!(f, "memory_available {} is below {}", Rounded(*bytes), format_size(*at_least))
            }
            Self::DiskAvailable { path, found: None, .. } => unread(f, &format!("disk_available of {path}")),
            Self::DiskAvailable { path, found: Some(bytes), at_least } => {
                write!(f, "disk_available of {path} {} is below {}", Rounded(*bytes), format_size(*at_least))
            }
            Self::Throttled { found: None } => unread(f, "throttled"),
            Self::Throttled { found: Some(flags) } => {
                write!(f, "throttled: {}", flags.words().collect::<Vec<_>>().join(", "))
            }
            Self::Power { found: None } => unread(f, "power"),
            Self::Power { found: Some(_) } => f.write_str("power is battery, not mains"),
            Self::Battery { found: None, .. } => unread(f, "battery"),
            Self::Battery { found: Some(percent), at_least } => {
                write!(f, "battery {percent} % is below {at_least} %")
            }
            Self::Network { found: None } => unread(f, "network"),
            Self::Network { found: Some(_) } => {
                f.write_str("network is offline: no default route over an interface that is up")
            }
            Self::Clock { found: None } => unread(f, "clock"),
            Self::Clock { found: Some(_) } => f.write_str("clock is not synchronised"),
            Self::Check => f.write_str("check failed"),
        }
    }
}

const NO_PSI: &str = "no PSI in this kernel";

fn unread(f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
    write!(f, "{what} could not be read")
}

/// Rounded up, so that what is above a bound never reads as equal to it.
fn up(value: f32, decimals: usize) -> f32 {
    let factor = if decimals == 2 { 100.0 } else { 10.0 };
    (value * factor).ceil() / factor
}

/// A size for people: one decimal, rounded down, so that what is below a bound never reads as equal to it.
struct Rounded(u64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] =
            [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let Some((unit, factor)) = UNITS.iter().find(|(_, factor)| self.0 >= *factor) else {
            return write!(f, "{}B", self.0);
        };
        let (whole, rest) = (self.0 / factor, self.0 % factor);
        // `rest` is below 2^40: no overflow.
        match rest * 10 / factor {
            0 => write!(f, "{whole}{unit}"),
            tenths => write!(f, "{whole}.{tenths}{unit}"),
        }
    }
}
