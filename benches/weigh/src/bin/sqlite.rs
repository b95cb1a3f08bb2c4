//! The workload of `lib.rs` through sqlite.
use rusqlite::*;
use weigh::*;
fn db(dir: &std::path::Path) -> Connection {
    let db = Connection::open(dir.join("db")).unwrap();
    let mode: String = db.query_row("pragma journal_mode = wal", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    db.execute_batch("pragma synchronous = full; create table if not exists state(job text primary key, done int) without rowid;
        create table if not exists open(run integer primary key, entry blob); create table if not exists facts(seq integer primary key, fact blob);").unwrap();
    db
}
fn main() {
    weigh::main(
        |dir| {
            let mut db = db(dir);
            for n in 0..RUNS {
                let id = n as i64;
                let tx = db.transaction().unwrap();
                tx.prepare_cached("insert into open values(?, ?)")
                    .unwrap()
                    .execute((id, bytes(&intent(n))))
                    .unwrap();
                tx.prepare_cached("insert or replace into state values(?, ?)")
                    .unwrap()
                    .execute((job(n).as_str(), at(n).millis()))
                    .unwrap();
                tx.commit().unwrap();
                // Not synced for its own sake.
                db.execute_batch("pragma synchronous = normal").unwrap();
                db.prepare_cached("update open set entry = ? where run = ?")
                    .unwrap()
                    .execute((bytes(&started(n)), id))
                    .unwrap();
                db.execute_batch("pragma synchronous = full").unwrap();
                let tx = db.transaction().unwrap();
                tx.prepare_cached("delete from open where run = ?").unwrap().execute((id,)).unwrap();
                tx.prepare_cached("insert into facts values(?, ?)")
                    .unwrap()
                    .execute((id, bytes(&record(n))))
                    .unwrap();
                tx.prepare_cached("delete from facts where seq = ?")
                    .unwrap()
                    .execute((id - (JOBS * KEEP) as i64,))
                    .unwrap();
                tx.commit().unwrap();
            }
        },
        |dir| {
            let db = db(dir);
            let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let mut q = db.prepare("select job, done from state").unwrap();
            let seen = q.query_map([], |row| row.get::<_, i64>(1)).unwrap().count() as i64
                + count("select count(*) from open");
            seen as u64
        },
    )
}
