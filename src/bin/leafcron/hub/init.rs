//! `leafcron hub init`: two buckets and a stream, by raw requests: no client knows all of their fields.

use core::time::Duration;

use leafcron::nats::StreamInfo;
use serde_json::{Value, json};

use super::{ANSWER, Centre, cannot, random};
use crate::answer::{Answer, Failure, chain};
use crate::table::safe;

/// Results that come again within this time are known by their ids.
const DUPLICATES: Duration = Duration::from_secs(2 * 3600);
/// A value of the bucket of definitions: one definition, and room to see by how much another is too large.
const VALUE_BYTES: usize = 2 * leafcron::job::limits::DEFINITION_BYTES;

/// What was done.
#[derive(Default)]
struct Report {
    done: Vec<String>,
    warnings: Vec<String>,
    /// What one server alone keeps.
    alone: Vec<String>,
}

pub(super) fn init(centre: &Centre, replicas: u8, keep: Duration, as_json: bool) -> Result<Answer, Failure> {
    let mut report = Report::default();
    let jobs = centre.name("jobs");
    let republish = json!({"src": format!("$KV.{jobs}.>"), "dest": format!("{}.job.>", centre.prefix), "headers_only": true});
    let mut wanted = bucket(&jobs, replicas);
    if let Some(fields) = wanted.as_object_mut() {
        fields.insert("republish".to_owned(), republish);
        fields.insert("max_msg_size".to_owned(), VALUE_BYTES.into());
    }
    let hints = "without republish devices find changes within a minute, not at once";
    make(centre, &wanted, &[("republish", hints)], &mut report)?;
    let id = centre.stream.kv_create(&jobs, "meta.id", random()?.as_bytes(), ANSWER);
    match id {
        Ok(_) => report.done.push(format!("{jobs}: meta.id written; it tells this bucket from any other")),
        Err(error) if error.is_wrong_last() => {}
        Err(error) => return Err(cannot(&error)),
    }
    let state = centre.name("state");
    // Of each device's heartbeat alone: whoever else has its name learns of it.
    let republish = json!({"src": format!("$KV.{state}.*"), "dest": format!("{}.state.{{{{wildcard(1)}}}}", centre.prefix), "headers_only": true});
    let mut wanted = bucket(&state, replicas);
    if let Some(fields) = wanted.as_object_mut() {
        fields.insert("republish".to_owned(), republish);
        // Each device puts its own keys: by a header of one of them it would have all others deleted.
        fields.insert("allow_rollup_hdrs".to_owned(), false.into());
    }
    let rollup = "with it each device can delete what all others say";
    let twins = "without republish two devices of one name find out at a heartbeat, not at once";
    make(centre, &wanted, &[("allow_rollup_hdrs", rollup), ("republish", twins)], &mut report)?;
    let prefix = &centre.prefix;
    let runs = json!({
        "name": centre.name("runs"),
        "subjects": [format!("{prefix}.run.*.*"), format!("{prefix}.event.*.*")],
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": u64::try_from(keep.as_nanos()).unwrap_or(0),
        "duplicate_window": u64::try_from(DUPLICATES.min(keep).as_nanos()).unwrap_or(0),
        "allow_direct": true,
    });
    make(centre, &runs, &[], &mut report)?;
    if !report.alone.is_empty() {
        report.warnings.push(format!(
            "one replica of {}: a power cut of its server can take what it acknowledged, unless it runs with `jetstream {{ sync_interval: always }}`; three servers and --replicas 3 are safer",
            report.alone.join(", ")
        ));
    }
    if as_json {
        return Answer::json(&json!({"done": report.done, "warnings": report.warnings}));
    }
    let lines = |lines: &[String], before: &str| {
        lines.iter().map(|line| format!("{before}{}\n", safe(line))).collect()
    };
    Ok(Answer { out: lines(&report.done, ""), err: lines(&report.warnings, "warning: "), code: 0 })
}

/// A bucket as stock tools know it.
fn bucket(name: &str, replicas: u8) -> Value {
    json!({
        "name": format!("KV_{name}"),
        "subjects": [format!("$KV.{name}.>")],
        "max_msgs_per_subject": 1,
        "discard": "new",
        "storage": "file",
        "num_replicas": replicas,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
        "duplicate_window": 120_000_000_000_u64,
    })
}

