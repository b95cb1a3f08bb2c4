//! The workload of `lib.rs` through fjall.
use fjall::*;
use weigh::*;
fn main() {
    weigh::main(
        |dir| {
            let ks = Config::new(dir).open().unwrap();
            let part = |name: &str| ks.open_partition(name, PartitionCreateOptions::default()).unwrap();
            let (state, open, facts) = (part("state"), part("open"), part("facts"));
            for n in 0..RUNS {
                let id = n.to_be_bytes();
                let mut batch = ks.batch();
                batch.insert(&open, id, bytes(&intent(n)));
                batch.insert(&state, job(n).as_str(), at(n).millis().to_le_bytes());
                batch.commit().unwrap();
                ks.persist(PersistMode::SyncData).unwrap();
                open.insert(id, bytes(&started(n))).unwrap();
                let mut batch = ks.batch();
                batch.remove(&open, id);
                batch.insert(&facts, id, bytes(&record(n)));
                if n >= JOBS * KEEP {
                    batch.remove(&facts, (n - JOBS * KEEP).to_be_bytes());
                }
                batch.commit().unwrap();
                ks.persist(PersistMode::SyncData).unwrap();
            }
        },
        |dir| {
            let ks = Config::new(dir).open().unwrap();
            let part = |name: &str| ks.open_partition(name, PartitionCreateOptions::default()).unwrap();
            let seen = part("state").iter().count() + part("open").iter().count();
            part("facts");
            seen as u64
        },
    )
}
