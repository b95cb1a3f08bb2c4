//! What a gate may require of the machine, and what was read of it: data only. `gate` judges and probes.

use super::fields::{FieldError, Fields};
use super::text::FieldMap;
use super::{limits, units};

/// `[job.X.require]`: all must hold before the job may start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Require {
    /// 1-minute load average divided by the online cpus, at most.
    pub load_per_cpu: Option<f32>,
    /// `MemAvailable`, at least, in bytes.
    pub memory_available: Option<u64>,
    /// Free space for unprivileged users, at least, per path.
    pub disk_available: Vec<DiskFloor>,
    /// A command that must exit with 0, run as the job's user.
    pub check: Option<String>,
}

/// One entry of `disk_available`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFloor {
    /// Any path on the file system that is meant.
    pub path: String,
    /// Bytes that must be free.
    pub at_least: u64,
}

/// What was read of the machine: each absent where it was not asked for or could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// 1-minute load average divided by the online cpus.
    pub load_per_cpu: Option<f32>,
    /// `MemAvailable`, in bytes.
    pub memory_available: Option<u64>,
    /// Free bytes by path, as the requirement names it; `None`: it could not be read.
    pub disk_available: Vec<(String, Option<u64>)>,
    /// Whether the `check` command passed.
    pub check: Option<bool>,
}

impl Readings {
    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Require {
    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the table.
    ///
    /// # Errors
    /// The first field that is unknown or not allowed.
    pub fn parse(map: &FieldMap) -> Result<Self, FieldError> {
        let mut fields = Fields::below("require", map);
        let require = Self {
            load_per_cpu: fields.optional("load_per_cpu", |value| {
                let load = value.as_f64().filter(|load| *load > 0.0 && *load <= 1_000.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "between 0 and 1,000: only digits are lost"
                )]
                load.map(|load| load as f32)
                    .ok_or_else(|| format!("{value} is not a number above 0, at most 1000"))
            })?,
            memory_available: fields
                .optional("memory_available", |value| units::parse_size(Fields::text(value)?))?,
            disk_available: fields.optional("disk_available", disk_floors)?.unwrap_or_default(),
            check: fields.optional("check", Fields::command)?,
        };
        for name in NOT_YET {
            fields.not_yet(name)?;
        }
        fields.finish()?;
        Ok(require)
    }
}

/// Requirements of the design that no probe serves yet.
const NOT_YET: [&str; 9] = [
    "cpu_pressure",
    "memory_pressure",
    "io_pressure",
    "temperature",
    "throttled",
    "power",
    "battery",
    "network",
    "clock",
];

fn disk_floors(value: &serde_json::Value) -> Result<Vec<DiskFloor>, String> {
    let allowed = || "write a list of {path=\"/var\", at_least=\"1GiB\"}".to_owned();
    let list = value.as_array().ok_or_else(allowed)?;
    if list.is_empty() || list.len() > limits::DISK_PATHS {
        return Err(format!("{} paths; 1 to {} are allowed", list.len(), limits::DISK_PATHS));
    }
    list.iter()
        .map(|entry| {
            let map = entry.as_object().ok_or_else(allowed)?;
            let mut fields = Fields::new(map);
            let path = fields.required("path", Fields::absolute_path).map_err(|error| error.to_string())?;
            let at_least = fields
                .required("at_least", |value| units::parse_size(Fields::text(value)?))
                .map_err(|error| error.to_string())?;
            fields.finish().map_err(|error| error.to_string())?;
            Ok(DiskFloor { path, at_least })
        })
        .collect()
}

/// The wire form of [`Readings`]: a list of what is there in the journal (variants are append-only, so that a new
/// probe changes no old byte), a map without what is absent in JSON.
mod wire {
    use super::Readings;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    enum Reading {
        LoadPerCpu(f32),
        MemoryAvailable(u64),
        DiskAvailable(String, Option<u64>),
        Check(bool),
    }

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Json {
        #[serde(skip_serializing_if = "Option::is_none")]
        load_per_cpu: Option<f32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        memory_available: Option<u64>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        disk_available: BTreeMap<String, Option<u64>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        check: Option<bool>,
    }

    impl Serialize for Readings {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Self { load_per_cpu, memory_available, disk_available, check } = self.clone();
            if serializer.is_human_readable() {
                let disk_available = disk_available.into_iter().collect();
                return Json { load_per_cpu, memory_available, disk_available, check }.serialize(serializer);
            }
            let mut list = Vec::new();
            list.extend(load_per_cpu.map(Reading::LoadPerCpu));
            list.extend(memory_available.map(Reading::MemoryAvailable));
            list.extend(disk_available.into_iter().map(|(path, free)| Reading::DiskAvailable(path, free)));
            list.extend(check.map(Reading::Check));
            list.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Readings {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if deserializer.is_human_readable() {
                let Json { load_per_cpu, memory_available, disk_available, check } =
                    Json::deserialize(deserializer)?;
                let disk_available = disk_available.into_iter().collect();
                return Ok(Self { load_per_cpu, memory_available, disk_available, check });
            }
            let mut readings = Self::default();
            for reading in Vec::<Reading>::deserialize(deserializer)? {
                match reading {
                    Reading::LoadPerCpu(load) => readings.load_per_cpu = Some(load),
                    Reading::MemoryAvailable(bytes) => readings.memory_available = Some(bytes),
                    Reading::DiskAvailable(path, free) => readings.disk_available.push((path, free)),
                    Reading::Check(passed) => readings.check = Some(passed),
                }
            }
            Ok(readings)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn readings_survive_both_forms() {
            let readings = Readings {
                load_per_cpu: Some(0.5),
                memory_available: None,
                disk_available: vec![("/".to_owned(), Some(7)), ("/x".to_owned(), None)],
                check: Some(false),
            };
            let bytes = postcard::to_stdvec(&readings).unwrap();
            assert_eq!(postcard::from_bytes::<Readings>(&bytes).unwrap(), readings);
            let json = serde_json::to_string(&readings).unwrap();
            assert_eq!(json, r#"{"load_per_cpu":0.5,"disk_available":{"/":7,"/x":null},"check":false}"#);
            assert_eq!(serde_json::from_str::<Readings>(&json).unwrap(), readings);
            assert_eq!(postcard::to_stdvec(&Readings::default()).unwrap(), [0]);
        }
    }
}
