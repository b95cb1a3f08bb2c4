//! The probe reads real layouts as they are, and hostile ones as nothing.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

use leafcron::gate::{Probe, Verdict, Wanted, judge};
use leafcron::job::{DiskFloor, Network, Power, Pressure, Readings, Require, Resource, Throttled};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn all(name: &str) -> Readings {
    Probe::new(fixture(name)).read(&Wanted::machine())
}

fn unserved(probe: &Probe) -> Vec<&'static str> {
    probe.shortcomings().into_iter().map(|it| it.field.strip_prefix("require.").unwrap()).collect()
}

fn disk(path: &str) -> Require {
    let floor = DiskFloor { path: path.to_owned(), at_least: 1 };
    Require { disk_available: vec![floor], ..Require::default() }
}

/// A machine that a test makes up.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn read(&self) -> Readings {
        Probe::new(self.0.path()).read(&Wanted::machine())
    }
}

#[test]
fn a_pi_zero_is_well_and_its_pressure_is_told_by_what_stands_in_for_psi() {
    let expected = Readings {
        load_per_cpu: Some(0.42),
        memory_available: Some(330_180 * 1024),
        cpu_pressure: Some(Pressure::Load(0.42)),
        memory_pressure: Some(Pressure::Available(330_180.0 / 440_372.0 * 100.0)),
        io_pressure: Some(Pressure::Load(0.42)),
        temperature: Some(41.704),
        throttled: Some(Throttled(0)),
        network: Some(Network::Online),
        ..Readings::default()
    };
    assert_eq!(all("pi-zero"), expected);
    let probe = Probe::new(fixture("pi-zero"));
    assert_eq!(unserved(&probe), ["cpu_pressure", "memory_pressure", "io_pressure", "power", "battery"]);
    let told: Vec<_> = probe.shortcomings().into_iter().map(|it| it.why).collect();
    assert!(told[..3].iter().all(|why| why.contains("psi=1")), "{told:?}");
    assert!(told[3..].iter().all(|why| why.contains("never holds")), "{told:?}");
}

#[test]
fn a_pi_3_is_hot_short_of_volts_and_cut_off() {
    let readings = all("pi-3b");
    assert_eq!(readings.load_per_cpu, Some(0.21));
    assert_eq!(readings.memory_available, Some(561_872 * 1024));
    assert_eq!(readings.disk_available, []);
    assert_eq!(readings.temperature, Some(82.618));
    assert_eq!(readings.throttled, Some(Throttled(0b0101)));
    assert_eq!(readings.throttled.unwrap().words().collect::<Vec<_>>(), ["under-voltage", "throttled"]);
    assert_eq!(readings.network, Some(Network::Offline), "no default route but the one that rejects");
}

#[test]
fn a_pi_5_tells_its_pressure_and_what_was_once_is_not_now() {
    let readings = all("pi-5");
    assert_eq!(readings.load_per_cpu, Some(0.55));
    assert_eq!(readings.cpu_pressure, Some(Pressure::Some10(12.34)));
    assert_eq!(readings.memory_pressure, Some(Pressure::Some10(0.0)));
    assert_eq!(readings.io_pressure, Some(Pressure::Some10(3.07)));
    assert_eq!(readings.throttled, Some(Throttled(0)), "e0000: at some time since it booted");
    assert_eq!(readings.network, Some(Network::Online), "over the second of two routes");
    assert_eq!(unserved(&Probe::new(fixture("pi-5"))), ["power", "battery"]);
}

#[test]
fn a_laptop_on_its_battery_is_told_from_its_mouse_and_its_empty_bay() {
    let readings = all("laptop");
    assert_eq!((readings.power, readings.battery), (Some(Power::Battery), Some(64)));
    assert_eq!(readings.cpu_pressure, Some(Pressure::Some10(1.5)));
    assert_eq!(readings.temperature, Some(63.0), "the hottest, and none of the sensor that is off");
    assert_eq!(readings.throttled, None);
    assert_eq!(readings.network, Some(Network::Offline), "Wi-Fi waits for its authentication");
    assert_eq!(unserved(&Probe::new(fixture("laptop"))), ["throttled"]);
}

