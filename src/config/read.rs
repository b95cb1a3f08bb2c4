//! From text to [`Config`]: types, bounds and defaults.

use core::time::Duration;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::host::{Host, User};
use super::nats;
use super::{Config, ConfigError};
use crate::job::units::{format_size, parse_duration, parse_size};
use crate::job::{CronJob, Document, FieldError, FieldMap, Fields, Name, Section};

/// Runs at once: each is a process tree and a few descriptors.
const MAX_RUNS: i64 = 1_024;
/// The journal needs room for a fresh segment beside the old one.
const LEAST_DISK: u64 = 1 << 20;
/// Records kept per job.
const MAX_HISTORY: i64 = 10_000;
/// Groups of one agent: each is one more filter at the hub.
const MAX_GROUPS: usize = 64;
/// Host names that say which system was installed, not which device this is.
const NOBODYS_NAMES: [&str; 2] = ["raspberrypi", "localhost"];

pub(super) fn config(text: &str, file: Option<&Path>, host: &Host) -> Result<Config, ConfigError> {
    let error = |line, field, reason| ConfigError { file: file.map(Path::to_owned), line, field, reason };
    let document =
        Document::parse(text).map_err(|syntax| error(Some(syntax.line), None, syntax.to_string()))?;
    let top = document.top();
    values(top, host, file).map_err(|FieldError { field, reason }| {
        // What is not in the text, a default of this machine, has no line.
        let said = top.names().any(|name| field.split('.').next() == Some(name));
        let line = said.then(|| top.line_of(&field));
        error(line, Some(field).filter(|field| !field.is_empty()), reason)
    })
}

fn values(top: Section<'_>, host: &Host, file: Option<&Path>) -> Result<Config, FieldError> {
    let map = top.fields()?;
    let mut fields = Fields::new(&map);
    let mut warnings: Vec<String> = Vec::new();
    let named: Option<Name> = fields.optional("agent", name)?;
    let groups = fields.or("groups", Vec::new(), groups)?;
    let dirs = Directories::of(&mut fields, host)?;
    let max_runs = fields.or("max_runs", host.cpus.saturating_mul(2).clamp(1, 1_024), |value| {
        Fields::whole(value, 1..=MAX_RUNS)
    })?;
    let clock_wait =
        fields.or("clock_wait", Duration::from_secs(120), |v| parse_duration(Fields::text(v)?))?;
    let trust_clock = fields.or("trust_clock", false, Fields::flag)?;
    let disk = fields.or("disk", 32 << 20, disk)?;
    let history = fields.or("history", 50, |value| Fields::whole(value, 1..=MAX_HISTORY))?;
    let nats = fields.optional("nats", table)?.map(|map| nats::parse(map, host)).transpose()?;
    let defaults = fields.optional("defaults", table)?.cloned().unwrap_or_default();
    fields.finish()?;
    check_defaults(&defaults)?;
    let (agent, nameless) = match named {
        Some(agent) => (agent, None),
        None => default_name(host),
    };
    let nameless = nameless.filter(|_| nats.is_some());
    warnings.extend(nameless.clone());
    Ok(Config {
        file: file.map(Path::to_owned),
        agent,
        nameless,
        groups,
        state_dir: dirs.state,
        run_dir: dirs.run,
        jobs_dir: dirs.jobs,
        max_runs,
        clock_wait,
        trust_clock,
        disk,
        history,
        nats,
        defaults,
        warnings,
    })
}

struct Directories {
    state: PathBuf,
    run: PathBuf,
    jobs: PathBuf,
}

impl Directories {
    fn of(fields: &mut Fields<'_>, host: &Host) -> Result<Self, FieldError> {
        let mut dir = |name: &'static str, default: Option<PathBuf>, variable: &str| {
            let given = fields.optional(name, |value| Fields::absolute_path(value).map(PathBuf::from))?;
            given.or(default).ok_or_else(|| {
                FieldError::new(
                    name,
                    format!("has no default, as {variable} is not set; write {name} = \"/…\""),
                )
            })
        };
        let (state, run, jobs) = match &host.user {
            User::Root => ("/var/lib/leafcron".into(), "/run/leafcron".into(), "/etc/leafcron/jobs.d".into()),
            User::Other { config, state, runtime } => {
                let below = |dir: &Option<PathBuf>, path| dir.as_ref().map(|dir| dir.join(path));
                return Ok(Self {
                    state: dir("state_dir", below(state, "leafcron"), "XDG_STATE_HOME")?,
                    run: dir("run_dir", below(runtime, "leafcron"), "XDG_RUNTIME_DIR")?,
                    jobs: dir("jobs_dir", below(config, "leafcron/jobs.d"), "XDG_CONFIG_HOME")?,
                });
            }
        };
        Ok(Self {
            state: dir("state_dir", Some(state), "")?,
            run: dir("run_dir", Some(run), "")?,
            jobs: dir("jobs_dir", Some(jobs), "")?,
        })
    }
}

/// The host name up to its first dot (DESIGN section 9, Identity), and why it does not do for the centre: two devices of
/// one name would be one there.
fn default_name(host: &Host) -> (Name, Option<String>) {
    let short = host.name.as_deref().and_then(|name| name.split('.').next()).unwrap_or_default();
    let name = short.parse::<Name>();
    let nameless = (name.is_err() || NOBODYS_NAMES.contains(&short)).then(|| {
        format!(
            "the host name {short:?} does not tell this device from others, so the link stays down: set agent = \"…\" in the configuration"
        )
    });
    (name.unwrap_or_else(|_| "localhost".parse().expect("nine letters are a name")), nameless)
}

/// Reads the defaults as a job that has nothing of its own but what they leave open, so that what every job would be
/// refused for is said once, at its line.
fn check_defaults(defaults: &FieldMap) -> Result<(), FieldError> {
    let mut own = FieldMap::new();
    if !defaults.contains_key("schedule") {
        own.insert("schedule".to_owned(), Value::from("@daily"));
    }
    if !defaults.contains_key("command") && !defaults.contains_key("args") {
        own.insert("command".to_owned(), Value::from("true"));
    }
    match CronJob::parse(&own, defaults) {
        Ok(_) => Ok(()),
        Err(error) => Err(FieldError::new(format!("defaults.{}", error.field), error.reason)),
    }
}

pub(super) fn name(value: &Value) -> Result<Name, String> {
    Fields::text(value)?.parse().map_err(|error| format!("{value}: {error}"))
}

fn table(value: &Value) -> Result<&FieldMap, String> {
    value.as_object().ok_or_else(|| "is not a table".to_owned())
}

fn groups(value: &Value) -> Result<Vec<Name>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is not a list of names"))?;
    if list.len() > MAX_GROUPS {
        return Err(format!("{} groups; at most {MAX_GROUPS} are allowed", list.len()));
    }
    let groups: Vec<Name> = list.iter().map(name).collect::<Result<_, _>>()?;
    let twice =
        groups.iter().enumerate().find(|(at, group)| groups.iter().take(*at).any(|one| one == *group));
    match twice {
        Some((_, group)) => Err(format!("{group} is there twice")),
        None => Ok(groups),
    }
}

fn disk(value: &Value) -> Result<u64, String> {
    let bytes = parse_size(Fields::text(value)?)?;
    if bytes < LEAST_DISK {
        return Err(format!("{value} is less than {}", format_size(LEAST_DISK)));
    }
    Ok(bytes)
}
