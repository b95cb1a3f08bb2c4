//! What was read of the machine for a gate: data only, and its two wire forms.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Clock;

/// What was read of the machine: each absent where it was not asked for or could not be read.
///
/// In JSON a map without what is absent; in the journal a list of what is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
pub struct Readings {
    /// 1-minute load average divided by the online cpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_per_cpu: Option<f32>,
    /// `MemAvailable`, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available: Option<u64>,
    /// Free bytes by path, as the requirement names it; `None`: it could not be read.
    #[serde(with = "by_path", skip_serializing_if = "Vec::is_empty")]
    pub disk_available: Vec<(String, Option<u64>)>,
    /// How long tasks wait for a cpu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<Pressure>,
    /// How long tasks wait for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<Pressure>,
    /// How long tasks wait for storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_pressure: Option<Pressure>,
    /// The hottest thermal zone, in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// What the Raspberry Pi's firmware holds back now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttled>,
    /// What the machine runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// The emptiest battery, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<u8>,
    /// Whether there is a way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What the wall clock is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Whether the `check` command passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<bool>,
}

/// How long tasks wait for a resource. In JSON a number where the kernel tells it, else a map that names the stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Pressure {
    /// PSI: the share of the last 10 s in which some task waited, in percent.
    Some10(f32),
    /// This kernel serves no PSI; in its place, for cpu and io: the load per cpu.
    Load(f32),
    /// In its place, for memory: `MemAvailable` in percent of `MemTotal`.
    Available(f32),
}

/// [`Pressure`] in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Shown {
    Some10(f32),
    Load { load_per_cpu: f32 },
    Available { memory_available_percent: f32 },
}

/// The current flags of the Raspberry Pi's firmware, `get_throttled` bits 0-3. In JSON a list of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Flag>", into = "Vec<Flag>")]
pub struct Throttled(pub u8);

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flag {
    UnderVoltage,
    FrequencyCapped,
    Throttled,
    SoftTemperatureLimit,
}

/// What a machine runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// A supply that does not run out.
    Mains,
    /// A battery.
    Battery,
}

/// Whether a machine has a way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A default route over an interface that is up, or of which nothing is known.
    Online,
    /// None.
    Offline,
}

impl Readings {
    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Throttled {
    const FLAGS: [(u8, Flag, &'static str); 4] = [
        (1, Flag::UnderVoltage, "under-voltage"),
        (2, Flag::FrequencyCapped, "frequency capped"),
        (4, Flag::Throttled, "throttled"),
        (8, Flag::SoftTemperatureLimit, "soft temperature limit"),
    ];

    /// The flags that are set, in words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::FLAGS.into_iter().filter(move |(bit, ..)| self.0 & bit != 0).map(|(.., words)| words)
    }
}

impl From<Vec<Flag>> for Throttled {
    fn from(flags: Vec<Flag>) -> Self {
        Self(flags.into_iter().fold(0, |bits, flag| bits | 1 << flag as u8))
    }
}

impl From<Throttled> for Vec<Flag> {
    fn from(throttled: Throttled) -> Self {
        let set = Throttled::FLAGS.into_iter().filter(|(bit, ..)| throttled.0 & bit != 0);
        set.map(|(_, flag, _)| flag).collect()
    }
}

/// One reading in the journal: variants are append-only, so that a new probe changes no old byte.
#[derive(Serialize, Deserialize)]
enum Reading {
    LoadPerCpu(f32),
    MemoryAvailable(u64),
    DiskAvailable(String, Option<u64>),
    Check(bool),
    CpuPressure(Pressure),
    MemoryPressure(Pressure),
    IoPressure(Pressure),
    Temperature(f32),
    Throttled(u8),
    Power(Power),
    Battery(u8),
    Network(Network),
    Clock(Clock),
}

impl Serialize for Readings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Self::serialize(self, serializer);
        }
        let mut list = Vec::new();
        list.extend(self.load_per_cpu.map(Reading::LoadPerCpu));
        list.extend(self.memory_available.map(Reading::MemoryAvailable));
        list.extend(
            self.disk_available.iter().cloned().map(|(path, free)| Reading::DiskAvailable(path, free)),
        );
        list.extend(self.check.map(Reading::Check));
        list.extend(self.cpu_pressure.map(Reading::CpuPressure));
        list.extend(self.memory_pressure.map(Reading::MemoryPressure));
        list.extend(self.io_pressure.map(Reading::IoPressure));
        list.extend(self.temperature.map(Reading::Temperature));
        list.extend(self.throttled.map(|flags| Reading::Throttled(flags.0)));
        list.extend(self.power.map(Reading::Power));
        list.extend(self.battery.map(Reading::Battery));
        list.extend(self.network.map(Reading::Network));
        list.extend(self.clock.map(Reading::Clock));
        list.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Readings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::deserialize(deserializer);
        }
        let mut readings = Self::default();
        for reading in Vec::<Reading>::deserialize(deserializer)? {
            match reading {
                Reading::LoadPerCpu(load) => readings.load_per_cpu = Some(load),
                Reading::MemoryAvailable(bytes) => readings.memory_available = Some(bytes),
                Reading::DiskAvailable(path, free) => readings.disk_available.push((path, free)),
                Reading::Check(passed) => readings.check = Some(passed),
                Reading::CpuPressure(pressure) => readings.cpu_pressure = Some(pressure),
                Reading::MemoryPressure(pressure) => readings.memory_pressure = Some(pressure),
                Reading::IoPressure(pressure) => readings.io_pressure = Some(pressure),
                Reading::Temperature(degrees) => readings.temperature = Some(degrees),
                Reading::Throttled(flags) => readings.throttled = Some(Throttled(flags)),
                Reading::Power(power) => readings.power = Some(power),
                Reading::Battery(percent) => readings.battery = Some(percent),
                Reading::Network(network) => readings.network = Some(network),
                Reading::Clock(clock) => readings.clock = Some(clock),
            }
        }
        Ok(readings)
    }
}

