//! A CronJob: when, whether and how. Parsed from its fields merged over the device's `[defaults]`; nothing here knows
//! what a schedule line means or whether a user exists: `catalog` judges those.

use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{FieldError, Fields, no_nul};
use super::require::Require;
use super::run_limits::RunLimits;
use super::text::FieldMap;
use super::{limits, units};

/// A definition with every value effective (DESIGN section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// The schedule line, unparsed.
    pub schedule: String,
    /// An IANA zone; `None`: the device's.
    pub time_zone: Option<String>,
    /// Upper bound of the start's fixed delay.
    pub splay: Duration,
    /// What is executed.
    pub action: Action,
    /// Whom it runs as; `None`: its source's default.
    pub user: Option<String>,
    /// Where; `None`: the user's home.
    pub working_dir: Option<String>,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// A file of `NAME=value` lines, read at each start.
    pub env_file: Option<String>,
    /// File mode creation mask.
    pub umask: u16,
    /// Longest run; `None`: no limit.
    pub timeout: Option<Duration>,
    /// From TERM to KILL; `None`: never KILL.
    pub stop_grace: Option<Duration>,
    /// A run longer than this is reported as overdue; `None`: never.
    pub warn_after: Option<Duration>,
    /// What a due fire does while the job is busy.
    pub overlap: Overlap,
    /// What happens to fires missed while off.
    pub catch_up: CatchUp,
    /// Never started later than this after due and splay; `None`: however late.
    pub deadline: Option<Duration>,
    /// What happens to a run that a power cut broke off.
    pub on_interrupt: OnInterrupt,
    /// Starts after `failed` and `timed_out`.
    pub retry: Retry,
    /// Exit codes that count as success.
    pub success_exit_codes: Vec<u8>,
    /// Higher first when slots are short.
    pub priority: i8,
    /// Bytes of output kept, head and tail together.
    pub output: u32,
    /// `false`: nothing is due.
    pub enabled: bool,
    /// How long a fire is held whose gate is shut.
    pub hold: Duration,
    /// What follows when the hold is over.
    pub otherwise: Otherwise,
    /// Whether to start when no disk takes the intent.
    pub unrecorded: Unrecorded,
    /// What must hold before it starts.
    pub require: Require,
    /// A command that is told when a fire does not succeed.
    pub on_failure: Option<String>,
    /// What a Run of it may use.
    pub limits: RunLimits,
}

/// What a Run executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A text for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, with no shell.
    Argv(Vec<String>),
}

/// `overlap`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The new fire is skipped.
    Skip,
    /// One waits, the first; further ones are skipped.
    Queue,
    /// The running one is stopped, then the new one starts.
    Replace,
    /// Both run.
    Allow,
}

/// `catch_up`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Missed fires are skipped.
    None,
    /// The latest of them runs.
    Last,
    /// Each runs, in order, at most [`limits::CATCH_UP`].
    All,
}

/// `on_interrupt`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// At most once: reported, never started again.
    Report,
    /// At least once: started again.
    Rerun,
}

/// `otherwise`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// `skipped(gate)`.
    Skip,
    /// Started all the same.
    Run,
    /// `failed(gate)`, not retried.
    Fail,
}

/// `unrecorded`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// `skipped(disk)`.
    Skip,
    /// Started all the same.
    Run,
}

/// `retry`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// All starts, the first included.
    pub attempts: u8,
    /// Before the second start; doubles from then on.
    pub delay: Duration,
    /// Where doubling ends.
    pub max_delay: Duration,
}

