//! A run as the agent writes it.

use std::path::Path;

use leafcron::job::{
    BootTime, Clock, Entry, Fire, FireKey, Id128, Intent, JobName, Now, Outcome, Output, Readings, Record,
    Revision, RunId, Started, Trigger, Usage, WallTime,
};
use leafcron::store::{Journal, Options, RealDisk, Recovered, Unsent};

use super::Outcomes;

/// As DESIGN has it.
pub(super) const DISK_BYTES: u64 = 32 << 20;
const BEGIN_SECS: i64 = 1_790_000_000;

pub(super) fn options() -> Options {
    Options {
        disk_bytes: DISK_BYTES,
        history: 50,
        fresh_epoch: Id128([0xe0; 16]),
        machine: Vec::new(),
        now: Now {
            wall: WallTime::from_secs(BEGIN_SECS),
            boot: BootTime::from_millis(0),
            clock: Clock::Synced,
        },
        unsent: Unsent::History,
    }
}

pub(super) fn open(dir: &Path) -> Outcomes<(Journal<RealDisk>, Recovered)> {
    Ok(Journal::open(RealDisk::open(dir)?, options())?)
}

/// Its intent, its runner, its record with so many bytes of output.
pub(super) fn run(job: &JobName, number: u64, output: usize) -> Outcomes<[Entry; 3]> {
    let at = WallTime::from_secs(BEGIN_SECS + i64::try_from(number)?);
    let key = FireKey { job: job.clone(), fire: Fire::Scheduled { era: 1, due: at } };
    let (run, revision) = (RunId(number), Revision::of("{}"));
    let intent = Intent {
        key: key.clone(),
        due: at,
        trigger: Trigger::Schedule,
        attempt: 1,
        run,
        revision,
        at,
        boot: Id128([0xb0; 16]),
    };
    let record = Record {
        key,
        revision,
        trigger: Trigger::Schedule,
        due: at,
        started: Some(at),
        ended: at,
        attempt: 1,
        outcome: Outcome::Succeeded,
        last: true,
        reason: None,
        detail: None,
        exit_code: Some(0),
        signal: None,
        covers: None,
        stopped_by: None,
        not_applied: Vec::new(),
        output: (output > 0).then(|| Output {
            head: "x".repeat(output),
            tail: String::new(),
            bytes: output as u64,
            dropped: 0,
        }),
        usage: Some(Usage { cpu_ms: 12, max_rss_kib: 3_456 }),
        gate: Readings::default(),
        clock: Clock::Synced,
        era: 1,
    };
    let started = Entry::Started(Started { run, pid: 4_321, start_ticks: 987_654 });
    Ok([Entry::Intent(intent), started, Entry::Record(Box::new(record))])
}

pub(super) fn names(count: usize) -> Outcomes<Vec<JobName>> {
    let mut names = Vec::with_capacity(count);
    for number in 0..count {
        names.push(format!("idle-{number}").parse()?);
    }
    Ok(names)
}
