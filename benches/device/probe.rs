//! What it costs to read everything that a gate can ask for at once: held fires cost that every 5 to 60 s, others nothing.

use std::hint::black_box;
use std::path::Path;

use leafcron::gate::{Probe, Wanted};

use super::Outcomes;
use super::step::cpu_micros;
use super::table::{Spread, Table};

/// Probes that are timed together, and how often.
const PROBES: u32 = 50;
const ROUNDS: usize = 21;

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pi-5");
    for (what, probe) in
        [("this machine", Probe::default()), ("files laid out as a Pi 5's", Probe::new(fixture))]
    {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let began = cpu_micros();
            for _ in 0..PROBES {
                black_box(probe.read(&Wanted::machine()));
            }
            rounds.push((cpu_micros() - began) / f64::from(PROBES));
        }
        let measured = Spread::of(rounds).with_unit("µs");
        println!("probe: everything, {what}: {measured}");
        table.row(format!("a probe of everything, {what}"), measured, "-");
    }
    Ok(())
}