impl CronJob {
    /// Reads `own`, a definition's fields, over `defaults`, the device's.
    ///
    /// # Errors
    /// The first field that is missing, unknown or not allowed.
    pub fn parse(own: &FieldMap, defaults: &FieldMap) -> Result<Self, FieldError> {
        let merged = merge(own, defaults);
        let mut fields = Fields::new(&merged);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let schedule = fields.optional("schedule", schedule)?;
        let action = action(&mut fields)?;
        let job = Self {
            schedule: schedule.clone().unwrap_or_default(),
            time_zone: fields.optional("time_zone", |v| Fields::text(v).map(str::to_owned))?,
            splay: fields.or("splay", Duration::ZERO, duration)?,
            action: action.clone().unwrap_or(Action::Argv(Vec::new())),
            user: fields.optional("user", Fields::command)?,
            working_dir: fields.optional("working_dir", Fields::absolute_path)?,
            env: fields.or("env", BTreeMap::new(), env)?,
            env_file: fields.optional("env_file", Fields::absolute_path)?,
            umask: fields.or("umask", 0o022, umask)?,
            timeout: fields.or("timeout", Some(minutes(24 * 60)), duration_or_none)?,
            stop_grace: fields.or("stop_grace", Some(Duration::from_secs(10)), duration_or_none)?,
            warn_after: fields.or("warn_after", Some(minutes(60)), duration_or_none)?,
            overlap: fields.or("overlap", Overlap::Skip, |v| Fields::one_of(v, &OVERLAP))?,
            catch_up: fields.or("catch_up", CatchUp::Last, |v| Fields::one_of(v, &CATCH_UP))?,
            deadline: fields.or("deadline", Some(minutes(24 * 60)), duration_or_none)?,
            on_interrupt: fields
                .or("on_interrupt", OnInterrupt::Report, |v| Fields::one_of(v, &ON_INTERRUPT))?,
            retry: fields.or("retry", Retry::NONE, retry)?,
            success_exit_codes: fields.or("success_exit_codes", vec![0], exit_codes)?,
            priority: fields.or("priority", 0, |v| Fields::whole(v, -100..=100))?,
            output: fields.or("output", 4096, output)?,
            enabled: fields.or("enabled", true, Fields::flag)?,
            hold: fields.or("hold", minutes(10), duration)?,
            otherwise: fields.or("otherwise", Otherwise::Skip, |v| Fields::one_of(v, &OTHERWISE))?,
            unrecorded: fields.or("unrecorded", Unrecorded::Skip, |v| Fields::one_of(v, &UNRECORDED))?,
            require: table(&mut fields, "require", Require::parse)?,
            on_failure: fields.optional("on_failure", Fields::command)?,
            limits: table(&mut fields, "limits", RunLimits::parse)?,
        };
        fields.finish()?;
        // Last: a mistyped name explains what is missing.
        match (schedule, action) {
            (Some(_), Some(_)) => Ok(job),
            (None, _) => Err(FieldError::new("schedule", "is required")),
            (_, None) => Err(FieldError::new("command", "is required (or `args`, a list with no shell)")),
        }
    }
}

impl Retry {
    /// One start, no retry.
    pub const NONE: Self =
        Self { attempts: 1, delay: Duration::from_secs(30), max_delay: Duration::from_secs(600) };

    /// The delay before the start that follows attempt `attempt` (from 1).
    #[must_use]
    pub fn delay_after(&self, attempt: u8) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        self.delay.saturating_mul(1 << doublings).min(self.max_delay)
    }
}

const OVERLAP: [(&str, Overlap); 4] = [
    ("skip", Overlap::Skip),
    ("queue", Overlap::Queue),
    ("replace", Overlap::Replace),
    ("allow", Overlap::Allow),
];
const CATCH_UP: [(&str, CatchUp); 3] =
    [("none", CatchUp::None), ("last", CatchUp::Last), ("all", CatchUp::All)];
const ON_INTERRUPT: [(&str, OnInterrupt); 2] =
    [("report", OnInterrupt::Report), ("rerun", OnInterrupt::Rerun)];
const OTHERWISE: [(&str, Otherwise); 3] =
    [("skip", Otherwise::Skip), ("run", Otherwise::Run), ("fail", Otherwise::Fail)];
const UNRECORDED: [(&str, Unrecorded); 2] = [("skip", Unrecorded::Skip), ("run", Unrecorded::Run)];

/// The tables that merge key by key; the value `"none"` lifts one of their defaults.
const MERGED_TABLES: [&str; 3] = ["require", "limits", "env"];

/// The effective fields: `own` over `defaults`. A default of `command` gives way to own `args` and the reverse.
#[must_use]
pub fn merge(own: &FieldMap, defaults: &FieldMap) -> FieldMap {
    let mut merged = defaults.clone();
    if own.contains_key("args") {
        merged.remove("command");
    }
    if own.contains_key("command") {
        merged.remove("args");
    }
    for (name, value) in own {
        match (merged.get_mut(name), value) {
            (Some(Value::Object(default)), Value::Object(given))
                if MERGED_TABLES.contains(&name.as_str()) =>
            {
                default.extend(given.clone());
            }
            _ => {
                merged.insert(name.clone(), value.clone());
            }
        }
    }
    for name in MERGED_TABLES {
        if let Some(Value::Object(table)) = merged.get_mut(name) {
            table.retain(|_, value| value != "none");
        }
    }
    merged
}

fn table<T: Default>(
    fields: &mut Fields<'_>,
    name: &'static str,
    parse: impl FnOnce(&FieldMap) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    let map =
        fields.optional(name, |value| value.as_object().ok_or_else(|| format!("{value} is not a table")))?;
    map.map_or_else(|| Ok(T::default()), parse)
}

