//! The verdict: requirements against readings. Pure. What could not be read never passes.

use super::shortfall::{Limit, Shortfall};
use crate::job::{Pressure, Readings, Require, limits};

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

/// Judges `require` by `readings`.
#[must_use]
pub fn judge(require: &Require, readings: &Readings) -> Verdict {
    let mut short: Vec<Shortfall> = machine(require, readings).into_iter().flatten().collect();
    short.extend(require.disk_available.iter().filter_map(|floor| {
        let found = free(readings, &floor.path);
        let holds = found.is_some_and(|bytes| bytes >= floor.at_least);
        (!holds).then(|| Shortfall::DiskAvailable {
            path: floor.path.clone(),
            found,
            at_least: floor.at_least,
        })
    }));
    match (&require.check, readings.check) {
        (Some(_), Some(false)) => short.push(Shortfall::Check),
        (Some(_), None) if short.is_empty() => return Verdict::NeedsCheck,
        (None, _) | (Some(_), _) => (),
    }
    if short.is_empty() { Verdict::Pass } else { Verdict::Shut(short) }
}

/// All that needs no path and no command, in the order of the design.
fn machine(require: &Require, readings: &Readings) -> [Option<Shortfall>; 11] {
    let Require { load_per_cpu, memory_available, cpu_pressure, memory_pressure, io_pressure, .. } = *require;
    let Require { temperature, throttled, power, battery, network, clock, .. } = *require;
    let memory = readings.memory_available;
    [
        load_per_cpu.and_then(|at_most| {
            let found = number(readings.load_per_cpu);
            let holds = found.is_some_and(|load| load <= at_most);
            (!holds).then_some(Shortfall::AtMost { limit: Limit::LoadPerCpu, found, at_most })
        }),
        memory_available.and_then(|at_least| {
            let holds = memory.is_some_and(|bytes| bytes >= at_least);
            (!holds).then_some(Shortfall::MemoryAvailable { found: memory, at_least })
        }),
        pressure(Limit::CpuPressure, cpu_pressure, readings.cpu_pressure),
        pressure(Limit::MemoryPressure, memory_pressure, readings.memory_pressure),
        pressure(Limit::IoPressure, io_pressure, readings.io_pressure),
        temperature.and_then(|at_most| {
            let found = readings.temperature.filter(|degrees| degrees.is_finite());
            let holds = found.is_some_and(|degrees| degrees <= at_most);
            (!holds).then_some(Shortfall::AtMost { limit: Limit::Temperature, found, at_most })
        }),
        throttled.and_then(|_| {
            let found = readings.throttled;
            let holds = found.is_some_and(|flags| flags.0 == 0);
            (!holds).then_some(Shortfall::Throttled { found })
        }),
        power.and_then(|power| {
            let found = readings.power;
            (found != Some(power)).then_some(Shortfall::Power { found })
        }),
        battery.and_then(|at_least| {
            let found = readings.battery;
            let holds = found.is_some_and(|percent| percent >= at_least);
            (!holds).then_some(Shortfall::Battery { found, at_least })
        }),
        network.and_then(|network| {
            let found = readings.network;
            (found != Some(network)).then_some(Shortfall::Network { found })
        }),
        clock.and_then(|clock| {
            let found = readings.clock;
            (found != Some(clock)).then_some(Shortfall::Clock { found })
        }),
    ]
}

/// By PSI, or by what stands in for it.
fn pressure(limit: Limit, at_most: Option<f32>, found: Option<Pressure>) -> Option<Shortfall> {
    let at_most = at_most?;
    let unreadable = || Shortfall::AtMost { limit, found: None, at_most };
    let (value, holds, short) = match found {
        None => return Some(unreadable()),
        Some(Pressure::Some10(percent)) => {
            let short = Shortfall::AtMost { limit, found: Some(percent), at_most };
            (percent, percent <= at_most, short)
        }
        Some(Pressure::Load(load)) => {
            let short = Shortfall::NoPsiLoad { limit, found: load };
            (load, load <= limits::STAND_IN_LOAD, short)
        }
        Some(Pressure::Available(percent)) => {
            let short = Shortfall::NoPsiMemory { found: percent };
            (percent, percent >= limits::STAND_IN_MEMORY_PERCENT, short)
        }
    };
    match number(Some(value)) {
        None => Some(unreadable()),
        Some(_) if holds => None,
        Some(_) => Some(short),
    }
}

/// A number that a load or a share can be.
fn number(value: Option<f32>) -> Option<f32> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
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
        cpu_pressure: require.cpu_pressure.and(readings.cpu_pressure),
        memory_pressure: require.memory_pressure.and(readings.memory_pressure),
        io_pressure: require.io_pressure.and(readings.io_pressure),
        temperature: require.temperature.and(readings.temperature),
        throttled: require.throttled.and(readings.throttled),
        power: require.power.and(readings.power),
        battery: require.battery.and(readings.battery),
        network: require.network.and(readings.network),
        clock: require.clock.and(readings.clock),
        check: require.check.as_ref().and(readings.check),
    }
}

