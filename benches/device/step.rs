//! What a turn costs the core in which nothing is due: a step, the end of the turn, and when to wake.

use std::hint::black_box;
use std::time::Duration;

use leafcron::job::{
    BootTime, Clock, CronJob, FieldMap, Id128, Image, Now, Readings, Revision, RunId, WallTime, text,
};
use leafcron::schedule::{Calendar, Zone};
use leafcron::scheduler::{Effects, Event, Plan, Scheduler, Settings};

use super::Outcomes;
use super::table::{Spread, Table};

const JOBS: usize = 1_000;
/// Turns that are timed together, and how often.
const TURNS: u32 = 200;
const ROUNDS: usize = 51;

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let mut now = Now {
        wall: WallTime::from_secs(1_800_000_000),
        boot: BootTime::from_millis(1_000_000),
        clock: Clock::Synced,
    };
    let mut core = core(now)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = cpu_micros();
        for _ in 0..TURNS {
            // A moment passes; what happens concerns no job.
            (now.wall, now.boot) =
                (now.wall.plus(Duration::from_millis(1)), now.boot.plus(Duration::from_millis(1)));
            turn(&mut core, now)?;
        }
        rounds.push((cpu_micros() - began) / f64::from(TURNS));
    }
    let measured = Spread::of(rounds).with_unit("µs");
    println!("step: {JOBS} jobs, nothing due: {measured}");
    table.row(format!("a turn of the core, {JOBS} jobs, nothing due"), measured, "50 µs");
    Ok(())
}

/// What this thread has used: others on the machine do not count.
pub(super) fn cpu_micros() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a bench does not run for decades")]
    let micros = used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3;
    micros
}

fn turn(core: &mut Scheduler, now: Now) -> Outcomes<()> {
    let mut effects = Effects::default();
    core.step(now, Event::Started { run: RunId(0), pid: 1 }, &mut effects);
    core.close(now, &mut effects);
    black_box(core.wake(now));
    if effects.entries.is_empty() && effects.acts.is_empty() {
        Ok(())
    } else {
        Err("something was due".into())
    }
}

/// A thousand jobs of ordinary kinds, none of them due for hours.
fn core(now: Now) -> Outcomes<Scheduler> {
    let settings = Settings {
        agent: "bench".parse()?,
        max_runs: 8,
        clock_wait: Duration::ZERO,
        released: WallTime::from_secs(0),
    };
    let zone = Zone::named("Europe/Berlin")?;
    let mut effects = Effects::default();
    let mut core = Scheduler::restore(settings, &Image::default(), [], Id128([1; 16]), now, &mut effects);
    for number in 0..JOBS {
        let definition = format!(
            r#"{{"command":"true","schedule":"{} {} * * 1","priority":{}}}"#,
            number % 60,
            number % 24,
            number % 7
        );
        let cronjob =
            CronJob::parse(&text::parse(&definition)?, &FieldMap::new()).map_err(|e| e.to_string())?;
        let calendar = Calendar::new(&cronjob.schedule, None, &zone)?;
        let plan = Plan::new(&cronjob, calendar, Revision::of(&definition));
        core.step(now, Event::Define { job: format!("job-{number}").parse()?, plan }, &mut effects);
    }
    core.step(now, Event::Readings(Readings::default()), &mut effects);
    core.close(now, &mut effects);
    Ok(core)
}