fn schedule(value: &Value) -> Result<String, String> {
    let line = Fields::text(value)?;
    if line.len() > limits::SCHEDULE_BYTES {
        return Err(format!(
            "a line of {} bytes; at most {} are allowed",
            line.len(),
            limits::SCHEDULE_BYTES
        ));
    }
    Ok(line.to_owned())
}

fn action(fields: &mut Fields<'_>) -> Result<Option<Action>, FieldError> {
    let command = fields.optional("command", Fields::command)?;
    let args = fields.optional("args", |value| {
        let list = value.as_array().ok_or_else(|| format!("{value} is not a list of texts"))?;
        if list.is_empty() || list.len() > limits::ARGS {
            return Err(format!("{} arguments; 1 to {} are allowed", list.len(), limits::ARGS));
        }
        let args: Vec<String> = list
            .iter()
            .map(|arg| Fields::text(arg).and_then(|text| no_nul(text).map(|()| text.to_owned())))
            .collect::<Result<_, _>>()?;
        if args.first().is_some_and(String::is_empty) {
            return Err("names no program: the first argument is empty".to_owned());
        }
        Ok(args)
    })?;
    match (command, args) {
        (Some(command), None) => Ok(Some(Action::Shell(command))),
        (None, Some(args)) => Ok(Some(Action::Argv(args))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FieldError::new("args", "is given beside `command`; give one of them")),
    }
}

fn duration(value: &Value) -> Result<Duration, String> {
    units::parse_duration(Fields::text(value)?)
}

fn duration_or_none(value: &Value) -> Result<Option<Duration>, String> {
    match Fields::text(value)? {
        "none" => Ok(None),
        text => units::parse_duration(text).map(Some),
    }
}

/// Says what is wrong, never the value: it may be a secret, and refusals are shown to more people than values.
fn env(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let map = value.as_object().ok_or_else(|| "is not a table of texts".to_owned())?;
    if map.len() > limits::ENV_VARS {
        return Err(format!("{} variables; at most {} are allowed", map.len(), limits::ENV_VARS));
    }
    map.iter()
        .map(|(name, value)| {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!("{name:?} cannot name a variable"));
            }
            let text = value.as_str().ok_or_else(|| format!("{name}: is not text; write it in quotes"))?;
            no_nul(text).map_err(|reason| format!("{name}: {reason}"))?;
            Ok((name.clone(), text.to_owned()))
        })
        .collect()
}

fn umask(value: &Value) -> Result<u16, String> {
    let text =
        Fields::text(value).map_err(|_| format!("{value} is not octal text; write it like \"027\""))?;
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777 && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("{text:?} is not octal in 000-777"))
}

fn retry(value: &Value) -> Result<Retry, String> {
    let map = value
        .as_object()
        .ok_or_else(|| format!("{value} is not a table; write {{attempts=3, delay=\"30s\"}}"))?;
    let read = || {
        let mut fields = Fields::new(map);
        let retry = Retry {
            attempts: fields.required("attempts", |v| Fields::whole(v, 1..=i64::from(limits::ATTEMPTS)))?,
            delay: fields.or("delay", Retry::NONE.delay, duration)?,
            max_delay: fields.or("max_delay", Retry::NONE.max_delay, duration)?,
        };
        fields.finish()?;
        Ok(retry)
    };
    read().map_err(|error: FieldError| error.to_string())
}

fn exit_codes(value: &Value) -> Result<Vec<u8>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is not a list of exit codes"))?;
    if list.is_empty() || list.len() > 256 {
        return Err(format!("{} exit codes; 1 to 256 are allowed", list.len()));
    }
    list.iter().map(|code| Fields::whole(code, 0..=255)).collect()
}