fn free(readings: &Readings, path: &str) -> Option<u64> {
    readings.disk_available.iter().find(|(read, _)| read == path).and_then(|(_, free)| *free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, DiskFloor, Network, Power, Throttled};

    const MIB: u64 = 1 << 20;

    fn all() -> Require {
        Require {
            load_per_cpu: Some(2.0),
            memory_available: Some(64 * MIB),
            disk_available: vec![
                DiskFloor { path: "/".to_owned(), at_least: MIB },
                DiskFloor { path: "/var".to_owned(), at_least: 1 << 30 },
            ],
            cpu_pressure: Some(40.0),
            memory_pressure: Some(10.0),
            io_pressure: Some(0.0),
            temperature: Some(75.0),
            throttled: Some(false),
            power: Some(Power::Mains),
            battery: Some(30),
            network: Some(Network::Online),
            clock: Some(Clock::Synced),
            check: Some("true".to_owned()),
        }
    }

    fn well() -> Readings {
        Readings {
            load_per_cpu: Some(2.0),
            memory_available: Some(64 * MIB),
            disk_available: vec![("/".to_owned(), Some(MIB)), ("/var".to_owned(), Some(1 << 30))],
            cpu_pressure: Some(Pressure::Some10(40.0)),
            memory_pressure: Some(Pressure::Some10(10.0)),
            io_pressure: Some(Pressure::Some10(0.0)),
            temperature: Some(75.0),
            throttled: Some(Throttled(0)),
            power: Some(Power::Mains),
            battery: Some(30),
            network: Some(Network::Online),
            clock: Some(Clock::Synced),
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
        let stand_ins = Readings {
            cpu_pressure: Some(Pressure::Load(1.0)),
            memory_pressure: Some(Pressure::Available(10.0)),
            io_pressure: Some(Pressure::Load(1.0)),
            ..well()
        };
        assert_eq!(judge(&all(), &stand_ins), Verdict::Pass);
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
            (Readings { temperature: Some(75.04), ..well() }, "temperature 75.1 °C is above 75 °C"),
            (Readings { temperature: None, ..well() }, "temperature could not be read"),
            (Readings { temperature: Some(f32::NAN), ..well() }, "temperature could not be read"),
            (Readings { throttled: Some(Throttled(0b101)), ..well() }, "throttled: under-voltage, throttled"),
            (Readings { throttled: None, ..well() }, "throttled could not be read"),
            (Readings { power: Some(Power::Battery), ..well() }, "power is battery, not mains"),
            (Readings { power: None, ..well() }, "power could not be read"),
            (Readings { battery: Some(29), ..well() }, "battery 29 % is below 30 %"),
            (Readings { battery: None, ..well() }, "battery could not be read"),
            (
                Readings { network: Some(Network::Offline), ..well() },
                "network is offline: no default route over an interface that is up",
            ),
            (Readings { network: None, ..well() }, "network could not be read"),
            (Readings { clock: Some(Clock::Unsynced), ..well() }, "clock is not synchronised"),
            (Readings { clock: None, ..well() }, "clock could not be read"),
            (Readings { check: Some(false), ..well() }, "check failed"),
        ] {
            assert_eq!(shut(&all(), &readings), [said]);
        }
    }

    #[test]
    fn pressure_is_judged_by_psi_or_by_what_stands_in_for_it() {
        let cpu = |pressure| Readings { cpu_pressure: pressure, ..well() };
        let memory = |pressure| Readings { memory_pressure: pressure, ..well() };
        let io = |pressure| Readings { io_pressure: pressure, ..well() };
        for (readings, said) in [
            (cpu(Some(Pressure::Some10(40.01))), "cpu_pressure 40.1 % is above 40 %"),
            (cpu(Some(Pressure::Some10(f32::INFINITY))), "cpu_pressure could not be read"),
            (cpu(Some(Pressure::Some10(-1.0))), "cpu_pressure could not be read"),
            (cpu(None), "cpu_pressure could not be read"),
            (
                cpu(Some(Pressure::Load(1.5))),
                "cpu_pressure: no PSI in this kernel, and load per cpu 1.50 in its place is above 1",
            ),
            (cpu(Some(Pressure::Load(f32::NAN))), "cpu_pressure could not be read"),
            (memory(Some(Pressure::Some10(11.0))), "memory_pressure 11.0 % is above 10 %"),
            (
                memory(Some(Pressure::Available(9.96))),
                "memory_pressure: no PSI in this kernel, and memory available 9.9 % in its place is below 10 %",
            ),
            (io(Some(Pressure::Some10(0.1))), "io_pressure 0.1 % is above 0 %"),
            (
                io(Some(Pressure::Load(1.01))),
                "io_pressure: no PSI in this kernel, and load per cpu 1.01 in its place is above 1",
            ),
        ] {
            assert_eq!(shut(&all(), &readings), [said]);
        }
    }

    #[test]
    fn nothing_read_passes_nothing() {
        assert_eq!(shut(&all(), &Readings::default()).len(), 13);
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
        let expected = Readings {
            memory_available: Some(64 * MIB),
            disk_available: vec![("/var".to_owned(), Some(1 << 30)), ("/gone".to_owned(), None)],
            ..Readings::default()
        };
        assert_eq!(decided, expected);
        let all = decided_by(&all(), &well());
        assert_eq!(all, well());
    }
}
