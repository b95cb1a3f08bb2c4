//! How hot the machine is, and what its firmware holds back for that or for want of volts.
//!
//! Sources: the kernel's `Documentation/ABI/testing/sysfs-class-thermal` (millidegrees Celsius) and, of the Raspberry
//! Pi's kernel, `drivers/firmware/raspberrypi.c` (`get_throttled`, hexadecimal: bits 0-3 are the current flags) and
//! `drivers/hwmon/raspberrypi-hwmon.c`, which asks the firmware every 2 s. That file only repeats the last answer, so
//! without the driver it is stale. Reading it makes the kernel warn once per boot that it is deprecated, and nothing else
//! tells all four flags: it is read only when somebody asks.

use std::path::PathBuf;

use super::files::{Root, Unread, value};
use crate::job::Throttled;

/// What a zone says that has no reading: THERMAL_TEMP_INVALID.
const INVALID: i32 = -274_000;
/// What a zone of a machine that runs can say, in millidegrees.
const PLAUSIBLE: core::ops::RangeInclusive<i32> = -100_000..=300_000;

/// The hottest thermal zone, in degrees Celsius. A zone whose sensor is off answers with an error and does not count.
pub(super) fn temperature(root: &Root) -> Option<f32> {
    let mut hottest: Option<i32> = None;
    for zone in root.entries("/sys/class/thermal")? {
        let is_zone = |name: &str| name.starts_with("thermal_zone");
        if !zone.file_name().and_then(|name| name.to_str()).is_some_and(is_zone) {
            continue;
        }
        let text = match value(&zone, "temp") {
            Ok(text) => text,
            Err(Unread::Absent | Unread::Unsupported | Unread::Failed) => continue,
            Err(Unread::Garbage) => return None,
        };
        match text.parse().ok()? {
            INVALID => {}
            degrees if PLAUSIBLE.contains(&degrees) => hottest = hottest.max(Some(degrees)),
            _ => return None,
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^24: exact in f32")]
    hottest.map(|degrees| degrees as f32 / 1_000.0)
}

/// What the firmware holds back now.
pub(super) fn throttled(root: &Root) -> Option<Throttled> {
    let dir = firmware(root)?;
    let text = value(&dir, "get_throttled").ok()?;
    // `from_str_radix` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let flags = u32::from_str_radix(&text, 16).ok().filter(|_| digits)?;
    u8::try_from(flags & 0b1111).ok().map(Throttled)
}

/// Whether the file is there and kept up, without reading it.
pub(super) fn is_told(root: &Root) -> bool {
    firmware(root).is_some_and(|dir| dir.join("get_throttled").exists())
}

/// The device of the firmware, if somebody asks it regularly.
fn firmware(root: &Root) -> Option<PathBuf> {
    let asks = |dir: &PathBuf| value(dir, "name").is_ok_and(|name| name == "rpi_volt");
    root.entries("/sys/class/hwmon")?.iter().find(|dir| asks(dir))?;
    let devices = root.entries("/sys/bus/platform/drivers/raspberrypi-firmware")?;
    devices.into_iter().find(|dir| dir.join("get_throttled").exists())
}
