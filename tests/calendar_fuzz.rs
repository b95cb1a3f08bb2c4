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

/// Numbers up to two beyond a field's, and names in some case.
fn values(field: usize) -> Vec<String> {
    const HIGH: [usize; 6] = [59, 59, 23, 31, 12, 7];
    const NAMES: [&str; 21] = [
        "jan", "Feb", "mar", "APR", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun", "mon",
        "tUe", "wed", "thu", "fri", "SAT", "sunday", "l",
    ];
    let names = if field < 4 { &NAMES[..1] } else { &NAMES[..] };
    (0..HIGH[field] + 3)
        .map(|number| number.to_string())
        .chain(names.iter().map(|name| (*name).to_owned()))
        .collect()
}

#[test]
fn every_number_and_name_and_range_of_every_field_is_read_as_a_second_reader_reads_it() {
    for field in 0..6 {
        let read = |item: &str| {
            let mut words = ["0", "0", "0", "*", "*", "*"];
            words[field] = item;
            fuzz::schedule(words.join(" ").as_bytes());
            fuzz::schedule(words[1..].join(" ").as_bytes());
        };
        for first in values(field) {
            read(&first);
            read(&format!("*/{first}"));
            read(&format!("{first}/2"));
            for last in values(field) {
                read(&format!("{first}-{last}"));
                read(&format!("{first}-{last}/3,*/{last}"));
            }
        }
    }
}
