//! Every effective value of a job, and where it came from. The values of its environment are never shown.

use serde_json::{Value, json};

use super::Catalog;
use super::rules::AgentUser;
use crate::job::{FieldMap, FieldShown, JobName, Source, text};

impl Catalog {
    /// Every effective value of a job in force, and where it came from; none for a job that is not.
    #[must_use]
    pub fn shown(&self, job: &JobName) -> Vec<FieldShown> {
        let Some(in_force) = self.in_force(job) else { return Vec::new() };
        let own = text::parse(in_force.text).ok();
        own.map_or_else(Vec::new, |own| self.effective(&own, in_force.source))
    }

    fn effective(&self, own: &FieldMap, source: &Source) -> Vec<FieldShown> {
        let device = &self.rules.defaults;
        let mut shown = Vec::new();
        for (name, default) in self.fields(source) {
            match name {
                "command" => shown.extend(action(own, device)),
                "retry" => retry(own, device, &default, &mut shown),
                "env" | "require" | "limits" => table(name, own, device, &mut shown),
                _ => shown.push(field(name, own, device, default)),
            }
        }
        shown
    }

    /// The fields of the design in its order, with their defaults; null where there is none.
    fn fields(&self, source: &Source) -> Vec<(&'static str, Value)> {
        let centre = self.rules.centre.as_ref().filter(|_| !super::rows::is_file(source));
        let user = match &self.rules.user {
            AgentUser::Root { .. } => {
                centre.and_then(|centre| centre.users.first()).map_or("root", String::as_str)
            }
            AgentUser::Other { name } => name,
        };
        vec![
            ("schedule", Value::Null),
            ("time_zone", json!(self.rules.zone.as_ref().map_or("cannot be loaded", |zone| zone.name()))),
            ("splay", json!("0s")),
            ("command", Value::Null),
            ("user", json!(user)),
            ("working_dir", Value::Null),
            ("env", Value::Null),
            ("env_file", Value::Null),
            ("umask", json!("022")),
            ("timeout", json!("24h")),
            ("stop_grace", json!("10s")),
            ("warn_after", json!("1h")),
            ("overlap", json!("skip")),
            ("catch_up", json!("last")),
            ("deadline", json!("24h")),
            ("on_interrupt", json!("report")),
            ("retry", json!({"attempts": 1, "delay": "30s", "max_delay": "10m"})),
            ("success_exit_codes", json!([0])),
            ("priority", json!(0)),
            ("output", json!("4KiB")),
            ("on_failure", Value::Null),
            ("enabled", json!(true)),
            ("hold", json!("10m")),
            ("otherwise", json!("skip")),
            ("unrecorded", json!("skip")),
            ("require", Value::Null),
            ("limits", Value::Null),
        ]
    }
}

/// The words of [`FieldShown::from`].
const DEFINITION: &str = "definition";
const DEVICE: &str = "device";
const DEFAULT: &str = "default";

fn row(field: impl Into<String>, value: Value, from: &str) -> FieldShown {
    FieldShown { field: field.into(), value, from: from.to_owned() }
}

fn field(name: &str, own: &FieldMap, device: &FieldMap, default: Value) -> FieldShown {
    match (own.get(name), device.get(name)) {
        (Some(value), _) => row(name, value.clone(), DEFINITION),
        (None, Some(value)) => row(name, value.clone(), DEVICE),
        (None, None) => row(name, default, DEFAULT),
    }
}

/// `command` or `args`: one gives way to the other.
fn action(own: &FieldMap, device: &FieldMap) -> Option<FieldShown> {
    [(own, DEFINITION), (device, DEVICE)].into_iter().find_map(|(map, from)| {
        ["command", "args"].into_iter().find_map(|name| Some(row(name, map.get(name)?.clone(), from)))
    })
}

/// Given as a whole or not at all, but each part of it may be left out.
fn retry(own: &FieldMap, device: &FieldMap, default: &Value, shown: &mut Vec<FieldShown>) {
    let nothing = FieldMap::new();
    let given = |map: &FieldMap| map.get("retry").and_then(Value::as_object).cloned();
    let (own, device) = (given(own), given(device));
    let device = if own.is_some() { None } else { device };
    for (part, default) in default.as_object().into_iter().flatten() {
        let maps = (own.as_ref().unwrap_or(&nothing), device.as_ref().unwrap_or(&nothing));
        let shown_part = field(part, maps.0, maps.1, default.clone());
        shown.push(FieldShown { field: format!("retry.{part}"), ..shown_part });
    }
}

/// A table that merges key by key; `"none"` lifts a default and is shown as that.
fn table(name: &str, own: &FieldMap, device: &FieldMap, shown: &mut Vec<FieldShown>) {
    let given = |map: &FieldMap| map.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (own, device) = (given(own), given(device));
    let own_rows = own.iter().map(|(key, value)| (key, value, DEFINITION));
    let device_rows = device.iter().map(|(key, value)| (key, value, DEVICE));
    let mut rows: Vec<_> = own_rows.chain(device_rows.filter(|(key, ..)| !own.contains_key(*key))).collect();
    rows.sort_by_key(|(key, ..)| *key);
    for (key, value, from) in rows {
        let hidden = name == "env" && value != "none";
        let value = if hidden { Value::from("…") } else { value.clone() };
        shown.push(row(format!("{name}.{key}"), value, from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Rules;
    use crate::job::CronJob;
    use crate::schedule::Zone;

    #[test]
    fn the_defaults_that_are_shown_are_those_that_count() {
        let rules = Rules {
            defaults: FieldMap::new(),
            zone: Zone::named("UTC"),
            user: AgentUser::Other { name: "me".to_owned() },
            groups: Vec::new(),
            centre: None,
        };
        let silent = text::parse(r#"{"schedule":"@daily","command":"true"}"#).unwrap();
        let mut explicit = silent.clone();
        for (name, default) in Catalog::new(rules).fields(&Source::File(String::new())) {
            if !default.is_null() {
                explicit.insert(name.to_owned(), default);
            }
        }
        let nothing = FieldMap::new();
        let mut silent = CronJob::parse(&silent, &nothing).unwrap();
        // These two are the device's to know.
        silent.time_zone = Some("UTC".to_owned());
        silent.user = Some("me".to_owned());
        assert_eq!(CronJob::parse(&explicit, &nothing).unwrap(), silent);
    }
}
