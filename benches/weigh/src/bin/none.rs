//! The workload of `lib.rs` through nothing: what a program weighs that only makes the entries.
use weigh::*;
fn main() {
    weigh::main(
        |_| {
            let mut s = 0;
            for n in 0..RUNS {
                s += bytes(&intent(n)).len() + bytes(&started(n)).len() + bytes(&record(n)).len();
            }
            println!("{} bytes a run encoded", s as u64 / RUNS);
        },
        |_| 0,
    )
}
