//! The workload of `lib.rs` through redb.
use redb::*;
use weigh::*;
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const OPEN: TableDefinition<u64, &[u8]> = TableDefinition::new("open");
const FACTS: TableDefinition<u64, &[u8]> = TableDefinition::new("facts");
fn main() {
    weigh::main(
        |dir| {
            let db = Database::create(dir.join("db")).unwrap();
            for n in 0..RUNS {
                let tx = db.begin_write().unwrap();
                tx.open_table(OPEN).unwrap().insert(n, bytes(&intent(n)).as_slice()).unwrap();
                tx.open_table(STATE)
                    .unwrap()
                    .insert(job(n).as_str(), at(n).millis().to_le_bytes().as_slice())
                    .unwrap();
                tx.commit().unwrap();
                let mut tx = db.begin_write().unwrap();
                tx.set_durability(Durability::None).unwrap();
                tx.open_table(OPEN).unwrap().insert(n, bytes(&started(n)).as_slice()).unwrap();
                tx.commit().unwrap();
                let tx = db.begin_write().unwrap();
                tx.open_table(OPEN).unwrap().remove(n).unwrap();
                {
                    let mut facts = tx.open_table(FACTS).unwrap();
                    facts.insert(n, bytes(&record(n)).as_slice()).unwrap();
                    if n >= JOBS * KEEP {
                        facts.remove(n - JOBS * KEEP).unwrap();
                    }
                }
                tx.commit().unwrap();
            }
        },
        |dir| {
            let db = Database::create(dir.join("db")).unwrap();
            let tx = db.begin_read().unwrap();
            (tx.open_table(STATE).unwrap().iter().unwrap().count()
                + tx.open_table(OPEN).unwrap().iter().unwrap().count()) as u64
        },
    )
}
