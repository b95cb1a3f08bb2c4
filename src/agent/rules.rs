//! What definitions are judged by on this device: its `[defaults]`, its zone, and whom the agent can start jobs as.

use nix::unistd::{User, geteuid};

use crate::catalog::{AgentUser, Centre, Rules};
use crate::config::Config;
use crate::gate::Probe;
use crate::job::Warning;
use crate::schedule::Zone;

/// The rules of this device.
#[must_use]
pub fn rules(config: &Config) -> Rules {
    Rules {
        defaults: config.defaults.clone(),
        zone: Zone::device(),
        user: agent_user(),
        groups: config.all_groups(),
        centre: config.nats.as_ref().map(|nats| Centre { users: nats.users.clone() }),
    }
}

/// What this machine cannot serve of what definitions may ask for.
#[must_use]
pub fn unserved(probe: &Probe) -> Vec<Warning> {
    let shortcomings = probe.shortcomings().into_iter();
    shortcomings.map(|it| Warning { field: it.field.to_owned(), reason: it.why.to_owned() }).collect()
}

fn agent_user() -> AgentUser {
    let uid = geteuid();
    if uid.is_root() {
        return AgentUser::Root { exists: |name| User::from_name(name).map_or(true, |user| user.is_some()) };
    }
    // A uid without a name can still run jobs as itself, by its number.
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    AgentUser::Other { name }
}
