//! Limits that hold by control groups, and gates under real strain, on a kernel that serves both.

use std::time::Duration;

use super::lab::Lab;
use super::machine::Machine;

const LATER: Duration = Duration::from_secs(300);

const JOBS: &str = r#"
[job.memory]
schedule = "@yearly"
command = "head -c 200M /dev/zero | tail >/dev/null"
limits = { memory = "24MiB", required = true }
[job.cpu]
schedule = "@yearly"
command = "timeout 20 sh -c 'while :; do :; done'; true"
limits = { cpu = 20, required = true }
[job.pids]
schedule = "@yearly"
command = "for n in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait"
limits = { pids = 4, required = true }
[job.low-memory]
schedule = "@yearly"
command = "echo low-memory ran >/dev/hvc0"
require = { memory_available = "200MiB" }
hold = "5m"
[job.busy]
schedule = "@yearly"
command = "echo busy ran >/dev/hvc0"
require = { cpu_pressure = 40 }
hold = "5m"
[job.full]
schedule = "@yearly"
command = "echo full ran >/dev/hvc0"
require = { disk_available = [{ path = "/", at_least = "300MiB" }] }
hold = "5m"
[job.offline]
schedule = "@yearly"
command = "echo offline ran >/dev/hvc0"
require = { network = "online" }
hold = "5m"
[job.given-up]
schedule = "@yearly"
command = "echo given-up ran >/dev/hvc0"
require = { memory_available = "100GiB" }
hold = "5s"
"#;

/// A gate, what shuts it, whether it is shut, and what opens it.
const STRAINS: &[(&str, &str, &str)] = &[
    (
        "low-memory",
        "mkdir -p /run/ballast; mount -t tmpfs -o size=400M none /run/ballast; head -c 330M /dev/zero >/run/ballast/b",
        "umount /run/ballast",
    ),
    (
        "busy",
        "for n in 1 2 3 4; do systemd-run -q --unit=busy-$n sh -c 'while :; do :; done'; done",
        "systemctl stop busy-1 busy-2 busy-3 busy-4",
    ),
    ("full", "fallocate -l 550M /ballast", "rm /ballast"),
];

pub(super) fn stage(lab: &Lab) {
    let mut machine = lab.machine(None);
    machine.boot();
    machine.write("/etc/leafcron/jobs.d/jobs.toml", JOBS);
    machine.must("systemctl restart leafcrond; leafcron reload");
    println!("doctor:\n{}", String::from_utf8_lossy(&machine.ssh("leafcron doctor").stdout).trim_end());

    let memory = ended(&mut machine, "memory");
    assert_eq!(memory["outcome"], "failed", "{memory}");
    assert!(memory.to_string().contains("memory limit of 24MiB"), "{memory}");
    assert!(memory["usage"]["max_rss_kib"].as_u64().unwrap() <= 24 * 1024, "{memory}");
    let cpu = ended(&mut machine, "cpu");
    let used = cpu["usage"]["cpu_ms"].as_u64().unwrap();
    // A fifth of twenty seconds, and what a period more takes.
    assert!((1_000..6_000).contains(&used), "{cpu}");
    let pids = ended(&mut machine, "pids");
    assert!(pids.to_string().contains("limit of 4 processes"), "{pids}");
    println!("limits: memory {}; cpu 20 %: {used} ms of 20 s; pids {}", memory["detail"], pids["detail"]);

    for (job, shut, open) in STRAINS {
        machine.must(shut);
        held(&mut machine, job);
        machine.must(open);
        let record = ended_by_itself(&mut machine, job);
        assert_eq!(record["outcome"], "succeeded", "{record}");
        assert_eq!(lines(&machine, job), 1);
        println!("gate of {job}: shut, then admitted; its record: {}", record["gate"]);
    }
    // Nobody can log in meanwhile: it is told beforehand.
    machine.must(
        "systemd-run -q --unit=offline sh -c 'ip link set eth0 down; sleep 2; leafcron run offline; sleep 10; \
         leafcron status --json >/root/offline; ip link set eth0 up'",
    );
    let record = ended_by_itself(&mut machine, "offline");
    assert_eq!(record["outcome"], "succeeded", "{record}");
    let while_it_was: serde_json::Value = serde_json::from_str(&machine.must("cat /root/offline")).unwrap();
    assert!(while_it_was["waiting"].to_string().contains("offline"), "{while_it_was}");
    println!("gate of offline: shut without a network, then admitted");
    let record = ended(&mut machine, "given-up");
    assert_eq!((&record["outcome"], &record["reason"]), (&"skipped".into(), &"gate".into()), "{record}");
    assert_eq!(lines(&machine, "given-up"), 0);
    println!("gate of given-up: skipped: {}", record["detail"]);
    machine.off();
}

fn lines(machine: &Machine, job: &str) -> usize {
    machine.witness().iter().filter(|line| **line == format!("{job} ran")).count()
}

fn held(machine: &mut Machine, job: &str) {
    machine.wait("its gate is shut", LATER, |machine| {
        machine.ssh(&format!("leafcron run {job}"));
        let status = machine.leafcron("status");
        let waits =
            status["waiting"].as_array()?.iter().any(|row| row["job"] == *job && row["stage"] == "gate");
        assert_eq!(lines(machine, job), 0, "{status}");
        waits.then_some(())
    });
}

/// Runs it; its final record.
fn ended(machine: &mut Machine, job: &str) -> serde_json::Value {
    machine.must(&format!("leafcron run {job}"));
    ended_by_itself(machine, job)
}

fn ended_by_itself(machine: &mut Machine, job: &str) -> serde_json::Value {
    machine.wait(&format!("the record of {job}"), LATER, |machine| {
        let output = machine.ssh(&format!("leafcron history {job} --json"));
        let records: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        records.as_array()?.iter().find(|record| record["final"] == true).cloned()
    })
}