#[test]
fn a_modem_needs_no_gateway_and_a_charging_machine_runs_on_mains() {
    let readings = all("lte");
    assert_eq!(readings.network, Some(Network::Online));
    assert_eq!((readings.power, readings.battery), (Some(Power::Mains), Some(97)));
    assert_eq!(all("v6-only").network, Some(Network::Online));
}

#[test]
fn a_kernel_without_mem_available_is_read_as_free_used_to() {
    let readings = all("old-kernel");
    assert_eq!(readings.load_per_cpu, Some(0.0));
    assert_eq!(readings.memory_available, Some((301_184 + 14_020 + 84_996 - 236) * 1024));
}

#[test]
fn a_container_with_nothing_passes_nothing_but_its_load() {
    let probe = Probe::new(fixture("container"));
    assert_eq!(probe.cpus(), Some(2), "by /proc/stat, without /sys");
    let expected = Readings {
        load_per_cpu: Some(1.55),
        cpu_pressure: Some(Pressure::Load(1.55)),
        io_pressure: Some(Pressure::Load(1.55)),
        ..Readings::default()
    };
    assert_eq!(all("container"), expected);
    let served = ["load_per_cpu"];
    let names = Resource::ALL.map(|resource| resource.field().strip_prefix("require.").unwrap());
    let others: Vec<_> = names.into_iter().filter(|name| !served.contains(name)).collect();
    assert_eq!(unserved(&probe), others);

    let nothing = Machine::new();
    assert_eq!(nothing.read(), Readings::default());
    let everything = Require {
        load_per_cpu: Some(1_000.0),
        memory_available: Some(0),
        cpu_pressure: Some(100.0),
        memory_pressure: Some(100.0),
        io_pressure: Some(100.0),
        temperature: Some(150.0),
        throttled: Some(false),
        power: Some(Power::Mains),
        battery: Some(1),
        network: Some(Network::Online),
        ..Require::default()
    };
    let Verdict::Shut(short) = judge(&everything, &nothing.read()) else { panic!("it passes") };
    assert_eq!(short.len(), Resource::ALL.len());
}

#[test]
fn what_nobody_wants_is_not_read() {
    assert_eq!(Probe::new(fixture("pi-3b")).read(&Wanted::default()), Readings::default());
    let power = Require { power: Some(Power::Mains), ..Require::default() };
    let expected = Readings { power: Some(Power::Mains), ..Readings::default() };
    assert_eq!(Probe::new(fixture("lte")).read(&[power].iter().collect()), expected);
}

#[test]
fn free_space_is_read_below_the_root_and_a_missing_path_is_no_reading() {
    let machine = Machine::new();
    fs::create_dir(machine.0.path().join("data")).unwrap();
    let requires = [disk("/data"), disk("/no/such/path")];
    let readings = Probe::new(machine.0.path()).read(&requires.iter().collect());
    let paths: Vec<_> =
        readings.disk_available.iter().map(|(path, free)| (path.as_str(), free.is_some())).collect();
    assert_eq!(paths, [("/data", true), ("/no/such/path", false)]);
    assert!(matches!(judge(&requires[1], &readings), Verdict::Shut(_)));
}

/// A machine on which everything is well.
fn well() -> Machine {
    let machine = Machine::new();
    machine
        .write("proc/loadavg", "0.10 0 0 1/1 1\n")
        .write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\n")
        .write("sys/devices/system/cpu/online", "0\n")
        .write("sys/class/thermal/thermal_zone0/temp", "40000\n")
        .write("sys/class/hwmon/hwmon0/name", "rpi_volt\n")
        .write("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", "0\n")
        .write("sys/class/power_supply/ac/type", "Mains\n")
        .write("sys/class/power_supply/ac/online", "1\n")
        .write("sys/class/power_supply/bat/type", "Battery\n")
        .write("sys/class/power_supply/bat/capacity", "100\n")
        .write("proc/net/route", fs::read(fixture("lte").join("proc/net/route")).unwrap())
        .write("sys/class/net/wwan0/operstate", "up\n");
    for name in ["cpu", "memory", "io"] {
        machine.write(&format!("proc/pressure/{name}"), "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n");
    }
    machine
}

