//! The fuzz target of schedule lines: bytes as a line, and after a NUL as a zone. A second reader of the dialect, which
//! shares nothing with the first, must refuse what that refuses; and where both take a line, the line that the second
//! spells out must be the same schedule.

use leafcron::job::WallTime;
use leafcron::schedule::{Calendar, Zone};

/// An instant to ask about: 2026-03-01.
const NOW: i64 = 1_772_323_200;

/// Judges one input; what class it is in.
pub(crate) fn schedule(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let (line, zone) = text.split_once('\0').map_or((&*text, None), |(line, zone)| (line, Some(zone)));
    let device = Zone::utc();
    let spelled_out = spell_out(line);
    let calendar = match (Calendar::new(line, None, &device), &spelled_out) {
        (Ok(calendar), Some(_)) => calendar,
        (Err(refused), None) => return refusal(line, refused.reason()),
        (Ok(_), None) => panic!("{line:?} is taken, and should be refused"),
        (Err(refused), Some(_)) => panic!("{line:?} is refused: {refused}"),
    };
    // Spelled out it may be too long.
    if let Some(spelled_out) = spelled_out.filter(|line| line.len() <= 256) {
        assert_eq!(
            Calendar::new(&spelled_out, None, &device).as_ref(),
            Ok(&calendar),
            "{line:?} is {spelled_out:?}"
        );
    }
    assert!(!calendar.words().is_empty(), "{line:?} has no words");
    match zone.map(|zone| Calendar::new(line, Some(zone), &device)) {
        None => fires(&calendar, line),
        Some(Ok(calendar)) => fires(&calendar, &text),
        Some(Err(refused)) => {
            assert_eq!(refused.field(), "time_zone", "{text:?}");
            assert!(
                refused.reason().starts_with(&format!("{:?}", zone.unwrap_or_default())),
                "{text:?}: {refused}"
            );
        }
    }
    let star = |text: &str| text.split([' ', '\t']).map(|field| field.starts_with('*')).collect::<Vec<_>>();
    format!("{:?} {}", star(line), zone.is_some())
}

/// A refusal has a position within the line, says something, and cannot harm a terminal.
fn refusal(line: &str, reason: &str) -> String {
    assert!(
        !reason.is_empty() && reason.len() < 2_500 && !reason.contains(char::is_control),
        "{line:?}: {reason:?}"
    );
    if let Some((_, rest)) = reason.split_once("column ") {
        let column: usize =
            rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0);
        assert!((1..=line.chars().count() + 1).contains(&column), "{line:?}: {reason}");
    } else {
        assert!(
            line.len() > 256 || line.trim_matches([' ', '\t']).is_empty(),
            "{line:?} without a column: {reason}"
        );
    }
    reason
        .split(|c: char| !c.is_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .take(9)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Each question has the answer that the others imply.
fn fires(calendar: &Calendar, what: &str) {
    let mut at = WallTime::from_secs(NOW);
    let start = at;
    for n in 1..=3 {
        let Some(next) = calendar.next(at) else {
            // Its last was in a year of long ago, or a zone of no use has no such time.
            return;
        };
        assert!(next > at, "{what:?}: {next} is not after {at}");
        assert_eq!(calendar.count(at, next), 1, "{what:?} after {at}");
        assert_eq!(calendar.count(start, next), n, "{what:?} to {next}");
        assert_eq!(calendar.latest(at, next, 1), Some(next), "{what:?} after {at}");
        assert_eq!(calendar.explain(at).next().map(|fire| fire.at), Some(next), "{what:?} after {at}");
        at = next;
    }
}

/// The line with every number written out; `None`: it must be refused.
fn spell_out(line: &str) -> Option<String> {
    if line.len() > 256 {
        return None;
    }
    let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        ["@yearly" | "@annually"] => Some("0 0 1 1 *".to_owned()),
        ["@monthly"] => Some("0 0 1 * *".to_owned()),
        ["@weekly"] => Some("0 0 * * sun".to_owned()),
        ["@daily" | "@midnight"] => Some("0 0 * * *".to_owned()),
        ["@hourly"] => Some("0 * * * *".to_owned()),
        ["@reboot"] => Some("@reboot".to_owned()),
        ["@every", period] => seconds(period).map(|seconds| format!("@every {seconds}s")),
        five if five.len() == 5 => fields(&[&["0"], five].concat()),
        six => fields(six),
    }
}

/// The whole seconds of a duration, up to 100 years of 366 days.
fn seconds(period: &str) -> Option<u64> {
    let mut rest = period;
    let mut total: u128 = 0;
    for (unit, ms) in
        [("w", 604_800_000u128), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let letters = rest[digits..].chars().take_while(char::is_ascii_alphabetic).count();
        if digits > 0 && rest[digits..digits + letters] == *unit {
            total += rest[..digits].parse::<u64>().ok().map(u128::from)? * ms;
            rest = &rest[digits + letters..];
        }
    }
    let bounded =
        rest.is_empty() && total >= 1_000 && total.is_multiple_of(1_000) && total <= 36_600 * 86_400_000;
    bounded.then(|| u64::try_from(total / 1_000).ok()).flatten()
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 8] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn fields(words: &[&str]) -> Option<String> {
    let [second, minute, hour, day, month, weekday] = words else { return None };
    let sets = [
        field(second, 0, 59, &[])?,
        field(minute, 0, 59, &[])?,
        field(hour, 0, 23, &[])?,
        field(day, 1, 31, &[])?,
        field(month, 1, 12, &MONTHS)?,
        field(weekday, 0, 7, &DAYS)?,
    ];
    let starred = |text: &str| text.starts_with('*');
    let exists =
        |month: &usize, day: &usize| *day <= [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][*month - 1];
    let by_date = sets[4].iter().any(|month| sets[3].iter().any(|day| exists(month, day)));
    if (starred(day) || starred(weekday)) && !by_date {
        return None;
    }
    let spelled = words.iter().zip(&sets).map(|(text, set)| {
        let runs = set.chunk_by(|a, b| a + 1 == *b).map(|run| format!("{}-{}", run[0], run[run.len() - 1]));
        let numbers = runs.collect::<Vec<_>>().join(",");
        // A star and a step too far are the lowest number, which the set has, and decide what a star decides.
        if starred(text) { format!("*/99,{numbers}") } else { numbers }
    });
    Some(spelled.collect::<Vec<_>>().join(" "))
}

/// The numbers of a field, in order.
fn field(text: &str, low: usize, high: usize, names: &[&str]) -> Option<Vec<usize>> {
    let number = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let by_name = names.iter().position(|name| *name == lower).map(|at| at + low);
        let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let by_digits = || all_digits.then(|| text.parse().unwrap_or(usize::MAX));
        by_name.or_else(by_digits).filter(|number| (low..=high).contains(number))
    };
    let mut all = [false; 60];
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            None => (item, 1),
            Some((range, step)) if range == "*" || range.contains('-') => {
                let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
                (range, digits.then(|| step.parse().unwrap_or(usize::MAX)).filter(|step| *step > 0)?)
            }
            Some(_) => return None,
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            None => (number(range)?, number(range)?),
            // The last `sun` of a week.
            Some((from, to)) if to.eq_ignore_ascii_case("sun") && names.len() == 8 => {
                let from = number(from)?;
                (from, if from == 0 { 0 } else { 7 })
            }
            Some((from, to)) => (number(from)?, number(to)?),
        };
        if from > to {
            return None;
        }
        (from..=to).step_by(step).for_each(|number| all[number] = true);
    }
    Some((0..60).filter(|number| all[*number]).collect())
}
