//! The probe reads real layouts as they are, and hostile ones as nothing.

use std::fs;
use std::path::{Path, PathBuf};

use leafcron::gate::{Probe, Verdict, Wanted, judge};
use leafcron::job::{DiskFloor, Readings, Require};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn disk(path: &str) -> Require {
    let floor = DiskFloor { path: path.to_owned(), at_least: 1 };
    Require { disk_available: vec![floor], ..Require::default() }
}

#[test]
fn a_pi_says_its_load_per_cpu_and_its_available_memory() {
    let readings = Probe::new(fixture("pi-3b")).read(&Wanted::machine());
    assert_eq!(readings.load_per_cpu, Some(0.21));
    assert_eq!(readings.memory_available, Some(561_872 * 1024));
    assert_eq!(readings.disk_available, []);
}

#[test]
fn a_kernel_without_mem_available_is_read_as_free_used_to() {
    let readings = Probe::new(fixture("old-kernel")).read(&Wanted::machine());
    assert_eq!(readings.load_per_cpu, Some(0.0));
    assert_eq!(readings.memory_available, Some((301_184 + 14_020 + 84_996 - 236) * 1024));
}

#[test]
fn a_container_without_sys_counts_the_cpus_of_proc_stat() {
    let probe = Probe::new(fixture("container"));
    assert_eq!(probe.cpus(), Some(2));
    let readings = probe.read(&Wanted::machine());
    assert_eq!(readings.load_per_cpu, Some(1.55));
    assert_eq!(readings.memory_available, None, "it has no /proc/meminfo");
    let unreadable: Vec<_> = probe.unreadable().into_iter().map(|(field, _)| field).collect();
    assert_eq!(unreadable, ["require.memory_available"]);
    assert!(Probe::new(fixture("pi-3b")).unreadable().is_empty());
}

#[test]
fn what_nobody_wants_is_not_read() {
    assert_eq!(Probe::new(fixture("pi-3b")).read(&Wanted::default()), Readings::default());
}

#[test]
fn free_space_is_read_below_the_root_and_a_missing_path_is_no_reading() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let requires = [disk("/data"), disk("/no/such/path")];
    let readings = Probe::new(dir.path()).read(&requires.iter().collect());
    let paths: Vec<_> =
        readings.disk_available.iter().map(|(path, free)| (path.as_str(), free.is_some())).collect();
    assert_eq!(paths, [("/data", true), ("/no/such/path", false)]);
    assert!(matches!(judge(&requires[1], &readings), Verdict::Shut(_)));
}

#[test]
fn hostile_files_are_no_reading() {
    let dir = tempfile::tempdir().unwrap();
    let proc = dir.path().join("proc");
    let cpu = dir.path().join("sys/devices/system/cpu");
    fs::create_dir_all(&proc).unwrap();
    fs::create_dir_all(&cpu).unwrap();
    fs::write(cpu.join("online"), "0-3\n").unwrap();
    let probe = Probe::new(dir.path());
    let huge = format!("0.10 {}", "x".repeat(1 << 20)).into_bytes();
    for bytes in [&b""[..], b"\xff\xfe", b"garbage", b"-1.0 0 0", b"nan", b"\0\0\0", &huge] {
        fs::write(proc.join("loadavg"), bytes).unwrap();
        fs::write(proc.join("meminfo"), [b"MemAvailable: ", bytes, b" kB\n"].concat()).unwrap();
        assert_eq!(probe.read(&Wanted::machine()), Readings::default());
    }
    let padded = format!("MemAvailable: 5 kB\n{}", "x".repeat(1 << 20));
    fs::write(proc.join("meminfo"), padded).unwrap();
    assert_eq!(probe.read(&Wanted::machine()).memory_available, None, "a megabyte is no /proc/meminfo");

    fs::write(proc.join("loadavg"), "1.00 0 0").unwrap();
    fs::write(cpu.join("online"), "0-4294967295").unwrap();
    assert_eq!(probe.read(&Wanted::machine()).load_per_cpu, None, "no cpu count, no load per cpu");
}

#[test]
fn a_fifo_and_a_directory_in_the_place_of_a_file_stop_nobody() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("proc/meminfo")).unwrap();
    let fifo = dir.path().join("proc/loadavg");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(Probe::new(dir.path()).read(&Wanted::machine()), Readings::default());
}
