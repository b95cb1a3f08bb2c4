//! Jobs as a jobs file, and what a reader of cron has to know about it.

use leafcron::job::JobName;
use toml::{Table, Value};

use super::crontab::{Action, Draft};
use super::percent;
use crate::table::safe;

/// An `env` up to this long stands in one line.
const INLINE: usize = 90;
/// As much of a crontab's line is quoted.
const QUOTED: usize = 160;

/// What is not as under cron, said once.
pub(super) const NOTES: &str = "\
# As under cron: nothing is caught up, runs may overlap, none is timed out; clock changes are treated as Debian's cron
# and cronie treat them. Not as under cron:
# - What a run prints is kept (`leafcron history --output`) and mailed to nobody.
# - What a command leaves in the background ends with its run.
# - At most `max_runs` run at once; others wait for a slot. What is due more than a minute before it can be seen (the
#   machine slept, or was off) is recorded as missed.
# - PAM is not asked: no /etc/environment, no limits of pam_limits.
";

/// Where the jobs below it come from.
pub(super) fn origin(file: &str) -> String {
    format!("# Made by `leafcron import` of {}.\n", safe(file))
}

/// One job's table.
pub(super) fn job(name: &JobName, draft: &Draft) -> String {
    let shown: String = draft.text.chars().take(QUOTED).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let mut quoted = safe(&shown);
    if shown.len() < draft.text.len() {
        quoted.push('…');
    }
    let mut text = format!("\n# Line {}: {quoted}\n[job.{name}]\n", draft.line);
    let mut field = |name: &str, value: String| text.push_str(&format!("{name} = {value}\n"));
    field("schedule", string(&draft.schedule));
    if let Some(zone) = &draft.time_zone {
        field("time_zone", string(zone));
    }
    if let Some(mins) = draft.splay_mins {
        field("splay", string(&format!("{mins}m")));
    }
    match &draft.action {
        Action::Command(command) => field("command", string(command)),
        Action::Args(args) => field("args", Value::from(args.clone()).to_string()),
    }
    field("user", string(&draft.user));
    if let Some(home) = &draft.working_dir {
        field("working_dir", string(home));
    }
    field("catch_up", string("none"));
    field("overlap", string("allow"));
    field("timeout", string("none"));
    if draft.schedule == "@reboot" {
        // Often a daemon.
        field("warn_after", string("none"));
    }
    if let Some(address) = &draft.mail_to {
        field("on_failure", string(&mail(address)));
    }
    let env: Table =
        draft.env.iter().map(|(name, value)| (name.to_string(), Value::from(value.to_string()))).collect();
    let inline = Value::from(env.clone()).to_string();
    if inline.len() <= INLINE {
        field("env", inline);
    } else {
        text.push_str(&format!("[job.{name}.env]\n{env}"));
    }
    text
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A mail by the program that cron uses for it.
fn mail(address: &str) -> String {
    format!(
        "printf '%s\\n' {} \"Subject: leafcron: $LEAFCRON_JOB $LEAFCRON_OUTCOME on $(uname -n)\" \
         'Auto-Submitted: auto-generated' '' \
         \"$LEAFCRON_OUTCOME ${{LEAFCRON_REASON:-}} exit code ${{LEAFCRON_EXIT_CODE:--}}\" \
         \"leafcron history $LEAFCRON_JOB --output\" | /usr/sbin/sendmail -oi -t",
        percent::quote(&format!("To: {address}"))
    )
}
