//! From a definition to what a runner is told.

use core::time::Duration;

use crate::job::{Action, CronJob, JobName, RunId, RunLimits, Source, Trigger, WallTime, limits};
use crate::runtime::{End, EnvFile, Found, How as Ended, RunResult, RunSpec};
use crate::scheduler::{Ending, Failure, How, RunEnd, Start};

/// What a `check` or an `on_failure` command may print: nobody reads it.
const UNREAD_OUTPUT_BYTES: u32 = 0;

/// One start of a job.
pub(super) fn spec(start: &Start, cronjob: CronJob, source: &Source) -> RunSpec {
    RunSpec {
        run: start.run,
        job: start.key.job.clone(),
        action: cronjob.action,
        user: cronjob.user,
        working_dir: cronjob.working_dir,
        env: cronjob.env.into_iter().collect(),
        env_file: cronjob.env_file.map(|path| match source {
            Source::File(_) => EnvFile::Local(path),
            Source::Agent | Source::Group(_) => EnvFile::AsUser(path),
        }),
        time_zone: cronjob.time_zone,
        umask: cronjob.umask,
        timeout: cronjob.timeout,
        stop_grace: cronjob.stop_grace,
        output: cronjob.output,
        limits: cronjob.limits,
        due: start.due,
        attempt: start.attempt,
        trigger: start.trigger,
    }
}

/// The `check` command of a job's gate, as the job's user.
pub(super) fn check(run: RunId, job: &JobName, cronjob: CronJob, now: WallTime) -> Option<RunSpec> {
    let command = cronjob.require.check?;
    Some(RunSpec {
        run,
        job: job.clone(),
        action: Action::Shell(command),
        user: cronjob.user,
        working_dir: cronjob.working_dir,
        env: cronjob.env.into_iter().collect(),
        env_file: None,
        time_zone: cronjob.time_zone,
        umask: cronjob.umask,
        timeout: Some(limits::CHECK_TIMEOUT),
        stop_grace: Some(Duration::from_secs(1)),
        output: UNREAD_OUTPUT_BYTES,
        // Refused, it would only hide why: the job itself says it.
        limits: RunLimits { required: false, ..cronjob.limits },
        due: now,
        attempt: 1,
        trigger: Trigger::Schedule,
    })
}

/// The command of a job that is told of a failure, as the job's user and with its environment.
pub(super) fn on_failure(failure: &Failure, cronjob: CronJob, source: &Source) -> Option<RunSpec> {
    let command = cronjob.on_failure.clone()?;
    let start = Start {
        run: failure.run,
        key: failure.key.clone(),
        due: failure.due,
        trigger: failure.trigger,
        attempt: failure.attempt,
    };
    let mut spec = spec(&start, cronjob, source);
    let reason = failure.reason.map(word).unwrap_or_default();
    let exit_code = failure.exit_code.map(|code| code.to_string()).unwrap_or_default();
    let facts = [
        ("LEAFCRON_OUTCOME", word(failure.outcome)),
        ("LEAFCRON_REASON", reason),
        ("LEAFCRON_EXIT_CODE", exit_code),
    ];
    spec.env.extend(facts.map(|(name, value)| (name.to_owned(), value)));
    spec.action = Action::Shell(command);
    spec.timeout = Some(limits::ON_FAILURE_TIMEOUT);
    spec.stop_grace = Some(Duration::from_secs(1));
    spec.output = UNREAD_OUTPUT_BYTES;
    // Refused, nobody would be told.
    spec.limits.required = false;
    Some(spec)
}

/// As records say it.
fn word(of: impl serde::Serialize) -> String {
    let text = serde_json::to_value(of).ok();
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// Whether a check passed.
pub(super) fn passed(found: &Found) -> bool {
    matches!(found, Found::Ended(RunResult { end: End::Exited(0), .. }))
}

/// What the core is told of a run that is over.
pub(super) fn ended(result: RunResult) -> RunEnd {
    let how = match result.end {
        End::Exited(code) => How::Exited(code),
        End::Signaled(signal) => How::Signaled(signal),
        End::TimedOut(how) => How::TimedOut(ending(how)),
        End::Stopped(how) => How::Stopped(ending(how)),
        End::NotStarted { detail } => How::NotStarted { detail },
    };
    let never = matches!(how, How::NotStarted { .. });
    let survivors = (result.survivors > 0)
        .then(|| format!("{} processes of this run could not be ended and live on", result.survivors));
    let words: Vec<String> = result.detail.into_iter().chain(survivors).collect();
    RunEnd {
        started: (!never).then_some(result.started),
        ended: Some(result.ended),
        how,
        detail: (!words.is_empty()).then(|| words.join("; ")),
        not_applied: result.not_applied,
        output: (!never).then_some(result.output),
        usage: (!never).then_some(result.usage),
    }
}

fn ending(how: Ended) -> Ending {
    match how {
        Ended::Exited(code) => Ending { exit_code: Some(code), signal: None },
        Ended::Signaled(signal) => Ending { exit_code: None, signal: Some(signal) },
    }
}
