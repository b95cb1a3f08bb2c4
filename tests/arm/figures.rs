//! The figures of DESIGN section 11 as such a machine shows them. Under emulation sizes, memory, wake-ups and bytes count; a
//! time is told as a ratio to the same work without leafcron, in the same machine.

use std::fmt::Write as _;
use std::time::Duration;

use super::lab::Lab;
use super::machine::Machine;

const SOON: Duration = Duration::from_secs(300);
const JOBS: usize = 1_000;
const AT_ONCE: usize = 200;
const WATCHED_SECS: u64 = 120;
const RUNS: u64 = 20;

/// Private memory and PSS in KiB, and voluntary context switches of all threads, of the unit's processes.
const LOOK: &str = "private=0 pss=0 switches=0; for pid in $(pgrep leafcron); do \
    while read -r name value _; do case $name in Private_*) private=$((private + value));; Pss:) pss=$((pss + value));; esac; \
    done </proc/$pid/smaps_rollup; for task in /proc/$pid/task/*/status; do \
    while read -r name value; do case $name in voluntary_ctxt_switches:) switches=$((switches + value));; esac; done <$task; \
    done; done; echo $private $pss $switches";

pub(super) fn stage(lab: &Lab) {
    for name in ["leafcrond", "leafcron"] {
        let bytes = std::fs::metadata(lab.binary(name)).unwrap().len();
        println!("{name}, stripped: {} KiB", bytes / 1_024);
    }
    let hub = Lab::hub();
    let mut machine = lab.machine(Some(&hub));
    machine.boot();
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(jobs, "[job.idle-{number}]\nschedule = \"0 0 1 1 *\"\ncommand = \"true\"").unwrap();
    }
    machine.write("/etc/leafcron/jobs.d/jobs.toml", &jobs);
    machine.must("sed -i 's/^heartbeat.*/heartbeat = \"1h\"/' /etc/leafcron/leafcrond.toml; systemctl restart leafcrond");
    machine.wait("the link is up", SOON, |machine| {
        let link = machine.leafcron("status")["link"].clone();
        (link["state"] == "up" && link["unsent"] == 0).then_some(())
    });
    idle(&machine, "agent and link up (plain), 1,000 jobs");
    println!("  system calls in {WATCHED_SECS} s: {}", calls(&machine, &format!("sleep {WATCHED_SECS}")));
    machine.must("sed -i '/^.nats/,$d' /etc/leafcron/leafcrond.toml; systemctl restart leafcrond");
    idle(&machine, "agent without a link, 1,000 jobs");
    println!("  system calls in {WATCHED_SECS} s: {}", calls(&machine, &format!("sleep {WATCHED_SECS}")));
    let alone = calls(&machine, "leafcron status >/dev/null");
    let run =
        calls(&machine, &format!("for n in $(seq {RUNS}); do leafcron run idle-1 --wait >/dev/null; done"));
    println!(
        "  of the agent for a run that is asked for, waited for and recorded: {}",
        run.saturating_sub(alone) / RUNS
    );

    machine.must("rm /etc/leafcron/jobs.d/jobs.toml; leafcron reload");
    crowd(&mut machine);
    let journal = machine.leafcron("status")["journal"].clone();
    println!("the journal's figures: {journal}");
    machine.off();
}

fn idle(machine: &Machine, what: &str) {
    let look = || -> Vec<u64> {
        machine.must(LOOK).split_whitespace().map(|number| number.parse().unwrap()).collect()
    };
    std::thread::sleep(Duration::from_secs(40));
    let before = look();
    std::thread::sleep(Duration::from_secs(WATCHED_SECS));
    let after = look();
    println!(
        "{what}: private {} KiB, PSS {} KiB, {} wake-ups in {WATCHED_SECS} s",
        after[0],
        after[1],
        after[2] - before[2]
    );
}

/// System calls of all threads of agent and link, those of jobs apart, while something goes on in the machine.
fn calls(machine: &Machine, meanwhile: &str) -> u64 {
    let counted = machine.must(&format!(
        "tasks=; for pid in $(pgrep leafcron); do for task in /proc/$pid/task/*; do tasks=\"$tasks -p ${{task##*/}}\"; done; done; \
         strace -c -o /root/calls $tasks 2>/dev/null & tracer=$!; sleep 5; {meanwhile}; kill -INT $tracer; wait $tracer; \
         sed -n 's/^100.00 *[0-9.]* *[0-9]* *\\([0-9]*\\).*total$/\\1/p' /root/calls"
    ));
    // Nothing was called, nothing is printed.
    if counted.is_empty() { 0 } else { counted.parse().unwrap() }
}

/// All due at once, beside a loop of a shell that starts as many.
fn crowd(machine: &mut Machine) {
    let bare: u64 = machine
        .must(&format!(
            "begin=$(date +%s%N); for n in $(seq {AT_ONCE}); do sh -c 'echo x >>/root/bare'; done; echo $(( $(date +%s%N) - begin ))"
        ))
        .parse()
        .unwrap();
    let due: i64 = machine.must("date +%s").parse::<i64>().unwrap() + 60;
    let at = jiff::Timestamp::from_second(due).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let schedule = format!("{} {} {} {} {} *", at.second(), at.minute(), at.hour(), at.day(), at.month());
    let mut jobs = String::new();
    for number in 0..AT_ONCE {
        writeln!(jobs, "[job.crowd-{number}]\nschedule = \"{schedule}\"\ntime_zone = \"UTC\"\ncommand = \"echo x >>/root/crowd\"").unwrap();
    }
    machine.write("/etc/leafcron/jobs.d/crowd.toml", &jobs);
    machine.must(&format!("echo max_runs = {AT_ONCE} >/root/c; cat /etc/leafcron/leafcrond.toml >>/root/c; cp /root/c /etc/leafcron/leafcrond.toml; systemctl restart leafcrond"));
    machine.wait("all have run", SOON, |machine| {
        let output = machine.ssh("wc -l </root/crowd");
        (String::from_utf8_lossy(&output.stdout).trim() == AT_ONCE.to_string()).then_some(())
    });
    let last: f64 = machine.must("stat --format=%.Y /root/crowd").parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let (took, bare) = (last - due as f64, bare as f64 / 1e9);
    println!(
        "{AT_ONCE} due at once: the last wrote {:.2} times as late as a bare loop's ({took:.2} s, {bare:.2} s, emulated)",
        took / bare
    );
}
