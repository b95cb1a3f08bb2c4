//! Fuzzing that fits a test: a fixed number of inputs from a fixed seed, made by mutating a corpus. What a target says
//! of an input (its class) stands in for coverage: the first input of each class joins the corpus.
//!
//! `FUZZ_RUNS` and `SEED` are for whoever looks for trouble.

use std::collections::HashSet;

/// No input is longer.
const LONGEST: usize = 600;

/// How many inputs, unless `FUZZ_RUNS` says so.
pub(crate) fn fuzz(runs: u64, corpus: &[&str], tokens: &[&str], mut target: impl FnMut(&[u8]) -> String) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let runs = number("FUZZ_RUNS").unwrap_or(runs);
    let mut random = Random(number("SEED").unwrap_or(0x1eaf_c407).max(1));
    let mut corpus: Vec<Vec<u8>> = corpus.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut classes = HashSet::new();
    corpus.iter().for_each(|input| {
        classes.insert(target(input));
    });
    for _ in 0..runs {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            random.mutate(&mut input, &corpus, tokens);
        }
        input.truncate(LONGEST);
        if classes.insert(target(&input)) {
            corpus.push(input);
        }
    }
}

/// xorshift64*: no cryptography, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    fn mutate(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>], tokens: &[&str]) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(8)).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => drop(input.drain(at..end)),
            2 if at < input.len() => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            3 => {
                let other = &corpus[self.below(corpus.len())];
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len())..]);
            }
            4 => input.insert(at, self.next() as u8),
            _ => {
                let token = tokens[self.below(tokens.len())].bytes();
                let replaced = if self.below(2) == 0 { at..at } else { at..end.max(at) };
                input.splice(replaced, token);
            }
        }
    }
}