fn output(value: &Value) -> Result<u32, String> {
    let bytes = units::parse_size(Fields::text(value)?)?;
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= limits::OUTPUT_BYTES)
        .ok_or_else(|| format!("is more than {}", units::format_size(limits::OUTPUT_BYTES.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::text;

    fn parse(text: &str) -> Result<CronJob, FieldError> {
        CronJob::parse(&text::parse(text).unwrap(), &FieldMap::new())
    }

    #[test]
    fn silence_means_the_documented_defaults() {
        let job = parse(r#"{"schedule":"@daily","command":"true"}"#).unwrap();
        assert_eq!(job.timeout, Some(Duration::from_secs(86_400)));
        assert_eq!(job.overlap, Overlap::Skip);
        assert_eq!(job.catch_up, CatchUp::Last);
        assert_eq!(job.on_interrupt, OnInterrupt::Report);
        assert_eq!((job.output, job.umask, job.priority), (4096, 0o022, 0));
        assert!(job.enabled && job.require.is_empty() && job.limits.is_empty());
    }

    #[test]
    fn every_refusal_names_its_field() {
        for (text, field) in [
            (r#"{"command":"true"}"#, "schedule"),
            (r#"{"schedule":"@daily"}"#, "command"),
            (r#"{"shedule":"@daily","command":"true"}"#, "shedule"),
            (r#"{"schedule":"@daily","command":"a","args":["b"]}"#, "args"),
            (r#"{"schedule":"@daily","command":"a","colour":1}"#, "colour"),
            (r#"{"schedule":"@daily","command":" "}"#, "command"),
            (r#"{"schedule":"@daily","args":[]}"#, "args"),
            (r#"{"schedule":5,"command":"a"}"#, "schedule"),
            (r#"{"schedule":"@daily","command":"a","timeout":5}"#, "timeout"),
            (r#"{"schedule":"@daily","command":"a","umask":"999"}"#, "umask"),
            (r#"{"schedule":"@daily","command":"a","umask":"+22"}"#, "umask"),
            (r#"{"schedule":"@daily","command":"a","priority":101}"#, "priority"),
            (r#"{"schedule":"@daily","command":"a","output":"65KiB"}"#, "output"),
            (r#"{"schedule":"@daily","command":"a","require":{"load":1}}"#, "require.load"),
            (r#"{"schedule":"@daily","command":"a","require":{"temperature":"75"}}"#, "require.temperature"),
            (r#"{"schedule":"@daily","command":"a","require":{"cpu_pressure":101}}"#, "require.cpu_pressure"),
            (r#"{"schedule":"@daily","command":"a","require":{"io_pressure":-1}}"#, "require.io_pressure"),
            (r#"{"schedule":"@daily","command":"a","require":{"temperature":0}}"#, "require.temperature"),
            (r#"{"schedule":"@daily","command":"a","require":{"temperature":1e99}}"#, "require.temperature"),
            (r#"{"schedule":"@daily","command":"a","require":{"throttled":true}}"#, "require.throttled"),
            (r#"{"schedule":"@daily","command":"a","require":{"power":"battery"}}"#, "require.power"),
            (r#"{"schedule":"@daily","command":"a","require":{"battery":0}}"#, "require.battery"),
            (r#"{"schedule":"@daily","command":"a","require":{"battery":"30%"}}"#, "require.battery"),
            (r#"{"schedule":"@daily","command":"a","require":{"network":true}}"#, "require.network"),
            (r#"{"schedule":"@daily","command":"a","require":{"clock":"right"}}"#, "require.clock"),
            (r#"{"schedule":"@daily","command":"a","require":{"load_per_cpu":0}}"#, "require.load_per_cpu"),
            (r#"{"schedule":"@daily","command":"a","retry":{"attempts":0}}"#, "retry"),
            (r#"{"schedule":"@daily","command":"a","env":{"A=":"1"}}"#, "env"),
            (r#"{"schedule":"@daily","command":"a","limits":{"pids":0}}"#, "limits.pids"),
        ] {
            assert_eq!(parse(text).unwrap_err().field, field, "{text}");
        }
    }

    #[test]
    fn defaults_give_way_and_none_lifts_one_of_a_table() {
        let defaults = text::parse(
            r#"{"timeout":"1m","command":"default","require":{"load_per_cpu":2,"memory_available":"1MiB"},"env":{"A":"1"}}"#,
        )
        .unwrap();
        let own = text::parse(
            r#"{"schedule":"@daily","args":["true"],"timeout":"none","require":{"load_per_cpu":"none"},"env":{"B":"2"}}"#,
        )
        .unwrap();
        let job = CronJob::parse(&own, &defaults).unwrap();
        assert_eq!(job.timeout, None);
        assert_eq!(job.action, Action::Argv(vec!["true".to_owned()]));
        assert_eq!((job.require.load_per_cpu, job.require.memory_available), (None, Some(1 << 20)));
        assert_eq!(job.env.len(), 2);
    }

    #[test]
    fn the_retry_delay_doubles_up_to_its_maximum() {
        let retry =
            Retry { attempts: 9, delay: Duration::from_secs(30), max_delay: Duration::from_secs(100) };
        let delays: Vec<_> = (1..=4).map(|attempt| retry.delay_after(attempt).as_secs()).collect();
        assert_eq!(delays, [30, 60, 100, 100]);
        assert_eq!(retry.delay_after(255).as_secs(), 100);
    }
}