/// Every file that decides, and what of the readings depends on it.
const FILES: [(&str, &[Resource]); 13] = [
    ("proc/loadavg", &[Resource::LoadPerCpu]),
    ("proc/meminfo", &[Resource::MemoryAvailable]),
    ("sys/devices/system/cpu/online", &[Resource::LoadPerCpu]),
    ("sys/class/thermal/thermal_zone0/temp", &[Resource::Temperature]),
    ("sys/class/hwmon/hwmon0/name", &[Resource::Throttled]),
    ("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", &[Resource::Throttled]),
    ("sys/class/power_supply/ac/type", &[Resource::Power, Resource::Battery]),
    ("sys/class/power_supply/bat/capacity", &[Resource::Battery]),
    ("proc/pressure/cpu", &[Resource::CpuPressure]),
    ("proc/pressure/memory", &[Resource::MemoryPressure]),
    ("proc/pressure/io", &[Resource::IoPressure]),
    ("proc/net/route", &[Resource::Network]),
    ("sys/class/net/wwan0/operstate", &[Resource::Network]),
];

/// Which of the resources were read.
fn read(readings: &Readings) -> Vec<Resource> {
    let is_read = |resource: &Resource| match resource {
        Resource::LoadPerCpu => readings.load_per_cpu.is_some(),
        Resource::MemoryAvailable => readings.memory_available.is_some(),
        Resource::CpuPressure => readings.cpu_pressure.is_some(),
        Resource::MemoryPressure => readings.memory_pressure.is_some(),
        Resource::IoPressure => readings.io_pressure.is_some(),
        Resource::Temperature => readings.temperature.is_some(),
        Resource::Throttled => readings.throttled.is_some(),
        Resource::Power => readings.power.is_some(),
        Resource::Battery => readings.battery.is_some(),
        Resource::Network => readings.network.is_some(),
    };
    Resource::ALL.into_iter().filter(is_read).collect()
}

/// Asserts that exactly what depends on `path` is not read.
fn assert_unread(machine: &Machine, path: &str, lost: &[Resource], by: &str) {
    let left: Vec<_> = Resource::ALL.into_iter().filter(|resource| !lost.contains(resource)).collect();
    assert_eq!(read(&machine.read()), left, "{path}: {by}");
}

#[test]
fn hostile_content_is_no_reading_and_spoils_nothing_else() {
    assert_eq!(read(&well().read()), Resource::ALL);
    let huge = vec![b'0'; 4 << 20];
    for (path, lost) in FILES {
        let contents: [&[u8]; 8] = [
            b"",
            b"\n",
            b"\xff\xfe\x00",
            b"garbage",
            b"-99999999999999999999",
            b"\0\0\0\0",
            b"1e+999",
            &huge,
        ];
        for bytes in contents {
            let machine = well();
            machine.write(path, bytes);
            let by = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
            assert_unread(&machine, path, lost, &by);
        }
    }
}

#[test]
fn numbers_out_of_range_are_no_reading() {
    for (path, lost, contents) in [
        ("proc/loadavg", Resource::LoadPerCpu, &["-1.0 0 0", "nan 0 0", "inf 0 0"][..]),
        ("proc/meminfo", Resource::MemoryAvailable, &["MemAvailable: -5 kB\n", "MemAvailable: 5\n"]),
        ("sys/devices/system/cpu/online", Resource::LoadPerCpu, &["0-4294967295\n", "3-0\n", "-1\n"]),
        (
            "sys/class/thermal/thermal_zone0/temp",
            Resource::Temperature,
            &["999999999\n", "-300000\n", "40.0\n"],
        ),
        (
            "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled",
            Resource::Throttled,
            &["-1\n", "+0\n", "0x0\n", "100000000\n", "0 0\n"],
        ),
        ("sys/class/power_supply/bat/capacity", Resource::Battery, &["101\n", "-1\n", "256\n", "50.5\n"]),
        (
            "proc/pressure/cpu",
            Resource::CpuPressure,
            &["some avg10=100.01\n", "some avg10=-1\n", "full avg10=1\n"],
        ),
        ("sys/class/net/wwan0/operstate", Resource::Network, &["UP\n", "up down\n"]),
    ] {
        for content in contents {
            let machine = well();
            machine.write(path, content);
            assert_unread(&machine, path, &[lost], content);
        }
    }
    // More available than there is: no share of it can be told.
    let machine = well();
    fs::remove_dir_all(machine.0.path().join("proc/pressure")).unwrap();
    for meminfo in [
        "MemTotal: 5 kB\nMemAvailable: 6 kB\n",
        "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
        "MemAvailable: 6 kB\n",
    ] {
        machine.write("proc/meminfo", meminfo);
        assert_unread(&machine, "proc/meminfo", &[Resource::MemoryPressure], meminfo);
    }
}

