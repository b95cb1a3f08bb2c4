//! `SEED=n` repeats the choices; the moments are the machine's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        let nanos = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
        let seed = std::env::var("SEED").ok().map_or_else(nanos, |text| text.parse().unwrap());
        println!("seed {seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}
