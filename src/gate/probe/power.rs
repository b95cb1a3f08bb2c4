//! What the machine runs on, and for how long.
//!
//! Source: the kernel's `Documentation/ABI/testing/sysfs-class-power`. A supply whose `scope` is `Device` belongs to a
//! mouse or a pen, not to the machine.

use std::path::PathBuf;

use super::files::{Root, Unread, value};
use crate::job::Power;

/// A supply of the machine.
struct Supply {
    dir: PathBuf,
    kind: Kind,
}

enum Kind {
    /// Mains, USB, Wireless.
    Line,
    /// Battery, UPS.
    Store,
}

/// Mains while any line is online.
pub(super) fn power(root: &Root) -> Option<Power> {
    let (mut known, mut unclear) = (false, false);
    for supply in supplies(root)? {
        match supply.kind {
            Kind::Store => known = true,
            // 2: online, and programmable.
            Kind::Line => match value(&supply.dir, "online").as_deref() {
                Ok("1" | "2") => return Some(Power::Mains),
                Ok("0") => known = true,
                Ok(_) | Err(_) => unclear = true,
            },
        }
    }
    (known && !unclear).then_some(Power::Battery)
}

/// Percent in the emptiest battery.
pub(super) fn battery(root: &Root) -> Option<u8> {
    let mut least: Option<u8> = None;
    for supply in supplies(root)?.iter().filter(|supply| matches!(supply.kind, Kind::Store)) {
        let capacity: u8 = value(&supply.dir, "capacity").ok()?.parse().ok()?;
        if capacity > 100 {
            return None;
        }
        least = Some(least.map_or(capacity, |least| least.min(capacity)));
    }
    least
}

/// The supplies of the machine; no answer where one of them says nonsense about itself.
fn supplies(root: &Root) -> Option<Vec<Supply>> {
    let mut supplies = Vec::new();
    for dir in root.entries("/sys/class/power_supply")? {
        let kind = match value(&dir, "type").ok()?.as_str() {
            "Mains" | "USB" | "Wireless" | "BrickID" => Kind::Line,
            "Battery" | "UPS" => Kind::Store,
            "Unknown" => continue,
            // `USB_DCP`, `USB_C`, … of kernels before 5.13.
            other if other.starts_with("USB_") => Kind::Line,
            _ => return None,
        };
        let of_a_device = match value(&dir, "scope") {
            Ok(scope) => scope == "Device",
            Err(Unread::Absent) => false,
            Err(Unread::Unsupported | Unread::Failed | Unread::Garbage) => return None,
        };
        // An empty bay.
        let is_there = value(&dir, "present").as_deref() != Ok("0");
        if is_there && !of_a_device {
            supplies.push(Supply { dir, kind });
        }
    }
    Some(supplies)
}
