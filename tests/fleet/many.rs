//! A dozen devices behind two leaf nodes; `make many AGENTS=100` measures more of them.

use std::time::Duration;

use super::crowd::{Crowd, Outcomes, Word, now_nanos};

const AGENTS: usize = 12;
/// Fewer than the seconds after which a consumer that was left behind goes by itself.
const PATIENCE: Duration = Duration::from_secs(40);
/// What a definition of a group may cost between leaf node and hub, for each device: some readings, some words.
const CONVERGING_BYTES: u64 = 16 * 1_024;

fn lives() -> Outcomes<()> {
    let mut crowd = Crowd::new(PATIENCE, "", ["", ""])?;
    crowd.start(AGENTS)?;
    crowd.all_say(&Word::Heartbeat(0))?;
    crowd.no_consumer_stays()?;
    let before = crowd.hub.line.carried();
    let (sequence, _) = crowd.push("job", "true")?;
    crowd.all_say(&Word::Accepted("job", sequence))?;
    let each = (crowd.hub.line.carried() - before) / AGENTS as u64;
    assert!(each < CONVERGING_BYTES, "{each} bytes for each device");
    // All lose their way at once, something is pushed meanwhile, and all come back at once.
    for leaf in &mut crowd.leaves {
        leaf.kill();
    }
    let (sequence, _) = crowd.push("job", "echo again")?;
    let from = now_nanos();
    for leaf in &mut crowd.leaves {
        leaf.start_again();
    }
    crowd.all_say(&Word::Heartbeat(from))?;
    crowd.all_say(&Word::Accepted("job", sequence))?;
    crowd.all_run("job")?;
    crowd.account("job", 1)?;
    // The hub dies, and the leaf nodes join it again. Whoever can be commanded hears of what is pushed.
    crowd.hub.kill();
    crowd.hub.start_again();
    crowd.renew()?;
    crowd.all_run("job")?;
    let (sequence, _) = crowd.push("job", "echo once more")?;
    crowd.all_say(&Word::Accepted("job", sequence))?;
    crowd.account("job", 2)?;
    crowd.no_consumer_stays()
}

#[test]
fn a_dozen_devices_converge_come_back_all_at_once_and_leave_no_consumer_at_the_hub() {
    lives().unwrap();
}
