//! What a gate may require of the machine: data only. `gate` judges and probes.

use serde_json::Value;

use super::fields::{FieldError, Fields};
use super::readings::{Network, Power};
use super::text::FieldMap;
use super::time::Clock;
use super::{limits, units};

/// `[job.X.require]`: all must hold before the job may start. What is given as one value must be read as just that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Require {
    /// 1-minute load average divided by the online cpus, at most.
    pub load_per_cpu: Option<f32>,
    /// `MemAvailable`, at least, in bytes.
    pub memory_available: Option<u64>,
    /// Free space for unprivileged users, at least, per path.
    pub disk_available: Vec<DiskFloor>,
    /// The share of the last 10 s in which some task waited for a cpu, in percent, at most.
    pub cpu_pressure: Option<f32>,
    /// The same of memory.
    pub memory_pressure: Option<f32>,
    /// The same of storage.
    pub io_pressure: Option<f32>,
    /// The hottest thermal zone, in degrees Celsius, at most.
    pub temperature: Option<f32>,
    /// `false`: the Raspberry Pi's firmware holds nothing back now.
    pub throttled: Option<bool>,
    /// What the machine runs on.
    pub power: Option<Power>,
    /// The emptiest battery, in percent, at least.
    pub battery: Option<u8>,
    /// Whether there is a way out.
    pub network: Option<Network>,
    /// What the wall clock is worth.
    pub clock: Option<Clock>,
    /// A command that must exit with 0, run as the job's user.
    pub check: Option<String>,
}

/// What the machine can be asked at once, without a path, a clock or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `load_per_cpu`
    LoadPerCpu,
    /// `memory_available`
    MemoryAvailable,
    /// `cpu_pressure`
    CpuPressure,
    /// `memory_pressure`
    MemoryPressure,
    /// `io_pressure`
    IoPressure,
    /// `temperature`
    Temperature,
    /// `throttled`
    Throttled,
    /// `power`
    Power,
    /// `battery`
    Battery,
    /// `network`
    Network,
}

impl Resource {
    /// All of them, in the order of the design.
    pub const ALL: [Self; 10] = [
        Self::LoadPerCpu,
        Self::MemoryAvailable,
        Self::CpuPressure,
        Self::MemoryPressure,
        Self::IoPressure,
        Self::Temperature,
        Self::Throttled,
        Self::Power,
        Self::Battery,
        Self::Network,
    ];

    /// The field of a definition that asks for it, as `require.power`.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::LoadPerCpu => "require.load_per_cpu",
            Self::MemoryAvailable => "require.memory_available",
            Self::CpuPressure => "require.cpu_pressure",
            Self::MemoryPressure => "require.memory_pressure",
            Self::IoPressure => "require.io_pressure",
            Self::Temperature => "require.temperature",
            Self::Throttled => "require.throttled",
            Self::Power => "require.power",
            Self::Battery => "require.battery",
            Self::Network => "require.network",
        }
    }
}

/// One entry of `disk_available`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFloor {
    /// Any path on the file system that is meant.
    pub path: String,
    /// Bytes that must be free.
    pub at_least: u64,
}

impl Require {
    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of the machine has to be read for it, besides paths, the clock and the `check`.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        Resource::ALL.into_iter().filter(|resource| match resource {
            Resource::LoadPerCpu => self.load_per_cpu.is_some(),
            Resource::MemoryAvailable => self.memory_available.is_some(),
            Resource::CpuPressure => self.cpu_pressure.is_some(),
            Resource::MemoryPressure => self.memory_pressure.is_some(),
            Resource::IoPressure => self.io_pressure.is_some(),
            Resource::Temperature => self.temperature.is_some(),
            Resource::Throttled => self.throttled.is_some(),
            Resource::Power => self.power.is_some(),
            Resource::Battery => self.battery.is_some(),
            Resource::Network => self.network.is_some(),
        })
    }

    /// Reads the table.
    ///
    /// # Errors
    /// The first field that is unknown or not allowed.
    pub fn parse(map: &FieldMap) -> Result<Self, FieldError> {
        let mut fields = Fields::below("require", map);
        let require = Self {
            load_per_cpu: fields.optional("load_per_cpu", load)?,
            memory_available: fields
                .optional("memory_available", |value| units::parse_size(Fields::text(value)?))?,
            disk_available: fields.optional("disk_available", disk_floors)?.unwrap_or_default(),
            cpu_pressure: fields.optional("cpu_pressure", pressure)?,
            memory_pressure: fields.optional("memory_pressure", pressure)?,
            io_pressure: fields.optional("io_pressure", pressure)?,
            temperature: fields.optional("temperature", temperature)?,
            throttled: fields.optional("throttled", throttled)?,
            power: fields.optional("power", |value| Fields::one_of(value, &[("mains", Power::Mains)]))?,
            battery: fields.optional("battery", |value| Fields::whole(value, 1..=100))?,
            network: fields
                .optional("network", |value| Fields::one_of(value, &[("online", Network::Online)]))?,
            clock: fields.optional("clock", |value| Fields::one_of(value, &[("synced", Clock::Synced)]))?,
            check: fields.optional("check", Fields::command)?,
        };
        fields.finish()?;
        Ok(require)
    }
}

fn load(value: &Value) -> Result<f32, String> {
    let allowed = || format!("{value} is not a number above 0, at most 1000");
    number(value).filter(|load| *load > 0.0 && *load <= 1_000.0).ok_or_else(allowed)
}

fn pressure(value: &Value) -> Result<f32, String> {
    let allowed = || format!("{value} is not a number of percent in 0-100");
    number(value).filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(allowed)
}

fn temperature(value: &Value) -> Result<f32, String> {
    let allowed = || format!("{value} is not a number of degrees Celsius in 1-150");
    number(value).filter(|degrees| (1.0..=150.0).contains(degrees)).ok_or_else(allowed)
}

/// A machine that has to be throttled is nothing to ask for.
fn throttled(value: &Value) -> Result<bool, String> {
    (*value == Value::Bool(false)).then_some(false).ok_or_else(|| format!("{value} is not false"))
}

fn number(value: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "what is too large becomes infinite, and is refused")]
    value.as_f64().map(|number| number as f32)
}

fn disk_floors(value: &Value) -> Result<Vec<DiskFloor>, String> {
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
