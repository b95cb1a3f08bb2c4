//! The wall clock is set, by minutes to years and both ways, and a boot begins with a wrong one: fires, eras and events are
//! those that DESIGN section 5 tells.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::lab::Lab;
use super::machine::Machine;

const SOON: Duration = Duration::from_secs(180);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

const JOBS: &str = "\
[job.second]
schedule = \"* * * * * *\"
command = \"echo second $LEAFCRON_DUE >/dev/hvc0\"
[job.hour]
schedule = \"0 * * * *\"
command = \"echo hour $LEAFCRON_DUE >/dev/hvc0\"
[job.day]
schedule = \"0 0 * * *\"
command = \"echo day $LEAFCRON_DUE >/dev/hvc0\"
";

/// Has the kernel say that the clock is synchronised, as a time service does: adjtimex with status 0.
const SYNCHRONISE: &str = "perl -e 'my $t = pack(\"L5 l x200\", 0x1c, 0, 0, 0, 0, 0); \
    my $n = (qx(uname -m) =~ /^arm/) ? 124 : (qx(uname -m) =~ /^x86/) ? 159 : 171; \
    $t = pack(\"Q5 l x200\", 0x1c, 0, 0, 0, 0, 0) if $n != 124; \
    syscall($n, $t) >= 0 or die $!'";

pub(super) fn stage(lab: &Lab) {
    let mut machine = lab.machine(None);
    machine.boot();
    machine.write("/etc/leafcron/jobs.d/jobs.toml", JOBS);
    machine.must("systemctl restart leafcrond");
    let mut era = fires(&mut machine, None);
    let mut steps = 0;
    let mut step = |machine: &Machine, by: i64| {
        steps += 1;
        machine.must(&format!("date -s @$(( $(date +%s) + {by} ))"));
    };

    // Within the hour: nothing is repeated, and nothing fires until its time comes again.
    step(&machine, 7 * MINUTE);
    assert_eq!(fires(&mut machine, None), era);
    step(&machine, -7 * MINUTE);
    let before = machine.witness().len();
    std::thread::sleep(Duration::from_secs(8));
    let stood = machine.witness().len() - before;
    assert!(stood <= 1, "{stood} fires came again");
    step(&machine, 7 * MINUTE);
    assert_eq!(fires(&mut machine, None), era);
    println!("7 minutes both ways: nothing repeated, era {era}");

    // Beyond it: forward misses fires, back is a clock that had been wrong, and a new era.
    for (by, what, job) in
        [(5 * HOUR, "5 hours", "hour"), (3 * DAY, "3 days", "day"), (2 * YEAR, "2 years", "day")]
    {
        let caught_up = count(&machine, job);
        step(&machine, by);
        assert_eq!(fires(&mut machine, None), era, "forward by {what}");
        machine.wait("what was missed is caught up", SOON, |machine| {
            (count(machine, job) > caught_up).then_some(())
        });
        assert_eq!(count(&machine, job), caught_up + 1, "once");
        step(&machine, -by);
        let next = fires(&mut machine, Some(era));
        assert_eq!(next, era + 1, "back by {what}");
        era = next;
        println!("{what} both ways: {job} caught up once, then era {era}");
    }

    judge(&mut machine, steps);
    machine.off();
}

/// A boot in the past, which nobody vouches for, and a synchronisation that comes late.
pub(super) fn of_a_boot_in_the_past(lab: &Lab) {
    let mut machine = lab.machine(None);
    machine.boot();
    machine.write("/etc/leafcron/jobs.d/jobs.toml", JOBS);
    machine.must("systemctl restart leafcrond");
    let era = fires(&mut machine, None);
    machine.must(
        "sed -i 's/^trust_clock.*/trust_clock = false\\nclock_wait = \"10s\"/' /etc/leafcron/leafcrond.toml",
    );
    machine.off();
    machine.clock = "2020-01-01T00:00:00".to_owned();
    machine.boot();
    let provisional = fires(&mut machine, Some(era));
    assert!(provisional > era, "{provisional}");
    let status = machine.leafcron("status");
    println!("booted in the past: {} {}", status["now"], status["clock"]);
    machine.must(&format!("date -s @{} && {SYNCHRONISE}", host_secs()));
    machine.wait("the main era goes on", SOON, |machine| {
        let record = last(machine)?;
        (record["era"] == era && record["clock"] == "synced").then_some(())
    });
    println!(
        "a boot in 2020: jobs ran in provisional era {provisional}; with the clock right, era {era} went on"
    );
    judge(&mut machine, 1);
    machine.off();
}

fn host_secs() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn count(machine: &Machine, job: &str) -> usize {
    machine.witness().iter().filter(|line| line.starts_with(&format!("{job} "))).count()
}

/// The last run of the job of each second.
fn last(machine: &Machine) -> Option<Value> {
    let output = machine.ssh("leafcron history second -n 5 --json");
    let records: Value = serde_json::from_slice(&output.stdout).ok()?;
    let mut ran: Vec<Value> =
        records.as_array()?.iter().filter(|record| record["outcome"] == "succeeded").cloned().collect();
    ran.sort_by_key(|record| record["seq"].as_u64());
    ran.pop()
}

/// Waits until the job of each second fires by the clock as it is now, in another era than `other`; in which.
fn fires(machine: &mut Machine, other: Option<u64>) -> u64 {
    machine.wait("the job of each second fires", SOON, |machine| {
        let record = last(machine)?;
        let now: i64 = machine.must("date +%s").parse().unwrap();
        let due: jiff::Timestamp = record["due"].as_str()?.parse().ok()?;
        let era = record["era"].as_u64()?;
        ((due.as_second() - now).abs() < 30 && other != Some(era)).then_some(era)
    })
}

/// No fire has two ends, and none was started twice in its era; each step is told.
fn judge(machine: &mut Machine, steps: usize) {
    for job in ["second", "hour", "day"] {
        machine.must(&format!("leafcron pause {job}"));
    }
    machine.wait("nothing runs", SOON, |machine| {
        let status = machine.leafcron("status");
        let quiet = |list: &str| status[list].as_array().is_some_and(Vec::is_empty);
        (quiet("running") && quiet("waiting")).then_some(())
    });
    let mut finals: BTreeMap<(String, u64, String), usize> = BTreeMap::new();
    let mut eras: BTreeMap<String, usize> = BTreeMap::new();
    for job in ["second", "hour", "day"] {
        let records = machine.leafcron(&format!("history {job} -n 1000"));
        for record in records.as_array().unwrap() {
            let due = record["due"].as_str().unwrap().to_owned();
            if record["attempt"].as_u64().unwrap_or(0) > 0 {
                *eras.entry(format!("{job} {due}")).or_default() += 1;
            }
            if record["final"] == true && record["covers"].is_null() {
                *finals.entry((job.to_owned(), record["era"].as_u64().unwrap(), due)).or_default() += 1;
            }
        }
    }
    let doubled: Vec<_> = finals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let mut starts: BTreeMap<String, usize> = BTreeMap::new();
    machine.witness().into_iter().for_each(|line| *starts.entry(line).or_default() += 1);
    for (fire, count) in starts {
        assert!(
            count <= eras.get(&fire).copied().unwrap_or(0),
            "{fire}: {count} starts, records {:?}",
            eras.get(&fire)
        );
    }
    let events = machine.leafcron("history --events -n 1000");
    let told = events.as_array().unwrap().iter().filter(|event| event["event"] == "clock_step").count();
    assert!(told >= steps, "{told} of {steps} steps are told");
    println!("{} fires with one end each; {told} events for {steps} steps and a boot", finals.len());
}
