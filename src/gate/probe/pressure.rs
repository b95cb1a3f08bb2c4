//! How long tasks wait: pressure stall information, and what stands in for it where the kernel serves none.
//!
//! Source: the kernel's `Documentation/accounting/psi.rst`. `/proc/pressure` is there when the kernel was built with
//! CONFIG_PSI and not told `psi=0`, or built with CONFIG_PSI_DEFAULT_DISABLED and told `psi=1`.

use super::files::{Root, Unread};
use super::load;
use crate::job::Pressure;

/// Two lines of some 60 bytes.
const PRESSURE_BYTES: u64 = 1_024;

pub(super) fn cpu(root: &Root) -> Option<Pressure> {
    some10(root, "/proc/pressure/cpu", |root| load::load_per_cpu(root).map(Pressure::Load))
}

pub(super) fn memory(root: &Root) -> Option<Pressure> {
    some10(root, "/proc/pressure/memory", |root| {
        load::memory_available_percent(root).map(Pressure::Available)
    })
}

/// Load counts what waits for storage.
pub(super) fn io(root: &Root) -> Option<Pressure> {
    some10(root, "/proc/pressure/io", |root| load::load_per_cpu(root).map(Pressure::Load))
}

/// Only a kernel that serves no PSI has a stand-in: what is there and says nonsense is unreadable.
fn some10(root: &Root, path: &str, stand_in: impl Fn(&Root) -> Option<Pressure>) -> Option<Pressure> {
    match root.text(path, PRESSURE_BYTES) {
        Ok(text) => parse_some10(&text).map(Pressure::Some10),
        Err(Unread::Absent | Unread::Unsupported) => stand_in(root),
        Err(Unread::Failed | Unread::Garbage) => None,
    }
}

/// `"some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459"`: the first average. Kernels before 5.13 have no line `full`
/// for the cpu.
fn parse_some10(text: &str) -> Option<f32> {
    let mut words = text.lines().find_map(|line| line.strip_prefix("some "))?.split(' ');
    let percent: f32 = words.next()?.strip_prefix("avg10=")?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_of_ten_seconds_is_a_share() {
        let both = "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=9.00 avg60=0.13 avg300=0.96 total=1\n";
        assert_eq!(parse_some10(both), Some(0.22));
        assert_eq!(parse_some10("some avg10=100.00 avg60=0 avg300=0 total=1"), Some(100.0));
        for text in [
            "",
            "full avg10=9.00 avg60=0.13 avg300=0.96 total=1\n",
            "some avg60=0.17\n",
            "some avg10=\n",
            "some avg10=-1.00 avg60=0\n",
            "some avg10=100.01 avg60=0\n",
            "some avg10=NaN avg60=0\n",
            "some avg10=inf avg60=0\n",
            "someavg10=1.00\n",
        ] {
            assert_eq!(parse_some10(text), None, "{text:?}");
        }
    }
}
