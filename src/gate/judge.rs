//! The verdict: requirements against readings. Pure. What could not be read never passes.

use core::fmt;

use crate::job::units::format_size;
use crate::job::{Readings, Require};

/// What the gate says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All holds.
    Pass,
    /// All readings hold; the job's `check` has to be run, and its answer judged as `Readings::check`.
    NeedsCheck,
    /// What does not hold: never empty.
    Shut(Vec<Shortfall>),
}

/// A requirement that does not hold. `found: None`: it could not be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Shortfall {
    /// The machine is too busy.
    LoadPerCpu {
        /// The load.
        found: Option<f32>,
        /// The bound.
        at_most: f32,
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
    /// The `check` command ran and did not exit with 0.
    Check,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadPerCpu { found: None, .. } => f.write_str("load_per_cpu could not be read"),
            Self::LoadPerCpu { found: Some(load), at_most } => {
                // Rounded up, so that what is above a bound never reads as equal to it.
                write!(f, "load_per_cpu {:.2} is above {at_most}", (load * 100.0).ceil() / 100.0)
            }
            Self::MemoryAvailable { found: None, .. } => f.write_str("memory_available could not be read"),
            Self::MemoryAvailable { found: Some(bytes), at_least } => {
                write!(f, "memory_available {} is below {}", Rounded(*bytes), format_size(*at_least))
            }
            Self::DiskAvailable { path, found: None, .. } => {
                write!(f, "disk_available of {path} could not be read")
            }
            Self::DiskAvailable { path, found: Some(bytes), at_least } => {
                write!(f, "disk_available of {path} {} is below {}", Rounded(*bytes), format_size(*at_least))
            }
            Self::Check => f.write_str("check failed"),
        }
    }
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

/// Judges `require` by `readings`.
#[must_use]
pub fn judge(require: &Require, readings: &Readings) -> Verdict {
    let mut short = Vec::new();
    if let Some(at_most) = require.load_per_cpu {
        let found = readings.load_per_cpu.filter(|load| load.is_finite() && *load >= 0.0);
        if found.is_none_or(|load| load > at_most) {
            short.push(Shortfall::LoadPerCpu { found, at_most });
        }
    }
    if let Some(at_least) = require.memory_available {
        let found = readings.memory_available;
        if found.is_none_or(|bytes| bytes < at_least) {
            short.push(Shortfall::MemoryAvailable { found, at_least });
        }
    }
    for floor in &require.disk_available {
        let found = free(readings, &floor.path);
        if found.is_none_or(|bytes| bytes < floor.at_least) {
            short.push(Shortfall::DiskAvailable {
                path: floor.path.clone(),
                found,
                at_least: floor.at_least,
            });
        }
    }
    match (&require.check, readings.check) {
        (Some(_), Some(false)) => short.push(Shortfall::Check),
        (Some(_), None) if short.is_empty() => return Verdict::NeedsCheck,
        (None, _) | (Some(_), _) => (),
    }
    if short.is_empty() { Verdict::Pass } else { Verdict::Shut(short) }
}

/// Those of `readings` that `require` asks for: what a record says about the gate.
#[must_use]
pub fn decided_by(require: &Require, readings: &Readings) -> Readings {
    let mut disk_available: Vec<(String, Option<u64>)> = Vec::new();
    for floor in &require.disk_available {
        if disk_available.iter().all(|(path, _)| *path != floor.path) {
            disk_available.push((floor.path.clone(), free(readings, &floor.path)));
        }
    }
    Readings {
        load_per_cpu: require.load_per_cpu.and(readings.load_per_cpu),
        memory_available: require.memory_available.and(readings.memory_available),
        disk_available,
        check: require.check.as_ref().and(readings.check),
    }
}

