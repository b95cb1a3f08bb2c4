//! Gates on a machine that is strained for real: the gate shuts, the fire waits, and is admitted when the strain is over, or
//! skipped with its reason. What this machine does not let be strained is said aloud.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that panics says what is wrong"
)]

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use leafcron::gate::{Probe, WINDOW};
use leafcron::job::{Network, Outcome, Pressure, Reason, RecordJson, Resource};
use nix::poll::{PollFd, PollFlags, PollTimeout};

#[path = "device/rig.rs"]
#[expect(dead_code, reason = "the other tests of a device use the rest")]
mod rig;

use rig::{Rig, is_root, text_of, wait_for};

fn not_checked(why: &str) {
    eprintln!("NOT CHECKED: {why}");
}

fn job(name: &str, require: &str, more: &str) -> String {
    format!(
        "[job.{name}]\nschedule = \"@yearly\"\ncommand = \"echo ran >> @DIR@/{name}.ran\"\n{more}\n\
         [job.{name}.require]\n{require}\n"
    )
}

/// Asks for a run, and waits until it is held; what its gate lacks.
fn held(rig: &Rig, name: &str) -> Vec<String> {
    let asked = rig.leafcron(&["run", name]);
    assert!(asked.status.success(), "{}", text_of(&asked.stderr));
    wait_for(&format!("{name} is held"), || {
        let status = rig.json(&["status"]);
        let rows = status["waiting"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["job"] == name && row["stage"] == "gate")?;
        assert!(row["until"].is_string(), "{row}");
        let shut: Vec<String> = serde_json::from_value(row["shut"].clone()).unwrap();
        assert_eq!(rig.lines(&format!("{name}.ran")).len(), 0);
        Some(shut)
    })
}

