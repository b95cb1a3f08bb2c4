//! Promise 1 on real parts: every fire is accounted for exactly once, whenever the agent is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rig::Rig;
use leafcron::job::{Outcome, WallTime};

const SECONDLY: &str = r#"
[job.tick]
schedule = "* * * * * *"
command = "echo $LEAFCRON_DUE >> @DIR@/witness"
overlap = "allow"
catch_up = "all"
"#;

#[test]
fn whenever_the_agent_is_killed_each_second_is_accounted_for_and_runs_once_at_most() {
    let mut rig = Rig::with_config("max_runs = 16", SECONDLY);
    // How long each agent lives, in milliseconds: all over the second.
    for (life, dead) in
        [(700, 0), (1_150, 1_300), (1_500, 90), (990, 2_010), (2_030, 40), (1_310, 700), (450, 0)]
    {
        rig.start();
        // A moment is chosen here, nothing is waited for.
        std::thread::sleep(Duration::from_millis(life));
        rig.kill();
        std::thread::sleep(Duration::from_millis(dead));
    }
    rig.start();
    let seen = rig.records("tick").len();
    rig.wait_for_finals("tick", seen + 3);
    assert!(rig.leafcron(&["pause", "tick"]).status.success());
    super::rig::wait_for("all runs end", || {
        let status = rig.json(&["status"]);
        let quiet = |list: &str| status[list].as_array().unwrap().is_empty();
        (quiet("running") && quiet("waiting")).then_some(())
    });

    let mut accounted: BTreeMap<WallTime, u32> = BTreeMap::new();
    let mut ran: BTreeMap<String, u32> = BTreeMap::new();
    for record in rig.records("tick").into_iter().filter(|record| record.last) {
        assert_ne!(record.outcome, Outcome::Interrupted, "{record:#?}");
        match record.covers {
            None => *accounted.entry(record.due).or_default() += 1,
            Some(covers) => {
                for secs in covers.from.secs()..=covers.to.secs() {
                    *accounted.entry(WallTime::from_secs(secs)).or_default() += 1;
                }
            }
        }
        if record.outcome == Outcome::Succeeded {
            *ran.entry(record.due.to_string()).or_default() += 1;
        }
    }
    let (first, last) = (accounted.keys().next().unwrap().secs(), accounted.keys().last().unwrap().secs());
    assert!(last - first >= 10, "the test saw {first} to {last}");
    for secs in first..=last {
        assert_eq!(accounted.get(&WallTime::from_secs(secs)), Some(&1), "due {}", WallTime::from_secs(secs));
    }
    let mut witnessed: BTreeMap<String, u32> = BTreeMap::new();
    for due in rig.lines("witness") {
        *witnessed.entry(due).or_default() += 1;
    }
    assert_eq!(witnessed, ran, "what ran is what the records say");
    assert!(witnessed.values().all(|count| *count == 1), "{witnessed:#?}");
}
