//! An agent whose link is up over TLS, with a thousand jobs and nothing to do.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::secure::Hub;
use super::table::Table;
use super::{Outcomes, idle, machine, say};

const JOBS: usize = 1_000;
const SETTLE: Duration = Duration::from_secs(20);
/// One request of the link a minute: less shows nothing.
const WATCHED: Duration = Duration::from_secs(60);

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let hub = Hub::start()?;
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(jobs, "[job.idle-{number}]\nschedule = \"0 0 1 1 *\"\ncommand = \"echo x\"")?;
    }
    let mut device = Device::new(&jobs)?;
    hub.join(&mut device, "1h")?;
    let watched = idle::watched(WATCHED)?;
    say(&format!(
        "link: up over TLS; {} s to settle, then watched for {} s",
        SETTLE.as_secs(),
        watched.as_secs()
    ));
    thread::sleep(SETTLE);
    let agent = device.pid()?;
    let all = machine::tree(agent)?;
    let link = *all.iter().find(|pid| **pid != agent).ok_or("there is no link process")?;
    let switches = || -> Outcomes<(u64, u64)> {
        let together = machine::switches(agent)?;
        Ok((together, machine::switches(link)?))
    };
    let before = switches()?;
    thread::sleep(watched);
    let after = switches()?;
    let (both, own) = (machine::memory(agent)?.pss, machine::memory(link)?.pss);
    table.row(
        "agent and link up over TLS, 1,000 jobs: PSS",
        format!("{both} KiB, of which the link {own}"),
        "4,096 KiB",
    );
    let count = format!(
        "{} in {} s, of which the link {}",
        after.0 - before.0,
        watched.as_secs(),
        after.1 - before.1
    );
    table.row("  wake-ups (voluntary switches of all threads)", count, "12 in 120 s");
    device.stop()
}
