//! An agent whose link is up over TLS, with a thousand jobs and nothing to do.

use std::fmt::Write as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use leafcron::job::LinkState;

use super::device::Device;
use super::servers::{Server, certificates};
use super::table::Table;
use super::{Outcomes, idle, machine, say};

const JOBS: usize = 1_000;
const SETTLE: Duration = Duration::from_secs(20);
/// One request of the link a minute: less shows nothing.
const WATCHED: Duration = Duration::from_secs(60);
const PATIENCE: usize = 600;

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let dir = tempfile::tempdir()?;
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let server = Server::plain(&format!(
        "jetstream {{ domain: hub, store_dir: \"@DIR@/store\" }}\ntls {{ cert_file: {:?}, key_file: {:?} }}\n",
        path("cert.pem"),
        path("key.pem")
    ));
    let url = server.url().replace("nats://", "tls://");
    let made = Command::new(env!("CARGO_BIN_EXE_leafcron"))
        .args(["hub", "init", "--server", &url, "--ca", &path("ca.pem")])
        .output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    let mut jobs = String::new();
    for number in 0..JOBS {
        writeln!(jobs, "[job.idle-{number}]\nschedule = \"0 0 1 1 *\"\ncommand = \"echo x\"")?;
    }
    let mut device = Device::new(&jobs)?;
    device.configure(&format!(
        "[nats]\nservers = [{url:?}]\nca = {:?}\nheartbeat = \"1h\"\n",
        path("ca.pem")
    ))?;
    device.start()?;
    let delivered = |device: &Device| -> Outcomes<bool> {
        let link = device.status()?.link.ok_or("no link")?;
        Ok(link.state == LinkState::Up && link.unsent == 0)
    };
    let mut looks = 0;
    while !delivered(&device)? {
        looks += 1;
        if looks > PATIENCE {
            return Err(format!("the link does not come up: {:?}", device.status()?.link).into());
        }
        thread::sleep(Duration::from_millis(100));
    }
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
