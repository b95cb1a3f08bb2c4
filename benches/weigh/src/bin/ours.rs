//! The workload of `lib.rs` through the journal of leafcron.
use leafcron::store::*;
use weigh::*;
fn open(dir: &std::path::Path) -> (Journal<RealDisk>, Recovered) {
    Journal::open(
        RealDisk::open(dir).unwrap(),
        Options {
            disk_bytes: 32 << 20,
            history: KEEP as usize,
            fresh_epoch: leafcron::job::Id128([1; 16]),
            machine: vec![],
            now: leafcron::job::Now {
                wall: at(0),
                boot: leafcron::job::BootTime::from_millis(0),
                clock: leafcron::job::Clock::Synced,
            },
            unsent: Unsent::History,
        },
    )
    .unwrap()
}
fn main() {
    weigh::main(
        |dir| {
            let mut journal = open(dir).0;
            for n in 0..RUNS {
                journal.commit(&[intent(n)], Durability::Synced).unwrap();
                journal.commit(&[started(n)], Durability::Unsynced).unwrap();
                journal.commit(&[record(n)], Durability::Synced).unwrap();
                journal.tidy().unwrap();
            }
            println!("{:?}", journal.status());
        },
        |dir| open(dir).1.image.progress.len() as u64,
    )
}
