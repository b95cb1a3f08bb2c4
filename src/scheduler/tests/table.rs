//! The table of DESIGN section 6, cell by cell: every state answers every event, "nothing" included.

use super::world::{MIDNIGHT, plan};
use crate::job::{
    BootTime, Clock, Entry, Fire, Id128, LastAttempt, Now, Outcome, Reason, RunId, StopWhy, Trigger,
};
use crate::scheduler::life::{Cx, Life, LifeEvent, Run, Stage, Waiting};
use crate::scheduler::{Act, Effects, How, RunEnd};

const NOW: Now = Now { wall: MIDNIGHT, boot: BootTime::from_millis(1_000_000), clock: Clock::Synced };
const RUN: Run = Run {
    run: RunId(1),
    at: MIDNIGHT,
    since: BootTime::from_millis(1_000_000),
    pid: None,
    stopping: None,
    overdue: false,
};

const STATES: [&str; 5] = ["Waiting", "Starting", "Running", "Stopping", "Backoff"];
const EVENTS: [&str; 12] = [
    "Admitted",
    "Started",
    "Ended(0)",
    "Ended(1)",
    "Ended(lost)",
    "Ended(stopped)",
    "NeverStarted",
    "NotStored",
    "Stop",
    "Over",
    "GateFailed",
    "DelayOver",
];

fn life(state: &str, definition: &str) -> Life {
    let fire = Fire::Scheduled { era: 1, due: MIDNIGHT };
    let mut life = Life::new(fire, MIDNIGHT, Trigger::Schedule, NOW);
    life.terms = Some(plan(definition).policy);
    life.attempt = 1;
    life.stage = match state {
        "Waiting" => Stage::Waiting(Waiting::fresh(NOW)),
        "Starting" => Stage::Starting(RUN),
        "Running" => Stage::Running(RUN),
        "Stopping" => Stage::Stopping(RUN, StopWhy::Command { by: "me".to_owned() }),
        _ => Stage::Backoff { until: NOW.boot },
    };
    life.last = (state == "Backoff").then_some(LastAttempt {
        outcome: Outcome::Failed,
        reason: None,
        exit_code: Some(1),
        signal: None,
        started: Some(MIDNIGHT),
    });
    life
}

fn event(name: &str) -> LifeEvent {
    let ended = |how| LifeEvent::Ended(RunEnd::without_result(how));
    match name {
        "Admitted" => LifeEvent::Admitted(RunId(2)),
        "Started" => LifeEvent::Started { pid: 7 },
        "Ended(0)" => ended(How::Exited(0)),
        "Ended(1)" => ended(How::Exited(1)),
        "Ended(lost)" => ended(How::RunnerLost),
        "Ended(stopped)" => ended(How::Stopped(crate::scheduler::Ending::default())),
        "NeverStarted" => LifeEvent::NeverStarted,
        "NotStored" => LifeEvent::NotStored,
        "Stop" => LifeEvent::Stop(StopWhy::Replaced),
        "Over" => LifeEvent::Over(Reason::Deadline),
        "GateFailed" => LifeEvent::GateFailed,
        _ => LifeEvent::DelayOver,
    }
}

/// What became of it: the state that follows and the acts, or how it was settled; `.`: nothing.
fn cell(state: &str, of: &str, definition: &str) -> String {
    let (job, plan) = ("a".parse().unwrap(), plan(definition));
    let mut effects = Effects::default();
    let mut cx = Cx {
        now: NOW,
        boot: Id128([1; 16]),
        era: 1,
        job: &job,
        plan: Some(&plan),
        barred: None,
        effects: &mut effects,
        room: 9,
        full: false,
        settled: None,
        failures: Vec::new(),
    };
    let after = life(state, definition).on(event(of), &mut cx);
    let mut said = match after.as_ref().map(|life| &life.stage) {
        None => "settled".to_owned(),
        Some(Stage::Waiting(_)) => "Waiting".to_owned(),
        Some(Stage::Starting(_)) => "Starting".to_owned(),
        Some(Stage::Running(_)) => "Running".to_owned(),
        Some(Stage::Stopping(..)) => "Stopping".to_owned(),
        Some(Stage::Backoff { .. }) => "Backoff".to_owned(),
    };
    let outcomes = effects.entries.iter().filter_map(|entry| match entry {
        Entry::Record(record) => {
            let reason = record.reason.map_or(String::new(), |reason| format!("({reason:?})"));
            Some(format!(" {:?}{reason}", record.outcome))
        }
        _ => None,
    });
    said.extend(outcomes);
    for act in &effects.acts {
        said.push_str(match act {
            Act::Start(_) => " +start",
            Act::Stop { .. } => " +stop",
            Act::Clear { .. } => " +clear",
            _ => " +other",
        });
    }
    if said == state && effects.entries.is_empty() { ".".to_owned() } else { said.to_lowercase() }
}

fn table(definition: &str) -> Vec<String> {
    let row = |of: &&str| {
        let cells: Vec<String> = STATES.iter().map(|state| cell(state, of, definition)).collect();
        format!("{:16}{}", format!("{of}:"), cells.join(" | "))
    };
    EVENTS.iter().map(row).collect()
}

#[test]
fn every_state_answers_every_event() {
    let plain = r#"{"command":"true","schedule":"* * * * *"}"#;
    let expected = [
        "                Waiting | Starting | Running | Stopping | Backoff",
        "Admitted:       starting +start | . | . | . | .",
        "Started:        . | running | . | stopping +stop | .",
        "Ended(0):       . | settled succeeded +clear | settled succeeded +clear | settled succeeded +clear | .",
        "Ended(1):       . | settled failed +clear | settled failed +clear | settled failed +clear | .",
        "Ended(lost):    . | settled interrupted(runnerlost) +clear | settled interrupted(runnerlost) +clear | settled interrupted(runnerlost) +clear | .",
        "Ended(stopped): . | settled stopped +clear | settled stopped +clear | settled stopped(command) +clear | .",
        "NeverStarted:   . | waiting +clear | settled failed(start) +clear | settled stopped(command) +clear | .",
        "NotStored:      . | settled skipped(disk) +clear | . | settled skipped(disk) +clear | .",
        "Stop:           . | stopping +stop | stopping +stop | . | settled failed(replaced)",
        "Over:           settled skipped(deadline) | . | . | . | settled failed(deadline)",
        "GateFailed:     settled failed(gate) | . | . | . | .",
        "DelayOver:      . | . | . | . | waiting",
    ];
    assert_eq!(table(plain), expected[1..]);
    assert_eq!(expected[0].split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>(), STATES);
}

#[test]
fn a_definition_that_grants_more_starts_again_unless_it_is_stopped() {
    let eager = r#"{"command":"true","schedule":"* * * * *","retry":{"attempts":2},"on_interrupt":"rerun"}"#;
    let (all, plain) = (table(eager), table(r#"{"command":"true","schedule":"* * * * *"}"#));
    let other: Vec<_> = all.iter().filter(|row| !plain.contains(row)).collect();
    assert_eq!(
        other,
        [
            "Ended(1):       . | backoff failed +clear | backoff failed +clear | settled failed +clear | .",
            "Ended(lost):    . | backoff interrupted(runnerlost) +clear | backoff interrupted(runnerlost) +clear | settled interrupted(runnerlost) +clear | .",
            "NeverStarted:   . | waiting +clear | backoff failed(start) +clear | settled stopped(command) +clear | .",
            "NotStored:      . | starting +start | . | settled skipped(disk) +clear | .",
        ]
    );
}