impl Serialize for Pressure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return Self::serialize(self, serializer);
        }
        match *self {
            Self::Some10(percent) => Shown::Some10(percent),
            Self::Load(load_per_cpu) => Shown::Load { load_per_cpu },
            Self::Available(percent) => Shown::Available { memory_available_percent: percent },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pressure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Self::deserialize(deserializer);
        }
        Ok(match Shown::deserialize(deserializer)? {
            Shown::Some10(percent) => Self::Some10(percent),
            Shown::Load { load_per_cpu } => Self::Load(load_per_cpu),
            Shown::Available { memory_available_percent } => Self::Available(memory_available_percent),
        })
    }
}

/// A map in JSON; the journal's list does not come here.
mod by_path {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    type ByPath = [(String, Option<u64>)];

    pub(super) fn serialize<S: Serializer>(list: &ByPath, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(list.iter().map(|(path, free)| (path, free)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Option<u64>)>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
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
            cpu_pressure: Some(Pressure::Some10(12.5)),
            memory_pressure: Some(Pressure::Available(30.5)),
            io_pressure: Some(Pressure::Load(0.5)),
            temperature: Some(61.2),
            throttled: Some(Throttled(0b1001)),
            power: Some(Power::Battery),
            battery: Some(40),
            network: Some(Network::Online),
            clock: Some(Clock::Unsynced),
            check: Some(false),
        };
        let bytes = postcard::to_stdvec(&readings).unwrap();
        assert_eq!(postcard::from_bytes::<Readings>(&bytes).unwrap(), readings);
        let json = serde_json::to_string(&readings).unwrap();
        let expected = concat!(
            r#"{"load_per_cpu":0.5,"disk_available":{"/":7,"/x":null},"cpu_pressure":12.5,"#,
            r#""memory_pressure":{"memory_available_percent":30.5},"io_pressure":{"load_per_cpu":0.5},"temperature":61.2,"#,
            r#""throttled":["under_voltage","soft_temperature_limit"],"power":"battery","battery":40,"#,
            r#""network":"online","clock":"unsynced","check":false}"#
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Readings>(&json).unwrap(), readings);
        assert_eq!(postcard::to_stdvec(&Readings::default()).unwrap(), [0]);
        assert_eq!(serde_json::to_string(&Readings::default()).unwrap(), "{}");
    }

    #[test]
    fn the_flags_of_the_firmware_have_names() {
        assert_eq!(Throttled(0b0110).words().collect::<Vec<_>>(), ["frequency capped", "throttled"]);
        assert_eq!(Throttled(0).words().count(), 0);
    }
}
