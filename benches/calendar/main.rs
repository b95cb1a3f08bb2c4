//! The calendar's part of `make bench`: what a schedule costs to read, to ask and to keep, beside croner and a bare
//! bit-set evaluator. Medians of rounds; the ratio is to leafcron's own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../../tests/calendar_common/bare.rs"]
mod bare;

use std::alloc::System;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use bare::Bare;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Lines of every kind that people write, in what all three readers take.
const LINES: [&str; 12] = [
    "* * * * *",
    "*/5 * * * *",
    "17 * * * *",
    "30 2 * * *",
    "0 */6 * * *",
    "0 3 * * 1-5",
    "15,45 9-17 * * 1-5",
    "0 0 1 * *",
    "0 0 13 * 5",
    "0 4 1-7 1,4,7,10 *",
    "0 12 * 6-8 0",
    "0 0 29 2 *",
];
/// A line of which no calendar has a date: refused, or searched for in vain.
const NEVER: &str = "0 0 30 2 *";
/// 2026-01-01T00:00:00Z and a year later.
const YEAR: (i64, i64) = (1_767_225_600, 1_798_761_600);
const CENTURY: i64 = 36_525 * 86_400;
/// Medians are of so many rounds, each at least so long.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches as well.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("a measurement, not a test: `make bench`");
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    println!("{:<44}{:>14}{:>22}{:>22}", "calendar, one line", "leafcron", "croner", "bare bit sets");
    reading()?;
    asking()?;
    counting()?;
    never()?;
    keeping()
}

fn reading() -> Outcome<()> {
    let utc = Zone::utc();
    let own = over(&LINES, |line| Calendar::new(line, None, &utc).is_ok());
    let croner = over(&LINES, |line| Cron::from_str(line).is_ok());
    row("read", own, Some(croner), Some(over(&LINES, |line| Bare::new(line).is_some())));
    Ok(())
}

fn asking() -> Outcome<()> {
    // A morning, and the night before a clock change.
    for (zone, from) in [("UTC", YEAR.0), ("Europe/Berlin", 1_774_700_000)] {
        let own = calendars(zone)?;
        let own = over(&own, |calendar| calendar.next(WallTime::from_secs(from)));
        let start = Zoned::new(Timestamp::from_second(from)?, TimeZone::get(zone)?);
        let croner = over(&croners()?, |cron| cron.find_next_occurrence(&start, false).ok());
        let bare = (zone == "UTC").then(|| over(&bares(), |bare| bare.next(from)));
        row(&format!("next, {zone}"), own, Some(croner), bare);
    }
    Ok(())
}

fn counting() -> Outcome<()> {
    let wall = WallTime::from_secs;
    let (start, end) = YEAR;
    let own = calendars("UTC")?;
    let year = over(&own, |calendar| calendar.count(wall(start), wall(end)));
    let until = Timestamp::from_second(end)?;
    let croner = over(&croners()?, |cron| {
        let zoned = Zoned::new(Timestamp::from_second(start).unwrap_or_default(), TimeZone::UTC);
        cron.iter_after(zoned).take_while(|at| at.timestamp() <= until).count()
    });
    let bare = over(&bares(), |bare| {
        std::iter::successors(bare.next(start), |at| bare.next(*at)).take_while(|at| *at <= end).count()
    });
    row("count over a year, UTC", year, Some(croner), Some(bare));
    for zone in ["UTC", "Europe/Berlin"] {
        let own = over(&calendars(zone)?, |calendar| calendar.count(wall(start), wall(start + CENTURY)));
        row(&format!("count over a century, {zone}"), own, None, None);
    }
    Ok(())
}

fn never() -> Outcome<()> {
    let utc = Zone::utc();
    if !Calendar::new(NEVER, None, &utc).is_err_and(|refused| refused.is_never()) {
        return Err("a line that never fires was taken".into());
    }
    let own = over(&[NEVER], |line| Calendar::new(line, None, &utc).is_err());
    let start = Zoned::new(Timestamp::from_second(YEAR.0)?, TimeZone::UTC);
    let croner = over(&[NEVER], |line| {
        Cron::from_str(line).map(|cron| cron.find_next_occurrence(&start, false).is_err())
    });
    let bare = over(&[NEVER], |line| Bare::new(line).map(|bare| bare.next(YEAR.0)));
    row("a line that never fires, refused (< 1 ms)", own, Some(croner), Some(bare));
    Ok(())
}

/// Memory, with what each has on the heap; the zone's data is shared and not counted.
fn keeping() -> Outcome<()> {
    let zone = Zone::named("Europe/Berlin")?;
    let own =
        heap(|| LINES.iter().filter_map(|line| Calendar::new(line, None, &zone).ok()).collect::<Vec<_>>());
    let croner = heap(|| LINES.iter().filter_map(|line| Cron::from_str(line).ok()).collect::<Vec<_>>());
    let bare = heap(|| LINES.iter().filter_map(|line| Bare::new(line)).collect::<Vec<_>>());
    let ratio = |other: f64| format!("{other:.0} B ({:.1} x)", other / own);
    println!("{:<44}{:>14}{:>22}{:>22}", "memory a job", format!("{own:.0} B"), ratio(croner), ratio(bare));
    Ok(())
}

/// Bytes that one of them keeps, its place in an exact list included.
fn heap<T>(make: impl Fn() -> Vec<T>) -> f64 {
    let region = Region::new(ALLOCATOR);
    let mut kept = make();
    kept.shrink_to_fit();
    let stats = region.change();
    let bytes = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
    let each = bytes as f64 / kept.len().max(1) as f64;
    drop(black_box(kept));
    each
}

fn calendars(zone: &str) -> Outcome<Vec<Calendar>> {
    let zone = Zone::named(zone)?;
    Ok(LINES.iter().map(|line| Calendar::new(line, None, &zone)).collect::<Result<_, _>>()?)
}

fn croners() -> Outcome<Vec<Cron>> {
    Ok(LINES.iter().map(|line| Cron::from_str(line)).collect::<Result<_, _>>()?)
}

fn bares() -> Vec<Bare> {
    LINES.iter().filter_map(|line| Bare::new(line)).collect()
}

/// The median time of one, in seconds.
fn over<T, R>(all: &[T], mut ask: impl FnMut(&T) -> R) -> f64 {
    let mut round = |times: usize| {
        let from = Instant::now();
        for _ in 0..times {
            all.iter().for_each(|one| drop(black_box(ask(black_box(one)))));
        }
        from.elapsed()
    };
    let mut times = 1;
    while round(times) < ROUND {
        times *= 2;
    }
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(times).as_secs_f64()).collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
    median / (times * all.len()) as f64
}

fn row(what: &str, own: f64, croner: Option<f64>, bare: Option<f64>) {
    let other = |time: Option<f64>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{} ({:.1} x)", in_units(time), time / own))
    };
    println!("{what:<44}{:>14}{:>22}{:>22}", in_units(own), other(croner), other(bare));
}

fn in_units(seconds: f64) -> String {
    match seconds {
        nanos if nanos < 1e-6 => format!("{:.0} ns", nanos * 1e9),
        micros if micros < 1e-3 => format!("{:.1} us", micros * 1e6),
        millis => format!("{:.1} ms", millis * 1e3),
    }
}
