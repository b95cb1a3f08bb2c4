//! Readings of a machine, in words.

use leafcron::job::units::format_size;
use leafcron::job::{Network, Power, Pressure, Readings};

/// Each requirement's name with what is read of it now; `None`: it cannot be read here.
pub(crate) fn rows(readings: &Readings) -> Vec<(String, Option<String>)> {
    let percent = |pressure: Pressure| match pressure {
        Pressure::Some10(percent) => format!("{percent:.1} %"),
        Pressure::Load(load) => format!("load per cpu {load:.2} instead"),
        Pressure::Available(percent) => format!("{percent:.1} % of memory available instead"),
    };
    let mut rows = vec![
        ("load_per_cpu".to_owned(), readings.load_per_cpu.map(|load| format!("{load:.2}"))),
        ("memory_available".to_owned(), readings.memory_available.map(size)),
        ("cpu_pressure".to_owned(), readings.cpu_pressure.map(percent)),
        ("memory_pressure".to_owned(), readings.memory_pressure.map(percent)),
        ("io_pressure".to_owned(), readings.io_pressure.map(percent)),
        ("temperature".to_owned(), readings.temperature.map(|degrees| format!("{degrees:.1} °C"))),
        (
            "throttled".to_owned(),
            readings.throttled.map(|flags| match flags.words().collect::<Vec<_>>() {
                flags if flags.is_empty() => "no".to_owned(),
                flags => flags.join(", "),
            }),
        ),
        (
            "power".to_owned(),
            readings.power.map(|power| {
                match power {
                    Power::Mains => "mains",
                    Power::Battery => "battery",
                }
                .to_owned()
            }),
        ),
        ("battery".to_owned(), readings.battery.map(|percent| format!("{percent} %"))),
        (
            "network".to_owned(),
            readings.network.map(|network| {
                match network {
                    Network::Online => "online",
                    Network::Offline => "offline",
                }
                .to_owned()
            }),
        ),
        ("clock".to_owned(), readings.clock.map(crate::words::word)),
    ];
    for (path, free) in &readings.disk_available {
        rows.push((format!("disk_available of {path}"), free.map(size)));
    }
    rows
}

/// A size in the largest unit that leaves a number of at most four digits.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 1;
    while bytes / unit >= 10_000 && unit < 1 << 40 {
        unit <<= 10;
    }
    format_size(bytes / unit * unit)
}
