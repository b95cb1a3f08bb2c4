//! leafcron: the command line of the device's owner. Asks the agent over its socket; `explain LINE`, `check`
//! and `import` need none.

mod act;
mod answer;
mod args;
mod ask;
mod check;
mod doctor;
mod events;
mod explain;
mod here;
mod history;
mod hub;
mod import;
mod list;
mod logs;
mod machine;
mod place;
#[cfg(test)]
mod samples;
mod show;
mod status;
mod table;
mod words;

use std::process::ExitCode;

use clap::Parser;
use leafcron::control::Client;
use leafcron::job::{JobName, JobShown, Reply, Request, RunId, WallTime};
use leafcron::schedule::Explained;

use answer::{Answer, Failure};
use args::{Cli, Explain, Verb};
use here::Here;
use history::Outputs;

fn main() -> ExitCode {
    answer::print(answer(&Cli::parse(), &Here::of_this_machine()))
}

fn answer(cli: &Cli, here: &Here) -> Result<Answer, Failure> {
    let json = cli.json;
    let client = || place::connect(&cli.agent);
    match &cli.verb {
        Verb::List => match ask::ask(&mut client()?, &Request::List {})? {
            Reply::Jobs(rows) if json => Answer::json(&rows),
            Reply::Jobs(rows) => Ok(Answer::text(list::render(&rows, here))),
            other => Err(ask::unexpected(&other)),
        },
        Verb::Show { job } => {
            let shown = shown(&mut client()?, job)?;
            if json { Answer::json(&shown) } else { Ok(show_page(&shown, here)) }
        }
        Verb::History { limit, events: true, .. } => {
            match ask::ask(&mut client()?, &Request::Events { limit: *limit })? {
                Reply::Events(events) if json => Answer::json(&events),
                Reply::Events(events) => Ok(Answer::text(events::render(&events, here))),
                other => Err(ask::unexpected(&other)),
            }
        }
        Verb::History { job, limit, output, events: false } => {
            let request = Request::History { job: job.clone(), limit: *limit };
            let outputs = if *output { Outputs::Shown } else { Outputs::Hidden };
            match ask::ask(&mut client()?, &request)? {
                Reply::Records(records) if json => Answer::json(&records),
                Reply::Records(records) if records.is_empty() && job.is_some() => {
                    let job = job.as_ref().map_or_else(String::new, ToString::to_string);
                    Ok(Answer::text(format!(
                        "no record of {job}: nothing of it has ended yet (`leafcron status`), or there is no such job \
                         (`leafcron list`)\n"
                    )))
                }
                Reply::Records(records) => Ok(Answer::text(history::render(&records, here, outputs))),
                other => Err(ask::unexpected(&other)),
            }
        }
        Verb::Logs { job, follow, run } => logs::logs(&mut client()?, job, run.map(RunId), *follow, json),
        Verb::Run { job, wait, force, id } => {
            let request = Request::Run { job: job.clone(), id: id.clone(), force: *force, wait: *wait };
            let run = if *wait { act::run_and_wait } else { act::run };
            run(&mut client()?, &request, json)
        }
        Verb::Stop { job } => act::done(&mut client()?, &Request::Stop { job: job.clone(), id: None }, json),
        Verb::EndRuns => act::done(&mut client()?, &Request::EndRuns {}, json),
        Verb::Pause { job } => {
            act::done(&mut client()?, &Request::Pause { job: job.clone(), id: None }, json)
        }
        Verb::Resume { job } => {
            act::done(&mut client()?, &Request::Resume { job: job.clone(), id: None }, json)
        }
        Verb::Remove { job } => act::done(&mut client()?, &Request::Remove { job: job.clone() }, json),
        Verb::Status => match ask::ask(&mut client()?, &Request::Status {})? {
            Reply::Status(status) if json => Answer::json(&status),
            Reply::Status(status) => Ok(Answer::text(status::render(&status, here))),
            other => Err(ask::unexpected(&other)),
        },
        Verb::Doctor => doctor::doctor(&cli.agent, here, json),
        Verb::Reload => match ask::ask(&mut client()?, &Request::Reload {})? {
            Reply::Reloaded(reloaded) => act::reloaded(&reloaded, json),
            other => Err(ask::unexpected(&other)),
        },
        Verb::Explain(asked) => explain::explain(&subject(cli, asked)?, asked, here, json),
        Verb::Hub(hub) => hub::hub(hub, here, json),
        Verb::Import(asked) => import::import(&cli.agent, asked, json),
        Verb::Check { paths } => check::check(place::config(&cli.agent)?, paths, json),
    }
}

fn shown(client: &mut Client, job: &JobName) -> Result<JobShown, Failure> {
    match ask::ask(client, &Request::Show { job: job.clone() })? {
        Reply::Job(shown) => Ok(*shown),
        other => Err(ask::unexpected(&other)),
    }
}

/// As many fires does `show` name.
const FIRES_SHOWN: usize = 3;

fn show_page(shown: &JobShown, here: &Here) -> Answer {
    let row = &shown.row;
    // The agent says which is the next; what follows depends on the line alone.
    let fires: Vec<Explained> = match (row.next, explain::calendar(row)) {
        (Some(next), Some(calendar)) => {
            let before = WallTime::from_millis(next.millis().saturating_sub(1)).min(here.now);
            calendar.explain(before).skip_while(|fire| fire.at < next).take(FIRES_SHOWN).collect()
        }
        _ => Vec::new(),
    };
    Answer::text(show::render(shown, &fires, here))
}

/// The line itself, or the schedule of the job that is named.
fn subject(cli: &Cli, asked: &Explain) -> Result<explain::Subject, Failure> {
    let text = asked.words.join(" ");
    let name = match text.parse::<JobName>() {
        Ok(name) if !explain::is_line(&text) => name,
        _ => return Ok(explain::Subject { line: text, zone: None, remarks: Vec::new() }),
    };
    let row = shown(&mut place::connect(&cli.agent)?, &name)?.row;
    let mut remarks = Vec::new();
    if !row.enabled {
        remarks.push("the job is disabled: nothing is due".to_owned());
    }
    if row.paused {
        remarks.push(format!("the job is paused: nothing fires until `leafcron resume {name}`"));
    }
    Ok(explain::Subject { line: row.schedule, zone: Some(row.time_zone), remarks })
}
