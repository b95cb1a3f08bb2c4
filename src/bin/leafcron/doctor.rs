//! `leafcron doctor`.

use leafcron::agent;
use leafcron::gate::Probe;
use leafcron::job::{Doctor, Reply, Request, Warning};

use crate::answer::{Answer, Failure};
use crate::args::Agent;
use crate::here::Here;
use crate::table::{Table, safe};
use crate::{ask, machine, place, status};

/// Asks the agent; where there is none, says what can be said without.
pub(crate) fn doctor(agent: &Agent, here: &Here, as_json: bool) -> Result<Answer, Failure> {
    let mut client = match place::connect(agent) {
        Ok(client) => client,
        Err(failure) => return without_agent(agent, failure, here, as_json),
    };
    match ask::ask(&mut client, &Request::Doctor {})? {
        Reply::Doctor(doctor) => {
            let code = u8::from(!doctor.warnings.is_empty());
            let answer =
                if as_json { Answer::json(&doctor)? } else { Answer::text(render(&doctor, true, here)) };
            Ok(answer.with_code(code))
        }
        other => Err(ask::unexpected(&other)),
    }
}

fn without_agent(agent: &Agent, failure: Failure, here: &Here, as_json: bool) -> Result<Answer, Failure> {
    let (Failure::No(why) | Failure::CannotAsk(why)) = failure;
    let doctor = agent::examine(&place::config(agent)?.config, &Probe::default());
    let answer = if as_json { Answer::json(&doctor)? } else { Answer::text(render(&doctor, false, here)) };
    let err = format!("leafcron: nothing is known of jobs and limits, since no agent answers: {why}\n");
    Ok(Answer { err, ..answer }.with_code(2))
}

fn render(doctor: &Doctor, agent_answers: bool, here: &Here) -> String {
    let mut text = section("GATES (what `require` can ask for, and what is read now)", &gates(doctor));
    if agent_answers {
        text.push('\n');
        text.push_str(&section("LIMITS", &limits(doctor)));
        let waiting = status::waiting(&doctor.waiting, here);
        if waiting.is_empty() {
            text.push_str("\nNo gate is shut: no fire waits at one.\n");
        } else {
            text.push('\n');
            text.push_str(&section("GATES THAT ARE SHUT NOW", &waiting));
        }
    }
    if !doctor.warnings.is_empty() {
        text.push_str("\nJOBS THAT ASK FOR WHAT THIS MACHINE DOES NOT SERVE\n");
        text.extend(doctor.warnings.iter().map(|row| format!("  {}\n", safe(&row.to_string()))));
    }
    if !doctor.standing.is_empty() {
        text.push_str("\nTO BE KNOWN\n");
        text.extend(doctor.standing.iter().map(|said| format!("  {}\n", safe(said))));
    }
    text
}

fn section(title: &str, table: &Table) -> String {
    format!("{title}\n{}", table.render("  "))
}

fn gates(doctor: &Doctor) -> Table {
    let mut table = Table::new(&["REQUIREMENT", "NOW"]);
    for (name, value) in machine::rows(&doctor.readings) {
        let why = of(&doctor.gates, &format!("require.{name}"));
        let now = match (value, why) {
            (Some(value), _) => value,
            (None, Some(_)) => "not served here".to_owned(),
            (None, None) => "cannot be read".to_owned(),
        };
        table.row([name, now]);
        if let Some(why) = why {
            table.note(why);
        }
    }
    table
}

fn limits(doctor: &Doctor) -> Table {
    let mut table = Table::new(&["LIMIT", "HOLDS FOR"]);
    for name in ["memory", "cpu", "pids"] {
        let why = of(&doctor.limits, &format!("limits.{name}"));
        let holds = if why.is_none() { "the whole run" } else { "not as it is meant" };
        table.row([name.to_owned(), holds.to_owned()]);
        if let Some(why) = why {
            table.note(why);
        }
    }
    for name in ["nice", "io"] {
        table.row([name, "the whole run"].map(str::to_owned));
    }
    table
}

fn of<'a>(warnings: &'a [Warning], field: &str) -> Option<&'a str> {
    warnings.iter().find(|warning| warning.field == field).map(|warning| warning.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_page_says_what_is_read_what_is_not_served_and_what_would_help() {
        let status = samples::status();
        let warning =
            |field: &str, reason: &str| Warning { field: field.to_owned(), reason: reason.to_owned() };
        let doctor = Doctor {
            readings: status.readings.clone(),
            gates: vec![warning("require.temperature", "no zone has one, so it never holds")],
            limits: vec![warning(
                "limits.memory",
                "the controller is off; each process is bounded by itself",
            )],
            waiting: status.waiting.clone(),
            warnings: status.refused.clone(),
            standing: vec!["plain text".to_owned()],
        };
        let expected = "\
GATES (what `require` can ask for, and what is read now)
  REQUIREMENT             NOW
  load_per_cpu            1.20
  memory_available        100MiB
  cpu_pressure            cannot be read
  memory_pressure         cannot be read
  io_pressure             cannot be read
  temperature             not served here
    no zone has one, so it never holds
  throttled               cannot be read
  power                   cannot be read
  battery                 cannot be read
  network                 cannot be read
  clock                   cannot be read
  disk_available of /var  1GiB

LIMITS
  LIMIT   HOLDS FOR
  memory  not as it is meant
    the controller is off; each process is bounded by itself
  cpu     the whole run
  pids    the whole run
  nice    the whole run
  io      the whole run

GATES THAT ARE SHUT NOW
  JOB     DUE                  WAITS FOR  AT MOST UNTIL        TRIGGER
  backup  2026-11-21 21:59:00  gate       2026-11-21 22:09:00  schedule
    load_per_cpu is 1.2, at most 0.7 is allowed

JOBS THAT ASK FOR WHAT THIS MACHINE DOES NOT SERVE
  jobs.d/home.toml:3: job backup: timeout: \"5x\" is not a duration

TO BE KNOWN
  plain text
";
        assert_eq!(render(&doctor, true, &samples::here()), expected);
    }
}