/// Makes a stream that is not there; of one that is, mends what leafcron cannot do without, and says what else differs.
fn make(
    centre: &Centre,
    wanted: &Value,
    needed: &[(&str, &str)],
    report: &mut Report,
) -> Result<(), Failure> {
    let name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
    let there = centre.stream.stream_info(name, ANSWER);
    let config = there.as_ref().map_or(wanted, |info| &info.config);
    if config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1) < 2 {
        report.alone.push(name.to_owned());
    }
    match there {
        Ok(info) => mend(centre, name, wanted, &info, needed, report),
        Err(error) if error.is_not_found() => {
            centre
                .stream
                .api(&format!("STREAM.CREATE.{name}"), wanted, ANSWER)
                .map_err(|error| Failure::CannotAsk(format!("make {name}: {}", chain(&error))))?;
            report.done.push(format!("{name}: made"));
            Ok(())
        }
        Err(error) => Err(centre.unread(name, &error)),
    }
}

fn mend(
    centre: &Centre,
    name: &str,
    wanted: &Value,
    info: &StreamInfo,
    needed: &[(&str, &str)],
    report: &mut Report,
) -> Result<(), Failure> {
    let is_needed = |field: &str| needed.iter().any(|(name, _)| *name == field);
    let differs: Vec<&str> = differing(wanted, &info.config);
    let missing: Vec<&str> = differs.iter().filter(|field| is_needed(field)).copied().collect();
    let other: Vec<String> = differs
        .iter()
        .filter(|field| !is_needed(field))
        .map(|field| {
            format!(
                "{field} is {}, and would be {}",
                info.config.get(*field).unwrap_or(&Value::Null),
                wanted.get(*field).unwrap_or(&Value::Null)
            )
        })
        .collect();
    if missing.is_empty() {
        report.done.push(format!("{name}: there already"));
    }
    let mut config = info.config.clone();
    // One after the other: what this server does not let be changed keeps nothing else from it.
    for field in missing {
        let mut changed = config.clone();
        if let (Some(fields), Some(value)) = (changed.as_object_mut(), wanted.get(field)) {
            fields.insert(field.to_owned(), value.clone());
        }
        match centre.stream.api(&format!("STREAM.UPDATE.{name}"), &changed, ANSWER) {
            Ok(_) => {
                report.done.push(format!("{name}: there already; {field} set"));
                config = changed;
            }
            Err(error) => {
                let why = needed.iter().find(|(name, _)| *name == field).map_or("", |(_, why)| *why);
                report.warnings.push(format!(
                    "{name} needs another {field}, and this server does not let it be set ({}): {why}",
                    chain(&error)
                ));
            }
        }
    }
    if !other.is_empty() {
        report.warnings.push(format!("{name} differs, and is left as it is: {}", other.join("; ")));
    }
    Ok(())
}

/// The fields that are not as wanted; what the server adds is its own.
fn differing<'a>(wanted: &'a Value, there: &Value) -> Vec<&'a str> {
    let same = |wanted: &Value, there: Option<&Value>| match (wanted, there) {
        // Of a table what is asked for counts; false and absent are one.
        (Value::Object(fields), Some(Value::Object(there))) => {
            fields.iter().all(|(name, value)| there.get(name) == Some(value))
        }
        (Value::Bool(false), None) => true,
        (wanted, there) => Some(wanted) == there,
    };
    let fields = wanted.as_object().into_iter().flatten();
    fields.filter(|(name, value)| !same(value, there.get(*name))).map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_as_wanted_differs() {
        let wanted = json!({"name": "A", "republish": {"src": "a"}, "max_age": 5, "deny_delete": true});
        let there = json!({"name": "A", "republish": {"src": "a", "more": 1}, "max_age": 6, "sealed": false});
        assert_eq!(differing(&wanted, &there), ["deny_delete", "max_age"]);
        assert!(differing(&wanted, &wanted).is_empty());
    }
}
