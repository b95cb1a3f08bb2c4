//! The same workload for each store: runs of 50 jobs, each an intent, durable; its runner, not synced; its record, durable.
use leafcron::job::*;
pub const JOBS: u64 = 50;
pub const KEEP: u64 = 50;
pub const RUNS: u64 = 5_000;
pub fn at(n: u64) -> WallTime {
    WallTime::from_secs(1_790_000_000 + n as i64)
}
pub fn job(n: u64) -> JobName {
    format!("job-{}", n % JOBS).parse().unwrap()
}
pub fn key(n: u64) -> FireKey {
    FireKey { job: job(n), fire: Fire::Scheduled { era: 1, due: at(n) } }
}
pub fn intent(n: u64) -> Entry {
    Entry::Intent(Intent {
        key: key(n),
        due: at(n),
        trigger: Trigger::Schedule,
        attempt: 1,
        run: RunId(n),
        revision: Revision::of("{}"),
        at: at(n),
        boot: Id128([7; 16]),
    })
}
pub fn started(n: u64) -> Entry {
    Entry::Started(Started { run: RunId(n), pid: 4321, start_ticks: 987_654 })
}
pub fn record(n: u64) -> Entry {
    Entry::Record(Box::new(Record {
        key: key(n),
        revision: Revision::of("{}"),
        trigger: Trigger::Schedule,
        due: at(n),
        started: Some(at(n)),
        ended: at(n + 1),
        attempt: 1,
        outcome: Outcome::Succeeded,
        last: true,
        reason: None,
        detail: None,
        exit_code: Some(0),
        signal: None,
        covers: None,
        stopped_by: None,
        not_applied: vec![],
        output: None,
        usage: Some(Usage { cpu_ms: 12, max_rss_kib: 3456 }),
        gate: Readings::default(),
        clock: Clock::Synced,
    }))
}
pub fn bytes(entry: &Entry) -> Vec<u8> {
    postcard::to_stdvec(entry).unwrap()
}
fn io(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().parse().unwrap()
}
/// fill DIR: the workload, its bytes. open DIR: how long a start takes that reads what an agent must know.
pub fn main(fill: impl FnOnce(&std::path::Path), open: impl FnOnce(&std::path::Path) -> u64) {
    let args: Vec<String> = std::env::args().collect();
    let dir = std::path::PathBuf::from(&args[2]);
    match args[1].as_str() {
        "fill" => {
            std::fs::create_dir_all(&dir).unwrap();
            let (w, b, t) = (io("wchar:"), io("write_bytes:"), std::time::Instant::now());
            fill(&dir);
            let took = t.elapsed();
            // What lies in the cache is written some time: count it.
            std::process::Command::new("sync").status().unwrap();
            println!(
                "per run: {} bytes handed over, {} bytes to the disk; {:?} in all",
                (io("wchar:") - w) / RUNS,
                (io("write_bytes:") - b) / RUNS,
                took
            );
        }
        _ => {
            let t = std::time::Instant::now();
            let seen = open(&dir);
            println!("start: {:?}, {seen} things read", t.elapsed());
        }
    }
}