#[test]
fn hostile_routes_are_no_reading() {
    let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
    for line in [
        "../../../tmp\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
        "wwan0/../lo\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
        "..\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
        "a-name-of-17-char\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
        "wwan0\t00000000\t0\t0003\t0\t0\t0\n",
        "wwan0\t+0000000\t0\t0003\t0\t0\t0\t00000000\n",
        "wwan0\t00000000\t0\t-003\t0\t0\t0\t00000000\n",
        "wwan0\t00000000000000000\t0\tfffffffff\t0\t0\t0\t00000000\n",
    ] {
        let machine = well();
        machine.write("proc/net/route", format!("{head}{line}"));
        assert_unread(&machine, "proc/net/route", &[Resource::Network], line);
    }
    for line in [
        "wwan0\t00000000\t0\t0203\t0\t0\t0\t00000000\n",
        "lo\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
        "wwan0\t00000000\t0\t0002\t0\t0\t0\t00000000\n",
        "wwan0\t00000000\t0\t0003\t0\t0\t0\t000000FF\n",
    ] {
        let machine = well();
        machine.write("proc/net/route", format!("{head}{line}"));
        assert_eq!(machine.read().network, Some(Network::Offline), "{line}");
    }
    // One that is garbled does not hide one that leads out, and without such a one nothing is known.
    let machine = well();
    machine.write("proc/net/ipv6_route", "garbage\n");
    assert_eq!(machine.read().network, Some(Network::Online));
    machine.write("sys/class/net/wwan0/operstate", "down\n");
    assert_eq!(machine.read().network, None);
}

#[test]
fn a_sensor_that_is_off_and_a_supply_that_does_not_answer_are_told_from_nonsense() {
    // Reading it fails with EIO, as that of a sensor that is off does.
    let fails = |machine: &Machine, path: &str| {
        let path = machine.0.path().join(path);
        fs::remove_file(&path).unwrap_or_default();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", path).unwrap();
    };
    let machine = well();
    fails(&machine, "sys/class/thermal/thermal_zone1/temp");
    assert_eq!(machine.read().temperature, Some(40.0));
    fails(&machine, "sys/class/thermal/thermal_zone0/temp");
    assert_eq!(machine.read().temperature, None);
    fails(&machine, "proc/pressure/cpu");
    assert_eq!(machine.read().cpu_pressure, None, "it is there: nothing stands in for it");
    fails(&machine, "sys/class/power_supply/ac/online");
    assert_eq!(machine.read().power, None, "it may be mains, it may be not");
    fails(&machine, "sys/class/power_supply/bat/capacity");
    assert_eq!(machine.read().battery, None);
    // Nobody asks the firmware any more: what it said last is stale.
    let machine = well();
    machine.write("sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
    assert_eq!(machine.read().throttled, None);
}

#[test]
fn directories_that_never_end_are_no_reading() {
    let machine = well();
    for n in 0..300 {
        machine.write(&format!("sys/class/thermal/thermal_zone{n}/temp"), "40000\n");
    }
    assert_unread(&machine, "sys/class/thermal", &[Resource::Temperature], "300 zones");
}

#[test]
fn a_fifo_and_a_directory_in_the_place_of_a_file_stop_nobody() {
    for (path, lost) in FILES {
        let machine = well();
        let file = machine.0.path().join(path);
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_unread(&machine, path, lost, "a FIFO");
        let machine = well();
        let file = machine.0.path().join(path);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_unread(&machine, path, lost, "a directory");
    }
}
