//! Durations (`"90s"`, `"2h30m"`) and sizes (`"64KiB"`) as people write them, and back.

use core::time::Duration;

/// Duration units, largest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longest duration that is accepted: 100 years, so that no sum with a wall time overflows.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

/// Size units, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `"1h30m"`: numbers with units `w d h m s ms`, largest first, each at most once, no white space.
///
/// # Errors
/// A text for a person: what was found and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || {
        format!(
            "{text:?} is not a duration; write it like \"90s\", \"10m\" or \"2h30m\" (units w d h m s ms)"
        )
    };
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(refuse)?;
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(refuse)?;
        // Units only descend: the iterator is never rewound.
        let (_, ms) = units.find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        total = number.checked_mul(*ms).and_then(|n| total.checked_add(n)).ok_or_else(refuse)?;
        rest = after;
    }
    if total > LONGEST_MS {
        return Err(format!("{text:?} is longer than 100 years"));
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as [`parse_duration`] reads it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, ms) in DURATION_UNITS.iter().skip(1) {
        if rest >= *ms {
            text.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads `"64KiB"`: one whole number with a unit of `B KiB MiB GiB TiB`.
///
/// # Errors
/// A text for a person: what was found and what is allowed.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refuse =
        || format!("{text:?} is not a size; write it like \"64KiB\" or \"1GiB\" (units B KiB MiB GiB TiB)");
    let (number, unit) = split_number(text).ok_or_else(refuse)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
    number.checked_mul(*bytes).ok_or_else(refuse)
}

/// Writes a size as [`parse_size`] reads it: the largest unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in
            [("90s", 90_000), ("10m", 600_000), ("2h30m", 9_000_000), ("0s", 0), ("1d1ms", 86_400_001)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(format_duration(Duration::ZERO), "0s");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "1m1h",
            "1s1s",
            "-1s",
            "1.5s",
            "1 s",
            "99999999999999999999s",
            "1000000d",
            "1x",
            "é",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("64KiB", 65_536), ("1GiB", 1 << 30), ("0B", 0), ("17B", 17)] {
            assert_eq!(parse_size(text).unwrap(), bytes);
            assert_eq!(format_size(bytes), text);
        }
        for text in ["", "64", "64KB", "KiB", "-1B", "1.5GiB", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
