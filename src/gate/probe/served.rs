//! What this kernel cannot serve, and what would help.

use super::{Probe, heat};
use crate::gate::Wanted;
use crate::job::{Pressure, Readings, Resource};

/// A requirement that cannot be read here as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcoming {
    /// The field of a definition, as `require.cpu_pressure`.
    pub field: &'static str,
    /// Why, what comes of it, and what would help.
    pub why: &'static str,
}

impl Probe {
    /// The requirements that cannot be read here, or by something else in their place.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<Shortcoming> {
        let mut readings = self.read(&Wanted::machine().quietly());
        readings.throttled = heat::is_told(&self.root).then_some(crate::job::Throttled(0));
        Resource::ALL
            .into_iter()
            .filter_map(|resource| {
                Some(Shortcoming { field: resource.field(), why: why(resource, &readings)? })
            })
            .collect()
    }
}

/// Why it cannot be served; nothing where it can.
fn why(resource: Resource, readings: &Readings) -> Option<&'static str> {
    let never = |unreadable: bool, why| unreadable.then_some(why);
    match resource {
        Resource::LoadPerCpu => never(
            readings.load_per_cpu.is_none(),
            "/proc/loadavg and the number of cpus cannot be read on this machine, so it never holds",
        ),
        Resource::MemoryAvailable => never(
            readings.memory_available.is_none(),
            "/proc/meminfo does not say what is available on this machine, so it never holds",
        ),
        Resource::CpuPressure => pressure(readings.cpu_pressure),
        Resource::MemoryPressure => pressure(readings.memory_pressure),
        Resource::IoPressure => pressure(readings.io_pressure),
        Resource::Temperature => never(
            readings.temperature.is_none(),
            "no zone of /sys/class/thermal has a temperature on this machine, so it never holds",
        ),
        Resource::Throttled => never(
            readings.throttled.is_none(),
            "no Raspberry Pi firmware tells it here (get_throttled, kept up by the driver raspberrypi-hwmon), so it never holds",
        ),
        Resource::Power => never(
            readings.power.is_none(),
            "no supply in /sys/class/power_supply tells what this machine runs on, so it never holds",
        ),
        Resource::Battery => never(
            readings.battery.is_none(),
            "no battery in /sys/class/power_supply tells its charge here, so it never holds",
        ),
        Resource::Network => never(
            readings.network.is_none(),
            "/proc/net/route cannot be read on this machine, so it never holds",
        ),
    }
}

fn pressure(found: Option<Pressure>) -> Option<&'static str> {
    match found {
        Some(Pressure::Some10(_)) => None,
        Some(Pressure::Load(_)) => Some(
            "this kernel serves no PSI: a load per cpu of at most 1 counts in its place; `psi=1` on the kernel's command line brings it if it was built with CONFIG_PSI",
        ),
        Some(Pressure::Available(_)) => Some(
            "this kernel serves no PSI: at least 10 % of memory available counts in its place; `psi=1` on the kernel's command line brings it if it was built with CONFIG_PSI",
        ),
        None => Some(
            "/proc/pressure cannot be read on this machine, nor what could stand in for it, so it never holds",
        ),
    }
}