fn free(readings: &Readings, path: &str) -> Option<u64> {
    readings.disk_available.iter().find(|(read, _)| read == path).and_then(|(_, free)| *free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::DiskFloor;

    const MIB: u64 = 1 << 20;

    fn all() -> Require {
        Require {
            load_per_cpu: Some(2.0),
            memory_available: Some(64 * MIB),
            disk_available: vec![
                DiskFloor { path: "/".to_owned(), at_least: MIB },
                DiskFloor { path: "/var".to_owned(), at_least: 1 << 30 },
            ],
            check: Some("true".to_owned()),
        }
    }

    fn well() -> Readings {
        Readings {
            load_per_cpu: Some(2.0),
            memory_available: Some(64 * MIB),
            disk_available: vec![("/".to_owned(), Some(MIB)), ("/var".to_owned(), Some(1 << 30))],
            check: Some(true),
        }
    }

    fn shut(require: &Require, readings: &Readings) -> Vec<String> {
        match judge(require, readings) {
            Verdict::Shut(short) => short.iter().map(ToString::to_string).collect(),
            open => panic!("{open:?}"),
        }
    }

    #[test]
    fn what_is_exactly_at_its_bound_passes() {
        assert_eq!(judge(&all(), &well()), Verdict::Pass);
        assert_eq!(judge(&Require::default(), &Readings::default()), Verdict::Pass);
    }

    #[test]
    fn each_shortfall_alone_shuts_the_gate_and_shows_reading_and_bound() {
        let disk = |free| vec![("/".to_owned(), Some(MIB)), ("/var".to_owned(), free)];
        for (readings, said) in [
            (Readings { load_per_cpu: Some(2.001), ..well() }, "load_per_cpu 2.01 is above 2"),
            (Readings { load_per_cpu: None, ..well() }, "load_per_cpu could not be read"),
            (Readings { load_per_cpu: Some(f32::NAN), ..well() }, "load_per_cpu could not be read"),
            (Readings { load_per_cpu: Some(-1.0), ..well() }, "load_per_cpu could not be read"),
            (
                Readings { memory_available: Some(12 * MIB), ..well() },
                "memory_available 12MiB is below 64MiB",
            ),
            (
                Readings { memory_available: Some(64 * MIB - 1), ..well() },
                "memory_available 63.9MiB is below 64MiB",
            ),
            (Readings { memory_available: Some(17), ..well() }, "memory_available 17B is below 64MiB"),
            (Readings { memory_available: None, ..well() }, "memory_available could not be read"),
            (Readings { disk_available: disk(Some(0)), ..well() }, "disk_available of /var 0B is below 1GiB"),
            (Readings { disk_available: disk(None), ..well() }, "disk_available of /var could not be read"),
            (Readings { check: Some(false), ..well() }, "check failed"),
        ] {
            assert_eq!(shut(&all(), &readings), [said]);
        }
    }

    #[test]
    fn nothing_read_passes_nothing() {
        assert_eq!(shut(&all(), &Readings::default()).len(), 4);
    }

    #[test]
    fn the_check_is_asked_for_only_when_all_else_holds() {
        let unasked = Readings { check: None, ..well() };
        assert_eq!(judge(&all(), &unasked), Verdict::NeedsCheck);
        assert_eq!(shut(&all(), &Readings { memory_available: Some(0), ..unasked }).len(), 1);
        let failed = Readings { check: Some(false), ..Readings::default() };
        assert_eq!(
            judge(&Require::default(), &failed),
            Verdict::Pass,
            "another job's check is not this one's"
        );
    }

    #[test]
    fn a_record_gets_only_what_its_own_job_asked_for() {
        let require = Require {
            memory_available: Some(1),
            disk_available: vec![
                DiskFloor { path: "/var".to_owned(), at_least: 1 },
                DiskFloor { path: "/var".to_owned(), at_least: 2 },
                DiskFloor { path: "/gone".to_owned(), at_least: 1 },
            ],
            ..Require::default()
        };
        let decided = decided_by(&require, &well());
        assert_eq!((decided.load_per_cpu, decided.check), (None, None));
        assert_eq!(decided.memory_available, Some(64 * MIB));
        assert_eq!(decided.disk_available, [("/var".to_owned(), Some(1 << 30)), ("/gone".to_owned(), None)]);
    }
}
