//! Whether there is a way out: a default route over an interface that is up, or of which nothing is known.
//!
//! Sources: `proc_pid_net(5)` and the kernel's `net/ipv4/fib_trie.c` (`/proc/net/route`) and `net/ipv6/route.c`
//! (`/proc/net/ipv6_route`), flags from `route.h`; `operstate` of `/sys/class/net` from
//! `Documentation/ABI/testing/sysfs-class-net` and RFC 2863. A route needs no gateway: LTE has none. Wi-Fi before its
//! authentication is `dormant`: not up. Nothing is sent: whether anybody answers out there is not known.

use super::files::{Root, Unread, value};
use crate::job::Network;

/// Some 128 bytes a route; a machine with more routes than this holds is a router.
const ROUTES_BYTES: u64 = 512 * 1024;
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
/// IFNAMSIZ, less the NUL.
const NAME_BYTES: usize = 15;

/// Whether there is one.
pub(super) fn network(root: &Root) -> Option<Network> {
    let v4 = default_routes(root, "/proc/net/route", |text| {
        // The first line has the names of the columns.
        let (head, routes) = text.split_once('\n')?;
        head.starts_with("Iface").then(|| routes.lines().map(parse_v4).collect())?
    });
    let v6 = default_routes(root, "/proc/net/ipv6_route", |text| text.lines().map(parse_v6).collect());
    if matches!((&v4, &v6), (Err(Unread::Absent), Err(Unread::Absent))) {
        return None;
    }
    // A kernel without IPv6, say.
    let known = [v4, v6].map(|routes| if routes == Err(Unread::Absent) { Ok(Vec::new()) } else { routes });
    let mut unclear = known.iter().any(Result::is_err);
    for interface in known.into_iter().flatten().flatten() {
        match value(&root.below("/sys/class/net").join(&interface), "operstate").as_deref() {
            Ok("up" | "unknown") => return Some(Network::Online),
            Ok("notpresent" | "down" | "lowerlayerdown" | "testing" | "dormant") => {}
            Ok(_) | Err(_) => unclear = true,
        }
    }
    (!unclear).then_some(Network::Offline)
}

/// The interfaces with a default route. `parse`: of each line `Some(None)` for another route; nothing for nonsense.
fn default_routes(
    root: &Root,
    path: &str,
    parse: impl Fn(&str) -> Option<Vec<Option<String>>>,
) -> Result<Vec<String>, Unread> {
    let text = root.text(path, ROUTES_BYTES)?;
    parse(&text).map(|routes| routes.into_iter().flatten().collect()).ok_or(Unread::Garbage)
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers but the metric in hexadecimal.
fn parse_v4(line: &str) -> Option<Option<String>> {
    let mut words = line.split_ascii_whitespace();
    let interface = words.next()?;
    let destination = hex(words.next()?)?;
    let flags = hex(words.nth(1)?)?;
    let mask = hex(words.nth(3)?)?;
    over(interface, destination == 0 && mask == 0, flags)
}

/// `destination length source length next-hop metric references use flags interface`, all in hexadecimal.
fn parse_v6(line: &str) -> Option<Option<String>> {
    let words: Vec<&str> = line.split_ascii_whitespace().take(11).collect();
    let [destination, length, source, source_length, _, _, _, _, flags, interface] = words[..] else {
        return None;
    };
    let is_address = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_address(destination) || !is_address(source) {
        return None;
    }
    over(interface, hex(length)? == 0 && hex(source_length)? == 0, hex(flags)?)
}

/// The interface, if the route is a default one that is in use.
fn over(interface: &str, is_default: bool, flags: u32) -> Option<Option<String>> {
    // It becomes a part of a path.
    let is_name = (1..=NAME_BYTES).contains(&interface.len())
        && !interface.contains('/')
        && !matches!(interface, "." | "..");
    let leads_out = is_default && flags & UP != 0 && flags & REJECT == 0 && interface != "lo";
    is_name.then(|| leads_out.then(|| interface.to_owned()))
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| digits)
}
