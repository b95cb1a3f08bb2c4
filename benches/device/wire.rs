//! What a device that has nothing to do costs its line: every packet of its connection, keepalive and TLS included.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::secure::Hub;
use super::table::Table;
use super::{Outcomes, say};

/// The start is over, and what it had to say.
const SETTLE: Duration = Duration::from_secs(30);
/// One question a minute, one PING of the server each other minute.
const WATCHED: Duration = Duration::from_secs(240);
const DAY_SECS: u64 = 86_400;
/// The shortest that is allowed, and the default.
const SHORT: (&str, u64) = ("10s", 10);
const DEFAULT_SECS: u64 = 900;
/// IPv4, TCP and its time stamps, of each packet.
const HEADERS: u64 = 20 + 32;

/// Both ways, since the connection began.
#[derive(Clone, Copy)]
struct Wire {
    bytes: u64,
    packets: u64,
}

pub(super) fn measure(table: &mut Table) -> Outcomes<()> {
    let watched = WATCHED.as_secs();
    say(&format!("wire: two devices with nothing to do, watched for {watched} s"));
    let (quiet, talking) = (Hub::start()?, Hub::start()?);
    let (mut first, mut second) = (Device::new("")?, Device::new("")?);
    quiet.join(&mut first, "1h")?;
    talking.join(&mut second, SHORT.0)?;
    thread::sleep(SETTLE);
    let before = (wire(quiet.port()?)?, wire(talking.port()?)?);
    thread::sleep(WATCHED);
    let after = (wire(quiet.port()?)?, wire(talking.port()?)?);
    first.stop()?;
    second.stop()?;

    let spent = |before: Wire, after: Wire| Wire {
        bytes: after.bytes.saturating_sub(before.bytes),
        packets: after.packets.saturating_sub(before.packets),
    };
    let (quiet, talking) = (spent(before.0, after.0), spent(before.1, after.1));
    let beats = watched / SHORT.1;
    let beat = talking.bytes.saturating_sub(quiet.bytes) / beats;
    let day = quiet.bytes * DAY_SECS / watched + beat * DAY_SECS / DEFAULT_SECS;
    table.row(
        "on the wire on a quiet day (no key changes), TLS and keepalive included",
        format!("{} KiB", day / 1_024),
        "",
    );
    let minute = format!("{} bytes, {} packets", quiet.bytes * 60 / watched, quiet.packets * 60 / watched);
    table.row("  of it in a minute without a heartbeat", minute, "");
    table.row("  a heartbeat", format!("{beat} bytes"), "");
    Ok(())
}

/// Of the one connection to that port, as the kernel counts it.
fn wire(port: &str) -> Outcomes<Wire> {
    let said = Command::new("ss")
        .args(["-tinH", "state", "established", "dport", "=", &format!(":{port}")])
        .output()?;
    let said = String::from_utf8(said.stdout)?;
    let field = |name: &str| -> Outcomes<u64> {
        let mut found = said.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
        match (found.next(), found.next()) {
            (Some(value), None) => Ok(value.parse()?),
            _ => Err(format!("`ss` does not tell {name} of one connection to {port}: {said}").into()),
        }
    };
    let packets = field("segs_out")? + field("segs_in")?;
    Ok(Wire { bytes: field("bytes_sent")? + field("bytes_received")? + packets * HEADERS, packets })
}
