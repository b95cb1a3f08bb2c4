//! What a Run is to do: the one thing that the agent tells a runner. It is written into the run directory as a
//! version byte and postcard (fields are append-only), so that a runner of the same binary reads it at any time.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Action, JobName, RunId, RunLimits, Trigger, WallTime};

/// Version of the file `spec`.
const VERSION: u8 = 1;

/// Everything that a runner needs to know of one Run. A gate's `check` and an `on_failure` command are Runs as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSpec {
    /// The run; its directory's name.
    pub run: RunId,
    /// The job, for `LEAFCRON_JOB`.
    pub job: JobName,
    /// What is executed.
    pub action: Action,
    /// Whom it runs as; `None`: the agent's own user, and nothing is dropped.
    pub user: Option<String>,
    /// Where, entered as that user; `None`: the user's home, or `/` where that cannot be entered.
    pub working_dir: Option<String>,
    /// The job's own variables, after those of the system and before those of `env_file`.
    pub env: Vec<(String, String)>,
    /// A file of `NAME=value` lines.
    pub env_file: Option<EnvFile>,
    /// The value of `TZ`; `None`: the agent's, if it has one.
    pub time_zone: Option<String>,
    /// File mode creation mask.
    pub umask: u16,
    /// Longest run; `None`: no limit.
    pub timeout: Option<Duration>,
    /// From TERM to KILL; `None`: never KILL.
    pub stop_grace: Option<Duration>,
    /// Bytes of output kept: half of them the first, half of them the last.
    pub output: u32,
    /// What its processes may use.
    pub limits: RunLimits,
    /// The record's `due`, for `LEAFCRON_DUE`.
    pub due: WallTime,
    /// Which start of its fire, for `LEAFCRON_ATTEMPT`.
    pub attempt: u8,
    /// Why it came to be, for `LEAFCRON_TRIGGER`.
    pub trigger: Trigger,
}

/// A file of variables, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvFile {
    /// Named by a file of the device: must belong to root or to the agent's uid.
    Local(String),
    /// Named by the centre: opened with the rights of the job's user, whoever owns it.
    AsUser(String),
}

/// The file's own type: nothing here changes when a type of `job` does.
#[derive(Serialize, Deserialize)]
struct Stored {
    run: u64,
    job: JobName,
    shell: Option<String>,
    argv: Vec<String>,
    user: Option<String>,
    working_dir: Option<String>,
    env: Vec<(String, String)>,
    env_file: Option<EnvFile>,
    time_zone: Option<String>,
    umask: u16,
    timeout: Option<Duration>,
    stop_grace: Option<Duration>,
    output: u32,
    due: WallTime,
    attempt: u8,
    trigger: Trigger,
}

/// What followed in later builds: one after the other, and absent in what an earlier build wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Added {
    limits: RunLimits,
    group: Option<String>,
    live: u32,
}

/// What a runner is told: the Run, and what the agent adds of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) spec: RunSpec,
    /// The directory of the control group that the Run is to have.
    pub(super) group: Option<String>,
    /// Bytes of its latest output that can be followed.
    pub(super) live: u32,
}

impl Order {
    pub(super) fn encode(&self) -> Vec<u8> {
        let this = self.spec.clone();
        let (shell, argv) = match this.action {
            Action::Shell(text) => (Some(text), Vec::new()),
            Action::Argv(argv) => (None, argv),
        };
        let stored = Stored {
            run: this.run.0,
            job: this.job,
            shell,
            argv,
            user: this.user,
            working_dir: this.working_dir,
            env: this.env,
            env_file: this.env_file,
            time_zone: this.time_zone,
            umask: this.umask,
            timeout: this.timeout,
            stop_grace: this.stop_grace,
            output: this.output,
            due: this.due,
            attempt: this.attempt,
            trigger: this.trigger,
        };
        let added = Added { limits: this.limits, group: self.group.clone(), live: self.live };
        super::stamp(VERSION, &(stored, added))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (stored, added): (Stored, Option<Added>) = super::unstamp(VERSION, bytes)?;
        let added = added.unwrap_or_default();
        let spec = RunSpec {
            run: RunId(stored.run),
            job: stored.job,
            action: stored.shell.map_or(Action::Argv(stored.argv), Action::Shell),
            user: stored.user,
            working_dir: stored.working_dir,
            env: stored.env,
            env_file: stored.env_file,
            time_zone: stored.time_zone,
            umask: stored.umask,
            timeout: stored.timeout,
            stop_grace: stored.stop_grace,
            output: stored.output,
            limits: added.limits,
            due: stored.due,
            attempt: stored.attempt,
            trigger: stored.trigger,
        };
        Some(Self { spec, group: added.group, live: added.live })
    }
}

/// The text of `LEAFCRON_TRIGGER`: the record's.
pub(super) fn trigger_text(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "schedule",
        Trigger::CatchUp => "catch_up",
        Trigger::Manual => "manual",
        Trigger::Reboot => "reboot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let spec = RunSpec {
            run: RunId(7),
            job: "backup".parse().unwrap(),
            action: Action::Shell("echo hi".to_owned()),
            user: Some("nobody".to_owned()),
            working_dir: None,
            env: vec![("A".to_owned(), "1".to_owned())],
            env_file: Some(EnvFile::AsUser("/e".to_owned())),
            time_zone: None,
            umask: 0o22,
            timeout: Some(Duration::from_millis(1_500)),
            stop_grace: None,
            output: 4096,
            limits: RunLimits { memory: Some(1 << 20), pids: Some(3), ..RunLimits::default() },
            due: WallTime::from_millis(5),
            attempt: 1,
            trigger: Trigger::CatchUp,
        };
        Order { spec, group: Some("/g/backup-7".to_owned()), live: 300 }
    }

    #[test]
    fn an_order_survives_its_file() {
        let mut order = order();
        assert_eq!(Order::decode(&order.encode()).unwrap(), order);
        order.spec.action = Action::Argv(vec!["a".to_owned()]);
        assert_eq!(Order::decode(&order.encode()).unwrap(), order);
        assert!(Order::decode(b"").is_none());
        assert!(Order::decode(&[VERSION + 1, 0]).is_none());
    }

    #[test]
    fn what_an_earlier_build_wrote_is_read_and_an_earlier_build_reads_this() {
        let order = order();
        let mut bytes = order.encode();
        let added = postcard::to_stdvec(&Added {
            limits: order.spec.limits.clone(),
            group: order.group.clone(),
            live: order.live,
        })
        .unwrap();
        bytes.truncate(bytes.len() - added.len());
        let earlier = Order::decode(&bytes).unwrap();
        let spec = RunSpec { limits: RunLimits::default(), ..order.spec.clone() };
        assert_eq!(earlier, Order { spec, group: None, live: 0 });
        let bytes = order.encode();
        let (_, rest) = postcard::take_from_bytes::<Stored>(&bytes[1..]).unwrap();
        assert_eq!(rest, added, "what an earlier build does not know comes last");
    }
}