/// Waits for its end, however long a gate that opens slowly takes (looks are 5, 10, 20, 40 s apart).
fn ran(rig: &Rig, name: &str) -> RecordJson {
    let mut patience = 0;
    loop {
        match rig.records(name).into_iter().find(|record| record.last) {
            Some(record) => {
                assert_eq!(rig.lines(&format!("{name}.ran")), ["ran"], "{record:?}");
                assert_eq!(record.outcome, Outcome::Succeeded, "{record:?}");
                return record;
            }
            None => {
                patience += 1;
                assert!(patience < 1_200, "waited in vain for {name}: {}", rig.json(&["status"]));
                thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}

fn skipped(rig: &Rig, name: &str) -> RecordJson {
    let waited = rig.leafcron(&["run", name, "--wait"]);
    assert_eq!(waited.status.code(), Some(1), "{}", text_of(&waited.stderr));
    assert_eq!(rig.lines(&format!("{name}.ran")).len(), 0);
    let record = rig.records(name).pop().unwrap();
    assert_eq!((record.outcome, record.reason), (Outcome::Skipped, Some(Reason::Gate)));
    assert!(text_of(&waited.stderr).contains(record.detail.as_deref().unwrap()), "{waited:?}");
    record
}

/// Threads that want a cpu, all the time.
struct Spinners {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn start(count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        };
        let threads = (0..count).map(spin).collect();
        Self { over, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn load_and_cpu_pressure_shut_the_gate_and_their_end_opens_it() {
    let cpus = thread::available_parallelism().unwrap().get();
    let mut rig = Rig::new(&job("pressed", "cpu_pressure = 30", ""));
    rig.start();
    let load = |rig: &Rig| rig.json(&["status"])["readings"]["load_per_cpu"].as_f64().unwrap();
    let before = load(&rig);
    let spinners = Spinners::start(6 * cpus);
    // The kernel counts the load every 5 s.
    let now = wait_for("the load rises", || Some(load(&rig)).filter(|now| *now > before + 0.2));
    rig.write_jobs("loaded.toml", &job("loaded", &format!("load_per_cpu = {:.3}", now - 0.05), ""));
    rig.write_jobs(
        "hasty.toml",
        &job("hasty", &format!("load_per_cpu = {:.3}\ncpu_pressure = 20", now - 0.05), "hold = \"1s\""),
    );
    assert!(rig.leafcron(&["reload"]).status.success());
    let shut = held(&rig, "loaded");
    assert!(shut[0].starts_with("load_per_cpu ") && shut[0].contains(" is above "), "{shut:?}");
    let pressure = |rig: &Rig| rig.json(&["status"])["readings"]["cpu_pressure"].as_f64();
    let by_psi = pressure(&rig).is_some();
    if by_psi {
        // The kernel tells of it by the descriptor that the agent waits on.
        let trigger = Probe::default().trigger(Resource::CpuPressure, 30.0);
        match &trigger {
            Ok(trigger) => {
                let mut waits = [PollFd::new(trigger.as_fd(), PollFlags::POLLIN)];
                let patience = PollTimeout::try_from(3 * WINDOW).unwrap();
                assert_eq!(nix::poll::poll(&mut waits, patience), Ok(1));
                assert_eq!(waits[0].revents(), Some(PollFlags::POLLIN));
            }
            Err(error) => not_checked(&format!("a trigger of PSI: {error}")),
        }
        wait_for("the pressure rises", || pressure(&rig).filter(|percent| *percent > 40.0));
        let shut = held(&rig, "pressed");
        assert!(shut[0].starts_with("cpu_pressure ") && shut[0].ends_with(" is above 30 %"), "{shut:?}");
    }
    let record = skipped(&rig, "hasty");
    assert!(record.gate.load_per_cpu.is_some() && record.gate.cpu_pressure.is_some(), "{record:?}");
    let doctor = text_of(&rig.leafcron(&["doctor"]).stdout);
    assert!(doctor.contains("GATES THAT ARE SHUT NOW") && doctor.contains("loaded"), "{doctor}");

    drop(spinners);
    let record = ran(&rig, "loaded");
    assert!(f64::from(record.gate.load_per_cpu.unwrap()) <= now, "{record:?}");
    if by_psi {
        let record = ran(&rig, "pressed");
        assert!(
            matches!(record.gate.cpu_pressure, Some(Pressure::Some10(percent)) if percent <= 30.0),
            "{record:?}"
        );
    } else {
        not_checked("this kernel serves no PSI: cpu_pressure was not tried");
    }
}

#[test]
fn memory_that_is_short_shuts_the_gate_and_what_is_given_back_opens_it() {
    const MIB: u64 = 1 << 20;
    const TAKEN: u64 = 600 * MIB;
    let mut rig = Rig::new("");
    rig.start();
    let available = rig.json(&["status"])["readings"]["memory_available"].as_u64().unwrap();
    if available < 2 * TAKEN {
        return not_checked("this machine has too little memory to take some");
    }
    // Not zero, or the kernel would give no pages.
    let taken = vec![1u8; usize::try_from(TAKEN).unwrap()];
    let bound = available - TAKEN / 2;
    rig.write_jobs("a.toml", &job("hungry", &format!("memory_available = \"{bound}B\""), ""));
    assert!(rig.leafcron(&["reload"]).status.success());
    let shut = held(&rig, "hungry");
    assert!(shut[0].starts_with("memory_available ") && shut[0].contains(" is below "), "{shut:?}");
    assert_eq!(taken[taken.len() / 2], 1);
    drop(taken);
    let record = ran(&rig, "hungry");
    assert!(record.gate.memory_available.unwrap() >= bound);
}

#[test]
fn memory_pressure_shuts_the_gate_and_its_end_opens_it() {
    let mut rig = Rig::new(&format!(
        "{}{}",
        job("thrashed", "memory_pressure = 3", ""),
        job("hasty", "memory_pressure = 3", "hold = \"1s\""),
    ));
    rig.start();
    let pressure = |rig: &Rig| rig.json(&["status"])["readings"]["memory_pressure"].as_f64();
    if pressure(&rig).is_none() {
        return not_checked("this kernel serves no PSI: memory_pressure was not tried");
    }
    let group = match SmallMemory::new() {
        Ok(group) => group,
        Err(why) => return not_checked(&format!("memory pressure: {why}")),
    };
    // A file that the group's memory cannot hold, read again and again.
    let big = rig.path("big");
    let script = "head -c 96m /dev/zero > \"$0\"; sync; while :; do cat \"$0\" > /dev/null; done";
    let thrashing = group.start(Command::new("sh").args(["-c", script]).arg(&big));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            wait_for("the file is there", || fs::metadata(&big).ok().filter(|about| about.len() == 96 << 20));
            group.start(Command::new("sh").args(["-c", "while :; do cat \"$0\" > /dev/null; done"]).arg(&big))
        })
        .collect();
    wait_for("memory is short", || pressure(&rig).filter(|percent| *percent > 5.0));
    let shut = held(&rig, "thrashed");
    assert!(shut[0].starts_with("memory_pressure ") && shut[0].ends_with(" is above 3 %"), "{shut:?}");
    let record = skipped(&rig, "hasty");
    assert!(
        matches!(record.gate.memory_pressure, Some(Pressure::Some10(percent)) if percent > 3.0),
        "{record:?}"
    );
    drop((thrashing, readers));
    let record = ran(&rig, "thrashed");
    assert!(
        matches!(record.gate.memory_pressure, Some(Pressure::Some10(percent)) if percent <= 3.0),
        "{record:?}"
    );
}

#[test]
fn a_full_disk_shuts_the_gate_and_room_opens_it() {
    let mut rig = Rig::new(&format!(
        "{}{}",
        job("roomy", "disk_available = [{path = \"@DIR@/disk\", at_least = \"1MiB\"}]", ""),
        job("hasty", "disk_available = [{path = \"@DIR@/disk\", at_least = \"1MiB\"}]", "hold = \"1s\""),
    ));
    let disk = match Mounted::new(&rig.path("image"), &rig.path("disk")) {
        Ok(disk) => disk,
        Err(why) => return not_checked(&format!("a full disk: {why}")),
    };
    rig.start();
    let filler = rig.path("disk").join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let part = vec![b'x'; 64 * 1024];
    while file.write_all(&part).is_ok() {}
    file.sync_all().ok();
    drop(file);
    let shut = held(&rig, "roomy");
    assert!(shut[0].starts_with("disk_available of ") && shut[0].contains(" is below 1MiB"), "{shut:?}");
    let record = skipped(&rig, "hasty");
    assert!(matches!(record.gate.disk_available[..], [(_, Some(free))] if free < 1 << 20), "{record:?}");
    fs::remove_file(&filler).unwrap();
    let record = ran(&rig, "roomy");
    assert!(matches!(record.gate.disk_available[..], [(_, Some(free))] if free >= 1 << 20), "{record:?}");
    drop(disk);
}

#[test]
fn a_removed_default_route_shuts_the_gate_and_its_return_opens_it() {
    let mut rig = Rig::new(&format!(
        "{}{}",
        job("online", "network = \"online\"", ""),
        job("hasty", "network = \"online\"", "hold = \"1s\""),
    ));
    // A network of its own, with a sysfs that shows it, and a cable.
    let script = "#!/bin/sh\nexec unshare --net --mount sh -ec '\n\
                  mount -t sysfs sysfs /sys\n\
                  ip link add wan0 type veth peer name wan1\nip link set wan1 up\nip address add 192.0.2.1/24 dev wan0\n\
                  exec \"$0\" \"$@\"' \"$PROGRAM\" \"$@\"\n"
        .replace("$PROGRAM", env!("CARGO_BIN_EXE_leafcrond"));
    let program = rig.path("in-a-network");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let may = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "sh",
            "-c",
            "mount -t sysfs sysfs /sys && ip link add wan0 type veth peer name wan1",
        ])
        .output()
        .unwrap();
    if !is_root() || !may.status.success() {
        return not_checked(&format!("a network of its own: {}", text_of(&may.stderr)));
    }
    rig.start_program(&program);
    let ip = |arguments: &[&str]| {
        let pid = rig.pid().to_string();
        let mut command = Command::new("nsenter");
        let done = command.args(["--target", &pid, "--net", "ip"]).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", text_of(&done.stderr));
    };
    ip(&["link", "set", "wan0", "up"]);
    ip(&["route", "add", "default", "via", "192.0.2.254"]);
    assert_eq!(rig.json(&["status"])["readings"]["network"], "online");
    ip(&["route", "delete", "default"]);
    let offline = "network is offline: no default route over an interface that is up";
    assert_eq!(held(&rig, "online"), [offline]);
    let record = skipped(&rig, "hasty");
    assert_eq!((record.gate.network, record.detail.as_deref()), (Some(Network::Offline), Some(offline)));
    ip(&["route", "add", "default", "via", "192.0.2.254"]);
    assert_eq!(ran(&rig, "online").gate.network, Some(Network::Online));
    // The route stays, and leads nowhere.
    ip(&["link", "set", "wan1", "down"]);
    wait_for("the cable is out", || {
        (rig.json(&["status"])["readings"]["network"] == "offline").then_some(())
    });
}

/// A control group whose memory is small, of either version.
struct SmallMemory(std::path::PathBuf);

impl SmallMemory {
    fn new() -> Result<Self, String> {
        const BYTES: &str = "25165824";
        let name = format!("leafcron-strain-{}", std::process::id());
        let mut why = Vec::new();
        for (parent, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let dir = Path::new(parent).join(&name);
            match fs::create_dir(&dir).and_then(|()| fs::write(dir.join(limit), BYTES)) {
                Ok(()) => return Ok(Self(dir)),
                Err(error) => why.push(format!("{}: {error}", dir.display())),
            }
            fs::remove_dir(&dir).ok();
        }
        Err(why.join("; "))
    }

    /// Starts it inside.
    fn start(&self, command: &mut Command) -> Inside {
        let mut entering = Command::new("sh");
        entering.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        entering.arg(command.get_program()).args(command.get_args());
        Inside(entering.process_group(0).spawn().unwrap())
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        let gone = (0..200).any(|_| {
            let gone = fs::remove_dir(&self.0).is_ok();
            if !gone {
                thread::sleep(std::time::Duration::from_millis(20));
            }
            gone
        });
        if !gone {
            eprintln!("{} could not be removed", self.0.display());
        }
    }
}

/// A group of processes, killed when it is dropped.
struct Inside(std::process::Child);

impl Drop for Inside {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
        self.0.wait().ok();
    }
}

/// A small ext4 in a file, mounted through a loop device.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(image: &Path, at: &Path) -> Result<Self, String> {
        fs::File::create(image).and_then(|file| file.set_len(8 << 20)).map_err(|error| error.to_string())?;
        fs::create_dir(at).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg(&self.0)) {
            eprintln!("{why}");
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", text_of(&output.stderr).trim())) }
}
