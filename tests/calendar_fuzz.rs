//! The reader of schedule lines under mutated input: `fuzz/schedule.rs` is the target, `fuzz/schedule.corpus` where the
//! mutations begin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics says what is wrong"
)]

mod fuzz {
    mod mutate;
    mod schedule;

    pub(crate) use mutate::fuzz;
    pub(crate) use schedule::schedule;
}

/// A few seconds in a debug build.
const RUNS: u64 = 100_000;

/// What lines and zones are made of.
const TOKENS: [&str; 40] = [
    " ",
    "\t",
    "*",
    "/",
    "-",
    ",",
    "*/",
    "*/2",
    "*/60",
    "0",
    "7",
    "31",
    "59",
    "60",
    "00",
    "1-5",
    "9-17/2",
    "mon",
    "SUN",
    "fri-sun",
    "jan",
    "Feb",
    "30",
    "2",
    "@every ",
    "@daily",
    "90s",
    "2h30m",
    "1ms",
    "@reboot",
    "?",
    "L",
    "W",
    "#",
    "~",
    "é",
    "\0",
    "\0Europe/Berlin",
    "\0CET-1CEST,M3.5.0,M10.5.0/3",
    "99999999999999999999",
];

#[test]
fn mutated_lines_are_read_as_a_second_reader_reads_them() {
    let corpus: Vec<String> =
        include_str!("fuzz/schedule.corpus").lines().map(|line| line.replace("\\0", "\0")).collect();
    let corpus: Vec<&str> = corpus.iter().map(String::as_str).collect();
    fuzz::fuzz(RUNS, &corpus, &TOKENS, fuzz::schedule);
}
